"""Tables for people: drawn on a terminal, by a plain writer in pipes and when they are long."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from rdctl.core.results import Change, Listing, Report
from rdctl.output import cells
from rdctl.output.formats.writer import RowWriter
from rdctl.output.layout import BOLD, line, painted, width, widths
from rdctl.output.rows import Row, begun, detail_columns, rows_of, table_columns
from rdctl.output.schemas import Column, Schema

# All rows are laid out at once, by rich in 9 s for 20,000.
MOST_DRAWN = 200
# Longer ones are continued on the next line, which then fits a terminal of 80 columns.
LONGEST_COMMAND = 59
# The words of a command, each with its quotes.
_WORDS = re.compile(r"""(?:[^\s'"\\]|'[^']*'|"[^"]*"|\\.)+""")
# The indentation of a command for which the last column is too narrow.
_INDENT = 4
# A column that has less, its gap included, is not drawn at all.
LEAST_WIDTH = 3
# What a column keeps at least, its gap included, before another one stays on one line.
FOLDED_WIDTH = 7
_STATES = {
    "ok": "green",
    "up": "green",
    "skipped": "dim",
    "warning": "yellow",
    "frozen": "yellow",
    "disabled": "yellow",
    "error": "bold red",
    "down-or-locked": "red",
    "down": "red",
    "locked": "yellow",
}


class Table(RowWriter):
    def listing(self, listing: Listing, schema: Schema) -> None:
        first, rows = begun(rows_of(listing, schema, self.view))
        if first is None:
            self.none(listing, schema)
        elif listing.vertical:
            self._at_length(rows, detail_columns(schema, self.view, listing.also, listing.counted))
        else:
            self.rows(rows, table_columns(schema, self.view, listing.also))

    def item(self, row: Row, schema: Schema) -> None:
        self._at_length(iter([row]), detail_columns(schema, self.view))

    def report(self, report: Report, schema: Schema) -> None:
        from rdctl.output.words import sentence, total

        skips = report.since is not None
        for outcome in report:
            if not isinstance(outcome, Change) or (skips and outcome.changed is False):
                continue
            if not self.view.quiet:
                self.out.write(sentence(outcome, self.view.units) + "\n")
        if (summary := report.summary) is not None and not self.view.quiet:
            self.out.write(total(summary, self.view.units, report.past) + "\n")

    def rows(self, rows: Iterator[Row], columns: Sequence[Column]) -> None:
        view = self.view
        page: list[Row] = []
        try:
            for row in islice(rows, MOST_DRAWN + 1):
                page.append(row)
        except BaseException:
            # Rows before the error are still shown.
            rows = iter(())
            raise
        finally:
            room = view.width >= LEAST_WIDTH * len(columns)
            if view.terminal and len(page) <= MOST_DRAWN and room:
                self._drawn(page, columns)
            else:
                self._plain(page, rows, columns)

    def _at_length(self, rows: Iterator[Row], columns: Sequence[Column]) -> None:
        """Each row in detail, with an empty line in between."""
        from rdctl.output import detail

        for number, row in enumerate(rows):
            if number:
                self.out.write("\n")
            detail.write(row, columns, self.view, self.out)

    def _plain(self, page: list[Row], rest: Iterator[Row], columns: Sequence[Column]) -> None:
        """Columns as wide as the first page needs; nothing is ever cut."""
        units, out = self.view.units, self.out
        columns, below = self._parted(columns)
        rights = [column.right for column in columns]
        head = [[column.heading for column in columns]] if self.view.headers else []
        sizes = widths([*head, *(cells.texts(row, columns, units) for row in page)])
        indent = " " * sum(size + 2 for size in sizes[:-1])
        for texts in head:
            out.write(line(texts, sizes, rights) + "\n")
        for row in chain(page, rest):
            out.write(line(cells.texts(row, columns, units), sizes, rights) + "\n")
            for column, text in self._below(row, below):
                lines = _continued(text) if column.cell is cells.command else [text]
                out.write("".join(f"{indent}{one}\n" for one in lines))

    def _drawn(self, page: list[Row], columns: Sequence[Column]) -> None:
        """As wide as the terminal, with colors."""
        from rdctl.output.formats.drawing import MARK, Cells, Head, draw

        view = self.view
        columns, below = self._parted(columns)
        lines = [cells.texts(row, columns, view.units) for row in page]
        whole = _whole(columns, lines, view.width)
        heads = [
            Head(one.heading, one.right, kept) for one, kept in zip(columns, whole, strict=True)
        ]
        rows: list[Cells] = []
        commands: list[str] = []
        for row, texts in zip(page, lines, strict=True):
            under = list(self._below(row, below))
            found = [text for column, text in under if column.cell is cells.command]
            notes = [text for column, text in under if column.cell is not cells.command]
            rows.append(Cells(texts, list(map(_style, columns, texts)), notes, len(found)))
            commands += found
        left = iter(commands)
        for drawn in draw(heads, rows, view.headers, view.color, view.width):
            if MARK in drawn:
                self._command(next(left), drawn.index(MARK))
            else:
                self.out.write(drawn.rstrip() + "\n")

    def _command(self, command: str, start: int) -> None:
        """A command below the last column, which begins at `start`, or further left if it is too
        long. It can be pasted: its words are not broken."""
        lines = _continued(command)
        if start + max(map(width, lines)) > self.view.width:
            start = min(start, _INDENT)
            lines = _continued(command, self.view.width - start)
        for one in lines:
            self.out.write(" " * start + painted(one, BOLD if self.view.color else "") + "\n")

    def _parted(self, columns: Sequence[Column]) -> tuple[list[Column], list[Column]]:
        """The columns side by side, and those below the last of them; columns requested by name are
        side by side."""
        if self.view.columns is not None:
            return list(columns), []
        return [c for c in columns if not c.below], [c for c in columns if c.below]

    def _below(self, row: Row, columns: Sequence[Column]) -> Iterator[tuple[Column, str]]:
        """The texts below a row."""
        for column in columns:
            text = cells.of(row, column, self.view.units)
            if text != cells.NOTHING:
                yield column, text


def _whole(columns: Sequence[Column], lines: Sequence[Sequence[str]], width: int) -> list[bool]:
    """The columns that stay on one line: sizes, numbers and dates, as long as each column has some
    room."""
    sizes = [size + 2 for size in widths([[column.heading for column in columns], *lines])]
    room = width + 2 - sum(min(size, FOLDED_WIDTH) for size in sizes)
    whole = []
    for place, (column, size) in enumerate(zip(columns, sizes, strict=True)):
        figure = column.right or all(_FIGURE.fullmatch(line[place]) for line in lines)
        needed = max(0, size - FOLDED_WIDTH)
        whole.append(figure and needed <= room)
        room -= needed if whole[-1] else 0
    return whole


# A number, a version, a date; or nothing.
_FIGURE = re.compile(r"[0-9][0-9.:TZ+-]*|-")


def _continued(command: str, room: int = LONGEST_COMMAND) -> list[str]:
    """A long command on several lines, which a shell reads as one."""
    words = _WORDS.findall(command)
    if width(command) <= room or " ".join(words) != command:
        return [command]
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]} {word}"
        if width(longer) <= room - 2:
            lines[-1] = longer
        else:
            lines.append(f"    {word}")
    return [*(f"{one} \\" for one in lines[:-1]), lines[-1]]


def _style(column: Column, text: str) -> str:
    if text == cells.NOTHING:
        return "dim"
    return _STATES.get(text, "") if column.cell is cells.state else ""
