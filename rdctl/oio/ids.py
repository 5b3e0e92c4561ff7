"""Ids in place of names, as logs print them. People are told names, and some routes refuse ids:
real proxies take a container's id nearly everywhere, but not where contents are deleted in a batch,
touched or created, and a content's id not where properties are set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.oio.model import Container, Content, Place
    from rdctl.oio.proxy import Proxy

# What content/show refuses although the id is known: its data were drained.
_DRAINED = 427


def owner(proxy: Proxy, place: Place) -> Place:
    """The container of that id, by account and name."""
    shown: Container = proxy.read("container.show", place)
    if not shown.account:
        message = f"container/show does not report the account of container {place.shown}"
        raise RdctlError(Code.BAD_REPLY, message, target=place.name)
    return place._replace(account=shown.account, reference=shown.container)


def named(proxy: Proxy, place: Place) -> Place:
    """The content of that id, with its path. It still goes by its id: its version may be old."""
    try:
        return place._replace(path=_shown(proxy, place).path)
    except RdctlError as error:
        if error.facts.get("remote_status") != _DRAINED:
            raise
        return place


def by_path(proxy: Proxy, place: Place) -> Place:
    """The content of that id by its path; with a version only where it is not the latest, since
    3.3 does not find every version by its number."""
    shown = _shown(proxy, place)
    found = place._replace(path=shown.path, content_id=None, version=None)
    try:
        latest = _shown(proxy, found).content_id == shown.content_id
    except RdctlError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        latest = False
    return found if latest else found._replace(version=str(shown.version))


def _shown(proxy: Proxy, place: Place) -> Content:
    shown: Content = proxy.read("content.show", place, {"properties": "0"})
    if not shown.path:
        message = f"content/show does not report the name of content {place.shown}"
        raise RdctlError(Code.BAD_REPLY, message, target=place.name)
    return shown
