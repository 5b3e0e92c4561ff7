"""One run of one command: its world and settings, the door to the outside, what it shows, its exit
code. Loaded when a verb is run, not for help."""

from __future__ import annotations

import gc
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rdctl.cli.arguments import Bulk, bulk_of
from rdctl.cli.messages import show_error, show_failures
from rdctl.cli.options import INVOCATION, flags_of
from rdctl.config.contexts import Config
from rdctl.config.resolve import Settings, resolve, several
from rdctl.core.errors import Code, Ended, Exit, RdctlError, hints, told
from rdctl.core.results import Change, Failure, Listing, Plan, Raw, Report
from rdctl.core.units import defuse, quoted
from rdctl.core.unread import Unread
from rdctl.effects.door import Effects
from rdctl.output import FORMATS
from rdctl.output.render import render
from rdctl.output.schemas import CHANGE, SCHEMAS, with_context
from rdctl.output.view import View, check
from rdctl.sites import Limits, Machine, Site, sandbox_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import click

    from rdctl.cli.command import Command
    from rdctl.core.environment import World
    from rdctl.core.results import Result
    from rdctl.output.schemas import Schema
    from rdctl.workers import Workers

# Losses that are told one by one: whoever is asked should be able to read them.
MOST_LOSSES = 20


class Invocation:
    """One run of one command: the world, what was typed, the door to the outside."""

    def __init__(self, world: World, flags: dict[str, Any], command_path: str) -> None:
        self.world = world
        self.flags = flags
        self.command_path = command_path
        # Of one system, and of several contexts those of each.
        self.settings: Settings | None = None
        self.settings_of: dict[str, Settings] = {}
        self.report: Report | None = None
        # The doors to the outside: one, or of several contexts one each.
        self.doors: list[Effects] = []
        self.effects = self.door(lambda losses: self.ask([(self.settings, losses)]))
        # Of a dry run on several contexts: the plan of each.
        self.plans: dict[str, list[str]] | None = None
        self.in_sandbox = False
        self.unread = Unread()
        self._config: Config | None = None
        self._told: set[str] = set()

    def door(self, ask: Callable[[Sequence[str]], None], **options: Any) -> Effects:
        """One more door to the outside."""
        flags = self.flags
        effects = Effects(
            ask=ask,
            trace=self._trace if flags.get("trace") else None,
            tell=self.notice,
            dry_run=bool(flags.get("dry_run")),
            **options,
        )
        self.doors.append(effects)
        return effects

    @property
    def config(self) -> Config:
        if self._config is None:
            self._config = Config(self.world.environ, self.world.root, self.world.home())
        return self._config

    @cached_property
    def contexts(self) -> dict[str, bool] | None:
        """The contexts where several are named, each with whether it stands there itself."""
        return several(self.config, self.flags)

    @cached_property
    def workers(self) -> Workers:
        """Those who do several things at a time, for whichever systems."""
        from rdctl.cli.progress import Bar
        from rdctl.workers import PARALLEL, Workers

        flags, world = self.flags, self.world
        silent = flags.get("quiet") or flags.get("trace") or "watch" in flags
        shown = world.stderr.tty and not silent
        bar = Bar(world, color=use_color(flags, world, True)) if shown else None
        # Lines that belong together stand together.
        in_turn = flags.get("trace") or flags.get("dry_run")
        parallel = flags.get("parallel") or (1 if in_turn else PARALLEL)
        return Workers(parallel, bar, self.notice, patient="watch" not in flags)

    def end_progress(self) -> None:
        """No bar is left on the terminal."""
        if "workers" in self.__dict__:
            self.workers.progress.end()

    def leave_out_progress(self) -> None:
        """Rows on a terminal tell how far it is, and would run through a bar."""
        if "workers" in self.__dict__:
            from rdctl.workers import Progress

            self.end_progress()
            self.workers.progress = Progress()

    @property
    def sandbox_path(self) -> str:
        return sandbox_path(self.world.environ, self.world.home())

    def aim(self, error: RdctlError, context: str | None = None) -> None:
        """Let the commands in a hint reach the place that the error is from."""
        settings = self.settings_of.get(context) if context else self.settings
        if settings is not None:
            settings.aim(error)

    def aimed(self, outcome: Change | Failure) -> Change | Failure:
        """The outcome, with a hint that leads to its own place."""
        if isinstance(outcome, Failure):
            self.aim(outcome.error, outcome.context)
        return outcome

    def aiming(self, listing: Listing, items: Iterable[Any]) -> Iterator[Any]:
        """The items; at their end the hints of the failures lead to their places, and it is known
        whether any could not be read."""
        try:
            yield from items
        finally:
            listing.skipped = bool(self.unread.skipped)
            for failure in listing.failures:
                self.aimed(failure)

    def site(self) -> Site:
        """The site that the settings name."""
        self.settings = resolve(self.config, self.flags)
        return self.site_of(self.settings, self.effects)

    def site_of(self, settings: Settings, effects: Effects) -> Site:
        """The site of these settings, behind that door."""
        retries = self.flags.get("retries")
        if retries is None:
            retries = _variable(self.world, "RDCTL_RETRIES", int, 2)
        return Site(
            settings,
            effects,
            Limits(settings.get("timeout"), retries),
            clock=self.world.busy,
            sleep=self.world.sleep,
            warn=self.warn,
            workers=lambda: self.workers,
            config=self.config,
            sandbox_path=self.sandbox_path,
            machine=Machine.of(self.world),
            request_id=self.flags.get("request_id"),
            unread=self.unread,
        )

    def view(self) -> View:
        """How the result is to be shown."""
        flags, world = self.flags, self.world
        form = output_format(flags, world)
        terminal = world.stdout.tty and form == "table"
        columns = flags.get("columns")
        return View(
            format=form,
            columns=[key.strip() for key in columns.split(",")] if columns else None,
            sort_by=flags.get("sort_by"),
            query=flags.get("query"),
            headers=not flags.get("no_headers"),
            nul=bool(flags.get("nul")),
            table_style=flags.get("table_style") if form == "table" else None,
            terminal=terminal,
            color=use_color(flags, world, terminal),
            width=world.width,
            quiet=bool(flags.get("quiet")),
        )

    def warn(self, message: str) -> None:
        """Tell the operator something, once."""
        if message not in self._told and not self.flags.get("quiet"):
            self._told.add(message)
            self.world.stderr.write(f"rdctl: warning: {defuse(message)}\n")

    def notice(self, message: str) -> None:
        """Tell the operator something that is no data."""
        if not self.flags.get("quiet"):
            self.world.stderr.write(f"{defuse(message)}\n")

    def _trace(self, line: str) -> None:
        self.world.stderr.write(f"{defuse(line)}\n")

    def ask(
        self,
        asked: Sequence[tuple[Settings | None, Sequence[str]]],
        failed: Mapping[str, RdctlError] = MappingProxyType({}),
    ) -> None:
        """Consent to the losses in each context: from --yes, else from who sits there, who is told
        where it failed by then."""
        endpoint = self.command_path.split()[1]
        protected = [
            of for of, _ in asked if of and of.get("protected") and not of.says_where(endpoint)
        ]
        if self.flags.get("yes") and not protected:
            return
        where, losses = self._where(asked)
        unchecked = dict.fromkeys(door.unchecked for door in self.doors if door.unchecked)
        lines = [*unchecked, *losses[:MOST_LOSSES]]
        if len(losses) > MOST_LOSSES:
            lines.append(f"and {len(losses) - MOST_LOSSES} more")
        lines += [f"not in {context}: {error.message}" for context, error in failed.items()]
        lines = [defuse(line) for line in lines]
        if not self.world.can_ask:
            hint = "Say --yes when that is wanted, or --dry-run to see the steps."
            if protected and self.flags.get("yes"):
                names = ",".join(str(settings.context) for settings in protected)
                hint = f"The context is protected: name it with -c {names}."
            raise RdctlError(
                Code.CONSENT,
                f"nothing was done: this would happen{where}, and nobody can be asked:",
                hint=hints(*lines, hint),
            )
        self.world.stderr.write(f"This is about to happen{where}:\n")
        self.world.stderr.write("".join(f"  {line}\n" for line in lines))
        if not self.world.confirm("Go on?"):
            raise RdctlError(Code.DECLINED, "nothing was done")

    def _where(
        self, asked: Sequence[tuple[Settings | None, Sequence[str]]]
    ) -> tuple[str, Sequence[str]]:
        """Where it would happen, in words, and what."""
        if len(asked) == 1:
            ((settings, losses),) = asked
            endpoint = self.command_path.split()[1]
            if settings and not settings.context and settings.get(endpoint):
                return f" on {settings.get(endpoint)}", losses
            named = f" in the context {settings.context}" if settings and settings.context else ""
            return named, losses
        names = ", ".join(str(of.context) for of, _ in asked if of)
        told = [f"{of.context}: {loss}" for of, losses in asked if of for loss in losses]
        return f" in the contexts {names}", told


