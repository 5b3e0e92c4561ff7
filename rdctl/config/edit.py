"""Changes to the file of the contexts, as a person would make them."""

from __future__ import annotations

import json
import re
from typing import Any

from rdctl.config.contexts import _NAME, KEYS, SANDBOX, bad_name, checked, parse
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, guess

# --- editing ----------------------------------------------------------------------------------


def parse_assignment(text: str) -> tuple[str, Any]:
    """`KEY=VALUE` as typed; an empty value means that the key goes."""
    key, equals, value = text.partition("=")
    if not equals or key not in KEYS:
        raise RdctlError(
            Code.USAGE,
            f"'{defuse(text)}' is not KEY=VALUE with a key of a context",
            hint=f"The keys are: {', '.join(KEYS)}.{guess(key, KEYS)}",
        )
    if not value:
        return key, None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RdctlError(Code.USAGE, f"{key}: a text in UTF-8 is wanted") from error
    kind = KEYS[key][0]
    parsed: Any = value
    if kind is bool:
        parsed = {"true": True, "yes": True, "false": False, "no": False}.get(value.lower(), value)
    try:
        return key, checked(key, float(value) if kind is float else parsed)
    except ValueError as error:
        raise RdctlError(Code.USAGE, f"{key}: {error}") from error


def edited(
    text: str, path: str, *, current: str | None = None, name: str = "", values: Any = ()
) -> str:
    """The file's text with `current` and the values of one context set; comments stay. A value of
    None goes. The result is parsed again: what cannot be edited so is an error, nothing is lost."""
    if name and (name == SANDBOX or not re.fullmatch(_NAME, name)):
        raise bad_name(name)
    wanted = parse(text, path)
    lines = text.split("\n")
    if current is not None:
        wanted["current"] = current
        _set_line(lines, 0, _end_of(lines, 0), "current", current)
    if name:
        table = wanted.setdefault("contexts", {}).setdefault(name, {})
        start = _table_at(lines, name)
        for key, value in values:
            _set_line(lines, start, _end_of(lines, start), key, value)
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    return _proved(lines, wanted, path)


def without(text: str, path: str, name: str) -> str:
    """The file's text without one context; `current` goes too if it names it."""
    wanted = parse(text, path)
    wanted["contexts"].pop(name)
    lines = text.split("\n")
    start = _table_at(lines, name)
    del lines[start - 1 : _end_of(lines, start)]
    if wanted.get("current") == name:
        del wanted["current"]
        _set_line(lines, 0, _end_of(lines, 0), "current", None)
    return _proved(lines, wanted, path)


def _proved(lines: list[str], wanted: dict[str, Any], path: str) -> str:
    result = "\n".join(lines).strip("\n") + "\n"
    try:
        found = parse(result, path)
    except RdctlError:
        found = {}
    wanted.setdefault("contexts", {})
    if {"contexts": {}, **found} != wanted:
        raise RdctlError(
            Code.CONFIG,
            f"{path} is written in a way that rdctl does not edit; nothing was changed",
            hint="Edit it by hand, or write each context as a table [contexts.NAME].",
        )
    return result


def _table_at(lines: list[str], name: str) -> int:
    """The line after the header of the context's table, which is added when it is not there."""
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
    lines.append(f"[contexts.{json.dumps(name) if '.' in name else name}]")
    return len(lines)


def _end_of(lines: list[str], start: int) -> int:
    """Where the table that holds line `start` ends: at the next header, or at the comment right
    above that, which belongs to it."""
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
    """The comment behind an assignment, with the blanks before it: without it the line is valid."""
    import tomllib

    for found in re.finditer("#", line):
        assignment = line[: found.start()].rstrip()
        try:
            tomllib.loads(assignment)
        except tomllib.TOMLDecodeError:  # within a text
            continue
        return line[len(assignment) :]
    return ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value) if value.is_integer() else value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
