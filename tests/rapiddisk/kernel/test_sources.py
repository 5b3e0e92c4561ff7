"""What a cache cannot do to a source is refused, before anything is asked or done."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdctl.rapiddisk.kernel.formats import DeviceContents, recognize
from tests.conftest import Ran
from tests.fakes import formats
from tests.fakes.kernel import MIB, PAGE, FakeKernel

Local = Callable[..., Ran]
POLICIES = ("write-through", "write-around", "writeback")
THROUGH = POLICIES[:2]


@pytest.fixture
def volumes(kernel: FakeKernel, local: Local) -> Local:
    kernel.add_volume(0)
    kernel.add_volume(1)
    return local


def create(local: Local, source: str, policy: str, *words: str) -> Ran:
    return local(
        *("rapiddisk", "cache", "create", "rd0", source, "--policy", policy, "--yes"), *words
    )


def refused(kernel: FakeKernel, local: Local, source: str, policy: str) -> tuple[str, str]:
    """The message and the hint of a refusal, before which nobody was asked and nothing was done; a
    dry run and an answer that would be Yes change nothing of it."""
    before = kernel.snapshot()
    for words in ((), ("--dry-run",), ("--discard-contents",)):
        ran = create(local, source, policy, "--json", *words)
        assert ran.code == 4, ran.out + ran.err
        error = ran.json["error"]
        assert (error["code"], error["target"]) == ("conflict", source)
    asked = local("rapiddisk", "cache", "create", "rd0", source, "--policy", policy, tty=True)
    assert (asked.code, "[y/N]" in asked.err) == (4, False)
    assert kernel.steps == 0
    assert kernel.snapshot() == before
    return error["message"], error["hint"]


def passes(local: Local, source: str, policy: str) -> str:
    """What is said of a cache that is made all the same."""
    ran = create(local, source, policy)
    assert ran.code == 0, ran.err
    return ran.err


# --- read-only ----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_a_read_only_source(kernel: FakeKernel, volumes: Local, policy: str) -> None:
    kernel.put("sys/block/vdb/ro", "1\n")
    message, hint = refused(kernel, volumes, "vdb", policy)
    assert message == "cannot cache vdb: it is read-only"
    assert hint == "Make it writable: blockdev --setrw /dev/vdb"
    kernel.put("sys/block/vdb/ro", "0\n")
    assert passes(volumes, "vdb", policy) == ""


@pytest.mark.parametrize("policy", POLICIES)
def test_a_read_only_partition(kernel: FakeKernel, volumes: Local, policy: str) -> None:
    kernel.add_partition("vdb", "vdb1", "254:17")
    kernel.put("sys/block/vdb/vdb1/ro", "1\n")
    message, hint = refused(kernel, volumes, "vdb1", policy)
    assert message == "cannot cache vdb1: it is read-only"
    assert hint == "Make it writable: blockdev --setrw /dev/vdb1"


@pytest.mark.parametrize("own", ["0\n", "1\n"])
def test_a_partition_of_a_read_only_disk(kernel: FakeKernel, volumes: Local, own: str) -> None:
    """Since Linux 5.11 the partition says so itself; before, only the disk does."""
    kernel.add_partition("vdb", "vdb1", "254:17")
    kernel.put("sys/block/vdb/vdb1/ro", own)
    kernel.put("sys/block/vdb/ro", "1\n")
    message, hint = refused(kernel, volumes, "vdb1", "write-through")
    assert message == "cannot cache vdb1: its disk vdb is read-only"
    assert hint == "Make it writable: blockdev --setrw /dev/vdb"


def test_a_read_only_mapping(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_linear("vg-lv", "vdb")
    kernel.put("sys/block/dm-0/ro", "1\n")
    message, hint = refused(kernel, volumes, "vg-lv", "write-around")
    assert message == "cannot cache vg-lv: it is read-only"
    assert hint == "Make it writable: blockdev --setrw /dev/mapper/vg-lv"


def test_a_locked_volume_is_named_as_that(volumes: Local) -> None:
    """Its lock is what makes it read-only, and rdctl takes it off."""
    assert volumes("rapiddisk", "lock", "rd1").code == 0
    ran = create(volumes, "rd1", "write-through", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "locked")


# --- blocks and size ----------------------------------------------------------------------------


@pytest.mark.parametrize("policy", THROUGH)
def test_a_disk_of_large_blocks(kernel: FakeKernel, volumes: Local, policy: str) -> None:
    """rapiddisk-cache says that its blocks have 512 bytes, and the disk takes none of these."""
    kernel.add_disk("sdc", 512 * MIB, "8:32", block=4096)
    message, hint = refused(kernel, volumes, "sdc", policy)
    assert message == (
        f"cannot cache sdc with policy {policy}: its logical blocks have 4096 bytes, but the kernel"
        " module rapiddisk-cache supports only 512"
    )
    assert hint == (
        "Use a writeback cache: rdctl --local rapiddisk cache create rd0 sdc --policy writeback"
    )
    assert passes(volumes, "sdc", "writeback") == ""


def test_a_partition_has_the_blocks_of_its_disk(kernel: FakeKernel, volumes: Local) -> None:
    kernel.add_disk("sdc", 512 * MIB, "8:32", block=4096)
    kernel.add_partition("sdc", "sdc1", "8:33")
    message, _ = refused(kernel, volumes, "sdc1", "write-through")
    assert "its logical blocks have 4096 bytes" in message
    kernel.write_disk("sdc1", formats.ext("ext4", 1024))
    assert passes(volumes, "sdc1", "writeback") == ""


def test_a_writeback_cache_has_large_blocks_itself(kernel: FakeKernel, volumes: Local) -> None:
    kernel.map_cache("rc-wb_vdb", "rd1", "vdb")
    message, _ = refused(kernel, volumes, "rc-wb_vdb", "write-through")
    assert message.startswith("cannot cache rc-wb_vdb with policy write-through: ")


@pytest.mark.parametrize("sectors", [1, 7])
def test_a_size_that_is_no_multiple(kernel: FakeKernel, volumes: Local, sectors: int) -> None:
    size = 512 * MIB + sectors * 512
    kernel.add_disk("sdc", size, "8:32")
    message, hint = refused(kernel, volumes, "sdc", "writeback")
    assert message == (
        f"cannot cache sdc with policy writeback: its size, {size} bytes, is not a multiple of"
        " 4 KiB"
    )
    assert hint == "Use --policy write-through or --policy write-around."
    assert passes(volumes, "sdc", "write-through") == ""


# --- contents -----------------------------------------------------------------------------------

# What cannot live on blocks of 4 KiB, and what the refusal says of it.
TOO_SMALL = {
    "ext2 of 1 KiB": (formats.ext("ext2", 1024), "its ext2 file system has 1024-byte blocks"),
    "ext3 of 2 KiB": (formats.ext("ext3", 2048), "its ext3 file system has 2048-byte blocks"),
    "ext4 of 1 KiB": (formats.ext("ext4", 1024), "its ext4 file system has 1024-byte blocks"),
    "XFS": (formats.xfs(512), "its XFS file system has 512-byte sectors"),
    "FAT12": (formats.fat(12, 512), "its FAT12 file system has 512-byte sectors"),
    "FAT16": (formats.fat(16, 2048), "its FAT16 file system has 2048-byte sectors"),
    "FAT32": (formats.fat(32, 512), "its FAT32 file system has 512-byte sectors"),
    "exFAT": (formats.exfat(512), "its exFAT file system has 512-byte sectors"),
    "NTFS": (formats.ntfs(512), "its NTFS file system has 512-byte sectors"),
}
TABLES = {
    "GPT": (formats.gpt(), "its GPT partition table has 512-byte sectors"),
    "MBR": (formats.mbr((0x83, 2048, 8192)), "its MBR partition table has 512-byte sectors"),
    "MBR, last entry": (
        formats.mbr((0, 0, 0), (0, 0, 0), (0, 0, 0), (0x8E, 63, 99)),
        "its MBR partition table has 512-byte sectors",
    ),
    "MBR, boot code": (
        formats.mbr((0x0C, 2048, 8192), code=b"\xeb\x63\x90GRUB"),
        "its MBR partition table has 512-byte sectors",
    ),
}
EITHER = {**TOO_SMALL, **TABLES}
FINE = {
    "nothing": b"",
    "zeros": bytes(1 << 17),
    "ext2": formats.ext("ext2", 4096),
    "ext4": formats.ext("ext4", 4096),
    "ext4 of 64 KiB": formats.ext("ext4", 65536),
    "XFS": formats.xfs(4096),
    "FAT16": formats.fat(16, 4096),
    "FAT32": formats.fat(32, 4096),
    "exFAT": formats.exfat(4096),
    "NTFS": formats.ntfs(4096),
    "btrfs": formats.btrfs(),
    "swap": formats.swap(),
}
# Neither blank nor known: the operator is warned.
UNKNOWN = {
    "text": b"label",
    "beyond the first page": bytes(PAGE) + b"\xfc\x4e\x2b\xa9",
    "noise": random.Random(1).randbytes(1 << 17),
    "boot code alone": formats.mbr(code=b"\xeb\x63\x90GRUB"),
    "no status of a partition": formats.mbr((0x83, 2048, 8192)).replace(
        b"\0\x20\x21\0", b"\x7f\x20\x21\0"
    ),
    "a partition of no size": formats.mbr((0x83, 2048, 0)),
    "a partition that begins at 0": formats.mbr((0x83, 0, 8192)),
    "ext4 of impossible blocks": formats.ext("ext4", 1 << 20),
    "XFS of impossible sectors": formats.xfs(0),
    "FAT of impossible sectors": formats.fat(32, 500),
    "exFAT of impossible sectors": formats.exfat(1 << 20),
    "ext4, wiped": formats.ext("ext4", 1024).replace(b"\x53\xef", b"\0\0"),
    "FAT32, wiped": bytes(3) + formats.fat(32, 512)[3:510],
    "cut short": formats.ext("ext4", 1024)[:1040],
}


@pytest.mark.parametrize("what", EITHER)
def test_contents_that_need_smaller_blocks(kernel: FakeKernel, volumes: Local, what: str) -> None:
    contents, reason = EITHER[what]
    kernel.write_disk("vdb", contents)
    message, hint = refused(kernel, volumes, "vdb", "writeback")
    unit = reason.rpartition(" ")[2]
    assert message == (
        f"cannot cache vdb with policy writeback: {reason}; a writeback cache requires {unit} of at"
        " least 4096 bytes"
    )
    assert hint == (
        "Use --policy write-through or --policy write-around; or, if the contents are not needed,"
        " erase them: wipefs --all /dev/vdb"
    )
    for policy in THROUGH:
        assert passes(volumes, "vdb", policy) == ""
        (name,) = kernel.maps
        assert volumes("rapiddisk", "cache", "remove", name, "--yes").code == 0
        assert volumes("rapiddisk", "flush", "rd0", "--yes").code == 0


@pytest.mark.parametrize("what", FINE)
def test_contents_that_are_fine(kernel: FakeKernel, volumes: Local, what: str) -> None:
    kernel.write_disk("vdb", FINE[what])
    assert passes(volumes, "vdb", "writeback") == ""


@pytest.mark.parametrize("what", UNKNOWN)
def test_contents_that_are_not_recognized(kernel: FakeKernel, volumes: Local, what: str) -> None:
    kernel.write_disk("vdb", UNKNOWN[what])
    told = passes(volumes, "vdb", "writeback")
    assert "warning: the contents of vdb are not recognized: a writeback cache has blocks" in told


@pytest.mark.parametrize("what", TOO_SMALL)
def test_contents_of_a_partition(kernel: FakeKernel, volumes: Local, what: str) -> None:
    contents, reason = TOO_SMALL[what]
    kernel.add_partition("vdb", "vdb1", "254:17")
    kernel.write_disk("vdb1", contents)
    message, hint = refused(kernel, volumes, "vdb1", "writeback")
    assert reason in message
    assert "wipefs --all /dev/vdb1" in hint


@pytest.mark.parametrize("what", TABLES)
def test_a_table_within_a_partition(kernel: FakeKernel, volumes: Local, what: str) -> None:
    """The kernel reads none there; whoever does is not known."""
    kernel.add_partition("vdb", "vdb1", "254:17")
    kernel.write_disk("vdb1", TABLES[what][0])
    assert "the contents of vdb1 are not recognized" in passes(volumes, "vdb1", "writeback")


def test_a_partition_whose_disk_has_a_table(kernel: FakeKernel, volumes: Local) -> None:
    """It is the disk's, and the cache leaves that alone."""
    kernel.write_disk("vdb", formats.gpt())
    kernel.add_partition("vdb", "vdb1", "254:17")
    kernel.write_disk("vdb1", formats.ext("ext4", 4096))
    assert passes(volumes, "vdb1", "writeback") == ""


