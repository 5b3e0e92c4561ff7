"""Parallel work with ordered results, which a signal ends cleanly."""

from __future__ import annotations

import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rdctl.core.errors import GATEWAY, Code, Exit, RdctlError, no_thread
from rdctl.core.results import Change, Failure
from rdctl.effects.signals import ENDING, signals_to

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")

# Chosen by measurement: see docs/benchmarks.md.
PARALLEL = 8
# A signal just before a wait does not end it: Python handles it only after waking up.
WAKE_SECONDS = 0.5


class Progress:
    """The progress of long-running work; this class shows nothing."""

    def begin(self, total: int | None, unit: str) -> None:
        """Expect so many more, None if unknown; the unit is `bytes`, or a plural noun."""

    def advance(self, count: int = 1) -> None:
        """Report so many more as done. Called by any thread."""

    @contextmanager
    def file(self, number: int, count: int, name: str) -> Iterator[None]:
        """The file of this number, from 1, is being transferred. Called by any thread."""
        yield

    def pause(self) -> None:
        """Hide the progress until the next advance."""

    def end(self) -> None:
        """The work has ended."""


class Stopped(Exception):
    """This work was not started, or was abandoned, because the process is ending."""


class _Task(NamedTuple):
    work: Callable[[], Any]
    future: Future[Any]


class Workers:
    """The number of parallel operations, and whether to stop.

    The first signal that ends the process sets `stopping`: nothing more is started, operations in
    progress are finished, and long-running ones check it and raise `Stopped`. A second signal ends
    the process at once; so does the first one unless `patient`. `tell` prints a message.
    """

    def __init__(
        self,
        parallel: int = PARALLEL,
        progress: Progress | None = None,
        tell: Callable[[str], None] | None = None,
        *,
        patient: bool = True,
    ) -> None:
        self.parallel = parallel
        self.progress = progress or Progress()
        self.stopping = threading.Event()
        # The signal that ended it, if known.
        self.ended_by = Code.INTERRUPTED
        self._tell = tell
        self._patient = patient

    def check(self) -> None:
        """Raise Stopped if the process is ending."""
        if self.stopping.is_set():
            raise Stopped

    def ordered(
        self,
        work: Callable[[T], R],
        items: Iterable[T],
        parallel: int | None = None,
        ahead: int | None = None,
    ) -> Generator[R, None, None]:
        """`work(item)` for each item, in parallel, with the results in the order of the items,
        which are taken only slightly ahead: up to `ahead` are in progress or waiting, by default
        twice as many as `parallel`. An exception of the work or of the items is raised in order,
        and nothing more is started.

        After a signal, operations in progress are finished and yielded, then the exception of the
        signal is raised; in a thread other than the main one, Stopped.
        """
        from concurrent.futures import Future, wait

        parallel = parallel or self.parallel
        ahead = ahead or 2 * parallel
        tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        futures: deque[Future[R]] = deque()
        one_takes = threading.Lock()
        threads: list[threading.Thread] = []
        coming = iter(items)
        with self.held_signals() as raise_signal:
            try:
                while True:
                    while len(futures) < ahead and not self.stopping.is_set():
                        future: Future[R] = Future()
                        try:
                            item = next(coming)
                        except StopIteration:
                            coming = iter(())
                            break
                        except Exception as error:
                            future.set_exception(error)
                            futures.append(future)
                            coming = iter(())
                            break
                        futures.append(future)
                        tasks.put(_Task(lambda item=item: work(item), future))  # type: ignore[misc]
                        if len(threads) < parallel:
                            threads += self._one_more(bool(threads), tasks, one_takes)
                    if not futures:
                        break
                    while not futures[0].done():
                        wait([futures[0]], WAKE_SECONDS)
                        if not any(thread.is_alive() for thread in threads):
                            raise RdctlError(Code.INTERNAL, "all workers died")
                    try:
                        result = futures.popleft().result()
                    except Stopped:
                        break
                    yield result
            finally:
                for _ in threads:
                    tasks.put(None)
                for future in futures:
                    future.cancel()
            raise_signal()
            self.check()

    def _one_more(
        self, some: bool, tasks: queue.SimpleQueue[_Task | None], one_takes: threading.Lock
    ) -> list[threading.Thread]:
        """Start another thread; none if the system refuses it and there are `some`."""
        try:
            return [start_thread(self._run, tasks, one_takes)]
        except RdctlError:
            if not some:
                raise
            return []

    def _run(self, tasks: queue.SimpleQueue[_Task | None], one_takes: threading.Lock) -> None:
        """Run tasks in one thread."""
        while True:
            # Taken and started atomically: tasks after a stopped one are stopped too.
            with one_takes:
                task = tasks.get()
                if task is None:
                    return
                if not task.future.set_running_or_notify_cancel():
                    continue
                stopped = self.stopping.is_set()
            try:
                if stopped:
                    raise Stopped
                task.future.set_result(task.work())
            except BaseException as error:
                task.future.set_exception(error)

    @contextmanager
    def held_signals(self, several: bool = True) -> Iterator[Callable[[], None]]:
        """The first signal only sets `stopping`; yields a function that raises it later. Without
        `several` operations, signals are not held."""
        heard: list[Callable[[], object]] = []

        def hear(number: int, usual: Callable[[], object]) -> None:
            if heard:
                usual()
            heard.append(usual)
            self.ended_by = ENDING[signal.Signals(number)]
            self.stopping.set()
            self.progress.end()
            if self._tell is not None:
                self._tell(
                    "Interrupted: finishing operations in progress. Press Ctrl-C again to stop now."
                )

        def raise_signal() -> None:
            if heard:
                heard[0]()

        with signals_to(hear) if self._patient and several else nullcontext():
            yield raise_signal


