"""What the driver takes for granted of the kernel. Should one of these fail on another kernel or
module, the guards have to be thought over."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.machine import MIB


def claims(path: str) -> bool:
    """Whether an exclusive open succeeds."""
    try:
        with machine.opened(path, os.O_RDONLY | os.O_EXCL):
            return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False


def test_the_kernel_removes_a_mounted_volume(mounted: Callable[..., Path]) -> None:
    machine.attach(0)
    mounted("/dev/rd0")
    machine.mgmt("rapiddisk detach 0")
    assert machine.names() == []


def test_a_refused_erase_still_zeroes_the_counters(mounted: Callable[..., Path]) -> None:
    machine.attach(0)
    mounted("/dev/rd0")
    os.sync()
    assert machine.volume("rd0").high_water > 0
    with pytest.raises(OSError, match="busy"):
        machine.erase("rd0")
    assert machine.volume("rd0").high_water == 0


def test_an_exclusive_open_sees_mounts_swap_and_mappings(mounted: Callable[..., Path]) -> None:
    for number in range(3):
        machine.attach(number)
    assert claims("/dev/rd0")
    mounted("/dev/rd0")
    machine.tool("mkswap", "/dev/rd1")
    machine.tool("swapon", "/dev/rd1")
    machine.tool("dmsetup", "create", "linear", "--table", "0 8192 linear /dev/rd2 0")
    assert [claims(f"/dev/rd{number}") for number in range(3)] == [False, False, False]


def test_an_exclusive_open_sees_neither_loops_nor_namespaces(loop: Callable[..., str]) -> None:
    machine.attach(0)
    machine.attach(1)
    loop(0, "/dev/rd0")
    machine.export("nqn.test:rd1", "/dev/rd1")
    assert claims("/dev/rd0")
    assert claims("/dev/rd1")


def test_a_claim_keeps_a_mount_away_until_the_volume_is_gone(tmp_path: Path) -> None:
    machine.attach(0)
    machine.tool("mke2fs", "-q", "-F", "/dev/rd0")
    with machine.opened("/dev/rd0", os.O_RDONLY | os.O_EXCL):
        assert "busy" in machine.tool("mount", "/dev/rd0", tmp_path, check=False)
        machine.mgmt("rapiddisk detach 0")
    assert machine.names() == []


def test_a_writeback_cache_torn_away_leaves_its_blocks_to_the_next_source(disk: str) -> None:
    machine.attach(0)
    machine.map_cache("rc-wb_vda", disk, "rd0")
    written = machine.fill("/dev/mapper/rc-wb_vda", MIB)
    machine.tool("dmsetup", "remove", "rc-wb_vda")
    machine.wipe("/dev/vdb", MIB)
    machine.map_cache("rc-wb_vdb", "vdb", "rd0")
    assert machine.digest("/dev/mapper/rc-wb_vdb", MIB) == written
