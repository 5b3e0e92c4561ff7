"""Contents, and their chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rdctl.core.unread import Misread, needed, rows, spared
from rdctl.net.messages import Reply
from rdctl.oio.model import Content
from rdctl.oio.replies.values import (
    as_array,
    as_object,
    as_text,
    date,
    header,
    or_null,
    true_or_false,
    whole,
    whole_or_none,
)

_CONTENT = "x-oio-content-meta-"


# What describes a content beside its length, in headers.
_DESCRIBED = (
    *("name", "id", "version", "hash", "policy", "mime-type"),
    *("chunk-method", "ctime", "mtime", "deleted"),
)


def shown(reply: Reply) -> Content:
    """content/show: chunks in the body, the rest in headers. Downloads check themselves whether the
    length is known, and which chunks are complete."""
    length = reply.headers[_CONTENT + "length"]
    chunks = rows(_chunk, as_array(reply.json()), "chunk")
    if chunks and not any(chunk["url"] for chunk in chunks):
        raise Misread("url of a chunk")
    return _described(reply, chunks)._replace(size=or_null(whole, length, "object", "length"))


def _described(reply: Reply, chunks: list[dict[str, Any]]) -> Content:
    headers = {name: header(reply, _CONTENT + name) for name in _DESCRIBED}
    headers["chunk-size"] = header(reply, "x-oio-ns-chunk-size")
    # Positions come in any order, and replicas too.
    chunks.sort(key=lambda chunk: (_position(chunk["pos"] or "0"), chunk["url"] or ""))
    return spared(_content, headers, "object")._replace(chunks=chunks)


def _content(headers: dict[str, Any]) -> Content:
    deleted = headers.get("deleted")
    return Content(
        container="",
        path=headers.get("name") or "",
        content_id=headers.get("id"),
        version=whole_or_none(headers.get("version")),
        size=None,
        hash=headers.get("hash") or None,
        policy=headers.get("policy"),
        mime_type=headers.get("mime-type"),
        chunk_method=headers.get("chunk-method"),
        chunk_size=whole_or_none(headers.get("chunk-size")),
        created=date(headers.get("ctime")),
        modified=date(headers.get("mtime")),
        deleted=None if deleted is None else true_or_false(deleted),
        properties=None,
        chunks=[],
    )


def prepared(reply: Reply) -> Content:
    """content/prepare and prepare2: the same, of a content whose chunks will have its version. Data
    will be sent to each of them."""
    needed("version", whole_or_none, header(reply, f"{_CONTENT}version"))
    length = needed("length", whole, reply.headers[_CONTENT + "length"])
    body = reply.json()
    listed = as_array(body["chunks"] if isinstance(body, dict) else body)
    for chunk in listed:
        for key, read in _CHUNK.items():
            needed(f"{key} of a chunk", read, as_object(chunk).get(key))
    return _described(reply, [_chunk(chunk) for chunk in listed])._replace(size=length)


def _chunk(chunk: Any) -> dict[str, Any]:
    """A chunk from the server, without what cannot be read."""
    if not isinstance(chunk, dict):
        raise TypeError("a chunk was expected")
    found = dict(chunk)
    for key, read in {**_CHUNK, "score": whole_or_none}.items():
        if found.get(key) is None or or_null(read, found[key], "chunk", key) is None:
            found[key] = None
    return found


def _position(text: str) -> tuple[int, ...]:
    return tuple(whole(part) for part in text.split("."))


_CHUNK: dict[str, Callable[[Any], object]] = {
    "url": as_text,
    "pos": _position,
    "hash": as_text,
    "size": whole,
}


def spare(reply: Reply) -> list[str]:
    return [as_text(chunk["id"]) for chunk in as_array(reply.json()["chunks"])]
