"""Contents on their way between two machines: runs of bytes, without what is zero in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rdctl.effects.blocks import PIECE, runs

# Bytes of contents in one message: several wait on each side. And how much may be left out before
# one is sent, so that the progress of an empty disk is seen.
FULL = 512 << 10
_SPAN = 256 << 20
_ZEROS = memoryview(bytes(PIECE))


class Pack:
    """Runs of bytes from `start` on, each with its place."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.runs: list[tuple[int, int]] = []
        self.data = bytearray()

    def add(self, data: bytes | memoryview, at: int) -> None:
        self.runs.append((at, len(data)))
        self.data += data

    def is_full(self, end: int) -> bool:
        """Whether it is to be sent, now that the contents up to `end` are in it."""
        return len(self.data) >= FULL or end - self.start >= _SPAN


def packs(pieces: Iterable[bytes]) -> Iterator[tuple[Pack, int]]:
    """Contents in packs, each with its end."""
    pack, at = Pack(), 0
    for piece in pieces:
        whole = memoryview(piece)
        for start, end in runs(piece):
            pack.add(whole[start:end], at + start)
        at += len(piece)
        if pack.is_full(at):
            yield pack, at
            pack = Pack(at)
    yield pack, at


def unpacked(
    runs: Any, data: bytes, start: int, end: int
) -> Iterator[tuple[int, memoryview, bool]]:
    """What a pack has between `start` and `end`: each part with its place, and whether it is
    zero because it was left out. Raises ValueError for a pack that cannot be."""
    rest, at = memoryview(data), start
    for place, count in runs:
        if not (isinstance(place, int) and isinstance(count, int) and 0 < count <= len(rest)):
            raise ValueError("a run without its bytes")
        if not at <= place <= end - count:
            raise ValueError("a run outside of its place")
        yield from _zeros(at, place)
        yield place, rest[:count], False
        rest, at = rest[count:], place + count
    if rest:
        raise ValueError("bytes without a run")
    yield from _zeros(at, end)


def _zeros(start: int, end: int) -> Iterator[tuple[int, memoryview, bool]]:
    for at in range(start, end, PIECE):
        yield at, _ZEROS[: min(PIECE, end - at)], True
