"""Errors for people, on stderr."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rdctl.core.errors import Code
from rdctl.core.units import defuse, escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdctl.core.environment import Environment
    from rdctl.core.errors import RdctlError
    from rdctl.core.results import Failure


def show_failures(environment: Environment, failures: Sequence[Failure]) -> None:
    """Show failures on stderr; those with the same message share a line."""

    def shown(failure: Failure) -> tuple[str | None, str, str]:
        return failure.context, failure.action, failure.error.message

    for (context, action, _), alike in groupby(failures, shown):
        first, *others = alike
        prefix = f"{context}: {action}" if context else action
        show_error(environment, first.error, prefix, len(others))


def show_error(
    environment: Environment, error: RdctlError, prefix: str | None = None, others: int = 0
) -> None:
    """An error for people, on stderr: what failed and why, then the hints, one a line.

    If confirmation is missing, the lines before the last hint are the losses."""
    target = error.target
    if error.code is Code.DECLINED:
        environment.stderr.write("Aborted.\n")
        return
    start = f"rdctl: error: {prefix}" if prefix else "rdctl: error"
    if prefix and error.facts.get("line"):
        start += f": line {error.facts['line']}"
    message = defuse(error.message)
    more = f" and {others} more" if others else ""
    if prefix and target and (more or escape(target) not in message):
        message = f"{escape(target)}{more}: {message}"
    environment.stderr.write(f"{start}: {message}\n")
    lines = error.hint.split("\n") if error.hint else []
    losses = len(lines) - 1 if error.code is Code.CONSENT else 0
    for number, line in enumerate(lines):
        start = "  " if number < losses else "hint: "
        environment.stderr.write(f"{start}{defuse(line)}\n")
    if error.facts.get("request_id"):
        environment.stderr.write(f"  request id: {error.facts['request_id']}\n")
    if error.code is Code.INTERNAL and error.__cause__ and environment.environ.get("RDCTL_DEBUG"):
        from traceback import format_exception

        environment.stderr.write("".join(format_exception(error.__cause__)))
