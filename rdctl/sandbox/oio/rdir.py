"""A rdir service: the indexes of the chunks of some rawx services, which it calls volumes."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from rdctl.sandbox.oio.state import is_down
from rdctl.sandbox.oio.wsgi import (
    Answered,
    Handler,
    HttpReply,
    HttpRequest,
    Router,
    dumps,
    is_true,
    loads,
)

_MOST = 4096  # entries of a page
_LOCKED_BY_CLEAR = "admin_clear"
_Json = dict[str, Any]


def router(address: str) -> Router:
    """The routes of the service that is known as `address`, an IP:PORT."""

    def route(request: HttpRequest) -> Handler:
        methods = _ROUTES.get(request.path)
        if methods is None:
            raise _refusal(404, 400, "Route not managed")
        handler = methods.get(request.method)
        if handler is None:
            raise _refusal(405, 400, "Bad method")

        def answer(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
            if is_down(connection, address):
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            return handler(connection, address, request)

        return answer

    return route


def create(connection: sqlite3.Connection, address: str, volume: str) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO oio_rdir_bases VALUES (?, ?, 0, '')", (address, volume)
    )


def push(connection: sqlite3.Connection, address: str, volume: str, key: str, mtime: int) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO oio_rdir VALUES (?, ?, ?, ?)", (address, volume, key, mtime)
    )


def remove(connection: sqlite3.Connection, address: str, volume: str, key: str) -> None:
    connection.execute(
        "DELETE FROM oio_rdir WHERE rdir = ? AND volume = ? AND key = ?", (address, volume, key)
    )


def bases(connection: sqlite3.Connection, address: str) -> list[str]:
    """The volumes that it indexes."""
    rows = connection.execute("SELECT volume FROM oio_rdir_bases WHERE rdir = ?", (address,))
    return [row["volume"] for row in rows]


# Routes of volumes


def _create(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    volume = _volume(request)
    if "/" in volume:
        path = f"/var/lib/oio/sds/OPENIO-rdir-1/{volume}/LOCK"
        raise _refusal(404, 404, f"NotFound: {path}: No such file or directory")
    create(connection, address, volume)
    return HttpReply(201, "Base created", [])


def _push(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    entry = _body(request)
    if not isinstance(entry, dict):
        raise _refusal(400, 400, "null body")
    volume, key = _volume(request), _key(entry)
    mtime = _field(entry, "mtime", int, 0)
    if is_true(request.query.get("create", "")):
        create(connection, address, volume)
    _base(connection, address, volume)
    push(connection, address, volume, key, mtime)
    return _done()


def _fetch(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    """A page. With `rebuild` the entries that are not newer than the incident; none without one."""
    asked = _body(request) or {}
    limit = _field(asked, "limit", int, _MOST)
    after = _field(asked, "start_after", str, "")
    container = _field(asked, "container_id", str, "")
    rebuild = _field(asked, "rebuild", bool, False)
    volume = _volume(request)
    incident = _base(connection, address, volume)["incident"]
    if rebuild and not incident:
        return _json([])
    rows = connection.execute(
        "SELECT key, mtime FROM oio_rdir WHERE rdir = ? AND volume = ? AND key > ?"
        " AND substr(key, 1, ?) = ? AND (? = 0 OR mtime <= ?) ORDER BY key LIMIT ?",
        (
            *(address, volume, after, len(container), container),
            *(rebuild, incident, min(max(limit, 1), _MOST)),
        ),
    )
    return _json([[row["key"], {"mtime": row["mtime"]}] for row in rows])


def _delete(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    entry = _object(request)
    volume, key = _volume(request), _key(entry)
    _base(connection, address, volume)
    remove(connection, address, volume, key)
    return _done()


def _status(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    volume = _volume(request)
    incident = _base(connection, address, volume)["incident"]
    chunks = {"total": 0, "to_rebuild": 0}
    containers: dict[str, dict[str, int]] = {}
    for key, mtime in _entries(connection, address, volume):
        of_container = containers.setdefault(key.split("|")[0], {"total": 0, "to_rebuild": 0})
        for counted in (chunks, of_container):
            counted["total"] += 1
            # Entries without a time are not counted, but fetched and cleared as old ones.
            counted["to_rebuild"] += 0 < mtime <= incident
    found: _Json = {"chunk": chunks, "container": containers}
    for counted in (chunks, *containers.values()):
        if not counted["to_rebuild"]:
            del counted["to_rebuild"]
    return _json({**found, "rebuild": {"incident_date": incident}} if incident else found)


# Routes of administrators


def _show(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    base = _base(connection, address, _volume(request))
    values = {"incident_date": base["incident"], "lock": base["lock"]}
    return _json({name: str(value) for name, value in values.items() if value})


def _incident(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    return _json({"date": _base(connection, address, _volume(request))["incident"]})


def _set_incident(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    asked = _object(request)
    date = _field(asked, "date", int)
    volume = _volume(request)
    _base(connection, address, volume)
    _set(connection, address, volume, "incident", date)
    return _done()


def _lock(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    who = _field(_object(request), "who", str)
    volume = _volume(request)
    if not who:
        raise _refusal(400, 400, "'who' not set")
    _take(connection, address, volume, who)
    _set(connection, address, volume, "lock", who)
    return _done()


def _unlock(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    """Whoever holds the lock."""
    volume = _volume(request)
    _base(connection, address, volume)
    _set(connection, address, volume, "lock", "")
    return _done()


def _clear(connection: sqlite3.Connection, address: str, request: HttpRequest) -> HttpReply:
    """Remove entries, and always the date of the incident; the lock of its own is released."""
    volume = _volume(request)
    incident = _take(connection, address, volume, _LOCKED_BY_CLEAR)["incident"]
    everything, before, repair = (
        is_true(request.query.get(name, "")) for name in ("all", "before_incident", "repair")
    )
    where = "rdir = ? AND volume = ?"
    removed = repaired = 0
    if everything or (before and incident):
        gone = connection.execute(
            f"DELETE FROM oio_rdir WHERE {where} AND (? OR mtime <= ?)",
            (address, volume, everything, incident),
        )
        removed = gone.rowcount
    if repair and not everything:
        repaired = sum(1 for _ in _entries(connection, address, volume))
    _set(connection, address, volume, "incident", 0)
    _set(connection, address, volume, "lock", "")
    return _json({"removed": removed, "repaired": repaired, "errors": 0})


# Routes of the service


def _service_status(
    connection: sqlite3.Connection, address: str, request: HttpRequest
) -> HttpReply:
    return _json({"opened_db_count": len(bases(connection, address))})


_ROUTES: dict[str, dict[str, Callable[[sqlite3.Connection, str, HttpRequest], HttpReply]]] = {
    "/status": {"GET": _service_status},
    "/v1/status": {"GET": _status, "POST": _status},
    "/v1/rdir/create": {"POST": _create},
    "/v1/rdir/push": {"POST": _push},
    "/v1/rdir/fetch": {"POST": _fetch},
    "/v1/rdir/delete": {"DELETE": _delete},
    "/v1/rdir/status": {"GET": _status, "POST": _status},
    "/v1/rdir/admin/show": {"GET": _show},
    "/v1/rdir/admin/incident": {"GET": _incident, "POST": _set_incident},
    "/v1/rdir/admin/lock": {"POST": _lock},
    "/v1/rdir/admin/unlock": {"POST": _unlock},
    "/v1/rdir/admin/clear": {"POST": _clear},
}


# What they share


def _volume(request: HttpRequest) -> str:
    volume = request.query.get("vol")
    if not volume:
        raise _refusal(400, 400, "no volume id")
    return volume


def _base(connection: sqlite3.Connection, address: str, volume: str) -> sqlite3.Row:
    found = connection.execute(
        "SELECT incident, lock FROM oio_rdir_bases WHERE rdir = ? AND volume = ?",
        (address, volume),
    ).fetchone()
    if found is None:
        raise _refusal(404, 404, "DB not found")
    base: sqlite3.Row = found
    return base


def _take(connection: sqlite3.Connection, address: str, volume: str, who: str) -> sqlite3.Row:
    base = _base(connection, address, volume)
    if base["lock"] not in ("", who):
        raise _refusal(403, 403, f"Already locked by {base['lock']}")
    return base


def _set(
    connection: sqlite3.Connection, address: str, volume: str, column: str, value: object
) -> None:
    connection.execute(
        f"UPDATE oio_rdir_bases SET {column} = ? WHERE rdir = ? AND volume = ?",
        (value, address, volume),
    )


def _entries(
    connection: sqlite3.Connection, address: str, volume: str
) -> Iterator[tuple[str, int]]:
    rows = connection.execute(
        "SELECT key, mtime FROM oio_rdir WHERE rdir = ? AND volume = ? ORDER BY key",
        (address, volume),
    )
    return ((row["key"], row["mtime"]) for row in rows)


def _body(request: HttpRequest) -> Any:
    try:
        return loads(request.body)
    except ValueError as error:
        raise _refusal(400, 400, "Invalid JSON") from error


def _object(request: HttpRequest) -> _Json:
    value = _body(request)
    if not isinstance(value, dict):
        raise _refusal(400, 400, "Not an object")
    return value


def _key(entry: _Json) -> str:
    names = ("container_id", "content_id", "chunk_id")
    return "|".join(_field(entry, name, str) for name in names)


def _field(values: Any, name: str, kind: type, default: Any = None) -> Any:
    value = values.get(name) if isinstance(values, dict) else None
    if value is None and default is None:
        raise _refusal(400, 400, f"Missing field [{name}]")
    if value is not None and type(value) is not kind:
        raise _refusal(400, 400, f"Invalid type for field [{name}]")
    return default if value is None else value


_REASONS = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
}


def _refusal(http: int, status: int, message: str) -> Answered:
    body = dumps({"status": status, "message": message})
    return Answered(HttpReply(http, _REASONS[http], [_TYPE], body))


def _done() -> HttpReply:
    return HttpReply(204, "OK", [])


_TYPE = ("Content-Type", "application/json")


def _json(value: object) -> HttpReply:
    return HttpReply(200, "OK", [_TYPE], json.dumps(value, separators=(",", ":")).encode())