def test_what_an_earlier_format_left_counts(kernel: FakeKernel, volumes: Local) -> None:
    """Which of two is in use is not known."""
    kernel.write_disk("vdb", formats.ext("ext4", 4096))
    kernel.write_disk("vdb", formats.gpt())
    message, _ = refused(kernel, volumes, "vdb", "writeback")
    assert "its GPT partition table has 512-byte sectors" in message


def test_a_table_for_large_sectors(kernel: FakeKernel, volumes: Local) -> None:
    """Made where the disk had blocks of 4 KiB, as in a housing for USB; the cache makes it readable
    again. Its protective MBR is part of it."""
    kernel.write_disk("vdb", formats.gpt(4096))
    assert passes(volumes, "vdb", "writeback") == ""


@pytest.mark.parametrize("what", EITHER)
def test_contents_of_a_disk_of_large_blocks(kernel: FakeKernel, volumes: Local, what: str) -> None:
    """The cache takes nothing from it that the disk itself had."""
    kernel.add_disk("sdc", 512 * MIB, "8:32", block=4096)
    kernel.write_disk("sdc", EITHER[what][0])
    assert passes(volumes, "sdc", "writeback") == ""


def test_contents_of_a_volume_and_of_a_mapping(kernel: FakeKernel, volumes: Local) -> None:
    kernel.write_data("rd1", formats.xfs(512))
    message, hint = refused(kernel, volumes, "rd1", "writeback")
    assert "its XFS file system has 512-byte sectors" in message
    kernel.map_linear("vg-lv", "vdb")
    kernel.write_disk("dm-0", formats.ext("ext4", 1024))
    message, hint = refused(kernel, volumes, "vg-lv", "writeback")
    assert hint.endswith("wipefs --all /dev/mapper/vg-lv")


