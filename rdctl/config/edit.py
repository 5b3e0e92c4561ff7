"""Edit the configuration file as a person would: comments and layout are kept."""

from __future__ import annotations

import json
import re
from typing import Any

from rdctl.config.contexts import _NAME, KEYS, SANDBOX, as_number, bad_name, checked, parse
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, did_you_mean, nearest

# --- editing ----------------------------------------------------------------------------------


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse `KEY=VALUE`; an empty value removes the key."""
    key, equals, value = text.partition("=")
    if not equals or key not in KEYS:
        meant = did_you_mean(nearest(key, KEYS) if equals else "")
        raise RdctlError(
            Code.USAGE,
            f'invalid argument "{defuse(text)}": must be KEY=VALUE with a known key{meant}',
            hint=f"Known keys: {', '.join(KEYS)}.",
        )
    if not value:
        return key, None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RdctlError(Code.USAGE, f"{key}: must be valid UTF-8") from error
    kind = KEYS[key][0]
    parsed: Any = value
    if kind is bool:
        parsed = {"true": True, "yes": True, "false": False, "no": False}.get(value.lower(), value)
    try:
        return key, checked(key, as_number(value) if kind is float else parsed)
    except ValueError as error:
        raise RdctlError(Code.USAGE, f"{key}: {error}") from error


def edited(
    text: str, path: str, *, current: str | None = None, name: str = "", values: Any = ()
) -> str:
    """The file's text with `current` and the values of one context set; comments are kept. A value
    of None removes its key. The result is parsed again: an unsupported layout is an error."""
    if name and (name == SANDBOX or not re.fullmatch(_NAME, name)):
        raise bad_name(name)
    expected = parse(text, path)
    lines = text.split("\n")
    if current is not None:
        expected["current"] = current
        _set_line(lines, 0, _end_of(lines, 0), "current", current)
    if name:
        table = expected.setdefault("contexts", {}).setdefault(name, {})
        start = _table_at(lines, name)
        for key, value in values:
            _set_line(lines, start, _end_of(lines, start), key, value)
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    return _proved(lines, expected, path)


def renamed(text: str, path: str, name: str, new: str) -> str:
    """The file's text with a context under a new name, which is current if the old one was."""
    if new == SANDBOX or not re.fullmatch(_NAME, new):
        raise bad_name(new)
    expected = parse(text, path)
    expected["contexts"][new] = expected["contexts"].pop(name)
    lines = text.split("\n")
    start = _table_at(lines, name)
    lines[start - 1] = _header(new) + _comment_of(lines[start - 1])
    if expected.get("current") == name:
        expected["current"] = new
        _set_line(lines, 0, _end_of(lines, 0), "current", new)
    return _proved(lines, expected, path)


def without(text: str, path: str, name: str) -> str:
    """The file's text without one context; also without `current` if that names it."""
    expected = parse(text, path)
    expected["contexts"].pop(name)
    lines = text.split("\n")
    start = _table_at(lines, name)
    del lines[start - 1 : _end_of(lines, start)]
    if expected.get("current") == name:
        del expected["current"]
        _set_line(lines, 0, _end_of(lines, 0), "current", None)
    return _proved(lines, expected, path)


def _proved(lines: list[str], expected: dict[str, Any], path: str) -> str:
    result = "\n".join(lines).strip("\n") + "\n"
    try:
        found = parse(result, path)
    except RdctlError:
        found = {}
    expected.setdefault("contexts", {})
    if {"contexts": {}, **found} != expected:
        raise RdctlError(
            Code.CONFIG,
            f"cannot edit {path}: unsupported layout; nothing was changed",
            hint="Edit it manually, or write each context as a table [contexts.NAME].",
        )
    return result


def _table_at(lines: list[str], name: str) -> int:
    """The line after the header of the context's table, which is added if missing."""
    while lines and not lines[-1].strip():
        lines.pop()
    header = re.compile(
        rf"""\s*\[\s*contexts\s*\.\s*(?:{re.escape(name)}|"{re.escape(name)}"|'{re.escape(name)}')"""
        r"\s*\]\s*(?:#.*)?"
    )
    for number, line in enumerate(lines):
        if header.fullmatch(line):
            return number + 1
    if lines:
        lines.append("")
    lines.append(_header(name))
    return len(lines)


def _header(name: str) -> str:
    return f"[contexts.{json.dumps(name) if '.' in name else name}]"


def _end_of(lines: list[str], start: int) -> int:
    """The end of the table that contains line `start`: the next header, or the comment directly
    above it, which belongs to that header."""
    end = start
    while end < len(lines) and not lines[end].lstrip().startswith("["):
        end += 1
    while end > start and lines[end - 1].lstrip().startswith("#"):
        end -= 1
    return end


def _set_line(lines: list[str], start: int, end: int, key: str, value: Any) -> None:
    assignment = re.compile(rf"""\s*["']?{re.escape(key)}["']?\s*=""")
    line = f"{key} = {_toml(value)}"
    for number in range(start, end):
        if assignment.match(lines[number]):
            comment = _comment_of(lines[number])
            lines[number : number + 1] = [] if value is None else [line + comment]
            return
    if value is None:
        return
    while end > start and not lines[end - 1].strip():
        end -= 1
    lines.insert(end, line)


def _comment_of(line: str) -> str:
    """The comment after an assignment, with the blanks before it."""
    import tomllib

    for found in re.finditer("#", line):
        assignment = line[: found.start()].rstrip()
        try:
            tomllib.loads(assignment)
        except tomllib.TOMLDecodeError:  # a # within a string
            continue
        return line[len(assignment) :]
    return ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value) if value.is_integer() else value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
