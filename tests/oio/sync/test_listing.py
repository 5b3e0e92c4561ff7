"""Objects as they are compared: what is requested, and what is found."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.acts import PAGE
from rdctl.oio.model import Place
from rdctl.oio.sync.listing import FEW, all_below, all_named
from rdctl.oio.sync.model import MTIME, Remote
from rdctl.workers import Workers
from tests.oio.wire import Answer, Answering, Sent, answer, proxy_to, refusal

HOLDER = Place("acct", "docs")
LAST = {"x-oio-list-truncated": "false"}


class Lister:
    """A proxy with one container; the page of number `broken` fails."""

    def __init__(self, names: list[str], broken: int | None = None) -> None:
        self.names = sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))
        self.broken = broken
        self.asked: list[dict[str, str]] = []

    def __call__(self, sent: Sent) -> Answer:
        query = dict(parse_qsl(sent.target.partition("?")[2], errors="surrogateescape"))
        self.asked.append(query)
        if len(self.asked) == self.broken:
            return refusal(500, "Disk on fire")
        marker, prefix = (
            query.get(key, "").encode("utf-8", "surrogateescape") for key in ("marker", "prefix")
        )
        left = [
            name
            for name in self.names
            if (raw := name.encode("utf-8", "surrogateescape")) > marker and raw.startswith(prefix)
        ]
        most = int(query["max"])
        assert query["properties"].lower() in ("1", "true")
        headers = {"x-oio-list-truncated": str(len(left) > most).lower()}
        if len(left) > most:
            headers["x-oio-list-marker"] = quote(left[most - 1], errors="surrogateescape", safe="")
        page: list[dict[str, Any]] = [
            {"name": name, "size": 5, "hash": "AB", "mtime": 1_700_000_000_000_000, "version": 7}
            for name in left[:most]
        ]
        return answer({"objects": page, "prefixes": []}, headers=headers)


def found(lister: Lister, names: list[str]) -> list[str]:
    remotes = all_named(proxy_to(Answering(lister)), Workers(), HOLDER, names)
    assert all(remote.name == name for name, remote in remotes.items())
    return sorted(remotes)


def compared(**facts: Any) -> Remote:
    """The only object of a listing."""
    page = answer({"objects": [{"name": "a", **facts}], "prefixes": []}, headers=LAST)
    (remote,) = all_below(proxy_to(Answering([page])), HOLDER, None).remotes
    return remote


def test_a_row_is_what_is_compared() -> None:
    properties = {MTIME: "1.5", "color": "red"}
    row = {"size": 5, "hash": "AB", "version": 7, "content": "CD", "properties": properties}
    times = {"ctime": 1_700_000_000, "mtime": 1_700_000_000_999_999}
    remote = compared(**row, **times)
    assert (remote.modified, remote.mtime_ns) == (1_700_000_000, 1_500_000_000)
    assert (remote.size, remote.hash, remote.version, remote.content_id) == (5, "AB", 7, "CD")
    assert compared(ctime="1700000001").modified == 1_700_000_001
    assert compared(mtime=-1).modified == -1
    assert compared() == Remote("a", None, None, None, None, None, None)


@pytest.mark.parametrize("odd", ["yesterday", 5, None, ["1"], "1.5\n"])
def test_a_time_that_cannot_be_read_is_no_time(odd: Any) -> None:
    remote = compared(size=5, hash="AB", properties={MTIME: odd})
    assert (remote.mtime_ns, remote.size, remote.hash) == (None, 5, "AB")


@pytest.mark.parametrize("count", [0, 1, FEW])
def test_few_names_are_looked_up_one_by_one(count: int) -> None:
    lister = Lister(["n0", "n1x", *(f"n{number}" for number in range(2, 3000))])
    names = [f"n{number}" for number in range(count)]
    assert found(lister, names) == [name for name in names if name != "n1"]
    assert [asked["max"] for asked in lister.asked] == ["1"] * count


def test_many_names_take_the_pages_of_one_listing() -> None:
    names = [f"d/{number:05}" for number in range(3 * PAGE)]
    lister = Lister([*names, "a", "z"])
    assert found(lister, names) == names
    assert len(lister.asked) == 3
    assert {asked["prefix"] for asked in lister.asked} == {"d/0"}


def test_what_is_between_far_names_is_not_listed() -> None:
    """A few files do not take the listing of a large container."""
    lister = Lister([f"{number:06}" for number in range(40_000)])
    names = [f"{number:06}" for number in range(0, 40_000, 4000)]
    assert found(lister, [*names, "000001x", "9x"]) == names
    assert len(lister.asked) <= len(names) + 2


NAMES = [
    *("a", "a b", "a\nb", "a/b", "a//b", "caf\udce9", "\udcff", "日本", "😀", "-x", "%41", "a+b"),
    *("\U0010ffff", "\ue000", "é", "e\u0301"),
]


def test_names_of_any_bytes_are_found() -> None:
    lister = Lister(NAMES + [f"x{number}" for number in range(1500)])
    assert found(lister, [*NAMES, "missing", "a/", "caf"]) == sorted(NAMES)
    for name in NAMES:
        assert found(lister, [name]) == [name]


def test_a_whole_listing_has_every_object() -> None:
    names = [f"{number:05}" for number in range(2 * PAGE + 5)]
    listed = all_below(proxy_to(Answering(Lister([*names, "x"]))), HOLDER, "0")
    assert [remote.name for remote in listed.remotes] == names
    assert listed.complete


def test_a_listing_that_breaks_off_has_what_was_listed_and_is_not_complete() -> None:
    lister = Lister([f"{number:05}" for number in range(3 * PAGE)], broken=3)
    listed = all_below(proxy_to(Answering(lister)), HOLDER, None)
    assert len(listed.remotes) == 2 * PAGE
    assert listed.fault is not None
    assert "Disk on fire" in listed.fault.message
    assert not listed.complete


def test_a_listing_that_cannot_begin_is_an_error() -> None:
    with pytest.raises(RdctlError) as raised:
        all_below(proxy_to(Answering(Lister(["a"], broken=1))), HOLDER, None)
    assert raised.value.code is not Code.INTERNAL


def test_what_cannot_be_found_out_is_not_taken_for_missing() -> None:
    """Names that are not in a listing that broke off may exist."""
    lister = Lister([f"{number:05}" for number in range(3 * PAGE)], broken=2)
    with pytest.raises(RdctlError):
        found(lister, lister.names)
