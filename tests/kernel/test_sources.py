"""What a cache cannot do to its source is refused; what would become of it is shown past rdctl."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel import machine
from tests.kernel.conftest import Program
from tests.kernel.machine import MIB, PAGE, SECTOR

PREFIXES = {"write-through": "rc-wt_", "write-around": "rc-wa_", "writeback": "rc-wb_"}
THROUGH = ("write-through", "write-around")


def refused(rdctl: Program, source: str, policy: str) -> str:
    """The message and the hint; nothing is mapped."""
    before = machine.mappings()
    message = rdctl.refused("cache", "create", "rd0", source, "--policy", policy, code="conflict")
    assert f"cannot cache {source}" in message
    assert machine.mappings() == before
    return message


def cached(rdctl: Program, source: str, policy: str) -> tuple[str, str]:
    """The path of a cache that is made, and what is said on standard error."""
    ran = rdctl("cache", "create", "rd0", source, "--policy", policy)
    assert ran.code == 0, ran
    return f"/dev/mapper/{PREFIXES[policy]}{source}", ran.err


def erase(volume: str) -> None:
    """While udev has it open, the kernel would refuse."""
    machine.tool("udevadm", "settle")
    machine.erase(volume)


@pytest.fixture
def read_only() -> Iterator[Callable[[str], None]]:
    """Makes devices read-only, until the test ends."""
    paths = []

    def make(name: str) -> None:
        machine.tool("blockdev", "--setro", f"/dev/{name}")
        paths.append(f"/dev/{name}")

    yield make
    for path in paths:
        if Path(path).exists():
            machine.tool("blockdev", "--setrw", path)


@pytest.fixture
def partitioned(disk: str) -> Iterator[Callable[[str], str]]:
    """Gives the disk a table of one partition; the partition's name."""

    def make(label: str) -> str:
        script = f"printf 'label: {label}\\n2048,40960\\n' | sfdisk -q /dev/{disk}"
        machine.tool("sh", "-c", script)
        machine.until(Path(f"/dev/{disk}1").exists, "the partition")
        machine.wipe(f"/dev/{disk}1", MIB)
        machine.tool("udevadm", "settle")
        return f"{disk}1"

    yield make
    machine.clean()
    machine.tool("blockdev", "--setrw", f"/dev/{disk}")
    # GPT has a second header at the end.
    machine.wipe(f"/dev/{disk}", machine.DISK_SIZE)
    machine.tool("udevadm", "settle")
    machine.tool("blockdev", "--rereadpt", f"/dev/{disk}")


# --- read-only ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", PREFIXES)
def test_a_read_only_disk(
    rdctl: Program, disk: str, read_only: Callable[[str], None], policy: str
) -> None:
    machine.attach(0)
    read_only(disk)
    message = refused(rdctl, disk, policy)
    assert f"blockdev --setrw /dev/{disk}" in message
    machine.tool("blockdev", "--setrw", f"/dev/{disk}")
    cached(rdctl, disk, policy)


def test_a_read_only_partition(
    rdctl: Program,
    disk: str,
    partitioned: Callable[[str], str],
    read_only: Callable[[str], None],
) -> None:
    """The command in the hint is of what is read-only: the disk, or the partition alone."""
    machine.attach(0)
    partition = partitioned("dos")
    read_only(disk)
    assert re.search(rf"blockdev --setrw /dev/{disk}\b", refused(rdctl, partition, "writeback"))
    machine.tool("blockdev", "--setrw", f"/dev/{disk}")
    read_only(partition)
    message = refused(rdctl, partition, "write-through")
    assert f"blockdev --setrw /dev/{partition}" in message
    machine.tool("blockdev", "--setrw", f"/dev/{partition}")
    cached(rdctl, partition, "write-through")


# --- blocks and size ------------------------------------------------------------------------------


def test_a_disk_of_large_blocks(rdctl: Program, loop: Callable[..., str], tmp_path: Path) -> None:
    machine.attach(0)
    source = loop(32 * MIB, None, "--sector-size", "4096")
    for policy in THROUGH:
        message = refused(rdctl, source, policy)
        assert "4096" in message
        assert f"cache create rd0 {source} --policy writeback" in message
    machine.tool("mke2fs", "-q", "-F", "-b", "4096", f"/dev/{source}")
    path, said = cached(rdctl, source, "writeback")
    assert said == ""
    holds_files(path, tmp_path / "mnt")


def test_a_partition_of_a_disk_of_large_blocks(rdctl: Program, loop: Callable[..., str]) -> None:
    machine.attach(0)
    source = loop(32 * MIB, None, "--sector-size", "4096", "--partscan")
    machine.tool("sh", "-c", f"echo 256,1024 | sfdisk -q /dev/{source}")
    partition = f"{source}p1"
    machine.until(Path(f"/dev/{partition}").exists, "the partition")
    machine.wipe(f"/dev/{partition}", MIB)
    assert "4096" in refused(rdctl, partition, "write-through")
    cached(rdctl, partition, "writeback")


def test_a_writeback_cache_below_another(rdctl: Program, disk: str) -> None:
    """Its own blocks have 4 KiB."""
    machine.attach(0)
    lower = machine.map_cache(f"rc-wb_{disk}", disk, machine.attach(1))
    block = machine.mappings()[lower]
    assert Path(f"/sys/block/{block}/queue/logical_block_size").read_text() == "4096\n"
    refused(rdctl, lower, "write-around")


