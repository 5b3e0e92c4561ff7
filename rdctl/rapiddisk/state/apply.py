"""Make a machine as its file has it: with the smallest change, as one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress

from rdctl.core.errors import Code, Exit, RdctlError, hints
from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.core.units import escape
from rdctl.rapiddisk.changes import Changes, Dependencies, unproven
from rdctl.rapiddisk.contents import Contents
from rdctl.rapiddisk.imagefile import ImageFile
from rdctl.rapiddisk.state import caches, exports, hosts, ports, prune, volumes, writing
from rdctl.rapiddisk.state.compare import EXTRA, Comparison, Difference
from rdctl.rapiddisk.state.files import Source
from rdctl.rapiddisk.state.made import Made
from rdctl.rapiddisk.state.model import State, only_part
from rdctl.rapiddisk.state.plan import Options, Refusal, Stage, Step, Work
from rdctl.rapiddisk.state.saving import PATH, saving
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
    def kept(self) -> list[str]:
        """What only the machine has, and --prune leaves alone."""
        extras = self.work.comparison.extras()
        refused = {(one.kind, one.name) for one in self.refusals}
        left = [one for one in extras if (one.kind, one.name) not in self.work.going | refused]
        return [f"port {one.name}" if one.kind == "port" else one.name for one in left]

    @property
    def essence(self) -> list[tuple[object, ...]]:
        return [step.essence for step in self.steps]


class Apply(Changes):
    def __init__(self, means: Dependencies) -> None:
        super().__init__(means)
        self._contents = Contents(means)
        self._checked: dict[tuple[str, int], ImageFile] = {}

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
        also = [
            key
            for key in ("file", "machine", "note")
            if any(getattr(one, key) is not None for one in found)
        ]
        listing = Listing(found, also=also)
        if verdict and found:
            listing.verdict = Exit.FINDINGS
        return listing

    def apply(
        self,
        state: Callable[[], Source],
        options: Options,
        wait: float,
        warn: Callable[[str], None],
    ) -> Report:
        """`wait` are the seconds for which missing devices and addresses are waited for; `warn`
        takes what the operator should know."""
        self._backend.here("apply")
        source = state()
        name = source.name
        self._backend.permit()
        self._await(only_part(source.state, options.only), wait, warn)
        planned = self._planned(source, options)
        for image in self._checked.values():
            if not image.verified:
                warn(
                    f"{escape(image.name)} was not verified: it has no {escape(image.name)}.sha256"
                )
        if options.prune and (kept := planned.kept):
            warn(f"left alone, since apply did not create them: {', '.join(kept)}")
        if planned.refusals and not options.boot:
            return Report([_failure(one) for one in planned.refusals if not one.follows])
        skipped = [_failure(one) for one in planned.refusals]
        if options.boot:
            planned, unasked = _without_questions(planned)
            skipped += unasked
        if not planned.steps:
            past = "{}: no further changes" if skipped else "{}: no changes"
            return Report([Change("apply", name, False, True, past=past), *skipped])
        self._ask(planned, options)
        with self._backend.claim([]) as alone:
            if alone:
                self._look_twice(source, planned)
            report = Report([*self._carried_out(source.state, name, planned), *skipped])
        self._remind(source, options, warn)
        return report

    def _remind(self, source: Source, options: Options, warn: Callable[[str], None]) -> None:
        """That the next boot applies another state."""
        saved = self._backend.state_text()
        if source.text is not None and saved is not None and not options.save:
            if saved != source.text and not self._effects.dry_run:
                warn(f"not saved: the next boot applies {PATH} as it is; use --save to replace it")

    # --- before -------------------------------------------------------------------------------

    def _await(self, wanted: State, seconds: float, warn: Callable[[str], None]) -> None:
        """Wait until all sources and addresses of the file are there, or so many seconds."""
        planned = {f"/dev/mapper/{cache.name}" for cache in wanted.caches}
        planned |= {f"/dev/{volume.name}" for volume in wanted.volumes}
        paths = [cache.source for cache in wanted.caches if cache.source not in planned]

        def missing() -> Iterator[str]:
            yield from (path for path in paths if not self._has_source(path))
            for port in wanted.ports:
                if not self._has_address(port.address, port.interface):
                    yield port.address or f"an address of {port.interface}"

        if seconds and (names := list(missing())):
            warn(f"waiting for {', '.join(names)} (at most {seconds:g} s)")
            self._backend.wait(lambda: not any(missing()), seconds)

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

    def _planned(self, source: Source, options: Options) -> Planned:
        wanted = source.state
        comparison = Comparison(wanted, read(self._backend), self._backend, options.only)
        work = Work(
            self._backend,
            self._effects,
            comparison,
            wanted,
            options,
            self._contents,
            self._checked,
        )
        found: list[Step | Refusal] = prune.plan(work) if options.prune else []
        for kind in (volumes, caches, ports, hosts, exports):
            found += kind.plan(work)
        if options.only == "exports":
            found += volumes.plan_locks(work)
        if options.save:
            text = source.text if source.text is not None else writing.toml(wanted)
            step = saving(self._backend, text)
            found += [step] if step else []
        return Planned(work, found)

    def _ask(self, planned: Planned, options: Options) -> None:
        """The plan comes before the question, which names the losses only."""
        losses = [step.loss for step in planned.steps if step.loss is not None]
        if losses:
            plan = ["This would be done:", *(f"  {step.sentence}" for step in planned.steps)]
            self._effects.consent(losses, plan, given=options.boot)
        self._effects.foretell(step.sentence for step in planned.steps)

    def _look_twice(self, source: Source, planned: Planned) -> None:
        """Raise when the machine changed between the question and the claim."""
        fresh = self._planned(source, planned.work.options)
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
        done, failures = self._each_alone(planned, [*removals, *rest] if boot else removals)
        if rest and not boot and not failures:
            try:
                self._together(name, planned, rest)
                done += rest
            except RdctlError as error:
                failures.append(Failure("apply", self._rolled_back(error, bool(removals))))
        return [*self._outcomes(wanted, done), *failures]

    def _together(self, name: str, planned: Planned, steps: Sequence[Step]) -> None:
        """One transaction. A dry run names each step by itself."""
        dry = self._effects.dry_run
        with nullcontext() if dry else self._effects.transaction(f"apply {name}"):
            for step in steps:
                self._do(step)
            self._record(planned, steps)

    def _each_alone(
        self, planned: Planned, steps: Sequence[Step]
    ) -> tuple[list[Step], list[Failure]]:
        done, failures = list[Step](), dict[tuple[str, str], Failure]()
        try:
            for step in steps:
                if (step.kind, step.name) in failures:
                    continue
                try:
                    self._do(step, done)
                except RdctlError as error:
                    error.target = step.name
                    failures[step.kind, step.name] = Failure(step.action, error)
        finally:  # also after a signal
            self._record(planned, done)
        return done, list(failures.values())

    def _record(self, planned: Planned, steps: Sequence[Step]) -> None:
        """Record what was made, so that --prune knows it."""
        new = [(step.kind, step.name) for step in steps if step.makes]
        if not new and all(step.stage is not Stage.REMOVE for step in steps):
            return
        if self._effects.dry_run:
            planned.work.made.foretell()
        else:
            with self._effects.unbroken():
                planned.work.made.keep(new, read(self._backend))

    def _rolled_back(self, error: RdctlError, removed: bool) -> RdctlError:
        """What was removed before cannot be restored."""
        which = "all steps of apply"
        if self._effects.left:
            error.hint = hints(f"Could not be undone: {', '.join(self._effects.left)}.", error.hint)
            which = "the other steps of apply"
        elif removed:
            which = "all steps after the removals"
        error.message += f"; {which} were rolled back"
        return error

    def _do(self, step: Step, done: list[Step] | None = None) -> None:
        with self._effects.transaction(step.sentence):
            step.act()
            if done is not None:
                done.append(step)

    def _outcomes(self, wanted: State, done: Sequence[Step]) -> Iterator[Change | Failure]:
        """The outcome of each step that was done, by one look at the machine."""
        if self._effects.dry_run:
            yield from (
                Change(step.action, step.name, None, None, step.facts, step.past) for step in done
            )
            return
        left = Comparison(wanted, read(self._backend), self._backend).differences()
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
