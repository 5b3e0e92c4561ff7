"""What a new namespace holds: one container of an account, created as by a client."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from urllib.parse import quote

from rdctl.sandbox.oio import base, proxy, rawx
from rdctl.sandbox.oio.state import NAMESPACE
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest

ACCOUNT = "sandbox"
CONTAINER = "photos"

_DRAWING = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 50">'
    '<rect width="80" height="50" fill="{sky}"/><path d="{shape}" fill="{ground}"/></svg>\n'
)
_RIDGE = "M0 50 L22 18 L34 30 L52 8 L80 50 Z"
_WAVES = "M0 34 Q10 28 20 34 T40 34 T60 34 T80 34 V50 H0 Z"

# name, MIME type, body, properties
_OBJECTS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    (
        "alps/ridge.svg",
        "image/svg+xml",
        _DRAWING.format(sky="#bcd", shape=_RIDGE, ground="#456"),
        {"place": "Zermatt", "taken": "2023-08-14"},
    ),
    (
        "alps/valley at dusk.svg",
        "image/svg+xml",
        _DRAWING.format(sky="#fca", shape=_RIDGE, ground="#232"),
        {"place": "Grindelwald", "taken": "2023-08-16"},
    ),
    (
        "sea/harbour.svg",
        "image/svg+xml",
        _DRAWING.format(sky="#def", shape=_WAVES, ground="#147"),
        {"place": "Hamburg", "taken": "2024-05-02"},
    ),
    (
        "sea/storm.svg",
        "image/svg+xml",
        _DRAWING.format(sky="#778", shape=_WAVES, ground="#123"),
        {"place": "Sylt", "taken": "2024-11-19"},
    ),
    ("index.txt", "text/plain", "alps: two drawings\nsea: two drawings\n", {}),
)


def seed(connection: sqlite3.Connection) -> None:
    base.create(connection, ACCOUNT, CONTAINER, {"owner": "ada"}, {})
    for name, mime, body, properties in _OBJECTS:
        _upload(connection, name, mime, body.encode(), properties)


def _upload(
    connection: sqlite3.Connection, name: str, mime: str, data: bytes, properties: dict[str, str]
) -> None:
    prepared = _ask(connection, "prepare", name, {}, {"size": len(data)})
    chunks = json.loads(prepared.body)
    hash = hashlib.md5(data, usedforsecurity=False).hexdigest().upper()
    meta = {key.lower(): value for key, value in prepared.headers}
    meta |= {"x-oio-content-meta-hash": hash, "x-oio-content-meta-mime-type": mime}
    for chunk in chunks:
        _put(connection, chunk["url"], name, meta, data)
        chunk.update(size=len(data), hash=hash)
    _ask(connection, "create", name, meta, {"chunks": chunks, "properties": properties})


def _ask(
    connection: sqlite3.Connection, action: str, name: str, headers: dict[str, str], body: object
) -> HttpReply:
    query = {"acct": ACCOUNT, "ref": CONTAINER, "path": name}
    path = f"/v3.0/{NAMESPACE}/content/{action}"
    request = HttpRequest(
        method="POST", path=path, query=query, headers=headers, body=json.dumps(body).encode()
    )
    return proxy.route(request)(connection, request)


def _put(
    connection: sqlite3.Connection, url: str, name: str, meta: dict[str, str], data: bytes
) -> None:
    address, _, id = url.removeprefix("http://").partition("/")
    version, content = meta["x-oio-content-meta-version"], meta["x-oio-content-meta-id"]
    parts = (ACCOUNT, CONTAINER, name, version, content)
    headers = {
        "x-oio-chunk-meta-content-storage-policy": meta["x-oio-content-meta-policy"],
        "x-oio-chunk-meta-content-chunk-method": meta["x-oio-content-meta-chunk-method"],
        "x-oio-chunk-meta-chunk-pos": "0",
        "x-oio-chunk-meta-full-path": "/".join(quote(part, safe="") for part in parts),
    }
    request = HttpRequest(method="PUT", path=f"/{id}", query={}, headers=headers, body=data)
    rawx.router(address)(request)(connection, request)
