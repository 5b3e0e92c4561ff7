"""Whole objects: cut into chunks and sent to the rawx services, read from them and put together.

All is streamed: what is held in memory depends on how much is done at a time, not on sizes.
"""

from __future__ import annotations

import hashlib
import os
import queue
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import groupby
from typing import IO, Any, NamedTuple
from urllib.parse import quote

from rdctl.bulk import WAKE_SECONDS, Stopped, Workers
from rdctl.deadline import Deadline
from rdctl.effects import Effects
from rdctl.errors import Code, RdctlError
from rdctl.oio.bodies import escaped
from rdctl.oio.model import Content, Place
from rdctl.oio.rawx import META, Copy, Rawx, copy_of
from rdctl.transport import Blocks
from rdctl.units import escape, raw_bytes

# What is read from a file, and given to a socket, at a time.
BLOCK = 1 << 20
# What is asked of a rawx at a time.
PIECE = 2 << 20
# Pieces of one object under way at a time: more would only take memory.
MOST_PIECES = 4
# Blocks that wait for a socket which is slower than the file.
WAITING = 2
# In all, for the chunks of an upload that failed.
TIDY_SECONDS = 15.0
# For the answer to a chunk that was sent whole, when its upload is given up.
ANSWER_SECONDS = 3.0
# How long a socket that takes nothing is waited for when its upload is given up.
ABORT_SECONDS = 1.0

_MD5 = re.compile("[0-9A-F]{32}")


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
    """How many replicas a chunk method asks for: 3 for `plain/nb_copy=3`."""
    match = re.search(r"\bnb_copy=(\d{1,4})\b", method or "", re.ASCII)
    return int(match[1]) if match else 1


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
                _md5_told(copies[0].get("hash")),
                tuple(copy_of(chunk) for chunk in copies),
            )
        )
        offset += length
    return found


def _number(chunk: Mapping[str, Any]) -> int:
    if not str(chunk["pos"]).isdecimal():
        raise RdctlError(Code.BAD_REPLY, f"a plain chunk has the position {chunk['pos']!r}")
    return int(chunk["pos"])


def _score(chunk: Mapping[str, Any]) -> int:
    score = chunk.get("score")
    return score if isinstance(score, int) else 0


def _md5_told(value: Any) -> str | None:
    text = str(value or "").upper()
    return text if _MD5.fullmatch(text) else None


def md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def told_of(digest: Any) -> str:
    """An MD5 as OpenIO tells it: 32 hex digits, upper case."""
    return str(digest.hexdigest()).upper()


# --- what is sent ---------------------------------------------------------------------------------


