"""The heads of replies: their headers, within limits."""

from __future__ import annotations

import http.client
from typing import Any

# Maximum size of all headers of a reply, in bytes.
MOST_HEAD = 16 << 20
# User properties are sent as headers: the standard library's limit of 100 is too low.
MOST_HEADERS = 10_000


class _BadHead(http.client.HTTPException):
    """Headers that the standard library would accept: unterminated or too large."""


class HeadReader(http.client.HTTPResponse):
    """Parses headers itself: the standard library parses them as those of an email, which takes six
    times as long, and stops at an invalid one. An oio-proxy turns the names of properties into
    headers, even names with blanks."""

    def begin(self) -> None:
        status, most = 100, MOST_HEAD
        while status == 100:
            version, status, reason = self._read_status()  # type: ignore[attr-defined]
            self.headers, most = _fields(self.fp, most)
        self.msg = self.headers
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        self.version = 10 if version == "HTTP/1.0" else 11
        self.code = self.status = status
        self.reason = reason.strip()
        self._frame()

    def _frame(self) -> None:
        """How the body ends, as in the standard library."""
        self.chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.will_close = self._check_close()  # type: ignore[attr-defined]
        length = self.headers.get("Content-Length", "").strip()
        self.length = int(length) if length.isdecimal() and not self.chunked else None
        if self.status in (204, 304) or self.status < 200 or self._method == "HEAD":  # type: ignore[attr-defined]
            self.length, self.chunked = 0, False
        if self.length is None and not self.chunked:
            self.will_close = True


def _fields(source: Any, most: int) -> tuple[http.client.HTTPMessage, int]:
    """The headers of a reply of up to `most` bytes, and how many of these are left. A line without
    a name is skipped."""
    fields = http.client.HTTPMessage()
    name = value = ""
    for _ in range(MOST_HEADERS + 1):
        line = source.readline(most + 1)
        most -= len(line)
        if most < 0:
            raise _BadHead(f"its headers are larger than {MOST_HEAD >> 20} MiB")
        if not line.endswith(b"\n"):
            raise _BadHead("unterminated headers")
        if line[:1] in (b" ", b"\t"):
            value += " " + line.decode("latin-1").strip()
            continue
        if name:
            # Any other way is slow, and since Python 3.14 refuses names with blanks.
            fields.set_raw(name, value)
        if not line.rstrip(b"\r\n"):
            return fields, most
        name, colon, value = line.decode("latin-1").partition(":")
        value = value.lstrip(" \t").rstrip("\r\n")
        if not colon:
            name = ""
    raise _BadHead(f"it has more than {MOST_HEADERS} headers")
