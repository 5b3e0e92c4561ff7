"""What dm-writecache leaves in a volume: a superblock at byte 0, and one entry per block.

The layout is that of drivers/md/dm-writecache.c: magic, version, block size, padding (32 bits
each), number of blocks, sequence number (64 bits each), zeros up to byte 64; then the entries, each
the sector on the source and a sequence number. All of it is little-endian. A block that was
written back keeps its sector and loses its sequence number.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable

from rdctl.rapiddisk.model import Superblock

_SECTOR = 512
_HEADER = struct.Struct("<IIIIQQ")
_MAGIC = 0x23489321
_ENTRIES = 64
_ENTRY = 16
_NONE = (1 << 64) - 1
_BLOCK_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_PIECE = 1 << 20


def superblock(read: Callable[[int, int], bytes], size: int) -> Superblock | None:
    """What a volume of `size` bytes holds for its source, by `read(offset, size)`; None when it
    does not begin with a write-back cache."""
    header = read(0, _HEADER.size)
    if len(header) < _HEADER.size:
        return None
    magic, _, block_size, _, count, _ = _HEADER.unpack(header)
    if magic != _MAGIC or block_size not in _BLOCK_SIZES:
        return None
    end = min(_ENTRIES + count * _ENTRY, size)
    blocks = last = 0
    for offset in range(_ENTRIES, end - _ENTRY + 1, _PIECE):
        piece = read(offset, min(_PIECE, end - offset))
        for sector in _unwritten(piece):
            blocks += 1
            last = max(last, sector)
    return Superblock(block_size, blocks, last * _SECTOR + block_size if blocks else 0)


def _unwritten(piece: bytes) -> list[int]:
    """The sectors of the entries that are not free."""
    numbers = array("Q", piece[: len(piece) // _ENTRY * _ENTRY])
    if sys.byteorder == "big":
        numbers.byteswap()
    sequence = numbers[1::2]
    if sequence.count(_NONE) == len(sequence):
        return []
    return [
        sector
        for sector, number in zip(numbers[::2], sequence, strict=True)
        if _NONE not in (sector, number)
    ]
