"""Sizes, natural order, printable text, suggestions: small pure functions."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from rdctl.core.errors import Code, RdctlError

MIB = 1 << 20
# A bare number means MiB, as in the RapidDisk tools; larger ones were surely meant as bytes.
MOST_BARE = 1 << 20
# Beyond 2^63 bytes the daemon and the kernel wrap around.
MOST_MIB = (1 << 43) - 1

_BINARY = {"": 1, "k": 1 << 10, "m": MIB, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
# Compiled when they are needed: most commands need neither.
_SIZE = r"(?ai)([0-9]{1,30}(?:\.[0-9]{1,9})?) ?([kmgtp]?)(ib?|b|)"


def parse_size(text: str) -> int:
    """Bytes meant by `64M`, `1GiB`, `64 MiB`, `2Gi` (powers of 1024), `64MB` (of 1000), `512B`, or
    a bare number of MiB."""
    from fractions import Fraction

    match = re.fullmatch(_SIZE, text.strip())
    if not match:
        raise _invalid_size(text, None, "Examples: 64M, 1GiB, 67108864B.")
    number, unit, suffix = Fraction(match[1]), match[2].lower(), match[3].lower()
    if not unit and not suffix:
        if number > MOST_BARE:
            meant = human_size(int(number) * MIB)
            raise RdctlError(
                Code.USAGE, f"{text} is read as MiB ({meant})", hint=f"For bytes write {text}B."
            )
        factor = MIB
    elif not unit and suffix != "b":
        raise _invalid_size(text, None, "Examples: 64M, 1GiB, 67108864B.")
    elif unit and suffix == "b":
        factor = _DECIMAL[unit]
    else:
        factor = _BINARY[unit]
    size = number * factor
    if size.denominator != 1:
        raise _invalid_size(text, "must be a whole number of bytes")
    return int(size)


def parse_bytes(text: str) -> int:
    """A size whose bare number means bytes: 1048576, 1MiB, 10k."""
    return parse_size(f"{text}B" if text[-1:].isdigit() else text)


def parse_mib(text: str) -> int:
    """A size in whole MiB, at least 1, as RapidDisk takes it."""
    size = parse_size(text)
    mib, rest = divmod(size, MIB)
    if rest:
        below = f"{mib}M or " if mib else ""
        hint = f"Nearest: {below}{mib + 1}M."
        if re.fullmatch("(?i).*[kmgtp]b", text.strip()):
            hint = f"{text.strip()} is {size} bytes, a decimal unit. {hint}"
        raise _invalid_size(text, "must be a whole number of MiB", hint)
    if mib == 0:
        raise _invalid_size(text, "minimum is 1M")
    if mib > MOST_MIB:
        raise _invalid_size(text, f"maximum is {MOST_MIB}M")
    return mib


def parse_growth(text: str) -> tuple[int, bool]:
    """A size in whole MiB as `parse_mib` reads it, and whether it is to be added: `+64M`."""
    size = text.strip()
    try:
        return parse_mib(size.removeprefix("+")), size.startswith("+")
    except RdctlError as error:
        if size.startswith("+"):
            # The nearest sizes are growths, too: without a plus they could shrink it.
            hint = re.sub(r"\b([0-9]+M)\b", r"+\1", error.hint) if error.hint else None
            raise _invalid_size(text, error.message.partition('": ')[2] or None, hint) from error
        raise


def _invalid_size(text: str, why: str | None, hint: str | None = None) -> RdctlError:
    reason = f": {why}" if why else ""
    return RdctlError(Code.USAGE, f'invalid size "{escape(text)}"{reason}', hint=hint)


# The units of --units that are not `auto`: how people and scripts read a size.
UNITS = ("human", "bytes", "K", "M", "G")


def size_in(unit: str, size: int) -> str:
    """The size in one of UNITS: `64.0 MiB`, `67108864`, `65536.00 KiB`."""
    if unit == "bytes":
        return str(size)
    if unit == "human":
        return human_size(size)
    return f"{size / _BINARY[unit.lower()]:.2f} {unit}iB"


def human_size(size: int) -> str:
    """`64.0 MiB`: for people; scripts get the bytes."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if round(value, 1) < 1024 or unit == "PiB":
            break
        value /= 1024
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


_DIGITS = r"([0-9]+)"


