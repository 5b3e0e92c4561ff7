"""The journal of a transfer, as a file: what it refuses, and what it survives."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effects
from rdctl.oio.sync.journal import FORMAT, Given, Item, Journal, opened, several
from rdctl.oio.sync.model import Local

TRANSFER = {"action": "put", "namespace": "NS", "container": "docs", "source": ["/home/a"]}
ITEMS = [
    Item("a/1", 5, 1_700_000_000_123_456_789, "AB"),
    Item("odd \udcff\n\\ \U0001f600", 0, -1, None),
    Item("a/1", 6, 2, "CD"),
]


LATER = Item("c", 7, 7)


def door(**options: Any) -> Effects:
    return Effects(ask=lambda losses: None, **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.journal"


def written(path: Path, items: list[Item] = ITEMS) -> bytes:
    with opened(Given(str(path), False), door(), TRANSFER) as journal:
        assert not journal.resumed
        for item in items:
            journal.add(item)
    return path.read_bytes()


def resumed(path: Path) -> dict[str, Item | None]:
    with opened(Given(str(path), True), door(), TRANSFER) as journal:
        return {name: known(journal, name) for name in {item.name for item in ITEMS}}


def known(journal: Journal, name: str) -> Item | None:
    """What is finished, of any file that it may be."""
    of_name = [item for item in [*ITEMS, LATER] if item.name == name]
    locals = [Local(name, "", item.size, item.mtime_ns) for item in of_name]
    found = [journal.item(name, local) for local in locals]
    return next(filter(None, found), None)


def refused(path: Path, given: Given, transfer: dict[str, Any] = TRANSFER) -> RdctlError:
    before = path.read_bytes()
    with pytest.raises(RdctlError) as caught, opened(given, door(), transfer):
        raise AssertionError
    assert path.read_bytes() == before
    return caught.value


def test_what_is_finished_is_known_again(path: Path) -> None:
    lines = written(path).splitlines()
    assert len(lines) == 4
    assert json.loads(lines[0]) == {"journal": FORMAT, **TRANSFER}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert resumed(path) == {item.name: item for item in ITEMS[1:]}
    assert path.read_bytes().splitlines() == lines  # only read


def test_a_line_is_there_as_soon_as_its_item_is_finished(path: Path) -> None:
    with opened(Given(str(path), False), door(), TRANSFER) as journal:
        for number, item in enumerate(ITEMS, 2):
            journal.add(item)
            assert len(path.read_bytes().splitlines()) == number


@pytest.mark.parametrize("whole", [0, 1, 2, 3])
def test_a_line_that_is_cut_is_ignored(path: Path, whole: int) -> None:
    text = written(path, [ITEMS[0], ITEMS[1], Item("b", 1, 1)])
    lines = text.splitlines(keepends=True)
    cut = b"".join(lines[:whole]) + lines[whole][:-9]
    path.write_bytes(cut)
    with opened(Given(str(path), True), door(), TRANSFER) as journal:
        assert [bool(known(journal, item.name)) for item in ITEMS[:2]] == [whole > 1, whole > 2]
        journal.add(LATER)
    with opened(Given(str(path), True), door(), TRANSFER) as journal:
        assert known(journal, "c") == LATER
        assert [bool(known(journal, item.name)) for item in ITEMS[:2]] == [whole > 1, whole > 2]


@pytest.mark.parametrize("text", [b"", b'{"jour', b'{"journal": "rdctl.oio.transfer/1", "nam'])
def test_killed_before_the_first_line(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    for resume in (False, True):
        path.write_bytes(text)
        with opened(Given(str(path), resume), door(), TRANSFER) as journal:
            journal.add(ITEMS[0])
        assert resumed(path)["a/1"] == ITEMS[0]


def test_resume_without_a_journal_begins_one(path: Path) -> None:
    with opened(Given(str(path), True), door(), TRANSFER) as journal:
        journal.add(ITEMS[0])
    assert resumed(path)["a/1"] == ITEMS[0]


def test_a_journal_is_not_overwritten(path: Path) -> None:
    written(path)
    error = refused(path, Given(str(path), False))
    assert error.code is Code.EXISTS
    assert "--resume" in str(error.hint)


@pytest.mark.parametrize("key", [*TRANSFER, "policy"])
def test_another_transfer_is_refused(path: Path, key: str) -> None:
    written(path)
    other = {**TRANSFER, key: "other"}
    for resume in (False, True):
        error = refused(path, Given(str(path), resume), other)
        assert error.code is Code.CONFLICT
        assert f"{key} is " in error.message


@pytest.mark.parametrize(
    "text",
    [b"precious\n", b"[1]\n", b'{"name": "a"}\n', b'{"journal": "other/1"}\n', b"\0\xff", b"{" * 9],
)
def test_another_file_is_refused(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    for resume in (False, True):
        assert refused(path, Given(str(path), resume)).code is Code.CONFLICT


def test_lines_that_are_no_items_are_ignored(path: Path) -> None:
    written(path)
    with path.open("ab") as file:
        file.write(b'[]\n{"name": 3}\n{"name": "x", "size": true, "mtime_ns": 1}\n{"name": "y"}\n')
    assert resumed(path) == {item.name: item for item in ITEMS[1:]}


def test_two_processes_do_not_share_a_journal(path: Path) -> None:
    given = Given(str(path), True)
    with opened(given, door(), TRANSFER) as journal:
        journal.add(ITEMS[0])
        with pytest.raises(RdctlError) as caught, opened(given, door(), TRANSFER):
            pass
    assert caught.value.code is Code.IN_USE


def test_a_directory_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(RdctlError) as caught, opened(Given(str(tmp_path), True), door(), TRANSFER):
        pass
    assert str(tmp_path) in caught.value.message


def test_a_dry_run_writes_nothing(path: Path) -> None:
    dry = door(dry_run=True)
    with opened(Given(str(path), False), dry, TRANSFER) as journal:
        journal.add(ITEMS[0])
    assert not path.exists()
    assert dry.plan == [f"write {path}", f"write {path}"]
    text = written(path)
    with opened(Given(str(path), True), door(dry_run=True), TRANSFER) as journal:
        assert known(journal, "a/1") == ITEMS[2]
        journal.add(ITEMS[0])
    assert path.read_bytes() == text


def test_many_sources_are_named_by_their_hash() -> None:
    names = [f"{number}\udcff" for number in range(11)]
    assert several(names[:10]) == names[:10]
    assert several(names)["count"] == 11
    assert several(names) != several(names[::-1])


def test_a_file_that_changed_is_not_finished(path: Path) -> None:
    written(path, ITEMS[:1])
    with opened(Given(str(path), True), door(), TRANSFER) as journal:
        name, size, mtime_ns, _ = ITEMS[0]
        assert journal.resumed
        assert journal.item(name, Local(name, "", size, mtime_ns)) == ITEMS[0]
        assert journal.item(name, Local(name, "", size + 1, mtime_ns)) is None
        assert journal.item(name, Local(name, "", size, mtime_ns + 1)) is None
        assert journal.item(name, None) is None
        assert journal.item("b", Local("b", "", size, mtime_ns)) is None
