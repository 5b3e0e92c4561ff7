"""A deadline for whole requests.

A socket's timeout limits only the wait for the next byte, so a slow server could hold a client
forever. Here every receive gets only the time left. The sockets look up the deadline in `current`,
because no library passes one to them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

# How often a request checks whether it was canceled.
CHECK_SECONDS = 0.5


class Deadline:
    """A time limit for waiting; `seconds` None means none."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds
        self._longest = 0.0, ""

    def left(self) -> float | None:
        """Seconds left, at least 0; None without a limit."""
        return None if self._end is None else max(0.0, self._end - self._clock())

    @property
    def over(self) -> bool:
        return self.left() == 0.0

    def spent(self, seconds: float, what: str) -> None:
        """Record a wait of so many seconds."""
        self._longest = max(self._longest, (seconds, what))

    @property
    def longest(self) -> tuple[float, str]:
        """The longest wait so far: its seconds and its purpose."""
        return self._longest

    def within(self, seconds: float | None) -> Deadline:
        """The earlier of this and `seconds` from now."""
        left = self.left()
        if seconds is None or (left is not None and left < seconds):
            return self
        return Deadline(seconds, self._clock)

    def each(self, seconds: float | None) -> Deadline:
        """This deadline for the whole, and `seconds` for each wait."""
        return self if seconds is None else _Patience(self, seconds)


class _Patience(Deadline):
    """A limit for each wait: only silence counts, not progress."""

    def __init__(self, whole: Deadline, seconds: float) -> None:
        self._whole = whole
        self._seconds = seconds

    def left(self) -> float | None:
        left = self._whole.left()
        return self._seconds if left is None else min(left, self._seconds)


class _CurrentRequest(threading.local):
    deadline: Deadline | None = None
    # Whether any byte of the request was sent: without one it had no effect.
    sent = False
    # Called before and during each wait; an exception ends the request.
    check: Callable[[], None] | None = None
    # Headers that follow a chunked body: each value is computed after the body was sent.
    trailers: Mapping[str, Callable[[], str]] = {}
    # Whether the libraries have sent all blocks of a chunked body.
    ended = False


current = _CurrentRequest()
