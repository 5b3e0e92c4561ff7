"""What is sent and what comes back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rdctl import __version__
from rdctl.core.unread import note

# Bytes that its values may take, once they are read; and a size that cannot become as much.
MOST_VALUES = 1 << 30
_HARMLESS = 1 << 20
_MOST_DIGITS = 1000

# Of every request.
HEADERS = {
    "User-Agent": f"rdctl/{__version__}",
    "Accept": "application/json, */*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


class TooMuch(ValueError):
    """JSON that nothing is made of, since that would take all memory."""


class Reply(NamedTuple):
    """A reply as received. `headers` are case-insensitive, `body` is bounded bytes, `filled` says
    how many went into the buffer of a read that had one."""

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
        """When it was sent by the server's clock, in whole seconds since 1970; None: not told."""
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(self.headers["Date"]).timestamp()
        except (LookupError, OverflowError, TypeError, ValueError):
            return None

    def json(self, *, strict: bool = True) -> Any:
        """The body's JSON value. Raises ValueError when it is none. Not `strict`: texts may hold
        line ends as they are. What is no number to JSON (NaN, 1e999) is null."""
        if _becomes(self.body) > MOST_VALUES:
            raise TooMuch(f"its values would take more than {MOST_VALUES >> 20} MiB")
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
    """About how many bytes the values of a JSON text take, from above: an empty list takes two in
    the text, and 64 with its place in another one."""
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
    """Whether HTTP says Yes."""
    return reply.status < 300


class Blocks(NamedTuple):
    """A body of `size` bytes that is sent block by block; `shell` writes the same bytes, in the
    words of a shell."""

    blocks: Iterable[bytes | memoryview]
    size: int
    shell: str


class Access(NamedTuple):
    """Credentials and trust of one endpoint, as the configuration has them."""

    token: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    http_proxy: str | None = None


def busy(reply: Reply) -> bool:
    """A gateway, or a limit on the way, that asks to come again."""
    if reply.status == 429:
        return True
    return reply.status in (502, 503, 504) and reply.body.lstrip()[:1] != b"{"
