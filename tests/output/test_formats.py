"""Every model in every format: the stored examples of the schemas are what is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tabulate
import yaml

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Item, Listing, Plan, Raw, Report, Text
from rdctl.output.formats.table import LEAST_WIDTH
from rdctl.output.schemas import SCHEMAS, with_context
from tests.output.showing import (
    DETAIL,
    EXAMPLES,
    VOLUME,
    read_csv,
    result_of,
    rows_of,
    show,
    unescape,
    visible,
    volume,
)

SHOWN = [name for name in SCHEMAS if name in EXAMPLES]
LISTINGS = [name for name in SHOWN if "items" in EXAMPLES[name]]
every_schema = pytest.mark.parametrize("name", SHOWN)
every_listing = pytest.mark.parametrize("name", LISTINGS)


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
    names = [str(row[SCHEMAS[name].named_by]) for row in rows_of(EXAMPLES[name])]
    assert show(result_of(EXAMPLES[name]), SCHEMAS[name], "name").splitlines() == names
    nul = show(result_of(EXAMPLES[name]), SCHEMAS[name], "name", nul=True)
    assert nul == "".join(f"{each}\0" for each in names)


@pytest.mark.parametrize(
    ("format", "shown"),
    [
        ("json", '{"schema": "rdctl.rapiddisk.volume/1", "items": [], "complete": true}\n'),
        ("yaml", "schema: rdctl.rapiddisk.volume/1\nitems: []\ncomplete: true\n"),
        ("ndjson", ""),
        ("csv", "device,size,usage,locked,unwritten\n"),
        ("tsv", "device\tsize\tusage\tlocked\tunwritten\n"),
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


# What people read --------------------------------------------------------------------------------

TABLE = """\
DEVICE        SIZE  USAGE  LOCKED
rd0       67108864   4096  no
rd1     1073741824      0  yes
rd2              -      -  -
"""
# Sizes are for people, and the columns as wide as these make them.
TERMINAL = """\
DEVICE      SIZE    USAGE  LOCKED
rd0     64.0 MiB  4.0 KiB  no
rd1      1.0 GiB      0 B  yes
rd2            -        -  -
"""


def test_a_table_in_a_pipe_is_exact() -> None:
    assert show(result_of(EXAMPLES[VOLUME.name])) == TABLE


def test_a_table_on_a_terminal_is_for_people() -> None:
    assert show(result_of(EXAMPLES[VOLUME.name]), terminal=True) == TERMINAL


ITEM = """\
Device      rd1
Size        67108864
Usage       1069056
High water  1048576
Locked      no
Unwritten   0
Users
  KIND    NAME                               FREED BY
  cache   rc-wt_sdb                          rdctl rapiddisk cache remove rc-wt_sdb
  export  nqn.2021-06.org.rapiddisk:lab-rd1  -
