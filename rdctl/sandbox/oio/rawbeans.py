"""Raw beans (container/raw_insert, raw_update, raw_delete): rows of a base, counters untouched."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

from rdctl.sandbox.oio import base
from rdctl.sandbox.oio.base import BaseAccess
from rdctl.sandbox.oio.chunks import is_hex, refuse_taken
from rdctl.sandbox.oio.replies import ApiFault, argument, bad_request, empty, field
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest, raw


class Bean(NamedTuple):
    """A row: its table, the columns of its key beside the base's id, and all its columns."""

    table: str
    key: tuple[str, ...]
    values: dict[str, Any]


def _alias(item: dict[str, Any]) -> Bean:
    values = {
        "name": raw(field(item, "name", str)),
        "version": field(item, "version", int),
        "content": field(item, "header", str),
        "deleted": item.get("deleted") is True,
        "ctime": field(item, "ctime", int),
        "mtime": field(item, "mtime", int),
    }
    return Bean("oio_aliases", ("name", "version"), values)


def _header(item: dict[str, Any]) -> Bean:
    values = {
        "id": field(item, "id", str),
        "hash": field(item, "hash", str),
        "size": field(item, "size", int),
        "policy": "",  # the servers do not read it
        "method": field(item, "chunk-method", str),
        "mime": field(item, "mime-type", str),
    }
    return Bean("oio_contents", ("id",), values)


def _chunk(item: dict[str, Any]) -> Bean:
    values = {
        "url": field(item, "id", str),
        "hash": field(item, "hash", str),
        "size": field(item, "size", int),
        "content": field(item, "content", str),
        "pos": field(item, "pos", str),
    }
    if not (is_hex(values["hash"]) and is_hex(values["content"])):
        raise bad_request("Invalid chunk, not hexa header id")
    values["hash"] = values["hash"].upper()
    return Bean("oio_chunks", ("url",), values)


_KINDS: dict[str, Callable[[dict[str, Any]], Bean]] = {
    "alias": _alias,
    "header": _header,
    "chunk": _chunk,
}


def _beans(items: list[Any]) -> list[Bean]:
    if not items:
        raise bad_request("Empty beans list")
    beans = []
    for item in items:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind is None:
            raise bad_request("Missing 'type' field")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise bad_request("Unexpected 'type' field")
        beans.append(_KINDS[kind](item))
    return beans


def _array(request: HttpRequest) -> list[Bean]:
    value = argument(request)
    if not isinstance(value, list):
        raise bad_request("Invalid JSON, exepecting array of beans")
    return _beans(value)


def _save(connection: sqlite3.Connection, cid: str, bean: Bean) -> None:
    """Add the row, in place of one with the same key."""
    columns = ", ".join(("cid", *bean.values))
    marks = ", ".join("?" * (1 + len(bean.values)))
    connection.execute(
        f"INSERT OR REPLACE INTO {bean.table} ({columns}) VALUES ({marks})",
        (cid, *bean.values.values()),
    )


def _remove(connection: sqlite3.Connection, cid: str, bean: Bean) -> bool:
    """Remove the row; False if it does not exist."""
    matching = " AND ".join(f"{column} = ?" for column in ("cid", *bean.key))
    removed = connection.execute(
        f"DELETE FROM {bean.table} WHERE {matching}",
        (cid, *(bean.values[column] for column in bean.key)),
    )
    return removed.rowcount > 0


def insert(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    beans = _array(request)
    cid = base.locate(connection, request, BaseAccess.WRITE)
    for bean in beans:
        _save(connection, cid, bean)
    return empty()


def delete(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    beans = _array(request)
    cid = base.locate(connection, request, BaseAccess.WRITE)
    for bean in beans:
        _remove(connection, cid, bean)
    return empty()


def update(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """With the parameter `frozen` also in a frozen base."""
    value = argument(request)
    if not isinstance(value, dict):
        raise bad_request("JSON object expected")
    old, new = _sets(value)
    access = BaseAccess.READ if request.flag("frozen") else BaseAccess.WRITE
    cid = base.locate(connection, request, access)
    for bean in old:
        if not _remove(connection, cid, bean):
            raise ApiFault(420, "bean not found")
    refuse_taken(connection, cid, [one.values["url"] for one in new if one.table == "oio_chunks"])
    for bean in new:
        _save(connection, cid, bean)
    base.count(connection, cid)
    return empty()


def _sets(value: dict[str, Any]) -> tuple[list[Bean], list[Bean]]:
    for name in ("old", "new"):
        if value.get(name) is None:
            raise bad_request(f"No '{name}' set of beans")
    old, new = value["old"], value["new"]
    if not (isinstance(old, list) and isinstance(new, list)):
        raise bad_request("Invalid JSON, exepecting array of beans")
    if not old:
        raise bad_request("No bean to update")
    if len(old) != len(new):
        raise bad_request("Length mismatch for bean sets")
    return _beans(old), _beans(new)
