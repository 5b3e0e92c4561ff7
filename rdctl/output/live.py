"""A result sampled repeatedly, as lines of a screen with changes marked."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.environment import Stream
from rdctl.core.errors import Exit
from rdctl.core.results import Item, Listing
from rdctl.core.units import natural
from rdctl.output import cells, detail
from rdctl.output.layout import BOLD, DIM, REVERSE, cut, padded, widths
from rdctl.output.rows import Row, detail_columns, rows_of, table_columns

if TYPE_CHECKING:
    from rdctl.output.schemas import Column, Schema
    from rdctl.output.view import View

# More rows than any screen has are only counted.
MOST_ROWS = 1000
# The minimum width of a text when others in a table need space.
LEAST_TEXT = 4

Key = tuple[Any, ...]


class Live:
    """The latest sample, compared with the one before it."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._table = _Table()
        self._rows: dict[Key, Row] | None = None
        self._before: dict[Key, Row] | None = None
        self._more = 0
        self._gone: list[str] = []
        self._cut = False
        self._vertical = False
        self._also: Sequence[str] = ()
        self._counted: Sequence[str] = ()

    def take(self, result: Listing | Item, view: View) -> None:
        """Take a complete sample. If that raises, nothing changes."""
        named = None if isinstance(result, Item) else self._schema.named_by
        coming = rows_of(result, self._schema, view)
        rows = _keyed(islice(coming, MOST_ROWS), named)
        more = sum(1 for _ in coming)
        if isinstance(result, Listing) and not rows and result.exit not in (Exit.OK, Exit.PARTIAL):
            return  # the last sample is better than nothing
        before = self._rows
        # Unless they are only further down, or could not be queried.
        whole = not (more or self._more or (isinstance(result, Listing) and result.failures))
        gone = (before or {}).keys() - rows.keys() if whole else ()
        self._gone = sorted((str(name) for _, name, _ in gone), key=natural)
        self._rows, self._before, self._more = rows, before, more
        if isinstance(result, Listing):
            self._vertical, self._also = result.vertical, result.also
            self._counted = result.counted
            self._cut = bool(result.marker or result.markers)
        else:
            self._vertical = True

    def lines(self, view: View, height: int) -> list[str]:
        """As many lines as fit; the last one counts the rest."""
        rows = self._rows or {}
        before = rows if self._before is None else self._before
        pairs = [(row, before.get(key, {})) for key, row in rows.items()]
        if not pairs:
            lines = [f"No {self._schema.noun}."]
        elif self._vertical:
            lines = self._at_length(pairs, view)
        else:
            columns = table_columns(self._schema, view, self._also)
            lines = self._table.lines(pairs, columns, view)
        below = [f"Gone: {cells.words(self._gone)}"] if self._gone else []
        more = self._more
        room = height - len(below) - bool(more or self._cut)
        if len(lines) > room:
            room = max(height - len(below) - 1, 0)
            more += len(lines) - room
            lines = lines[:room]
        if more:
            below.append(f"... and {more} more")
        elif self._cut:
            below.append("... and more, beyond --limit")
        return lines + below

    def _at_length(self, pairs: Sequence[tuple[Row, Row]], view: View) -> list[str]:
        lines: list[str] = []
        columns = detail_columns(self._schema, view, self._also, self._counted)
        for row, was in pairs:
            text = io.BytesIO()
            detail.write(row, columns, view, Stream(text, tty=True), was)
            lines += ([""] if lines else []) + text.getvalue().decode().splitlines()
        return lines


def _keyed(rows: Iterable[Row], named: str | None) -> dict[Key, Row]:
    """Rows by their identity: context, name, and a number if names repeat (versions of a content,
    namespaces of a target). None: the only row, whatever its values."""
    seen: Counter[Key] = Counter()
    keyed = {}
    for row in rows:
        key = row.get("context"), row.get(named) if named else None
        seen[key] += 1
        keyed[*key, seen[key]] = row
    return keyed


class _Table:
    """A table that is drawn repeatedly. Columns never get narrower, so that nothing jumps; texts
    that are too long for the screen are cut."""

    def __init__(self) -> None:
        self._widths: dict[tuple[str, str], int] = {}

    def lines(
        self, rows: Sequence[tuple[Row, Row]], columns: Sequence[Column], view: View
    ) -> list[str]:
        """The headings and one line per row; each row comes with its earlier state: {} if it is
        new."""
        head = [[_heading(column, view) for column in columns]] if view.headers else []
        lines = head + [[_cell(row, was, column, view) for column in columns] for row, was in rows]
        values = self._grown("value", columns, [[cell.text for cell in line] for line in lines])
        since = self._grown("since", columns, [[cell.since for cell in line] for line in lines])
        values = _fitting(columns, values, since, view.width)
        places = list(zip(columns, values, since, strict=True))
        return [_line(line, places, BOLD if view.color else "") for line in lines]

    def _grown(
        self, part: str, columns: Sequence[Column], lines: Sequence[Sequence[str]]
    ) -> list[int]:
        """How wide that part of the columns is, or was."""
        for column, width in zip(columns, widths(lines), strict=True):
            key = (column.key, part)
            self._widths[key] = max(self._widths.get(key, 0), width)
        return [self._widths[column.key, part] for column in columns]


class _Cell(NamedTuple):
    """A cell of the table: the value, what was added since, how the value is written."""

    text: str
    since: str
    style: str


def _heading(column: Column, view: View) -> _Cell:
    # A rate alone does not show its time span.
    since = "NOW" if column.since is cells.hit_rate_since else ""
    return _Cell(column.heading, since, BOLD if view.color else "")


def _cell(row: Row, was: Row, column: Column, view: View) -> _Cell:
    """A difference shows a change by itself; any other change is marked."""
    seen = cells.seen(row, was, column, view.units)
    if not view.color:
        return _Cell(f"{seen.text}*" if seen.changed else seen.text, seen.since, "")
    return _Cell(seen.text, seen.since, REVERSE if seen.changed else "")


def _fitting(
    columns: Sequence[Column], values: Sequence[int], since: Sequence[int], room: int
) -> list[int]:
    """The widths of the values: starting with the last, texts are narrowed for the other
    columns."""
    fitting = list(values)
    over = sum(values) + sum(width + 1 for width in since if width) + 2 * (len(columns) - 1) - room
    for number in reversed(range(len(columns))):
        if not columns[number].right:
            given = max(0, min(over, fitting[number] - LEAST_TEXT))
            fitting[number] -= given
            over -= given
    return fitting


def _line(line: Sequence[_Cell], places: Sequence[tuple[Column, int, int]], bold: str) -> str:
    parts = []
    for cell, (column, width, room) in zip(line, places, strict=True):
        text = cut(cell.text, width)
        dim = DIM if bold and text == cells.NOTHING else ""
        part = padded(text, width, column.right, cell.style or dim)
        parts.append(f"{part} {padded(cell.since, room, style=bold)}" if room else part)
    return "  ".join(parts).rstrip()
