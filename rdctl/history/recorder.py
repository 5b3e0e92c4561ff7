"""Writes the history of one command: its intent before the first change, its outcome at the end."""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rdctl.core.acts import Act
from rdctl.core.errors import Code, RdctlError
from rdctl.core.secrets import masked
from rdctl.effects.journal import send
from rdctl.effects.log import Log, locked_log
from rdctl.effects.signals import signals_held
from rdctl.history import form
from rdctl.history.model import Entry
from rdctl.history.places import Place

# The file is renamed if its first entry is older, and it has at least so many.
DAYS = 30
ENTRIES = 1000
# Effects beyond so many characters are counted.
_MOST = form.LONGEST


class Outcome(NamedTuple):
    """How a command ended, as an Entry has it."""

    result: str
    exit: int
    error: str | None
    targets: Sequence[str]
    acts: Sequence[Act]
    left: Sequence[str]


class Recording:
    """The history of one command. `entry` returns what is known before the first change; `places`
    are tried in this order. If the history is `required`, a command that cannot write its intent
    fails before its first change. `warn` prints a warning. Used by several threads."""

    def __init__(
        self,
        entry: Callable[[], Entry],
        places: Sequence[Place],
        *,
        required: bool,
        now: Callable[[], float],
        warn: Callable[[str], None],
    ) -> None:
        self._make = entry
        self._places = list(places)
        self._required = required
        self._now = now
        self._warn = warn
        self._lock = allocate_lock()
        self._entry: Entry | None = None
        self._place: Place | None = None
        self._lines: list[str] = []
        self._room = _MOST
        self._more = 0

    @property
    def began(self) -> bool:
        return self._entry is not None

    def begin(self) -> None:
        """Write the intent, once. Raises `failed` if it is required and cannot be written."""
        if self._entry is None:
            with self._lock:
                if self._entry is None:
                    with signals_held():
                        self._entry = self._begun(self._make())

    def line(self, line: str) -> None:
        """Keep the line of an effect, or count it."""
        with self._lock:
            self._room -= len(line)
            if self._room >= 0:
                self._lines.append(line)
            else:
                self._more += 1

    def end(self, outcome: Outcome) -> None:
        """Write the outcome, if anything was begun."""
        if self._entry is None:
            return
        entry = self._entry._replace(
            result=outcome.result,
            exit=outcome.exit,
            error=None if outcome.error is None else masked(outcome.error),
            targets=tuple(map(masked, outcome.targets)),
            acts=tuple(outcome.acts),
            left=tuple(map(masked, outcome.left)),
            effects=tuple(map(masked, self._lines)),
            more_effects=self._more,
        )
        if self._place is not None:
            try:
                append(self._place, lambda time: form.ended(entry._replace(ended=time)), self._now)
            except OSError as error:
                self._warn(not_written(self._place.path, error))
        root = self._places[0].journal
        if root is not None:
            try:
                send(root, _fields(entry))
            except OSError as error:
                self._warn(not_written("journal", error))

    def _begun(self, entry: Entry) -> Entry:
        """The entry, with its time, after its first line was written where that is possible."""

        def line(time: float) -> bytes:
            nonlocal entry
            entry = entry._replace(time=time)
            return form.begun(entry)

        failed = None
        for place in self._places:
            try:
                append(place, line, self._now, sync=place.lasting)
            except OSError as error:
                failed = failed or not_written(place.path, error)
            else:
                self._place = place
                return entry
        if self._required:
            raise RdctlError(
                Code.FAILED,
                str(failed),
                hint='It is required by audit = "required" in /etc/rdctl/config.toml.'
                " Nothing was changed.",
            )
        self._warn(str(failed))
        return entry


def not_written(path: str, error: OSError) -> str:
    return f"history not written: {path}: {error.strerror or error}"


# --- the file ---------------------------------------------------------------------------------


def append(
    place: Place,
    line: Callable[[float], bytes],
    now: Callable[[], float],
    *,
    sync: bool = False,
) -> None:
    """Append the line for the time at which the file is locked, so that all are in order. The
    disk is waited for without the lock. Raises OSError."""
    while True:
        with locked_log(place.path, place.home) as log:
            _take_early(log, place)
            time = now()
            if _is_full(log, time):
                log.rotate()
                continue
            log.write(line(time))
            if sync:
                log.unlock()
                log.sync()
            return


def absorb(place: Place) -> None:
    """Move what commands of the boot wrote elsewhere into the history. Raises OSError."""
    if place.early is not None and os.path.exists(place.early):
        with locked_log(place.path, place.home) as log:
            _take_early(log, place)


def _take_early(log: Log, place: Place) -> None:
    if place.early is not None and os.path.exists(place.early):
        log.take(place.early)


def _is_full(log: Log, time: float) -> bool:
    """Whether what the history has to keep is in this file and the older one after a rotation."""
    first = form.first_time(log.read(2 * form.LONGEST))
    # A time in the future is of a wrong clock, and would never grow old.
    if first is None or 0 <= time - first < DAYS * 86400:
        return False
    return log.count(form.BEGIN) >= ENTRIES


# --- the journal ------------------------------------------------------------------------------

_MESSAGE_ID = "1263c72ecd414800a1f91c747d1f3fb1"
_NOTICE, _WARNING = "5", "4"
# A datagram is at most about 200 KiB, less where memory is short.
_LONGEST_VALUE = 1024
_MOST_TARGETS = 32


def _fields(entry: Entry) -> Iterable[tuple[str, str]]:
    """The entry of the journal: a summary, found by the ID."""
    import shlex

    command = shlex.join(["rdctl", *entry.argv])[:_LONGEST_VALUE]
    yield "MESSAGE", f"{command}: {entry.result} (exit {entry.exit})"
    yield "MESSAGE_ID", _MESSAGE_ID
    yield "SYSLOG_IDENTIFIER", "rdctl"
    yield "PRIORITY", _NOTICE if entry.result == "done" else _WARNING
    own = {
        "id": entry.id,
        "command": command,
        "result": entry.result,
        "exit": str(entry.exit),
        "context": entry.context,
        "request_id": entry.request_id,
        "sudo_user": entry.sudo_user,
        "error": entry.error,
    }
    targets = [("target", name) for name in entry.targets[:_MOST_TARGETS]]
    for key, value in (*own.items(), *targets):
        if value is not None:
            yield f"RDCTL_{key.upper()}", value[:_LONGEST_VALUE]
