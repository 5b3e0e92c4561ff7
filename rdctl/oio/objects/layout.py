"""The layout of objects in chunks: parts, replicas, fragments, and the bytes of a range."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.oio.erasure.fragments import ALGORITHM
from rdctl.oio.model import Content
from rdctl.oio.rawx import Copy, copy_of, reported_md5

# The maximum requested from a rawx at a time.
PIECE = 2 << 20
# The most fragments that the erasure code has.
MOST_FRAGMENTS = 32
RAWX_HINT = "See which rawx services are up: rdctl oio conscience list rawx"
DAMAGE_HINT = "See what is damaged: rdctl oio content check CONTAINER PATH --deep"


def hint_for(fault: RdctlError) -> str:
    """What to do about a part that cannot be read for this reason. A service with a wrong reply is
    up."""
    damaged = fault.code in (Code.NOT_FOUND, Code.BAD_REPLY)
    return fault.hint or (DAMAGE_HINT if damaged else RAWX_HINT)


class Position(NamedTuple):
    """A part of an object, and its chunks: replicas, the best score first, or fragments by their
    index. `offset` is that of its first byte; `hash` is the MD5 of its bytes in upper case, None if
    it is not reported, or uses another algorithm."""

    number: int
    offset: int
    size: int
    hash: str | None
    copies: tuple[Copy, ...]

    @property
    def span(self) -> Span:
        return Span(self.offset, self.offset + self.size)


class Scheme(NamedTuple):
    """How each part of an object is stored: as `wanted` replicas or, with `k`, as that many
    fragments, of which the first `k` are the data."""

    wanted: int
    k: int = 0

    @property
    def method(self) -> str:
        """The chunk method, as a proxy writes it for a new object."""
        if self.k:
            return f"ec/algo={ALGORITHM},k={self.k},m={self.m}"
        return f"plain/nb_copy={self.wanted}"

    @property
    def chunks(self) -> str:
        """What the chunks of a part are called."""
        return "fragments" if self.k else "copies"

    @property
    def part(self) -> str:
        """What a part is called."""
        return "metachunk" if self.k else "chunk"

    @property
    def m(self) -> int:
        """The number of parity fragments."""
        return self.wanted - self.k if self.k else 0

    @property
    def needed(self) -> int:
        """How many chunks suffice to read a part."""
        return self.k or 1

    @property
    def quorum(self) -> int:
        """How many chunks of a part have to be stored, as in OpenIO's own client."""
        return self.k + 1 if self.k else (self.wanted + 1) // 2


def scheme_of(content: Content) -> Scheme:
    """The scheme that the chunk method of a content describes; `unsupported` for other algorithms
    and storage, `bad-reply` if its numbers cannot be read."""
    method = content.chunk_method or "plain"
    kind, _, written = method.partition("/")
    if kind == "plain":
        return Scheme(_copies(method))
    values = dict(re.findall(r"(?a)(\w+)=(\w+)", written))
    if kind != "ec" or values.get("algo") != ALGORITHM:
        raise RdctlError(
            Code.UNSUPPORTED,
            f'{escape(content.path)}: chunk method "{escape(method)}" not supported',
            hint="Use OpenIO's own client: openio object save, openio object create",
        )
    k, m = (_small(values.get(name, "")) for name in ("k", "m"))
    if not (k and m and k + m <= MOST_FRAGMENTS):
        message = f'{escape(content.path)}: invalid numbers in chunk method "{escape(method)}"'
        raise RdctlError(Code.BAD_REPLY, message)
    return Scheme(k + m, k)


def _small(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,4}", text) else 0


def _copies(method: str) -> int:
    """How many replicas a chunk method asks for: 3 for `plain/nb_copy=3`. `bad-reply` if that
    cannot be read: a single copy would otherwise be accepted."""
    if "nb_copy" not in method:
        return 1
    match = re.search(r"\bnb_copy=(\d{1,4})\b", method, re.ASCII)
    if match is None:
        message = f'invalid number of copies in chunk method "{escape(method)}"'
        raise RdctlError(Code.BAD_REPLY, message)
    return int(match[1])


