"""Containers (container/), save the raw beans."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from rdctl.sandbox.oio import base, directory, properties
from rdctl.sandbox.oio.account import touched
from rdctl.sandbox.oio.base import BaseAccess
from rdctl.sandbox.oio.replies import (
    CONTAINER_DISABLED,
    USER_NOT_FOUND,
    ApiFault,
    answer,
    argument,
    bad_request,
    empty,
    field,
    object_argument,
    status_of,
    strings,
)
from rdctl.sandbox.oio.state import NAMESPACE, container_id, setting
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest, is_true, is_utf8, raw, text

_PAGE = 1000


def create(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    account, name = directory.names_of(request, "Directory error")
    value = argument(request)
    user, system = _described({} if value is None else value)
    subtype = request.query.get("type")
    if subtype:  # another type of base, which no route shows
        directory.ensure(connection, account, name)
        cid = container_id(account, name)
        directory.link_services(connection, cid, f"meta2.{subtype}")
        return empty(201)
    return empty(201 if base.create(connection, account, name, user, system) else 204)


def create_many(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Items before a malformed one are created nevertheless, and not reported."""
    value = argument(request)
    items = value.get("containers") if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise bad_request("Invalid array of containers")
    account = request.query.get("acct")
    if not account:
        raise bad_request("Missing account or namespace")
    most = int(setting(connection, "proxy.bulk.max.create_many"))
    if len(items) > most:
        raise ApiFault(413, f"More than {most} requested")
    results = []
    for number, item in enumerate(items):
        try:
            name, user, system = _item(number, item)
        except ApiFault as fault:
            return fault.reply
        status, message = _create_one(connection, account, name, user, system)
        results.append({"name": name, **status_of(status, message)})
    return answer({"containers": results})


def _item(number: int, item: object) -> tuple[str, dict[str, str], dict[str, str]]:
    if not isinstance(item, dict):
        raise bad_request("Invalid content description")
    if not isinstance(item.get("name"), str):
        raise bad_request("Invalid payload")
    try:
        return item["name"], *_described(item)
    except ApiFault as fault:
        raise bad_request(f"Malformed properties at {number}: (400) {fault.message}") from fault


def _create_one(
    connection: sqlite3.Connection,
    account: str,
    name: str,
    user: dict[str, str],
    system: dict[str, str],
) -> tuple[int, str]:
    if not name:
        return 400, f"Directory error: Incomplete URL [{NAMESPACE}/{account}//]"
    if not is_utf8(name):
        return 400, "Invalid parameter 'user', not UTF-8"
    try:
        if base.create(connection, account, name, user, system):
            return 201, "ok"
        return 433, "container already initiated"
    except ApiFault as fault:
        return fault.status, fault.message


