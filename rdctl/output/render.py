"""From a result to bytes on stdout, in the format that was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from rdctl.errors import Code, RdctlError, told
from rdctl.output import cells
from rdctl.output.columns import CHANGE, Column, Schema, check_key, known, select
from rdctl.result import Change, Failure, Item, Listing, Plan, Raw, Report, Text
from rdctl.units import CONTROL, escape, natural, raw_bytes
from rdctl.world import Stream

Row = dict[str, Any]


class View(NamedTuple):
    """How the result was asked for. `terminal` says that a person sees a table."""

    format: str = "table"
    columns: Sequence[str] | None = None
    sort_by: str | None = None
    query: str | None = None
    headers: bool = True
    nul: bool = False
    table_style: str | None = None
    terminal: bool = False
    color: bool = False
    width: int = 80
    quiet: bool = False


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


def render(
    result: Listing | Item | Report | Plan | Text | Raw,
    schema: Schema | None,
    view: View,
    out: Stream,
    notice: Callable[[str], None],
) -> None:
    """Write the result. `notice` takes what a person is told beside the data."""
    if isinstance(result, Raw):
        out.write_bytes(result.data)
        if out.tty and not result.data.endswith(b"\n"):
            out.write("\n")
    elif isinstance(result, Text):
        out.write(result.text)
    elif isinstance(result, Plan):
        _plan(result, view, out)
    elif isinstance(result, Report):
        _report(result, view, out)
    elif schema is None:
        raise AssertionError("a command that shows something names its schema")
    elif isinstance(result, Item):
        _item(as_data(result.value), schema, view, out)
    else:
        _listing(result, schema, view, out, notice)


# --- rows -------------------------------------------------------------------------------------


def as_data(value: Any) -> Any:
    """Named tuples, however deep, as mappings: what JSON is made of."""
    if hasattr(value, "_asdict"):
        return {key: as_data(entry) for key, entry in value._asdict().items()}
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
    return chain(valued, nulls)


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


def dumps(value: Any) -> str:
    """JSON that holds any name: what could harm a terminal, and bytes that are not UTF-8, are
    escaped."""
    return CONTROL.sub(_code_point, json.dumps(value, ensure_ascii=False))


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
    return {"action": failure.action, **error_data(failure.error), "fate": failure.fate}


def _write_document(document: Any, view: View, out: Stream) -> None:
    out.write(dumps_yaml(document) if view.format == "yaml" else dumps(document) + "\n")


# --- the query --------------------------------------------------------------------------------


def _compile(query: str) -> Any:
    import jmespath
    import jmespath.exceptions

    try:
        expression = jmespath.compile(query)
        _check_calls(expression.parsed)
    except jmespath.exceptions.JMESPathError as error:
        raise RdctlError(
            Code.USAGE,
            f"--query: {error}",
            hint="An expression looks like: [?size > `1000`].device",
        ) from error
    return expression


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
        _check_calls(child)


def _queried(data: Any, view: View, out: Stream) -> None:
    import jmespath.exceptions

    try:
        value = _compile(view.query or "").search(data)
    except jmespath.exceptions.JMESPathError as error:
        raise RdctlError(Code.USAGE, f"--query: {error}") from error
    if view.format in ("json", "yaml"):
        _write_document(value, view, out)
        return
    entries = value if isinstance(value, list) else [] if value is None else [value]
    if view.format == "ndjson":
        out.write("".join(dumps(entry) + "\n" for entry in entries))
    elif view.format == "name":
        _names(entries, view, out)
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
        _names((row[schema.named_by] for row in rows), view, out)
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
    end: Row = {"complete": not listing.failures and listing.marker is None}
    if listing.marker is not None:
        end["marker"] = listing.marker
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


def _names(names: Iterable[Any], view: View, out: Stream) -> None:
    unprintable = []
    for value in names:
        name = _scalar(value)
        if view.nul:
            out.write(name + "\0")
        elif CONTROL.search(name):
            unprintable.append(escape(name))
        else:
            out.write(name + "\n")
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
    if view.format == "csv" and any(char in text for char in ',"'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _write_rows(rows: Iterator[Row], columns: Sequence[Column], view: View, out: Stream) -> None:
    if view.format in ("csv", "tsv"):
        separator = "," if view.format == "csv" else "\t"
        rows, peek = _peek(rows)
        keys = [column.key for column in columns]
        if peek is not None and "context" in peek:
            keys.insert(0, "context")
        if view.headers:
            out.write(separator.join(_quoted(key, view) for key in keys) + "\n")
        # A line with nothing on it is no row for a reader of CSV.
        nothing = '""' if view.format == "csv" else ""
        for row in rows:
            line = separator.join(_quoted(_scalar(row.get(key)), view) for key in keys)
            out.write((line or nothing) + "\n")
        return
    from rdctl.output import tables

    rows, peek = _peek(rows)
    if peek is not None and "context" in peek:
        columns = [Column("context", "CONTEXT", ""), *columns]
    tables.write(rows, columns, view, out)


def _peek(rows: Iterator[Row]) -> tuple[Iterator[Row], Row | None]:
    some = list(islice(rows, 1))
    return chain(some, rows), some[0] if some else None


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
        _names([row[schema.named_by]], view, out)
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


def _report(report: Report, view: View, out: Stream) -> None:
    if view.query is not None:
        try:
            _queried([change.data() for change in report.changes], view, out)
        except RdctlError as error:
            hint = "What was to be changed is changed; only the query failed."
            raise RdctlError(Code.FAILED, error.message, hint=hint) from error
    elif view.format in ("json", "yaml"):
        _write_document(_report_document(report), view, out)
    elif view.format == "ndjson":
        for outcome in report.outcomes:
            if isinstance(outcome, Change):
                out.write(dumps(outcome.data()) + "\n")
            else:
                out.write(dumps({"error": _failure_data(outcome)}) + "\n")
    elif view.format == "name":
        targets = (change.target for change in report.changes)
        _names((target for target in targets if target is not None), view, out)
    elif view.format in ("csv", "tsv") or view.table_style:
        rows = (_outcome_row(outcome) for outcome in report.outcomes)
        _write_rows(rows, _columns(CHANGE, view, table=False), view, out)
    elif not view.quiet:
        for change in report.changes:
            out.write(_told(change, view) + "\n")


def _outcome_row(outcome: Change | Failure) -> Row:
    if isinstance(outcome, Change):
        return {**outcome.data(), "error": None}
    error = outcome.error
    row: Row = {"action": outcome.action, "target": error.target, "changed": None}
    return {**row, "verified": None, "error": error.code.word}


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
    action = change.action
    past = change.past or _PAST.get(action, action.rstrip("e") + "ed")
    target = cells.text(change.target)
    words = f"{target}: {action} done" if "-" in action else f"{target} {past}"
    if change.changed is False:
        words += " already, nothing to do"
    facts = [_fact(key, value, view) for key, value in change.facts.items()]
    told = ", ".join(fact for fact in facts if fact)
    if told:
        words += f" ({told})"
    if change.changed and change.verified is None:
        words += ", as the server says; it cannot be seen from here"
    return words


def _fact(key: str, value: Any, view: View) -> str:
    """`64.0 MiB`, `score 0`, `services 127.0.0.1:6013 127.0.0.1:6014`; nothing of no value."""
    if key == "size" and isinstance(value, int):
        return cells.human(value) if view.terminal else cells.size(value)
    shown = cells.text(value)
    return "" if shown == cells.NOTHING else f"{key} {shown}"


def _plan(plan: Plan, view: View, out: Stream) -> None:
    if view.format in ("json", "yaml", "ndjson"):
        document: Row = {"schema": "rdctl.plan/1", "plan": plan.lines}
        if plan.report is not None:
            outcomes = _report_document(plan.report)
            document |= {key: outcomes[key] for key in ("status", "results", "errors")}
        _write_document(document, view, out)
    else:
        for line in plan.lines:
            out.write(escape(line).replace("\\\\", "\\") + "\n")
