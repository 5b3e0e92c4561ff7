"""The objects of flat names: those of many containers of an account, as one listing."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from itertools import chain
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing
from rdctl.oio.acts import PAGE, Acts, OioDependencies, failure
from rdctl.oio.flat import Flat
from rdctl.oio.model import Entry, Page, Place
from rdctl.oio.operations.account import Accounts
from rdctl.oio.operations.container import also_shown, entries_of
from rdctl.workers import ends_the_rest


class _Begun(NamedTuple):
    """The listing of a container, of which a page was read."""

    holder: Place
    pages: Iterator[Page]
    fault: RdctlError | None = None


class FlatListings(Acts):
    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        self._accounts = Accounts(means)

    def entries(self, flat: Flat, filters: Mapping[str, Any], limit: int | None) -> Listing:
        """The objects of all flat containers, by the names of the containers. The first pages of
        some containers are read ahead, all others when they are shown."""
        listing = Listing((), also=also_shown(filters))

        def found() -> Iterator[Entry]:
            last = None
            with closing(self._entries(flat, filters, limit, listing)) as entries:
                for number, entry in enumerate(entries):
                    if number == limit:
                        listing.marker = last
                        return
                    yield entry
                    last = entry.name

        listing.items = found()
        return listing

    def _entries(
        self, flat: Flat, filters: Mapping[str, Any], limit: int | None, listing: Listing
    ) -> Generator[Entry, None, None]:
        marker, left_out = filters["marker"], 0
        query = {**filters, "max": min(PAGE, limit or PAGE), "marker": None}

        def begin(start: tuple[Place, str | None]) -> _Begun:
            holder, after = start
            pages = self._proxy.pages(holder, {**query, "marker": after})
            try:
                return _Begun(holder, chain([next(pages)], pages))
            except RdctlError as error:
                return _Begun(holder, iter(()), error)

        self._proxy.suggests = False
        self._workers.progress.begin(self._total(marker), "containers")
        with closing(self._workers.ordered(begin, self._containers(flat, marker))) as containers:
            for holder, pages, fault in containers:
                try:
                    if fault is not None:
                        raise fault
                    for page in pages:
                        for entry in entries_of(page, filters, self._warn):
                            if flat.container(entry.name) == holder.reference:
                                yield entry
                            else:
                                left_out += 1
                except RdctlError as error:
                    if ends_the_rest(error):
                        raise
                    # The account service forgets a container some time after it was destroyed.
                    if error.code is not Code.NOT_FOUND:
                        listing.failures.append(failure("list", holder.name, error))
                self._workers.progress.advance()
        if left_out:
            noun = "object was" if left_out == 1 else "objects were"
            listing.notes.append(
                f"{left_out} {noun} left out: --auto looks for such names in other containers"
            )

    def _total(self, marker: str | None) -> int | None:
        """How many containers the account counts, for the progress bar; None if not known."""
        if marker:
            return None
        try:
            return self._accounts.one(None).containers
        except RdctlError:  # the listing shows why
            return None

    def _containers(self, flat: Flat, marker: str | None) -> Iterator[tuple[Place, str | None]]:
        """The flat containers of the account, from that of the marker on, where the listing begins
        after the marker."""
        account = self.account_name(None)
        after = flat.container(marker) if marker else None
        if after is not None:
            yield Place(account=account, reference=after), marker
        filters = {"prefix": None, "marker": after}
        for row in self._accounts.list_containers(filters, None).items:
            if flat.names(row.name):
                yield Place(account=account, reference=row.name), None
            else:
                self._workers.progress.advance()
