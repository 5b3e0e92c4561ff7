"""Options that were renamed: the former spelling still works, but is not shown."""

from __future__ import annotations

from typing import Any

import click


class Renamed(click.Option):
    """An option with a former spelling, which help and completion do not know."""

    def __init__(self, *args: Any, formerly: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.formerly = formerly

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        shown, self.opts = self.opts, [*self.opts, *filter(None, [self.formerly])]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown
