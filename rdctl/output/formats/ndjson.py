"""One JSON object per line, without an envelope."""

from __future__ import annotations

from typing import Any

from rdctl.core.results import Change, Listing, Report
from rdctl.output.documents import failure_data, row_data
from rdctl.output.formats.json import Json
from rdctl.output.formats.writer import entries
from rdctl.output.rows import Row, rows_of
from rdctl.output.schemas import Schema


class Ndjson(Json):
    def listing(self, listing: Listing, schema: Schema) -> None:
        for row in rows_of(listing, schema, self.view):
            self.document(row_data(row, schema, self.view))

    def item(self, row: Row, schema: Schema) -> None:
        self.document(row_data(row, schema, self.view))

    def report(self, report: Report, schema: Schema) -> None:
        for outcome in report:
            if isinstance(outcome, Change):
                self.document(outcome.data())
            else:
                self.document({"error": failure_data(outcome)})
        if (summary := report.summary) is not None:
            self.document({"summary": summary._asdict()})

    def value(self, value: Any) -> None:
        for entry in entries(value):
            self.document(entry)
