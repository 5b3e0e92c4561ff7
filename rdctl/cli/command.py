"""A command: the verbs themselves only call one operation and return its result; all around that
is `invocation`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.interval import watch_option, written_out
from rdctl.cli.lazy import SETTINGS
from rdctl.cli.options import WithGlobals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# A verb that can be watched on the machine itself, but not through a daemon.
HERE = "here"


class Command(WithGlobals):
    """A verb. `shows` names the schema of what it lists or shows; a verb without one changes
    something, and reports. `local_only`: it is for RapidDisk on this very machine. `watch`: it only
    reads, so it takes --watch; HERE: but not of a daemon, which its question may bring down.
    `fleet`: it can work in several contexts at a time."""

    def __init__(
        self,
        *args: Any,
        shows: str | None = None,
        on_site: bool = True,
        local_only: bool = False,
        watch: bool | str = False,
        fleet: bool = True,
        examples: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        if watch:
            self.params.append(watch_option())
        self.shows = shows
        self.on_site = on_site
        self.local_only = local_only
        self.watch = watch
        self.fleet = fleet
        self.examples = examples

    @property
    def work(self) -> Callable[..., Any]:
        """What the verb does."""
        if self.callback is None:
            raise TypeError(f"{self.name} does nothing")
        return self.callback

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if self.watch:
            args = written_out(args, self.get_params(ctx))
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")
        with formatter.indentation():
            formatter.write("\nGlobal options: rdctl --help\n")

    def invoke(self, ctx: click.Context) -> int:
        from rdctl.cli.invocation import carry_out

        return carry_out(self, ctx)


def verb(
    name: str,
    *,
    shows: str | None = None,
    examples: Sequence[str],
    on_site: bool = True,
    local_only: bool = False,
    watch: bool | str = False,
    fleet: bool = True,
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command. The first line of its docstring is its line in the group's help;
    its first argument is the Site, or the Invocation of a command that needs none."""

    def decorate(function: Callable[..., Any]) -> Command:
        made = click.command(
            name,
            cls=Command,
            shows=shows,
            on_site=on_site,
            local_only=local_only,
            watch=watch,
            fleet=fleet,
            examples=examples,
        )
        command: Command = made(function)
        return command

    return decorate
