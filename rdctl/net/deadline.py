"""A deadline for whole requests.

A socket's timeout limits only the wait for the next byte, so a slow server could hold a client
forever. Here every receive gets only the time left. The connections look up the deadline in
`current`, because neither requests nor urllib3 passes one to them.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rdctl.core.buffers import Buffer, rest_of
from rdctl.net.bodies import Body
from rdctl.net.heads import HeadReader
from rdctl.net.lean_requests import requests, urllib3

_TCP = socket.SOCK_STREAM
# How often a request checks whether it was canceled.
CHECK_SECONDS = 0.5


class Deadline:
    """A time limit for waiting; `seconds` None means none."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock() + seconds
        self._longest = 0.0, ""

    def left(self) -> float | None:
        """Seconds left, at least 0; None without a limit."""
        return None if self._end is None else max(0.0, self._end - self._clock())

    @property
    def over(self) -> bool:
        return self.left() == 0.0

    def spent(self, seconds: float, what: str) -> None:
        """Record a wait of so many seconds."""
        self._longest = max(self._longest, (seconds, what))

    @property
    def longest(self) -> tuple[float, str]:
        """The longest wait so far: its seconds and its purpose."""
        return self._longest

    def within(self, seconds: float | None) -> Deadline:
        """The earlier of this and `seconds` from now."""
        left = self.left()
        if seconds is None or (left is not None and left < seconds):
            return self
        return Deadline(seconds, self._clock)

    def each(self, seconds: float | None) -> Deadline:
        """This deadline for the whole, and `seconds` for each wait."""
        return self if seconds is None else _Patience(self, seconds)


class _Patience(Deadline):
    """A limit for each wait: only silence counts, not progress."""

    def __init__(self, whole: Deadline, seconds: float) -> None:
        self._whole = whole
        self._seconds = seconds

    def left(self) -> float | None:
        left = self._whole.left()
        return self._seconds if left is None else min(left, self._seconds)


class _CurrentRequest(threading.local):
    deadline: Deadline | None = None
    # Whether any byte of the request was sent: without one it had no effect.
    sent = False
    # Called before and during each wait; an exception ends the request.
    check: Callable[[], None] | None = None
    # Headers that follow a chunked body: each value is computed after the body was sent.
    trailers: Mapping[str, Callable[[], str]] = {}
    # Whether the libraries have sent all blocks of a chunked body.
    ended = False


current = _CurrentRequest()


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


class _Socket:
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


@contextlib.contextmanager
def query(host: str, port: int, data: bytes, seconds: float) -> Iterator[io.BufferedReader]:
    """Send a query of a protocol other than HTTP, and read its reply, within the current deadline;
    `seconds` are those to connect. Raises OSError."""
    whole = current.deadline or Deadline(None)
    patience = whole.within(seconds)
    found = _Looking(host, port).wait(patience, current.check)
    if isinstance(found, OSError):
        raise found
    failed: OSError = TimeoutError("timed out")
    for address in found or ():
        try:
            sock = socket.create_connection((address, port), max(patience.left() or 0.0, 0.001))
        except OSError as error:
            failed = error
            continue
        with sock:
            connection = _Socket(sock)
            connection.sendall(data)
            with connection.makefile() as reply:
                yield reply
        return
    if isinstance(failed, TimeoutError) and not whole.over:
        raise ConnectionError(f"no reply within {seconds:g} s") from failed
    raise failed


def _last_chunk() -> bytes:
    """The end of a chunked body, with the trailers."""
    lines = [f"{name}: {value()}\r\n" for name, value in current.trailers.items()]
    return "".join(["0\r\n", *lines, "\r\n"]).encode("latin-1")


def _to_the_end(blocks: Iterable[Buffer]) -> Iterator[Buffer]:
    """The blocks of a chunked body, without empty ones: requests before 2.30 would send those as
    its end."""
    current.ended = False
    yield from filter(None, blocks)
    current.ended = True


