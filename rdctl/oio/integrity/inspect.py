"""Inspect one object: request the headers of each chunk from its rawx and, if `deep`, its data.

Nothing is changed. A chunk whose service does not answer is unknown, never missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.once import once
from rdctl.core.units import escape
from rdctl.net.deadline import Deadline
from rdctl.oio.integrity import model
from rdctl.oio.integrity.model import (
    ChunkState,
    ObjectState,
    PositionState,
    Problem,
    count,
    listed,
)
from rdctl.oio.model import Content
from rdctl.oio.objects.digests import hex_md5, md5
from rdctl.oio.objects.layout import Scheme, lacking, place_of, scheme_of
from rdctl.oio.rawx import Copy, Held, Rawx, copy_of, reported_md5
from rdctl.oio.silence import Silence
from rdctl.workers import Workers

if TYPE_CHECKING:
    from rdctl.oio.integrity.metachunks import Metachunks

# Of a chunk, read at a time.
READ_BYTES = 1 << 20
# A rawx that is up answers a HEAD in a millisecond.
HEAD_SECONDS = 5.0
# Only objects with more chunks have them inspected in parallel: threads cost time, too.
FEW_CHUNKS = 16
_SILENT = (Code.UNREACHABLE, Code.TIMEOUT, Code.UNAVAILABLE)


class Inspection:
    """Inspects objects, in any thread. `deep`: the data of all chunks are read."""

    def __init__(
        self,
        rawx: Rawx,
        workers: Workers,
        deadline: Deadline,
        *,
        deep: bool = False,
    ) -> None:
        self._rawx = rawx
        self._workers = workers
        self._deadline = deadline
        self._deep = deep
        self._silence = Silence()

    def inspect(self, content: Content, parallel: int = 1) -> ObjectState:
        """The state of an object as content/show describes it, its chunks up to `parallel` at a
        time. Raises `unsupported` for a chunk method that is not known here, `bad-reply` if the
        description cannot be read."""
        scheme = scheme_of(content)
        entries, invalid = _entries(content, scheme)
        if parallel > 1 and len(entries) > FEW_CHUNKS:
            states = list(self._workers.ordered(self._look(content, scheme), entries, parallel))
        else:
            states = list(map(self._look(content, scheme), entries))
        positions = tuple(_positions(zip(entries, states, strict=True), scheme))
        if self._deep and scheme.k:
            positions = tuple(map(self._metachunks.verified, positions))
        problems = (*invalid, *_problems(content, positions))
        return ObjectState(content, self._deep, scheme, positions, problems)

    # --- one chunk ----------------------------------------------------------------------------

    def _look(self, content: Content, scheme: Scheme) -> Callable[[_Entry], ChunkState]:
        def look(entry: _Entry) -> ChunkState:
            held = self._asked(entry.copy, lambda: self._head(entry.copy))
            if isinstance(held, ChunkState):
                return held
            found = _compared(entry, held, content, scheme)
            bare = found.state == model.NO_METADATA and held.length == entry.size
            if self._deep and not scheme.k and (found.state == model.GOOD or bare):
                return self._read(found, reported_md5(entry.hash))
            return found

        return look

    @once
    def _metachunks(self) -> Metachunks:
        from rdctl.oio.integrity.metachunks import Metachunks  # with the codec

        return Metachunks(self._rawx, self._workers, self._read)

    def _head(self, copy: Copy) -> Held:
        return self._rawx.head(copy, seconds=HEAD_SECONDS, check=self._workers.check)

    def _asked(self, copy: Copy, ask: Callable[[], Any]) -> Any:
        """The reply of the service of a chunk, or the state that its error implies."""
        self._workers.check()
        if self._silence.holds(copy.address):
            message = f"{copy.address} did not answer an earlier request"
            return ChunkState(copy, model.UNREACHABLE, message)
        try:
            answer = ask()
        except RdctlError as error:
            if self._deadline.over:  # that of the command, and no fault of the service
                raise
            return self._refused(copy, error)
        self._silence.end(copy.address)
        return answer

    def _refused(self, copy: Copy, error: RdctlError) -> ChunkState:
        if error.code in _SILENT:
            self._silence.begin(copy.address)
            return ChunkState(copy, model.UNREACHABLE, error.message)
        if error.code is Code.NOT_FOUND:
            return ChunkState(copy, model.MISSING, f"not found on {copy.address}")
        status = error.facts.get("http_status")
        reason = f"HTTP {status}" if status else error.message
        return ChunkState(copy, model.UNREADABLE, f"cannot be read on {copy.address}: {reason}")

    def _read(self, found: ChunkState, expected: str | None = None) -> ChunkState:
        """The state by its data, which must have the expected MD5, else the one that its rawx
        reports."""
        copy, held = found.copy, found.held
        digest = self._asked(copy, lambda: self._md5(copy, (held and held.length) or 0))
        if isinstance(digest, ChunkState):
            return digest._replace(held=held)
        expected = expected or (held.md5 if held else None)
        if expected is None:
            return _not_comparable(found)
        if digest != expected:
            message = f"wrong data on {copy.address}: MD5 {digest}, expected {expected}"
            return found._replace(state=model.WRONG_HASH, message=message)
        return found

    def _md5(self, copy: Copy, length: int) -> str:
        digest = md5()
        buffer = memoryview(bytearray(min(length, READ_BYTES)))
        for first in range(0, length, READ_BYTES):
            part = buffer[: min(READ_BYTES, length - first)]
            self._rawx.get(copy, first, part, check=self._workers.check, repeatable=True)
            digest.update(part)
        return hex_md5(digest)


def _not_comparable(found: ChunkState) -> ChunkState:
    if found.state == model.NO_METADATA:
        return found
    hash = found.held.hash if found.held else None
    message = f"its hash is not an MD5: {hash}" if hash else "it has no hash"
    return found._replace(state=model.NOT_COMPARABLE, message=message)


class _Entry(NamedTuple):
    """A chunk as the proxy lists it."""

    number: int
    size: int
    hash: str
    copy: Copy


def _entries(content: Content, scheme: Scheme) -> tuple[list[_Entry], list[Problem]]:
    """The chunks in the order of their positions; and the problems of invalid positions."""
    placed, invalid = [], []
    for chunk in content.chunks:
        if key := lacking(chunk):
            message = f"{escape(content.path)}: unreadable value in its reply: {key} of a chunk"
            raise RdctlError(Code.BAD_REPLY, message)
        try:
            placed.append((place_of(chunk, scheme), chunk))
        except RdctlError as error:
            pos = str(chunk["pos"])
            invalid.append(Problem("inconsistent", f"{error.message} ({chunk['url']})", pos))
    placed.sort(key=lambda one: one[0])
    return [_entry(place[0], chunk) for place, chunk in placed], invalid


def _entry(number: int, chunk: Mapping[str, Any]) -> _Entry:
    hash = str(chunk["hash"]).upper()
    return _Entry(number=number, size=int(chunk["size"]), hash=hash, copy=copy_of(chunk))


# --- the headers of a chunk ----------------------------------------------------------------------


def _compared(entry: _Entry, held: Held, content: Content, scheme: Scheme) -> ChunkState:
    """The state by the headers. Only the first difference is reported: it explains the others."""
    rules = (_metadata, _owner, _pos, _length, _metachunk if scheme.k else _hash)
    for rule in rules:
        if wrong := rule(entry, held, content, scheme):
            state, message = wrong
            return ChunkState(entry.copy, state, f"{message} on {entry.copy.address}", held)
    return ChunkState(entry.copy, model.GOOD, "", held)


_Wrong = tuple[str, str] | None


def _metadata(entry: _Entry, held: Held, content: Content, scheme: Scheme) -> _Wrong:
    return None if held.meta else (model.NO_METADATA, "no metadata")


def _owner(entry: _Entry, held: Held, content: Content, scheme: Scheme) -> _Wrong:
    """The id decides: names change when an object is linked."""
    path = held.meta.get("full-path", "").split("/")
    owner = held.meta.get("content-id") or (path[4] if len(path) == 5 else "")
    if not owner or not content.content_id or owner.upper() == content.content_id.upper():
        return None
    return model.FOREIGN, f"belongs to another object ({owner})"


def _pos(entry: _Entry, held: Held, content: Content, scheme: Scheme) -> _Wrong:
    pos = held.meta.get("chunk-pos")
    if pos is None or pos == entry.copy.pos:
        return None
    return model.WRONG_POSITION, f"belongs to position {pos}"


def _length(entry: _Entry, held: Held, content: Content, scheme: Scheme) -> _Wrong:
    """A replica has the length of its position, a fragment the length that was stored with it."""
    size = _whole(held.meta.get("chunk-size")) if scheme.k else entry.size
    if held.length is None or size is None or held.length == size:
        return None
    state = model.SHORT if held.length < size else model.LONG
    return state, f"{count(held.length, 'byte')}, expected {size},"


def _hash(entry: _Entry, held: Held, content: Content, scheme: Scheme) -> _Wrong:
    expected = reported_md5(entry.hash)
    if expected is None or held.md5 is None or held.md5 == expected:
        return None
    return model.WRONG_HASH, f"other data (MD5 {held.md5}, expected {expected})"


def _metachunk(entry: _Entry, held: Held, content: Content, scheme: Scheme) -> _Wrong:
    size = _whole(held.meta.get("metachunk-size"))
    if size is not None and size != entry.size:
        return model.WRONG_HASH, f"fragment of {count(size, 'byte')}, expected {entry.size},"
    hash, expected = reported_md5(held.meta.get("metachunk-hash")), reported_md5(entry.hash)
    if hash is None or expected is None or hash == expected:
        return None
    return model.WRONG_HASH, f"fragment of other data (MD5 {hash}, expected {expected})"


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


# --- the list of chunks ---------------------------------------------------------------------------


def _positions(
    found: Iterable[tuple[_Entry, ChunkState]], scheme: Scheme
) -> Iterable[PositionState]:
    for number, group in groupby(found, key=lambda one: one[0].number):
        entries, states = zip(*group, strict=True)
        yield PositionState(
            number=number,
            size=entries[0].size,
            hash=_agreed(entries),
            chunks=states,
            scheme=scheme,
        )


def _agreed(entries: Iterable[_Entry]) -> str:
    """The hash of a position; empty if its chunks are listed with different ones, or sizes."""
    found = {(entry.size, entry.hash) for entry in entries}
    return found.pop()[1] if len(found) == 1 else ""


def _problems(content: Content, positions: tuple[PositionState, ...]) -> Iterable[Problem]:
    if not positions:
        if content.size:
            size = count(content.size, "byte")
            yield Problem("lost", f"no chunks are listed for its {size}")
        return
    next_one = 0
    for position in positions:
        if position.number > next_one:
            where = _gap(next_one, position.number - 1)
            yield Problem("lost", f"no chunks are listed for {where}", str(next_one))
        next_one = position.number + 1
        yield from _of_position(position)
    total = sum(position.size for position in positions)
    if content.size is not None and total != content.size:
        message = f"its chunks have {count(total, 'byte')}, the object {content.size}"
        yield Problem("inconsistent", message)


def _gap(first: int, last: int) -> str:
    return f"position {first}" if first == last else f"positions {first} to {last}"


def _of_position(position: PositionState) -> Iterable[Problem]:
    number, scheme = position.number, position.scheme
    chunks = "fragments" if scheme.k else "copies"
    if not position.hash:
        message = f"its chunks at position {number} are listed with different sizes or hashes"
        yield Problem("inconsistent", message, str(number))
    if position.lost:
        message = f"no good copy of position {number}"
        if scheme.k:
            message = f"{position.usable} good fragments of position {number}, {scheme.k} required"
        yield Problem("lost", message, str(number))
    if position.unavailable:
        message = f"cannot be read now: no copy of position {number} can be reached"
        if scheme.k:
            message = (
                f"cannot be read now: {position.usable} of {scheme.k} needed fragments of position"
                f" {number} can be reached"
            )
        yield Problem("unavailable", message, str(number))
    if lacks := position.lacking:
        present = scheme.wanted - len(lacks)
        message = f"{present} of {scheme.wanted} {chunks} are listed for position {number}"
        if scheme.k:
            message += f" (not {listed(lacks)})"
        yield Problem(f"too-few-{chunks}", message, str(number))
    if position.surplus:
        total = position.surplus + scheme.wanted - len(position.lacking)
        message = f"{total} {chunks} are listed for position {number}, expected {scheme.wanted}"
        yield Problem("surplus", message, str(number))
    for chunk in position.together:
        message = f"{chunk.copy.address} has several {chunks} of position {number}"
        yield Problem("misplaced", message, chunk.copy.pos)
