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
    for line in error.hint.split("\n") if hint and error.hint else []:
        environment.stderr.write(f"hint: {defuse(line)}\n")
    if error.facts.get("request_id"):
        environment.stderr.write(f"  request id: {error.facts['request_id']}\n")
    if error.code is Code.INTERNAL and error.__cause__ and environment.environ.get("RDCTL_DEBUG"):
        from traceback import format_exception

        environment.stderr.write("".join(format_exception(error.__cause__)))
