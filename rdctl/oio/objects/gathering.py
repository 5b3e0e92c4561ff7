"""Receive fragments, or parts of them, from several rawx services at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.oio.rawx import Copy
from rdctl.oio.silence import Silence
from rdctl.workers import WAKE_SECONDS, Stopped, start_thread

T = TypeVar("T")

# A service is slow if it takes longer than this, plus this many times what another one took.
GRACE_SECONDS = 1.0
SLOWER = 3


class Services:
    """The state of the rawx services while an object is read. Fragments that failed are requested
    last, and so are those on services that are slow or do not answer, as long as `silence` holds.
    `warn` shows why."""

    def __init__(self, warn: Callable[[str], None], silence: Silence | None = None) -> None:
        self._warn = warn
        self._silence = silence or Silence()
        self._failed: set[Copy] = set()
        self._away: set[str] = set()
        # The seconds that the last reply took.
        self.pace = GRACE_SECONDS / SLOWER

    @property
    def patience(self) -> float:
        return GRACE_SECONDS + SLOWER * self.pace

    def ordered(self, copies: Sequence[Copy]) -> list[Copy]:
        """The most promising fragments first, otherwise in their order."""
        return sorted(copies, key=lambda one: (self._is_away(one.address), one in self._failed))

    def _is_away(self, address: str) -> bool:
        return address in self._away or self._silence.holds(address)

    def answered(self, copy: Copy, seconds: float, *, in_time: bool) -> None:
        self.pace = seconds
        if in_time:
            self._silence.end(copy.address)

    def failed(self, copy: Copy, error: RdctlError, *, spare: bool) -> None:
        """A fragment was not received; `spare`: another one is requested."""
        known = copy in self._failed or (copy.address in self._away and not spare)
        self._failed.add(copy)
        if error.code in (Code.UNREACHABLE, Code.TIMEOUT):
            self._leave(copy.address)
        if not known:
            self._warn(error.message + ("; trying another fragment" if spare else ""))

    def wrong(self, copy: Copy, reason: str) -> None:
        """A fragment turned out to have wrong bytes."""
        self._failed.add(copy)
        self._warn(f"fragment {copy.pos} is damaged: {copy.url}: {reason}")

    def slow(self, copy: Copy, *, spare: bool) -> None:
        """Without a spare fragment, its reply is waited for."""
        if spare and copy.address not in self._away:
            words = f"{copy.url}: no complete reply within {self.patience:.1f} s"
            self._warn(f"{words}; trying another fragment")
        self._leave(copy.address)

    def _leave(self, address: str) -> None:
        self._away.add(address)
        self._silence.begin(address)


class Gathering(Generic[T]):
    """Up to `most` fragments of different indexes, at least `needed`, from the services that answer
    first.

    `most` are requested at a time. For each that fails or is slow, another one is requested; a slow
    one may still be the first to answer. `receive(copy, repeatable, check)` returns one, or raises
    an RdctlError.
    """

    def __init__(
        self,
        receive: Callable[[Copy, bool, Callable[[], None]], T],
        copies: Sequence[Copy],
        services: Services,
        check: Callable[[], None],
    ) -> None:
        self._receive = receive
        self._services = services
        self._check = check
        self._waiting = services.ordered(copies)
        self._running: dict[Copy, float] = {}
        self._slow: set[Copy] = set()
        self._changed = threading.Condition()
        self._over = False
        self.received: dict[Copy, T] = {}
        self.faults: dict[Copy, RdctlError] = {}

    def gather(self, needed: int, most: int) -> None:
        """Fill `received`. If it has fewer than `needed` afterwards, no others can be received."""
        try:
            with self._changed:
                while not self._is_complete(needed, most):
                    self._changed.wait(WAKE_SECONDS if self._wake is None else self._wake)
                    self._check()
        finally:
            self._over = True

    def _is_complete(self, needed: int, most: int) -> bool:
        """Whether this is over; otherwise, as many are requested as may be needed."""
        self._mark_slow()
        while len(self.received) < most and len(self._brisk) < most - len(self.received):
            if (copy := self._next()) is None:
                break
            self._start(copy)
        if len(self.received) >= most:
            return True
        return not self._brisk and (len(self.received) >= needed or not self._running)

    @property
    def _brisk(self) -> list[Copy]:
        return [copy for copy in self._running if copy not in self._slow]

    @property
    def _wake(self) -> float | None:
        """The seconds until the next one is slow."""
        if not self._brisk:
            return None
        until = min(self._running[copy] for copy in self._brisk) + self._services.patience
        return min(max(until - time.monotonic(), 0.001), WAKE_SECONDS)

    def _next(self) -> Copy | None:
        """Another fragment to request, of an index that is neither received nor requested."""
        taken = {copy.fragment for copy in [*self.received, *self._brisk]}
        for copy in self._waiting:
            if copy.fragment not in taken:
                self._waiting.remove(copy)
                return copy
        return None

    def _mark_slow(self) -> None:
        late = time.monotonic() - self._services.patience
        for copy in self._brisk:
            if self._running[copy] <= late:
                self._slow.add(copy)
                self._services.slow(copy, spare=bool(self._waiting))

    def _start(self, copy: Copy) -> None:
        self._running[copy] = time.monotonic()
        try:
            start_thread(self._run, copy, not self._waiting)
        except RdctlError:  # the thread limit is reached
            self._run(copy, True)

    def _run(self, copy: Copy, repeatable: bool) -> None:
        received, fault = None, None
        started = time.monotonic()
        try:
            received = self._receive(copy, repeatable, self._in_time)
        except (Stopped, _Over):
            fault = RdctlError(Code.FAILED, f"{copy.url}: not needed")
        except RdctlError as error:
            fault = error
        except BaseException as error:
            fault = as_error(error)
        with self._changed:
            self._running.pop(copy)
            if received is not None:
                seconds, in_time = time.monotonic() - started, copy not in self._slow
                self._services.answered(copy, seconds, in_time=in_time)
                self._keep(copy, received)
            elif fault is not None:
                self.faults[copy] = fault
                if not self._over:
                    with suppress(Stopped):
                        self._check()
                        self._services.failed(copy, fault, spare=bool(self._waiting))
            self._changed.notify_all()

    def _keep(self, copy: Copy, received: T) -> None:
        if copy.fragment not in {one.fragment for one in self.received}:
            self.received[copy] = received

    def _in_time(self) -> None:
        """End a request that is not needed anymore."""
        self._check()
        if self._over:
            raise _Over


class _Over(Exception):
    """All that is needed has been received."""
