"""Names of mappings that are those of other devices, and links that lead to a cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import DISK_SIZE, MIB, PAGE, SECTOR

SECTORS = DISK_SIZE // SECTOR


@pytest.mark.parametrize("policy", ["write-through", "write-around", "writeback"])
def test_a_mapping_that_bears_the_name_of_a_disk(rdctl: Program, disk: str, policy: str) -> None:
    """`dmsetup create vdb` over vda: what is written through its cache is on vda, not on vdb."""
    machine.wipe("/dev/vdb", MIB)
    machine.tool("dmsetup", "create", "vdb", "--table", f"0 {SECTORS} linear /dev/{disk} 0")
    machine.tool("udevadm", "settle")
    machine.attach(0)
    words = ("cache", "create", "rd0", "/dev/mapper/vdb", "--policy", policy)
    cache = rdctl.ok(*words)["results"][0]["target"]
    assert rdctl.ok(*words)["results"][0]["changed"] is False
    (row,) = rdctl.items("cache", "list")
    assert (row["source"], row["source_kernel"]) == ("mapper/vdb", machine.mappings()["vdb"])
    written = machine.fill(f"/dev/mapper/{cache}", MIB, seed=policy)
    rdctl.ok("cache", "remove", cache)
    assert machine.digest("/dev/mapper/vdb", MIB) == written
    assert machine.digest(f"/dev/{disk}", MIB) == written
    with machine.opened("/dev/vdb") as descriptor:
        assert os.pread(descriptor, MIB, 0) == bytes(MIB)


def test_both_of_one_name(rdctl: Program, disk: str) -> None:
    machine.tool("dmsetup", "create", "vdb", "--table", f"0 {SECTORS} linear /dev/{disk} 0")
    machine.tool("udevadm", "settle")
    machine.attach(0)
    machine.attach(1)
    rdctl.ok("cache", "create", "rd0", "/dev/mapper/vdb")
    message = rdctl.refused("cache", "create", "rd1", "vdb", code="exists")
    assert "--name rc-wt_vdb-2" in message
    rdctl.ok("cache", "create", "rd1", "vdb", "--name", "rc-wt_vdb-2")
    assert "/dev/vdb" in machine.tool("dmsetup", "table", "rc-wt_vdb-2")
    rdctl.ok("cache", "remove", "rc-wt_vdb", "rc-wt_vdb-2")


def test_a_mapping_that_bears_the_name_of_a_volume(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    machine.attach(1)
    machine.tool("dmsetup", "create", "rd0", "--table", f"0 {SECTORS} linear /dev/{disk} 0")
    machine.tool("udevadm", "settle")
    assert rdctl("remove", "/dev/mapper/rd0").code == 2
    assert rdctl.ok("show", "rd0")["item"]["users"] == []
    rdctl.ok("cache", "create", "rd1", "/dev/mapper/rd0")
    (row,) = rdctl.items("cache", "list")
    assert (row["volume"], row["source"]) == ("rd1", "mapper/rd0")
    rdctl.ok("remove", "rd0")
    rdctl.ok("cache", "remove", "rc-wt_rd0")
    assert machine.names() == ["rd1"]


def test_a_link_that_leads_to_the_cache_by_now(rdctl: Program, disk: str) -> None:
    machine.tool("mke2fs", "-q", "-F", "-b", str(PAGE), f"/dev/{disk}")
    uuid = machine.tool("blkid", "-o", "value", "-s", "UUID", f"/dev/{disk}").strip()
    link = Path(f"/dev/disk/by-uuid/{uuid}")
    machine.tool("udevadm", "trigger", "--settle", f"/sys/block/{disk}")
    machine.until(link.exists, "the link")
    machine.attach(0)
    machine.attach(1)
    rdctl.ok("cache", "create", "rd0", str(link))
    cache = f"rc-wt_{disk}"
    machine.tool("udevadm", "settle")
    machine.until(lambda: link.resolve().name == machine.mappings()[cache], "it leads to the cache")
    assert rdctl.ok("cache", "create", "rd0", str(link))["results"][0]["changed"] is False
    message = rdctl.refused("cache", "create", "rd1", str(link), code="conflict")
    assert f"leads to the cache {cache} itself" in message
    assert list(machine.mappings()) == [cache]


def test_stacked_caches_go_in_one_command(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    machine.attach(1)
    lower, upper = f"rc-wt_{disk}", f"rc-wb_rc-wt_{disk}"
    rdctl.ok("cache", "create", "rd0", disk)
    rdctl.ok("cache", "create", "rd1", f"/dev/mapper/{lower}", "--policy", "writeback")
    written = machine.fill(f"/dev/mapper/{upper}", MIB)
    rdctl.ok("cache", "remove", lower, upper)
    assert machine.mappings() == {}
    assert machine.digest(f"/dev/{disk}", MIB) == written
