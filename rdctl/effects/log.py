"""Logs that many processes append to: whole lines only, each by one write. One is locked for each
use; the other is kept open, with a shared lock that shows others that it is in use."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rdctl.effects.places import Location, locked

_LOCK_SECONDS = 5.0
_SHARE_SECONDS = 60.0
_BLOCK = 1 << 20


def older(path: str) -> str:
    """The name of the file to which a log is renamed: `history.1.ndjson`."""
    start, end = os.path.splitext(path)
    return f"{start}.1{end}"


def unwritable(path: str) -> str | None:
    """Why the log cannot be written, as far as it can be seen without writing; None if it can."""
    above = path
    while not os.path.lexists(above):
        above = os.path.dirname(os.path.abspath(above))
    try:
        place = Location.of(above, None, inside=above != path)
        try:
            if above == path and not place.holds_a_file:
                raise OSError(errno.EINVAL, "not a regular file")
            needed = os.W_OK if above == path else os.W_OK | os.X_OK
            if not os.access(above, needed):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        finally:
            place.close()
    except OSError as error:
        return error.strerror or str(error)
    return None


class Log:
    """A private file that is open and locked. All methods raise OSError."""

    def __init__(self, descriptor: int, place: Location) -> None:
        self._descriptor = descriptor
        self._place = place

    def read(self, size: int, at: int = 0) -> bytes:
        return os.pread(self._descriptor, size, at)

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def count(self, mark: bytes) -> int:
        """How many lines begin with these bytes."""
        found, at, end = 0, 0, b"\n"
        while block := self.read(_BLOCK, at):
            at += len(block)
            block = end + block
            found += block.count(b"\n" + mark)
            end = block[-len(mark) :]
        return found

    def write(self, lines: bytes) -> None:
        """Append whole lines; if that fails, nothing of them stays. They do not continue a line
        that a power failure cut."""
        size = self.size
        if size and self.read(1, size - 1) != b"\n":
            lines = b"\n" + lines
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise

    def take(self, path: str) -> None:
        """Move the lines of another log here, if there is one."""
        with suppress(FileNotFoundError), _locked_log(path, None, make=False) as other:
            text = b""
            while block := other.read(_BLOCK, len(text)):
                text += block
            if text:
                self.write(text if text.endswith(b"\n") else text + b"\n")
            os.unlink(other._place.name, dir_fd=other._place.directory)

    def rotate(self) -> None:
        """Rename the file, which replaces the older one."""
        name, directory = self._place.name, self._place.directory
        os.rename(name, older(name), src_dir_fd=directory, dst_dir_fd=directory)

    def unlock(self) -> None:
        import fcntl

        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def sync(self) -> None:
        os.fsync(self._descriptor)


@contextmanager
def locked_log(path: str, home: str | None, seconds: float = _LOCK_SECONDS) -> Iterator[Log]:
    """The log, created if it does not exist, while no other process writes to it; one that does is
    waited for. New files below `home` belong to its owner. Raises OSError."""
    with _locked_log(path, home, make=True, seconds=seconds) as log:
        yield log


class NoLocks(OSError):
    """The file system has no locks, so that other processes cannot be seen."""


class SharedLog:
    """A file that several processes keep open while they work, and append to. `alone`: no other
    process has it open, and none can open it before `share`. The locks end with a process that is
    killed. All methods raise OSError, the first one NoLocks."""

    def __init__(self, place: Location) -> None:
        self._place = place
        self._descriptor, self.alone = _shared(place)

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self) -> bytes:
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)

    def append(self, line: bytes) -> None:
        """Append a line, and wait until it is on the disk. After an incomplete line it begins a new
        one."""
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        if os.write(self._descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._descriptor)

    def protect(self) -> None:
        """Make it private, once it is known to be what it should be."""
        _protect(self._descriptor)

    def keep(self, text: bytes) -> None:
        """Replace all lines by these, while alone. If that fails, they all stay."""
        if not text:
            os.ftruncate(self._descriptor, 0)
            return
        self._place.replace(text)
        # A process that waits for the old file opens the new one then.
        old = self._descriptor
        self._descriptor, self.alone = _shared(self._place)
        os.close(old)

    def share(self) -> None:
        """Allow other processes to open it."""
        import fcntl

        if self.alone:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            self.alone = False


@contextmanager
def shared_log(path: str, home: str | None) -> Iterator[SharedLog]:
    """The log, created if it does not exist. New files below `home` belong to its owner. Raises
    OSError."""
    place = _location(path, home)
    try:
        log = SharedLog(place)
        try:
            yield log
        finally:
            log.close()
    finally:
        place.close()


def shared_text(path: str) -> bytes:
    """The lines of a shared log, only read; empty if it does not exist. Raises OSError."""
    with suppress(FileNotFoundError):
        place = Location.of(path, None)
        try:
            _refuse_others(place)
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            with open(os.open(place.name, flags, dir_fd=place.directory), "rb") as file:
                return file.read()
        finally:
            place.close()
    return b""


def _shared(place: Location) -> tuple[int, bool]:
    """A descriptor that is locked, and whether no other process has one."""
    _refuse_others(place)
    alone = False

    def lock(descriptor: int) -> bool:
        nonlocal alone
        try:
            alone = _flock(descriptor, alone=True)
            return alone or _is_admitted(descriptor)
        except OSError as error:
            why = f"files cannot be locked here ({error.strerror})"
            raise NoLocks(error.errno, why) from error

    return _opened(place, True, lock, private=False), alone


def _refuse_others(place: Location) -> None:
    """Opening a device may do something already."""
    if not (place.is_free or place.holds_a_file):
        raise OSError(errno.EINVAL, "not a regular file")


def _is_admitted(descriptor: int) -> bool:
    """Wait until the process that is alone shares the file."""
    until = time.monotonic() + _SHARE_SECONDS
    while not _flock(descriptor, alone=False):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _flock(descriptor: int, *, alone: bool) -> bool:
    """Lock a file, if that is possible at once."""
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _protect(descriptor: int) -> None:
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
        with suppress(OSError):  # that of another user
            os.fchmod(descriptor, 0o600)


@contextmanager
def _locked_log(
    path: str, home: str | None, *, make: bool, seconds: float = _LOCK_SECONDS
) -> Iterator[Log]:
    place = _location(path, home) if make else Location.of(path, home)
    try:
        descriptor = _opened(place, make, lambda opened: locked(opened, seconds, 0.001))
        try:
            yield Log(descriptor, place)
        finally:
            os.close(descriptor)
    finally:
        place.close()


def _location(path: str, home: str | None) -> Location:
    """The location of the log, whose own directory is private if it has to be created."""
    with suppress(FileNotFoundError):
        return Location.of(path, home)
    above = os.path.dirname(os.path.dirname(os.path.abspath(path)))
    Location.of(above, home, make=0o755, inside=True).close()
    return Location.of(path, home, make=0o700)


def _opened(
    place: Location, make: bool, lock: Callable[[int], bool], *, private: bool = True
) -> int:
    """A descriptor of the file that has the name now, locked if `lock` is true for it; with
    `private`, for its owner alone."""
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        try:
            descriptor = os.open(place.name, flags, dir_fd=place.directory)
        except FileNotFoundError:
            if not make:
                raise
            with suppress(FileExistsError):
                os.close(place.create(place.name))
            continue
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            if status.st_uid not in (os.geteuid(), place.owner):
                raise PermissionError(errno.EPERM, "file of another user")
            if not lock(descriptor):
                raise TimeoutError(errno.ETIMEDOUT, "locked by another process")
            if private:
                _protect(descriptor)
            with suppress(FileNotFoundError):
                if os.path.samestat(status, os.stat(place.name, dir_fd=place.directory)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was renamed in the meantime
