"""run(argv, environment): the only place where an error becomes a message and an exit code."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click
import click.exceptions

from rdctl.cli.messages import error_of, failed, show_error
from rdctl.cli.tree import NoVerb, typed
from rdctl.cli.view import requested_format
from rdctl.core.environment import OutputError
from rdctl.core.errors import Code, Ended, Exit, RdctlError, as_error
from rdctl.core.plugin import UNKNOWN, is_check
from rdctl.effects.signals import ENDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from rdctl.cli.invocation import Invocation
    from rdctl.core.environment import Environment


@contextmanager
def signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP unwind the stack as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Ended(ENDING[signal.Signals(number)])

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        # A signal ignored by the caller (nohup) stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(argv: Sequence[str], environment: Environment) -> int:
    """Run one command and return its exit code; every exception ends here."""
    invocation: Invocation | None = None
    code = int(Exit.OK)
    try:
        try:
            context = typed(argv, environment)
            from rdctl.cli.invocation import Invocation
            from rdctl.cli.pipeline import carry_out

            invocation = Invocation(context, argv)
            with context:
                code = carry_out(context, invocation)
        except click.exceptions.Exit as exit:
            code = exit.exit_code
        except NoVerb as error:
            code = _no_verb(error, argv, environment)
        except click.UsageError as error:
            code = _misused(error, argv, environment)
        except RdctlError as error:
            code = failed(_located(error, invocation), argv, environment)
        except (KeyboardInterrupt, Ended) as error:
            code = failed(ended_by(error, invocation), argv, environment)
        environment.stdout.flush()
    except BrokenPipeError:
        # A change was completed before; a listing ends here.
        report = invocation.report if invocation is not None else None
        code = _or_unknown(code or int(Exit.PIPE if report is None else report.exit), argv)
    except OutputError as error:
        code = _or_unknown(_unprinted(error, environment, invocation), argv)
    except Exception as error:
        fault = _located(error_of(error), invocation)
        if fault.code is Code.INTERNAL and environment.environ.get("RDCTL_DEBUG"):
            raise
        code = failed(fault, argv, environment)
        with suppress(OSError):
            environment.stdout.flush()
    if invocation is not None:
        record(invocation, code)
    return code


def _or_unknown(code: int, argv: Sequence[str]) -> int:
    """The exit code of a failure: a plugin has only one."""
    return UNKNOWN if is_check(argv) else code


def record(invocation: Invocation, code: int) -> None:
    """Write the end into the history. What fails there does not change how the command ended."""
    try:
        invocation.records.end(code, invocation.error)
    except Exception as error:
        fault = as_error(error)
        if fault.code is Code.INTERNAL and invocation.environment.environ.get("RDCTL_DEBUG"):
            raise
        invocation.warn(f"history not written: {fault.message}")


def _unprinted(error: OutputError, environment: Environment, invocation: Invocation | None) -> int:
    message = f"the output cannot be written: {error.strerror}{_done_before(invocation)}"
    unwritten = RdctlError(Code.FAILED, message)
    if invocation is not None:
        invocation.error = unwritten
        if invocation.report is not None and invocation.report.complete:
            invocation.records.verdict = int(invocation.report.exit)
    show_error(environment, unwritten)
    return int(Exit.FAILED)


def _located(error: RdctlError, invocation: Invocation | None) -> RdctlError:
    """The error, with the line of its target on standard input, if it was read from there."""
    if invocation is None:
        return error
    invocation.aim(error)
    invocation.error = invocation.bulk.located(error)
    return invocation.error


def _no_verb(error: NoVerb, argv: Sequence[str], environment: Environment) -> int:
    """A noun without a verb: show its help, or an error in a machine-readable format."""
    if error.ctx is None or requested_format(argv, environment) in ("json", "yaml", "ndjson"):
        return _misused(error, argv, environment)
    environment.stdout.write(error.ctx.get_help().rstrip() + "\n")
    environment.stdout.flush()
    return int(Exit.OK)


def _misused(error: click.UsageError, argv: Sequence[str], environment: Environment) -> int:
    from rdctl.cli.usage_errors import usage_error

    return failed(usage_error(error), argv, environment)


# Number of operations that a message lists.
MOST_LISTED = 5


def _done_before(invocation: Invocation | None) -> str:
    done = _of_all(invocation, "done") if invocation is not None else []
    acts = ", ".join(done[:MOST_LISTED])
    if len(done) > MOST_LISTED:
        acts += f" and {len(done) - MOST_LISTED} more"
    return f"; completed: {acts}" if done else ""


def _of_all(invocation: Invocation, what: str) -> list[str]:
    """One list of all doors of a run together: done, under_way, left or undone."""
    return [one for door in invocation.doors for one in getattr(door, what)]


def ended_by(error: KeyboardInterrupt | Ended, invocation: Invocation | None) -> RdctlError:
    """An interruption, with what was completed and what is in progress."""
    code = as_error(error).code
    message = code.word + _done_before(invocation)
    hint = None
    if invocation is not None:
        lost = _of_unknown_fate(invocation)
        fates = {
            "in progress, outcome unknown": _of_all(invocation, "under_way"),
            "outcome unknown": lost,
            "could not be rolled back": _of_all(invocation, "left"),
            "rolled back": _of_all(invocation, "undone"),
        }
        for what, acts in fates.items():
            if acts:
                message += f"; {what}: {', '.join(acts)}"
        if lost or _of_all(invocation, "under_way"):
            hint = "Check the outcome before repeating the command."
        elif not any(fates.values()) and not _of_all(invocation, "done"):
            message += "; nothing was changed"
    ended = RdctlError(code, message, hint=hint)
    if invocation is not None:
        invocation.error = ended
    return ended


def _of_unknown_fate(invocation: Invocation) -> list[str]:
    """The changes so far whose outcome is unknown."""
    from rdctl.core.results import Failure

    outcomes = invocation.report.so_far if invocation.report else ()
    failures = [one for one in outcomes if isinstance(one, Failure) and one.fate == "unknown"]
    return [f"{one.action} {one.error.target or ''}".strip() for one in failures]


def main(argv: Sequence[str], environment: Environment) -> None:
    """Run one command and exit the process."""
    try:
        with signals():
            code = run(argv, environment)
    except Ended as ended:  # a second signal, while the first was handled
        code = _or_unknown(int(ended.code.exit), argv)
    sys.exit(code)
