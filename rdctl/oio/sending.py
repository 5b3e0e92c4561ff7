"""A whole object on its way to the rawx services: cut into chunks, each sent to every replica.

Nothing counts as stored unless its rawx said so in a way that proves it. All is streamed: what is
held in memory depends on how much is done at a time, not on sizes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple
from urllib.parse import quote

from rdctl.core.errors import Code, RdctlError, told
from rdctl.core.units import escape, raw_bytes
from rdctl.effects.door import Effects
from rdctl.net.deadline import Deadline
from rdctl.net.messages import Blocks
from rdctl.net.transport import READ_SECONDS
from rdctl.oio.bodies import escaped
from rdctl.oio.model import Content, Place
from rdctl.oio.objects import (
    RAWX_HINT,
    Digest,
    Position,
    copies_of,
    md5,
    md5_of,
    positions,
    told_of,
)
from rdctl.oio.rawx import META, Copy, Held, Rawx
from rdctl.oio.source import BLOCK, Source
from rdctl.workers import WAKE_SECONDS, Stopped, Workers, start_thread

# Blocks that wait for a socket which is slower than the file.
WAITING = 2
# How much longer than the others a replica may take, where it can be done without.
LAG_SECONDS = 10.0
# In all, for the chunks of an upload that failed. A quarter of --timeout is kept for it.
TIDY_SECONDS = 15.0
# For the answer to a chunk that was sent whole, when its upload is given up.
ANSWER_SECONDS = 3.0
# How long a socket that takes nothing is waited for when its upload is given up.
ABORT_SECONDS = 1.0


class Owner(NamedTuple):
    """The container that an object goes to, by all its names."""

    account: str
    container: str
    cid: str


class Sent(NamedTuple):
    """What was sent: the chunks as content/create wants them, the MD5 of the whole (upper case),
    the fewest copies of a part, how many there were to be, what failed on the way, and whether
    every chunk was proven by its MD5 (else by its size alone: its hash is by another method)."""

    chunks: list[dict[str, Any]]
    hash: str
    copies: int
    wanted: int
    failed: list[tuple[Copy, RdctlError]]
    proven: bool


class _Ended(Exception):
    """This upload is to be no more: nothing else is sent."""


class Sending:
    """The chunks of one object on their way to the rawx services.

    `min_copies`: so many of each part have to be stored, where the policy would do with fewer.
    """

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
        deadline: Deadline,
        min_copies: int | None,
    ) -> None:
        self._rawx = rawx
        self._effects = effects
        self._workers = workers
        self._source = source
        self._parallel = parallel
        self._deadline = deadline
        left = deadline.left()
        # What is to be done after it, be it the object or the cleaning up, has its time too.
        self._sending = Deadline(None if left is None else left - min(TIDY_SECONDS, left / 4))
        self._headers = chunk_headers(prepared, place, owner)
        self._shown = place.shown
        chunk_size = prepared.chunk_size or 0

        def size(number: int, chunk: Mapping[str, Any]) -> int:
            most = chunk_size or int(chunk["size"])
            return max(0, min(most, source.size - number * most))

        self.positions = positions(prepared, size)
        self._refuse_twice()
        if not self.positions or sum(position.size for position in self.positions) != source.size:
            message = f"{place.shown}: the proxy names too few chunks for {source.size} bytes"
            raise RdctlError(Code.BAD_REPLY, message)
        self._wanted = copies_of(prepared.chunk_method)
        if self._wanted < 1:
            method = escape(prepared.chunk_method or "")
            raise RdctlError(Code.BAD_REPLY, f"{place.shown}: {method} keeps no copy")
        self._needed = max((self._wanted + 1) // 2, min_copies or 0)
        if self._needed > self._wanted:
            raise RdctlError(
                Code.USAGE,
                f"--min-copies {self._needed}: the policy {escape(prepared.policy or '')} makes"
                f" only {self._wanted}",
            )
        fewest = min(len(position.copies) for position in self.positions)
        if fewest < self._needed:
            raise RdctlError(
                Code.UNAVAILABLE,
                f"{place.shown}: the proxy names {fewest} services where {self._needed} of"
                f" {self._wanted} copies are wanted at least",
                hint=RAWX_HINT,
            )
        # Every chunk of which a byte may have left, and those of which all have, and no answer
        # has come: they may be stored at any time.
        self.begun: dict[Copy, None] = {}
        self.unanswered: set[Copy] = set()
        self._failed: list[tuple[Copy, RdctlError]] = []
        # Services that gave no answer, and why: other chunks do without them where they can.
        self._away: dict[str, RdctlError] = {}
        self._stop = threading.Event()
        self._busy = threading.Condition()
        self._running = 0

    def _refuse_twice(self) -> None:
        """Raise where two replicas would be one chunk: to delete one would delete the other."""
        places: set[tuple[str, str]] = set()
        for copy in (copy for position in self.positions for copy in position.copies):
            if (copy.address, copy.path) in places:
                raise RdctlError(Code.BAD_REPLY, f"{self._shown}: {copy.url} is named twice")
            places.add((copy.address, copy.path))

    def run(self) -> Sent:
        """Send all. Whatever is raised, `tidy` is to follow."""
        if self._effects.dry_run:
            return self._planned()
        if len(self.positions) == 1:
            parts = [self._position(self.positions[0])]
            self._source.check()
            return self._sent(parts, parts[0].hash)
        parts = []
        fault: RdctlError | None = None
        whole = _Whole(self._source, self.positions, self._parallel, self._check)

        def attempt(position: Position) -> _Stored | RdctlError | None:
            try:
                whole.begin()
                return self._position(position)
            except _Ended:
                return None
            except Stopped:
                raise
            except Exception as error:  # of any kind: nothing else is to be sent
                self._stop.set()
                return told(error)

        whole.start()
        for outcome in self._workers.ordered(attempt, self.positions, self._parallel):
            if isinstance(outcome, RdctlError):
                fault = fault or outcome
            elif outcome is not None:
                parts.append(outcome)
        if fault is not None:
            raise fault
        self._source.check()
        return self._sent(parts, whole.hexdigest())

    def _planned(self) -> Sent:
        """In a dry run the file is not read."""
        chunks = []
        for position in self.positions:
            hash = f"<MD5 of chunk {position.number}>"
            for copy in position.copies:
                _Replica(self, position, copy, threading.Condition()).deliver([])
                chunks.append(_entry(copy, position, hash))
        copies = len(self.positions[0].copies)
        return Sent(chunks, "<MD5>", copies, copies, [], False)

    def _sent(self, parts: Sequence[_Stored], whole: str) -> Sent:
        if len(parts) != len(self.positions):
            raise RdctlError(Code.INTERNAL, f"{self._shown}: not every part was sent")
        return Sent(
            [chunk for part in parts for chunk in part.chunks],
            whole,
            min(len(part.chunks) for part in parts),
            self._wanted,
            self._failed,
            all(part.proven for part in parts),
        )

    def _position(self, position: Position) -> _Stored:
        """One part to all its replicas: those that have it now, and its MD5."""
        with self._busy:
            self._running += 1
        try:
            return self._replicas(position)
        finally:
            with self._busy:
                self._running -= 1
                self._busy.notify_all()

    def _replicas(self, position: Position) -> _Stored:
        group = threading.Condition()
        replicas = [_Replica(self, position, copy, group) for copy in position.copies]
        if len(replicas) == 1 and position.size <= BLOCK:
            # Most chunks of small objects: no thread is worth its while.
            self._check()
            data = b"".join(self._source.blocks(position.offset, position.size))
            replicas[0].receive([data])
            self._workers.progress.advance(len(data))
            return self._judged(position, replicas, md5_of(data))
        self._leave_out(replicas)
        threads = []
        try:
            for replica in replicas:
                if not replica.over:
                    threads.append(start_thread(replica.receive))
            hash = self._feed(position, replicas, group)
            self._await(replicas, group)
        except BaseException:
            for replica in replicas:
                replica.abort()
            for thread in threads:
                thread.join(ABORT_SECONDS)
            raise
        return self._judged(position, replicas, hash)

    def _leave_out(self, replicas: Sequence[_Replica]) -> None:
        """Do without services that did not answer before, where enough others are left."""
        spare = len(replicas) - self._needed
        for replica in replicas:
            fault = self._away.get(replica.copy.address)
            if fault is not None and spare > 0:
                spare -= 1
                replica.drop(fault)

    def _feed(
        self, position: Position, replicas: Sequence[_Replica], group: threading.Condition
    ) -> str:
        """Give the part's bytes to its replicas; their MD5."""
        # Of one part alone: beside the reading, which has a processor to spare.
        alone = len(self.positions) == 1
        with Digest() if alone else nullcontext(md5()) as digest:
            for block in self._source.blocks(position.offset, position.size):
                self._make_room(replicas, group)
                if all(replica.over for replica in replicas):
                    break
                for replica in replicas:
                    replica.give(block)
                digest.update(block)
                self._workers.progress.advance(len(block))
            for replica in replicas:
                replica.give(None)
            return told_of(digest)

    def _make_room(self, replicas: Sequence[_Replica], group: threading.Condition) -> None:
        """Wait until each replica takes one more block; for one that others can do without, not
        longer than it may lag behind them."""
        patience: Deadline | None = None
        while True:
            with group:
                group.wait_for(lambda: all(one.takes for one in replicas), WAKE_SECONDS)
                lagging = [one for one in replicas if not one.takes]
            self._check(lagging)
            if not lagging:
                return
            patience = patience or Deadline(self._lag())
            ready = sum(not one.failed for one in replicas) - len(lagging)
            if ready >= self._needed and patience.over:
                self._drop(lagging)

    def _await(self, replicas: Sequence[_Replica], group: threading.Condition) -> None:
        """Wait for the answers; when enough have come, for the rest not much longer."""
        started = time.monotonic()
        patience: Deadline | None = None
        while True:
            with group:
                group.wait_for(lambda: all(one.over for one in replicas), WAKE_SECONDS / 5)
                waiting = [one for one in replicas if not one.over]
            if not waiting:
                return
            self._check(waiting)
            if patience is None and sum(one.held is not None for one in replicas) >= self._needed:
                took = time.monotonic() - started
                patience = Deadline(min(max(self._lag(), took), READ_SECONDS))
            if patience is not None and patience.over:
                self._drop(waiting)

    def _drop(self, replicas: Sequence[_Replica]) -> None:
        for replica in replicas:
            message = f"store chunk {replica.copy.url}: timed out, the other copies are stored"
            replica.drop(RdctlError(Code.TIMEOUT, message))

    def _lag(self) -> float:
        return min(LAG_SECONDS, self.patience)

    @property
    def patience(self) -> float:
        """Seconds that a rawx may be silent: others have to have their time too."""
        left = self._sending.left()
        return READ_SECONDS if left is None else max(0.05, min(READ_SECONDS, left / 2))

    def _judged(self, position: Position, replicas: Sequence[_Replica], hash: str) -> _Stored:
        """The replicas that are proven to hold what was sent, if they are enough."""
        good: list[_Replica] = []
        faults: list[RdctlError] = []
        for replica in replicas:
            fault = replica.fault_in(hash)
            if fault is None:
                good.append(replica)
                continue
            faults.append(fault)
            self._failed.append((replica.copy, fault))
            if fault.code in (Code.UNREACHABLE, Code.TIMEOUT):
                self._away[replica.copy.address] = fault
        self._check_stop()
        if len(good) < self._needed:
            raise self._too_few(position, len(good), len(replicas), faults)
        chunks = [_entry(replica.copy, position, hash) for replica in good]
        return _Stored(chunks, hash, all(replica.is_proven for replica in good))

    def _too_few(
        self, position: Position, good: int, tried: int, faults: Sequence[RdctlError]
    ) -> RdctlError:
        first = faults[0]
        message = first.message
        wanted = max(self._wanted, tried)
        if wanted > 1:
            message = (
                f"{self._shown}: {good} of {wanted} copies of part {position.number} could be"
                f" written, and {self._needed} are wanted: {message}"
            )
        code = Code.FAILED if first.code in (Code.NOT_FOUND, Code.EXISTS) else first.code
        # Its fate does not matter: it is deleted.
        code = Code.UNAVAILABLE if code is Code.UNKNOWN else code
        return RdctlError(code, message, hint=RAWX_HINT, **first.facts)

    def _check(self, waiting: Sequence[_Replica] = ()) -> None:
        """Raise what ends this; `waiting` are those that are waited for."""
        self._check_stop()
        if self._sending.over:
            step = f"store chunk {waiting[0].copy.url}" if waiting else "chunks were being stored"
            raise RdctlError(
                Code.TIMEOUT,
                f"{self._shown}: timed out: {step}",
                hint="A longer --timeout may help.",
            )

    def _check_stop(self) -> None:
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
        end = Deadline(self._tidy_seconds())
        with self._busy:
            self._busy.wait_for(lambda: not self._running, timeout=(end.left() or 0.0) / 2)
        copies = list(self.begun)
        left = [copy.url for copy in copies]
        self._effects.left += left
        for url in self.delete(copies, end):
            self._effects.left.remove(url)
            left.remove(url)
        return left

    def _tidy_seconds(self) -> float:
        """What --timeout leaves for it; a moment in any case, or chunks would stay behind."""
        left = self._deadline.left()
        return TIDY_SECONDS if left is None else min(TIDY_SECONDS, max(left, ABORT_SECONDS))

    def delete(self, copies: Sequence[Copy], end: Deadline | None = None) -> Iterator[str]:
        """Delete chunks that were begun: the urls of those that are gone, as they go."""
        away: set[str] = set()
        end = end or Deadline(self._tidy_seconds())

        def delete(copy: Copy) -> str | None:
            left = end.left() or 0.0
            if copy.address in away or not left:
                return None
            try:
                was_there = self._rawx.delete(copy, min(TIDY_SECONDS / 3, left))
            except RdctlError:
                away.add(copy.address)
                return None
            return copy.url if was_there or copy not in self.unanswered else None

        # Workers of their own: the others may be ending.
        for url in Workers(min(max(self._parallel, self._wanted), 8)).ordered(delete, copies):
            if url is not None:
                yield url


