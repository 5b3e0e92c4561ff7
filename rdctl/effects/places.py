"""Where files are written, and for whom: what leads there is walked by descriptor, and rdctl's own
small files are replaced as a whole."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from _thread import allocate_lock  # `threading` takes a millisecond, which help does not need
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import quoted, raw_bytes
from rdctl.effects.door import Effect


def write_file(path: str, text: str, *, what: str, home: str | None = None) -> Effect[None]:
    """A private file that is replaced as a whole or not at all. OSError at once where what has that
    name is no file: a dry run fails as well, and nothing is replaced.

    A new one is 0600, and one that is replaced keeps its owner and its mode. Below `home` a new one
    belongs to whom that does, also when root writes it. A file that is mounted by itself, or in a
    folder that cannot be written to, is written in place.
    """
    _refuse_irregular(path)

    def perform() -> None:
        place = Location.of(path, home, make=0o700)
        try:
            try:
                place.replace(raw_bytes(text))
            except OSError as error:
                if error.errno not in _NOT_REPLACEABLE or not place.holds_a_file:
                    raise
                place.rewrite(raw_bytes(text))
        finally:
            place.close()

    return Effect(what, f"write {path}", perform)


# A mount point; a folder that cannot be written to. EPERM is a file of another user in a folder
# like /tmp: it would stay theirs.
_NOT_REPLACEABLE = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EROFS)


def lend_file(path: str, home: str) -> None:
    """Make a private file for the owner of `home`, where that is not who runs this. What hinders
    it is left to who opens the file."""
    if _owner(home) is None or os.path.lexists(path):
        return
    with suppress(OSError):
        place = Location.of(path, home, make=0o700)
        try:
            os.close(place.create(place.name))
        finally:
            place.close()


def _refuse_irregular(path: str) -> None:
    """OSError for a device, a pipe, a socket or a folder: what is written to its name would replace
    it; and for a link that is not to be followed."""
    with suppress(FileNotFoundError):
        place = Location.of(path, None)
        try:
            mode = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False).st_mode
        finally:
            place.close()
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(mode):
            raise _irregular(path)


def _irregular(path: str) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", path)


_MOST_LINKS = 40  # as the kernel's
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_ACL = "system.posix_acl_access"
_PART_AGE = 3600.0  # seconds after which a part is left from a process that was killed


_making = allocate_lock()


class Location:
    """A name in a folder that is held by a descriptor: nobody can exchange what leads to it.

    `home` is the home directory of another user in which root works, None if that is not so: what
    is new in their folders belongs to them.
    """

    def __init__(self, folder: int, home: os.stat_result | None) -> None:
        self.folder = folder
        self.name = ""
        self._home = home
        self._in_home = False

    @classmethod
    def of(
        cls, path: str, home: str | None, *, make: int | None = None, inside: bool = False
    ) -> Location:
        """Where a path leads, or with `inside` the folder that it leads to. Folders on the way are
        made with the mode `make`. A link is followed when it is ours or root's: others lead to
        their own ends."""
        place = cls(os.open("/" if path.startswith("/") else ".", _FOLDER), _owner(home))
        left = _names(path)
        links = 0
        try:
            while left:
                place.name = left.pop()
                target = place._link()
                if target is None:
                    if left or inside:
                        place.enter(make)
                    continue
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                left += _names(target)
                if target.startswith("/"):
                    place._in_home = False
                    place._go(os.open("/", _FOLDER))
            if not inside and place.name in ("", ".."):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        except BaseException:
            place.close()
            raise
        return place

    def close(self) -> None:
        os.close(self.folder)

    def enter(self, make: int | None) -> None:
        """Go on in the folder of this name, which is not a link."""
        # Nobody is to see a folder that another thread makes before it is its owner's.
        with nullcontext() if make is None else _making:
            try:
                inner = os.open(self.name, _FOLDER | os.O_NOFOLLOW, dir_fd=self.folder)
            except FileNotFoundError:
                if make is None:
                    raise
                inner = self._make_folder(make)
        if self.name == ".." and self._is_home():
            self._in_home = False
        self._go(inner)

    @property
    def holds_a_file(self) -> bool:
        with suppress(OSError):
            mode = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False).st_mode
            return stat.S_ISREG(mode)
        return False

    @property
    def is_free(self) -> bool:
        try:
            os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return False

    @property
    def owner(self) -> int:
        """The number of the user whom new files here belong to."""
        theirs = self._theirs()
        return os.geteuid() if theirs is None else theirs.st_uid

    def create(self, name: str, mode: int = 0o600) -> int:
        """A descriptor of a new file. FileExistsError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, mode, dir_fd=self.folder)
        self._give(descriptor)
        return descriptor

    def replace(self, data: bytes) -> None:
        self._sweep()
        part = f"{self._stem}{os.urandom(8).hex()}.part"
        descriptor = self.create(part)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(data)
                file.flush()
                self._let_who_could(descriptor)
                os.fsync(descriptor)
            os.rename(part, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=self.folder)
            raise

    def rewrite(self, data: bytes) -> None:
        """In place: the space is reserved first, and the rest of the old text is cut off last."""
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.name, flags, dir_fd=self.folder)
        with open(descriptor, "wb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _irregular(self.name)
            os.posix_fallocate(descriptor, 0, max(1, len(data)))
            file.write(data)
            file.flush()
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)

    @property
    def _stem(self) -> str:
        return f".{self.name[:200]}."

    def _sweep(self) -> None:
        """Remove the parts of this file that killed processes left."""
        import re
        import time

        pattern = re.compile(re.escape(self._stem) + "[0-9a-f]{16}[.]part")
        with suppress(OSError):
            folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.folder)
            try:
                for name in filter(pattern.fullmatch, os.listdir(folder)):
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                    ours = status.st_uid in (os.geteuid(), self.owner)
                    if ours and time.time() - status.st_mtime > _PART_AGE:
                        os.unlink(name, dir_fd=folder)
            finally:
                os.close(folder)

    def _let_who_could(self, descriptor: int) -> None:
        """Give a new file the owner and the mode of the one it replaces. In a folder like /tmp
        others may have put that there: nothing of it is kept."""
        if not self.holds_a_file or os.fstat(self.folder).st_mode & stat.S_IWOTH:
            return
        old = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        new = os.fstat(descriptor)
        keeps_owner = os.geteuid() == 0 and self._theirs() is None
        try:
            if old.st_gid != new.st_gid or keeps_owner:
                os.fchown(descriptor, old.st_uid if keeps_owner else -1, old.st_gid)
        except PermissionError:
            os.fchmod(descriptor, old.st_mode & 0o707)  # what that group may do is not for ours
            return
        os.fchmod(descriptor, old.st_mode & 0o777)
        with suppress(OSError):  # without one, or on a file system that has none
            path = f"/proc/self/fd/{self.folder}/{self.name}"
            os.setxattr(descriptor, _ACL, os.getxattr(path, _ACL, follow_symlinks=False))

    def _link(self) -> str | None:
        """What the name leads to, if it is a link."""
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.name, flags, dir_fd=self.folder)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISLNK(status.st_mode):
                return None
            if status.st_uid not in (0, os.geteuid()):
                why = "a symbolic link of another user, which is not followed"
                raise OSError(errno.ELOOP, why, self.name)
            return os.readlink("", dir_fd=descriptor)
        finally:
            os.close(descriptor)

    def _make_folder(self, mode: int) -> int:
        made = False
        with suppress(FileExistsError):
            os.mkdir(self.name, mode, dir_fd=self.folder)
            made = True
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        inner = os.open(self.name, flags, dir_fd=self.folder)
        # One that somebody moved here meanwhile is not ours to give.
        if made and not os.listdir(inner):
            self._give(inner)
        return inner

    def _go(self, folder: int) -> None:
        os.close(self.folder)
        self.folder = folder
        self.name = ""
        if self._is_home():
            self._in_home = True

    def _is_home(self) -> bool:
        return self._home is not None and os.path.samestat(os.fstat(self.folder), self._home)

    def _theirs(self) -> os.stat_result | None:
        """The home directory, where this folder belongs to its owner too."""
        if self._home is None or not self._in_home:
            return None
        return self._home if os.fstat(self.folder).st_uid == self._home.st_uid else None

    def _give(self, descriptor: int) -> None:
        theirs = self._theirs()
        if theirs is not None:
            os.fchown(descriptor, theirs.st_uid, theirs.st_gid)


