"""content ranges: each range, listed, gives its objects, and all of them together the container."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from rdctl.oio.model import Entry
from rdctl.oio.sync.ranges import Range, ranges
from tests.cli.oio.cases import ALIAS, HEADER
from tests.cli.oio.conftest import Oio
from tests.cli.oio.test_names import NAMES as ODD


def listed(oio: Oio, row: dict[str, Any], *more: str) -> list[str]:
    """The names of a range; an end that is null is given as a shell gives an empty word."""
    ends = ["--marker", row["marker"] or "", "--end-marker", row["end_marker"] or ""]
    items = oio.ok("content", "list", "photos", *ends, *more, "--json").json["items"]
    return [item["name"] for item in items]


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 6, 10_000])
def test_the_ranges_are_the_container(oio: Oio, shards: int) -> None:
    whole = oio.ok("content", "list", "photos", "--json").json["items"]
    rows = oio.ok("content", "ranges", "photos", "--shards", str(shards), "--json").json["items"]
    each = [listed(oio, row) for row in rows]
    assert [name for names in each for name in names] == [item["name"] for item in whole]
    assert [row["objects"] for row in rows] == list(map(len, each))
    assert sum(row["bytes"] for row in rows) == sum(item["size"] for item in whole)
    assert len(rows) == min(shards, len(whole))
    assert [row["shard"] for row in rows] == list(range(1, len(rows) + 1))


def test_below_a_prefix(oio: Oio) -> None:
    words = ("content", "ranges", "photos", "--shards", "2", "--prefix", "sea/")
    rows = oio.ok(*words, "--json").json["items"]
    assert [listed(oio, row, "--prefix", "sea/") for row in rows] == [
        ["sea/harbour.svg"],
        ["sea/storm.svg"],
    ]


def test_an_empty_container_is_one_range(oio: Oio) -> None:
    oio.ok("container", "create", "new")
    rows = oio.ok("content", "ranges", "new", "--shards", "4", "--json").json["items"]
    assert rows == [Range(1, None, None, 0, 0)._asdict()]


def test_a_missing_container(oio: Oio) -> None:
    assert oio("content", "ranges", "nope", "--shards", "4").code == 3


@pytest.mark.parametrize("number", ["0", "-1", "10001", "many"])
def test_the_number_is_checked(oio: Oio, number: str) -> None:
    assert oio("content", "ranges", "photos", "--shards", number).code == 2


def test_as_words_for_a_shell(oio: Oio) -> None:
    words = ("--shards", "2", "-o", "tsv", "--no-headers", "--columns", "marker,end_marker")
    assert oio.ok("content", "ranges", "photos", *words).out == ("\tsea/harbour.svg\nindex.txt\t\n")


def entries(names: list[str], size: int | None = 1) -> list[Entry]:
    return [Entry(name=name, kind="object", size=size) for name in names]


def test_of_many_objects_as_many_each() -> None:
    names = [f"{number:06}" for number in range(100_000)]
    for shards in (2, 7, 64):
        found = ranges(entries(names), shards)
        assert len(found) == shards
        fair = len(names) / shards
        assert all(0.95 * fair <= one.objects <= 1.05 * fair for one in found)
        assert sum(one.objects for one in found) == len(names)
        for one, following in itertools.pairwise(found):
            assert one.end_marker == names[names.index(str(following.marker)) + 1]


def test_no_range_ends_at_a_name_that_a_shell_would_change() -> None:
    odd = ["a\tb", "c\nd", "e\\f", "g\udcff", "h\u2028"]
    names = sorted([*odd, *(f"{name}{number}" for name in odd for number in range(50))])
    assert ranges(entries(names), 5) == [Range(1, None, None, len(names), len(names))]
    mixed = sorted([*names, "b", "c", "f", "f2"])
    found = ranges(entries(mixed), 50)
    assert [(one.marker, one.end_marker) for one in found] == [
        (None, "c"),
        ("b", "f2"),
        ("f", None),
    ]
    assert sum(one.objects for one in found) == len(mixed)


def test_any_names_are_covered_once() -> None:
    pick = random.Random(20)
    for _ in range(200):
        names = sorted({"".join(pick.choices("ab\n", k=pick.randint(1, 6))) for _ in range(90)})
        found = ranges(entries(names), pick.randint(1, 9))
        seen = []
        for one in found:
            inside = [
                name
                for name in names
                if (one.marker is None or name > one.marker)
                and (one.end_marker is None or name < one.end_marker)
            ]
            assert len(inside) == one.objects == one.bytes
            seen += inside
        assert seen == names


def test_a_size_that_cannot_be_read_makes_the_bytes_unknown() -> None:
    two = [*entries(["a"]), *entries(["b"], None), *entries(["c"])]
    assert [one.bytes for one in ranges(two, 3)] == [1, None, 1]
    assert [one.bytes for one in ranges(two, 1)] == [None]


def test_odd_names_in_a_container(oio: Oio) -> None:
    oio.ok("container", "create", "odd")
    header = {**HEADER, "id": "AA"}
    beans = [{**ALIAS, "name": name, "header": "AA"} for name in ODD]
    oio.ok("container", "raw-insert", "odd", "--body", "-", "--yes", body=[header, *beans])
    rows = oio.ok("content", "ranges", "odd", "--shards", "50", "-o", "tsv", "--no-headers").out
    found = []
    for line in rows.splitlines():
        _, marker, end, count, _ = line.split("\t")
        ends = ("--marker", marker, "--end-marker", end)
        names = oio.ok("content", "list", "odd", *ends, "-0").stdout.split(b"\0")[:-1]
        assert len(names) == int(count)
        found += names
    assert found == sorted(name.encode() for name in ODD)
    assert 10 < len(rows.splitlines()) < len(ODD)
