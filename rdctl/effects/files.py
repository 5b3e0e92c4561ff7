"""Files and streams of any size: downloads, pipes, a spool for standard input."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import IO, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effect, T
from rdctl.effects.places import Location, refuse_planted


class Part:
    """An incomplete file. `size` is its size when opened; `keep` says whether it is kept for
    another attempt if it stays incomplete. All methods raise OSError."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self.keep = True

    def write(self, data: bytes | memoryview, at: int) -> None:
        rest = memoryview(data)
        while rest:
            count = os.pwrite(self._descriptor, rest, at)
            rest, at = rest[count:], at + count

    def read(self, size: int, at: int) -> bytes:
        """Read bytes; fewer than `size` only at the end."""
        return os.pread(self._descriptor, size, at)

    def cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def date(self, mtime_ns: int) -> bool:
        """Set the modification time, after the last write. False if the file system cannot keep
        it."""
        try:
            os.utime(self._descriptor, ns=(os.fstat(self._descriptor).st_atime_ns, mtime_ns))
        except (OSError, OverflowError):
            return False
        return True


class Destination(NamedTuple):
    """The place of a new file: `directories` are the path from the directory `root`; none of them
    may be a symbolic link. The file is named `part` until it is complete."""

    root: str
    directories: tuple[str, ...]
    name: str
    part: str

    @property
    def path(self) -> str:
        below = "/".join((*self.directories, self.name))
        plain = self.root == "." and not below.startswith("-")
        return below if plain else os.path.join(self.root, below)

    def at(self, error: OSError) -> str:
        """The path that the error is about: that of the file, or of its part."""
        return self._replace(name=self.part).path if error.filename == self.part else self.path


def make_file(
    target: Destination,
    fill: Callable[[Part], T],
    *,
    what: str,
    replace: bool,
    resume: bool,
    home: str | None = None,
) -> Effect[T]:
    """Write a file under a temporary name, then rename it; directories are created as needed.

    Without `replace` an existing file raises FileExistsError; with `resume` the part of an earlier
    attempt is continued. A part in use by another process raises BlockingIOError. New files and
    directories below `home` belong to its owner.
    """

    def perform() -> T:
        place = directory_of(target, home)
        try:
            descriptor = open_part(place, target.part)
            try:
                if not resume:
                    os.ftruncate(descriptor, 0)
                part = Part(descriptor)
                try:
                    result = fill(part)
                    rename_part(place, target, replace)
                except BaseException:
                    if not part.keep or not os.fstat(descriptor).st_size:
                        os.unlink(target.part, dir_fd=place.directory)
                    raise
            finally:
                os.close(descriptor)
        finally:
            place.close()
        return result

    return Effect(what, f"write {shlex.quote(target.path)}", perform)


def make_directory(
    root: str, directories: tuple[str, ...], *, what: str, home: str | None = None
) -> Effect[None]:
    """Create a directory and its parents; it may already exist."""
    target = Destination(root, directories, "", "")

    def perform() -> None:
        directory_of(target, home).close()

    return Effect(what, f"mkdir -p {shlex.quote(target.path)}", perform)


def remove_file(
    target: Destination, size: int, mtime_ns: int, *, what: str, destroys: str
) -> Effect[bool]:
    """Remove a regular file of this size and modification time. Another one, or anything else in
    its place, stays: then the result is False."""

    def perform() -> bool:
        place = _existing(target)
        try:
            status = os.stat(target.name, dir_fd=place.directory, follow_symlinks=False)
            same = (status.st_size, status.st_mtime_ns) == (size, mtime_ns)
            if not (stat.S_ISREG(status.st_mode) and same):
                return False
            os.unlink(target.name, dir_fd=place.directory)
        except FileNotFoundError:
            return False
        finally:
            place.close()
        return True

    return Effect(what, f"rm {shlex.quote(target.path)}", perform, destroys, did=bool)


def remove_directory(target: Destination, *, what: str) -> Effect[bool]:
    """Remove an empty directory; False if it is not empty, or is none."""

    def perform() -> bool:
        place = _existing(target)
        try:
            os.rmdir(target.name, dir_fd=place.directory)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
                raise
            return False
        finally:
            place.close()
        return True

    return Effect(what, f"rmdir {shlex.quote(target.path)}", perform, did=bool)


def _existing(target: Destination) -> Location:
    """The directory of a target; none below its root may be a link."""
    place = Location.of(target.root, None, inside=True)
    try:
        for place.name in target.directories:
            place.enter(None)
    except BaseException:
        place.close()
        raise
    return place


def directory_of(target: Destination, home: str | None) -> Location:
    """The directory, created if missing."""
    place = Location.of(target.root, home, make=0o777, inside=True)
    try:
        for place.name in target.directories:
            place.enter(0o777)
    except BaseException:
        place.close()
        raise
    place.name = target.name
    return place


