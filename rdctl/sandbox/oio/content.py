"""Contents (content/): the objects of a container, version by version."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from typing import Any, NamedTuple

from rdctl.sandbox.oio import base, directory, properties
from rdctl.sandbox.oio.alias import aliases_of, find_alias, path_of, refuse_nameless
from rdctl.sandbox.oio.base import BaseAccess
from rdctl.sandbox.oio.chunks import (
    Chunk,
    checked_hash,
    chunk_of,
    chunks_of,
    is_hex,
    length_of,
    position_of,
    refuse_taken,
    shown_chunks,
    store_chunks,
)
from rdctl.sandbox.oio.placement import META, autocreate
from rdctl.sandbox.oio.replies import (
    ALIAS_NOT_FOUND,
    ApiFault,
    answer,
    argument,
    bad_request,
    content,
    empty,
    object_argument,
    status_of,
    strings,
)
from rdctl.sandbox.oio.state import new_id, now, setting
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest, raw, text


def _headers(
    connection: sqlite3.Connection, cid: str, alias: sqlite3.Row, *, user: bool
) -> list[tuple[str, str]]:
    system = {
        "chunk-method": "drained" if alias["drained"] else alias["method"],
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
    headers = [(f"{META}{key}", str(value)) for key, value in system.items()]
    if user:
        owner = properties.of_content(cid, alias["name"], alias["version"])
        headers += [
            (f"{META}{base.header_name(key)}", base.escaped(value))
            for key, value in properties.get(connection, owner).items()
            if key not in system
        ]
    return headers


def show(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    refuse_nameless(request)
    cid = base.locate(connection, request, BaseAccess.READ)
    alias = find_alias(connection, cid, request)
    if alias["drained"]:
        raise ApiFault(427, "The content is drained")
    user = request.query.get("properties", "1") not in ("0", "false", "no", "off")
    chunks = chunks_of(connection, cid, alias["content"])
    headers = _headers(connection, cid, alias, user=user)
    return content(shown_chunks(connection, chunks), headers)


def _marker_headers(alias: sqlite3.Row) -> list[tuple[str, str]]:
    system = {
        "ctime": alias["ctime"],
        "deleted": "True",
        "mtime": alias["mtime"],
        "name": base.escaped(text(alias["name"])),
        "version": alias["version"],
    }
    return [(f"{META}{key}", str(value)) for key, value in system.items()]


def get_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    argument(request)  # a filter, ignored
    refuse_nameless(request)
    cid = base.locate(connection, request, BaseAccess.READ)
    found = aliases_of(connection, cid, request)
    if found and found[0]["deleted"]:
        return answer({"properties": {}}, _marker_headers(found[0]))
    alias = find_alias(connection, cid, request)
    owner = properties.of_content(cid, alias["name"], alias["version"])
    headers = _headers(connection, cid, alias, user=False)
    return answer({"properties": properties.get(connection, owner)}, headers)


class _Described(NamedTuple):
    """The parameters of content/create and content/update."""

    id: str
    version: int | None
    length: int
    hash: str
    policy: str
    method: str
    mime: str
    chunks: list[Chunk]
    properties: dict[str, str]


def _described(request: HttpRequest) -> _Described:
    meta = {
        name.removeprefix(META): value
        for name, value in request.headers.items()
        if name.startswith(META)
    }
    if "length" not in meta:
        raise bad_request("Header: missing content length")
    if not re.fullmatch(r"-?[0-9]{1,18}", meta["length"]):
        raise bad_request("Header: bad content length")
    if not re.fullmatch(r"[0-9]{0,18}", meta.get("version", "")):
        raise bad_request("Header: negative content version")
    if not is_hex(meta.get("id", "")):
        raise bad_request("Invalid content ID (not hexa)")
    chunks, values = _described_chunks(argument(request))
    return _Described(
        id=meta.get("id", "").upper(),
        version=int(meta["version"]) if meta.get("version") else None,
        length=int(meta["length"]),
        hash=checked_hash(meta.get("hash", "")),
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
    return [chunk_of(item) for item in value], values


def create(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    if not request.has("path"):
        raise bad_request("Missing path in query string")
    name = path_of(request)
    if not name or not directory.has_names(request):
        raise bad_request("Missing fully qualified path")
    new = _described(request)
    if _is_irreparable(new):
        raise ApiFault(425, "Content broken and irreparable")
    autocreate(connection, request)
    cid = base.locate(connection, request, BaseAccess.WRITE)
    force = request.flag("force")
    if not new.id and not force:
        raise bad_request("Invalid URL (missing CONTENTID)")
    old = base.aliases(connection, "a.cid = ? AND a.name = ?", (cid, name)).fetchall()
    if request.flag("append") and old and not old[0]["deleted"]:
        return _append(connection, cid, find_alias(connection, cid, request), new)
    if force:
        refuse_taken(connection, cid, [chunk.url for chunk in new.chunks])
        base.drop_aliases(connection, cid, old)
        version = new.version or 0
    else:
        version = _next_version(new, old)
        if _is_used(connection, cid, new.id):
            raise ApiFault(421, "A content exists with this ID", http=409)
    _store(connection, cid, name, version, new)
    values = properties.get(connection, properties.of_base(cid))
    if not force and base.max_versions(values) == 1:
        base.drop_aliases(connection, cid, old)
    return empty()


def _is_used(connection: sqlite3.Connection, cid: str, id: str) -> bool:
    known = "SELECT 1 FROM oio_contents WHERE cid = ? AND id = ?"
    return connection.execute(known, (cid, id)).fetchone() is not None


def _is_irreparable(new: _Described) -> bool:
    """Whether chunks are missing. The sizes of fragments are not compared, and k of each metachunk
    suffice."""
    k = re.fullmatch(r"ec/(?:.*,)?k=(\d{1,4})(?:,.*)?", new.method)
    if k is None:
        return 0 <= new.length != length_of(new.chunks)
    found = Counter(position_of(chunk.pos) for chunk in new.chunks)
    return min(found.values(), default=0) < int(k[1])


def _store(
    connection: sqlite3.Connection, cid: str, name: bytes, version: int, new: _Described
) -> None:
    """Save all beans of a content. A chunk of another content is moved to this one."""
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
    store_chunks(connection, cid, id, new.chunks)
    properties.change(connection, properties.of_content(cid, name, version), new.properties)
    base.count(connection, cid, objects=1, size=new.length)


def _next_version(new: _Described, old: list[sqlite3.Row]) -> int:
    latest = old[0]["version"] if old else -1
    if new.version is None:
        return max(now(), latest + 1)
    if new.version == latest:
        raise ApiFault(421, "Alias already saved")
    if new.version < latest:
        raise ApiFault(424, "New object version is older than latest version")
    return new.version


def _append(
    connection: sqlite3.Connection, cid: str, alias: sqlite3.Row, new: _Described
) -> HttpReply:
    """The chunks are appended to the existing ones; their positions continue. The hash of the whole
    is cleared."""
    there = chunks_of(connection, cid, alias["content"])
    first = 1 + max((position_of(chunk.pos) for chunk in there), default=-1)
    moved = [chunk._replace(pos=_moved(chunk.pos, first)) for chunk in new.chunks]
    refuse_taken(connection, cid, [chunk.url for chunk in moved])
    store_chunks(connection, cid, alias["content"], moved)
    _grow(connection, cid, alias, length_of(new.chunks))
    connection.execute(
        "UPDATE oio_contents SET hash = '' WHERE cid = ? AND id = ?", (cid, alias["content"])
    )
    return empty()


def _moved(pos: str, by: int) -> str:
    """The position so many metachunks on: 3.1 of 1.1 by 2."""
    return ".".join([str(by + position_of(pos)), *pos.split(".")[1:]])


def _grow(connection: sqlite3.Connection, cid: str, alias: sqlite3.Row, size: int) -> None:
    connection.execute(
        "UPDATE oio_contents SET size = size + ? WHERE cid = ? AND id = ?",
        (size, cid, alias["content"]),
    )
    base.count(connection, cid, size=size)


def update(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Replace the chunks at the same positions."""
    refuse_nameless(request)
    new = _described(request)
    if not new.id:
        raise bad_request("Invalid URL (missing CONTENTID)")
    cid = base.locate(connection, request, BaseAccess.WRITE)
    alias = find_alias(connection, cid, request)
    if alias["content"] != new.id:
        raise ApiFault(ALIAS_NOT_FOUND, "Alias not found")
    positions = {chunk.pos for chunk in new.chunks}
    old = [c for c in chunks_of(connection, cid, new.id) if c.pos in positions]
    for pos in positions:
        base.drop_chunks(connection, cid, "content = ? AND pos = ?", new.id, pos)
    store_chunks(connection, cid, new.id, new.chunks)
    _grow(connection, cid, alias, length_of(new.chunks) - length_of(old))
    return empty()


