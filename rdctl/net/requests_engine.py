"""The engine for TLS, client certificates and proxies: requests, with our deadline and our reading
of replies."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import requests
import urllib3

from rdctl.core.buffers import Buffer
from rdctl.core.floors import require
from rdctl.net.bodies import Body, body_of
from rdctl.net.deadline import Deadline, current
from rdctl.net.engine import Answer, Request, last_chunk
from rdctl.net.faults import BadReply, Disconnected, causes_of
from rdctl.net.heads import Head, read_head
from rdctl.net.messages import Access
from rdctl.net.sockets import Socket, connect

require(requests, urllib3)


class RequestsEngine:
    """Sends requests with the credentials and the proxy of an endpoint."""

    def __init__(self, access: Access) -> None:
        self._adapter = _Adapter()
        proxy = access.http_proxy
        self._settings: dict[str, Any] = {
            "stream": True,
            "verify": access.ca or True,
            "cert": (access.cert, access.key) if access.cert and access.key else access.cert,
            "proxies": {"http": proxy, "https": proxy} if proxy else {},
        }

    def send(self, request: Request) -> Answer:
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        # Set directly: prepare_url would quote again and remove dots.
        prepared.url = "/".join(request.url.split("/", 3)[:3]) + request.target
        prepared.headers = requests.structures.CaseInsensitiveDict(request.headers)
        body: Any = request.body
        prepared.body = _to_the_end(body or ()) if request.chunked else body  # type: ignore[assignment]
        prepared.hooks = requests.models.default_hooks()
        timeout: Any = request.connect, request.seconds
        try:
            response = self._adapter.send(prepared, timeout=timeout, **self._settings)
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            neutral = _neutral(error)
            if neutral is None:
                raise
            raise neutral from error
        raw: Any = response.raw
        reader: HeadReader = raw._original_response

        def finish() -> None:
            reader.close()
            if reader.body.complete:
                raw.release_conn()
            raw.close()

        return Answer(reader.head, reader.body, finish)


def _to_the_end(blocks: Iterable[Buffer]) -> Iterator[Buffer]:
    """The blocks of a chunked body, without empty ones: requests before 2.30 would send those as
    its end."""
    current.ended = False
    yield from filter(None, blocks)
    current.ended = True


def _neutral(error: Exception) -> Exception | None:
    """The exception whose fault is known; None: this one's."""
    for cause in causes_of(error):
        if isinstance(cause, http.client.RemoteDisconnected):
            return Disconnected(str(cause))
        if isinstance(cause, http.client.HTTPException):
            return BadReply(str(cause))
    return None if isinstance(error, OSError) else OSError(str(error))


class HeadReader(http.client.HTTPResponse):
    """Reads replies as the other engine does."""

    head: Head
    body: Body

    def begin(self) -> None:
        self.head = head = read_head(self.fp)
        self.body = body_of(head, self._method, self.fp)  # type: ignore[attr-defined]
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in head.headers.items():
            # Any other way is slow, and since Python 3.14 refuses names with blanks.
            self.headers.set_raw(name, value)
        self.version = 11
        self.code = self.status = head.status
        self.reason = head.reason
        self.will_close = head.last or not self.body.bounded


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
            data = last_chunk()
        super().send(data)

    def _new_conn(self) -> socket.socket:
        # Without a timeout there is an object in its place in some releases.
        seconds = self.timeout if isinstance(self.timeout, (int, float)) else None
        return connect(self._dns_host, self.port, seconds)


class _HTTPConnection(_Connecting):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = Socket(self.sock)


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
        self.sock: Any = Socket(self.sock)

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


class _Adapter(requests.adapters.HTTPAdapter):
    """Opens connections that respect the current deadline; it never retries."""

    def __init__(self) -> None:
        super().__init__(max_retries=0, pool_maxsize=64)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._keep_deadline(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        return self._keep_deadline(super().proxy_manager_for(proxy, **kwargs))

    @staticmethod
    def _keep_deadline(manager: Any) -> Any:
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager
