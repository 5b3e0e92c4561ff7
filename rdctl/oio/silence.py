"""Services that do not answer, so that not every request to them waits until it times out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# After this time, one request is sent to see whether the service answers again.
ASK_AGAIN_SECONDS = 30.0


class Silence:
    """The services that did not answer. Used by all threads of a command."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def holds(self, address: str) -> bool:
        """Whether to skip a request. The first one after the waiting time is not skipped."""
        with self._lock:
            until = self._until.get(address)
            if until is None:
                return False
            if self._clock() < until:
                return True
            self._until[address] = self._clock() + ASK_AGAIN_SECONDS
            return False

    def begin(self, address: str) -> None:
        """It did not answer."""
        with self._lock:
            self._until[address] = self._clock() + ASK_AGAIN_SECONDS

    def end(self, address: str) -> None:
        """It answered."""
        with self._lock:
            self._until.pop(address, None)
