"""The heads of replies: their status and headers, within limits."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from rdctl.net.faults import BadReply, Disconnected

# Maximum size of all headers of a reply, in bytes.
MOST_HEAD = 16 << 20
# User properties are sent as headers: a limit of 100, as in the standard library, is too low.
MOST_HEADERS = 10_000
_MOST_LINE = 1 << 16


class Headers(Mapping[str, str]):
    """Headers by their names in any case. Repeated ones are joined by commas."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, tuple[str, str]] = {}
        for name, value in fields:
            key = name.lower()
            first, before = self._fields.get(key, (name, None))
            self._fields[key] = first, value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def but(self, other: Mapping[str, str]) -> Headers:
        """These, with others added or replaced."""
        changed = Headers()
        changed._fields = {
            **self._fields,
            **{name.lower(): (name, value) for name, value in other.items()},
        }
        return changed


class Head(NamedTuple):
    """The head of a reply; `last`: the server closes the connection after it."""

    status: int
    reason: str
    headers: Headers
    last: bool


def read_head(source: io.BufferedIOBase) -> Head:
    """The head of the next reply; interim ones are skipped. The standard library would parse the
    headers as those of an email, which takes six times as long, and stops at an invalid one. An
    oio-proxy turns the names of properties into headers, even names with blanks."""
    status, most = 100, MOST_HEAD
    while status < 200:
        version, status, reason = _status_line(source)
        fields, most = _fields(source, most)
    if not version.startswith("HTTP/1."):
        raise BadReply(version)
    headers = Headers(fields)
    return Head(status, reason, headers, _is_last(version, headers))


def _status_line(source: io.BufferedIOBase) -> tuple[str, int, str]:
    line = source.readline(_MOST_LINE + 1).decode("latin-1")
    if len(line) > _MOST_LINE:
        raise BadReply(f"got more than {_MOST_LINE} bytes when reading status line")
    if not line:
        raise Disconnected("Remote end closed connection without response")
    version, status, reason = [*line.split(None, 2), "", "", ""][:3]
    if not version.startswith("HTTP/") or not (status.isdecimal() and 100 <= int(status) <= 999):
        raise BadReply(line if line.strip() else "its status line is empty")
    return version, int(status), reason.strip()


def _is_last(version: str, headers: Headers) -> bool:
    choice = headers.get("Connection", "").lower()
    if version != "HTTP/1.0":
        return "close" in choice
    return "keep-alive" not in choice and "Keep-Alive" not in headers


def _fields(source: io.BufferedIOBase, most: int) -> tuple[list[tuple[str, str]], int]:
    """The headers of a reply of up to `most` bytes, and how many of these are left. A line without
    a name is skipped."""
    fields: list[tuple[str, str]] = []
    name = value = ""
    for _ in range(MOST_HEADERS + 1):
        line = source.readline(most + 1)
        most -= len(line)
        if most < 0:
            raise BadReply(f"its headers are larger than {MOST_HEAD >> 20} MiB")
        if not line.endswith(b"\n"):
            raise BadReply("unterminated headers")
        if line[:1] in (b" ", b"\t"):
            value += " " + line.decode("latin-1").strip()
            continue
        if name:
            fields.append((name, value))
        if not line.rstrip(b"\r\n"):
            return fields, most
        name, colon, value = line.decode("latin-1").partition(":")
        value = value.lstrip(" \t").rstrip("\r\n")
        if not colon:
            name = ""
    raise BadReply(f"it has more than {MOST_HEADERS} headers")
