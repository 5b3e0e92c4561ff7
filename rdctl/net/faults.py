"""What can go wrong on the way of a request."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import NamedTuple

import urllib3.exceptions

from rdctl.core.errors import Code
from rdctl.net.deadline import Unresolved


class Cut(Exception):
    """A body beyond all bounds."""


class Stumbled(http.client.HTTPException):
    """A reply over which the libraries stumble."""


# What goes wrong on the way, by whatever name.
FAULTS = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, Cut)
# What the libraries raise beside, about a reply that they believe (a chunk of -5 bytes).
STUMBLES = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """The exception and all that it wraps, by any of the ways that the libraries use."""
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
    """The innermost words: `Connection refused`, not four lines of wrapping."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause.strerror)
    return brief(str(causes[-1])) or type(causes[-1]).__name__


def brief(text: str) -> str:
    """On one line, and not more than one: it may come from the server."""
    words = " ".join(text.split())
    return words if len(words) <= 200 else words[:199] + "…"


CONNECT_SECONDS = 5.0


class Fault(NamedTuple):
    """What it is called: `message` may name the {url}, the {server} with its proxy, and the
    {reason}. Without a `hint` nobody answers there."""

    code: Code
    message: str
    hint: str | None = ""


LATE = Fault(Code.TIMEOUT, "")
_DIED = "Did the server die? Its own log tells."
_AWAY = Fault(Code.UNREACHABLE, "no connection to {server}: {reason}", None)
_CUT = Fault(Code.BAD_REPLY, "{url} sent what it should not: {reason}")
_UNRESOLVED = Fault(
    Code.TIMEOUT,
    "the address of {server} was not found in time",
    "Does the name service answer? See /etc/resolv.conf, or use an IP address.",
)
_SILENT = Fault(
    Code.UNREACHABLE,
    f"{{server}} does not accept a connection within {CONNECT_SECONDS:g} s",
    "Is the address right, and does a firewall let it through?",
)
_UNTRUSTED = Fault(
    Code.UNREACHABLE,
    "{url}: no trusted connection: {reason}",
    "Name the authority's certificate with the context's key `ca`.",
)
_NO_HTTP = Fault(
    Code.BAD_REPLY,
    "{url} does not speak HTTP as it should: {reason}",
    "Is this the port of the API?",
)
_of = urllib3.exceptions
# By what stands among the causes; the first that fits.
_BY_CAUSE: tuple[tuple[tuple[type[BaseException], ...], Fault], ...] = (
    ((TimeoutError, _of.ReadTimeoutError), LATE),
    ((_of.SSLError,), _UNTRUSTED),
    (
        (_of.IncompleteRead, http.client.IncompleteRead),
        Fault(Code.BAD_REPLY, "{url} sent less than it announced"),
    ),
    (
        (http.client.RemoteDisconnected,),
        Fault(Code.UNREACHABLE, "{url} closed the connection without an answer", _DIED),
    ),
    ((MemoryError,), Fault(Code.FAILED, "not enough memory for the reply of {server}")),
    (
        (http.client.HTTPException, _of.InvalidChunkLength, _of.InvalidHeader, _of.DecodeError),
        _NO_HTTP,
    ),
    (
        (ConnectionResetError, BrokenPipeError),
        Fault(Code.UNREACHABLE, "{url} broke the connection: {reason}", _DIED),
    ),
)


def fault_of(causes: list[BaseException], late: bool) -> Fault:
    """What went wrong; `late`: the time is over."""

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
