"""A program that this one talks to through pipes."""

from __future__ import annotations

import io
import os
import select
import signal
import time
from _thread import allocate_lock
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

# A signal from the terminal, or its end, reaches only this process, which decides what it means.
# An ignored signal stays ignored in the program.
_DEAF = 'trap "" INT HUP QUIT; exec "$@"'
_BLOCK = 1 << 16
# What is kept of the program's messages: the first and the last bytes.
_KEPT = 1 << 14
_END_SECONDS = 1.0
# Set for it and what it starts; of no meaning to anyone else.
_MARK = "_RDCTL_STARTED"


class Piped:
    """Runs a program. It can ask on the terminal, but does not get the terminal's signals.

    `read` has its output, `write` is its input. While one waits for the output, its messages are
    collected in `said`; `patience` are the seconds that a read waits before it raises TimeoutError.
    `hear` gets the messages as they arrive; the program then writes them to a terminal, since some
    show a person what they do not write to a pipe. Raises OSError if it cannot be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        hear: Callable[[bytes], None] | None = None,
    ) -> None:
        import subprocess

        pipe = subprocess.PIPE
        messages, its_end = _terminal() if hear is not None else os.pipe()
        self._mark = os.urandom(16).hex()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _DEAF, "sh", *words],
                stdin=pipe,
                stdout=pipe,
                stderr=its_end,
                bufsize=0,
                env={**environ, _MARK: self._mark},
            )
        except BaseException:
            os.close(messages)
            raise
        finally:
            os.close(its_end)
        its: Any = self._process  # with both streams
        self.write: BinaryIO = its.stdin
        self._output: BinaryIO = its.stdout
        self._messages = io.FileIO(messages)
        self._ear = _Ear(self._output.fileno(), messages, hear)
        self.read = io.BufferedReader(self._ear, _BLOCK)
        self.closed = False

    @property
    def said(self) -> str:
        """What it wrote to its standard error so far."""
        return self._ear.said()

    def forget(self) -> None:
        """Its messages so far are no longer of use, and further ones are only collected."""
        self._ear.forget()

    @property
    def patience(self) -> float | None:
        return self._ear.patience

    @patience.setter
    def patience(self, seconds: float | None) -> None:
        self._ear.patience = seconds

    def wait(self, seconds: float) -> int | None:
        """Its exit code, negative for a signal; None if it has not ended in time."""
        import subprocess

        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._ear.listen()
        return code

    def close(self, seconds: float = _END_SECONDS) -> None:
        """Close its input and wait so long for its end, which is enforced then, also for what it
        has started."""
        with suppress(OSError):
            self.write.close()
        try:
            self._end(seconds)
        except BaseException:  # a second Ctrl-C
            self._process.kill()
            raise
        if self._process.returncode != 0:
            _kill_marked(f"{_MARK}={self._mark}".encode())
        # Another pipe may get their numbers, from which a reader of this one must not read.
        if self._ear.leave(_END_SECONDS):
            self._output.close()
            self._messages.close()
        self.closed = True

    def _end(self, seconds: float) -> None:
        if self.wait(seconds) is None:
            self._process.terminate()
            if self.wait(_END_SECONDS) is None:
                self._process.kill()
                self._process.wait()


class _Ear(io.RawIOBase):
    """Reads the output of a program, and keeps a part of its messages meanwhile. Nothing waits for
    the end of the messages: what it has started may keep them open."""

    def __init__(
        self, output: int, messages: int, hear: Callable[[bytes], None] | None = None
    ) -> None:
        self._output = output
        self._messages = messages
        self._hear = hear
        os.set_blocking(messages, False)
        self._open = True
        self._first, self._last = b"", b""
        self._reading = allocate_lock()
        self._left = False
        self.patience: float | None = None

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._output

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        with self._reading:
            return 0 if self._left else self._read(buffer)

    def leave(self, seconds: float) -> bool:
        """Read nothing from now on; false if a reader does not return in time."""
        if not self._reading.acquire(timeout=seconds):
            return False
        self._left, self._open = True, False
        self._reading.release()
        return True

    def _read(self, buffer: bytearray | memoryview) -> int:
        end = None if self.patience is None else time.monotonic() + self.patience
        while True:
            waiting = select.poll()
            waiting.register(self._output, select.POLLIN)
            if self._open:
                waiting.register(self._messages, select.POLLIN)
            left = None if end is None else max(0.0, end - time.monotonic()) * 1000
            ready = [descriptor for descriptor, _ in waiting.poll(left)]
            if not ready:
                raise TimeoutError("no data within the time limit")
            if self._messages in ready:
                self.listen()
            if self._output in ready:
                data = os.read(self._output, len(buffer))
                buffer[: len(data)] = data
                return len(data)

    def listen(self) -> None:
        """Collect the messages that have arrived."""
        while self._open:
            try:
                data = os.read(self._messages, _BLOCK)
            except BlockingIOError:
                return
            except OSError:  # the end of a terminal
                data = b""
            self._open = bool(data)
            room = _KEPT - len(self._first)
            self._first += data[:room]
            self._last = (self._last + data[room:])[-_KEPT:]
            if self._hear is not None:
                self._hear(data)

    def said(self) -> str:
        return (self._first + self._last).decode(errors="replace")

    def forget(self) -> None:
        self._first, self._last, self._hear = b"", b"", None


def _terminal() -> tuple[int, int]:
    """The two ends of a terminal that passes everything on as it is; of a pipe, if there are too
    many terminals."""
    import tty

    try:
        ours, its = os.openpty()
    except OSError:
        return os.pipe()
    tty.setraw(its)
    return ours, its


# --- what it has started ----------------------------------------------------------------------


def _kill_marked(mark: bytes) -> None:
    """Kill what a program has left behind, such as the command of a proxy, which ignores a HUP as
    the program does. What went into the background on its own has another session, and stays."""
    session = os.getsid(0)
    for process in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            with open(f"/proc/{process}/environ", "rb") as file:
                found = mark in file.read().split(b"\0")
            if found and os.getsid(int(process)) == session:
                os.kill(int(process), signal.SIGKILL)
