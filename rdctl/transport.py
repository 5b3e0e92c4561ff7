"""HTTP to one server: deadline, retries, TLS, token, and faults told in the words of the contract.

What a reply means is the business of the domain; here only what HTTP itself says is judged.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import requests
import requests.adapters
import urllib3.exceptions

from rdctl import __version__, effects
from rdctl.deadline import Deadline, DeadlineAdapter, current
from rdctl.effects import Effects
from rdctl.errors import Code, RdctlError

CONNECT_SECONDS = 5.0
READ_SECONDS = 35.0
MOST_BODY = 256 << 20

# User properties travel as headers: the standard library's 100 are too few.
http.client._MAXHEADERS = 10_000  # type: ignore[attr-defined]


class Reply(NamedTuple):
    """A reply as received. `headers` are case-insensitive, `body` is bounded bytes."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "surrogateescape")

    def json(self, *, strict: bool = True) -> Any:
        """The body's JSON value. Raises ValueError when it is none. Not `strict`: texts may hold
        line ends as they are."""
        try:
            return json.loads(self.text, strict=strict)
        except RecursionError:
            raise ValueError("nested too deep") from None


class Access(NamedTuple):
    """Credentials and trust of one endpoint, as the configuration has them."""

    token: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    http_proxy: str | None = None


class _Cut(Exception):
    """A body beyond all bounds."""


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
        adapter: requests.adapters.BaseAdapter | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.url = url.rstrip("/")
        self._effects = effects
        self._deadline = deadline or Deadline(None)
        self._retries = retries
        self._sleep = sleep
        self._jitter = jitter
        self._headers = {
            "User-Agent": f"rdctl/{__version__}",
            "Accept": "application/json, */*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **(headers or {}),
        }
        self._lock = threading.Lock() if one_at_a_time else contextlib.nullcontext()
        self._access = access or Access()
        self._session = session = _Session()
        session.trust_env = False
        session.headers.clear()
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter or DeadlineAdapter())

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
    ) -> Reply:
        """Ask something; repeated after a failed connection or where `again` says so, if
        `repeatable`."""
        attempts = 1 + (self._retries if repeatable else 0)
        for attempt in range(1, attempts + 1):
            effect = self._effect(method, path, headers, body, seconds, what=f"{method} {path}")
            try:
                with self._within(seconds):
                    reply = self._effects.look(effect)
            except (
                OSError,
                urllib3.exceptions.HTTPError,
                http.client.HTTPException,
                _Cut,
            ) as error:
                fault = self._fault(error)
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
        body: bytes | None = None,
        seconds: float | None = READ_SECONDS,
        what: str,
        shows: str,
        destroys: str | None = None,
        assume: Reply | None = None,
    ) -> Reply:
        """Change something: sent once. `what` names it for people, `shows` is the command that
        tells its fate when the reply is lost."""
        effect = self._effect(method, path, headers, body, seconds, what=what, destroys=destroys)
        try:
            with self._within(seconds):
                reply = self._effects.do(effect, assume or Reply(204, "Assumed", {}, b""))
        except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, _Cut) as error:
            fault = self._fault(error)
            if not current.sent:
                raise fault from error
            raise self.fate_unknown(what, shows, fault) from error
        try:
            return self._judged(reply)
        except RdctlError as fault:
            # A gateway that lost the one behind it, which may have had the request by then.
            if reply.status in (502, 504):
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
        body: bytes | None,
        seconds: float | None,
        *,
        what: str,
        destroys: str | None = None,
    ) -> effects.Effect[Reply]:
        request = requests.PreparedRequest()
        request.method = method
        # Set directly: prepare_url would quote again and drop dots.
        request.url = self.url + path
        fields = {**self._headers, **(headers or {})}
        if self._access.token:
            fields["Authorization"] = f"Bearer {self._access.token}"
        if body is not None or method in ("POST", "PUT"):
            fields["Content-Length"] = str(len(body or b""))
        request.headers = requests.structures.CaseInsensitiveDict(fields)
        request.body = body
        request.hooks = requests.models.default_hooks()
        left = self._deadline.within(seconds).left()
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
            self._receive,
            what=what,
            line=curl(method, request.url, fields, body),
            destroys=destroys,
        )

    def _receive(self, response: requests.Response) -> Reply:
        started = time.perf_counter() - response.elapsed.total_seconds()
        raw = response.raw
        try:
            parts, size = [], 0
            for part in raw.stream(1 << 16, decode_content=False):
                parts.append(part)
                size += len(part)
                if size > MOST_BODY:
                    raise _Cut(f"its body is larger than {MOST_BODY >> 20} MiB")
        finally:
            raw.close()
        body = b"".join(parts)
        milliseconds = (time.perf_counter() - started) * 1000
        self._effects.note(
            f"# {response.status_code} {response.reason}, {len(body)} bytes, {milliseconds:.1f} ms"
        )
        return Reply(response.status_code, response.reason or "", _headers(response), body)

    @contextlib.contextmanager
    def _within(self, seconds: float | None) -> Iterator[None]:
        with self._lock:
            if self._deadline.over:
                raise self._late()
            current.deadline = self._deadline.within(seconds)
            current.sent = False
            try:
                yield
            finally:
                current.deadline = None

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

    def _late(self) -> RdctlError:
        return RdctlError(
            Code.TIMEOUT,
            f"{self.url} gave no complete answer in time",
            hint="A longer --timeout may help." if self._deadline.over else "Is it busy, or stuck?",
            **self._facts(),
        )

    def _fault(self, error: BaseException) -> RdctlError:
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
        if self._deadline.over:
            return self._late()
        refused = caused_by(urllib3.exceptions.NewConnectionError)
        if caused_by(urllib3.exceptions.ConnectTimeoutError) and not refused:
            return RdctlError(
                Code.UNREACHABLE,
                f"{server} does not accept a connection within {CONNECT_SECONDS:g} s",
                hint="Is the address right, and does a firewall let it through?",
                **facts,
            )
        if caused_by(TimeoutError, urllib3.exceptions.ReadTimeoutError):
            return self._late()
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
        return RdctlError(
            Code.UNREACHABLE,
            f"no connection to {server}: {_reason(causes)}",
            hint="Is the server running, and is the address right? See: rdctl context show",
            **facts,
        )


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
        links = [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
        queue += [link for link in links if isinstance(link, BaseException)]


def _reason(causes: list[BaseException]) -> str:
    """The innermost words: `Connection refused`, not four lines of wrapping."""
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return str(cause.strerror)
    return _brief(str(causes[-1])) or type(causes[-1]).__name__


def _brief(text: str) -> str:
    """On one line, and not more than one: it may come from the server."""
    words = " ".join(text.split())
    return words if len(words) <= 200 else words[:199] + "…"


def curl(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> str:
    """The request as a line for a shell, without secrets. `Expect:` keeps curl from waiting for
    an interim reply that these servers never send."""
    words = ["curl", "-sS", "-X", method, "-H", "Expect:"]
    for name, value in headers.items():
        if name in ("Accept", "Accept-Encoding", "Connection", "Content-Length", "User-Agent"):
            continue
        words += ["-H", f"{name}: {'Bearer ***' if name == 'Authorization' else value}"]
    if body:
        words += ["--data-binary", body.decode("utf-8", "backslashreplace")]
    return shlex.join([*words, url])
