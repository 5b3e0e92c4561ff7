"""The environment of the process: streams, terminal, variables, clock, prompts."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, human_size, raw_bytes

if TYPE_CHECKING:
    from rdctl.effects.syscalls import Syscalls
    from rdctl.rapiddisk.files import Away


class OutputError(OSError):
    """The output of rdctl cannot be written."""


class Stream:
    """An output stream of the process; text is written as UTF-8 in any locale.

    Raises BrokenPipeError if the reader has exited, and OutputError if a write fails for another
    reason; after that all output is discarded. `closed`: the caller closed it, and all output is
    discarded.
    """

    def __init__(self, raw: BinaryIO, *, tty: bool) -> None:
        self.raw = raw
        self.tty = tty
        self.closed = isinstance(raw, _Nothing)
        self.started = False

    def write(self, text: str) -> None:
        self.write_bytes(raw_bytes(text))

    def write_bytes(self, data: bytes | memoryview) -> None:
        if data:
            self.started = True
            try:
                self.raw.write(data)
            except OSError as error:
                raise self._given_up(error) from error

    def flush(self) -> None:
        try:
            self.raw.flush()
        except OSError as error:
            raise self._given_up(error) from error

    def _given_up(self, error: OSError) -> OSError:
        """The error to raise. Data still buffered would fail again at exit, with a message and an
        exit code of Python."""
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.raw.fileno())
        kind = BrokenPipeError if isinstance(error, BrokenPipeError) else OutputError
        return kind(error.errno, error.strerror)


class Messages(Stream):
    """Messages for people: flushed at once; errors of writing are ignored."""

    _held: list[bytes] | None = None

    @contextmanager
    def held(self) -> Iterator[list[bytes]]:
        """Hold messages back until the end, while the screen is in use."""
        self._held = held = list[bytes]()
        try:
            yield held
        finally:
            self._held = None
            self.write_bytes(b"".join(held))

    def write_bytes(self, data: bytes | memoryview) -> None:
        if self._held is not None:
            self._held.append(bytes(data))
            return
        with suppress(OSError):
            super().write_bytes(data)
            self.flush()


_BLOCK = 1 << 20


def read_in_time(
    path: str, seconds: float | None, most: int, clock: Callable[[], float] = time.monotonic
) -> bytes:
    """Read a file of at most `most` bytes within so many seconds: it may be a pipe that is never
    written to. Raises OSError, `timeout`."""
    with open(path, "rb", buffering=0, opener=unblocked) as file:
        return _read(file, path, seconds, most, clock)


def _read(
    file: Any, name: str, seconds: float | None, most: int, clock: Callable[[], float]
) -> bytes:
    try:
        descriptor = file.fileno()
    except (OSError, ValueError):
        return _bounded(file.read(most + 1), most)  # not a file of the system
    import select

    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    end = None if seconds is None else clock() + seconds
    data = bytearray()
    while len(data) <= most:
        left = None if end is None else end - clock()
        if not waiting.poll(None if left is None else max(0.0, left * 1000)) or (
            left is not None and left < 0
        ):
            raise RdctlError(
                Code.TIMEOUT,
                f"timed out reading {escape(name)}",
                hint="Check that its writer is still running, or use a longer --timeout.",
            )
        try:
            block = os.read(descriptor, _BLOCK)
        except BlockingIOError:
            continue  # another process was faster
        if not block:
            break
        data += block
    return _bounded(data, most)


def _bounded(data: bytes | bytearray, most: int) -> bytes:
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {human_size(most)}")
    return bytes(data)


def unblocked(path: str, flags: int) -> int:
    """An opener for reading, which does not wait for the writer of a pipe."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


class Environment:
    """The environment of one process. Tests create their own."""

    def __init__(
        self,
        *,
        stdin: BinaryIO,
        stdout: Stream,
        stderr: Messages,
        environ: Mapping[str, str],
        stdin_tty: bool = False,
        width: int = 80,
        size: Callable[[], tuple[int, int]] | None = None,
        root: str = "/",
        calls: Syscalls | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
        program: Sequence[str] = ("/usr/bin/rdctl",),
        away: Away | None = None,
    ) -> None:
        """`size` returns the current columns and lines of the terminal; `clock` is monotonic, `now`
        is the time of day, both in seconds. `program` are the words that run rdctl again. `away`
        has the files that the command names if it was typed on another machine."""
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.environ = environ
        self.stdin_tty = stdin_tty
        self.width = width
        self.size = size or (lambda: (width, 24))
        self.root = root
        # System calls of a simulated machine, None on the real one.
        self.calls = calls
        self.clock = clock
        self.sleep = sleep
        self.now = now
        self.program = program
        self.away = away
        self._thought = 0.0

    def busy(self) -> float:
        """`clock`, without the time spent waiting for the user."""
        return self.clock() - self._thought

    @contextmanager
    def thinking(self) -> Iterator[None]:
        """A person is being asked, or a program that uses rdctl: their time does not count."""
        asked = self.clock()
        try:
            yield
        finally:
            self._thought += self.clock() - asked

    @property
    def can_ask(self) -> bool:
        """Whether a prompt is possible: stdin and stderr are terminals."""
        return self.stdin_tty and self.stderr.tty

    def confirm(self, question: str) -> bool:
        """Ask on stderr; any answer other than y or yes is No."""
        self.stderr.write(f"{question} [y/N] ")
        answer = b""
        try:
            with self.thinking():
                answer = self.stdin.readline()
        finally:
            if not answer:
                self.stderr.write("\n")
        return answer.strip().lower() in (b"y", b"yes")

    def read(self, source: str, seconds: float | None, most: int) -> bytes:
        """Read at most `most` bytes from the file `source`, or from standard input for `-`, within
        so many seconds; without a limit if a person types them. Raises OSError, `timeout`."""
        if source != "-":
            return read_in_time(source, seconds, most, self.clock)
        patience = None if self.stdin_tty else seconds
        return _read(self.stdin, "standard input", patience, most, self.clock)

    def taken(self) -> tuple[Callable[[int, float], bytes], Callable[[bytes], None]]:
        """Take standard input and output for messages: a function that reads some bytes within so
        many seconds, or raises TimeoutError, and one that writes. Whatever else reads from the
        process's input finds it empty, and what it prints goes to stderr."""
        source, sink = os.dup(self.stdin.fileno()), os.dup(self.stdout.raw.fileno())
        os.dup2(os.open(os.devnull, os.O_RDONLY), self.stdin.fileno())
        os.dup2(self.stderr.raw.fileno(), self.stdout.raw.fileno())
        out = io.BufferedWriter(_Patient(sink, "wb"))

        def receive(most: int, seconds: float) -> bytes:
            import select

            waiting = select.poll()
            waiting.register(source, select.POLLIN)
            if not waiting.poll(seconds * 1000):
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            return os.read(source, most)

        def send(data: bytes) -> None:
            out.write(data)
            out.flush()

        return receive, send

    def home(self) -> str:
        """The user's home directory."""
        home = self.environ.get("HOME") or os.path.expanduser("~")
        if not home.startswith("/"):
            raise RdctlError(Code.CONFIG, "home directory not found", hint="Set HOME.")
        return home


