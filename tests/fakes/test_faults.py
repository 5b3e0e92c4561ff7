"""Each behaviour of the fault server does on the wire what its name says."""

from __future__ import annotations

import json as jsonlib
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from tests.clock import Stopwatch
from tests.fakes import faults
from tests.fakes.faults import MIB, Behaviour, FaultServer

PATIENCE = 60.0
GET = b"GET /v1/checkServiceStatus HTTP/1.1\r\nHost: h\r\n\r\n"


def connect(server: FaultServer, request: bytes = GET) -> socket.socket:
    """A connection over which `request` was sent."""
    address = urlsplit(server.url)
    sock = socket.create_connection((address.hostname, address.port), PATIENCE)
    sock.sendall(request)
    return sock


def drain(sock: socket.socket) -> tuple[bytes, str]:
    """Everything until the end, and how it ended: "closed" (FIN) or "reset" (RST)."""
    received = bytearray()
    with sock:
        while True:
            try:
                piece = sock.recv(65536)
            except ConnectionResetError:
                return bytes(received), "reset"
            if not piece:
                return bytes(received), "closed"
            received += piece


def exchange(behaviour: Behaviour, request: bytes = GET) -> tuple[bytes, str, FaultServer]:
    """What one request gets, how the connection ended, and the server."""
    with FaultServer([behaviour]) as server:
        received, end = drain(connect(server, request))
    return received, end, server


def parts(received: bytes) -> tuple[str, dict[str, str], bytes]:
    """Status line, headers, everything after the blank line."""
    start, blank, body = received.partition(b"\r\n\r\n")
    assert blank
    status_line, *lines = start.decode("latin-1").split("\r\n")
    return status_line, dict(line.split(": ", 1) for line in lines), body


def our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fault-server"]


def test_a_plain_reply_is_exact() -> None:
    behaviour = faults.reply(200, b"hello", {"X-A": "b"}, "Fine")
    received, end, _ = exchange(behaviour)
    expected = b"HTTP/1.1 200 Fine\r\nConnection: close\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
    assert received == expected
    assert end == "closed"


def test_json_is_labelled_and_measured() -> None:
    status_line, headers, body = parts(exchange(faults.json({"a": ["\u2603"]}, 400))[0])
    assert status_line == "HTTP/1.1 400 Bad Request"
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(body))
    assert jsonlib.loads(body) == {"a": ["\u2603"]}


def test_requests_are_recorded_whole() -> None:
    request = (
        b"POST /a?b=%20c HTTP/1.1\r\nHost: h\r\nX-oio-req-id: F00\r\nContent-Length: 4\r\n\r\n"
    )
    with FaultServer([faults.json({})]) as server:
        sock = connect(server, request + b"\x00\xff")
        time.sleep(0.05)  # so that the rest of the body comes by itself
        sock.sendall(b"\r\n")
        drain(sock)
    [recorded] = server.requests
    assert recorded[:2] == ("POST", "/a?b=%20c")
    assert recorded.headers["x-OIO-req-id"] == "F00"
    assert recorded.body == b"\x00\xff\r\n"


def test_the_script_goes_by_connection_and_its_last_repeats() -> None:
    script = [faults.reply(200, b"1"), faults.close(), faults.reply(200, b"3")]
    with FaultServer(script) as server:
        replies = [drain(connect(server))[0][-1:] for _ in range(5)]
    assert replies == [b"1", b"", b"3", b"3", b"3"]
    assert len(server.requests) == 5


