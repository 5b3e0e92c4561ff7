"""Requests to the simulated OpenIO servers, handed to their WSGI apps as a server does it."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from rdctl.sandbox import OIO_HOST, apps

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

NS = "/v3.0/OPENIO"
ACCOUNT_HOST = "127.0.0.1:16017"


class Reply(NamedTuple):
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        """The body; what is not UTF-8 is read as Latin-1, as in the recordings."""
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            return self.body.decode("latin-1")

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    def header(self, name: str) -> str:
        """The one header of that name, in any case; KeyError without it."""
        found = [value for given, value in self.headers if given.lower() == name.lower()]
        if len(found) != 1:
            raise KeyError(name)
        return found[0]

    @property
    def refusal(self) -> tuple[int, int]:
        """The HTTP status and the body's."""
        return self.status, self.json["status"]


class Servers:
    """All servers over one store."""

    def __init__(self, path: Path) -> None:
        self.apps: dict[str, WSGIApplication] = apps(path)

    def send(
        self,
        host: str,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Reply:
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": host,
            "SERVER_PORT": "80",
            "HTTP_HOST": host,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for name, value in (headers or {}).items():
            if name.lower() not in ("host", "content-length"):
                environ["HTTP_" + name.upper().replace("-", "_")] = value
        head: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, sent: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Any:
            head.append((status, sent))
            return lambda data: None

        whole = b"".join(self.apps[host](environ, start_response))
        ((status, sent),) = head
        for field in (status, *(part for pair in sent for part in pair)):
            assert not re.search(r"[\x00-\x1f\x7f]", field), "no HTTP"
            field.encode("latin-1")
        number, _, reason = status.partition(" ")
        return Reply(int(number), reason, sent, whole)

    def proxy(
        self,
        method: str,
        target: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """`target` below the namespace, or whole; `body` bytes, or a value sent as JSON."""
        data = b"" if body is None else body
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        whole = target if target.startswith("/") else f"{NS}/{target}"
        return self.send(OIO_HOST, method, whole, headers, data)
