"""Tables: drawn by rich on a terminal, by our own writer in pipes and when they are long, by
tabulate when one of its styles is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from rdctl.output import cells
from rdctl.world import Stream

if TYPE_CHECKING:
    from rdctl.output.columns import Column
    from rdctl.output.render import Row, View

# rich lays out all rows at once: 9 s for 20,000.
MOST_DRAWN = 200
# A column that has less, its gap included, is not drawn at all.
LEAST_WIDTH = 3


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
    return [_cell(column, view)(row.get(column.key)) for column in columns]


def _cell(column: Column, view: View) -> Any:
    return cells.human if view.terminal and column.cell is cells.size else column.cell


def _plain(
    page: list[Row], rest: Iterator[Row], columns: Sequence[Column], view: View, out: Stream
) -> None:
    """Columns as wide as the first page needs; nothing is ever cut."""
    shown = [_texts(row, columns, view) for row in page]
    head = [[column.heading for column in columns]] if view.headers else []
    widths = [max(map(cells.width, column)) for column in zip(*head, *shown, strict=True)]

    def line(texts: list[str]) -> str:
        padded = (
            cells.padded(text, width, column.right)
            for text, width, column in zip(texts, widths, columns, strict=True)
        )
        return "  ".join(padded).rstrip() + "\n"

    for texts in chain(head, shown):
        out.write(line(texts))
    for row in rest:
        out.write(line(_texts(row, columns, view)))


def _rich(page: list[Row], columns: Sequence[Column], view: View, out: Stream) -> None:
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=view.headers, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            Text(column.heading), justify="right" if column.right else "left", overflow="fold"
        )
    for row in page:
        texts = _texts(row, columns, view)
        table.add_row(*(Text(text, style=_style(text)) for text in texts))
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


def _style(text: str) -> str:
    return "dim" if text == cells.NOTHING else ""


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


def write_item(row: Row, columns: Sequence[Column], view: View, out: Stream) -> None:
    """One thing: a line a key, and what is a list of things as a table below its key."""
    if "context" in row:
        out.write(f"Context: {cells.text(row['context'])}\n")
    width = max((len(column.heading) for column in columns), default=0) + 2
    for column in columns:
        value = row.get(column.key)
        label = _label(column.heading)
        padding = " " * (width - len(label))
        if view.color:
            label = f"\x1b[1m{label}\x1b[0m"
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            out.write(label + "\n")
            _write_nested(value, view, out)
        elif isinstance(value, Mapping) and value:
            out.write(label + "\n")
            _write_pairs(value, out)
        else:
            out.write(f"{label}{padding}{_cell(column, view)(value)}\n")


def _label(heading: str) -> str:
    return heading if len(heading) <= 3 else heading.capitalize()


def _write_pairs(pairs: Mapping[str, Any], out: Stream) -> None:
    """A mapping below its label, a line a key."""
    texts = {cells.text(key): cells.text(value) for key, value in sorted(pairs.items())}
    width = max(map(cells.width, texts))
    for key, value in texts.items():
        out.write(f"  {cells.padded(key, width)}  {value}".rstrip() + "\n")


def _write_nested(rows: Sequence[Mapping[str, Any]], view: View, out: Stream) -> None:
    """The inner things' keys are their headings."""
    keys = list(rows[0])

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
