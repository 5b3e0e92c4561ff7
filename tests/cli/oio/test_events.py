"""rdctl oio events: a beanstalkd over TCP, where it is found, and what it may answer."""

from __future__ import annotations

import socket
from threading import Event, Thread

import pytest

from rdctl.sandbox import beanstalkd
from rdctl.sandbox.serve import serve
from tests.cli.oio.conftest import Oio
from tests.fakes import faults
from tests.fakes.faults import Behaviour, Connection, FaultServer

STATS = b"---\nname: oio\ncurrent-jobs-ready: 29\ntotal-jobs: 13863\nhostname: vm\n"


def saying(data: bytes) -> Behaviour:
    """Answers a command."""

    def behave(connection: Connection) -> None:
        connection.read_line()
        connection.send(data)

    return behave


def document(data: bytes) -> bytes:
    return b"OK %d\r\n%b\r\n" % (len(data), data)


def address(server: FaultServer) -> str:
    return server.url.removeprefix("http://")


def at(oio: Oio) -> Oio:
    """Outside of the sandbox; no proxy is needed if the address is given."""
    return Oio(oio.rdctl, "--oio-url", "http://127.0.0.1:1", "--namespace", "OPENIO")


def test_what_the_sandbox_counts_is_what_its_agent_handled(oio: Oio) -> None:
    def total() -> int:
        rows = oio.ok("events", "stats", "--json").json["items"]
        return int({row["name"]: row["value"] for row in rows}["total-jobs"])

    before = total()
    words = ("content", "put", "photos", "-", "--path", "new", "--policy", "SINGLE")
    oio.ok(*words, stdin=b"new")
    assert total() == before + 1
    oio.ok("content", "delete", "photos", "new", "--yes")
    assert total() == before + 2


