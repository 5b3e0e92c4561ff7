"""Safe writing of files: paths are walked by descriptors, and rdctl's own small files are replaced
atomically."""

from __future__ import annotations

import errno
import os
import stat
from _thread import allocate_lock  # `threading` takes a millisecond, which help does not need
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import quoted, raw_bytes
from rdctl.effects.door import Effect


def write_file(
    path: str, text: str, *, what: str, home: str | None = None, mode: int = 0o600
) -> Effect[None]:
    """Replace a small file atomically. Raises OSError at once, even in a dry run, if the path is
    not a regular file.

    A new file has this mode; a replaced one keeps its owner and mode. New files below `home` belong
    to its owner, even if root writes them. A file that is a mount point, or in a read-only
    directory, is written in place.
    """
    _refuse_irregular(path)

    return Effect(what, f"write {path}", lambda: _replace(path, text, home, mode))


def replaced(path: str, text: str, mode: int) -> None:
    """As write_file, at once, for a file of the machine; a new file has this mode. Raises
    OSError."""
    _refuse_irregular(path)
    _replace(path, text, None, mode)


def _replace(path: str, text: str, home: str | None, mode: int) -> None:
    place = Location.of(path, home, make=0o755 if mode & 0o044 else 0o700)
    try:
        try:
            place.replace(raw_bytes(text), mode)
        except OSError as error:
            if error.errno not in _NOT_REPLACEABLE or not place.holds_a_file:
                raise
            place.rewrite(raw_bytes(text))
    finally:
        place.close()


# A mount point, or a read-only directory. EPERM, a file of another user in a directory like /tmp,
# is not included: it would keep its owner.
_NOT_REPLACEABLE = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EROFS)


def lend_file(path: str, home: str) -> None:
    """As root, create a private file for the owner of `home`. Errors are left to the opening of the
    file."""
    if _owner(home) is None or os.path.lexists(path):
        return
    with suppress(OSError):
        place = Location.of(path, home, make=0o700)
        try:
            os.close(place.create(place.name))
        finally:
            place.close()


def _refuse_irregular(path: str) -> None:
    """Raise OSError for a device, pipe, socket or directory, which would be replaced, and for links
    that must not be followed."""
    with suppress(FileNotFoundError):
        place = Location.of(path, None)
        try:
            mode = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False).st_mode
        finally:
            place.close()
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(mode):
            raise _irregular(path)


def _irregular(path: str) -> OSError:
    return OSError(errno.EINVAL, "not a regular file", path)


_MOST_LINKS = 40  # as the kernel's
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_ACL = "system.posix_acl_access"
_PART_AGE = 3600.0  # seconds after which a part is considered left over from a killed process


_making = allocate_lock()


