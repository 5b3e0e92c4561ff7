"""Requests over HTTP: deadlines, retries, TLS, tokens, request ids, the trace.

Only the HTTP status is checked here; the callers interpret the replies.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Any

from rdctl.core.errors import GATEWAY, Code, RdctlError
from rdctl.effects.door import Effect, Effects, send
from rdctl.net.curl import curl
from rdctl.net.deadline import Deadline, current
from rdctl.net.engine import Answer, Engine, Request
from rdctl.net.faults import (
    CONNECT_SECONDS,
    FAULTS,
    LATE,
    STUMBLES,
    Cut,
    Stumbled,
    brief,
    causes_of,
    fault_of,
    reason_of,
)
from rdctl.net.heads import Headers
from rdctl.net.messages import CHUNKED, HEADERS, Access, Blocks, Reply, busy, succeeded
from rdctl.net.plain import plain_engine

READ_SECONDS = 35.0
MOST_BODY = 256 << 20
_LINE_END = re.compile("[\r\n]")


def _random() -> float:
    import random

    return random.random()


class Transport:
    """Requests to one server.

    Raises RdctlError: `unreachable`, `timeout`, `bad-reply`, `denied`, `unavailable`; for a change
    whose reply was lost `unknown`, with `shows` (the command that shows its outcome) as the hint.
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
        away: str = "Check that the server is running, and its address: rdctl context show",
        engine: Engine | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = _random,
    ) -> None:
        self.url = url.rstrip("/")
        # Maximum size of a reply, in bytes.
        self.most = MOST_BODY
        self._effects = effects
        self._deadline = deadline or Deadline(None)
        self._retries = retries
        # The hint if the server is not reachable.
        self._away = away
        self._sleep = sleep
        self._jitter = jitter
        self._headers = Headers({**HEADERS, **(headers or {})}.items())
        self._lock = threading.Lock() if one_at_a_time else contextlib.nullcontext()
        self._access = access or Access()
        self._engine = engine or _engine_for(self.url, self._access)

    @property
    def deadline(self) -> Deadline:
        """The deadline of all requests to any server."""
        return self._deadline

    def brief(self, seconds: float) -> Transport:
        """The same server, without retries and with this time limit."""
        quick = copy(self)
        quick._deadline = self._deadline.within(seconds)
        quick._retries = 0
        return quick

    def afterwards(self, seconds: float) -> Transport:
        """The same server, without retries and with its own time limit: for cleaning up."""
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
        """Send a read request; if `repeatable`, retried after a failed connection or if `again` is
        true for the reply.

        The body of a successful reply is read `into` a buffer, up to its size; `seconds` then
        limits each wait, not the whole. `check` is called during waits, and may raise.
        """
        attempts = 1 + (self._retries if repeatable else 0)
        patience = self._deadline.within(seconds) if into is None else self._deadline.each(seconds)

        about = f"{method} {self.url}{path}"

        def receive(answer: Answer, began: float) -> Reply:
            return self._receive(answer, began, about, len(body or b""), into)

        for attempt in range(1, attempts + 1):
            if check is not None:
                check()
            effect = self._effect(
                method,
                path,
                headers,
                body,
                patience,
                receive,
                what=f"{method} {path}",
                shown=self._effects.traces,
            )
            try:
                with self._within(patience, about, check):
                    reply = self._effects.look(effect)
            except FAULTS as error:
                fault = self._fault(error, about)
                if attempt == attempts or fault.code is not Code.UNREACHABLE:
                    raise fault from error
                if not self._pause(attempt, None):
                    raise fault from error
                continue
            if attempt < attempts and (busy(reply) or (again is not None and again(reply))):
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
        did: Callable[[Reply], bool] = succeeded,
        check: Callable[[], None] | None = None,
    ) -> Reply:
        """Send a change, only once. `what` names it for people, `shows` is the command that shows
        its outcome if the reply is lost; `step` and `did`: as in Effect. For a body of Blocks
        `seconds` limits each wait, not the whole; `check` is called during waits, and may raise."""
        streamed = isinstance(body, Blocks)
        patience = self._deadline.each(seconds) if streamed else self._deadline.within(seconds)
        trailers = body.trailers if isinstance(body, Blocks) else {}
        sent = body.size if isinstance(body, Blocks) else len(body or b"")

        about = f"{method} {self.url}{path}"

        def receive(answer: Answer, began: float) -> Reply:
            return self._receive(answer, began, about, sent)

        effect = self._effect(
            method, path, headers, body, patience, receive, what=what, destroys=destroys
        )._replace(step=step, did=did)
        try:
            with self._within(patience, about, check, trailers):
                reply = self._effects.do(effect, assume or Reply(204, "Assumed", {}, b""))
        except FAULTS as error:
            fault = self._fault(error, about)
            # The operation of a step handles its outcome.
            if step or not current.sent:
                raise fault from error
            raise self.fate_unknown(what, shows, fault) from error
        try:
            return self._judged(reply)
        except RdctlError as fault:
            # A gateway without a reply; the server behind it may have received the request.
            if reply.status in GATEWAY:
                raise self.fate_unknown(what, shows, fault) from fault
            raise

    def fate_unknown(self, what: str, shows: str, fault: RdctlError) -> RdctlError:
        """The error of a change that was sent, with an unknown outcome because of `fault`."""
        return RdctlError(
            Code.UNKNOWN,
            f"{what}: sent, but {fault.message}; the outcome is unknown",
            hint=f"It is not retried. Check the outcome: {shows}",
            **fault.facts,
        )

    def _effect(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        body: bytes | Blocks | None,
        patience: Deadline,
        receive: Callable[[Answer, float], Reply],
        *,
        what: str,
        destroys: str | None = None,
        shown: bool = True,
    ) -> Effect[Reply]:
        """`shown`: whether its line is needed."""
        added = dict(headers or {})
        if self._access.token:
            added = {"Authorization": f"Bearer {self._access.token}", **added}
        if isinstance(body, Blocks) and body.trailers:
            added |= zip(CHUNKED, ("chunked", ", ".join(body.trailers)), strict=True)
        elif isinstance(body, Blocks):
            added["Content-Length"] = str(body.size)
        elif body is not None or method in ("POST", "PUT"):
            added["Content-Length"] = str(len(body or b""))
        fields = self._headers.but(added)
        if _LINE_END.search("".join(f"{name}{value}" for name, value in fields.items())):
            raise ValueError("invalid line end in a header")
        left = patience.left()
        connect = CONNECT_SECONDS if left is None else min(CONNECT_SECONDS, left)
        url = self.url + path
        request = Request(
            method,
            url,
            fields,
            body.blocks if isinstance(body, Blocks) else body,
            max(connect, 0.001),
            None if left is None else max(left, 0.001),
        )
        return send(
            self._engine,
            request,
            receive,
            what=what,
            line=curl(method, url, fields, body, self._access) if shown else "",
            destroys=destroys,
        )

    def _receive(
        self,
        answer: Answer,
        began: float,
        about: str,
        sent: int,
        into: memoryview | None = None,
    ) -> Reply:
        status, reason, headers, _ = answer.head
        filled, parts = 0, []
        try:
            if into is not None and status in (200, 206):
                filled = answer.body.readinto(into)
            else:
                size = 0
                for part in answer.body.read():
                    parts.append(part)
                    size += len(part)
                    if size > self.most:
                        raise Cut(f"its body is larger than {self.most >> 20} MiB")
        finally:
            answer.finish()
        body = b"".join(parts)
        received = filled or len(body)
        sizes = f"{sent} bytes sent, {received} received" if sent else f"{received} bytes"
        self._effects.note(f"# {status} {reason}, {sizes}, {_milliseconds(began)}", about)
        return Reply(status, reason, headers, body, filled)

    @contextlib.contextmanager
    def _within(
        self,
        patience: Deadline,
        about: str,
        check: Callable[[], None] | None = None,
        trailers: Mapping[str, Callable[[], str]] | None = None,
    ) -> Iterator[None]:
        with self._lock:
            if self._deadline.over:
                raise self._late(about, asked=False)
            current.deadline = patience
            current.check = check
            current.trailers = trailers or {}
            current.sent = False
            started = time.perf_counter()
            try:
                try:
                    yield
                except STUMBLES as error:
                    if isinstance(error, FAULTS) or not current.sent:
                        raise
                    raise Stumbled(reason_of([error])) from error
            except FAULTS as error:
                reason = reason_of(list(causes_of(error)))
                self._effects.note(f"# failed: {reason}, {_milliseconds(started)}", about)
                raise
            finally:
                self._deadline.spent(time.perf_counter() - started, about)
                current.deadline = current.check = None
                current.trailers = {}

    def _pause(self, attempt: int, reply: Reply | None) -> bool:
        """Wait before the next attempt; False if the deadline does not allow one."""
        seconds = 0.1 * 2**attempt * (0.5 + self._jitter())
        asked = reply.headers.get("Retry-After", "") if reply is not None else ""
        if asked.isascii() and asked.isdigit():
            seconds = max(seconds, min(float(asked), 10.0))
        left = self._deadline.left()
        if left is not None and left <= seconds:
            return False
        self._effects.note(f"# retrying in {seconds:.1f} s")
        self._sleep(seconds)
        return True

    def _judged(self, reply: Reply) -> Reply:
        """The reply, unless its HTTP status shows that it is not from the API."""
        status = reply.status
        if status < 300 or (status not in (401, 407, 429) and reply.body.lstrip()[:1] == b"{"):
            return reply
        at = f"{self.url} answered {status} {brief(reply.reason)}".rstrip()
        facts = {**self._facts(), "http_status": status}
        if status in (401, 403, 407):
            raise RdctlError(
                Code.DENIED,
                f"{at}: permission denied",
                hint="Check the token of this endpoint: rdctl context show",
                **facts,
            )
        if 300 <= status < 400:
            where = brief(reply.headers.get("Location", "elsewhere"))
            raise RdctlError(
                Code.BAD_REPLY,
                f"{at}: redirect to {where} not followed",
                hint="Set the endpoint to the final address.",
                **facts,
            )
        if status in (429, 502, 503, 504):
            raise RdctlError(
                Code.UNAVAILABLE,
                f"{at}: the service behind it is down",
                hint="Try again in a moment.",
                **facts,
            )
        return reply

    def _facts(self) -> dict[str, Any]:
        request_id = self._headers.get("X-oio-req-id")
        return {"request_id": request_id} if request_id else {}

    def _late(self, about: str, asked: bool = True) -> RdctlError:
        """The timeout of the request `about`; also names the longest request, if another."""
        step = about.partition("?")[0].replace(self.url, "")
        message = f"{self.url}: {step} timed out"
        if not asked:
            message = f"{self.url}: {step} not sent: timed out before"
        seconds, what = self._deadline.longest
        if self._deadline.over and what not in ("", about):
            message += f"; {what.partition('?')[0]} took {seconds:.1f} s"
        return RdctlError(
            Code.TIMEOUT,
            message,
            hint="Use a longer --timeout."
            if self._deadline.over
            else "The server may be busy or hung.",
            server=self.url,
            **self._facts(),
        )

    def _fault(self, error: BaseException, about: str) -> RdctlError:
        """The error of a network fault, for a request that changed nothing."""
        causes = list(causes_of(error))
        fault = fault_of(causes, self._deadline.over)
        if fault is LATE:
            return self._late(about)
        facts = self._facts()
        if fault.code is Code.TIMEOUT:
            facts["server"] = self.url
        server = self.url + (" (through the http_proxy)" if self._access.http_proxy else "")
        message = fault.message.format(url=self.url, server=server, reason=reason_of(causes))
        hint = self._away if fault.hint is None else fault.hint or None
        return RdctlError(fault.code, message, hint=hint, **facts)


def _engine_for(url: str, access: Access) -> Engine:
    """The lightest engine that reaches this server."""
    if not access.http_proxy and (plain := plain_engine(url)):
        return plain
    from rdctl.net.requests_engine import RequestsEngine

    return RequestsEngine(access)


def _milliseconds(since: float) -> str:
    return f"{(time.perf_counter() - since) * 1000:.1f} ms"
