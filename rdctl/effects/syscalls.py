"""The system calls that change a machine, and the effects that perform them."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import stat
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from rdctl.core.once import once
from rdctl.effects.door import Effect
from rdctl.effects.signals import signals_to

if TYPE_CHECKING:
    import ctypes


# struct statx: its mode, and the device number after its times.
_STATX = struct.Struct("=28x H 98x I I 120x")
_STATX_SIZE = _STATX.size
_STATX_TYPE = 0x1
_AT_FDCWD = -100
# AT_STATX_DONT_SYNC, AT_NO_AUTOMOUNT
_DONT_SYNC = 0x4000 | 0x800
_KCMP = {True: 312, False: 272}


class Syscalls:
    """The system calls that change a machine or query its devices. Tests use a simulated kernel
    instead. All raise OSError."""

    @property
    def privileged(self) -> bool:
        return os.geteuid() == 0

    def shown(self, path: str) -> str:
        """The path as the operator knows it; a simulated machine is in a directory of this one."""
        return path

    def write(self, path: str, text: str) -> None:
        """One write(2) to an existing file."""
        data = text.encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.EIO, "short write", path)
        finally:
            os.close(descriptor)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def mkdir(self, path: str) -> None:
        os.mkdir(path)

    def rmdir(self, path: str) -> None:
        os.rmdir(path)

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, path)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def replace(self, path: str, text: str, mode: int) -> None:
        """Replace a small file atomically, or create it with this mode; missing directories are
        created."""
        from rdctl.effects.places import replaced

        replaced(path, text, mode)

    def remove(self, path: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError):
            os.unlink(path)

    def open_device(self, path: str, *, exclusive: bool = False) -> int:
        """A descriptor for reading. An exclusive one of a block device is refused (EBUSY) while the
        device is mounted, mapped or used as swap, and prevents that while it is open."""
        flags = os.O_EXCL if exclusive else 0
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)

    def open_for_writing(self, path: str) -> int:
        """A descriptor for writing to a device, which may be claimed by this process."""
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        return os.pread(descriptor, size, offset)

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> None:
        rest = memoryview(data)
        while rest:
            count = os.pwrite(descriptor, rest, offset)
            rest, offset = rest[count:], offset + count

    def settle(self, descriptor: int) -> None:
        """Have a device take what was written, which may fail only now, and free the memory that
        held it."""
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def kept(self, path: str) -> None:
        """A file was written: a simulated machine keeps it, if it is one of its own."""

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> None:
        """A bytearray is changed in place."""
        import fcntl

        fcntl.ioctl(descriptor, request, argument)

    def lock(self, path: str) -> int | None:
        """A descriptor that locks the file until closed; None if another process holds the lock."""
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
        """Run a program and return its exit code and output; raises TimeoutError after so many
        seconds."""
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
            raise TimeoutError(errno.ETIMEDOUT, "timed out") from error
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def page(self, argv: Sequence[str], text: str) -> bool:
        """Show a text with a pager; false if it cannot be started. Ctrl-C is for the pager."""
        import subprocess

        def hear(number: int, usual: Callable[[], object]) -> None:
            if number != signal.SIGINT:
                usual()

        with signals_to(hear):
            try:
                subprocess.run(argv, input=text.encode(), check=False)
            except OSError:
                return False
        return True

    def can_bind(self, address: str) -> bool:
        """Whether a server can listen on this IPv4 or IPv6 address."""
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
        """`MAJOR:MINOR` of a block device; None for anything else."""

        status = os.stat(path)
        if not stat.S_ISBLK(status.st_mode):
            return None
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"

    def peek(self, path: str) -> str | None:
        """As device_number, for a file in use by another process: does not query a network file
        system, whose server could be down, and does not trigger automounts."""
        import ctypes

        answer = bytearray(_STATX_SIZE)
        buffer = (ctypes.c_char * _STATX_SIZE).from_buffer(answer)
        if self._libc.statx(_AT_FDCWD, os.fsencode(path), _DONT_SYNC, _STATX_TYPE, buffer):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        mode, major, minor = _STATX.unpack(answer)
        return f"{major}:{minor}" if stat.S_ISBLK(mode) else None

    def references(self, path: str) -> int:
        """The reference count in a file of the kernel."""
        with open(path, encoding="ascii") as file:
            return int(file.read())

    def same_file(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        """Whether two descriptors, each a process and its number there, share one open file, by
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

    @once
    def _libc(self) -> ctypes.CDLL:
        import ctypes

        return ctypes.CDLL(None, use_errno=True)


