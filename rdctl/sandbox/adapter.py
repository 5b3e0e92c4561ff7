"""An adapter for requests that calls a WSGI app in this process: no socket is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3 import HTTPResponse
from urllib3._collections import HTTPHeaderDict

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment


class WsgiAdapter(BaseAdapter):
    """Mount it on a session for one host: `session.mount("http://rapiddisk.sandbox", ...)`.

    The app gets the same environment as from `serve`, with the request target as it was sent in
    `REQUEST_URI`; `Date` and `Connection: close` are added as by a server. What the app raises
    reaches the caller. `trailers` are asked for once a chunked body was read.
    """

    def __init__(
        self, app: WSGIApplication, trailers: Callable[[], Mapping[str, str]] | None = None
    ) -> None:
        super().__init__()
        self.app = app
        self.trailers = trailers

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        environ = _environ(request)
        if self.trailers is not None and "HTTP_TRANSFER_ENCODING" in environ:
            for name, value in self.trailers().items():
                environ.setdefault(f"HTTP_{name.upper().replace('-', '_')}", value)
        status, headers, body = _call(self.app, environ)
        raw = _raw(request, status, headers, body)
        response = Response()
        response.status_code = raw.status
        response.headers = CaseInsensitiveDict(raw.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = raw
        response.reason = raw.reason or ""
        response.url = request.url or ""
        response.request = request
        response.connection = self  # type: ignore[assignment]
        return response

    def close(self) -> None:
        """Nothing is open."""


def _environ(request: PreparedRequest) -> WSGIEnvironment:
    parts = urlsplit(request.url or "")
    body = _body(request)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "REQUEST_URI": request.path_url,
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
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": StringIO(),  # what the app raises is enough
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        key = _text(name).upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        environ[key] = _text(value)
    if "CONTENT_LENGTH" not in environ and isinstance(body, BytesIO):
        environ["CONTENT_LENGTH"] = str(len(body.getbuffer()))
    return environ


def _body(request: PreparedRequest) -> Any:
    body: Any = request.body
    if hasattr(body, "read"):
        return body
    if body is None or isinstance(body, (bytes, str)):
        return BytesIO((body or "").encode() if not isinstance(body, bytes) else body)
    gathered = BytesIO()
    for piece in body:  # one by one: its memory may be used again for the next
        gathered.write(piece)
    gathered.seek(0)
    return gathered


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


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


def _raw(
    request: PreparedRequest, status: str, headers: list[tuple[str, str]], body: bytes
) -> HTTPResponse:
    sent = HTTPHeaderDict({"Date": formatdate(usegmt=True), "Connection": "close"})
    for name, value in headers:
        sent.add(name, value)
    if "Content-Length" not in sent and request.method != "HEAD":
        sent["Content-Length"] = str(len(body))
    number, _, reason = status.partition(" ")
    return HTTPResponse(
        body=BytesIO(body),
        headers=sent,
        status=int(number),
        reason=reason,
        version=11,
        preload_content=False,
        decode_content=False,
        enforce_content_length=True,
        request_method=request.method,
        request_url=request.url,
    )
