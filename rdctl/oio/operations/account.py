"""Accounts and their containers, through the account service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Item, Listing
from rdctl.core.units import escape, raw_bytes
from rdctl.oio.acts import PAGE, Acts


class Accounts(Acts):
    def names(self) -> Listing:
        return Listing({"account": name} for name in sorted(self._proxy.accounts()))

    def show(self, name: str | None) -> Item:
        return Item(self._proxy.account(self.account_name(name)))

    def containers(self, prefix: str | None, marker: str | None, limit: int | None) -> Listing:
        """The containers of the account, page by page."""
        listing = Listing(())
        name = self.account_name(None)

        def found() -> Iterator[Any]:
            left, after = limit, marker
            while True:
                # One more than requested shows whether more follow.
                size = PAGE if left is None else min(PAGE, left + 1)
                query = {"prefix": prefix, "marker": after, "limit": size}
                page = self._proxy.account_containers(name, query)
                names = [raw_bytes(row.name) for row in page.rows]
                if names and after is not None and names[-1] <= raw_bytes(after):
                    raise RdctlError(
                        Code.BAD_REPLY,
                        f'the account service does not advance past "{escape(after)}"',
                    )
                taken = page.rows[:left]
                yield from taken
                after = taken[-1].name if taken else after
                if left is not None and len(taken) == left < page.size:
                    listing.marker = after
                    return
                if page.size < size:
                    return
                left = None if left is None else left - len(taken)

        listing.items = found()
        return listing
