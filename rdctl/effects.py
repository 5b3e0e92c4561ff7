"""The one door: nothing outside the process is changed but through here.

So a dry run, the trace, consent and the account of what was done hold for every command. A test
forbids writing, `ioctl`, `mkdir`, `symlink` and `session.send` anywhere else.
"""

from __future__ import annotations

import errno
import os
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from rdctl.errors import Code, RdctlError

if TYPE_CHECKING:
    import requests

T = TypeVar("T")


class Effect(NamedTuple, Generic[T]):
    """One act on the outside.

    `what` names it for people ("remove rd1"), `line` is its line in a dry run and in the trace,
    `destroys` says what is lost by it, None when nothing is. Signals wait until a `brief` one is
    over, so that its fate is always known.
    """

    what: str
    line: str
    perform: Callable[[], T]
    destroys: str | None = None
    brief: bool = False


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

    def run(self, argv: Sequence[str]) -> tuple[int, str]:
        """Run a program to its end; its exit code and what it said."""
        import subprocess

        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
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


def write_file(path: str, text: str, *, what: str) -> Effect[None]:
    """A private file (0600) that is replaced as a whole or not at all."""

    def perform() -> None:
        target = os.path.realpath(path)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        part = f"{target}.{os.getpid()}.part"
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                # One that a dead process left may have another mode.
                os.fchmod(descriptor, 0o600)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            if os.path.exists(part):
                os.unlink(part)
            raise

    return Effect(what, f"write {path}", perform)


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
    calls: Syscalls, argv: Sequence[str], *, what: str, destroys: str | None = None
) -> Effect[tuple[int, str]]:
    """A program that is run to its end."""
    return Effect(what, shlex.join(argv), lambda: calls.run(argv), destroys)


# What an undo meets where its step had not been done.
_WAS_NOT_DONE = (errno.ENOENT, errno.EEXIST, errno.ENXIO, errno.ENODEV)
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Effects:
    """Performs effects, or in a dry run only lists them.

    `trace` takes a line of text; `ask` takes the losses and returns when somebody agreed to them,
    else raises; `tell` takes what a person is told meanwhile.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Sequence[str]], None],
        trace: Callable[[str], None] | None = None,
        tell: Callable[[str], None] | None = None,
        dry_run: bool = False,
    ) -> None:
        self.dry_run = dry_run
        self.plan: list[str] = []
        self.done: list[str] = []
        self.under_way: str | None = None
        # Transactions that failed: what was taken back, and the steps that could not be.
        self.undone: list[str] = []
        self.left: list[str] = []
        self._ask = ask
        self._trace = trace
        self._tell = tell
        self._agreed = False
        self._undo: list[Effect[Any]] | None = None

    def consent(self, losses: Sequence[str]) -> None:
        """Ask once for all that an operation is about to destroy, before its first effect."""
        if losses and not self.dry_run:
            self._ask(losses)
        self._agreed = True

    def look(self, effect: Effect[T]) -> T:
        """Perform what only reads: also in a dry run."""
        self.note(effect.line)
        return effect.perform()

    def do(self, effect: Effect[T], assume: T, undo: Sequence[Effect[Any]] = ()) -> T:
        """Perform a change, or in a dry run note it and return what is assumed. `undo` takes it
        back, last one first, when the transaction that it belongs to fails."""
        if effect.destroys and not self._agreed:
            raise RdctlError(
                Code.INTERNAL, f"{effect.what} would destroy {effect.destroys}, and was not asked"
            )
        self.plan.append(effect.line)
        if self.dry_run:
            return assume
        self.note(effect.line)
        with _signals_held() if effect.brief else nullcontext():
            noted = len(self._undo or ())
            if self._undo is not None:
                self._undo += undo
            self.under_way = effect.what
            try:
                result = effect.perform()
            except Exception:
                self.under_way = None
                if self._undo is not None:
                    # It was refused: what stands there is not of our making.
                    del self._undo[noted:]
                raise
            self.under_way = None
            self.done.append(effect.what)
        return result

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
                self.under_way = None
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
        before: dict[int, Callable[[int, FrameType | None], Any]] = {}
        heard = False

        def hear(number: int, frame: FrameType | None) -> None:
            nonlocal heard
            if not heard:
                heard = True
                before[number](number, frame)
            elif self._tell is not None:
                self._tell(f"undoing what was begun: {len(undo)} steps left")

        try:
            for ending in _ENDING:
                handler = signal.getsignal(ending)
                if callable(handler):
                    before[ending] = handler
                    signal.signal(ending, hear)
        except ValueError:
            pass  # signals are the main thread's
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def note(self, line: str) -> None:
        """A line in the trace."""
        if self._trace is not None:
            self._trace(line)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Signals that end the process arrive at the end of this. The mask keeps them from a system
    call; it is this thread's alone, so another thread's signal is kept by the handlers."""
    heard: list[int] = []
    before: dict[int, Any] = {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    with suppress(ValueError):  # handlers are the main thread's
        for ending in _ENDING:
            handler = signal.getsignal(ending)
            if callable(handler):
                before[ending] = handler
                signal.signal(ending, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in heard:
            signal.raise_signal(number)
