"""The history of one machine, user or sandbox, as it is on disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import IO

from rdctl.core.environment import unblocked
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, operand, quoted
from rdctl.effects.log import older
from rdctl.history.form import Reader
from rdctl.history.model import Entry
from rdctl.history.places import Place


def find(entries: Sequence[Entry], text: str) -> Entry:
    """The entry whose ID begins with the text. Raises `not-found`, `usage`."""
    found = [entry for entry in entries if text and entry.id.startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(entry.id for entry in found[-_MOST_LISTED:])
        raise RdctlError(
            Code.USAGE,
            f'ambiguous ID "{defuse(text)}": {len(found)} commands',
            hint=f"The latest: {ids}.",
            target=text,
        )
    hint = "List them: rdctl history"
    if any(plain(text) in names_of(entry) for entry in entries):
        hint = f"The commands that name it: rdctl history --target {quoted(text)}"
    raise RdctlError(
        Code.NOT_FOUND, f'command "{defuse(text)}" not found in the history', hint=hint, target=text
    )


_MOST_LISTED = 5


def names_of(entry: Entry) -> set[str]:
    """What a command named, or changed; devices without /dev/."""
    touched = {name for act in entry.acts for _, name, _ in act.touched}
    names = {*entry.argv, *entry.targets, *(act.name for act in entry.acts), *touched}
    return set(map(plain, names))


def plain(name: str) -> str:
    """`rd20` for `/dev/rd20`"""
    return name.removeprefix("/dev/").removeprefix("mapper/")


def undone_by(entries: Sequence[Entry]) -> dict[str, str]:
    """Of each command that is undone the one that undid it, by ID. An undo that was itself undone
    does not count."""
    found: dict[str, str] = {}
    for entry in reversed(entries):
        if entry.undoes is not None and entry.result == "done" and entry.id not in found:
            found.setdefault(entry.undoes, entry.id)
    return found


class History:
    """`warn` prints a warning."""

    def __init__(self, place: Place, warn: Callable[[str], None]) -> None:
        self.place = place
        self._warn = warn

    def entries(self) -> list[Entry]:
        """All commands, the oldest first. Raises RdctlError if a file cannot be read."""
        reader = Reader()
        with ExitStack() as stack:
            for file in self._files(stack):
                reader.take(file)
        if reader.damaged:
            lines = "1 line" if reader.damaged == 1 else f"{reader.damaged} lines"
            self._warn(f"{self.place.path}: {lines} cannot be read")
        return reader.entries

    def _files(self, stack: ExitStack) -> list[IO[bytes]]:
        """The files, the oldest first. The newest is opened first: a file that is renamed in
        between is then found twice, not missed."""
        newest = self._opened(self.place.path, stack)
        oldest = self._opened(older(os.path.realpath(self.place.path)), stack)
        if newest and oldest and os.path.sameopenfile(newest.fileno(), oldest.fileno()):
            newest = None
        early = self._opened(self.place.early, stack) if self.place.early else None
        return [file for file in (oldest, newest, early) if file]

    def _opened(self, path: str, stack: ExitStack) -> IO[bytes] | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            try:
                return stack.enter_context(open(path, "rb", opener=unblocked))
            except OSError as error:
                if isinstance(error, FileNotFoundError | NotADirectoryError):
                    raise
                denied = error.errno in (errno.EACCES, errno.EPERM)
                raise RdctlError(
                    Code.DENIED if denied else Code.FAILED,
                    f"the history {path} cannot be read: {error.strerror}",
                    hint="Show its owner and its kind, and those of the directories above:"
                    f" namei -l {operand(path)}",
                    target=path,
                ) from error
        return None
