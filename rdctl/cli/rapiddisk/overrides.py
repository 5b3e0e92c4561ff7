"""The options that override guards."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

# The same as rdctl.rapiddisk.guards.LOOKS, which is not imported for help.
_LOOKS = ("exports", "caches", "locks", "opens")

FORCE = click.option(
    "--force",
    is_flag=True,
    help="Continue even if an old daemon does not report whether the device is in use.",
)
UNSEEN = click.option(
    "--unseen",
    type=click.Choice(_LOOKS),
    multiple=True,
    help="Continue even if this check failed (repeatable).",
)
DISCARD = click.option(
    "--discard-contents",
    is_flag=True,
    help="Discard data that a writeback cache has not written to its disk (the only copy).",
)


def overriding(function: Callable[..., Any]) -> Any:
    """Pass --force, --unseen and, if the command has it, --discard-contents as one value."""

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
