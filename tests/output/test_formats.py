"""Every model in every format: the stored examples of the schemas are what is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Listing, Plan, Raw, Report, Text
from rdctl.output.schemas import SCHEMAS
from tests.output.showing import (
    EXAMPLES,
    SHOWN,
    VOLUME,
    read_csv,
    result_of,
    rows_of,
    show,
    unescape,
    volume,
)

every_schema = pytest.mark.parametrize("name", SHOWN)


def as_cell(value: Any) -> str:
    """A value as csv and tsv have it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# What programs read ------------------------------------------------------------------------------


@every_schema
@pytest.mark.parametrize(("format", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_document_says_what_was_shown(name: str, format: str, load: Any) -> None:
    example = EXAMPLES[name]
    assert load(show(result_of(example), SCHEMAS[name], format)) == example


@every_schema
def test_ndjson_has_a_row_a_line(name: str) -> None:
    shown = show(result_of(EXAMPLES[name]), SCHEMAS[name], "ndjson")
    assert [json.loads(line) for line in shown.splitlines()] == rows_of(EXAMPLES[name])


@every_schema
@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_csv_and_tsv_have_all_columns(name: str, format: str) -> None:
    shown = show(result_of(EXAMPLES[name]), SCHEMAS[name], format)
    lines = [line.split("\t") for line in shown.splitlines()]
    head, *rows = read_csv(shown) if format == "csv" else lines
    assert head == [column.key for column in SCHEMAS[name].columns]
    wanted = [[as_cell(value) for value in row.values()] for row in rows_of(EXAMPLES[name])]
    assert [[unescape(cell) for cell in row] for row in rows] == wanted


@every_schema
def test_names_alone(name: str) -> None:
    names = [str(SCHEMAS[name].name_in(row)) for row in rows_of(EXAMPLES[name])]
    assert show(result_of(EXAMPLES[name]), SCHEMAS[name], "name").splitlines() == names
    nul = show(result_of(EXAMPLES[name]), SCHEMAS[name], "name", nul=True)
    assert nul == "".join(f"{each}\0" for each in names)


@pytest.mark.parametrize(
    ("format", "shown"),
    [
        ("json", '{"schema": "rdctl.rapiddisk.volume/1", "items": [], "complete": true}\n'),
        ("yaml", "schema: rdctl.rapiddisk.volume/1\nitems: []\ncomplete: true\n"),
        ("ndjson", ""),
        ("csv", "device,size,usage,locked,unwritten,used_by\n"),
        ("tsv", "device\tsize\tusage\tlocked\tunwritten\tused_by\n"),
        ("name", ""),
        ("table", ""),
    ],
)
def test_an_empty_listing(format: str, shown: str) -> None:
    assert show(Listing([]), VOLUME, format) == shown


def test_one_column_of_csv_without_a_value_is_still_a_row() -> None:
    shown = show(Listing([volume(usage=None), volume()]), VOLUME, "csv", columns=["usage"])
    assert read_csv(shown) == [["usage"], [""], ["4096"]]


def test_json_is_written_a_row_a_line_for_those_who_read_lines() -> None:
    shown = show(Listing([volume("rd0"), volume("rd1")]), VOLUME, "json")
    assert [line[:17] for line in shown.splitlines()] == [
        '{"schema": "rdctl',
        '{"device": "rd0",',
        '{"device": "rd1",',
        '], "complete": tr',
    ]


@pytest.mark.parametrize("format", ["csv", "tsv", "table"])
def test_no_headers(format: str) -> None:
    listing = Listing([volume("rd0"), volume("rd1")])
    shown = show(listing, VOLUME, format, headers=False)
    assert [line[:3] for line in shown.splitlines()] == ["rd0", "rd1"]


def test_a_listing_that_is_not_complete() -> None:
    listing = Listing([volume()])
    listing.marker = "rd0"
    listing.failures = [FAILED]
    for load, format in ((json.loads, "json"), (yaml.safe_load, "yaml")):
        document = load(show(listing, VOLUME, format))
        assert document["complete"] is False
        assert document["marker"] == "rd0"
        assert [failure["code"] for failure in document["errors"]] == ["locked"]


# Changes and plans -------------------------------------------------------------------------------

DONE = Change("create", "rd1", True, True, {"size": 67108864})
FAILED = Failure("create", RdctlError(Code.LOCKED, "rd2 is locked", hint="Unlock", target="rd2"))


def test_a_report_in_every_format() -> None:
    report = Report([DONE, FAILED])
    document = {
        "schema": "rdctl.change/1",
        "status": "partial",
        "results": [
            {"action": "create", "target": "rd1", "changed": True, "verified": True}
            | {"size": 67108864}
        ],
        "errors": [
            {
                "action": "create",
                "code": "locked",
                "message": "rd2 is locked",
                "hint": "Unlock",
                "target": "rd2",
                "fate": "not done",
            }
        ],
    }
    assert json.loads(show(report, None, "json")) == document
    assert yaml.safe_load(show(report, None, "yaml")) == document
    lines = [json.loads(line) for line in show(report, None, "ndjson").splitlines()]
    assert lines == [*document["results"], {"error": document["errors"][0]}]
    rows = [
        "action,target,changed,verified,error,line,before,after",
        "create,rd1,true,true,,,,",
        "create,rd2,,,locked,,,",
    ]
    assert show(report, None, "csv").splitlines() == rows
    assert show(report, None, "tsv") == show(report, None, "csv").replace(",", "\t")
    assert show(report, None, "name") == "rd1\n"
    assert show(report, None) == "created rd1 (67108864 bytes)\n"
    assert show(report, None, terminal=True) == "created rd1 (64.0 MiB)\n"
    assert show(report, None, quiet=True) == ""
    assert "| create   | rd2      | -         | -          | locked  |" in show(
        report, None, table_style="github"
    )


def test_a_new_volume_without_a_name_is_no_name() -> None:
    report = Report([Change("create", None, True, None), DONE])
    assert show(report, None, "name") == "rd1\n"


@pytest.mark.parametrize("format", ["json", "yaml", "ndjson"])
def test_a_plan_is_a_document(format: str) -> None:
    plan = Plan(["remove rd1", "remove rd2"], Report([Change("remove", "rd1", None, None)]))
    document = yaml.safe_load(show(plan, None, format))
    keys = ["schema", "summary", "losses", "plan", "status", "results", "errors"]
    assert list(document) == keys
    assert document["plan"] == ["remove rd1", "remove rd2"]


@pytest.mark.parametrize("format", ["table", "csv", "name"])
def test_a_plan_in_lines(format: str) -> None:
    plan = Plan([], None, summary=["would 'a b'\n\x1b[2J", "would '\\0'"], losses=["rd1"])
    expected = "would 'a b'\\n\\x1b[2J\nwould '\\0'\nconfirmation required:\n  rd1\n"
    assert show(plan, None, format) == expected


def test_a_text_of_a_plan_is_below_its_sentence() -> None:
    texts = {"would write a": "first\n\n\x1b[2J\n"}
    plan = Plan([], None, summary=["would write a", "would write b"], texts=texts)
    expected = "would write a\n    first\n\n    \\x1b[2J\nwould write b\n"
    assert show(plan, None, "table") == expected


def test_prose_and_bytes_are_left_as_they_are() -> None:
    for format in ("table", "json", "csv"):
        assert show(Text("Words.\n"), None, format) == "Words.\n"
        assert show(Raw(b"\x00\x1b", None), None, format) == "\x00\x1b"
