"""The one door: nothing outside the process is changed but through here.

So a dry run, the trace, consent and the account of what was done hold for every command. A test
forbids writing, `ioctl`, `mkdir`, `symlink` and `session.send` anywhere else.
"""

from __future__ import annotations

import errno
import os
import shlex
import signal
import stat
import struct
from _thread import (
    allocate_lock,
    get_ident,
)  # `threading` takes a millisecond, which help does not need
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from rdctl.errors import Code, RdctlError
from rdctl.units import quoted, raw_bytes

if TYPE_CHECKING:
    import ctypes

    import requests

T = TypeVar("T")


class Effect(NamedTuple, Generic[T]):
    """One act on the outside.

    `what` names it for people ("remove rd1"), `line` is its line in a dry run and in the trace,
    `destroys` says what is lost by it, None when nothing is. Signals wait until a `brief` one is
    over, so that its fate is always known. A `step` belongs to something larger, which accounts for
    it: there may be any number of them. `did` says of the result whether the act was done, since
    a refusal may be a result too.
    """

    what: str
    line: str
    perform: Callable[[], T]
    destroys: str | None = None
    brief: bool = False
    step: bool = False
    did: Callable[[T], bool] = lambda result: True


# struct statx: its mode, and the device's number at the end of its times.
_STATX = struct.Struct("=28x H 98x I I 120x")
_STATX_SIZE = _STATX.size
_STATX_TYPE = 0x1
_AT_FDCWD = -100
# AT_STATX_DONT_SYNC, AT_NO_AUTOMOUNT
_DONT_SYNC = 0x4000 | 0x800
_KCMP = {True: 312, False: 272}


