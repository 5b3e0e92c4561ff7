"""The fragments of an object that is sent: computed in this process, or beside it if it is big."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

from rdctl.effects.helper import Helper, ask
from rdctl.oio.erasure import stripes
from rdctl.oio.erasure.codec import Codec
from rdctl.oio.erasure.stripes import Stripe
from rdctl.oio.objects.chunk_upload import WAITING
from rdctl.oio.objects.layout import Scheme
from rdctl.workers import WAKE_SECONDS

# Below, the helper would take longer to start than it saves.
BIG = 16 << 20
# A processor each, and one for what sends.
_helpers = threading.BoundedSemaphore(max(1, len(os.sched_getaffinity(0)) - 1))


class Lane:
    """The stripes of one metachunk at a time, used in turn: one that is sent is used again. `wire`
    is that to the helper, if there is one; `first` is the number of its first stripe there."""

    def __init__(
        self, coding: Coding, memory: memoryview, wire: socket.socket | None, first: int
    ) -> None:
        self._coding = coding
        self._wire = wire
        self._stripes = cycle(enumerate(coding.stripes(memory), first))
        self._number, self.stripe = next(self._stripes)

    def next(self, size: int) -> list[memoryview]:
        """Use the next stripe: the places of the bytes of a segment of that length."""
        self._number, self.stripe = next(self._stripes)
        return self.stripe.prepare(size)

    def begin(self) -> None:
        """The bytes are there."""
        if self._wire is not None:
            try:
                ask(self._wire, self._number, self.stripe.size)
            except OSError:
                self._leave()

    def end(self, check: Callable[[], None]) -> None:
        """Wait until all fragments are there; `check` may raise meanwhile."""
        try:
            done = self._wire is not None and self._is_done(self._wire, check)
        except BaseException:
            self._leave()  # its answer would be taken for that to the next segment
            raise
        if not done:
            self._leave()
            self._coding.add_parity(self.stripe)

    def _is_done(self, wire: socket.socket, check: Callable[[], None]) -> bool:
        """Whether the helper has answered; False: it has ended."""
        wire.settimeout(WAKE_SECONDS)
        while True:
            check()
            try:
                return bool(wire.recv(1))
            except TimeoutError:
                continue
            except OSError:
                return False

    def _leave(self) -> None:
        """Go on without the helper."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None


class Coding:
    """The encoding of one object of that size, in so many metachunks at a time."""

    def __init__(self, scheme: Scheme, size: int, lanes: int) -> None:
        self._scheme = scheme
        self._codec = Codec(scheme.k, scheme.m)
        # One thread at a time executes the codec, so more would only take memory.
        self._turn = threading.Lock()
        each = Stripe.room(scheme.k, scheme.m) * WAITING
        self._helper = self._start(size, each * lanes, lanes)
        self._lanes: queue.SimpleQueue[Lane] = queue.SimpleQueue()
        for number in range(lanes):
            if self._helper is None:
                self._lanes.put(Lane(self, memoryview(bytearray(each)), None, 0))
            else:
                memory = self._helper.memory[number * each : (number + 1) * each]
                wire = self._helper.wires[number]
                self._lanes.put(Lane(self, memory, wire, number * WAITING))

    def _start(self, size: int, memory: int, lanes: int) -> Helper | None:
        """The helper, where it makes the upload faster, and can be had."""
        several = len(os.sched_getaffinity(0)) > 1
        if size < BIG or not several or self._codec.has_library:
            return None
        if not _helpers.acquire(blocking=False):
            return None
        try:
            numbers = self._scheme.k, self._scheme.m
            return Helper(stripes.__name__, stripes.serve.__name__, numbers, memory, lanes)
        except OSError:
            _helpers.release()
            return None

    def close(self) -> None:
        """Without lanes, which refer to this, the memory is freed at once."""
        self._lanes = queue.SimpleQueue()
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.close()
            _helpers.release()

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        lane = self._lanes.get()
        try:
            yield lane
        finally:
            self._lanes.put(lane)

    def stripes(self, memory: memoryview) -> list[Stripe]:
        return stripes.stripes(self._scheme.k, self._scheme.m, memory)

    def add_parity(self, stripe: Stripe) -> None:
        with self._turn:
            stripe.add_parity(self._codec)
