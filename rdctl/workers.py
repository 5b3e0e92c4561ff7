"""Many things at a time: parallel work whose results come in order, and that a signal ends
cleanly."""

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
# A signal that comes just before a wait does not end it: Python hears of it when it wakes.
WAKE_SECONDS = 0.5


class Progress:
    """What long work tells meanwhile; this one keeps silent."""

    def begin(self, total: int | None, unit: str) -> None:
        """So many more are to come, None when that is not known; the unit is `bytes`, or what is
        counted, in the plural."""

    def advance(self, count: int = 1) -> None:
        """So many more are done. Called by any thread."""

    def end(self) -> None:
        """What was begun is over."""


class Stopped(Exception):
    """This work was not begun, or was left, because the process is ending."""


class _Task(NamedTuple):
    work: Callable[[], Any]
    future: Future[Any]


class Workers:
    """How many things are done at a time, and whether that is to end.

    `stopping` is set by the first signal that ends the process: nothing more is begun, what is
    under way is finished, and long work looks at it and raises `Stopped`. A second signal waits
    for nothing, nor does the first one unless it is `patient`. `tell` takes what a person is told
    meanwhile.
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
        # By which signal, where that is known.
        self.ended_by = Code.INTERRUPTED
        self._tell = tell
        self._patient = patient

    def check(self) -> None:
        """Raise Stopped when the process is ending."""
        if self.stopping.is_set():
            raise Stopped

    def ordered(
        self, work: Callable[[T], R], items: Iterable[T], parallel: int | None = None
    ) -> Generator[R, None, None]:
        """`work(item)` of each, several at a time, in the order of the items, which are taken only
        a little ahead. An exception of the work, or of the items, is raised in its turn, and
        nothing more is begun.

        A signal ends it so: what was begun is finished and yielded, then the signal's own exception
        is raised; in a thread other than the main one it is Stopped.
        """
        from concurrent.futures import Future, wait

        parallel = parallel or self.parallel
        tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        futures: deque[Future[R]] = deque()
        one_takes = threading.Lock()
        threads: list[threading.Thread] = []
        coming = iter(items)
        with self.held_signals() as raise_signal:
            try:
                while True:
                    while len(futures) < 2 * parallel and not self.stopping.is_set():
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
        """One more thread; none where the system has none left, if there are `some`."""
        try:
            return [start_thread(self._run, tasks, one_takes)]
        except RdctlError:
            if not some:
                raise
            return []

    def _run(self, tasks: queue.SimpleQueue[_Task | None], one_takes: threading.Lock) -> None:
        """One thread: task after task."""
        while True:
            # Taken and begun in one: a task behind one that was stopped is stopped too.
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
        """The first signal only sets `stopping`; gives what raises it then. Who does not do
        `several` things is not waited for."""
        heard: list[Callable[[], object]] = []

        def hear(number: int, usual: Callable[[], object]) -> None:
            if heard:
                usual()
            heard.append(usual)
            self.ended_by = ENDING[signal.Signals(number)]
            self.stopping.set()
            self.progress.end()
            if self._tell is not None:
                self._tell("ending: what is under way is finished first; once more waits no longer")

        def raise_signal() -> None:
            if heard:
                heard[0]()

        with signals_to(hear) if self._patient and several else nullcontext():
            yield raise_signal


def start_thread(work: Callable[..., object], *args: Any) -> threading.Thread:
    """A thread that does not outlive the process; `failed` where the system has none left."""
    thread = threading.Thread(target=work, args=args, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise no_thread() from error
    return thread


def not_begun(code: Code, target: str) -> RdctlError:
    """The error of a thing to which a run did not come."""
    return RdctlError(code, f"{code.word} before its turn; nothing was done", target=target)


# What a server that is away, or gave no answer, leaves of one thing.
_SILENT = (Exit.UNREACHABLE, Exit.TIMEOUT, Exit.UNKNOWN)


def ends_the_rest(error: RdctlError) -> bool:
    """Whether nothing more is sent to that server: it is away, or an answer of it was lost, maybe
    by a gateway, so that its state is not known. One that answered, with whatever refusal, is asked
    for the next."""
    facts = error.facts
    by_gateway = facts.get("http_status") in GATEWAY and "remote_status" not in facts
    return error.exit in _SILENT and ("http_status" not in facts or by_gateway)


def untried(target: str | None, cause: RdctlError) -> RdctlError:
    """The error of a thing that was not tried, since one before it `ends_the_rest`."""
    if cause.exit is Exit.UNREACHABLE:  # which is true of this one as well
        return RdctlError(cause.code, cause.message, hint=cause.hint, target=target)
    code = Code.TIMEOUT if cause.exit is Exit.TIMEOUT else Code.UNREACHABLE
    return RdctlError(code, "not tried, since there was no answer before", target=target)


class Turns:
    """Many things of one server. One that fails does not keep the next from its turn, unless it
    `ends` the rest: that is untried."""

    def __init__(self, ends: Callable[[RdctlError], bool] = ends_the_rest) -> None:
        self._ends = ends
        self._lost: RdctlError | None = None

    def take(self, act: Callable[[], R], target: str | None = None) -> R:
        """Do one thing, unless the rest is untried."""
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
        """Do what has an outcome for each of these targets."""
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
    """The error of a thing that a run did not wait for."""
    message = f"{code.word} while it was under way; it may have been done or not"
    return RdctlError(Code.UNKNOWN, message, target=target)
