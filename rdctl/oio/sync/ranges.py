"""Ranges of a listing, of about as many objects each, for work on several machines."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

from rdctl.core.units import escape
from rdctl.oio.model import Entry

# The memory that a large container takes is bounded, and the error of a range is 1/64 of it.
_PARTS = 64


class Range(NamedTuple):
    """The objects after `marker` and before `end_marker`; None: from the first one, to the last
    one. `bytes` None: the size of an object cannot be read."""

    shard: int
    marker: str | None
    end_marker: str | None
    objects: int
    bytes: int | None


class _Part(NamedTuple):
    """Neighbors in the listing, from the name `first` to `last`."""

    first: str
    last: str
    objects: int
    bytes: int | None

    def and_then(self, other: _Part) -> _Part:
        known = self.bytes is not None and other.bytes is not None
        return _Part(
            first=self.first,
            last=other.last,
            objects=self.objects + other.objects,
            bytes=(self.bytes or 0) + (other.bytes or 0) if known else None,
        )


def ranges(entries: Iterable[Entry], shards: int) -> list[Range]:
    """At most `shards` ranges that cover the listing, and what is created later: such an object
    may be in two neighboring ranges. Fewer ranges for fewer objects; one if there are none."""
    parts = _parts(entries, 2 * _PARTS * shards)
    total = sum(part.objects for part in parts)
    starts = itertools.accumulate((part.objects for part in parts), initial=0)
    numbered = zip(parts, (start * shards // max(1, total) for start in starts), strict=False)
    groups = [
        [part for part, _ in group] for _, group in itertools.groupby(numbered, lambda one: one[1])
    ]
    joined = [_join(group) for group in groups]
    markers = [None, *(part.last for part in joined[:-1])]
    ends = [*(part.first for part in joined[1:]), None]
    if not joined:
        return [Range(1, None, None, 0, 0)]
    return [
        Range(number, marker, end, part.objects, part.bytes)
        for number, (marker, end, part) in enumerate(zip(markers, ends, joined, strict=True), 1)
    ]


def _parts(entries: Iterable[Entry], most: int) -> list[_Part]:
    """Fewer than `most` parts of the same number of objects, except where they cannot end."""
    size, parts = 1, list[_Part]()
    for entry in entries:
        part = _Part(entry.name, entry.name, 1, entry.size)
        if parts and not (parts[-1].objects >= size and _may_part(parts[-1], part)):
            parts[-1] = parts[-1].and_then(part)
            continue
        parts.append(part)
        if len(parts) == most:
            size *= 2
            parts = [_join(parts[number : number + 2]) for number in range(0, most, 2)]
    return parts


def _may_part(part: _Part, following: _Part) -> bool:
    """Whether a range may end here: both names become markers, which pass through a shell as they
    are shown."""
    return _is_plain(part.last) and _is_plain(following.first)


def _is_plain(name: str) -> bool:
    return escape(name) == name


def _join(parts: list[_Part]) -> _Part:
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.and_then(part)
    return joined
