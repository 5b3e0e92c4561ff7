"""A rdir service, of which only its own state is shown."""

from __future__ import annotations

import json
import sqlite3

from rdctl.sandbox.oio.wsgi import Answered, Handler, HttpReply, HttpRequest


def route(request: HttpRequest) -> Handler:
    if (request.method, request.path) == ("GET", "/status"):
        return _status
    raise Answered(_json(404, "Not found", {"status": 400, "message": "Route not managed"}))


def _status(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _json(200, "OK", {"opened_db_count": 0})


def _json(status: int, reason: str, value: object) -> HttpReply:
    body = json.dumps(value, separators=(",", ":")).encode()
    return HttpReply(status, reason, [("Content-Type", "application/json")], body)
