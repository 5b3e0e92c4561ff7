"""The queue of events as beanstalkd reports it: commands and replies are lines of text."""

from __future__ import annotations

import re

from rdctl.sandbox.oio import events
from rdctl.sandbox.store import Store

_TUBES = ("default", "oio", "oio-rebuild")
_STATES = ("urgent", "ready", "reserved", "delayed", "buried")


class Beanstalkd:
    """The service over the store. The agent handles an event at once, so no jobs are waiting."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, line: bytes) -> bytes | None:
        """The reply to a command; None: the connection ends."""
        command, _, argument = line.rstrip(b"\r\n").decode("latin-1").partition(" ")
        if command == "quit":
            return None
        return self._reply(command, argument).encode() + b"\r\n"

    def _reply(self, command: str, argument: str) -> str:
        if command == "kick":
            return "KICKED 0" if re.fullmatch("[0-9]+", argument) else "BAD_FORMAT"
        if command == "stats-tube" and argument in _TUBES:
            return self._stats_tube(argument)
        if command == "list-tubes":
            return _document([f"- {tube}" for tube in _TUBES])
        if command == "use":
            return f"USING {argument}"
        if command in ("stats-tube", "peek-buried", "kick-job"):
            return "NOT_FOUND"
        return "UNKNOWN_COMMAND"

    def _stats_tube(self, tube: str) -> str:
        with self._store.look() as connection:
            handled = events.handled(connection) if tube == "oio" else 0
        counts = {
            **{f"current-jobs-{state}": 0 for state in _STATES},
            "total-jobs": handled,
            "current-using": 0,
            "current-watching": 1,
            "current-waiting": 1,
            "cmd-delete": handled,
            "cmd-pause-tube": 0,
            "pause": 0,
            "pause-time-left": 0,
        }
        return _document([f"name: {tube}", *(f"{name}: {count}" for name, count in counts.items())])


def _document(lines: list[str]) -> str:
    text = "".join(f"{line}\n" for line in ["---", *lines])
    return f"OK {len(text)}\r\n{text}"