class Location:
    """A name in a directory that is held by a descriptor, so that its path cannot be exchanged.

    `home` is the home directory of another user in which root works, else None: new files in the
    user's directories belong to the user.
    """

    def __init__(self, directory: int, home: os.stat_result | None) -> None:
        self.directory = directory
        self.name = ""
        self._home = home
        self._in_home = False

    @classmethod
    def of(
        cls, path: str, home: str | None, *, make: int | None = None, inside: bool = False
    ) -> Location:
        """The location of a path, or with `inside` the directory at the path. Missing directories
        are created with the mode `make`. Only links of this user and of root are followed."""
        place = cls(os.open("/" if path.startswith("/") else ".", _DIRECTORY), _owner(home))
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
                    place._go(os.open("/", _DIRECTORY))
            if not inside and place.name in ("", ".."):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        except BaseException:
            place.close()
            raise
        return place

    def close(self) -> None:
        os.close(self.directory)

    def enter(self, make: int | None) -> None:
        """Enter the directory of this name, which is not a link."""
        # Other threads must not see a new directory before it belongs to its owner.
        with nullcontext() if make is None else _making:
            try:
                inner = os.open(self.name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self.directory)
            except FileNotFoundError:
                if make is None:
                    raise
                inner = self._make_directory(make)
        if self.name == ".." and self._is_home():
            self._in_home = False
        self._go(inner)

    @property
    def holds_a_file(self) -> bool:
        with suppress(OSError):
            mode = os.stat(self.name, dir_fd=self.directory, follow_symlinks=False).st_mode
            return stat.S_ISREG(mode)
        return False

    @property
    def is_free(self) -> bool:
        try:
            os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return False

    @property
    def owner(self) -> int:
        """The ID of the user to whom new files here belong."""
        theirs = self._theirs()
        return os.geteuid() if theirs is None else theirs.st_uid

    def create(self, name: str, mode: int = 0o600) -> int:
        """A descriptor of a new file. Raises FileExistsError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, mode, dir_fd=self.directory)
        self._give(descriptor)
        return descriptor

    def replace(self, data: bytes, mode: int = 0o600) -> None:
        self._sweep()
        part = f"{self._stem}{os.urandom(8).hex()}.part"
        descriptor = self.create(part)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(data)
                file.flush()
                self._keep_permissions(descriptor)
                os.fsync(descriptor)
            os.rename(part, self.name, src_dir_fd=self.directory, dst_dir_fd=self.directory)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=self.directory)
            raise

    def rewrite(self, data: bytes) -> None:
        """Write in place: reserve the space first, truncate the rest of the old text last."""
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.name, flags, dir_fd=self.directory)
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
            directory = os.open(
                ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.directory
            )
            try:
                for name in filter(pattern.fullmatch, os.listdir(directory)):
                    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    ours = status.st_uid in (os.geteuid(), self.owner)
                    if ours and time.time() - status.st_mtime > _PART_AGE:
                        os.unlink(name, dir_fd=directory)
            finally:
                os.close(directory)

    def _keep_permissions(self, descriptor: int) -> None:
        """Give a new file the owner and mode of the one it replaces. In a directory like /tmp that
        may be a file of others, so nothing of it is kept."""
        if not self.holds_a_file or os.fstat(self.directory).st_mode & stat.S_IWOTH:
            return
        old = os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        new = os.fstat(descriptor)
        keeps_owner = os.geteuid() == 0 and self._theirs() is None
        try:
            if old.st_gid != new.st_gid or keeps_owner:
                os.fchown(descriptor, old.st_uid if keeps_owner else -1, old.st_gid)
        except PermissionError:
            os.fchmod(descriptor, old.st_mode & 0o707)  # its group cannot be kept
            return
        os.fchmod(descriptor, old.st_mode & 0o777)
        with suppress(OSError):  # no ACL, or not supported by the file system
            path = f"/proc/self/fd/{self.directory}/{self.name}"
            os.setxattr(descriptor, _ACL, os.getxattr(path, _ACL, follow_symlinks=False))

    def _link(self) -> str | None:
        """The target of the name, if it is a link."""
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.name, flags, dir_fd=self.directory)
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISLNK(status.st_mode):
                return None
            if status.st_uid not in (0, os.geteuid()):
                why = "symbolic link of another user, which is not followed"
                raise OSError(errno.ELOOP, why, self.name)
            return os.readlink("", dir_fd=descriptor)
        finally:
            os.close(descriptor)

    def _make_directory(self, mode: int) -> int:
        made = False
        with suppress(FileExistsError):
            os.mkdir(self.name, mode, dir_fd=self.directory)
            made = True
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        inner = os.open(self.name, flags, dir_fd=self.directory)
        # A directory that was moved here in the meantime keeps its owner.
        if made and not os.listdir(inner):
            self._give(inner)
        return inner

    def _go(self, directory: int) -> None:
        os.close(self.directory)
        self.directory = directory
        self.name = ""
        if self._is_home():
            self._in_home = True

    def _is_home(self) -> bool:
        return self._home is not None and os.path.samestat(os.fstat(self.directory), self._home)

    def _theirs(self) -> os.stat_result | None:
        """The home directory, if this directory belongs to its owner too."""
        if self._home is None or not self._in_home:
            return None
        return self._home if os.fstat(self.directory).st_uid == self._home.st_uid else None

    def _give(self, descriptor: int) -> None:
        theirs = self._theirs()
        if theirs is not None:
            os.fchown(descriptor, theirs.st_uid, theirs.st_gid)


def refuse_planted(path: str) -> None:
    """Raise OSError if a path contains a link of another user."""
    with suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
        Location.of(path, None).close()


def _names(path: str) -> list[str]:
    """The names in a path, in reverse order."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _owner(home: str | None) -> os.stat_result | None:
    """The home directory, if root works in that of another user."""
    if home is None or os.geteuid() != 0:
        return None
    try:
        status = os.stat(home)
    except OSError:
        return None
    return status if status.st_uid != 0 else None


@contextmanager
def alone_with(path: str, seconds: float, home: str) -> Iterator[None]:
    """Lock a file against other users of this function; raises `timeout` after so many seconds.
    Without a lock file next to it, nothing is locked."""
    descriptor = _lock_file(path, home)
    if descriptor is None:
        yield
        return
    try:
        if not locked(descriptor, seconds):
            raise RdctlError(
                Code.TIMEOUT,
                f"{path} is being changed by another process: {path}.lock is locked",
                hint=f"Show the process: fuser -v {quoted(f'{path}.lock')}",
                target=path,
            )
        yield
    finally:
        os.close(descriptor)


def _lock_file(path: str, home: str) -> int | None:
    """Open the lock file next to the target of the path, so that all paths to it share a lock; None
    if that is not possible."""
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
                return os.open(name, flags, dir_fd=place.directory)
    except OSError:
        return None
    finally:
        place.close()


def locked(descriptor: int, seconds: float, pause: float = 0.02) -> bool:
    """Lock a file; False if another process holds the lock for so many seconds."""
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
        time.sleep(pause)
