"""How a result was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rdctl.output import FORMATS
from rdctl.output.schemas import CHANGE, Schema, check_key, known, select


class View(NamedTuple):
    """How the result was asked for. `terminal` says that a person sees a table; `limit` is how
    many are shown of a listing that is sorted."""

    format: str = "table"
    columns: Sequence[str] | None = None
    sort_by: str | None = None
    limit: int | None = None
    query: str | None = None
    headers: bool = True
    nul: bool = False
    table_style: str | None = None
    terminal: bool = False
    color: bool = False
    width: int = 80
    quiet: bool = False

    @property
    def in_one(self) -> bool:
        """Whether all that is shown must be known before any of it is written."""
        return FORMATS[self.format].whole or bool(self.query or self.table_style)

    @property
    def in_words(self) -> bool:
        """Whether a change is a sentence, not data."""
        return self.format == "table" and not (self.query or self.table_style)


def check(view: View, schema: Schema | None) -> None:
    """Raise a usage error for a column or a query that cannot be, before anything is done."""
    schema = schema or CHANGE
    select(schema, view.columns)
    if view.sort_by:
        check_key(schema, view.sort_by.removeprefix("-"))
    if view.query is not None:
        from rdctl.output import query

        query.compile(view.query)
    if view.table_style:
        import tabulate

        known("table style", view.table_style, tabulate.tabulate_formats)
