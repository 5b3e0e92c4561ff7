"""The history of one command. Each door to the outside has a part in it."""

from __future__ import annotations

import os
from _thread import allocate_lock
from typing import TYPE_CHECKING, Protocol
from weakref import ReferenceType, ref

from rdctl.config.contexts import required_audit
from rdctl.core.errors import Code, Exit, RdctlError
from rdctl.core.results import Failure
from rdctl.effects.signals import signals_held
from rdctl.history.places import VARIABLE, Place, at_boot, of_machine, of_sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdctl.config.resolve import Settings
    from rdctl.core.environment import Environment
    from rdctl.core.results import Report
    from rdctl.effects.door import Effects
    from rdctl.history.model import Entry
    from rdctl.history.recorder import Outcome, Recording
    from rdctl.sites import Site


class Command(Protocol):
    """What is recorded: a command line, or a call of the Python API."""

    @property
    def environment(self) -> Environment: ...
    @property
    def command_path(self) -> str: ...
    @property
    def noun(self) -> str: ...
    @property
    def doors(self) -> Sequence[Effects]: ...
    @property
    def report(self) -> Report | None: ...
    @property
    def request_id(self) -> str: ...
    @property
    def sandbox_path(self) -> str: ...
    def warn(self, message: str) -> None: ...


class Part:
    """The Recorder of one door. `settings` are those of the site that it leads to, if any."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._recording: Recording | None = None
        self.effects: Effects | None = None
        self.settings: Settings | None = None
        self._site: ReferenceType[Site] | None = None

    def leads_to(self, site: Site) -> None:
        # A cycle would keep the files of the site open.
        self.settings, self._site = site.settings, ref(site)

    @property
    def boot_id(self) -> str | None:
        """That of the machine that is managed directly."""
        site = self._site() if self._site is not None else None
        return None if site is None else site.boot_id

    def begin(self) -> None:
        if self._recording is None:
            self._recording = self._records.of(self)
        self._recording.begin()

    def line(self, line: str) -> None:
        if self._recording is not None:
            self._recording.line(line)


class Records:
    """What this command writes into the history: one entry, or two if it changes the sandbox, which
    has its own history, and other contexts at once."""

    def __init__(
        self, command: Command, argv: Sequence[str], *, boot: bool, origin: str | None = None
    ) -> None:
        self._on = command
        self._argv = argv
        self._boot = boot
        self._origin = origin
        self._lock = allocate_lock()
        # By whether it is that of the sandbox.
        self._recordings: dict[bool, Recording] = {}
        # The exit code of what was done, if its result could not be printed.
        self.verdict: int | None = None

    @property
    def _parts(self) -> list[Part]:
        """Those of all doors that are open now: --watch opens new ones for each sample."""
        return [part for door in self._on.doors if isinstance(part := door.recorder, Part)]

    def place(self, effects: Effects, site: Site) -> None:
        """That door leads to this site."""
        for part in self._parts:
            if part.effects is effects:
                part.leads_to(site)

    def of(self, part: Part) -> Recording:
        with self._lock:
            inside = self._in_sandbox(part)
            if inside not in self._recordings:
                self._recordings[inside] = self._begun(inside)
            return self._recordings[inside]

    def _in_sandbox(self, part: Part) -> bool:
        noun = self._on.noun
        if part.settings is not None:
            return part.settings.in_sandbox(noun)
        return noun == "sandbox"

    def _of(self, inside: bool) -> list[Part]:
        """The parts that belong to one entry."""
        return [part for part in self._parts if self._in_sandbox(part) is inside]

    def _begun(self, inside: bool) -> Recording:
        from rdctl.history.recorder import Recording

        environment = self._on.environment
        required = not inside and required_audit(environment.root)
        if required and environment.environ.get(VARIABLE):
            raise RdctlError(
                Code.CONFIG,
                f'{VARIABLE} cannot be used: audit = "required" in /etc/rdctl/config.toml',
                hint=f"Unset it: unset {VARIABLE}",
            )
        return Recording(
            lambda: self._entry(inside),
            self._places(inside),
            required=required,
            now=environment.now,
            warn=self._on.warn,
        )

    def _places(self, inside: bool) -> list[Place]:
        on = self._on
        if inside:
            return [of_sandbox(on.sandbox_path, on.environment.home())]
        place = of_machine(on.environment.environ, on.environment.home(), on.environment.root)
        return at_boot(place, on.environment.root) if self._boot else [place]

    def _entry(self, inside: bool) -> Entry:
        from rdctl.core.secrets import masked_words
        from rdctl.history.model import Entry
        from rdctl.history.process import this_process

        environment, parts = self._on.environment, self._of(inside)
        settings = [part.settings for part in parts if part.settings is not None]
        contexts = [one.context for one in settings if one.context]
        undone = [part.effects.undoes for part in parts if part.effects and part.effects.undoes]
        boots = [part.boot_id for part in parts if self._on.noun == "rapiddisk"]
        return Entry(
            id=os.urandom(4).hex(),
            time=environment.now(),
            argv=tuple(masked_words(self._argv)),
            more_argv=0,
            context=",".join(contexts) or None,
            request_id=self._on.request_id if self._on.noun == "oio" else None,
            boot=next(filter(None, boots), None),
            origin=self._origin,
            undoes=next(iter(undone), None),
            **this_process(environment.environ, environment.root)._asdict(),
        )

    # --- the end ------------------------------------------------------------------------------

    def end(self, code: int, error: RdctlError | None) -> None:
        """Write how the command ended."""
        verdict = code if self.verdict is None else self.verdict
        with signals_held():
            for inside, recording in self._recordings.items():
                outcome = self._outcome(
                    self._of(inside), code if verdict is None else verdict, error
                )
                recording.end(outcome._replace(exit=code))
        if not self._recordings and self._on.command_path == "rdctl rapiddisk apply":
            self._absorb()

    def _absorb(self) -> None:
        """Without a change, too, apply takes what was written before the file system was there."""
        from rdctl.history.recorder import absorb, not_written

        if self._on.doors[0].dry_run or self._in_sandbox(self._parts[0]):
            return
        place = self._places(False)[0]
        try:
            absorb(place)
        except OSError as error:
            self._on.warn(not_written(place.path, error))

    def _outcome(self, parts: Sequence[Part], code: int, error: RdctlError | None) -> Outcome:
        from rdctl.history.recorder import Outcome

        doors = [part.effects for part in parts if part.effects is not None]
        contexts = {door.context for door in doors if door.context}
        report = self._on.report
        outcomes = [
            one
            for one in (report.so_far if report else ())
            if not contexts or one.context in contexts
        ]
        failures = [one for one in outcomes if isinstance(one, Failure)]
        names = [one.error.target if isinstance(one, Failure) else one.target for one in outcomes]
        error = error or next((one.error for one in failures), None)
        lost = any(one.fate == "unknown" for one in failures)
        lost = lost or any(door.under_way for door in doors)
        return Outcome(
            result=_result(code, lost),
            exit=code,
            error=None if error is None else error.message,
            targets=list(dict.fromkeys(name for name in names if name)),
            acts=[act for door in doors for act in door.acts],
            left=[step for door in doors for step in door.left],
        )


def _result(code: int, lost: bool) -> str:
    if lost or code == Exit.UNKNOWN:
        return "unknown"
    return {Exit.OK: "done", Exit.PARTIAL: "partial"}.get(Exit(code), "failed")
