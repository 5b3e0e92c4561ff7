"""What the peer of the benchmarks answers: as much of an oio-proxy 4.2, a rawx and a rapiddiskd as
the benchmarks ask for, in the shapes that real ones were recorded with (see `tests/wire`).

Objects hold one block of bytes over and over, so that any of them is there without being kept.
"""

from __future__ import annotations

import functools
import hashlib
import json
import random
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from rdctl.oio.erasure.codec import Codec

BLOCK = random.Random(1).randbytes(1 << 20)
NAMESPACE = "OPENIO"
CREATED = 1795293369
# Of an object or chunk: its MD5 takes a second for half of this.
MOST_SIZE = 1 << 30
_CHUNK = re.compile("/[0-9A-F]{64}")
_METHODS = {
    "SINGLE": "plain/nb_copy=1",
    "EC": "ec/algo=liberasurecode_rs_vand,k=6,m=3",
}
K, M = 6, 3
_SYSTEM = {
    "account": "ACCT",
    "m2.ctime": f"{CREATED}500368",
    "m2.init": "1",
    "m2.objects": "0",
    "m2.usage": "0",
    "m2.version": "9",
    "name": "692E62EFCEBAAD95365C3F14370AE0FA8CBD50B523FCF9980D2B35363850CE03.1",
    "ns": NAMESPACE,
    "status": "0",
    "type": "meta2",
}
_VOLUMES = {
    "volumes": [
        {
            "rapiddisk": [
                {"device": "rd1", "size": 33554432, "usage": 0, "status": "unlocked"},
                {"device": "rd2", "size": 16777216, "usage": 0, "status": "unlocked"},
                {"device": "rd0", "size": 67108864, "usage": 0, "status": "unlocked"},
            ]
        },
        {"rapiddisk_cache": []},
    ]
}


def data(size: int) -> bytes:
    """The bytes of an object or chunk of that size."""
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


@functools.cache
def fragments() -> list[bytes]:
    """The fragments of a segment, which is BLOCK in all objects of whole MiB. tests/oio/erasure
    compares the codec with fragments that OpenIO wrote."""
    return Codec(K, M).encode(BLOCK)


@functools.cache
def data_md5(size: int, block: bytes = BLOCK) -> str:
    """The MD5 of `data(size)`, or of another block over and over, in hexadecimal, found without
    all of it in memory."""
    whole, rest = divmod(size, len(block))
    digest = hashlib.md5()
    for _ in range(whole):
        digest.update(block)
    digest.update(block[:rest])
    return digest.hexdigest().upper()


