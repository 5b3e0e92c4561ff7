"""run(argv, world) -> exit code: the one place where an error becomes a message and a code."""

from __future__ import annotations

import re
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click
import click.exceptions

from rdctl.cli.lazy import NoSuchVerb
from rdctl.cli.messages import show_error
from rdctl.cli.options import BULK, INVOCATION
from rdctl.cli.root import root
from rdctl.core.environment import OutputError
from rdctl.core.errors import Code, Ended, Exit, RdctlError, hints, told
from rdctl.core.units import guess
from rdctl.output import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from rdctl.cli.invocation import Invocation
    from rdctl.core.environment import World


@contextmanager
def signals() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind like Ctrl-C does."""
    codes = {signal.SIGTERM: Code.TERMINATED, signal.SIGHUP: Code.HANGUP}

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended(codes[signal.Signals(number)])

    before = {}
    for number in codes:
        # Ignored by the caller (nohup): it stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(argv: Sequence[str], world: World) -> int:
    """Run one command; every way out ends here."""
    context: click.Context | None = None
    code = int(Exit.OK)
    try:
        try:
            context = root.make_context(
                "rdctl", list(argv), obj=world, terminal_width=min(world.width, 100)
            )
            with context:
                code = int(root.invoke(context) or 0)
        except click.exceptions.Exit as exit:
            code = exit.exit_code
        except click.exceptions.NoArgsIsHelpError as error:
            code = _no_verb(error, argv, world)
        except click.UsageError as error:
            code = _failed(_usage(error), argv, world)
        except click.ClickException as error:
            code = _failed(RdctlError(Code.USAGE, error.format_message()), argv, world)
        except RdctlError as error:
            code = _failed(_located(error, context), argv, world)
        except (KeyboardInterrupt, Ended) as error:
            code = _failed(_ended(error, context), argv, world)
        world.stdout.flush()
    except BrokenPipeError:
        code = code or _reader_left(context)
    except OutputError as error:
        message = f"the output cannot be written: {error.strerror}{_done_before(context)}"
        show_error(world, RdctlError(Code.FAILED, message))
        code = int(Exit.FAILED)
    except Exception as error:
        fault = _located(told(error), context)
        if fault.code is Code.INTERNAL and world.environ.get("RDCTL_DEBUG"):
            raise
        code = _internal(fault, argv, world)
    return code


def _located(error: RdctlError, context: click.Context | None) -> RdctlError:
    """The error, with where its target stands on standard input, if it came from there."""
    invocation = _invocation(context)
    if invocation is not None:
        invocation.aim(error)
    bulk = context.meta.get(BULK) if context is not None else None
    return error if bulk is None else bulk.located(error)


def _no_verb(error: click.exceptions.NoArgsIsHelpError, argv: Sequence[str], world: World) -> int:
    """Nothing behind a noun: people get its help."""
    if _wanted_format(argv, world) in ("json", "yaml", "ndjson"):
        return _failed(_usage(click.UsageError("Missing command.", error.ctx)), argv, world)
    world.stderr.write(error.format_message().rstrip() + "\n")
    return int(Exit.USAGE)


def _usage(error: click.UsageError) -> RdctlError:
    # click's own guesses stand in its message, ours in the hint.
    message = error.message if isinstance(error, click.NoSuchOption) else error.format_message()
    for kind, name in _NUMBERS.items():
        message = message.replace(f" is not a valid {kind}.", f" is not {name}.")
    hint = None
    if error.ctx is not None:
        hint = hints(_meant(error), f"See: {error.ctx.command_path} --help")
    return RdctlError(Code.USAGE, message, hint=hint)


# What click calls them, and what people do.
_NUMBERS = {"integer range": "a whole number", "integer": "a whole number", "float": "a number"}


def _meant(error: click.UsageError) -> str:
    """What was probably meant by a word that click does not know."""
    if isinstance(error, NoSuchVerb):
        return guess(error.word, error.known)
    if isinstance(error, click.NoSuchOption):
        return guess(error.option_name, error.possibilities or ())
    if isinstance(error, click.BadParameter) and error.param is not None:
        word, none_of, _ = error.message.partition("' is not one of ")
        if none_of:
            return guess(word.removeprefix("'"), getattr(error.param.type, "choices", ()))
    return ""


def _failed(error: RdctlError, argv: Sequence[str], world: World) -> int:
    """Say the error on stderr, and with --json as the one document on stdout."""
    started = world.stdout.started
    with suppress(OSError):  # who does not read is told by the exit code
        # The rows before the error come first.
        world.stdout.flush()
    show_error(world, error)
    form = _wanted_format(argv, world)
    if form in FORMATS and FORMATS[form].errors and not started:
        from rdctl.output.render import render_error

        with suppress(OSError):
            render_error(error, form, world.stdout)
    return int(error.exit)


def _wanted_format(argv: Sequence[str], world: World) -> str:
    """The format, found in the bare words, since they may be wrong in every other way."""
    form = world.environ.get("RDCTL_OUTPUT") or "table"
    words = iter(argv)
    for word in words:
        if word == "--":
            break
        if word == "--json":
            return "json"
        flags = re.fullmatch(_SHORT_FLAGS, word)
        if word == "--output" or (flags and flags["form"] == ""):
            form = next(words, "")
        elif word.startswith("--output="):
            form = word.partition("=")[2]
        elif flags and flags["form"]:
            form = flags["form"]
        elif flags and "0" in word:
            form = "name"
    return form


# Short flags in one word; the last may be -o with its value.
_SHORT_FLAGS = "(?s)-[0hqy]*(?:o(?P<form>.*))?"


# Acts that are told one by one.
MOST_TOLD = 5


def _invocation(context: click.Context | None) -> Invocation | None:
    return context.meta.get(INVOCATION) if context is not None else None


def _done_before(context: click.Context | None) -> str:
    invocation = _invocation(context)
    done = _of_all(invocation, "done") if invocation is not None else []
    told = ", ".join(done[:MOST_TOLD])
    if len(done) > MOST_TOLD:
        told += f" and {len(done) - MOST_TOLD} more"
    return f"; done before: {told}" if done else ""


def _of_all(invocation: Invocation, what: str) -> list[str]:
    """What all doors of a run tell of one kind: done, under_way, left or undone."""
    return [one for door in invocation.doors for one in getattr(door, what)]


def _ended(error: KeyboardInterrupt | Ended, context: click.Context | None) -> RdctlError:
    """An interruption, with what was done and what is half done by then."""
    code = told(error).code
    invocation = _invocation(context)
    message = code.word + _done_before(context)
    hint = None
    if invocation is not None:
        lost = _of_unknown_fate(invocation)
        told_of = {
            "under way, its fate is not known": _of_all(invocation, "under_way"),
            "its fate is not known": lost,
            "left behind, it could not be undone": _of_all(invocation, "left"),
            "begun and undone": _of_all(invocation, "undone"),
        }
        for what, acts in told_of.items():
            if acts:
                message += f"; {what}: {', '.join(acts)}"
        if lost or _of_all(invocation, "under_way"):
            hint = "Look what became of it before you do it again."
        elif not any(told_of.values()) and not _of_all(invocation, "done"):
            message += "; nothing was changed"
    return RdctlError(code, message, hint=hint)


def _of_unknown_fate(invocation: Invocation) -> list[str]:
    """The changes so far whose replies were lost."""
    from rdctl.core.results import Failure

    outcomes = invocation.report.so_far if invocation.report else ()
    failures = [one for one in outcomes if isinstance(one, Failure) and one.fate == "unknown"]
    return [f"{one.action} {one.error.target or ''}".strip() for one in failures]


def _reader_left(context: click.Context | None) -> int:
    """The reader of the output has gone. Who only looked is done; a change was done before."""
    invocation = _invocation(context)
    report = invocation.report if invocation is not None else None
    return int(Exit.PIPE if report is None else report.exit)


def _internal(fault: RdctlError, argv: Sequence[str], world: World) -> int:
    code = _failed(fault, argv, world)
    with suppress(OSError):
        world.stdout.flush()
    return code


def main(argv: Sequence[str], world: World) -> None:
    """The whole life of the process."""
    try:
        with signals():
            code = run(argv, world)
    except Ended as ended:  # a second one, while the first was settled
        code = int(ended.code.exit)
    sys.exit(code)
