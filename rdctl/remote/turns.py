"""The other machines of one command. Contexts that lead to the same place use one rdctl there, one
after the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from threading import Lock
from typing import TYPE_CHECKING, Any

from rdctl.core.errors import RdctlError
from rdctl.core.results import Listing, Result
from rdctl.workers import Stopped, start_thread

if TYPE_CHECKING:
    from rdctl.remote.launch import Connection
    from rdctl.remote.session import Far


class Turn:
    """Whose turn it is to use one rdctl there, and why it could not be started. `refused` is when,
    by the clock of the command."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.refusal: RdctlError | None = None
        self.refused = 0.0


class Remotes:
    """`fars` are by their contexts, or what those share."""

    def __init__(self) -> None:
        self.fars: dict[Hashable, Far] = {}
        self.turns: dict[Hashable, Turn] = {}
        self._connections: list[Connection] = []
        self._one_opens = Lock()
        self._closed = False

    def opening(self, connect: Callable[[], Connection]) -> Connection:
        """A new connection, which is ended with the command even if its thread was abandoned."""
        with self._one_opens:
            if self._closed:
                raise Stopped
            connection = connect()
            self._connections.append(connection)
        return connection

    def close(self) -> None:
        """End all of them. Each may take seconds, if it does not answer."""
        with self._one_opens:
            self._closed = True
        _at_once([far.close for far in list(self.fars.values())])
        _at_once([one.abort for one in self._connections if not one.closed])


def _at_once(acts: Iterable[Callable[[], None]]) -> None:
    for thread in [start_thread(act) for act in acts]:
        thread.join()


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
