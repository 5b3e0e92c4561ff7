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
    """A file in the making. `size` is what it held when it was opened; `keep` says whether it is
    left for another attempt when it does not become whole. All raise OSError."""

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
        """Fewer bytes only at the end."""
        return os.pread(self._descriptor, size, at)

    def cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)


class Destination(NamedTuple):
    """Where a file is to be made: `folders` lead to it from the folder `root`, and none of them may
    be a symbolic link, which could lead elsewhere. It bears the name `part` until it is whole."""

    root: str
    folders: tuple[str, ...]
    name: str
    part: str

    @property
    def path(self) -> str:
        below = os.path.join(*self.folders, self.name)
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
    """A file that is filled under another name and then gets its own; folders are made as needed.

    Without `replace` a file of that name is FileExistsError, with `resume` a part that an earlier
    attempt left is gone on with. A part that another process fills is BlockingIOError. Below `home`
    what is new belongs to whom that does.
    """

    def perform() -> T:
        place = _folder(target, home)
        try:
            descriptor = _open_part(place, target.part)
            try:
                if not resume:
                    os.ftruncate(descriptor, 0)
                part = Part(descriptor)
                try:
                    result = fill(part)
                    _name(place, target, replace)
                except BaseException:
                    if not part.keep or not os.fstat(descriptor).st_size:
                        os.unlink(target.part, dir_fd=place.folder)
                    raise
            finally:
                os.close(descriptor)
        finally:
            place.close()
        return result

    return Effect(what, f"write {shlex.quote(target.path)}", perform)


def make_folder(
    root: str, folders: tuple[str, ...], *, what: str, home: str | None = None
) -> Effect[None]:
    """A folder, with those that lead to it; it may be there already."""
    target = Destination(root, folders, "", "")

    def perform() -> None:
        _folder(target, home).close()

    return Effect(what, f"mkdir -p {shlex.quote(target.path)}", perform)


def _folder(target: Destination, home: str | None) -> Location:
    """The folder, which is made if it is not there."""
    place = Location.of(target.root, home, make=0o777, inside=True)
    try:
        for place.name in target.folders:
            place.enter(0o777)
    except BaseException:
        place.close()
        raise
    place.name = target.name
    return place


def _open_part(place: Location, name: str) -> int:
    """A descriptor of the part, for this process alone. A file of another user in its place is
    removed, or PermissionError."""
    import fcntl

    while True:
        descriptor = _made_or_found(place, name)
        try:
            if not _is_of(place.owner, descriptor):
                os.unlink(name, dir_fd=place.folder)
                os.close(descriptor)
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=place.folder)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Another process ended it between the two: that file has its own name now.
        os.close(descriptor)


def _made_or_found(place: Location, name: str) -> int:
    """A descriptor of the part, which may be anybody's."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        with suppress(FileExistsError):
            return place.create(name, 0o666)
        try:
            return os.open(name, flags, dir_fd=place.folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EACCES):
                raise
            status = os.stat(name, dir_fd=place.folder, follow_symlinks=False)
            if status.st_uid == os.geteuid():
                raise
            os.unlink(name, dir_fd=place.folder)


def _is_of(user: int, descriptor: int) -> bool:
    """Whether it is a file of this user or of our own, which has no other name."""
    status = os.fstat(descriptor)
    ours = status.st_uid in (user, os.geteuid())
    return stat.S_ISREG(status.st_mode) and ours and status.st_nlink == 1


def _name(place: Location, target: Destination, replace: bool) -> None:
    """Give the part its own name."""
    if not replace:
        try:
            os.link(target.part, target.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links, and so without a way to look and act at once.
            if not place.is_free:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        else:
            os.unlink(target.part, dir_fd=place.folder)
            return
    os.rename(target.part, target.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)


def pour(
    path: str,
    fill: Callable[[Callable[[memoryview], None]], T],
    *,
    what: str,
    check: Callable[[], None],
) -> Effect[T]:
    """Bytes into what is no regular file: a device, a pipe. `fill` gets what writes them. `check`
    is called while nobody takes them, and may raise."""

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
    """A descriptor; a pipe is opened once it has a reader."""
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


def spool(
    read: Callable[[int], bytes],
    size: int,
    check: Callable[[], None],
    most: int | None,
    *,
    of: str,
) -> Effect[IO[bytes]]:
    """What comes from a stream, taken in blocks of `size` into a file without a name, which goes
    when it is closed. Raises `conflict` beyond `most` bytes, `failed` when its folder is full:
    _SPARE bytes are left there for others. `of` names the stream for people."""

    def perform() -> IO[bytes]:
        import tempfile

        folder = "the temporary folder"
        try:
            folder = tempfile.gettempdir()
            file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - its user closes it
        except OSError as error:
            raise _not_kept(of, folder, error.strerror or str(error)) from error
        kept = 0
        try:
            while block := read(size):
                check()
                kept += len(block)
                if most is not None and kept > most:
                    raise RdctlError(
                        Code.CONFLICT, f"{of}: larger than the container's quota ({most} bytes)"
                    )
                _keep(file, block, of, folder)
        except BaseException:
            file.close()
            raise
        return file

    return Effect("keep standard input", "# standard input is kept in a temporary file", perform)


# Bytes that a spooled stream leaves free; of a small file system a sixteenth.
_SPARE = 64 << 20


def _keep(file: IO[bytes], block: bytes, of: str, folder: str) -> None:
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
        raise _not_kept(of, folder, error.strerror or str(error)) from error


def _not_kept(of: str, folder: str, reason: str) -> RdctlError:
    return RdctlError(
        Code.FAILED,
        f"{of}: cannot be buffered in {folder}: {reason}",
        hint="Its size must be known before it is sent. Set TMPDIR to a folder with more space.",
    )