def show(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    values = _values(connection, request)
    headers = base.system_headers(base.system_properties(values))
    return answer({"properties": base.user_properties(values)}, headers)


def get_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    argument(request)  # a filter, ignored
    values = _values(connection, request)
    return answer(
        {"properties": base.user_properties(values), "system": base.system_properties(values)}
    )


def set_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    user, system = _described(object_argument(request))
    if not user and not system:
        raise bad_request("No properties found in JSON object")
    if not all(key.startswith("sys.") for key in system):
        raise bad_request("Invalid property name")
    cid = base.locate(connection, request, BaseAccess.PROPERTIES)
    owner = properties.of_base(cid)
    if request.flag("flush"):
        old = base.user_properties(properties.get(connection, owner))
        properties.remove(connection, owner, _prefixed(old))
    properties.change(connection, owner, system | _prefixed(user))
    return answer({})


def del_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Without names it removes nothing; system names have no effect."""
    names = argument(request)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise bad_request("Bad names")
    cid = base.locate(connection, request, BaseAccess.PROPERTIES)
    properties.remove(connection, properties.of_base(cid), _prefixed(dict.fromkeys(names, "")))
    return answer({})


def touch(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    argument(request)
    cid = directory.cid_of(request, "Directory error")
    directory.require(connection, cid, "Directory error", http=403)
    base.locate(connection, request, BaseAccess.READ)  # a frozen one as well
    touched(connection, cid)
    return empty()


def dedup(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    base.locate(connection, request, BaseAccess.WRITE)
    return empty()


def purge(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    cid = base.locate(connection, request, BaseAccess.WRITE)
    base.purge(connection, cid, base.versions_to_keep(connection, cid, request), "1")
    return empty()


def flush(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Empties the container, here always in one request."""
    cid = base.locate(connection, request, BaseAccess.WRITE)
    base.drop_aliases(connection, cid, base.aliases(connection, "a.cid = ?", (cid,)))
    return empty(204, [("x-oio-truncated", "false")])


def destroy(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """The reference stays. `flush` is ignored. A refusal enables a frozen container."""
    cid = directory.find(connection, request)
    base.require(connection, cid)
    status = properties.get(connection, properties.of_base(cid)).get("sys.status")
    if status == base.DISABLED:
        raise ApiFault(CONTAINER_DISABLED, "Container disabled")
    held = connection.execute("SELECT 1 FROM oio_aliases WHERE cid = ?", (cid,)).fetchone()
    if held is not None and not request.flag("force"):
        if status == base.FROZEN:
            properties.put(connection, properties.of_base(cid), {"sys.status": base.ENABLED})
        return ApiFault(438, "Container not empty").reply
    base.drop(connection, cid)
    connection.execute("DELETE FROM oio_links WHERE cid = ? AND type = 'meta2'", (cid,))
    return empty()


def snapshot(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """A copy of the container as it is now, frozen. The copy shares the chunks."""
    value = argument(request)
    if not isinstance(value, dict):
        raise bad_request("Not an object")
    account, name = field(value, "account", str), field(value, "container", str)
    try:
        cid = base.locate(connection, request, BaseAccess.READ)
    except ApiFault as fault:
        if fault.status == USER_NOT_FOUND:
            raise ApiFault(USER_NOT_FOUND, "no such user") from fault
        raise
    if not base.create(connection, account, name, {}, {}):
        raise bad_request("Container already exists")
    copy = container_id(account, name)
    for table in ("oio_aliases", "oio_contents", "oio_chunks"):
        columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")][1:]
        listed = ", ".join(columns)
        connection.execute(
            f"INSERT INTO {table} SELECT ?, {listed} FROM {table} WHERE cid = ?", (copy, cid)
        )
    connection.execute(
        "INSERT INTO oio_properties SELECT owner, ?, name, version, key, value"
        " FROM oio_properties WHERE owner = 'content' AND cid = ?",
        (copy, cid),
    )
    old = properties.get(connection, properties.of_base(cid))
    kept = {key: old[key] for key in old if key.startswith(("user.", "sys.m2."))}
    properties.put(connection, properties.of_base(copy), kept | {"sys.status": base.FROZEN})
    return empty()


def _values(connection: sqlite3.Connection, request: HttpRequest) -> dict[str, str]:
    cid = base.locate(connection, request, BaseAccess.PROPERTIES)
    return properties.get(connection, properties.of_base(cid))


def _described(value: object) -> tuple[dict[str, str], dict[str, str]]:
    """The user's and the system's properties in a body."""
    if not isinstance(value, dict):
        raise bad_request("Object argument expected")
    described = []
    for name in ("properties", "system"):
        values = value.get(name, {})
        if not isinstance(values, dict):
            raise bad_request(f'Bad "{name}" field')
        described.append(strings(values))
    user, system = described
    return user, system


def _prefixed(values: dict[str, str]) -> dict[str, str]:
    return {f"user.{key}": value for key, value in values.items()}


# container/list


def list_contents(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    most = _most(request)
    cid = base.locate(connection, request, BaseAccess.READ)
    prefix, delimiter = (
        raw(request.query.get("prefix", "")),
        raw(request.query.get("delimiter", "")),
    )
    prefixes: dict[bytes, None] = {}
    objects: list[dict[str, Any]] = []
    last, truncated = b"", False
    for alias in _scan(connection, cid, request, prefix):
        if len(prefixes) + len(objects) >= most:
            truncated = True
            break
        last = alias["name"]
        end = last.find(delimiter[:1], len(prefix)) if delimiter else -1
        if end >= 0:
            prefixes[last[: end + 1]] = None
        else:
            objects.append(_object(connection, cid, alias, request))
    values = properties.get(connection, properties.of_base(cid))
    user = base.user_properties(values)
    system = {key: values[key] for key in values if key.startswith("sys.") and values[key]}
    headers = base.system_headers(system)
    headers += [
        (f"x-oio-container-meta-user-{base.header_name(key)}", base.escaped(value))
        for key, value in user.items()
    ]
    headers.append(("x-oio-list-truncated", "true" if truncated else "false"))
    if truncated:
        headers.append(("x-oio-list-marker", quote(last, safe="")))
    body = {
        "prefixes": [text(name) for name in prefixes],
        "properties": user,
        "system": system,
        "objects": objects,
    }
    return answer(body, headers)


def _most(request: HttpRequest) -> int:
    given = request.query.get("max", str(_PAGE))
    if not re.fullmatch(r"-?[0-9]{1,18}", given):
        raise bad_request("Invalid max number of items: not a number")
    if int(given) <= 0:
        raise bad_request("Invalid max number of items: too small")
    return int(given)


def _scan(
    connection: sqlite3.Connection, cid: str, request: HttpRequest, prefix: bytes
) -> Iterator[sqlite3.Row]:
    """The aliases that the filters leave, by name, the latest version of each first."""
    query = request.query
    values: list[str | bytes]
    where, values = ["a.cid = ?", "a.name >= ?"], [cid, prefix]
    after = _successor(prefix)
    if after:
        where.append("a.name < ?")
        values.append(after)
    for name, condition in (
        ("marker", "a.name > ?"),
        ("end_marker", "a.name < ?"),
        ("marker_end", "a.name < ?"),
    ):
        if query.get(name):
            where.append(condition)
            values.append(raw(query[name]))
    if not request.has("all"):
        where.append(
            "a.version = (SELECT max(b.version) FROM oio_aliases b"
            " WHERE b.cid = a.cid AND b.name = a.name)"
        )
        if not request.has("deleted"):
            where.append("NOT a.deleted")
    return base.aliases(connection, " AND ".join(where), values)


def _successor(prefix: bytes) -> bytes:
    """The first name after all those that begin with the prefix; empty when there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b""


def _object(
    connection: sqlite3.Connection, cid: str, alias: sqlite3.Row, request: HttpRequest
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": text(alias["name"]),
        "version": alias["version"],
        "ctime": alias["ctime"],
        "mtime": alias["mtime"],
        "deleted": bool(alias["deleted"]),
        "content": alias["content"],
        "policy": alias["policy"],
        "hash": alias["hash"],
        "size": alias["size"],
        "mime-type": alias["mime"],
    }
    if is_true(request.query.get("properties", "")):
        owner = properties.of_content(cid, alias["name"], alias["version"])
        values = properties.get(connection, owner)
        if values:
            described["properties"] = values
    return described
