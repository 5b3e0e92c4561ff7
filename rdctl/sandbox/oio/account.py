"""The account service: accounts, and the containers of an account. Errors are plain text."""

from __future__ import annotations

import json
import sqlite3
from http import HTTPStatus
from itertools import islice
from typing import Any, NamedTuple

from rdctl.sandbox.oio.state import now
from rdctl.sandbox.oio.wsgi import Answered, Handler, HttpReply, HttpRequest

_LIMIT = 1000


# Left behind by a deletion that was refused: meanwhile the account seems not to exist.
_LOCK_SECONDS = 10
# From a touch of a container to its event.
_EVENT_SECONDS = 1.5
# What the service keeps of a time.
_DIGITS = 5


def route(request: HttpRequest) -> Handler:
    """The method is not checked; here GET changes nothing."""
    handler = _READS.get(request.path)
    if handler is None and request.method != "GET":
        handler = _CHANGES.get(request.path)
    if handler is None:
        raise _refusal(
            404,
            "The requested URL was not found on the server. If you entered the URL manually"
            " please check your spelling and try again.",
        )
    return handler


def _plain(status: int, text: str = "") -> HttpReply:
    return _reply(status, "text/plain", text.encode("utf-8", "surrogateescape"))


def _json(value: Any) -> HttpReply:
    return _reply(200, "text/json", json.dumps(value).encode())


def _json_text(value: Any) -> HttpReply:
    return _reply(200, "text/plain", json.dumps(value).encode())


def _reply(status: int, kind: str, body: bytes) -> HttpReply:
    headers = [("Server", "gunicorn/19.10.0"), ("Content-Type", f"{kind}; charset=utf-8")]
    return HttpReply(status, HTTPStatus(status).phrase.upper(), headers, body)


def _refusal(status: int, text: str) -> Answered:
    return Answered(_plain(status, text))


