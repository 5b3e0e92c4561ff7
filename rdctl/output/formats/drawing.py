"""Rows of a table as lines of a terminal. rich takes longer to import than most commands work, so
it only draws what it is needed for: columns that are folded, and characters of unusual widths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rdctl.output.layout import BOLD, DIM, painted, widths

# The placeholder of a command while a table is drawn: cells have no control characters.
MARK = "\0"
# From here on, characters are of different widths.
_COMBINING = "\u0300"
# The codes of a terminal for the styles, which are named as rich does.
_CODES = {
    "": "",
    "dim": DIM,
    "green": "32",
    "yellow": "33",
    "red": "31",
    "bold red": "1;31",
}


class Head(NamedTuple):
    """The head of a column, and whether the column is right-aligned, and never folded."""

    text: str
    right: bool
    whole: bool


class Cells(NamedTuple):
    """A row: its texts, their styles, the lines below the last of them, and how many commands
    follow."""

    texts: Sequence[str]
    styles: Sequence[str]
    notes: Sequence[str]
    commands: int


def draw(
    heads: Sequence[Head], rows: Sequence[Cells], headers: bool, color: bool, width: int
) -> Iterator[str]:
    """The lines of a table, which may end in blanks; a command is only marked."""
    texts = [[head.text for head in heads]] if headers else []
    for row in rows:
        texts.append(list(row.texts))
        texts += ([*[""] * (len(heads) - 1), note] for note in row.notes)
    if all(one < _COMBINING for line in texts for one in map(_widest, line)):
        sizes = widths(texts or [[""] * len(heads)])
        if all(sizes) and sum(sizes) + 2 * (len(sizes) - 1) <= width:
            return _side_by_side(heads, rows, headers, color, sizes)
    return _folded(heads, rows, headers, color, width)


def _widest(text: str) -> str:
    return max(text, default="") if text.isprintable() else _COMBINING


def _side_by_side(
    heads: Sequence[Head], rows: Sequence[Cells], headers: bool, color: bool, sizes: Sequence[int]
) -> Iterator[str]:
    """Each row on a line, as rich would draw it."""
    below = " " * (sum(sizes) + 2 * len(sizes) - 2 - sizes[-1])

    def cell(text: str, place: int, style: str) -> str:
        size = sizes[place]
        filled = text.rstrip().rjust(size) if heads[place].right else text.ljust(size)
        return painted(filled, style if color else "")

    def note(text: str, style: str) -> str:
        blanks = painted(" " * (sizes[-1] - len(text)), style if color else "")
        codes = ";".join(sorted({DIM, *filter(None, style.split(";"))}))
        shown = painted(text, codes if color else "")
        return below + (blanks + shown if heads[-1].right else shown + blanks)

    if headers:
        gap = painted(" ", BOLD if color else "") * 2
        yield gap.join(cell(head.text, place, BOLD) for place, head in enumerate(heads))
    for row in rows:
        codes = [_CODES[style] for style in row.styles]
        yield "  ".join(map(cell, row.texts, range(len(heads)), codes))
        yield from (note(text, codes[-1]) for text in row.notes)
        yield from [below + MARK] * row.commands


def _folded(
    heads: Sequence[Head], rows: Sequence[Cells], headers: bool, color: bool, width: int
) -> Iterator[str]:
    """By rich."""
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=headers, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(
            Text(head.text),
            justify="right" if head.right else "left",
            overflow="fold",
            no_wrap=head.whole,
        )
    for row in rows:
        shown = [Text(text, style=style) for text, style in zip(row.texts, row.styles, strict=True)]
        for note in row.notes:
            shown[-1].append(f"\n{note}", "dim")
        table.add_row(*shown)
        for _ in range(row.commands):
            table.add_row(*[""] * (len(heads) - 1), MARK)
    buffer = io.StringIO()
    Console(
        file=buffer,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        _environ={},
    ).print(table)
    yield from buffer.getvalue().splitlines()
