"""Contents (content/): what the names of a container stand for, version by version."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from rdctl.sandbox.oio import base, conscience, directory, properties
from rdctl.sandbox.oio.base import Access
from rdctl.sandbox.oio.replies import (
    ALIAS_NOT_FOUND,
    CONTAINER_FROZEN,
    Fault,
    answer,
    argument,
    bad_request,
    content,
    empty,
    field,
    object_argument,
    status_of,
    strings,
)
from rdctl.sandbox.oio.state import CHUNK_SIZE, new_id, now, setting
from rdctl.sandbox.oio.wsgi import Reply, Request, dumps, raw, text

PATH_BYTES = 1023
_MOST_POSITIONS = 1 << 16  # of one prepare: 64 GiB, the sandbox's own limit
_META = "x-oio-content-meta-"
_NO_PATH = "Missing path and content"


class Chunk(NamedTuple):
    url: str
    pos: str
    size: int
    hash: str


# Which content is meant


def _path(request: Request) -> bytes:
    """The name; empty when it is missing or longer than the servers take."""
    path = raw(request.query.get("path", ""))
    return path if len(path) <= PATH_BYTES else b""


def _version(request: Request) -> int | None:
    given = request.query.get("version")
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", given):
        raise bad_request("Invalid parameter 'version', not a number")
    return int(given)


def _named(request: Request, complaint: str = _NO_PATH) -> None:
    if not _path(request) and not request.query.get("content"):
        raise bad_request(complaint)


def _aliases(connection: sqlite3.Connection, cid: str, request: Request) -> list[sqlite3.Row]:
    """The versions that the request may mean, the latest first; beside a path an id counts for
    nothing."""
    path = _path(request)
    conditions: list[tuple[str, object]] = [
        ("a.cid = ?", cid),
        ("a.name = ?", path),
        ("a.content = ?", "" if path else request.query.get("content", "").upper()),
        ("a.version = ?", _version(request)),
    ]
    given = [pair for pair in conditions if pair[1] not in (b"", "", None)]
    where = " AND ".join(condition for condition, _ in given)
    return base.aliases(connection, where, [value for _, value in given]).fetchall()


def _find(connection: sqlite3.Connection, cid: str, request: Request) -> sqlite3.Row:
    """The latest version, or the one that was asked for; Fault 420 or 426."""
    found = _aliases(connection, cid, request)
    if not found:
        raise Fault(ALIAS_NOT_FOUND, "Alias not found")
    if found[0]["deleted"]:
        raise Fault(426, "Alias deleted")
    alias: sqlite3.Row = found[0]
    return alias


def _chunks(connection: sqlite3.Connection, cid: str, content_id: str) -> list[Chunk]:
    rows = connection.execute(
        "SELECT url, pos, size, hash FROM oio_chunks WHERE cid = ? AND content = ?",
        (cid, content_id),
    )
    return [Chunk(*row) for row in rows]


def _position(pos: str) -> int:
    """The position of a chunk's metachunk: 3 of "3", and of "3.1" for erasure coding."""
    number = pos.split(".")[0]
    return int(number) if re.fullmatch(r"[0-9]{1,18}", number) else 0


def _length(chunks: Iterable[Chunk]) -> int:
    """The bytes in one copy of each position."""
    return sum({_position(chunk.pos): chunk.size for chunk in chunks}.values())


# How a content is shown


def _headers(
    connection: sqlite3.Connection, cid: str, alias: sqlite3.Row, *, user: bool
) -> list[tuple[str, str]]:
    system = {
        "chunk-method": alias["method"],
        "ctime": alias["ctime"],
        "deleted": str(bool(alias["deleted"])),
        "hash": alias["hash"],
        "hash-method": "md5",
        "id": alias["content"],
        "length": alias["size"],
        "mime-type": alias["mime"],
        "mtime": alias["mtime"],
        "name": base.escaped(text(alias["name"])),
        "policy": alias["policy"],
        "version": alias["version"],
    }
    headers = [(f"{_META}{key}", str(value)) for key, value in system.items()]
    if user:
        owner = properties.of_content(cid, alias["name"], alias["version"])
        headers += [
            (f"{_META}{base.header_name(key)}", base.escaped(value))
            for key, value in properties.get(connection, owner).items()
            if key not in system
        ]
    return headers


