"""A TCP server that misbehaves on purpose: what a client must survive with one clear error.

    with FaultServer([reset(), json({"status": "OK"})]) as server:
        ...                         # talk to server.url
    assert len(server.requests) == 2

Each connection gets the next behaviour of the script, the last one again and again. A behaviour
reads one request (unless its name says otherwise), misbehaves, and the connection is closed. After
the `with` block nothing listens on the port any more: `server.url` then refuses connections.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from http.client import parse_headers
from itertools import chain, repeat
from json import dumps
from types import TracebackType
from typing import NamedTuple, Self

from tests.fakes.ports import listener_at, reserved_port

MIB = 1 << 20
JOIN_SECONDS = 60.0


class Request(NamedTuple):
    """One request as received: `headers` in any case, `body` as long as its Content-Length."""

    method: str
    path: str
    headers: Message
    body: bytes


class Connection:
    """The server's end of one accepted connection, as the behaviours use it."""

    def __init__(
        self, sock: socket.socket, requests: list[Request], stopping: threading.Event
    ) -> None:
        self._sock = sock
        self._requests = requests
        self._stopping = stopping

    def receive(self) -> Request:
        """Read one request and record it; ConnectionError when the client leaves before its end."""
        with self._sock.makefile("rb") as stream:
            words = stream.readline().decode("latin-1").split()
            if len(words) != 3:
                raise ConnectionAbortedError("no request line")
            headers = parse_headers(stream)
            length = int(headers.get("Content-Length", "0"))
            body = stream.read(length)
        if len(body) < length:
            raise ConnectionAbortedError("the request has no end")
        request = Request(words[0], words[1], headers, body)
        self._requests.append(request)
        return request

    def wait_for_bytes(self) -> None:
        """Return when the client has sent something, which stays unread."""
        self._sock.recv(1, socket.MSG_PEEK)

    def read_line(self) -> None:
        """Read a line, for a server of another protocol."""
        with self._sock.makefile("rb") as stream:
            stream.readline()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def send_slowly(self, data: Iterable[int], seconds: float) -> None:
        """One byte every `seconds`, until the data, the client or the server ends."""
        for byte in data:
            self._sock.sendall(bytes([byte]))
            if self._stopping.wait(seconds):
                return

    def wait_for_close(self) -> None:
        """Return when the client hangs up or the server stops."""
        while self._sock.recv(65536):
            pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


Behaviour = Callable[[Connection], None]


class FaultServer:
    """Serves `script` on 127.0.0.1, a thread a connection; `requests` in order of their arrival."""

    def __init__(self, script: Sequence[Behaviour]) -> None:
        self.requests: list[Request] = []
        self._next = chain(script, repeat(script[-1]))
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._port = reserved_port()
        self._listener = listener_at(self._port, 128)
        self.url = f"http://127.0.0.1:{self._port.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._stopping.set()
            for sock in (self._listener, *self._open):
                _shut(sock)
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        self._listener.close()
        self._port.close()

    def refuse(self) -> None:
        """Take no connection any more; those that are open go on."""
        _shut(self._listener)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="fault-server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._stopping.is_set():
                    sock.close()
                    return
                self._open.add(sock)
                self._start(self._serve, sock, next(self._next))

    def _serve(self, sock: socket.socket, behave: Behaviour) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with suppress(OSError):  # the client left, or the server stops
                behave(Connection(sock, self.requests, self._stopping))
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()


def _shut(sock: socket.socket) -> None:
    """Wake whoever waits on `sock`."""
    with suppress(OSError):  # not connected any more
        sock.shutdown(socket.SHUT_RDWR)


# What is sent


