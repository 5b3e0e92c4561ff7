"""What sending and receiving whole objects have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rdctl.core.errors import Code, Ended, RdctlError
from rdctl.core.once import once
from rdctl.core.results import Change, Failure
from rdctl.core.units import escape
from rdctl.oio.acts import Acts, OioDependencies, failure
from rdctl.oio.model import Content, Namespace, Place
from rdctl.oio.rawx import Rawx
from rdctl.workers import Stopped, Turns

T = TypeVar("T")
# Objects or files that a question names; more are counted.
_MOST_NAMED = 20


class Transfers(Acts):
    """Whole objects, several at a time."""

    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        self._rawx = Rawx(self._proxy.reach)
        self._turns = Turns()

    @once
    def _namespace(self) -> Namespace:
        namespace: Namespace = self._asked(lambda: self._proxy.read("conscience.info"))
        return namespace

    def _asked(self, act: Callable[[], T]) -> T:
        """Ask the proxy; after a failure that affects all it is not asked again."""
        return self._turns.take(act)

    def _each_of(
        self, action: str, names: Sequence[str], act: Callable[[int, int], Change | Failure]
    ) -> Iterator[Change | Failure]:
        """`act(number, parallel)` for each name, several at a time, each with its share of what may
        be done at a time; a signal stops new ones."""
        if not names:
            return  # what runs several at a time is not loaded
        at_once = min(len(names), self._workers.parallel)
        share = max(1, self._workers.parallel // at_once)

        def one(number: int) -> list[Change | Failure]:
            try:
                with self._workers.progress.file(number + 1, len(names), names[number]):
                    return [act(number, share)]
            except RdctlError as error:
                return [failure(action, names[number], error)]

        try:
            yield from self._outcomes(action, [[name] for name in names], one, at_once)
        except (KeyboardInterrupt, Ended, Stopped):
            self._effects.left += self._unfinished()
            raise

    def _unfinished(self) -> list[str]:
        """What is left of transfers in progress, for those that do not wait for them."""
        return []

    def _in_time(self) -> None:
        """Raise if waiting for the other end of a stream takes too long."""
        self._workers.check()
        if self._proxy.deadline.over:
            raise RdctlError(Code.TIMEOUT, "timed out waiting for the other end of the stream")

    def _show(self, place: Place) -> Content:
        check = self._workers.check
        content = self._proxy.content(place, check=check)
        return content._replace(path=content.path or place.path or "")


def few_or(many: str, losses: Sequence[str]) -> Sequence[str]:
    """The losses for a question, each one if they are few."""
    return [many] if len(losses) > _MOST_NAMED else losses


def exists(place: Place, *, comparable: bool = False) -> RdctlError:
    """`comparable`: it could also be compared with a file."""
    hint = "Use --overwrite to replace it."
    if comparable:
        hint = "Use --overwrite to replace existing objects, or --update to replace what differs."
    return RdctlError(
        Code.EXISTS,
        f'object "{place.shown}" already exists in container "{place.holder.shown}"',
        hint=hint,
        target=place.name,
    )


def with_left(error: RdctlError, left: Sequence[str]) -> RdctlError:
    """The error, with the chunks that could not be deleted."""
    if left:
        error.message += f"; {len(left)} chunks could not be deleted: {', '.join(left[:3])}"
        error.message += ", ..." if left[3:] else ""
        error.facts["chunks"] = list(left)
    return error


def changed(place: Place, undone: str) -> RdctlError:
    """The object is not the listed one any longer, so it was not deleted, or not replaced."""
    message = f"{escape(place.name)}: changed since it was listed; not {undone}"
    return RdctlError(Code.CONFLICT, message, target=place.name)
