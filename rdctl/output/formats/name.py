"""Names only, one per line, or each terminated by NUL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Listing, Report
from rdctl.core.units import CONTROL, escape
from rdctl.output.documents import scalar
from rdctl.output.formats.writer import Writer, entries
from rdctl.output.rows import Row, rows_of
from rdctl.output.schemas import Schema


class Name(Writer):
    def listing(self, listing: Listing, schema: Schema) -> None:
        rows = rows_of(listing, schema, self.view)
        self._names((row.get("context"), schema.name_in(row)) for row in rows)

    def item(self, row: Row, schema: Schema) -> None:
        self._names([(None, schema.name_in(row))])

    def report(self, report: Report, schema: Schema) -> None:
        changes = (outcome for outcome in report if isinstance(outcome, Change))
        self._names((one.context, one.target) for one in changes if one.target is not None)

    def value(self, value: Any) -> None:
        self._names((None, entry) for entry in entries(value))

    def _names(self, names: Iterable[tuple[str | None, Any]]) -> None:
        """Names, each after its context and a tab if there are several contexts."""
        unprintable = []
        for context, value in names:
            name = scalar(value)
            where = f"{context}\t" if context else ""
            if self.view.nul:
                self.out.write(f"{where}{name}\0")
            elif CONTROL.search(name):
                unprintable.append(escape(where + name))
            else:
                self.out.write(f"{where}{name}\n")
        if unprintable:
            raise RdctlError(
                Code.UNPRINTABLE,
                "not printed, since they contain control characters: " + ", ".join(unprintable),
                hint="Use -0 to print names unchanged, each terminated by NUL.",
            )
