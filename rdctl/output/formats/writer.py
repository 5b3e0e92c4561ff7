"""What a format does: one method for each kind of result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rdctl.core.environment import Stream
from rdctl.core.errors import RdctlError
from rdctl.core.results import Listing, Plan, Report
from rdctl.core.units import escape
from rdctl.output.documents import scalar
from rdctl.output.rows import Row, all_columns, outcome_row
from rdctl.output.schemas import Column, Schema
from rdctl.output.view import View


class Writer(ABC):
    """Writes results in one format. `notice` shows messages to the user, apart from the data."""

    def __init__(self, view: View, out: Stream, notice: Callable[[str], None]) -> None:
        self.view = view
        self.out = out
        self.notice = notice

    @abstractmethod
    def listing(self, listing: Listing, schema: Schema) -> None:
        """Many things."""

    @abstractmethod
    def item(self, row: Row, schema: Schema) -> None:
        """One thing."""

    @abstractmethod
    def report(self, report: Report, schema: Schema) -> None:
        """The outcomes of a change."""

    @abstractmethod
    def value(self, value: Any) -> None:
        """The value of a query."""

    def plan(self, plan: Plan) -> None:
        """A dry run: what would be done, then what would have to be confirmed."""
        lines = []
        for sentence in plan.summary:
            text = plan.texts.get(sentence, "")
            lines += [sentence, *(f"    {line}".rstrip() for line in text.splitlines())]
        if plan.losses:
            lines += ["confirmation required:", *(f"  {loss}" for loss in plan.losses)]
        for line in lines:
            self.out.write(escape(line).replace("\\\\", "\\") + "\n")

    def none(self, listing: Listing, schema: Schema) -> None:
        """Report that a listing is empty, unless errors explain it."""
        if not listing.failures:
            self.notice(f"No {schema.noun}.")

    def error(self, error: RdctlError) -> None:
        """An error, in the formats that write it; otherwise it is only on stderr."""
        raise AssertionError(f"{type(self).__name__} writes no errors")


class RowWriter(Writer):
    """A format that has columns."""

    separator = "  "

    @abstractmethod
    def rows(self, rows: Iterator[Row], columns: Sequence[Column]) -> None:
        """All rows below one line of headings."""

    def item(self, row: Row, schema: Schema) -> None:
        self.rows(iter([row]), all_columns(schema, self.view))

    def report(self, report: Report, schema: Schema) -> None:
        self.rows(map(outcome_row, report), all_columns(schema, self.view))

    def value(self, value: Any) -> None:
        """Mappings as rows, anything else as one line per entry."""
        found = entries(value)
        if not found and self.view.terminal:
            self.notice("No results.")
        if found and all(isinstance(entry, Mapping) for entry in found):
            keys = dict.fromkeys(key for entry in found for key in entry)
            self.rows(iter(found), [Column(key, escape(key.upper()), "") for key in keys])
            return
        for entry in found:
            parts = entry if isinstance(entry, list) else [entry]
            self.out.write(self.separator.join(self.quoted(scalar(part)) for part in parts) + "\n")

    def quoted(self, text: str) -> str:
        """A text as one part of a line."""
        return escape(text)


def entries(value: Any) -> list[Any]:
    """The entries, one per line."""
    return value if isinstance(value, list) else [] if value is None else [value]
