"""The only door: every change outside the process goes through here.

So dry run, trace, confirmation and the record of changes work for every command. A test forbids
writing, `ioctl`, `mkdir`, `symlink` and `send` outside this package.
"""

from __future__ import annotations

import errno
import time
from _thread import get_ident  # `threading` takes a millisecond, which help does not need
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from rdctl.core.acts import Act
from rdctl.core.errors import Code, RdctlError
from rdctl.effects.signals import signals_held, signals_to

T = TypeVar("T")


class Effect(NamedTuple, Generic[T]):
    """One change or query outside the process.

    `what` names it for people ("remove rd1"), `line` is its line in a dry run and in the trace,
    `destroys` says what is lost, or is None. Signals wait until a `brief` effect has ended, so that
    its outcome is always known. A `step` is part of a larger operation, which is recorded instead.
    `did` tells from the result whether the change was made: a refusal may be a result too. A dry
    run shows the text `shows` below `what`. The history leaves out what is not `recorded`: a file
    that only shows what is there.
    """

    what: str
    line: str
    perform: Callable[[], T]
    destroys: str | None = None
    brief: bool = False
    step: bool = False
    did: Callable[[T], bool] = lambda result: True
    shows: str = ""
    recorded: bool = True


class Recorder(Protocol):
    """Takes what the history has of one command. Called by any thread."""

    def begin(self) -> None:
        """Before each change; the first one is preceded by a record. Raises if that is required,
        and failed."""

    def line(self, line: str) -> None:
        """A change is made."""


class Engine(Protocol):
    """Sends requests (rdctl/net/engine.py)."""

    def send(self, request: Any, /) -> Any: ...


def send(
    engine: Engine,
    request: object,
    receive: Callable[[Any, float], T],
    *,
    what: str,
    line: str,
    destroys: str | None = None,
) -> Effect[T]:
    """Send a request; `receive` reads the reply as part of the effect, and gets the time at which
    the request began."""

    def perform() -> T:
        began = time.perf_counter()
        return receive(engine.send(request), began)

    return Effect(what, line, perform, destroys)


# Errors of an undo whose step was not done.
_WAS_NOT_DONE = (errno.ENOENT, errno.EEXIST, errno.ENXIO, errno.ENODEV)


# Lists of a door that are known of one on another machine, too. Its acts stay there, where they can
# be undone.
_ACCOUNT = ("plan", "would", "losses", "done", "under_way", "undone", "left")


