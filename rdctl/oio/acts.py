"""What all families of changes share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from rdctl.core.errors import Code, Ended, RdctlError, as_error
from rdctl.core.results import Change, Failure, Listing, Report, between
from rdctl.core.units import escape
from rdctl.effects.door import Effects
from rdctl.oio import paging
from rdctl.oio.client import Client
from rdctl.oio.model import AccountContainer, Entry, Outcome, Place
from rdctl.oio.properties import setting
from rdctl.oio.refusals import Asked
from rdctl.workers import Stopped, Turns, Workers, left_under_way, not_begun

T = TypeVar("T")
# Maximum items of create_many and delete_many; size of a page of a listing.
BATCH = 100
PAGE = paging.PAGE
OK = range(200, 300)
_TOO_MANY = 413


class Evidence(NamedTuple):
    """What is known about a change: `changed` and `verified` as in `Change`."""

    changed: bool | None
    verified: bool | None


# The reply proves that the state was different before, and is as requested now.
PROVEN = Evidence(True, True)
# The state was different before. The server accepted the change; the result was not checked.
ACCEPTED = Evidence(True, None)
# The state was already as requested: nothing changed.
ALREADY = Evidence(False, True)
# Nothing changed: the state seems to be as requested, but was not checked.
SKIPPED = Evidence(False, None)
# The server accepted the change, and does not report whether it made a difference.
UNREPORTED = Evidence(None, None)


class OioDependencies(NamedTuple):
    """The dependencies of all families.

    `account` is that of the settings; `sleep` waits for the conscience; `warn` shows warnings to
    the user.
    """

    proxy: Client
    effects: Effects
    account: str | None
    sleep: Callable[[float], None]
    workers: Workers
    warn: Callable[[str], None]


class Acts:
    """What all families of changes share."""

    def __init__(self, means: OioDependencies) -> None:
        self._proxy = means.proxy
        self._effects = means.effects
        self._account = means.account
        self._sleep = means.sleep
        self._workers = means.workers
        self._warn = means.warn
        # How many names the server accepts per request, as far as is known.
        self._most = BATCH

    def account_name(self, name: str | None) -> str:
        """The account, or that of the settings; an error that names the ways to set it."""
        if name or self._account:
            return name or str(self._account)
        raise RdctlError(
            Code.USAGE,
            "no account specified",
            hint="Use --account NAME, set OIO_ACCOUNT, or set it in a context.",
        )

    def touch(self, family: str, places: Sequence[Place]) -> Report:
        """`container touch` and `content touch`."""

        def touch(place: Place) -> Evidence:
            self._change(f"{family}.touch", place)
            return UNREPORTED

        return self._each("touch", distinct(places), touch)

    def _change(
        self,
        name: str,
        place: Place | None,
        query: Mapping[str, Any] | None = None,
        *,
        what: str = "",
        shows: str = "",
        **arguments: Any,
    ) -> Any:
        """As `Client.change`; by default named by the route's verb, with the place to show."""
        if place is not None:
            verb = name.partition(".")[2].replace("_", "-")
            what, shows = what or f"{verb} {place.described}", shows or show_command(name, place)
        return self._proxy.change(name, place, query, what=what, shows=shows, **arguments)

    def _destroy(
        self,
        name: str,
        action: str,
        place: Place,
        loss: str,
        evidence: Evidence,
        *,
        query: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Report:
        """One change of one target, after confirmation."""
        self._effects.consent([loss])
        self._change(name, place, query, destroys=loss, **arguments)
        return Report([self._done(action, place.name, evidence)])

    def _created(
        self,
        family: str,
        place: Place,
        new: bool | None,
        properties: Mapping[str, str],
        system: Mapping[str, str],
    ) -> Change | Failure:
        """The outcome of a creation; `new` is from the reply (None: in a dry run). Servers ignore
        given properties if the target already exists, so it must already have them all."""
        if new is not False:
            made = {"properties": properties, **({"system": system} if system else {})}
            return self._done("create", place.name, PROVEN, between(None, made) if new else {})

        def compare() -> None:
            found = self._proxy.read(f"{family}.get_properties", place)
            user = different(properties, found.properties)
            own = different(system, found.known_system) if system else {}
            if not user and not own:
                return
            keys = escape(", ".join([*user, *own]))
            raise RdctlError(
                Code.EXISTS,
                f"{place.shown}: already exists without these properties ({keys})",
                hint=f"Set them: {setting(family, place, user, own)}",
            )

        failed = self._try("create", place.name, compare) if properties or system else None
        return failed or self._done("create", place.name, ALREADY)

    def _batch(
        self,
        action: str,
        name: str,
        batch: Sequence[Place],
        query: Mapping[str, Any],
        done: Callable[[Outcome], Change | Failure | None],
        **arguments: Any,
    ) -> Iterator[Change | Failure]:
        """One request for many targets, with an outcome per name, even if the whole request failed.
        If the server accepts fewer names per request, nothing was done; the batch is split in half
        and sent again."""
        if len(batch) > self._most:
            for part in batches(batch, self._most):
                yield from self._batch(action, name, part, query, done, **arguments)
            return
        names = [place.name for place in batch]
        try:
            outcomes = self._change(
                name,
                None,
                query,
                what=f"{action} {_many(batch)}",
                shows=show_command(name, batch[0]),
                assume=[Outcome(entry, 201, "assumed", None) for entry in names],
                names=names,
                **arguments,
            )
        except RdctlError as error:
            if _TOO_MANY in (error.facts.get("remote_status"), error.facts.get("http_status")):
                if len(batch) > 1:
                    self._most = min(self._most, (len(batch) + 1) // 2)
                    yield from self._batch(action, name, batch, query, done, **arguments)
                    return
            for entry in names:
                yield Failure(action, for_target(error, entry))
            return
        by_name = {outcome.name: outcome for outcome in outcomes}
        disputed = {one.name for one in outcomes if one.status != by_name[one.name].status}
        for place, entry in zip(batch, names, strict=True):
            outcome = by_name.get(entry)
            if outcome is None:
                unnamed = RdctlError(Code.UNPROVEN, "missing from the reply", target=entry)
                yield Failure(action, unnamed)
            elif entry in disputed:
                message = "listed more than once in the reply, with different statuses"
                yield Failure(action, RdctlError(Code.UNPROVEN, message, target=entry))
            elif outcome.status in OK:
                yield self._done(action, entry, PROVEN)
            else:
                failed = self._proxy.failed(
                    outcome,
                    Asked(name, place),
                    entry,
                    what=f"{action} {place.shown}",
                    shows=show_command(name, place),
                )
                yield done(outcome) or Failure(action, failed)

    def _each_confirmed(
        self,
        action: str,
        places: Sequence[Place],
        lost: Callable[[Place], str | None],
        act: Callable[[Place, str], Evidence],
        past: str | None = None,
    ) -> Report:
        """Apply `act` to each place, after one prompt for all. `lost` returns what is lost at a
        place (None: nothing is to be done), or raises why that would be refused."""
        places = distinct(places)

        def check(place: Place) -> str | RdctlError | None:
            try:
                return lost(place)
            except RdctlError as error:
                return error

        checked = self._workers.ordered(check, places) if places[1:] else map(check, places)
        found = dict(zip(places, checked, strict=True))
        losses = [loss for loss in found.values() if isinstance(loss, str)]

        def checked_act(place: Place) -> Evidence:
            loss = found[place]
            if isinstance(loss, RdctlError):
                raise loss
            return ALREADY if loss is None else act(place, loss)

        if losses:
            self._effects.consent(losses)
            return self._each(action, places, checked_act, past)
        return Report([self._outcome(action, place, checked_act, past) for place in places])

    def _outcome(
        self,
        action: str,
        place: Place,
        act: Callable[[Place], Evidence],
        past: str | None = None,
    ) -> Change | Failure:
        try:
            return self._done(action, place.name, act(place), past=past)
        except RdctlError as error:
            return failure(action, place.name, error)

    def _each(
        self,
        action: str,
        places: Sequence[Place],
        act: Callable[[Place], Evidence],
        past: str | None = None,
    ) -> Report:
        """Apply `act` to each place; it returns the evidence."""

        def one(batch: Sequence[Place]) -> Iterator[Change | Failure]:
            for place in batch:
                yield self._outcome(action, place, act, past)

        return self._in_turn(action, [[place] for place in places], one)

    def _in_turn(
        self,
        action: str,
        batches: Iterable[Sequence[Place]],
        act: Callable[[Sequence[Place]], Iterable[Change | Failure]],
    ) -> Report:
        """Process all batches in parallel. Failures do not stop the others, except those that
        affect all."""
        turns = Turns()

        def attempt(batch: Sequence[Place]) -> list[Change | Failure]:
            return turns.outcomes(action, [place.name for place in batch], lambda: act(batch))

        waiting = list(batches)
        self._effects.foretell(f"{action} {place.shown}" for batch in waiting for place in batch)
        if sum(map(len, waiting)) == 1:
            return Report(attempt(waiting[0]))
        names = [[place.name for place in batch] for batch in waiting]
        self._workers.progress.begin(sum(map(len, names)), "names")

        def one(number: int) -> list[Change | Failure]:
            outcomes = attempt(waiting[number])
            self._workers.progress.advance(len(names[number]))
            return outcomes

        return Report(self._outcomes(action, names, one))

    def _outcomes(
        self,
        action: str,
        batches: Sequence[Sequence[str]],
        attempt: Callable[[int], list[Change | Failure]],
        parallel: int | None = None,
    ) -> Iterator[Change | Failure]:
        """`attempt(number)` for each batch of names, several at a time; the outcomes in the order
        of the batches. A signal stops new batches and is raised at the end."""
        # The outcomes of the batches started, by number; None while one is in progress.
        begun: dict[int, list[Change | Failure] | None] = {}

        def one(number: int) -> list[Change | Failure]:
            begun[number] = None
            try:
                begun[number] = outcomes = attempt(number)
            except Stopped:  # nothing is left of it
                del begun[number]
                raise
            except Exception as error:  # the others continue
                fault = as_error(error)
                begun[number] = outcomes = [
                    Failure(action, for_target(fault, name)) for name in batches[number]
                ]
            return outcomes

        taken = 0
        try:
            for outcomes in self._workers.ordered(one, range(len(batches)), parallel):
                del begun[taken]
                taken += 1
                yield from outcomes
        except (KeyboardInterrupt, Ended, Stopped) as error:
            stopped = isinstance(error, Stopped)
            code = self._workers.ended_by if stopped else as_error(error).code
            for number in range(taken, len(batches)):
                unheard = left_under_way if number in begun else not_begun
                yield from begun.get(number) or [
                    Failure(action, unheard(code, name)) for name in batches[number]
                ]
            raise

    def _try(self, action: str, target: str, act: Callable[[], Any]) -> Failure | None:
        try:
            act()
        except RdctlError as error:
            return failure(action, target, error)
        return None

    def _done(
        self,
        action: str,
        target: str,
        evidence: Evidence,
        facts: Mapping[str, Any] | None = None,
        past: str | None = None,
    ) -> Change:
        """The outcome for a target, according to the evidence. A dry run has no evidence for what
        it assumes."""
        if self._effects.dry_run and evidence != ALREADY:
            evidence = UNREPORTED
        return Change(action, target, *evidence, facts or {}, past)

    def _shown(self, places: Sequence[Place], show: Callable[[Place], Any]) -> Listing:
        """Show each place; a failure does not stop the others."""
        return self._shown_by_name("show", places, show, lambda place: place.name)

    def _shown_by_name(
        self,
        action: str,
        targets: Sequence[T],
        show: Callable[[T], Any],
        name: Callable[[T], str],
    ) -> Listing:
        listing = Listing((), vertical=True)

        def one(target: T) -> Any:
            try:
                return show(target)
            except RdctlError as error:
                return failure(action, name(target), error)

        def found() -> Iterator[Any]:
            self._workers.progress.begin(len(requested), "names")
            shown = self._workers.ordered(one, requested) if requested[1:] else map(one, requested)
            for value in shown:
                self._workers.progress.advance()
                if isinstance(value, Failure):
                    listing.failures.append(value)
                else:
                    yield value

        requested = list(dict.fromkeys(targets))
        listing.items = found()
        return listing


def distinct(places: Sequence[Place]) -> list[Place]:
    return list(dict.fromkeys(places))


def by_holder(places: Iterable[Place]) -> dict[Place, list[Place]]:
    """The objects of each container: those of flat names are in many."""
    found: dict[Place, list[Place]] = {}
    for place in places:
        found.setdefault(place.holder, []).append(place)
    return found


def batches(places: Sequence[Place], size: int = BATCH) -> Iterator[Sequence[Place]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]


def _many(batch: Sequence[Place]) -> str:
    """`2 objects: a to b`"""
    first, last = batch[0], batch[-1]
    if len(batch) == 1:
        return first.described
    kind = "objects" if first.path or first.content_id else "containers"
    return f"{len(batch)} {kind}: {first.shown} to {last.shown}"


def after_name(entry: Entry | AccountContainer) -> str:
    """The marker after an entry; after a prefix, it is after all names with that prefix."""
    return entry.name + "\U0010ffff" if entry.kind == "prefix" else entry.name


def different(requested: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """The requested properties that differ from the current ones."""
    return {key: value for key, value in requested.items() if found.get(key) != value}


def show_command(name: str, place: Place) -> str:
    """The command that shows what a route of that name has changed."""
    family = name.partition(".")[0].replace("admin", "container")
    return f"rdctl oio {family} show {place.words}"


def failure(action: str, target: str, error: RdctlError) -> Failure:
    error.target = error.target or target
    return Failure(action, error)


def for_target(error: RdctlError, target: str) -> RdctlError:
    one = RdctlError(error.code, error.message, hint=error.hint, target=target, **error.facts)
    one.__cause__ = error.__cause__
    return one
