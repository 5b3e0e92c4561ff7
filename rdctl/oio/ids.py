"""Ids in place of names, as logs print them. People read names, and some routes refuse ids:
real proxies take a container's id nearly everywhere, but not where objects are deleted in a batch,
touched or created, and an object's id not where properties are set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.paging import PAGE

if TYPE_CHECKING:
    from rdctl.oio.client import Client
    from rdctl.oio.model import Container, Content, Place

# What content/show refuses although the id is known: its data were drained.
_DRAINED = 427


def owner(proxy: Client, place: Place) -> Place:
    """The container of that id, by account and name."""
    shown: Container = proxy.read("container.show", place)
    if not shown.account:
        message = f"container/show does not report the account of container {place.shown}"
        raise RdctlError(Code.BAD_REPLY, message, target=place.name)
    return place._replace(account=shown.account, reference=shown.container)


def by_id(proxy: Client, place: Place) -> Place:
    """The object of that id, with its path, for messages."""
    shown = _unless_drained(proxy, place)
    return place if shown is None else place._replace(path=shown.path)


def by_version(proxy: Client, place: Place) -> Place:
    """The same, with its version where it is not the latest: without it a server puts the delete
    marker below the latest version, where it has no effect."""
    shown = _unless_drained(proxy, place)
    if shown is None:
        return place
    return place._replace(path=shown.path, version=_version(proxy, place, shown))


def for_deletion(proxy: Client, place: Place) -> Place:
    """As `by_version`, but a version goes by its path: proxies 7 ignore it beside an ID, and add a
    delete marker. The ID of the latest data below a delete marker is that of a deleted object."""
    named = by_version(proxy, place)
    if named.version is None or named.path is None:
        return named
    named = named._replace(content_id=None)
    if place.version is None and named.version == _latest_data(proxy, named):
        return named._replace(version=None)
    return named


def _latest_data(proxy: Client, place: Place) -> str | None:
    """The latest version of an object that is no delete marker."""
    query = {"prefix": place.path, "all": True, "max": PAGE}
    for page in proxy.pages(place.holder, query):
        for entry in page.entries:
            if entry.name == place.path and not entry.deleted:
                return str(entry.version)
    return None


def by_path(proxy: Client, place: Place) -> Place:
    """The object of that id by its path, with its version where it is not the latest."""
    shown = _shown(proxy, place)
    version = _version(proxy, place, shown)
    return place._replace(path=shown.path, content_id=None, version=version)


# How an object given by its id is sent in a change.
SENT_BY = {
    "id": by_id,
    "version": by_version,
    "path": by_path,
    "deletion": for_deletion,
}


def _version(proxy: Client, place: Place, shown: Content) -> str | None:
    """The version to send: none for the latest, since 3.3 does not find each by its number, and a
    container without versions refuses any."""
    if place.version is not None:
        return place.version
    try:
        latest = _shown(proxy, place._replace(path=shown.path, content_id=None))
    except RdctlError as error:
        # The latest is a delete marker, or has no data.
        if error.code is not Code.NOT_FOUND and not _drained(error):
            raise
        return str(shown.version)
    return None if latest.content_id == shown.content_id else str(shown.version)


def _drained(error: RdctlError) -> bool:
    return error.facts.get("remote_status") == _DRAINED


def _unless_drained(proxy: Client, place: Place) -> Content | None:
    try:
        return _shown(proxy, place)
    except RdctlError as error:
        if not _drained(error):
            raise
        return None


def _shown(proxy: Client, place: Place) -> Content:
    shown = proxy.content(place)
    if not shown.path:
        message = f"content/show does not report the name of object {place.shown}"
        raise RdctlError(Code.BAD_REPLY, message, target=place.name)
    return shown
