"""Objects as streams, and streams as what is uploaded."""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Callable
from os import SEEK_CUR, SEEK_END, SEEK_SET, fstat
from typing import IO, Any, BinaryIO, cast

from rdctl.api.errors import public
from rdctl.api.models import Content, Outcome
from rdctl.core.errors import RdctlError
from rdctl.effects.files import Spool

# What a reader requests at a time, by default.
BUFFER = 1 << 20


class ObjectReader(io.RawIOBase):
    """The bytes of an object, each read as a request of its own. `content` is the object as it was
    when opened: one that is replaced meanwhile is not read from, but not found."""

    def __init__(self, content: Content, read: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self.content = content
        self.name = content.path
        self._read = read
        self._size = content.size or 0
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        start = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._some(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._some(self._size)

    def _some(self, size: int) -> bytes:
        if self.closed:
            raise ValueError("read of closed file")
        end = min(self._at + size, self._size)
        if self._at >= end:
            return b""
        data = self._read(self._at, end)
        self._at += len(data)
        return data


class ObjectWriter(io.BufferedIOBase):
    """An object that is written: its bytes are kept in a temporary file, and uploaded by `close`.

    If the body of `with` fails, or `discard` is called, nothing is uploaded; nor is a writer that
    is never closed. `outcome` is what was uploaded.
    """

    def __init__(self, name: str, commit: Callable[[BinaryIO], Outcome]) -> None:
        super().__init__()
        self.name = name
        self.outcome: Outcome | None = None
        self._commit = commit
        try:
            self._spool = Spool(name)
        except RdctlError as error:
            raise public(error) from error

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._spool.size

    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("write to closed file")
        view = memoryview(data).cast("B")
        try:
            self._spool.write(view)
        except RdctlError as error:
            raise public(error) from error
        return len(view)

    def close(self) -> None:
        if not self.closed:
            self._upload()

    def _upload(self) -> None:
        file = cast("BinaryIO", self._spool.file)
        try:
            file.seek(0)
            self.outcome = self._commit(file)
        finally:
            self.discard()

    def discard(self) -> None:
        """Upload nothing."""
        self._spool.file.close()
        super().close()

    def __exit__(self, kind: object, *failure: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        if hasattr(self, "_spool") and not self.closed:
            warnings.warn(
                f"{self.name}: not uploaded: it was never closed", ResourceWarning, stacklevel=2
            )
            self.discard()


class Lent:
    """A file of the program, which is not closed. Its descriptor is only used if that has the same
    bytes: of a compressed file it has others."""

    def __init__(self, file: Any) -> None:
        if isinstance(file, io.TextIOBase) or not hasattr(file, "read"):
            raise TypeError("bytes, or a file opened in binary mode, is required")
        self._file = file
        self.read = file.read
        raw = getattr(file, "raw", file)
        plain = isinstance(file, io.BufferedReader | io.BufferedRandom | io.FileIO)
        if plain and isinstance(raw, io.FileIO) and stat.S_ISREG(fstat(raw.fileno()).st_mode):
            if file.writable():
                file.flush()
            self.fileno, self.tell = file.fileno, file.tell
        else:
            self.fileno = _no_descriptor

    def close(self) -> None:
        """It is closed by the program."""


def _no_descriptor() -> int:
    raise io.UnsupportedOperation("fileno")


def source(given: Any) -> IO[bytes]:
    """Bytes or a file, as what is uploaded."""
    if isinstance(given, bytes | bytearray | memoryview):
        return io.BytesIO(given)
    return cast("IO[bytes]", Lent(given))
