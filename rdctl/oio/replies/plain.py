"""Replies that are used unchanged."""

from __future__ import annotations

from typing import Any

from rdctl.core.unread import rows
from rdctl.net.messages import Reply
from rdctl.oio.replies.values import as_array, as_text


def json(reply: Reply) -> Any:
    return reply.json() if reply.body.strip() else None


def text(reply: Reply) -> str:
    return reply.text


def lines(reply: Reply) -> list[str]:
    return [line for line in reply.text.splitlines() if line.strip()]


def names(reply: Reply) -> list[str]:
    return sorted(rows(as_text, as_array(reply.json()), "name"))
