"""The sandbox over HTTP: a threaded server for each simulated system."""

from __future__ import annotations

import errno
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from email.errors import MissingHeaderBodySeparatorDefect
from io import BufferedReader, BytesIO, RawIOBase
from socketserver import StreamRequestHandler, TCPServer, ThreadingMixIn
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from wsgiref.handlers import SimpleHandler
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from rdctl.core.errors import Code, RdctlError
from rdctl.sandbox.oio.beanstalkd import Beanstalkd

if TYPE_CHECKING:
    from wsgiref.headers import Headers
    from wsgiref.types import WSGIApplication, WSGIEnvironment

_MOST_BODY = 64 << 20  # bytes
_MOST_TRAILERS = 100
_MAX_LINE = 128 * 1024  # bytes of a request line; the apps refuse long ones themselves


def serve(
    listeners: Sequence[tuple[WSGIApplication | Beanstalkd, str, int]],
    ready: Callable[[list[str]], object],
    stop: Event | None = None,
) -> None:
    """Serve each (app, host, port) until `stop` is set or Ctrl-C, then close every socket. Apps are
    served over HTTP, a Beanstalkd over its own protocol.

    Port 0 takes a free one. `ready` is called once, with the URLs in the order of the listeners,
    when all of them listen. Ctrl-C is the normal end and is not passed on. An address that is not
    available is an RdctlError, and then nothing is left open.
    """
    stop = stop or Event()
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        servers = []
        for listener in listeners:
            servers.append(_listen(*listener))
            stack.enter_context(servers[-1])
        for server in servers:
            thread = Thread(target=server.serve_forever, args=(0.1,), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
        ready([_url(server) for server in servers])
        stop.wait()


class _Handler(WSGIRequestHandler):
    """One request per connection, as with both real servers."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one segment
    timeout = 60.0  # seconds for all of a request, and then for each part of the reply
    rfile: Any
    wfile: Any

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._incoming = _Incoming(self.connection, self.timeout)
        self.rfile = BufferedReader(self._incoming)

    def handle(self) -> None:
        self.raw_requestline = self.rfile.readline(_MAX_LINE)
        if not self.parse_request():
            return
        server: Any = self.server
        self._trailers: dict[str, str] = {}
        try:
            body = self._body()
        except _Refused as refused:
            head = f"HTTP/1.1 {refused}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            self.wfile.write(head.encode())
            self._drain()
            return
        self.connection.settimeout(self.timeout)
        # Trailers are given to the app as headers; they do not replace any.
        environ = self._trailers | self.get_environ() | {"CONTENT_LENGTH": str(len(body))}
        _Gateway(BytesIO(body), self.wfile, self.get_stderr(), environ).run(server.get_app())
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self._drain()

    def _body(self) -> bytes:
        """All of the body: a truncated one is not acted on. An excessive length is refused before
        anything is read or stored."""
        self._refuse_ambiguous()
        length = self.headers.get("Content-Length")
        if length is not None:
            if not (length.isascii() and length.isdigit()):
                raise _Refused("400 Bad Request")
            if len(length) > 18 or int(length) > _MOST_BODY:
                raise _Refused("413 Request Entity Too Large")
            return self._exactly(int(length))
        chunked = "Transfer-Encoding" in self.headers
        return b"".join(self._chunks()) if chunked else b""

    def _refuse_ambiguous(self) -> None:
        """Refuse what servers may interpret differently (RFC 9112, 5.1 and 6)."""
        lengths = set(self.headers.get_all("Content-Length", []))
        coding = ",".join(self.headers.get_all("Transfer-Encoding", []))
        # As in `Content-Length : 1`: the headers from there on are not read.
        cut = any(isinstance(one, MissingHeaderBodySeparatorDefect) for one in self.headers.defects)
        chunks = "Transfer-Encoding" in self.headers
        if cut or len(lengths) > 1 or (chunks and (lengths or self.request_version == "HTTP/1.0")):
            raise _Refused("400 Bad Request")
        if chunks and coding.strip().lower() != "chunked":
            raise _Refused("501 Not Implemented")

    def _chunks(self) -> Iterator[bytes]:
        left = _MOST_BODY
        while size := self._chunk_size():
            left -= size
            if left < 0:
                raise _Refused("413 Request Entity Too Large")
            yield self._exactly(size)
            self.rfile.readline(64)
        while line := self.rfile.readline(4096).strip():
            name, _, value = line.decode("latin-1").partition(":")
            if len(self._trailers) == _MOST_TRAILERS:
                raise _Refused("400 Bad Request")
            self._trailers[f"HTTP_{name.strip().upper().replace('-', '_')}"] = value.strip()

    def _chunk_size(self) -> int:
        digits = self.rfile.readline(64).partition(b";")[0].strip()
        if not re.fullmatch(b"[0-9A-Fa-f]{1,16}", digits):
            raise _Refused("400 Bad Request")
        return int(digits, 16)

    def _exactly(self, size: int) -> bytes:
        data: bytes = self.rfile.read(size)
        if len(data) < size:
            raise _Refused("400 Bad Request")
        return data

    def get_environ(self) -> WSGIEnvironment:
        environ = super().get_environ()
        environ["REQUEST_URI"] = self.requestline.split()[1]
        return environ

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send no reply to what is not HTTP: the connection is closed."""

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _drain(self) -> None:
        """Read the rest of the body: closing before that would reset the client's connection."""
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            left = _MOST_BODY
            while left > 0 and (data := self._incoming.receive(65536)):
                left -= len(data)


class _Incoming(RawIOBase):
    """What a connection sends, all of it within `seconds`: TimeoutError for slow clients."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._wait_at_most(self._end - time.monotonic())
        return self._connection.recv_into(buffer)

    def receive(self, size: int) -> bytes:
        """What is left of an unread body; silence ends it soon."""
        self._wait_at_most(min(1.0, self._end - time.monotonic()))
        return self._connection.recv(size)

    def _wait_at_most(self, seconds: float) -> None:
        if seconds <= 0.0:
            raise TimeoutError
        self._connection.settimeout(seconds)


class _Refused(Exception):
    """A request that is answered with this status before it reaches an app."""


class _Gateway(SimpleHandler):
    http_version = "1.1"
    os_environ: dict[str, str] = {}  # noqa: RUF012 - the app sees the request, not this process
    environ: WSGIEnvironment
    headers: Headers

    def cleanup_headers(self) -> None:
        if self.environ["REQUEST_METHOD"] != "HEAD":  # only the app knows whether it has a length
            super().cleanup_headers()
        self.headers["Connection"] = "close"

    def handle_error(self) -> None:
        """No reply from a stopped service."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_port = False  # or a second server would share the port silently
    request_queue_size = 128

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer would look the host's name up in the DNS
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that disconnected is not an error
            super().handle_error(request, client_address)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Lines(StreamRequestHandler):
    """Commands of one client of a beanstalkd, each a line."""

    timeout = 60.0
    server: _QueueServer

    def handle(self) -> None:
        while line := self.rfile.readline(_MAX_LINE):
            reply = self.server.queue.answer(line)
            if reply is None:
                return
            self.wfile.write(reply)


class _QueueServer(ThreadingMixIn, TCPServer):
    daemon_threads = True
    queue: Beanstalkd
    handle_error = _Server.handle_error


class _QueueServer6(_QueueServer):
    address_family = socket.AF_INET6


def _listen(app: WSGIApplication | Beanstalkd, host: str, port: int) -> _Server | _QueueServer:
    six = ":" in host
    try:
        if isinstance(app, Beanstalkd):
            of_queue: type[_QueueServer] = _QueueServer6 if six else _QueueServer
            queue = of_queue((host, port), _Lines)
            queue.queue = app
            return queue
        of_app: type[_Server] = _Server6 if six else _Server
        server = of_app((host, port), _Handler)
    except (OSError, OverflowError) as error:
        raise _cannot_listen(host, port, error) from error
    server.set_app(app)
    return server


def _cannot_listen(host: str, port: int, error: Exception) -> RdctlError:
    number = getattr(error, "errno", None)
    hint = None
    if number == errno.EADDRINUSE:
        code, reason = Code.CONFLICT, "port in use"
        hint = "Choose another port, or 0 for a free one."
    elif number == errno.EACCES:
        code, reason = Code.DENIED, "port requires root"
        hint = "Choose a port above 1023."
    else:
        code, reason = Code.USAGE, getattr(error, "strerror", None) or str(error)
    address = _address(host, port)
    return RdctlError(code, f"cannot listen on {address}: {reason}", hint=hint, target=address)


def _url(server: _Server | _QueueServer) -> str:
    host, port = server.server_address[:2]
    scheme = "beanstalk" if isinstance(server, _QueueServer) else "http"
    return f"{scheme}://{_address(str(host), int(port))}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
