"""A line of keys, then one line per row: csv and tsv."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdctl.core.results import Listing
from rdctl.core.units import escape
from rdctl.output import cells
from rdctl.output.documents import scalar
from rdctl.output.formats.writer import RowWriter
from rdctl.output.rows import Row, all_columns, begun, rows_of
from rdctl.output.schemas import Column, Schema


class Tsv(RowWriter):
    separator = "\t"
    nothing = ""

    def listing(self, listing: Listing, schema: Schema) -> None:
        _, rows = begun(rows_of(listing, schema, self.view))
        self.rows(rows, all_columns(schema, self.view))

    def rows(self, rows: Iterator[Row], columns: Sequence[Column]) -> None:
        join, quoted, write = self.separator.join, self.quoted, self.out.write
        keys = [column.key for column in columns]
        if self.view.headers:
            write(join(map(quoted, keys)) + "\n")
        units = self.view.units
        sizes = [column.key for column in columns if column.cell is cells.size]
        for row in rows:
            if units != "bytes":
                known = (key for key in sizes if row.get(key) is not None)
                row = {**row, **{key: cells.size(row[key], units) for key in known}}
            line = join([quoted(scalar(row.get(key))) for key in keys])
            write((line or self.nothing) + "\n")


class Csv(Tsv):
    separator = ","
    # CSV readers do not read an empty line as a row.
    nothing = '""'

    def quoted(self, text: str) -> str:
        text = escape(text)
        if "," in text or '"' in text:
            return '"' + text.replace('"', '""') + '"'
        return text
