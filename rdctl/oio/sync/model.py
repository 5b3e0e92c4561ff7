"""What a repeated transfer compares: files below a folder, and objects of a listing. Plain data."""

from __future__ import annotations

import re
from typing import NamedTuple

# The property with the modification time of the file that an object was made of: seconds since
# 1970, with up to nine decimals, as Swift and rclone write it.
MTIME = "x-object-meta-mtime"
_MTIME = re.compile(r"(?a)(-?)(\d{1,12})(?:\.(\d{1,9})\d*)?")
_BILLION = 10**9


class Local(NamedTuple):
    """A file below a folder. `name` is its path there, with `/`; `path` is where it is opened."""

    name: str
    path: str
    size: int
    mtime_ns: int


class Remote(NamedTuple):
    """An object of a listing; None: not reported by the server. `name` is the whole name.

    `mtime_ns` is from the property, None if it has none or cannot be read; `modified` is the time
    of the object itself, or of its creation, in seconds since 1970, by the clock of the server."""

    name: str
    size: int | None
    modified: int | None
    mtime_ns: int | None
    hash: str | None
    version: int | None
    content_id: str | None


def mtime_text(mtime_ns: int) -> str:
    """The value of the property, without trailing zeros."""
    whole, rest = divmod(abs(mtime_ns), _BILLION)
    decimals = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if mtime_ns < 0 else ''}{whole}{decimals}"


def mtime_of(text: str | None) -> int | None:
    """Nanoseconds since 1970 of the property; None if it is missing, or not a time."""
    match = _MTIME.fullmatch(text) if text else None
    if match is None:
        return None
    sign, whole, decimals = match.groups()
    number = int(whole) * _BILLION + int((decimals or "").ljust(9, "0"))
    return -number if sign else number
