"""Names hold anything: whatever it is, a terminal is not harmed and no row is forged."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import tabulate
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Item, Listing, Plan, Report
from rdctl.output import documents
from rdctl.output.documents import dumps
from rdctl.output.formats.yaml import dumps_yaml
from tests.output.showing import (
    DETAIL,
    EXAMPLES,
    NAMES,
    named,
    read_csv,
    show,
    show_bytes,
    shown_before_error,
    unescape,
)

HOSTILE = {
    "newline": "a\nb",
    "tab": "a\tb",
    "carriage return": "a\rb",
    "escape sequence": "a\x1b[2Jb",
    "C1": "a\x9b2Jb",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "RTL override": "a\u202eb",
    "isolate": "a\u2066b",
    "bytes that are not UTF-8": b"a\xff\x80b".decode("utf-8", "surrogateescape"),
    "half a surrogate pair": "a\ud800b",
}
HARMLESS = {
    "quotes": "a\"b'c",
    "comma": "a,b",
    "blanks": " a  b ",
    "backslash": "a\\b\\n",
    "emoji": "a😀b",
    "family": "👩\u200d👩\u200d👧",
    "wide": "日本語",
    "accents": "e\u0301é",
    "markup": "[red]a[/red]",
    "no word": "no",
    "number": "1e3",
    "null": "null",
    "comment": "# a: b",
    "empty": "",
    "formula": "=1+1",
}
every_name = pytest.mark.parametrize(
    "name", [*HOSTILE.values(), *HARMLESS.values()], ids=[*HOSTILE, *HARMLESS]
)
# What no output may hold: all that is not printed, but for the end of a line.
HARMFUL = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def assert_harmless(shown: str, lines: int | None = None) -> None:
    assert not HARMFUL.search(shown)
    if lines is not None:
        assert len(shown.split("\n")) == lines + 1


# Two rows, so that a forged one is seen; no text is trimmed where there are two columns.
def rows(name: str) -> Listing:
    return Listing([{"name": name, "next": name}, {"name": "z", "next": "z"}])


def from_json(text: str) -> list[Any]:
    return [row["name"] for row in json.loads(text)["items"]]


def from_yaml(text: str) -> list[Any]:
    return [row["name"] for row in yaml.safe_load(text)["items"]]


def from_ndjson(text: str) -> list[Any]:
    return [json.loads(line)["name"] for line in text.split("\n")[:-1]]


def from_csv(text: str) -> list[Any]:
    return [unescape(row[0]) for row in read_csv(text)[1:]]


def from_tsv(text: str) -> list[Any]:
    return [unescape(line.split("\t")[0]) for line in text.split("\n")[1:-1]]


READERS = {
    "json": from_json,
    "yaml": from_yaml,
    "ndjson": from_ndjson,
    "csv": from_csv,
    "tsv": from_tsv,
}
# Lines beside those of two rows; yaml has several a row.
LINES = {"json": 4, "ndjson": 2, "csv": 3, "tsv": 3, "yaml": None}


@every_name
@pytest.mark.parametrize("format", READERS)
def test_a_name_is_read_back(name: str, format: str) -> None:
    shown = show(rows(name), NAMES, format)
    assert READERS[format](shown) == [name, "z"]
    assert_harmless(shown.replace("\t", "") if format == "tsv" else shown, LINES[format])


@every_name
def test_a_name_in_a_table(name: str) -> None:
    plain = show(rows(name), NAMES)
    assert_harmless(plain, 3)
    assert unescape(plain.split("\n")[1]).rstrip() == name.rstrip()
    assert_harmless(show(rows(name), NAMES, terminal=True), 3)
    assert_harmless(show(Item({"name": name}), NAMES), 1)


@every_name
@pytest.mark.parametrize("style", ["github", "grid", "html", "latex", "tsv"])
def test_a_name_in_a_style_of_tabulate(name: str, style: str) -> None:
    assert style in tabulate.tabulate_formats
    assert_harmless(show(rows(name), NAMES, table_style=style).replace("\t", ""))


@pytest.mark.parametrize("name", HARMLESS.values(), ids=HARMLESS)
def test_what_can_be_printed_on_a_line_is(name: str) -> None:
    assert show(named(name), NAMES, "name") == f"{name}\n"


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_what_cannot_is_named_beside(name: str) -> None:
    with pytest.raises(RdctlError) as raised:
        show(named("a", name, "z"), NAMES, "name")
    assert raised.value.code is Code.UNPRINTABLE
    assert unescape(raised.value.message).endswith(f": {name}")
    assert shown_before_error(named("a", name, "z"), NAMES, "name") == "a\nz\nRdctlError"


def test_names_ended_by_nul_are_the_bytes_themselves() -> None:
    for name in (*HOSTILE.values(), *HARMLESS.values()):
        shown = show_bytes(named(name, "z"), NAMES, "name", nul=True)
        assert shown.decode("utf-8", "surrogateescape").split("\0")[1:] == ["z", ""]
    assert show_bytes(named("a\nb", "c\udcff"), NAMES, "name", nul=True) == b"a\nb\0c\xff\0"


@pytest.mark.parametrize(
    ("name", "name_hex"),
    [
        ("caf\udce9", b"caf\xe9"),
        ("\udcff😀", b"\xff\xf0\x9f\x98\x80"),
        ("\ud800", b"\xed\xa0\x80"),
        ("café", None),
        ("a\x1b", None),
    ],
)
@pytest.mark.parametrize("format", ["json", "ndjson", "yaml"])
def test_the_bytes_of_a_name_that_is_not_utf_8(
    name: str, name_hex: bytes | None, format: str
) -> None:
    shown = yaml.safe_load(show(named(name), NAMES, format))
    row = shown if format == "ndjson" else shown["items"][0]
    assert row == ({"name": name} | ({"name_hex": name_hex.hex()} if name_hex else {}))


@every_name
def test_names_deep_inside(name: str) -> None:
    """In lists, in nested things, in a plan, in errors, as keys of a query."""
    item = Item(
        EXAMPLES[DETAIL.name]["item"]
        | {"users": [{"name": name, "kind": name, name: None}], "users_seen": [{name: name}]}
    )
    report = Report([Change("remove", name, True, True, {"fact": name})])
    for format in ("table", "json", "yaml", "ndjson", "csv", "tsv"):
        for result in (item, report, Plan([name, name], report)):
            shown = show(result, DETAIL, format)
            assert_harmless(shown.replace("\t", "") if format == "tsv" else shown)
        query = f"{{{json.dumps(name)}: device}}"
        assert_harmless(show(item, DETAIL, format, query=query).replace("\t", ""))
    assert yaml.safe_load(show(item, DETAIL, "yaml"))["item"]["users"][0]["name"] == name
    error = documents.error(RdctlError(Code.FAILED, name, hint=name, target=name))
    for text in (dumps(error), dumps_yaml(error)):
        assert_harmless(text)
        assert yaml.safe_load(text) == error


# Whatever it is ----------------------------------------------------------------------------------

texts = st.text(
    st.characters(exclude_characters="\0") | st.sampled_from("\n\t\r\x1b\x9b\u202e\udcff\\\",'# -:")
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(values, max_size=5))
@settings(deadline=None)
def test_any_data_is_read_back(data: list[Any]) -> None:
    listing = [{"name": "a", "value": value} for value in data]
    for format, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        shown = show(Listing(listing), NAMES, format)
        assert_harmless(shown)
        assert load(shown)["items"] == listing


@given(st.lists(texts, min_size=1, max_size=5))
@settings(deadline=None)
def test_any_names_are_read_back(names: list[str]) -> None:
    for format in ("ndjson", "csv", "tsv"):
        shown = show(named(*names), NAMES, format)
        assert READERS[format](shown) == names
        assert_harmless(shown, len(names) + (format != "ndjson"))


@given(st.lists(texts, min_size=1, max_size=5), st.integers(3, 200))
@settings(deadline=None)
def test_any_names_in_a_table(names: list[str], width: int) -> None:
    plain = show(named(*names), NAMES)
    assert_harmless(plain, len(names) + 1)
    assert [unescape(line).rstrip() for line in plain.split("\n")[1:-1]] == [
        name.rstrip() for name in names
    ]
    assert_harmless(show(named(*names), NAMES, terminal=True, width=width))
