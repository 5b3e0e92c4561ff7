"""What every run keeps, whatever was typed and whatever a server sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from rdctl.core.errors import Exit
from tests.conftest import Ran
from tests.fuzz.lines import Line
from tests.fuzz.place import Kept

CODES = frozenset(Exit)
FAULT = "internal error"
# What rdctl itself sends to a terminal: colors, and what moves the cursor in a live picture.
OWN = re.compile(rb"\x1b\[[0-9;?]*[mABCDGHJKhl]")
CONTROL = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]")
# Their output is somebody else's bytes, or for a shell.
RAW = ("get", "api", "completion", "help", "raw-list")
VALUE = re.compile(r"-[0Vhqy]*o|--(output|query|columns|sort-by|path|prefix|marker)")


def faults(line: Line, ran: Ran, before: Kept, after: Kept) -> Iterator[str]:
    yield from of_the_exit(ran)
    yield from of_the_format(line, ran)
    yield from of_the_terminal(line, ran)
    if not agreed(line):
        yield from of_the_losses(line, before, after)


def of_the_exit(ran: Ran) -> Iterator[str]:
    if ran.code not in CODES:
        yield f"exit {ran.code} means nothing"
    if FAULT in ran.err or '"internal"' in ran.out:
        yield "an internal error"
    if ran.code and not ran.err + ran.out and ran.code not in (Exit.PIPE, Exit.INTERRUPTED):
        yield f"exit {ran.code} without a word"


def of_the_format(line: Line, ran: Ran) -> Iterator[str]:
    words = line.argv[: line.argv.index("--")] if "--" in line.argv else line.argv
    if not {"-h", "--help", "--version", "help"} & set(words) and plainly(words, "--json"):
        if not set(RAW) & set(words) and "--watch" not in " ".join(words):
            try:
                strictly(ran.out)
            except ValueError as error:
                yield f"--json is not JSON: {error}"


def plainly(words: list[str], option: str) -> bool:
    """Whether the option is there, alone of its kind, and not another one's value."""
    if words.count(option) != 1 or any(VALUE.match(word) for word in words):
        return False
    place = words.index(option)
    return not place or not words[place - 1].startswith("-")


def strictly(text: str) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def of_the_terminal(line: Line, ran: Ran) -> Iterator[str]:
    shown = [("stderr", ran.stderr)]
    if line.tty and not any(re.match("-[^-]*0", word) for word in line.argv):  # NUL was asked for
        shown.append(("stdout", ran.stdout))
    for name, data in shown:
        text = OWN.sub(b"", data).decode("utf-8", "replace").replace("\r\n", "\n")
        if found := CONTROL.search(text.replace("\r", "")):
            yield f"{found[0]!r} on {name}"


def agreed(line: Line) -> bool:
    """Whether a loss may have been agreed to: by --yes, by a person, by a word that says it. What a
    shutdown does asks nothing, after it has saved all."""
    return (
        line.tty
        or line.argv[-2:] == ["boot", "stop"]
        or any(
            re.match(r"--y|--overwrite|--force|-[^-]*y|reset|--replace", word) for word in line.argv
        )
    )


def of_the_losses(line: Line, before: Kept, after: Kept) -> Iterator[str]:
    for what, value in before.items():
        if what not in after:
            yield f"{what[0]} {what[1]} is lost, and nobody agreed"
        elif shrunk(what[0], value, after[what]):
            yield f"{what[0]} {what[1]} is changed, and nobody agreed: {value} -> {after[what]}"


def shrunk(kind: str, before: Any, after: Any) -> bool:
    if kind == "volume":
        return any(now < then for then, now in zip(before, after, strict=True))
    if kind == "local volume":
        return bool(after[0] < before[0] or before[1].items() - after[1].items())
    return bool(after != before)