def open_part(place: Location, name: str, mode: int = 0o666) -> int:
    """A locked descriptor of the part. A file of another user in its place is removed, or raises
    PermissionError."""
    import fcntl

    while True:
        descriptor = _made_or_found(place, name, mode)
        try:
            if not _is_of(place.owner, descriptor):
                os.unlink(name, dir_fd=place.directory)
                os.close(descriptor)
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=place.directory)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Another process completed and renamed it in the meantime.
        os.close(descriptor)


def _made_or_found(place: Location, name: str, mode: int) -> int:
    """A descriptor of the part, which may belong to any user."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        with suppress(FileExistsError):
            return place.create(name, mode)
        try:
            return os.open(name, flags, dir_fd=place.directory)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EACCES):
                raise
            status = os.stat(name, dir_fd=place.directory, follow_symlinks=False)
            if status.st_uid == os.geteuid():
                raise
            os.unlink(name, dir_fd=place.directory)


def _is_of(user: int, descriptor: int) -> bool:
    """Whether it is a file of this user or of this process, without other links."""
    status = os.fstat(descriptor)
    ours = status.st_uid in (user, os.geteuid())
    return stat.S_ISREG(status.st_mode) and ours and status.st_nlink == 1


def rename_part(place: Location, target: Destination, replace: bool) -> None:
    """Rename the part to its final name."""
    if not replace:
        try:
            os.link(
                target.part, target.name, src_dir_fd=place.directory, dst_dir_fd=place.directory
            )
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links cannot check and rename atomically.
            if not place.is_free:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        else:
            os.unlink(target.part, dir_fd=place.directory)
            return
    os.rename(target.part, target.name, src_dir_fd=place.directory, dst_dir_fd=place.directory)


def pour(
    path: str,
    fill: Callable[[Callable[[memoryview], None]], T],
    *,
    what: str,
    check: Callable[[], None],
) -> Effect[T]:
    """Write to a device or a pipe. `fill` gets the function that writes. `check` is called while
    the reader is slow, and may raise."""

    def perform() -> T:
        import select

        descriptor = _open_for_pouring(path, check)
        waiting = select.poll()
        waiting.register(descriptor, select.POLLOUT)

        def write(data: memoryview) -> None:
            while data:
                if not waiting.poll(_LOOK_SECONDS * 1000):
                    check()
                    continue
                with suppress(BlockingIOError):
                    data = data[os.write(descriptor, data) :]

        try:
            return fill(write)
        finally:
            os.close(descriptor)

    return Effect(what, f"write {shlex.quote(path)}", perform)


_LOOK_SECONDS = 0.5


def _open_for_pouring(path: str, check: Callable[[], None]) -> int:
    """A descriptor; a pipe is opened as soon as it has a reader."""
    import time

    refuse_planted(path)
    while True:
        check()
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
                raise
        time.sleep(_LOOK_SECONDS / 5)


class Spool:
    """An unnamed temporary file that is written to its end, and removed when closed. `of` names
    what it is for, for people. Raises `failed` if its directory is full: _SPARE bytes stay free
    there."""

    def __init__(self, of: str) -> None:
        import tempfile

        self._of, self._directory = of, "the temporary directory"
        try:
            self._directory = tempfile.gettempdir()
            self.file: IO[bytes] = tempfile.TemporaryFile(buffering=0, dir=self._directory)  # noqa: SIM115
        except OSError as error:
            raise _not_kept(of, self._directory, error.strerror or str(error)) from error
        self.size = 0

    def write(self, block: bytes | memoryview) -> None:
        _keep(self.file, block, self._of, self._directory)
        self.size += len(block)


def spool(
    read: Callable[[int], bytes],
    size: int,
    check: Callable[[], None],
    most: int | None,
    *,
    of: str,
) -> Effect[IO[bytes]]:
    """Buffer a stream in blocks of `size` in a Spool. Raises `conflict` beyond `most` bytes. `of`
    names the stream for people."""

    def perform() -> IO[bytes]:
        kept = Spool(of)
        try:
            while block := read(size):
                check()
                if most is not None and kept.size + len(block) > most:
                    raise RdctlError(
                        Code.CONFLICT, f"{of}: larger than the container's quota ({most} bytes)"
                    )
                kept.write(block)
        except BaseException:
            kept.file.close()
            raise
        return kept.file

    return Effect("buffer standard input", "# buffer standard input in a temporary file", perform)


# Bytes that a buffered stream leaves free; a sixteenth of a small file system.
_SPARE = 64 << 20


def _keep(file: IO[bytes], block: bytes | memoryview, of: str, directory: str) -> None:
    """Write a block to the end of a spool."""
    try:
        room = os.fstatvfs(file.fileno())
        free = room.f_bavail * room.f_frsize
        if free < len(block) + min(_SPARE, room.f_blocks * room.f_frsize // 16):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = memoryview(block)
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise _not_kept(of, directory, error.strerror or str(error)) from error


def _not_kept(of: str, directory: str, reason: str) -> RdctlError:
    return RdctlError(
        Code.FAILED,
        f"{of}: cannot be buffered in {directory}: {reason}",
        hint="The upload needs its size in advance. Set TMPDIR to a directory with more space.",
    )
