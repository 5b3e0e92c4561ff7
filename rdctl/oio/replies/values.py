"""The parts of a reply: one of the wrong kind raises one of `MISSHAPEN`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

from rdctl.core.unread import MISSHAPEN, note
from rdctl.net.messages import Reply

T = TypeVar("T")
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+):[0-9]{1,5}")
# Python reads more as a number: "1_0", " 5", "nan".
_WHOLE, _DECIMAL = re.compile("-?[0-9]+"), re.compile(r"-?[0-9]+(\.[0-9]+)?")
# Above this a time is in microseconds, as 4.2 has it; 3.3 has seconds.
_MICROSECONDS = 10**12
_YEAR_10000 = 253_402_300_800
# No counter or size is larger.
_LARGEST = 1 << 64


# --- headers and times --------------------------------------------------------------------------


def header(reply: Reply, name: str) -> str | None:
    """A header's value, unescaped to its exact bytes."""
    value = reply.headers.get(name)
    if value is None:
        return None
    return unquote_to_bytes(value.encode("latin-1")).decode("utf-8", "surrogateescape")


def date(value: Any) -> str | None:
    """`2026-11-21T20:44:52Z` of what `seconds` reads."""
    number = seconds(value)
    return None if number is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(number))


def seconds(value: Any) -> int | None:
    """Seconds since 1970, of seconds or microseconds, however they are written."""
    if value in (None, "", 0, "0"):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("a time was expected")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("a time was expected")
    number = float(value)
    if number > _MICROSECONDS:
        number /= 1e6
    if abs(number) >= _YEAR_10000:
        raise ValueError("a time was expected")
    return int(number)


# --- the parts of a JSON value ------------------------------------------------------------------


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


def true_or_false(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def text_or_none(value: Any) -> str | None:
    return None if value is None else as_text(value)


def whole(value: Any) -> int:
    """A whole number, which some servers write as a string."""
    if isinstance(value, str):
        if not _WHOLE.fullmatch(value):
            raise ValueError("a whole number was expected")
        value = int(value)
    if type(value) is int and -_LARGEST < value < _LARGEST:
        return value
    raise TypeError("a whole number was expected")


def whole_or_none(value: Any) -> int | None:
    return None if value in (None, "") else whole(value)


def as_array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("an array was expected")
    return value


def as_object(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return value


def as_texts(value: Any) -> dict[str, str]:
    return {key: as_text(entry) for key, entry in as_object(value).items()}


def as_properties(value: Any) -> dict[str, Any]:
    """Strings by key; anything else is null."""
    found = as_object(value)
    odd = [key for key, entry in found.items() if not isinstance(entry, str)]
    for key in odd:
        note("value", f"property {key}")
    return {**found, **dict.fromkeys(odd)}


def as_address(entry: Any) -> str:
    """IP:PORT, where requests are sent."""
    address = as_text(entry["addr"])
    if not ADDRESS.fullmatch(address):
        raise ValueError("IP:PORT was expected")
    return address


def or_null(read: Callable[[Any], T], value: Any, noun: str, key: str) -> T | None:
    """`read(value)`; null, and noted, if that fails."""
    try:
        return read(value)
    except MISSHAPEN:
        note(noun, key)
        return None
