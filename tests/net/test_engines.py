"""Which engine a transport takes, and what is imported for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rdctl.effects.door import Effects
from rdctl.net.messages import Access
from rdctl.net.plain import PlainEngine
from rdctl.net.sockets import Socket
from rdctl.net.transport import Transport
from tests.fakes.faults import Connection, FaultServer, json
from tests.net.client import Client

HEAVY = ("requests", "urllib3", "http.client", "ssl", "email", "encodings.idna")


@pytest.mark.parametrize(
    ("url", "access", "plain"),
    [
        ("http://10.0.0.1:6006", Access(), True),
        ("http://PROXY.example", Access(token="t"), True),
        ("http://[::1]:6006/prefix", Access(), True),
        # Neither trust nor a certificate matters without TLS.
        ("http://10.0.0.1:6006", Access(ca="/ca", cert="/cert", key="/key"), True),
        ("https://10.0.0.1:6006", Access(), False),
        ("http://10.0.0.1:6006", Access(http_proxy="http://10.0.0.2:3128"), False),
        ("http://b\xfccher.example:6006", Access(), False),
        ("http://user:secret@10.0.0.1:6006", Access(), False),
        ("http://[fe80::1%25eth0]:6006", Access(), False),
        ("http://10.0.0.1:70000", Access(), False),
    ],
)
def test_the_lightest_engine_that_reaches_a_server(url: str, access: Access, plain: bool) -> None:
    transport = Transport(url, Effects(ask=lambda losses: None), access=access)
    assert isinstance(transport._engine, PlainEngine) is plain


@pytest.mark.parametrize("context", ["--rapiddisk-url", "sandbox"])
def test_plain_http_and_the_sandbox_load_no_library(context: str, tmp_path: Path) -> None:
    with FaultServer([json({"volumes": [{"ramdisk": []}, {"rapiddisk_cache": []}]})]) as server:
        words = ["-c", "sandbox", "oio", "container", "list"]
        if context != "sandbox":
            words = ["--rapiddisk-url", server.url, "rapiddisk", "list"]
        ran = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "rdctl", *words],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            check=False,
            text=True,
        )
        assert bool(server.requests) is (context != "sandbox")
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "rdctl.net.transport" in loaded
    heavy = HEAVY if context != "sandbox" else HEAVY[:4]
    assert [name for name in heavy if name in loaded] == []


def test_a_kept_connection_that_is_closed_meanwhile() -> None:
    """The next request opens another connection."""
    closed = threading.Event()

    def leave(connection: Connection) -> None:
        connection.receive()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        connection._sock.shutdown(socket.SHUT_WR)
        closed.set()

    with FaultServer([leave]) as server:
        client = Client(server.url, headers={"Connection": "keep-alive"}, retries=0)
        for _ in range(3):
            assert client.change().status == 200
            assert closed.wait(10)
            closed.clear()
        assert len(server.requests) == 3


def test_a_kept_connection_that_failed_in_another_way() -> None:
    """ENOTCONN here: it is no ConnectionError, and the request was not sent."""
    with FaultServer([json({})]) as server:
        engine = PlainEngine("127.0.0.1", int(server.url.rpartition(":")[2]))
        engine._idle.append(Socket(socket.socket()))
        assert Client(server.url, engine=engine, retries=0).change().status == 200
        assert len(server.requests) == 1
