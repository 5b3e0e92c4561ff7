"""One JSON document; a listing has one line per row, written as it arrives."""

from __future__ import annotations

from typing import Any

from rdctl.core.errors import RdctlError, as_error
from rdctl.core.results import Listing, Plan, Report
from rdctl.output import documents
from rdctl.output.documents import dumps, row_data
from rdctl.output.formats.writer import Writer
from rdctl.output.rows import Row, begun, rows_of
from rdctl.output.schemas import Schema


class Json(Writer):
    def document(self, document: Any) -> None:
        self.out.write(dumps(document) + "\n")

    def listing(self, listing: Listing, schema: Schema) -> None:
        """Always a valid document; an error completes it."""
        first, rows = begun(rows_of(listing, schema, self.view))
        self.out.write(f'{{"schema": {dumps(schema.name)}, "items": [')
        separator = "\n"
        end: Row = {"complete": False}
        try:
            for row in rows:
                self.out.write(separator + dumps(row_data(row, schema, self.view)))
                separator = ",\n"
            end = documents.end_of(listing)
        except BaseException as error:
            end = {"complete": False, "error": documents.error_data(as_error(error))}
            raise
        finally:
            self.out.write(("" if first is None else "\n") + "], " + dumps(end)[1:] + "\n")

    def item(self, row: Row, schema: Schema) -> None:
        self.document({"schema": schema.name, "item": row_data(row, schema, self.view)})

    def report(self, report: Report, schema: Schema) -> None:
        self.document(documents.report(report))

    def value(self, value: Any) -> None:
        self.document(value)

    def plan(self, plan: Plan) -> None:
        self.document(documents.plan(plan))

    def error(self, error: RdctlError) -> None:
        self.document(documents.error(error))
