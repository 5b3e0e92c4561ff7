"""The bodies of replies, and whether they are complete."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator

from rdctl.net.faults import BadReply, Incomplete
from rdctl.net.heads import MOST_HEAD, Head

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?\r?\n")
_PART = 1 << 16


class Body:
    """A body as its head frames it: so many bytes, chunks, or all until the connection is closed.

    The bytes are counted here, since not every release of the libraries does. Raises Incomplete if
    the connection is closed before the end.
    """

    def __init__(self, source: io.BufferedIOBase, length: int | None, *, chunked: bool) -> None:
        self._source = source
        self._chunked = chunked
        # Bytes left, of the current chunk or of the whole.
        self._left = 0 if chunked else length
        self._first = True
        self.ended = length == 0 and not chunked
        # Whether its end is known before the connection is closed.
        self.bounded = chunked or length is not None

    @property
    def complete(self) -> bool:
        """Whether the connection is at the end of the body, and may be used again."""
        return self.ended and self.bounded

    def read(self) -> Iterator[bytes]:
        """The rest of the body, in parts."""
        while room := self._room(_PART):
            part = self._source.read(room)
            self._count(room, len(part))
            yield part

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer with the next bytes, and return how many these are. If they fill it, the
        end of a chunked body is read as well."""
        filled = 0
        while filled < len(buffer) and (room := self._room(len(buffer) - filled)):
            count = self._source.readinto(buffer[filled : filled + room])
            self._count(room, count)
            filled += count
        if self._chunked:
            self._room(1)
        return filled

    def _room(self, size: int) -> int:
        """How many of the next `size` bytes can be read at once; 0 at the end."""
        if self._chunked and not self._left and not self.ended:
            self._next_chunk()
        if self.ended:
            return 0
        return size if self._left is None else min(size, self._left)

    def _count(self, asked: int, count: int) -> None:
        if self._left is not None:
            self._left -= count
            if count < asked:
                raise Incomplete(f"{self._left} bytes are missing")
            self.ended = not self._left and not self._chunked
        elif count < asked:
            self.ended = True

    def _next_chunk(self) -> None:
        if not self._first and self._line(2) != b"\r\n":
            raise BadReply("invalid end of a chunk")
        self._first = False
        line = self._line(_PART)
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise BadReply(f"invalid chunk size {line[:40]!r}")
        self._left = int(size[1], 16)
        if not self._left:
            self._skip_trailers()
            self.ended = True

    def _skip_trailers(self) -> None:
        most = MOST_HEAD
        while (line := self._line(most + 1)) not in (b"\r\n", b"\n"):
            most -= len(line)
            if most < 0:
                raise BadReply(f"its trailers are larger than {MOST_HEAD >> 20} MiB")

    def _line(self, most: int) -> bytes:
        line = self._source.readline(most)
        if not line.endswith(b"\n") and len(line) < most:
            raise Incomplete("its last chunk is missing")
        return line


def body_of(head: Head, method: str, source: io.BufferedIOBase) -> Body:
    """The body that follows this head, in the reply to a request with this method."""
    codings = head.headers.get("Transfer-Encoding", "").lower()
    chunked = codings.partition(",")[0].strip() == "chunked"
    length = None if chunked else _length(head.headers.get("Content-Length", ""))
    if method == "HEAD" or head.status in (204, 304):
        return Body(source, 0, chunked=False)
    return Body(source, length, chunked=chunked)


def _length(text: str) -> int | None:
    """The first of the lengths; if all are numbers, they must be the same."""
    with contextlib.suppress(ValueError):
        if len(set(map(int, text.split(",")))) > 1:
            raise BadReply(f"Content-Length contained multiple unmatching values ({text})")
    first = text.partition(",")[0].strip()
    return int(first) if first.isdecimal() else None
