"""Values in a reply that cannot be read. Such a value becomes null, and the rest of the reply is
used.

Readers use `spared` and `rows`; who calls a reader collects what they left out, for one warning a
command. What a decision about data hangs on is read with `needed`, and never guessed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from rdctl.core.units import escape

T = TypeVar("T")

# What a reader raises about a value that is missing or of another shape.
MISSHAPEN = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


class Misread(ValueError):
    """A value that is needed cannot be read; the text names it."""


class Unread:
    """What was left out in one command, by any of its threads."""

    def __init__(self) -> None:
        self._values: Counter[tuple[str, str]] = Counter()
        self._rows: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, noun: str, field: str | None) -> None:
        """A field of such a thing; None: all of it."""
        with self._lock:
            if field is None:
                self._rows[noun] += 1
            else:
                self._values[noun, field] += 1

    def take(self, other: Unread) -> None:
        """Count what another one has as well."""
        with self._lock:
            self._values += other._values
            self._rows += other._rows

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """What this thread notes within belongs here."""
        before, _current.unread = _current.unread, self
        try:
            yield
        finally:
            _current.unread = before

    @property
    def words(self) -> str | None:
        """`unreadable values shown as null: size (3 objects); skipped: 1 object`; None: nothing."""
        said = []
        if self._values:
            said.append(f"unreadable values shown as null: {', '.join(self._fields)}")
        if self._rows:
            said.append(f"skipped: {self.skipped}")
        return "; ".join(said) or None

    @property
    def skipped(self) -> str:
        """`1 unreadable object`; empty: no thing was left out."""
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
    """A field of such a thing is shown as null; None: the thing is skipped."""
    if _current.unread is not None:
        _current.unread.add(noun, field)


def needed(name: str, read: Callable[[Any], T], value: Any) -> T:
    """`read(value)`; Misread, with its name, where that fails."""
    try:
        return read(value)
    except MISSHAPEN as error:
        raise Misread(name) from error


def spared(read: Callable[[Any], T], raw: Any, noun: str, *needs: str) -> T:
    """`read(raw)`, without each value of an object that makes it fail.

    `needs` are the keys of values without which it is nothing: raises when they cannot be read.
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
    """Each entry of a listing, as `spared` reads it; those that lack what they need are skipped.
    ValueError when all of them do: this is another kind of listing."""
    with suppress(*MISSHAPEN), counted_if_read():
        return [read(entry) for entry in entries]
    found = []
    for entry in entries:
        try:
            found.append(spared(read, entry, noun, *needs))
        except MISSHAPEN:
            note(noun, None)
    if not found:
        raise ValueError(f"not one {noun} can be read")
    return found


@contextmanager
def counted_if_read() -> Iterator[None]:
    """What is noted within counts only where nothing is raised."""
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
