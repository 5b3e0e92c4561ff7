"""The state of an object as findings, each with the command that fixes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rdctl.core.errors import Exit
from rdctl.oio.integrity import model
from rdctl.oio.integrity.model import ERROR, WARNING, Finding, ObjectState, PositionState
from rdctl.oio.model import Place

# Neither data nor redundancy are known to be lost.
_WARNINGS = {"surplus", "misplaced", "counters-off", model.NOT_COMPARABLE, model.UNREACHABLE}
# What `content repair` replaces.
_REPAIRED = {
    model.MISSING,
    model.SHORT,
    model.LONG,
    model.WRONG_HASH,
    model.FOREIGN,
    model.WRONG_POSITION,
    model.NO_METADATA,
    model.UNREADABLE,
}
FAIL_ON = {"warning": (ERROR, WARNING), "error": (ERROR,), "never": ()}


def severity_of(finding: str) -> str:
    return WARNING if finding in _WARNINGS else ERROR


def verdict(finding: Finding, fail_on: str) -> Exit:
    return Exit.FINDINGS if finding.severity in FAIL_ON[fail_on] else Exit.OK


def findings_of(state: ObjectState, place: Place, aimed: Callable[[str], str]) -> Iterator[Finding]:
    """The findings about an object: on the whole, then by positions. `aimed` adds to a command the
    options that address the same place."""
    content = state.content
    about: dict[str, Any] = {
        "container": place.container,
        "object": content.path or place.path,
        "version": content.version,
        "content_id": content.content_id,
    }
    # A repair changes nothing of such an object.
    beyond_repair = any(problem.finding in ("lost", "inconsistent") for problem in state.problems)
    # Damage that only the data show is found only by a deep repair.
    words = f"--deep {place.words}" if state.deep else place.words
    repair = None if beyond_repair else aimed(f"rdctl oio content repair {words}")
    for problem in state.problems:
        yield Finding(
            severity=severity_of(problem.finding),
            finding=problem.finding,
            position=problem.position,
            url=None,
            message=problem.message,
            mend=None,
            **about,
        )
    for position in state.positions:
        yield from _of_chunks(position, about, repair)


def _of_chunks(
    position: PositionState, about: dict[str, Any], repair: str | None
) -> Iterator[Finding]:
    for chunk in position.chunks:
        if chunk.state == model.GOOD:
            continue
        yield Finding(
            severity=severity_of(chunk.state),
            finding=chunk.state,
            position=chunk.copy.pos,
            url=chunk.copy.url,
            message=f"chunk {chunk.copy.pos}: {chunk.message}",
            mend=repair if chunk.state in _REPAIRED else None,
            **about,
        )
