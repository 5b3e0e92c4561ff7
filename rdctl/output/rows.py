"""The rows of a result and their columns: which are shown, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from rdctl.core.results import Change, Failure, InContext, Item, Listing
from rdctl.core.units import natural
from rdctl.output import cells
from rdctl.output.schemas import Column, Schema, select
from rdctl.output.view import View

Row = dict[str, Any]

_PLAIN = frozenset({str, int, float, bool, type(None)})


def as_data(value: Any) -> Any:
    """Named tuples, however deep, as mappings: what JSON is made of."""
    if isinstance(value, InContext):
        return {"context": value.context, **as_data(value.value)}
    if hasattr(value, "_fields"):
        # Most values of a long listing need no conversion, and so no call.
        return {
            key: entry if type(entry) in _PLAIN else as_data(entry)
            for key, entry in zip(value._fields, value, strict=True)
        }
    if isinstance(value, Mapping):
        return {key: as_data(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(entry) for entry in value]
    return value


def rows_of(result: Listing | Item, schema: Schema, view: View) -> Iterator[Row]:
    """The rows of a listing in the requested order, or the single row of an item."""
    if isinstance(result, Item):
        return iter([as_data(result.value)])
    rows = (as_data(item) for item in result)
    if not view.sort_by:
        return rows
    ordered = _sorted(rows, view.sort_by.removeprefix("-"), view)
    result.cut = view.limit is not None and len(ordered) > view.limit
    return iter(ordered[: view.limit])


def _sorted(rows: Iterator[Row], key: str, view: View) -> list[Row]:
    """Sort by that key; rows without a value come last in either order."""

    def order(row: Row) -> tuple[Any, ...]:
        value = row.get(key)
        if isinstance(value, bool | int | float):
            return (0, value)
        return (1, natural(cells.text(value)))

    valued: list[Row] = []
    nulls: list[Row] = []
    for row in rows:
        (nulls if row.get(key) is None else valued).append(row)
    valued.sort(key=order, reverse=(view.sort_by or "").startswith("-"))
    return valued + nulls


def begun(rows: Iterator[Row]) -> tuple[Row | None, Iterator[Row]]:
    """The first row (None without rows), and all rows."""
    first = next(rows, None)
    return first, rows if first is None else chain([first], rows)


def outcome_row(outcome: Change | Failure) -> Row:
    """The outcome for one target, as a row."""
    if isinstance(outcome, Change):
        return {**outcome.data(), "error": None}
    error = outcome.error
    row: Row = {"context": outcome.context} if outcome.context else {}
    row |= {"action": outcome.action, "target": error.target, "changed": None}
    return {**row, "verified": None, "error": error.code.word, "line": error.facts.get("line")}


def all_columns(schema: Schema, view: View) -> Sequence[Column]:
    """The requested columns, else all."""
    chosen = select(schema, view.columns)
    return schema.columns if chosen is None else chosen


def table_columns(schema: Schema, view: View, also: Sequence[str] = ()) -> Sequence[Column]:
    """The requested columns, else those that a table shows, and those with these keys."""
    chosen = select(schema, view.columns)
    if chosen is not None:
        return chosen
    return [column for column in schema.columns if column.shown or column.key in also]


def detail_columns(
    schema: Schema, view: View, also: Sequence[str] = (), counted: Sequence[str] = ()
) -> Sequence[Column]:
    """The columns of a table, shown as lines; unless they are requested, the lists with these keys
    only by their number."""
    columns = table_columns(schema, view, also)
    if view.columns is not None:
        return columns
    return [_counting(column) if column.key in counted else column for column in columns]


def _counting(column: Column) -> Column:
    """`3 (use --chunks)`"""

    def number(row: Mapping[str, Any]) -> str | None:
        value = row.get(column.key)
        return f"{len(value)} (use --{column.key})" if value else None

    return column._replace(of_row=number, cell=cells.text, inner=())


def narrow(row: Row, view: View) -> Row:
    """Only the keys of `--columns`, which are known to be in the schema, and the context."""
    if view.columns is None:
        return row
    kept = {key: row.get(key) for key in view.columns}
    context = {"context": row["context"]} if "context" in row else {}
    return {**context, **kept}
