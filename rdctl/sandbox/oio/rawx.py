"""A rawx service: chunks by id, with their metadata in x-oio-chunk-meta- headers."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable
from email.utils import formatdate
from urllib.parse import quote, unquote

from rdctl.sandbox.oio import events
from rdctl.sandbox.oio.state import NAMESPACE, container_id, is_down, new_id
from rdctl.sandbox.oio.wsgi import Answered, Handler, HttpReply, HttpRequest, Router

_REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    206: "Partial Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}
_EXPLAINED = {
    400: "Your browser sent a request that this server could not understand.<br />\n",
    403: "You don't have permission to access this resource.",
    404: "The requested URL was not found on this server.",
    409: "The chunk is there already.",
    416: (
        "None of the range-specifier values in the Range\nrequest-header field overlap the current"
        " extent\nof the selected resource."
    ),
    422: (
        "The server understands the media type of the\nrequest entity, but was unable to process"
        " the\ncontained instructions."
    ),
}
_META = "x-oio-chunk-meta-"
_NEEDED = ("content-storage-policy", "content-chunk-method", "chunk-pos", "full-path")
_METACHUNK = ("metachunk-size", "metachunk-hash")
_CHUNK_ID = re.compile("//?([0-9A-Fa-f]{64})")  # OpenIO's own clients send two slashes


def router(address: str) -> Router:
    """The routes of the service that is known as `address`, an IP:PORT."""

    def route(request: HttpRequest) -> Handler:
        return answer

    def answer(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
        if is_down(connection, address):
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        if request.method == "GET" and request.path in _TEXTS:
            return _reply(200, [], _TEXTS[request.path].encode())
        handler = _ROUTES.get(request.method)
        if handler is None:
            raise _refusal(404)
        chunk = _CHUNK_ID.fullmatch(request.path)
        if chunk is None:
            raise _refusal(400)
        return handler(connection, request, (address, chunk[1].upper()))

    return route


_Key = tuple[str, str]  # the service's address, the chunk's id


def _put(connection: sqlite3.Connection, request: HttpRequest, key: _Key) -> HttpReply:
    stored = _stored(request, key)
    made = connection.execute(
        "INSERT OR IGNORE INTO oio_rawx VALUES (?, ?, ?, ?, ?, ?)",
        (*key, json.dumps(stored), time.time(), len(request.body), request.body),
    )
    if not made.rowcount:
        raise _refusal(409)
    events.stored(connection, key[0], stored)
    return _created(request, key, f"Resource /{key[1]}", _shown(stored))


def _stored(request: HttpRequest, key: _Key) -> dict[str, str]:
    """The metadata to store with a chunk; the names of its object are those of the full path."""
    meta = {
        name.removeprefix(_META): value
        for name, value in request.headers.items()
        if name.startswith(_META)
    }
    if (
        not all(meta.get(name) for name in _NEEDED)
        or meta.get("chunk-id", key[1]).upper() != key[1]
    ):
        raise _refusal(400)
    named = _named(meta["full-path"])
    if meta.get("container-id", named["container-id"]).upper() != named["container-id"]:
        raise _refusal(400)
    metachunk: dict[str, str] = {}
    if meta["content-chunk-method"].startswith("ec/"):
        if not all(meta.get(name) for name in _METACHUNK):
            raise _refusal(403)
        size, hash = (meta[name].upper() for name in _METACHUNK)
        metachunk = {"metachunk-size": size, "metachunk-hash": hash}
    digest = hashlib.md5(request.body, usedforsecurity=False).hexdigest().upper()
    if meta.get("chunk-hash", digest).upper() != digest:
        raise _refusal(422)
    return {
        **named,
        "content-storage-policy": meta["content-storage-policy"],
        "content-chunk-method": meta["content-chunk-method"],
        **metachunk,
        "chunk-id": key[1],
        "chunk-size": meta.get("chunk-size", str(len(request.body))),
        "chunk-hash": digest,
        "chunk-pos": meta["chunk-pos"],
        **{name: meta[name] for name in ("oio-version",) if name in meta},
        "full-path": meta["full-path"],
    }


def _named(full_path: str) -> dict[str, str]:
    parts = [unquote(part) for part in full_path.split("/")]
    if len(parts) != 5 or not all(parts):
        raise _refusal(400)
    account, container, path, version, content = parts
    return {
        "container-id": container_id(account, container),
        "content-path": quote(path, safe=""),
        "content-id": content,
        "content-version": version,
    }


def _copy(connection: sqlite3.Connection, request: HttpRequest, key: _Key) -> HttpReply:
    """Give a chunk a second name at this service, whatever host the new URL has."""
    full_path = request.headers.get(f"{_META}full-path")
    id = request.headers.get("destination", "").rpartition("/")[2].upper()
    if full_path is None or not _CHUNK_ID.fullmatch(f"/{id}"):
        raise _refusal(400)
    found = connection.execute(
        "SELECT headers FROM oio_rawx WHERE address = ? AND id = ?", key
    ).fetchone()
    if found is None:
        raise _refusal(404)
    if id == key[1]:
        raise _refusal(403)
    stored = json.loads(found["headers"])
    stored |= {**_named(full_path), "chunk-id": id, "full-path": full_path}
    made = connection.execute(
        "INSERT OR IGNORE INTO oio_rawx"
        " SELECT address, ?, ?, mtime, size, data FROM oio_rawx WHERE address = ? AND id = ?",
        (id, json.dumps(stored), *key),
    )
    if not made.rowcount:
        raise _refusal(409)
    events.stored(connection, key[0], stored)
    return _created(request, (key[0], id), f"Destination /{id}", [])


def _created(
    request: HttpRequest, key: _Key, what: str, headers: list[tuple[str, str]]
) -> HttpReply:
    host = request.headers.get("host", key[0])
    location = ("Location", f"http://{host}/{key[1]}")
    text = f"{what} has been created."
    return _page(201, text, [*headers, location], head="<html>\n<head>", charset="ISO-8859-1")


def _get(connection: sqlite3.Connection, request: HttpRequest, key: _Key) -> HttpReply:
    row = connection.execute(
        "SELECT rowid, headers, mtime, size FROM oio_rawx WHERE address = ? AND id = ?", key
    ).fetchone()
    if row is None:
        raise _refusal(404)
    size: int = row["size"]
    headers = [
        ("Last-Modified", formatdate(row["mtime"], usegmt=True)),
        ("ETag", f'"{int(row["mtime"] * 1e6):x}"'),
        ("Accept-Ranges", "bytes"),
    ]
    if request.headers.get("x-oio-xattr", "") != "false":
        headers += _shown(json.loads(row["headers"]))
    if request.method == "HEAD":
        return _reply(200, [*headers, *([("Content-Length", str(size))] if size else [])])
    asked = _ranges(request.headers.get("range", ""))
    if not asked:
        return _reply(200, headers, _part(connection, row["rowid"], 0, size - 1))
    spans = [span for span in (_span(first, last, size) for first, last in asked) if span]
    if not spans:
        raise _refusal(416)
    parts = [
        (f"bytes {first}-{last}/{size}", _part(connection, row["rowid"], first, last))
        for first, last in spans
    ]
    if len(parts) == 1:
        return _reply(206, [*headers, ("Content-Range", parts[0][0])], parts[0][1])
    boundary = new_id(16).lower()
    headers.append(("Content-Type", f"multipart/byteranges; boundary={boundary}"))
    return _reply(206, headers, _multipart(parts, boundary))


def _head(connection: sqlite3.Connection, request: HttpRequest, key: _Key) -> HttpReply:
    """The length of an empty or missing chunk is not reported."""
    try:
        reply = _get(connection, request, key)
    except Answered as answered:
        reply = answered.reply
    return reply._replace(body=b"", sized=False)


def _part(connection: sqlite3.Connection, row: int, first: int, last: int) -> bytes:
    """The bytes of a range, read without the others."""
    with connection.blobopen("oio_rawx", "data", row, readonly=True) as blob:
        blob.seek(first)
        return blob.read(last + 1 - first)


def drop(connection: sqlite3.Connection, address: str, id: str) -> bool:
    """Delete a chunk; False if the service has none of this id."""
    gone = connection.execute(
        "DELETE FROM oio_rawx WHERE address = ? AND id = ? RETURNING headers", (address, id)
    ).fetchone()
    if gone is not None:
        events.removed(connection, address, json.loads(gone["headers"]))
    return gone is not None


def _delete(connection: sqlite3.Connection, request: HttpRequest, key: _Key) -> HttpReply:
    if not drop(connection, *key):
        raise _refusal(404)
    return _reply(204, [])


_ROUTES: dict[str, Callable[[sqlite3.Connection, HttpRequest, _Key], HttpReply]] = {
    "PUT": _put,
    "GET": _get,
    "HEAD": _head,
    "DELETE": _delete,
    "COPY": _copy,
}
_COUNTED = ("", ".put", ".get", ".del", ".stat", ".info", ".raw", ".other")
_TEXTS = {
    "/info": f"namespace {NAMESPACE}\npath /var/lib/oio/sds\n",
    "/stat": "".join(
        f"counter req.{what}{name} 0\n" for what in ("time", "hits") for name in _COUNTED
    ),
}


# (first, last): "5-" has no last, "-4" no first
_Range = tuple[int | None, int | None]


def _ranges(header: str) -> list[_Range]:
    """The ranges of a Range header; none when it is not understood."""
    unit, _, listed = header.partition("=")
    found = [re.fullmatch(r"\s*([0-9]*)-([0-9]*)\s*", part) for part in listed.split(",")]
    if unit != "bytes" or not all(match and (match[1] or match[2]) for match in found):
        return []
    return [
        (int(match[1]) if match[1] else None, int(match[2]) if match[2] else None)
        for match in found
        if match
    ]


def _span(first: int | None, last: int | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte of what the range covers, if it covers any."""
    if first is None:
        first, last = max(0, size - (last or 0)), None
    last = size - 1 if last is None else min(last, size - 1)
    return (first, last) if first <= last else None


