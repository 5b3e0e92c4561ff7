"""One command of an rdctl on another machine, which is this one's other side over SSH."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
import click.exceptions

from rdctl.cli.consent import Loss
from rdctl.cli.invocation import Invocation
from rdctl.cli.messages import error_of
from rdctl.cli.options import flags_of
from rdctl.cli.pipeline import mark_sandbox, result_of
from rdctl.cli.run import ended_by, record
from rdctl.cli.tree import HERE, Command, typed
from rdctl.config.resolve import resolve
from rdctl.core.environment import Environment, Messages, Stream, no_input, no_output
from rdctl.core.errors import Code, Ended, Exit, RdctlError
from rdctl.core.results import Data, Document, Item, Listing, Raw, Report, Result, Text
from rdctl.effects.signals import signals_until_end
from rdctl.output.rows import as_data
from rdctl.recording import Part, Records
from rdctl.remote import wire
from rdctl.remote.wire import Message, Outgoing
from rdctl.sites import Site
from rdctl.workers import Progress

if TYPE_CHECKING:
    from rdctl.cli.agent import Agent
    from rdctl.effects.door import Effects

# Rows of one message, and how long they may wait for each other.
_ROWS = 256
_ROWS_SECONDS = 0.1
# A progress is sent at most so often.
_PROGRESS_SECONDS = 0.1
# What selects another place than this machine.
PLACES = ("context", "local", "rapiddisk_url")


class Run:
    """One command."""

    def __init__(self, agent: Agent, command: Message) -> None:
        self._agent, self._command = agent, command
        self._on: _FarInvocation | None = None
        self._result: Result | None = None

    def carry_out(self) -> None:
        with signals_until_end() as end:
            error, ended = self._ended(end)
            if self._on is not None:
                self._on.error = error
                mark_sandbox(self._on)
                record(self._on, int(self._exit(error)))
            self._end(error, ended)

    def _ended(self, end: Callable[[], None]) -> tuple[RdctlError | None, bool]:
        """Run it; the error that ended it, if any, and whether a signal did."""
        try:
            try:
                self._typed()
            finally:
                end()
        except click.exceptions.Exit:
            return RdctlError(Code.USAGE, "no command"), False
        except click.UsageError as fault:
            from rdctl.cli.usage_errors import usage_error

            return usage_error(fault), False
        except (KeyboardInterrupt, Ended) as signal:
            return ended_by(signal, self._on), True
        except Exception as fault:
            error = error_of(fault)
            if error.code is Code.INTERNAL and os.environ.get("RDCTL_DEBUG"):
                self._show_traceback(fault)
            return error, False
        return None, False

    def _typed(self) -> None:
        environment = self._environment()
        words = _words(self._command)
        context = typed(words, environment)
        flags = flags_of(context)
        given = {**self._agent.flags, **_known(self._command["globals"])}
        for name in PLACES:
            flags.pop(name, None)
        flags.update(given)
        on = self._on = _FarInvocation(context, words, self._agent, self._command)
        on.bulk.literal = True
        if on.contexts is not None:
            raise RdctlError(Code.CONFIG, "remote_command must not select several contexts")
        command = context.command
        if not flags.pop("remote_file", False) and isinstance(command, Command) and command.files:
            from rdctl.remote.files import FilesAway

            environment.away = FilesAway(self._agent)
        if isinstance(command, Command) and command.watch == HERE:
            self._check_watch(on)
        with context:
            self._result = result_of(context, dict(context.params), on)
            self._send(self._result)

    def _check_watch(self, on: Invocation) -> None:
        """This rdctl may itself ask a daemon."""
        if "watch" in on.flags:
            from rdctl.cli.watch import check_here

            check_here(on)

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

    def _exit(self, error: RdctlError | None) -> Exit:
        """The exit code of the command, as the history of this machine has it."""
        if error is not None:
            return error.exit
        if isinstance(self._result, Listing | Report):
            return self._result.exit
        if isinstance(self._result, Raw) and self._result.error is not None:
            return self._result.error.exit
        return Exit.OK

    def _end(self, error: RdctlError | None, ended: bool) -> None:
        on, result = self._on, self._result
        self._agent.out.tell(
            "end",
            error=error and wire.error_data(error),
            signal=ended,
            exit=int(self._exit(error)),
            account=on.effects.account() if on is not None else {},
            unread=on.unread.data() if on is not None else [],
            next_steps=on.next_steps if on is not None else [],
            listing=_end_of(result) if isinstance(result, Listing) else None,
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
    """The command line, as the history of this machine has it."""
    arguments = [str(word) for word in command["arguments"]]
    options: list[str] = []
    for option, values in command["options"].items():
        for value in [None] if values is True else map(str, values):
            options += [option] if value is None else _valued(option, value)
    words = [str(word) for word in command["path"]]
    if any(word.startswith("-") for word in arguments):
        return [*words, *options, "--", *arguments]
    return [*words, *arguments, *options]


def _valued(option: str, value: str) -> list[str]:
    return [f"{option}={value}"] if value.startswith("-") else [option, value]


def _known(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in wire.GLOBALS if given.get(name) is not None}


# --- what a command has here ------------------------------------------------------------------


class _FarPart(Part):
    """The history is written on both sides: there before here."""

    def __init__(self, records: Records, agent: Agent) -> None:
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
        self, ctx: click.Context, words: Sequence[str], agent: Agent, command: Message
    ) -> None:
        self._agent, self._command = agent, command
        self.origin = agent.origin
        super().__init__(ctx, words)

    def door(self, ask: Callable[[Sequence[str]], None], **options: Any) -> Effects:
        return super().door(ask, asks_always=bool(self._command["asks_always"]), **options)

    def _part(self) -> Part:
        return _FarPart(self.records, self._agent)

    def _bar(self) -> Progress | None:
        return _FarProgress(self._agent.out) if self._command["progress"] else None

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

    def _stopping(self, message: str) -> None:
        """Of several contexts, the other side prints it once for all."""
        if not self._command["asks_always"]:
            self.notice(message)

    def _trace(self, line: str) -> None:
        self._agent.out.tell("trace", line=line)

    def ask(
        self, asked: Sequence[Loss], failed: Mapping[str, RdctlError] = MappingProxyType({})
    ) -> None:
        losses = [loss for of in asked for loss in of.losses]
        with self.environment.thinking():
            self._agent.asked("ask", losses=losses, preface=list(self.effects.preface))
