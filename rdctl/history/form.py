"""The lines of the history: of each command one before its first change, and one at its end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rdctl.core.acts import Act
from rdctl.history.model import Entry

# What a line begins with. Its first value is the time.
BEGIN = b'{"begin":'
_LEADING = re.compile(rb'(?m)^\{"(?:begin|end)": ?([0-9.]+)')
# A line is at most so long, with its end.
LONGEST = 64 << 10
_LONGEST_WORD = 2 << 10
_ALL_WORDS = 32 << 10
_ALL_NAMES = 8 << 10
_BEGUN = Entry._fields[: Entry._fields.index("undoes") + 1]
_ENDED = Entry._fields[len(_BEGUN) :]


def begun(entry: Entry) -> bytes:
    """The line before the first change."""
    data = {key: getattr(entry, key) for key in _BEGUN if key != "time"}
    data["context"] = None if entry.context is None else _cut(entry.context)
    words = [_cut(word) for word in entry.argv]
    data["argv"], data["more_argv"] = _fitting(words, _ALL_WORDS)
    return _line({"begin": entry.time, **data})


def ended(entry: Entry) -> bytes:
    """The line at the end. If not all fits, acts are kept rather than effects."""
    data: dict[str, Any] = {"end": entry.ended, "id": entry.id, "result": entry.result}
    data |= {"exit": entry.exit, "error": None if entry.error is None else _cut(entry.error)}
    left = [_cut(words) for words in entry.left]
    data["left"], data["more_left"] = _fitting(left, _ALL_NAMES)
    data["targets"], dropped = _fitting([_cut(name) for name in entry.targets], _ALL_NAMES)
    data["more_targets"] = entry.more_targets + dropped
    data |= {"more_acts": 0, "more_effects": 0}
    acts = [act._asdict() for act in entry.acts]
    room = LONGEST - len(_line(data)) - 128  # for the keys and counts
    data["acts"], data["more_acts"] = _fitting(acts, room)
    room = LONGEST - len(_line(data)) - 128
    data["effects"], dropped = _fitting([_cut(line) for line in entry.effects], room)
    data["more_effects"] = entry.more_effects + dropped
    return _line(data)


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":"), default=str).encode() + b"\n"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_WORD else f"{text[:_LONGEST_WORD]}..."


def _fitting(things: Sequence[Any], room: int) -> tuple[list[Any], int]:
    """The first things that fit into so many bytes of JSON, and the number of the others."""
    for number, thing in enumerate(things):
        room -= len(_line(thing))
        if room < 0:
            return list(things[:number]), len(things) - number
    return list(things), 0


def first_time(text: bytes) -> float | None:
    """The time of the first whole line."""
    found = _LEADING.search(text)
    return float(found[1]) if found else None


class Reader:
    """Collects entries from their lines, oldest first; `damaged` counts the lines that cannot be
    read."""

    def __init__(self) -> None:
        self.damaged = 0
        self._entries: dict[tuple[str, float], Entry] = {}
        self._latest: dict[str, tuple[str, float]] = {}

    @property
    def entries(self) -> list[Entry]:
        return list(self._entries.values())

    def take(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            if line.strip():
                try:
                    self._one(json.loads(line))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    self.damaged += 1

    def _one(self, data: dict[str, Any]) -> None:
        if "begin" in data:
            data["time"] = data.pop("begin")
            entry = Entry(**_known(data))
            key = entry.id, entry.time
            # A boot's lines may be there twice, if a command was killed that moved them.
            self._entries.setdefault(key, entry)
            self._latest[entry.id] = key
            return
        data["ended"] = data.pop("end")
        key = self._latest.get(data["id"], ("", 0.0))
        if key in self._entries:  # else its first line was in a file that is gone
            self._entries[key] = self._entries[key]._replace(**_known(data))


def _act(data: dict[str, Any]) -> Act:
    act = Act(**{key: data[key] for key in Act._fields if key in data})
    for text in (act.verb, act.kind, act.name, *(() if act.lost is None else (act.lost,))):
        _text(text)
    for values in (act.before, act.after):
        if not isinstance(values, dict | None):
            raise TypeError(values)
    touched = [(_text(kind), _text(name), ident) for kind, name, ident in act.touched]
    return act._replace(touched=tuple(touched))


# --- kinds of values: each is returned, or raises ---------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(value)
    return tuple(map(_text, value))


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise TypeError(value)
    return value


def _time(value: Any) -> float:
    time = float(value)
    if not 0 <= time <= _LAST:  # nor is it one that is no number
        raise ValueError(value)
    return time


def _acts(value: Any) -> tuple[Act, ...]:
    return tuple(map(_act, value))


_MOST = (1 << 32) - 1
_LAST = 253402300799.0  # the year 9999
_REQUIRED: dict[str, Callable[[Any], Any]] = {
    "id": _text,
    "time": _time,
    "host": _text,
    "uid": _number,
    "pid": _number,
    "argv": _texts,
    "more_argv": _number,
    "effects": _texts,
    "more_effects": _number,
    "targets": _texts,
    "more_targets": _number,
    "acts": _acts,
    "more_acts": _number,
    "left": _texts,
    "more_left": _number,
}
# What may be null.
_OPTIONAL: dict[str, Callable[[Any], Any]] = {
    "login_uid": _number,
    "sudo_user": _text,
    "tty": _text,
    "context": _text,
    "request_id": _text,
    "boot": _text,
    "origin": _text,
    "undoes": _text,
    "ended": _time,
    "result": _text,
    "error": _text,
    "exit": _number,
}


def _known(data: dict[str, Any]) -> dict[str, Any]:
    """The fields that this version knows; those of a later one are left out."""
    known = {key: kind(data[key]) for key, kind in _REQUIRED.items() if key in data}
    for key, kind in _OPTIONAL.items():
        if key in data:
            known[key] = None if data[key] is None else kind(data[key])
    return known
