"""Kinds of arguments that several nouns share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.errors import Code, RdctlError
from rdctl.units import parse_mib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rdctl.world import World

# More than this from standard input is no list of names.
MOST_NAMES = 64 << 20


class Mib(click.ParamType[int]):
    """A size in whole MiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return value if isinstance(value, int) else parse_mib(value)


MIB = Mib()

FORCE = click.option(
    "--force",
    is_flag=True,
    help="Although the daemon (Debian's 9.0.0) cannot show whether it is in use.",
)


def names(kind: str, *, required: bool = True) -> Callable[[Any], Any]:
    """The argument `KIND...`; `-` stands for names on standard input, one a line, or each ended by
    NUL with -0. None when nothing was typed, which is not the same as none on standard input."""
    metavar = f"{kind.upper()}..." if required else f"[{kind.upper()}...]"
    return click.argument(f"{kind}s", metavar=metavar, nargs=-1, required=required, callback=_given)


def _given(
    context: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> list[str] | None:
    return expanded(context.obj, value) if value else None


def expanded(world: World, words: Iterable[str]) -> list[str]:
    """The words, with those on standard input in place of a `-`."""
    given: list[str] = []
    for word in words:
        given += from_stdin(world) if word == "-" else [word]
    return given


def from_stdin(world: World) -> list[str]:
    """The names on standard input: one a line, or each ended by NUL."""
    try:
        data = world.stdin.read(MOST_NAMES + 1)
    except OSError as error:
        raise RdctlError(Code.USAGE, f"standard input cannot be read: {error.strerror}") from error
    if len(data) > MOST_NAMES:
        raise RdctlError(Code.USAGE, "standard input holds more than a list of names")
    separator = b"\0" if b"\0" in data else b"\n"
    return [entry.decode("utf-8", "surrogateescape") for entry in data.split(separator) if entry]
