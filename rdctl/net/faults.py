"""Faults of requests on the network."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import NamedTuple

import urllib3.exceptions

from rdctl.core.errors import Code
from rdctl.net.deadline import Unresolved


class Cut(Exception):
    """A body that is too large."""


class Stumbled(http.client.HTTPException):
    """A reply that makes the libraries fail."""


# All exceptions of network faults.
FAULTS = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, Cut)
# Other exceptions of the libraries for invalid replies (a chunk of -5 bytes).
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
_of = urllib3.exceptions
# Faults by their causes; the first match is used.
_BY_CAUSE: tuple[tuple[tuple[type[BaseException], ...], Fault], ...] = (
    ((TimeoutError, _of.ReadTimeoutError), LATE),
    ((_of.SSLError,), _UNTRUSTED),
    (
        (_of.IncompleteRead, http.client.IncompleteRead),
        Fault(Code.BAD_REPLY, "{url} sent an incomplete reply"),
    ),
    (
        (http.client.RemoteDisconnected,),
        Fault(Code.UNREACHABLE, "{url} closed the connection without a reply", _DIED),
    ),
    ((MemoryError,), Fault(Code.FAILED, "not enough memory for the reply of {server}")),
    (
        (http.client.HTTPException, _of.InvalidChunkLength, _of.InvalidHeader, _of.DecodeError),
        _NO_HTTP,
    ),
    (
        (ConnectionResetError, BrokenPipeError),
        Fault(Code.UNREACHABLE, "{url} closed the connection: {reason}", _DIED),
    ),
)


def fault_of(causes: list[BaseException], late: bool) -> Fault:
    """The kind of fault; `late`: the deadline has passed."""

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(Cut):
        return _CUT
    if caused_by(Unresolved):
        return _UNRESOLVED
    if late:
        return LATE
    if caused_by(_of.ConnectTimeoutError) and not caused_by(_of.NewConnectionError):
        return _SILENT
    for kinds, fault in _BY_CAUSE:
        if caused_by(*kinds):
            return fault
    if caused_by(_of.ProtocolError) and not caused_by(OSError):
        return Fault(Code.BAD_REPLY, "{url}: incomplete reply: {reason}")
    return _AWAY
