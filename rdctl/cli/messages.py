"""Errors for people, on stderr."""

from __future__ import annotations

from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

from rdctl.cli.view import requested_format
from rdctl.core.errors import Code, as_error
from rdctl.core.plugin import UNKNOWN, is_check, line
from rdctl.core.units import defuse, escape
from rdctl.output import FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdctl.core.environment import Environment
    from rdctl.core.errors import RdctlError
    from rdctl.core.results import Failure


def show_failures(environment: Environment, failures: Sequence[Failure]) -> None:
    """Show failures on stderr; those with the same message share a line, and those with the same
    hint in a row share it."""

    def shown(failure: Failure) -> tuple[str | None, str, str]:
        return failure.context, failure.action, failure.error.message

    lines = [list(alike) for _, alike in groupby(failures, shown)]
    for at, (first, *others) in enumerate(lines):
        where = _place(first.error, f" and {len(others)} more" if others else "")
        where = f"{first.context}: {where}" if first.context else where
        following = lines[at + 1][0].error.hint if at + 1 < len(lines) else None
        show_error(environment, first.error, where, hint=following != first.error.hint)


def _place(error: RdctlError, more: str) -> str:
    """`line 3: rd1 and 2 more: `; nothing if the message names the target."""
    line, target = error.facts.get("line"), escape(error.target or "")
    place = f"line {line}: " if line else ""
    named = not more and target in defuse(error.message)
    return place if named or not target else f"{place}{target}{more}: "


def show_error(
    environment: Environment, error: RdctlError, where: str = "", *, hint: bool = True
) -> None:
    """An error for people, on stderr: what failed and why, then what would be lost if confirmation
    is missing, then with `hint` the hints, one a line."""
    if error.code is Code.DECLINED:
        environment.stderr.write("Aborted.\n")
        return
    losses = error.facts.get("losses", ())
    colon = ":" if losses else ""
    environment.stderr.write(f"rdctl: error: {where}{defuse(error.message)}{colon}\n")
    for loss in losses:
        environment.stderr.write(f"  {loss}\n")
    for each in error.hint.split("\n") if hint and error.hint else []:
        environment.stderr.write(f"hint: {defuse(each)}\n")
    if error.facts.get("request_id"):
        environment.stderr.write(f"  request id: {error.facts['request_id']}\n")
    if error.code is Code.INTERNAL and error.__cause__ and environment.environ.get("RDCTL_DEBUG"):
        from traceback import format_exception

        environment.stderr.write("".join(format_exception(error.__cause__)))


def error_of(error: BaseException) -> RdctlError:
    """The error to show for an exception. Libraries explain many an internal one."""
    fault = as_error(error)
    if fault.code is not Code.INTERNAL:
        return fault
    from rdctl.core.libraries import cause_of

    return cause_of(error) or fault


def failed(error: RdctlError, argv: Sequence[str], environment: Environment) -> int:
    """Show the error on stderr, and with --json also as the only document on stdout. A plugin shows
    it on stdout, in its own form."""
    plugin = is_check(argv)
    started = environment.stdout.started
    with suppress(OSError):  # a closed reader still gets the exit code
        # The rows before the error are written first.
        environment.stdout.flush()
    form = requested_format(argv, environment)
    document = form in FORMATS and FORMATS[form].errors
    if plugin and not document:
        environment.stdout.write(f"{line(UNKNOWN, defuse(error.message))}\n")
        return UNKNOWN
    show_error(environment, error)
    if document and not started:
        from rdctl.output.render import render_error

        if form == "yaml" and not _yaml_works():
            form = "json"  # which is YAML as well
        with suppress(OSError):
            render_error(error, form, environment.stdout)
    return UNKNOWN if plugin else int(error.exit)


def _yaml_works() -> bool:
    """Whether PyYAML can be used; if not, it may be what the error is about."""
    from rdctl.output.formats.yaml import dumps_yaml

    try:
        dumps_yaml("")
    except Exception:
        return False
    return True
