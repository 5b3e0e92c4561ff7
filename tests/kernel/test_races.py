"""Several at once: among themselves, and against tools that know no lock."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB
from tests.kernel.processes import Child


def test_eight_processes_create_volumes(rdctl: Program) -> None:
    """Every name reported is there, and none is reported twice."""
    children = [rdctl.start("create", "1M", "--count", "3") for _ in range(8)]
    reported = []
    for child in children:
        ran = child.result()
        assert ran.code == 0, ran
        reported += [result["target"] for result in ran.json["results"]]
    assert sorted(reported) == sorted(machine.names())
    assert len(set(reported)) == 24


def test_against_a_tool_that_knows_no_lock(rdctl: Program) -> None:
    """Somebody attaches at the lowest free number all the time: a number lost is taken again, and
    what the other one made is never reported as ours."""

    def other() -> list[str]:
        made: list[str] = []
        while len(made) < 30:
            taken = machine.names()
            number = next(n for n in range(99) if f"rd{n}" not in taken)
            try:
                made.append(machine.attach(number, 2))
            except OSError:
                continue
        return made

    rival = Child(other)
    children = [rdctl.start("create", "1M", "--count", "10") for _ in range(2)]
    runs = [child.result() for child in children]
    theirs = rival.result()
    ours = []
    for ran in runs:
        assert ran.code == 0, ran
        ours += [result["target"] for result in ran.json["results"]]
    assert not set(ours) & set(theirs)
    assert set(ours) | set(theirs) == set(machine.names())
    assert {machine.volume(name).size for name in ours} == {MIB}
    assert {machine.volume(name).size for name in theirs} == {2 * MIB}


def test_one_number_for_eight(rdctl: Program) -> None:
    children = [rdctl.start("create", "1M", "--number", "5") for _ in range(8)]
    runs = [child.result() for child in children]
    assert [run.code for run in runs] == [0] * 8
    # One makes it, the others find it there.
    assert sorted(run.json["results"][0]["changed"] for run in runs) == [False] * 7 + [True]
    assert machine.names() == ["rd5"]


def test_eight_remove_one(rdctl: Program) -> None:
    machine.attach(0)
    machine.attach(1)
    children = [rdctl.start("remove", "rd0") for _ in range(8)]
    codes = sorted(child.result().code for child in children)
    assert codes == [0] + [3] * 7
    assert machine.names() == ["rd1"]


def test_two_caches_for_one_disk(rdctl: Program, disk: str) -> None:
    """One source mapped twice corrupts its data; the kernel does not mind."""
    for number in range(4):
        machine.attach(number)
    policies = ("write-through", "write-around", "writeback", "write-through")
    children = [
        rdctl.start("cache", "create", f"rd{number}", disk, "--policy", policy)
        for number, policy in enumerate(policies)
    ]
    codes = sorted(child.result().code for child in children)
    assert codes == [0, 4, 4, 4]
    assert len(machine.mappings()) == 1


def test_a_mount_between_the_look_and_the_act(rdctl: Program, tmp_path: Path) -> None:
    """Somebody mounts and unmounts all the time: a volume goes only while it is not mounted, and a
    mounted one never goes."""
    machine.attach(0)
    machine.tool("mke2fs", "-q", "-F", "/dev/rd0")

    def mounting() -> str:
        """How it ended: with the volume gone between two mounts, or under one."""
        while True:
            try:
                machine.tool("mount", "/dev/rd0", tmp_path)
            except AssertionError:
                if "rd0" not in machine.names():
                    return "between"
                continue
            gone = any("rd0" not in machine.names() for _ in range(50))
            machine.tool("umount", tmp_path)
            if gone:
                return "under"

    other = Child(mounting)
    codes = set()
    while "rd0" in machine.names():
        codes.add(rdctl("remove", "rd0").code)
    assert other.result() == "between"
    assert codes <= {0, 4}


def test_a_new_volume_at_which_udev_still_looks(rdctl: Program) -> None:
    """udev opens every new device for an instant, and an erase needs to be the only opener."""
    for number in range(10):
        rdctl.ok("create", "1M")
        machine.fill(f"/dev/rd{number}", machine.PAGE)
        rdctl.ok("flush", f"rd{number}")
        assert machine.volume(f"rd{number}").usage == 0
    rdctl.ok("remove", *machine.names())


RULE = Path("/run/udev/rules.d/99-slow.rules")
# Such as lvm, which looks for itself wherever udev is told of a block device.
SLOW = """SUBSYSTEM=="block", KERNEL=="rd*|dm-*", PROGRAM="/bin/sh -c 'sleep 0.6 <$devnode'"\n"""


@pytest.fixture
def slow_udev() -> Iterator[None]:
    """udev runs a program that has each of its devices open for a while."""
    RULE.parent.mkdir(parents=True, exist_ok=True)
    RULE.write_text(SLOW)
    machine.tool("udevadm", "control", "--reload")
    yield
    RULE.unlink()
    machine.tool("udevadm", "control", "--reload")
    machine.tool("udevadm", "settle")


def looked_at(device: str) -> None:
    """udev looks at it, and the program has it open by now."""
    real = os.path.realpath(device)
    machine.tool("udevadm", "trigger", f"/sys/class/block/{os.path.basename(real)}")
    until = time.monotonic() + 30
    while True:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                opened = {os.path.realpath(path) for path in (process / "fd").iterdir()}
                if real in opened and (process / "comm").read_text() == "sleep\n":
                    return
        assert time.monotonic() < until, "udev did not look"


@pytest.mark.usefixtures("slow_udev")
def test_a_program_of_udev_has_it_open(rdctl: Program, disk: str) -> None:
    rdctl.ok("create", "4M")
    machine.fill("/dev/rd0", machine.PAGE)
    looked_at("/dev/rd0")
    rdctl.ok("flush", "rd0")
    rdctl.ok("cache", "create", "rd0", disk, "--policy", "writeback")
    machine.fill(f"/dev/mapper/rc-wb_{disk}", machine.PAGE)
    looked_at(f"/dev/mapper/rc-wb_{disk}")
    rdctl.ok("cache", "remove", f"rc-wb_{disk}")
    looked_at("/dev/rd0")
    rdctl.ok("remove", "rd0")


def test_exports_at_the_same_time(rdctl: Program) -> None:
    for number in range(4):
        machine.attach(number)
    machine.port(1)
    children = [
        rdctl.start("nvmet", "export", f"rd{number}", "--port", "1", "--any-host")
        for number in range(4)
    ]
    for child in children:
        ran = child.result()
        assert ran.code == 0, ran
    assert len(machine.nvmet()["links"]) == 4


def test_a_lock_held_by_the_dead_stops_nobody(rdctl: Program) -> None:
    def create_until_killed() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        while True:
            rdctl("create", "1M")

    assert Child(create_until_killed).result() is None
    rdctl.ok("create", "1M")
