"""The fragments of segments in memory that is used again and again, and the process that computes
their parity there.

The codec is pure Python, which only one thread at a time executes: in a process of its own, it
takes no time from the threads that send.
"""

from __future__ import annotations

import mmap

from rdctl.effects.helper import answer
from rdctl.oio.erasure.codec import Codec
from rdctl.oio.erasure.fragments import HEADER_SIZE, SEGMENT, fragment_size, header, payload_size


class Stripe:
    """The fragments of one segment, one after the other, each with its header."""

    def __init__(self, k: int, m: int, memory: memoryview) -> None:
        self._k, self._m = k, m
        self._memory = memory
        self.size = 0

    @staticmethod
    def room(k: int, m: int) -> int:
        """The length of the memory that it needs, in whole pages."""
        return -(-(k + m) * fragment_size(k, SEGMENT) // mmap.PAGESIZE) * mmap.PAGESIZE

    def prepare(self, size: int) -> list[memoryview]:
        """Everything but the bytes of a segment of that length: the places that these go to."""
        self.size = size
        each, places = payload_size(self._k, size), []
        for index in range(self._k + self._m):
            self.fragment(index)[:HEADER_SIZE] = header(self._k, index, size)
        for index in range(self._k):
            used = min(max(size - index * each, 0), each)
            payload = self._payload(index)
            payload[used:] = bytes(each - used)
            places.append(payload[:used])
        return places

    def fragment(self, index: int) -> memoryview:
        each = fragment_size(self._k, self.size)
        return self._memory[index * each : (index + 1) * each]

    def add_parity(self, codec: Codec) -> None:
        data = [bytes(self._payload(index)) for index in range(self._k)]
        for row, part in enumerate(codec.parity(data, self.size), self._k):
            self._payload(row)[:] = part

    def _payload(self, index: int) -> memoryview:
        return self.fragment(index)[HEADER_SIZE:]


def stripes(k: int, m: int, memory: memoryview) -> list[Stripe]:
    """All that fit into the memory."""
    each = Stripe.room(k, m)
    starts = range(0, len(memory) - each + 1, each)
    return [Stripe(k, m, memory[start : start + each]) for start in starts]


def serve(k: int, m: int, memory: int, *wires: int) -> None:
    """What the process does: a job is the number of a stripe, and the length of its segment."""
    codec = Codec(k, m)
    known = stripes(k, m, memoryview(mmap.mmap(memory, 0)))

    def encode(number: int, size: int) -> None:
        known[number].size = size
        known[number].add_parity(codec)

    answer(wires, encode)
