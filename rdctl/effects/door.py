"""The one door: nothing outside the process is changed but through here.

So a dry run, the trace, consent and the account of what was done hold for every command. A test
forbids writing, `ioctl`, `mkdir`, `symlink` and `session.send` outside this package.
"""

from __future__ import annotations

import errno
from _thread import get_ident  # `threading` takes a millisecond, which help does not need
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.signals import signals_held, signals_to

if TYPE_CHECKING:
    import requests


T = TypeVar("T")


class Effect(NamedTuple, Generic[T]):
    """One act on the outside.

    `what` names it for people ("remove rd1"), `line` is its line in a dry run and in the trace,
    `destroys` says what is lost by it, None when nothing is. Signals wait until a `brief` one is
    over, so that its fate is always known. A `step` belongs to something larger, which accounts for
    it: there may be any number of them. `did` says of the result whether the act was done, since
    a refusal may be a result too.
    """

    what: str
    line: str
    perform: Callable[[], T]
    destroys: str | None = None
    brief: bool = False
    step: bool = False
    did: Callable[[T], bool] = lambda result: True


def send(
    session: requests.Session,
    request: requests.PreparedRequest,
    settings: dict[str, Any],
    receive: Callable[[requests.Response], T],
    *,
    what: str,
    line: str,
    destroys: str | None = None,
) -> Effect[T]:
    """A request that leaves this process; `receive` reads the reply, which belongs to the act."""

    def perform() -> T:
        return receive(session.send(request, **settings))

    return Effect(what, line, perform, destroys)


# What an undo meets where its step had not been done.
_WAS_NOT_DONE = (errno.ENOENT, errno.EEXIST, errno.ENXIO, errno.ENODEV)


class Effects:
    """Performs effects, or in a dry run only lists them.

    `trace` takes a line of text; `ask` takes the losses and returns when somebody agreed to them,
    else raises; `tell` takes what a person is told meanwhile. `asks_always`: also for a change that
    destroys nothing. `check` raises what forbids one more change.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Sequence[str]], None],
        trace: Callable[[str], None] | None = None,
        tell: Callable[[str], None] | None = None,
        dry_run: bool = False,
        asks_always: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.dry_run = dry_run
        self.plan: list[str] = []
        self.done: list[str] = []
        # What several threads do at this moment.
        self.under_way: list[str] = []
        # Transactions that failed: what was taken back, and the steps that could not be.
        self.undone: list[str] = []
        self.left: list[str] = []
        self._ask = ask
        self._trace = trace
        self._tracing: int | None = None  # the thread of the last line
        self._tell = tell
        self._asks_always = asks_always
        self._check = check
        self._agreed = False
        # What the question says of looks that this backend cannot take.
        self.unchecked: str | None = None
        self._undo: list[Effect[Any]] | None = None

    def consent(self, losses: Sequence[str], unchecked: str | None = None) -> None:
        """Ask once for all that an operation is about to destroy, before its first effect;
        `unchecked` tells what could not be looked at before."""
        self.unchecked = unchecked
        if not losses and self._asks_always:
            return  # should something be done all the same, it is asked for then
        if losses and not self.dry_run:
            self._ask(losses)
        self._agreed = True

    def foretell(self, acts: Iterable[str]) -> None:
        """Where every change asks: all that is to come, as one question."""
        if self._asks_always and not self._agreed and (losses := list(acts)):
            self.consent(losses)

    def look(self, effect: Effect[T]) -> T:
        """Perform what only reads: also in a dry run."""
        self.note(effect.line)
        return effect.perform()

    def do(self, effect: Effect[T], assume: T, undo: Sequence[Effect[Any]] = ()) -> T:
        """Perform a change, or in a dry run note it and return what is assumed. `undo` takes it
        back, last one first, when the transaction that it belongs to fails."""
        if self._asks_always and not self._agreed:
            self.consent([effect.what])
        if effect.destroys and not self._agreed:
            raise RdctlError(
                Code.INTERNAL, f"{effect.what} would destroy {effect.destroys}, and was not asked"
            )
        if self.dry_run:
            self.plan.append(effect.line)
            return assume
        self._check()
        self.note(effect.line)
        if effect.step:
            return effect.perform()
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
            self._account(effect, noted, did=effect.did(result))
        return result

    def _account(self, effect: Effect[Any], noted: int, *, did: bool) -> None:
        """An act is over, whose undo was noted behind the first `noted`."""
        if did:
            self.done.append(effect.what)
        elif self._undo is not None:
            # It was refused: what stands there is not of our making.
            del self._undo[noted:]
        self.under_way.remove(effect.what)

    @contextmanager
    def transaction(self, what: str) -> Iterator[None]:
        """All effects within are done, or on any failure and any signal none: they are undone in
        reverse, and what cannot be undone is named."""
        if self._undo is not None:
            yield  # the outer one answers for it
            return
        before = len(self.done)
        self._undo = undo = list[Effect[Any]]()
        with self._one_interruption(undo):
            try:
                yield
            except BaseException:
                self.left += self._take_back(undo)
                if len(self.done) > before:
                    self.done[before:] = []
                    self.undone.append(what)
                self.under_way.clear()
                raise
            finally:
                self._undo = None
        if len(self.done) > before:
            self.done[before:] = [what]

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """Effects that no signal may part."""
        with signals_held():
            yield

    def _take_back(self, undo: list[Effect[Any]]) -> list[str]:
        """Undo, last one first; what could not be undone."""
        left = []
        while undo:
            effect = undo[-1]
            self.note(effect.line)
            try:
                effect.perform()
            except OSError as error:
                if error.errno not in _WAS_NOT_DONE:
                    left.append(f"{effect.line} ({error.strerror})")
            undo.pop()
        return left

    @contextmanager
    def _one_interruption(self, undo: Sequence[Effect[Any]]) -> Iterator[None]:
        """The first signal ends what is under way; who sends more while that is undone is told how
        much is left."""
        heard = False

        def hear(number: int, usual: Callable[[], object]) -> None:
            nonlocal heard
            if not heard:
                heard = True
                usual()
            elif self._tell is not None:
                self._tell(f"undoing what was begun: {len(undo)} steps left")

        with signals_to(hear):
            yield

    def note(self, line: str, about: str = "") -> None:
        """A line in the trace; `about` tells which one it belongs to, where another thread's
        stands between."""
        if self._trace is not None:
            thread = get_ident()
            parted, self._tracing = thread != self._tracing, thread
            self._trace(f"{line}, {about}" if about and parted else line)
