"""How changes are made: what all nouns share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.core.units import escape, guess
from rdctl.effects.door import Effects
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.guards import NO_OVERRIDES, Facts, Overrides
from rdctl.rapiddisk.model import Inventory

if TYPE_CHECKING:
    from rdctl.rapiddisk.files import Away
    from rdctl.workers import Workers


class Dependencies(NamedTuple):
    """What all nouns work with.

    `aimed` adds the options that lead here to the commands in a text; `workers` returns those of
    the whole command, which read-only commands do not need, and `left` the seconds that are left
    of its time limit, None without one. `rehearsal` returns the same for a dry run of what is about
    to be done. `away` has the files that the command names if they are on another machine.
    """

    backend: Backend
    effects: Effects
    aimed: Callable[[str], str]
    workers: Callable[[], Workers]
    left: Callable[[], float | None]
    rehearsal: Callable[[], Dependencies]
    away: Away | None = None


class Changes:
    """How changes are made: validate, guard, claim, act, confirm, report."""

    def __init__(self, means: Dependencies) -> None:
        self._backend = means.backend
        self._effects = means.effects
        self._aimed = means.aimed
        self._workers = means.workers

    def _facts(self, devices: Sequence[str], overrides: Overrides = NO_OVERRIDES) -> Facts:
        return Facts(self._backend, devices, overrides)

    def _consent(self, losses: Sequence[str], facts: Facts) -> None:
        """Ask for consent to all that will be lost, and name what was not checked."""
        if losses:
            self._effects.consent(losses, [facts.never_shown] if facts.never_shown else ())

    def _ask_first(self, acts: Callable[[], Iterable[str]]) -> None:
        """If every change needs confirmation: ask before the claim, for whose end others wait.
        `acts` looks for what is to be done; under the claim that is looked for again."""
        if self._effects.asks_first and self._backend.reports_all:
            self._effects.foretell(acts())

    def _erase(self, name: str, loss: str) -> None:
        """An empty volume does not replace an image."""
        if not self._backend.reports_all:
            self._backend.erase(name, loss)
            return
        from rdctl.rapiddisk.images import Images

        with Images(self._backend).erasing(name):
            self._backend.erase(name, loss)

    def _in_turn(
        self,
        action: str,
        devices: Sequence[str],
        act: Callable[[str], Change | None],
        judged: Callable[[str, Inventory], Change | Failure] | None,
        before: Sequence[Change | Failure],
        names: Sequence[str],
        facts: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> Report:
        """Act on one device after the other, then list once: `judged` decides the outcomes that the
        act itself does not report. All outcomes, with those of `before`, in the order of the names.
        `facts` are those of each device in a dry run.

        When the daemon is away, the rest is skipped. A signal skips the devices that were not
        begun, and is raised after the last outcome; a single act is not waited for.
        """
        outcomes = list(before)
        acted = []
        workers, several = self._workers(), len(devices) > 1
        if several:
            workers.progress.begin(len(devices), "devices")
        with workers.held_signals(several) as raise_signal:
            for device, outcome in self._acts(action, devices, act):
                workers.progress.advance()
                if outcome is None:
                    acted.append(device)
                else:
                    outcomes.append(outcome)
            if self._effects.dry_run:
                outcomes += [
                    Change(action, device, None, None, facts.get(device, {})) for device in acted
                ]
            elif acted and judged is not None:
                after = self._look_again()
                for device in acted:
                    if isinstance(after, RdctlError):
                        outcomes.append(Failure(action, unseen(device, after)))
                    else:
                        outcomes.append(judged(device, after))
        return Report(with_signal(_in_order(outcomes, names), raise_signal))

    def _acts(
        self, action: str, devices: Sequence[str], act: Callable[[str], Change | None]
    ) -> Iterator[tuple[str, Change | Failure | None]]:
        """Each device with the outcome of its act; None where that is still to be verified."""
        from rdctl.workers import Stopped, Turns, ends_the_rest, not_begun

        workers = self._workers()
        # All devices share one daemon: when it is away for one, it is away for all.
        turns = Turns(lambda error: ends_the_rest(error) or error.code is Code.UNAVAILABLE)

        def one(device: str) -> Change | None:
            workers.check()
            return act(device)

        for device in devices:
            try:
                yield device, turns.take(partial(one, device), device)
            except Stopped:
                yield device, Failure(action, not_begun(workers.ended_by, device))
            except RdctlError as error:
                error.target = error.target or device
                yield device, Failure(action, error)

    def _look_again(self) -> Inventory | RdctlError:
        """The inventory after the acts, or why it cannot be read: what was done stays done."""
        try:
            return self._backend.inventory()
        except RdctlError as error:
            return error

    def _proven(
        self,
        action: str,
        target: str,
        is_so: Callable[[], bool],
        otherwise: RdctlError,
        facts: Mapping[str, Any] | None = None,
        past: str | None = None,
    ) -> Report:
        """The verified outcome of a change that was accepted; a dry run does not verify."""
        if self._effects.dry_run:
            return Report([Change(action, target, None, None, facts or {}, past)])
        if not is_so():
            return Report([Failure(action, otherwise)])
        return Report([Change(action, target, True, True, facts or {}, past)])


def the_change(report: Report) -> Change:
    """The only outcome of a report; raises its error."""
    for failure in report.failures:
        raise failure.error
    return report.changes[0]


def data_of(thing: Any, *keys: str) -> dict[str, Any]:
    """These values of a thing, as a change reports them."""
    return {key: getattr(thing, key) for key in keys}


def distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def find(things: Sequence[Any], name: str, kind: str) -> Any:
    """The thing of that name, or `not-found` with the existing names."""
    for thing in things:
        if thing.device == name:
            return thing
    raise missing(kind, name, [thing.device for thing in things])


def missing(kind: str, name: str, names: Sequence[str], mend: str | None = None) -> RdctlError:
    """`not-found`, with the existing names."""
    hint: str | None = f"No {kind}s exist."
    if names:
        more = len(names) > 8
        shown = ", ".join(map(escape, names[:8])) + (", ..." if more else ".")
        hint = hints(f"Existing {kind}s: {shown}", guess(name, names) if more else None)
    message = f"{kind} {escape(name)} not found"
    return RdctlError(Code.NOT_FOUND, message, hint=hints(hint, mend), target=name)


def shown(
    names: Iterable[str], look: Callable[[str], Iterable[Any]], also: Sequence[str] = ()
) -> Listing:
    """What `look` finds of each name, at length, each once; an unknown name does not stop the
    others. `also` are the keys that a table of many leaves out."""
    things: list[Any] = []
    failures = []
    for name in distinct(names):
        try:
            things += [thing for thing in look(name) if thing not in things]
        except RdctlError as error:
            failures.append(Failure("show", error))
    listing = Listing(things, vertical=True, also=also)
    listing.failures = failures
    return listing


def found(
    things: Sequence[Any], names: Sequence[str], kind: str, action: str
) -> tuple[list[Any], list[Change | Failure]]:
    """The things of these names that exist, and a failure for each of the others."""
    there: list[Any] = []
    failures: list[Change | Failure] = []
    for name in names:
        try:
            there.append(find(things, name, kind))
        except RdctlError as error:
            failures.append(Failure(action, error))
    return there, failures


def _in_order(
    outcomes: Iterable[Change | Failure], names: Sequence[str]
) -> Sequence[Change | Failure]:
    """The outcomes in the order in which their targets were named."""
    rank = {name: number for number, name in enumerate(names)}

    def place(outcome: Change | Failure) -> int:
        target = outcome.target if isinstance(outcome, Change) else outcome.error.target
        return rank.get(target or "", len(rank))

    return sorted(outcomes, key=place)


def with_signal(
    outcomes: Iterable[Change | Failure], raise_signal: Callable[[], None]
) -> Iterator[Change | Failure]:
    """The outcomes; the signal that was held meanwhile is raised after the last."""
    yield from outcomes
    raise_signal()


def unproven(target: str | None, why: str) -> RdctlError:
    return RdctlError(
        Code.UNPROVEN,
        f"{target or 'a volume'}: reported as done, but {why}",
        hint="See the kernel log on that machine: dmesg",
        target=target,
    )


def unseen(target: str | None, error: RdctlError) -> RdctlError:
    """The daemon accepted the change, and then its result could not be read."""
    return RdctlError(
        Code.UNKNOWN,
        f"{target or 'a volume'}: reported as done, but not verified: {error.message}",
        hint="Check the result: rdctl rapiddisk list, rdctl rapiddisk cache list",
        target=target,
        **error.facts,
    )


def export_unproven(target: str) -> RdctlError:
    return RdctlError(
        Code.UNPROVEN,
        f"{target}: accepted by the kernel, but not visible afterwards",
        hint="Check whether another tool changes exports: rdctl rapiddisk nvmet list --all",
        target=target,
    )
