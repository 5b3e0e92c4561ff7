"""What rdir services report about the volumes that they index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rdctl.core.unread import needed, rows
from rdctl.net.messages import Reply
from rdctl.oio.model import IndexedContainer
from rdctl.oio.replies.values import (
    as_array,
    as_object,
    as_text,
    date,
    or_null,
    true_or_false,
    whole,
)

_TRUNCATED, _MARKER = "x-oio-list-truncated", "x-oio-list-marker"


class Key(NamedTuple):
    """An entry of the index, and when its chunk was stored."""

    cid: str
    content_id: str
    chunk_id: str
    modified: str | None


class Keys(NamedTuple):
    """A page of the index; `marker` None: it is the last one."""

    keys: list[Key]
    marker: str | None


class Counts(NamedTuple):
    """A page of the status; `incident` None: none is set, and nothing is to be rebuilt."""

    chunks: int
    to_rebuild: int
    incident: int | None
    containers: list[IndexedContainer]
    marker: str | None


class State(NamedTuple):
    """`incident` 0: none. `lock`: who holds it, or empty."""

    incident: int
    lock: str


class Cleared(NamedTuple):
    """What happened to the entries of an index."""

    removed: int
    repaired: int
    errors: int


def keys(reply: Reply) -> Keys:
    """fetch. Since 7 the headers have the marker; before, only an empty page is the last one."""
    entries = as_array(reply.json())
    return Keys(rows(_key, entries, "index entry"), _marker(reply, entries))


def _marker(reply: Reply, entries: list[Any]) -> str | None:
    if _TRUNCATED in reply.headers:
        return reply.headers[_MARKER] if true_or_false(reply.headers[_TRUNCATED]) else None
    return as_text(entries[-1][0]) if entries else None


def _key(entry: Any) -> Key:
    key, about = entry
    cid, content_id, chunk_id = as_text(key).split("|")
    return Key(cid, content_id, chunk_id, or_null(date, about.get("mtime"), "entry", "mtime"))


def counts(reply: Reply) -> Counts:
    """status. Since 7 it comes in pages."""
    body = reply.json()
    incident = _incident(as_object(body.get("rebuild")).get("incident_date"))
    truncated = true_or_false(reply.headers.get(_TRUNCATED, "false"))
    return Counts(
        chunks=needed("total", whole, body["chunk"]["total"]),
        to_rebuild=needed("to_rebuild", whole, body["chunk"].get("to_rebuild", 0)),
        incident=incident,
        containers=[
            _container(cid, about, incident is not None)
            for cid, about in as_object(body["container"]).items()
        ],
        marker=reply.headers[_MARKER] if truncated else None,
    )


def _container(cid: str, about: Any, incident: bool) -> IndexedContainer:
    of_it = as_object(about)
    chunks = or_null(whole, of_it.get("total"), "container", "total")
    to_rebuild = or_null(whole, of_it.get("to_rebuild", 0), "container", "to_rebuild")
    return IndexedContainer(cid, chunks, to_rebuild if incident else None)


def state(reply: Reply) -> State:
    """admin/show"""
    body = as_object(reply.json())
    lock = needed("lock", as_text, body.get("lock", ""))
    return State(_incident(body.get("incident_date")) or 0, lock)


def _incident(value: Any) -> int | None:
    return None if value in (None, "") else needed("incident_date", whole, value) or None


def cleared(reply: Reply) -> Cleared:
    """admin/clear"""
    body: Mapping[str, Any] = reply.json()
    return Cleared(*(needed(name, whole, body[name]) for name in Cleared._fields))
