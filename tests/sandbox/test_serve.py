"""The sandbox over HTTP: real sockets, a clean end, ports that cannot be had."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as running
from time import sleep
from typing import TYPE_CHECKING

import pytest
import requests

from rdctl.core.errors import Code, RdctlError
from rdctl.sandbox.rapiddisk.daemon import RapidDiskd
from rdctl.sandbox.serve import _Handler, serve
from rdctl.sandbox.store import Store
from tests.cli.processes import SECONDS
from tests.fakes.served import serving

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

LOCAL = "127.0.0.1"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RapidDiskd]:
    store = Store(tmp_path / "sandbox.db")
    yield RapidDiskd(store)
    store.close()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def is_free(port: int) -> bool:
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taker.bind((LOCAL, port))
        except OSError:
            return False
        return True


def talk(port: int, request: bytes) -> bytes:
    """What comes back for raw bytes, until the server closes."""
    with socket.create_connection((LOCAL, port), timeout=SECONDS) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [environ["REQUEST_URI"].encode()]


def test_each_app_has_its_own_port(daemon: RapidDiskd) -> None:
    with serving(daemon, hello) as urls:
        assert len(set(urls)) == 2
        reply = requests.get(f"{urls[0]}/v1/checkServiceStatus", timeout=SECONDS)
        assert reply.json() == {"status": "OK", "version": "9.2.0"}
        assert requests.get(f"{urls[1]}/%2e%2Fx?y=%20", timeout=SECONDS).text == "/.%2Fx?y=%20"


def test_the_target_is_passed_on_as_it_came() -> None:
    with serving(hello) as (url,):
        reply = talk(port_of(url), b"GET //a/../%72%2f\xe9?x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert reply.endswith("//a/../%72%2f\xe9?x".encode())


def test_a_reply_on_the_wire(daemon: RapidDiskd) -> None:
    with serving(daemon) as (url,):
        reply = talk(port_of(url), b"GET /v1/checkServiceStatus HTTP/1.1\r\n\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    assert status == "HTTP/1.1 200 OK"
    assert sorted(header.partition(":")[0] for header in headers) == [
        "Connection",
        "Content-Length",
        "Date",
    ]
    assert body == b'{"status": "OK", "version": "9.2.0"}'


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",  # a TLS hello
        b"nonsense\r\n\r\n",
        b"GET / HTTP/nonsense\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_no_reply(request_bytes: bytes) -> None:
    with serving(hello) as (url,):
        assert talk(port_of(url), request_bytes) == b""
        assert requests.get(url, timeout=SECONDS).text == "/"


def test_a_client_that_goes_away_is_no_news(capfd: pytest.CaptureFixture[str]) -> None:
    big = [b"x" * 1_000_000] * 20

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return big

    with serving(app) as (url,):
        with socket.create_connection((LOCAL, port_of(url)), timeout=SECONDS) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            connection.recv(10)
        assert len(requests.get(url, timeout=SECONDS).content) == 20_000_000
    assert capfd.readouterr() == ("", "")


def test_a_client_that_resets_is_no_news(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(hello) as (url,):
        for _ in range(10):
            with socket.create_connection((LOCAL, port_of(url)), timeout=SECONDS) as connection:
                connection.sendall(b"GET / HT")
                no_linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        assert requests.get(url, timeout=SECONDS).text == "/"
    assert capfd.readouterr() == ("", "")


def test_a_body_that_the_app_ignores(daemon: RapidDiskd) -> None:
    """Closing over unread bytes would reset the connection while the client still sends."""
    body = b"x" * 5_000_000
    head = f"POST /v1/lockRapidDisk/rd0 HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serving(daemon) as (url,):
        reply = talk(port_of(url), head + body)
    assert reply.endswith(b'{"status": "Success", "message": "Device rd0 is now set to read-only"}')


def test_one_slow_client_does_not_hold_up_the_others() -> None:
    entered, leave = Event(), Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_URI"] == "/slow":
            entered.set()
            leave.wait(10)
        return hello(environ, start_response)

    with serving(app) as (url,):
        slow = Thread(target=requests.get, args=(f"{url}/slow",), kwargs={"timeout": 10})
        slow.start()
        assert entered.wait(5)
        assert requests.get(f"{url}/quick", timeout=SECONDS).text == "/quick"
        leave.set()
        slow.join(10)


def test_many_clients_at_once(daemon: RapidDiskd) -> None:
    replies: list[str] = []

    def create() -> None:
        reply = requests.post(f"{url}/v1/createRapidDisk/1", timeout=SECONDS)
        replies.append(reply.json()["message"].split()[2])

    with serving(daemon) as (url,):
        clients = [Thread(target=create) for _ in range(20)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
    assert sorted(replies) == sorted(f"rd{number}" for number in range(1, 21))


def test_nothing_is_left_open() -> None:
    before = set(running())
    with serving(hello, hello) as urls:
        assert not any(is_free(port_of(url)) for url in urls)
    assert all(is_free(port_of(url)) for url in urls)
    assert set(running()) <= before


def test_a_port_in_use() -> None:
    called: list[list[str]] = []
    with socket.socket() as free:
        free.bind((LOCAL, 0))
        spare = free.getsockname()[1]
    with serving(hello) as (url,):
        with pytest.raises(RdctlError) as caught:
            serve([(hello, LOCAL, spare), (hello, LOCAL, port_of(url))], called.append)
        assert is_free(spare)
        assert requests.get(url, timeout=SECONDS).text == "/"
    assert caught.value.code is Code.CONFLICT
    assert f"{LOCAL}:{port_of(url)}" in caught.value.message
    assert "another port" in (caught.value.hint or "")
    assert called == []


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), (LOCAL, 70000), ("no.such.", 0)])
def test_an_address_that_cannot_be_had(host: str, port: int) -> None:
    with pytest.raises(RdctlError, match=f"cannot listen on {host}:{port}") as caught:
        serve([(hello, host, port)], print)
    assert caught.value.code is Code.USAGE


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")
def test_ipv6() -> None:
    with serving(hello, host="::1") as (url,):
        assert url.startswith("http://[::1]:")
        assert requests.get(url, timeout=SECONDS).text == "/"


SERVER = """
import json
import sys
from rdctl.sandbox import apps
from rdctl.sandbox.serve import serve

