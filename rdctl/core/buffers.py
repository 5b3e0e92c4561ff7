"""Bytes in several places that are read or written with one call, and memory for many of them."""

from __future__ import annotations

from collections.abc import Sequence

Buffer = bytes | bytearray | memoryview
# More than any block that is used for a moment.
_KEPT = 8 << 20


def keep_freed_memory() -> None:
    """Use memory again instead of returning it to the kernel, which has to clear it before it gives
    it out again. The C library does so for blocks up to the largest one that was ever freed; on
    others than that of GNU, this does nothing."""
    bytearray(_KEPT)


def rest_of(parts: Sequence[Buffer], count: int) -> list[Buffer]:
    """What is left of them after their first `count` bytes."""
    rest = list(parts)
    while rest and count >= len(rest[0]):
        count -= len(rest.pop(0))
    if count:
        rest[0] = memoryview(rest[0])[count:]
    return rest