def head(status: int, headers: Mapping[str, object], reason: str | None = None) -> bytes:
    """Status line and header lines; `Connection: close` unless `headers` says otherwise."""
    phrase = HTTPStatus(status).phrase if reason is None else reason
    lines = [f"HTTP/1.1 {status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in {"Connection": "close", **headers}.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def raw(data: bytes) -> Behaviour:
    """These bytes for an answer, whatever they are."""
    return _answer(lambda connection: connection.send(data))


def _answer(send: Callable[[Connection], None]) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.receive()
        send(connection)

    return behave


# Proper replies, welcome or not


def reply(
    status: int = 200,
    body: bytes = b"",
    headers: Mapping[str, object] | None = None,
    reason: str | None = None,
) -> Behaviour:
    """A plain reply with the right Content-Length (`headers` may override it)."""
    return raw(head(status, {"Content-Length": len(body), **(headers or {})}, reason) + body)


def json(
    value: object, status: int = 200, headers: Mapping[str, object] | None = None
) -> Behaviour:
    """`value` as a JSON body."""
    labels = {"Content-Type": "application/json", **(headers or {})}
    return reply(status, dumps(value).encode(), labels)


def http_error(status: int, value: object = None, *, retry_after: str | None = None) -> Behaviour:
    """An error with `value` as JSON, or without one with the HTML page that a gateway sends.

    `retry_after` is the header's text: seconds or an HTTP date.
    """
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    if value is not None:
        return json(value, status, headers)
    title = f"{status} {HTTPStatus(status).phrase}"
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return reply(status, page.encode(), {"Content-Type": "text/html", **headers})


def redirect(url: str, status: int = 302) -> Behaviour:
    return reply(status, headers={"Location": url})


# Connections that break


def close() -> Behaviour:
    """Close in order after the request, without a reply."""
    return raw(b"")


def reset_unread() -> Behaviour:
    """RST once the client has begun to send; nothing is read or recorded."""

    def behave(connection: Connection) -> None:
        connection.wait_for_bytes()
        connection.reset()

    return behave


def reset() -> Behaviour:
    """RST after the request was read, without a reply."""
    return _answer(Connection.reset)


def reset_in_body(body: bytes = b'{"status": "Success"}') -> Behaviour:
    """RST after half of the body."""

    def send(connection: Connection) -> None:
        connection.send(head(200, {"Content-Length": len(body)}) + body[: len(body) // 2])
        connection.reset()

    return _answer(send)


def silent() -> Behaviour:
    """Read the request and say nothing until the client hangs up."""
    return _answer(Connection.wait_for_close)


def drip_headers(seconds: float) -> Behaviour:
    """An endless reply head, one byte every `seconds`."""
    endless = b"HTTP/1.1 200 OK\r\nX-Drip: "
    return _answer(lambda connection: connection.send_slowly(chain(endless, repeat(46)), seconds))


def drip_body(seconds: float) -> Behaviour:
    """A proper head, then an endless body of blanks, one byte every `seconds`."""

    def send(connection: Connection) -> None:
        connection.send(head(200, {}))
        connection.send_slowly(repeat(32), seconds)

    return _answer(send)


# Lies about length and encoding


def half_body(body: bytes = b'{"status": "Success"}') -> Behaviour:
    """Half of the body that Content-Length promises, then closed in order."""
    return reply(200, body[: len(body) // 2], {"Content-Length": len(body)})


def long_body(body: bytes = b'{"status": "Success"}', surplus: bytes = b'{"more": 1}') -> Behaviour:
    """`surplus` after the `body` that Content-Length announces."""
    return reply(200, body + surplus, {"Content-Length": len(body)})


def broken_chunks() -> Behaviour:
    """A whole chunk, a part of the second, then closed in order."""
    start = head(200, {"Transfer-Encoding": "chunked"})
    return raw(start + _chunk(b'{"status": ') + b'40\r\n"Succ')


def bad_chunk_size() -> Behaviour:
    """A whole chunk, then one whose size is no number."""
    start = head(200, {"Transfer-Encoding": "chunked"})
    return raw(start + _chunk(b'{"status": ') + b'zz\r\n"Success"}\r\n0\r\n\r\n')


def chunk_size(size: bytes) -> Behaviour:
    """A chunk of that size, whatever its bytes are."""
    start = head(200, {"Transfer-Encoding": "chunked"})
    return raw(start + size + b"\r\nabc\r\n0\r\n\r\n")


def false_gzip() -> Behaviour:
    """A body that is labelled gzip and is not."""
    return reply(200, b"this is no gzip at all", {"Content-Encoding": "gzip"})


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# Too much of it


def many_headers(count: int = 150) -> Behaviour:
    """A proper reply with `count` headers beside the usual ones (Python refuses more than 100)."""
    return json({"status": "OK"}, headers={f"X-Header-{n}": n for n in range(count)})


def long_header(length: int = 70_000) -> Behaviour:
    """A proper reply with one header line of `length` bytes (Python refuses more than 65536)."""
    return json({"status": "OK"}, headers={"X-Long": "a" * (length - len("X-Long: \r\n"))})


def deep_json(depth: int = 100_000) -> Behaviour:
    """Valid JSON that nests `depth` lists."""
    return reply(200, b"[" * depth + b"]" * depth, {"Content-Type": "application/json"})


def huge_json(mebibytes: int, *, chunked: bool = False) -> Behaviour:
    """Valid JSON of that size, one long string; `chunked` does not tell its length beforehand."""
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": mebibytes * MIB}

    def send(connection: Connection) -> None:
        connection.send(head(200, {"Content-Type": "application/json", **framing}))
        for piece in _long_string(mebibytes):
            connection.send(_chunk(piece) if chunked else piece)
        if chunked:
            connection.send(b"0\r\n\r\n")

    return _answer(send)


def _long_string(mebibytes: int) -> Iterator[bytes]:
    """A JSON string of exactly that size, quotes included, a MiB at a time."""
    filler = b"a" * MIB
    for number in range(mebibytes):
        piece = b'"' + filler[1:] if number == 0 else filler
        yield piece[:-1] + b'"' if number == mebibytes - 1 else piece


def garbage(data: bytes = b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n") -> Behaviour:
    """Bytes that are not HTTP: by default the alert with which a TLS server refuses plain text."""
    return raw(data)


def no_request() -> Behaviour:
    """The answer of a server that takes plain text to whatever does not begin like it."""

    def behave(connection: Connection) -> None:
        connection.wait_for_bytes()
        connection.send(head(400, {"Content-Length": 0}))
        connection.wait_for_close()

    return behave


# JSON of the wrong shape

WRONG_VALUES: tuple[object, ...] = (None, True, 7, 1.5, "text", [], {})


def misshapen(good: object, path: str = "$") -> Iterator[tuple[str, object]]:
    """Copies of `good`, each with one node of another type or one key gone, and what is wrong.

    For example ("$.volumes[0] = null", {"volumes": [None, ...]}).
    """
    for wrong in WRONG_VALUES:
        if type(wrong) is not type(good):
            yield f"{path} = {dumps(wrong)}", wrong
    if isinstance(good, dict):
        for key, value in good.items():
            yield f"{path}.{key} missing", {k: v for k, v in good.items() if k != key}
            for name, changed in misshapen(value, f"{path}.{key}"):
                yield name, {**good, key: changed}
    if isinstance(good, list):
        for index, value in enumerate(good):
            for name, changed in misshapen(value, f"{path}[{index}]"):
                yield name, [*good[:index], changed, *good[index + 1 :]]
