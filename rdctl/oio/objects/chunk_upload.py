"""The upload of one chunk of one part of an object, a replica or a fragment, to its rawx."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rdctl.core.buffers import Buffer
from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.net.deadline import Deadline
from rdctl.net.messages import Blocks
from rdctl.net.transport import READ_SECONDS
from rdctl.oio.erasure.fragments import chunk_file_size
from rdctl.oio.objects.digests import hex_md5, md5
from rdctl.oio.objects.layout import Position, Scheme
from rdctl.oio.objects.source import Source
from rdctl.oio.rawx import META, Copy, Held, Rawx
from rdctl.workers import Stopped

# Blocks of a chunk at a time, with the one that is being sent.
WAITING = 3
# For the answer to a chunk that was sent whole, when its upload is given up.
ANSWER_SECONDS = 3.0


class GivenUp(Exception):
    """This upload was given up: nothing more is sent."""


class Delivery:
    """What the chunks of one object are sent with, and which of them may be there: `patience` gives
    the seconds that a rawx may be silent, `check` raises what ends it."""

    def __init__(
        self,
        rawx: Rawx,
        source: Source,
        scheme: Scheme,
        headers: Mapping[str, str],
        patience: Callable[[], float],
        check: Callable[[], None],
    ) -> None:
        self.rawx = rawx
        self.source = source
        self.scheme = scheme
        self.headers = headers
        self.patience = patience
        self.check = check
        # The position of the first part in the object: others may be before it.
        self.first = 0
        # Every chunk of which a byte may have left, and those of which all have, and no answer
        # has come: they may be stored at any time.
        self.begun: dict[Copy, None] = {}
        self.unanswered: set[Copy] = set()


class ChunkUpload:
    """One chunk of one part: its blocks come from the thread that reads the file.

    It holds the part only when `held` says so; until then, and whatever became of the thread that
    sends it, it does not. `group` is notified of every change.
    """

    def __init__(
        self, delivery: Delivery, position: Position, copy: Copy, group: threading.Condition
    ) -> None:
        self._delivery = delivery
        self._position = position
        self.copy = copy
        self.held: Held | None = None
        # Whether it accepts no further blocks and its result is final.
        self.over = False
        self._fault: RdctlError | None = None
        k = delivery.scheme.k
        self._size = chunk_file_size(k, position.size) if k else position.size
        # The MD5s of a fragment's chunk, as it is sent, and of the whole part, once known.
        self._own: Any = md5() if k else None
        self._whole = ""
        self._group = group
        # Those that were not sent yet, and their number.
        self._blocks: queue.SimpleQueue[Buffer | None] = queue.SimpleQueue()
        self._unsent = 0
        self._aborted = False
        # Whether its last byte has left; how long its answer is then waited for, and how long when
        # all else is ended.
        self._sent = False
        self._answer: Deadline | None = None
        self._last_wait: Deadline | None = None

    @property
    def takes(self) -> bool:
        return self.over or self._unsent < WAITING

    @property
    def failed(self) -> bool:
        return self.over and self.held is None

    @property
    def is_proven(self) -> bool:
        return self.held is not None and self.held.md5 is not None

    def fault_in(self, hash: str) -> RdctlError | None:
        """Why it is not proven to hold its bytes of the part with that MD5; None if it is."""
        if self._fault is not None:
            return self._fault
        if self.held is None:
            return RdctlError(Code.INTERNAL, f"store chunk {self.copy.url}: ended without a result")
        expected = hash if self._own is None else hex_md5(self._own)
        if self.held.md5 not in (None, expected):
            words = (
                f"{self.copy.url}: the stored data differs from what was sent (MD5 {self.held.md5})"
            )
            return RdctlError(Code.BAD_REPLY, words)
        return None

    def end(self, hash: str) -> None:
        """End the blocks; `hash` is the MD5 of the part."""
        self._whole = hash
        self.give(None)

    def give(self, block: Buffer | None) -> None:
        """One more block, which stays as it is until it was sent."""
        self._unsent += 1
        self._blocks.put(block)

    def abort(self) -> None:
        """End the upload without its last bytes, so that no chunk results."""
        self._aborted = True
        self._blocks.put(None)

    def drop(self, fault: RdctlError) -> None:
        """Do without it."""
        self._finish(None, fault)
        self.abort()

    def _finish(self, held: Held | None, fault: RdctlError | None) -> None:
        """Only the first result counts."""
        with self._group:
            if not self.over:
                self.held, self._fault, self.over = held, fault, True
                self._group.notify_all()

    def receive(self, blocks: Iterable[Buffer] | None = None) -> None:
        """Send the blocks that come, or these; whatever happens, there is a result."""
        what = f"store chunk {self.copy.url}"
        try:
            self._finish(self.deliver(self._coming() if blocks is None else blocks), None)
        except (GivenUp, Stopped):
            self._finish(None, RdctlError(Code.FAILED, f"{what}: aborted"))
        except RdctlError as error:
            if error.code is Code.TIMEOUT:
                error.message = f"{what}: {error.message}"
            self._finish(None, error)
        except BaseException as error:
            self._finish(None, as_error(error))

    def _coming(self) -> Iterator[Buffer]:
        while True:
            block = self._blocks.get()
            if self._aborted:
                raise GivenUp
            if block is None:
                return
            yield block
            with self._group:
                self._unsent -= 1
                self._group.notify_all()

    def deliver(self, blocks: Iterable[Buffer]) -> Held:
        """What the rawx reports to hold of these blocks."""
        delivery, position, copy = self._delivery, self._position, self.copy
        headers = {
            **delivery.headers,
            f"{META}chunk-pos": _place(position, copy, delivery.first),
            f"{META}chunk-id": copy.id,
        }
        body = self._body(blocks)
        what = f"put the chunk {copy.url}"
        try:
            held = delivery.rawx.put(
                copy, headers, body, what=what, seconds=delivery.patience(), check=self._check
            )
        except RdctlError as error:
            if error.code is Code.EXISTS:
                delivery.begun.pop(copy, None)  # the existing chunk belongs to another upload
            # Without a reply or a closed connection, it may still be stored.
            if "http_status" in error.facts or error.code is Code.UNREACHABLE:
                delivery.unanswered.discard(copy)
            raise
        delivery.unanswered.discard(copy)
        if held.is_conclusive(self._size):
            _fits(held, copy, self._size)
            return held
        held = delivery.rawx.head(copy, seconds=delivery.patience(), check=self._check)
        if held.size is None:
            raise RdctlError(Code.BAD_REPLY, f"{copy.url}: not proven to be stored")
        _fits(held, copy, self._size)
        if held.hash is None and (held.id or "").upper() != copy.id.upper():
            raise RdctlError(Code.BAD_REPLY, f"{copy.url}: not proven to be stored")
        return held

    def _body(self, blocks: Iterable[Buffer]) -> Blocks:
        position, source = self._position, self._delivery.source
        if self._own is None:
            shell = source.shell(position.offset, position.size)
            return Blocks(self._to_the_last(blocks), self._size, shell)
        trailers = {
            f"{META}metachunk-size": lambda: str(position.size),
            f"{META}metachunk-hash": self._part_hash,
            f"{META}chunk-hash": self._own.hexdigest,
        }
        return Blocks(self._to_the_last(self._hashed(blocks)), self._size, None, trailers)

    def _part_hash(self) -> str:
        return self._whole.lower()

    def _hashed(self, blocks: Iterable[Buffer]) -> Iterator[Buffer]:
        for block in blocks:
            self._own.update(block)
            yield block

    def _to_the_last(self, blocks: Iterable[Buffer]) -> Iterator[Buffer]:
        self._delivery.begun[self.copy] = None
        left = self._size
        for block in blocks:
            left -= len(block)
            self._may_complete(left)
            yield block
        self._delivery.unanswered.add(self.copy)
        self._sent = True

    def _may_complete(self, left: int) -> None:
        """Called before bytes leave, after which `left` are left. A rawx stores the chunk as soon
        as it has them all; one with trailers is not complete before these."""
        if not left and self._own is None:
            self._delivery.unanswered.add(self.copy)

    def _check(self) -> None:
        """Called before each wait, the first of which is for the first byte to leave. What was sent
        whole has to be stored before it can be deleted, so its answer is waited for a little."""
        try:
            self._delivery.check()
            if self._aborted:
                raise GivenUp
        except (GivenUp, Stopped, RdctlError):
            if self.copy not in self._delivery.unanswered:
                raise
            self._last_wait = self._last_wait or Deadline(ANSWER_SECONDS)
            if self._last_wait.over:
                raise
        if self._sent:
            # Also one that comes byte by byte.
            self._answer = self._answer or Deadline(READ_SECONDS)
            if self._answer.over:
                raise RdctlError(
                    Code.TIMEOUT, f"{self.copy.url}: timed out waiting for a complete reply"
                )
        self._delivery.begun[self.copy] = None
        self._may_complete(self._size)


def _fits(held: Held, copy: Copy, size: int) -> None:
    if held.size not in (None, size):
        message = f"{copy.url}: {held.size} bytes stored, but {size} sent"
        raise RdctlError(Code.BAD_REPLY, message)


def described(copy: Copy, position: Position, hash: str) -> dict[str, Any]:
    """A chunk as content/create expects it."""
    return {"url": copy.url, "pos": _place(position, copy), "size": position.size, "hash": hash}


def _place(position: Position, copy: Copy, first: int = 0) -> str:
    fragment = f".{copy.fragment}" if "." in copy.pos else ""
    return f"{first + position.number}{fragment}"
