"""What the event agent does about chunks, here at once: the rdir of their rawx indexes them.

The queue of events is therefore always empty; it counts those that were handled.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping

from rdctl.sandbox.oio import rdir
from rdctl.sandbox.oio.state import RAWX_ADDRESSES, RDIR_ADDRESSES, container_id

# Each rawx is a reference in this account, linked to its rdir.
ACCOUNT = "_RDIR"


def seed(connection: sqlite3.Connection) -> None:
    """Assign a rdir to each rawx, as `openio volume admin bootstrap` does."""
    connection.execute("INSERT INTO oio_events VALUES (0)")
    for number, volume in enumerate(RAWX_ADDRESSES):
        index, cid = RDIR_ADDRESSES[number % len(RDIR_ADDRESSES)], container_id(ACCOUNT, volume)
        connection.execute("INSERT INTO oio_references VALUES (?, ?, ?)", (cid, ACCOUNT, volume))
        connection.execute("INSERT INTO oio_links VALUES (?, 'rdir', 1, ?, '')", (cid, index))
        rdir.create(connection, index, volume)


def stored(connection: sqlite3.Connection, address: str, meta: Mapping[str, str]) -> None:
    """The event storage.chunk.new of a rawx; `meta` are the headers of the chunk."""
    _handled(connection)
    key, index = _key(meta), index_of(connection, address)
    if key and index:
        rdir.create(connection, index, address)
        rdir.push(connection, index, address, key, int(time.time()))


def removed(connection: sqlite3.Connection, address: str, meta: Mapping[str, str]) -> None:
    """The event storage.chunk.deleted."""
    _handled(connection)
    key, index = _key(meta), index_of(connection, address)
    if key and index:
        rdir.remove(connection, index, address, key)


def handled(connection: sqlite3.Connection) -> int:
    """The number of events so far."""
    (count,) = connection.execute("SELECT count FROM oio_events").fetchone()
    return int(count)


def index_of(connection: sqlite3.Connection, volume: str) -> str | None:
    """The rdir that is assigned to a rawx, if any."""
    row = connection.execute(
        "SELECT host FROM oio_links WHERE cid = ? AND type = 'rdir'",
        (container_id(ACCOUNT, volume),),
    ).fetchone()
    return None if row is None else str(row["host"])


def _handled(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE oio_events SET count = count + 1")


def _key(meta: Mapping[str, str]) -> str | None:
    """The entry in the index; None if the chunk has lost its metadata."""
    parts = [meta.get(name, "") for name in ("container-id", "content-id", "chunk-id")]
    return "|".join(parts) if all(parts) else None
