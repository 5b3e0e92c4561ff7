"""Arithmetic of the erasure code: sums of payloads, weighted in GF(2^16).

A payload is a row of little-endian words of 16 bits. As one large integer, all its words are added
(XOR) or doubled by a few operations: fast without C code of our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from rdctl.core.buffers import Buffer

_POLYNOMIAL = 0x1100B
_ORDER = 1 << 16
# What is computed at a time: it fits into the cache of a processor.
_PIECE = 1 << 16


def product(left: int, right: int) -> int:
    """The product of two numbers of the field."""
    result = 0
    while right:
        if right & 1:
            result ^= left
        left <<= 1
        if left & _ORDER:
            left ^= _POLYNOMIAL
        right >>= 1
    return result


def inverse(number: int) -> int:
    """The number to the power of 2^16 - 2; `number` is not 0."""
    result, power = 1, number
    for _ in range(15):
        power = product(power, power)
        result = product(result, power)
    return result


class Terms:
    """Payloads of one length of which several sums are made. Others can be added meanwhile."""

    def __init__(self, payloads: Mapping[int, Buffer]) -> None:
        self._payloads = payloads
        self._numbers: dict[int, list[int]] = {}
        size = len(next(iter(payloads.values())))
        self._sizes = [min(_PIECE, size - at) for at in range(0, size, _PIECE)]

    def sum(self, weights: Mapping[int, int]) -> bytes:
        """The sum of the payloads that have a weight, each multiplied by it."""
        columns = zip(*map(self._pieces, weights), strict=True)
        return b"".join(
            _sum(numbers, list(weights.values()), size)
            for numbers, size in zip(columns, self._sizes, strict=True)
        )

    def _pieces(self, index: int) -> list[int]:
        """The pieces of a payload, as numbers."""
        if index not in self._numbers:
            view = memoryview(self._payloads[index])
            self._numbers[index] = [
                int.from_bytes(view[number * _PIECE :][:size], "little")
                for number, size in enumerate(self._sizes)
            ]
        return self._numbers[index]


def _sum(numbers: Sequence[int], weights: Sequence[int], size: int) -> bytes:
    """Bit by bit of the weights, from the top."""
    tops = _tops(size)
    total = 0
    for bit in reversed(range(max(weights).bit_length())):
        over = total & tops
        total = (total ^ over) << 1 ^ (over >> 15) * (_POLYNOMIAL - _ORDER)  # doubled
        for number, weight in zip(numbers, weights, strict=True):
            if weight >> bit & 1:
                total ^= number
    return total.to_bytes(size, "little")


@lru_cache(maxsize=16)
def _tops(size: int) -> int:
    """The top bit of each word."""
    return int.from_bytes(b"\x00\x80" * (size // 2), "little")