class Source:
    """What is sent: `size` bytes of an open regular file, from where it stands. `name` is told."""

    def __init__(self, file: IO[bytes], name: str, start: int = 0) -> None:
        self._file = file
        self._descriptor = file.fileno()
        self._start = start
        self._before = os.fstat(self._descriptor)
        self.name = name
        self.size = max(0, self._before.st_size - start)

    def blocks(self, first: int, size: int) -> Iterator[bytes]:
        """The bytes from `first` on; `conflict` when the file has got shorter."""
        at, end = self._start + first, self._start + first + size
        while at < end:
            try:
                block = os.pread(self._descriptor, min(BLOCK, end - at), at)
            except OSError as error:
                message = f"{escape(self.name)} cannot be read: {error.strerror}"
                raise RdctlError(Code.FAILED, message) from error
            if not block:
                raise self._changed()
            at += len(block)
            yield block

    def check(self) -> None:
        """Raise `conflict` when the file was written to meanwhile."""
        before, now = self._before, os.fstat(self._descriptor)
        if (before.st_size, before.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            raise self._changed()

    def shell(self, first: int, size: int) -> str:
        """What writes these bytes, in the words of a shell."""
        name = shlex.quote(self.name)
        if first + self._start == 0 and size == self.size:
            return f"cat {name}"
        return f"tail -c +{self._start + first + 1} {name} | head -c {size}"

    def close(self) -> None:
        self._file.close()

    def _changed(self) -> RdctlError:
        return RdctlError(Code.CONFLICT, f"{escape(self.name)} was changed while it was read")


class Owner(NamedTuple):
    """The container that an object goes to, by all its names."""

    account: str
    container: str
    cid: str


class Sent(NamedTuple):
    """What was sent: the chunks as content/create wants them, the MD5 of the whole (upper case),
    the fewest copies of a part, how many there were to be, and what failed on the way."""

    chunks: list[dict[str, Any]]
    hash: str
    copies: int
    wanted: int
    failed: list[tuple[Copy, RdctlError]]


class _Ended(Exception):
    """This upload is to be no more: nothing else is sent."""


class Sending:
    """The chunks of one object on their way to the rawx services."""

    def __init__(
        self,
        rawx: Rawx,
        effects: Effects,
        workers: Workers,
        source: Source,
        prepared: Content,
        place: Place,
        owner: Owner,
        parallel: int,
    ) -> None:
        self._rawx = rawx
        self._effects = effects
        self._workers = workers
        self._source = source
        self._parallel = parallel
        self._headers = chunk_headers(prepared, place, owner)
        self._shown = place.shown
        chunk_size = prepared.chunk_size or 0

        def size(number: int, chunk: Mapping[str, Any]) -> int:
            most = chunk_size or int(chunk["size"])
            return max(0, min(most, source.size - number * most))

        self.positions = positions(prepared, size)
        if sum(position.size for position in self.positions) != source.size:
            message = f"{place.shown}: the proxy names too few chunks for {source.size} bytes"
            raise RdctlError(Code.BAD_REPLY, message)
        self._wanted = copies_of(prepared.chunk_method)
        self._quorum = self._wanted // 2 + 1
        fewest = min(len(position.copies) for position in self.positions)
        if fewest < self._quorum:
            raise RdctlError(
                Code.UNAVAILABLE,
                f"{place.shown}: the proxy names {fewest} services where {self._quorum} of"
                f" {self._wanted} copies are wanted at least",
                hint=_RAWX_HINT,
            )
        # Every chunk of which a byte may have left, and those of which all have, and no answer
        # has come: they may be stored at any time.
        self.begun: dict[Copy, None] = {}
        self.unanswered: set[Copy] = set()
        self._failed: list[tuple[Copy, RdctlError]] = []
        self._stop = threading.Event()
        self._busy = threading.Condition()
        self._running = 0

    def run(self) -> Sent:
        """Send all. Whatever is raised, `tidy` is to follow."""
        if self._effects.dry_run:
            return self._planned()
        if len(self.positions) == 1:
            chunks, hash = self._position(self.positions[0])
            self._source.check()
            return self._sent([chunks], hash)
        sent: list[list[dict[str, Any]]] = []
        fault: RdctlError | None = None
        whole = _Whole(self._source, self.positions, self._parallel, self._check)

        def attempt(position: Position) -> list[dict[str, Any]] | RdctlError:
            try:
                whole.begin()
                return self._position(position)[0]
            except RdctlError as error:
                self._stop.set()
                return error
            except _Ended:
                return []

        whole.start()
        for outcome in self._workers.ordered(attempt, self.positions, self._parallel):
            if isinstance(outcome, RdctlError):
                fault = fault or outcome
            else:
                sent.append(outcome)
        if fault is not None:
            raise fault
        self._source.check()
        return self._sent(sent, whole.hexdigest())

    def _planned(self) -> Sent:
        """In a dry run the file is not read."""
        chunks = []
        for position in self.positions:
            hash = f"<MD5 of chunk {position.number}>"
            for copy in position.copies:
                _Run(self, position, copy).deliver([])
                chunks.append(_entry(copy, position, hash))
        copies = len(self.positions[0].copies)
        return Sent(chunks, "<MD5>", copies, copies, [])

    def _sent(self, sent: Sequence[list[dict[str, Any]]], whole: str) -> Sent:
        chunks = [chunk for of_position in sent for chunk in of_position]
        return Sent(
            chunks,
            whole,
            min(map(len, sent)),
            self._wanted,
            self._failed,
        )

    def _position(self, position: Position) -> tuple[list[dict[str, Any]], str]:
        """One part to all its replicas: those that have it now, and its MD5."""
        with self._busy:
            self._running += 1
        try:
            return self._replicas(position)
        finally:
            with self._busy:
                self._running -= 1
                self._busy.notify_all()

    def _replicas(self, position: Position) -> tuple[list[dict[str, Any]], str]:
        if len(position.copies) == 1 and position.size <= BLOCK:
            # Most chunks of small objects: no thread is worth its while.
            self._check()
            data = b"".join(self._source.blocks(position.offset, position.size))
            hash = _hex(data)
            runs = [_Run(self, position, position.copies[0])]
            runs[0].deliver([data])
            self._workers.progress.advance(len(data))
        else:
            runs = [_Run(self, position, copy) for copy in position.copies]
            threads = [threading.Thread(target=run.receive, daemon=True) for run in runs]
            for thread in threads:
                thread.start()
            try:
                # Of one part alone: beside the reading, which has a processor to spare.
                alone = len(self.positions) == 1
                with Digest() if alone else nullcontext(md5()) as digest:
                    for block in self._source.blocks(position.offset, position.size):
                        self._check()
                        if all(run.over for run in runs):
                            break
                        for run in runs:
                            run.give(block)
                        digest.update(block)
                        self._workers.progress.advance(len(block))
                    for run in runs:
                        run.give(None)
                    hash = told_of(digest)
            except BaseException:
                for run in runs:
                    run.abort()
                for thread in threads:
                    thread.join(ABORT_SECONDS)
                raise
            for thread in threads:
                thread.join()
        return self._judged(position, runs, hash)

    def _judged(
        self, position: Position, runs: Sequence[_Run], hash: str
    ) -> tuple[list[dict[str, Any]], str]:
        """The replicas that hold what was sent, if they are as many as the policy wants."""
        good: list[Copy] = []
        faults: list[RdctlError] = []
        for run in runs:
            fault = run.fault
            if fault is None and run.hash not in (None, hash):
                words = f"{run.copy.url}: it holds other bytes than were sent (MD5 {run.hash})"
                fault = RdctlError(Code.BAD_REPLY, words)
            if fault is None:
                good.append(run.copy)
            else:
                faults.append(fault)
                self._failed.append((run.copy, fault))
        self._check()
        if len(good) < self._quorum:
            wanted = max(self._wanted, len(runs))
            raise _too_few(self._shown, position, len(good), wanted, self._quorum, faults[0])
        return [_entry(copy, position, hash) for copy in good], hash

    def _check(self) -> None:
        if self._stop.is_set():
            raise _Ended
        self._workers.check()

    @property
    def urls(self) -> list[str]:
        """Of every chunk of which a byte may have left."""
        return [copy.url for copy in list(self.begun)]

    # --- when it fails ------------------------------------------------------------------------

    def tidy(self) -> list[str]:
        """Delete the chunks that were begun, in bounded time: the urls of those that could not be.
        They stand in `effects.left` too, where they are while it is tried: who is killed meanwhile
        has named them."""
        self._stop.set()
        with self._busy:
            self._busy.wait_for(lambda: not self._running, timeout=TIDY_SECONDS)
        copies = list(self.begun)
        left = [copy.url for copy in copies]
        self._effects.left += left
        for url in self.delete(copies):
            self._effects.left.remove(url)
            left.remove(url)
        return left

    def delete(self, copies: Sequence[Copy]) -> Iterator[str]:
        """Delete chunks that were begun: the urls of those that are gone, as they go."""
        away: set[str] = set()
        until = time.monotonic() + TIDY_SECONDS

        def delete(copy: Copy) -> str | None:
            if copy.address in away or time.monotonic() > until:
                return None
            try:
                was_there = self._rawx.delete(copy, TIDY_SECONDS / 3)
            except RdctlError:
                away.add(copy.address)
                return None
            return copy.url if was_there or copy not in self.unanswered else None

        # Workers of their own: the others may be ending.
        for url in Workers(min(self._parallel, 8)).ordered(delete, copies):
            if url is not None:
                yield url


class _Run:
    """One replica of one part: its blocks come from the thread that reads the file."""

    def __init__(self, sending: Sending, position: Position, copy: Copy) -> None:
        self._sending = sending
        self._position = position
        self.copy = copy
        self.hash: str | None = None
        self.fault: RdctlError | None = None
        self._blocks: queue.Queue[bytes | None] = queue.Queue(WAITING)
        # Whether it takes no more blocks.
        self.over = False
        self._aborted = False
        # How long its answer is waited for when all else is ended.
        self._answer: Deadline | None = None

    def give(self, block: bytes | None) -> None:
        """One more block, None after the last; waits while enough of them wait."""
        if not self.over:
            self._blocks.put(block)

    def abort(self) -> None:
        """What was sent is to have no end, so that it is no chunk."""
        self._aborted = True
        with suppress(queue.Full):
            self._blocks.put_nowait(None)

    def receive(self) -> None:
        """Send the blocks that come."""
        try:
            self.deliver(self._coming())
        finally:
            self.over = True
            while not self._blocks.empty():
                self._blocks.get_nowait()

    def _coming(self) -> Iterator[bytes]:
        while (block := self._blocks.get()) is not None:
            if self._aborted:
                raise _Ended
            yield block
        if self._aborted:
            raise _Ended

    def deliver(self, blocks: Iterable[bytes]) -> None:
        sending, position, copy = self._sending, self._position, self.copy
        headers = {
            **sending._headers,
            f"{META}chunk-pos": str(position.number),
            f"{META}chunk-id": copy.id,
        }
        shell = sending._source.shell(position.offset, position.size)
        body = Blocks(self._to_the_last(blocks), position.size, shell)
        what = f"put the chunk {copy.url}"
        try:
            self.hash = sending._rawx.put(copy, headers, body, what=what, check=self._check)
        except RdctlError as error:
            self.fault = error
            if error.code is Code.TIMEOUT:
                return
        except (_Ended, Stopped):
            self.fault = RdctlError(Code.FAILED, f"{what}: it was ended")
            return
        sending.unanswered.discard(copy)

    def _to_the_last(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        yield from blocks
        self._sending.unanswered.add(self.copy)

    def _check(self) -> None:
        """Called before each wait, the first of which is for the first byte to leave. What was sent
        whole has to be stored before it can be deleted, so its answer is waited for a little."""
        try:
            self._sending._check()
        except (_Ended, Stopped):
            if self.copy not in self._sending.unanswered:
                raise
            self._answer = self._answer or Deadline(ANSWER_SECONDS)
            if self._answer.over:
                raise
        self._sending.begun[self.copy] = None


class _Whole:
    """The MD5 of a whole file, worked out beside its parts, and neither far before nor far behind
    them: so its bytes are still in memory, and no part is sent while only it is left to do."""

    def __init__(
        self,
        source: Source,
        positions: Sequence[Position],
        apart: int,
        check: Callable[[], None],
    ) -> None:
        """At most `apart` parts lie between; what `check` raises ends it."""
        self._source = source
        self._positions = positions
        self._apart = apart
        self._check = check
        self._changed = threading.Condition()
        self._begun = self._done = 0
        self._digest = md5()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """One more part is begun, when that may be."""
        self._advance(begun=1, when=lambda: self._begun < self._done + self._apart)

    def hexdigest(self) -> str:
        """Of all parts, in upper case."""
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        return told_of(self._digest)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            for position in self._positions:
                self._advance(when=lambda: self._begun > self._done)
                for block in self._source.blocks(position.offset, position.size):
                    self._check()
                    self._digest.update(block)
                self._advance(done=1)
        except (RdctlError, Stopped, _Ended) as error:
            self._fault = error
            self._advance()

    def _advance(
        self, *, begun: int = 0, done: int = 0, when: Callable[[], bool] = lambda: True
    ) -> None:
        with self._changed:
            while not self._changed.wait_for(lambda: self._fault or when(), WAKE_SECONDS):
                self._check()
            self._begun += begun
            self._done += done
            self._changed.notify_all()


def _too_few(
    shown: str, position: Position, good: int, wanted: int, quorum: int, first: RdctlError
) -> RdctlError:
    message = first.message
    if wanted > 1:
        message = (
            f"{shown}: {good} of {wanted} copies of part {position.number} could be written, and"
            f" {quorum} are wanted: {message}"
        )
    code = Code.FAILED if first.code in (Code.NOT_FOUND, Code.EXISTS) else first.code
    # Its fate does not matter: it is deleted.
    code = Code.UNAVAILABLE if code is Code.UNKNOWN else code
    return RdctlError(code, message, hint=_RAWX_HINT, **first.facts)


def _entry(copy: Copy, position: Position, hash: str) -> dict[str, Any]:
    """A chunk as content/create wants it."""
    return {"url": copy.url, "pos": str(position.number), "size": position.size, "hash": hash}


_RAWX_HINT = "Which rawx services are up? See: rdctl oio conscience list rawx"


def chunk_headers(content: Content, place: Place, owner: Owner) -> dict[str, str]:
    """What a rawx is told of the object that a chunk belongs to, but for the chunk itself."""
    path = place.path or content.path
    version, content_id = str(content.version or ""), content.content_id or ""
    parts = (owner.account, owner.container, path, version, content_id)
    headers = {
        "container-id": owner.cid,
        "content-id": content_id,
        "content-path": quote(raw_bytes(path), safe="/"),
        "content-version": version,
        "content-storage-policy": content.policy or "",
        "content-chunk-method": content.chunk_method or "plain/nb_copy=1",
        "full-path": "/".join(escaped(part) for part in parts),
        "oio-version": "4.2",
    }
    return {META + name: value for name, value in headers.items() if value}


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
        self.hash = _md5_told(content.hash)
        # What tells this object, in this version, from all others.
        self.identity = (content.content_id, content.version, content.hash, self.size)
        self.path = content.path
        self.positions = positions(content, lambda number, chunk: int(chunk["size"]))
        if sum(position.size for position in self.positions) != self.size:
            message = f"{self.shown}: its chunks do not add up to its {self.size} bytes"
            raise RdctlError(Code.BAD_REPLY, message)
        # Every part has an MD5 and comes in one piece: they prove the whole, and are worked out
        # side by side, where that of the whole would be one after the other.
        self.proven_by_parts = len(self.positions) > 1 and all(
            part.hash is not None and part.size <= PIECE for part in self.positions
        )
        # Replicas that failed, and services that do not answer: they are asked last.
        self._bad: set[Copy] = set()
        self._away: set[str] = set()

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
                    self._compare(copy, _hex(data), position.hash)
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
        return RdctlError(code, message, hint=first.hint or _RAWX_HINT, **first.facts)


def _cut(positions: Sequence[Position], span: Span) -> Iterator[_Piece]:
    """The pieces that make up a span."""
    for position in positions:
        first = max(span.first - position.offset, 0)
        end = min(span.end - position.offset, position.size)
        while first < end:
            size = min(PIECE, end - first)
            yield _Piece(position, first, size)
            first += size


def _hex(data: memoryview | bytes) -> str:
    return told_of(hashlib.md5(data, usedforsecurity=False))


class Digest:
    """An MD5 that is worked out in a thread of its own, while its user goes on.

    It is to be left, by `with`, when its user is done.
    """

    def __init__(self) -> None:
        self._digest = md5()
        self._blocks: queue.Queue[memoryview | bytes | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Digest:
        self._thread.start()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._thread.is_alive():
            self._blocks.put(None)

    def update(self, block: memoryview | bytes) -> None:
        self._blocks.put(block)

    def hexdigest(self) -> str:
        """Of all blocks, in upper case; no more can follow."""
        self._blocks.put(None)
        self._thread.join()
        return told_of(self._digest)

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._digest.update(block)
