"""Other processes: children of this one by fork, since starting a Python costs seconds here."""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any


class Child:
    """A job in a process of its own, started at once."""

    def __init__(self, job: Callable[[], Any]) -> None:
        # What stands in these buffers would be written by both.
        sys.stdout.flush()
        sys.stderr.flush()
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            self._work(job, write)
        os.close(write)

    @staticmethod
    def _work(job: Callable[[], Any], write: int) -> None:
        """In the child: the result goes up the pipe, and nothing else of pytest happens."""
        try:
            answer: tuple[str, Any] = ("result", job())
        except BaseException:
            answer = ("failure", traceback.format_exc())
        try:
            with open(write, "wb") as pipe:
                pickle.dump(answer, pipe)
        finally:
            os._exit(0)

    def result(self) -> Any:
        """What the job returned; None when a signal killed it. To be called once."""
        with open(self._read, "rb") as pipe:
            data = pipe.read()
        os.waitpid(self.pid, 0)
        if not data:
            return None
        kind, value = pickle.loads(data)
        assert kind == "result", value
        return value


class Tripwire(io.BytesIO):
    """A stream that sends a signal to its own process before its line `number` is written."""

    def __init__(self, number: int, signum: signal.Signals) -> None:
        super().__init__()
        self._left = number
        self._signum = signum

    def write(self, data: Any) -> int:
        for _ in range(bytes(data).count(b"\n")):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._signum)
        return super().write(data)


NOBODY = 65534


def nobody() -> None:
    """Become the user `nobody`, for good."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
