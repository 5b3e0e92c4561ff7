"""Which content a request is about: a name of a container, in one of its versions."""

from __future__ import annotations

import re
import sqlite3

from rdctl.sandbox.oio import base
from rdctl.sandbox.oio.replies import ALIAS_NOT_FOUND, ApiFault, bad_request
from rdctl.sandbox.oio.wsgi import HttpRequest, raw

PATH_BYTES = 1023
_NO_PATH = "Missing path and content"


def path_of(request: HttpRequest) -> bytes:
    """The name; empty when it is missing or longer than the servers take."""
    path = raw(request.query.get("path", ""))
    return path if len(path) <= PATH_BYTES else b""


def _version(request: HttpRequest) -> int | None:
    given = request.query.get("version")
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", given):
        raise bad_request("Invalid parameter 'version', not a number")
    return int(given)


def refuse_nameless(request: HttpRequest, complaint: str = _NO_PATH) -> None:
    if not path_of(request) and not request.query.get("content"):
        raise bad_request(complaint)


def aliases_of(connection: sqlite3.Connection, cid: str, request: HttpRequest) -> list[sqlite3.Row]:
    """The versions that the request may mean, the latest first; an id is ignored if there is a
    path."""
    path = path_of(request)
    conditions: list[tuple[str, object]] = [
        ("a.cid = ?", cid),
        ("a.name = ?", path),
        ("a.content = ?", "" if path else request.query.get("content", "").upper()),
        ("a.version = ?", _version(request)),
    ]
    given = [pair for pair in conditions if pair[1] not in (b"", "", None)]
    where = " AND ".join(condition for condition, _ in given)
    return base.aliases(connection, where, [value for _, value in given]).fetchall()


def find_alias(connection: sqlite3.Connection, cid: str, request: HttpRequest) -> sqlite3.Row:
    """The latest version, or the requested one; Fault 420 or 426."""
    found = aliases_of(connection, cid, request)
    if not found:
        raise ApiFault(ALIAS_NOT_FOUND, "Alias not found")
    if found[0]["deleted"]:
        raise ApiFault(426, "Alias deleted")
    alias: sqlite3.Row = found[0]
    return alias
