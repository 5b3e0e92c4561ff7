"""One run of one command: its environment, settings, doors to the outside, and sites.
Loaded only when a verb is run, not for help."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rdctl.cli import consent
from rdctl.cli.consent import Loss
from rdctl.cli.names_input import bulk_of
from rdctl.cli.options import flags_of
from rdctl.cli.view import use_color
from rdctl.config.contexts import Config
from rdctl.config.resolve import Settings, resolve, retries_of, several
from rdctl.core.errors import RdctlError
from rdctl.core.once import once
from rdctl.core.results import Change, Failure, Listing
from rdctl.core.trace_context import trace_id
from rdctl.core.units import defuse
from rdctl.core.unread import Unread
from rdctl.effects.door import Effects
from rdctl.recording import Part, Records
from rdctl.sites import Limits, Site, sandbox_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import click

    from rdctl.core.environment import Environment
    from rdctl.core.results import Report
    from rdctl.remote.turns import Remotes
    from rdctl.workers import Progress, Workers


class Invocation:
    """One run of one command: the environment, the options, the doors to the outside."""

    # Who sent it over SSH, and the login.
    origin: str | None = None

    def __init__(self, ctx: click.Context, argv: Sequence[str]) -> None:
        self.environment: Environment = ctx.obj
        self.flags = flags_of(ctx)
        self.bulk = bulk_of(ctx)
        self.command_path = ctx.command_path
        self.noun = ctx.command_path.split()[1]
        # Settings of one context, and those of each of several contexts.
        self.settings: Settings | None = None
        self.settings_of: dict[str, Settings] = {}
        self.report: Report | None = None
        # The error with which it ended.
        self.error: RdctlError | None = None
        boot = bool(ctx.params.get("boot")) or self.command_path.endswith(" boot stop")
        self.records = Records(self, argv, boot=boot, origin=self.origin)
        # The doors to the outside: one, or one for each of several contexts.
        self.doors: list[Effects] = []
        self.effects = self.door(lambda losses: self.ask([Loss(self.settings, losses)]))
        self.in_sandbox = False
        self.unread = Unread()
        # Notices to print after the result.
        self.next_steps: list[str] = []
        self._warned: set[str] = set()
        self._workers: Workers | None = None

    def door(self, ask: Callable[[Sequence[str]], None], **options: Any) -> Effects:
        """Create another door to the outside."""
        flags, part = self.flags, self._part()
        effects = Effects(
            ask=ask,
            trace=self._trace if flags.get("trace") else None,
            tell=self.notice,
            dry_run=bool(flags.get("dry_run")),
            recorder=part,
            **options,
        )
        part.effects = effects
        self.doors.append(effects)
        return effects

    def _part(self) -> Part:
        """The part of a door in the history."""
        return Part(self.records)

    @once
    def request_id(self) -> str:
        """Logged by the services of OpenIO; the same for all requests of a command."""
        given = self.flags.get("request_id") or trace_id(self.environment.environ)
        return given or os.urandom(16).hex().upper()

    @once
    def config(self) -> Config:
        return Config(self.environment.environ, self.environment.root, self.environment.home())

    @once
    def contexts(self) -> dict[str, bool] | None:
        """The contexts if several are selected; true for those not named by a pattern."""
        return several(self.config, self.flags)

    # --- sites --------------------------------------------------------------------------------

    @once
    def remotes(self) -> Remotes:
        """The machines over SSH."""
        from rdctl.remote.turns import Remotes

        return Remotes()

    def site(self) -> Site:
        """The site of the settings in effect."""
        self.settings = resolve(self.config, self.flags)
        return self.site_of(self.settings, self.effects)

    def ssh_site(self) -> Site | None:
        """The site in effect if it is one over SSH."""
        flags, config = self.flags, self.config
        named = flags.get("context") or config.environ.get("RDCTL_CONTEXT") or config.current
        if named and named not in config.contexts:  # several, or a former one
            return None
        return self.site() if resolve(config, flags).over_ssh else None

    def site_of(self, settings: Settings, effects: Effects) -> Site:
        """The site of these settings, with this door."""
        self.in_sandbox |= settings.in_sandbox(self.noun)
        site = Site(
            settings,
            effects,
            Limits(settings.get("timeout"), retries_of(self.flags, self.environment.environ)),
            self.config,
            self.environment,
            warn=self.warn,
            workers=lambda: self.workers,
            request_id=self.request_id,
            unread=self.unread,
        )
        self.records.place(effects, site)
        return site

    @property
    def sandbox_path(self) -> str:
        return sandbox_path(self.environment.environ, self.environment.home())

    def aim(self, error: RdctlError, context: str | None = None) -> None:
        """Make the commands in a hint address the place that the error is from."""
        settings = self.settings_of.get(context) if context else self.settings
        if settings is not None:
            settings.aim(error)

    def aimed(self, outcome: Change | Failure) -> Change | Failure:
        """The outcome, with a hint that addresses its own place."""
        if isinstance(outcome, Failure):
            self.aim(outcome.error, outcome.context)
        return outcome

    def aiming(self, listing: Listing, items: Iterable[Any]) -> Iterator[Any]:
        """The items. At their end the hints of the failures address their places, and it is known
        whether any items were unreadable."""
        try:
            yield from items
        finally:
            listing.skipped = bool(self.unread.skipped)
            for failure in listing.failures:
                self.aimed(failure)

    # --- long-running work -----------------------------------------------------------------

    @property
    def workers(self) -> Workers:
        """The workers for parallel operations on any system."""
        if self._workers is None:
            self._workers = self._new_workers()
        return self._workers

    def _new_workers(self) -> Workers:
        from rdctl.workers import PARALLEL, Workers

        flags, bar = self.flags, self._bar()
        # Lines that belong together stay together.
        in_turn = flags.get("trace") or flags.get("dry_run")
        parallel = flags.get("parallel") or (1 if in_turn else PARALLEL)
        return Workers(parallel, bar, self._stopping, patient="watch" not in flags)

    def _bar(self) -> Progress | None:
        """The progress bar, if one is shown."""
        flags, environment = self.flags, self.environment
        silent = flags.get("quiet") or flags.get("trace") or "watch" in flags
        if silent or not environment.stderr.tty:
            return None
        from rdctl.cli.progress import Bar

        return Bar(environment, color=use_color(flags, environment, True))

    def end_progress(self) -> None:
        """Remove the progress bar from the terminal."""
        if self._workers is not None:
            self._workers.progress.end()

    def leave_out_progress(self) -> None:
        """Show no progress bar: rows on a terminal show the progress, and would break a bar."""
        if self._workers is not None:
            from rdctl.workers import Progress

            self.end_progress()
            self._workers.progress = Progress()

    def one_by_one(self, items: Iterable[Any]) -> Iterator[Any]:
        """Rare items: each is written out before the next one is searched for. On a terminal, the
        progress bar is hidden meanwhile."""
        stdout = self.environment.stdout
        for item in items:
            if stdout.tty:
                self.workers.progress.pause()
            yield item
            stdout.flush()
        if stdout.tty:
            self.end_progress()

    def close(self) -> None:
        """End the connections to other machines."""
        if "remotes" in vars(self):
            self.remotes.close()

    # --- messages to the user ----------------------------------------------------------------

    def warn(self, message: str) -> None:
        """Print a warning, once, and not on the line of the progress bar."""
        if message not in self._warned and not self.flags.get("quiet"):
            self._warned.add(message)
            if self._workers is not None:
                self._workers.progress.pause()
            self.environment.stderr.write(f"rdctl: warning: {defuse(message)}\n")

    def notice(self, message: str) -> None:
        """Print an informational message."""
        if not self.flags.get("quiet"):
            self.environment.stderr.write(f"{defuse(message)}\n")

    def _stopping(self, message: str) -> None:
        """Print what follows from a signal."""
        self.notice(message)

    def _trace(self, line: str) -> None:
        self.environment.stderr.write(f"{defuse(line)}\n")

    def ask(
        self, asked: Sequence[Loss], failed: Mapping[str, RdctlError] = MappingProxyType({})
    ) -> None:
        """Get confirmation for the losses; `failed` are the contexts that failed before."""
        consent.ask(
            asked,
            failed,
            list(dict.fromkeys(line for door in self.doors for line in door.preface)),
            environment=self.environment,
            noun=self.noun,
            yes=bool(self.flags.get("yes")),
        )
