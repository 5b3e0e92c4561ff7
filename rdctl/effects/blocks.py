"""Blocks of a device that are zero, which take no space in a file and no memory in a volume."""

from __future__ import annotations

from collections.abc import Iterator

# Large enough for the speed of memory, small enough to be held several times.
PIECE = 1 << 20
_ZEROS = bytes(PIECE)
# What is zero is left out in blocks of this size, that of a page and of most file systems.
_BLOCK = 4096


def is_zero(piece: bytes) -> bool:
    return piece == (_ZEROS if len(piece) == PIECE else bytes(len(piece)))


def runs(piece: bytes) -> Iterator[tuple[int, int]]:
    """Where the blocks that are not zero begin and end, as few runs as possible."""
    if is_zero(piece):
        return
    start = None
    zeros = _ZEROS[:_BLOCK]
    for at in range(0, len(piece), _BLOCK):
        block = piece[at : at + _BLOCK]
        if block == zeros or (len(block) < _BLOCK and is_zero(block)):
            if start is not None:
                yield start, at
            start = None
        elif start is None:
            start = at
    if start is not None:
        yield start, len(piece)
