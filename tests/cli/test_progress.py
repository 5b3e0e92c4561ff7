"""The bar of transfers: which file it names, at every width, and where it is not drawn."""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path

import pytest

from rdctl.cli.progress import Bar
from rdctl.core.environment import Environment, Messages, Stream
from rdctl.output.layout import width
from tests.conftest import Program, Ran

BAR = "━"
LONG = "a/the-name-of-a-file-that-is-much-too-long-for-a-terminal-of-eighty-columns ü人[b].txt"
NAMES = ["a/b.txt", LONG, "c.txt"]


def frames(drawn: str) -> list[str]:
    """What was drawn, one after the other, without styles."""
    plain = re.sub(r"\x1b\[(\?25[lh]|[0-9;]*[mAK])", "", drawn)
    return [frame.rstrip() for frame in re.split(r"[\r\n]", plain)]


@pytest.fixture
def source(rdctl: Program) -> Path:
    for name in NAMES:
        path = rdctl.home / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    return rdctl.home / "source"


@pytest.fixture
def transfer(rdctl: Program, source: Path) -> Program:
    """One file after the other, so slowly that a bar is drawn at once."""
    ticks = itertools.count()
    rdctl.clock = lambda: float(next(ticks))
    return rdctl


def put(rdctl: Program, *words: str, columns: int = 80, tty: bool = True) -> Ran:
    argv = ("-c", "sandbox", "oio", "content", "put", "docs", "--autocreate", "--parallel", "1")
    ran = rdctl(*argv, *words, tty=tty, width=columns)
    assert ran.code == 0, ran.err
    return ran


@pytest.mark.parametrize(
    ("columns", "shown", "bar"),
    [
        (40, " 1/2 a/the-n…lumns ü人[b].txt", 0),
        (80, " 1/2 a/the-name-of-…of-eighty-columns ü人[b].txt", 12),
        (200, f" 1/2 {LONG}", 40),
    ],
)
def test_the_file_and_its_number(
    transfer: Program, source: Path, columns: int, shown: str, bar: int
) -> None:
    ran = put(
        transfer, str(source / LONG), str(source / "c.txt"), "--prefix", "a/", columns=columns
    )
    drawn = frames(ran.err)
    assert drawn[0].endswith(shown)
    assert len(re.findall("[━╸╺]", drawn[0])) == bar
    assert " KiB" in drawn[0] or " bytes" in drawn[0]
    assert all(width(frame) <= columns for frame in drawn)


def test_every_direction(transfer: Program, source: Path) -> None:
    put(transfer, "--recursive", str(source))
    below = ("-c", "sandbox", "oio", "content", "get", "docs", "--parallel", "1")
    for words in (
        ["--recursive", "--to", str(transfer.home / "target")],
        ["a/b.txt", "c.txt", "--to", "-"],
    ):
        ran = transfer(*below, *words, tty=True)
        assert ran.code == 0
        count = 3 if "--recursive" in words else 2
        assert f" 1/{count} a/b.txt" in frames(ran.err)[0]


@pytest.mark.parametrize("columns", [10, 20, 39])
@pytest.mark.parametrize("unit", ["bytes", "objects"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_narrow_terminal_has_one_line(columns: int, unit: str, count: int) -> None:
    err = io.BytesIO()
    bar = bar_on(err, columns)
    bar.begin(1_000_000_000, unit)
    with bar.file(1, count, "some/long/name"):
        bar.advance(123_456_789)
        bar.end()
    drawn = err.getvalue().decode()
    # Nothing but the end of the bar moves down.
    assert drawn.count("\n") == 1
    assert "1" in drawn
    assert all(width(frame) <= columns for frame in frames(drawn))


def test_a_single_file_needs_no_name(transfer: Program, source: Path) -> None:
    (first, *_) = frames(put(transfer, str(source / "c.txt")).err)
    assert BAR in first
    assert "c.txt" not in first
    assert "1/1" not in first


def test_nothing_in_a_pipe(transfer: Program, source: Path) -> None:
    assert put(transfer, "--recursive", str(source), tty=False).err == "[sandbox]\n"


def bar_on(err: io.BytesIO, columns: int = 80) -> Bar:
    """A bar on a terminal whose clock ticks each time that it is read."""
    ticks = itertools.count()
    environment = Environment(
        stdin=io.BytesIO(),
        stdout=Stream(io.BytesIO(), tty=True),
        stderr=Messages(err, tty=True),
        environ={},
        clock=lambda: float(next(ticks)),
        size=lambda: (columns, 24),
    )
    return Bar(environment, color=False)


def test_of_several_at_a_time_the_first_that_is_not_done() -> None:
    def shown(*running: int) -> str:
        """While three were begun, and only these are not done."""
        err = io.BytesIO()
        bar = bar_on(err)
        bar.begin(3, "bytes")
        files = {number: bar.file(number, 3, f"file{number}") for number in (1, 2, 3)}
        for file in files.values():
            file.__enter__()
        for number in files.keys() - set(running):
            files[number].__exit__(None, None, None)
        bar.advance()
        bar.end()
        return frames(err.getvalue().decode())[0]

    assert shown(1, 2, 3).endswith(" 1/3 file1")
    assert shown(2, 3).endswith(" 2/3 file2")
    assert shown(1, 3).endswith(" 1/3 file1")
    assert shown(3).endswith(" 3/3 file3")
    assert "file" not in shown()


def test_a_pause_keeps_the_count() -> None:
    err = io.BytesIO()
    bar = bar_on(err)
    bar.begin(3, "objects")
    bar.advance()
    bar.pause()
    paused = len(err.getvalue())
    # Its last line is erased.
    assert err.getvalue().endswith(b"\x1b[2K")
    bar.pause()
    assert len(err.getvalue()) == paused
    bar.advance()
    bar.end()
    assert "2/3 objects" in frames(err.getvalue()[paused:].decode())[0]


def test_a_check_shows_its_progress_also_between_rows(transfer: Program) -> None:
    ran = transfer("-c", "sandbox", "oio", "content", "check", "photos", tty=True)
    assert ran.code == 0
    assert any("1/5 objects" in frame for frame in frames(ran.err))
    assert ran.err.endswith("No findings.\nchecked 5 objects, 15 chunks (733 B)\n")


def test_a_warning_has_a_line_of_its_own(transfer: Program) -> None:
    located = transfer("-c", "sandbox", "oio", "content", "locate", "photos", "index.txt", "--json")
    assert transfer("sandbox", "stop", located.json["items"][0]["service"]).code == 0
    repair = ("-c", "sandbox", "oio", "content", "repair", "photos", "--include-unreachable")
    ran = transfer(*repair, tty=True)
    assert ran.code == 0, ran.err
    warned = [frame for frame in frames(ran.err) if "rdctl: warning: " in frame]
    assert warned
    assert any(BAR in frame for frame in frames(ran.err))
    assert all(frame.startswith("rdctl: warning: ") for frame in warned)