class _Patient(io.FileIO):
    """A stream of the process that blocks even if another process made it non-blocking, which may
    happen at any time (a shell's other jobs, Node.js, ssh)."""

    def __init__(self, descriptor: int, mode: str) -> None:
        super().__init__(descriptor, mode, closefd=False)

    def write(self, data: Any) -> int:
        while (count := super().write(data)) is None:
            self._wait("POLLOUT")
        return count

    def readinto(self, buffer: Any) -> int:
        while (count := super().readinto(buffer)) is None:
            self._wait("POLLIN")
        return count

    def readall(self) -> bytes:
        block, whole = bytearray(io.DEFAULT_BUFFER_SIZE), bytearray()
        while count := self.readinto(block):
            whole += memoryview(block)[:count]
        return bytes(whole)

    def _wait(self, event: str) -> None:
        import select

        waiting = select.poll()
        waiting.register(self.fileno(), getattr(select, event))
        waiting.poll()


class _Nothing:
    """Replaces an output that the caller closed (`>&-`)."""

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        return

    def isatty(self) -> bool:
        return False


class _Closed:
    """Replaces an input that the caller closed (`<&-`); it is not treated as empty."""

    def read(self, size: int = -1) -> bytes:
        raise RdctlError(Code.USAGE, "standard input is closed")

    readline = read

    def close(self) -> None:
        return

    def fileno(self) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def isatty(self) -> bool:
        return False


def no_output() -> Any:
    """An output that goes nowhere."""
    return _Nothing()


def no_input() -> Any:
    """An input that cannot be read."""
    return _Closed()


# Bytes of the output that wait for more: Python 3.14 would hold the first rows of a listing back.
_HELD = 8192


def _patient(stream: TextIO | None) -> Any:
    """The bytes of a standard stream, buffered even with PYTHONUNBUFFERED: otherwise every row
    would be a system call."""
    if stream is None:
        return _Nothing()
    if stream.readable():
        return io.BufferedReader(_Patient(stream.fileno(), "rb"))
    return io.BufferedWriter(_Patient(stream.fileno(), "wb"), _HELD)


def real() -> Environment:
    """The environment of this process."""
    stdin: Any = _Closed() if sys.stdin is None else _patient(sys.stdin)
    stdout, stderr = _patient(sys.stdout), _patient(sys.stderr)
    return Environment(
        stdin=stdin,
        stdout=Stream(stdout, tty=stdout.isatty()),
        stderr=Messages(stderr, tty=stderr.isatty()),
        environ=os.environ,
        stdin_tty=stdin.isatty(),
        width=_terminal_size()[0] if stdout.isatty() else 80,
        size=_terminal_size,
        program=_program(),
    )


def embedded() -> Environment:
    """The environment of a program that uses rdctl as a library: its streams are not touched."""
    return Environment(
        stdin=no_input(),
        stdout=Stream(no_output(), tty=False),
        stderr=Messages(no_output(), tty=False),
        environ=os.environ,
        program=(sys.executable, "-m", "rdctl"),
    )


def _program() -> Sequence[str]:
    """The words that run this program again, from any directory."""
    path = os.path.abspath(sys.argv[0])
    if os.path.basename(path) == "__main__.py":
        return (sys.executable, "-m", "rdctl")
    if not os.path.exists(__file__):  # rdctl.pyz, which need not be executable
        return (sys.executable, path)
    return (path,)


def _terminal_size() -> tuple[int, int]:
    """Columns and lines of the terminal, be it only that of stderr; COLUMNS overrides it."""
    try:
        override = int(os.environ.get("COLUMNS") or 0)
        columns, lines = os.get_terminal_size(1 if os.isatty(1) else 2)
    except (OSError, ValueError):
        return 80, 24
    return max(override, 0) or columns or 80, lines or 24
