"""Connected sockets that wait within the current deadline."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rdctl.core.buffers import Buffer, rest_of
from rdctl.net.deadline import CHECK_SECONDS, Deadline, current
from rdctl.net.faults import Silent, Unresolved

_TCP = socket.SOCK_STREAM


def _waiting(sock: socket.socket, act: Callable[[Any], int], data: Any) -> int:
    """`act(data)` on the socket, within the rest of the deadline."""
    deadline, check = current.deadline, current.check
    if deadline is None:
        return act(data)
    # Fixed for this wait: `left` of a limit for each wait restarts with every call.
    until = Deadline(deadline.left())
    while True:
        if check is not None:
            check()
        left = until.left()
        if left == 0.0:
            raise TimeoutError("timed out")
        sock.settimeout(left if check is None else min(left or CHECK_SECONDS, CHECK_SECONDS))
        try:
            return act(data)
        except TimeoutError:
            if check is None:
                raise


class _Receiver(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # Keeps the socket open until the reply was read.
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return _waiting(self._sock, self._sock.recv_into, buffer)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            super().close()


class Socket:
    """A connected socket that sends and receives within the current deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: str = "rb", buffering: int = -1, **_: Any) -> io.BufferedReader:
        return io.BufferedReader(_Receiver(self._sock))

    def sendall(self, data: Any) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[_waiting(self._sock, self._send, rest) :]

    def _send(self, data: memoryview) -> int:
        current.sent = True
        return self._sock.send(data)

    def send_parts(self, parts: Sequence[Buffer]) -> None:
        """Send these in one piece, without a copy."""
        rest = list(parts)
        while rest:
            rest = rest_of(rest, _waiting(self._sock, self._send_parts, rest))

    def _send_parts(self, parts: Sequence[Buffer]) -> int:
        current.sent = True
        return self._sock.sendmsg(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def connect(name: str, port: int, seconds: float | None) -> socket.socket:
    """Connect to the first address of a host that responds; all of them share the seconds. The
    lookup of the name may take the rest of the current deadline, which limits both."""
    addresses = _addresses(_with_zone(name), port)
    left = current.deadline.left() if current.deadline else None
    return _first_of(addresses, port, Deadline(seconds).within(left))


def _first_of(addresses: Sequence[str], port: int, patience: Deadline) -> socket.socket:
    failed: OSError = Silent("timed out")
    for address in addresses:
        left = patience.left()
        try:
            at: Any = address.encode(), port
            sock = socket.create_connection(at, None if left is None else max(left, 0.001))
        except TimeoutError as error:
            failed = Silent("timed out")
            failed.__cause__ = error
        except OSError as error:
            failed = error
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        if patience.over:
            break
    raise failed


def _addresses(name: str, port: int) -> list[str]:
    """The addresses of a host. Their lookup may take any time, so it runs once, in a thread."""
    with contextlib.suppress(OSError, UnicodeError):
        # As bytes: for text, Python loads the rules of international names.
        return _resolved(name.encode("ascii"), port, socket.AI_NUMERICHOST)
    key = name, port
    # Another thread may remove it at any time.
    looking = _known.get(key) or _known.setdefault(key, _Looking(*key))
    found = looking.wait(current.deadline or Deadline(None), current.check)
    if found is None:
        raise Unresolved(f"resolving {name} timed out")
    if isinstance(found, OSError):
        _known.pop(key, None)  # the next lookup may succeed
        raise found
    return found


class _Looking:
    """A lookup of the addresses of a host, in a thread that may be abandoned."""

    def __init__(self, name: str, port: int) -> None:
        self._found: list[str] | OSError | None = None
        self._ended = threading.Event()
        try:
            threading.Thread(target=self._look, args=(name, port), daemon=True).start()
        except RuntimeError:  # the thread limit is reached
            self._look(name, port)

    def _look(self, name: str, port: int) -> None:
        try:
            self._found = _resolved(name, port)
        except OSError as error:
            self._found = error
        except UnicodeError as error:
            self._found = OSError(str(error))
        self._ended.set()

    def wait(
        self, deadline: Deadline, check: Callable[[], None] | None
    ) -> list[str] | OSError | None:
        """The addresses or the error; None: timed out."""
        while not self._ended.wait(min(CHECK_SECONDS, deadline.left() or CHECK_SECONDS)):
            if check is not None:
                check()
            if deadline.over:
                return None
        return self._found


def _resolved(name: str | bytes, port: int, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(name, port, type=_TCP, flags=flags)
    # The zone of a link-local address is a separate number.
    return [f"{at[0]}%{at[3]}" if len(at) == 4 and at[3] else str(at[0]) for *_, at in found]


_known: dict[tuple[str, int], _Looking] = {}


def _with_zone(name: str) -> str:
    """An IPv6 address as the system reads it: in a URL the % before its zone is written %25."""
    return name.replace("%25", "%", 1) if ":" in name else name


@contextlib.contextmanager
def query(host: str, port: int, data: bytes, seconds: float) -> Iterator[io.BufferedReader]:
    """Send a query of a protocol other than HTTP, and read its reply, within the current deadline;
    `seconds` are those to connect. Raises OSError."""
    whole = current.deadline or Deadline(None)
    patience = whole.within(seconds)
    found = _Looking(host, port).wait(patience, current.check)
    if isinstance(found, OSError):
        raise found
    try:
        sock = _first_of(found or (), port, patience)
    except Silent as error:
        if whole.over:
            raise TimeoutError("timed out") from error
        raise ConnectionError(f"no reply within {seconds:g} s") from error
    with sock:
        connection = Socket(sock)
        connection.sendall(data)
        with connection.makefile() as reply:
            yield reply
