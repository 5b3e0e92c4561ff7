"""What a command gives back: plain data. How it looks is decided in `rdctl.output`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from rdctl.core.errors import Code, Exit, RdctlError


class Item(NamedTuple):
    """One thing of the kind that the command shows."""

    value: Any


class Plan(NamedTuple):
    """What a dry run found: the lines of the effects, and the outcomes as far as known; `contexts`
    has the lines of each when there are several."""

    lines: list[str]
    report: Report | None
    contexts: Mapping[str, Sequence[str]] | None = None


class InContext(NamedTuple):
    """A thing of one of several contexts."""

    context: str
    value: Any


class Text(NamedTuple):
    """Prose that was asked for (a help topic, a completion script); the same in every format."""

    text: str


class Raw(NamedTuple):
    """Bytes as they came, the same in every format; `error` tells what they mean, if no good. On a
    terminal they are made harmless, unless `untouched`."""

    data: bytes
    error: RdctlError | None
    untouched: bool = False


class Data(NamedTuple):
    """Bytes that come block by block, the same in every format."""

    blocks: Iterable[bytes | memoryview]


class Change(NamedTuple):
    """One target of a change that was done, or was so already.

    `changed` is None when it is not known; `verified` says whether the reply or a look proves it,
    None where neither does. `past` says what was done where the action alone does not.
    """

    action: str
    target: str | None
    changed: bool | None
    verified: bool | None
    facts: Mapping[str, Any] = MappingProxyType({})
    past: str | None = None
    context: str | None = None

    def with_line(self, line: int) -> Change:
        """The change, with the line that its target came from."""
        facts = {**self.facts, "line": line}
        # Half of what `_replace` takes.
        return Change(
            self.action, self.target, self.changed, self.verified, facts, self.past, self.context
        )

    def data(self) -> dict[str, Any]:
        data = {
            "action": self.action,
            "target": self.target,
            "changed": self.changed,
            "verified": self.verified,
            **self.facts,
        }
        return {"context": self.context, **data} if self.context else data


_UNKNOWN_FATE = (Code.UNKNOWN, Code.UNPROVEN, Code.INTERNAL)


class Failure(NamedTuple):
    """One target of a change that was not done, or whose fate is not known; `whole`: not one, but
    all of them in that context."""

    action: str
    error: RdctlError
    context: str | None = None
    whole: bool = False

    @property
    def fate(self) -> str:
        """`unknown`, or `not done`."""
        return "unknown" if self.error.code in _UNKNOWN_FATE else "not done"


class Listing:
    """Many things of the kind that the command shows; `items` may be an iterator that is still
    being filled.

    `failures` (things that could not be shown) and `marker` (where a limit ended the listing) hold
    when the items were taken. `failed` counts the items that stand for failures themselves.
    `vertical`: each thing is shown at length, not on one line. `also` names keys that matter in
    this listing, and so stand in its table, where most tables leave them out.
    """

    def __init__(
        self, items: Iterable[Any], *, vertical: bool = False, also: Sequence[str] = ()
    ) -> None:
        self.items = items
        self.vertical = vertical
        self.also = also
        self.failures: list[Failure] = []
        self.failed = 0
        self.marker: str | None = None
        # Whether what was sorted is not shown to its end.
        self.cut = False
        # Whether rows were left out because they could not be read; known at the end.
        self.skipped = False
        # Of several contexts: the markers by context, and whether one of them answered wholly.
        self.markers: dict[str, str] = {}
        self.answered = False
        # What the things shown mean by themselves, where that is no success.
        self.verdict = Exit.OK
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for item in self.items:
            self.count += 1
            yield item

    @property
    def so_far(self) -> Sequence[Failure]:
        """The failures that have come."""
        return self.failures

    @property
    def exit(self) -> Exit:
        return _exit_of(self.failures, self.answered or self.count > self.failed) or self.verdict


class Report:
    """The outcomes of a change, one a target; status and exit code follow from them.

    Outcomes that are still to come are acts that are still to be done: who takes the next one does
    them, and whatever asks for all of them does all.
    """

    def __init__(self, outcomes: Iterable[Change | Failure]) -> None:
        self._coming: Iterator[Change | Failure] = iter(outcomes)
        self._come: list[Change | Failure] = []

    def __iter__(self) -> Iterator[Change | Failure]:
        """Those that have come, then those that come: to be taken once while some are to come."""
        yield from list(self._come)
        for outcome in self._coming:
            self._come.append(outcome)
            yield outcome

    def pass_through(self, change: Callable[[Change | Failure], Change | Failure]) -> None:
        """Let those that are to come be what `change` makes of them."""
        self._coming = map(change, self._coming)

    @property
    def so_far(self) -> Sequence[Change | Failure]:
        """Those that have come."""
        return self._come

    @property
    def outcomes(self) -> Sequence[Change | Failure]:
        for outcome in self._coming:
            self._come.append(outcome)
        return self._come

    @property
    def changes(self) -> list[Change]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Change)]

    @property
    def failures(self) -> list[Failure]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Failure)]

    @property
    def status(self) -> str:
        if not self.failures:
            return "success"
        return "partial" if self.changes else "error"

    @property
    def exit(self) -> Exit:
        failures = self.failures
        return _exit_of(failures, len(failures) < len(self._come))


Result = Listing | Item | Report | Plan | Text | Raw | Data


def _exit_of(failures: Sequence[Failure], some_done: bool) -> Exit:
    """0, the failures' common code, 1 where they differ, 8 where some were done. A fate that is
    not known outweighs other failures: who tries again must look first."""
    exits = {failure.error.exit for failure in failures}
    if not exits:
        return Exit.OK
    if some_done:
        return Exit.PARTIAL
    if Exit.UNKNOWN in exits:
        return Exit.UNKNOWN
    return exits.pop() if len(exits) == 1 else Exit.FAILED
