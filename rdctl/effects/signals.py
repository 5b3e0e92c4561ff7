"""Signals that end the process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rdctl.core.errors import Code

ENDING = {
    signal.SIGINT: Code.INTERRUPTED,
    signal.SIGTERM: Code.TERMINATED,
    signal.SIGHUP: Code.HANGUP,
}


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


@contextmanager
def signals_held() -> Iterator[None]:
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
