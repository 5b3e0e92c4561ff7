"""HTTP to one server: deadline, retries, TLS, token, and faults told in the words of the contract.

What a reply means is the business of the domain; here only what HTTP itself says is judged.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import random
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from typing import Any, NamedTuple

import urllib3.exceptions

from rdctl import __version__, effects
from rdctl.deadline import MOST_HEAD, Deadline, DeadlineAdapter, Unresolved, current
from rdctl.effects import Effects
from rdctl.errors import GATEWAY, Code, RdctlError
from rdctl.lean import requests
from rdctl.units import without_password
from rdctl.unread import note

CONNECT_SECONDS = 5.0
READ_SECONDS = 35.0
MOST_BODY = 256 << 20
# Bytes that its values may take, once they are read; and a size that cannot become as much.
MOST_VALUES = 1 << 30
_HARMLESS = 1 << 20
_MOST_DIGITS = 1000

# Of every request.
_HEADERS = {
    "User-Agent": f"rdctl/{__version__}",
    "Accept": "application/json, */*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}

# User properties travel as headers: the standard library's 100 are too few, and its 64 KiB for one
# too little. The connection bounds all of them together.
http.client._MAXHEADERS = 10_000  # type: ignore[attr-defined]
http.client._MAXLINE = MOST_HEAD  # type: ignore[attr-defined]


class TooMuch(ValueError):
    """JSON that nothing is made of, since that would take all memory."""


class Reply(NamedTuple):
    """A reply as received. `headers` are case-insensitive, `body` is bounded bytes, `filled` says
    how many went into the buffer of a read that had one."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes
    filled: int = 0

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "surrogateescape")

    @property
    def date(self) -> float | None:
        """When it was sent by the server's clock, in whole seconds since 1970; None: not told."""
        from email.utils import parsedate_to_datetime

        try:
            return parsedate_to_datetime(self.headers["Date"]).timestamp()
        except (LookupError, OverflowError, TypeError, ValueError):
            return None

    def json(self, *, strict: bool = True) -> Any:
        """The body's JSON value. Raises ValueError when it is none. Not `strict`: texts may hold
        line ends as they are. What is no number to JSON (NaN, 1e999) is null."""
        if _becomes(self.body) > MOST_VALUES:
            raise TooMuch(f"its values would take more than {MOST_VALUES >> 20} MiB")
        text = self.text
        options: dict[str, Any] = {
            "strict": strict,
            "parse_constant": _no_number,
            "parse_float": _float,
        }
        try:
            return json.loads(text, **options)
        except json.JSONDecodeError:
            raise
        except RecursionError:
            raise ValueError("nested too deep") from None
        except ValueError:  # a number of more digits than Python converts
            return json.loads(text, **options, parse_int=_integer)


def _becomes(body: bytes) -> int:
    """About how many bytes the values of a JSON text take, from above: an empty list takes two in
    the text, and 64 with its place in another one."""
    if len(body) < _HARMLESS:
        return len(body)
    text = len(body) if body.isascii() else 4 * len(body)
    return text + 64 * (body.count(b",") + body.count(b"[")) + 200 * body.count(b"{")


def _no_number(text: str) -> None:
    note("number", text[:20])


def _float(text: str) -> float | None:
    value = float(text)
    if math.isfinite(value):
        return value
    _no_number(text)
    return None


def _integer(text: str) -> int | None:
    if len(text) < _MOST_DIGITS:
        return int(text)
    _no_number(text)
    return None


def _succeeded(reply: Reply) -> bool:
    """Whether HTTP says Yes."""
    return reply.status < 300


class Blocks(NamedTuple):
    """A body of `size` bytes that is sent block by block; `shell` writes the same bytes, in the
    words of a shell."""

    blocks: Iterable[bytes | memoryview]
    size: int
    shell: str


class Access(NamedTuple):
    """Credentials and trust of one endpoint, as the configuration has them."""

    token: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    http_proxy: str | None = None


