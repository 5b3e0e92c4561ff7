"""References, and the services that they are linked to."""

from __future__ import annotations

from typing import Any

from rdctl.core.unread import rows
from rdctl.net.messages import Reply
from rdctl.oio.model import Link
from rdctl.oio.replies.values import as_array, as_text, or_null, text_or_none, whole_or_none


def links(reply: Reply) -> list[Link]:
    """reference/link and renew: the services that it is now linked to, at least one."""
    found = _links(reply.json())
    if not found:
        raise ValueError("a link was expected")
    return found


def relinked(reply: Reply) -> list[Link]:
    """reference/relink: the new services only; none if it was only rehearsed."""
    return _links(as_array(reply.json()))


def _links(entries: Any) -> list[Link]:
    found = rows(_link, as_array(entries), "link", "type", "host")
    # 4.2 lists them in random order.
    return sorted(found, key=lambda link: (link.type, link.seq or 0, link.address))


def _link(entry: Any) -> Link:
    return Link(
        whole_or_none(entry.get("seq")),
        as_text(entry["type"]),
        as_text(entry["host"]),
        text_or_none(entry.get("args")) or "",
    )


def shown(reply: Reply) -> tuple[list[Link], list[Link] | None]:
    """The linked services, and the directory's own."""
    body = reply.json()
    directory = body.get("dir")
    return (
        _links(body["srv"]),
        None if directory is None else or_null(_links, directory, "reference", "dir"),
    )