def test_a_source_that_cannot_be_read(kernel: FakeKernel, volumes: Local) -> None:
    """Whether it could be cached is for the kernel to say."""
    kernel.path("dev/vdb").unlink()
    kernel.path("dev/vdb").mkdir()
    told = passes(volumes, "vdb", "writeback")
    assert "the contents of vdb cannot be read: Is a directory" in told


def test_a_source_in_use_is_named_as_that(kernel: FakeKernel, volumes: Local) -> None:
    """What frees it comes first; its contents are looked at when it is free."""
    kernel.write_disk("vdb", formats.ext("ext4", 1024))
    kernel.mount("/dev/vdb", "/mnt")
    ran = create(volumes, "vdb", "writeback", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "in-use")


@given(st.data())
def test_any_bytes_are_looked_at(data: st.DataObject) -> None:
    """No device brings the recognition down; what it names has a name and a possible block."""
    disk = bytearray(data.draw(st.sampled_from([contents for contents, _ in EITHER.values()])))
    for at, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(disk) - 1), st.integers(0, 255)), max_size=8)
    ):
        disk[at] = byte
    size = data.draw(st.integers(0, len(disk)))

    def read(offset: int, count: int) -> bytes:
        return bytes(disk[:size][offset : offset + count])

    contents = recognize(read)
    assert isinstance(contents, DeviceContents)
    assert contents.blank is not any(disk[:size])
    for found in contents.formats:
        assert re.fullmatch(r"[A-Za-z0-9 ]+", found.name)
        assert found.block is None or found.block in {1 << n for n in range(9, 17)}
