"""Secrets in what is shown or kept: each is replaced by `***`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from rdctl.core.units import without_password

MASK = "***"
# Patterns are compiled when first used: most commands need none of them.
# What the name of a secret contains; a name that ends with `file` is that of a path, and one that
# begins with `--no-` that of a flag.
_NAME = (
    "authorization|cookie|credential|key|passphrase|passw|pwd|secret|signature|token"
    "|(?<![a-z])(?:auth|pass|sig)(?![a-z])"
)
_LOOKS = f"(?i){_NAME}"
_NONE = "(?i)[-_]file$|^--no-"


def is_secret(name: str) -> bool:
    """Whether the value of an option, key or header of this name is a secret."""
    return bool(re.search(_LOOKS, name)) and not re.search(_NONE, name)


def masked_header(name: str, value: str) -> str:
    """`Bearer ***`: the kind of a credential is not secret."""
    if not re.search(_LOOKS, name):
        return value
    kind, blank, _ = value.partition(" ")
    return f"{kind} {MASK}" if blank else MASK


# --- texts ------------------------------------------------------------------------------------

# A password may have any of @, / and '; what follows a host is a port.
_USER = r"(://)([^\s/@:'\"]*)(?:(:)(?![0-9]+[/?#])[^\s\"]*|[^\s/@'\":]*)@"
_TYPED = rf"(?i)(--[\w-]*(?:{_NAME})[\w-]*) +(?!-)[^\s'\"]+"
_HEADERS = r"(?i)\b([\w-]*(?:authorization|cookie|passw)[\w-]*): *[^'\"\n]+"
_PEM = r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*-----|$)"
_DHCHAP = r"(DHHC-1:\d\d:)[\w+/=]+"
_BEARER = r"(?i)\b(bearer) +[^\s'\"]+"
_MEMBER = rf'(?i)("[^"\\]*(?:{_NAME})[^"\\]*"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^\s,{{}}\[\]"]+)'
_ASSIGNED = rf"(?i)(?<![\w.-])([\w.%-]*(?:{_NAME})[\w.%-]*?)(=|%3D)(\"[^\"]*\"|'[^']*'|[^\s&'\"]+)"


def masked(text: str) -> str:
    """A text without the passwords in URLs, and without the values of members and assignments
    whose names are those of secrets."""
    if "@" in text:
        text = re.sub(_USER, _without_user, text)
    if "DHHC-1:" in text:  # a key of an NVMe host
        text = re.sub(_DHCHAP, rf"\1{MASK}", text)
    if not re.search(_LOOKS, text) and "earer" not in text.lower():
        return text
    text = re.sub(_BEARER, rf"\1 {MASK}", text)
    text = re.sub(_PEM, rf"\1{MASK}\2", text)
    text = re.sub(_HEADERS, rf"\1: {MASK}", text)
    text = re.sub(
        _TYPED, lambda found: f"{found[1]} {MASK}" if is_secret(found[1]) else found[0], text
    )
    text = re.sub(_MEMBER, lambda found: f'{found[1]}"{MASK}"', text)
    return re.sub(
        _ASSIGNED,
        lambda found: f"{found[1]}{found[2]}{MASK}" if is_secret(found[1]) else found[0],
        text,
    )


def _without_user(found: re.Match[str]) -> str:
    """The name of the user stays, if a password follows it."""
    return f"{found[1]}{found[2]}:{MASK}@" if found[3] else f"{found[1]}{MASK}@"


def masked_json(text: str) -> str:
    """A text that may be JSON; without secrets it stays as it is."""
    if not re.search(_LOOKS, text) and "\\u" not in text:
        return masked(text)
    import json

    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return masked(text)
    without = _masked_data(data)
    return masked(text if without == data else json.dumps(without, ensure_ascii=False))


def _masked_data(data: Any, name: str = "") -> Any:
    if isinstance(data, dict):
        within = is_secret(name)  # all that is below it
        named = data.get("key", data.get("name"))
        if isinstance(named, str) and is_secret(named) and "value" in data:
            return {**data, "value": MASK}
        return {key: _masked_data(value, name if within else key) for key, value in data.items()}
    if isinstance(data, list):
        return [_masked_data(value, name) for value in data]
    return MASK if is_secret(name) and data not in (None, "", MASK) else data


# --- words ------------------------------------------------------------------------------------

_HEADER = rf"(?is)([\w-]*(?:{_NAME})[\w-]*)\s*:\s*(.+)"
_PAIR = r"(?s)(-{0,2}[\w.-]+)=(.*)"


def masked_words(words: Iterable[str]) -> Iterator[str]:
    """The words of a command line without secrets: the values of options and keys, headers,
    passwords in URLs, members of JSON."""
    before = ""
    for word in words:
        secret = before.startswith("--") and "=" not in before and is_secret(before)
        yield MASK if secret else _masked_word(word)
        before = word


def _masked_word(word: str) -> str:
    if found := re.fullmatch(_HEADER, word):
        return f"{found[1]}: {masked_header(found[1], found[2])}"
    if found := re.fullmatch(_PAIR, word):
        if is_secret(found[1]) and found[2]:
            return f"{found[1]}={MASK}"
        return f"{found[1]}={_masked_word(found[2])}"
    return masked_json(without_password(word) if "://" in word else word)
