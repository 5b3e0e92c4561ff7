"""Every exchange that was recorded of real proxies, through the client and over the wire
(docs/wire/README.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from rdctl.core.errors import RdctlError
from rdctl.oio.client import Client
from rdctl.oio.model import Place
from rdctl.oio.refusals import SAYS_NO_MORE
from rdctl.oio.routes import ROUTES
from rdctl.output.rows import as_data
from tests.fakes.faults import Connection, FaultServer
from tests.oio.recordings import WIRE, Exchange, exchanges
from tests.oio.wire import OLD, REQUEST_ID, proxy_to

NO_HANDLER = "No handler found"

# Recordings that are not replayed, and why.
LEFT_OUT = {
    "rdctl never sends HEAD": [57, 771],
    "no reply was recorded": [600, 604, 1345],
    "only the beginning of its JSON was recorded": [58, 63, 64, 550, 1281],
    "rdctl never asks the account service for this": [1366, *range(1375, 1378), *range(1379, 1385)],
}  # fmt: skip

# What the builders of bodies want; what the recorded request said does not matter for its reply.
ARGUMENTS: dict[str, Any] = {
    "body": [],
    "properties": {"k": "v"},
    "keys": ["k"],
    "names": ["n"],
    "namespace": "OPENIO",
    "type": "rawx",
    "address": "127.0.0.1:6010",
    "addresses": ["127.0.0.1:6010"],
    "seq": 1,
    "args": "",
    "size": 1,
    "length": 1,
    "chunks": [],
    "to": "127.0.0.1:6010",
    "target": Place("a", "r", path="p"),
}


class Recorded:
    """A proxy that answers with one recording; asked for the status or the account service, it
    tells what the recorded one would."""

    now: Exchange
    server: FaultServer

    def __call__(self, connection: Connection) -> None:
        connection.receive()
        request, account = self.server.requests[-1], self.now.route.startswith("account")
        if request.path == "/v3.0/status" != self.now.sent["path"]:
            who = f"Server: {OLD['Server']}\r\n" if self.now.old else ""
            connection.send(f"HTTP/1.1 200 OK\r\nConnection: close\r\n{who}\r\nx = 1".encode())
        elif account and request.path.endswith("/lb/choose?type=account"):
            host = self.server.url.removeprefix("http://")
            found = json.dumps([{"addr": host, "id": f"OPENIO|account|{host}"}])
            connection.send(f"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{found}".encode())
        else:
            connection.send(self.now.reply)


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    behaviour = Recorded()
    with FaultServer([behaviour]) as behaviour.server:
        yield behaviour


def value_of(proxy: Client, exchange: Exchange) -> Any:
    """What the client makes of the reply; an error is raised."""
    query = exchange.query
    if exchange.route.startswith("account"):
        name, service = query.pop("id", ""), proxy.account_service
        ways: dict[str, Callable[[], Any]] = {
            "account.list": service.names,
            "account.show": partial(service.show, name),
            "account.containers": partial(service.containers, name, query),
        }
        return ways[exchange.route]()
    if exchange.route == "api":
        method, path = exchange.sent["method"], exchange.sent["path"].partition("?")[0]
        loss = None if method == "GET" else "something"
        reply, error = proxy.request(method, path, query, {}, None, None, loss)
        assert reply.body == exchange.body
        if error is not None:
            raise error
        return None
    place, query = exchange.parts()
    if ROUTES[exchange.route].effect == "read":
        return proxy.read(exchange.route, place, query, **ARGUMENTS)
    return proxy.change(
        exchange.route, place, query, what="act", shows="rdctl", destroys="data", **ARGUMENTS
    )


def outcome(proxy: Client, exchange: Exchange) -> dict[str, Any]:
    """In the words of the expectation."""
    try:
        return {"value": json.loads(json.dumps(as_data(value_of(proxy, exchange))))}
    except RdctlError as error:
        return {"error": error.code.word, "faults": list(faults_of(error, exchange))}


def faults_of(error: RdctlError, exchange: Exchange) -> Iterator[str]:
    """What an error lacks: it has the server's own words (save where the whole route is unknown),
    what HTTP said, and the request's id."""
    if error.facts.get("request_id") != REQUEST_ID:
        yield "no request id"
    if exchange.sent["status"] < 300:
        yield error.message
    elif exchange.said != NO_HANDLER:
        if exchange.said not in error.message and not SAYS_NO_MORE.fullmatch(exchange.said):
            yield f"{exchange.said!r} is not in {error.message!r}"
        if error.facts.get("http_status") != exchange.sent["status"]:
            yield "no HTTP status"


def test_every_recording_is_understood(recorded: Recorded) -> None:
    wrong = []
    every = exchanges()
    for exchange in every:
        recorded.now = exchange
        recorded.server.requests.clear()
        got = outcome(proxy_to(recorded.server.url), exchange)
        if got != ({**exchange.expect, "faults": []} if "error" in got else exchange.expect):
            wrong.append(f"{exchange}\n  got      {got}\n  expected {exchange.expect}")
        ids = {request.headers["X-oio-req-id"] for request in recorded.server.requests}
        assert ids == {REQUEST_ID}
    assert not wrong, f"{len(wrong)} of {len(every)}:\n" + "\n".join(wrong)


def test_every_recording_is_replayed_or_left_out() -> None:
    recorded = (WIRE / "oio-transcripts.jsonl").read_text("utf-8").splitlines()
    servers = [json.loads(line)["server"] for line in recorded]
    ours = [n for n, server in enumerate(servers, 1) if not server.startswith("rawx")]
    left_out = sorted(number for numbers in LEFT_OUT.values() for number in numbers)
    replayed = [exchange.line for exchange in exchanges()]
    assert replayed == sorted(set(replayed))
    assert sorted(replayed + left_out) == ours
    assert (len(replayed), len(left_out)) == (1339, 20)


def test_rows_and_recordings_agree_on_who_asks_what() -> None:
    """The row that is named for a recording has its path and, with `api`, none has."""
    for exchange in exchanges():
        if exchange.route in ROUTES:
            short = exchange.sent["path"].partition("?")[0].replace("%4F", "O").rstrip("/")
            assert short.endswith("/" + ROUTES[exchange.route].path.lstrip("/")), str(exchange)
