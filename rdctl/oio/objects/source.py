"""What is sent: bytes of a file whose size is known, and can be read again."""

from __future__ import annotations

import os
import select
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.effects.door import Effects
from rdctl.effects.files import spool
from rdctl.oio.objects.files import is_regular
from rdctl.workers import WAKE_SECONDS

# What is read from a file, and given to a socket, at a time.
BLOCK = 1 << 20
# Larger files without any block on a disk are holes, not what a kernel makes up when it is read.
_MADE_UP = 1 << 20


class Source:
    """`size` bytes of an open file, from `start` on. `name` is for people."""

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
            block = self._read(min(BLOCK, end - at), at)
            if not block:
                raise self._changed()
            at += len(block)
            yield block

    def check(self) -> None:
        """Raise `conflict` when the file was written to meanwhile, or holds more than was sent."""
        before, now = self._before, os.fstat(self._descriptor)
        if (before.st_size, before.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            raise self._changed()
        if self._read(1, self._start + self.size):
            raise self._changed()

    def shell(self, first: int, size: int) -> str:
        """What writes these bytes, in the words of a shell."""
        name = shlex.quote(self.name)
        if first + self._start == 0 and size == self.size:
            return f"cat {name}"
        return f"tail -c +{self._start + first + 1} {name} | head -c {size}"

    def close(self) -> None:
        self._file.close()

    def _read(self, size: int, at: int) -> bytes:
        try:
            return os.pread(self._descriptor, size, at)
        except OSError as error:
            message = f"{escape(self.name)}: cannot be read: {error.strerror}"
            raise RdctlError(Code.FAILED, message) from error

    def _changed(self) -> RdctlError:
        return RdctlError(Code.CONFLICT, f"{escape(self.name)}: changed while it was being read")


def source_of(
    file: IO[bytes],
    name: str,
    effects_: Effects,
    check: Callable[[], None],
    most: int | None,
    start: int = 0,
) -> Source:
    """The source that an open file is. Of what has no size of its own, or none that can be
    believed, a copy is made first: it has no name, and goes when it is closed. `most` bounds the
    bytes of the copy. Raises OSError; what `check` raises ends the copying."""
    if _has_size(file, start):
        return Source(file, name, start)
    with closing(file):
        kept = spool(_reader(file, check), BLOCK, check, most, of=escape(name))
        return Source(effects_.look(kept), name)


def _has_size(file: IO[bytes], start: int) -> bool:
    """Whether what fstat says of the size is true: /proc and /sys, and some file systems in user
    space, make up what they hold when it is read."""
    if not is_regular(file):
        return False
    status = os.fstat(file.fileno())
    if status.st_blocks or status.st_size > _MADE_UP:
        return True
    try:
        return status.st_size == 0 and not os.pread(file.fileno(), 1, start)
    except OSError:
        return False


def _reader(file: IO[bytes], check: Callable[[], None]) -> Callable[[int], bytes]:
    """What reads so many bytes at most, and waits for them as long as `check` does not raise."""
    try:
        descriptor = file.fileno()
    except (OSError, ValueError):
        return file.read

    def read(size: int) -> bytes:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        while True:
            check()
            if waiting.poll(WAKE_SECONDS * 1000):
                try:
                    return os.read(descriptor, size)
                except BlockingIOError:
                    continue  # another process was faster

    return read
