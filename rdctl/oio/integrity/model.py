"""What an inspection finds: the state of each chunk, of each position and of the object. Plain
data, for findings and for repairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from rdctl.oio.model import Content
from rdctl.oio.objects.layout import Scheme
from rdctl.oio.rawx import Copy, Held

ERROR, WARNING = "error", "warning"

# The states of a chunk. In the first three, its data can be used.
GOOD = "good"
# Its data cannot be compared: their hash is by another algorithm than MD5, or not reported.
NOT_COMPARABLE = "not-comparable"
# Its data are there, the headers about them are not.
NO_METADATA = "no-metadata"
# Its service does not answer: it may be good.
UNREACHABLE = "unreachable"
MISSING = "missing"
SHORT = "short"
LONG = "long"
WRONG_HASH = "wrong-hash"
# It belongs to another object, which may use it.
FOREIGN = "foreign"
WRONG_POSITION = "wrong-position"
# It exists, and its service refuses to read it.
UNREADABLE = "unreadable"

USABLE = (GOOD, NOT_COMPARABLE, NO_METADATA)


class ChunkState(NamedTuple):
    """One chunk: `message` says what is wrong with it, `held` is what its rawx reports, None
    without an answer."""

    copy: Copy
    state: str
    message: str = ""
    held: Held | None = None

    @property
    def usable(self) -> bool:
        return self.state in USABLE


class PositionState(NamedTuple):
    """One position: its bytes, their hash as the proxy reports it, and all its chunks, in the order
    of `Position.copies`."""

    number: int
    size: int
    hash: str
    chunks: tuple[ChunkState, ...]
    scheme: Scheme

    @property
    def usable(self) -> int:
        """How many different chunks can be used."""
        return self._different(chunk for chunk in self.chunks if chunk.usable)

    @property
    def lacking(self) -> tuple[str, ...]:
        """What has no chunk in the proxy's list, as positions: `0.3` is a fragment, `0` a replica
        (as often as there are replicas lacking)."""
        if self.scheme.k:
            listed = {chunk.copy.fragment for chunk in self.chunks}
            lacks = (index for index in range(self.scheme.wanted) if index not in listed)
            return tuple(f"{self.number}.{index}" for index in lacks)
        return (str(self.number),) * (self.scheme.wanted - len(self.chunks))

    @property
    def surplus(self) -> int:
        """How many chunks are listed beyond those of the scheme."""
        return len(self.chunks) + len(self.lacking) - self.scheme.wanted

    @property
    def together(self) -> tuple[ChunkState, ...]:
        """Chunks on a service that already has another one of this position."""
        chunks = sorted(self.chunks, key=_service)
        return tuple(
            chunk for _, shared in groupby(chunks, key=_service) for chunk in list(shared)[1:]
        )

    @property
    def lost(self) -> bool:
        """Whether its bytes cannot be read, even if all services were up."""
        possible = (chunk for chunk in self.chunks if chunk.usable or chunk.state == UNREACHABLE)
        return self._different(possible) < self.scheme.needed

    @property
    def unavailable(self) -> bool:
        """Whether its bytes cannot be read now, and may be once all services are up."""
        return bool(self.size) and not self.lost and self.usable < self.scheme.needed

    def _different(self, chunks: Iterator[ChunkState]) -> int:
        if self.scheme.k:
            return len({chunk.copy.fragment for chunk in chunks})
        return sum(1 for _ in chunks)


class Problem(NamedTuple):
    """A problem of an object other than a damaged chunk; `position` if it is about one."""

    finding: str
    message: str
    position: str | None = None


class ObjectState(NamedTuple):
    """An object: `deep` if the data of its chunks were read."""

    content: Content
    deep: bool
    scheme: Scheme
    positions: tuple[PositionState, ...]
    problems: tuple[Problem, ...]

    @property
    def chunks(self) -> list[ChunkState]:
        return [chunk for position in self.positions for chunk in position.chunks]

    @property
    def healthy(self) -> bool:
        """Whether no damage or other problem was found."""
        return not self.problems and all(chunk.state == GOOD for chunk in self.chunks)


class Finding(NamedTuple):
    """What a check found: `error` if redundancy or data are lost, `warning` for anything else.
    `mend` is a command that fixes it."""

    severity: str
    finding: str
    container: str | None
    object: str | None
    version: int | None
    content_id: str | None
    position: str | None
    url: str | None
    message: str
    mend: str | None


def _service(chunk: ChunkState) -> str:
    return chunk.copy.url.rpartition("/")[0]


def count(number: int, noun: str) -> str:
    """`1 chunk`, `2 chunks`"""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`0.1, 0.3`, for a few; the first and the last of many."""
    return ", ".join(names) if len(names) < 5 else f"{names[0]} to {names[-1]}"
