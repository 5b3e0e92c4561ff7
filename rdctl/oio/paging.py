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
    turning = _Turning(place, query, request_id)
    last = None
    while True:
        page: PageOf[Any] = read(route, place, turning.query)
        # From 2025 on, the next page begins between the versions of a name, if this one ends there.
        version = page.version_marker if query.get("all") else None
        if query.get("all") and not query.get("delimiter") and version is None:
            page = _whole_names(read, place, turning.query, page)
        # A marker may be inside a prefix, which is then listed again.
        if page.entries and page.entries[0] == last:
            page = page._replace(entries=page.entries[1:])
        last = page.entries[-1] if page.entries else last
        yield page
        if page.marker is None:
            return
        turning.turn(page.marker, version)


def begun(
    read: Callable[..., Any], place: Place, query: Mapping[str, Any], request_id: str
) -> Page:
    """The first page that has entries, or the last one. From 2025 on, a page without entries may be
    followed by others."""
    turning = _Turning(place, query, request_id)
    while True:
        page: Page = read("container.list", place, turning.query)
        if page.entries or page.skipped or page.marker is None:
            return page
        turning.turn(page.marker, page.version_marker if query.get("all") else None)


class _Turning:
    """The query of a page, and of those that follow. A marker that does not advance would loop
    forever."""

    def __init__(self, place: Place, query: Mapping[str, Any], request_id: str) -> None:
        self.query = dict(query)
        self._place = place
        self._request_id = request_id
        given = query.get("marker")
        self._reached: _Reached | None = (raw_bytes(given), None) if given else None

    def turn(self, marker: str, version: int | None) -> None:
        before, self._reached = self._reached, (unquote_to_bytes(marker), version)
        if not _advanced(before, self._reached):
            message = f'{self._place.shown}: the listing does not advance past "{marker}"'
            raise RdctlError(Code.BAD_REPLY, message, request_id=self._request_id)
        self.query |= {"marker": Escaped(marker), "version_marker": version}


# A name, and a version of it.
_Reached = tuple[bytes, int | None]


def _advanced(before: _Reached | None, now: _Reached) -> bool:
    """Versions are listed from the latest one on."""
    if before is None or now[0] != before[0]:
        return before is None or now[0] > before[0]
    return before[1] is not None and now[1] is not None and now[1] < before[1]


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
