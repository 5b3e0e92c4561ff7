"""A small OpenIO SDS over real sockets: a proxy and some rawx services that misbehave on demand.

    with Sds(chunk_size=1000, copies=3) as sds:
        sds.faults.append(fault)        # fault(call) -> True: it has dealt with the request
        ... sds.url, sds.objects, sds.chunks, sds.calls

    Sds(method="ec/algo=liberasurecode_rs_vand,k=4,m=2", rawx=9)       # erasure-coded

What is put is kept; a rawx keeps connections alive, the proxy closes them, as real ones do. Nothing
here is taken from the client under test but the codec, which fixtures prove: shapes are those of
recordings (docs/wire/oio-upload.md).
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.fakes.copies import FROZEN, Copies
from tests.fakes.listening import CHUNK, Call, Fault, md5, on

META = "x-oio-content-meta-"
CID = "0123456789ABCDEF" * 4
SEGMENT = 1 << 20


class Sds(Copies):
    """An OpenIO of one container, `docs`. `scores` are those of rawx services, by number; `system`
    are properties of the container that were set, or are wrong; `counted`: show has counters."""

    def __init__(
        self,
        *,
        chunk_size: int = 1000,
        copies: int = 1,
        rawx: int = 4,
        method: str | None = None,
        versions: str | None = None,
        hashes: bool = True,
    ) -> None:
        super().__init__(rawx, method or f"plain/nb_copy={copies}", copies)
        self.chunk_size, self.versions, self.hashes = chunk_size, versions, hashes
        self.scores: dict[int, int] = {}
        self.system: dict[str, str] = {}
        self.counted = False
        # What prepare says otherwise, by the names of its headers.
        self.prepared: dict[str, str] = {}
        # Since 7 the proxy chooses the services itself, and creates no container.
        self.prepare_creates = True

    def _answer(self, call: Call) -> None:
        if call.who != "proxy":
            getattr(self, f"_{call.method.lower()}_chunk")(call)
            return
        call.body()
        handler = getattr(self, "_" + call.route.replace("/", "_"), None)
        if handler is None:
            call.refuse(404, "404 No handler found", "No handler found")
        elif self.killer and call.route != "conscience/info":
            self._dead(call)
        elif call.query.get("ref") in self.containers or call.route in _ANYWHERE:
            with self._lock:
                self._handled(call, handler)
        else:
            call.refuse(406, "404 Not found", "User not found")

    # --- the proxy ----------------------------------------------------------------------------

    def _conscience_info(self, call: Call) -> None:
        security = {"DATA": self.method}
        policy = {"storage_policy": {self.policy: "NONE:DATA"}, "data_security": security}
        call.json({"ns": "OPENIO", "chunksize": self.chunk_size, "options": {}, **policy})

    def _conscience_list(self, call: Call) -> None:
        call.json([{"addr": address, "score": 100, "tags": {}} for address in self.addresses[:-1]])

    def _container_show(self, call: Call) -> None:
        system = {"name": f"{CID}.1", "user-name": call.query["ref"], "account": "ACCT"}
        if self.counted:
            counters = self._counters() | self.system
            system |= {key[4:].replace(".", "-"): value for key, value in counters.items()}
        if call.query["ref"] in self.frozen:
            system["status"] = FROZEN
        if self.versions is not None:
            system["m2-policy-version"] = self.versions
        headers = {f"x-oio-container-meta-sys-{key}": value for key, value in system.items()}
        user = self.user.get(call.query["ref"], {})
        call.json({"properties": user, "system": {}}, headers=headers)

    def _counters(self) -> dict[str, str]:
        held = [object for versions in self.objects.values() for object in versions]
        usage = sum(object["size"] for object in held)
        return {"sys.m2.usage": str(usage), "sys.m2.objects": str(len(held))}

    def _container_set_properties(self, call: Call) -> None:
        self.system.update(json.loads(call.body()).get("system", {}))
        super()._container_set_properties(call)

    def _container_touch(self, call: Call) -> None:
        """Recomputes nothing."""
        call.reply("204 No Content")

    def _container_list(self, call: Call) -> None:
        prefix, marker = call.query.get("prefix", ""), call.query.get("marker", "")
        names = sorted(n for n in self.objects if n.startswith(prefix) and n > marker)
        most = int(call.query.get("max", "1000"))
        first = None if "all" in call.query else -2
        asked = call.query.get("properties", "").lower() in ("1", "true")
        more = self._compared if asked else _nothing
        found = [(name, one) for name in names for one in self.objects[name][:first:-1]]
        # The next page begins after the name, whatever versions of it are missing.
        headers = {"x-oio-list-truncated": str(len(found) > most).lower()}
        if len(found) > most:
            headers["x-oio-list-marker"] = quote(found[most - 1][0], safe="")
        listed = [
            {"name": name, "size": one["size"], "deleted": False, **_identity(one), **more(one)}
            for name, one in found[:most]
        ]
        call.json({"objects": listed, "prefixes": []}, headers=headers)

    def _compared(self, object: dict[str, Any]) -> dict[str, Any]:
        """What a listing with properties has besides."""
        properties = object.get("properties")
        hash = object["meta"].get("hash") if self.hashes else ""
        return {
            "hash": hash,
            **_times(object),
            **({"properties": properties} if properties else {}),
        }

    def _container_create(self, call: Call) -> None:
        self.containers.add(call.query["ref"])
        call.reply("201 Created")

    def _content_prepare(self, call: Call) -> None:
        if "autocreate" in call.headers.get("x-oio-action-mode", ""):
            if self.prepare_creates:
                self.containers.add(call.query["ref"])
        elif call.query["ref"] not in self.containers:
            call.refuse(406, "404 Not found", "User not found")
            return
        size = int(json.loads(call.body())["size"])
        zero = {"size": self.chunk_size, "hash": "0" * 32}
        chunks = []
        for part in range(max(1, -(-size // (self.chunk_size * (self.k or 1))))):
            for number, (url, spot) in enumerate(self._places(part)):
                self.spots[url[-64:]] = spot
                chunks.append(
                    {"url": url, "real_url": url, "pos": spot, "score": 50 + number, **zero}
                )
        headers = {
            "id": call.query.get("content") or f"{self._serial:032X}",
            "name": quote(call.query["path"], errors="surrogateescape", safe=""),
            "version": str(1_700_000_000_000_000 + self._serial),
            "length": str(size),
            "policy": self.policy,
            "chunk-method": self.method,
            "mime-type": "application/octet-stream",
            **self.prepared,
        }
        told: dict[str, object] = {META + key: value for key, value in headers.items()}
        # Positions come in any order.
        call.json(chunks[::-1], headers={**told, "x-oio-ns-chunk-size": self.chunk_size})

    def _content_create(self, call: Call) -> None:
        if self._refuses(call):
            return
        body = json.loads(call.body())
        chunks = body["chunks"] if isinstance(body, dict) else body
        meta = {n.removeprefix(META): v for n, v in call.headers.items() if n.startswith(META)}
        size = int(meta["length"])
        parts = [int(str(chunk["pos"]).partition(".")[0]) for chunk in chunks]
        sizes = {part: chunk["size"] for part, chunk in zip(parts, chunks, strict=True)}
        if sum(sizes.values()) != size or min(map(parts.count, sizes)) < self.k:
            call.refuse(425, message="Content broken and irreparable")
            return
        properties = body.get("properties", {}) if isinstance(body, dict) else {}
        kept = {"size": size, "chunks": chunks, "meta": meta, "properties": properties}
        if "append" in call.query and call.query["path"] in self.objects:
            self._append(self.objects[call.query["path"]][-1], chunks, size)
            call.reply("204 No Content")
            return
        if meta["id"] in {one["meta"]["id"] for all in self.objects.values() for one in all}:
            call.refuse(421, "409 Conflict", "A content exists with this ID")
            return
        versions = self.objects.setdefault(call.query["path"], [])
        versions[:] = [*(versions if self.versions not in (None, "1") else []), kept]
        call.reply("204 No Content")

    def _append(self, object: dict[str, Any], chunks: list[dict[str, Any]], size: int) -> None:
        """The chunks after the last one; the hash of the whole is no longer known."""
        first = 1 + max(int(str(one["pos"]).partition(".")[0]) for one in object["chunks"])
        for chunk in chunks:
            number, dot, fragment = str(chunk["pos"]).partition(".")
            chunk["pos"] = f"{first + int(number)}{dot}{fragment}"
        object["chunks"] += chunks
        object["size"] += size
        object["meta"] |= {"length": str(object["size"]), "hash": ""}

    def _found(self, call: Call) -> tuple[str, dict[str, Any]] | None:
        """The object that is asked for, and its name."""
        version, id = call.query.get("version"), call.query.get("content")
        path = call.query.get("path") or next(
            (n for n, all in self.objects.items() if id in [one["meta"]["id"] for one in all]), ""
        )
        named = [
            one
            for one in self.objects.get(path, [])
            if version in (None, one["meta"]["version"]) and id in (None, one["meta"]["id"])
        ]
        if not named:
            call.refuse(420, "404 Not found", "Content not found")
            return None
        return path, named[-1]

    def _content_show(self, call: Call) -> None:
        if (found := self._found(call)) is None:
            return
        path, object = found
        headers = {META + key: value for key, value in object["meta"].items()}
        headers[META + "name"] = quote(path, errors="surrogateescape", safe="")
        headers |= {META + key: time for key, time in _times(object).items()}
        if not self.hashes:
            headers[META + "hash"] = ""
        chunks = [
            {**chunk, "real_url": chunk["url"], "score": self._score(number, chunk["url"])}
            for number, chunk in enumerate(object["chunks"])
        ]
        call.json(chunks[::-1], headers=headers)

    _content_locate = _content_show

    def _content_get_properties(self, call: Call) -> None:
        if (found := self._found(call)) is not None:
            call.json({"properties": found[1].get("properties") or {}})

    def _score(self, number: int, url: str) -> int:
        given = {self.addresses[rawx]: score for rawx, score in self.scores.items()}
        address = url.removeprefix("http://").partition("/")[0]
        return given.get(address, 100 - number % self.chunks_a_part)

    def _content_delete(self, call: Call) -> None:
        """The name alone: its chunks go later, by events."""
        if self.objects.pop(call.query["path"], None) is None:
            call.refuse(420, "404 Not found", "Content not found")
        else:
            call.reply("204 No Content")

    def _content_delete_many(self, call: Call) -> None:
        body = json.loads(call.body().decode("utf-8", "surrogateescape"))
        names = [one["name"] for one in body["contents"]]
        found = [(name, self.objects.pop(name, None)) for name in names]
        outcomes = [
            {"name": name, "status": 204 if one else 420, "message": "Gone" if one else "Not found"}
            for name, one in found
        ]
        call.json({"contents": outcomes})

    # --- what tests look at -------------------------------------------------------------------

    def routes(self) -> list[str]:
        return [call.route for call in self.calls if call.who == "proxy"]

    def put(self, path: str, data: bytes) -> None:
        """An object, put by hand."""
        step = self._part_size()
        version = str(1_700_000_000_000_000 + self._serial)
        id = f"{self._serial:032X}"
        about = {
            "container-id": CID,
            "content-path": quote(path, errors="surrogateescape", safe=""),
            "content-id": id,
            "content-version": version,
            "content-storage-policy": self.policy,
            "content-chunk-method": self.method,
        }
        about["full-path"] = "/".join(("ACCT", "docs", about["content-path"], version, id))
        chunks = []
        for number, first in enumerate(range(0, max(1, len(data)), step)):
            part = data[first : first + step]
            whole = {"metachunk-size": str(len(part)), "metachunk-hash": md5(part)}
            files = fragments(part, self.k, self.chunks_a_part - self.k) if self.k else None
            for index, (url, spot) in enumerate(self._places(number)):
                meta = {**about, **(whole if self.k else {}), "chunk-pos": spot}
                self.store(url[-64:], files[index] if files else part, meta)
                chunks.append({"url": url, "pos": spot, "size": len(part), "hash": md5(part)})
        headers = {
            "id": id,
            "version": version,
            "length": str(len(data)),
            "hash": md5(data),
            "policy": self.policy,
            "chunk-method": self.method,
        }
        versions = self.objects.get(path, []) if self.versions not in (None, "1") else []
        kept = {"size": len(data), "chunks": chunks, "meta": headers}
        self.objects[path] = [*versions, kept]

    def _part_size(self) -> int:
        """The bytes of a part: of a metachunk whole segments, if it has more than one."""
        size = self.chunk_size * (self.k or 1)
        return size // SEGMENT * SEGMENT if self.k and size > SEGMENT else size

    def _places(self, part: int) -> Iterator[tuple[str, str]]:
        """The url and the position of each chunk of a part, each at a rawx of its own."""
        for number in range(self.chunks_a_part):
            yield self.fresh(part + number), f"{part}.{number}" if self.k else str(part)

    def content(self, path: str) -> bytes:
        """An object, joined from one copy of each position, or from its data fragments."""
        parts = {
            str(chunk["pos"]): self.chunks[chunk["url"][-64:]]
            for chunk in self.objects[path][-1]["chunks"]
        }
        if not self.k:
            return b"".join(parts[number] for number in sorted(parts, key=int))
        numbers = sorted({int(pos.partition(".")[0]) for pos in parts})
        groups = ([parts[f"{number}.{index}"] for index in range(self.k)] for number in numbers)
        return b"".join(map(_joined, groups))


def _identity(object: dict[str, Any]) -> dict[str, Any]:
    """What a listing reports of a version besides its size."""
    return {"content": object["meta"].get("id"), "version": int(object["meta"].get("version", 0))}


def _times(object: dict[str, Any]) -> dict[str, str]:
    """A version is the time of its creation, in microseconds."""
    time = object["meta"].get("mtime", object["meta"].get("version"))
    return {"ctime": time, "mtime": time}


def _nothing(object: dict[str, Any]) -> dict[str, Any]:
    return {}


def fragments(data: bytes, k: int, m: int) -> list[bytes]:
    """The chunk files of a metachunk."""
    from rdctl.oio.erasure.codec import Codec  # heavy, and not needed for plain objects

    segments = [data[first : first + SEGMENT] for first in range(0, len(data), SEGMENT)]
    encoded = [Codec(k, m).encode(segment) for segment in segments]
    return [b"".join(one[index] for one in encoded) for index in range(k + m)]


def _joined(files: list[bytes]) -> bytes:
    """The bytes of a metachunk: its data fragments are cut from it, each with a header."""
    found, at = bytearray(), 0
    while at < len(files[0]):
        each, _, length = struct.unpack_from("<IIQ", files[0], at + 4)
        payloads = b"".join(file[at + 80 : at + 80 + each] for file in files)
        found += payloads[:length]
        at += 80 + each
    return bytes(found)


_ANYWHERE = ("conscience/info", "conscience/list", "content/prepare", "container/create")


def slowly(call: Call, size: int = 10, pause: float = 0.01) -> None:
    """A chunk, in small pieces."""
    data = call.sds.chunks[call.chunk]
    first, last = map(int, call.headers["range"][6:].split("-"))
    part = data[first : last + 1]
    call.reply("206 Partial Content", {}, length=len(part))
    for start in range(0, len(part), size):
        call.send(part[start : start + size])
        time.sleep(pause)


__all__ = ["CHUNK", "Call", "Fault", "Sds", "fragments", "md5", "on", "slowly"]