def test_the_served_sandbox_speaks_the_protocol(oio: Oio) -> None:
    stop, ready, urls = Event(), Event(), list[str]()

    def listening(found: list[str]) -> None:
        urls.extend(found)
        ready.set()

    queue = [(beanstalkd(oio.rdctl.sandbox), "127.0.0.1", 0)]
    thread = Thread(target=serve, args=(queue, listening, stop), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        rows = at(oio).ok("events", "stats", "--address", urls[0], "--json").json
        assert rows == oio.ok("events", "stats", "--json").json
        host, port = urls[0].removeprefix("beanstalk://").split(":")
        with socket.create_connection((host, int(port)), 10) as client:
            client.sendall(b"use x\r\nkick 3\r\nkick x\r\nnope\r\nquit\r\n")
            with client.makefile("rb") as replies:
                expected = b"USING x\r\nKICKED 0\r\nBAD_FORMAT\r\nUNKNOWN_COMMAND\r\n"
                assert replies.read() == expected
    finally:
        stop.set()
        thread.join()


def test_numbers_and_texts(oio: Oio) -> None:
    with FaultServer([saying(document(STATS))]) as queue:
        ran = at(oio).ok("events", "stats", "--address", address(queue), "--json")
        assert ran.json["items"] == [
            {"name": "current-jobs-ready", "kind": "gauge", "value": 29},
            {"name": "total-jobs", "kind": "counter", "value": 13863},
            {"name": "hostname", "kind": "gauge", "value": "vm"},
        ]


@pytest.mark.parametrize(
    ("reply", "code", "says"),
    [
        (b"NOT_FOUND\r\n", 3, 'tube "oio" not found'),
        (b"UNKNOWN_COMMAND\r\n", 11, "UNKNOWN_COMMAND"),
        (b"INTERNAL_ERROR\r\n", 1, "INTERNAL_ERROR"),
        (b"OK x\r\n", 9, "does not answer like a beanstalkd"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 9, 'like a beanstalkd: "HTTP/1.1 400'),
        (b"\x15\x03\x01\r\n", 9, "does not answer like a beanstalkd"),
        (b"x" * 5000, 9, "does not answer like a beanstalkd"),
        (b"NOT_FOUND", 9, "does not answer like a beanstalkd"),
        (b"OK 999999999\r\n", 9, "too large"),
        (b"OK 100\r\n---\n", 9, "sent an incomplete reply"),
        (document(b"name: oio\n"), 9, "does not answer like a beanstalkd"),
        (document(b"---\n- oio\n"), 9, "does not answer like a beanstalkd"),
        (document(b"---\nname: {}\n\x1b[0m: 1\n"), 9, "does not answer like a beanstalkd"),
        (b"", 6, "closed the connection without a reply"),
    ],
    ids=range(14),
)
def test_odd_replies(oio: Oio, reply: bytes, code: int, says: str) -> None:
    with FaultServer([saying(reply)]) as queue:
        ran = at(oio)("events", "stats", "--address", address(queue))
        assert (ran.code, says in ran.err) == (code, True), ran.err
        assert "\x1b" not in ran.err


def test_silence(oio: Oio) -> None:
    def silent(connection: Connection) -> None:
        connection.read_line()
        connection.wait_for_close()

    def slow(connection: Connection) -> None:
        connection.read_line()
        connection.send_slowly(document(STATS), 0.2)

    for behaviour in (silent, slow):
        with FaultServer([behaviour]) as queue:
            words = ("events", "stats", "--address", address(queue), "--timeout", "0.5")
            ran = at(oio)(*words)
            assert (ran.code, "timed out" in ran.err) == (7, True), ran.err


def test_connection_refused(oio: Oio) -> None:
    with FaultServer([saying(b"")]) as queue:
        words = ("events", "stats", "--address", address(queue))
    ran = at(oio)(*words)
    assert ran.code == 6
    assert f"no connection to beanstalk://{words[-1]}: Connection refused" in ran.err


def services(*addresses: str) -> Behaviour:
    return faults.json([{"addr": one, "score": 9, "tags": {}} for one in addresses])


def test_where_it_is_found(oio: Oio) -> None:
    """The option, then the context, then the conscience."""
    with FaultServer([saying(document(STATS))]) as queue:
        found = address(queue)
        with FaultServer([services(found)]) as proxy:
            by_proxy = Oio(oio.rdctl, "--oio-url", proxy.url, "--namespace", "OPENIO")
            by_proxy.ok("events", "stats")
            assert [one.path for one in proxy.requests] == [
                "/v3.0/OPENIO/conscience/list?type=beanstalkd"
            ]
            setting = ("oio=" + proxy.url, "namespace=OPENIO", f"events=beanstalk://{found}/")
            assert oio.rdctl("context", "set", "lab", *setting).code == 0
            Oio(oio.rdctl, "-c", "lab").ok("events", "stats")
            assert len(proxy.requests) == 1
        refused = Oio(oio.rdctl, "-c", "lab")("events", "stats", "--address", "127.0.0.1:1")
        assert "beanstalk://127.0.0.1:1" in refused.err
    assert oio.rdctl("context", "set", "lab", "events=nowhere").code == 2


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        (services(), "--address HOST:PORT"),
        (services("127.0.0.1:7", "127.0.0.1:8"), "--address 127.0.0.1:7 or 127.0.0.1:8"),
        (faults.reply(404, b'{"status":453,"message":"Unexpected service type"}'), "--address"),
    ],
    ids=["none", "several", "no such type"],
)
def test_where_it_is_not_found(oio: Oio, behaviour: Behaviour, says: str) -> None:
    with FaultServer([behaviour]) as proxy:
        ran = Oio(oio.rdctl, "--oio-url", proxy.url, "--namespace", "OPENIO")("events", "stats")
        assert (ran.code, says in ran.err) == (2, True), ran.err


def test_the_trace_can_be_pasted(oio: Oio) -> None:
    with FaultServer([saying(document(STATS))]) as queue:
        found = address(queue)
        ran = at(oio).ok("events", "stats", "--address", found, "--trace")
        host, port = found.split(":")
        assert f"printf 'stats-tube oio\\r\\nquit\\r\\n' | nc {host} {port}" in ran.err
