"""Contexts that lead to the same place use one rdctl there, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

from rdctl.core.errors import RdctlError
from rdctl.core.results import Listing, Result


class Turn:
    """Whose turn it is to use one rdctl there, and why it could not be started. `refused` is when,
    by the clock of the command."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.refusal: RdctlError | None = None
        self.refused = 0.0


def taken(result: Result) -> Result:
    """The result, of which nothing is still to come. What ends a listing is raised at its end."""
    if not isinstance(result, Listing):
        return result
    rows: list[Any] = []
    end: BaseException | None = None
    try:
        rows.extend(result.items)
    except BaseException as error:
        end = error

    def replayed() -> Iterator[Any]:
        yield from rows
        if end is not None:
            raise end

    result.items = replayed()
    return result