def output_format(flags: dict[str, Any], world: World) -> str:
    """The format: of the innermost option, else of RDCTL_OUTPUT, else a table."""
    if flags.get("output") or flags.get("json"):
        if flags.get("json") and flags.get("output") not in (None, "json"):
            raise RdctlError(Code.USAGE, f"--json and -o {flags['output']} exclude each other")
        form: str = flags.get("output") or "json"
    elif flags.get("nul"):
        form = "name"
    else:
        form = world.environ.get("RDCTL_OUTPUT") or "table"
        if form not in FORMATS:
            raise RdctlError(
                Code.CONFIG,
                f"the variable RDCTL_OUTPUT: no format '{defuse(form)}'",
                hint=f"The formats are: {', '.join(FORMATS)}.",
            )
    if flags.get("nul") and form != "name":
        raise RdctlError(Code.USAGE, f"-0 writes names; it cannot stand beside -o {form}")
    return form


def use_color(flags: dict[str, Any], world: World, terminal: bool) -> bool:
    """Colors: as said, else on a terminal that has them and where NO_COLOR is not set."""
    said = flags.get("color") or world.environ.get("RDCTL_COLOR") or "auto"
    if said not in ("auto", "always", "never"):
        raise RdctlError(
            Code.CONFIG,
            f"the variable RDCTL_COLOR: '{defuse(said)}' is not auto, always or never",
        )
    if said != "auto":
        return bool(said == "always")
    plain = world.environ.get("NO_COLOR") or world.environ.get("TERM") == "dumb"
    return terminal and not plain


