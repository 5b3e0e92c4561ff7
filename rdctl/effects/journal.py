"""Entries in the journal of systemd, by its own protocol
(https://systemd.io/JOURNAL_NATIVE_PROTOCOL/)."""

from __future__ import annotations

import os
from collections.abc import Iterable

_DIRECTORY = "run/systemd/journal"


def send(root: str, fields: Iterable[tuple[str, str]]) -> None:
    """Send an entry, without waiting, to the journal of the machine with this root directory; does
    nothing if it has none. Raises OSError."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        directory = os.open(os.path.join(root, _DIRECTORY), flags)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        # `socket` takes milliseconds to import, and adds nothing to this.
        import _socket

        kind = _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
        outlet = _socket.socket(_socket.AF_UNIX, kind)
        try:
            # The path of a socket has at most 108 bytes.
            path = f"/proc/self/fd/{directory}/socket"
            outlet.sendto(b"".join(_field(*field) for field in fields), path)
        except FileNotFoundError:
            return
        finally:
            outlet.close()
    finally:
        os.close(directory)


def _field(name: str, value: str) -> bytes:
    """`NAME=VALUE`, or for a value of several lines its length before it."""
    data = value.encode("utf-8", "backslashreplace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
