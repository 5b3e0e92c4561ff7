"""Write-back caches that are taken away, whose source fails, that are adopted: what is on the disk
afterwards, and what of the only copy."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rdctl.effects.door import Effects
from rdctl.effects.syscalls import Syscalls
from rdctl.rapiddisk.kernel.backend import Kernel
from rdctl.rapiddisk.model import NewCache
from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB, PAGE, SECTOR

WRITEBACK = ("--policy", "writeback")


def made(rdctl: Program, disk: str) -> str:
    machine.attach(0)
    rdctl.ok("cache", "create", "rd0", disk, *WRITEBACK)
    return f"rc-wb_{disk}"


def orphan(disk: str) -> str:
    """The data of a dirty cache that was made and taken away past rdctl."""
    machine.attach(0)
    machine.map_cache(f"rc-wb_{disk}", disk, "rd0")
    written = machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB, seed="dirty")
    machine.tool("dmsetup", "remove", "--retry", f"rc-wb_{disk}")
    return written


def unwritten(rdctl: Program) -> int:
    value = rdctl.items("list", "rd0")[0]["unwritten"]
    assert isinstance(value, int)
    return value


@pytest.mark.parametrize("written_back", [False, True])
def test_what_a_former_cache_holds(rdctl: Program, disk: str, written_back: bool) -> None:
    """Blocks that were written back keep their sectors in the superblock, and count for nothing."""
    machine.attach(0)
    cache = machine.map_cache(f"rc-wb_{disk}", disk, "rd0")
    machine.fill(f"/dev/mapper/{cache}", MIB)
    assert rdctl.items("cache", "list")[0]["dirty"] >= MIB
    if written_back:
        machine.tool("dmsetup", "message", cache, "0", "flush")
    machine.tool("dmsetup", "remove", "--retry", cache)
    assert unwritten(rdctl) == (0 if written_back else MIB)
    assert rdctl.ok("show", "rd0")["item"]["unwritten"] == unwritten(rdctl)
    assert rdctl.as_nobody("list").json["items"][0]["unwritten"] is None


@pytest.mark.parametrize(
    "words",
    [
        ("remove", "rd0"),
        ("flush", "rd0"),
        ("resize", "rd0", "8M"),
        ("resize", "rd0", "32M"),
        ("cache", "create", "rd0", "vdb"),
        ("cache", "create", "rd0", "vdb", *WRITEBACK),
    ],
    ids=" ".join,
)
def test_the_only_copy_is_kept(rdctl: Program, disk: str, words: tuple[str, ...]) -> None:
    orphan(disk)
    message = rdctl.refused(*words, "--force", code="not-empty")
    assert "256 unwritten blocks (1.0 MiB)" in message
    assert "--adopt" in message
    assert unwritten(rdctl) == MIB
    rdctl.ok(*words, "--discard-contents")


def test_adopting_without_a_record(rdctl: Program, disk: str) -> None:
    written = orphan(disk)
    with machine.opened(f"/dev/{disk}") as descriptor:
        assert os.pread(descriptor, PAGE, 0) == bytes(PAGE), "the test needs a stale source"
    assert rdctl("cache", "create", "rd0", "--adopt").code == 2
    rdctl.ok("cache", "create", "rd0", disk, *WRITEBACK, "--adopt")
    cache = f"rc-wb_{disk}"
    assert machine.digest(f"/dev/mapper/{cache}", MIB) == written
    assert rdctl.items("cache", "list")[0]["dirty"] == MIB
    rdctl.ok("cache", "remove", cache)
    assert machine.digest(f"/dev/{disk}", MIB) == written
    assert machine.volume("rd0").usage == 0


def test_adopting_over_what_cannot_be_the_source(rdctl: Program, disk: str) -> None:
    """The kernel takes it without a word, and throws the blocks away."""
    machine.attach(0)
    machine.map_cache(f"rc-wb_{disk}", disk, "rd0")
    machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB, at=20 * MIB)
    machine.tool("dmsetup", "remove", "--retry", f"rc-wb_{disk}")
    table = f"0 {8 * MIB // SECTOR} linear /dev/vdb 0"
    machine.tool("dmsetup", "create", "small", "--table", table)
    message = rdctl.refused(
        "cache", "create", "rd0", "/dev/mapper/small", "--adopt", code="conflict"
    )
    assert "beyond its end (8.0 MiB)" in message
    assert unwritten(rdctl) == MIB


@pytest.mark.parametrize("block", [512, 1024])
def test_the_block_size_is_that_of_the_superblock(rdctl: Program, disk: str, block: int) -> None:
    machine.attach(0)
    table = f"0 {machine.DISK_SIZE // SECTOR} writecache s /dev/{disk} /dev/rd0 {block} 0"
    machine.tool("dmsetup", "create", f"rc-wb_{disk}", "--table", table)
    written = machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB)
    machine.tool("dmsetup", "remove", "--retry", f"rc-wb_{disk}")
    assert unwritten(rdctl) == MIB
    rdctl.ok("cache", "create", "rd0", disk, "--adopt")
    assert f" {block} " in machine.tool("dmsetup", "table", f"rc-wb_{disk}")
    rdctl.ok("cache", "remove", f"rc-wb_{disk}")
    assert machine.digest(f"/dev/{disk}", MIB) == written


def test_a_plain_removal_loses_nothing(rdctl: Program, disk: str) -> None:
    """`flush_on_suspend` was sent when the cache was made."""
    cache = made(rdctl, disk)
    assert rdctl.items("cache", "list")[0]["flush_on_suspend"]
    assert "max_age 300000" in machine.tool("dmsetup", "table", cache)
    written = machine.fill(f"/dev/mapper/{cache}", 4 * MIB)
    machine.tool("dmsetup", "remove", "--retry", cache)
    assert machine.digest(f"/dev/{disk}", 4 * MIB) == written
    assert unwritten(rdctl) == 0
    rdctl.ok("remove", "rd0")


def test_blocks_are_written_back_after_their_time(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    rdctl.ok("cache", "create", "rd0", disk, *WRITEBACK, "--max-age", "1")
    machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB)
    machine.until(lambda: rdctl.items("cache", "list")[0]["dirty"] == 0, "all is written back", 60)


def test_a_suspended_cache(rdctl: Program, disk: str) -> None:
    cache = made(rdctl, disk)
    machine.fill(f"/dev/mapper/{cache}", MIB)
    machine.tool("udevadm", "settle")
    machine.tool("dmsetup", "suspend", cache)
    try:
        for verb in ("remove", "sync"):
            message = rdctl.refused("cache", verb, cache, code="conflict")
            assert f"dmsetup resume {cache}" in message
    finally:
        machine.tool("dmsetup", "resume", cache)
    rdctl.ok("cache", "remove", cache)


@pytest.fixture
def scsi() -> Iterator[str]:
    """A SCSI disk of 32 MiB that can be taken away; its kernel name."""
    machine.tool("modprobe", "scsi_debug", "dev_size_mb=32", "max_luns=1")
    machine.tool("udevadm", "settle")
    yield attached()
    machine.clean()
    machine.until(
        lambda: (
            "scsi_debug" not in machine.tool("lsmod")
            or not machine.tool("modprobe", "-r", "scsi_debug", check=False)
        ),
        "the module is free",
    )


def attached() -> str:
    (path,) = Path("/sys/bus/pseudo/drivers/scsi_debug").glob("adapter*/host*/target*/*/block/*")
    return path.name


def test_a_disk_that_was_away_for_a_while(rdctl: Program, scsi: str) -> None:
    """Unplugged under a dirty cache, it comes back under another name, and gets every block."""
    cache = made(rdctl, scsi)
    path = f"/dev/mapper/{cache}"
    written = machine.fill(path, MIB, seed="away")
    host = next(Path("/sys/bus/pseudo/drivers/scsi_debug").glob("adapter*/host*"))
    keep = machine.attach(7, 1)
    Path(f"/sys/block/{scsi}/device/delete").write_text("1")
    for verb in ("remove", "sync"):
        message = rdctl.refused("cache", verb, cache, code="conflict")
        assert f"its source {scsi} is gone; rd0 still holds" in message
        assert "--adopt" in message
        assert "dmsetup remove" not in message
    rdctl.refused("flush", "rd0", code="in-use")
    (Path("/sys/class/scsi_host") / host.name / "scan").write_text("- - -")
    machine.tool("udevadm", "settle")
    back = attached()
    rdctl.ok("cache", "create", "rd0", back, "--adopt")
    cache = f"rc-wb_{back}"
    assert list(machine.mappings()) == [cache]
    rdctl.ok("cache", "remove", cache)
    assert machine.digest(f"/dev/{back}", MIB) == written
    rdctl.ok("remove", keep)


def test_a_source_that_fails(rdctl: Program, disk: str) -> None:
    """The blocks stay in the volume, and go to the source when it is well again."""
    sectors = machine.DISK_SIZE // SECTOR
    whole = f"0 {sectors} linear /dev/{disk} 0"
    machine.tool("dmsetup", "create", "below", "--table", whole)
    machine.attach(0)
    table = f"0 {sectors} writecache s /dev/mapper/below /dev/rd0 4096 0"
    machine.tool("dmsetup", "create", "rc-wb_below", "--table", table)
    written = machine.fill("/dev/mapper/rc-wb_below", MIB)
    machine.tool("dmsetup", "wipe_table", "below")
    message = rdctl.refused("cache", "remove", "rc-wb_below", code="conflict")
    assert "its source below returned an I/O error; rd0 still holds" in message
    machine.tool("dmsetup", "load", "below", "--table", whole)
    machine.tool("dmsetup", "resume", "below")
    rdctl.ok("cache", "create", "rd0", "/dev/mapper/below", "--adopt")
    rdctl.ok("cache", "remove", "rc-wb_below")
    assert machine.digest(f"/dev/{disk}", MIB) == written


def test_a_foreign_writecache_is_flushed_before_it_is_removed(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    table = f"0 {machine.DISK_SIZE // SECTOR} writecache s /dev/{disk} /dev/rd0 4096 0"
    machine.tool("dmsetup", "create", "mine", "--table", table)
    message = rdctl.refused("remove", "rd0", code="in-use")
    assert "dmsetup message mine 0 flush && dmsetup remove mine" in message


def test_a_refused_erase_makes_no_shrink_safe(rdctl: Program) -> None:
    """Another tool tries it while somebody has it open: the counters are 0, the data are there."""
    machine.attach(0)
    data = machine.fill("/dev/rd0", MIB, at=10 * MIB)
    with machine.opened("/dev/rd0"), pytest.raises(OSError):
        machine.erase("rd0")
    assert (machine.volume("rd0").usage, machine.volume("rd0").high_water) == (0, 0)
    message = rdctl.refused("resize", "rd0", "4M", code="not-empty")
    assert "rd0 holds data beyond 4.0 MiB" in message
    assert machine.digest("/dev/rd0", MIB, at=10 * MIB) == data
    rdctl.ok("resize", "rd0", "12M")
    rdctl.ok("resize", "rd0", "4M", "--discard-contents")


def test_stale_pages_are_not_taken_for_contents(rdctl: Program, disk: str) -> None:
    """A mapping writes past the page cache of the volume, which another process keeps."""
    machine.attach(0)
    with machine.opened("/dev/rd0") as descriptor:
        assert os.pread(descriptor, PAGE, 0) == bytes(PAGE)
        machine.map_cache(f"rc-wb_{disk}", disk, "rd0")
        machine.fill(f"/dev/mapper/rc-wb_{disk}", MIB)
        machine.tool("dmsetup", "remove", "--retry", f"rc-wb_{disk}")
        assert unwritten(rdctl) == MIB


def test_a_number_that_is_there(rdctl: Program) -> None:
    rdctl.ok("create", "16M", "--number", "5")
    assert rdctl.ok("create", "16M", "--number", "5")["results"][0]["changed"] is False
    rdctl.refused("create", "8M", "--number", "5", code="exists")


def test_a_failed_transaction_is_undone(disk: str) -> None:
    """A volume, its size and its lock, and a cache with an age, of which the last step fails."""
    effects = Effects(ask=lambda losses: None)
    effects.consent(["all of it"])
    kernel = Kernel("/", Syscalls(), effects, warn=lambda text: None, sleep=time.sleep)
    machine.attach(5)
    source = kernel.source(disk)
    cache = NewCache("rd0", source, "writeback", f"rc-wb_{disk}", max_age=300)
    with suppress(InterruptedError), effects.transaction("all of it"):
        kernel.create(4 * MIB + SECTOR, 0)
        kernel.resize("rd5", 32 * MIB, None)
        kernel.set_lock("rd5", True)
        kernel.map(cache, "rd0")
        assert kernel.max_age_of(cache.name) == 300
        assert [volume.size for volume in kernel.inventory().volumes] == [
            4 * MIB + SECTOR,
            32 * MIB,
        ]
        raise InterruptedError
    assert (effects.left, effects.undone) == ([], ["all of it"])
    (left,) = kernel.inventory().volumes
    assert (left.device, left.size, left.locked) == ("rd5", 16 * MIB, False)
    assert kernel.inventory().caches == []
