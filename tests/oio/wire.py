"""A Client whose other end is scripted: an engine that answers, or a server's address."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.unread import Unread
from rdctl.effects.door import Effects
from rdctl.net.engine import Calling, Engine
from rdctl.net.transport import Transport
from rdctl.oio.client import Client

NAMESPACE = "OPENIO"
NS = f"/v3.0/{NAMESPACE}"
REQUEST_ID = "0123456789ABCDEF0123456789ABCDEF"
OLD = {"Server": "oio-proxy/3.3.1/3.0"}
NOT_FOUND = "No handler found"


class Sent(NamedTuple):
    """A request as it left: `target` is path and query, `headers` the case-insensitive ones."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None


class Answer(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}
    reason: str = "OK"


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(value).encode(), headers or {})


def refusal(status: int, message: str, http: int = 500) -> Answer:
    return answer({"status": status, "message": message}, http)


def no_handler(headers: Mapping[str, str] | None = None) -> Answer:
    body = json.dumps({"status": 404, "message": NOT_FOUND}).encode()
    return Answer(404, body, headers or {}, NOT_FOUND)


class Answering(Calling):
    """Keeps what is sent; `answers` is a list of them in turn, or a function of the request."""

    def __init__(self, answers: Sequence[Answer] | Callable[[Sent], Answer]) -> None:
        super().__init__(self._answer)
        self.sent: list[Sent] = []
        self._answers = answers

    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], body: Any
    ) -> tuple[int, str, Iterable[tuple[str, str]], bytes]:
        target = "/" + url.split("/", 3)[3]
        sent = Sent(method, target, headers, body if isinstance(body, bytes) else None)
        self.sent.append(sent)
        given = self._answers
        reply = given(sent) if callable(given) else given[len(self.sent) - 1]
        return reply.status, reply.reason, reply.headers.items(), reply.body

    @property
    def lines(self) -> list[str]:
        return [f"{sent.method} {sent.target}" for sent in self.sent]


def consent_missing(losses: Sequence[str]) -> None:
    raise RdctlError(Code.CONSENT, "nobody agreed to " + ", ".join(losses))


def proxy_to(
    other: Engine | str,
    *,
    dialect: str | None = None,
    agreed: bool = True,
    retries: int = 0,
    slept: list[float] | None = None,
    unread: Unread | None = None,
) -> Client:
    """A proxy at an engine, or at an address; `slept` takes the pauses between attempts."""
    effects = Effects(ask=consent_missing)
    if agreed:
        effects.consent([])
    engine = None if isinstance(other, str) else other
    pauses = [] if slept is None else slept

    def reach(address: str) -> Transport:
        return Transport(
            address if "//" in address else f"http://{address}",
            effects,
            headers={"X-oio-req-id": REQUEST_ID},
            engine=engine,
            retries=retries,
            sleep=pauses.append,
        )

    url = other if isinstance(other, str) else "http://oio.test"
    return Client(reach(url), NAMESPACE, dialect, reach, REQUEST_ID, unread)
