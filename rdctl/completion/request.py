"""Requests of completion scripts, and the quoting of bash."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rdctl.core.units import CONTROL, options_in

# The options that affect the query for names.
_OPTIONS = {
    "-c": "context",
    "--context": "context",
    "--rapiddisk-url": "rapiddisk_url",
    "--oio-url": "oio_url",
    "--namespace": "namespace",
    "--account": "account",
    "--cid": "cid",
    "--content-id": "content_id",
    "--content-version": "version",
    "--type": "type",
    "--flat-bits": "flat_bits",
}


class Candidate(NamedTuple):
    """A name and its description."""

    name: str
    about: str = ""


class CompletionRequest(NamedTuple):
    """A request for completions. `text` is the typed part of the name; `args` are the arguments
    before it; `options` those of `_OPTIONS`; `dashes`: it follows `--`."""

    kind: str
    noun: str
    text: str
    args: Sequence[str]
    options: Mapping[str, Any]
    dashes: bool


class Typed(NamedTuple):
    """The typed part of a word in bash: `text` is its unquoted text, `raw` the part that can be
    kept, `quote` the open quotation mark, and `opened` the position after it. `runs`: it begins a
    command substitution, in which a completed name would be executed."""

    text: str
    raw: str
    quote: str
    opened: int
    runs: bool = False


def made(kind: str, text: str, args: Sequence[str], words: Sequence[str]) -> CompletionRequest:
    """Create the request; of several contexts in one word the last is being typed, and the others
    are its arguments."""
    kind, _, noun = kind.partition(":")
    if kind == "contexts":
        *args, text = text.split(",")
    return CompletionRequest(kind, noun, text, args, options_of(words), "--" in words)


def options_of(words: Iterable[str]) -> dict[str, Any]:
    """The relevant options, in all their spellings."""
    found: dict[str, Any] = {}
    for option, value in options_in(words, "0Vhiqy", _OPTIONS):
        if option in ("--local", "--auto"):
            found[option[2:]] = True
        elif value is not None:
            found[_OPTIONS[option]] = value
    return found


# Kinds with repeatable arguments, and the number of other arguments before them.
SEVERAL = {
    "contexts": 0,
    "volume": 0,
    "cache": 0,
    "device": 0,
    "export": 0,
    "target": 0,
    "port": 0,
    "container": 0,
    "type": 0,
    "type-or-address": 0,
    "content": 1,
    "key": 1,
    "assignment": 1,
    "address": 1,
}


def usable(names: Iterable[Candidate], request: CompletionRequest) -> Iterator[Candidate]:
    """The names that can be used here: without control characters, not options, not already on
    the command line."""
    before = SEVERAL.get(request.kind)
    taken = () if before is None else request.args[before:]
    for name, about in names:
        option = name.startswith("-") and not request.dashes
        if name and not option and name not in taken and not CONTROL.search(name):
            yield Candidate(name, CONTROL.sub("?", about))


# --- the words of bash ------------------------------------------------------------------------

_SPECIAL = re.compile(r"[ !\"#$&'()*;<>?\[\\\]^`{|}~]")


def unquoted(word: str) -> Typed:
    """The unquoted word, whose quotes may still be open; nothing is expanded."""
    text, quote, opened, at = "", "", 0, 0
    runs = False
    while at < len(word):
        char = word[at]
        if char == "\\" and quote != "'":
            if at + 1 == len(word):
                return Typed(text, word[:at], quote, opened, runs)
            following = word[at + 1]
            text += following if not quote or following in '"$`\\' else char + following
            at += 1
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote, opened = char, at + 1
        else:
            text += char
            runs |= quote != "'" and (char == "`" or word.startswith("$(", at))
        at += 1
    return Typed(text, word, quote, opened, runs)


def escaped(text: str, quote: str) -> str:
    """The text escaped for such quotation marks, or for none."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote:
        # History is expanded in double quotes too, where a backslash would be kept.
        return re.sub(r'["$`\\]', r"\\\g<0>", text).replace("!", "\"'!'\"")
    return _SPECIAL.sub(r"\\\g<0>", text)


def replacements(
    names: Iterable[Candidate], text: str, typed: Typed, option: str, head: str
) -> Iterator[str]:
    """The replacements for the part of the word that readline replaces: the part after the `head`,
    or after an open quotation mark."""
    start = len(option) + typed.opened if typed.quote else len(head)
    for name, _ in names:
        if name.startswith(text):
            whole = option + typed.raw + escaped(name[len(text) :], typed.quote)
            # readline adds the closing mark, unless there seems to be one.
            yield whole[start:] + (typed.quote if whole.endswith(typed.quote) else "")
