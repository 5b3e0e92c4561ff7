"""Arithmetic of the erasure code: sums of payloads, weighted in GF(2^16).

A payload is a row of little-endian words of 16 bits. `bytes.translate` multiplies all its bytes by
a table, and XOR of large integers adds: fast without C code of our own. A table is made when its
weight is first used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

_POLYNOMIAL = 0x1100B
_ORDER = 1 << 16


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
    """Payloads of one length of which several sums are made."""

    def __init__(self, payloads: Mapping[int, bytes]) -> None:
        self._payloads = payloads
        self._halves: dict[int, tuple[bytes, bytes]] = {}

    def sum(self, weights: Mapping[int, int]) -> bytes:
        """The sum of the payloads that have a weight, each multiplied by it."""
        size = len(next(iter(self._payloads.values())))
        if set(weights.values()) == {1}:
            total = 0
            for index in weights:
                total ^= int.from_bytes(self._payloads[index], "little")
            return total.to_bytes(size, "little")
        low = high = 0
        for index, weight in weights.items():
            lows, highs = self._split(index)
            table = _table(weight)
            low ^= _int(lows, table.low_of_low) ^ _int(highs, table.low_of_high)
            high ^= _int(lows, table.high_of_low) ^ _int(highs, table.high_of_high)
        words = bytearray(size)
        words[0::2] = low.to_bytes(size // 2, "little")
        words[1::2] = high.to_bytes(size // 2, "little")
        return bytes(words)

    def _split(self, index: int) -> tuple[bytes, bytes]:
        """The low bytes of all words, and the high bytes."""
        if index not in self._halves:
            payload = self._payloads[index]
            self._halves[index] = payload[0::2], payload[1::2]
        return self._halves[index]


def _int(data: bytes, table: bytes) -> int:
    return int.from_bytes(data.translate(table), "little")


class _Table(NamedTuple):
    """The products of one weight with all bytes: each byte of the product by each of the word."""

    low_of_low: bytes
    high_of_low: bytes
    low_of_high: bytes
    high_of_high: bytes


@lru_cache(maxsize=1024)
def _table(weight: int) -> _Table:
    low = _products(weight)
    high = _products(product(weight, 1 << 8))
    return _Table(*(bytes(part) for half in (low, high) for part in _bytes_of(half)))


def _products(weight: int) -> list[int]:
    """The products of a weight with 0 to 255."""
    found = [0]
    for bit in range(8):
        shifted = product(weight, 1 << bit)
        found += [one ^ shifted for one in found]
    return found


def _bytes_of(words: Sequence[int]) -> tuple[list[int], list[int]]:
    return [word & 0xFF for word in words], [word >> 8 for word in words]
