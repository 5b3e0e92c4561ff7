"""More volumes than the kernel's own list shows: it is cut after one page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB, PAGE

COUNT = 300


@pytest.fixture
def many() -> Iterator[list[str]]:
    """300 volumes, made while udev waits: it has nothing to do for them."""
    machine.tool("udevadm", "control", "--stop-exec-queue")
    try:
        yield [machine.attach(number, 1) for number in range(COUNT)]
    finally:
        machine.clean()
        machine.tool("udevadm", "control", "--start-exec-queue")


def test_all_are_listed(rdctl: Program, many: list[str]) -> None:
    shown = Path("/sys/kernel/rapiddisk/devices").read_text()
    assert many[-1] not in shown, "the kernel's list is not cut any more"
    machine.fill(f"/dev/{many[0]}", PAGE)
    machine.fill(f"/dev/{many[-1]}", PAGE)
    begin = time.monotonic()
    rows = rdctl.items("list")
    took = time.monotonic() - begin
    assert [row["device"] for row in rows] == many
    assert {row["size"] for row in rows} == {MIB}
    usage = {row["device"]: row["usage"] for row in rows}
    assert (usage[many[0]], usage[many[1]], usage[many[-1]]) == (PAGE, 0, PAGE)
    assert took < 5, "a second even under emulation"
    # Without root the list's own part is all that can be known of usage, never a wrong number.
    ran = rdctl.as_nobody("list")
    assert ran.code == 0, ran
    others = ran.json["items"]
    assert [row["device"] for row in others] == many
    assert others[0]["usage"] == PAGE
    assert others[-1]["usage"] is None
    for row, other in zip(rows, others, strict=True):
        assert other["usage"] in (row["usage"], None)
        hidden = {"usage": None, "unwritten": None}
        assert {**other, **hidden} == {**row, **hidden}


def test_the_last_one_is_as_good_as_the_first(rdctl: Program, many: list[str]) -> None:
    last = many[-1]
    assert rdctl.ok("show", last)["item"]["size"] == MIB
    rdctl.ok("resize", last, "2M")
    assert machine.volume(last).size == 2 * MIB
    machine.fill(f"/dev/{last}", PAGE)
    rdctl.ok("flush", last)
    rdctl.ok("lock", last)
    rdctl.ok("unlock", last)
    rdctl.ok("remove", last)
    assert last not in machine.names()
    assert rdctl.ok("create", "1M")["results"][0]["target"] == last
    machine.export("nqn.test:last", f"/dev/{last}")
    rdctl.refused("remove", last, code="in-use")