class Effects:
    """Performs effects, or in a dry run only lists them.

    `context` names the one of several to which it leads. `trace` prints a line; `ask` returns if
    the losses are confirmed, else raises; `tell` prints a message. `asks_always`: also for a change
    that destroys nothing. `check` raises if no further change is allowed. `recorder` writes the
    history.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Sequence[str]], None],
        trace: Callable[[str], None] | None = None,
        tell: Callable[[str], None] | None = None,
        dry_run: bool = False,
        context: str = "",
        asks_always: bool = False,
        check: Callable[[], None] = lambda: None,
        recorder: Recorder | None = None,
    ) -> None:
        self.dry_run = dry_run
        self.context = context
        # A dry run: the lines of the effects, what they would do, the texts that belong to that,
        # and what would be lost.
        self.plan: list[str] = []
        self.would: list[str] = []
        self.texts: dict[str, str] = {}
        self.losses: list[str] = []
        self.done: list[str] = []
        # Effects in progress, of several threads.
        self.under_way: list[str] = []
        # Failed transactions: those rolled back, and the steps that could not be.
        self.undone: list[str] = []
        self.left: list[str] = []
        # What was changed on this machine and not rolled back, or in a dry run would have been; and
        # the command that this undoes.
        self.acts: list[Act] = []
        self.undoes: str | None = None
        self.recorder = recorder
        self._ask = ask
        self._trace = trace
        self._tracing: int | None = None  # the thread of the last line
        self._tell = tell
        self._asks_always = asks_always
        self._check = check
        self._agreed = False
        self._confirmed: set[str] = set()  # losses
        # Lines before the prompt.
        self.preface: Sequence[str] = ()
        self._undo: list[Effect[Any]] | None = None
        # Whether a dry run names each effect of the transaction.
        self._detailed = False

    def consent(
        self, losses: Sequence[str], preface: Sequence[str] = (), *, given: bool = False
    ) -> None:
        """Ask once for confirmation of all losses of an operation, before its first effect;
        the lines of `preface` come before the question. What was confirmed is not asked again, so
        several operations can be confirmed together. `given`: the command itself consents, as
        apply --boot does to what its file identifies."""
        self.preface = preface
        if not losses and self._asks_always:
            return  # if there is a change, `do` asks
        new = [loss for loss in losses if loss not in self._confirmed]
        if self.dry_run:
            self.losses += new
        elif new and not given:
            self._ask(new)
        self._confirmed.update(new)
        self._agreed = True

    @property
    def asks_first(self) -> bool:
        """Whether every change needs confirmation, and none was given yet."""
        return self._asks_always and not self._agreed

    def foretell(self, acts: Iterable[str]) -> None:
        """If every change needs confirmation: ask for all of them in one prompt."""
        if self.asks_first and (losses := list(acts)):
            self.consent(losses)

    @property
    def traces(self) -> bool:
        """Whether lines of queries are printed."""
        return self._trace is not None

    def look(self, effect: Effect[T]) -> T:
        """Perform a query, also in a dry run."""
        self.note(effect.line)
        return effect.perform()

    def do(
        self,
        effect: Effect[T],
        assume: T,
        undo: Sequence[Effect[Any]] = (),
        act: Callable[[], Act] | None = None,
    ) -> T:
        """Perform a change, or in a dry run record it and return `assume`. If its transaction
        fails, `undo` reverts it, the last effect first. `act` says what was changed, for the
        history."""
        if self._asks_always and not self._agreed:
            self.consent([effect.what])
        if effect.destroys and not self._agreed:
            raise RdctlError(
                Code.INTERNAL, f"{effect.what} would destroy {effect.destroys} without confirmation"
            )
        if self.dry_run:
            self._plan(effect)
            self._keep(act)
            return assume
        self._check()
        self._record(effect)
        if effect.step:
            result = effect.perform()
            if self._undo is not None:
                self._undo += undo
            return result
        with signals_held() if effect.brief else nullcontext():
            noted = len(self._undo or ())
            if self._undo is not None:
                self._undo += undo
            self.under_way.append(effect.what)
            try:
                result = effect.perform()
            except Exception:
                self._account(effect, noted, did=False)
                raise
            did = effect.did(result)
            self._account(effect, noted, did=did)
            if did:  # before a signal that came meanwhile ends the command
                self._keep(act)
        return result

    def undo_with(self, *undo: Effect[Any]) -> None:
        """If the transaction fails from here on, these revert it, the last one first. For an effect
        that may fail when half of it is done."""
        if self._undo is not None and not self.dry_run:
            self._undo += undo

    def acted(self, act: Act) -> None:
        """Keep what was changed on this machine by several effects, as the last of their
        transaction."""
        self.acts.append(act)

    def _keep(self, act: Callable[[], Act] | None) -> None:
        if act is not None:
            self.acts.append(act())

    def _record(self, effect: Effect[Any]) -> None:
        """Into the history, then the trace."""
        if self.recorder is not None and effect.recorded:
            self.recorder.begin()
            self.recorder.line(effect.line)
        self.note(effect.line)

    def _plan(self, effect: Effect[Any]) -> None:
        self.plan.append(effect.line)
        self.note(effect.line)
        # Most transactions are summarized as a whole.
        if not effect.step and (self._undo is None or self._detailed):
            self.would.append(effect.what)
            if effect.shows:
                self.texts[effect.what] = effect.shows

    def _account(self, effect: Effect[Any], noted: int, *, did: bool) -> None:
        """Record the end of an effect; its undo follows the first `noted` ones."""
        if did:
            self.done.append(effect.what)
        elif self._undo is not None:
            # It was refused: the existing thing was not made by rdctl.
            del self._undo[noted:]
        self.under_way.remove(effect.what)

    @contextmanager
    def transaction(self, what: str, *, detailed: bool = False) -> Iterator[None]:
        """All effects within are done, or after any failure or signal none: they are rolled back in
        reverse order, and steps that cannot be rolled back are recorded. A dry run names the whole,
        or if `detailed` each effect."""
        if self._undo is not None:
            yield  # part of the outer transaction
            return
        before, acted = len(self.done), len(self.acts)
        self._undo = undo = list[Effect[Any]]()
        self._detailed = detailed
        planned = len(self.plan)
        with self._one_interruption(undo):
            try:
                yield
            except BaseException:
                self.left += self._take_back(undo)
                del self.acts[acted:]
                if len(self.done) > before:
                    self.done[before:] = []
                    self.undone.append(what)
                self.under_way.clear()
                raise
            finally:
                self._undo = None
                self._detailed = False
        if len(self.done) > before:
            self.done[before:] = [what]
        if len(self.plan) > planned and not detailed:
            self.would.append(what)

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """Hold signals until all effects within are done."""
        with signals_held():
            yield

    def _take_back(self, undo: list[Effect[Any]]) -> list[str]:
        """Roll back, the last effect first; returns the steps that could not be."""
        left = []
        while undo:
            effect = undo[-1]
            self._record(effect)
            try:
                effect.perform()
            except OSError as error:
                if error.errno not in _WAS_NOT_DONE:
                    left.append(f"{effect.line} ({error.strerror})")
            undo.pop()
        return left

    @contextmanager
    def _one_interruption(self, undo: Sequence[Effect[Any]]) -> Iterator[None]:
        """The first signal ends the operation; further signals during its rollback only print how
        many steps are left."""
        heard = False

        def hear(number: int, usual: Callable[[], object]) -> None:
            nonlocal heard
            if not heard:
                heard = True
                usual()
            else:
                self.tell(f"rolling back: {len(undo)} steps left")

        with signals_to(hear):
            yield

    def account(self) -> dict[str, Any]:
        """What was done and planned through this door, as plain data."""
        return {"texts": self.texts, "undoes": self.undoes} | {
            name: getattr(self, name) for name in _ACCOUNT
        }

    def take(self, account: Mapping[str, Any]) -> None:
        """Add the account of a door on another machine, which acts for this one."""
        for name in _ACCOUNT:
            getattr(self, name).extend(account.get(name, ()))
        self.texts |= account.get("texts", {})
        self.undoes = self.undoes or account.get("undoes")

    def tell(self, message: str) -> None:
        """Print an informational message."""
        if self._tell is not None:
            self._tell(message)

    def note(self, line: str, about: str = "") -> None:
        """Print a line in the trace; `about` names its request if a line of another thread is in
        between."""
        if self._trace is not None:
            thread = get_ident()
            parted, self._tracing = thread != self._tracing, thread
            self._trace(f"{line}, {about}" if about and parted else line)
