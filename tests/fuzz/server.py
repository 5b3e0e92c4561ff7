"""The sandbox's servers over HTTP, whose replies may be spoiled on their way."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from email.parser import BytesParser
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from rdctl.sandbox import OIO_HOST, RAPIDDISK_HOST, apps
from rdctl.sandbox.oio import state

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

HOSTS = (RAPIDDISK_HOST, OIO_HOST, *state.RAWX_ADDRESSES, state.ACCOUNT_ADDRESS)
SECONDS = 5.0  # that a silent client keeps its thread

Spoil = Callable[[bytes], bytes]


class Servers:
    """One listener a host, for the whole process; each group of runs has its own sandbox behind
    them. `spoil` makes of a whole reply the bytes that are sent."""

    def __init__(self) -> None:
        self.spoil: Spoil = bytes
        self._apps: dict[str, WSGIApplication] = {}
        self._selector = selectors.DefaultSelector()
        self._address: dict[str, str] = {}
        for host in HOSTS:
            listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self._address[host] = f"127.0.0.1:{listener.getsockname()[1]}"
            self._selector.register(listener, selectors.EVENT_READ, host)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, host: str) -> str:
        return f"http://{self._address[host]}"

    def serve(self, sandbox: str) -> None:
        self._apps = apps(sandbox, self._address)

    def _accept(self) -> None:
        while True:
            for key, _ in self._selector.select():
                listener: Any = key.fileobj
                client, _ = listener.accept()
                client.settimeout(SECONDS)
                threading.Thread(target=self._answer, args=(client, key.data), daemon=True).start()

    def _answer(self, client: socket.socket, host: str) -> None:
        with client, suppress(OSError, ValueError):
            with client.makefile("rb") as stream:
                reply = _asked(self._apps[host], stream)
            client.sendall(self.spoil(reply))
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass


def _asked(app: WSGIApplication, stream: Any) -> bytes:
    """What the app answers to the request that the stream holds, as the bytes of a reply."""
    method, target, _ = stream.readline().decode("latin-1").split()
    lines = b"".join(iter(stream.readline, b"\r\n"))
    headers = BytesParser().parsebytes(lines)
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(_body(headers, stream)),
        "wsgi.input_terminated": True,
        "wsgi.errors": BytesIO(),
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key.startswith("CONTENT_") else f"HTTP_{key}"] = value
    head: list[str] = []

    def start(status: str, sent: list[tuple[str, str]], _: Any = None, /) -> Any:
        head[:] = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in sent)]
        return lambda data: None

    body = b"".join(app(environ, start))
    if not any(line.lower().startswith("content-length") for line in head):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + body


def _body(headers: Any, stream: Any) -> bytes:
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        return bytes(stream.read(int(headers.get("Content-Length") or 0)))
    body = b""
    while size := int(stream.readline().partition(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body