def _multipart(parts: list[tuple[str, bytes]], boundary: str) -> bytes:
    body = b"".join(
        f"\r\n--{boundary}\r\nContent-range: {covered}\r\n\r\n".encode() + data
        for covered, data in parts
    )
    return body + f"\r\n--{boundary}--\r\n".encode()


def _shown(stored: dict[str, str]) -> list[tuple[str, str]]:
    return [(f"X-oio-chunk-meta-{name}", value) for name, value in stored.items()]


def _reply(status: int, headers: list[tuple[str, str]], body: bytes = b"") -> HttpReply:
    return HttpReply(status, _REASONS[status], [("Server", "Apache"), *headers], body)


def _refusal(status: int) -> Answered:
    return Answered(_page(status, _EXPLAINED[status]))


def _page(
    status: int,
    text: str,
    headers: list[tuple[str, str]] | None = None,
    *,
    head: str = "<html><head>",
    charset: str = "iso-8859-1",
) -> HttpReply:
    reason = _REASONS[status]
    page = (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">'
        f"\n{head}\n<title>{status} {reason}</title>\n</head><body>\n<h1>{reason}</h1>\n"
        f"<p>{text}</p>\n</body></html>\n"
    )
    kind = ("Content-Type", f"text/html; charset={charset}")
    return _reply(status, [*(headers or []), kind], page.encode())
