"""Requests and replies."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from rdctl import __version__
from rdctl.core.buffers import Buffer
from rdctl.core.unread import note

# Maximum memory of the values of a reply; smaller bodies than _HARMLESS cannot exceed it.
MOST_VALUES = 1 << 30
_HARMLESS = 1 << 20
_MOST_DIGITS = 1000

# Headers of every request.
HEADERS = {
    "User-Agent": f"rdctl/{__version__}",
    "Accept": "application/json, */*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


# Headers of a request whose body is followed by trailers.
CHUNKED = ("Transfer-Encoding", "Trailer")


class TooMuch(ValueError):
    """JSON that is not parsed, because its values would take too much memory."""


class Reply(NamedTuple):
    """A reply as received. `headers` are case-insensitive, the size of `body` is limited, `filled`
    is the number of bytes read into the caller's buffer."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    filled: int = 0

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "surrogateescape")

    @property
    def date(self) -> float | None:
        """The time of sending by the server's clock, in whole seconds since 1970, or None."""
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(self.headers["Date"]).timestamp()
        except (LookupError, OverflowError, TypeError, ValueError):
            return None

    def json(self, *, strict: bool = True) -> Any:
        """The JSON value of the body. Raises ValueError if invalid. Not `strict`: strings may
        contain line ends. Invalid numbers (NaN, 1e999) become null."""
        if _becomes(self.body) > MOST_VALUES:
            raise TooMuch(f"its values would exceed {MOST_VALUES >> 20} MiB")
        text = self.text
        options: dict[str, Any] = {
            "strict": strict,
            "parse_constant": _no_number,
            "parse_float": _float,
        }
        try:
            return json.loads(text, **options)
        except json.JSONDecodeError:
            raise
        except RecursionError:
            raise ValueError("nested too deep") from None
        except ValueError:  # a number of more digits than Python converts
            return json.loads(text, **options, parse_int=_integer)


def _becomes(body: bytes) -> int:
    """An upper estimate of the memory of the values of a JSON text: an empty list takes two bytes
    in the text, and 64 with its place in another list."""
    if len(body) < _HARMLESS:
        return len(body)
    text = len(body) if body.isascii() else 4 * len(body)
    return text + 64 * (body.count(b",") + body.count(b"[")) + 200 * body.count(b"{")


def _no_number(text: str) -> None:
    note("number", text[:20])


def _float(text: str) -> float | None:
    value = float(text)
    if math.isfinite(value):
        return value
    _no_number(text)
    return None


def _integer(text: str) -> int | None:
    if len(text) < _MOST_DIGITS:
        return int(text)
    _no_number(text)
    return None


def succeeded(reply: Reply) -> bool:
    """Whether the HTTP status reports success."""
    return reply.status < 300


class Blocks(NamedTuple):
    """A body of `size` bytes that is sent in blocks; `shell` is a shell command that writes the
    same bytes, or None. `trailers` are headers that are known, and sent, after it."""

    blocks: Iterable[Buffer]
    size: int
    shell: str | None
    trailers: Mapping[str, Callable[[], str]] = {}


class Access(NamedTuple):
    """Configured credentials and trust of one endpoint."""

    token: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    http_proxy: str | None = None


def busy(reply: Reply) -> bool:
    """Whether a gateway or a rate limit asks for a retry."""
    if reply.status == 429:
        return True
    return reply.status in (502, 503, 504) and reply.body.lstrip()[:1] != b"{"
