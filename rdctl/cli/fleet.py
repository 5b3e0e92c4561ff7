"""One command in several contexts at once: confirmed once, every row with its context."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.consent import Loss
from rdctl.cli.messages import error_of
from rdctl.config.resolve import Settings, resolve
from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, InContext, Item, Listing, Report
from rdctl.sites import Site
from rdctl.workers import WAKE_SECONDS, Stopped, not_begun, start_thread

if TYPE_CHECKING:
    from rdctl.cli.invocation import Invocation
    from rdctl.cli.tree import Command
    from rdctl.core.results import Result

Call = Callable[[Site], "Result"]

# Maximum number of buffered rows of a context, until the contexts before it are shown.
MOST_WAITING = 2000


def check(command: Command, invocation: Invocation) -> None:
    """Refuse a verb that does not support several contexts."""
    if not command.fleet:
        raise RdctlError(
            Code.USAGE,
            f"{invocation.command_path} does not support several contexts",
            hint=f"Select one with -c: {', '.join(invocation.contexts or ())}",
        )


def result(
    command: Command, call: Call, invocation: Invocation, contexts: Mapping[str, bool]
) -> Listing | Report:
    """`call` the verb with the site of each of these contexts; the values are true for those named
    explicitly, not by a pattern."""
    invocation.bulk.share(contexts)
    runs = _started(call, bool(command.shows), invocation, contexts)
    if command.shows:
        return _listing(str(command.name), runs)
    return Report(_outcomes(str(command.name), invocation, runs))


def read(action: str, call: Call, invocation: Invocation, contexts: Mapping[str, bool]) -> Listing:
    """What `call` lists in each of these contexts, for a verb that shows it in another form."""
    return _listing(action, _started(call, True, invocation, contexts))


def _started(
    call: Call, shows: bool, invocation: Invocation, contexts: Mapping[str, bool]
) -> list[_ContextRun]:
    question = _Question(invocation)
    runs = []
    for name, itself in contexts.items():
        settings = resolve(invocation.config, {**invocation.flags, "context": name})
        invocation.settings_of[name] = settings
        settings = settings._replace(explicit=itself)
        runs.append(_ContextRun(call, shows, invocation, question, settings))
    for run in runs:
        run.start()
    question.settle(contexts)
    return runs


class _Question:
    """One confirmation prompt for the losses of all contexts.

    A context asks and waits, or leaves without asking. When all have done either, the main thread
    shows the prompt, and each context gets the answer.
    """

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._changed = threading.Condition()
        self._out: set[str] = set()
        self._asked: dict[str, Loss] = {}
        self._failed: dict[str, RdctlError] = {}
        self._answered = False
        self._refusal: BaseException | None = None

    def enter(self, settings: Settings) -> None:
        self._out.add(str(settings.context))

    def ask(self, settings: Settings, losses: Sequence[str]) -> None:
        """Return if the losses are confirmed, else raise."""
        with self._changed:
            if self._answered and self._refusal is None:
                self._invocation.ask([Loss(settings, losses)])  # a further question of one context
                return
            self._asked[str(settings.context)] = Loss(settings, losses)
            self._out.discard(str(settings.context))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answered)
            if self._refusal is not None:
                raise Stopped

    def leave(self, context: str, failed: RdctlError | None = None) -> None:
        """This context no longer needs a confirmation: it is done, or it failed."""
        with self._changed:
            if failed is not None and context in self._out:
                self._failed[context] = failed
            self._out.discard(context)
            self._changed.notify_all()

    def settle(self, contexts: Iterable[str]) -> None:
        """Wait for every context, then show the prompt with the contexts in this order."""
        with self._changed:
            try:
                while not self._changed.wait_for(lambda: not self._out, WAKE_SECONDS):
                    pass
                if self._asked:
                    asked = [self._asked[name] for name in contexts if name in self._asked]
                    self._invocation.ask(asked, self._failed)
            except BaseException as refusal:
                self._refusal = refusal
                raise
            finally:
                self._answered = True
                self._changed.notify_all()


class _ContextRun:
    """The command in one context, in its own thread."""

    def __init__(
        self,
        call: Call,
        shows: bool,
        invocation: Invocation,
        question: _Question,
        settings: Settings,
    ) -> None:
        self.context = str(settings.context)
        self.effects = invocation.door(
            lambda losses: question.ask(settings, losses),
            context=self.context,
            asks_always=True,
            check=invocation.workers.check,
        )
        self._site = invocation.site_of(settings, self.effects)
        self._call, self._shows = call, shows
        self._workers = invocation.workers
        self._question = question
        question.enter(settings)
        # Outcomes are never blocked: the prompt waits for all contexts.
        self._rows: queue.Queue[tuple[str, Any]] = queue.Queue(MOST_WAITING if shows else 0)

    def start(self) -> None:
        try:
            start_thread(self._run)
        except RdctlError as error:
            self._rows.put(("error", error))
            self._question.leave(self.context, error)

    def _run(self) -> None:
        failed: RdctlError | None = None
        try:
            found = self._call(self._site)
            if self._shows:
                self._question.leave(self.context)
            self._rows.put(("result", found))
            for row in _rows_of(found):
                if self._shows:
                    self._workers.check()
                elif failed is None and isinstance(row, Failure):
                    failed = row.error
                self._rows.put(("row", row))
            self._rows.put(("end", None))
        except BaseException as error:
            failed = error_of(error)
            self._rows.put(("error", error))
        finally:
            self._question.leave(self.context, failed)

    def stopped(self) -> RdctlError:
        """The error of a context in which a signal ended the command."""
        code = self._workers.ended_by
        done = ", ".join(self.effects.done)
        if not done:
            return not_begun(code, self.context)
        return RdctlError(code, f"{code.word}; completed: {done}", target=self.context)

    def taken(self) -> Iterator[tuple[str, Any]]:
        """`result`, each `row`, then `end` or `error`. Raises usage errors: they are the same in
        every context, and no context did anything."""
        while True:
            try:
                kind, value = self._rows.get(timeout=WAKE_SECONDS)
            except queue.Empty:
                continue
            if isinstance(value, click.UsageError):
                raise value
            yield kind, value
            if kind in ("end", "error"):
                return


def _rows_of(found: Result) -> Iterable[Any]:
    if isinstance(found, Item):
        return [found.value]
    if isinstance(found, Listing | Report):
        return found
    raise AssertionError("only rows and outcomes are supported in several contexts")


def _failure(action: str, run: _ContextRun, error: BaseException) -> Failure:
    """A context whose command failed as a whole."""
    if isinstance(error, Stopped):
        error = run.stopped()
    return Failure(action, error_of(error), run.context, whole=True)


def _listing(action: str, runs: Sequence[_ContextRun]) -> Listing:
    """The rows of every context, one context after the other."""
    listing = Listing(())
    heads = []
    for run in runs:
        coming = run.taken()
        kind, value = next(coming)
        heads.append((run, coming, kind, value))
        if isinstance(value, Item):
            listing.vertical = True
        elif isinstance(value, Listing):
            listing.vertical |= value.vertical
            listing.few |= value.few
            listing.also, listing.counted = [*listing.also, *value.also], value.counted

    def rows() -> Iterator[InContext]:
        for run, coming, kind, value in heads:
            found = value
            while kind in ("result", "row"):
                if kind == "row":
                    yield InContext(run.context, value)
                kind, value = next(coming)
            if kind == "error":
                listing.failures.append(_failure(action, run, value))
                continue
            if isinstance(found, Listing):
                listing.failures += [one._replace(context=run.context) for one in found.failures]
                listing.failed += found.failed
                listing.verdict = max(listing.verdict, found.verdict)
                listing.notes += [f"{run.context}: {note}" for note in found.notes]
                if found.marker is not None:
                    listing.markers[run.context] = found.marker
            listing.answered |= not (isinstance(found, Listing) and found.failures)

    listing.items = rows()
    return listing


def _outcomes(
    action: str, invocation: Invocation, runs: Sequence[_ContextRun]
) -> Iterator[Change | Failure]:
    """The outcomes of every context, one context after the other. A signal lets every context
    finish what it has under way."""
    with invocation.workers.held_signals() as raise_signal:
        for run in runs:
            some = False
            for kind, value in run.taken():
                if kind == "row":
                    some = True
                    yield value._replace(context=run.context)
                elif kind == "error" and not (some and isinstance(value, Stopped)):
                    yield _failure(action, run, value)
        raise_signal()
