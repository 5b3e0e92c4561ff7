"""The engine for plain HTTP: nothing is imported for it but sockets.

Importing an HTTP library takes longer than most commands work, and the general code of one twice
the time of this for each request, which counts when an object has many chunks.
"""

from __future__ import annotations

import contextlib
import re
import socket
import weakref

from rdctl.net.bodies import body_of
from rdctl.net.engine import Answer, Request, last_chunk
from rdctl.net.heads import read_head
from rdctl.net.sockets import Socket, connect

# Hosts that need no conversion.
_ORIGIN = re.compile(r"http://([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?(/.*)?", re.A | re.S)
# A rawx keeps connections alive; all connections in use at a time are kept.
_MOST_KEPT = 64


class PlainEngine:
    """Sends requests to one server, over connections that are used again."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host.strip("[]"), port
        self._host = host.lower() if port == 80 else f"{host.lower()}:{port}"
        self._idle: list[Socket] = []
        weakref.finalize(self, _close_all, self._idle)

    def send(self, request: Request) -> Answer:
        head_lines = self._head(request)
        sock = self._kept() or Socket(connect(*self._address, request.connect))
        with contextlib.ExitStack() as failed:
            failed.callback(sock.close)
            sock.settimeout(request.seconds)
            # A buffer for each reply: what follows a reply is not taken for the next one.
            source = sock.makefile()
            failed.callback(source.close)
            # A server may refuse a body that it has not received whole.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(head_lines)
                _send_body(sock, request)
            head = read_head(source)
            body = body_of(head, request.method, source)
            failed.pop_all()
        # A server may close what it was asked to close without saying so in its headers, and the
        # next request would be lost.
        last = head.last or request.headers.get("Connection") == "close"

        def finish() -> None:
            source.close()
            if body.complete and not last and len(self._idle) < _MOST_KEPT:
                self._idle.append(sock)
            else:
                sock.close()

        return Answer(head, body, finish)

    def _head(self, request: Request) -> bytes:
        lines = [f"{name}: {value}" for name, value in request.headers.items()]
        first = [f"{request.method} {request.target} HTTP/1.1"]
        if "Host" not in request.headers:
            first.append(f"Host: {self._host}")
        return "\r\n".join([*first, *lines, "", ""]).encode("latin-1")

    def _kept(self) -> Socket | None:
        """A connection that is open, and on which nothing was received."""
        while True:
            try:
                sock = self._idle.pop()
            except IndexError:
                return None
            sock.settimeout(0)
            try:
                sock.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return sock
            except OSError:
                pass  # it failed meanwhile, whatever the cause
            sock.close()


def _close_all(sockets: list[Socket]) -> None:
    while sockets:
        sockets.pop().close()


def _send_body(sock: Socket, request: Request) -> None:
    body = request.body
    for block in (body,) if isinstance(body, bytes) else body or ():
        if request.chunked and block:
            sock.send_parts([b"%x\r\n" % len(block), block, b"\r\n"])
        else:
            sock.sendall(block)
    if request.chunked:
        sock.sendall(last_chunk())


def plain_engine(url: str) -> PlainEngine | None:
    """An engine for the server at this URL, if it needs no TLS, and its name no conversion."""
    origin = _ORIGIN.fullmatch(url)
    if origin is None or (port := int(origin[2] or 80)) > 0xFFFF:
        return None
    return PlainEngine(origin[1], port)
