"""Faults of OpenIO, for trials: damaged chunks and stopped services."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.sandbox.oio import base, conscience, state
from rdctl.sandbox.oio.chunks import chunks_of
from rdctl.sandbox.oio.wsgi import raw


class Placed(NamedTuple):
    """A chunk on a rawx: its row in `oio_rawx`, its position, URL and size."""

    row: int
    pos: str
    url: str
    size: int


def placed(
    connection: sqlite3.Connection, account: str, container: str, path: str, position: str
) -> list[Placed]:
    """The chunks of the latest version of an object at a position: all of a part (`0`), or one
    fragment (`0.3`). Raises `not-found` without any."""
    cid = state.container_id(account, container)
    found = base.aliases(connection, "a.cid = ? AND a.name = ?", (cid, raw(path))).fetchone()
    if found is None or found["deleted"]:
        message = f'object "{path}" not found in container "{container}" of the sandbox'
        raise RdctlError(Code.NOT_FOUND, message, target=path)
    chunks = [
        chunk
        for chunk in chunks_of(connection, cid, found["content"])
        if position in (chunk.pos, chunk.pos.partition(".")[0])
    ]
    held = []
    for chunk in sorted(chunks, key=lambda one: (_index(one.pos), one.url)):
        key = chunk.url.removeprefix("http://").split("/")
        row = connection.execute(
            "SELECT rowid, size FROM oio_rawx WHERE address = ? AND id = ?", key
        ).fetchone()
        if row is not None:
            held.append(Placed(row["rowid"], chunk.pos, chunk.url, row["size"]))
    if not held:
        message = f"{path}: no chunk at position {position} on the rawx services of the sandbox"
        raise RdctlError(Code.NOT_FOUND, message, target=path)
    return held


def _index(pos: str) -> int:
    return int(pos.partition(".")[2] or 0)


def damage(connection: sqlite3.Connection, chunk: Placed, how: str) -> None:
    WAYS[how](connection, chunk)


def _missing(connection: sqlite3.Connection, chunk: Placed) -> None:
    connection.execute("DELETE FROM oio_rawx WHERE rowid = ?", (chunk.row,))


def _short(connection: sqlite3.Connection, chunk: Placed) -> None:
    _refuse_empty(chunk)
    connection.execute(
        "UPDATE oio_rawx SET size = size / 2, data = substr(data, 1, size / 2) WHERE rowid = ?",
        (chunk.row,),
    )


def _long(connection: sqlite3.Connection, chunk: Placed) -> None:
    row = connection.execute("SELECT data FROM oio_rawx WHERE rowid = ?", (chunk.row,)).fetchone()
    connection.execute(
        "UPDATE oio_rawx SET size = size + 1, data = ? WHERE rowid = ?",
        (row["data"] + b"\0", chunk.row),
    )


def _corrupt(connection: sqlite3.Connection, chunk: Placed) -> None:
    """Change one byte, near the middle: past the header that a fragment may have there."""
    _refuse_empty(chunk)
    at = min(chunk.size // 2 + 100, chunk.size - 1)
    with connection.blobopen("oio_rawx", "data", chunk.row) as blob:
        blob[at] = (blob[at] + 1) % 256  # a second time as well, it stays damaged


_OWNER = '$."content-id"'


def _foreign(connection: sqlite3.Connection, chunk: Placed) -> None:
    """Replace the file by that of another object, with its metadata."""
    other = connection.execute(
        "SELECT o.rowid FROM oio_rawx o, oio_rawx c WHERE c.rowid = ?"
        " AND json_extract(o.headers, ?) <> json_extract(c.headers, ?) LIMIT 1",
        (chunk.row, _OWNER, _OWNER),
    ).fetchone()
    if other is None:
        raise RdctlError(
            Code.CONFLICT, f"chunk {chunk.url}: no other object has a chunk to put in its place"
        )
    connection.execute(
        "UPDATE oio_rawx SET (headers, size, data) ="
        " (SELECT headers, size, data FROM oio_rawx WHERE rowid = ?) WHERE rowid = ?",
        (other["rowid"], chunk.row),
    )


def _unlabeled(connection: sqlite3.Connection, chunk: Placed) -> None:
    """Remove the extended attributes, which hold the metadata."""
    connection.execute(
        "UPDATE oio_rawx SET headers = ? WHERE rowid = ?", (json.dumps({}), chunk.row)
    )


def _refuse_empty(chunk: Placed) -> None:
    if not chunk.size:
        raise RdctlError(Code.CONFLICT, f"chunk {chunk.url} is empty", target=chunk.url)


WAYS: dict[str, Callable[[sqlite3.Connection, Placed], None]] = {
    "missing": _missing,
    "short": _short,
    "long": _long,
    "corrupt": _corrupt,
    "foreign": _foreign,
    "unlabeled": _unlabeled,
}


def is_down(connection: sqlite3.Connection, address: str) -> bool:
    """Whether a service is down; `not-found` if the sandbox has none at this address."""
    if address not in {service.address for service in conscience.services(connection)}:
        message = f"service {address} not found in the sandbox"
        hint = "List the services: rdctl -c sandbox oio conscience list rawx"
        raise RdctlError(Code.NOT_FOUND, message, hint=hint, target=address)
    return state.is_down(connection, address)


def stop(connection: sqlite3.Connection, address: str) -> None:
    connection.execute("INSERT OR IGNORE INTO oio_down VALUES (?)", (address,))


def start(connection: sqlite3.Connection, address: str) -> None:
    connection.execute("DELETE FROM oio_down WHERE address = ?", (address,))


def start_all(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM oio_down")
