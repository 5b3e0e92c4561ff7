"""Parallel work in order, and how signals end it."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from rdctl.core.errors import Code, Exit, RdctlError
from rdctl.core.results import Change, Failure
from rdctl.workers import Stopped, Turns, Workers, ends_the_rest, untried
from tests.signals import signal_here

SECONDS = 120.0  # against hanging only


class _Signal(BaseException):
    """What the handlers of these tests raise."""


def _raise(number: int, frame: FrameType | None) -> None:
    raise _Signal(number)


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Every signal raises, and stays with that handler whatever was done."""
    before = {number: signal.signal(number, _raise) for number in ENDING}
    yield
    left = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert left == dict.fromkeys(ENDING, _raise)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    wait_until(lambda: set(threading.enumerate()) <= before)


def wait_until(ready: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


def drained(
    running: Iterator[Any], results: list[Any] | None = None
) -> tuple[list[Any], BaseException | None]:
    """The results, which go into the list as they come, and what was raised after them."""
    results = [] if results is None else results
    try:
        for result in running:
            results.append(result)
    except (Exception, _Signal) as error:
        return results, error
    return results, None


# Order, window, backpressure ---------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [1, 2, 8, 50])
def test_results_in_the_order_of_the_items(parallel: int) -> None:
    def work(item: int) -> int:
        time.sleep(random.random() / 500)
        return item * item

    assert list(Workers(parallel).ordered(work, range(100))) == [n * n for n in range(100)]


def test_nothing_to_do() -> None:
    assert list(Workers(4).ordered(str, [])) == []


@pytest.mark.parametrize("parallel", [1, 3, 8])
def test_so_many_at_a_time_and_no_more(parallel: int) -> None:
    """All of them meet at a barrier, which fewer would never pass."""
    barrier = threading.Barrier(parallel, timeout=SECONDS)
    lock = threading.Lock()
    at_work = most = 0

    def work(item: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        barrier.wait()
        with lock:
            at_work -= 1
        return item

    items = range(parallel * 5)
    assert list(Workers(99).ordered(work, items, parallel)) == list(items)
    assert most == parallel


def test_few_items_take_few_threads() -> None:
    before = set(threading.enumerate())
    running = Workers(50).ordered(lambda item: len({*threading.enumerate()} - before), range(2))
    assert max(running) <= 2


def test_items_are_taken_only_a_little_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    running = Workers(4).ordered(lambda item: item, items())
    assert taken == 0
    for expected in range(1, 101):
        assert next(running) == expected
        assert taken <= expected + 8
    running.close()


def test_a_slow_one_holds_up_the_rest() -> None:
    """Nothing is gathered behind it without end."""
    go = threading.Event()
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            go.wait(SECONDS)
        return item

    results: list[int] = []
    running = Workers(4).ordered(work, range(1000))
    taker = threading.Thread(target=lambda: results.extend(running))
    taker.start()
    wait_until(lambda: len(begun) == 8)
    time.sleep(0.02)
    assert (sorted(begun), results) == (list(range(8)), [])
    go.set()
    taker.join(SECONDS)
    assert results == list(range(1000))


def test_nested() -> None:
    workers = Workers(3)

    def work(item: int) -> list[int]:
        return list(workers.ordered(lambda inner: item * inner, range(20)))

    found = list(workers.ordered(work, range(20)))
    assert found == [[item * inner for inner in range(20)] for item in range(20)]


# Exceptions --------------------------------------------------------------------------------------


def test_an_exception_comes_in_its_turn() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 5:
            raise ValueError(item)
        time.sleep(0.002)
        return item

    results, error = drained(Workers(3).ordered(work, range(1000)))
    assert (results, repr(error)) == ([0, 1, 2, 3, 4], "ValueError(5)")
    time.sleep(0.02)
    assert len(begun) <= 5 + 6


def test_an_exception_of_the_items_comes_in_its_turn() -> None:
    """What was begun before is not lost."""

    def items() -> Iterator[int]:
        yield from range(5)
        raise ValueError("no more")

    results, error = drained(Workers(3).ordered(lambda item: item, items()))
    assert (results, repr(error)) == ([0, 1, 2, 3, 4], "ValueError('no more')")


def test_who_leaves_early_stops_the_rest() -> None:
    begun: list[int] = []
    go = threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item:
            go.wait(SECONDS)
        return item

    running = Workers(2).ordered(work, range(1000))
    assert next(running) == 0
    wait_until(lambda: len(begun) == 3)
    running.close()
    go.set()
    time.sleep(0.02)
    assert begun == [0, 1, 2]


# Signals -----------------------------------------------------------------------------------------

every_signal = pytest.mark.parametrize("number", ENDING)


@every_signal
@pytest.mark.parametrize("parallel", [1, 4])
def test_the_first_signal_lets_finish_what_is_under_way(number: int, parallel: int) -> None:
    told: list[str] = []
    workers = Workers(parallel, tell=told.append)
    begun: list[int] = []
    finished: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 10:
            signal_here(number)
            wait_until(workers.stopping.is_set)
        elif item > 10:
            workers.stopping.wait(SECONDS)
            time.sleep(0.01)
        finished.append(item)
        return item

    results, error = drained(workers.ordered(work, range(1000)))
    assert repr(error) == f"_Signal({int(number)})"
    assert results == sorted(begun) == sorted(finished)
    assert 10 in results
    assert len(results) <= 11 + parallel
    assert told == [
        "Interrupted: finishing operations in progress. Press Ctrl-C again to stop now."
    ]
    with pytest.raises(Stopped):
        workers.check()


@every_signal
def test_the_second_signal_waits_for_nothing(number: int) -> None:
    workers = Workers(2)
    go = threading.Event()
    results: list[int] = []

    def work(item: int) -> int:
        if item == 3:
            signal_here(signal.SIGINT)
            wait_until(workers.stopping.is_set)
            wait_until(lambda: len(results) == 3)
            signal_here(number)
            go.wait(SECONDS)
        return item

    since = time.monotonic()
    _, error = drained(workers.ordered(work, range(1000)), results)
    assert time.monotonic() - since < SECONDS / 2
    assert (results, repr(error)) == ([0, 1, 2], f"_Signal({int(number)})")
    go.set()


def test_a_signal_while_results_are_taken() -> None:
    """Whoever takes them is not interrupted, and gets those that were done."""
    workers = Workers(2)

    def interrupted() -> Iterator[int]:
        for result in workers.ordered(lambda item: item, range(1000)):
            yield result
            if result == 5:
                signal_here(signal.SIGTERM)

    results, error = drained(interrupted())
    assert isinstance(error, _Signal)
    assert results == list(range(len(results)))
    assert 6 <= len(results) <= 10


def test_a_thread_is_stopped() -> None:
    workers = Workers(2)
    found: list[tuple[list[int], BaseException | None]] = []

    def work(item: int) -> int:
        if item == 4:
            workers.stopping.set()
        return item

    thread = threading.Thread(
        target=lambda: found.append(drained(workers.ordered(work, range(1000))))
    )
    thread.start()
    thread.join(SECONDS)
    ((results, error),) = found
    assert isinstance(error, Stopped)
    assert results[:5] == [0, 1, 2, 3, 4]


class _Hesitant(threading.Event):
    """Whoever looks at it does so a moment later."""

    def is_set(self) -> bool:
        time.sleep(random.random() / 1000)
        return super().is_set()


def test_what_was_begun_is_a_beginning_of_the_items() -> None:
    """When it ends, nothing is done behind something that was not begun: it would be lost."""
    for _ in range(20):
        workers = Workers(8)
        workers.stopping = _Hesitant()
        done: list[int] = []

        def work(item: int) -> int:
            if item == 20:
                workers.stopping.set()  # noqa: B023
            done.append(item)  # noqa: B023
            return item

        results, error = drained(workers.ordered(work, range(1000)))
        assert isinstance(error, Stopped)
        assert results == sorted(done)


def test_signals_that_are_ignored_stay_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def work(item: int) -> int:
        if item == 3:
            signal_here(signal.SIGHUP)
        return item

    assert list(Workers(2).ordered(work, range(20))) == list(range(20))
    assert signal.signal(signal.SIGHUP, _raise) is signal.SIG_IGN


@pytest.mark.parametrize("code", list(Code))
def test_what_ends_the_rest_of_a_run(code: Code) -> None:
    """A server that is away, or gave no answer; not one that answered, whatever it said."""
    silent = {
        *(Code.UNREACHABLE, Code.UNAVAILABLE, Code.MODULE_MISSING, Code.TIMEOUT, Code.UNKNOWN),
    }
    assert ends_the_rest(RdctlError(code, "no")) is (code in silent)
    assert not ends_the_rest(RdctlError(code, "no", http_status=500))
    assert not ends_the_rest(RdctlError(code, "no", http_status=503, remote_status=503))
    for status in (502, 503, 504):  # of a gateway
        assert ends_the_rest(RdctlError(code, "no", http_status=status)) is (code in silent)


@pytest.mark.parametrize("code", [Code.UNREACHABLE, Code.TIMEOUT, Code.UNKNOWN])
def test_what_was_not_tried_was_not_done(code: Code) -> None:
    error = untried("rd1", RdctlError(code, "no answer"))
    assert (error.target, error.exit in (Exit.UNREACHABLE, Exit.TIMEOUT)) == ("rd1", True)


def test_a_refusal_does_not_keep_the_next_from_its_turn() -> None:
    turns = Turns()
    with pytest.raises(RdctlError, match="no"):
        turns.take(lambda: _refuse(Code.CONFLICT))
    assert turns.take(lambda: 1) == 1


@pytest.mark.parametrize("by_outcome", [False, True])
def test_nothing_has_a_turn_after_what_ends_the_rest(by_outcome: bool) -> None:
    turns = Turns()
    lost = RdctlError(Code.UNKNOWN, "no answer")
    if by_outcome:
        outcomes = turns.outcomes("remove", ["rd0"], lambda: [Failure("remove", lost)])
        assert outcomes == [Failure("remove", lost)]
    else:
        with pytest.raises(RdctlError, match="no answer"):
            turns.take(lambda: _refuse(Code.UNKNOWN, "no answer"))
    with pytest.raises(RdctlError, match="skipped: no reply") as raised:
        turns.take(lambda: pytest.fail("it was tried"), "rd1")
    assert raised.value.target == "rd1"
    rest = turns.outcomes("remove", ["rd2", "rd3"], lambda: pytest.fail("they were tried"))
    assert [one.error.target for one in rest if isinstance(one, Failure)] == ["rd2", "rd3"]


def test_what_ends_the_rest_may_be_more() -> None:
    turns = Turns(lambda error: error.code is Code.CONFLICT)
    done = Change("lock", "rd0", True, True)
    assert turns.outcomes("lock", ["rd0"], lambda: [done]) == [done]
    with pytest.raises(RdctlError):
        turns.take(lambda: _refuse(Code.CONFLICT))
    with pytest.raises(RdctlError, match="skipped: no reply"):
        turns.take(lambda: 1)


def _refuse(code: Code, message: str = "no") -> None:
    raise RdctlError(code, message)
