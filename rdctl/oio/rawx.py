"""Chunks, one at a time, at the rawx services that hold them.

A rawx keeps connections alive, and needs no token. A chunk is known by its url; if a `real_url` is
given, it is reached there.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import raw_bytes
from rdctl.net.messages import Blocks, Reply
from rdctl.net.transport import Transport
from rdctl.oio.bodies import escaped
from rdctl.oio.model import Content, Place
from rdctl.oio.silence import Silence

META = "x-oio-chunk-meta-"
_KEEP_ALIVE = {"Connection": "keep-alive"}
_HOST = r"(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^][:/?#@\x00-\x20\x7f]+)"
_URL = re.compile(rf"http://({_HOST}(?::(\d{{1,5}}))?)/([^/?#\x00-\x1f\x7f]+)", re.A)
_MD5 = re.compile("[0-9A-F]{32}")
_REFUSED = {
    404: (Code.NOT_FOUND, "chunk not found"),
    409: (Code.EXISTS, "a chunk with that id already exists"),
    412: (Code.BAD_REPLY, "the chunk is damaged: its size or hash is not that which was stored"),
    416: (Code.BAD_REPLY, "the chunk is shorter than the proxy reports"),
    # Of a Go rawx that is asked by a name which is not its own.
    418: (Code.UNAVAILABLE, "the rawx at this address has another name"),
    422: (Code.BAD_REPLY, "data corrupted in transit"),
    507: (Code.UNAVAILABLE, "no space left on the service"),
}
_HINTS = {
    400: "The rawx may be of a version that expects other headers; see its log.",
    418: "It may have moved: rdctl oio conscience list rawx",
    500: "See its log.",
    507: "See which services have space: rdctl oio conscience list rawx --full",
}


class Copy(NamedTuple):
    """One chunk at one rawx: `url` is its name, `address` and `path` are where it is reached, `pos`
    is its position in the object: `0`, or `0.3` for fragment 3 of metachunk 0."""

    url: str
    address: str
    path: str
    pos: str = ""

    @property
    def id(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def real_url(self) -> str:
        """The url at which it is reached."""
        return f"http://{self.address}{self.path}"

    @property
    def urls(self) -> dict[str, str]:
        """The keys of the proxy's list that `copy_of` reads."""
        apart = self.real_url != self.url
        return {"url": self.url} | ({"real_url": self.real_url} if apart else {})

    @property
    def fragment(self) -> int:
        """The index of a fragment, from 0; 0 for a replica."""
        return int(self.pos.partition(".")[2] or 0)


class Held(NamedTuple):
    """What a rawx reports about a chunk: bytes, hash in upper case, id; None: not reported. A hash
    that is not an MD5 uses another algorithm, and cannot be compared.

    `size` is what was recorded when the chunk was stored, `length` what its file has now. `meta`
    are all headers about it, as received, by their names without the prefix.
    """

    size: int | None
    hash: str | None
    id: str | None
    length: int | None = None
    meta: Mapping[str, str] = MappingProxyType({})

    @property
    def md5(self) -> str | None:
        return reported_md5(self.hash)

    @property
    def content_id(self) -> str | None:
        """The object that it belongs to."""
        return self.meta.get("content-id")

    def is_conclusive(self, size: int) -> bool:
        """Whether it proves, without another request, that a chunk of that size exists."""
        return self.md5 is not None or (self.hash is not None and self.size == size)


def reported_md5(value: object) -> str | None:
    """An MD5 in upper case; None for anything else."""
    text = str(value or "").upper()
    return text if _MD5.fullmatch(text) else None


def copy_of(chunk: Mapping[str, object]) -> Copy:
    """The chunk that an entry of the proxy's list is; `bad-reply`."""
    url = str(chunk["url"])
    match = _URL.fullmatch(str(chunk.get("real_url") or url))
    if match is None or "/" not in url or int(match[2] or 80) not in range(1, 65536):
        raise RdctlError(Code.BAD_REPLY, f"invalid chunk URL from the proxy: {url!r}")
    return Copy(url, match[1], f"/{match[3]}", str(chunk.get("pos", "")))


def predicted_id(cid: str, path: str, version: int | None, policy: str | None, pos: str) -> str:
    """The ID that proxies from 7 on give to a chunk. A meta2 2025 stores no IDs, and lists every
    chunk under this one."""
    name = f"{cid}{path}{version}{pos}{policy}"
    return hashlib.sha256(raw_bytes(name)).hexdigest().upper()


# Limit for replies that are not chunks: they are small, and many arrive at a time.
_MOST_REPLY = 1 << 20


class Owner(NamedTuple):
    """The container of an object, by all its names."""

    account: str
    container: str
    cid: str


def full_path(account: str, container: str, path: str, version: str, content_id: str) -> str:
    """The object that a chunk belongs to, by all its names."""
    return "/".join(map(escaped, (account, container, path, version, content_id)))


def chunk_headers(content: Content, place: Place, owner: Owner) -> dict[str, str]:
    """The headers about the object of a chunk, without those about the chunk itself."""
    path = place.path or content.path
    version, content_id = str(content.version or ""), content.content_id or ""
    headers = {
        "container-id": owner.cid,
        "content-id": content_id,
        "content-path": quote(raw_bytes(path), safe="/"),
        "content-version": version,
        "content-storage-policy": content.policy or "",
        "content-chunk-method": content.chunk_method or "plain/nb_copy=1",
        "full-path": full_path(owner.account, owner.container, path, version, content_id),
        "oio-version": "4.2",
    }
    return {META + name: value for name, value in headers.items() if value}


