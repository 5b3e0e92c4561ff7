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
    """Handle signals that end the process with `hear(number, usual)`; `usual()` calls the previous
    handler. Only in the main thread."""
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
def signals_until_end() -> Iterator[Callable[[], None]]:
    """Signals that end the process raise once, and not after the yielded function was called: what
    is done at the end of a command, such as its record, is done in any case."""
    over = False

    def hear(number: int, usual: Callable[[], object]) -> None:
        if not over:
            end()
            usual()

    def end() -> None:
        nonlocal over
        over = True

    with signals_to(hear):
        yield end


@contextmanager
def signals_held() -> Iterator[None]:
    """Delay signals that end the process until the end. The mask protects system calls of this
    thread; signals received by other threads are delayed by the handlers."""
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