def _shown_chunks(connection: sqlite3.Connection, chunks: Iterable[Chunk]) -> bytes:
    """The array as the proxy writes it, in no order: a line a chunk, slashes as they are."""
    scores = {service.address: service.score for service in conscience.services(connection)}
    shown = [
        dumps(
            {
                "url": chunk.url,
                "real_url": chunk.url,
                "pos": chunk.pos,
                "size": chunk.size,
                "hash": chunk.hash,
                "score": scores.get(_host(chunk.url), 0),
            },
            slashes=False,
        )
        for chunk in chunks
    ]
    random.shuffle(shown)
    return b"[" + b",\n".join(shown) + b"]"


def _host(url: str) -> str:
    return url.removeprefix("http://").split("/")[0]


# Reading


def show(connection: sqlite3.Connection, request: Request) -> Reply:
    _named(request)
    cid = base.locate(connection, request, Access.READ)
    alias = _find(connection, cid, request)
    if alias["drained"]:
        raise Fault(427, "The content is drained")
    user = request.query.get("properties", "1") not in ("0", "false", "no", "off")
    chunks = _chunks(connection, cid, alias["content"])
    headers = _headers(connection, cid, alias, user=user)
    return content(_shown_chunks(connection, chunks), headers)


def get_properties(connection: sqlite3.Connection, request: Request) -> Reply:
    argument(request)  # a filter, ignored
    _named(request)
    cid = base.locate(connection, request, Access.READ)
    alias = _find(connection, cid, request)
    owner = properties.of_content(cid, alias["name"], alias["version"])
    headers = _headers(connection, cid, alias, user=False)
    return answer({"properties": properties.get(connection, owner)}, headers)


# Writing


