"""A command: the verbs themselves only call one operation and return its result; all around that
is `invocation`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.lazy import SETTINGS
from rdctl.cli.options import WithGlobals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Command(WithGlobals):
    """A verb. `shows` names the schema of what it lists or shows; a verb without one changes
    something, and reports. `local_only`: it is for RapidDisk on this very machine."""

    def __init__(
        self,
        *args: Any,
        shows: str | None = None,
        on_site: bool = True,
        local_only: bool = False,
        examples: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        self.shows = shows
        self.on_site = on_site
        self.local_only = local_only
        self.examples = examples

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
            examples=examples,
        )
        command: Command = made(function)
        return command

    return decorate
