"""Whole objects: how they are cut into chunks, and their bytes as they come from the rawx services.

All is streamed: what is held in memory depends on how much is done at a time, not on sizes.
"""

from __future__ import annotations

import hashlib
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.oio.model import Content
from rdctl.oio.rawx import Copy, Rawx, copy_of, md5_told
from rdctl.oio.source import BLOCK
from rdctl.workers import WAKE_SECONDS, Workers, start_thread

# What is asked of a rawx at a time.
PIECE = 2 << 20
# Pieces of one object under way at a time: more would only take memory.
MOST_PIECES = 4
# Blocks that wait for the thread that works out an MD5.
WAITING = 2
RAWX_HINT = "Which rawx services are up? See: rdctl oio conscience list rawx"


class Position(NamedTuple):
    """A part of an object, and its replicas. `offset` is that of its first byte; `hash` is its MD5
    in upper case, None where it is not told, or by another method."""

    number: int
    offset: int
    size: int
    hash: str | None
    copies: tuple[Copy, ...]

    @property
    def span(self) -> Span:
        return Span(self.offset, self.offset + self.size)


def only_plain(content: Content) -> None:
    """Raise `unsupported` for what is more than replicated: erasure coding, foreign storage."""
    method = content.chunk_method or "plain"
    if not method.startswith("plain"):
        raise RdctlError(
            Code.UNSUPPORTED,
            f"{escape(content.path)}: its chunks are made as {escape(method)}, and rdctl knows only"
            " plain ones and replicas",
            hint="OpenIO's own client can do it: openio object save, openio object create.",
        )


def copies_of(method: str | None) -> int:
    """How many replicas a chunk method asks for: 3 for `plain/nb_copy=3`. `bad-reply` where that
    cannot be read: one would pass for enough."""
    if "nb_copy" not in (method or ""):
        return 1
    match = re.search(r"\bnb_copy=(\d{1,4})\b", method or "", re.ASCII)
    if match is None:
        message = f"the number of copies cannot be read: '{escape(str(method))}'"
        raise RdctlError(Code.BAD_REPLY, message)
    return int(match[1])


def positions(content: Content, size: Callable[[int, Mapping[str, Any]], int]) -> list[Position]:
    """The positions of a content in their order; `size(number, chunk)` is that of one."""
    found: list[Position] = []
    offset = 0
    chunks = sorted(content.chunks, key=_number)
    for number, (pos, group) in enumerate(groupby(chunks, key=_number)):
        copies = sorted(group, key=_score, reverse=True)
        if pos != number:
            raise RdctlError(Code.BAD_REPLY, f"{content.path}: no chunk is told of part {number}")
        length = size(number, copies[0])
        found.append(
            Position(
                number,
                offset,
                length,
                md5_told(copies[0].get("hash")),
                tuple(copy_of(chunk) for chunk in copies),
            )
        )
        offset += length
    return found


def _number(chunk: Mapping[str, Any]) -> int:
    if not str(chunk["pos"]).isdecimal():
        raise RdctlError(Code.BAD_REPLY, f"a plain chunk has the position {chunk['pos']!r}")
    return int(chunk["pos"])


def _lacking(chunk: Mapping[str, Any]) -> str | None:
    """The value for want of which a chunk cannot be received, if any."""
    for key in ("url", "pos", "size", "hash"):
        if chunk.get(key) is None:
            return key
    try:
        copy_of(chunk)
    except RdctlError:
        return "url"
    return None


def _score(chunk: Mapping[str, Any]) -> int:
    score = chunk.get("score")
    return score if isinstance(score, int) else 0


def md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def told_of(digest: Any) -> str:
    """An MD5 as OpenIO tells it: 32 hex digits, upper case."""
    return str(digest.hexdigest()).upper()


# --- what is received -----------------------------------------------------------------------------


class Span(NamedTuple):
    """Bytes of an object: from `first` up to and without `end`."""

    first: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.first


