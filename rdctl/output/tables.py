"""Tables: drawn by rich on a terminal, by our own writer in pipes and when they are long, by
tabulate when one of its styles is asked for. A live one is our own too: a line a row, and what
changed is marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.environment import Stream
from rdctl.output import cells

if TYPE_CHECKING:
    from rdctl.output.render import Row, View
    from rdctl.output.schemas import Column

# rich lays out all rows at once: 9 s for 20,000.
MOST_DRAWN = 200
# Longer ones are continued on the next line, which is not parted again on a terminal of 80.
LONGEST_COMMAND = 59
_STATES = {
    "ok": "green",
    "up": "green",
    "skipped": "dim",
    "warning": "yellow",
    "frozen": "yellow",
    "disabled": "yellow",
    "error": "bold red",
    "down-or-locked": "red",
}
# A column that has less, its gap included, is not drawn at all.
LEAST_WIDTH = 3
# What a text keeps when others in a live table need the room.
LEAST_TEXT = 4

BOLD, _DIM, _REVERSE = "1", "2", "7"


def write(rows: Iterator[Row], columns: Sequence[Column], view: View, out: Stream) -> None:
    """All rows below one line of headings."""
    if view.table_style:
        _tabulate(rows, columns, view, out)
        return
    page: list[Row] = []
    try:
        for row in islice(rows, MOST_DRAWN + 1):
            page.append(row)
    except BaseException:
        # What came before is shown all the same.
        rows = iter(())
        raise
    finally:
        if view.terminal and len(page) <= MOST_DRAWN and view.width >= LEAST_WIDTH * len(columns):
            _rich(page, columns, view, out)
        else:
            _plain(page, rows, columns, view, out)


def _texts(row: Row, columns: Sequence[Column], view: View) -> list[str]:
    return [_cell(column, view)(column.value(row)) for column in columns]


def _parted(columns: Sequence[Column], view: View) -> tuple[list[Column], list[Column]]:
    """The columns side by side, and those below the last of them; what was asked for by name stands
    side by side."""
    if view.columns is not None:
        return list(columns), []
    return [c for c in columns if not c.below], [c for c in columns if c.below]


def _below(row: Row, columns: Sequence[Column], view: View) -> Iterator[tuple[Column, str]]:
    """The lines below a row."""
    for column, text in zip(columns, _texts(row, columns, view), strict=True):
        if text != cells.NOTHING:
            lines = _continued(text) if column.cell is cells.command else [text]
            yield from ((column, line) for line in lines)


def _continued(command: str) -> list[str]:
    """A long command on several lines, which a shell takes for one."""
    if len(command) <= LONGEST_COMMAND or any(char in command for char in "'\"\\"):
        return [command]
    import textwrap

    *lines, last = textwrap.wrap(
        command,
        LONGEST_COMMAND - 2,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [*(f"{line} \\" for line in lines), last]


def _cell(column: Column, view: View) -> Any:
    return cells.human if view.terminal and column.cell is cells.size else column.cell


def _plain(
    page: list[Row], rest: Iterator[Row], columns: Sequence[Column], view: View, out: Stream
) -> None:
    """Columns as wide as the first page needs; nothing is ever cut."""
    columns, below = _parted(columns, view)
    shown = [_texts(row, columns, view) for row in page]
    head = [[column.heading for column in columns]] if view.headers else []
    widths = [max(map(cells.width, column)) for column in zip(*head, *shown, strict=True)]
    indent = " " * sum(width + 2 for width in widths[:-1])

    def line(texts: list[str]) -> str:
        padded = (
            cells.padded(text, width, column.right)
            for text, width, column in zip(texts, widths, columns, strict=True)
        )
        return "  ".join(padded).rstrip() + "\n"

    for texts in head:
        out.write(line(texts))
    for row in chain(page, rest):
        out.write(line(_texts(row, columns, view)))
        for _, text in _below(row, below, view):
            out.write(f"{indent}{text}\n")


def _rich(page: list[Row], columns: Sequence[Column], view: View, out: Stream) -> None:
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns, below = _parted(columns, view)
    table = Table(box=None, show_header=view.headers, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            Text(column.heading), justify="right" if column.right else "left", overflow="fold"
        )
    for row in page:
        texts = zip(columns, _texts(row, columns, view), strict=True)
        shown = [Text(text, style=_style(column, text)) for column, text in texts]
        for column, text in _below(row, below, view):
            shown[-1].append(f"\n{text}", "bold" if column.cell is cells.command else "dim")
        table.add_row(*shown)
    buffer = io.StringIO()
    Console(
        file=buffer,
        width=view.width,
        force_terminal=view.color,
        color_system="standard" if view.color else None,
        legacy_windows=False,
        _environ={},
    ).print(table)
    for line in buffer.getvalue().splitlines():
        out.write(line.rstrip() + "\n")


def _style(column: Column, text: str) -> str:
    if text == cells.NOTHING:
        return "dim"
    return _STATES.get(text, "") if column.cell is cells.state else ""


class LiveTable:
    """A table that is painted again and again. Columns never get narrower, so that nothing jumps;
    texts that are too long for the screen are cut."""

    def __init__(self) -> None:
        self._widths: dict[tuple[str, str], int] = {}

    def lines(
        self,
        rows: Sequence[tuple[Row, Row]],
        columns: Sequence[Column],
        view: View,
    ) -> list[str]:
        """The headings and a line a row, each given with what it was before: {} if it is new."""
        shown = [[_seen(row, was, column, view) for column in columns] for row, was in rows]
        for seen in shown:
            for column, cell in zip(columns, seen, strict=True):
                self._widen(column, "value", cell.text)
                self._widen(column, "since", cell.since)
        for column in columns:
            self._widen(column, "value", column.heading if view.headers else "")
            self._widen(column, "since", _since_heading(column) if view.headers else "")
        widths = self._fitting(columns, view.width)
        head = []
        if view.headers:
            names = [_Seen(column.heading, _since_heading(column), BOLD) for column in columns]
            head = [self._line(names, columns, widths, view)]
        return head + [self._line(seen, columns, widths, view) for seen in shown]

    def _widen(self, column: Column, part: str, text: str) -> None:
        key = (column.key, part)
        self._widths[key] = max(self._widths.get(key, 0), cells.width(text))

    def _fitting(self, columns: Sequence[Column], room: int) -> list[int]:
        """The widths of the values: from the last on, texts give way to the other columns."""
        widths = [self._widths[column.key, "value"] for column in columns]
        since = [self._widths.get((column.key, "since"), 0) for column in columns]
        over = sum(widths) + sum(w + 1 for w in since if w) + 2 * (len(columns) - 1) - room
        for number in reversed(range(len(columns))):
            if not columns[number].right:
                given = max(0, min(over, widths[number] - LEAST_TEXT))
                widths[number] -= given
                over -= given
        return widths

    def _line(
        self, seen: Sequence[_Seen], columns: Sequence[Column], widths: Sequence[int], view: View
    ) -> str:
        parts = []
        for cell, column, width in zip(seen, columns, widths, strict=True):
            text = cut(cell.text, width)
            blanks = " " * (width - cells.width(text))
            dim = _DIM if text == cells.NOTHING else ""
            styled = painted(text, cell.style or dim, view)
            part = blanks + styled if column.right else styled + blanks
            if room := self._widths.get((column.key, "since"), 0):
                blanks = " " * (room - cells.width(cell.since))
                part += " " + painted(cell.since, BOLD, view) + blanks
            parts.append(part)
        return "  ".join(parts).rstrip()


def _since_heading(column: Column) -> str:
    """A rate does not tell by itself of which time it is."""
    return "NOW" if column.since is cells.hit_rate_since else ""


class _Seen(NamedTuple):
    """A cell of a live table: the value, what was added since, how the value is written."""

    text: str
    since: str
    style: str


def _seen(row: Row, was: Row, column: Column, view: View) -> _Seen:
    """A difference tells of a change by itself; anything else that changed is reversed, or gets a
    star where there are no colors."""
    text = _cell(column, view)(column.value(row))
    since = column.since(was, row, column.key) if column.since else ""
    if since or column.value(row) == column.value(was):
        return _Seen(text, since, "")
    return _Seen(text, "", _REVERSE) if view.color else _Seen(f"{text}*", "", "")


def painted(text: str, style: str, view: View) -> str:
    """The text in a style of the terminal, where it is to have any."""
    return f"\x1b[{style}m{text}\x1b[0m" if view.color and style and text else text


_STYLE = re.compile("(\x1b\\[[0-9;]*m)")


def cut(line: str, columns: int) -> str:
    """As much of a line, with its styles, as so many columns of a terminal hold."""
    if cells.width(_STYLE.sub("", line)) <= columns:
        return line
    kept, room = "", max(columns - 1, 0)
    for part in _STYLE.split(line):
        if _STYLE.fullmatch(part):
            kept += part
            continue
        for char in part:
            room -= cells.width(char)
            if room < 0:
                break
            kept += char
    return kept + ("…" if columns > 0 else "")


def _tabulate(rows: Iterator[Row], columns: Sequence[Column], view: View, out: Stream) -> None:
    import tabulate

    out.write(
        tabulate.tabulate(
            [_texts(row, columns, view) for row in rows],
            headers=[column.heading for column in columns] if view.headers else (),
            tablefmt=view.table_style or "simple",
            colalign=["right" if column.right else "left" for column in columns] or None,
            disable_numparse=True,
        )
        + "\n"
    )


def write_item(
    row: Row, columns: Sequence[Column], view: View, out: Stream, was: Row | None = None
) -> None:
    """One thing: a line a key, and what is a list of things as a table below its key. What is not
    as it was is marked."""
    if "context" in row and all(column.key != "context" for column in columns):
        out.write(f"Context: {cells.text(row['context'])}\n")
    was = row if was is None else was
    width = max((len(column.heading) for column in columns), default=0) + 2
    for column in columns:
        value = column.value(row)
        label = _label(column.heading)
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            out.write(_above(label, value == column.value(was), view))
            _write_nested(value, view, out)
        elif isinstance(value, Mapping) and value:
            out.write(_above(label, value == column.value(was), view))
            _write_pairs(value, out)
        else:
            padding = " " * (width - len(label))
            seen = _seen(row, was, column, view)
            since = f" {painted(seen.since, BOLD, view)}" if seen.since else ""
            shown = painted(seen.text, seen.style, view)
            out.write(f"{painted(label, BOLD, view)}{padding}{shown}{since}\n")


def _above(label: str, same: bool, view: View) -> str:
    """The label of what stands below it, which is marked as a whole."""
    if same:
        return painted(label, BOLD, view) + "\n"
    return (painted(label, _REVERSE, view) if view.color else f"{label}*") + "\n"


def _label(heading: str) -> str:
    return heading if len(heading) <= 3 else heading.capitalize()


def _write_pairs(pairs: Mapping[str, Any], out: Stream) -> None:
    """A mapping below its label, a line a key."""
    texts = {cells.text(key): cells.text(value) for key, value in sorted(pairs.items())}
    width = max(map(cells.width, texts))
    for key, value in texts.items():
        out.write(f"  {cells.padded(key, width)}  {value}".rstrip() + "\n")


def _write_nested(rows: Sequence[Mapping[str, Any]], view: View, out: Stream) -> None:
    """The inner things' keys are their headings; what is null in all of them is left out."""
    keys = [key for key in rows[0] if any(row.get(key) is not None for row in rows)]

    def shown(row: Mapping[str, Any], key: str) -> str:
        value = row.get(key)
        if key == "size" and view.terminal:
            return cells.human(value)
        return cells.text(value)

    lines = [[shown(row, key) for key in keys] for row in rows]
    head = [[cells.text(key.upper().replace("_", " ")) for key in keys]] if view.headers else []
    widths = [max(map(cells.width, column)) for column in zip(*head, *lines, strict=True)]
    for line in chain(head, lines):
        padded = (cells.padded(text, width) for text, width in zip(line, widths, strict=True))
        out.write("  " + "  ".join(padded).rstrip() + "\n")
