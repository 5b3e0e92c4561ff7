"""Texts side by side, as wide as a terminal shows them, and in its styles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

BOLD, DIM, REVERSE = "1", "2", "7"
_STYLE = re.compile("(\x1b\\[[0-9;]*m)")


def width(shown: str) -> int:
    """The width of a text on a terminal."""
    if shown.isascii():
        return len(shown)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(char) in ("Mn", "Me", "Cf") else 2 if east_asian_width(char) in "WF" else 1
        for char in shown
    )


def widths(lines: Iterable[Sequence[str]]) -> list[int]:
    """The widths of the columns for these lines of texts."""
    return [max(map(width, column)) for column in zip(*lines, strict=True)]


def painted(text: str, style: str) -> str:
    """The text in a style of the terminal, if it has one."""
    return f"\x1b[{style}m{text}\x1b[0m" if style and text else text


def marked(text: str, color: bool) -> str:
    """A text that changed: reversed, or with a star where there are no colors."""
    return painted(text, REVERSE) if color else f"{text}*"


def padded(text: str, columns: int, right: bool = False, style: str = "") -> str:
    """The text filled up with blanks to that many columns."""
    blanks, shown = " " * (columns - width(text)), painted(text, style)
    return blanks + shown if right else shown + blanks


def line(texts: Sequence[str], widths: Sequence[int], rights: Sequence[bool] = ()) -> str:
    """Texts in columns of these widths; `rights`: which are right-aligned."""
    sides = rights or [False] * len(texts)
    return "  ".join(map(padded, texts, widths, sides)).rstrip()


def shortened(text: str, columns: int) -> str:
    """The text, without its middle if it is wider than so many columns: what a path begins with and
    the name at its end both tell files apart."""
    if width(text) <= columns:
        return text
    room = max(columns - 1, 0)
    end = _fitting(reversed(text), room - room // 3)[::-1]
    return _fitting(text, room - width(end)) + "…" * (columns > 0) + end


def _fitting(chars: Iterable[str], room: int) -> str:
    """As many of the characters as fit."""
    kept = ""
    for char in chars:
        room -= width(char)
        if room < 0:
            break
        kept += char
    return kept


def cut(line: str, columns: int) -> str:
    """A line, with its styles, cut to that many columns of a terminal."""
    if width(_STYLE.sub("", line)) <= columns:
        return line
    kept, room = "", max(columns - 1, 0)
    for part in _STYLE.split(line):
        if _STYLE.fullmatch(part):
            kept += part
            continue
        for char in part:
            room -= width(char)
            if room < 0:
                break
            kept += char
    return kept + ("…" if columns > 0 else "")
