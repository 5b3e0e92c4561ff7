"""--query: an expression over the items, in every format."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Item, Listing, Report
from tests.output.showing import DETAIL, EXAMPLES, VOLUME, show, shown_before_error, volume

ROWS = [volume("rd0"), volume("rd1", size=None, locked=True)]


def listing() -> Listing:
    return Listing(iter(ROWS))


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("[].device", ["rd0", "rd1"]),
        ("[?locked].device", ["rd1"]),
        ("[?size > `1`].device | [0]", "rd0"),
        ("length(@)", 2),
        ("[0].locked", False),
        ("[5].device", None),
        ("[].{name: device, size: size}", [{"name": r["device"], "size": r["size"]} for r in ROWS]),
        ("[].[device, size]", [["rd0", 67108864], ["rd1", None]]),
        ("sort_by(@, &device)[-1].device", "rd1"),
        ("max_by([?size], &size).device", "rd0"),
        ("join(',', [].device)", "rd0,rd1"),
        ("[0:1].device", ["rd0"]),
        ("[:1].[device]", [["rd0"]]),
        ("[::-1].device", ["rd1", "rd0"]),
        ("[].device | [1:]", ["rd1"]),
        ("@", ROWS),
    ],
)
def test_the_value_itself_in_json_and_yaml(query: str, value: Any) -> None:
    assert json.loads(show(listing(), VOLUME, "json", query=query)) == value
    assert yaml.safe_load(show(listing(), VOLUME, "yaml", query=query)) == value


@pytest.mark.parametrize(
    ("format", "query", "shown"),
    [
        ("ndjson", "[].device", '"rd0"\n"rd1"\n'),
        ("ndjson", "[0]", json.dumps(ROWS[0]) + "\n"),
        ("ndjson", "[5]", ""),
        ("table", "[].device", "rd0\nrd1\n"),
        ("table", "length(@)", "2\n"),
        ("table", "[0].locked", "false\n"),
        ("table", "[5]", ""),
        ("table", "[].[device, size]", "rd0  67108864\nrd1  \n"),
        ("table", "[].{name: device, n: size}", "NAME  N\nrd0   67108864\nrd1   -\n"),
        ("csv", "[].{name: device, n: size}", "name,n\nrd0,67108864\nrd1,\n"),
        ("csv", "[].[device, size]", "rd0,67108864\nrd1,\n"),
        ("tsv", "[].[device, size]", "rd0\t67108864\nrd1\t\n"),
        ("name", "[].device", "rd0\nrd1\n"),
        ("name", "[0].size", "67108864\n"),
        ("name", "[].{name: device}", '{"name": "rd0"}\n{"name": "rd1"}\n'),
    ],
)
def test_the_value_in_lines(format: str, query: str, shown: str) -> None:
    assert show(listing(), VOLUME, format, query=query) == shown


def test_sizes_are_exact_on_a_terminal_too() -> None:
    shown = show(listing(), VOLUME, terminal=True, query="[].{device: device, size: size}")
    assert "67108864" in shown


def test_a_key_is_no_markup() -> None:
    shown = show(listing(), VOLUME, terminal=True, query='[].{"[red]x": device}')
    assert shown.splitlines()[0] == "[RED]X"


def test_ended_by_nul() -> None:
    assert show(listing(), VOLUME, "name", nul=True, query="[].device") == "rd0\0rd1\0"


def test_one_thing() -> None:
    item = Item(EXAMPLES[DETAIL.name]["item"])
    assert show(item, DETAIL, query="users[].name | [0]") == "rc-wt_sdb\n"


def test_a_report() -> None:
    report = Report([Change("create", "rd1", True, True, {"size": 1})])
    assert show(report, None, "json", query="[].target") == '["rd1"]\n'


def test_sorted_before() -> None:
    assert show(listing(), VOLUME, sort_by="-device", query="[0].device") == "rd1\n"


def test_a_query_that_fails_on_the_data() -> None:
    with pytest.raises(RdctlError) as raised:
        show(listing(), VOLUME, query="abs([0].device)")
    assert raised.value.code is Code.USAGE
    assert shown_before_error(listing(), VOLUME, "json", query="abs(@)") == "RdctlError"


@pytest.mark.parametrize(
    "query",
    [
        "&device",
        "[&device]",
        "`NaN`",
        "[`-Infinity`]",
        "{a: `1e999`}",
        "[" * 2000,
        "`" + "[" * 3000 + "]" * 3000 + "`",
    ],
)
def test_a_query_whose_value_has_no_json(query: str) -> None:
    with pytest.raises(RdctlError) as raised:
        show(listing(), VOLUME, "json", query=query)
    assert raised.value.code is Code.USAGE
    assert raised.value.message.startswith("--query: ")


def test_a_query_that_fails_on_a_report_hides_no_change() -> None:
    """Exit 2 would say that nothing was done."""
    report = Report([Change("create", "rd1", True, True)])
    with pytest.raises(RdctlError) as raised:
        show(report, None, query="abs(@)")
    assert raised.value.code is Code.FAILED
    assert "The change is done" in str(raised.value.hint)
