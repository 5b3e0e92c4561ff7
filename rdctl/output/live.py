"""A result that is looked at again and again, as lines of a screen on which changes are marked."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from rdctl.core.environment import Stream
from rdctl.core.errors import Exit
from rdctl.core.results import Item, Listing
from rdctl.core.units import natural
from rdctl.output import cells
from rdctl.output.render import Row, View, rows_of, table_columns
from rdctl.output.tables import LiveTable, write_item

if TYPE_CHECKING:
    from rdctl.output.schemas import Schema

# More rows than any screen has are only counted.
MOST_ROWS = 1000

Key = tuple[Any, ...]


class Live:
    """The latest sample, held against the one before it."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._table = LiveTable()
        self._rows: dict[Key, Row] | None = None
        self._before: dict[Key, Row] | None = None
        self._more = 0
        self._gone: list[str] = []
        self._cut = False
        self._vertical = False
        self._also: Sequence[str] = ()

    def take(self, result: Listing | Item, view: View) -> None:
        """Take a sample, all of it. Raises what taking it raises; then all stays as it was."""
        named = None if isinstance(result, Item) else self._schema.named_by
        coming = rows_of(result, self._schema, view)
        rows = _keyed(islice(coming, MOST_ROWS), named)
        more = sum(1 for _ in coming)
        if isinstance(result, Listing) and not rows and result.exit not in (Exit.OK, Exit.PARTIAL):
            return  # what was seen last says more than nothing
        before = self._rows
        # Unless they are only further down, or could not be asked for.
        whole = not (more or self._more or (isinstance(result, Listing) and result.failures))
        gone = (before or {}).keys() - rows.keys() if whole else ()
        self._gone = sorted((str(name) for _, name, _ in gone), key=natural)
        self._rows, self._before, self._more = rows, before, more
        if isinstance(result, Listing):
            self._vertical, self._also = result.vertical, result.also
            self._cut = bool(result.marker or result.markers)
        else:
            self._vertical = True

    def lines(self, view: View, height: int) -> list[str]:
        """As many lines as there is room for; the last one counts what has none."""
        rows = self._rows or {}
        before = rows if self._before is None else self._before
        pairs = [(row, before.get(key, {})) for key, row in rows.items()]
        if not pairs:
            lines = [f"No {self._schema.noun}."]
        elif self._vertical:
            lines = self._at_length(pairs, view)
        else:
            lines = self._in_rows(pairs, view)
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

    def _in_rows(self, pairs: Sequence[tuple[Row, Row]], view: View) -> list[str]:
        columns = table_columns(pairs[0][0], self._schema, view, self._also)
        return self._table.lines(pairs, columns, view)

    def _at_length(self, pairs: Sequence[tuple[Row, Row]], view: View) -> list[str]:
        lines: list[str] = []
        for row, was in pairs:
            columns = table_columns({}, self._schema, view, self._also)
            text = io.BytesIO()
            write_item(row, columns, view, Stream(text, tty=True), was)
            lines += ([""] if lines else []) + text.getvalue().decode().splitlines()
        return lines


def _keyed(rows: Iterable[Row], named: str | None) -> dict[Key, Row]:
    """Rows by what they are the rows of: context, name, and where names repeat (versions of a
    content, namespaces of a target) their number. None: it is the only one, whatever it says."""
    seen: Counter[Key] = Counter()
    keyed = {}
    for row in rows:
        key = row.get("context"), row.get(named) if named else None
        seen[key] += 1
        keyed[*key, seen[key]] = row
    return keyed