def start_thread(work: Callable[..., object], *args: Any) -> threading.Thread:
    """Start a daemon thread; raises `failed` if the system refuses it."""
    thread = threading.Thread(target=work, args=args, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise no_thread() from error
    return thread


def not_begun(code: Code, target: str) -> RdctlError:
    """The error of a target that was not started."""
    return RdctlError(code, f"not started ({code.word})", target=target)


# Exit codes of a server that is down or did not reply.
_SILENT = (Exit.UNREACHABLE, Exit.TIMEOUT, Exit.UNKNOWN)


def ends_the_rest(error: RdctlError) -> bool:
    """Whether nothing more is sent to the server: it is down, or a reply was lost, maybe by a
    gateway, so that its state is unknown. After any reply of its own, the next request is sent."""
    facts = error.facts
    by_gateway = facts.get("http_status") in GATEWAY and "remote_status" not in facts
    return error.exit in _SILENT and ("http_status" not in facts or by_gateway)


def untried(target: str | None, cause: RdctlError) -> RdctlError:
    """The error of a target that was skipped, because an earlier error `ends_the_rest`."""
    if cause.exit is Exit.UNREACHABLE:  # which applies to this one as well
        return RdctlError(cause.code, cause.message, hint=cause.hint, target=target)
    code = Code.TIMEOUT if cause.exit is Exit.TIMEOUT else Code.UNREACHABLE
    return RdctlError(code, "skipped: no reply to an earlier request", target=target)


class Turns:
    """Many operations on one server. A failure does not stop the next one, unless it `ends` the
    rest, which is then skipped."""

    def __init__(self, ends: Callable[[RdctlError], bool] = ends_the_rest) -> None:
        self._ends = ends
        self._lost: RdctlError | None = None

    def take(self, act: Callable[[], R], target: str | None = None) -> R:
        """Run one operation, unless the rest is skipped."""
        if self._lost is not None:
            raise untried(target, self._lost)
        try:
            return act()
        except RdctlError as error:
            self._failed(error)
            raise

    def outcomes(
        self, action: str, targets: Iterable[str], act: Callable[[], Iterable[Change | Failure]]
    ) -> list[Change | Failure]:
        """Run an operation with an outcome for each of these targets."""
        if self._lost is not None:
            return [Failure(action, untried(target, self._lost)) for target in targets]
        outcomes = list(act())
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                self._failed(outcome.error)
        return outcomes

    def _failed(self, error: RdctlError) -> None:
        if self._lost is None and self._ends(error):
            self._lost = error


def left_under_way(code: Code, target: str) -> RdctlError:
    """The error of a target that was still in progress."""
    message = f"{code.word} while in progress; the outcome is unknown"
    return RdctlError(Code.UNKNOWN, message, target=target)