def natural(text: str) -> tuple[Any, ...]:
    """Sort key that sorts rd2 before rd10."""
    parts: list[Any] = re.split(_DIGITS, text)
    # Longer is larger: int() refuses numbers of some thousand digits.
    numbers = [part.lstrip("0") for part in parts[1::2]]
    parts[1::2] = [(len(number), number) for number in numbers]
    return tuple(parts), text


# Characters unsafe for a terminal: C0, DEL, C1, line separators, text direction marks, and the
# surrogates that represent bytes that are not UTF-8.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ESCAPED = CONTROL.pattern[:-1] + "\\\\]"
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}


def _escape_one(match: re.Match[str]) -> str:
    char = match[0]
    point = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if 0xDC80 <= point <= 0xDCFF:
        return f"\\x{point - 0xDC00:02x}"
    return f"\\x{point:02x}" if point < 0x80 else f"\\u{point:04x}"


def escape(text: str) -> str:
    """The text on one line and safe for a terminal; `\\` itself is doubled, so the result is
    unambiguous."""
    if text.isprintable() and "\\" not in text:
        return text
    return re.sub(_ESCAPED, _escape_one, text)


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers, for comparisons; empty if it has none."""
    return tuple(int(digits) for digits in re.findall(r"[0-9]+", version.partition("+")[0])[:3])


def quoted(text: str) -> str:
    """The text as a word for a shell; unprintable characters are escaped as in bash and zsh."""
    if text.isprintable():
        return shlex.quote(text)
    harmless = escape(text).replace("'", "\\'")
    plain = (char if char.isprintable() else f"\\U{ord(char):08x}" for char in harmless)
    return "$'" + "".join(plain) + "'"


def operand(name: str) -> str:
    """The name as the last word of a command for a shell."""
    return f"-- {quoted(name)}" if name.startswith("-") else quoted(name)


def raw_bytes(text: str) -> bytes:
    """The bytes of a name, which may be invalid UTF-8. A server may send JSON with half a
    surrogate pair, which represents no byte: it is encoded as UTF-8 would."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def defuse(text: str) -> str:
    """A message on one line: control characters and line ends are escaped, backslashes are left."""
    return CONTROL.sub(_escape_one, text)


def defuse_lines(text: str) -> str:
    """A text of several lines: line ends and tabs are kept too."""
    return CONTROL.sub(lambda m: m[0] if m[0] in "\n\t" else _escape_one(m), text)


def without_password(url: str) -> str:
    """A URL with its password masked."""
    return re.sub(r"^((?:\w+://|(?!\w+://))[^:@/]*):.*@", r"\1:***@", url)


def nearest(word: str, words: Iterable[str], cutoff: float = 0.6) -> str:
    """The closest of the words if one is closer than all others, else the only one with this
    prefix, or nothing. Leading dashes are ignored."""
    from difflib import SequenceMatcher, get_close_matches

    known = {candidate.lower().lstrip("-"): candidate for candidate in words}
    typed = word.lower().lstrip("-")
    close = get_close_matches(typed, known, 2, cutoff)
    if len(close) == 2:
        first, second = (SequenceMatcher(None, one, typed).ratio() for one in close)
        close = close[:1] if first > second else []
    elif not close and typed:
        close = [candidate for candidate in known if candidate.startswith(typed)]
    return known[close[0]] if len(close) == 1 else ""


def guess(word: str, words: Iterable[str]) -> str:
    """` Did you mean WORD?`, to append to a hint, or nothing."""
    near = nearest(word, words)
    return f" Did you mean {quoted(near)}?" if near else ""


def did_you_mean(word: str) -> str:
    """`; did you mean "WORD"?`, to append to a message, or nothing."""
    return f'; did you mean "{word}"?' if word else ""


def either(words: Iterable[str]) -> str:
    """`a, b or c`"""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def options_in(
    words: Iterable[str], flags: str, valued: Collection[str]
) -> Iterator[tuple[str, str | None]]:
    """The options among these words with their values, as far as known without the command:
    `valued` options have a value; the letters in `flags` may share a word."""
    letters = "".join(option[1] for option in valued if len(option) == 2)
    short = re.compile(f"(?s)-([{flags}]*)(?:([{letters}])(.*))?")
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word == "--":
            return
        if name.startswith("--") and name in valued:
            yield name, value if equals else next(rest, "")
        elif found := short.fullmatch(word):
            yield from ((f"-{flag}", None) for flag in found[1])
            if found[2]:
                yield f"-{found[2]}", found[3] or next(rest, "")
        else:
            yield word, None
