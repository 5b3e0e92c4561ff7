"""Verify the fragments of metachunks by their data: together they have to decode to the hash of the
metachunk, and each has to be what encoding gives. So one that is wrong is found even if it has its
own hash."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.integrity import model
from rdctl.oio.integrity.model import ChunkState, PositionState
from rdctl.oio.objects.digests import hex_md5, md5
from rdctl.oio.objects.gathering import Services
from rdctl.oio.objects.layout import Position
from rdctl.oio.objects.metachunk import Metachunk, Unprovable
from rdctl.oio.objects.segments import Segments
from rdctl.oio.rawx import Copy, Rawx, reported_md5
from rdctl.workers import Workers

# Verified at a time: each has about a megabyte of all its fragments in memory.
_MOST_METACHUNKS = 2
_READ = (model.GOOD, model.NO_METADATA)


class Metachunks:
    """`read` gives the state of one fragment by its own data alone."""

    def __init__(
        self, rawx: Rawx, workers: Workers, read: Callable[[ChunkState], ChunkState]
    ) -> None:
        self._rawx = rawx
        self._workers = workers
        self._read = read
        self._few = threading.BoundedSemaphore(_MOST_METACHUNKS)

    def verified(self, position: PositionState) -> PositionState:
        """The position with the states of its fragments by their data. They are read once if all
        are right; only otherwise each by itself, and several times to find which are wrong."""
        fragments = [chunk for chunk in position.chunks if chunk.state in _READ]
        if not fragments or not position.size:
            return position
        with self._few:
            if self._are_right(position, fragments):
                return position
            fragments = [self._read(chunk) for chunk in fragments]
            found = {chunk.copy: chunk for chunk in self._compared(position, fragments)}
        chunks = tuple(found.get(chunk.copy, chunk) for chunk in position.chunks)
        return position._replace(chunks=chunks)

    def _are_right(self, position: PositionState, fragments: Sequence[ChunkState]) -> bool:
        """Whether all of them are proven to be right, in one pass."""
        copies = [chunk.copy for chunk in fragments]
        place, scheme = _position(position, copies), position.scheme
        if place.hash is None or len({copy.fragment for copy in copies}) < len(copies):
            return False
        damaged: list[Copy] = []
        segments = Segments(
            self._rawx,
            self._workers,
            scheme,
            place,
            _services(),
            lambda copy, reason: damaged.append(copy),
            f"metachunk {position.number}",
        )
        whole, own = md5(), {copy: md5() for copy in copies}
        try:
            for window, parts in segments.windows(copies, len(copies)):
                if len(parts) < len(copies) or damaged:
                    return False
                if len(copies) > scheme.k and segments.disagreement(window, parts):
                    return False
                whole.update(segments.joined(window, parts))
                for copy, part in parts.items():
                    own[copy].update(part.data)
        except RdctlError:  # the reading of each shows why
            return False
        return hex_md5(whole) == place.hash and all(
            chunk.held is None or chunk.held.md5 in (None, hex_md5(own[chunk.copy]))
            for chunk in fragments
        )

    def _compared(
        self, position: PositionState, fragments: Sequence[ChunkState]
    ) -> Sequence[ChunkState]:
        """Fragments that are right by themselves, compared with each other."""
        copies = [chunk.copy for chunk in fragments if chunk.usable]
        if len({copy.fragment for copy in copies}) < position.scheme.k:
            return fragments
        metachunk = Metachunk(
            self._rawx,
            self._workers,
            position.scheme,
            _position(position, copies),
            _services(),
            f"metachunk {position.number}",
        )
        try:
            metachunk.proven()
            metachunk.compare()
        except Unprovable:
            return fragments
        except RdctlError as error:
            if error.code is not Code.BAD_REPLY:
                raise
            message = f"the fragments of metachunk {position.number} do not match its hash"
            return [_wrong(chunk, message) if chunk.usable else chunk for chunk in fragments]
        if metachunk.wrong and metachunk.position.hash is None:
            message = f"the fragments of metachunk {position.number} disagree, and no MD5 shows why"
            state = model.NOT_COMPARABLE
            return [
                chunk._replace(state=state, message=message) if chunk.usable else chunk
                for chunk in fragments
            ]
        return [_settled(chunk, metachunk.wrong.get(chunk.copy)) for chunk in fragments]


def _settled(chunk: ChunkState, reason: str | None) -> ChunkState:
    """The state of a fragment of a metachunk that was proven: with a `reason` it is wrong."""
    if reason is not None:
        return _wrong(chunk, f"wrong data on {chunk.copy.address}: {reason}")
    if chunk.state == model.NOT_COMPARABLE:  # only its own hash is not
        return chunk._replace(state=model.GOOD, message="")
    return chunk


def _wrong(chunk: ChunkState, message: str) -> ChunkState:
    return chunk._replace(state=model.WRONG_HASH, message=message)


def _services() -> Services:
    """What fails is a finding, not a warning."""
    return Services(lambda message: None)


def _position(position: PositionState, copies: Sequence[Copy]) -> Position:
    return Position(
        number=position.number,
        offset=0,
        size=position.size,
        hash=reported_md5(position.hash),
        copies=tuple(copies),
    )