def positions(content: Content, size: Callable[[int, Mapping[str, Any]], int]) -> list[Position]:
    """The positions of a content in their order; `size(number, chunk)` is that of one."""
    scheme = scheme_of(content)
    found: list[Position] = []
    offset = 0
    chunks = sorted(content.chunks, key=lambda chunk: place_of(chunk, scheme))
    for number, (pos, group) in enumerate(
        groupby(chunks, key=lambda one: place_of(one, scheme)[0])
    ):
        parts = list(group)
        if pos != number:
            message = f"{content.path}: the proxy lists no chunk for position {number}"
            raise RdctlError(Code.BAD_REPLY, message)
        length = size(number, parts[0])
        found.append(
            Position(
                number=number,
                offset=offset,
                size=length,
                hash=_most_listed(parts),
                copies=tuple(copy_of(chunk) for chunk in parts),
            )
        )
        offset += length
    return found


def _most_listed(parts: Sequence[Mapping[str, Any]]) -> str | None:
    """The MD5 of a position, as most of its chunks are listed with it: one entry may be wrong."""
    hashes = [reported_md5(chunk.get("hash")) for chunk in parts]
    return max(hashes, key=hashes.count)


def place_of(chunk: Mapping[str, Any], scheme: Scheme) -> tuple[int, int, int]:
    """Where a chunk belongs: its position, the index of a fragment, the best score first."""
    match = re.fullmatch(r"(?a)(\d{1,18})(?:\.(\d{1,4}))?", str(chunk["pos"]))
    number, index = match.groups() if match else (None, None)
    if number is None or (index is None) == bool(scheme.k) or int(index or 0) >= scheme.wanted:
        kind = "an erasure-coded" if scheme.k else "a plain"
        message = f"invalid position of {kind} chunk: {chunk['pos']!r}"
        raise RdctlError(Code.BAD_REPLY, message)
    return int(number), int(index or 0), -_score(chunk)


def lacking(chunk: Mapping[str, Any]) -> str | None:
    """The missing value that makes a chunk unreadable, if any."""
    for key in ("url", "pos", "size", "hash"):
        if chunk.get(key) is None:
            return key
    try:
        copy_of(chunk)
    except RdctlError:
        return "url"
    return None


def _score(chunk: Mapping[str, Any]) -> int:
    score = chunk.get("score")
    return score if isinstance(score, int) else 0


# --- what is received -----------------------------------------------------------------------------


class Span(NamedTuple):
    """Bytes of an object: from `first` up to and without `end`."""

    first: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.first


class Bytes(NamedTuple):
    """The requested range of an object: `first` to `last`, each counted from 0; without `first` the
    last `last` bytes; without `last` up to the end."""

    first: int | None
    last: int | None

    def of(self, size: int, name: str) -> Span:
        """The part of an object of that size; `usage` if it is empty."""
        if self.first is None:
            first, end = max(0, size - (self.last or 0)), size
        else:
            first, end = self.first, size if self.last is None else min(self.last + 1, size)
        if first >= end:
            message = f"{escape(name)}: range not satisfiable: the object has {size} bytes"
            raise RdctlError(Code.USAGE, message, target=name)
        return Span(first, end)

    @property
    def words(self) -> str:
        """As typed."""
        return "-".join("" if end is None else str(end) for end in self)


class Piece(NamedTuple):
    """What is asked for at a time: `size` bytes of a part, from `first` in it on."""

    position: Position
    first: int
    size: int

    @property
    def whole(self) -> bool:
        return self.size == self.position.size


def pieces_of(
    positions: Sequence[Position], span: Span, most: int = PIECE, *, aligned: bool = False
) -> Iterator[Piece]:
    """The pieces of up to `most` bytes that make up a span; `aligned`: those of a part end at
    multiples of that."""
    for position in positions:
        first = max(span.first - position.offset, 0)
        end = min(span.end - position.offset, position.size)
        while first < end:
            size = min(most - (first % most if aligned else 0), end - first)
            yield Piece(position, first, size)
            first += size
