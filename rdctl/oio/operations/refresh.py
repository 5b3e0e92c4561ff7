"""Refresh: the account service learns anew what containers hold.

The counters of a container are reset, and the container is touched: its event brings them back a
moment later. One that no longer exists is removed from the listing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Report
from rdctl.core.units import escape, raw_bytes
from rdctl.oio.acts import PAGE, UNREPORTED, Acts, distinct, failure
from rdctl.oio.model import Place
from rdctl.workers import Turns

# HTTP: not listed, or changed meanwhile. Then only the touch is needed.
_UNNEEDED = (404, 409)
# Of the proxy: no such container.
_GONE = (406, 431)


class _Refreshed(NamedTuple):
    """Of an account: its containers, those removed from its listing, and those that failed."""

    containers: int = 0
    removed: int = 0
    failed: int = 0
    error: RdctlError | None = None

    def plus(self, outcome: bool | RdctlError) -> _Refreshed:
        """With one more container, and whether it was removed, or why it failed."""
        if isinstance(outcome, RdctlError):
            return _Refreshed(
                self.containers + 1, self.removed, self.failed + 1, self.error or outcome
            )
        return self._replace(containers=self.containers + 1, removed=self.removed + outcome)


class Refreshes(Acts):
    def containers(self, places: Sequence[Place]) -> Report:
        def one(batch: Sequence[Place]) -> Iterator[Change | Failure]:
            for place in batch:
                try:
                    removed = self._refresh(place, self._last_event(place))
                except RdctlError as error:
                    yield failure("refresh", place.name, error)
                else:
                    past = "{} not found; removed from the listing of its account"
                    yield self._done(
                        "refresh", place.name, UNREPORTED, past=past if removed else None
                    )

        return self._in_turn("refresh", [[place] for place in distinct(places)], one)

    def accounts(self, names: Sequence[str] | None) -> Report:
        """These accounts, or all. One at a time: the containers of each are many."""
        service = self._proxy.account_service
        names = sorted(service.names()) if names is None else list(dict.fromkeys(names))
        self._effects.foretell(f"refresh account {escape(name)}" for name in names)
        turns = Turns()

        def outcomes() -> Iterator[Change | Failure]:
            for name in names:

                def act(name: str = name) -> list[Change | Failure]:
                    return [self._account_outcome(name)]

                yield from turns.outcomes("refresh", [name], act)

        return Report(outcomes())

    def _account_outcome(self, name: str) -> Change | Failure:
        try:
            done = self._refresh_account(name)
        except RdctlError as error:
            return failure("refresh", name, error)
        if done.error is not None:
            return Failure("refresh", _partly(name, done, done.error))
        facts = {"containers": done.containers}
        if done.removed:
            facts["removed"] = done.removed
        return self._done("refresh", name, UNREPORTED, facts)

    def _refresh_account(self, name: str) -> _Refreshed:
        service = self._proxy.account_service
        account = service.show(name)
        self._proxy.suggests = False
        service.refresh(name)
        self._workers.progress.begin(account.containers, "containers")
        done, turns = _Refreshed(), Turns()

        def one(entry: tuple[str, float]) -> bool | RdctlError:
            container, last = entry
            place = Place(account=name, reference=container)
            try:
                return turns.take(lambda: self._refresh(place, last), container)
            except RdctlError as error:
                return error

        for page in self._pages(name):
            for outcome in self._workers.ordered(one, list(page.items())):
                done = done.plus(outcome)
                self._workers.progress.advance()
        return done

    def _pages(self, name: str) -> Iterator[dict[str, float]]:
        """The containers of an account page by page, with the times of their last events."""
        marker: str | None = None
        while True:
            query = {"marker": marker, "limit": PAGE}
            page = self._proxy.account_service.last_events(name, query)
            if not page:
                return
            yield page
            last = max(page, key=raw_bytes)
            if marker is not None and raw_bytes(last) <= raw_bytes(marker):
                message = f'the account service does not advance past "{escape(marker)}"'
                raise RdctlError(Code.BAD_REPLY, message)
            marker = last

    def _last_event(self, place: Place) -> float | None:
        """When the container last changed; None: its account does not list it."""
        account, container = self.account_name(place.account), place.container
        try:
            query = {"prefix": container, "limit": 1}
            return self._proxy.account_service.last_events(account, query).get(container)
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise

    def _refresh(self, place: Place, last: float | None) -> bool:
        """Reset its counters and touch it; whether it no longer exists, and was removed."""
        account, service = self.account_name(place.account), self._proxy.account_service
        listed = last is not None and self._reset(account, place.container, last)
        try:
            self._change("container.touch", place)
        except RdctlError as error:
            if last is not None and error.facts.get("remote_status") in _GONE:
                service.forget(account, place.container, last)
                return True
            if listed:
                error.message += "; its counters were reset, refresh it again"
            raise
        return False

    def _reset(self, account: str, container: str, last: float) -> bool:
        """Whether the counters were reset."""
        try:
            self._proxy.account_service.reset(account, container, last)
        except RdctlError as error:
            if error.facts.get("http_status") in _UNNEEDED:
                return False
            raise
        return True


def _partly(name: str, done: _Refreshed, first: RdctlError) -> RdctlError:
    """The error of an account with containers that were not refreshed."""
    failed = f"{done.failed} of {done.containers} containers not refreshed"
    message = f'account "{escape(name)}": {failed}: {first.message}'
    return RdctlError(first.code, message, hint=first.hint, target=name, **first.facts)