_MOST_DIGITS = 18


def _variable(world: World, name: str, kind: type[int], default: int) -> int:
    text = world.environ.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise RdctlError(Code.CONFIG, f"the variable {name} is not a number: '{defuse(text)}'")
    return kind(text)


def carry_out(command: Command, ctx: click.Context) -> int:
    """Run a verb: choose the sites, call it, show what it returns; its exit code."""
    world: World = ctx.obj
    invocation = Invocation(world, flags_of(ctx), ctx.command_path)
    ctx.meta[INVOCATION] = invocation
    view = invocation.view()
    schema = SCHEMAS[command.shows] if command.shows else None
    if command.on_site and invocation.contexts is not None:
        schema = with_context(schema or CHANGE)
    check(view, schema)
    if view.sort_by and ctx.params.get("limit"):
        # The first of them are known when all are.
        view = view._replace(limit=ctx.params["limit"])
        ctx.params["limit"] = None
    if not gc.isenabled():
        # `__main__` turned it off for the start, of which all stays.
        gc.freeze()
        gc.enable()
    try:
        return _carried_out(command, ctx, invocation, schema, view)
    finally:
        if words := invocation.unread.words:
            invocation.warn(words)


def _carried_out(
    command: Command,
    ctx: click.Context,
    invocation: Invocation,
    schema: Schema | None,
    view: View,
) -> int:
    if "watch" in invocation.flags and schema is not None:
        from rdctl.cli.watch import watch

        return watch(lambda: _result(command, ctx, invocation), command, schema, view, invocation)
    try:
        result = _result(command, ctx, invocation)
    except (RdctlError, KeyboardInterrupt, Ended) as error:
        invocation.end_progress()
        # Which of the names are done by then is in the message, if any.
        _keep_failed([Failure(str(command.name), told(error), whole=True)], ctx, invocation)
        raise
    return _shown(result, schema, view, ctx, invocation)