class Rawx:
    """The rawx services of a namespace; `reach` makes a transport to one of them (IP:PORT)."""

    def __init__(self, reach: Callable[[str], Transport]) -> None:
        self._reach = reach
        # For callers that can use another service instead.
        self.silence = Silence()
        self._transports: dict[str, Transport] = {}
        self._lock = threading.Lock()

    def put(
        self,
        copy: Copy,
        headers: Mapping[str, str],
        body: Blocks,
        *,
        what: str,
        seconds: float,
        check: Callable[[], None],
        step: bool = True,
    ) -> Held:
        """PUT /ID: store a chunk. Only 201 means that it was stored; anything else is an error.
        `seconds` bounds each wait. An exception from `check` ends it; `step`: as in Effect."""
        reply = self._to(copy).change(
            copy.path,
            method="PUT",
            headers={**_KEEP_ALIVE, **headers},
            body=body,
            seconds=seconds,
            what=what,
            shows="rdctl oio conscience list rawx",
            assume=Reply(201, "Assumed", {f"{META}chunk-hash": _ASSUMED}, b""),
            step=step,
            check=check,
        )
        _refused(reply, copy)
        if reply.status != 201:
            raise _fault(copy, Code.BAD_REPLY, "not stored: unexpected status", reply.status)
        return _held(reply, reply.headers.get(f"{META}chunk-size"))

    def link(
        self,
        copy: Copy,
        to: Copy,
        owner: str,
        *,
        what: str,
        seconds: float,
        check: Callable[[], None],
    ) -> None:
        """COPY /ID: give a chunk a second name on the same service, as a chunk of the object whose
        full path is `owner`. The bytes are shared; deleting one name keeps the other. Only 201
        means that it was done."""
        reply = self._to(copy).change(
            copy.path,
            method="COPY",
            headers={
                **_KEEP_ALIVE,
                "Destination": f"http://{copy.address}{to.path}",
                f"{META}full-path": owner,
            },
            seconds=seconds,
            what=what,
            shows="rdctl oio conscience list rawx",
            assume=Reply(201, "Assumed", {}, b""),
            step=True,
            check=check,
        )
        _refused(reply, copy)
        if reply.status != 201:
            raise _fault(copy, Code.BAD_REPLY, "not linked: unexpected status", reply.status)

    def head(self, copy: Copy, *, seconds: float, check: Callable[[], None]) -> Held:
        """HEAD /ID: what the rawx holds."""
        reply = self._to(copy).read(
            copy.path, method="HEAD", headers=_KEEP_ALIVE, seconds=seconds, check=check
        )
        _refused(reply, copy)
        length = reply.headers.get("Content-Length", "0")  # of an empty chunk it is not reported
        held = _held(reply, reply.headers.get(f"{META}chunk-size", length))
        return held._replace(length=_number(length))

    def get(
        self,
        copy: Copy,
        first: int,
        into: memoryview,
        *,
        check: Callable[[], None],
        repeatable: bool,
    ) -> Held:
        """GET /ID: fill the buffer with the chunk's bytes from `first` on; what the rawx reports
        about the chunk. An exception from `check` ends it."""
        reply = self._to(copy).read(
            copy.path,
            headers={**_KEEP_ALIVE, "Range": f"bytes={first}-{first + len(into) - 1}"},
            repeatable=repeatable,
            into=into,
            check=check,
        )
        _refused(reply, copy)
        if reply.status != 206 and first:
            raise _fault(copy, Code.BAD_REPLY, "range requests not supported", reply.status)
        if reply.filled != len(into):
            message = f"received {reply.filled} of {len(into)} bytes"
            raise _fault(copy, Code.BAD_REPLY, message, reply.status)
        length = reply.headers.get("Content-Range", "").rpartition("/")[2]
        held = _held(reply, reply.headers.get(f"{META}chunk-size"))
        return held._replace(length=_number(length))

    def delete(self, copy: Copy, seconds: float) -> bool:
        """DELETE /ID: a chunk of an upload that failed; returns whether it existed. It has its own
        `seconds`, even after the deadline."""
        reply = (
            self._to(copy)
            .afterwards(seconds)
            .change(
                copy.path,
                method="DELETE",
                headers=_KEEP_ALIVE,
                what=f"delete the chunk {copy.url}",
                shows="rdctl oio conscience list rawx",
                seconds=seconds,
                step=True,
            )
        )
        if reply.status == 404:
            return False
        _refused(reply, copy)
        return True

    def _to(self, copy: Copy) -> Transport:
        with self._lock:
            if copy.address not in self._transports:
                transport = self._reach(copy.address)
                transport.most = _MOST_REPLY
                self._transports[copy.address] = transport
            return self._transports[copy.address]


# In a dry run.
_ASSUMED = "0" * 32


def _held(reply: Reply, size: str | None) -> Held:
    names = ((name.lower(), value) for name, value in reply.headers.items())
    meta = {name.removeprefix(META): value for name, value in names if name.startswith(META)}
    hash = meta.get("chunk-hash")
    return Held(
        size=_number(size),
        hash=hash.upper() if hash else None,
        id=meta.get("chunk-id"),
        meta=meta,
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch("[0-9]{1,18}", text) else None


def _refused(reply: Reply, copy: Copy) -> None:
    if reply.status >= 300:
        code, words = _REFUSED.get(reply.status, (Code.FAILED, "request refused"))
        raise _fault(copy, code, words, reply.status)


def _fault(copy: Copy, code: Code, words: str, http_status: int) -> RdctlError:
    message = f"{copy.url}: {words} (HTTP {http_status})"
    return RdctlError(code, message, hint=_HINTS.get(http_status), http_status=http_status)