class _Piece(NamedTuple):
    """What is asked for at a time: `size` bytes of a part, from `first` in it on."""

    position: Position
    first: int
    size: int

    @property
    def whole(self) -> bool:
        return self.size == self.position.size


class Receiving:
    """The bytes of one object on their way from the rawx services.

    `warn` takes what a person is told of a replica that was passed over.
    """

    def __init__(
        self,
        rawx: Rawx,
        workers: Workers,
        content: Content,
        warn: Callable[[str], None],
        parallel: int,
    ) -> None:
        only_plain(content)
        self._rawx = rawx
        self._workers = workers
        self._warn = warn
        self._parallel = min(parallel, MOST_PIECES)
        self.shown = escape(content.path)
        self.size = content.size or 0
        self.hash = md5_told(content.hash)
        # What tells this object, in this version, from all others.
        self.identity = (content.content_id, content.version, content.hash, self.size)
        self.path = content.path
        self.positions = self._parts(content)
        # Every part has an MD5 and comes in one piece: they prove the whole, and are worked out
        # side by side, where that of the whole would be one after the other.
        self.proven_by_parts = len(self.positions) > 1 and all(
            part.hash is not None and part.size <= PIECE for part in self.positions
        )
        # Replicas that failed, and services that do not answer: they are asked last.
        self._bad: set[Copy] = set()
        self._away: set[str] = set()

    def _parts(self, content: Content) -> list[Position]:
        """Its positions with the replicas that are told of in full; they must add up."""
        unread = [] if content.size is not None else ["length"]
        whole = []
        for chunk in content.chunks:
            if lacking := _lacking(chunk):
                unread.append(f"{lacking} of a chunk")
            else:
                whole.append(chunk)
        message = f"{self.shown}: its chunks do not add up to its {self.size} bytes"
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
        """Whether checksums cover all of these bytes: that of the whole, or of each part."""
        if self.hash is not None and span == Span(0, self.size):
            return True
        return all(
            part.hash is not None and span.first <= part.offset and part.span.end <= span.end
            for part in self.positions
            if part.offset < span.end and span.first < part.span.end
        )

    def blocks(
        self, span: Span, *, checked: bool, wrong: Callable[[Position], None]
    ) -> Iterator[memoryview]:
        """The bytes of the span in their order, a block at a time.

        `checked`: every part that is received whole is held against its MD5: one that comes in a
        single piece before it is handed on, from another replica if need be; of a longer one
        `wrong` is told at its end.
        """
        digest: Any = None
        for piece, data in self._pieces(span, checked):
            yield data
            if not checked or piece.whole or piece.position.hash is None:
                continue
            if piece.first == 0:
                digest = md5()
            if digest is not None:
                digest.update(data)
                if piece.first + piece.size == piece.position.size:
                    if told_of(digest) != piece.position.hash:
                        wrong(piece.position)
                    digest = None

    def _pieces(self, span: Span, checked: bool) -> Iterator[tuple[_Piece, memoryview]]:
        def fetch(piece: _Piece) -> tuple[_Piece, memoryview]:
            return piece, self._fetch(piece, checked)

        coming = _cut(self.positions, span)
        if self._parallel == 1 or (span.size <= PIECE and len(self.positions) == 1):
            yield from map(fetch, coming)
        else:
            yield from self._workers.ordered(fetch, coming, self._parallel)

    def _fetch(self, piece: _Piece, checked: bool) -> memoryview:
        """One piece, from the first replica that gives it."""
        position = piece.position
        copies = sorted(position.copies, key=self._is_bad)
        data = memoryview(bytearray(piece.size))
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
                    self._warn(f"{self.shown}: {error.message}; another replica is read")
        raise self._lost(position, faults)

    def _is_bad(self, copy: Copy) -> bool:
        return copy in self._bad or copy.address in self._away

    def _get(self, copy: Copy, first: int, into: memoryview, *, repeatable: bool) -> None:
        self._workers.check()
        self._rawx.get(copy, first, into, check=self._workers.check, repeatable=repeatable)

    def is_good(self, position: Position, read: Callable[[int, int], bytes]) -> bool:
        """Whether a part that was received is what it should be; `read(size, at)` gives it, `at`
        counted in the object."""
        if position.hash is None:
            return True
        digest = md5()
        at, end = position.offset, position.offset + position.size
        while at < end and (block := read(min(BLOCK, end - at), at)):
            self._workers.check()
            digest.update(block)
            at += len(block)
        return told_of(digest) == position.hash

    def mend(self, position: Position, write: Callable[[memoryview, int], None]) -> None:
        """Receive a part once more, from a replica whose bytes are right; `bad-reply`."""
        faults: list[RdctlError] = []
        for number, copy in enumerate(position.copies, 1):
            digest = md5()
            try:
                for piece in _cut([position], position.span):
                    data = memoryview(bytearray(piece.size))
                    last = number == len(position.copies)
                    self._get(copy, piece.first, data, repeatable=last)
                    digest.update(data)
                    write(data, position.offset + piece.first)
                self._compare(copy, told_of(digest), str(position.hash))
                return
            except RdctlError as error:
                faults.append(error)
        raise self._lost(position, faults)

    def wrong(self, what: str = "it") -> RdctlError:
        """The error of bytes that are not those that were stored."""
        return RdctlError(
            Code.BAD_REPLY,
            f"{self.shown}: {what} has not the MD5 that the proxy tells; the bytes are wrong",
            hint="See its chunks with: rdctl oio content show",
        )

    @staticmethod
    def _compare(copy: Copy, found: str, hash: str) -> None:
        if found != hash:
            message = f"{copy.url}: its bytes are wrong (MD5 {found} where {hash} is told)"
            raise RdctlError(Code.BAD_REPLY, message)

    def _lost(self, position: Position, faults: Sequence[RdctlError]) -> RdctlError:
        """No replica of a part could be read."""
        first = faults[0]
        message = f"{self.shown}: {first.message}"
        if len(faults) > 1:
            message = f"{self.shown}: none of {len(faults)} replicas of part {position.number} can"
            message += f" be read: {first.message}"
        # The object is there, its bytes are not.
        code = Code.FAILED if first.code is Code.NOT_FOUND else first.code
        return RdctlError(code, message, hint=first.hint or RAWX_HINT, **first.facts)


