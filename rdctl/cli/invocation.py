"""One run of one command: its world and settings, the door to the outside, what it shows, its exit
code. Loaded when a verb is run, not for help."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from rdctl.cli.messages import show_error, show_failures
from rdctl.cli.options import INVOCATION, flags_of
from rdctl.config import Config, Settings, resolve
from rdctl.effects import Effects
from rdctl.errors import Code, Exit, RdctlError
from rdctl.output import FORMATS
from rdctl.output.columns import SCHEMAS
from rdctl.output.render import View, check, render
from rdctl.result import Listing, Plan, Raw, Report
from rdctl.sites import Limits, Machine, Site, sandbox_path
from rdctl.units import defuse, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

    from rdctl.cli.command import Command
    from rdctl.world import World

# Losses that are told one by one: whoever is asked should be able to read them.
MOST_LOSSES = 20


class Invocation:
    """One run of one command: the world, what was typed, the door to the outside."""

    def __init__(self, world: World, flags: dict[str, Any], command_path: str) -> None:
        self.world = world
        self.flags = flags
        self.command_path = command_path
        self.settings: Settings | None = None
        self.report: Report | None = None
        self.effects = Effects(
            ask=self._ask,
            trace=self._trace if flags.get("trace") else None,
            tell=self.notice,
            dry_run=bool(flags.get("dry_run")),
        )
        self._config: Config | None = None
        self._told: set[str] = set()

    @property
    def config(self) -> Config:
        if self._config is None:
            self._config = Config(self.world.environ, self.world.root, self.world.home())
        return self._config

    @property
    def sandbox_path(self) -> str:
        return sandbox_path(self.world.environ, self.world.home())

    def site(self) -> Site:
        """The site that the settings name."""
        self.settings = settings = resolve(self.config, self.flags)
        retries = self.flags.get("retries")
        if retries is None:
            retries = _variable(self.world, "RDCTL_RETRIES", int, 2)
        return Site(
            settings,
            self.effects,
            Limits(settings.get("timeout"), retries),
            clock=self.world.clock,
            sleep=self.world.sleep,
            warn=self.warn,
            sandbox_path=self.sandbox_path,
            machine=Machine(self.world.root, self.world.calls),
            request_id=self.flags.get("request_id"),
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

    def _ask(self, losses: Sequence[str]) -> None:
        """Consent to losses: from --yes, else from the person who sits there."""
        settings, world = self.settings, self.world
        protected = settings is not None and settings.get("protected") and not settings.explicit
        if self.flags.get("yes") and not protected:
            return
        where = f" in the context {settings.context}" if settings and settings.context else ""
        endpoint = self.command_path.split()[1]
        if settings and not settings.context and settings.get(endpoint):
            where = f" on {settings.get(endpoint)}"
        told = "".join(f"  {defuse(loss)}\n" for loss in losses[:MOST_LOSSES])
        if len(losses) > MOST_LOSSES:
            told += f"  and {len(losses) - MOST_LOSSES} more\n"
        if not world.can_ask:
            if protected and self.flags.get("yes"):
                hint = f"The context is protected: name it with -c {settings.context}."  # type: ignore[union-attr]
            else:
                hint = "Say --yes when that is wanted, or --dry-run to see the steps."
            raise RdctlError(
                Code.CONSENT,
                f"nothing was done: this would happen{where}, and nobody can be asked:\n"
                + told.rstrip("\n"),
                hint=hint,
            )
        world.stderr.write(f"This is about to happen{where}:\n{told}")
        if not world.confirm("Go on?"):
            raise RdctlError(Code.DECLINED, "nothing was done")


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
                f"the variable RDCTL_OUTPUT: no format {defuse(form)!r}",
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
            f"the variable RDCTL_COLOR: {defuse(said)!r} is not auto, always or never",
        )
    if said != "auto":
        return bool(said == "always")
    plain = world.environ.get("NO_COLOR") or world.environ.get("TERM") == "dumb"
    return terminal and not plain


def _variable(world: World, name: str, kind: type[int], default: int) -> int:
    text = world.environ.get(name)
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise RdctlError(Code.CONFIG, f"the variable {name} is not a number: {defuse(text)!r}")
    return kind(text)


def carry_out(command: Command, ctx: click.Context) -> int:
    """Run a verb: choose the site, call it, show what it returns; its exit code."""
    world: World = ctx.obj
    invocation = Invocation(world, flags_of(ctx), ctx.command_path)
    ctx.meta[INVOCATION] = invocation
    view = invocation.view()
    schema = SCHEMAS[command.shows] if command.shows else None
    check(view, schema)
    on = invocation.site() if command.on_site else invocation
    assert command.callback is not None
    if not gc.isenabled():
        # `__main__` turned it off for the start, of which all stays.
        gc.freeze()
        gc.enable()
    result = ctx.invoke(command.callback, on, **ctx.params)
    invocation.report = report = result if isinstance(result, Report) else None
    if invocation.effects.dry_run and (report is not None or invocation.effects.plan):
        result = Plan(invocation.effects.plan, report)
    elif isinstance(on, Site) and on.in_sandbox:
        if report.changes if report is not None else invocation.effects.done:
            invocation.notice("[sandbox]")
    if report is not None:
        show_failures(world, report.failures)
    render(result, schema, view, world.stdout, invocation.notice)
    if isinstance(result, Listing):
        return _ended_listing(result, invocation)
    if isinstance(result, Raw) and result.error is not None:
        show_error(world, result.error)
        return int(result.error.exit)
    return int(report.exit if report is not None else Exit.OK)


def _ended_listing(listing: Listing, invocation: Invocation) -> int:
    """What could not be shown, and where to go on, are known when all was taken."""
    show_failures(invocation.world, listing.failures)
    if listing.marker is not None:
        invocation.notice(f"More follow; go on with: --marker {quoted(listing.marker)}")
    return int(listing.exit)
