"""The account service: accounts, and the containers of an account. Errors are plain text."""

from __future__ import annotations

import json
import re
import sqlite3
from http import HTTPStatus
from itertools import islice
from typing import Any

from rdctl.sandbox.oio.state import now
from rdctl.sandbox.oio.wsgi import Answered, Handler, HttpReply, HttpRequest

_LIMIT = 1000


def route(request: HttpRequest) -> Handler:
    handler = _ROUTES.get((request.method, request.path.rstrip("/")))
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
    made = connection.execute(
        "INSERT OR IGNORE INTO oio_accounts VALUES (?, ?, '{}')", (id, now() / 1e6)
    )
    return _plain(201, id) if made.rowcount else _plain(202)


def _show(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _json(_shown(connection, _id(request)))


def _containers(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    id = _id(request)
    shown = _shown(connection, id)
    limit = request.query.get("limit", str(_LIMIT))
    if not re.fullmatch("[0-9]{1,9}", limit):
        raise _refusal(400, "Invalid limit")
    return _json(shown | {"listing": _listing(connection, id, request, int(limit))})


def _update(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """For a missing account: accepted, without effect."""
    id = _id(request)
    account = _account(connection, id)
    try:
        wishes = json.loads(request.body or b"{}")
        old = json.loads(account["metadata"]) if account else {}
        metadata = old | (wishes.get("metadata") or {})
        removed = wishes.get("to_delete") or []
        kept = {key: value for key, value in metadata.items() if key not in removed}
    except (ValueError, AttributeError, TypeError) as error:
        raise _refusal(500, f"Unmanaged error: {error}") from error
    if account is not None:
        connection.execute(
            "UPDATE oio_accounts SET metadata = ? WHERE name = ?", (json.dumps(kept), id)
        )
    return _plain(204)


def _delete(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    id = _id(request)
    if _account(connection, id) is None:
        raise _refusal(404, "No such account")
    if _counted(connection, id):
        raise _refusal(409, "Account not empty")
    connection.execute("DELETE FROM oio_accounts WHERE name = ?", (id,))
    return _plain(204)


_ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "/status"): _status,
    ("GET", "/v1.0/account/list"): _list,
    ("GET", "/v1.0/account/show"): _show,
    ("GET", "/v1.0/account/containers"): _containers,
    ("PUT", "/v1.0/account/create"): _create,
    ("POST", "/v1.0/account/update"): _update,
    ("POST", "/v1.0/account/delete"): _delete,
}


def _account(connection: sqlite3.Connection, id: str) -> Any:
    return connection.execute("SELECT * FROM oio_accounts WHERE name = ?", (id,)).fetchone()


def _shown(connection: sqlite3.Connection, id: str) -> dict[str, Any]:
    account = _account(connection, id)
    if account is None:
        raise _refusal(404, "Account not found")
    counted = _counted(connection, id)
    return {
        "ctime": f"{account['ctime']:.5f}",
        "bytes": sum(size for _, _, size, _ in counted),
        "objects": sum(objects for _, objects, _, _ in counted),
        "id": id,
        "containers": len(counted),
        "metadata": json.loads(account["metadata"]),
    }


def _counted(connection: sqlite3.Connection, id: str) -> list[tuple[str, int, int, float]]:
    """Name, objects, bytes and time of each container, by name."""
    rows = connection.execute(
        "SELECT r.name, o.value AS objects, u.value AS size, t.value AS ctime"
        " FROM oio_references r JOIN oio_bases b USING (cid)"
        + "".join(
            f" JOIN oio_properties {alias} ON {alias}.owner = 'base' AND {alias}.cid = r.cid"
            f" AND {alias}.name = x'' AND {alias}.version = 0"
            f" AND {alias}.key = CAST('sys.m2.{key}' AS BLOB)"
            for alias, key in (("o", "objects"), ("u", "usage"), ("t", "ctime"))
        )
        + " WHERE r.account = ? AND EXISTS"
        " (SELECT 1 FROM oio_links l WHERE l.cid = r.cid AND l.type = 'meta2') ORDER BY r.name",
        (id,),
    )
    return [
        (row["name"], int(row["objects"]), int(row["size"]), int(row["ctime"]) / 1e6)
        for row in rows
    ]


def _listing(
    connection: sqlite3.Connection, id: str, request: HttpRequest, limit: int
) -> list[list[Any]]:
    """[name, objects, bytes, 0, time] of each container, or [prefix, 0, 0, 1, 0]."""
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    marker, end = query.get("marker", ""), query.get("end_marker", "")
    listed: dict[str, list[Any]] = {}
    for name, objects, size, ctime in _counted(connection, id):
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