listeners = [(app, "127.0.0.1", 0) for app in apps(sys.argv[1]).values()]
serve(listeners, lambda urls: print(json.dumps(urls), flush=True))
print("ended")
"""


def test_ctrl_c_is_a_clean_end(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "sandbox.db")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    urls = json.loads(process.stdout.readline())
    requests.get(f"{urls[0]}/v1/checkServiceStatus", timeout=SECONDS)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, errors) == (0, "ended\n", "")
    assert all(is_free(port_of(url)) for url in urls)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Content-Length: 99999999999999999999", 413),
        ("Content-Length: " + "9" * 5000, 413),
        ("Content-Length: 99999999999", 413),
        ("Content-Length: -1", 400),
        ("Content-Length: many", 400),
        ("Transfer-Encoding: chunked\r\n\r\nffffffffffffff", 413),
        ("Transfer-Encoding: chunked\r\n\r\n-5", 400),
        ("Transfer-Encoding: chunked\r\n\r\nzz", 400),
        ("Content-Length: 0\r\nContent-Length: 1", 400),
        ("Content-Length: 0, 1", 400),
        ("Content-Length : 0", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0", 400),
        ("Transfer-Encoding: gzip, chunked\r\n\r\n0", 501),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0", 501),
        ("Transfer-Encoding: identity", 501),
        ("Transfer-Encoding:", 501),
    ],
)
def test_a_body_that_is_refused(daemon: RapidDiskd, head: str, status: int) -> None:
    """It is answered at once: nothing of it is waited for, and nothing is done."""
    request = f"POST /v1/lockRapidDisk/rd0 HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n"
    with serving(daemon) as (url,):
        with socket.create_connection((LOCAL, port_of(url))) as client:
            client.sendall(request.encode())
            reply = client.recv(65536)
        assert int(reply.split()[1]) == status
        listed = requests.get(f"{url}/v1/listRapidDiskVolumes", timeout=SECONDS)
    assert b'"status": "unlocked"' in listed.content


def test_a_body_that_is_cut_short_is_not_acted_on(daemon: RapidDiskd) -> None:
    request = "POST /v1/lockRapidDisk/rd0 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123"
    with serving(daemon) as (url,):
        with socket.create_connection((LOCAL, port_of(url))) as client:
            client.sendall(request.encode())
            client.shutdown(socket.SHUT_WR)
            reply = client.recv(65536)
        assert int(reply.split()[1]) == 400
        listed = requests.get(f"{url}/v1/listRapidDiskVolumes", timeout=SECONDS)
    assert b'"status": "unlocked"' in listed.content


def test_chunks_in_the_first_http_are_refused(daemon: RapidDiskd) -> None:
    request = b"POST /v1/lockRapidDisk/rd0 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with serving(daemon) as (url,):
        assert talk(port_of(url), request).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 0\r\nContent-Length: 0",
        "Transfer-Encoding: Chunked\r\n\r\n0",
    ],
)
def test_a_body_with_one_meaning_is_taken(daemon: RapidDiskd, head: str) -> None:
    request = f"POST /v1/lockRapidDisk/rd0 HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n"
    with serving(daemon) as (url,):
        assert talk(port_of(url), request.encode()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nX: ",
        b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",  # refused
    ],
)
def test_who_drips_does_not_keep_a_thread(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Handler, "timeout", 0.3)
    with (
        serving(hello) as (url,),
        socket.create_connection((LOCAL, port_of(url)), timeout=SECONDS) as client,
        pytest.raises(ConnectionError),
    ):
        drip(client, begun)


def drip(client: socket.socket, begun: bytes) -> None:
    client.sendall(begun)
    for _ in range(2000):
        client.sendall(b"x")
        sleep(0.02)
