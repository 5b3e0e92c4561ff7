"""Caches: what is on the disk afterwards, and what of the machine."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import DISK_SIZE, MIB, PAGE

PREFIXES = {"write-through": "rc-wt_", "write-around": "rc-wa_", "writeback": "rc-wb_"}


@pytest.mark.parametrize("policy", PREFIXES)
def test_data_come_through_a_cache_whole(rdctl: Program, disk: str, policy: str) -> None:
    """What was on the disk is read through the cache, and what is written through it is on the
    disk when the cache is gone: more than the volume holds, over old data and new, in order and
    not."""
    source, cache = f"/dev/{disk}", PREFIXES[policy] + disk
    path = f"/dev/mapper/{cache}"
    machine.fill(source, 12 * MIB, seed="before")
    whole = machine.digest(source, DISK_SIZE)
    machine.attach(0, 4)
    report = rdctl.ok("cache", "create", "rd0", disk, "--policy", policy)
    assert report["results"][0]["target"] == cache
    (row,) = rdctl.items("cache", "list")
    assert list(row.values())[:4] == [cache, "rd0", disk, policy]
    assert (row["kernel"], row["source_kernel"]) == (machine.mappings()[cache], disk)
    assert machine.digest(path, DISK_SIZE) == whole
    machine.fill(path, 8 * MIB, at=8 * MIB, seed="after")
    scatter = random.Random(policy)
    for place in range(32):
        at = scatter.randrange(DISK_SIZE // PAGE) * PAGE
        machine.fill(path, PAGE, at=at, seed=place)
    through = machine.digest(path, DISK_SIZE)
    rdctl.ok("cache", "remove", cache)
    assert machine.mappings() == {}
    assert machine.digest(source, DISK_SIZE) == through != whole


def test_a_file_system_on_each_policy(rdctl: Program, disk: str, tmp_path: Path) -> None:
    """Three lives of one file system; a write-back cache takes no blocks below 4 KiB."""
    content = {}
    machine.tool("mke2fs", "-q", "-F", "-b", "4096", f"/dev/{disk}")
    for number, (policy, prefix) in enumerate(PREFIXES.items()):
        machine.attach(number, 4)
        rdctl.ok("cache", "create", f"rd{number}", disk, "--policy", policy)
        machine.tool("mount", f"/dev/mapper/{prefix}{disk}", tmp_path)
        content[policy] = random.Random(policy).randbytes(2 * MIB)
        (tmp_path / policy).write_bytes(content[policy])
        for name, data in content.items():
            assert (tmp_path / name).read_bytes() == data
        machine.tool("umount", tmp_path)
        rdctl.ok("cache", "remove", prefix + disk)
    machine.tool("e2fsck", "-f", "-n", f"/dev/{disk}")


def test_sync_writes_back_and_keeps_the_cache(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    rdctl.ok("cache", "create", "rd0", disk, "--policy", "writeback")
    cache = f"rc-wb_{disk}"
    written = machine.fill(f"/dev/mapper/{cache}", 4 * MIB, seed="sync")
    with machine.opened(f"/dev/{disk}") as descriptor:
        stale = os.pread(descriptor, 4 * MIB, 0)
    assert stale[:PAGE] == bytes(PAGE), "the test needs dirty blocks"
    rdctl.ok("cache", "sync", cache)
    assert machine.digest(f"/dev/{disk}", 4 * MIB) == written
    stats = rdctl.items("cache", "stats", cache)[0]
    assert stats["num_free_blocks"] == stats["num_blocks"]
    assert cache in machine.mappings()


def test_a_removed_writeback_cache_leaves_nothing_to_replay(rdctl: Program, disk: str) -> None:
    """The volume of a write-back cache writes its old blocks over the next disk it is put on."""
    machine.attach(0)
    rdctl.ok("cache", "create", "rd0", disk, "--policy", "writeback")
    machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB)
    rdctl.ok("cache", "remove", f"rc-wb_{disk}")
    assert machine.volume("rd0").usage == 0
    machine.wipe("/dev/vdb", 2 * MIB)
    rdctl.ok("cache", "create", "rd0", "vdb", "--policy", "writeback")
    with machine.opened("/dev/mapper/rc-wb_vdb") as descriptor:
        assert os.pread(descriptor, MIB, 0) == bytes(MIB)


def test_a_volume_with_contents_becomes_a_cache_only_when_said(rdctl: Program, disk: str) -> None:
    """The first KiB of a file system is zero, and write-back takes the volume for an empty one."""
    machine.attach(0)
    machine.tool("mke2fs", "-q", "-F", "/dev/rd0")
    before = machine.digest("/dev/rd0", 16 * MIB)
    for policy in PREFIXES:
        message = rdctl.refused(
            "cache", "create", "rd0", disk, "--policy", policy, code="not-empty"
        )
        assert "--discard-contents" in message
    assert machine.digest("/dev/rd0", 16 * MIB) == before
    rdctl.ok("cache", "create", "rd0", disk, "--policy", "writeback", "--discard-contents")
    assert list(machine.mappings()) == [f"rc-wb_{disk}"]


def test_old_dirty_blocks_never_reach_another_disk(rdctl: Program, disk: str) -> None:
    """A write-back cache torn away past rdctl, its volume used again."""
    machine.attach(0)
    machine.map_cache(f"rc-wb_{disk}", disk, "rd0")
    machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB)
    machine.tool("dmsetup", "remove", f"rc-wb_{disk}")
    rdctl.refused("cache", "create", "rd0", "vdb", "--policy", "writeback", code="not-empty")
    machine.wipe("/dev/vdb", MIB)
    rdctl.ok("cache", "create", "rd0", "vdb", "--policy", "writeback", "--discard-contents")
    rdctl.ok("cache", "remove", "rc-wb_vdb")
    with machine.opened("/dev/vdb") as descriptor:
        assert os.pread(descriptor, MIB, 0) == bytes(MIB)


def test_a_cache_whose_volume_was_torn_away(rdctl: Program, disk: str) -> None:
    """The dirty blocks are lost. What is left must be said, and nothing may be called done."""
    machine.attach(0)
    machine.map_cache(f"rc-wb_{disk}", disk, "rd0")
    machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB)
    machine.mgmt("rapiddisk detach 0")
    ran = rdctl("cache", "remove", f"rc-wb_{disk}")
    assert ran.code != 0
    assert f"rc-wb_{disk}" in ran.err
    assert f"rc-wb_{disk}" in machine.mappings()


def test_statistics(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    machine.attach(1)
    rdctl.ok("cache", "create", "rd0", disk)
    rdctl.ok("cache", "create", "rd1", "vdb", "--policy", "writeback")
    through, back = f"/dev/mapper/rc-wt_{disk}", "/dev/mapper/rc-wb_vdb"
    for path in (through, back):
        machine.fill(path, MIB)
        for _ in range(3):
            machine.digest(path, MIB)
    # Every number against the kernel's own words, which udev changes whenever it looks.
    for _ in range(50):
        machine.tool("udevadm", "settle")
        status = machine.tool("dmsetup", "status", f"rc-wt_{disk}")
        rows = {row["device"]: row for row in rdctl.items("cache", "stats")}
        if status == machine.tool("dmsetup", "status", f"rc-wt_{disk}"):
            break
    wt, wb = rows[f"rc-wt_{disk}"], rows["rc-wb_vdb"]
    assert wt["writes"] == wb["writes"] == 256
    assert wt["reads"] >= 768
    assert wt["cache_hits"] >= 512
    assert wt["hit_rate"] == pytest.approx(wt["cache_hits"] / wt["reads"], abs=0.0001)
    assert wb["num_blocks"] > 3000
    assert wt["num_blocks"] is wb["disk_reads"] is None
    assert wb["errors"] == 0
    for key in ("reads", "writes", "replacement", "disk_reads", "disk_writes", "cache_writes"):
        assert f"{key.replace('_', ' ')}({wt[key]})" in status
    assert rdctl.items("cache", "stats", "rc-wb_vdb")[0]["device"] == "rc-wb_vdb"
    rdctl.refused("cache", "stats", "rc-wa_vda", code="not-found", exit=3)


def test_the_node_stays_when_udev_looks_again(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    rdctl.ok("cache", "create", "rd0", disk)
    node = Path(f"/dev/mapper/rc-wt_{disk}")
    assert node.is_block_device(), "it is there when the command returns"
    machine.tool("udevadm", "trigger", "--subsystem-match=block")
    machine.tool("udevadm", "settle")
    assert node.is_block_device()
    rdctl.ok("cache", "remove", node.name)
    assert not node.exists()


@pytest.mark.parametrize("directory", ["by-path", "by-diskseq"])
def test_a_source_by_any_of_its_names(rdctl: Program, disk: str, directory: str) -> None:
    link = next(
        path
        for path in Path("/dev/disk", directory).iterdir()
        if path.resolve() == Path("/dev", disk)
    )
    machine.attach(0)
    report = rdctl.ok("cache", "create", "rd0", str(link))
    assert report["results"][0]["target"] == f"rc-wt_{disk}"
    again = rdctl.ok("cache", "create", "rd0", f"/dev/{disk}")
    assert again["results"][0]["changed"] is False


def test_what_cannot_be_a_source(rdctl: Program, tmp_path: Path) -> None:
    machine.attach(0)
    (tmp_path / "file").write_bytes(bytes(MIB))
    for source in ("vdz", "/dev/null", str(tmp_path / "file"), "/dev/disk", "", "../etc/passwd"):
        ran = rdctl("cache", "create", "rd0", source)
        assert ran.code in (2, 3, 4), (source, ran)
    assert machine.mappings() == {}


def test_a_failed_map_leaves_nothing(rdctl: Program, disk: str) -> None:
    """A volume below 2 MiB is too small for wt and wa; the device that device-mapper makes before
    it loads the table is gone again."""
    machine.attach(0, 1)
    for policy in ("write-through", "write-around"):
        ran = rdctl("cache", "create", "rd0", disk, "--policy", policy)
        assert ran.code in (1, 2, 4), ran
        assert "2 MiB" in ran.err or "2.0 MiB" in ran.err, "the message says what is too small"
        assert machine.mappings() == {}
    rdctl.ok("cache", "create", "rd0", disk, "--policy", "writeback")


def test_a_name_that_somebody_else_took(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    machine.tool("dmsetup", "create", f"rc-wt_{disk}", "--table", "0 8 zero")
    ran = rdctl("cache", "create", "rd0", disk)
    assert ran.code == 4, ran
    assert "zero" in machine.tool("dmsetup", "table", f"rc-wt_{disk}")


def test_a_source_larger_than_its_cache_ends_where_it_ends(rdctl: Program, disk: str) -> None:
    machine.attach(0, 3)
    rdctl.ok("cache", "create", "rd0", disk)
    block = machine.mappings()[f"rc-wt_{disk}"]
    assert int(Path(f"/sys/block/{block}/size").read_text()) * 512 == DISK_SIZE
    machine.fill(f"/dev/{block}", PAGE, at=DISK_SIZE - PAGE)


@pytest.mark.parametrize("loaded", [False, True])
def test_a_half_made_cache_is_listed_and_removed(rdctl: Program, disk: str, loaded: bool) -> None:
    """Of a tool that died before the mapping came into use: it holds both devices all the same."""
    cache = f"rc-wt_{disk}"
    machine.attach(0)
    machine.tool("dmsetup", "create", cache, "--notable")
    if loaded:
        size, volume_size = DISK_SIZE // 512, 16 * MIB // 512
        table = f"0 {size} rapiddisk-cache /dev/{disk} /dev/rd0 {volume_size} 0"
        machine.tool("dmsetup", "load", cache, "--table", table)
    (row,) = rdctl.items("cache", "list")
    assert list(row.values())[:4] == [cache, None, None, "write-through"]
    assert rdctl("cache", "create", "rd0", disk).code == 4
    rdctl.ok("cache", "remove", cache)
    rdctl.ok("cache", "create", "rd0", disk)


def test_a_cache_that_is_made_by_dmsetup_is_ours_too(rdctl: Program, disk: str) -> None:
    """And one that looks like ours but is not is left alone."""
    cache = machine.map_cache(f"rc-wa_{disk}", disk, machine.attach(0))
    machine.tool("dmsetup", "create", "rc-wt_nothing", "--table", "0 8 zero")
    machine.tool("dmsetup", "create", "rc-backup", "--table", "0 8 linear /dev/vdb 0")
    assert [row["device"] for row in rdctl.items("cache", "list")] == [cache]
    assert rdctl("cache", "remove", "rc-wt_nothing").code in (3, 4)
    rdctl.ok("cache", "remove", cache)
    assert set(machine.mappings()) == {"rc-wt_nothing", "rc-backup"}
