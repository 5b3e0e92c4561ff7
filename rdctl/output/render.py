"""Write results to stdout, in the requested format."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from rdctl.core.environment import Stream
from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Data, Document, Item, Listing, Plan, Raw, Report, Result, Text
from rdctl.core.units import defuse_lines, raw_bytes
from rdctl.output import FORMATS
from rdctl.output.rows import as_data, rows_of
from rdctl.output.schemas import CHANGE, Schema
from rdctl.output.view import View

if TYPE_CHECKING:
    from rdctl.output.formats.writer import Writer


def render(
    result: Result,
    schema: Schema | None,
    view: View,
    out: Stream,
    notice: Callable[[str], None],
) -> None:
    """Write the result. `notice` shows messages to the user, apart from the data."""
    if isinstance(result, Raw):
        _raw(result, out)
    elif isinstance(result, Data):
        _data(result, out)
    elif isinstance(result, Text):
        out.write(result.text)
    elif isinstance(result, Document):
        _document(result, view, out, notice)
    else:
        _formatted(result, schema, view, _writer(view, out, notice))


def render_error(error: RdctlError, format: str, out: Stream) -> None:
    """Write an error in a format that has `errors`."""
    _writer(View(format=format), out, lambda message: None).error(error)


def _writer(view: View, out: Stream, notice: Callable[[str], None]) -> Writer:
    """The writer of the requested format; its module is imported here."""
    styled = view.format == "table" and view.table_style
    module, name = ("styled.Styled" if styled else FORMATS[view.format].writer).split(".")
    writer: type[Writer] = getattr(import_module(f"rdctl.output.formats.{module}"), name)
    return writer(view, out, notice)


def _formatted(
    result: Plan | Report | Item | Listing, schema: Schema | None, view: View, writer: Writer
) -> None:
    if isinstance(result, Plan):
        writer.plan(result)
    elif isinstance(result, Report):
        if view.query is not None:
            _queried_report(result, view.query, writer)
        else:
            writer.report(result, schema or CHANGE)
    elif schema is None:
        raise AssertionError("a command that shows something names its schema")
    elif view.query is not None:
        rows = list(rows_of(result, schema, view))
        _queried(rows[0] if isinstance(result, Item) else rows, view.query, writer)
    elif isinstance(result, Item):
        writer.item(as_data(result.value), schema)
    else:
        writer.listing(result, schema)


def _queried(data: object, query: str, writer: Writer) -> None:
    from rdctl.output.query import search

    writer.value(search(query, data))


def _queried_report(report: Report, query: str, writer: Writer) -> None:
    try:
        _queried([change.data() for change in report.changes], query, writer)
    except RdctlError as error:
        hint = "The change is done; only the query failed."
        raise RdctlError(Code.FAILED, error.message, hint=hint) from error


def _document(result: Document, view: View, out: Stream, notice: Callable[[str], None]) -> None:
    writer = _writer(view, out, notice)
    if view.query is not None:
        _queried(result.data, view.query, writer)
    elif FORMATS[view.format].errors:
        writer.value(result.data)
    else:
        out.write(result.text)
        if not result.text and out.tty:
            notice(f"No {result.noun}.")


# --- bytes, the same in every format ----------------------------------------------------------


def _raw(raw: Raw, out: Stream) -> None:
    out.write_bytes(raw.data if raw.untouched or not out.tty else _harmless(raw.data))
    if out.tty and not raw.data.endswith(b"\n"):
        out.write("\n")


def _harmless(data: bytes) -> bytes:
    """Text without control sequences for a terminal."""
    text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    return raw_bytes(defuse_lines(text))


# What a terminal interprets as control sequences.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")


def _data(data: Data, out: Stream) -> None:
    if out.closed:
        raise RdctlError(Code.USAGE, "standard output is closed")
    for block in data.blocks:
        if out.tty and _NO_TEXT.search(block):
            raise RdctlError(
                Code.USAGE,
                "binary data is not written to a terminal",
                hint="Write it to a file with --to FILE, or pipe it to another program.",
            )
        out.write_bytes(block)
