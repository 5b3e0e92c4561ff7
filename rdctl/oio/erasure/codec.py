"""The Reed-Solomon code `liberasurecode_rs_vand`.

Word by word, the data payloads of a segment are, scaled, the values of a polynomial of a degree
below k at 0 to k-1; the parity payloads are its values at k, k+1 and so on. The scale makes the
first parity payload the XOR of the data. So any payload is a weighted sum of any k others, with the
weights of Lagrange.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from rdctl.core.buffers import Buffer, keep_freed_memory
from rdctl.core.once import once
from rdctl.oio.erasure.field import Terms, inverse, product
from rdctl.oio.erasure.fragments import header, payload, payload_size
from rdctl.oio.erasure.library import Library


class Codec:
    """`k` data fragments and `m` parity fragments of each segment, of which any `k` suffice.

    Fragments are given with their headers, by their index, and with the length of their segment:
    one that contradicts these raises DamagedFragment.
    """

    def __init__(self, k: int, m: int) -> None:
        self.k, self.m = k, m
        keep_freed_memory()

    def encode(self, segment: Buffer) -> list[bytes]:
        """All k+m fragments of a segment of at least one byte."""
        data = self._cut(segment)
        parts = data + self.parity(data, len(segment))
        return [header(self.k, index, len(segment)) + part for index, part in enumerate(parts)]

    def parity(self, data: Sequence[bytes], size: int) -> list[bytes]:
        """The parity payloads of the data payloads of a segment of that length."""
        found = self._library.parity(b"".join(data)[:size]) if self._library else None
        return found or self._parity(data)

    def decode(self, fragments: Mapping[int, Buffer], size: int) -> bytes:
        """The segment of that length from k of its fragments. If these are all data fragments, no
        arithmetic is needed."""
        sources = self._sources(fragments)
        parts = self._payloads(fragments, sources, size)
        if sources[-1] >= self.k:
            self._rebuild(parts)
        return b"".join(parts[index] for index in range(self.k))[:size]

    def is_consistent(self, fragments: Mapping[int, Buffer], size: int) -> bool:
        """Whether fragments, more than k, all agree; if not, at least one of them is wrong."""
        sources = self._sources(fragments)
        parts = self._payloads(fragments, fragments, size)
        terms = Terms(parts)
        return all(
            terms.sum(weights(self.k, sources, index)) == parts[index]
            for index in fragments
            if index not in sources
        )

    @property
    def has_library(self) -> bool:
        """Whether another library encodes, faster than pure Python."""
        return self._library is not None

    @once
    def _library(self) -> Library | None:
        """PyECLib, if it is installed and encodes to the same bytes."""
        library = Library.load(self.k, self.m)
        probe = bytes(range(1, 256)) * self.k
        if library is None or library.parity(probe) != self._parity(self._cut(probe)):
            return None
        return library

    def _sources(self, fragments: Mapping[int, Buffer]) -> tuple[int, ...]:
        """The fragments to compute from: all data fragments, then the first parity fragments."""
        if len(fragments) < self.k:
            raise ValueError(f"{len(fragments)} fragments, but {self.k} are needed")
        return tuple(sorted(fragments)[: self.k])

    def _payloads(
        self, fragments: Mapping[int, Buffer], chosen: Iterable[int], size: int
    ) -> dict[int, bytes]:
        return {index: bytes(payload(fragments[index], self.k, index, size)) for index in chosen}

    def _cut(self, segment: Buffer) -> list[bytes]:
        """The data payloads, the last ones padded with zeros."""
        each, view = payload_size(self.k, len(segment)), memoryview(segment)
        starts = range(0, self.k * each, each)
        return [bytes(view[start : start + each]).ljust(each, b"\0") for start in starts]

    def _parity(self, data: Sequence[bytes]) -> list[bytes]:
        terms, sources = Terms(dict(enumerate(data))), tuple(range(self.k))
        return [terms.sum(weights(self.k, sources, self.k + row)) for row in range(self.m)]

    def _rebuild(self, parts: dict[int, bytes]) -> None:
        """Add the missing data payloads. With the first parity, the last of them is an XOR."""
        sources = tuple(parts)
        terms = Terms(parts)
        lost = [index for index in range(self.k) if index not in parts]
        for index in lost[:-1]:
            parts[index] = terms.sum(weights(self.k, sources, index))
        if self.k in parts:
            sources = tuple(one for one in range(self.k + 1) if one != lost[-1])
        parts[lost[-1]] = terms.sum(weights(self.k, sources, lost[-1]))


@lru_cache(maxsize=1024)
def weights(k: int, sources: tuple[int, ...], target: int) -> Mapping[int, int]:
    """How much of each of k payloads makes up the target's."""
    found = {}
    for index in sources:
        top = bottom = 1
        for other in sources:
            if other != index:
                top = product(top, target ^ other)
                bottom = product(bottom, index ^ other)
        top = product(top, _scale(k, index))
        bottom = product(bottom, _scale(k, target))
        found[index] = product(top, inverse(bottom))
    return found


@lru_cache(maxsize=1024)
def _scale(k: int, index: int) -> int:
    """What a payload is multiplied by to be the value of the polynomial at its index."""
    top = bottom = 1
    if index < k:
        for other in range(k):
            if other != index:
                top = product(top, index ^ other)
                bottom = product(bottom, k ^ other)
    return product(top, inverse(bottom))
