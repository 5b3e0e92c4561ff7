"""From a result to bytes on stdout, in the format that was asked for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from rdctl.core.environment import Stream
from rdctl.core.errors import Code, RdctlError, told
from rdctl.core.results import (
    Change,
    Data,
    Failure,
    InContext,
    Item,
    Listing,
    Plan,
    Raw,
    Report,
    Result,
    Text,
)
from rdctl.core.units import CONTROL, defuse_lines, escape, natural, raw_bytes
from rdctl.output import cells
from rdctl.output.schemas import CHANGE, Column, Schema, check_key, known, select

Row = dict[str, Any]


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
        return self.format in ("json", "yaml") or bool(self.query or self.table_style)

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
        _compile(view.query)
    if view.table_style:
        import tabulate

        known("table style", view.table_style, tabulate.tabulate_formats)


def _harmless(data: bytes) -> bytes:
    """Text that no terminal takes for commands."""
    text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    return raw_bytes(defuse_lines(text))


def render(
    result: Result,
    schema: Schema | None,
    view: View,
    out: Stream,
    notice: Callable[[str], None],
) -> None:
    """Write the result. `notice` takes what a person is told beside the data."""
    if isinstance(result, Raw):
        out.write_bytes(result.data if result.untouched or not out.tty else _harmless(result.data))
        if out.tty and not result.data.endswith(b"\n"):
            out.write("\n")
    elif isinstance(result, Data):
        _data(result, out)
    elif isinstance(result, Text):
        out.write(result.text)
    elif isinstance(result, Plan):
        _plan(result, view, out)
    elif isinstance(result, Report):
        _report(result, schema or CHANGE, view, out)
    elif schema is None:
        raise AssertionError("a command that shows something names its schema")
    elif isinstance(result, Item):
        _item(as_data(result.value), schema, view, out)
    else:
        _listing(result, schema, view, out, notice)


# What a terminal takes for more than text.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")


def _data(data: Data, out: Stream) -> None:
    if out.closed:
        raise RdctlError(Code.USAGE, "standard output is closed")
    for block in data.blocks:
        if out.tty and _NO_TEXT.search(block):
            raise RdctlError(
                Code.USAGE,
                "that is no text, and a terminal might take it for commands",
                hint="Write it to a file with --to FILE, or hand it to another program.",
            )
        out.write_bytes(block)


# --- rows -------------------------------------------------------------------------------------


_PLAIN = frozenset({str, int, float, bool, type(None)})


def as_data(value: Any) -> Any:
    """Named tuples, however deep, as mappings: what JSON is made of."""
    if isinstance(value, InContext):
        return {"context": value.context, **as_data(value.value)}
    if hasattr(value, "_fields"):
        # Most of a long listing is what it is already, and needs no call to be found so.
        return {
            key: entry if type(entry) in _PLAIN else as_data(entry)
            for key, entry in zip(value._fields, value, strict=True)
        }
    if isinstance(value, Mapping):
        return {key: as_data(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_data(entry) for entry in value]
    return value


def _rows(listing: Listing, schema: Schema, view: View) -> Iterator[Row]:
    rows = (as_data(item) for item in listing)
    if not view.sort_by:
        return rows
    key = check_key(schema, view.sort_by.removeprefix("-"))

    def order(row: Row) -> tuple[Any, ...]:
        value = row.get(key)
        if isinstance(value, bool | int | float):
            return (0, value)
        return (1, natural(cells.text(value)))

    valued: list[Row] = []
    nulls: list[Row] = []
    for row in rows:
        (nulls if row.get(key) is None else valued).append(row)
    valued.sort(key=order, reverse=view.sort_by.startswith("-"))
    ordered = valued + nulls
    listing.cut = view.limit is not None and len(ordered) > view.limit
    return iter(ordered[: view.limit])


def rows_of(result: Listing | Item, schema: Schema, view: View) -> Iterator[Row]:
    """The rows of a listing in the order that was asked for, or the one of a thing."""
    if isinstance(result, Item):
        return iter([as_data(result.value)])
    return _rows(result, schema, view)


def stamped(row: Row, time: str, schema: Schema, view: View) -> str:
    """A row as a line of ndjson that begins with the time at which it was so."""
    return dumps({"time": time, **_with_hex(_narrow(row, view), schema)}) + "\n"


def table_columns(
    row: Row, schema: Schema, view: View, also: Sequence[str] = ()
) -> Sequence[Column]:
    """The columns of a table with rows like this one."""
    return _columns(schema, view, table=True, also=also)


def _columns(
    schema: Schema, view: View, *, table: bool, also: Sequence[str] = ()
) -> Sequence[Column]:
    chosen = select(schema, view.columns)
    if chosen is not None:
        return chosen
    return [c for c in schema.columns if c.shown or c.key in also or not table]


def _narrow(row: Row, view: View) -> Row:
    """Only the keys of `--columns`; an unknown one is an error by then."""
    if view.columns is None:
        return row
    kept = {key: row.get(key) for key in view.columns}
    context = {"context": row["context"]} if "context" in row else {}
    return {**context, **kept}


# --- one document -----------------------------------------------------------------------------


# One encoder: json.dumps would make one for every row.
_encoded = json.JSONEncoder(ensure_ascii=False).encode


def dumps(value: Any) -> str:
    """JSON that holds any name: what could harm a terminal, and bytes that are not UTF-8, are
    escaped."""
    text = _encoded(value)
    return text if text.isprintable() else CONTROL.sub(_code_point, text)


def dumps_yaml(value: Any) -> str:
    """YAML that holds any name, as `dumps` does."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes what holds characters that must be escaped."""

    def represent(dumper: Dumper, text: str) -> yaml.ScalarNode:
        style = '"' if CONTROL.search(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    text = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return CONTROL.sub(lambda match: match[0] if match[0] == "\n" else _code_point(match), text)


def _code_point(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def error_data(error: RdctlError) -> Row:
    """An error as scripts get it."""
    data: Row = {"code": error.code.word, "message": error.message}
    data |= {"hint": error.hint, "target": error.target}
    return data | error.facts


def error_document(error: RdctlError) -> Row:
    return {"schema": "rdctl.error/1", "error": error_data(error)}


def _report_document(report: Report) -> Row:
    return {
        "schema": CHANGE.name,
        "status": report.status,
        "results": [change.data() for change in report.changes],
        "errors": [_failure_data(failure) for failure in report.failures],
    }


def _failure_data(failure: Failure) -> Row:
    data: Row = {"context": failure.context} if failure.context else {}
    data |= {"action": failure.action, **error_data(failure.error)}
    return {**data, "fate": failure.fate}


def _write_document(document: Any, view: View, out: Stream) -> None:
    out.write(dumps_yaml(document) if view.format == "yaml" else dumps(document) + "\n")


# --- the query --------------------------------------------------------------------------------


def _compile(query: str) -> Any:
    import jmespath
    import jmespath.exceptions

    try:
        expression = jmespath.compile(query)
        _check_calls(expression.parsed)
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecursionError):
            reason = "nested too deep"
        elif isinstance(error, jmespath.exceptions.JMESPathError):
            reason = _first_line(error)
        else:  # Python reads no longer ones
            reason = "a number has too many digits"
        raise RdctlError(
            Code.USAGE,
            f"--query: {reason}",
            hint="An expression looks like: [?size > `1000`].device",
        ) from error
    return expression


def _first_line(error: Exception) -> str:
    """Below it the expression stands again, with a mark under it."""
    return str(error).partition("\n")[0].rstrip(":")


def _check_calls(node: Mapping[str, Any]) -> None:
    """Raise what jmespath itself would only raise while it searches."""
    from jmespath.exceptions import ArityError, UnknownFunctionError
    from jmespath.functions import Functions

    if node["type"] == "function_expression":
        name, given = node["value"], len(node["children"])
        if name not in Functions.FUNCTION_TABLE:
            raise UnknownFunctionError(f"Unknown function: {name}()")
        wanted = Functions.FUNCTION_TABLE[name]["signature"]
        variadic = bool(wanted) and wanted[-1].get("variadic", False)
        if given < len(wanted) or (given > len(wanted) and not variadic):
            raise ArityError(len(wanted), given, name)
    for child in node["children"]:
        if isinstance(child, Mapping):  # a slice has numbers
            _check_calls(child)


def _check_result(value: Any) -> None:
    """Raise where a value has no JSON: `&name`, NaN, Infinity."""
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            _check_result(part)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RdctlError(Code.USAGE, f"--query: {value} is not JSON")
    elif not isinstance(value, str | int | float | None):
        raise RdctlError(Code.USAGE, "--query: an expression (&) is not a result")


def _queried(data: Any, view: View, out: Stream) -> None:
    import jmespath.exceptions

    try:
        value = _compile(view.query or "").search(data)
        _check_result(value)
    except jmespath.exceptions.JMESPathError as error:
        raise RdctlError(Code.USAGE, f"--query: {_first_line(error)}") from error
    except RecursionError as error:
        raise RdctlError(Code.USAGE, "--query: nested too deep") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # The library does not check all that it computes with.
        raise RdctlError(Code.USAGE, f"--query: cannot be evaluated: {error}") from error
    if view.format in ("json", "yaml"):
        _write_document(value, view, out)
        return
    entries = value if isinstance(value, list) else [] if value is None else [value]
    if view.format == "ndjson":
        out.write("".join(dumps(entry) + "\n" for entry in entries))
    elif view.format == "name":
        _names(((None, entry) for entry in entries), view, out)
    elif entries and all(isinstance(entry, Mapping) for entry in entries):
        keys = list(dict.fromkeys(key for entry in entries for key in entry))
        columns = [Column(key, escape(key.upper()), "") for key in keys]
        _write_rows(iter(entries), columns, view, out)
    else:
        for entry in entries:
            parts = entry if isinstance(entry, list) else [entry]
            separator = {"csv": ",", "tsv": "\t"}.get(view.format, "  ")
            out.write(separator.join(_quoted(_scalar(part), view) for part in parts) + "\n")


# --- listings ---------------------------------------------------------------------------------


def _listing(
    listing: Listing, schema: Schema, view: View, out: Stream, notice: Callable[[str], None]
) -> None:
    rows = _rows(listing, schema, view)
    if view.query is not None:
        _queried(list(rows), view, out)
    elif view.format == "json":
        _json_listing(rows, listing, schema, view, out)
    elif view.format == "yaml":
        items = [_with_hex(_narrow(row, view), schema) for row in rows]
        document = {"schema": schema.name, "items": items, **_end(listing)}
        _write_document(document, view, out)
    elif view.format == "ndjson":
        for row in rows:
            out.write(dumps(_with_hex(_narrow(row, view), schema)) + "\n")
    elif view.format == "name":
        _names(((row.get("context"), row[schema.named_by]) for row in rows), view, out)
    else:
        first = next(rows, None)
        if first is None and view.format == "table":
            if not listing.failures:
                notice(f"No {schema.noun}.")
            return
        at_length = listing.vertical and view.format == "table" and not view.table_style
        if first is not None and at_length:
            _write_items(chain([first], rows), schema, view, out)
            return
        columns = _columns(schema, view, table=view.format == "table", also=listing.also)
        some = [] if first is None else [first]
        _write_rows(chain(some, rows), columns, view, out)


def _end(listing: Listing) -> Row:
    """How a listing ended, which is known when its items were taken."""
    partial = listing.failures or listing.cut or listing.skipped
    end: Row = {"complete": not partial and listing.marker is None}
    if listing.marker is not None:
        end["marker"] = listing.marker
    if listing.markers:
        end |= {"complete": False, "markers": listing.markers}
    if listing.failures:
        end["errors"] = [_failure_data(failure) for failure in listing.failures]
    return end


def _json_listing(
    rows: Iterator[Row], listing: Listing, schema: Schema, view: View, out: Stream
) -> None:
    """One valid document, written as the rows come; an error closes it."""
    first = next(rows, None)
    out.write(f'{{"schema": {dumps(schema.name)}, "items": [')
    separator = "\n"
    end: Row = {"complete": False}
    try:
        for row in chain([] if first is None else [first], rows):
            out.write(separator + dumps(_with_hex(_narrow(row, view), schema)))
            separator = ",\n"
        end = _end(listing)
    except BaseException as error:
        end = {"complete": False, "error": error_data(told(error))}
        raise
    finally:
        out.write(("" if first is None else "\n") + "], " + dumps(end)[1:] + "\n")


def _with_hex(row: Row, schema: Schema) -> Row:
    """`name_hex` beside a name that is not UTF-8."""
    name = row.get(schema.named_by)
    if isinstance(name, str) and not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            return {**row, "name_hex": raw_bytes(name).hex()}
    return row


def _names(names: Iterable[tuple[str | None, Any]], view: View, out: Stream) -> None:
    """Names; each behind its context and a tab, where there are several."""
    unprintable = []
    for context, value in names:
        name = _scalar(value)
        where = f"{context}\t" if context else ""
        if view.nul:
            out.write(f"{where}{name}\0")
        elif CONTROL.search(name):
            unprintable.append(escape(where + name))
        else:
            out.write(f"{where}{name}\n")
    if unprintable:
        raise RdctlError(
            Code.UNPRINTABLE,
            "not printed, since they do not fit on one line: " + ", ".join(unprintable),
            hint="With -0 names are written as they are, each ended by NUL.",
        )


# --- rows as text -----------------------------------------------------------------------------


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else dumps(value)


def _quoted(text: str, view: View) -> str:
    text = escape(text)
    if view.format == "csv" and ("," in text or '"' in text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _write_rows(rows: Iterator[Row], columns: Sequence[Column], view: View, out: Stream) -> None:
    if view.format in ("csv", "tsv"):
        separator = "," if view.format == "csv" else "\t"
        keys = [column.key for column in columns]
        if view.headers:
            out.write(separator.join(_quoted(key, view) for key in keys) + "\n")
        # A line with nothing on it is no row for a reader of CSV.
        nothing = '""' if view.format == "csv" else ""
        for row in rows:
            line = separator.join(_quoted(_scalar(row.get(key)), view) for key in keys)
            out.write((line or nothing) + "\n")
        return
    from rdctl.output import tables

    tables.write(rows, columns, view, out)


# --- one thing, changes, plans ----------------------------------------------------------------


def _item(row: Row, schema: Schema, view: View, out: Stream) -> None:
    if view.query is not None:
        _queried(row, view, out)
    elif view.format in ("json", "yaml"):
        data = _with_hex(_narrow(row, view), schema)
        _write_document({"schema": schema.name, "item": data}, view, out)
    elif view.format == "ndjson":
        out.write(dumps(_with_hex(_narrow(row, view), schema)) + "\n")
    elif view.format == "name":
        _names([(None, row[schema.named_by])], view, out)
    elif view.format in ("csv", "tsv") or view.table_style:
        _write_rows(iter([row]), _columns(schema, view, table=False), view, out)
    else:
        _write_items(iter([row]), schema, view, out)


def _write_items(rows: Iterator[Row], schema: Schema, view: View, out: Stream) -> None:
    """Each row at length, with an empty line between two."""
    from rdctl.output import tables

    for number, row in enumerate(rows):
        if number:
            out.write("\n")
        tables.write_item(row, _columns(schema, view, table=True), view, out)


def _report(report: Report, schema: Schema, view: View, out: Stream) -> None:
    if view.query is not None:
        try:
            _queried([change.data() for change in report.changes], view, out)
        except RdctlError as error:
            hint = "What was to be changed is changed; only the query failed."
            raise RdctlError(Code.FAILED, error.message, hint=hint) from error
    elif view.format in ("json", "yaml"):
        _write_document(_report_document(report), view, out)
    elif view.format == "ndjson":
        for outcome in report:
            if isinstance(outcome, Change):
                out.write(dumps(outcome.data()) + "\n")
            else:
                out.write(dumps({"error": _failure_data(outcome)}) + "\n")
    elif view.format == "name":
        changes = (outcome for outcome in report if isinstance(outcome, Change))
        named = ((change.context, change.target) for change in changes if change.target is not None)
        _names(named, view, out)
    elif view.format in ("csv", "tsv") or view.table_style:
        rows = (_outcome_row(outcome) for outcome in report)
        _write_rows(rows, _columns(schema, view, table=False), view, out)
    else:
        for outcome in report:
            if isinstance(outcome, Change) and not view.quiet:
                out.write(_told(outcome, view) + "\n")


def _outcome_row(outcome: Change | Failure) -> Row:
    if isinstance(outcome, Change):
        return {**outcome.data(), "error": None}
    error = outcome.error
    row: Row = {"context": outcome.context} if outcome.context else {}
    row |= {"action": outcome.action, "target": error.target, "changed": None}
    return {**row, "verified": None, "error": error.code.word, "line": error.facts.get("line")}


_PAST = {
    "copy": "copied",
    "flush": "erased",
    "force": "linked",
    "freeze": "frozen",
    "reset": "reset",
    "set": "set",
    "use": "in use now",
}


def _told(change: Change, view: View) -> str:
    """A change in words: `rd1 created (64.0 MiB)`, `photos: raw-insert done`."""
    action, target = change.action, cells.text(change.target)
    past = change.past or _PAST.get(action) or action.rstrip("e") + "ed"
    words = f"{target}: {change.past or f'{action} done'}" if "-" in action else f"{target} {past}"
    if change.changed is False:
        words += " already, nothing to do"
    if change.context:
        words = f"{change.context}: {words}"
    if change.facts:
        facts = (_fact(key, value, view) for key, value in change.facts.items())
        if told := ", ".join(fact for fact in facts if fact):
            words += f" ({told})"
    if change.changed and change.verified is None:
        words += " (reported, not verified)"
    return words


def _fact(key: str, value: Any, view: View) -> str:
    """`64.0 MiB`, `score 0`, `services 127.0.0.1:6013 127.0.0.1:6014`; nothing of no value."""
    if key == "size" and isinstance(value, int):
        return cells.human(value) if view.terminal else cells.size(value)
    shown = cells.text(value)
    return "" if shown == cells.NOTHING else _LABELS.get(key, f"{key} ") + shown


# Of facts that are not told by their keys.
_LABELS = {"properties": "", "not_set": "not set: "}


def _plan(plan: Plan, view: View, out: Stream) -> None:
    if view.format in ("json", "yaml", "ndjson"):
        document: Row = {"schema": "rdctl.plan/1", "plan": plan.lines}
        if plan.contexts is not None:
            document["contexts"] = plan.contexts
        if plan.report is not None:
            outcomes = _report_document(plan.report)
            document |= {key: outcomes[key] for key in ("status", "results", "errors")}
        _write_document(document, view, out)
    else:
        for context, lines in (plan.contexts or {"": plan.lines}).items():
            if context:
                out.write(f"# {context}\n")
            for line in lines:
                out.write(escape(line).replace("\\\\", "\\") + "\n")