def _keep_failed(failures: Sequence[Failure], ctx: click.Context, invocation: Invocation) -> None:
    bulk = bulk_of(ctx)
    if bulk.failed is not None and not invocation.effects.dry_run:
        bulk.keep_failed(failures, invocation.effects, invocation.world.home())


def _result(command: Command, ctx: click.Context, invocation: Invocation) -> Result:
    """What the verb returns; the hints in it lead to where it is from."""
    result = _called(command, ctx, invocation)
    if isinstance(result, Report):
        result.pass_through(invocation.aimed)
    elif isinstance(result, Listing):
        result.items = invocation.aiming(result, result.items)
    elif isinstance(result, Raw) and result.error is not None:
        invocation.aim(result.error)
    return result


def _called(command: Command, ctx: click.Context, invocation: Invocation) -> Result:
    """What the verb returns, of one site or of a fleet of them."""
    if not command.on_site:
        result: Result = ctx.invoke(command.work, invocation, **ctx.params)
        return result
    if invocation.contexts is not None:
        from rdctl.cli import fleet

        return fleet.result(command, ctx, invocation, invocation.contexts)
    site = invocation.site()
    invocation.in_sandbox = site.settings.in_sandbox(invocation.command_path.split()[1])
    found: Result = ctx.invoke(command.work, site, **ctx.params)
    return found


def _shown(
    result: Result, schema: Schema | None, view: View, ctx: click.Context, invocation: Invocation
) -> int:
    """Show it; the exit code that follows from it."""
    world = invocation.world
    bulk = bulk_of(ctx)
    if isinstance(result, Report) and bulk.lines:
        result.pass_through(_numbering(bulk, view))
    if isinstance(result, Listing) and bulk.lines:
        result.items = bulk.numbering(result, result.items)
    invocation.report = report = result if isinstance(result, Report) else None
    dry_run = invocation.effects.dry_run
    ended: BaseException | None = None
    # Lines would run through the bar; a document is written when all is known.
    if report is not None and (world.stderr.tty or dry_run or view.in_one):
        ended = _completed(report)
        invocation.end_progress()
    if isinstance(result, Listing) and world.stdout.tty:
        invocation.leave_out_progress()
    shown, plan = result, [line for door in invocation.doors for line in door.plan]
    if dry_run and (report is not None or plan):
        shown = Plan(plan, report, invocation.plans)
    try:
        render(shown, schema, view, world.stdout, invocation.notice)
    except BrokenPipeError:
        if report is not None:  # a change never stops because nobody reads of it
            _completed(report)
        raise
    finally:
        invocation.end_progress()
        if isinstance(result, Report | Listing):
            failures = [one for one in result.so_far if isinstance(one, Failure)]
            show_failures(world, failures)
            _keep_failed(failures, ctx, invocation)
    if ended is not None:
        raise ended
    if invocation.in_sandbox and not dry_run:
        if report.changes if report is not None else invocation.effects.done:
            invocation.notice("[sandbox]")
    if isinstance(result, Listing):
        _tell_markers(result, invocation)
        return int(result.exit)
    if isinstance(result, Raw) and result.error is not None:
        show_error(world, result.error)
        return int(result.error.exit)
    return int(report.exit if report is not None else Exit.OK)


def _numbering(bulk: Bulk, view: View) -> Callable[[Change | Failure], Change | Failure]:
    """What gives outcomes the lines that their names came from; a sentence has no place for it."""

    def numbered(outcome: Change | Failure) -> Change | Failure:
        if isinstance(outcome, Failure):
            return bulk.numbered(outcome)
        if view.in_words:
            return outcome
        line = bulk.of(outcome.context).lines.get(outcome.target or "")
        return outcome if line is None else outcome.with_line(line)

    return numbered


def _completed(report: Report) -> BaseException | None:
    """All that is to be done is done; the signal that ended it before."""
    try:
        for _ in report:
            pass
    except (KeyboardInterrupt, Ended) as error:
        return error
    return None


def _tell_markers(listing: Listing, invocation: Invocation) -> None:
    """Where to go on is known when all was taken."""
    if listing.marker is not None:
        invocation.notice(f"More follow; go on with: --marker {quoted(listing.marker)}")
    for context, marker in listing.markers.items():
        words = f"-c {context} --marker {quoted(marker)}"
        invocation.notice(f"More follow in {context}; go on with: {words}")
