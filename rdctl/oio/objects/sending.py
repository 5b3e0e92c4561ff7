"""The upload of an object to the rawx services: cut into parts, each sent as replicas or fragments.

Data counts as stored only if the reply of its rawx proves it. All is streamed: what is held in
memory depends on how much is done at a time, not on sizes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.core.units import escape
from rdctl.effects.door import Effects
from rdctl.net.deadline import Deadline
from rdctl.net.transport import READ_SECONDS
from rdctl.oio.model import Content, Place
from rdctl.oio.objects.chunk_upload import ChunkUpload, Delivery, GivenUp, described
from rdctl.oio.objects.digests import Digest, DigestBeside, hex_md5, md5, md5_of
from rdctl.oio.objects.layout import RAWX_HINT, Position, positions, scheme_of
from rdctl.oio.objects.source import BLOCK, Source, blocks_of
from rdctl.oio.rawx import Copy, Owner, Rawx, chunk_headers
from rdctl.workers import WAKE_SECONDS, Stopped, Workers, start_thread

if TYPE_CHECKING:
    from rdctl.oio.objects.coding import Coding, Lane

# How much longer than the others a dispensable chunk may take.
LAG_SECONDS = 10.0
# In all, for the chunks of an upload that failed. A quarter of --timeout is kept for it.
TIDY_SECONDS = 15.0
# How long a socket that takes nothing is waited for when its upload is given up.
ABORT_SECONDS = 1.0
# Metachunks in progress at a time: one is encoded at a time, so more only take memory.
MOST_METACHUNKS = 4


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
        self._deadline = deadline
        left = deadline.left()
        # Some time is reserved for creating the object or for cleaning up.
        self._sending = Deadline(None if left is None else left - min(TIDY_SECONDS, left / 4))
        self.scheme = scheme = scheme_of(prepared._replace(path=place.name))
        if scheme.wanted < 1:
            method = escape(prepared.chunk_method or "")
            raise RdctlError(
                Code.BAD_REPLY, f'{place.shown}: chunk method "{method}" keeps no copy'
            )
        self._parallel = min(parallel, MOST_METACHUNKS) if scheme.k else parallel
        self._coding: Coding | None = None
        self.delivery = Delivery(
            rawx,
            source,
            self.scheme,
            chunk_headers(prepared, place, owner),
            self._patience,
            self._check,
        )
        self._shown = place.shown
        chunk_size = prepared.chunk_size or 0

        def size(number: int, chunk: Mapping[str, Any]) -> int:
            most = (chunk_size or int(chunk["size"])) * (self.scheme.k or 1)
            return max(0, min(most, source.size - number * most))

        self.positions = positions(prepared, size)
        self._refuse_twice()
        if not self.positions or sum(position.size for position in self.positions) != source.size:
            message = f"{place.shown}: the proxy lists too few chunks for {source.size} bytes"
            raise RdctlError(Code.BAD_REPLY, message)
        self._needed = self._required(prepared.policy or "", min_copies)
        self._failed: list[tuple[Copy, RdctlError]] = []
        # Services that gave no answer, and why: other chunks avoid them if possible.
        self._away: dict[str, RdctlError] = {}
        self._stop = threading.Event()
        self._busy = threading.Condition()
        self._running = 0

    def _required(self, policy: str, min_copies: int | None) -> int:
        """How many chunks of each part have to be stored; raise if that is not possible."""
        scheme = self.scheme
        required = max(scheme.quorum, min_copies or 0)
        if required > scheme.wanted:
            raise RdctlError(
                Code.USAGE,
                f"policy {escape(policy)} keeps only {scheme.wanted} {scheme.chunks}:"
                f" --min-copies {required} is too high",
            )
        fewest = min(len(position.copies) for position in self.positions)
        if fewest < required:
            raise RdctlError(
                Code.UNAVAILABLE,
                f"{self._shown}: the proxy lists {fewest} services, but {required} of"
                f" {scheme.wanted} {scheme.chunks} are required",
                hint=RAWX_HINT,
            )
        return required

    def _refuse_twice(self) -> None:
        """Raise if two uploads would write the same chunk, since deleting one would delete the
        other, or if a fragment would be stored twice, since it counts once."""
        places: set[tuple[str, str]] = set()
        fragments: set[tuple[int, int]] = set()
        for position, copy in ((one, copy) for one in self.positions for copy in one.copies):
            fragment = position.number, copy.fragment
            if (copy.address, copy.path) in places or fragment in fragments:
                what = copy.url if fragment not in fragments else f"fragment {copy.pos}"
                raise RdctlError(Code.BAD_REPLY, f"{self._shown}: {what} is listed twice")
            places.add((copy.address, copy.path))
            if self.scheme.k:
                fragments.add(fragment)

    def run(self) -> Sent:
        """Send everything. If it raises, call `tidy`."""
        if self._effects.dry_run:
            return self._planned()
        if self.scheme.k:
            # Not loaded for replicas.
            from rdctl.oio.objects.coding import Coding

            lanes = min(self._parallel, len(self.positions))
            self._coding = Coding(self.scheme, self._source.size, lanes)
        try:
            return self._all()
        finally:
            if self._coding is not None:
                self._coding.close()

    def _all(self) -> Sent:
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
            hash = f"<MD5 of {self.scheme.part} {position.number}>"
            for copy in position.copies:
                ChunkUpload(self.delivery, position, copy, threading.Condition()).deliver([])
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
            expected=self.scheme.wanted,
            failed=self._failed,
            proven=all(part.proven for part in parts),
        )

    def _position(self, position: Position) -> _Stored:
        """One part to all its rawx services: the chunks that have it now, and its MD5."""
        with self._busy:
            self._running += 1
        try:
            return self._upload(position)
        finally:
            with self._busy:
                self._running -= 1
                self._busy.notify_all()

    def _upload(self, position: Position) -> _Stored:
        group = threading.Condition()
        uploads = [ChunkUpload(self.delivery, position, copy, group) for copy in position.copies]
        if len(uploads) == 1 and position.size <= BLOCK:
            # Small objects: a thread would cost more than it saves.
            self._check()
            data = b"".join(self._source.blocks(position.offset, position.size))
            uploads[0].receive([data])
            self._workers.progress.advance(len(data))
            return self._judged(position, uploads, md5_of(data))
        self._leave_out(uploads)
        threads = []
        try:
            for upload in uploads:
                if not upload.over:
                    threads.append(start_thread(upload.receive))
            with self._coding.lane() if self._coding else nullcontext() as lane:
                hash = self._feed(position, uploads, group, lane)
                self._await(uploads, group)
        except BaseException:
            for upload in uploads:
                upload.abort()
            for thread in threads:
                thread.join(ABORT_SECONDS)
            raise
        return self._judged(position, uploads, hash)

    def _leave_out(self, uploads: Sequence[ChunkUpload]) -> None:
        """Skip services that did not answer before, if enough others are left."""
        spare = len(uploads) - self._needed
        for upload in uploads:
            fault = self._away.get(upload.copy.address)
            if fault is not None and spare > 0:
                spare -= 1
                upload.drop(fault)

    def _feed(
        self,
        position: Position,
        uploads: Sequence[ChunkUpload],
        group: threading.Condition,
        lane: Lane | None,
    ) -> str:
        """Give the part's bytes, or their fragments, to its uploads; the MD5 of the bytes."""
        # The hash of a single part is computed in a thread of its own, while the file is read.
        alone = len(self.positions) == 1 and lane is None
        with Digest() if alone else nullcontext(md5()) as digest:
            for at, size in blocks_of(position.offset, position.size):
                self._make_room(uploads, group)
                if all(upload.over for upload in uploads):
                    break
                if lane is None:
                    self._give(at, size, uploads, digest)
                else:
                    self._give_fragments(at, size, uploads, digest, lane)
                self._workers.progress.advance(size)
            hash = hex_md5(digest)
        for upload in uploads:
            upload.end(hash)
        return hash

    def _give(self, at: int, size: int, uploads: Sequence[ChunkUpload], digest: Any) -> None:
        block = self._source.block(at, size)
        digest.update(block)
        for upload in uploads:
            upload.give(block)

    def _give_fragments(
        self, at: int, size: int, uploads: Sequence[ChunkUpload], digest: Any, lane: Lane
    ) -> None:
        places = lane.next(size)
        self._source.read_into(places, at)
        lane.begin()
        for place in places:
            digest.update(place)
        lane.end(self._check)
        for upload in uploads:
            upload.give(lane.stripe.fragment(upload.copy.fragment))

    def _make_room(self, uploads: Sequence[ChunkUpload], group: threading.Condition) -> None:
        """Wait until each upload takes one more block; for one that others can do without, not
        longer than it may lag behind them."""
        patience: Deadline | None = None
        while True:
            with group:
                group.wait_for(lambda: all(one.takes for one in uploads), WAKE_SECONDS)
                lagging = [one for one in uploads if not one.takes]
            self._check(lagging)
            if not lagging:
                return
            patience = patience or Deadline(self._lag())
            ready = sum(not one.failed for one in uploads) - len(lagging)
            if ready >= self._needed and patience.over:
                self._drop(lagging)

    def _await(self, uploads: Sequence[ChunkUpload], group: threading.Condition) -> None:
        """Wait for the answers; when enough have come, for the rest not much longer."""
        started = time.monotonic()
        patience: Deadline | None = None
        while True:
            with group:
                group.wait_for(lambda: all(one.over for one in uploads), WAKE_SECONDS / 5)
                waiting = [one for one in uploads if not one.over]
            if not waiting:
                return
            self._check(waiting)
            if patience is None and sum(one.held is not None for one in uploads) >= self._needed:
                took = time.monotonic() - started
                patience = Deadline(min(max(self._lag(), took), READ_SECONDS))
            if patience is not None and patience.over:
                self._drop(waiting)

    def _drop(self, uploads: Sequence[ChunkUpload]) -> None:
        others = self.scheme.chunks
        for upload in uploads:
            message = f"store chunk {upload.copy.url}: timed out, the other {others} are stored"
            upload.drop(RdctlError(Code.TIMEOUT, message))

    def _lag(self) -> float:
        return min(LAG_SECONDS, self._patience())

    def _patience(self) -> float:
        """Seconds that a rawx may be silent: others have to have their time too."""
        left = self._sending.left()
        return READ_SECONDS if left is None else max(0.05, min(READ_SECONDS, left / 2))

    def _judged(self, position: Position, uploads: Sequence[ChunkUpload], hash: str) -> _Stored:
        """The chunks that are proven to hold what was sent, if they are enough."""
        good: list[ChunkUpload] = []
        faults: list[RdctlError] = []
        for upload in uploads:
            fault = upload.fault_in(hash)
            if fault is None:
                good.append(upload)
                continue
            faults.append(fault)
            self._failed.append((upload.copy, fault))
            if fault.code in (Code.UNREACHABLE, Code.TIMEOUT):
                self._away[upload.copy.address] = fault
        self._check_stop()
        if len(good) < self._needed:
            raise self._too_few(position, len(good), len(uploads), faults)
        chunks = [described(upload.copy, position, hash) for upload in good]
        return _Stored(chunks, hash, all(upload.is_proven for upload in good))

    def _too_few(
        self, position: Position, good: int, tried: int, faults: Sequence[RdctlError]
    ) -> RdctlError:
        first = faults[0]
        message = first.message
        expected = max(self.scheme.wanted, tried)
        if expected > 1:
            message = (
                f"{self._shown}: {good} of {expected} {self.scheme.chunks} of"
                f" {self.scheme.part} {position.number} stored, {self._needed} required: {message}"
            )
        code = Code.FAILED if first.code in (Code.NOT_FOUND, Code.EXISTS) else first.code
        # Its outcome does not matter: it is deleted.
        code = Code.UNAVAILABLE if code is Code.UNKNOWN else code
        return RdctlError(code, message, hint=RAWX_HINT, **first.facts)

    def _check(self, waiting: Sequence[ChunkUpload] = ()) -> None:
        """Raise if this must end; `waiting`: the uploads it waits for."""
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
        for url in Workers(min(max(self._parallel, self.scheme.wanted), 8)).ordered(delete, copies):
            if url is not None:
                yield url


class _Stored(NamedTuple):
    """A part that enough services hold: its chunks as content/create expects them, its MD5, and
    whether all of them proved that."""

    chunks: list[dict[str, Any]]
    hash: str
    proven: bool