class Syscalls:
    """The system calls that change a machine or ask its devices. Tests put a simulated kernel in
    their place. All raise OSError."""

    @property
    def privileged(self) -> bool:
        return os.geteuid() == 0

    def write(self, path: str, text: str) -> None:
        """One write(2) to a file that exists, whose own result counts."""
        data = text.encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.EIO, "only a part was taken", path)
        finally:
            os.close(descriptor)

    def mkdir(self, path: str) -> None:
        os.mkdir(path)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, path)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def open_device(self, path: str, *, exclusive: bool = False) -> int:
        """A descriptor for reading; an exclusive one of a block device is refused (EBUSY) while
        the device is mounted, mapped or swapped to, and keeps others from that."""
        flags = os.O_EXCL if exclusive else 0
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> None:
        """A bytearray is changed in place."""
        import fcntl

        fcntl.ioctl(descriptor, request, argument)

    def lock(self, path: str) -> int | None:
        """A descriptor that holds the lock file until it is closed; None: another process does."""
        import fcntl

        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.truncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
        return descriptor

    def run(self, argv: Sequence[str], seconds: float | None = None) -> tuple[int, str]:
        """Run a program to its end, or for so many seconds and then TimeoutError; its exit code and
        its output."""
        import subprocess

        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C"},
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(errno.ETIMEDOUT, "did not end in time") from error
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def can_bind(self, address: str) -> bool:
        """Whether a server could listen on this IPv4 or IPv6 address."""
        import socket

        family, kind, protocol, _, place = socket.getaddrinfo(
            address, 0, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )[0]
        with socket.socket(family, kind, protocol) as asked:
            try:
                asked.bind(place)
            except OSError:
                return False
        return True

    def device_number(self, path: str) -> str | None:
        """`MAJOR:MINOR` of a block device's node; None for anything else."""
        import stat

        status = os.stat(path)
        if not stat.S_ISBLK(status.st_mode):
            return None
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"

    def peek(self, path: str) -> str | None:
        """As device_number, of a file that another process uses: nothing is asked of a server that
        it may lie on, which could be away, and nothing is mounted for it."""
        import ctypes
        import stat

        answer = bytearray(_STATX_SIZE)
        buffer = (ctypes.c_char * _STATX_SIZE).from_buffer(answer)
        if self._libc.statx(_AT_FDCWD, os.fsencode(path), _DONT_SYNC, _STATX_TYPE, buffer):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        mode, major, minor = _STATX.unpack(answer)
        return f"{major}:{minor}" if stat.S_ISBLK(mode) else None

    def references(self, path: str) -> int:
        """The number in a file of the kernel that counts uses of a module."""
        with open(path, encoding="ascii") as file:
            return int(file.read())

    def same_file(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        """Whether two descriptors, each a process and its number there, are one open file: by
        fork, dup or inheritance."""
        import ctypes

        words = (*(process for process, _ in (one, other)), 0, one[1], other[1])
        order = self._libc.syscall(
            _KCMP[os.uname().machine == "x86_64"], *map(ctypes.c_long, words)
        )
        if order < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return bool(order == 0)

    @cached_property
    def _libc(self) -> ctypes.CDLL:
        import ctypes

        return ctypes.CDLL(None, use_errno=True)


def send(
    session: requests.Session,
    request: requests.PreparedRequest,
    settings: dict[str, Any],
    receive: Callable[[requests.Response], T],
    *,
    what: str,
    line: str,
    destroys: str | None = None,
) -> Effect[T]:
    """A request that leaves this process; `receive` reads the reply, which belongs to the act."""

    def perform() -> T:
        return receive(session.send(request, **settings))

    return Effect(what, line, perform, destroys)


def write_file(path: str, text: str, *, what: str, home: str | None = None) -> Effect[None]:
    """A private file that is replaced as a whole or not at all. OSError at once where what has that
    name is no file: a dry run fails as well, and nothing is replaced.

    A new one is 0600, and one that is replaced keeps its owner and its mode. Below `home` a new one
    belongs to whom that does, also when root writes it. A file that is mounted by itself, or in a
    folder that cannot be written to, is written in place.
    """
    _refuse_irregular(path)

    def perform() -> None:
        place = _Place.of(path, home, make=0o700)
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
        place = _Place.of(path, home, make=0o700)
        try:
            os.close(place.create(place.name))
        finally:
            place.close()


def _refuse_irregular(path: str) -> None:
    """OSError for a device, a pipe, a socket or a folder: what is written to its name would replace
    it; and for a link that is not to be followed."""
    with suppress(FileNotFoundError):
        place = _Place.of(path, None)
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


class _Place:
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
    ) -> _Place:
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
        _Place.of(path, None).close()


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
        place = _Place.of(path, home, make=0o700)
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


class Target(NamedTuple):
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
    target: Target,
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
    target = Target(root, folders, "", "")

    def perform() -> None:
        _folder(target, home).close()

    return Effect(what, f"mkdir -p {shlex.quote(target.path)}", perform)


def _folder(target: Target, home: str | None) -> _Place:
    """The folder, which is made if it is not there."""
    place = _Place.of(target.root, home, make=0o777, inside=True)
    try:
        for place.name in target.folders:
            place.enter(0o777)
    except BaseException:
        place.close()
        raise
    place.name = target.name
    return place


def _open_part(place: _Place, name: str) -> int:
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


def _made_or_found(place: _Place, name: str) -> int:
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


def _name(place: _Place, target: Target, replace: bool) -> None:
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


def write(
    calls: Syscalls, path: str, text: str, *, what: str, destroys: str | None = None
) -> Effect[None]:
    """A line to a file of the kernel."""
    line = f"echo {shlex.quote(text)} > {shlex.quote(path)}"
    return Effect(what, line, lambda: calls.write(path, text), destroys, brief=True)


def make_dir(calls: Syscalls, path: str) -> Effect[None]:
    line = f"mkdir {shlex.quote(path)}"
    return Effect(line, line, lambda: calls.mkdir(path), brief=True)


