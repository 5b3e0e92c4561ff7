"""How to show a result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.output import FORMATS
from rdctl.output.schemas import CHANGE, Schema, check_key, known


class View(NamedTuple):
    """How to show the result. `terminal`: a table goes to a terminal; `limit`: the maximum number
    of rows of a sorted listing; `units`: how sizes are shown, one of `core.units.UNITS`."""

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
    units: str = "bytes"

    @property
    def in_one(self) -> bool:
        """Whether the whole result must be known before anything is written."""
        return FORMATS[self.format].whole or bool(self.query or self.table_style)

    @property
    def in_words(self) -> bool:
        """Whether a change is a sentence, not data."""
        return self.format == "table" and not (self.query or self.table_style)


def checked(view: View, schema: Schema | None) -> View:
    """The view with the keys of its columns; raises a usage error for an invalid column or query,
    before anything is done."""
    schema = schema or CHANGE
    if view.columns is not None:
        view = view._replace(columns=[check_key(schema, word) for word in view.columns])
    if view.sort_by:
        minus = "-" * view.sort_by.startswith("-")
        view = view._replace(sort_by=minus + check_key(schema, view.sort_by.removeprefix("-")))
    if view.query is not None:
        from rdctl.output import query

        if view.columns is not None:
            raise RdctlError(
                Code.USAGE,
                "--columns and --query are mutually exclusive",
                hint="Select keys in the expression, such as '[].{key: key}', or omit --query.",
            )
        query.compile(view.query)
    if view.table_style:
        import tabulate

        from rdctl.core.floors import require

        require(tabulate)
        known("table style", view.table_style, tabulate.tabulate_formats)
    return view
