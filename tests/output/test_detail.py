"""Things at length."""

from __future__ import annotations

from rdctl.core.results import Listing
from rdctl.output.schemas import SCHEMAS
from tests.output.showing import (
    DETAIL,
    EXAMPLES,
    result_of,
    show,
)

ITEM = """\
Device       rd1
Size         67108864
Usage        1069056
High water   1048576
Locked       no
Unwritten    0
Users
  KIND    NAME                               FREED BY
  cache   rc-wt_sdb                          rdctl rapiddisk cache remove rc-wt_sdb
  export  nqn.2021-06.org.rapiddisk:lab-rd1  -
Checked for  cache export
"""


def test_one_thing_is_shown_at_length() -> None:
    item = result_of(EXAMPLES[DETAIL.name])
    assert show(item, DETAIL) == ITEM
    assert "Size         64.0 MiB\n" in show(item, DETAIL, terminal=True)
    assert "\x1b[1mSize\x1b[0m         64.0 MiB\n" in show(item, DETAIL, terminal=True, color=True)


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


def test_a_list_of_which_only_the_number_is_shown() -> None:
    schema = SCHEMAS["rdctl.oio.content/1"]
    item = EXAMPLES[schema.name]["items"][0]
    rows = [item, {**item, "chunks": []}]
    shown = show(Listing(rows, vertical=True, counted=("chunks",)), schema)
    count = len(item["chunks"])
    assert [line for line in shown.splitlines() if line.startswith("Chunks")] == [
        f"Chunks        {count} (use --chunks)",
        "Chunks        -",
    ]
    whole = show(Listing(rows[:1], vertical=True), schema)
    assert "Chunks\n  POS  SIZE" in whole
    listed = show(Listing(rows, vertical=True, counted=("chunks",)), schema, columns=["chunks"])
    assert listed.startswith("Chunks\n  POS")
    counted = Listing(rows, vertical=True, counted=("chunks",))
    assert f"{count} (use --chunks)" in show(counted, schema, table_style="github")