def test_a_size_that_is_no_multiple(rdctl: Program, loop: Callable[..., str]) -> None:
    """Which the kernel refuses with no reason but in its log."""
    machine.attach(0)
    source = loop(8 * MIB + SECTOR)
    message = refused(rdctl, source, "writeback")
    assert f"its size, {8 * MIB + SECTOR} bytes, is not a multiple of 4 KiB" in message
    table = f"0 {8 * MIB // SECTOR + 1} writecache s /dev/{source} /dev/rd0 {PAGE} 0"
    machine.tool("dmsetup", "create", "rc-wb_odd", "--table", table, check=False)
    assert "rc-wb_odd" not in machine.mappings()
    erase("rd0")
    cached(rdctl, source, "write-through")


# --- contents -------------------------------------------------------------------------------------

# By the size of block or sector that it is made with.
MAKERS: dict[str, Callable[[str, int], tuple[str, ...]]] = {
    "ext2": lambda path, block: ("mke2fs", "-q", "-F", "-t", "ext2", "-b", str(block), path),
    "ext4": lambda path, block: ("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(block), path),
    "XFS": lambda path, sector: (
        *("mkfs.xfs", "-q", "-f", "--unsupported", "-s", f"size={sector}", path),
    ),
    "FAT": lambda path, sector: ("mkfs.vfat", "-I", "-S", str(sector), path),
}


def mounts(path: str, directory: Path) -> bool:
    directory.mkdir(exist_ok=True)
    machine.tool("mount", path, directory, check=False)
    return os.path.ismount(directory)


def holds_files(path: str, directory: Path) -> None:
    """A file system that is mounted and written to."""
    assert mounts(path, directory)
    (directory / "file").write_bytes(b"written" * PAGE)
    machine.tool("umount", directory)
    assert mounts(path, directory)
    assert (directory / "file").read_bytes() == b"written" * PAGE
    machine.tool("umount", directory)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_file_system_of_small_blocks(
    rdctl: Program, disk: str, tmp_path: Path, kind: str
) -> None:
    """It is refused, and cannot be mounted through a cache that is made past rdctl; the other
    policies serve it."""
    small = 1024 if kind.startswith("ext") else 512
    machine.tool(*MAKERS[kind](f"/dev/{disk}", small))
    machine.attach(0)
    message = refused(rdctl, disk, "writeback")
    assert f"{small}-byte" in message
    assert f"wipefs --all /dev/{disk}" in message
    cache = machine.map_cache(f"rc-wb_{disk}", disk, "rd0")
    assert not mounts(f"/dev/mapper/{cache}", tmp_path / "past")
    machine.tool("dmsetup", "remove", "--retry", cache)
    erase("rd0")
    path, said = cached(rdctl, disk, "write-through")
    assert said == ""
    holds_files(path, tmp_path / "through")
    rdctl.ok("cache", "remove", Path(path).name)
    erase("rd0")
    machine.tool("wipefs", "--all", f"/dev/{disk}")
    _, said = cached(rdctl, disk, "writeback")
    assert "are not recognized" in said
    rdctl.ok("cache", "remove", f"rc-wb_{disk}")
    machine.wipe(f"/dev/{disk}", MIB)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_file_system_of_large_blocks(
    rdctl: Program, disk: str, tmp_path: Path, kind: str
) -> None:
    machine.tool(*MAKERS[kind](f"/dev/{disk}", PAGE))
    machine.attach(0)
    path, said = cached(rdctl, disk, "writeback")
    assert said == ""
    holds_files(path, tmp_path / "mnt")
    rdctl.ok("cache", "remove", Path(path).name)
    assert mounts(f"/dev/{disk}", tmp_path / "mnt")
    assert (tmp_path / "mnt/file").read_bytes() == b"written" * PAGE
    machine.tool("umount", tmp_path / "mnt")
    machine.wipe(f"/dev/{disk}", MIB)


def test_swap_space(rdctl: Program, disk: str) -> None:
    machine.tool("mkswap", f"/dev/{disk}")
    machine.attach(0)
    path, said = cached(rdctl, disk, "writeback")
    assert said == ""
    machine.tool("swapon", path)
    machine.tool("swapoff", path)
    rdctl.ok("cache", "remove", Path(path).name)
    machine.wipe(f"/dev/{disk}", MIB)


@pytest.mark.parametrize(("label", "kind"), [("gpt", "GPT"), ("dos", "MBR")])
def test_a_partition_table(
    rdctl: Program, disk: str, partitioned: Callable[[str], str], label: str, kind: str
) -> None:
    """Of a whole disk it is refused; its partitions are cached one by one."""
    partition = partitioned(label)
    machine.attach(0)
    assert f"its {kind} partition table has 512-byte sectors" in refused(rdctl, disk, "writeback")
    path, said = cached(rdctl, partition, "writeback")
    assert said == ""
    rdctl.ok("cache", "remove", Path(path).name)
    machine.tool("udevadm", "settle")
    machine.tool("wipefs", "--all", f"/dev/{disk}")
    machine.until(lambda: not Path(f"/dev/{partition}").exists(), "the partition is gone")
    # wipefs clears the signatures and leaves the entries of the table.
    assert "not recognized" in cached(rdctl, disk, "writeback")[1]


def test_what_is_not_recognized_is_warned_of(rdctl: Program, disk: str) -> None:
    machine.attach(0)
    machine.fill(f"/dev/{disk}", MIB, seed="unknown")
    _, said = cached(rdctl, disk, "writeback")
    assert f"the contents of {disk} are not recognized" in said