class Request(NamedTuple):
    """A request whose body is read; that of a chunk is not kept, but `length` and `md5` are."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    length: int
    md5: str


class Answer(NamedTuple):
    """`chunk` is a range of bytes of `data` in place of a body, or of another block over and
    over."""

    status: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    chunk: range | None = None
    block: bytes = BLOCK


class Stored(NamedTuple):
    """An object that was put."""

    size: int
    hash: str
    content_id: str
    version: str
    mime_type: str
    chunks: list[dict[str, Any]]
    policy: str = "SINGLE"
    properties: Mapping[str, str] = {}


def _json(value: Any, headers: Mapping[str, str] | None = None) -> Answer:
    # A proxy writes `\/`.
    body = json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode()
    return Answer("200 OK", {"Content-Type": "application/json", **(headers or {})}, body)


def _refusal(http: str, status: int, message: str) -> Answer:
    return _json({"status": status, "message": message})._replace(status=http)


NO_HANDLER = _refusal("404 No handler found", 404, "No handler found")


class Answers:
    """All that is known and answered. `chunk_size` bytes go into a chunk of a new object."""

    def __init__(self, chunk_size: int) -> None:
        self.url = ""
        self._chunk_size = chunk_size
        self._serial = 0
        self._objects: dict[str, dict[str, Stored]] = {}
        proxy: dict[str, Callable[[Request, dict[str, str]], Answer]] = {
            "GET container/list": self._list,
            "GET container/show": self._show_container,
            # Of OpenIO's own client.
            "POST container/get_properties": self._get_container_properties,
            "GET content/locate": self._show,
            "POST container/create": lambda request, query: Answer("201 Created"),
            "POST container/create_many": self._create_many,
            "POST content/prepare": self._prepare,
            "POST content/create": self._create,
            "GET content/show": self._show,
            "POST content/get_properties": self._get_properties,
            "POST content/delete": self._delete,
        }
        self._proxy = {
            f"{method} /v3.0/{NAMESPACE}/{path}": answer
            for (method, path), answer in ((key.split(), proxy[key]) for key in proxy)
        }
        # rapiddiskd does not say what kind of text it sends.
        self._daemon = {
            "GET /v1/checkServiceStatus": {"status": "OK", "version": "9.2.0"},
            "GET /v1/listRapidDiskVolumes": _VOLUMES,
            "GET /v1/listAllNVMeTargets": {"targets": [{"nvmet_targets": []}, {"nvmet_ports": []}]},
        }

    def answer(self, request: Request) -> Answer:
        path, _, query = request.target.partition("?")
        key = f"{request.method} {path}"
        if key in self._proxy:
            return self._proxy[key](request, dict(parse_qsl(query)))
        if key in self._daemon:
            return Answer("200 OK", {}, json.dumps(self._daemon[key]).encode())
        if key == "GET /v3.0/status":
            return Answer("200 OK", {"Content-Type": "text/x-java-properties"}, b"uptime = 1\n")
        if is_chunk(path):
            return self._chunk(request, path)
        return NO_HANDLER

    # --- containers ---------------------------------------------------------------------------

    def _list(self, request: Request, query: dict[str, str]) -> Answer:
        """A container whose name is a number has so many objects; others what was put there."""
        name, most = query["ref"], int(query.get("max", "1000"))
        if name.isdecimal():
            objects, last = _generated(int(name), query, most)
        else:
            objects, last = self._kept(self._objects.get(name, {}), query, most)
        system = json.dumps({f"sys.{key}": value for key, value in _system(name).items()})
        body = f'{{"prefixes":[],"properties":{{}},"system":{system},"objects":[{objects}]}}'
        headers = {"x-oio-list-truncated": "true" if last else "false", **_system_headers(name)}
        if last:
            headers["x-oio-list-marker"] = quote(last, safe="")
        headers["Content-Type"] = "application/json"
        return Answer("200 OK", headers, body.encode())

    def _kept(self, kept: dict[str, Stored], query: dict[str, str], most: int) -> tuple[str, str]:
        prefix, marker = query.get("prefix", ""), query.get("marker", "")
        names = sorted(name for name in kept if name.startswith(prefix))
        start = bisect_right(names, marker)
        page = names[start : start + most]
        entries = [
            {
                "name": name,
                "version": int(kept[name].version),
                "ctime": CREATED,
                "mtime": CREATED,
                "deleted": False,
                "content": kept[name].content_id,
                "policy": kept[name].policy,
                "hash": kept[name].hash,
                "size": kept[name].size,
                "mime-type": kept[name].mime_type,
                **({"properties": kept[name].properties} if kept[name].properties else {}),
            }
            for name in page
        ]
        last = page[-1] if start + most < len(names) else ""
        return _json(entries).body.decode()[1:-1], last

    def _show_container(self, request: Request, query: dict[str, str]) -> Answer:
        return _json({"properties": {}}, _system_headers(query["ref"]))

    def _get_container_properties(self, request: Request, query: dict[str, str]) -> Answer:
        system = {f"sys.{key}": value for key, value in _system(query["ref"]).items()}
        return _json({"properties": {}, "system": system})

    def _create_many(self, request: Request, query: dict[str, str]) -> Answer:
        wanted = json.loads(request.body)["containers"]
        if len(wanted) > 100:
            return _refusal("413 Too many", 413, "Too many items")
        made = [{"name": item["name"], "status": 201, "message": "ok"} for item in wanted]
        return _json({"containers": made})

    # --- contents -----------------------------------------------------------------------------

    def _prepare(self, request: Request, query: dict[str, str]) -> Answer:
        wanted = json.loads(request.body)
        size, policy = int(wanted["size"]), wanted.get("policy") or "SINGLE"
        self._serial += 1
        each = self._chunk_size * (K if policy == "EC" else 1)
        chunks = []
        for position in range(max(1, -(-size // each))):
            held = min(each, size - position * each)
            for id, pos in _chunks_of(policy, position, held):
                url = f"{self.url}/{self._serial:016X}{id}"
                chunks.append(_chunk(url, pos, self._chunk_size, "0" * 32))
        version = f"{CREATED}{self._serial:06}"
        stored = Stored(size, "", f"{self._serial:032X}", version, "", chunks, policy)
        return _content(query["path"], stored, {"x-oio-ns-chunk-size": str(self._chunk_size)})

    def _create(self, request: Request, query: dict[str, str]) -> Answer:
        body = json.loads(request.body)
        chunks = body["chunks"] if isinstance(body, dict) else body
        meta = {
            name.removeprefix("x-oio-content-meta-"): value
            for name, value in request.headers.items()
        }
        size = int(meta["length"])
        # All fragments of a metachunk have its size.
        sizes = {chunk["pos"].partition(".")[0]: chunk["size"] for chunk in chunks}
        if sum(sizes.values()) != size:
            return _refusal("500 Internal", 425, "Content broken and irreparable")
        self._objects.setdefault(query["ref"], {})[query["path"]] = Stored(
            size,
            meta.get("hash", ""),
            meta["id"],
            meta["version"],
            meta.get("mime-type", "application/octet-stream"),
            [_chunk(chunk["url"], chunk["pos"], chunk["size"], chunk["hash"]) for chunk in chunks],
            meta.get("policy", "SINGLE"),
            body.get("properties", {}) if isinstance(body, dict) else {},
        )
        return Answer("204 No Content")

    def _show(self, request: Request, query: dict[str, str]) -> Answer:
        stored = self._stored(query)
        if stored is None:
            return _refusal("404 Not found", 420, "Alias not found")
        return _content(query["path"], stored)

    def _get_properties(self, request: Request, query: dict[str, str]) -> Answer:
        stored = self._stored(query)
        if stored is None:
            return _refusal("404 Not found", 420, "Alias not found")
        return _json({"properties": stored.properties})

    def _stored(self, query: dict[str, str]) -> Stored | None:
        name = query["ref"]
        if name.isdecimal():
            return self._generated(int(query["path"].removeprefix("object-")))
        return self._objects.get(name, {}).get(query["path"])

    def _generated(self, number: int) -> Stored:
        """An object of a generated listing, of one chunk."""
        entry = json.loads(entry_of(number))
        size, version = entry["size"], str(entry["version"])
        url = f"{self.url}/{number:016X}{0:016X}{size:032X}"
        chunks = [_chunk(url, "0", size, data_md5(size))]
        return Stored(size, data_md5(size), entry["content"], version, "", chunks)

    def _delete(self, request: Request, query: dict[str, str]) -> Answer:
        if self._objects.get(query["ref"], {}).pop(query["path"], None) is None:
            return _refusal("404 Not found", 420, "Alias not found")
        return Answer("204 No Content")

    # --- chunks -------------------------------------------------------------------------------

    def _chunk(self, request: Request, path: str) -> Answer:
        size, block = int(path[33:], 16), block_of(path)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.startswith("x-oio-chunk-meta-")
        }
        if request.method == "PUT":
            headers["X-oio-chunk-meta-chunk-size"] = str(request.length)
            headers["X-oio-chunk-meta-chunk-hash"] = request.md5
            return Answer("201 Created", headers, b"<html>Created</html>\n")
        if request.method == "DELETE":
            return Answer("204 No Content")
        if size > MOST_SIZE:  # an id that is not from here
            return Answer("404 Not Found", {}, b"<html>Not Found</html>\n")
        headers["X-oio-chunk-meta-chunk-size"] = str(size)
        headers["X-oio-chunk-meta-chunk-hash"] = data_md5(size, block)
        asked = _range(request.headers.get("range", ""), size)
        if asked is None:
            return Answer("200 OK", headers, chunk=range(size), block=block)
        headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{size}"
        return Answer("206 Partial Content", headers, chunk=asked, block=block)


def _chunks_of(policy: str, position: int, held: int) -> list[tuple[str, str]]:
    """The ends of the ids of the chunks of a position, and their places. The id of a
    chunk says what it holds, which a real rawx would look up: the index of a fragment plus 1, and
    the size."""
    if policy != "EC":
        return [(f"{position:016X}{held:032X}", str(position))]
    size = held // len(BLOCK) * len(fragments()[0])
    return [
        (f"{number + 1:08X}{position:08X}{size:032X}", f"{position}.{number}")
        for number in range(K + M)
    ]


def block_of(path: str) -> bytes:
    """What a chunk holds over and over."""
    number = int(path[17:25], 16)
    return fragments()[number - 1] if 0 < number <= K + M else BLOCK


def is_chunk(path: str) -> bool:
    return _CHUNK.fullmatch(path) is not None


def _range(text: str, size: int) -> range | None:
    """`bytes=5-9`, `bytes=5-`, `bytes=-4` as a range of positions."""
    first, dash, last = text.removeprefix("bytes=").partition("-")
    if not dash:
        return None
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1) if last else size)


def _system(name: str) -> dict[str, str]:
    return {**_SYSTEM, "user.name": name}


def _system_headers(name: str) -> dict[str, str]:
    return {
        f"x-oio-container-meta-sys-{key.replace('.', '-')}": quote(value, safe="")
        for key, value in _system(name).items()
    }


# One object of a generated listing; all that differs between real ones differs here.
_ENTRY = (
    '{%s"name":"object-%09d","version":%d%06d,"ctime":%d,"mtime":%d,'
    '"deleted":false,"content":"%032X","policy":"SINGLE","hash":"%032X","size":%d,'
    '"mime-type":"application\\/octet-stream"}'
)


def entry_of(number: int, with_properties: bool = False) -> str:
    moment = CREATED + number
    more = f'"properties":{{"x-object-meta-mtime":"{moment}"}},' if with_properties else ""
    ids, size = (number + 2**90, number + 2**100), 4096 + number % 977
    return _ENTRY % (more, number, moment, number % 10**6, moment, moment, *ids, size)


def _generated(count: int, query: dict[str, str], most: int) -> tuple[str, str]:
    """A page of a listing of `count` objects as JSON, and the marker behind it."""
    marker = query.get("marker", "")
    # A marker may be the start of a name, which comes before it.
    number, digits = marker.removeprefix("object-"), 9
    start = int(number) + 1 if len(number) == digits else int(number.ljust(digits, "0"))
    end = min(count, start + most)
    with_properties = query.get("properties", "").lower() in ("1", "true")
    page = ",".join(entry_of(number, with_properties) for number in range(start, end))
    return page, f"object-{end - 1:09}" if end < count else ""


def _chunk(url: str, position: str, size: int, md5: str) -> dict[str, Any]:
    return {
        "url": url,
        "real_url": url,
        "pos": position,
        "size": size,
        "hash": md5,
        "score": 49,
    }


def _content(path: str, stored: Stored, also: Mapping[str, str] | None = None) -> Answer:
    """The reply of prepare and show; chunk urls are the one text with a bare `/`."""
    meta = {
        "id": stored.content_id,
        "name": quote(path),
        "version": stored.version,
        "length": str(stored.size),
        "hash": stored.hash,
        "hash-method": "md5",
        "mime-type": stored.mime_type or "application/octet-stream",
        "ctime": str(CREATED),
        "mtime": str(CREATED),
        "deleted": "False",
        "policy": stored.policy,
        "chunk-method": _METHODS[stored.policy],
    }
    headers = {f"x-oio-content-meta-{key}": unquote(value) for key, value in meta.items()}
    headers["x-oio-content-meta-name"] = meta["name"]
    lines = [json.dumps(chunk, separators=(",", ":")) for chunk in stored.chunks]
    body = ("[" + ",\n".join(lines) + "]").encode()
    return Answer("200 OK", {"Content-Type": "application/json", **headers, **(also or {})}, body)
