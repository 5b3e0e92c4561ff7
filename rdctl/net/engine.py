"""What a transport needs of whatever sends its requests: an engine."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from rdctl.core.buffers import Buffer
from rdctl.net.bodies import Body, body_of
from rdctl.net.deadline import current
from rdctl.net.heads import Head, Headers

_TO_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}|[^\w.~!$&'()*+,;=:@?/-]", re.A)


class Request(NamedTuple):
    """A request. `headers` are complete but for Host; a body of unknown size has the header
    Transfer-Encoding. `connect` and `seconds` limit the time to connect and each wait."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | Iterable[Buffer] | None = None
    connect: float | None = None
    seconds: float | None = None

    @property
    def target(self) -> str:
        """The path and the query, escaped where necessary."""
        whole = "/" + "".join(self.url.split("/", 3)[3:])
        return _TO_ESCAPE.sub(_escaped, whole.partition("#")[0])

    @property
    def chunked(self) -> bool:
        return "Transfer-Encoding" in self.headers


class Answer(NamedTuple):
    """The head of a reply, and its body, of which nothing is read yet. `finish` ends it: the
    connection is used again if the body was read completely, else closed."""

    head: Head
    body: Body
    finish: Callable[[], None]


class Engine(Protocol):
    """Sends a request within the current deadline, and notes in `current.sent` whether any byte was
    sent. Raises FAULTS. Called by any thread."""

    def send(self, request: Request, /) -> Answer: ...


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    if len(text) == 3:
        return text.upper()
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def last_chunk() -> bytes:
    """The end of a chunked body, with the trailers of the current request."""
    lines = [f"{name}: {value()}\r\n" for name, value in current.trailers.items()]
    return "".join(["0\r\n", *lines, "\r\n"]).encode("latin-1")


# A function of the method, the URL, the headers and the body of a request; returns the status, the
# reason, the headers and the body of the reply.
Call = Callable[
    [str, str, Mapping[str, str], bytes | Iterable[Buffer] | None],
    tuple[int, str, Iterable[tuple[str, str]], bytes],
]


class Calling:
    """Calls a function in this process: no socket is opened."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def send(self, request: Request) -> Answer:
        method, url, headers, body, *_ = request
        status, reason, fields, data = self._call(method, url, headers, body)
        head = Head(status, reason, Headers(fields), last=True)
        return Answer(head, body_of(head, method, io.BytesIO(data)), lambda: None)
