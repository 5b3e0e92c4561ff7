"""A group that imports a child only when it is used: start-up is a feature."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.options import WithGlobals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class NoSuchVerb(click.UsageError):
    """A word behind a noun that is none of its nouns and verbs."""

    def __init__(self, word: str, known: Iterable[str], ctx: click.Context) -> None:
        super().__init__(f"There is no {ctx.command_path} {word}.", ctx)
        self.word = word
        self.known = list(known)


class LazyGroup(WithGlobals, click.Group):
    """`children` maps a name to `module:attribute` and to the line that help shows for it."""

    def __init__(self, *args: Any, children: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        self.children = children

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.children)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.children:
            return None
        module, _, attribute = self.children[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.children.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.children and not name.startswith("-"):
            raise NoSuchVerb(name, self.children, ctx)
        return super().resolve_command(ctx, args)


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