class _Cut(Exception):
    """A body beyond all bounds."""


class _Stumbled(http.client.HTTPException):
    """A reply over which the libraries stumble."""


# What goes wrong on the way, by whatever name.
_FAULTS = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, _Cut)
# What the libraries raise beside, about a reply that they believe (a chunk of -5 bytes).
_STUMBLES = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)


class _Session(requests.Session):
    """Sends what it is given, and nothing by itself."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: requests prepares the next request even where it is not to follow, and stumbles
        over an address that it cannot read."""


class Transport:
    """Requests to one server.

    Raises RdctlError: `unreachable`, `timeout`, `bad-reply`, `denied`, `unavailable`; for a change
    whose reply was lost `unknown`, with `shows` (the command that tells its fate) as the hint.
    """

    def __init__(
        self,
        url: str,
        effects: Effects,
        *,
        deadline: Deadline | None = None,
        retries: int = 2,
        headers: Mapping[str, str] | None = None,
        access: Access | None = None,
        one_at_a_time: bool = False,
        away: str = "Is the server running, and is the address right? See: rdctl context show",
        adapter: requests.adapters.BaseAdapter | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.url = url.rstrip("/")
        # Bytes that a reply may have.
        self.most = MOST_BODY
        self._effects = effects
        self._deadline = deadline or Deadline(None)
        self._retries = retries
        # What to do when nobody answers.
        self._away = away
        self._sleep = sleep
        self._jitter = jitter
        self._headers = {**_HEADERS, **(headers or {})}
        self._lock = threading.Lock() if one_at_a_time else contextlib.nullcontext()
        self._access = access or Access()
        self._session = session = _Session()
        session.trust_env = False
        session.headers.clear()
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter or DeadlineAdapter())

    @property
    def deadline(self) -> Deadline:
        """That of all requests, to whichever server."""
        return self._deadline

    def brief(self, seconds: float) -> Transport:
        """The same server, asked once and not waited for longer than that."""
        quick = copy(self)
        quick._deadline = self._deadline.within(seconds)
        quick._retries = 0
        return quick

    def afterwards(self, seconds: float) -> Transport:
        """The same server, asked once, in time of its own: to tidy up when all else is over."""
        quick = self.brief(seconds)
        quick._deadline = Deadline(seconds)
        return quick

    def read(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float | None = READ_SECONDS,
        repeatable: bool = True,
        again: Callable[[Reply], bool] | None = None,
        into: memoryview | None = None,
        check: Callable[[], None] | None = None,
    ) -> Reply:
        """Ask something; repeated after a failed connection or where `again` says so, if
        `repeatable`.

        A good reply's body goes `into` a buffer, as far as that takes it; `seconds` bounds each
        wait then, not the whole. `check` is called meanwhile, and may raise.
        """
        attempts = 1 + (self._retries if repeatable else 0)
        patience = self._deadline.within(seconds) if into is None else self._deadline.each(seconds)

        def receive(response: requests.Response) -> Reply:
            return self._receive(response, into)

        for attempt in range(1, attempts + 1):
            if check is not None:
                check()
            effect = self._effect(
                method, path, headers, body, patience, receive, what=f"{method} {path}"
            )
            try:
                with self._within(patience, f"{method} {self.url}{path}", check):
                    reply = self._effects.look(effect)
            except _FAULTS as error:
                fault = self._fault(error, f"{method} {self.url}{path}")
                if attempt == attempts or fault.code is not Code.UNREACHABLE:
                    raise fault from error
                if not self._pause(attempt, None):
                    raise fault from error
                continue
            if attempt < attempts and (_busy(reply) or (again is not None and again(reply))):
                if self._pause(attempt, reply):
                    continue
            return self._judged(reply)
        raise AssertionError("unreachable")

    def change(
        self,
        path: str,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        body: bytes | Blocks | None = None,
        seconds: float | None = READ_SECONDS,
        what: str,
        shows: str,
        destroys: str | None = None,
        assume: Reply | None = None,
        step: bool = False,
        did: Callable[[Reply], bool] = _succeeded,
        check: Callable[[], None] | None = None,
    ) -> Reply:
        """Change something: sent once. `what` names it for people, `shows` is the command that
        tells its fate when the reply is lost; `step` and `did`: as in Effect. For a body of Blocks
        `seconds` bounds each wait, not the whole; `check` is called meanwhile, and may raise."""
        streamed = isinstance(body, Blocks)
        patience = self._deadline.each(seconds) if streamed else self._deadline.within(seconds)
        effect = self._effect(
            method, path, headers, body, patience, self._receive, what=what, destroys=destroys
        )._replace(step=step, did=did)
        try:
            with self._within(patience, f"{method} {self.url}{path}", check):
                reply = self._effects.do(effect, assume or Reply(204, "Assumed", {}, b""))
        except _FAULTS as error:
            fault = self._fault(error, f"{method} {self.url}{path}")
            # What a step belongs to knows what becomes of it.
            if step or not current.sent:
                raise fault from error
            raise self.fate_unknown(what, shows, fault) from error
        try:
            return self._judged(reply)
        except RdctlError as fault:
            # A gateway that lost the one behind it, which may have had the request by then.
            if reply.status in GATEWAY:
                raise self.fate_unknown(what, shows, fault) from fault
            raise

    def fate_unknown(self, what: str, shows: str, fault: RdctlError) -> RdctlError:
        """The error of a change that was sent, and whose reply (`fault` tells) proves nothing."""
        return RdctlError(
            Code.UNKNOWN,
            f"{what}: it was sent, but {fault.message}; whether it was done is not known",
            hint=f"It is not sent again. See what became of it with: {shows}",
            **fault.facts,
        )

    def _effect(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        body: bytes | Blocks | None,
        patience: Deadline,
        receive: Callable[[requests.Response], Reply],
        *,
        what: str,
        destroys: str | None = None,
    ) -> effects.Effect[Reply]:
        request = requests.PreparedRequest()
        request.method = method
        # Set directly: prepare_url would quote again and drop dots.
        request.url = self.url + path
        request.headers = fields = requests.structures.CaseInsensitiveDict(self._headers)
        if self._access.token:
            fields["Authorization"] = f"Bearer {self._access.token}"
        fields.update(headers or {})
        if isinstance(body, Blocks):
            fields["Content-Length"] = str(body.size)
            request.body = body.blocks  # type: ignore[assignment]
        else:
            if body is not None or method in ("POST", "PUT"):
                fields["Content-Length"] = str(len(body or b""))
            request.body = body
        request.hooks = requests.models.default_hooks()
        left = patience.left()
        connect = CONNECT_SECONDS if left is None else min(CONNECT_SECONDS, left)
        access = self._access
        settings = {
            "stream": True,
            "timeout": (max(connect, 0.001), None if left is None else max(left, 0.001)),
            "allow_redirects": False,
            "verify": access.ca or True,
            "cert": (access.cert, access.key) if access.cert and access.key else access.cert,
            "proxies": {"http": access.http_proxy, "https": access.http_proxy}
            if access.http_proxy
            else {},
        }
        return effects.send(
            self._session,
            request,
            settings,
            receive,
            what=what,
            line=curl(method, request.url, fields, body, access),
            destroys=destroys,
        )

    def _receive(
        self,
        response: requests.Response,
        into: memoryview | None = None,
    ) -> Reply:
        started = time.perf_counter() - response.elapsed.total_seconds()
        status, raw = response.status_code, response.raw
        filled, parts = 0, []
        try:
            if into is not None and status in (200, 206):
                filled = _fill(into, raw)
            else:
                size = 0
                for part in raw.stream(1 << 16, decode_content=False):
                    parts.append(part)
                    size += len(part)
                    if size > self.most:
                        raise _Cut(f"its body is larger than {self.most >> 20} MiB")
        finally:
            raw.close()
        body = b"".join(parts)
        sent = int(response.request.headers.get("Content-Length", "0"))
        received = filled or len(body)
        sizes = f"{sent} bytes sent, {received} received" if sent else f"{received} bytes"
        about = f"{response.request.method} {response.request.url}"
        note = f"# {status} {response.reason}, {sizes}, {_milliseconds(started)}"
        self._effects.note(note, about)
        return Reply(status, response.reason or "", _headers(response), body, filled)

    @contextlib.contextmanager
    def _within(
        self, patience: Deadline, about: str, check: Callable[[], None] | None = None
    ) -> Iterator[None]:
        with self._lock:
            if self._deadline.over:
                raise self._late(about, asked=False)
            current.deadline = patience
            current.check = check
            current.sent = False
            started = time.perf_counter()
            try:
                try:
                    yield
                except _STUMBLES as error:
                    if isinstance(error, _FAULTS) or not current.sent:
                        raise
                    raise _Stumbled(_reason([error])) from error
            except _FAULTS as error:
                reason = _reason(list(_causes(error)))
                self._effects.note(f"# failed: {reason}, {_milliseconds(started)}", about)
                raise
            finally:
                self._deadline.spent(time.perf_counter() - started, about)
                current.deadline = current.check = None

    def _pause(self, attempt: int, reply: Reply | None) -> bool:
        """Wait before the next attempt; False when the deadline leaves no room for one."""
        seconds = 0.1 * 2**attempt * (0.5 + self._jitter())
        asked = reply.headers.get("Retry-After", "") if reply is not None else ""
        if asked.isascii() and asked.isdigit():
            seconds = max(seconds, min(float(asked), 10.0))
        left = self._deadline.left()
        if left is not None and left <= seconds:
            return False
        self._effects.note(f"# again in {seconds:.1f} s")
        self._sleep(seconds)
        return True

    def _judged(self, reply: Reply) -> Reply:
        """The reply, unless HTTP itself says that it did not come from the API."""
        status = reply.status
        if status < 300 or (status not in (401, 407, 429) and reply.body.lstrip()[:1] == b"{"):
            return reply
        at = f"{self.url} answered {status} {_brief(reply.reason)}".rstrip()
        facts = {**self._facts(), "http_status": status}
        if status in (401, 403, 407):
            raise RdctlError(
                Code.DENIED,
                f"{at}: access refused",
                hint="Is the right token set for this endpoint? See: rdctl context show",
                **facts,
            )
        if 300 <= status < 400:
            where = _brief(reply.headers.get("Location", "elsewhere"))
            raise RdctlError(
                Code.BAD_REPLY,
                f"{at}: it points to {where}, and redirects are not followed",
                hint="Set the endpoint to the final address.",
                **facts,
            )
        if status in (429, 502, 503, 504):
            raise RdctlError(
                Code.UNAVAILABLE,
                f"{at}: the service behind it does not answer",
                hint="Try again in a moment.",
                **facts,
            )
        return reply

    def _facts(self) -> dict[str, Any]:
        request_id = self._headers.get("X-oio-req-id")
        return {"request_id": request_id} if request_id else {}

    def _late(self, about: str, asked: bool = True) -> RdctlError:
        """`about` is the request; what took the most of the time is named, where it is another."""
        step = about.partition("?")[0].replace(self.url, "")
        message = f"{self.url} gave no complete answer in time to {step}"
        if not asked:
            message = f"{self.url} was not asked to {step}: timed out before"
        seconds, what = self._deadline.longest
        if self._deadline.over and what not in ("", about):
            message += f"; {what.partition('?')[0]} took {seconds:.1f} s"
        return RdctlError(
            Code.TIMEOUT,
            message,
            hint="A longer --timeout may help." if self._deadline.over else "Is it busy, or stuck?",
            server=self.url,
            **self._facts(),
        )

    def _fault(self, error: BaseException, about: str) -> RdctlError:
        """What went wrong on the way, for a request that changed nothing."""
        causes = list(_causes(error))
        facts = self._facts()
        server = self.url + (" (through the http_proxy)" if self._access.http_proxy else "")

        def caused_by(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in causes)

        if caused_by(_Cut):
            return RdctlError(
                Code.BAD_REPLY, f"{self.url} sent what it should not: {error}", **facts
            )
        if caused_by(Unresolved):
            return RdctlError(
                Code.TIMEOUT,
                f"the address of {server} was not found in time",
                hint="Does the name service answer? See /etc/resolv.conf, or use an IP address.",
                server=self.url,
                **facts,
            )
        if self._deadline.over:
            return self._late(about)
        refused = caused_by(urllib3.exceptions.NewConnectionError)
        if caused_by(urllib3.exceptions.ConnectTimeoutError) and not refused:
            return RdctlError(
                Code.UNREACHABLE,
                f"{server} does not accept a connection within {CONNECT_SECONDS:g} s",
                hint="Is the address right, and does a firewall let it through?",
                **facts,
            )
        if caused_by(TimeoutError, urllib3.exceptions.ReadTimeoutError):
            return self._late(about)
        if caused_by(urllib3.exceptions.SSLError):
            return RdctlError(
                Code.UNREACHABLE,
                f"{self.url}: no trusted connection: {_reason(causes)}",
                hint="Name the authority's certificate with the context's key `ca`.",
                **facts,
            )
        if caused_by(urllib3.exceptions.IncompleteRead, http.client.IncompleteRead):
            return RdctlError(Code.BAD_REPLY, f"{self.url} sent less than it announced", **facts)
        if caused_by(http.client.RemoteDisconnected):
            return RdctlError(
                Code.UNREACHABLE,
                f"{self.url} closed the connection without an answer",
                hint="Did the server die? Its own log tells.",
                **facts,
            )
        if caused_by(MemoryError):
            return RdctlError(Code.FAILED, f"not enough memory for the reply of {server}", **facts)
        if caused_by(
            http.client.HTTPException,
            urllib3.exceptions.InvalidChunkLength,
            urllib3.exceptions.InvalidHeader,
            urllib3.exceptions.DecodeError,
        ):
            return RdctlError(
                Code.BAD_REPLY,
                f"{self.url} does not speak HTTP as it should: {_reason(causes)}",
                hint="Is this the port of the API?",
                **facts,
            )
        if caused_by(ConnectionResetError, BrokenPipeError):
            return RdctlError(
                Code.UNREACHABLE,
                f"{self.url} broke the connection: {_reason(causes)}",
                hint="Did the server die? Its own log tells.",
                **facts,
            )
        if caused_by(urllib3.exceptions.ProtocolError) and not caused_by(OSError):
            return RdctlError(
                Code.BAD_REPLY, f"{self.url}: incomplete reply: {_reason(causes)}", **facts
            )
        return RdctlError(
            Code.UNREACHABLE,
            f"no connection to {server}: {_reason(causes)}",
            hint=self._away,
            **facts,
        )


