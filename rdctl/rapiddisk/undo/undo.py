"""Undo one command: the inverses of what it changed, in reverse order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rdctl.core.acts import Act
from rdctl.core.errors import Code, Ended, RdctlError, as_error, hints
from rdctl.core.results import Change, Failure, Report
from rdctl.history.history import find
from rdctl.history.model import Entry
from rdctl.history.process import user_of
from rdctl.rapiddisk.changes import Changes, Dependencies, with_signal
from rdctl.rapiddisk.undo import inverses
from rdctl.rapiddisk.undo.checks import Checks
from rdctl.rapiddisk.undo.past import Past, is_of_boot, is_unknown, verb_of, words

if TYPE_CHECKING:
    from rdctl.rapiddisk.machine import RapidDisk

_HISTORY = "List the commands: rdctl history"
# What undoes a command that changed no volume, cache, port or export.
_INSTEAD = {
    "daemon start": "daemon stop",
    "daemon stop": "daemon start",
    "daemon enable": "daemon disable",
    "daemon disable": "daemon enable",
    "boot enable": "boot disable",
    "boot disable": "boot enable",
}


class _Plan(NamedTuple):
    """`acts` are undone in this order."""

    entry: Entry
    acts: list[Act]


class Undo(Changes):
    """`machine` has all operations; `entries` reads its history, the oldest command first."""

    def __init__(
        self,
        means: Dependencies,
        machine: Callable[[Dependencies], RapidDisk],
        entries: Callable[[], list[Entry]],
    ) -> None:
        super().__init__(means)
        self._means = means
        self._machine = machine
        self._entries = entries

    def candidates(self) -> Iterator[Entry]:
        """The commands with something to undo that nothing prevents, the latest first."""
        self._only_here()
        past = Past(self._entries(), self._backend.boot_id())
        checks = Checks(self._backend, past)
        return past.backwards(lambda entry: checks.is_candidate(entry) and checks.is_free(entry))

    def undo(self, id: str | None, now: float, user: str, warn: Callable[[str], None]) -> Report:
        """Undo the command of this ID, or the latest one that is neither an undo nor undone, and
        not of the units of the boot. `now` is in seconds since 1970; `user` is who undoes it."""
        self._only_here()
        self._backend.permit()
        plan, refusals = self._planned(id)
        entry = plan.entry
        if refusals:
            return Report([_refused(entry, error) for error in refusals])
        if not plan.acts:
            return Report([Change("undo", entry.id, False, True, past="{} is already undone")])
        self._announce(entry, now, user)
        if "--save" in entry.argv:
            dump = self._aimed("rdctl rapiddisk dump --save")
            warn(
                "the state file that this command saved stays as it is, and the next boot applies"
                f" it; to save the state after the undo: {dump}"
            )
        self._effects.undoes = entry.id
        if self._effects.dry_run:
            return self._carried_out(self._machine(self._means), plan)
        failures = self._rehearse(plan)
        if failures:
            return Report(failures)
        with self._backend.claim([]):
            if self._planned(entry.id) != (plan, []):
                raise RdctlError(
                    Code.CONFLICT,
                    "the machine changed meanwhile; nothing was done",
                    hint="Check it, then try again: rdctl rapiddisk overview",
                )
            return self._carried_out(self._machine(self._means), plan)

    def _only_here(self) -> None:
        try:
            self._backend.here("undo")
        except RdctlError as error:
            error.message += "; its history cannot undo changes through it"
            error.hint = (
                "Use the inverse command, such as remove for create, or unlock for lock:"
                " rdctl rapiddisk --help"
            )
            raise

    def _announce(self, entry: Entry, now: float, user: str) -> None:
        """An undo of an undo is named by what is done again."""
        known = {one.id: one for one in self._entries()} if entry.undoes else {}
        original = known.get(entry.undoes or "")
        shown = entry if original is None else original
        does = "undoing" if original is None else "redoing"
        by = "" if user_of(shown) == user else f"by {user_of(shown)}, "
        self._effects.tell(f"{does} {shown.id}: {words(shown)} ({by}{_ago(now - shown.time)})")

    # --- which command ------------------------------------------------------------------------

    def _planned(self, id: str | None) -> tuple[_Plan, list[RdctlError]]:
        """What would be undone, and all that prevents it."""
        past = Past(self._entries(), self._backend.boot_id())
        checks = Checks(self._backend, past)
        entry = self._latest(past, checks) if id is None else find(past.entries, id)
        if not past.here(entry):
            raise _elsewhere(entry)
        acts = checks.left(entry)
        if not acts and not (entry.acts or is_unknown(entry)):
            raise _nothing_in(entry)
        refusals = checks.reasons(entry, acts)
        if refusals and id is None:
            refusals[-1].hint = hints(refusals[-1].hint, self._other(past, checks, refusals))
        return _Plan(entry, acts), refusals

    def _latest(self, past: Past, checks: Checks) -> Entry:
        for entry in self._by_operators(past, checks):
            return entry
        raise RdctlError(Code.NOT_FOUND, "nothing to undo since the last boot", hint=_HISTORY)

    def _by_operators(self, past: Past, checks: Checks) -> Iterator[Entry]:
        """What repeated undo walks back through."""

        def is_one(entry: Entry) -> bool:
            return entry.undoes is None and not is_of_boot(entry) and checks.is_candidate(entry)

        return past.backwards(is_one)

    def _other(self, past: Past, checks: Checks, refusals: Sequence[RdctlError]) -> str | None:
        """Which command can be undone although this one cannot."""
        if any("Undo that first:" in (error.hint or "") for error in refusals):
            return None
        for entry in self._by_operators(past, checks):
            if checks.is_free(entry):
                return f"The latest one that can be undone: rdctl rapiddisk undo {entry.id}"
        return None

    # --- the inverses -------------------------------------------------------------------------

    def _rehearse(self, plan: _Plan) -> list[Failure]:
        """Go through all of it in a dry run, so that what is refused is refused before any change,
        and all losses are in one question."""
        means = self._means.rehearsal()
        failures = self._carried_out(self._machine(means), plan).failures
        if not failures:
            self._effects.consent(means.effects.losses)
            self._effects.foretell(means.effects.would)
        return failures

    def _carried_out(self, machine: RapidDisk, plan: _Plan) -> Report:
        """It stops at the first failure: what follows depends on it."""
        outcomes: list[Change | Failure] = []
        batches = inverses.batches(plan.acts)
        why = "an earlier step failed"
        try:
            for acts in batches:
                for outcome in _outcomes(machine, acts):
                    outcomes.append(_of(plan.entry, outcome))
                if any(isinstance(outcome, Failure) for outcome in outcomes):
                    break
            raise_signal = _nothing
        except (KeyboardInterrupt, Ended) as error:
            why = as_error(error).message
            raise_signal = _raising(error)
        outcomes += [_not_started(act, why) for acts in batches for act in acts]
        if not outcomes:
            raise_signal()
        return Report(with_signal(outcomes, raise_signal))


def _outcomes(machine: RapidDisk, acts: Sequence[Act]) -> Iterator[Change | Failure]:
    try:
        yield from inverses.undo(machine, acts).outcomes
    except RdctlError as error:
        error.target = error.target or acts[0].name
        yield Failure("undo", error)


def _of(entry: Entry, outcome: Change | Failure) -> Change | Failure:
    """The outcome, with the command that it undoes."""
    if isinstance(outcome, Failure):
        outcome.error.facts["undoes"] = entry.id
        return outcome
    return outcome._replace(facts={**outcome.facts, "undoes": entry.id})


def _nothing() -> None:
    """No signal came."""


def _not_started(act: Act, why: str) -> Failure:
    message = f"{act.name}: not started: {why}"
    return Failure("undo", RdctlError(Code.CONFLICT, message, target=act.name))


def _raising(error: BaseException) -> Callable[[], None]:
    def raise_signal() -> None:
        raise error

    return raise_signal


def _refused(entry: Entry, error: RdctlError) -> Failure:
    error.message = f"{entry.id} cannot be undone: {error.message}"
    error.facts["undoes"] = entry.id
    return Failure("undo", error)


def _elsewhere(entry: Entry) -> RdctlError:
    if not entry.acts and (_instead(entry) or _is_dump(entry)):
        return _nothing_in(entry)
    if entry.boot is not None:
        return RdctlError(
            Code.CONFLICT,
            f"{entry.id} cannot be undone: this machine was restarted since, or it ran on another",
            target=entry.id,
        )
    return RdctlError(
        Code.UNSUPPORTED,
        f"{entry.id} cannot be undone: it did not change RapidDisk on this machine"
        f" ({words(entry)})",
        hint="Only changes of local volumes, caches, ports and exports can be undone.",
        target=entry.id,
    )


def _instead(entry: Entry) -> str | None:
    return _INSTEAD.get(" ".join(verb_of(entry).split()[:2]))


def _is_dump(entry: Entry) -> bool:
    return verb_of(entry).split()[:1] == ["dump"] and "--save" in entry.argv


def _nothing_in(entry: Entry) -> RdctlError:
    hint = None
    if instead := _instead(entry):
        hint = f"Use: rdctl rapiddisk {instead}"
    elif "--save" in entry.argv:
        hint = "The former state file was replaced: restore it from a backup."
    return RdctlError(
        Code.UNSUPPORTED,
        f"{entry.id} has nothing to undo: it changed no volume, cache, port or export"
        f" ({words(entry)})",
        hint=hint,
        target=entry.id,
    )


def _ago(seconds: float) -> str:
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // size)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"
