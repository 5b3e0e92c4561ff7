"""Which rows and columns are shown, and in which order."""

from __future__ import annotations

import json

import pytest

from rdctl.core.results import Item, Listing
from rdctl.output.schemas import SCHEMAS, with_context
from tests.output.showing import (
    DETAIL,
    EXAMPLES,
    VOLUME,
    result_of,
    show,
    volume,
)


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


def test_things_of_several_contexts_are_told_apart() -> None:
    rows = [{"context": name, **volume()} for name in ("lab", "attic")]
    several = with_context(VOLUME)
    assert show(Listing(rows), several).splitlines()[0].split() == [
        "CONTEXT",
        "DEVICE",
        "SIZE",
        "USAGE",
        "LOCKED",
        "USED",
        "BY",
    ]
    assert show(Listing(rows), several, "csv", columns=["size"]).splitlines() == [
        "context,size",
        "lab,67108864",
        "attic,67108864",
    ]
    shown = json.loads(show(Listing(rows), several, "json", columns=["size"]))
    assert shown["items"][1] == {"context": "attic", "size": 67108864}