def quoted_path(calls: Syscalls, path: str) -> str:
    return shlex.quote(calls.shown(path))


def write(
    calls: Syscalls, path: str, text: str, *, what: str, destroys: str | None = None
) -> Effect[None]:
    """Write a line to a file of the kernel."""
    line = f"echo {shlex.quote(text)} > {quoted_path(calls, path)}"
    return Effect(what, line, lambda: calls.write(path, text), destroys, brief=True)


def write_secret(calls: Syscalls, path: str, text: str, file: str | None) -> Effect[None]:
    """Write a secret to a file of the kernel: it is shown as the contents of the file that it is
    from."""
    source = f"cat {shlex.quote(file)}" if file is not None else "printf ***"
    line = f"{source} > {quoted_path(calls, path)}"
    what = f"write a secret to {calls.shown(path)}"
    return Effect(what, line, lambda: calls.write(path, text), brief=True)


def set_mode(calls: Syscalls, path: str, mode: int) -> Effect[None]:
    line = f"chmod {mode:04o} {quoted_path(calls, path)}"
    return Effect(line, line, lambda: calls.chmod(path, mode), brief=True)


def make_dir(calls: Syscalls, path: str) -> Effect[None]:
    line = f"mkdir {quoted_path(calls, path)}"
    return Effect(line, line, lambda: calls.mkdir(path), brief=True)


def remove_dir(calls: Syscalls, path: str) -> Effect[None]:
    line = f"rmdir {quoted_path(calls, path)}"
    return Effect(line, line, lambda: calls.rmdir(path), brief=True)


def link(calls: Syscalls, target: str, path: str) -> Effect[None]:
    line = f"ln -s {quoted_path(calls, target)} {quoted_path(calls, path)}"
    return Effect(line, line, lambda: calls.symlink(target, path), brief=True)


def unlink(calls: Syscalls, path: str) -> Effect[None]:
    line = f"rm {quoted_path(calls, path)}"
    return Effect(line, line, lambda: calls.unlink(path), brief=True)


def replace_file(
    calls: Syscalls, path: str, text: str, *, what: str, mode: int = 0o600
) -> Effect[None]:
    """Replace a small file of rdctl atomically."""
    line = f"install -D -m {mode:04o} /dev/stdin {quoted_path(calls, path)}"
    return Effect(what, line, lambda: calls.replace(path, text, mode), brief=True)


def remove_file(calls: Syscalls, path: str) -> Effect[None]:
    """Remove a file of rdctl, if it exists."""
    line = f"rm -f {quoted_path(calls, path)}"
    return Effect(f"remove {calls.shown(path)}", line, lambda: calls.remove(path), brief=True)


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
    """An ioctl on a device, which is opened for it unless a descriptor is given."""

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


def exclusively(calls: Syscalls, device: str, effect: Effect[None]) -> Effect[None]:
    """The effect, refused (EBUSY) while the device is mounted, mapped or used as swap."""

    def perform() -> None:
        descriptor = calls.open_device(device, exclusive=True)
        try:
            effect.perform()
        finally:
            calls.close(descriptor)

    return effect._replace(perform=perform)


def call(
    calls: Syscalls,
    argv: Sequence[str],
    seconds: float | None,
    *,
    what: str,
    destroys: str | None = None,
) -> Effect[tuple[int, str]]:
    """Run a program for at most so many seconds."""
    line = shlex.join(argv)
    return Effect(
        what, line, lambda: calls.run(argv, seconds), destroys, did=lambda ran: ran[0] == 0
    )