class _Stored(NamedTuple):
    """A part that enough replicas hold: its chunks as content/create wants them, its MD5, and
    whether all of them proved that."""

    chunks: list[dict[str, Any]]
    hash: str
    proven: bool


class _Replica:
    """One replica of one part: its blocks come from the thread that reads the file.

    It holds the part only when `held` says so; until then, and whatever became of the thread that
    sends it, it does not. `group` is told of every change.
    """

    def __init__(
        self, sending: Sending, position: Position, copy: Copy, group: threading.Condition
    ) -> None:
        self._sending = sending
        self._position = position
        self.copy = copy
        self.held: Held | None = None
        # Whether it takes no more blocks, and nothing more is to come of it.
        self.over = False
        self._fault: RdctlError | None = None
        self._group = group
        self._blocks: deque[bytes | None] = deque()
        self._aborted = False
        # How long its answer is waited for, and how long when all else is ended.
        self._answer: Deadline | None = None
        self._last_wait: Deadline | None = None

    @property
    def takes(self) -> bool:
        return self.over or len(self._blocks) < WAITING

    @property
    def failed(self) -> bool:
        return self.over and self.held is None

    @property
    def is_proven(self) -> bool:
        return self.held is not None and self.held.md5 is not None

    def fault_in(self, hash: str) -> RdctlError | None:
        """Why it does not hold the bytes of that MD5; None when it is proven to."""
        if self._fault is not None:
            return self._fault
        if self.held is None:
            return RdctlError(Code.INTERNAL, f"store chunk {self.copy.url}: ended without a result")
        if self.held.md5 not in (None, hash):
            words = f"{self.copy.url}: it holds other bytes than were sent (MD5 {self.held.md5})"
            return RdctlError(Code.BAD_REPLY, words)
        return None

    def give(self, block: bytes | None) -> None:
        """One more block, None after the last."""
        with self._group:
            if not self.over:
                self._blocks.append(block)
                self._group.notify_all()

    def abort(self) -> None:
        """What was sent is to have no end, so that it is no chunk."""
        with self._group:
            self._aborted = True
            self._group.notify_all()

    def drop(self, fault: RdctlError) -> None:
        """Do without it."""
        self._finish(None, fault)
        self.abort()

    def _finish(self, held: Held | None, fault: RdctlError | None) -> None:
        """The first end is the one that counts."""
        with self._group:
            if not self.over:
                self.held, self._fault, self.over = held, fault, True
                self._blocks.clear()
                self._group.notify_all()

    def receive(self, blocks: Iterable[bytes] | None = None) -> None:
        """Send the blocks that come, or these; whatever happens, there is a result."""
        what = f"store chunk {self.copy.url}"
        try:
            self._finish(self.deliver(self._coming() if blocks is None else blocks), None)
        except (_Ended, Stopped):
            self._finish(None, RdctlError(Code.FAILED, f"{what}: it was ended"))
        except RdctlError as error:
            if error.code is Code.TIMEOUT:
                error.message = f"{what}: {error.message}"
            self._finish(None, error)
        except BaseException as error:
            self._finish(None, told(error))

    def _coming(self) -> Iterator[bytes]:
        while True:
            with self._group:
                self._group.wait_for(lambda: self._blocks or self._aborted)
                if self._aborted:
                    raise _Ended
                block = self._blocks.popleft()
                self._group.notify_all()
            if block is None:
                return
            yield block

    def deliver(self, blocks: Iterable[bytes]) -> Held:
        """What the rawx says that it holds of these blocks."""
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
            held = sending._rawx.put(
                copy, headers, body, what=what, seconds=sending.patience, check=self._check
            )
        except RdctlError as error:
            if error.code is Code.EXISTS:
                sending.begun.pop(copy, None)  # what is there is of somebody else
            # Where neither an answer came nor the end, it may still be stored.
            if "http_status" in error.facts or error.code is Code.UNREACHABLE:
                sending.unanswered.discard(copy)
            raise
        sending.unanswered.discard(copy)
        if held.is_conclusive(position.size):
            _fits(held, copy, position.size)
            return held
        held = sending._rawx.head(copy, seconds=sending.patience, check=self._check)
        if held.size is None:
            raise RdctlError(Code.BAD_REPLY, f"{copy.url}: not proven to be stored")
        _fits(held, copy, position.size)
        if held.hash is None and (held.id or "").upper() != copy.id.upper():
            raise RdctlError(Code.BAD_REPLY, f"{copy.url}: not proven to be stored")
        return held

    def _to_the_last(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        self._sending.begun[self.copy] = None
        yield from blocks
        self._sending.unanswered.add(self.copy)

    def _check(self) -> None:
        """Called before each wait, the first of which is for the first byte to leave. What was sent
        whole has to be stored before it can be deleted, so its answer is waited for a little."""
        try:
            self._sending._check()
            if self._aborted:
                raise _Ended
        except (_Ended, Stopped, RdctlError):
            if self.copy not in self._sending.unanswered:
                raise
            self._last_wait = self._last_wait or Deadline(ANSWER_SECONDS)
            if self._last_wait.over:
                raise
        if self.copy in self._sending.unanswered:
            # Also one that comes byte by byte.
            self._answer = self._answer or Deadline(READ_SECONDS)
            if self._answer.over:
                raise RdctlError(Code.TIMEOUT, f"{self.copy.url}: no complete answer")
        self._sending.begun[self.copy] = None


def _fits(held: Held, copy: Copy, size: int) -> None:
    if held.size not in (None, size):
        message = f"{copy.url}: it holds {held.size} bytes where {size} were sent"
        raise RdctlError(Code.BAD_REPLY, message)


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
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """One more part is begun, when that may be; raises what ended this."""
        self._advance(begun=1, when=lambda: self._begun < self._done + self._apart)
        if self._fault is not None:
            raise self._fault

    def hexdigest(self) -> str:
        """Of all parts, in upper case."""
        if self._thread is not None:
            self._thread.join()
        if self._fault is not None:
            raise self._fault
        return told_of(self._digest)

    def start(self) -> None:
        self._thread = start_thread(self._run)

    def _run(self) -> None:
        try:
            for position in self._positions:
                self._advance(when=lambda: self._begun > self._done)
                for block in self._source.blocks(position.offset, position.size):
                    self._check()
                    self._digest.update(block)
                self._advance(done=1)
        except BaseException as error:
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


def _entry(copy: Copy, position: Position, hash: str) -> dict[str, Any]:
    """A chunk as content/create wants it."""
    return {"url": copy.url, "pos": str(position.number), "size": position.size, "hash": hash}


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
