"""Faults of requests on the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rdctl.core.errors import Code


class Cut(Exception):
    """A body that is too large."""


class BadReply(Exception):
    """A reply that is not valid HTTP."""


class Stumbled(BadReply):
    """A reply that makes a library fail."""


class Incomplete(Exception):
    """A body whose connection was closed before its end."""


class Disconnected(ConnectionResetError):
    """The connection was closed without a reply."""


class Silent(OSError):
    """No address of the host responded in time."""


class Unresolved(OSError):
    """The name resolution timed out."""


# All exceptions of network faults.
FAULTS = (OSError, BadReply, Incomplete, Cut)
# Other exceptions of the libraries for invalid replies.
STUMBLES = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it wraps, in any of the ways that the libraries use."""
    seen: list[BaseException] = []
    queue = [error]
    while queue:
        cause = queue.pop(0)
        if cause in seen:
            continue
        seen.append(cause)
        yield cause
        before = cause.__cause__ if cause.__suppress_context__ else cause.__context__
        links = [before, getattr(cause, "reason", None), *cause.args]
        queue += [link for link in links if isinstance(link, BaseException)]


def reason_of(causes: list[BaseException]) -> str:
    """The innermost message: `Connection refused`, not four lines of wrapping."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause.strerror)
    return brief(str(causes[-1])) or type(causes[-1]).__name__


def brief(text: str) -> str:
    """The text on one line, and shortened: it may come from the server."""
    words = " ".join(text.split())
    return words if len(words) <= 200 else words[:199] + "…"


CONNECT_SECONDS = 5.0


class Fault(NamedTuple):
    """A kind of fault: `message` may contain the {url}, the {server} with its proxy, and the
    {reason}. With `hint` None the server is not reachable."""

    code: Code
    message: str
    hint: str | None = ""


LATE = Fault(Code.TIMEOUT, "")
_DIED = "The server may have crashed: see its log."
_AWAY = Fault(Code.UNREACHABLE, "no connection to {server}: {reason}", None)
_CUT = Fault(Code.BAD_REPLY, "{url} sent an invalid reply: {reason}")
_UNRESOLVED = Fault(
    Code.TIMEOUT,
    "resolving {server} timed out",
    "Check /etc/resolv.conf, or use an IP address.",
)
_SILENT = Fault(
    Code.UNREACHABLE,
    f"{{server}} did not accept a connection within {CONNECT_SECONDS:g} s",
    "Check the address, and whether a firewall blocks it.",
)
_UNTRUSTED = Fault(
    Code.UNREACHABLE,
    "{url}: TLS connection failed: {reason}",
    "Set the CA certificate: rdctl context set NAME ca=FILE",
)
_NO_HTTP = Fault(
    Code.BAD_REPLY,
    "{url} sent an invalid HTTP reply: {reason}",
    "Check that this is the port of the API.",
)
_CLOSED = Fault(Code.UNREACHABLE, "{url} closed the connection: {reason}", _DIED)
# Faults by their causes; the first match is used.
_BY_CAUSE: tuple[tuple[type[BaseException], Fault], ...] = (
    (Incomplete, Fault(Code.BAD_REPLY, "{url} sent an incomplete reply")),
    (
        Disconnected,
        Fault(Code.UNREACHABLE, "{url} closed the connection without a reply", _DIED),
    ),
    (MemoryError, Fault(Code.FAILED, "not enough memory for the reply of {server}")),
    (BadReply, _NO_HTTP),
    (ConnectionResetError, _CLOSED),
    (BrokenPipeError, _CLOSED),
)


def _failed_tls(cause: BaseException) -> bool:
    """Known by its name: importing it takes longer than a request."""
    return any(kind.__name__ == "SSLError" for kind in type(cause).__mro__)


def fault_of(causes: list[BaseException], late: bool) -> Fault:
    """The kind of fault; `late`: the deadline has passed."""

    def caused_by(kind: type[BaseException]) -> bool:
        return any(isinstance(cause, kind) for cause in causes)

    if caused_by(Cut):
        return _CUT
    if caused_by(Unresolved):
        return _UNRESOLVED
    if late:
        return LATE
    if caused_by(Silent):
        return _SILENT
    if caused_by(TimeoutError):
        return LATE
    if any(map(_failed_tls, causes)):
        return _UNTRUSTED
    for kind, fault in _BY_CAUSE:
        if caused_by(kind):
            return fault
    return _AWAY
