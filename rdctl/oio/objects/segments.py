"""The segments of one metachunk, some at a time: their fragments received, and decoded.

Only these are in memory, however large the metachunk is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.once import once
from rdctl.oio.erasure.fragments import (
    HEADER_SIZE,
    DamagedFragment,
    Extent,
    fragment_size,
    payload,
    segment_count,
    segment_sizes,
    segments_extent,
)
from rdctl.oio.objects.gathering import Gathering, Services
from rdctl.oio.objects.layout import DAMAGE_HINT, Position, Scheme, hint_for
from rdctl.oio.rawx import Copy, Held, Rawx
from rdctl.workers import Workers

if TYPE_CHECKING:
    from rdctl.oio.erasure.codec import Codec

# The most segments received at a time, and of each of many objects.
MOST_SEGMENTS = 8
FEW_SEGMENTS = 2


def segments_at_a_time(scheme: Scheme, most: int = MOST_SEGMENTS) -> int:
    """As many as give about 1 MiB of each chunk file."""
    return min(scheme.k, most)


class Window(NamedTuple):
    """Some segments of a metachunk: the number of the first one, their sizes, and where their
    fragments are in each chunk file."""

    first: int
    sizes: tuple[int, ...]
    extent: Extent


class Part(NamedTuple):
    """The fragments of a window, from one chunk file, as a rawx sent them."""

    data: memoryview
    held: Held


Parts = Mapping[Copy, Part]


class Disagreement(NamedTuple):
    """The first segment whose fragments disagree: its size, and these fragments."""

    size: int
    fragments: dict[Copy, memoryview]


class Segments:
    """The segments of a metachunk. `damaged(copy, reason)` is called for a fragment whose header
    contradicts its place; `shown` names the metachunk."""

    def __init__(
        self,
        rawx: Rawx,
        workers: Workers,
        scheme: Scheme,
        position: Position,
        services: Services,
        damaged: Callable[[Copy, str], None],
        shown: str,
    ) -> None:
        self._rawx = rawx
        self._workers = workers
        self._scheme = scheme
        self._position = position
        self._services = services
        self._damaged = damaged
        self._shown = shown
        # Only a number: memory for a size that the proxy reports is not allocated at once.
        self.count = segment_count(position.size)

    @once
    def _codec(self) -> Codec:
        from rdctl.oio.erasure.codec import Codec

        return Codec(self._scheme.k, self._scheme.m)

    def window(self, first: int, end: int) -> Window:
        """The segments from `first` up to and without `end`."""
        size = self._position.size
        extent = segments_extent(self._scheme.k, size, first, end - 1)
        return Window(first, tuple(segment_sizes(size, first, end)), extent)

    def windows(
        self, copies: Sequence[Copy], most: int
    ) -> Generator[tuple[Window, Parts], None, None]:
        """All segments in their order, of up to `most` of these fragments and at least k."""
        step = segments_at_a_time(self._scheme)
        starts = range(0, self.count, step)
        coming = (self.window(first, min(first + step, self.count)) for first in starts)
        yield from self._workers.ordered(
            lambda window: (window, self.received(copies, window, most)), coming, 1
        )

    def received(self, copies: Sequence[Copy], window: Window, most: int) -> Parts:
        """The window of up to `most` of these fragments, of different indexes; at least k."""

        def receive(copy: Copy, repeatable: bool, check: Callable[[], None]) -> Part:
            return self._receive(copy, window, repeatable, check)

        if len({copy.fragment for copy in copies}) < self._scheme.k:
            listed = len({copy.fragment for copy in self._position.copies})
            raise RdctlError(Code.FAILED, self._too_few(listed, "are listed"), hint=DAMAGE_HINT)
        gathering = Gathering(receive, copies, self._services, self._workers.check)
        gathering.gather(self._scheme.k, most)
        if len(gathering.received) < self._scheme.k:
            raise self._lost(len(gathering.received), list(gathering.faults.values()))
        return gathering.received

    def _receive(
        self, copy: Copy, window: Window, repeatable: bool, check: Callable[[], None]
    ) -> Part:
        data = memoryview(bytearray(window.extent.size))
        first = window.extent.first
        held = self._rawx.get(copy, first, data, check=check, repeatable=repeatable)
        try:
            for size, fragment in self._cut(window, data):
                payload(fragment, self._scheme.k, copy.fragment, size)
        except DamagedFragment as error:
            self._damaged(copy, str(error))
            raise RdctlError(Code.BAD_REPLY, f"{copy.url}: {error}") from error
        return Part(data, held)

    def _cut(self, window: Window, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """The fragments of a window, each with the size of its segment."""
        at = 0
        for size in window.sizes:
            end = at + fragment_size(self._scheme.k, size)
            yield size, data[at:end]
            at = end

    def joined(self, window: Window, parts: Parts) -> memoryview:
        """The bytes of a window, from k fragments or more. With all data fragments, they are only
        copied."""
        data = memoryview(bytearray(sum(window.sizes)))
        at = 0
        for size, fragments in self._each(window, parts):
            into = data[at : at + size]
            by_index = {copy.fragment: fragment for copy, fragment in fragments.items()}
            if all(index in by_index for index in range(self._scheme.k)):
                _copy(into, [by_index[index] for index in range(self._scheme.k)])
            else:
                into[:] = self._codec.decode(by_index, size)
            at += size
        return data

    def decode(self, fragments: Mapping[Copy, memoryview], size: int) -> bytes:
        """One segment."""
        by_index = {copy.fragment: fragment for copy, fragment in fragments.items()}
        return self._codec.decode(by_index, size)

    def disagreement(self, window: Window, parts: Parts) -> Disagreement | None:
        """The first segment in which these fragments, more than k, disagree; None if all agree."""
        for size, fragments in self._each(window, parts):
            by_index = {copy.fragment: fragment for copy, fragment in fragments.items()}
            if not self._codec.is_consistent(by_index, size):
                return Disagreement(size, fragments)
        return None

    def _each(self, window: Window, parts: Parts) -> Iterator[tuple[int, dict[Copy, memoryview]]]:
        """Each segment's size and fragments."""
        cut = {
            copy: [one for _, one in self._cut(window, part.data)] for copy, part in parts.items()
        }
        for number, size in enumerate(window.sizes):
            yield size, {copy: fragments[number] for copy, fragments in cut.items()}

    def _lost(self, count: int, faults: Sequence[RdctlError]) -> RdctlError:
        """Fewer than k fragments were received."""
        first = faults[0]
        message = f"{self._too_few(count, 'can be read')}: {first.message}"
        # The object exists, its bytes do not.
        code = Code.FAILED if first.code is Code.NOT_FOUND else first.code
        return RdctlError(code, message, hint=hint_for(first), **first.facts)

    def _too_few(self, count: int, what: str) -> str:
        fragments = f"{count} of {self._scheme.wanted} fragments"
        return f"{self._shown}: only {fragments} {what}, and {self._scheme.k} are required"


def _copy(into: memoryview, fragments: Sequence[memoryview]) -> None:
    """The payloads of all data fragments, one after the other; the last ones may be padded."""
    at = 0
    for fragment in fragments:
        part = fragment[HEADER_SIZE : HEADER_SIZE + len(into) - at]
        into[at : at + len(part)] = part
        at += len(part)
