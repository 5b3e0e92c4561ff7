"""The namespace at a glance: its services by type, and what its accounts hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from rdctl.core.errors import RdctlError
from rdctl.core.results import Listing
from rdctl.oio.acts import Acts, failure
from rdctl.oio.model import Overview, Service, ServicesOfType
from rdctl.oio.operations.account import each_account

T = TypeVar("T")


class Overviews(Acts):
    """The namespace at a glance."""

    def show(self) -> Listing:
        """One row. A part that fails is null in it; if all fail, the command does."""
        listing = Listing((), vertical=True)

        def part(target: str, ask: Callable[[], T]) -> T | None:
            try:
                return ask()
            except RdctlError as error:
                listing.failures.append(failure("overview", target, error))
                return None

        def found() -> Iterator[Overview]:
            types = part("services", self._types)
            services = None
            if types is not None:
                services = [
                    part(type, partial(self._of_type, type)) or ServicesOfType(type)
                    for type in types
                ]
                services = [row for row in services if row.total != 0]
            names = part("accounts", self._proxy.account_service.names)
            if types is None and names is None:
                error, *_ = [one.error for one in listing.failures]
                listing.failures.clear()
                error.target = None
                raise error
            total = None if names is None else part("accounts", lambda: self._total(names))
            yield Overview(
                namespace=self._proxy.namespace,
                services=services,
                accounts=None if names is None else len(names),
                **(total or dict.fromkeys(_TOTALS)),
            )

        listing.items = found()
        return listing

    def _types(self) -> list[str]:
        types: list[str] = self._proxy.read("conscience.types", None, {"what": "types"})
        return sorted(types)

    def _of_type(self, type: str) -> ServicesOfType:
        services: list[Service] = self._proxy.read("conscience.list", None, {"type": type})
        states = [service.state for service in services]
        scores = [service.score for service in services if service.score is not None]
        return ServicesOfType(
            type=type,
            total=len(services),
            up=states.count("up"),
            down_or_locked=sum(map(states.count, ("down-or-locked", "down", "locked"))),
            lowest_score=min(scores, default=None),
        )

    def _total(self, names: Sequence[str]) -> dict[str, int | None]:
        """The sums over all accounts; one that is deleted meanwhile counts nothing."""
        shown = list(each_account(self._proxy, self._workers, names))
        return {key: _sum([getattr(account, key) for account in shown]) for key in _TOTALS}


_TOTALS = ("containers", "objects", "bytes")


def _sum(values: Sequence[Any]) -> int | None:
    """None, if one of them is not known."""
    return None if None in values else sum(values)
