"""Make a machine as its file has it: with the smallest change, as one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress

from rdctl.core.errors import Code, Exit, RdctlError, hints
from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.rapiddisk.changes import Changes, unproven
from rdctl.rapiddisk.state import caches, exports, ports, prune, volumes
from rdctl.rapiddisk.state.compare import EXTRA, Comparison, Difference
from rdctl.rapiddisk.state.files import Source
from rdctl.rapiddisk.state.made import Made
from rdctl.rapiddisk.state.model import State, only_part
from rdctl.rapiddisk.state.plan import Options, Refusal, Stage, Step, Work
from rdctl.rapiddisk.state.there import read

# The seconds that apply --boot waits in all.
BOOT_SECONDS = 30.0


class Planned:
    """What would be done."""

    def __init__(self, work: Work, found: Sequence[Step | Refusal]) -> None:
        self.work = work
        self.refusals = [one for one in found if isinstance(one, Refusal)]
        steps = [one for one in found if isinstance(one, Step)]
        self.steps = sorted(steps, key=lambda step: step.stage)

    @property
    def essence(self) -> list[tuple[object, ...]]:
        return [step.essence for step in self.steps]


class Apply(Changes):
    def diff(self, state: Callable[[], Source], only: str | None, verdict: bool) -> Listing:
        """What differs from the state that is read; with `verdict` exit code 12 if anything
        does."""
        self._backend.here("diff")
        wanted = state().state
        there = read(self._backend)
        made = Made(self._backend)

        def noted(one: Difference) -> Difference:
            if one.state != EXTRA:
                return one
            owned = made.owns(one.kind, one.name, there)
            return one._replace(
                note="created by apply; apply --prune removes it"
                if owned
                else "not created by apply; left alone"
            )

        comparison = Comparison(wanted, there, self._backend, only)
        found = [noted(one) for one in comparison.differences()]
        listing = Listing(found)
        if verdict and found:
            listing.verdict = Exit.FINDINGS
        return listing

    def apply(self, state: Callable[[], Source], options: Options, wait: float) -> Report:
        """`wait` are the seconds for which missing devices and addresses are waited for."""
        self._backend.here("apply")
        source = state()
        wanted, name = source.state, source.name
        self._backend.permit()
        self._await(only_part(wanted, options.only), wait)
        planned = self._planned(wanted, options)
        if planned.refusals and not options.boot:
            return Report([_failure(one) for one in planned.refusals if not one.follows])
        skipped = [_failure(one) for one in planned.refusals]
        if options.boot:
            planned, unasked = _without_questions(planned)
            skipped += unasked
        if not planned.steps:
            return Report([Change("apply", name, False, True, past="{}: no changes"), *skipped])
        self._ask(planned, options)
        with self._backend.claim([]) as alone:
            if alone:
                self._look_twice(wanted, planned)
            return Report([*self._carried_out(wanted, name, planned), *skipped])

    # --- before -------------------------------------------------------------------------------

    def _await(self, wanted: State, seconds: float) -> None:
        """Wait until all sources and addresses of the file are there, or so many seconds."""
        planned = {f"/dev/mapper/{cache.name}" for cache in wanted.caches}
        paths = [cache.source for cache in wanted.caches if cache.source not in planned]

        def is_there() -> bool:
            return all(map(self._has_source, paths)) and all(
                self._has_address(port.address, port.interface) for port in wanted.ports
            )

        self._backend.wait(is_there, seconds)

    def _has_source(self, path: str) -> bool:
        with suppress(RdctlError):
            self._backend.source(path)
            return True
        return False

    def _has_address(self, address: str | None, interface: str | None) -> bool:
        with suppress(RdctlError):
            if interface is not None:
                address = self._backend.address_of(interface)
            return address is None or self._backend.is_address_here(address)
        return False

    def _planned(self, wanted: State, options: Options) -> Planned:
        comparison = Comparison(wanted, read(self._backend), self._backend, options.only)
        work = Work(self._backend, self._effects, comparison, wanted, options)
        found: list[Step | Refusal] = prune.plan(work) if options.prune else []
        for kind in (volumes, caches, ports, exports):
            found += kind.plan(work)
        if options.only == "exports":
            found += volumes.plan_locks(work)
        return Planned(work, found)

    def _ask(self, planned: Planned, options: Options) -> None:
        losses = [step.loss for step in planned.steps if step.loss is not None]
        if losses:
            self._effects.consent(losses, planned.work.facts.never_shown, given=options.boot)
        self._effects.foretell(step.sentence for step in planned.steps)

    def _look_twice(self, wanted: State, planned: Planned) -> None:
        """Raise when the machine changed between the question and the claim."""
        fresh = self._planned(wanted, planned.work.options)
        if fresh.work.options.boot:
            fresh, _ = _without_questions(fresh)
        if fresh.essence != planned.essence:
            raise RdctlError(
                Code.CONFLICT,
                "the machine changed meanwhile; nothing was done",
                hint="Check it, then try again: rdctl rapiddisk diff",
            )

    # --- the changes --------------------------------------------------------------------------

    def _carried_out(self, wanted: State, name: str, planned: Planned) -> list[Change | Failure]:
        """All that is to be removed, each by itself; then the rest, all or nothing. With `boot`
        each step is by itself."""
        boot = planned.work.options.boot
        removals = [step for step in planned.steps if step.stage is Stage.REMOVE]
        rest = planned.steps[len(removals) :]
        done, failures = self._each_alone(removals)
        if boot:
            more, failed = self._each_alone(rest)
            done, failures = done + more, failures + failed
        elif not failures:
            try:
                self._together(name, rest)
                done += rest
            except RdctlError as error:
                failures.append(Failure("apply", self._rolled_back(error)))
        return [*self._outcomes(wanted, planned, done), *failures]

    def _together(self, name: str, steps: Sequence[Step]) -> None:
        """One transaction. A dry run names each step by itself."""
        dry = self._effects.dry_run
        with nullcontext() if dry else self._effects.transaction(f"apply {name}"):
            for step in steps:
                self._do(step)

    def _each_alone(self, steps: Sequence[Step]) -> tuple[list[Step], list[Failure]]:
        done, failures = [], dict[tuple[str, str], Failure]()
        for step in steps:
            if (step.kind, step.name) in failures:
                continue
            try:
                self._do(step)
                done.append(step)
            except RdctlError as error:
                error.target = step.name
                failures[step.kind, step.name] = Failure(step.action, error)
        return done, list(failures.values())

    def _rolled_back(self, error: RdctlError) -> RdctlError:
        if self._effects.left:
            error.hint = hints(f"Could not be undone: {', '.join(self._effects.left)}.", error.hint)
            error.message += "; the other steps of apply were rolled back"
        else:
            error.message += "; all steps of apply were rolled back"
        return error

    def _do(self, step: Step) -> None:
        with self._effects.transaction(step.sentence):
            step.act()

    def _outcomes(
        self, wanted: State, planned: Planned, done: Sequence[Step]
    ) -> Iterator[Change | Failure]:
        """The outcome of each step that was done, by one look at the machine."""
        if self._effects.dry_run:
            if any(step.makes for step in done):
                self._backend.keep_made("")
            yield from (
                Change(step.action, step.name, None, None, step.facts, step.past) for step in done
            )
            return
        after = read(self._backend)
        left = Comparison(wanted, after, self._backend).differences()
        new = [(step.kind, step.name) for step in done if step.makes]
        if new or any(step.stage is Stage.REMOVE for step in done):
            planned.work.made.keep(new, after)
        for step in done:
            if any(map(step.ends, left)):
                error = unproven(step.name, "the machine does not confirm it")
                yield Failure(step.action, error)
            else:
                yield Change(step.action, step.name, True, True, step.facts, step.past)


def _failure(refusal: Refusal) -> Failure:
    return Failure("apply", refusal.error)


def _without_questions(planned: Planned) -> tuple[Planned, list[Failure]]:
    """The steps that need no confirmation, or whose loss apply --boot accepts; the others fail."""
    skipped = [s for s in planned.steps if s.loss is not None and not s.implied]
    failures = [
        Failure(
            "apply",
            RdctlError(
                Code.CONSENT,
                f"{step.name}: skipped, since it requires confirmation: {step.loss}",
                hint="Run it yourself: rdctl rapiddisk apply",
                target=step.name,
            ),
        )
        for step in skipped
    ]
    return Planned(planned.work, [s for s in planned.steps if s not in skipped]), failures
