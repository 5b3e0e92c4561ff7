"""Accounts and their containers, through the account service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing
from rdctl.core.units import escape, raw_bytes
from rdctl.oio.acts import PAGE, Acts, after_name
from rdctl.oio.model import Account

# From the server: unknown type of service.
_NO_TYPE = 453


class Accounts(Acts):
    def names(self) -> Listing:
        return Listing({"account": name} for name in sorted(self._proxy.accounts()))

    def one(self, name: str | None) -> Account:
        return self._proxy.account(self.account_name(name))

    def show(self, names: Sequence[str] | None) -> Listing:
        """These accounts, or that of the settings."""
        names = [self.account_name(None)] if names is None else names
        self._proxy.suggests = len(names) == 1
        return self._shown_by_name("show", names, self._proxy.account, str)

    def list_containers(self, filters: Mapping[str, Any], limit: int | None) -> Listing:
        """As `containers`, for a user who may not know that these are kept by a service of their
        own; `filters` are prefix, delimiter, marker and end_marker."""
        listing = self.containers(limit=limit, **filters)

        def found(items: Iterable[Any]) -> Iterator[Any]:
            try:
                yield from items
            except RdctlError as error:
                if error.facts.get("remote_status") != _NO_TYPE:
                    raise
                raise _unlisted(error) from error

        listing.items = found(listing.items)
        return listing

    def containers(
        self,
        prefix: str | None,
        marker: str | None,
        limit: int | None,
        delimiter: str | None = None,
        end_marker: str | None = None,
    ) -> Listing:
        """The containers of the account, page by page; with a delimiter, prefixes too."""
        listing = Listing(())
        ends = {"delimiter": delimiter, "end_marker": end_marker}
        name = self.account_name(None)

        def found() -> Iterator[Any]:
            left, after = limit, marker
            while True:
                # One more than requested shows whether more follow.
                size = PAGE if left is None else min(PAGE, left + 1)
                query = {"prefix": prefix, "marker": after, "limit": size, **ends}
                page = self._proxy.account_containers(name, query)
                names = [raw_bytes(row.name) for row in page.rows]
                if names and after is not None and names[-1] <= raw_bytes(after):
                    raise RdctlError(
                        Code.BAD_REPLY,
                        f'the account service does not advance past "{escape(after)}"',
                    )
                taken = page.rows[:left]
                yield from taken
                after = after_name(taken[-1]) if taken else after
                if left is not None and len(taken) == left < page.size:
                    listing.marker = after
                    return
                if page.size < size:
                    return
                left = None if left is None else left - len(taken)

        listing.items = found()
        return listing


def _unlisted(error: RdctlError) -> RdctlError:
    return RdctlError(
        Code.UNSUPPORTED,
        "this namespace has no account service, which lists the containers of an account",
        hint="List the objects of a container: rdctl oio container list CONTAINER",
        **error.facts,
    )