def refuse_planted(path: str) -> None:
    """OSError where a link of another user is on the way that a path leads."""
    with suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
        Location.of(path, None).close()


def _names(path: str) -> list[str]:
    """The names in a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _owner(home: str | None) -> os.stat_result | None:
    """The home directory, when root works in that of another user."""
    if home is None or os.geteuid() != 0:
        return None
    try:
        status = os.stat(home)
    except OSError:
        return None
    return status if status.st_uid != 0 else None


def remove_file(path: str) -> Effect[None]:
    """A file of rdctl's own; it may be gone already."""

    def perform() -> None:
        with suppress(FileNotFoundError):
            os.unlink(path)

    return Effect(f"remove {path}", f"rm -f {shlex.quote(path)}", perform)


@contextmanager
def alone_with(path: str, seconds: float, home: str) -> Iterator[None]:
    """Keep others who use this on the same file out, and wait for them so long at most: `timeout`
    after that. Where the lock file beside it cannot be made, nobody is kept out."""
    descriptor = _lock_file(path, home)
    if descriptor is None:
        yield
        return
    try:
        if not _locked(descriptor, seconds):
            raise RdctlError(
                Code.TIMEOUT,
                f"{path} is being changed by another process: {path}.lock is locked",
                hint=f"To see who holds it: fuser -v {quoted(f'{path}.lock')}",
                target=path,
            )
        yield
    finally:
        os.close(descriptor)


def _lock_file(path: str, home: str) -> int | None:
    """Beside the file that the path leads to, so that each way to it has the same lock; None where
    there can be no such file."""
    try:
        place = Location.of(path, home, make=0o700)
    except OSError:
        return None
    name = f"{place.name}.lock"
    try:
        if not (place.is_free or place.holds_a_file):
            return None
        while True:
            with suppress(FileExistsError):
                return place.create(name)
            flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            with suppress(FileNotFoundError):
                return os.open(name, flags, dir_fd=place.folder)
    except OSError:
        return None
    finally:
        place.close()


def _locked(descriptor: int, seconds: float) -> bool:
    import fcntl
    import time

    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        except OSError:
            return True  # a file system without locks
        else:
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
