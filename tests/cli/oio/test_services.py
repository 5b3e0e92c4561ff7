"""Single services: each is asked in the protocol that it speaks."""

from __future__ import annotations

import re

import pytest

from tests.cli.oio.conftest import Oio
from tests.fakes import faults
from tests.fakes.faults import FaultServer

META2, RAWX = "127.0.0.1:16010", "127.0.0.1:16013"
ACCOUNT, RDIR = "127.0.0.1:16017", "127.0.0.1:16018"
LISTS = [f"oio.sandbox/v3.0/OPENIO/conscience/list?type={of}" for of in ("rawx", "rdir", "account")]


def forward(action: str) -> str:
    return f"oio.sandbox/v3.0/forward/{action}?id={META2.replace(':', '%3A')}"


@pytest.mark.parametrize(
    ("address", "action", "asked"),
    [
        (RAWX, "ping", [*LISTS[:1], f"{RAWX}/info"]),
        (RAWX, "version", [*LISTS[:1], f"{RAWX}/info"]),
        (RAWX, "stats", [*LISTS[:1], f"{RAWX}/stat"]),
        (RDIR, "ping", [*LISTS[:2], f"{RDIR}/status"]),
        (RDIR, "version", [*LISTS[:2], f"{RDIR}/status"]),
        (RDIR, "stats", [*LISTS[:2], f"{RDIR}/status"]),
        (ACCOUNT, "ping", [*LISTS, f"{ACCOUNT}/status"]),
        (ACCOUNT, "version", [*LISTS, f"{ACCOUNT}/status"]),
        (ACCOUNT, "stats", [*LISTS, f"{ACCOUNT}/status"]),
        (META2, "ping", [*LISTS, forward("ping")]),
        (META2, "version", [*LISTS, forward("version")]),
        (META2, "stats", [*LISTS, forward("stats")]),
    ],
)
def test_each_is_asked_in_its_own_protocol(
    oio: Oio, address: str, action: str, asked: list[str]
) -> None:
    ran = oio.ok("service", action, address, "--json", "--trace")
    assert re.findall(r"http://([^\s']*)", ran.err) == asked
    if action == "stats":
        assert all(isinstance(row["value"], int) for row in ran.json["items"])
        assert ran.json["items"]
    else:
        version = "4.2.10/4.2" if (address, action) == (META2, "version") else None
        assert ran.json["items"][0] == {"service": address, "status": "OK", "version": version}


@pytest.mark.parametrize(
    ("type", "path"), [("rawx", "/info"), ("rdir", "/status"), ("account", "/status")]
)
def test_a_type_that_is_given_is_not_looked_up(oio: Oio, type: str, path: str) -> None:
    told = b"namespace OPENIO\npath /x\nversion 7.3.0\n" if type == "rawx" else b'{"n": 1}'
    with FaultServer([faults.reply(200, told)]) as service, FaultServer([faults.close()]) as proxy:
        at = Oio(oio.rdctl, "--oio-url", proxy.url, "--namespace", "OPENIO")
        address = service.url.removeprefix("http://")
        ran = at.ok("service", "version", address, "--type", type, "--json")
    assert ran.json["items"][0]["version"] == ("7.3.0" if type == "rawx" else None)
    assert ([request.path for request in service.requests], proxy.requests) == ([path], [])


def test_who_is_not_that_service(oio: Oio) -> None:
    with FaultServer([faults.reply(200, b"<html>It works!</html>")]) as service:
        at = Oio(oio.rdctl, "--oio-url", service.url, "--namespace", "OPENIO")
        address = service.url.removeprefix("http://")
        for type in ("rawx", "rdir", "account"):
            for action in ("ping", "version", "stats"):
                ran = at("service", action, address, "--type", type)
                assert ran.code == 9
                assert f"does not answer like the {type} service" in ran.err
    ran = at("service", "ping", address, "--type", "rawx", "--retries", "0")
    assert (ran.code, "rdctl --oio-url" in ran.err) == (6, True)


def test_nothing_that_only_the_proxys_protocol_knows_is_sent_to_others(oio: Oio) -> None:
    for action in ("lean-glib", "lean-sqlx", "flush", "reload", "kill", "handlers"):
        ran = oio("service", action, RAWX, "--yes", "--trace")
        assert (ran.code, "forward" in ran.err) == (11, False)


def test_a_service_is_shown_at_length(wire: Oio) -> None:
    ran = wire("conscience", "show", "rawx", RAWX, "127.0.0.1:7", RAWX)
    assert ran.code == 8
    assert ran.out.startswith(f"Type     rawx\nAddress  {RAWX}\nScore    93\nState    up\nTags\n")
    assert "\n  stat.cpu  " in ran.out
    assert "\n  tag.up      yes\n" in ran.out
    assert ran.out.count("Address") == 1
    assert "rawx service 127.0.0.1:7 not found in the conscience" in ran.err
    assert [(sent.route, sent.query) for sent in wire.sent] == [
        ("conscience/list", "type=rawx&full=1")
    ]