def remove_dir(calls: Syscalls, path: str) -> Effect[None]:
    line = f"rmdir {shlex.quote(path)}"
    return Effect(line, line, lambda: calls.rmdir(path), brief=True)


def link(calls: Syscalls, target: str, path: str) -> Effect[None]:
    line = f"ln -s {shlex.quote(target)} {shlex.quote(path)}"
    return Effect(line, line, lambda: calls.symlink(target, path), brief=True)


def unlink(calls: Syscalls, path: str) -> Effect[None]:
    line = f"rm {shlex.quote(path)}"
    return Effect(line, line, lambda: calls.unlink(path), brief=True)


def ioctl(
    calls: Syscalls,
    device: str | int,
    request: int,
    argument: bytearray | int = 0,
    *,
    what: str,
    line: str,
    destroys: str | None = None,
    exclusive: bool = False,
) -> Effect[None]:
    """An ioctl of a device, which is opened for it unless an open descriptor is given."""

    def perform() -> None:
        if isinstance(device, int):
            calls.ioctl(device, request, argument)
            return
        descriptor = calls.open_device(device, exclusive=exclusive)
        try:
            calls.ioctl(descriptor, request, argument)
        finally:
            calls.close(descriptor)

    return Effect(what, line, perform, destroys, brief=True)


def call(
    calls: Syscalls,
    argv: Sequence[str],
    seconds: float | None,
    *,
    what: str,
    destroys: str | None = None,
) -> Effect[tuple[int, str]]:
    """A program that is run to its end, for so many seconds at most."""
    line = shlex.join(argv)
    return Effect(
        what, line, lambda: calls.run(argv, seconds), destroys, did=lambda ran: ran[0] == 0
    )


