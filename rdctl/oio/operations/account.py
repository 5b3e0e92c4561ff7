"""Accounts and their containers, through the account service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing, Report, between
from rdctl.core.units import escape, quoted, raw_bytes
from rdctl.oio.acts import (
    ACCEPTED,
    ALREADY,
    PAGE,
    PROVEN,
    Acts,
    Evidence,
    after_name,
    different,
)
from rdctl.oio.model import Account, Place
from rdctl.oio.properties import DELETE, SET

if TYPE_CHECKING:
    from rdctl.oio.client import Client
    from rdctl.workers import Workers

# From the server: unknown type of service.
_NO_TYPE = 453
_NOT_FOUND, _CONFLICT = 404, 409
# How long the service keeps the lock of a deletion that it refused.
LOCK_SECONDS = 10


# Each account is queried for its totals.
MOST_ACCOUNTS = 1000


def each_account(client: Client, workers: Workers, names: Sequence[str]) -> Iterator[Account]:
    """Their totals, a query each; one that is deleted meanwhile is left out."""
    if len(names) > MOST_ACCOUNTS:
        message = f"{len(names)} accounts are too many to add up (maximum {MOST_ACCOUNTS})"
        raise RdctlError(Code.UNSUPPORTED, message)

    def show(name: str) -> Account | None:
        try:
            return client.account_service.show(name)
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise

    return (account for account in workers.ordered(show, names) if account)


class Accounts(Acts):
    def names(self) -> Listing:
        return Listing({"account": name} for name in sorted(self._proxy.account_service.names()))

    def each(self, names: Sequence[str]) -> Iterator[Account]:
        """The totals of these accounts."""
        return each_account(self._proxy, self._workers, names)

    def one(self, name: str | None) -> Account:
        return self._proxy.account_service.show(self.account_name(name))

    def show(self, names: Sequence[str] | None) -> Listing:
        """These accounts, or that of the settings."""
        names = [self.account_name(None)] if names is None else names
        self._proxy.suggests = len(names) == 1
        return self._shown_by_name("show", names, self._proxy.account_service.show, str)

    def create(self, names: Sequence[str]) -> Report:
        def create(place: Place) -> Evidence:
            service = self._proxy.account_service
            new = service.create(place.name)
            if new is False:
                service.show(place.name)  # it accepts a name that is locked, without effect
                return ALREADY
            return PROVEN

        return self._each("create", _named(names), create)

    def delete(self, names: Sequence[str]) -> Report:
        """Delete accounts without containers. A deletion that the service refuses locks the account
        for a while, so what would be refused is not sent."""

        def lost(place: Place) -> str:
            account = self._proxy.account_service.show(place.name)
            if account.containers is None or account.containers > 0:
                raise _not_empty(place, account.containers)
            keys = f" with its properties ({escape(', '.join(account.metadata))})"
            described = f'account "{place.shown}"{keys if account.metadata else ""}'
            known = "it lists no containers (if it was flushed, they may still exist)"
            return f"{described} will be deleted; {known}"

        return self._each_confirmed("delete", _named(names), lost, self._delete)

    def _delete(self, place: Place, loss: str) -> Evidence:
        service = self._proxy.account_service
        try:
            service.delete(place.name, loss)
        except RdctlError as error:
            status = error.facts.get("http_status")
            if status == _CONFLICT:
                raise _not_empty(place, None, error) from error
            if status == _NOT_FOUND and self._exists(place.name):
                raise _locked(place, error) from error
            raise
        return PROVEN

    def _exists(self, name: str) -> bool:
        try:
            self._proxy.account_service.show(name)
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                return False
            raise
        return True

    def set_properties(
        self, name: str, properties: Mapping[str, str], replace: bool = False
    ) -> Report:
        """Set properties of an existing account: the service would create a missing one. Unchanged
        ones are not sent; `replace` deletes all others."""
        service = self._proxy.account_service
        found = service.show(name).metadata
        changed = different(properties, found)
        others = [key for key in found if key not in properties] if replace else []
        loss = None
        if others:
            loss = f"{escape(name)}: all other properties will be deleted"
            self._effects.consent([loss])
        was = dict(found) if replace else {key: found.get(key) for key in properties}
        facts: dict[str, Any] = {
            "properties": list(changed) if changed or others else list(properties),
            **between({"properties": was}, {"properties": dict(properties)}),
        }
        if changed or others:
            service.update(name, changed, others, loss)
        evidence = ACCEPTED if changed or others else ALREADY
        return Report([self._done(SET, name, evidence, facts, "properties updated")])

    def del_properties(self, name: str, keys: Sequence[str] | None) -> Report:
        """Delete those of these properties that are set; None: all."""
        service = self._proxy.account_service
        found = service.show(name).metadata
        requested = sorted(found) if keys is None else list(dict.fromkeys(keys))
        there = [key for key in requested if key in found]
        absent = [key for key in requested if key not in found]
        facts = {
            "properties": there,
            **({"not_set": absent} if absent else {}),
            **between(
                {"properties": {key: found[key] for key in there}},
                {"properties": dict.fromkeys(there)},
            ),
        }
        loss = None
        if there and keys is None:
            loss = f"{escape(name)}: all properties will be deleted: {escape(', '.join(there))}"
            self._effects.consent([loss])
        if there:
            service.update(name, {}, there, loss)
        evidence = ACCEPTED if there else ALREADY
        return Report([self._done(DELETE, name, evidence, facts, "properties deleted")])

    def flush(self, names: Sequence[str]) -> Report:
        """Make the service forget the containers of accounts; these stay what they are."""

        def lost(place: Place) -> str | None:
            account = self._proxy.account_service.show(place.name)
            if (account.containers, account.objects, account.bytes) == (0, 0, 0):
                return None
            count = account.containers
            containers = "all" if count is None else str(count)
            plural = "" if count == 1 else "s"
            return (
                f'account "{place.shown}": the service will forget its {containers}'
                f" container{plural}; they are not deleted, but not listed until they change"
                " or are touched"
            )

        def flush(place: Place, loss: str) -> Evidence:
            self._proxy.account_service.flush(place.name, loss)
            return PROVEN

        return self._each_confirmed("flush", _named(names), lost, flush, "flushed the listing of")

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
                page = self._proxy.account_service.containers(name, query)
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


def _named(names: Sequence[str]) -> list[Place]:
    """Accounts as targets."""
    return [Place(reference=name) for name in dict.fromkeys(names)]


def _not_empty(place: Place, count: int | None, error: RdctlError | None = None) -> RdctlError:
    containers = f"{count} container{'' if count == 1 else 's'}" if count else ""
    reason = f": {containers}" if containers else ""
    hint = (
        f"List them: rdctl oio account containers --account {quoted(place.name)}\n"
        "Destroy one and all its objects:"
        f" rdctl oio container destroy CONTAINER --flush --account {quoted(place.name)}\n"
        "If they no longer exist, refresh the account:"
        f" rdctl oio account refresh {quoted(place.name)}"
    )
    facts = error.facts if error else {}
    message = f'account "{place.shown}" is not empty{reason}'
    return RdctlError(Code.NOT_EMPTY, message, hint=hint, target=place.name, **facts)


def _locked(place: Place, error: RdctlError) -> RdctlError:
    """The service answers that the account does not exist, but shows it."""
    return RdctlError(
        Code.IN_USE,
        f'account "{place.shown}" is in use: locked by another request',
        hint=f"A deletion that was refused locks it: try again in {LOCK_SECONDS} seconds.",
        target=place.name,
        **error.facts,
    )


def _unlisted(error: RdctlError) -> RdctlError:
    return RdctlError(
        Code.UNSUPPORTED,
        "this namespace has no account service, which lists the containers of an account",
        hint="List the objects of a container: rdctl oio container list CONTAINER",
        **error.facts,
    )