def prepare(connection: sqlite3.Connection, request: Request) -> Reply:
    """Where to put the chunks of a content of that size, policy and name. Nothing is stored."""
    value = argument(request)
    value = value if isinstance(value, dict) else {}
    size = _size(value.get("size"))
    path = _path(request)
    if not path:
        raise bad_request("Missing path")
    _autocreate(connection, request)
    cid = base.locate(connection, request, Access.PROPERTIES)
    values = properties.get(connection, properties.of_base(cid))
    if values.get("sys.status") == base.FROZEN:  # a disabled one still answers
        raise Fault(CONTAINER_FROZEN, "Invalid status")
    quota = base.integer(values.get("sys.m2.quota"))
    if 0 < quota <= base.integer(values.get("sys.m2.usage")):
        raise Fault(445, f"Container's quota reached ({quota} bytes)")
    name = str(value.get("policy") or base.storage_policy(connection, values))
    policy = conscience.policy(name)
    if policy is None:
        raise Fault(480, f"Invalid policy [{name}]")
    positions = max(1, -(-size // CHUNK_SIZE))
    if positions > _MOST_POSITIONS:
        raise Fault(413, f"More than {_MOST_POSITIONS * CHUNK_SIZE} bytes")
    chunks = [
        Chunk(base.new_chunk_url(address), str(position), CHUNK_SIZE, "0" * 32)
        for position in range(positions)
        for address in _rawx(connection, policy, position)
    ]
    seconds = now() // 1_000_000
    headers = [
        ("x-oio-ns-chunk-size", str(CHUNK_SIZE)),
        (f"{_META}chunk-method", policy.method),
        (f"{_META}ctime", str(seconds)),
        (f"{_META}deleted", "False"),
        (f"{_META}hash", ""),
        (f"{_META}hash-method", "md5"),
        (f"{_META}id", new_id(32)),
        (f"{_META}length", str(size)),
        (f"{_META}mime-type", "application/octet-stream"),
        (f"{_META}mtime", str(seconds)),
        (f"{_META}name", base.escaped(text(path))),
        (f"{_META}policy", name),
        (f"{_META}version", str(now())),
    ]
    return content(_shown_chunks(connection, chunks), headers)


def _size(given: object) -> int:
    if given is None:
        raise bad_request("Missing size estimation")
    written = str(given) if type(given) in (int, str) else ""
    if not re.fullmatch(r"[0-9]{1,18}", written):
        raise bad_request("Invalid size format")
    return int(written)


def _rawx(connection: sqlite3.Connection, policy: conscience.Policy, position: int) -> list[str]:
    targets = conscience.targets_for(connection, policy)
    try:
        chosen = conscience.poll(connection, targets, pool=policy.pool)
    except Fault as fault:
        raise Fault(fault.status, f"at position {position}: {fault.message}") from fault
    return [service.address for service in chosen]


def _autocreate(connection: sqlite3.Connection, request: Request) -> None:
    if request.flag("autocreate"):
        base.create(connection, *directory.names_of(request, "Directory error"), {}, {})


class _Described(NamedTuple):
    """What content/create and content/update are told."""

    id: str
    version: int | None
    length: int
    hash: str
    policy: str
    method: str
    mime: str
    chunks: list[Chunk]
    properties: dict[str, str]


def _described(request: Request) -> _Described:
    meta = {
        name.removeprefix(_META): value
        for name, value in request.headers.items()
        if name.startswith(_META)
    }
    if "length" not in meta:
        raise bad_request("Header: missing content length")
    if not re.fullmatch(r"-?[0-9]{1,18}", meta["length"]):
        raise bad_request("Header: bad content length")
    if not re.fullmatch(r"[0-9]{0,18}", meta.get("version", "")):
        raise bad_request("Header: negative content version")
    if not _is_hex(meta.get("id", "")):
        raise bad_request("Invalid content ID (not hexa)")
    chunks, values = _described_chunks(argument(request))
    return _Described(
        id=meta.get("id", "").upper(),
        version=int(meta["version"]) if meta.get("version") else None,
        length=int(meta["length"]),
        hash=_checked_hash(meta.get("hash", "")),
        policy=meta.get("policy", "NONE"),
        method=meta.get("chunk-method", "plain"),
        mime=meta.get("mime-type", "application/octet-stream"),
        chunks=chunks,
        properties=values,
    )


def _described_chunks(value: Any) -> tuple[list[Chunk], dict[str, str]]:
    values: dict[str, str] = {}
    if isinstance(value, dict):
        if "chunks" not in value:
            raise bad_request("No [chunks] field")
        given = value.get("properties", {})
        if not isinstance(given, dict):
            raise bad_request('properties errorBad "properties" field')
        values = strings(given)
        value = value["chunks"]
    if value is None:
        raise bad_request("Invalid JSON body")
    if not isinstance(value, list):
        return [], values
    if not value:
        raise bad_request("JSON: Empty array")
    return [_chunk(item) for item in value], values


def _chunk(item: object) -> Chunk:
    if not isinstance(item, dict):
        raise bad_request("JSON: expected object")
    url, pos, size, hash = (
        field(item, name, kind)
        for name, kind in (("url", str), ("pos", str), ("size", int), ("hash", str))
    )
    return Chunk(url, pos, size, _checked_hash(hash))


def _checked_hash(hash: str) -> str:
    if not _is_hex(hash):
        raise bad_request(f"JSON: invalid hash: not hexa: '{hash}'")
    return hash.upper()


def _is_hex(value: str) -> bool:
    return len(value) % 2 == 0 and re.fullmatch("[0-9A-Fa-f]*", value) is not None


def create(connection: sqlite3.Connection, request: Request) -> Reply:
    if not request.has("path"):
        raise bad_request("Missing path in query string")
    name = _path(request)
    if not name or not directory.has_names(request):
        raise bad_request("Missing fully qualified path")
    new = _described(request)
    if 0 <= new.length != _length(new.chunks) and not new.method.startswith("ec"):
        raise Fault(425, "Content broken and irreparable")
    _autocreate(connection, request)
    cid = base.locate(connection, request, Access.WRITE)
    force = request.flag("force")
    if not new.id and not force:
        raise bad_request("Invalid URL (missing CONTENTID)")
    if request.flag("append"):
        return _append(connection, cid, _find(connection, cid, request), new)
    old = base.aliases(connection, "a.cid = ? AND a.name = ?", (cid, name)).fetchall()
    if force:
        _refuse_taken(connection, cid, new.chunks)
        base.drop_aliases(connection, cid, old)
        version = new.version or 0
    else:
        version = _next_version(new, old)
    _store(connection, cid, name, version, new)
    values = properties.get(connection, properties.of_base(cid))
    if not force and base.max_versions(values) == 1:
        base.drop_aliases(connection, cid, old)
    return empty()


def _store(
    connection: sqlite3.Connection, cid: str, name: bytes, version: int, new: _Described
) -> None:
    """Save all beans of a content. A chunk that another content has changes hands."""
    id = new.id or new_id(32)
    seconds = now() // 1_000_000
    connection.execute(
        "INSERT INTO oio_aliases VALUES (?, ?, ?, ?, 0, ?, ?)",
        (cid, name, version, id, seconds, seconds),
    )
    connection.execute(
        "INSERT OR REPLACE INTO oio_contents VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
        (cid, id, new.hash, new.length, new.policy, new.method, new.mime),
    )
    _store_chunks(connection, cid, id, new.chunks)
    properties.change(connection, properties.of_content(cid, name, version), new.properties)
    base.count(connection, cid, objects=1, size=new.length)


def _next_version(new: _Described, old: list[sqlite3.Row]) -> int:
    latest = old[0]["version"] if old else -1
    if new.version is None:
        return max(now(), latest + 1)
    if new.version == latest:
        raise Fault(421, "Alias already saved")
    if new.version < latest:
        raise Fault(424, "New object version is older than latest version")
    return new.version


def _append(connection: sqlite3.Connection, cid: str, alias: sqlite3.Row, new: _Described) -> Reply:
    """The chunks go behind those that are there; their positions are counted on."""
    there = _chunks(connection, cid, alias["content"])
    first = 1 + max((_position(chunk.pos) for chunk in there), default=-1)
    moved = [
        chunk._replace(pos=".".join([str(first + _position(chunk.pos)), *chunk.pos.split(".")[1:]]))
        for chunk in new.chunks
    ]
    _refuse_taken(connection, cid, moved)
    _store_chunks(connection, cid, alias["content"], moved)
    _grow(connection, cid, alias, _length(new.chunks))
    return empty()


def _store_chunks(connection: sqlite3.Connection, cid: str, id: str, chunks: list[Chunk]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO oio_chunks VALUES (?, ?, ?, ?, ?, ?)",
        [(cid, chunk.url, id, chunk.pos, chunk.size, chunk.hash) for chunk in chunks],
    )


def _refuse_taken(connection: sqlite3.Connection, cid: str, chunks: list[Chunk]) -> None:
    taken = "SELECT 1 FROM oio_chunks WHERE cid = ? AND url = ?"
    for chunk in chunks:
        if connection.execute(taken, (cid, chunk.url)).fetchone():
            raise Fault(19, "Step error: (19) UNIQUE constraint failed: chunks.id")


def _grow(connection: sqlite3.Connection, cid: str, alias: sqlite3.Row, size: int) -> None:
    connection.execute(
        "UPDATE oio_contents SET size = size + ? WHERE cid = ? AND id = ?",
        (size, cid, alias["content"]),
    )
    base.count(connection, cid, size=size)


def update(connection: sqlite3.Connection, request: Request) -> Reply:
    """Other chunks in the place of those at the same positions."""
    _named(request)
    new = _described(request)
    if not new.id:
        raise bad_request("Invalid URL (missing CONTENTID)")
    cid = base.locate(connection, request, Access.WRITE)
    alias = _find(connection, cid, request)
    if alias["content"] != new.id:
        raise Fault(ALIAS_NOT_FOUND, "Alias not found")
    positions = {chunk.pos for chunk in new.chunks}
    old = [c for c in _chunks(connection, cid, new.id) if c.pos in positions]
    for pos in positions:
        base.drop_chunks(connection, cid, "content = ? AND pos = ?", new.id, pos)
    _store_chunks(connection, cid, new.id, new.chunks)
    _grow(connection, cid, alias, _length(new.chunks) - _length(old))
    return empty()


def truncate(connection: sqlite3.Connection, request: Request) -> Reply:
    given = request.query.get("size", "(null)")
    if not re.fullmatch(r"[0-9]{1,18}", given):
        raise bad_request(f"Missing/invalid size parameter: {given}")
    _named(request)
    cid = base.locate(connection, request, Access.WRITE)
    alias = _find(connection, cid, request)
    size, kept, boundary = int(given), -1, 0
    sizes = {_position(c.pos): c.size for c in _chunks(connection, cid, alias["content"])}
    for position in sorted(sizes):
        kept, boundary = position, boundary + sizes[position]
        if boundary >= size:
            break
    if boundary != size:
        raise bad_request(
            f"Cannot truncate {directory.url_text(request)} at {size} bytes,"
            f" nearest metachunk boundary is at {boundary} bytes."
        )
    for pos in {c.pos for c in _chunks(connection, cid, alias["content"])}:
        if _position(pos) > kept:
            base.drop_chunks(connection, cid, "content = ? AND pos = ?", alias["content"], pos)
    _grow(connection, cid, alias, size - alias["size"])
    return empty()


def delete(connection: sqlite3.Connection, request: Request) -> Reply:
    _named(request)
    cid = base.locate(connection, request, Access.WRITE)
    _delete(connection, cid, _aliases(connection, cid, request), exact=request.has("version"))
    return empty()


def _delete(
    connection: sqlite3.Connection, cid: str, found: list[sqlite3.Row], *, exact: bool
) -> None:
    """Remove one version, or the name: in a container with versions that adds a marker."""
    if not found:
        raise Fault(ALIAS_NOT_FOUND, "Alias not found")
    values = properties.get(connection, properties.of_base(cid))
    if exact or base.max_versions(values) == 1:
        base.drop_aliases(connection, cid, found)
    else:
        base.mark_deleted(connection, cid, found[0])
    base.count(connection, cid)


def delete_many(connection: sqlite3.Connection, request: Request) -> Reply:
    value = argument(request)
    items = value.get("contents") if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise bad_request("Invalid array of contents")
    if not items:
        raise bad_request("At least one element is needed")
    if len(items) > int(setting(connection, "proxy.bulk.max.delete_many")):
        raise Fault(413, "Payload Too Large")
    if not directory.has_names(request):
        raise bad_request("Missing url argument")
    results = []
    for item in items:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            raise bad_request("Invalid content description")
        status, message = _delete_one(connection, request, name)
        results.append({"name": name, **status_of(status, message)})
    return answer({"contents": results})


def _delete_one(connection: sqlite3.Connection, request: Request, name: str) -> tuple[int, str]:
    try:
        cid = base.locate(connection, request, Access.WRITE)
        wanted = (cid, raw(name))
        found = base.aliases(connection, "a.cid = ? AND a.name = ?", wanted).fetchall()
        _delete(connection, cid, found, exact=False)
    except Fault as fault:
        return fault.status, fault.message
    return 204, "ok"


def set_properties(connection: sqlite3.Connection, request: Request) -> Reply:
    """No body: nothing is set, yet it counts as a change."""
    if request.has("content"):
        raise bad_request("Content. not allowed in the URL")
    values: dict[str, str] = {}
    if argument(request) is not None:
        value = object_argument(request)
        if not isinstance(value.get("properties"), dict):
            raise bad_request('No "properties" field')
        values = strings(value["properties"])
    cid, owner = _property_owner(connection, request)
    if request.has("flush") or request.flag("flush"):
        properties.clear(connection, owner)
    properties.change(connection, owner, values)
    base.count(connection, cid)
    return empty()


def del_properties(connection: sqlite3.Connection, request: Request) -> Reply:
    """Of no names: every property goes."""
    names = argument(request)
    if not isinstance(names, list):
        raise bad_request("Array argument expected")
    for number, name in enumerate(names):
        if not isinstance(name, str):
            raise bad_request(f"Invalid string at {number}")
    cid, owner = _property_owner(connection, request)
    if names:
        properties.remove(connection, owner, names)
    else:
        properties.clear(connection, owner)
    base.count(connection, cid)
    return empty()


def _property_owner(
    connection: sqlite3.Connection, request: Request
) -> tuple[str, properties.Owner]:
    _named(request)
    cid = base.locate(connection, request, Access.WRITE)
    alias = _find(connection, cid, request)
    return cid, properties.of_content(cid, alias["name"], alias["version"])


def touch(connection: sqlite3.Connection, request: Request) -> Reply:
    if not directory.has_names(request):
        raise bad_request("container unspecified")
    _named(request, "missing content path of ID")
    cid = base.locate(connection, request, Access.WRITE)
    _find(connection, cid, request)
    return empty()


def drain(connection: sqlite3.Connection, request: Request) -> Reply:
    """Remove the chunks; the name and what is known of it stay."""
    _named(request)
    cid = base.locate(connection, request, Access.WRITE)
    alias = _find(connection, cid, request)
    base.drop_chunks(connection, cid, "content = ?", alias["content"])
    connection.execute(
        "UPDATE oio_contents SET drained = 1 WHERE cid = ? AND id = ?", (cid, alias["content"])
    )
    base.count(connection, cid)
    return empty()


def purge(connection: sqlite3.Connection, request: Request) -> Reply:
    _named(request)
    cid = base.locate(connection, request, Access.WRITE)
    keep = base.versions_to_keep(connection, cid, request)
    base.purge(connection, cid, keep, "a.name = ?", _path(request))
    base.count(connection, cid)
    return empty()


def spare(connection: sqlite3.Connection, request: Request) -> Reply:
    """Where to put copies in place of the broken ones, away from those that are `notin`."""
    value = argument(request)
    if not isinstance(value, dict):
        raise bad_request("Body is not a valid JSON object")
    sets = []
    for name in ("notin", "broken"):
        if not isinstance(value.get(name), list):
            raise bad_request(f"'{name}' field missing")
        sets.append([_chunk(item) for item in value[name]])
    healthy, broken = sets
    if not healthy and not broken:
        raise bad_request("Empty beans sets")
    cid = base.locate(connection, request, Access.PROPERTIES)
    values = properties.get(connection, properties.of_base(cid))
    name = request.query.get("stgpol") or base.storage_policy(connection, values)
    policy = conscience.policy(name)
    if policy is None:
        raise Fault(480, f"Invalid policy [{name}]")
    spares = conscience.poll(
        connection,
        conscience.targets_for(connection, policy),
        avoid=_rawx_ids(broken),
        known=_rawx_ids(healthy),
    )
    chunks = [
        {"id": base.new_chunk_url(service.address), "pos": "", "hash": "", "size": 0}
        for service in spares
    ]
    return answer({"aliases": [], "headers": [], "chunks": chunks})


def _rawx_ids(chunks: list[Chunk]) -> list[str]:
    return [conscience.Service("rawx", _host(chunk.url), 0, {}).id for chunk in chunks]