Users seen  cache export
"""


def test_one_thing_is_shown_at_length() -> None:
    item = result_of(EXAMPLES[DETAIL.name])
    assert show(item, DETAIL) == ITEM
    assert "Size        64.0 MiB\n" in show(item, DETAIL, terminal=True)
    assert "\x1b[1mSize\x1b[0m        64.0 MiB\n" in show(item, DETAIL, terminal=True, color=True)


def test_things_at_length() -> None:
    """With an empty line between two; a style of tabulate is a table all the same."""
    schema = SCHEMAS["rdctl.oio.properties/1"]
    rows = [
        {"target": "a", "properties": {"x": "1", "long": "2"}, "system": {}},
        {"target": "b", "properties": {}, "system": {}},
    ]
    shown = show(Listing(rows, vertical=True), schema)
    assert shown == (
        "Target      a\nProperties\n  long  2\n  x     1\nSystem      -\n"
        "\n"
        "Target      b\nProperties  -\nSystem      -\n"
    )
    assert show(Listing(rows, vertical=True), schema, table_style="github").startswith("| TARGET")
    assert show(Listing(rows, vertical=True), schema, "csv").startswith("target,properties,")


def test_a_listing_that_is_not_complete() -> None:
    listing = Listing([volume()])
    listing.marker = "rd0"
    listing.failures = [FAILED]
    for load, format in ((json.loads, "json"), (yaml.safe_load, "yaml")):
        document = load(show(listing, VOLUME, format))
        assert document["complete"] is False
        assert document["marker"] == "rd0"
        assert [failure["code"] for failure in document["errors"]] == ["locked"]


@every_listing
@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
def test_a_table_keeps_to_the_terminal_and_loses_nothing(name: str, width: int) -> None:
    shown, whole = (
        show(result_of(EXAMPLES[name]), SCHEMAS[name], terminal=True, width=columns)
        for columns in (width, 1000)
    )
    columns = [column for column in SCHEMAS[name].columns if column.shown]
    # Where there is no room for all columns, lines are left to be broken by the terminal.
    if width >= LEAST_WIDTH * len(columns):
        assert max(map(len, shown.splitlines())) <= width
    assert sorted(visible(shown)) == sorted(visible(whole))


@pytest.mark.parametrize("style", tabulate.tabulate_formats)
def test_every_style_of_tabulate(style: str) -> None:
    for name in SHOWN:
        shown = show(result_of(EXAMPLES[name]), SCHEMAS[name], table_style=style)
        assert shown.endswith("\n")
        for row in rows_of(EXAMPLES[name]):
            assert str(row[SCHEMAS[name].named_by])[:3] in shown


def test_a_style_of_tabulate_in_full() -> None:
    listing = Listing([volume("rd0"), volume("rd1", size=None)])
    assert show(listing, table_style="github").splitlines() == [
        "| DEVICE   |     SIZE |   USAGE | LOCKED   |",
        "|----------|----------|---------|----------|",
        "| rd0      | 67108864 |    4096 | no       |",
        "| rd1      |        - |    4096 | no       |",
    ]


# Columns and order -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "shown"),
    [
        ("table", "LOCKED  DEVICE\nno      rd0\n"),
        ("csv", "locked,device\nfalse,rd0\n"),
        ("tsv", "locked\tdevice\nfalse\trd0\n"),
        ("ndjson", '{"locked": false, "device": "rd0"}\n'),
        (
            "yaml",
            "schema: rdctl.rapiddisk.volume/1\n"
            "items:\n- locked: false\n  device: rd0\ncomplete: true\n",
        ),
        ("name", "rd0\n"),
    ],
)
def test_columns_chosen(format: str, shown: str) -> None:
    assert show(Listing([volume()]), VOLUME, format, columns=["locked", "device"]) == shown


def test_columns_of_one_thing() -> None:
    item = Item({**EXAMPLES[DETAIL.name]["item"]})
    assert show(item, DETAIL, columns=["size", "device"]) == "Size    67108864\nDevice  rd1\n"
    shown = json.loads(show(item, DETAIL, "json", columns=["size", "device"]))
    assert list(shown["item"]) == ["size", "device"]


def test_a_hidden_column_is_shown_when_it_is_asked_for() -> None:
    schema = SCHEMAS["rdctl.context/1"]
    contexts = result_of(EXAMPLES[schema.name])
    assert "ACCOUNT" not in show(contexts, schema)
    assert "ACCOUNT" in show(contexts, schema, columns=["name", "account"])


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("device", "rd1 rd2 rd9 rd10"),
        ("-device", "rd10 rd9 rd2 rd1"),
        ("size", "rd2 rd9 rd10 rd1"),  # nothing is lost for want of a size
        ("-size", "rd9 rd2 rd10 rd1"),
        ("locked", "rd1 rd9 rd2 rd10"),
        ("-locked", "rd2 rd1 rd9 rd10"),
    ],
)
@pytest.mark.parametrize("format", ["name", "json", "table"])
def test_sorted(key: str, order: str, format: str) -> None:
    listing = Listing(
        [
            volume("rd10", size=None, locked=None),
            volume("rd1", size=None, locked=False),
            volume("rd9", size=100, locked=False),
            volume("rd2", size=20, locked=True),
        ]
    )
    shown = show(listing, VOLUME, format, sort_by=key)
    if format == "json":
        devices = [row["device"] for row in json.loads(shown)["items"]]
    else:
        devices = [line.split()[0] for line in shown.splitlines() if line.startswith("rd")]
    assert devices == order.split()


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"columns": ["device", "sise"]}, "no column 'sise'"),
        ({"columns": [""]}, "no column ''"),
        ({"sort_by": "-uasge"}, "no column 'uasge'"),
        ({"sort_by": "--size"}, "no column '-size'"),
        ({"table_style": "gitub"}, "no table style 'gitub'"),
        ({"query": "[?"}, "--query: "),
        ({"query": ""}, "--query: "),
        ({"query": "[].lenght(@)"}, "--query: Unknown function: lenght()"),
        ({"query": "length(@, @)"}, "--query: Expected 1 argument for function length()"),
    ],
)
def test_what_cannot_be_shown_is_refused_before(view: dict[str, Any], message: str) -> None:
    never = map(pytest.fail, ["it was begun"])
    with pytest.raises(RdctlError) as raised:
        show(Listing(never), VOLUME, **view)
    assert raised.value.code is Code.USAGE
    assert raised.value.message.startswith(message)
    assert raised.value.hint


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
        "action,target,changed,verified,error,line",
        "create,rd1,true,true,,",
        "create,rd2,,,locked,",
    ]
    assert show(report, None, "csv").splitlines() == rows
    assert show(report, None, "tsv") == show(report, None, "csv").replace(",", "\t")
    assert show(report, None, "name") == "rd1\n"
    assert show(report, None) == "rd1 created (67108864)\n"
    assert show(report, None, terminal=True) == "rd1 created (64.0 MiB)\n"
    assert show(report, None, quiet=True) == ""
    assert "| create   | rd2      | -         | -          | locked  |" in show(
        report, None, table_style="github"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change("remove", "rd1", True, True), "rd1 removed"),
        (Change("flush", "rd1", True, True), "rd1 erased"),
        (Change("lock", "rd1", False, True), "rd1 locked already, nothing to do"),
        (Change("use", "lab", True, True), "lab in use now"),
        (Change("set", "lab", True, True), "lab set"),
        (
            Change("unlock", "rd1", True, None),
            "rd1 unlocked (reported, not verified)",
        ),
    ],
)
def test_a_change_in_words(change: Change, words: str) -> None:
    assert show(Report([change]), None) == f"{words}\n"


def test_a_new_volume_without_a_name_is_no_name() -> None:
    report = Report([Change("create", None, True, None), DONE])
    assert show(report, None, "name") == "rd1\n"


@pytest.mark.parametrize("format", ["json", "yaml", "ndjson"])
def test_a_plan_is_a_document(format: str) -> None:
    plan = Plan(["remove rd1", "remove rd2"], Report([Change("remove", "rd1", None, None)]))
    document = yaml.safe_load(show(plan, None, format))
    assert list(document) == ["schema", "plan", "status", "results", "errors"]
    assert document["plan"] == ["remove rd1", "remove rd2"]


@pytest.mark.parametrize("format", ["table", "csv", "name"])
def test_a_plan_in_lines(format: str) -> None:
    plan = Plan(["curl 'a b'\n\x1b[2J", "printf '\\0'"], None)
    assert show(plan, None, format) == "curl 'a b'\\n\\x1b[2J\nprintf '\\0'\n"


def test_prose_and_bytes_are_left_as_they_are() -> None:
    for format in ("table", "json", "csv"):
        assert show(Text("Words.\n"), None, format) == "Words.\n"
        assert show(Raw(b"\x00\x1b", None), None, format) == "\x00\x1b"


def test_things_of_several_contexts_are_told_apart() -> None:
    rows = [{"context": name, **volume()} for name in ("lab", "attic")]
    several = with_context(VOLUME)
    assert show(Listing(rows), several).splitlines()[0].split() == [
        "CONTEXT",
        "DEVICE",
        "SIZE",
        "USAGE",
        "LOCKED",
    ]
    assert show(Listing(rows), several, "csv", columns=["size"]).splitlines() == [
        "context,size",
        "lab,67108864",
        "attic,67108864",
    ]
    shown = json.loads(show(Listing(rows), several, "json", columns=["size"]))
    assert shown["items"][1] == {"context": "attic", "size": 67108864}
