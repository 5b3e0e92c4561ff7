"""The plan for the repair of one object: what is rebuilt, and from what. Plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.oio.integrity import model
from rdctl.oio.integrity.model import ChunkState, ObjectState, PositionState, count
from rdctl.oio.rawx import reported_md5

if TYPE_CHECKING:
    from rdctl.oio.objects.metachunk import Metachunk

EMPTY_MD5 = "D41D8CD98F00B204E9800998ECF8427E"
# States of chunks that are certainly damaged. One whose service does not answer may be good.
DAMAGED = (
    model.MISSING,
    model.SHORT,
    model.LONG,
    model.WRONG_HASH,
    model.NO_METADATA,
    model.FOREIGN,
    model.WRONG_POSITION,
    model.UNREADABLE,
)


class Rebuild(NamedTuple):
    """A chunk that is rebuilt from others of its position. `in_place`: under its own url, since its
    service answers and has no file of it; else as a new chunk, registered in place of the old
    one."""

    position: PositionState
    chunk: ChunkState
    in_place: bool
    metachunk: Metachunk | None = None

    @property
    def sources(self) -> tuple[ChunkState, ...]:
        if self.metachunk is None:
            return sources(self.position)
        proven = self.metachunk.proven()
        return tuple(chunk for chunk in self.position.chunks if chunk.copy in proven)

    @property
    def size(self) -> int:
        """The bytes of its file."""
        return file_size(self.position)

    @property
    def removes(self) -> bool:
        """Whether the file of the old chunk is removed: one of another object may be in use."""
        return not self.in_place and self.chunk.state != model.FOREIGN


class Plan(NamedTuple):
    """`refusal`: why nothing of the object is changed. `unreachable` chunks are not rebuilt.
    `unlisted` says which positions have too few chunks in the proxy's list, `remarks` what a repair
    does not change."""

    rebuilds: tuple[Rebuild, ...] = ()
    refusal: RdctlError | None = None
    unreachable: tuple[ChunkState, ...] = ()
    unlisted: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def is_damaged(position: PositionState, unreachable: bool) -> bool:
    """Whether a chunk of the position is to be rebuilt."""
    return any(_is_to_rebuild(chunk, unreachable) for chunk in position.chunks)


def planned(state: ObjectState, proofs: Mapping[int, Metachunk], *, unreachable: bool) -> Plan:
    """The plan for an object. All data of positions with damage were read, so that sources are
    proven; `proofs` are the metachunks of erasure-coded ones. `unreachable`: chunks whose services
    do not answer are rebuilt, too."""
    shown = escape(state.content.path)
    refusal = next(_refusals(state, unreachable), None)
    if refusal is not None:
        refusal.message = f"{shown}: cannot be repaired: {refusal.message}"
        return Plan(refusal=refusal)
    chunks = [(one, chunk) for one in state.positions for chunk in one.chunks]
    return Plan(
        rebuilds=tuple(
            Rebuild(one, chunk, chunk.state == model.MISSING, proofs.get(one.number))
            for one, chunk in chunks
            if _is_to_rebuild(chunk, unreachable)
        ),
        unreachable=tuple(
            chunk for _, chunk in chunks if chunk.state == model.UNREACHABLE and not unreachable
        ),
        unlisted=tuple(
            problem.message for problem in state.problems if problem.finding.startswith("too-few-")
        ),
        remarks=tuple(
            problem.message
            for problem in state.problems
            if problem.finding in ("surplus", "misplaced")
        ),
    )


def sources(position: PositionState) -> tuple[ChunkState, ...]:
    """The chunks whose data were read and are right."""
    return tuple(chunk for chunk in position.chunks if _is_source(chunk, position))


def _is_source(chunk: ChunkState, position: PositionState) -> bool:
    """Without metadata, a replica is compared with the hash in the list, and a fragment with the
    others, if they have the right length."""
    if chunk.state != model.NO_METADATA:
        return chunk.state == model.GOOD
    length = chunk.held.length if chunk.held else None
    return length == file_size(position)


def file_size(position: PositionState) -> int:
    """The bytes of each chunk file of a position."""
    if not position.scheme.k:
        return position.size
    from rdctl.oio.erasure.fragments import chunk_file_size

    return chunk_file_size(position.scheme.k, position.size)


def _is_to_rebuild(chunk: ChunkState, unreachable: bool) -> bool:
    return chunk.state in DAMAGED or (unreachable and chunk.state == model.UNREACHABLE)


def _refusals(state: ObjectState, unreachable: bool) -> Iterator[RdctlError]:
    for problem in state.problems:
        # A position with chunks is examined below, by its data.
        listed = problem.finding == "lost" and _has(state, problem.position)
        if problem.finding in ("inconsistent", "lost") and not listed:
            yield RdctlError(Code.FAILED, problem.message)
    for position in state.positions:
        if is_damaged(position, unreachable):
            yield from _refusal(position)


def _has(state: ObjectState, number: str | None) -> bool:
    return any(str(position.number) == number for position in state.positions)


def _refusal(position: PositionState) -> Iterator[RdctlError]:
    scheme, number = position.scheme, position.number
    if not position.size and position.hash == EMPTY_MD5:
        return
    if reported_md5(position.hash) is None:
        words = f"the hash of position {number} is not an MD5, so that no source can be verified"
        yield RdctlError(Code.UNSUPPORTED, words)
    good = sources(position)
    usable = len({chunk.copy.fragment for chunk in good}) if scheme.k else len(good)
    if usable >= scheme.needed:
        return
    what = "fragment" if scheme.k else "copy"
    words = f"{usable} good fragments of position {number}, {scheme.needed} required"
    words = words if scheme.k else f"no good copy of position {number}"
    bad = ", ".join(_counted(position.chunks))
    silent = [chunk for chunk in position.chunks if chunk.state == model.UNREACHABLE]
    if usable + len(silent) >= scheme.needed:
        hint = f"Start the services that do not answer: each may have a good {what}."
        yield RdctlError(Code.UNAVAILABLE, f"{words} ({bad})", hint=hint)
        return
    hint = "Nothing of the object was changed. Upload it again from another source."
    yield RdctlError(Code.FAILED, f"{words} ({bad})", hint=hint)


def _counted(chunks: Sequence[ChunkState]) -> Iterable[str]:
    """`1 missing`, `2 wrong-hash`"""
    states = [chunk.state for chunk in chunks if chunk.state != model.GOOD]
    for state in dict.fromkeys(states):
        yield f"{states.count(state)} {state}"


def total(rebuilds: Sequence[Rebuild]) -> str:
    """`2 chunks (2,000 bytes)`"""
    size = sum(rebuild.size for rebuild in rebuilds)
    return f"{count(len(rebuilds), 'chunk')} ({count(size, 'byte')})"