def _id(request: HttpRequest) -> str:
    id = request.query.get("id")
    if not id:
        raise _refusal(400, "Missing Account ID")
    return id.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _status(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    count = connection.execute("SELECT count(*) AS accounts FROM oio_accounts").fetchone()
    return _json({"account_count": count["accounts"]})


def _list(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    rows = connection.execute("SELECT name FROM oio_accounts ORDER BY name")
    return _json([row["name"] for row in rows])


def _create(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    id = _id(request)
    return _plain(201, id) if _ensure(connection, id) else _plain(202)


def _ensure(connection: sqlite3.Connection, id: str) -> bool:
    """Create the account; False if it exists."""
    made = connection.execute(
        "INSERT OR IGNORE INTO oio_accounts VALUES (?, ?, '{}')", (id, _now())
    )
    return made.rowcount > 0


def _now() -> float:
    return now() / 1e6


def _show(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _json(_shown(connection, _id(request)))


def _containers(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    id = _id(request)
    shown = _shown(connection, id)
    limit = request.query.get("limit", str(_LIMIT))
    try:
        most = max(0, int(limit))
    except ValueError as error:
        raise _unmanaged(error) from error
    return _json(shown | {"listing": _listing(connection, id, request, most)})


def _unmanaged(error: Exception) -> Answered:
    return _refusal(500, f"Unmanaged error: {error}")


def _update(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """A missing account is created. What is to be deleted goes first."""
    id = _id(request)
    try:
        wishes = json.loads(request.body)
        added, removed = wishes.get("metadata") or {}, wishes.get("to_delete") or []
        metadata = {key: _stored(value) for key, value in added.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise _unmanaged(error) from error
    _ensure(connection, id)
    old = json.loads(_account(connection, id)["metadata"])
    kept = {key: value for key, value in old.items() if key not in removed}
    connection.execute(
        "UPDATE oio_accounts SET metadata = ? WHERE name = ?", (json.dumps(kept | metadata), id)
    )
    return _plain(204)


def _stored(value: Any) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    kind = type(value).__name__
    raise TypeError(
        f"Invalid input of type: '{kind}'. Convert to a bytes, string, int or float first."
    )


def _delete(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """A refusal leaves a lock."""
    id = _id(request)
    locked = "SELECT 1 FROM oio_account_locks WHERE name = ? AND until > ?"
    if _account(connection, id) is None or connection.execute(locked, (id, _now())).fetchone():
        raise _refusal(404, "No such account")
    if _counted(connection, id):
        lock = (id, _now() + _LOCK_SECONDS)
        connection.execute("INSERT OR REPLACE INTO oio_account_locks VALUES (?, ?)", lock)
        return _plain(409, "Account not empty")
    connection.execute("DELETE FROM oio_accounts WHERE name = ?", (id,))
    return _plain(204)


def _refresh(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """The sums are always those of the counters."""
    _require(connection, _id(request))
    return _plain(204)


def _flush(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Forget the containers, until one of them changes."""
    id = _id(request)
    _require(connection, id)
    for name in _counted(connection, id):
        _recount(connection, id, name, None)
    return _plain(204)


def _require(connection: sqlite3.Connection, id: str) -> None:
    if _account(connection, id) is None:
        raise _refusal(404, id)


def _container_update(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """What an event of a container reports: its counters, or that it is gone."""
    id, event = _id(request), _event(request)
    name = event.get("name")
    if not name:
        raise _refusal(400, "Missing account or container")
    _ensure(connection, id)
    known = _counted(connection, id).get(name)
    last = known.mtime if known else 0.0
    mtime, dtime = (round(float(event.get(key) or 0), _DIGITS) for key in ("mtime", "dtime"))
    if max(mtime, dtime) <= last:
        raise _refusal(409, "No update needed, event older than last container update")
    counted = _Counted(int(event.get("objects") or 0), int(event.get("bytes") or 0), mtime)
    _recount(connection, id, name, counted if mtime >= dtime else None)
    return _json_text(name)


def _container_reset(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    id, event = _id(request), _event(request)
    name, mtime = str(event.get("name")), round(float(event.get("mtime") or 0), _DIGITS)
    known = _counted(connection, id).get(name)
    if known is None:
        raise _refusal(404, f"Container {name} not found")
    if mtime <= known.mtime:
        raise _refusal(409, "No update needed, event older than last container update")
    _recount(connection, id, name, _Counted(0, 0, mtime))
    return _plain(204)


def _event(request: HttpRequest) -> dict[str, Any]:
    try:
        event: dict[str, Any] = dict(json.loads(request.body))
    except (ValueError, TypeError) as error:
        raise _unmanaged(error) from error
    return event


_READS: dict[str, Handler] = {
    "/status": _status,
    "/v1.0/account/list": _list,
    "/v1.0/account/show": _show,
    "/v1.0/account/containers": _containers,
}
_CHANGES: dict[str, Handler] = {
    "/v1.0/account/create": _create,
    "/v1.0/account/update": _update,
    "/v1.0/account/delete": _delete,
    "/v1.0/account/refresh": _refresh,
    "/v1.0/account/flush": _flush,
    "/v1.0/account/container/update": _container_update,
    "/v1.0/account/container/reset": _container_reset,
}


def _account(connection: sqlite3.Connection, id: str) -> Any:
    return connection.execute("SELECT * FROM oio_accounts WHERE name = ?", (id,)).fetchone()


def _shown(connection: sqlite3.Connection, id: str) -> dict[str, Any]:
    account = _account(connection, id)
    if account is None:
        raise _refusal(404, "Account not found")
    counted = _counted(connection, id).values()
    return {
        "ctime": f"{account['ctime']:.5f}",
        "bytes": sum(one.bytes for one in counted),
        "objects": sum(one.objects for one in counted),
        "id": id,
        "containers": len(counted),
        "metadata": json.loads(account["metadata"]),
    }


class _Counted(NamedTuple):
    """What the service knows about a container."""

    objects: int
    bytes: int
    mtime: float


def _counted(connection: sqlite3.Connection, id: str) -> dict[str, _Counted]:
    """The containers by name, in order: as they are, unless something else was reported and they
    did not change since."""
    live = {row["name"]: row for row in _live(connection, id)}
    counted = {
        name: _Counted(int(row["objects"]), int(row["size"]), int(row["ctime"]) / 1e6)
        for name, row in live.items()
    }
    for row in connection.execute("SELECT * FROM oio_recounted WHERE account = ?", (id,)):
        name = row["name"]
        version = live[name]["version"] if name in live else None
        if row["version"] != version or (row["until"] is not None and row["until"] <= _now()):
            continue
        if row["mtime"] is None:
            counted.pop(name, None)
        else:
            counted[name] = _Counted(row["objects"], row["bytes"], row["mtime"])
    return dict(sorted(counted.items()))


def _recount(connection: sqlite3.Connection, id: str, name: str, counted: _Counted | None) -> None:
    """Remember these counters of a container, or that it is forgotten, until it changes."""
    version = next((row["version"] for row in _live(connection, id, name)), None)
    connection.execute(
        "INSERT OR REPLACE INTO oio_recounted VALUES (?, ?, ?, ?, ?, ?, NULL)",
        (id, name, *(counted or (None, None, None)), version),
    )


def touched(connection: sqlite3.Connection, cid: str) -> None:
    """A container was touched: its event arrives in a moment."""
    connection.execute(
        "UPDATE oio_recounted SET until = ? WHERE until IS NULL AND (account, name) ="
        " (SELECT account, name FROM oio_references WHERE cid = ?)",
        (_now() + _EVENT_SECONDS, cid),
    )


def _live(connection: sqlite3.Connection, id: str, name: str | None = None) -> list[sqlite3.Row]:
    """The counters of the containers themselves."""
    keys = (("o", "objects"), ("u", "usage"), ("t", "ctime"), ("v", "version"))
    return connection.execute(
        "SELECT r.name, o.value AS objects, u.value AS size, t.value AS ctime, v.value AS version"
        " FROM oio_references r JOIN oio_bases b USING (cid)"
        + "".join(
            f" JOIN oio_properties {alias} ON {alias}.owner = 'base' AND {alias}.cid = r.cid"
            f" AND {alias}.name = x'' AND {alias}.version = 0"
            f" AND {alias}.key = CAST('sys.m2.{key}' AS BLOB)"
            for alias, key in keys
        )
        + " WHERE r.account = ? AND (? IS NULL OR r.name = ?) AND EXISTS"
        " (SELECT 1 FROM oio_links l WHERE l.cid = r.cid AND l.type = 'meta2') ORDER BY r.name",
        (id, name, name),
    ).fetchall()


def _listing(
    connection: sqlite3.Connection, id: str, request: HttpRequest, limit: int
) -> list[list[Any]]:
    """[name, objects, bytes, 0, time] of each container, or [prefix, 0, 0, 1, 0]."""
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    marker, end = query.get("marker", ""), query.get("end_marker", "")
    listed: dict[str, list[Any]] = {}
    for name, (objects, size, ctime) in _counted(connection, id).items():
        if not name.startswith(prefix) or name <= marker or (end and name >= end):
            continue
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            stem = name[: cut + len(delimiter)]
            if stem > marker:
                listed.setdefault(stem, [stem, 0, 0, 1, 0])
        else:
            listed.setdefault(name, [name, objects, size, 0, round(ctime, 5)])
    return list(islice(listed.values(), limit))