def _fill(into: memoryview, raw: Any) -> int:
    """Read a body into a buffer; how much that was. The connection is kept if that was all."""
    # urllib3's own readinto would make a copy.
    source = getattr(raw, "_original_response", None) or raw
    filled = 0
    while filled < len(into) and (count := source.readinto(into[filled:])):
        filled += count
    if source.isclosed():
        raw.release_conn()
    return filled


def _headers(response: requests.Response) -> Mapping[str, str]:
    """The headers, also those behind one that is none, at which the standard library stops: an
    oio-proxy makes headers of what users call their properties, blanks and all."""
    original = getattr(response.raw, "_original_response", None)
    rest = original.msg.get_payload() if original is not None else None
    if isinstance(rest, str):
        for line in rest.split("\n"):
            name, colon, value = line.partition(":")
            if colon and name not in response.headers:
                response.headers[name] = value.strip()
    return response.headers


def _busy(reply: Reply) -> bool:
    """A gateway, or a limit on the way, that asks to come again."""
    if reply.status == 429:
        return True
    return reply.status in (502, 503, 504) and reply.body.lstrip()[:1] != b"{"


def _causes(error: BaseException) -> Iterator[BaseException]:
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


def _reason(causes: list[BaseException]) -> str:
    """The innermost words: `Connection refused`, not four lines of wrapping."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause.strerror)
    return _brief(str(causes[-1])) or type(causes[-1]).__name__


def _milliseconds(since: float) -> str:
    return f"{(time.perf_counter() - since) * 1000:.1f} ms"


def _brief(text: str) -> str:
    """On one line, and not more than one: it may come from the server."""
    words = " ".join(text.split())
    return words if len(words) <= 200 else words[:199] + "…"


# Longer words are refused by the kernel when a program is started (128 KiB); longer lines are for
# nobody to read.
_LONGEST_WORD = 100_000
_LONGEST_BODY = 1 << 20
_SECRET = "(?i)authorization|cookie|credential|key|password|secret|token"


def curl(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | Blocks | None,
    access: Access | None = None,
) -> str:
    """The request as a line for any shell, without secrets; a body that cannot be typed is written
    by printf. `Expect:` keeps curl from waiting for an interim reply that these servers never
    send."""
    words = ["curl", "-sS", "-X", method, "-H", "Expect:"]
    for name, value in headers.items():
        # What no server needs is left out. Without a body curl would not say that it has length 0.
        if _HEADERS.get(name) != value and not (body and name == "Content-Length"):
            words += ["-H", f"{name}: {_masked(value) if re.search(_SECRET, name) else value}"]
    for option, value in _access_words(access or Access()):
        words += [option, value]
    if re.search(r"/(\.|%2e)", url, re.IGNORECASE):
        words.append("--path-as-is")
    if re.search(r"[][{}]", url):
        words.append("--globoff")
    if not body:
        return shlex.join([*words, url])
    # curl would call it a form.
    words += ["-H", "Content-Type:"]
    if isinstance(body, Blocks):
        return f"{body.shell} | {shlex.join([*words, '--data-binary', '@-', url])}"
    if len(body) > _LONGEST_BODY:
        words += ["--data-binary", "@-", url]
        return f"{shlex.join(words)}  # {len(body)} bytes on its input"
    text = body.decode("utf-8", "replace")
    if text.isprintable() and "\ufffd" not in text and len(body) <= _LONGEST_WORD:
        # --data-binary would take an @ for the name of a file.
        return shlex.join([*words, "--data-raw", text, url])
    return f"printf {_printf_format(body)} | {shlex.join([*words, '--data-binary', '@-', url])}"


def _masked(value: str) -> str:
    """`Bearer ***`: the kind of a credential is no secret."""
    kind, blank, _ = value.partition(" ")
    return f"{kind} ***" if blank else "***"


def _access_words(access: Access) -> Iterator[tuple[str, str]]:
    proxy = without_password(access.http_proxy) if access.http_proxy else None
    files = (("--cacert", access.ca), ("--cert", access.cert), ("--key", access.key))
    for option, value in (*files, ("--proxy", proxy)):
        if value:
            yield option, value


_SAID_OTHERWISE = rb"[^ -~]|['\\%]|^-"


def _printf_format(data: bytes) -> str:
    """Bytes as the format of any shell's printf, in quotes."""
    said = {b"%": b"%%", b"\\": b"\\\\"}

    def say(match: re.Match[bytes]) -> bytes:
        return said.get(match[0]) or b"\\%03o" % ord(match[0])

    return f"'{re.sub(_SAID_OTHERWISE, say, data).decode()}'"
