"""The bytes of whole objects as they come from the rawx services.

All is streamed: what is held in memory depends on how much is done at a time, not on sizes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.oio.model import Content, Place
from rdctl.oio.objects.digests import WAITING, feed, hex_md5, md5, md5_of
from rdctl.oio.objects.layout import (
    PIECE,
    Piece,
    Position,
    Span,
    hint_for,
    lacking,
    pieces_of,
    positions,
)
from rdctl.oio.rawx import Copy, Rawx, reported_md5
from rdctl.workers import Workers

# Pieces of one object in progress at a time: more would only take memory.
MOST_PIECES = 4
# Larger pieces, for whole parts of an object that is received alone: their size, how many are in
# progress, how many in memory.
MOST_WHOLE = 10 << 20
WHOLE_PIECES, WHOLE_AHEAD = 2, 4


class Buffers:
    """Reused memory for pieces of up to `size` bytes: the system clears new memory, which takes a
    tenth of the time of a download. A piece that is given back may be in use until `later` others
    and the next one are given back."""

    def __init__(self, size: int, later: int) -> None:
        self._size = size
        self._later = later
        self._free: deque[bytearray] = deque()
        self._used: deque[bytearray] = deque()

    def lend(self, size: int) -> memoryview:
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = bytearray(self._size)
        return memoryview(buffer)[:size]

    def give_back(self, data: memoryview) -> None:
        buffer: Any = data.obj
        self._used.append(buffer)
        if len(self._used) > self._later + 1:
            self._free.append(self._used.popleft())


class Receiving:
    """The bytes of one object on their way from the rawx services.

    `warn` shows warnings about skipped replicas.
    """

    # The most bytes received at a time.
    piece = PIECE
    # The most pieces in memory, if limited.
    _ahead: int | None = None

    def __init__(
        self,
        rawx: Rawx,
        workers: Workers,
        content: Content,
        place: Place,
        warn: Callable[[str], None],
        parallel: int,
    ) -> None:
        self._rawx = rawx
        self._workers = workers
        self._warn = warn
        self._words = place.words
        self._parallel = min(parallel, MOST_PIECES)
        self.content = content
        self.shown = escape(content.path)
        self.size = content.size or 0
        self.hash = reported_md5(content.hash)
        # What identifies this object in this version.
        self.identity = (content.content_id, content.version, content.hash, self.size)
        self.path = content.path
        self.positions = self._parts(content)
        largest = max((part.size for part in self.positions), default=0)
        hashed = len(self.positions) > 1 and all(part.hash for part in self.positions)
        if hashed and self._may_be_whole(largest) and parallel == workers.parallel > 1:
            self.piece, self._parallel, self._ahead = largest, WHOLE_PIECES, WHOLE_AHEAD
        # Every part has an MD5 and comes in one piece: they prove the whole, and are computed in
        # parallel, unlike that of the whole.
        self.proven_by_parts = hashed and largest <= self.piece
        # With the MD5 of the whole, blocks wait for the thread that computes it.
        self._buffers = Buffers(min(largest, self.piece), 0 if self.proven_by_parts else WAITING)
        # Replicas that failed, and services that do not answer: they are tried last.
        self._bad: set[Copy] = set()
        self._away: set[str] = set()

    def _may_be_whole(self, size: int) -> bool:
        """Whether parts of that size, larger than a piece, may be received in one."""
        return self.piece < size <= MOST_WHOLE

    def _parts(self, content: Content) -> list[Position]:
        """Its positions with the replicas listed completely; their sizes must add up."""
        unread = [] if content.size is not None else ["length"]
        whole = []
        for chunk in content.chunks:
            if key := lacking(chunk):
                unread.append(f"{key} of a chunk")
            else:
                whole.append(chunk)
        message = f"{self.shown}: the sizes of its chunks do not add up to {self.size} bytes"
        try:
            found = positions(
                content._replace(chunks=whole), lambda number, chunk: int(chunk["size"])
            )
            if sum(position.size for position in found) == content.size and (
                found or not content.chunks
            ):
                return found
        except RdctlError as error:
            message = error.message
        if unread:
            message = f"{self.shown}: unreadable value in its reply: {unread[0]}"
        raise RdctlError(Code.BAD_REPLY, message)

    def proves(self, span: Span) -> bool:
        """Whether all of these bytes, if received, were proven: by the checksum of the whole, or of
        each part."""
        if self.hash is not None and span == Span(0, self.size):
            return True
        return all(
            part.hash is not None and span.first <= part.offset and part.span.end <= span.end
            for part in self.positions
            if part.offset < span.end and span.first < part.span.end
        )

    def blocks(
        self, span: Span, *, checked: bool, final: bool, wrong: Callable[[Position], None]
    ) -> Iterator[memoryview]:
        """The bytes of the span in their order, a block at a time.

        `checked`: every part that is received whole is held against its MD5: one that comes in a
        single piece before it is handed on, from another replica if need be; for a longer one
        `wrong` is called at its end. `final`: what was handed on cannot be replaced.
        """
        digest: Any = None
        for piece, data in self._pieces(span, checked, final):
            yield from (data[at : at + PIECE] for at in range(0, piece.size, PIECE))
            if not checked or piece.whole or piece.position.hash is None:
                continue
            if piece.first == 0:
                digest = md5()
            if digest is not None:
                digest.update(data)
                if piece.first + piece.size == piece.position.size:
                    if hex_md5(digest) != piece.position.hash:
                        wrong(piece.position)
                    digest = None

    def _pieces(self, span: Span, checked: bool, final: bool) -> Iterator[tuple[Piece, memoryview]]:
        def fetch(piece: Piece) -> tuple[Piece, memoryview]:
            whole = span.first <= piece.position.offset and piece.position.span.end <= span.end
            later = not final and (not checked or (whole and piece.position.hash is not None))
            return piece, self._fetch(piece, checked, later=later)

        coming: Iterator[tuple[Piece, memoryview]]
        if self._parallel == 1 or (span.size <= self.piece and len(self.positions) == 1):
            coming = map(fetch, self._cut(span))
        else:
            cut = self._cut(span)
            coming = self._workers.ordered(fetch, cut, self._parallel, self._ahead)
        for piece, data in coming:
            yield piece, data
            self._give_back(data)

    def _give_back(self, data: memoryview) -> None:
        """From here on, only the thread of a digest may use the piece."""
        self._buffers.give_back(data)

    def _cut(self, span: Span) -> Iterator[Piece]:
        return pieces_of(self.positions, span, self.piece)

    def _fetch(self, piece: Piece, checked: bool, *, later: bool) -> memoryview:
        """One piece, from the first replica that gives it. `checked`: a piece that is
        a whole part is proven by its MD5; `later`: its part is proven at its end."""
        position = piece.position
        copies = sorted(position.copies, key=self._is_bad)
        data = self._buffers.lend(piece.size)
        faults = []
        for number, copy in enumerate(copies, 1):
            try:
                self._get(copy, piece.first, data, repeatable=number == len(copies))
                if checked and piece.whole and position.hash is not None:
                    self._compare(copy, md5_of(data), position.hash)
                return data
            except RdctlError as error:
                faults.append(error)
                self._bad.add(copy)
                if error.code in (Code.UNREACHABLE, Code.TIMEOUT):
                    self._away.add(copy.address)
                if number < len(copies):
                    self._warn(f"{self.shown}: {error.message}; trying another replica")
        raise self._lost(position, faults)

    def _is_bad(self, copy: Copy) -> bool:
        return copy in self._bad or copy.address in self._away

    def _get(self, copy: Copy, first: int, into: memoryview, *, repeatable: bool) -> None:
        self._workers.check()
        self._rawx.get(copy, first, into, check=self._workers.check, repeatable=repeatable)

    def is_good(self, position: Position, read: Callable[[int, int], bytes]) -> bool:
        """Whether a received part is correct; `read(size, at)` gives it, `at` counted in the
        object."""
        if position.hash is None:
            return True
        digest = md5()
        feed(digest, read, position.offset, position.size, self._workers.check)
        return hex_md5(digest) == position.hash

    def mend(self, position: Position, write: Callable[[memoryview, int], None]) -> None:
        """Download a part again, from a replica with correct data; `bad-reply`."""
        faults: list[RdctlError] = []
        for number, copy in enumerate(position.copies, 1):
            digest = md5()
            try:
                for piece in pieces_of([position], position.span):
                    data = memoryview(bytearray(piece.size))
                    last = number == len(position.copies)
                    self._get(copy, piece.first, data, repeatable=last)
                    digest.update(data)
                    write(data, position.offset + piece.first)
                self._compare(copy, hex_md5(digest), str(position.hash))
                return
            except RdctlError as error:
                faults.append(error)
        raise self._lost(position, faults)

    def wrong(self, what: str = "its MD5") -> RdctlError:
        """The error for corrupt data."""
        return RdctlError(
            Code.BAD_REPLY,
            f"{self.shown}: {what} does not match that of the proxy: the data is corrupt",
            hint=f"See its chunks: rdctl oio content show {self._words}",
        )

    @staticmethod
    def _compare(copy: Copy, found: str, hash: str) -> None:
        if found != hash:
            message = f"{copy.url}: MD5 mismatch: expected {hash}, got {found}"
            raise RdctlError(Code.BAD_REPLY, message)

    def _lost(self, position: Position, faults: Sequence[RdctlError]) -> RdctlError:
        """No replica of a part could be read."""
        first = faults[0]
        message = f"{self.shown}: {first.message}"
        if len(faults) > 1:
            message = (
                f"{self.shown}: none of the {len(faults)} replicas of chunk {position.number}"
                f" can be read: {first.message}"
            )
        # The object is there, its bytes are not.
        code = Code.FAILED if first.code is Code.NOT_FOUND else first.code
        return RdctlError(code, message, hint=hint_for(first), **first.facts)
