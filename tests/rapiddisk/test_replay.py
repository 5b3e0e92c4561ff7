"""Every exchange that was recorded of a real daemon, through the client and over the wire
(docs/wire/README.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from rdctl.core.errors import RdctlError
from rdctl.effects.door import Effects
from rdctl.net.transport import Transport
from rdctl.output.rows import as_data
from rdctl.rapiddisk.model import Device, NewCache
from rdctl.rapiddisk.rest import Rest
from tests.fakes.faults import Connection, FaultServer

WIRE = Path(__file__).parent.parent / "wire"


class Exchange(NamedTuple):
    sent: dict[str, Any]
    route: str
    expect: dict[str, Any]

    @property
    def path(self) -> str:
        return _whole(self.sent["path"])

    @property
    def reply(self) -> bytes:
        """As recorded; save that a reply to HEAD announces a body that it does not have."""
        headers: dict[str, str] = dict(self.sent["headers"])
        body = _whole(self.sent["body"]).encode()
        if self.sent["method"] == "HEAD":
            headers["Content-Length"] = "0"
        assert int(headers["Content-Length"]) == len(body)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([self.sent["status_line"], *lines, "", ""]).encode() + body

    def __str__(self) -> str:
        sent = self.sent
        return f"{sent['daemon']} ({sent['build']}) {sent['method']} {sent['path'][:80]}"


def _whole(text: str) -> str:
    """The recordings abbreviate long names: `<400 x "A">`."""
    return re.sub(r'<(\d+) x "([^"]+)">', lambda match: match[2] * int(match[1]), text)


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (WIRE / name).read_text().splitlines()]


def exchanges() -> list[Exchange]:
    expected = _lines("rapiddisk-expected.jsonl")
    sent = _lines("rapiddisk-transcripts.jsonl")
    assert [entry["line"] for entry in expected] == list(range(1, len(sent) + 1))
    return [Exchange(s, e["route"], e["expect"]) for s, e in zip(sent, expected, strict=True)]


class Recorded:
    """A daemon that answers with one recording; asked who it is, with the recorded version."""

    def __init__(self) -> None:
        self.now: Exchange | None = None

    def __call__(self, connection: Connection) -> None:
        connection.receive()
        assert self.now is not None
        request = self.server.requests[-1]
        asked_who = (request.method, request.path) == ("GET", "/v1/checkServiceStatus")
        if asked_who and self.now.route != "status":
            version = json.dumps({"status": "OK", "version": self.now.sent["daemon"]}).encode()
            connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + version)
        elif self.now.sent["status"] is not None:
            connection.send(self.now.reply)

    def client(self, exchange: Exchange) -> Rest:
        self.now = exchange
        self.server.requests.clear()
        effects = Effects(ask=lambda losses: None)
        effects.consent([])
        return Rest(Transport(self.server.url, effects, retries=0), lambda warning: None)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.server.requests]

    server: FaultServer


@pytest.fixture(scope="module")
def recorded() -> Iterator[Recorded]:
    daemon = Recorded()
    with FaultServer([daemon]) as daemon.server:
        yield daemon


def read(rest: Rest, exchange: Exchange) -> dict[str, Any]:
    """What the client makes of the reply, in the words of the expectation."""
    name = exchange.path.rpartition("/")[2]
    ways: dict[str, Callable[[], Any]] = {
        "status": rest.status,
        "resources": rest.resources,
        "inventory": rest.inventory,
        "stats": partial(rest.counters, name),
        "targets": rest.targets,
        "ports": rest.ports,
    }
    try:
        if exchange.route == "action":
            path = quote(exchange.path.removeprefix("/v1/"), safe="/%")
            message = rest._act(path, "act", destroys="something")
            unclear = exchange.sent["status"] == 200 and not exchange.sent["body"].strip()
            return {"verdict": "unclear" if unclear else "accepted", "message": message}
        return {"value": as_data(ways[exchange.route]())}
    except RdctlError as error:
        return {"error": error.code.word}


def without_what_is_local(value: Any, expect: Any) -> Any:
    """The value without the keys that no daemon fills."""
    if isinstance(value, list):
        return [without_what_is_local(*pair) for pair in zip(value, expect, strict=True)]
    if not isinstance(value, dict):
        return value
    mode, endpoint = value.pop("mode", "remote"), value.pop("endpoint", "http://127.0.0.1:")
    assert (mode, endpoint.rstrip("0123456789")) == ("remote", "http://127.0.0.1:")
    return {
        key: without_what_is_local(v, expect.get(key))
        for key, v in value.items()
        if key in expect or v is not None
    }


def test_every_recording_is_understood(recorded: Recorded) -> None:
    wrong = []
    all_of_them = exchanges()
    for number, exchange in enumerate(all_of_them, 1):
        got = read(recorded.client(exchange), exchange)
        if "value" in got and "value" in exchange.expect:
            got["value"] = without_what_is_local(got["value"], exchange.expect["value"])
        expect = {"message": None, **exchange.expect} if "verdict" in got else exchange.expect
        if got != expect:
            wrong.append(f"line {number}: {exchange}\n  got      {got}\n  expected {expect}")
    assert not wrong, f"{len(wrong)} of {len(all_of_them)}:\n" + "\n".join(wrong)
    assert len(all_of_them) == 649


def mapped(rest: Rest, volume: str, source: str, policy: str) -> None:
    rest.map(NewCache(volume, Device(source, None, source), policy, ""), None)


_ACTS: tuple[tuple[str, Callable[..., Callable[[Rest], Any]]], ...] = (
    (r"createRapidDisk/([0-9]+)", lambda mib: lambda rest: rest.create(int(mib) << 20, None)),
    (
        r"resizeRapidDisk/(rd[0-9]+)/([0-9]+)",
        lambda v, m: lambda r: r.resize(v, int(m) << 20, "data"),
    ),
    (r"flushRapidDisk/(rd[0-9]+)", lambda v: lambda rest: rest.erase(v, "data")),
    (r"removeRapidDisk/(rd[0-9]+)", lambda v: lambda rest: rest.remove(v, "data")),
    (r"lockRapidDisk/(rd[0-9]+)", lambda v: lambda rest: rest.set_lock(v, True)),
    (r"unlockRapidDisk/(rd[0-9]+)", lambda v: lambda rest: rest.set_lock(v, False)),
    (r"removeRapidDiskCache/(rc-[a-z_]+)", lambda c: lambda rest: rest.unmap(c, "cache")),
    (
        r"createRapidDiskCache/(rd[0-9]+)/([a-z0-9-]+)/(write-through|write-around)",
        lambda v, s, policy: lambda rest: mapped(rest, v, s, policy),
    ),
    (
        r"createRapidDiskCache/(rd[0-9]+)/([a-z0-9-]+)/write-?back",
        lambda v, s: lambda rest: mapped(rest, v, s, "writeback"),
    ),
)


def act_of(exchange: Exchange) -> Callable[[Rest], Any] | None:
    """The act that sends this request, if one does."""
    path = exchange.sent["path"].removeprefix("/v1/")
    if exchange.sent["method"] == "POST" and exchange.sent["status"] != 400:
        for pattern, make in _ACTS:
            found = re.fullmatch(pattern, path)
            if found:
                return make(*found.groups())
    return None


def test_acts_send_what_was_recorded_and_tell_how_it_went(recorded: Recorded) -> None:
    tried = 0
    for exchange in exchanges():
        act = act_of(exchange)
        if act is None:
            continue
        tried += 1
        client = recorded.client(exchange)
        try:
            name = act(client)
            got = "accepted"
        except RdctlError as error:
            name, got = None, error.code.word
        assert got == (exchange.expect.get("verdict") or exchange.expect["error"]), str(exchange)
        assert [p for p in recorded.paths if p != "/v1/checkServiceStatus"] == [
            exchange.sent["path"]
        ]
        attached = re.match(r"Attached device (\S+)", exchange.expect.get("message") or "")
        assert name == (attached[1] if attached else None), str(exchange)
    assert tried > 200
