"""The listing of a container, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import raw_bytes
from rdctl.oio.bodies import Escaped, escaped
from rdctl.oio.model import Entry, Page, PageOf, Place

# The size of a page: a server may not return more.
PAGE = 1000


def pages(
    read: Callable[..., Any],
    place: Place,
    query: Mapping[str, Any],
    request_id: str,
    route: str = "container.list",
) -> Iterator[PageOf[Any]]:
    """The pages, each requested after the previous one was consumed. `read` is that of a client."""
    following: dict[str, Any] = {}
    given = query.get("marker")
    reached = raw_bytes(given) if given else None
    last = None
    while True:
        page: PageOf[Any] = read(route, place, {**query, **following})
        if query.get("all") and not query.get("delimiter"):
            page = _whole_names(read, place, {**query, **following}, page)
        # A marker may be inside a prefix, which is then listed again.
        if page.entries and page.entries[0] == last:
            page = page._replace(entries=page.entries[1:])
        last = page.entries[-1] if page.entries else last
        yield page
        if page.marker is None:
            return
        # A marker that does not advance would loop forever.
        before, reached = reached, unquote_to_bytes(page.marker)
        if before is not None and reached <= before:
            message = f'{place.shown}: the listing does not advance past "{page.marker}"'
            raise RdctlError(Code.BAD_REPLY, message, request_id=request_id)
        following = {"marker": Escaped(page.marker)}


def _whole_names(
    read: Callable[..., Any], place: Place, query: Mapping[str, Any], page: Page
) -> Page:
    """A page of versions without those of its last name: the next page begins after that name,
    although it may have further versions. They are listed again, with the next names."""
    if page.marker is None or not page.entries:
        return page
    whole = _without_last_name(page)
    if not whole and int(query.get("max", PAGE)) < PAGE:
        page = read("container.list", place, {**query, "max": PAGE})
        if page.marker is None or not page.entries:
            return page
        whole = _without_last_name(page)
    if not whole:
        return page._replace(incomplete=page.entries[-1].name)
    return page._replace(entries=whole, marker=escaped(whole[-1].name))


def _without_last_name(page: Page) -> list[Entry]:
    last = page.entries[-1].name
    return [entry for entry in page.entries if entry.name != last]
