"""Results rendered without a command around them, and the stored example of each schema."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from rdctl.core.environment import Stream
from rdctl.core.results import Item, Listing, Plan, Raw, Report, Text
from rdctl.output.render import render
from rdctl.output.schemas import SCHEMAS, Column, Schema
from rdctl.output.view import View, checked

EXAMPLES: dict[str, dict[str, Any]] = {
    document["schema"]: document
    for path in sorted((Path(__file__).parent.parent / "schemas").glob("*.json"))
    for document in [json.loads(path.read_text("utf-8"))]
}
VOLUME = SCHEMAS["rdctl.rapiddisk.volume/1"]
DETAIL = SCHEMAS["rdctl.rapiddisk.volume-detail/1"]
SHOWN = [name for name in SCHEMAS if name in EXAMPLES]
# One column of names, for what is hostile in them.
NAMES = Schema("rdctl.test/1", "things", "name", (Column("name", "NAME", ""),))

Result = Listing | Item | Report | Plan | Raw | Text


def view_of(format: str, view: dict[str, Any]) -> View:
    """The view, with sizes for people on a terminal, as --units=auto."""
    return View(**{"format": format, "units": "human" if view.get("terminal") else "bytes", **view})


def show_bytes(
    result: Result, schema: Schema | None = VOLUME, format: str = "table", **view: Any
) -> bytes:
    """The bytes on stdout; the view is checked first, as a command does."""
    out = io.BytesIO()
    asked = view_of(format, view)
    asked = checked(asked, schema)
    render(result, schema, asked, Stream(out, tty=asked.terminal), lambda message: None)
    return out.getvalue()


def show(result: Result, schema: Schema | None = VOLUME, format: str = "table", **view: Any) -> str:
    """The text on stdout."""
    return show_bytes(result, schema, format, **view).decode()


def shown_before_error(result: Result, schema: Schema | None, format: str, **view: Any) -> str:
    """The text on stdout of a result that ends in an error, and the name of that."""
    out = io.BytesIO()
    asked = view_of(format, view)
    try:
        render(result, schema, asked, Stream(out, tty=asked.terminal), lambda message: None)
    except BaseException as error:
        return f"{out.getvalue().decode()}{type(error).__name__}"
    raise AssertionError("no error")


def rows_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a document, whatever it wraps them in."""
    rows: list[dict[str, Any]] = document.get("items") or [document["item"]]
    return rows


def result_of(document: dict[str, Any]) -> Listing | Item:
    """The result that a command would have returned for this document."""
    return Listing(document["items"]) if "items" in document else Item(document["item"])


def volume(device: str = "rd0", **facts: Any) -> dict[str, Any]:
    return {"device": device, "size": 67108864, "usage": 4096, "locked": False, **facts}


def named(*names: str | None) -> Listing:
    return Listing({"name": name} for name in names)


def unescape(text: str) -> str:
    """What the escapes of tables, csv and tsv stand for."""

    def one(match: re.Match[str]) -> str:
        if match["point"]:
            return chr(int(match["point"], 16))
        if match["byte"]:
            byte = int(match["byte"], 16)
            return chr(byte if byte < 0x80 else 0xDC00 + byte)
        return {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}[match["char"]]

    return re.sub(r"\\(?:x(?P<byte>[0-9a-f]{2})|u(?P<point>[0-9a-f]{4})|(?P<char>.))", one, text)


def read_csv(text: str) -> list[list[str]]:
    """All lines, as any reader of CSV takes them."""
    return list(csv.reader(io.StringIO(text, newline="")))


def visible(text: str) -> str:
    """The characters alone, without blanks and line ends."""
    return "".join(text.split())
