"""Stripes, and the process that computes their parity."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from rdctl.oio.erasure.codec import Codec
from rdctl.oio.erasure.fragments import SEGMENT
from rdctl.oio.objects.coding import BIG, Coding, Lane
from rdctl.oio.objects.layout import Scheme
from tests.cli.oio.transfers import bytes_of

SIZES = [1, 7, 12, 1000, SEGMENT - 1, SEGMENT]
SCHEMES = [(6, 3), (4, 2), (2, 1), (14, 4)]


def fragments(lane: Lane, data: bytes, k: int, m: int) -> list[bytes]:
    at = 0
    for place in lane.next(len(data)):
        place[:] = data[at : at + len(place)]
        at += len(place)
    assert at == len(data)
    lane.begin()
    lane.end(lambda: None)
    return [bytes(lane.stripe.fragment(index)) for index in range(k + m)]


def helpers(parent: int | None = None) -> list[int]:
    """The processes that this one, or another, has started for it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, its_parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(its_parent) == (parent or os.getpid()) and state != "Z":
                if b"erasure.stripes" in command_line(path):
                    found.append(int(path.name))
    return found


def command_line(process: Path) -> bytes:
    """That of a new process is empty for a moment, after it has begun."""
    until = time.monotonic() + 30
    while not (line := (process / "cmdline").read_bytes()) and time.monotonic() < until:
        time.sleep(0.001)
    return line


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    yield
    assert helpers() == []


@pytest.mark.parametrize("size", [BIG - 1, BIG])
@pytest.mark.parametrize(("k", "m"), SCHEMES)
def test_fragments_are_those_of_the_codec(k: int, m: int, size: int, two_processors: None) -> None:
    """Also those of a short segment after a long one, whose bytes are still in the memory."""
    with closing(Coding(Scheme(k + m, k), size, 2)) as coding:
        assert len(helpers()) == (size == BIG)
        with coding.lane() as one, coding.lane() as other:
            for length in [*SIZES, *reversed(SIZES)]:
                for seed, lane in enumerate((one, other, one)):
                    data = bytes_of(length, seed)
                    assert fragments(lane, data, k, m) == Codec(k, m).encode(data)


def test_a_helper_that_is_killed_is_replaced(two_processors: None) -> None:
    data = bytes_of(5000)
    coding = Coding(Scheme(9, 6), BIG, 2)
    with closing(coding), coding.lane() as one, coding.lane() as other:
        assert fragments(one, data, 6, 3) == Codec(6, 3).encode(data)
        os.kill(helpers()[0], signal.SIGKILL)
        for lane in (one, other, one):
            assert fragments(lane, data, 6, 3) == Codec(6, 3).encode(data)


def test_a_helper_that_hangs_can_be_given_up(two_processors: None) -> None:
    class Late(Exception):
        pass

    def late() -> None:
        raise Late

    with closing(Coding(Scheme(9, 6), BIG, 1)) as coding:
        (process,) = helpers()
        os.kill(process, signal.SIGSTOP)
        with coding.lane() as lane:
            lane.next(100)
            lane.begin()
            with pytest.raises(Late):
                lane.end(late)
            data = bytes_of(5000)
            assert fragments(lane, data, 6, 3) == Codec(6, 3).encode(data)
    assert not Path(f"/proc/{process}").exists()


def test_without_another_process_it_is_encoded_here(
    monkeypatch: pytest.MonkeyPatch, two_processors: None
) -> None:
    def refuse(*_: object) -> int:
        raise OSError("no memory")

    monkeypatch.setattr(os, "memfd_create", refuse)
    for _ in range(3):
        with closing(Coding(Scheme(9, 6), BIG, 1)) as coding, coding.lane() as lane:
            assert helpers() == []
            assert fragments(lane, b"data", 6, 3) == Codec(6, 3).encode(b"data")


def test_one_processor_has_no_helper(monkeypatch: pytest.MonkeyPatch, two_processors: None) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    with closing(Coding(Scheme(9, 6), BIG, 1)):
        assert helpers() == []


def test_descriptors_are_closed(two_processors: None) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        Coding(Scheme(9, 6), BIG, 4).close()
    assert len(os.listdir("/proc/self/fd")) == before
