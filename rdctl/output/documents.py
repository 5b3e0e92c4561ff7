"""The documents of JSON and YAML: rows, reports, plans, errors."""

from __future__ import annotations

import json
import re
from typing import Any

from rdctl.core.errors import RdctlError
from rdctl.core.results import Failure, Listing, Plan, Report
from rdctl.core.units import CONTROL, raw_bytes
from rdctl.output.rows import Row, narrow
from rdctl.output.schemas import CHANGE, Schema
from rdctl.output.view import View

# One encoder: json.dumps would create one for every row.
_encoded = json.JSONEncoder(ensure_ascii=False).encode


def dumps(value: Any) -> str:
    """JSON that holds any name: what could harm a terminal, and bytes that are not UTF-8, are
    escaped."""
    text = _encoded(value)
    return text if text.isprintable() else CONTROL.sub(code_point, text)


def code_point(match: re.Match[str]) -> str:
    """A character as an escape of JSON and YAML."""
    return f"\\u{ord(match[0]):04x}"


def scalar(value: Any) -> str:
    """A single value: strings unchanged, nothing for null, all else as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):  # most values that are not strings
        return "true" if value else "false"
    return value if isinstance(value, str) else dumps(value)


def row_data(row: Row, schema: Schema, view: View) -> Row:
    """A row with the requested keys, and `name_hex` for a name that is not UTF-8."""
    row = narrow(row, view)
    name = row.get(schema.named_by)
    if isinstance(name, str) and not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            return {**row, "name_hex": raw_bytes(name).hex()}
    return row


def end_of(listing: Listing) -> Row:
    """How a listing ended, known once its items were consumed."""
    partial = listing.failures or listing.cut or listing.skipped
    end: Row = {"complete": not partial and listing.marker is None}
    if listing.marker is not None:
        end["marker"] = listing.marker
    if listing.markers:
        end |= {"complete": False, "markers": listing.markers}
    if listing.failures:
        end["errors"] = [failure_data(failure) for failure in listing.failures]
    return end


def error_data(error: RdctlError) -> Row:
    """An error as data."""
    data: Row = {"code": error.code.word, "message": error.message}
    data |= {"hint": error.hint, "target": error.target}
    return data | error.facts


def error(error: RdctlError) -> Row:
    return {"schema": "rdctl.error/1", "error": error_data(error)}


def failure_data(failure: Failure) -> Row:
    data: Row = {"context": failure.context} if failure.context else {}
    data |= {"action": failure.action, **error_data(failure.error)}
    return {**data, "fate": failure.fate}


def report(report: Report) -> Row:
    data = {"schema": CHANGE.name, **_outcomes(report)}
    summary = report.summary
    return data if summary is None else {**data, "summary": summary._asdict()}


def plan(plan: Plan) -> Row:
    document: Row = {"schema": "rdctl.plan/1", "summary": plan.summary, "losses": plan.losses}
    document["plan"] = plan.lines
    if plan.contexts is not None:
        document["contexts"] = plan.contexts
    return document if plan.report is None else {**document, **_outcomes(plan.report)}


def _outcomes(report: Report) -> Row:
    return {
        "status": report.status,
        "results": [change.data() for change in report.changes],
        "errors": [failure_data(failure) for failure in report.failures],
    }