def test_an_unfinished_request_is_not_recorded() -> None:
    with FaultServer([faults.json({})]) as server:
        sock = connect(server, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        sock.shutdown(socket.SHUT_WR)
        assert drain(sock) == (b"", "closed")
    assert server.requests == []


@pytest.mark.parametrize(
    ("behaviour", "end", "recorded"),
    [
        (faults.close(), "closed", 1),
        (faults.reset(), "reset", 1),
        (faults.reset_unread(), "reset", 0),
    ],
    ids=["close", "reset", "reset_unread"],
)
def test_no_reply(behaviour: Behaviour, end: str, recorded: int) -> None:
    received, how, server = exchange(behaviour)
    assert (received, how, len(server.requests)) == (b"", end, recorded)


def test_reset_unread_waits_for_the_client_to_begin() -> None:
    with FaultServer([faults.reset_unread()]) as server:
        sock = connect(server, b"")
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(PATIENCE)
        sock.sendall(b"G")
        assert drain(sock) == (b"", "reset")


@pytest.mark.parametrize(
    ("behaviour", "end"),
    [(faults.reset_in_body(b"0123456789"), "reset"), (faults.half_body(b"0123456789"), "closed")],
    ids=["reset_in_body", "half_body"],
)
def test_half_of_the_promised_body(behaviour: Behaviour, end: str) -> None:
    received, how, _ = exchange(behaviour)
    _, headers, body = parts(received)
    assert (headers["Content-Length"], body, how) == ("10", b"01234", end)


def test_more_than_the_promised_body() -> None:
    _, headers, body = parts(exchange(faults.long_body(b"0123", b"45"))[0])
    assert (headers["Content-Length"], body) == ("4", b"012345")


def test_silent_takes_the_request_and_says_nothing() -> None:
    with FaultServer([faults.silent()]) as server, connect(server) as sock:
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert len(server.requests) == 1


def test_headers_drip_byte_by_byte() -> None:
    with FaultServer([faults.drip_headers(0.02)]) as server, connect(server) as sock:
        started = time.monotonic()
        received = receive_exactly(sock, 10)
        assert time.monotonic() - started >= 8 * 0.02
    assert received == b"HTTP/1.1 2"


def test_dripping_headers_are_one_endless_line() -> None:
    with FaultServer([faults.drip_headers(0)]) as server, connect(server) as sock:
        received = receive_exactly(sock, 2000)
    assert received.startswith(b"HTTP/1.1 200 OK\r\nX-Drip: ....")
    assert received.count(b"\r\n") == 1


def test_a_body_drips_byte_by_byte_after_a_whole_head() -> None:
    with FaultServer([faults.drip_body(0.02)]) as server, connect(server) as sock:
        started = time.monotonic()
        received = receive_exactly(sock, len(faults.head(200, {})) + 10)
        assert time.monotonic() - started >= 8 * 0.02
    status_line, headers, body = parts(received)
    assert (status_line, headers) == ("HTTP/1.1 200 OK", {"Connection": "close"})
    assert body == b" " * 10


def receive_exactly(sock: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = sock.recv(count - len(received))
        assert piece
        received += piece
    return received


def test_many_headers() -> None:
    _, headers, body = parts(exchange(faults.many_headers(150))[0])
    assert [f"X-Header-{n}" in headers for n in range(150)] == [True] * 150
    assert jsonlib.loads(body) == {"status": "OK"}


def test_a_long_header_line() -> None:
    start, _, body = exchange(faults.long_header(70_000))[0].partition(b"\r\n\r\n")
    assert max(len(line) for line in (start + b"\r\n").splitlines(keepends=True)) == 70_000
    assert jsonlib.loads(body) == {"status": "OK"}


def test_garbage_is_not_http() -> None:
    received, end, server = exchange(faults.garbage())
    assert received
    assert not received.startswith(b"HTTP")
    assert (end, len(server.requests)) == ("closed", 1)


def test_deep_json() -> None:
    _, headers, body = parts(exchange(faults.deep_json(1000))[0])
    assert headers["Content-Length"] == "2000"
    value, depth = jsonlib.loads(body[300:-300]), 1
    while value:
        [value], depth = value, depth + 1
    assert depth == 700
    assert body == b"[" * 1000 + b"]" * 1000


@pytest.mark.parametrize("mebibytes", [1, 3])
def test_huge_json_has_its_size(mebibytes: int) -> None:
    _, headers, body = parts(exchange(faults.huge_json(mebibytes))[0])
    assert headers["Content-Length"] == str(len(body)) == str(mebibytes * MIB)
    assert jsonlib.loads(body) == "a" * (mebibytes * MIB - 2)


def test_huge_json_in_chunks_does_not_tell_its_size() -> None:
    _, headers, body = parts(exchange(faults.huge_json(3, chunked=True))[0])
    assert headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in headers
    assert jsonlib.loads(dechunk(body)) == "a" * (3 * MIB - 2)


def test_huge_json_is_streamed() -> None:
    with FaultServer([faults.huge_json(1 << 20)]) as server, connect(server) as sock:
        received = receive_exactly(sock, MIB)
    assert b"Content-Length: 1099511627776\r\n" in received


def dechunk(body: bytes) -> bytes:
    data = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        data, end, body = data + body[:length], body[length : length + 2], body[length + 2 :]
        assert end == b"\r\n"
        if length == 0:
            assert body == b""
            return data


def test_broken_chunks_end_inside_a_chunk() -> None:
    received, end, _ = exchange(faults.broken_chunks())
    _, headers, body = parts(received)
    first, size, rest = body.split(b"\r\n", 3)[1:]
    assert headers["Transfer-Encoding"] == "chunked"
    assert (first, end) == (b'{"status": ', "closed")
    assert len(rest) < int(size, 16)


def test_bad_chunk_size() -> None:
    received, end, _ = exchange(faults.bad_chunk_size())
    _, headers, body = parts(received)
    assert headers["Transfer-Encoding"] == "chunked"
    with pytest.raises(ValueError, match="zz"):
        dechunk(body)
    assert end == "closed"


def test_false_gzip() -> None:
    _, headers, body = parts(exchange(faults.false_gzip())[0])
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Length"] == str(len(body))
    assert not body.startswith(b"\x1f\x8b")


def test_redirect() -> None:
    status_line, headers, _ = parts(exchange(faults.redirect("http://127.0.0.1:1/x", 307))[0])
    assert status_line == "HTTP/1.1 307 Temporary Redirect"
    assert headers["Location"] == "http://127.0.0.1:1/x"


@pytest.mark.parametrize("status", [401, 403, 429, 502, 503, 504])
def test_errors_as_html_and_as_json(status: int) -> None:
    status_line, headers, body = parts(exchange(faults.http_error(status))[0])
    assert status_line.split()[1] == str(status)
    assert headers["Content-Type"] == "text/html"
    assert body.startswith(b"<html>")
    assert "Retry-After" not in headers

    value = {"status": 503, "message": "busy"}
    received = exchange(faults.http_error(status, value, retry_after="2"))[0]
    status_line, headers, body = parts(received)
    assert status_line.split()[1] == str(status)
    assert headers["Retry-After"] == "2"
    assert jsonlib.loads(body) == value


def test_misshapen_changes_one_thing_each_and_spares_the_original() -> None:
    good = {"volumes": [{"device": "rd0", "size": 1}]}
    before = jsonlib.dumps(good)
    bad = dict(faults.misshapen(good))
    assert jsonlib.dumps(good) == before
    assert bad["$ = null"] is None
    assert bad["$.volumes missing"] == {}
    assert bad["$.volumes[0] = []"] == {"volumes": [[]]}
    assert bad["$.volumes[0].size missing"] == {"volumes": [{"device": "rd0"}]}
    assert bad['$.volumes[0].size = "text"'] == {"volumes": [{"device": "rd0", "size": "text"}]}
    assert bad["$.volumes[0].size = true"] == {"volumes": [{"device": "rd0", "size": True}]}
    assert len({jsonlib.dumps(value) for value in bad.values()}) == len(bad) == 5 * 6 + 3
    assert before not in map(jsonlib.dumps, bad.values())


@pytest.mark.parametrize(
    "behaviour",
    [faults.silent(), faults.drip_headers(60), faults.drip_body(60), faults.huge_json(1 << 20)],
    ids=["silent", "drip_headers", "drip_body", "huge_json"],
)
def test_stops_promptly_with_a_client_still_there(behaviour: Behaviour) -> None:
    with FaultServer([behaviour]) as server:
        sock = connect(server)
        deadline = time.monotonic() + PATIENCE
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.001)
        assert server.requests
        watch = Stopwatch()
    assert watch.quiet < 1
    assert our_threads() == []
    sock.close()


def test_stops_promptly_with_a_client_that_sends_nothing() -> None:
    with FaultServer([faults.reset_unread(), faults.json({})]) as server:
        sockets = [connect(server, b""), connect(server, b"GET / HTTP/1.1\r\n")]
        watch = Stopwatch()
    assert watch.quiet < 1
    assert our_threads() == []
    for sock in sockets:
        sock.close()


def test_nothing_listens_afterwards() -> None:
    with FaultServer([faults.json({})]) as server:
        pass
    with pytest.raises(ConnectionRefusedError):
        connect(server)
