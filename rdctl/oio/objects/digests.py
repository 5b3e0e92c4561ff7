"""MD5s, as OpenIO writes them."""

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

# Blocks queued for the thread that computes an MD5.
WAITING = 2


def md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def hex_md5(digest: Any) -> str:
    """An MD5 as OpenIO writes it: 32 hex digits, upper case."""
    return str(digest.hexdigest()).upper()


def md5_of(data: memoryview | bytes) -> str:
    return hex_md5(hashlib.md5(data, usedforsecurity=False))


class Digest:
    """An MD5 computed in its own thread, while the caller continues.

    Use it with `with`. What ends the thread is raised in the caller.
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
        """Of all blocks, in upper case; no blocks can follow."""
        self._put(None)
        if self._thread is not None:
            self._thread.join()
        if self._fault is not None:
            raise self._fault
        return hex_md5(self._digest)

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
    """The MD5 of a whole file, computed in parallel with its parts and close to them: so the bytes
    are still cached, and it is finished when the last part is."""

    def __init__(
        self,
        source: Source,
        positions: Sequence[Position],
        apart: int,
        check: Callable[[], None],
    ) -> None:
        """At most `apart` parts are between them; an exception from `check` ends it."""
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
        """Start one more part, as soon as allowed; raises what ended this."""
        self._advance(begun=1, when=lambda: self._begun < self._done + self._apart)
        if self._fault is not None:
            raise self._fault

    def hexdigest(self) -> str:
        """Of all parts, in upper case."""
        if self._thread is not None:
            self._thread.join()
        if self._fault is not None:
            raise self._fault
        return hex_md5(self._digest)

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
    """A digest for `size` bytes, in its own thread if there are many."""
    return Digest() if size > BLOCK else nullcontext(md5())


def feed(
    digest: Any, read: Callable[[int, int], bytes], first: int, size: int, check: Callable[[], None]
) -> None:
    """Feed a digest from `read(size, at)`: up to `size` bytes starting at `first`. An exception
    from `check` ends it."""
    at, end = first, first + size
    while at < end and (block := read(min(BLOCK, end - at), at)):
        check()
        digest.update(block)
        at += len(block)
