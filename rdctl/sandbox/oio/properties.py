"""Properties of references, bases and contents: byte strings by byte strings."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rdctl.sandbox.oio.wsgi import raw, text


class PropertyOwner(NamedTuple):
    kind: str
    cid: str
    name: bytes = b""
    version: int = 0


def of_reference(cid: str) -> PropertyOwner:
    return PropertyOwner("reference", cid)


def of_base(cid: str) -> PropertyOwner:
    return PropertyOwner("base", cid)


def of_content(cid: str, name: bytes, version: int) -> PropertyOwner:
    return PropertyOwner("content", cid, name, version)


_OWNED = "owner = ? AND cid = ? AND name = ? AND version = ?"


def get(connection: sqlite3.Connection, owner: PropertyOwner) -> dict[str, str]:
    rows = connection.execute(
        f"SELECT key, value FROM oio_properties WHERE {_OWNED} ORDER BY key", owner
    )
    return {text(row["key"]): text(row["value"]) for row in rows}


def put(connection: sqlite3.Connection, owner: PropertyOwner, values: Mapping[str, str]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO oio_properties VALUES (?, ?, ?, ?, ?, ?)",
        [(*owner, raw(key), raw(value)) for key, value in values.items()],
    )


def change(connection: sqlite3.Connection, owner: PropertyOwner, values: Mapping[str, str]) -> None:
    """As bases take it: an empty value removes the property."""
    put(connection, owner, values)
    remove(connection, owner, [key for key, value in values.items() if not value])


def remove(connection: sqlite3.Connection, owner: PropertyOwner, keys: Iterable[str]) -> None:
    connection.executemany(
        f"DELETE FROM oio_properties WHERE {_OWNED} AND key = ?",
        [(*owner, raw(key)) for key in keys],
    )


def clear(connection: sqlite3.Connection, owner: PropertyOwner) -> None:
    connection.execute(f"DELETE FROM oio_properties WHERE {_OWNED}", owner)
