"""Requests and replies as plain values, and the only place where a fault becomes a reply."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from rdctl.sandbox.store import Store

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# Names and values hold any byte: they are str with surrogateescape here, BLOBs in the store.
_CODEC = ("utf-8", "surrogateescape")


class HttpRequest(NamedTuple):
    """A request: `path` decoded, of each parameter the first, header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def has(self, name: str) -> bool:
        return name in self.query

    def flag(self, name: str) -> bool:
        """A mode: `?name=1`, or a word of the header x-oio-action-mode."""
        modes = self.headers.get("x-oio-action-mode", "").split(",")
        return is_true(self.query.get(name, "")) or name in (mode.strip() for mode in modes)


class HttpReply(NamedTuple):
    """`sized`: with the length of its body, unless a header of its own has one."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    sized: bool = True


Handler = Callable[[sqlite3.Connection, HttpRequest], HttpReply]
Router = Callable[[HttpRequest], Handler]


class Answered(Exception):
    """Ends a request, and undoes what it changed: `reply` is the answer."""

    def __init__(self, reply: HttpReply) -> None:
        super().__init__(reply)
        self.reply = reply


def application(
    store: Store, route: Router, advertise: Mapping[str, str] | None = None
) -> WSGIApplication:
    """A server over the store. GET and HEAD read it; each other request is one transaction.

    `advertise`: what clients see, and send, in place of the addresses that the store holds; read
    again for each request.
    """

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen = advertise or {}
        request = _translated(_request(environ), {shown: held for held, shown in seen.items()})
        try:
            handler = route(request)
            transaction = store.look if request.method in ("GET", "HEAD") else store.change
            with transaction() as connection:
                reply = handler(connection, request)
        except Answered as answered:
            reply = answered.reply
        body = _replaced(reply.body, seen)
        headers = reply.headers
        if reply.sized and all(name != "Content-Length" for name, _ in headers):
            headers = [*headers, ("Content-Length", str(len(body)))]
        start_response(f"{reply.status} {reply.reason}", headers)
        return [body]

    return app


def _request(environ: WSGIEnvironment) -> HttpRequest:
    return HttpRequest(
        method=environ["REQUEST_METHOD"].upper(),
        path=environ["PATH_INFO"],
        query=_query(environ.get("QUERY_STRING", "").encode("latin-1")),
        headers={
            name[5:].lower().replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        },
        body=_body(environ),
    )


def _query(raw: bytes) -> dict[str, str]:
    """The parameters; one whose value contains a NUL is ignored."""
    query: dict[str, str] = {}
    for field in raw.split(b"&"):
        name, _, value = field.partition(b"=")
        plain = unquote_to_bytes(value.replace(b"+", b" "))
        if b"\0" not in plain:
            query.setdefault(text(name), text(plain))
    return query


def _body(environ: WSGIEnvironment) -> bytes:
    length = environ.get("CONTENT_LENGTH") or ""
    if length:
        whole: bytes = environ["wsgi.input"].read(int(length)) if length.isdigit() else b""
        return whole
    if environ.get("wsgi.input_terminated"):
        rest: bytes = environ["wsgi.input"].read()
        return rest
    return b""


def _translated(request: HttpRequest, pairs: Mapping[str, str]) -> HttpRequest:
    query = {name: text(_replaced(raw(value), pairs)) for name, value in request.query.items()}
    return request._replace(query=query, body=_replaced(request.body, pairs))


def _replaced(body: bytes, pairs: Mapping[str, str]) -> bytes:
    if not pairs:
        return body
    by = {old.encode(): new.encode() for old, new in pairs.items()}
    old = rb"(?<![0-9])(?:" + b"|".join(map(re.escape, by)) + rb")(?![0-9])"
    return re.sub(old, lambda match: by[match[0]], body)


def text(raw: bytes) -> str:
    return raw.decode(*_CODEC)


def raw(value: str) -> bytes:
    try:
        return value.encode(*_CODEC)
    except UnicodeEncodeError:  # half a surrogate pair, from JSON
        return value.encode("utf-8", "replace")


def is_utf8(value: str) -> bool:
    return not re.search("[\ud800-\udfff]", value)


def is_true(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on")


# JSON, as lenient as the servers' parser: see `loads`.

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'', re.DOTALL)
_BEFORE_NUL = re.compile(r"(?:[^\\]|\\(?!u0000).)*", re.DOTALL)
_DECODER = json.JSONDecoder(strict=False)


def loads(body: bytes) -> Any:
    """A JSON object, array or string; None without a body; ValueError.

    Strings may be in single quotes and end at a `\\u0000`; what follows the value is ignored.
    """
    if not body:
        return None
    try:
        value, _ = _DECODER.raw_decode(_STRING.sub(_plain_string, text(body).lstrip(" \t\r\n")))
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(value, (dict, list, str)):
        raise ValueError("a bare scalar")
    return value


def _plain_string(match: re.Match[str]) -> str:
    quote, inside = match[0][0], match[0][1:-1]
    if "\\u0000" in inside:
        kept = _BEFORE_NUL.match(inside)
        inside = kept[0] if kept else ""
    if quote == "'":
        inside = inside.replace('"', '\\"').replace("\\'", "'")
    return f'"{inside}"'


def dumps(value: Any, *, slashes: bool = True) -> bytes:
    """JSON as the servers write it: no blanks, no \\u escapes, and `/` as `\\/`."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return raw(written.replace("/", "\\/") if slashes else written)
