"""Sockets of a small OpenIO SDS: requests as they arrive, and faults in place of answers."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

from tests.fakes.ports import listener_at, reserved_port

if TYPE_CHECKING:
    from tests.fakes.sds import Sds

CHUNK = "x-oio-chunk-meta-"


class Left(Exception):
    """The client closed the connection."""


class Call:
    """One request. `who` is `proxy` or the number of a rawx; the body of a PUT to a rawx is
    available after `body()` was called; trailers are then among the headers."""

    def __init__(self, sds: Sds, who: str | int, sock: socket.socket, stream: Any) -> None:
        self.sds, self.who, self._sock, self._stream = sds, who, sock, stream
        line = stream.readline().decode("latin-1")
        if not line:
            raise Left
        words: list[str] = line.split()
        self.method, self.target, _ = words
        self.headers: dict[str, str] = {}
        self._fields()
        self.path, _, query = self.target.partition("?")
        self.query = dict(parse_qsl(query, errors="surrogateescape", keep_blank_values=True))
        self._chunked = self.headers.get("transfer-encoding", "") == "chunked"
        self._missing = int(self.headers.get("content-length", "0"))
        self.received = b""

    def __repr__(self) -> str:
        return f"{self.who} {self.method} {self.path}"

    @property
    def route(self) -> str:
        return self.path.removeprefix("/v3.0/OPENIO/")

    @property
    def chunk(self) -> str:
        return self.path.lstrip("/")

    @property
    def spot(self) -> str:
        """The position of the chunk that a rawx is asked for: `0`, or `0.3` of a fragment."""
        return self.headers.get(f"{CHUNK}chunk-pos") or self.sds.spots[self.chunk]

    @property
    def pos(self) -> int:
        """The part of the object that the chunk belongs to."""
        return int(self.spot.partition(".")[0])

    def body(self, most: int | None = None) -> bytes:
        """All of it, or its first bytes; raises Left if the client disconnects."""
        left = most
        while self._piece() and left != 0:
            wanted = self._missing if left is None else min(left, self._missing)
            data = self._stream.read(wanted)
            self._missing -= len(data)
            self.received += data
            if len(data) < wanted:
                raise Left
            left = None if left is None else left - len(data)
        return self.received

    def _piece(self) -> int:
        """How many bytes arrive at once: all, or those of a piece of a chunked body."""
        if self._missing or not self._chunked:
            return self._missing
        line = self._stream.readline().strip() or self._stream.readline().strip()
        if not line:
            raise Left
        self._missing = int(line, 16)
        if not self._missing:
            self._chunked = False
            self._fields()
        return self._missing

    def _fields(self) -> None:
        while (line := self._stream.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def reply(
        self,
        status: str,
        headers: Mapping[str, object] | None = None,
        body: bytes = b"",
        *,
        length: int | None = None,
    ) -> None:
        """`length` is that of a body that is sent separately, or never; -1: unknown."""
        lines = [f"HTTP/1.1 {status}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if length != -1:
            lines += [f"Content-Length: {len(body) if length is None else length}"]
        lines += ["Connection: close"] if self.who == "proxy" else []
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def json(self, value: Any, status: str = "200 OK", headers: Any = None) -> None:
        self.reply(status, headers, json.dumps(value).encode())

    def refuse(self, status: int, http: str = "500 Internal error", message: str = "no") -> None:
        self.json({"status": status, "message": message}, http)

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The file that reads from it keeps it open, so RST leaves with that.
        self._sock.shutdown(socket.SHUT_RD)
        self.hang_up()

    def hang_up(self) -> None:
        raise Left


Fault = Callable[[Call], bool | None]


class Listening:
    """`rawx` services and a proxy at sockets. `calls` are all requests in the order of their
    arrival; a fault that is true has answered the request."""

    def __init__(self, rawx: int) -> None:
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.busy = self.most_busy = 0
        self.connections = 0
        self._lock = threading.Lock()
        self._ports = [reserved_port() for _ in range(rawx + 1)]
        self._listeners = [listener_at(port, 64) for port in self._ports]
        self._open: set[socket.socket] = set()
        self._stopping = threading.Event()
        self.addresses = [f"127.0.0.1:{port.getsockname()[1]}" for port in self._ports]
        self.url = f"http://{self.addresses[-1]}"

    def __enter__(self) -> Self:
        for number, listener in enumerate(self._listeners):
            who = number if listener is not self._listeners[-1] else "proxy"
            threading.Thread(target=self._accept, args=(who, listener), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        with self._lock:
            doomed = [*self._listeners, *self._open, *self._ports]
        for sock in doomed:
            _shut(sock)

    def stop(self, number: int) -> None:
        """One rawx (-1: the proxy) refuses new connections; open ones continue."""
        _shut(self._listeners[number])

    def start(self, number: int) -> None:
        """Start a stopped one again, at the same address."""
        self._listeners[number] = listener = listener_at(self._ports[number], 64)
        who = "proxy" if listener is self._listeners[-1] else number
        threading.Thread(target=self._accept, args=(who, listener), daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """True if it ends in the meantime."""
        return self._stopping.wait(seconds)

    def _accept(self, who: str | int, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(sock)
                self.connections += who != "proxy"
            threading.Thread(target=self._serve, args=(who, sock), daemon=True).start()

    def _serve(self, who: str | int, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = sock.makefile("rb")
        except OSError:
            return  # it ended before this began
        with suppress(Left, OSError, ValueError):
            while True:
                call = Call(self, who, sock, stream)  # type: ignore[arg-type]
                with self._lock:
                    self.calls.append(call)
                    self.busy += 1
                    self.most_busy = max(self.busy, self.most_busy)
                try:
                    if not any(fault(call) for fault in list(self.faults)):
                        self._answer(call)
                finally:
                    with self._lock:
                        self.busy -= 1
                if who == "proxy":
                    break
        with self._lock:
            self._open.discard(sock)
        with suppress(OSError):
            stream.close()
            sock.close()

    def _answer(self, call: Call) -> None:
        raise NotImplementedError


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest().upper()


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        sock.close()


def on(
    method: str,
    act: Callable[[Call], object],
    *,
    who: Any = None,
    pos: int | str | None = None,
    times: int = 10**9,
) -> Fault:
    """`act` in place of an answer to these requests: `PUT`, `GET`, `DELETE` of a chunk, or a route
    of the proxy; of one rawx, of one part (0) or fragment ("0.3"), so many times."""
    left = iter(range(times))

    def fault(call: Call) -> bool:
        matches = call.route == method if call.who == "proxy" else call.method == method
        if not matches or (who is not None and call.who != who):
            return False
        if pos is not None and pos not in (call.pos, call.spot):
            return False
        if next(left, None) is None:
            return False
        act(call)
        return True

    return fault