def truncate(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    given = request.query.get("size", "(null)")
    if not re.fullmatch(r"[0-9]{1,18}", given):
        raise bad_request(f"Missing/invalid size parameter: {given}")
    refuse_nameless(request)
    cid = base.locate(connection, request, BaseAccess.WRITE)
    alias = find_alias(connection, cid, request)
    size, kept, boundary = int(given), -1, 0
    if size > (alias["size"] or 0):
        raise bad_request("truncate operation cannot grow contents")
    sizes = {position_of(c.pos): c.size for c in chunks_of(connection, cid, alias["content"])}
    for position in sorted(sizes):
        kept, boundary = position, boundary + sizes[position]
        if boundary >= size:
            break
    if boundary != size:
        raise bad_request(
            f"Cannot truncate {directory.url_text(request)} at {size} bytes,"
            f" nearest metachunk boundary is at {boundary} bytes."
        )
    for pos in {c.pos for c in chunks_of(connection, cid, alias["content"])}:
        if position_of(pos) > kept:
            base.drop_chunks(connection, cid, "content = ? AND pos = ?", alias["content"], pos)
    _grow(connection, cid, alias, size - alias["size"])
    return empty()


def delete(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    refuse_nameless(request)
    cid = base.locate(connection, request, BaseAccess.WRITE)
    _delete(connection, cid, aliases_of(connection, cid, request), exact=request.has("version"))
    return empty()


def _delete(
    connection: sqlite3.Connection, cid: str, found: list[sqlite3.Row], *, exact: bool
) -> None:
    """Remove one version, or the name: in a container with versions that adds a marker. A current
    marker is removed, which restores the object."""
    if not found:
        raise ApiFault(ALIAS_NOT_FOUND, "Alias not found")
    values = properties.get(connection, properties.of_base(cid))
    if exact or base.max_versions(values) == 1:
        base.drop_aliases(connection, cid, found)
    elif found[0]["deleted"]:
        base.drop_aliases(connection, cid, found[:1])
    else:
        base.mark_deleted(connection, cid, found[0])
    base.count(connection, cid)


def delete_many(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    value = argument(request)
    items = value.get("contents") if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise bad_request("Invalid array of contents")
    if not items:
        raise bad_request("At least one element is needed")
    if len(items) > int(setting(connection, "proxy.bulk.max.delete_many")):
        raise ApiFault(413, "Payload Too Large")
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


def _delete_one(connection: sqlite3.Connection, request: HttpRequest, name: str) -> tuple[int, str]:
    try:
        cid = base.locate(connection, request, BaseAccess.WRITE)
        wanted = (cid, raw(name))
        found = base.aliases(connection, "a.cid = ? AND a.name = ?", wanted).fetchall()
        _delete(connection, cid, found, exact=False)
    except ApiFault as fault:
        return fault.status, fault.message
    return 204, "ok"


def set_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
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


def del_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Without names every property is removed."""
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
    connection: sqlite3.Connection, request: HttpRequest
) -> tuple[str, properties.PropertyOwner]:
    refuse_nameless(request)
    cid = base.locate(connection, request, BaseAccess.WRITE)
    alias = find_alias(connection, cid, request)
    return cid, properties.of_content(cid, alias["name"], alias["version"])


def touch(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    if not directory.has_names(request):
        raise bad_request("container unspecified")
    refuse_nameless(request, "missing content path of ID")
    cid = base.locate(connection, request, BaseAccess.WRITE)
    find_alias(connection, cid, request)
    return empty()


def drain(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Remove the chunks; keep the name and its metadata."""
    refuse_nameless(request)
    cid = base.locate(connection, request, BaseAccess.WRITE)
    found = aliases_of(connection, cid, request)
    if found and found[0]["deleted"]:
        return empty()  # a delete marker has no data
    alias = find_alias(connection, cid, request)
    base.drop_chunks(connection, cid, "content = ?", alias["content"])
    connection.execute(
        "UPDATE oio_contents SET drained = 1 WHERE cid = ? AND id = ?", (cid, alias["content"])
    )
    base.count(connection, cid)
    return empty()


def purge(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    if not path_of(request):
        raise bad_request("Missing path")
    cid = base.locate(connection, request, BaseAccess.WRITE)
    keep = base.versions_to_keep(connection, cid, request)
    base.purge(connection, cid, keep, "a.name = ?", path_of(request))
    base.count(connection, cid)
    return empty()