class _Connecting(urllib3.connection.HTTPConnection):
    response_class = HeadReader
    # Whether the server was asked to close it.
    last = False

    def putheader(self, header: str, *values: Any) -> None:  # type: ignore[override]
        if header == "Connection":
            self.last = values == ("close",)
        super().putheader(header, *values)

    def send(self, data: Any) -> None:
        """urllib3 does not support trailers: they are added to its last chunk."""
        if current.ended and data == b"0\r\n\r\n":
            data = _last_chunk()
        super().send(data)

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that responds. All addresses of a host share the timeout;
        urllib3 would give the whole of it to each."""
        # Without a timeout there is an object in its place in some releases.
        seconds = self.timeout if isinstance(self.timeout, (int, float)) else None
        name, whole = self._dns_host, Deadline(seconds)
        addresses = self._addresses(_with_zone(name))
        try:
            while True:
                self._dns_host = addresses.pop(0)
                left = whole.left()
                self.timeout = left if left is None else max(left, 0.001)
                try:
                    return super()._new_conn()
                except urllib3.exceptions.HTTPError:
                    if not addresses or whole.over:
                        raise
        finally:
            self._dns_host = name

    def _addresses(self, name: str) -> list[str]:
        """The addresses of a host. Their lookup may take any time, so it runs once, in a thread."""
        with contextlib.suppress(OSError, UnicodeError):
            return _resolved(name, self.port, socket.AI_NUMERICHOST)
        key = name, self.port
        if key not in _known:
            _known[key] = _Looking(*key)
        found = _known[key].wait(current.deadline or Deadline(None), current.check)
        if found is None:
            raise Unresolved(self, f"resolving {name} timed out")
        if isinstance(found, OSError):
            del _known[key]  # the next lookup may succeed
            raise urllib3.exceptions.NewConnectionError(self, str(found)) from found
        return list(found)


class Unresolved(urllib3.exceptions.NewConnectionError):
    """The name resolution timed out."""


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


def _resolved(name: str, port: int, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(name, port, type=_TCP, flags=flags)
    # The zone of a link-local address is a separate number.
    return [f"{at[0]}%{at[3]}" if len(at) == 4 and at[3] else str(at[0]) for *_, at in found]


_known: dict[tuple[str, int], _Looking] = {}


def _with_zone(name: str) -> str:
    """An IPv6 address as the system reads it: in a URL the % before its zone is written %25."""
    return name.replace("%25", "%", 1) if ":" in name else name


_LINE_END = re.compile("[\r\n]")


class _HTTPConnection(_Connecting):
    def connect(self) -> None:
        super().connect()
        self.sock = _Socket(self.sock)

    def ask(self, request: requests.PreparedRequest, target: str) -> http.client.HTTPResponse:
        """Send a request as it is; the reply, of which nothing is read yet."""
        method, fields = str(request.method), request.headers
        self.last = fields.get("Connection") == "close"
        lines = [f"{name}: {value}" for name, value in fields.items()]
        if _LINE_END.search("".join(lines)):
            raise ValueError("invalid line end in a header")
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port != self.default_port:
            host += f":{self.port}"
        head = "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""])
        # A server may refuse a body that it has not received whole.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send(head.encode("latin-1"))
            self._send_body(request.body, "Transfer-Encoding" in fields)
        return HeadReader(self.sock, method=method)

    def _send_body(self, body: Any, chunked: bool) -> None:
        for block in (body,) if isinstance(body, bytes) else body or ():
            if chunked and block:
                connected: Any = self.sock
                connected.send_parts([b"%x\r\n" % len(block), block, b"\r\n"])
            else:
                self.send(block)
        if chunked:
            self.send(_last_chunk())


class _HTTPSConnection(_Connecting, urllib3.connection.HTTPSConnection):
    """A connection through a proxy or TLS. While these are set up, each byte would have the whole
    timeout of the socket, so a timer ends the connection."""

    _raw: socket.socket | None = None

    def connect(self) -> None:
        deadline = current.deadline or Deadline(None)
        watch = threading.Timer(deadline.left() or 0.0, self._end)
        watch.daemon = True
        if deadline.left() is not None:
            with contextlib.suppress(RuntimeError):  # the thread limit is reached
                watch.start()
        try:
            super().connect()
        except Exception as error:
            if deadline.over:
                raise TimeoutError("timed out") from error
            raise
        finally:
            watch.cancel()
        self.sock = _Socket(self.sock)

    def _new_conn(self) -> socket.socket:
        self._raw = super()._new_conn()
        return self._raw

    def _end(self) -> None:
        if self._raw is not None:
            with contextlib.suppress(OSError):
                self._raw.shutdown(socket.SHUT_RDWR)


class _Pool(urllib3.HTTPConnectionPool):
    """Does not reuse connections that the server was asked to close: it may close them without
    saying so in its headers, and the next request would be lost."""

    pool: Any = None

    def __del__(self) -> None:
        self.close()  # not every release does

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and conn.last:
            conn.close()
        super()._put_conn(conn)


class _HTTPPool(_Pool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(_Pool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


# URLs that need no escapes, and whose host needs no conversion: nearly all.
_CHARACTERS = r"(?:[\w.~!$&'()*+,;=:@?/-]|%[0-9A-F]{2})*"
_PLAIN = re.compile(rf"(http://(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?)(/(?!/){_CHARACTERS})", re.A)


class DeadlineAdapter(requests.adapters.HTTPAdapter):
    """An adapter whose connections respect the current deadline; it never retries."""

    def __init__(self) -> None:
        # A rawx keeps connections alive; all connections in use at a time are kept.
        super().__init__(max_retries=0, pool_maxsize=64)
        self._pools: dict[str, Any] = {}

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Without TLS or a proxy, send directly over a connection of the pool: the general code of
        the libraries takes twice the time, which counts when an object has many chunks."""
        plain = _PLAIN.fullmatch(str(request.url))
        if plain is None or proxies:
            if "Transfer-Encoding" in request.headers:
                request.body = _to_the_end(request.body or ())  # type: ignore[arg-type,assignment]
            return super().send(request, stream, timeout, verify, cert, proxies)
        origin, target = plain.groups()
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = self.poolmanager.connection_from_url(origin)
        connection = pool._get_conn()
        connection.timeout = timeout[0] if isinstance(timeout, tuple) else timeout
        with contextlib.ExitStack() as failed:
            failed.callback(connection.close)
            answer = connection.ask(request, target)
            failed.callback(answer.close)
            answer.begin()
            if answer.will_close:
                connection.close()  # the rest of the reply can still be read
            response = _response(request, answer, connection, pool)
            failed.pop_all()
        return response

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._keep_deadline(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        return self._keep_deadline(super().proxy_manager_for(proxy, **kwargs))

    @staticmethod
    def _keep_deadline(manager: Any) -> Any:
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager


def _response(
    request: requests.PreparedRequest,
    answer: http.client.HTTPResponse,
    connection: Any,
    pool: Any,
) -> requests.Response:
    raw = urllib3.HTTPResponse(
        body=answer,
        headers=answer.msg.raw_items(),  # type: ignore[arg-type]
        status=answer.status,
        version=answer.version,
        reason=answer.reason,
        preload_content=False,
        original_response=answer,
        request_method=request.method,
        connection=connection,
        pool=pool,
    )
    response = requests.Response()
    response.request, response.raw = request, raw
    response.status_code, response.reason = raw.status, raw.reason or ""
    response.headers = requests.structures.CaseInsensitiveDict(raw.headers.itermerged())
    return response


def body_of(raw: Any) -> Body:
    """The body of a reply that was received by these connections, or by the adapter of a test."""
    answer = raw._original_response
    if isinstance(answer, HeadReader) and answer.fp is not None:
        return Body(answer.fp, answer.length, chunked=answer.chunked)
    return Body(raw, raw.length_remaining, chunked=False)


class Session(requests.Session):
    """A session that sends only the given requests: no cookies, hooks, or redirects."""

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:
        started = time.perf_counter()
        response = self.get_adapter(str(request.url)).send(request, **settings)
        response.elapsed = timedelta(seconds=time.perf_counter() - started)
        return response
