"""MD5s, as OpenIO tells them."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any

from rdctl.oio.objects.layout import Position
from rdctl.oio.objects.source import BLOCK, Source
from rdctl.workers import WAKE_SECONDS, start_thread

# Blocks that wait for the thread that works out an MD5.
WAITING = 2


def md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def told_of(digest: Any) -> str:
    """An MD5 as OpenIO tells it: 32 hex digits, upper case."""
    return str(digest.hexdigest()).upper()


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


class DigestBeside:
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


def digest_for(size: int) -> Any:
    """What works out an MD5 of so many bytes: in a thread of its own where they are many."""
    return Digest() if size > BLOCK else nullcontext(md5())


def feed(
    digest: Any, read: Callable[[int, int], bytes], first: int, size: int, check: Callable[[], None]
) -> None:
    """Give a digest what `read(size, at)` reads, `size` bytes from `first` on or as many as there
    are; what `check` raises ends it."""
    at, end = first, first + size
    while at < end and (block := read(min(BLOCK, end - at), at)):
        check()
        digest.update(block)
        at += len(block)