# What an undo meets where its step had not been done.
_WAS_NOT_DONE = (errno.ENOENT, errno.EEXIST, errno.ENXIO, errno.ENODEV)
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_to(hear: Callable[[int, Callable[[], object]], object]) -> Iterator[None]:
    """Signals that end the process go to `hear(number, usual)`; `usual()` does what they did
    before. Only in the main thread, whose they are."""
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def heard(number: int, frame: FrameType | None) -> None:
        hear(number, lambda: before[number](number, frame))

    try:
        for ending in ENDING:
            handler = signal.getsignal(ending)
            if callable(handler):
                before[ending] = handler
                signal.signal(ending, heard)
    except ValueError:
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Effects:
    """Performs effects, or in a dry run only lists them.

    `trace` takes a line of text; `ask` takes the losses and returns when somebody agreed to them,
    else raises; `tell` takes what a person is told meanwhile. `asks_always`: also for a change that
    destroys nothing. `check` raises what forbids one more change.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Sequence[str]], None],
        trace: Callable[[str], None] | None = None,
        tell: Callable[[str], None] | None = None,
        dry_run: bool = False,
        asks_always: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.dry_run = dry_run
        self.plan: list[str] = []
        self.done: list[str] = []
        # What several threads do at this moment.
        self.under_way: list[str] = []
        # Transactions that failed: what was taken back, and the steps that could not be.
        self.undone: list[str] = []
        self.left: list[str] = []
        self._ask = ask
        self._trace = trace
        self._tracing: int | None = None  # the thread of the last line
        self._tell = tell
        self._asks_always = asks_always
        self._check = check
        self._agreed = False
        # What the question says of looks that this backend cannot take.
        self.unchecked: str | None = None
        self._undo: list[Effect[Any]] | None = None

    def consent(self, losses: Sequence[str], unchecked: str | None = None) -> None:
        """Ask once for all that an operation is about to destroy, before its first effect;
        `unchecked` tells what could not be looked at before."""
        self.unchecked = unchecked
        if not losses and self._asks_always:
            return  # should something be done all the same, it is asked for then
        if losses and not self.dry_run:
            self._ask(losses)
        self._agreed = True

    def foretell(self, acts: Iterable[str]) -> None:
        """Where every change asks: all that is to come, as one question."""
        if self._asks_always and not self._agreed and (losses := list(acts)):
            self.consent(losses)

    def look(self, effect: Effect[T]) -> T:
        """Perform what only reads: also in a dry run."""
        self.note(effect.line)
        return effect.perform()

    def do(self, effect: Effect[T], assume: T, undo: Sequence[Effect[Any]] = ()) -> T:
        """Perform a change, or in a dry run note it and return what is assumed. `undo` takes it
        back, last one first, when the transaction that it belongs to fails."""
        if self._asks_always and not self._agreed:
            self.consent([effect.what])
        if effect.destroys and not self._agreed:
            raise RdctlError(
                Code.INTERNAL, f"{effect.what} would destroy {effect.destroys}, and was not asked"
            )
        if self.dry_run:
            self.plan.append(effect.line)
            return assume
        self._check()
        self.note(effect.line)
        if effect.step:
            return effect.perform()
        with _signals_held() if effect.brief else nullcontext():
            noted = len(self._undo or ())
            if self._undo is not None:
                self._undo += undo
            self.under_way.append(effect.what)
            try:
                result = effect.perform()
            except Exception:
                self._account(effect, noted, did=False)
                raise
            self._account(effect, noted, did=effect.did(result))
        return result

    def _account(self, effect: Effect[Any], noted: int, *, did: bool) -> None:
        """An act is over, whose undo was noted behind the first `noted`."""
        if did:
            self.done.append(effect.what)
        elif self._undo is not None:
            # It was refused: what stands there is not of our making.
            del self._undo[noted:]
        self.under_way.remove(effect.what)

    @contextmanager
    def transaction(self, what: str) -> Iterator[None]:
        """All effects within are done, or on any failure and any signal none: they are undone in
        reverse, and what cannot be undone is named."""
        if self._undo is not None:
            yield  # the outer one answers for it
            return
        before = len(self.done)
        self._undo = undo = list[Effect[Any]]()
        with self._one_interruption(undo):
            try:
                yield
            except BaseException:
                self.left += self._take_back(undo)
                if len(self.done) > before:
                    self.done[before:] = []
                    self.undone.append(what)
                self.under_way.clear()
                raise
            finally:
                self._undo = None
        if len(self.done) > before:
            self.done[before:] = [what]

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """Effects that no signal may part."""
        with _signals_held():
            yield

    def _take_back(self, undo: list[Effect[Any]]) -> list[str]:
        """Undo, last one first; what could not be undone."""
        left = []
        while undo:
            effect = undo[-1]
            self.note(effect.line)
            try:
                effect.perform()
            except OSError as error:
                if error.errno not in _WAS_NOT_DONE:
                    left.append(f"{effect.line} ({error.strerror})")
            undo.pop()
        return left

    @contextmanager
    def _one_interruption(self, undo: Sequence[Effect[Any]]) -> Iterator[None]:
        """The first signal ends what is under way; who sends more while that is undone is told how
        much is left."""
        heard = False

        def hear(number: int, usual: Callable[[], object]) -> None:
            nonlocal heard
            if not heard:
                heard = True
                usual()
            elif self._tell is not None:
                self._tell(f"undoing what was begun: {len(undo)} steps left")

        with signals_to(hear):
            yield

    def note(self, line: str, about: str = "") -> None:
        """A line in the trace; `about` tells which one it belongs to, where another thread's
        stands between."""
        if self._trace is not None:
            thread = get_ident()
            parted, self._tracing = thread != self._tracing, thread
            self._trace(f"{line}, {about}" if about and parted else line)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals that end the process arrive at the end of this. The mask keeps them from a system
    call; it is this thread's alone, so another thread's signal is kept by the handlers."""
    heard: list[int] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        with signals_to(lambda number, usual: heard.append(number)):
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    finally:
        for number in heard:
            signal.raise_signal(number)
