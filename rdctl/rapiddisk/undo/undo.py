"""Undo one command: the inverses of what it changed, in reverse order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rdctl.core.acts import Act
from rdctl.core.errors import Code, Ended, RdctlError, as_error
from rdctl.core.results import Change, Failure, Report
from rdctl.history.history import find
from rdctl.history.model import Entry
from rdctl.rapiddisk.changes import Changes, Dependencies, with_signal
from rdctl.rapiddisk.undo import inverses
from rdctl.rapiddisk.undo.checks import Checks
from rdctl.rapiddisk.undo.past import Past, is_unknown, words

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
        """The commands with something to undo, the latest first."""
        self._backend.here("undo")
        past = Past(self._entries(), self._backend.boot_id())
        checks = Checks(self._backend, past)
        return past.backwards(lambda entry: bool(checks.left(entry)))

    def undo(self, id: str | None, now: float, warn: Callable[[str], None]) -> Report:
        """Undo the command of this ID, or the latest one that is neither an undo nor undone. `now`
        is in seconds since 1970."""
        self._backend.here("undo")
        self._backend.permit()
        plan, refusals = self._planned(id)
        entry = plan.entry
        if refusals:
            return Report([_refused(entry, error) for error in refusals])
        if not plan.acts:
            return Report([Change("undo", entry.id, False, True, past="{} is already undone")])
        self._effects.tell(f"undoing {entry.id}: {words(entry)} ({_ago(now - entry.time)})")
        if entry.argv.count("--save"):
            warn("the state file that this command saved stays as it is")
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
        return _Plan(entry, acts), checks.reasons(entry, acts)

    def _latest(self, past: Past, checks: Checks) -> Entry:
        wanted = past.backwards(lambda entry: entry.undoes is None and bool(checks.left(entry)))
        for entry in wanted:
            return entry
        raise RdctlError(
            Code.NOT_FOUND,
            "nothing to undo: the history has no change of this machine since it was started that"
            " is not undone",
            hint=_HISTORY,
        )

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


def _nothing_in(entry: Entry) -> RdctlError:
    hint = None
    named = [word for word in entry.argv if not word.startswith("-")]
    after = named[named.index("rapiddisk") + 1 :] if "rapiddisk" in named else []
    if instead := _INSTEAD.get(" ".join(after[:2])):
        hint = f"Use: rdctl rapiddisk {instead}"
    elif "--save" in entry.argv:
        hint = "Save the present state as the state file: rdctl rapiddisk dump --save"
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
