"""rdctl __agent: runs commands for an rdctl on another machine, which has started this one over
SSH. Standard input and output carry the messages of rdctl/remote/wire.py."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
import click.exceptions

from rdctl.cli.consent import Loss
from rdctl.cli.invocation import Invocation
from rdctl.cli.messages import error_of
from rdctl.cli.options import flags_of
from rdctl.cli.pipeline import result_of
from rdctl.cli.run import ended_by, record
from rdctl.cli.tree import typed, verb
from rdctl.config.resolve import resolve
from rdctl.core.environment import Environment, Messages, Stream, no_input, no_output
from rdctl.core.errors import Code, Ended, RdctlError
from rdctl.core.results import (
    Data,
    Document,
    Item,
    Listing,
    Raw,
    Report,
    Result,
    Text,
)
from rdctl.effects.signals import ENDING
from rdctl.history.process import this_process, user_of
from rdctl.output.rows import as_data
from rdctl.recording import Part, Records
from rdctl.remote import wire
from rdctl.remote.wire import Incoming, Lost, Message, Outgoing
from rdctl.sites import Site
from rdctl.workers import Progress

if TYPE_CHECKING:
    from rdctl.effects.door import Effects

# Rows of one message, and how long they may wait for each other.
_ROWS = 256
_ROWS_SECONDS = 0.1
# A progress is sent at most so often.
_PROGRESS_SECONDS = 0.1
_WAKE_SECONDS = 0.5
_SIGNALS = {code: number for number, code in ENDING.items()}
_BY_NAME = {number.name.removeprefix("SIG"): number for number in ENDING}
# What selects another place than this machine.
_PLACES = ("context", "local", "rapiddisk_url")


@verb("__agent", on_site=False)
def agent(on: Invocation) -> Text:
    """Run commands for rdctl on another machine, over SSH."""
    here = _Agent(on)
    here.greet()
    while (message := here.command()) is not None:
        if message["kind"] == wire.COMPLETE:
            here.complete(message)
        else:
            here.run(message)
    here.close()
    return Text("")


class _Agent:
    """The other side, and what came from it."""

    def __init__(self, on: Invocation) -> None:
        environment = on.environment
        process = this_process(environment.environ, environment.root)
        self.environment = environment
        self.flags = {name: value for name, value in on.flags.items() if name not in _OUTPUT}
        if not any(name in self.flags for name in _PLACES):
            self.flags["local"] = True
        # Whatever else prints something must not mix with the messages.
        receive, write = environment.taken()
        self.patience = wire.PATIENCE
        self._incoming = Incoming(lambda most: receive(most, self.patience))
        self.out = Outgoing(write)
        self.sender = ""
        self._host = process.host
        self._user = user_of(process)
        self._commands: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._answered: dict[int, Message] = {}
        self._number = 0
        self.lost = threading.Event()
        self._running = False
        self._main = threading.main_thread().ident

    def greet(self) -> None:
        """Exchange the first messages."""
        self.out.tell(**wire.hello(host=self._host, user=self._user))
        try:
            other = self._incoming.next()
        except (Lost, RdctlError):
            raise RdctlError(
                Code.USAGE, "__agent is started by rdctl on another machine, over SSH"
            ) from None
        self.sender = str(other.get("sender") or "")
        if fault := wire.mismatch(other, self._host):
            self.out.close(_WAKE_SECONDS)
            raise RdctlError(Code.UNSUPPORTED, fault)
        self.out.beat = float(other.get("beat") or wire.BEAT)
        self.patience = float(other.get("patience") or wire.PATIENCE)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        """Takes the messages of the other side until it is lost, which is as a Ctrl-C."""
        try:
            while True:
                message = self._incoming.next()
                kind = message["kind"]
                if kind in ("command", wire.COMPLETE):
                    self._commands.put(message)
                elif kind == "answer":
                    self._answers.put(message)
                elif kind == "signal" and message.get("signal") in _BY_NAME:
                    self._raise(_BY_NAME[message["signal"]])
        except (Lost, RdctlError):
            self.lost.set()
            self.out.lost.set()
            self._raise(signal.SIGINT)
            self._commands.put(None)

    def _raise(self, number: int) -> None:
        """A signal for the main thread, as from a terminal."""
        if self._running and self._main is not None:
            signal.pthread_kill(self._main, number)

    def command(self) -> Message | None:
        """The next command, None at the end."""
        return self._commands.get()

    def run(self, command: Message) -> None:
        self._running = True
        try:
            _Run(self, command).carry_out()
        finally:
            self._running = False

    def complete(self, message: Message) -> None:
        from rdctl.completion.answer import there

        of, text, args = message["of"], message["text"], message["args"]
        names = there(of, text, args, self.flags, self.environment)
        self.out.tell(wire.NAMES, names=[list(name) for name in names])

    def close(self) -> None:
        self.out.close(self.patience)

    def asked(self, kind: str, **message: Any) -> Message:
        """Ask the other side something, and wait for its answer; raises what it refuses with."""
        return self.answer(self.request(kind, **message))

    def request(self, kind: str, **message: Any) -> int:
        """Ask it; returns the number of the answer."""
        self._number += 1
        self.out.tell(kind, number=self._number, **message)
        return self._number

    def answer(self, number: int) -> Message:
        while not self.has_answer(number):
            try:
                self._keep_answer(_WAKE_SECONDS)
            except queue.Empty:
                if self.lost.is_set():
                    raise KeyboardInterrupt from None
        answer = self._answered.pop(number)
        if answer.get("error"):
            raise wire.error_of(answer["error"])
        if answer.get("stopped"):
            raise KeyboardInterrupt
        return answer

    def has_answer(self, number: int) -> bool:
        with suppress(queue.Empty):
            while True:
                self._keep_answer(0)
        return number in self._answered

    def _keep_answer(self, seconds: float) -> None:
        message = self._answers.get(seconds > 0, seconds or None)
        self._answered[message["number"]] = message

    def tell_piece(self, data: bytes | bytearray = b"", **message: Any) -> None:
        self.out.tell_much("piece", data, **message)


# Global options that say how a result is shown here, where nothing is.
_OUTPUT = ("output", "json", "columns", "sort_by", "no_headers", "nul", "query", "table_style")


# --- one command ------------------------------------------------------------------------------


class _Run:
    """One command."""

    def __init__(self, agent: _Agent, command: Message) -> None:
        self._agent, self._command = agent, command
        self._on: _FarInvocation | None = None
        self._listing: Listing | None = None

    def carry_out(self) -> None:
        error: RdctlError | None = None
        ended = False
        try:
            self._typed()
        except click.exceptions.Exit:
            error = RdctlError(Code.USAGE, "no command")
        except click.UsageError as fault:
            from rdctl.cli.usage_errors import usage_error

            error = usage_error(fault)
        except (KeyboardInterrupt, Ended) as end:
            error, ended = ended_by(end, self._on), True
        except Exception as fault:
            error = error_of(fault)
            if error.code is Code.INTERNAL and os.environ.get("RDCTL_DEBUG"):
                self._show_traceback(fault)
        if self._on is not None:
            self._on.error = self._on.error or error
            record(self._on, self._exit(error))
        self._end(error, ended)

    def _typed(self) -> None:
        environment = self._environment()
        words = _words(self._command)
        context = typed(words, environment)
        flags = flags_of(context)
        given = {**self._agent.flags, **_known(self._command["globals"])}
        for name in _PLACES:
            flags.pop(name, None)
        flags.update(given)
        on = self._on = _FarInvocation(context, words, self._agent, self._command)
        on.bulk.literal = True
        if on.contexts is not None:
            raise RdctlError(Code.CONFIG, "remote_command must not select several contexts")
        if not flags.pop("remote_file", False):
            from rdctl.remote.files import FilesAway

            environment.away = FilesAway(self._agent)
        with context:
            self._send(result_of(context, dict(context.params), on))

    def _environment(self) -> Environment:
        """That of the agent; output goes nowhere, and nothing can be read."""
        own = self._agent.environment
        return Environment(
            stdin=no_input(),
            stdout=Stream(no_output(), tty=False),
            stderr=Messages(own.stderr.raw, tty=False),
            environ=own.environ,
            root=own.root,
            calls=own.calls,
            clock=own.clock,
            sleep=own.sleep,
            now=own.now,
            program=own.program,
        )

    # --- the result -----------------------------------------------------------------------

    def _send(self, result: Result) -> None:
        out = self._agent.out
        if isinstance(result, Listing):
            self._send_listing(result)
        elif isinstance(result, Report):
            self._send_report(result)
        elif isinstance(result, Item):
            out.tell("result", type="item", value=as_data(result.value))
        elif isinstance(result, Document):
            data = as_data(result.data)
            out.tell("result", type="document", text=result.text, document=data, noun=result.noun)
        elif isinstance(result, Text):
            out.tell("result", type="text", text=result.text)
        elif isinstance(result, Raw):
            error = result.error and wire.error_data(result.error)
            out.tell("result", result.data, type="raw", error=error, untouched=result.untouched)
        elif isinstance(result, Data):
            out.tell("result", type="data")
            for block in result.blocks:
                out.tell_much("data", block)
        else:
            raise TypeError(type(result))

    def _send_listing(self, listing: Listing) -> None:
        out = self._agent.out
        self._listing = listing
        out.tell(
            "result",
            type="listing",
            vertical=listing.vertical,
            few=listing.few,
            also=list(listing.also),
            counted=list(listing.counted),
        )
        rows, sent = [], time.monotonic()
        for item in listing:
            rows.append(as_data(item))
            if listing.few or len(rows) >= _ROWS or time.monotonic() - sent > _ROWS_SECONDS:
                out.tell_much("rows", rows=rows)
                rows, sent = [], time.monotonic()
        if rows:
            out.tell_much("rows", rows=rows)

    def _send_report(self, report: Report) -> None:
        if self._on is not None:
            self._on.report = report
        since = None if report.since is None else time.monotonic() - report.since
        self._agent.out.tell("result", type="report", since=since, past=report.past)
        for outcome in report:
            self._agent.out.tell("outcome", outcome=wire.outcome_data(outcome))

    def _exit(self, error: RdctlError | None) -> int:
        if error is not None:
            return int(error.exit)
        report = self._on.report if self._on is not None else None
        return int(report.exit) if report is not None else 0

    def _end(self, error: RdctlError | None, ended: bool) -> None:
        on, listing = self._on, self._listing
        self._agent.out.tell(
            "end",
            error=error and wire.error_data(error),
            signal=ended,
            exit=self._exit(error),
            account=on.effects.account() if on is not None else {},
            unread=on.unread.data() if on is not None else {},
            next_steps=on.next_steps if on is not None else [],
            listing=None if listing is None else _end_of(listing),
        )

    def _show_traceback(self, fault: Exception) -> None:
        from traceback import format_exception

        self._agent.environment.stderr.write("".join(format_exception(fault)))


def _end_of(listing: Listing) -> Message:
    return {
        "failures": [wire.outcome_data(one) for one in listing.failures],
        "failed": listing.failed,
        "marker": listing.marker,
        "verdict": int(listing.verdict),
        "notes": listing.notes,
    }


def _words(command: Message) -> list[str]:
    """The command line; options stand before `--`, so that any name can follow."""
    words = [str(word) for word in command["path"]]
    for option, values in command["options"].items():
        words += [option] if values is True else [f"{option}={value}" for value in values]
    arguments = [str(word) for word in command["arguments"]]
    some = any(word.startswith("-") for word in arguments)
    return [*words, *(["--"] if some else []), *arguments]


_GLOBALS = (
    *("yes", "dry_run", "trace", "timeout", "retries", "parallel", "request_id", "watch"),
    "remote_file",
)


def _known(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in _GLOBALS if given.get(name) is not None}


# --- what a command has here ------------------------------------------------------------------


class _FarPart(Part):
    """The history is written on both sides: there before here."""

    def __init__(self, records: Records, agent: _Agent) -> None:
        super().__init__(records)
        self._agent = agent
        self._began = False

    def begin(self) -> None:
        if not self._began:
            self._agent.asked("begin")
            self._began = True
        super().begin()

    def line(self, line: str) -> None:
        self._agent.out.tell("line", line=line)
        super().line(line)


class _FarProgress(Progress):
    """Shown on the other side."""

    def __init__(self, out: Outgoing) -> None:
        self._out = out
        self._count = 0
        self._sent = 0.0
        self._lock = threading.RLock()

    def begin(self, total: int | None, unit: str) -> None:
        self._out.tell("progress", what="begin", total=total, unit=unit)

    def advance(self, count: int = 1) -> None:
        with self._lock:
            self._count += count
            if time.monotonic() - self._sent > _PROGRESS_SECONDS:
                self._out.tell("progress", what="advance", count=self._count)
                self._count, self._sent = 0, time.monotonic()

    def pause(self) -> None:
        self._out.tell("progress", what="pause")

    def end(self) -> None:
        self._out.tell("progress", what="end")


class _FarInvocation(Invocation):
    """Messages, questions and progress are for the other side."""

    def __init__(
        self, ctx: click.Context, words: Sequence[str], agent: _Agent, command: Message
    ) -> None:
        self._agent, self._command = agent, command
        super().__init__(ctx, words)

    def door(self, ask: Callable[[Sequence[str]], None], **options: Any) -> Effects:
        return super().door(ask, asks_always=bool(self._command["asks_always"]), **options)

    def _part(self) -> Part:
        return _FarPart(self.records, self._agent)

    def _bar(self) -> Progress:
        return _FarProgress(self._agent.out)

    def site(self) -> Site:
        settings = resolve(self.config, self.flags)
        if settings.over_ssh:
            raise RdctlError(
                Code.CONFIG,
                "remote_command must not lead to a further machine over SSH",
                hint="Use ProxyJump in the configuration of ssh.",
            )
        self.settings = settings._replace(place=str(self._command["place"]))
        return self.site_of(self.settings, self.effects)

    def aim(self, error: RdctlError, context: str | None = None) -> None:
        """Done on the other side."""

    def warn(self, message: str) -> None:
        self._agent.out.tell("warning", text=message)

    def notice(self, message: str) -> None:
        self._agent.out.tell("notice", text=message)

    def _trace(self, line: str) -> None:
        self._agent.out.tell("trace", line=line)

    def ask(
        self, asked: Sequence[Loss], failed: Mapping[str, RdctlError] = MappingProxyType({})
    ) -> None:
        losses = [loss for of in asked for loss in of.losses]
        with self.environment.thinking():
            self._agent.asked("ask", losses=losses, preface=list(self.effects.preface))
