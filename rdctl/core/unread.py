"""Unreadable values in a reply. Such a value becomes null, and the rest of the reply is used.

Readers use `spared` and `rows`; their callers collect what was skipped, for one warning a command.
Values that decide about data are read with `needed`, and never guessed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from rdctl.core.units import escape

T = TypeVar("T")

# Exceptions of a reader for a missing or malformed value.
MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


class Misread(ValueError):
    """A required value is unreadable; the text names it."""


class Unread:
    """The values skipped in one command, by any of its threads."""

    def __init__(self) -> None:
        self._values: Counter[tuple[str, str]] = Counter()
        self._rows: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, noun: str, field: str | None) -> None:
        """Count a field of such a thing; None: the whole thing."""
        with self._lock:
            if field is None:
                self._rows[noun] += 1
            else:
                self._values[noun, field] += 1

    def take(self, other: Unread) -> None:
        """Add the counts of another one."""
        with self._lock:
            self._values += other._values
            self._rows += other._rows

    def data(self) -> list[tuple[str, str | None, int]]:
        """The counts as plain data: the noun, the field or None for the whole, and the number."""
        values = [(noun, field, count) for (noun, field), count in self._values.items()]
        return [*values, *((noun, None, count) for noun, count in self._rows.items())]

    @classmethod
    def of(cls, data: Iterable[tuple[str, str | None, int]]) -> Unread:
        """The counts of `data`."""
        unread = cls()
        for noun, field, count in data:
            if field is None:
                unread._rows[noun] += count
            else:
                unread._values[noun, field] += count
        return unread

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Collect here what this thread notes within."""
        before, _current.unread = _current.unread, self
        try:
            yield
        finally:
            _current.unread = before

    @property
    def words(self) -> str | None:
        """`unreadable values shown as null: size (3 objects); skipped: 1 object`; None: nothing."""
        parts = []
        if self._values:
            parts.append(f"unreadable values shown as null: {', '.join(self._fields)}")
        if self._rows:
            parts.append(f"skipped: {self.skipped}")
        return "; ".join(parts) or None

    @property
    def skipped(self) -> str:
        """`1 unreadable object`; empty: nothing was skipped."""
        return ", ".join(self._things)

    @property
    def names(self) -> str:
        """`size (3 objects), 1 unreadable object`; empty: nothing."""
        return ", ".join([*self._fields, *self._things])

    @property
    def _fields(self) -> list[str]:
        return [
            f"{escape(field)} ({_counted(count, noun)})"
            for (noun, field), count in self._values.items()
        ]

    @property
    def _things(self) -> list[str]:
        return [_counted(count, f"unreadable {noun}") for noun, count in self._rows.items()]


class _Collecting(threading.local):
    unread: Unread | None = None


_current = _Collecting()


def note(noun: str, field: str | None) -> None:
    """Note a field of such a thing that is shown as null; None: the thing is skipped."""
    if _current.unread is not None:
        _current.unread.add(noun, field)


def needed(name: str, read: Callable[[Any], T], value: Any) -> T:
    """`read(value)`; raises Misread with the name if that fails."""
    try:
        return read(value)
    except MISSHAPEN as error:
        raise Misread(name) from error


def spared(read: Callable[[Any], T], raw: Any, noun: str, *needs: str) -> T:
    """`read(raw)`, without the values of an object that make it fail.

    `needs` are the keys of required values: raises if they are unreadable.
    """
    try:
        with counted_if_read():
            return read(raw)
    except MISSHAPEN:
        if not isinstance(raw, dict):
            raise
    with Unread().collecting():
        read(_only(raw, needs))
        bad = [key for key in raw if not _can(read, _only(raw, (*needs, key)))]
    value = read(_only(raw, [key for key in raw if key not in bad]))
    for key in bad:
        note(noun, key)
    return value


def rows(read: Callable[[Any], T], entries: Sequence[Any], noun: str, *needs: str) -> list[T]:
    """Each entry of a listing, read with `spared`; entries without required values are skipped.
    Raises ValueError if all of them are: this is another kind of listing."""
    with suppress(*MISSHAPEN), counted_if_read():
        return [read(entry) for entry in entries]
    found = []
    for entry in entries:
        try:
            found.append(spared(read, entry, noun, *needs))
        except MISSHAPEN:
            note(noun, None)
    if not found:
        raise ValueError(f"no readable {noun}")
    return found


@contextmanager
def counted_if_read() -> Iterator[None]:
    """Count what is noted within only if nothing is raised."""
    tried = Unread()
    with tried.collecting():
        yield
    if _current.unread is not None:
        _current.unread.take(tried)


def _only(raw: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key in keys}


def _can(read: Callable[[Any], object], raw: Any) -> bool:
    try:
        read(raw)
    except MISSHAPEN:
        return False
    return True


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count > 1 else "")
