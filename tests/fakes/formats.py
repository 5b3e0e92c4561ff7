"""The first bytes of what a disk may hold, as the tools that make it were seen to write them."""

from __future__ import annotations

import struct
from collections.abc import Mapping

SECTOR = 512
PAGE = 4096


def _laid_out(parts: Mapping[int, bytes]) -> bytes:
    """The parts at their offsets, zeros between them."""
    data = bytearray()
    for offset, part in sorted(parts.items()):
        assert len(data) <= offset, "the parts overlap"
        data += bytes(offset - len(data)) + part
    return bytes(data)


# What tells ext2, ext3 and ext4 apart: compatible, incompatible and read-only compatible features,
# as mke2fs -t writes them.
_EXT = {
    "ext2": (0x38, 0x2, 0x3),
    "ext3": (0x3C, 0x2, 0x3),
    "ext4": (0x3C, 0x2C2, 0x46B),
}


def ext(kind: str, block: int) -> bytes:
    """mke2fs -t KIND -b BLOCK"""
    return _laid_out(
        {
            1024: struct.pack("<3I", 8192, 32768, 1638),
            1048: struct.pack("<I", (block // 1024).bit_length() - 1),
            1080: b"\x53\xef",
            1116: struct.pack("<3I", *_EXT[kind]),
            1128: b"\x7a" * 16,
        }
    )


def xfs(sector: int) -> bytes:
    """mkfs.xfs -s size=SECTOR"""
    return _laid_out(
        {
            0: b"XFSB" + struct.pack(">I", PAGE),
            32: b"\x7a" * 16,
            100: struct.pack(">2H", 0xB4A5 if sector == SECTOR else 0xBCA5, sector),
        }
    )


def fat(bits: int, sector: int) -> bytes:
    """mkfs.vfat -F BITS -S SECTOR"""
    kind = f"FAT{bits}   ".encode()
    small = struct.pack("<BHBHHB", 4, 4, 2, 512, 16384, 0xF8)
    large = struct.pack("<BHBHHB", 1, 32, 2, 0, 0, 0xF8)
    return _laid_out(
        {
            0: b"\xeb\x58\x90mkfs.fat" if bits == 32 else b"\xeb\x3c\x90mkfs.fat",
            11: struct.pack("<H", sector) + (large if bits == 32 else small),
            82 if bits == 32 else 54: kind,
            510: b"\x55\xaa",
        }
    )


def exfat(sector: int) -> bytes:
    """mkfs.exfat, on a disk of such sectors"""
    return _laid_out(
        {
            0: b"\xeb\x76\x90EXFAT   ",
            108: bytes([sector.bit_length() - 1, 3, 1, 0x80]),
            510: b"\x55\xaa",
        }
    )


def ntfs(sector: int) -> bytes:
    """mkfs.ntfs -s SECTOR"""
    return _laid_out(
        {
            0: b"\xeb\x52\x90NTFS    ",
            11: struct.pack("<HB", sector, max(PAGE // sector, 1)),
            21: b"\xf8",
            510: b"\x55\xaa",
        }
    )


def mbr(*partitions: tuple[int, int, int], code: bytes = b"") -> bytes:
    """sfdisk, label dos: type, first sector and number of sectors of each partition."""
    entries = [
        struct.pack("<B3sB3s2I", 0, b"\x20\x21\x00", kind, b"\x8a\x08\x82", start, count)
        for kind, start, count in partitions
    ]
    return _laid_out({0: code, 446: b"".join(entries).ljust(64, b"\0"), 510: b"\x55\xaa"})


def gpt(sector: int = SECTOR) -> bytes:
    """sfdisk, label gpt"""
    header = b"EFI PART" + struct.pack("<2I", 0x10000, 92)
    return _laid_out({0: mbr((0xEE, 1, 65535)), sector: header})


def swap() -> bytes:
    """mkswap"""
    return _laid_out({1024: struct.pack("<2I", 1, 8191), PAGE - 10: b"SWAPSPACE2"})


def btrfs() -> bytes:
    """mkfs.btrfs"""
    return _laid_out({65536: b"\x7a" * 32, 65600: b"_BHRfS_M"})
