"""The option --watch [SECONDS] of a verb that only reads: an option with an optional value."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

import click

from rdctl.cli.options import flags_of, parsed
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse

if TYPE_CHECKING:
    from collections.abc import Sequence

WATCH = "--watch"
SECONDS = 2.0
LEAST = 0.1
MOST = 86400.0

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")


def interval(text: str) -> float:
    """Seconds between two samples."""
    seconds = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not LEAST <= seconds <= MOST:
        raise RdctlError(
            Code.USAGE,
            f'invalid {WATCH} "{defuse(text)}": must be from {LEAST:g} to {MOST:g} seconds',
            hint=f"For every half second use {WATCH}=0.5; {WATCH} alone is every {SECONDS:g} s.",
        )
    return seconds


def watch_option() -> click.Option:
    """The option --watch, stored with the global options in `flags_of(context)["watch"]`."""
    return click.Option(
        ["watch", WATCH],
        metavar="[SECONDS]",
        type=parsed("seconds", interval),
        expose_value=False,
        callback=_keep,
        help=f"Repeat every SECONDS (default: {SECONDS:g}).",
    )


def _keep(context: click.Context, param: click.Parameter, value: float | None) -> None:
    if value is not None:
        flags_of(context)["watch"] = value


def written_out(args: Sequence[str], params: Sequence[click.Parameter]) -> list[str]:
    """The words with an explicit value of --watch: the next word if it is a number, else the
    default. click would take any next word as the value, even the name of a volume."""
    options = [param for param in params if isinstance(param, click.Option) and not param.is_flag]
    valued = {spelling for option in options for spelling in option.opts}
    words, written = deque(args), list[str]()
    while words:
        word = words.popleft()
        if word == "--":
            return [*written, word, *words]
        if word == WATCH:
            given = words.popleft() if words and _NUMBER.fullmatch(words[0]) else f"{SECONDS:g}"
            written.append(f"{WATCH}={given}")
            continue
        written.append(word)
        if word in valued and words:
            written.append(words.popleft())
    return written
