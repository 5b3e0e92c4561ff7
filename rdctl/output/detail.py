"""One thing in detail: one line per key; a list of things is a table below its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rdctl.core.environment import Stream
from rdctl.output import cells
from rdctl.output.layout import BOLD, line, marked, padded, painted, width, widths
from rdctl.output.rows import Row
from rdctl.output.schemas import Column
from rdctl.output.view import View

_ABBREVIATIONS = ("CID", "ID", "MIME", "NQN", "NS", "PID", "TLS", "TTY", "UID", "URL", "UUID")


def write(
    row: Row, columns: Sequence[Column], view: View, out: Stream, was: Row | None = None
) -> None:
    """The thing, with marks where it differs from `was`."""
    if "context" in row and all(column.key != "context" for column in columns):
        out.write(f"Context: {cells.text(row['context'])}\n")
    was = row if was is None else was
    bold = BOLD if view.color else ""
    labels = max((width(column.heading) for column in columns), default=0) + 2
    for column in columns:
        value, label = column.value(row), _label(column.heading)
        below, rights = _below(value, column, view)
        if below:
            # The lines below are marked as a whole.
            same = value == column.value(was)
            out.write((painted(label, bold) if same else marked(label, view.color)) + "\n")
            sizes = widths(below)
            for texts in below:
                out.write(f"  {line(texts, sizes, rights)}\n")
        else:
            seen = cells.seen(row, was, column, view.units)
            shown = marked(seen.text, view.color) if seen.changed else seen.text
            since = f" {painted(seen.since, bold)}" if seen.since else ""
            out.write(f"{padded(label, labels, style=bold)}{shown}{since}\n")


def _label(heading: str) -> str:
    words = [word if word in _ABBREVIATIONS else word.lower() for word in heading.split(" ")]
    return f"{words[0][:1].upper()}{words[0][1:]}{''.join(f' {word}' for word in words[1:])}"


def _below(value: Any, column: Column, view: View) -> tuple[list[list[str]], list[bool]]:
    """The lines below a label, and which of their columns are right-aligned: of a mapping its
    pairs, of a list of things a table."""
    if column.cell is cells.lines:
        return [[cells.text(entry)] for entry in value or ()], []
    if column.inner:
        return _table(value, column.inner, view)
    return _plain(value, view), []


def _table(value: Any, columns: Sequence[Column], view: View) -> tuple[list[list[str]], list[bool]]:
    """The things, or the only one, in these columns; those that are null in all are omitted."""
    rows = [value] if isinstance(value, Mapping) else value or []
    kept = [column for column in columns if any(column.value(row) is not None for row in rows)]
    head = [[column.heading for column in kept]] if view.headers and rows else []
    lines = head + [cells.texts(row, kept, view.units) for row in rows]
    return lines, [column.right for column in kept]


def _plain(value: Any, view: View) -> list[list[str]]:
    if isinstance(value, Mapping):
        pairs = {cells.text(key): cells.text(entry) for key, entry in sorted(value.items())}
        return [[key, text] for key, text in pairs.items()]
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return _nested(value, view)
    return []


def _nested(rows: Sequence[Mapping[str, Any]], view: View) -> list[list[str]]:
    """The inner things' keys are their headings; keys that are null in all of them are omitted."""
    keys = [key for key in rows[0] if any(row.get(key) is not None for row in rows)]

    def shown(row: Mapping[str, Any], key: str) -> str:
        value = row.get(key)
        return cells.size(value, view.units) if key == "size" else cells.text(value)

    head = [[cells.text(key.upper().replace("_", " ")) for key in keys]] if view.headers else []
    return head + [[shown(row, key) for key in keys] for row in rows]
