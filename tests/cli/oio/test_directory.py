"""rdctl oio directory: the map of meta0, and the bases of meta1."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.oio.conftest import Oio
from tests.fakes import faults
from tests.fakes.faults import Connection, FaultServer
from tests.signals import signal_here

META1 = "127.0.0.1:16007"
UP = {META1: {"status": {"status": 200, "message": "OK"}, "body": ""}}
BUSY = json.dumps({"status": 503, "message": "No service replied"}).encode()


def at(oio: Oio, server: FaultServer) -> Oio:
    return Oio(oio.rdctl, "--oio-url", server.url, "--namespace", "OPENIO", "--account", "a")


def test_dump_agrees_with_the_directory_of_a_container(oio: Oio) -> None:
    """The keys of the map are byte-swapped against the IDs of containers."""
    names = [f"c{number}" for number in range(8)]
    oio.ok("container", "create", *names)
    mapped = {
        row["prefix"]: row["services"]
        for row in oio.ok("directory", "dump", "--json").json["items"]
    }
    assert len(mapped) == 1 << 16
    found = set()
    for name in names:
        cid = oio.ok("container", "show", name, "--json").json["items"][0]["cid"]
        shown = oio.ok("reference", "show", name, "--json").json["items"][0]
        (meta1,) = (one["address"] for one in shown["directory"] if one["type"] == "meta1")
        assert mapped[cid[:4]] == [meta1]
        found.add(cid[:4] != cid[2:4] + cid[:2])
    assert found == {True}


def test_dump_selects(oio: Oio) -> None:
    rows = oio.ok("directory", "dump", "--prefix", "8f5", "--json").json["items"]
    assert [row["prefix"] for row in rows] == [f"8F5{digit:X}" for digit in range(16)]
    words = ("directory", "dump", "--prefix", "8F", "--service", META1, "-o", "name")
    assert len(oio.ok(*words).out.split()) == 128
    assert oio("directory", "dump", "--prefix", "xyz").code == 2


@pytest.mark.parametrize(
    "map", [{"12": [META1]}, {"00G0": [META1]}, {"0000": META1}, {"0000": ["x"]}, [1]]
)
def test_a_map_that_cannot_be_read(oio: Oio, map: Any) -> None:
    with FaultServer([faults.json(map)]) as proxy:
        ran = at(oio, proxy)("directory", "dump")
        assert ran.code == 9
        assert "the map of the directory" in ran.err


def test_warmup_asks_for_each_base_once(wire: Oio) -> None:
    ran = wire.ok("directory", "warmup", "--prefix", "8f5")
    assert ran.out == "warmed up OPENIO (bases 16)\n"
    assert [sent.route for sent in wire.sent if sent.method == "GET"] == ["config"]
    asked = sorted(sent.query for sent in wire.sent if sent.route == "admin/status")
    assert asked == [f"cid=8F5{digit:X}{'0' * 60}&type=meta1" for digit in range(16)]


def test_the_digits_of_bases(wire: Oio) -> None:
    wire.ok("directory", "warmup", "--digits", "1")
    queries = {sent.query for sent in wire.sent}
    assert queries == {f"cid={digit:X}{'0' * 63}&type=meta1" for digit in range(16)}
    wire.sent.clear()
    wire.ok("directory", "warmup", "--digits", "0")
    assert [sent.query for sent in wire.sent] == [f"cid={'0' * 64}&type=meta1"]
    assert wire("directory", "warmup", "--digits", "1", "--prefix", "8F").code == 2


def test_digits_that_are_not_reported(oio: Oio) -> None:
    with FaultServer([faults.json({"ns.other": "4"})]) as proxy:
        ran = at(oio, proxy)("directory", "warmup")
        assert ran.code == 11
        assert "hint: Specify it: --digits N" in ran.err


def test_a_base_whose_election_is_not_finished(oio: Oio) -> None:
    script = [faults.reply(503, BUSY), faults.reply(503, BUSY), faults.json(UP)]
    with FaultServer(script) as proxy:
        ran = at(oio, proxy).ok("directory", "warmup", "--digits", "0")
        assert ran.out == "warmed up OPENIO (bases 1)\n"
        assert len(proxy.requests) == 3
    with FaultServer([faults.reply(503, BUSY)]) as proxy:
        ran = at(oio, proxy)("directory", "warmup", "--digits", "0")
        assert ran.code == 6
        assert len(proxy.requests) == 5


def test_bases_that_fail_are_summarized(oio: Oio) -> None:
    """A reply of 200 may be that of services that failed."""
    down = {META1: {"status": {"status": 431, "message": "No service"}, "body": None}}
    with FaultServer([*[faults.json(UP)] * 4, faults.json(down)]) as proxy:
        ran = at(oio, proxy)("directory", "warmup", "--digits", "1", "--parallel", "1", "--json")
        assert (ran.code, ran.json["results"][0]["bases"]) == (8, 4)
        (error,) = ran.json["errors"]
        assert "12 bases (4, 5, 6, 7, 8, ...) not warmed up" in error["message"]
        assert error["bases"] == 12


def test_a_proxy_that_is_down_is_asked_no_more(oio: Oio) -> None:
    with FaultServer([faults.json(UP), faults.close()]) as proxy:
        words = ("directory", "warmup", "--digits", "1", "--parallel", "1")
        ran = at(oio, proxy)(*words)
        assert ran.code == 8
        assert len(proxy.requests) == 2


def test_interrupted(oio: Oio) -> None:
    def interrupt(connection: Connection) -> None:
        signal_here()
        faults.json(UP)(connection)

    script = [*[faults.json(UP)] * 4, interrupt, faults.json(UP)]
    with FaultServer(script) as proxy:
        words = ("directory", "warmup", "--digits", "2", "--parallel", "1")
        ran = at(oio, proxy)(*words)
        assert ran.code == 130
        assert len(proxy.requests) < 20
        assert "of 256 meta1 bases not warmed up (interrupted)" in ran.err
        assert "warmed up OPENIO (bases " in ran.out
