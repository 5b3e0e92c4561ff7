"""What a block device holds: file systems, swap space and partition tables, by their signatures."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

Read = Callable[[int, int], bytes]

# Up to the end of the superblock that begins last, that of btrfs.
_HEAD = 68 << 10
_SECTORS = (512, 1024, 2048, 4096)
# Features that ext3 does not know: incompatible, and read-only compatible ones.
_EXT4 = (0xFFFFFFE1, 0xFFFFFFF8)
_HAS_JOURNAL = 0x4
_BOOT_SIGNATURE = b"\x55\xaa"


class DiskFormat(NamedTuple):
    """`block` is the smallest number of bytes that it reads or writes at a time, which the format
    calls `unit` (blocks, sectors); None if that is at least 4 KiB."""

    name: str
    block: int | None = None
    unit: str = "sectors"
    is_table: bool = False


class DeviceContents(NamedTuple):
    """`formats` are all that are recognized: an earlier one may have left its signature. Contents
    that are neither blank nor of any format are unknown."""

    blank: bool
    formats: tuple[DiskFormat, ...]


def recognize(read: Read) -> DeviceContents:
    """`read(offset, size)` returns the bytes of a device, fewer at its end."""
    head = read(0, _HEAD)
    blank = not any(head)
    head = head.ljust(_HEAD, b"\0")
    return DeviceContents(blank, () if blank else tuple(_formats(head)))


def _formats(head: bytes) -> Iterator[DiskFormat]:
    for find in (_ext, _xfs, _boot_sector, _swap, _btrfs):
        found = find(head)
        if found is not None:
            yield found
    # The boot sector of a file system has code where a partition table would be.
    table = _gpt(head) or (None if _boot_sector(head) else _mbr(head))
    if table is not None:
        yield table


def _number(form: str, head: bytes, offset: int) -> int:
    number: int = struct.unpack_from(form, head, offset)[0]
    return number


def _ext(head: bytes) -> DiskFormat | None:
    exponent = _number("<I", head, 1048)
    if head[1080:1082] != b"\x53\xef" or exponent > 6:
        return None
    compatible, incompatible, read_only = struct.unpack_from("<3I", head, 1116)
    if incompatible & _EXT4[0] or read_only & _EXT4[1]:
        kind = "ext4"
    else:
        kind = "ext3" if compatible & _HAS_JOURNAL else "ext2"
    return DiskFormat(f"{kind} file system", 1024 << exponent, "blocks")


def _xfs(head: bytes) -> DiskFormat | None:
    sector = _number(">H", head, 102)
    if not head.startswith(b"XFSB") or sector not in (*_SECTORS, 8192, 16384, 32768):
        return None
    return DiskFormat("XFS file system", sector)


def _boot_sector(head: bytes) -> DiskFormat | None:
    """FAT, exFAT and NTFS begin with one."""
    sector = _number("<H", head, 11)
    if head[3:11] == b"EXFAT   ":
        name, sector = "exFAT", 1 << min(head[108], 16)
    elif head[3:11] == b"NTFS    ":
        name = "NTFS"
    elif _is_fat(head):
        kind = head[82:87] if head[82:85] == b"FAT" else head[54:59]
        name = kind.decode() if kind in (b"FAT12", b"FAT16", b"FAT32") else "FAT"
    else:
        return None
    return DiskFormat(f"{name} file system", sector) if sector in _SECTORS else None


def _is_fat(head: bytes) -> bool:
    """The fields that the kernel checks, too; FAT has no signature of its own."""
    cluster, reserved, tables = struct.unpack_from("<BHB", head, 13)
    return (
        head[0] in (0xEB, 0xE9)
        and cluster.bit_count() == 1
        and reserved > 0
        and tables in (1, 2)
        and (head[21] == 0xF0 or head[21] >= 0xF8)
    )


def _swap(head: bytes) -> DiskFormat | None:
    return DiskFormat("swap space") if head[4086:4096] in (b"SWAPSPACE2", b"SWAP-SPACE") else None


def _btrfs(head: bytes) -> DiskFormat | None:
    return DiskFormat("btrfs file system") if head[65600:65608] == b"_BHRfS_M" else None


def _gpt(head: bytes) -> DiskFormat | None:
    """Its header is in the second sector, whatever the sector size was when it was created."""
    for sector in (512, 4096):
        if head[sector : sector + 8] == b"EFI PART":
            return DiskFormat("GPT partition table", sector, is_table=True)
    return None


def _mbr(head: bytes) -> DiskFormat | None:
    """Many boot sectors have the signature: a table also has a used entry, and no invalid one."""
    if head[510:512] != _BOOT_SIGNATURE:
        return None
    used = False
    for offset in range(446, 510, 16):
        status, kind, start, count = struct.unpack_from("<B3xB3x2I", head, offset)
        if status not in (0x00, 0x80):
            return None
        used = used or bool(kind and start and count)
    return DiskFormat("MBR partition table", 512, is_table=True) if used else None