def _cut(positions: Sequence[Position], span: Span) -> Iterator[_Piece]:
    """The pieces that make up a span."""
    for position in positions:
        first = max(span.first - position.offset, 0)
        end = min(span.end - position.offset, position.size)
        while first < end:
            size = min(PIECE, end - first)
            yield _Piece(position, first, size)
            first += size


def md5_of(data: memoryview | bytes) -> str:
    return told_of(hashlib.md5(data, usedforsecurity=False))


class Digest:
    """An MD5 that is worked out in a thread of its own, while its user goes on.

    It is to be left, by `with`, when its user is done. What ends the thread is raised to the user.
    """

    def __init__(self) -> None:
        self._digest = md5()
        self._blocks: queue.Queue[memoryview | bytes | None] = queue.Queue(WAITING)
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Digest:
        self._thread = start_thread(self._run)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._fault is None:
            self._put(None)

    def update(self, block: memoryview | bytes) -> None:
        self._put(block)
        if self._fault is not None:
            raise self._fault

    def hexdigest(self) -> str:
        """Of all blocks, in upper case; no more can follow."""
        self._put(None)
        if self._thread is not None:
            self._thread.join()
        if self._fault is not None:
            raise self._fault
        return told_of(self._digest)

    def _put(self, block: memoryview | bytes | None) -> None:
        while self._fault is None:
            with suppress(queue.Full):
                self._blocks.put(block, timeout=WAKE_SECONDS)
                return

    def _run(self) -> None:
        try:
            while (block := self._blocks.get()) is not None:
                self._digest.update(block)
        except BaseException as error:
            self._fault = error
