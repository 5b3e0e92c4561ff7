"""Replies that are used unchanged."""

from __future__ import annotations

from typing import Any

from rdctl.core.unread import rows
from rdctl.net.messages import Reply
from rdctl.oio.replies.values import as_array, as_object, as_properties, as_text, whole_or_none


def json(reply: Reply) -> Any:
    return reply.json() if reply.body.strip() else None


def texts(reply: Reply) -> dict[str, Any]:
    """Strings by key; None: not readable."""
    return as_properties(reply.json())


def caches(reply: Reply) -> list[dict[str, Any]]:
    """How many entries the proxy's caches have and may have, and for how many seconds."""
    return [_cache(name, as_object(values)) for name, values in sorted(reply.json().items())]


def _cache(name: str, values: dict[str, Any]) -> dict[str, Any]:
    return {"cache": name, **{key: whole_or_none(values.get(key)) for key in _OF_CACHE}}


_OF_CACHE = ("count", "max", "ttl")


def text(reply: Reply) -> str:
    return reply.text


def lines(reply: Reply) -> list[str]:
    return [line for line in reply.text.splitlines() if line.strip()]


def names(reply: Reply) -> list[str]:
    return sorted(rows(as_text, as_array(reply.json()), "name"))
