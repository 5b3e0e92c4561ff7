"""One command on another machine: what comes back becomes an ordinary result here."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl import __version__
from rdctl.core.errors import Code, Ended, Exit, RdctlError, hints
from rdctl.core.results import (
    Change,
    Data,
    Document,
    Failure,
    Item,
    Listing,
    Raw,
    Report,
    Result,
    Text,
)
from rdctl.core.units import defuse
from rdctl.core.unread import Unread
from rdctl.effects.door import Effects
from rdctl.effects.signals import ENDING, signals_to
from rdctl.remote import wire
from rdctl.remote.session import Far
from rdctl.remote.wire import Bytes, Lost, Message
from rdctl.workers import WAKE_SECONDS, Progress, Stopped, Workers

if TYPE_CHECKING:
    from rdctl.remote.files import Offered

_NAMES = {code: number.name.removeprefix("SIG") for number, code in ENDING.items()}
# A signal beyond so many is not passed on: it ends this process.
_PATIENT_SIGNALS = 2


class Request(NamedTuple):
    """A command: its path in the tree, its arguments and options as they were typed, and the global
    options that matter there. `shows`: it changes nothing."""

    path: Sequence[str]
    arguments: Sequence[str]
    options: Mapping[str, Any]
    flags: Mapping[str, Any]
    shows: bool


class Near(NamedTuple):
    """What a command has on this side. `place` are the options that address the other one; `files`
    are those that the command names; `left` are the seconds of its time limit, if it has one."""

    effects: Effects
    warn: Callable[[str], None]
    notice: Callable[[str], None]
    workers: Workers
    unread: Unread
    next_steps: list[str]
    place: str
    asks_always: bool
    left: Callable[[], float | None]
    files: Offered | None = None


class Call:
    """One command there. Its messages are taken when its result is."""

    def __init__(self, far: Far, request: Request, near: Near) -> None:
        self._far, self._request, self._near = far, request, near
        self._stack = ExitStack()
        self._begun = False
        # The signals that were passed on, and whether one is for a prompt here.
        self._signals: list[Code] = []
        self._asking = False
        self._held: BaseException | None = None
        self._late_since: float | None = None
        self.open = True

    def result(self) -> Result:
        """The result; a listing and a report are taken while the command runs there."""
        request, near = self._request, self._near
        if not request.shows:
            self._stack.enter_context(signals_to(self._hear))
        try:
            self._far.out.tell(
                "command",
                path=list(request.path),
                arguments=list(request.arguments),
                options=dict(request.options),
                globals=dict(request.flags),
                asks_always=near.asks_always,
                place=near.place,
                progress=type(near.workers.progress) is not Progress,
            )
            first = self._next()
            if first["kind"] == "result":
                return self._made(first)
            raise self._garbled(f"{first['kind']} before a result")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the command, if it has not ended."""
        self._stack.close()
        if self.open:
            self.open = False
            if self._begun:
                where = self._far.target.host
                self._near.effects.under_way.append(f"{' '.join(self._request.path)} on {where}")
            self._far.close()

    # --- what it is -----------------------------------------------------------------------

    @contextmanager
    def _understanding(self, message: Message) -> Iterator[None]:
        """Turn what is wrong with a message into an error. Nothing can be believed after it."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise self._garbled(defuse(str(message["kind"])[:80])) from error

    def _made(self, first: Message) -> Result:
        with self._understanding(first):
            return self._made_of(first)

    def _made_of(self, first: Message) -> Result:
        type = first["type"]
        if type == "listing":
            listing = Listing(
                (),
                vertical=first["vertical"],
                few=first["few"],
                also=list(first["also"]),
                counted=list(first["counted"]),
            )
            listing.items = self._rows(listing)
            return listing
        if type == "report":
            since = first["since"]
            since = None if since is None else time.monotonic() - since
            return Report(self._outcomes(), since, first["past"])
        if type == "data":
            return Data(self._blocks())
        return self._whole(type, first)

    def _whole(self, type: str, first: Message) -> Result:
        """A result that came in one message."""
        for message in self._rest():
            raise self._garbled(f"{message['kind']} after a result")
        if type == "item":
            return Item(first["value"])
        if type == "document":
            return Document(first["text"], first["document"], first["noun"])
        if type == "text":
            return Text(first["text"])
        if type == "raw":
            error = first["error"] and wire.error_of(first["error"])
            return Raw(first.get("data", b""), error, first["untouched"])
        raise self._garbled(f"a result of the kind {type}")

    def _rows(self, listing: Listing) -> Iterator[Any]:
        for message in self._rest(listing):
            with self._understanding(message):
                rows = message["rows"]
                if not all(isinstance(row, dict) for row in rows):
                    raise TypeError("rows")
            yield from rows

    def _outcomes(self) -> Iterator[Any]:
        for message in self._rest():
            with self._understanding(message):
                outcome = self._placed(wire.outcome_of(message["outcome"]))
            yield outcome

    def _blocks(self) -> Iterator[bytes]:
        for message in self._rest():
            with self._understanding(message):
                data = message["data"]
            yield data

    def _rest(self, listing: Listing | None = None) -> Iterator[Message]:
        """The messages of the result up to its end."""
        try:
            while (message := self._next(listing))["kind"] != "end":
                yield message
        finally:
            self.close()

    # --- what else comes ------------------------------------------------------------------

    def _next(self, listing: Listing | None = None) -> Message:
        """The next message of the result, or the one at its end, which may raise the error that
        ended it."""
        while True:
            message = self._get()
            kind = message["kind"]
            if kind in ("result", "rows", "outcome", "data"):
                return message
            with self._understanding(message):
                if kind == "end":
                    self._end(message, listing)
                    return message
                self._take(kind, message)

    def _get(self) -> Message:
        try:
            while True:
                self._pass_on_stopping()
                if (message := self._far.get(WAKE_SECONDS)) is not None:
                    return message
                self._check_time()
        except Lost as lost:
            raise self._lost(lost) from lost
        except RdctlError as garbled:
            raise (self._unknown(garbled.message) if self._begun else garbled) from None

    def _check_time(self) -> None:
        """The other side keeps to the time limit itself. If it does not even report that, it is not
        waited for, unless it may have changed something."""
        if self._begun or self._near.left() != 0.0:
            return
        self._late_since = self._late_since or time.monotonic()
        if time.monotonic() - self._late_since > wire.BEAT:
            where = self._far.target.host
            message = f"{where} did not answer within the time limit" + self._so_far()
            raise RdctlError(Code.TIMEOUT, message, target=where)

    def _take(self, kind: str, message: Message) -> None:
        """A message beside the result."""
        near = self._near
        if kind == "notice":
            near.notice(message["text"])
        elif kind == "warning":
            near.warn(message["text"])
        elif kind == "trace":
            near.effects.note(message["line"])
        elif kind == "line":
            if near.effects.recorder is not None:
                near.effects.recorder.line(message["line"])
        elif kind == "progress":
            self._progress(message)
        elif kind in ("begin", "ask", "file"):
            self._answer(kind, message)
        # Later versions may send more, which is for those who know it.

    def _progress(self, message: Message) -> None:
        progress = self._near.workers.progress
        what = message["what"]
        if what == "begin":
            progress.begin(message["total"], message["unit"])
        elif what == "advance":
            progress.advance(message["count"])
        elif what == "pause":
            progress.pause()
        elif what == "end":
            progress.end()

    def _piece(self) -> Message:
        """The next piece of the contents that the other side sends."""
        while (message := self._get())["kind"] != "piece":
            if message["kind"] == "end":
                raise self._garbled("an end before that of the contents")
            self._take(message["kind"], message)
        return message

    def _answer(self, kind: str, message: Message) -> None:
        """Record the intent, ask for confirmation, or read or write a file; the other side waits
        for the answer."""
        effects = self._near.effects
        answer: Message = {}
        data: Bytes = b""
        self._asking = True
        try:
            if kind == "ask":
                effects.consent(message["losses"], message["preface"])
            elif kind == "file":
                if self._near.files is None:
                    raise self._garbled("a file")
                answer, data = self._near.files.take(message, self._piece)
            elif effects.recorder is not None:
                effects.recorder.begin()
        except RdctlError as error:
            self._far.out.tell("answer", number=message["number"], error=wire.error_data(error))
            return
        except wire.Abandoned:
            return
        except (KeyboardInterrupt, Ended, Stopped) as end:
            # Raised when the other side has ended as well.
            self._held = end
            self._far.out.tell("answer", number=message["number"], stopped=True)
            return
        finally:
            self._asking = False
        self._begun |= kind == "begin"
        self._far.out.tell("answer", data, number=message["number"], **answer)

    # --- the end --------------------------------------------------------------------------

    def _end(self, end: Message, listing: Listing | None) -> None:
        """What is known at the end; raises the error that ended the command."""
        self.open = False
        self._stack.close()
        near = self._near
        near.effects.take(end["account"])
        near.unread.take(Unread.of(end["unread"]))
        if listing is not None:
            _complete(listing, end["listing"] or {})
        if self._held is not None:
            raise self._held
        if self._signals and end["signal"]:
            raise _raised(self._signals[0])
        if end["error"]:
            raise self._error(wire.error_of(end["error"]), end["signal"])
        # Once, also if several machines say it.
        near.next_steps.extend(one for one in end["next_steps"] if one not in near.next_steps)

    def _placed(self, outcome: Change | Failure) -> Change | Failure:
        if isinstance(outcome, Failure):
            outcome.error.hint = placed(outcome.error.hint, self._far.target.host)
        return outcome

    def _error(self, error: RdctlError, signal: bool) -> RdctlError:
        where = self._far.target.host
        error.hint = placed(error.hint, where)
        if signal:  # sent by another user there
            message = f"rdctl on {where} was ended: {error.message}"
            return RdctlError(Code.FAILED, message, hint=error.hint, target=error.target)
        if error.code is Code.USAGE and self._far.version != __version__:
            more = f"rdctl on {where} is version {self._far.version}, here {__version__}."
            error.hint = hints(error.hint, more)
        return error

    def _lost(self, lost: Lost) -> BaseException:
        """What to raise if the connection has ended before the command."""
        where = self._far.target.host
        why = str(lost) if lost.silent else self._far.lost()
        message = f"connection to {where} lost" + (f": {why}" if why else "")
        self._far.close()
        if self._begun:
            return self._unknown(message)
        if self._held is not None or self._signals:
            return self._held or _raised(self._signals[0])
        return RdctlError(Code.UNREACHABLE, message + self._so_far(), target=where)

    def _so_far(self) -> str:
        """What was done if the other side has changed nothing."""
        if done := self._near.effects.done:
            return f"; completed: {', '.join(done)}"
        return "" if self._request.shows else "; nothing was changed"

    def _garbled(self, what: str) -> RdctlError:
        fault = wire.garbled(what)
        return self._unknown(fault.message) if self._begun else fault

    def _unknown(self, why: str) -> RdctlError:
        """The error after which nothing is known of a change that may have been made."""
        self.open = False
        self._far.close()
        return RdctlError(
            Code.UNKNOWN,
            f"{why}; the outcome is unknown",
            hint="Show what was done there: rdctl history",
            target=self._far.target.host,
        )

    # --- signals --------------------------------------------------------------------------

    def _hear(self, number: int, usual: Callable[[], object]) -> None:
        """A signal is for the other side, which ends as by it."""
        if self._asking or len(self._signals) >= _PATIENT_SIGNALS:
            usual()  # which raises
        self._signal({int(one): code for one, code in ENDING.items()}[number])

    def _signal(self, code: Code) -> None:
        self._signals.append(code)
        self._far.out.tell("signal", signal=_NAMES[code])

    def _pass_on_stopping(self) -> None:
        """In a thread of several contexts the main thread has heard the signal."""
        workers = self._near.workers
        if workers.stopping.is_set() and not self._signals:
            self._signal(workers.ended_by)


def _raised(code: Code) -> BaseException:
    if threading.current_thread() is not threading.main_thread():
        return Stopped()
    return KeyboardInterrupt() if code is Code.INTERRUPTED else Ended(code)


def placed(hint: str | None, host: str) -> str | None:
    """A hint of the other side, which says where to run a command that is not of rdctl."""
    return hint and _COMMAND.sub(rf" on {host}: \1", hint)


# Behind what it does: `Load it: sudo modprobe rapiddisk`.
_COMMAND = re.compile(r"(?<=[a-z]): ((?!(?:sudo )?rdctl )[a-z][\w.-]* [^\n]*[^.\n])$", re.MULTILINE)


def _complete(listing: Listing, end: Mapping[str, Any]) -> None:
    """What is known of a listing once its rows have come."""
    outcomes = [wire.outcome_of(one) for one in end.get("failures", ())]
    listing.failures += outcomes  # type: ignore[arg-type]
    listing.failed += end.get("failed", 0)
    listing.marker = end.get("marker")
    listing.verdict = Exit(end.get("verdict", 0))
    listing.notes += end.get("notes", ())
