"""Tables for people, in a pipe and on a terminal."""

from __future__ import annotations

import re
import shlex

import pytest

from rdctl.core.results import Listing
from rdctl.output.formats.table import LEAST_WIDTH, MOST_DRAWN
from rdctl.output.schemas import SCHEMAS
from tests.output.showing import (
    EXAMPLES,
    NAMES,
    SHOWN,
    VOLUME,
    result_of,
    show,
    visible,
    volume,
)

LISTINGS = [name for name in SHOWN if "items" in EXAMPLES[name]]


every_listing = pytest.mark.parametrize("name", LISTINGS)


TABLE = """\
DEVICE        SIZE  USAGE  LOCKED  USED BY
rd0       67108864   4096  no      rc-wt_sdb, export lab-rd0
rd1     1073741824      0  yes     -
rd2              -      -  -       -
"""


# Sizes are for people, and the columns as wide as these make them.
TERMINAL = """\
DEVICE      SIZE    USAGE  LOCKED  USED BY
rd0     64.0 MiB  4.0 KiB  no      rc-wt_sdb, export lab-rd0
rd1      1.0 GiB      0 B  yes     -
rd2            -        -  -       -
"""


def test_a_table_in_a_pipe_is_exact() -> None:
    assert show(result_of(EXAMPLES[VOLUME.name])) == TABLE


def test_a_table_on_a_terminal_is_for_people() -> None:
    assert show(result_of(EXAMPLES[VOLUME.name]), terminal=True) == TERMINAL


@pytest.mark.parametrize(
    ("units", "size", "usage"),
    [
        ("human", "64.0 MiB", "4.0 KiB"),
        ("bytes", "67108864", "4096"),
        ("K", "65536.00 KiB", "4.00 KiB"),
        ("M", "64.00 MiB", "0.00 MiB"),
        ("G", "0.06 GiB", "0.00 GiB"),
    ],
)
def test_sizes_in_requested_units(units: str, size: str, usage: str) -> None:
    """In a table, also in a pipe, in csv and in tsv; json has whole numbers always."""
    listing = EXAMPLES[VOLUME.name]
    for terminal in (False, True):
        row = show(result_of(listing), units=units, terminal=terminal).splitlines()[1]
        assert row.split()[:-3] == ["rd0", *size.split(), *usage.split(), "no"]
    for format, separator in (("csv", ","), ("tsv", "\t")):
        line = show(result_of(listing), format=format, units=units).splitlines()[1]
        assert line.split(separator)[:3] == ["rd0", size, usage]
        empty = show(result_of(listing), format=format, units=units).splitlines()[3]
        assert empty.split(separator)[:3] == ["rd2", "", ""]
    for format in ("json", "ndjson", "yaml", "name"):
        assert show(result_of(listing), format=format, units=units) == show(
            result_of(listing), format=format
        )


@every_listing
@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
def test_a_table_keeps_to_the_terminal_and_loses_nothing(name: str, width: int) -> None:
    shown, whole = (
        show(result_of(EXAMPLES[name]), SCHEMAS[name], terminal=True, width=columns)
        for columns in (width, 1000)
    )
    columns = [column for column in SCHEMAS[name].columns if column.shown]
    # Where there is no room for all columns, lines are left to be broken by the terminal; so is a
    # single word of a command.
    if width >= LEAST_WIDTH * len(columns):
        lines = [line for line in shown.splitlines() if " " in line.strip().removesuffix(" \\")]
        assert max(map(len, lines), default=0) <= width
    shown, whole = (text.replace(" \\\n", "\n") for text in (shown, whole))
    assert sorted(visible(shown)) == sorted(visible(whole))


FINDINGS = SCHEMAS["rdctl.oio.finding/1"]
PASTED = "rdctl -c lab oio content repair --deep -- 'été à la mer' 'it'\"'\"'s a  long name.tar.gz'"


@pytest.mark.parametrize("width", [50, 60, 80, 100, 200])
@pytest.mark.parametrize("color", [False, True])
def test_a_command_on_a_narrow_terminal_can_be_pasted(width: int, color: bool) -> None:
    """Its lines are one command for a shell, and show nothing of other columns."""
    (row,) = EXAMPLES[FINDINGS.name]["items"][:1]
    rows = [{**row, "object": "a/name/of/several/lines" * 3, "mend": PASTED}, row]
    shown = show(Listing(rows), FINDINGS, terminal=True, width=width, color=color)
    shown = re.sub("\x1b\\[[0-9;]*m", "", shown)
    assert max(map(len, shown.splitlines())) <= width
    first, second = shown.replace("\\\n", "").split("$ ")[1:]  # as a shell reads it
    end = first.index("name.tar.gz'") + len("name.tar.gz'")
    assert shlex.split(first[:end]) == shlex.split(PASTED)
    assert shlex.split(second) == shlex.split(row["mend"])


def test_a_table_of_many_rows_is_drawn_by_the_plain_writer() -> None:
    """Which is quick, keeps to the widths of the first page, and still writes sizes for people."""
    few, many = (
        show(
            Listing(volume(f"rd{number}") for number in range(count)), terminal=True, color=True
        ).splitlines()
        for count in (MOST_DRAWN, MOST_DRAWN + 1)
    )
    assert len(few) == MOST_DRAWN + 1
    assert "\x1b[1m" in few[0]
    assert many[0].split() == ["DEVICE", "SIZE", "USAGE", "LOCKED", "USED", "BY"]
    assert many[1] == "rd0     64.0 MiB  4.0 KiB  no      -"
    assert len(many) == MOST_DRAWN + 2


def test_a_wider_name_after_the_first_page_is_not_cut() -> None:
    rows = [*(volume(f"rd{n}") for n in range(MOST_DRAWN + 1)), volume("rd1234567")]
    assert show(Listing(rows)).splitlines()[-1].startswith("rd1234567  67108864 ")


def test_wide_characters_are_aligned() -> None:
    listing = Listing(
        [{"name": name, "next": "|"} for name in ("ab", "日本", "e\u0301é", "👩\u200d👧", "abcdef")]
    )
    schema = NAMES._replace(columns=(*NAMES.columns, NAMES.columns[0]._replace(key="next")))
    assert show(listing, schema).splitlines() == [
        "NAME    NAME",
        "ab      |",
        "日本    |",
        "e\u0301é      |",
        "👩\u200d👧    |",
        "abcdef  |",
    ]
