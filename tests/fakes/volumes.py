"""The rawx services of a small OpenIO SDS: chunks with their metadata, and damage to them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.fakes.listening import CHUNK, Call, Listening, md5

_NEEDED = ("full-path", "content-storage-policy", "content-chunk-method", "chunk-pos")
_METACHUNK = ("metachunk-size", "metachunk-hash")


class Volumes(Listening):
    """`chunks[id]` are bytes, `meta[id]` their x-oio-chunk-meta- headers as a rawx reports them,
    `sent[id]` the headers and trailers of the PUT. `placed` and `spots` are positions: 0, `0.3`."""

    def __init__(self, rawx: int) -> None:
        super().__init__(rawx)
        self.chunks: dict[str, bytes] = {}
        self.meta: dict[str, dict[str, str]] = {}
        self.sent: dict[str, dict[str, str]] = {}
        self.spots: dict[str, str] = {}

    @property
    def placed(self) -> dict[str, int]:
        return {id: int(spot.partition(".")[0]) for id, spot in self.spots.items()}

    def _put_chunk(self, call: Call) -> None:
        data = call.body()
        given = {n.removeprefix(CHUNK): v for n, v in call.headers.items() if n.startswith(CHUNK)}
        refused = _refused(call.chunk, given, md5(data))
        if refused or call.chunk in self.chunks:
            call.reply(refused or "409 Conflict", body=b"<html>")
            return
        self.sent[call.chunk] = call.headers
        self.store(call.chunk, data, given)
        call.reply("201 Created", self._recorded(call), b"<html>")

    def store(self, id: str, data: bytes, meta: Mapping[str, str]) -> None:
        own = {"chunk-id": id, "chunk-size": str(len(data)), "chunk-hash": md5(data)}
        upper = {name: meta[name].upper() for name in ("metachunk-hash",) if name in meta}
        self.spots[id] = meta["chunk-pos"]
        self.meta[id] = {"oio-version": "4.2", **meta, **own, **upper}
        self.chunks[id] = data

    def _recorded(self, call: Call) -> dict[str, str]:
        if call.headers.get("x-oio-xattr", "") == "false":
            return {}
        recorded = self.meta.get(call.chunk, {})
        return {f"X-oio-chunk-meta-{name}": value for name, value in recorded.items()}

    def _get_chunk(self, call: Call) -> None:
        data = self.chunks.get(call.chunk)
        if data is None:
            call.reply("404 Not Found", body=b"<html>")
            return
        recorded: dict[str, str] = self._recorded(call)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("range", ""))
        if not asked:
            call.reply("200 OK", recorded, data)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if first > last:
            call.reply("416 Requested Range Not Satisfiable", body=b"<html>")
            return
        recorded["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        call.reply("206 Partial Content", recorded, data[first : last + 1])

    def _head_chunk(self, call: Call) -> None:
        data = self.chunks.get(call.chunk)
        if data is None:
            call.reply("404 Not Found", length=-1)
        else:
            # A real rawx reports no length of an empty chunk.
            call.reply("200 OK", self._recorded(call), length=len(data) or -1)

    def _delete_chunk(self, call: Call) -> None:
        gone = self.chunks.pop(call.chunk, None)
        call.reply("404 Not Found" if gone is None else "204 No Content")

    def asked(self, method: str) -> list[Call]:
        """The requests to the rawx services."""
        return [call for call in self.calls if call.who != "proxy" and call.method == method]

    # --- damage -------------------------------------------------------------------------------

    def flip(self, id: str, at: int = -1) -> None:
        """Change one byte of a chunk, but not its metadata."""
        data = bytearray(self.chunks[id])
        data[at] ^= 0x55
        self.chunks[id] = bytes(data)

    def truncate(self, id: str, size: int) -> None:
        self.chunks[id] = self.chunks[id][:size]

    def lose(self, id: str) -> None:
        """Remove the file of a chunk."""
        del self.chunks[id]

    def forget(self, id: str) -> None:
        """Remove all metadata of a chunk, as when its extended attributes were not copied."""
        self.meta[id] = {}

    def swap(self, id: str, other: str) -> None:
        """Replace the file of a chunk by that of another one, with its metadata."""
        self.chunks[id], self.meta[id] = self.chunks[other], self.meta[other]

    def lie(self, id: str, data: bytes) -> None:
        """Replace the bytes of a chunk, with metadata that match them."""
        self.chunks[id] = data
        self.meta[id] = {**self.meta[id], "chunk-size": str(len(data)), "chunk-hash": md5(data)}


def _refused(id: str, given: Mapping[str, str], digest: str) -> str | None:
    if not all(given.get(name) for name in _NEEDED) or given.get("chunk-id", id).upper() != id:
        return "400 Bad Request"
    erasure = given["content-chunk-method"].startswith("ec/")
    if erasure and not all(given.get(name) for name in _METACHUNK):
        return "403 Forbidden"
    wrong = given.get("chunk-hash", digest).upper() != digest
    return "422 Unprocessable Entity" if wrong else None
