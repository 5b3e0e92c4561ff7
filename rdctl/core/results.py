"""The results of commands: plain data. `rdctl.output` formats them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from rdctl.core.errors import Code, Exit, RdctlError


class Item(NamedTuple):
    """One item of the kind that the command shows."""

    value: Any


class Plan(NamedTuple):
    """The result of a dry run: the lines of the effects, and the outcomes as far as known.

    `summary` says what would be done, `losses` what would have to be confirmed; `contexts` has the
    lines of each of several contexts, `texts` what is shown below a sentence of the summary."""

    lines: list[str]
    report: Report | None
    contexts: Mapping[str, Sequence[str]] | None = None
    summary: Sequence[str] = ()
    losses: Sequence[str] = ()
    texts: Mapping[str, str] = MappingProxyType({})


class InContext(NamedTuple):
    """An item of one of several contexts."""

    context: str
    value: Any


class Text(NamedTuple):
    """Requested text (a help topic, a completion script), the same in every format."""

    text: str


class Document(NamedTuple):
    """A document with a text of its own: `data`, with its schema, in JSON and YAML, `text` in all
    other formats. `noun` names what does not exist if the text is empty. `failures`: parts that it
    lacks; `exit`: the exit code that its contents imply."""

    text: str
    data: Mapping[str, Any]
    noun: str = "results"
    failures: Sequence[Failure] = ()
    exit: int = 0

    @property
    def so_far(self) -> Sequence[Failure]:
        """The failures."""
        return self.failures


class Raw(NamedTuple):
    """Bytes as received, the same in every format; `error` is the error that they report, if any.
    On a terminal control characters are escaped, unless `untouched`."""

    data: bytes
    error: RdctlError | None
    untouched: bool = False


class Data(NamedTuple):
    """Bytes in blocks, the same in every format."""

    blocks: Iterable[bytes | memoryview]


def literal(text: str) -> str:
    """A text as a part of the `past` of a Change."""
    return text.replace("{", "{{").replace("}", "}}")


def between(before: Any, after: Any) -> dict[str, Any]:
    """The facts of a Change that say what it changes: data by their keys; None: does not exist."""
    return {"before": before, "after": after}


class Change(NamedTuple):
    """One target that was changed, or needed no change.

    `changed` is None if unknown; `verified` says whether the reply or a check proves it, None if
    neither does. `past` is the past participle, if not derived from the action; with `{}`, which
    stands for the target, it is the whole sentence.
    """

    action: str
    target: str | None
    changed: bool | None
    verified: bool | None
    facts: Mapping[str, Any] = MappingProxyType({})
    past: str | None = None
    context: str | None = None

    def with_line(self, line: int) -> Change:
        """The change, with the input line of its target."""
        facts = {**self.facts, "line": line}
        # Twice as fast as `_replace`.
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
    """One target whose change failed, or has an unknown outcome; `whole`: all targets in that
    context."""

    action: str
    error: RdctlError
    context: str | None = None
    whole: bool = False

    @property
    def fate(self) -> str:
        """`unknown`, or `not done`."""
        return "unknown" if self.error.code in _UNKNOWN_FATE else "not done"


class Listing:
    """Items of the kind that the command shows; `items` may be an iterator of items still to come.

    `failures` (items that could not be shown) and `marker` (where a limit ended the listing) are
    valid after all items were taken. `failed` counts the items that represent failures. `vertical`:
    each item is shown as key-value lines. `few`: items are rare, so each is written out when it is
    found, and a progress bar is shown in between. `also` names keys that the table of this listing
    shows although most tables omit them; `counted` those of lists of which key-value lines only
    show the number, as the option of the same name was not given.
    """

    def __init__(
        self,
        items: Iterable[Any],
        *,
        vertical: bool = False,
        few: bool = False,
        also: Sequence[str] = (),
        counted: Sequence[str] = (),
    ) -> None:
        self.items = items
        self.vertical = vertical
        self.few = few
        self.also = also
        self.counted = counted
        self.failures: list[Failure] = []
        self.failed = 0
        self.marker: str | None = None
        # Whether a limit cut a sorted listing.
        self.cut = False
        # Whether unreadable rows were skipped; known at the end.
        self.skipped = False
        # With several contexts: the markers by context, and whether one of them succeeded.
        self.markers: dict[str, str] = {}
        self.answered = False
        # The exit code that the items themselves imply.
        self.verdict = Exit.OK
        # Informational messages about the whole; complete at the end.
        self.notes: list[str] = []
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for item in self.items:
            self.count += 1
            yield item

    @property
    def so_far(self) -> Sequence[Failure]:
        """The failures so far."""
        return self.failures

    @property
    def exit(self) -> Exit:
        """Findings outweigh failures: they are known damage, and what could not be examined may be
        intact. Failures outweigh any other verdict."""
        if self.verdict is Exit.FINDINGS:
            return self.verdict
        return exit_of(self.failures, self.answered or self.count > self.failed) or self.verdict


class Summary(NamedTuple):
    """What a transfer that skips targets has done: numbers of targets, and the bytes of those that
    were `sent`, in either direction."""

    sent: int
    skipped: int
    deleted: int
    failed: int
    bytes: int
    seconds: float


class Report:
    """The outcomes of a change, one per target; they determine status and exit code.

    Pending outcomes are pending operations: taking the next outcome runs its operation, and
    `outcomes` runs all of them. `since`, by the monotonic clock, is when a transfer began that has
    a summary: what it skips is not shown line by line. `past` is the word for what it transferred.
    """

    def __init__(
        self,
        outcomes: Iterable[Change | Failure],
        since: float | None = None,
        past: str = "sent",
    ) -> None:
        self.since = since
        self.past = past
        self._coming: Iterator[Change | Failure] = iter(outcomes)
        self._come: list[Change | Failure] = []
        # Whether none are pending.
        self.complete = False

    def __iter__(self) -> Iterator[Change | Failure]:
        """The outcomes so far, then the pending ones; iterate only once while some are pending."""
        yield from list(self._come)
        for outcome in self._coming:
            self._come.append(outcome)
            yield outcome
        self.complete = True

    def pass_through(self, change: Callable[[Change | Failure], Change | Failure]) -> None:
        """Apply `change` to all pending outcomes."""
        self._coming = map(change, self._coming)

    @property
    def so_far(self) -> Sequence[Change | Failure]:
        """The outcomes so far."""
        return self._come

    @property
    def outcomes(self) -> Sequence[Change | Failure]:
        for outcome in self._coming:
            self._come.append(outcome)
        self.complete = True
        return self._come

    @property
    def changes(self) -> list[Change]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Change)]

    @property
    def failures(self) -> list[Failure]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Failure)]

    @property
    def summary(self) -> Summary | None:
        """The summary of all outcomes, if there is to be one."""
        if self.since is None:
            return None
        made = [change for change in self.changes if change.changed is not False]
        sent = [change for change in made if change.action != "delete"]
        return Summary(
            sent=len(sent),
            skipped=len(self.changes) - len(made),
            deleted=len(made) - len(sent),
            failed=len(self.failures),
            bytes=sum(change.facts.get("size") or 0 for change in sent),
            seconds=round(time.monotonic() - self.since, 3),
        )

    @property
    def status(self) -> str:
        if not self.failures:
            return "success"
        return "partial" if self.changes else "error"

    @property
    def exit(self) -> Exit:
        failures = self.failures
        return exit_of(failures, len(failures) < len(self._come))


Result = Listing | Item | Report | Plan | Text | Document | Raw | Data


def exit_of(failures: Sequence[Failure], some_done: bool) -> Exit:
    """0, the common code of the failures, 1 if they differ, 8 if some targets succeeded. An
    unknown outcome outweighs other failures: it must be checked before a retry."""
    exits = {failure.error.exit for failure in failures}
    if not exits:
        return Exit.OK
    if some_done:
        return Exit.PARTIAL
    if Exit.UNKNOWN in exits:
        return Exit.UNKNOWN
    return exits.pop() if len(exits) == 1 else Exit.FAILED
