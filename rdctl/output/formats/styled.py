"""A table in a style of tabulate, collected first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdctl.core.results import Listing
from rdctl.output import cells
from rdctl.output.formats.writer import RowWriter
from rdctl.output.rows import Row, begun, detail_columns, rows_of
from rdctl.output.schemas import Column, Schema


class Styled(RowWriter):
    def listing(self, listing: Listing, schema: Schema) -> None:
        first, rows = begun(rows_of(listing, schema, self.view))
        if first is None:
            self.none(listing, schema)
        else:
            columns = detail_columns(schema, self.view, listing.also, listing.counted)
            self.rows(rows, columns)

    def rows(self, rows: Iterator[Row], columns: Sequence[Column]) -> None:
        import tabulate

        view = self.view
        table = tabulate.tabulate(
            [cells.texts(row, columns, view.units) for row in rows],
            headers=[column.heading for column in columns] if view.headers else (),
            tablefmt=view.table_style or "simple",
            colalign=["right" if column.right else "left" for column in columns] or None,
            disable_numparse=True,
        )
        self.out.write(table + "\n")
