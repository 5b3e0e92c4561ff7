"""The options by which an operator goes on where a guard would refuse."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

# As rdctl.rapiddisk.guards.LOOKS, which help does without.
_LOOKS = ("exports", "caches", "locks", "opens")

FORCE = click.option(
    "--force",
    is_flag=True,
    help="Go on although the daemon (Debian's 9.0.0) does not show whether it is in use.",
)
UNSEEN = click.option(
    "--unseen",
    type=click.Choice(_LOOKS),
    multiple=True,
    help="Go on although these could not be looked at; repeat as needed.",
)
DISCARD = click.option(
    "--discard-contents",
    is_flag=True,
    help="Lose data that are the only copy, too.",
)


def overriding(function: Callable[..., Any]) -> Any:
    """--force and --unseen, with --discard-contents where the command has it, as one value."""

    @wraps(function)
    def called(
        *args: Any,
        force: bool = False,
        unseen: tuple[str, ...] = (),
        discard_contents: bool = False,
        **options: Any,
    ) -> Any:
        from rdctl.rapiddisk.guards import Overrides

        given = Overrides(force, unseen, discard_contents)
        return function(*args, overrides=given, **options)

    return FORCE(UNSEEN(called))
