"""Bytes in several places that are read or written with one call."""

from __future__ import annotations

from collections.abc import Sequence

Buffer = bytes | bytearray | memoryview


def rest_of(parts: Sequence[Buffer], count: int) -> list[Buffer]:
    """What is left of them after their first `count` bytes."""
    rest = list(parts)
    while rest and count >= len(rest[0]):
        count -= len(rest.pop(0))
    if count:
        rest[0] = memoryview(rest[0])[count:]
    return rest
