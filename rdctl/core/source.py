"""Texts that people write in TOML or JSON: their data, and the line of each key in them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.once import once
from rdctl.core.units import escape

# Keys, and the numbers of entries in arrays.
Path = tuple[str | int, ...]


class Source:
    """A valid text: the data in it, and where each key begins."""

    def __init__(self, name: str, data: Any, lines: Callable[[], dict[Path, int]]) -> None:
        self.name = name
        self.data = data
        self._find = lines

    @once
    def _lines(self) -> dict[Path, int]:
        return self._find()

    def at(self, *path: str | int) -> str:
        """`FILE, line 12`: of the key, or else of the table that should have it."""
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self.name}, line {self._lines.get(path, 1)}"


def from_toml(name: str, text: str) -> Source:
    """Raises `config`."""
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RdctlError(Code.CONFIG, f"{name}{_invalid_toml(str(error))}") from error
    except ValueError as error:
        raise _too_long(name, text) from error
    except RecursionError as error:
        raise RdctlError(Code.CONFIG, f"{name}: nested too deep") from error
    return Source(name, data, lambda: _TomlLines(text).found())


def from_json(name: str, text: str) -> Source:
    """Raises `config`, also for a key that is there twice."""
    import json

    try:
        data = json.loads(text)
        lines = _JsonLines(text).found(name)
    except json.JSONDecodeError as error:
        message = f"{name}, line {error.lineno}: invalid JSON: {error.msg[:1].lower()}"
        raise RdctlError(Code.CONFIG, f"{message}{error.msg[1:]}") from error
    except ValueError as error:
        raise _too_long(name, text) from error
    except RecursionError as error:
        raise RdctlError(Code.CONFIG, f"{name}: nested too deep") from error
    return Source(name, data, lambda: lines)


def toml_string(text: str) -> str:
    """The text as a basic string of TOML; what cannot be seen is escaped."""
    return '"' + "".join(map(_toml_character, text)) + '"'


_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _toml_character(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 1 << 16 else f"\\U{ord(char):08x}"


def _invalid_toml(message: str) -> str:
    """`, line 1: invalid TOML: invalid value`, for tomllib's `Invalid value (at line 1)`."""
    what, _, where = message.rstrip(")").rpartition(" (at ")
    what = f"invalid TOML: {what[:1].lower()}{what[1:]}"
    return f", {where}: {what}" if where.startswith("line ") else f": {what} at {where}"


def _too_long(name: str, text: str) -> RdctlError:
    """The error for a number longer than Python converts."""
    long = re.search("[0-9_]{4000}", text)
    line = text.count("\n", 0, long.start()) + 1 if long else 1
    return RdctlError(Code.CONFIG, f"{name}, line {line}: a number has too many digits")


# --- lines ------------------------------------------------------------------------------------

# Commas are skipped too: in a valid text they separate, and mean nothing else.
_BLANK = r"(?:[\s,]|#[^\n]*)*"
_KEY = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[^=:\]"'])*"""
_SCALAR = (
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^'\n]*'"
    r"|[^,\]}#\n]*"
)


class _Lines:
    """Goes once through a text that is known to be valid, and notes where its keys begin."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._blank, self._key, self._scalar = (
            re.compile(pattern, re.DOTALL) for pattern in (_BLANK, _KEY, _SCALAR)
        )
        self._counted, self._line = 0, 1
        self._lines: dict[Path, int] = {}

    def _pair(self, table: Path) -> None:
        """A key with its value."""
        line = self._current_line()
        path = (*table, *self._parts(self._take(self._key)))
        self._note(path, line)
        self._position += 1  # the sign between them
        self._value(path)

    def _value(self, path: Path) -> None:
        self._take(self._blank)
        opening = self._text[self._position]
        if opening not in "[{":
            self._take(self._scalar)
            return
        self._position += 1
        index = 0
        while self._take(self._blank) is not None and self._text[self._position] not in "]}":
            if opening == "{":
                self._pair(path)
            else:
                self._lines[*path, index] = self._current_line()
                self._value((*path, index))
                index += 1
        self._position += 1

    def _take(self, pattern: re.Pattern[str]) -> str:
        """The text that matches here, and move behind it."""
        match = pattern.match(self._text, self._position)
        found = match[0] if match else ""
        self._position += len(found)
        return found

    def _current_line(self) -> int:
        self._line += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._line

    def _parts(self, key: str) -> Path:
        raise NotImplementedError

    def _note(self, path: Path, line: int) -> None:
        raise NotImplementedError


class _TomlLines(_Lines):
    def found(self) -> dict[Path, int]:
        table: Path = ()
        self._take(self._blank)
        while self._position < len(self._text):
            if self._text[self._position] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._take(self._blank)
        return self._lines

    def _header(self) -> Path:
        brackets = 2 if self._text.startswith("[[", self._position) else 1
        line = self._current_line()
        self._position += brackets
        table = self._parts(self._take(self._key))
        self._position += brackets
        self._note(table, line)
        return table

    def _parts(self, key: str) -> Path:
        """The parts of a dotted key."""
        import tomllib

        key = key.strip()
        if re.fullmatch("[A-Za-z0-9_-]+", key):
            return (key,)
        parts: list[str] = []
        value: Any = tomllib.loads(f"{key} = 0")
        while isinstance(value, dict):
            ((part, value),) = value.items()
            parts.append(part)
        return tuple(parts)

    def _note(self, path: Path, line: int) -> None:
        """A table begins at its own header, else where it is first named."""
        for length in range(1, len(path)):
            self._lines.setdefault(path[:length], line)
        self._lines[path] = line


class _JsonLines(_Lines):
    def found(self, name: str) -> dict[Path, int]:
        self._name = name
        self._value(())
        return self._lines

    def _parts(self, key: str) -> Path:
        import json

        return (str(json.loads(key)),)

    def _note(self, path: Path, line: int) -> None:
        if path in self._lines:
            raise RdctlError(
                Code.CONFIG,
                f'{self._name}, line {line}: key "{escape(str(path[-1]))}" already exists in line'
                f" {self._lines[path]}",
                hint="Remove one of them.",
            )
        self._lines[path] = line
