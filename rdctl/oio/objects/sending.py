"""The upload of an object to the rawx services: cut into chunks, each sent to every replica.

Data counts as stored only if the reply of its rawx proves it. All is streamed: what is held in
memory depends on how much is done at a time, not on sizes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.core.units import escape
from rdctl.effects.door import Effects
from rdctl.net.deadline import Deadline
from rdctl.net.transport import READ_SECONDS
from rdctl.oio.model import Content, Place
from rdctl.oio.objects.digests import Digest, DigestBeside, hex_md5, md5, md5_of
from rdctl.oio.objects.layout import RAWX_HINT, Position, copies_of, positions
from rdctl.oio.objects.replica import Delivery, GivenUp, Replica, described
from rdctl.oio.objects.source import BLOCK, Source
from rdctl.oio.rawx import Copy, Owner, Rawx, chunk_headers
from rdctl.workers import WAKE_SECONDS, Stopped, Workers, start_thread

# How much longer than the others a dispensable replica may take.
LAG_SECONDS = 10.0
# In all, for the chunks of an upload that failed. A quarter of --timeout is kept for it.
TIDY_SECONDS = 15.0
# How long a socket that takes nothing is waited for when its upload is given up.
ABORT_SECONDS = 1.0


class Sent(NamedTuple):
    """What was sent: the chunks as content/create expects them, the MD5 of the whole (upper case),
    the fewest copies of a part, how many there were to be, what failed on the way, and whether
    every chunk was proven by its MD5 (else by its size alone: its hash is by another method)."""

    chunks: list[dict[str, Any]]
    hash: str
    copies: int
    expected: int
    failed: list[tuple[Copy, RdctlError]]
    proven: bool


class Sending:
    """The chunks of one object on their way to the rawx services.

    `min_copies`: required copies of each part, if more than the policy requires.
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
        # Some time is reserved for creating the object or for cleaning up.
        self._sending = Deadline(None if left is None else left - min(TIDY_SECONDS, left / 4))
        self.delivery = Delivery(
            rawx, source, chunk_headers(prepared, place, owner), self._patience, self._check
        )
        self._shown = place.shown
        chunk_size = prepared.chunk_size or 0

        def size(number: int, chunk: Mapping[str, Any]) -> int:
            most = chunk_size or int(chunk["size"])
            return max(0, min(most, source.size - number * most))

        self.positions = positions(prepared, size)
        self._refuse_twice()
        if not self.positions or sum(position.size for position in self.positions) != source.size:
            message = f"{place.shown}: the proxy lists too few chunks for {source.size} bytes"
            raise RdctlError(Code.BAD_REPLY, message)
        self._copies = copies_of(prepared.chunk_method)
        if self._copies < 1:
            method = escape(prepared.chunk_method or "")
            raise RdctlError(
                Code.BAD_REPLY, f'{place.shown}: chunk method "{method}" keeps no copy'
            )
        self._needed = max((self._copies + 1) // 2, min_copies or 0)
        if self._needed > self._copies:
            raise RdctlError(
                Code.USAGE,
                f"policy {escape(prepared.policy or '')} keeps only {self._copies} copies:"
                f" --min-copies {self._needed} is too high",
            )
        fewest = min(len(position.copies) for position in self.positions)
        if fewest < self._needed:
            raise RdctlError(
                Code.UNAVAILABLE,
                f"{place.shown}: the proxy lists {fewest} services, but {self._needed} of"
                f" {self._copies} copies are required",
                hint=RAWX_HINT,
            )
        self._failed: list[tuple[Copy, RdctlError]] = []
        # Services that gave no answer, and why: other chunks avoid them if possible.
        self._away: dict[str, RdctlError] = {}
        self._stop = threading.Event()
        self._busy = threading.Condition()
        self._running = 0

    def _refuse_twice(self) -> None:
        """Raise where two replicas would be one chunk: to delete one would delete the other."""
        places: set[tuple[str, str]] = set()
        for copy in (copy for position in self.positions for copy in position.copies):
            if (copy.address, copy.path) in places:
                raise RdctlError(Code.BAD_REPLY, f"{self._shown}: {copy.url} is listed twice")
            places.add((copy.address, copy.path))

    def run(self) -> Sent:
        """Send everything. If it raises, call `tidy`."""
        if self._effects.dry_run:
            return self._planned()
        if len(self.positions) == 1:
            parts = [self._position(self.positions[0])]
            self._source.check()
            return self._sent(parts, parts[0].hash)
        parts = []
        fault: RdctlError | None = None
        whole = DigestBeside(self._source, self.positions, self._parallel, self._check)

        def attempt(position: Position) -> _Stored | RdctlError | None:
            try:
                whole.begin()
                return self._position(position)
            except GivenUp:
                return None
            except Stopped:
                raise
            except Exception as error:  # any kind: nothing else may be sent
                self._stop.set()
                return as_error(error)

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
                Replica(self.delivery, position, copy, threading.Condition()).deliver([])
                chunks.append(described(copy, position, hash))
        copies = len(self.positions[0].copies)
        return Sent(
            chunks=chunks, hash="<MD5>", copies=copies, expected=copies, failed=[], proven=False
        )

    def _sent(self, parts: Sequence[_Stored], whole: str) -> Sent:
        if len(parts) != len(self.positions):
            raise RdctlError(Code.INTERNAL, f"{self._shown}: not all chunks were sent")
        return Sent(
            chunks=[chunk for part in parts for chunk in part.chunks],
            hash=whole,
            copies=min(len(part.chunks) for part in parts),
            expected=self._copies,
            failed=self._failed,
            proven=all(part.proven for part in parts),
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
        replicas = [Replica(self.delivery, position, copy, group) for copy in position.copies]
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

    def _leave_out(self, replicas: Sequence[Replica]) -> None:
        """Skip services that did not answer before, if enough others are left."""
        spare = len(replicas) - self._needed
        for replica in replicas:
            fault = self._away.get(replica.copy.address)
            if fault is not None and spare > 0:
                spare -= 1
                replica.drop(fault)

    def _feed(
        self, position: Position, replicas: Sequence[Replica], group: threading.Condition
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
            return hex_md5(digest)

    def _make_room(self, replicas: Sequence[Replica], group: threading.Condition) -> None:
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

    def _await(self, replicas: Sequence[Replica], group: threading.Condition) -> None:
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

    def _drop(self, replicas: Sequence[Replica]) -> None:
        for replica in replicas:
            message = f"store chunk {replica.copy.url}: timed out, the other copies are stored"
            replica.drop(RdctlError(Code.TIMEOUT, message))

    def _lag(self) -> float:
        return min(LAG_SECONDS, self._patience())

    def _patience(self) -> float:
        """Seconds that a rawx may be silent: others have to have their time too."""
        left = self._sending.left()
        return READ_SECONDS if left is None else max(0.05, min(READ_SECONDS, left / 2))

    def _judged(self, position: Position, replicas: Sequence[Replica], hash: str) -> _Stored:
        """The replicas that are proven to hold what was sent, if they are enough."""
        good: list[Replica] = []
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
        chunks = [described(replica.copy, position, hash) for replica in good]
        return _Stored(chunks, hash, all(replica.is_proven for replica in good))

    def _too_few(
        self, position: Position, good: int, tried: int, faults: Sequence[RdctlError]
    ) -> RdctlError:
        first = faults[0]
        message = first.message
        expected = max(self._copies, tried)
        if expected > 1:
            message = (
                f"{self._shown}: {good} of {expected} copies of chunk {position.number} stored,"
                f" {self._needed} required: {message}"
            )
        code = Code.FAILED if first.code in (Code.NOT_FOUND, Code.EXISTS) else first.code
        # Its outcome does not matter: it is deleted.
        code = Code.UNAVAILABLE if code is Code.UNKNOWN else code
        return RdctlError(code, message, hint=RAWX_HINT, **first.facts)

    def _check(self, waiting: Sequence[Replica] = ()) -> None:
        """Raise if this must end; `waiting`: the replicas it waits for."""
        self._check_stop()
        if self._sending.over:
            step = f"store chunk {waiting[0].copy.url}" if waiting else "storing chunks"
            raise RdctlError(
                Code.TIMEOUT,
                f"{self._shown}: timed out: {step}",
                hint="Try again with a longer --timeout.",
            )

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise GivenUp
        self._workers.check()

    @property
    def urls(self) -> list[str]:
        """Of every chunk of which a byte may have left."""
        return [copy.url for copy in list(self.delivery.begun)]

    # --- when it fails ------------------------------------------------------------------------

    def tidy(self) -> list[str]:
        """Delete the chunks that were begun, in bounded time: the urls of those that could not be.
        They are in `effects.left` meanwhile, so that they are reported if rdctl is interrupted."""
        self._stop.set()
        end = Deadline(self._tidy_seconds())
        with self._busy:
            self._busy.wait_for(lambda: not self._running, timeout=(end.left() or 0.0) / 2)
        copies = list(self.delivery.begun)
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
        """Delete chunks that were begun: the urls of those that are gone, as they are deleted."""
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
            return copy.url if was_there or copy not in self.delivery.unanswered else None

        # Workers of their own: the others may be ending.
        for url in Workers(min(max(self._parallel, self._copies), 8)).ordered(delete, copies):
            if url is not None:
                yield url


class _Stored(NamedTuple):
    """A part that enough replicas hold: its chunks as content/create expects them, its MD5, and
    whether all of them proved that."""

    chunks: list[dict[str, Any]]
    hash: str
    proven: bool
