"""Requests to a WSGI app in this process: no socket is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

Body = bytes | Iterable[bytes | bytearray | memoryview] | None


class WsgiAdapter:
    """Calls the app as a server would.

    The app gets the same environment as from `serve`, with the request target as it was sent in
    `REQUEST_URI`; `Date` and `Connection: close` are added as by a server. What the app raises
    reaches the caller. `trailers` are asked for once a chunked body was read.
    """

    def __init__(
        self, app: WSGIApplication, trailers: Callable[[], Mapping[str, str]] | None = None
    ) -> None:
        self.app = app
        self.trailers = trailers

    def call(
        self, method: str, url: str, headers: Mapping[str, str], body: Body
    ) -> tuple[int, str, list[tuple[str, str]], bytes]:
        """The status, the reason, the headers and the body of the reply."""
        environ = _environ(method, url, headers, body)
        if self.trailers is not None and "HTTP_TRANSFER_ENCODING" in environ:
            for name, value in self.trailers().items():
                environ.setdefault(f"HTTP_{name.upper().replace('-', '_')}", value)
        status, fields, data = _call(self.app, environ)
        fields = [("Date", formatdate(usegmt=True)), ("Connection", "close"), *fields]
        if method != "HEAD" and not any(name.lower() == "content-length" for name, _ in fields):
            fields.append(("Content-Length", str(len(data))))
        number, _, reason = status.partition(" ")
        return int(number), reason, fields, data


def _environ(method: str, url: str, headers: Mapping[str, str], body: Body) -> WSGIEnvironment:
    parts = urlsplit(url)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(parts.path, "latin-1") or "/",
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.hostname,
        "SERVER_PORT": str(parts.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": parts.netloc,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": _gathered(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": StringIO(),  # what the app raises is enough
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = value
    if "CONTENT_LENGTH" not in environ:
        environ["CONTENT_LENGTH"] = str(len(environ["wsgi.input"].getbuffer()))
    return environ


def _gathered(body: Body) -> BytesIO:
    gathered = BytesIO()
    for piece in (body,) if isinstance(body, bytes) else body or ():
        gathered.write(piece)  # one by one: its memory may be used again for the next
    gathered.seek(0)
    return gathered


def _call(
    app: WSGIApplication, environ: WSGIEnvironment
) -> tuple[str, list[tuple[str, str]], bytes]:
    head: list[tuple[str, list[tuple[str, str]]]] = []
    blocks: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        head[:] = [(status, headers)]
        return blocks.append

    result: Iterable[bytes] = app(environ, start_response)
    try:
        blocks.extend(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    status, headers = head[0]
    return status, headers, b"".join(blocks)
