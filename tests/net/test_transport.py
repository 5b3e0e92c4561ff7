"""One server and all that may go wrong on the way to it: what is told, what is sent how often."""

from __future__ import annotations

import re
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rdctl import __version__
from rdctl.core.errors import Code
from rdctl.core.unread import Unread
from rdctl.net import transport as module
from rdctl.net.curl import curl
from rdctl.net.deadline import Deadline
from rdctl.net.heads import MOST_HEAD, MOST_HEADERS
from rdctl.net.messages import Access, Blocks, Reply
from rdctl.net.plain import plain_engine
from rdctl.net.requests_engine import RequestsEngine
from tests.clock import Stopwatch
from tests.fakes import faults
from tests.fakes.faults import Behaviour, Connection, FaultServer, http_error, json, reply
from tests.net.client import PEM, Client, TlsServer, fails

Reach = Callable[..., Client]
OK = json({"status": "OK"})


def test_headers_as_they_come(reach: Reach) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\n leading: 0\r\nA: 1 \r\nrubbish\r\nwith blanks: 2\r\na: 3\r\n"
        b"Folded: 4\r\n\t5\r\nEmpty:\r\nlatin: \xe9\r\nContent-Length: 0\r\n\r\n"
    )
    with FaultServer([faults.raw(head)]) as server:
        headers = reach(server.url).read().headers
    assert dict(headers) == {
        "A": "1 , 3",
        "with blanks": "2",
        "Folded": "4 5",
        "Empty": "",
        "latin": "\xe9",
        "Content-Length": "0",
    }


def test_names_that_python_refuses(monkeypatch: pytest.MonkeyPatch, reach: Reach) -> None:
    """From 3.14 on, names of headers with blanks cannot be set, only read."""

    def header_store_parse(self: object, name: str, value: str) -> tuple[str, str]:
        if not re.fullmatch("[!-9;-~]+", name):
            raise ValueError(f"Header field name contains invalid characters: {name!r}")
        return name, value

    monkeypatch.setattr("email.policy.Compat32.header_store_parse", header_store_parse)
    head = b"HTTP/1.1 200 OK\r\nwith blanks: 2\r\nContent-Length: 0\r\n\r\n"
    with FaultServer([faults.raw(head)]) as server:
        assert reach(server.url).read().headers["with blanks"] == "2"


def test_no_line_end_gets_into_a_request() -> None:
    with FaultServer([OK]) as server:
        with pytest.raises(ValueError, match="line end"):
            Client(server.url).read(headers={"X": "1\r\nY: 2"})
        assert server.requests == []


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a/../b/./c?x=1&y=%2F", "/a/../b/./c?x=1&y=%2F"),
        ("/a b", "/a%20b"),
        ("/%2f", "/%2F"),
        ("/[x]", "/%5Bx%5D"),
        ("/\xfc", "/%C3%BC"),
        ("/a%20%", "/a%20%25"),
        ("/a\tb\n", "/a%09b%0A"),
    ],
)
def test_a_target_is_sent_as_it_is_or_escaped(path: str, sent: str, reach: Reach) -> None:
    with FaultServer([OK]) as server:
        reach(server.url).read(path)
        assert [request.path for request in server.requests] == [sent]


def test_another_host_replaces_that_of_the_url(reach: Reach) -> None:
    with FaultServer([OK]) as server:
        reach(server.url).read(headers={"host": "other.example"})
        assert server.requests[0].headers.get_all("Host") == ["other.example"]


@pytest.fixture(scope="module")
def nobody() -> str:
    """An address on which nothing listens."""
    with FaultServer([OK]) as server:
        return server.url


def test_a_connection_that_was_asked_to_be_closed_is_not_used_again(reach: Reach) -> None:
    """By no thread: a server that keeps it open may close it at any time, without a word."""
    connections: list[int] = []

    def keep_open(connection: Connection) -> None:
        connections.append(0)
        with suppress(OSError):
            while True:
                connection.receive()
                connections[-1] += 1
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with FaultServer([keep_open]) as server:
        client = reach(server.url, retries=0)
        failed: list[Exception] = []

        def ask() -> None:
            try:
                for _ in range(40):
                    client.read()
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
    assert (len(connections), len(server.requests)) == (320, 320)


# What goes wrong; the code of a read and how often it is asked; the code of a change.
FAULTS: dict[str, tuple[Behaviour, Code, int | None, Code]] = {
    "reset before reading": (faults.reset_unread(), Code.UNREACHABLE, None, Code.UNKNOWN),
    "reset": (faults.reset(), Code.UNREACHABLE, 3, Code.UNKNOWN),
    "reset in the body": (faults.reset_in_body(), Code.UNREACHABLE, 3, Code.UNKNOWN),
    "closed": (faults.close(), Code.UNREACHABLE, 3, Code.UNKNOWN),
    "closed after an interim reply": (
        faults.raw(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n"),
        Code.UNREACHABLE,
        3,
        Code.UNKNOWN,
    ),
    "half a body": (faults.half_body(), Code.BAD_REPLY, 1, Code.UNKNOWN),
    "half a chunk": (faults.broken_chunks(), Code.BAD_REPLY, 1, Code.UNKNOWN),
    "no chunk size": (faults.bad_chunk_size(), Code.BAD_REPLY, 1, Code.UNKNOWN),
    "no end of chunks": (
        faults.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Code.BAD_REPLY,
        1,
        Code.UNKNOWN,
    ),
    **{
        f"a chunk of {size!r} bytes": (faults.chunk_size(size), Code.BAD_REPLY, 1, Code.UNKNOWN)
        for size in (b"-5", b"-1", b"1e3", b"", b"9" * 14, b"3" * 5000)
    },
    "endless header": (faults.long_header(MOST_HEAD + 1), Code.BAD_REPLY, 1, Code.UNKNOWN),
    "long headers": (
        faults.raw(b"HTTP/1.1 200 OK\r\n" + b"X: %b\r\n" % (b"a" * 60_000) * 300),
        Code.BAD_REPLY,
        1,
        Code.UNKNOWN,
    ),
    "headers without end": (faults.many_headers(MOST_HEADERS + 1), Code.BAD_REPLY, 1, Code.UNKNOWN),
    "no HTTP": (faults.garbage(), Code.BAD_REPLY, 1, Code.UNKNOWN),
    "long rubbish": (faults.garbage(b"SSH-2.0 " * 5000), Code.BAD_REPLY, 1, Code.UNKNOWN),
    "bare JSON": (faults.raw(b'{"status": "OK"}'), Code.BAD_REPLY, 1, Code.UNKNOWN),
    "two lengths": (
        faults.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}"),
        Code.BAD_REPLY,
        1,
        Code.UNKNOWN,
    ),
    "a length below 0, and another": (
        faults.raw(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\nContent-Length: 2\r\n\r\n{}"),
        Code.BAD_REPLY,
        1,
        Code.UNKNOWN,
    ),
    "an empty line": (faults.raw(b"\r\n\r\n"), Code.BAD_REPLY, 1, Code.UNKNOWN),
    "redirect": (faults.redirect("http://127.0.0.1:9/"), Code.BAD_REPLY, 1, Code.BAD_REPLY),
    "redirect nowhere": (faults.redirect("http://[x"), Code.BAD_REPLY, 1, Code.BAD_REPLY),
    "redirect in latin-1": (faults.redirect("/\xe9"), Code.BAD_REPLY, 1, Code.BAD_REPLY),
    "redirect without end": (faults.redirect("/x" * 30_000), Code.BAD_REPLY, 1, Code.BAD_REPLY),
    "not modified": (reply(304), Code.BAD_REPLY, 1, Code.BAD_REPLY),
    "401": (json({"message": "who?"}, 401), Code.DENIED, 1, Code.DENIED),
    "403 as a page": (http_error(403), Code.DENIED, 1, Code.DENIED),
    "407": (http_error(407), Code.DENIED, 1, Code.DENIED),
    "429": (http_error(429), Code.UNAVAILABLE, 3, Code.UNAVAILABLE),
    "429 as JSON": (json({"message": "slow"}, 429), Code.UNAVAILABLE, 3, Code.UNAVAILABLE),
    # The gateway may have passed the change on before it lost the server.
    "502 as a page": (http_error(502), Code.UNAVAILABLE, 3, Code.UNKNOWN),
    "503 as a page": (http_error(503), Code.UNAVAILABLE, 3, Code.UNKNOWN),
    "504 as a page": (http_error(504), Code.UNAVAILABLE, 3, Code.UNKNOWN),
    "a reason of many lines": (
        faults.raw(b"HTTP/1.1 503 " + b"no " * 20_000 + b"\r\n\r\n"),
        Code.UNAVAILABLE,
        3,
        Code.UNKNOWN,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_read_that_fails_says_how_and_is_repeated_only_where_that_may_help(
    name: str, reach: Reach
) -> None:
    behaviour, code, times, _ = FAULTS[name]
    with FaultServer([behaviour]) as server:
        client = reach(server.url)
        error = fails(client.read)
        assert error.code is code
        assert server.url in error.message
        if times is not None:
            assert len(server.requests) == times
            assert len(client.slept) == times - 1


@pytest.mark.parametrize("name", FAULTS)
def test_a_change_is_sent_once_and_a_lost_reply_is_no_failure(name: str, reach: Reach) -> None:
    behaviour, _, times, code = FAULTS[name]
    with FaultServer([behaviour]) as server:
        client = reach(server.url)
        error = fails(client.change)
        assert error.code is code
        assert len(server.requests) == (0 if times is None else 1)
        assert len([line for line in client.trace if line.startswith("curl")]) == 1
        if code is Code.UNKNOWN:
            assert error.message.startswith("create it: sent, but ")
            assert (error.hint or "").endswith("Check the outcome: rdctl rapiddisk list")


@pytest.mark.parametrize("name", FAULTS)
def test_both_engines_fail_with_the_same_words(name: str) -> None:
    words = []
    for engine_to in (plain_engine, lambda url: RequestsEngine(Access())):
        with FaultServer([FAULTS[name][0]]) as server:
            client = Client(server.url, engine=engine_to(server.url), retries=0)
            errors = fails(client.read), fails(client.change)
            words.append(
                [
                    *((error.message.replace(server.url, "URL"), error.hint) for error in errors),
                    *(line.partition(", ")[0] for line in client.trace if line[0] == "#"),
                ]
            )
    assert words[0] == words[1]


def test_what_was_never_sent_was_not_done(nobody: str, reach: Reach) -> None:
    assert fails(reach(nobody).change).code is Code.UNREACHABLE
    client = reach(nobody)
    error = fails(client.read)
    assert error.code is Code.UNREACHABLE
    assert error.message == f"no connection to {nobody}: Connection refused"
    assert len(client.slept) == 2


@pytest.mark.parametrize(
    "url",
    [
        *("http://a..b:1", "http://nohost.invalid:1", "http://.:1", "http://h%zz:1"),
        *("http://b\xfccher.invalid:1", "http://" + "a" * 70 + ":1", "http://127.0.0.1:1/\xfc"),
        "http://127.0.0.1:65537",
    ],
)
def test_an_address_that_leads_nowhere_is_unreachable(url: str) -> None:
    error = fails(Client(url, retries=0).change)
    assert error.code is Code.UNREACHABLE
    assert "_HTTPConnection" not in error.message


def framed(header: bytes) -> Behaviour:
    return faults.raw(b'HTTP/1.1 200 OK\r\n%b\r\n\r\n{"status": "OK"}' % header)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(faults.many_headers(150), id="150 headers"),
        pytest.param(faults.long_header(1 << 20), id="a header of 1 MiB"),
        pytest.param(faults.long_body(b'{"status": "OK"}'), id="more than announced"),
        pytest.param(
            faults.raw(
                b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + faults.head(200, {}) + b'{"status": "OK"}'
            ),
            id="interim replies",
        ),
        pytest.param(
            faults.raw(
                b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                + faults.head(200, {})
                + b'{"status": "OK"}'
            ),
            id="interim replies of other kinds",
        ),
        pytest.param(faults.raw(b'HTTP/1.0 200\r\n\r\n{"status": "OK"}'), id="bare HTTP/1.0"),
        pytest.param(framed(b"Content-Length: 16\r\nContent-Length: x"), id="a length, no length"),
        pytest.param(framed(b"Content-Length: x\r\nContent-Length: 16"), id="no length, a length"),
        pytest.param(framed(b"Content-Length: 16, 016"), id="the same length twice"),
        pytest.param(framed(b"Transfer-Encoding: x, chunked"), id="another coding first"),
        pytest.param(
            faults.raw(
                b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n"
                b'Content-Length: 4\r\n\r\n10 ; a=b\r\n{"status": "OK"}\r\n0\r\n\r\n'
            ),
            id="chunks, and two lengths",
        ),
    ],
)
def test_a_reply_that_is_odd_but_whole_is_taken(behaviour: Behaviour, reach: Reach) -> None:
    with FaultServer([behaviour]) as server:
        assert reach(server.url).read().json() == {"status": "OK"}
        assert reach(server.url).change().json() == {"status": "OK"}


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_without_end_is_cut(
    chunked: bool, monkeypatch: pytest.MonkeyPatch, reach: Reach
) -> None:
    monkeypatch.setattr(module, "MOST_BODY", 2 << 20)
    with FaultServer([faults.huge_json(3, chunked=chunked)]) as server:
        assert fails(reach(server.url).read).code is Code.BAD_REPLY
        assert fails(reach(server.url).change).code is Code.UNKNOWN
    with FaultServer([faults.huge_json(2, chunked=chunked)]) as server:
        assert len(reach(server.url).read().body) == 2 << 20


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{",
        b"[" * 100_000,
        b'{"a": ' * 100_000,
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        Reply(200, "OK", {}, body).json()


@pytest.mark.parametrize(
    "text", ["NaN", "-Infinity", "1e999", "9" * 5000], ids=["nan", "infinity", "huge", "digits"]
)
def test_what_json_has_no_number_for_is_null(text: str) -> None:
    unread = Unread()
    with unread.collecting():
        assert Reply(200, "OK", {}, b'{"a": [1.5, %b], "b": 7}' % text.encode()).json() == {
            "a": [1.5, None],
            "b": 7,
        }
    assert unread.words == f"unreadable values shown as null: {text[:20]} (1 number)"


# --- repeating ---------------------------------------------------------------------------------


def test_a_read_is_repeated_until_it_succeeds() -> None:
    with FaultServer([faults.reset(), http_error(502), OK]) as server:
        client = Client(server.url)
        assert client.read().status == 200
        assert len(server.requests) == 3
        assert client.slept == pytest.approx([0.2, 0.4])
        assert client.trace.count("# retrying in 0.2 s") == 1


@pytest.mark.parametrize(("options", "times"), [({"retries": 0}, 1), ({"retries": 5}, 6)])
def test_as_often_as_was_said(options: dict[str, Any], times: int) -> None:
    with FaultServer([faults.close()]) as server:
        fails(Client(server.url, **options).read)
        assert len(server.requests) == times


def test_what_is_not_repeatable_is_asked_once() -> None:
    with FaultServer([faults.close()]) as server:
        fails(lambda: Client(server.url).read(repeatable=False))
        assert len(server.requests) == 1


def test_the_caller_may_ask_for_another_attempt() -> None:
    with FaultServer([json({"status": 503}, 503), OK]) as server:
        reply = Client(server.url).read(again=lambda reply: reply.status == 503)
        assert reply.status == 200
    with FaultServer([json({"status": 503}, 503)]) as server:
        reply = Client(server.url).read(again=lambda reply: True)
        assert reply.json() == {"status": 503}  # the last one is the caller's to judge
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        *(("3", 3), ("0", 0.2), ("86400", 10), ("9" * 400, 10)),
        *(("Wed, 21 Oct 2026 07:28:00 GMT", 0.2), ("\xb2", 0.2), ("-1", 0.2), ("", 0.2)),
    ],
)
def test_the_server_may_say_when_to_come_again(asked: str, seconds: float) -> None:
    with FaultServer([http_error(503, retry_after=asked), OK]) as server:
        client = Client(server.url)
        client.read()
        assert client.slept == pytest.approx([seconds])


def test_no_attempt_is_begun_for_which_there_is_no_time(nobody: str) -> None:
    client = Client(nobody, deadline=Deadline(0.15))
    assert fails(client.read).code is Code.UNREACHABLE
    assert client.slept == []


# --- time --------------------------------------------------------------------------------------

SLOW = {
    "silent": faults.silent(),
    "headers drip": faults.drip_headers(0.05),
    "body drips": faults.drip_body(0.05),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_deadline_is_kept_and_nothing_is_repeated(name: str, reach: Reach) -> None:
    with FaultServer([SLOW[name]]) as server:
        watch = Stopwatch()
        error = fails(reach(server.url, deadline=Deadline(0.4)).read)
        assert watch.elapsed > 0.35
        assert watch.quiet < 0.85
        assert error.code is Code.TIMEOUT
        assert "--timeout" in (error.hint or "")
        assert len(server.requests) == 1


@pytest.mark.parametrize("name", SLOW)
def test_a_change_that_is_not_answered_in_time_may_have_been_done(name: str, reach: Reach) -> None:
    with FaultServer([SLOW[name]]) as server:
        error = fails(lambda: reach(server.url).change(seconds=1.0))
        assert error.code is Code.UNKNOWN
        assert len(server.requests) == 1


def test_a_request_has_its_own_time_without_any_deadline() -> None:
    with FaultServer([faults.silent()]) as server:
        client = Client(server.url)
        error = fails(lambda: client.read(seconds=0.2))
        assert error.code is Code.TIMEOUT
        assert "--timeout" not in (error.hint or "")
        # Who is stuck is not asked once more.
        assert (len(server.requests), client.slept) == (1, [])


def test_a_request_may_take_as_long_as_it_takes() -> None:
    with FaultServer([OK]) as server:
        assert Client(server.url).change(seconds=None).status == 200
        assert Client(server.url).read(seconds=None).status == 200


@pytest.mark.parametrize("date", ["", "x", "Sat, 21 Nov 99999999999999999999 20:44:52 GMT"])
def test_a_date_that_is_none(date: str) -> None:
    assert Reply(200, "OK", {"Date": date}, b"").date is None


def test_nothing_is_sent_when_the_time_is_over() -> None:
    with FaultServer([OK]) as server:
        client = Client(server.url, deadline=Deadline(0.0))
        assert fails(client.change).code is Code.TIMEOUT
        assert fails(client.read).code is Code.TIMEOUT
        assert server.requests == []


def test_what_used_up_the_time_is_named() -> None:
    """The step and the server, whichever request is late because of it."""
    with FaultServer([faults.silent()]) as slow, FaultServer([OK]) as quick:
        deadline = Deadline(0.5)
        fault = fails(lambda: Client(slow.url, deadline=deadline).read("/v1/slow?a=b"))
        assert fault.message == f"{slow.url}: GET /v1/slow timed out"
        fault = fails(lambda: Client(quick.url, deadline=deadline).change("/v1/next"))
        before = f"{quick.url}: POST /v1/next not sent: timed out before"
        assert fault.message.startswith(f"{before}; GET {slow.url}/v1/slow took 0.")
        assert (fault.code, quick.requests) == (Code.TIMEOUT, [])


def test_one_deadline_holds_for_all_requests() -> None:
    now = 0.0

    def slowly(connection: Connection) -> None:
        nonlocal now
        connection.receive()
        now += 4.9
        connection.send(faults.head(200, {}) + b"{}")

    with FaultServer([slowly, slowly, faults.silent()]) as server:
        client = Client(server.url, deadline=Deadline(10.0, lambda: now))
        assert [client.read().status for _ in range(2)] == [200, 200]
        watch = Stopwatch()
        assert fails(client.read).code is Code.TIMEOUT
        assert watch.quiet < 5


# --- what is sent ------------------------------------------------------------------------------


def test_a_request_holds_what_it_should_and_nothing_else(reach: Reach) -> None:
    with FaultServer([reply(200, b"{}", {"Set-Cookie": "a=b"})]) as server:
        client = reach(server.url, headers={"X-oio-req-id": "0F"})
        client.read("/v1/a/../b%2F%C3%BC?x=%20+")
        client.change(body=b"\x00{}", headers={"X-Extra": "1"})
        client.change()
    read, change, bare = server.requests
    common = {
        "Host": server.url.removeprefix("http://"),
        "User-Agent": f"rdctl/{__version__}",
        "Accept": "application/json, */*",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "X-oio-req-id": "0F",
    }
    assert (read.method, read.path) == ("GET", "/v1/a/../b%2F%C3%BC?x=%20+")
    assert dict(read.headers) == common
    assert (change.method, change.body) == ("POST", b"\x00{}")
    assert dict(change.headers) == {**common, "X-Extra": "1", "Content-Length": "3"}
    assert (bare.body, dict(bare.headers)) == (b"", {**common, "Content-Length": "0"})


def test_the_users_netrc_and_proxy_variables_have_no_influence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, nobody)
        monkeypatch.setenv(name.upper(), nobody)
    monkeypatch.delenv("no_proxy", raising=False)
    with FaultServer([OK]) as server:
        Client(server.url).read()
        Client(server.url, access=Access(token="t0ken")).read()
    assert [r.headers["Authorization"] for r in server.requests] == [None, "Bearer t0ken"]


def test_the_proxy_of_the_context_is_used() -> None:
    with FaultServer([OK]) as proxy:
        client = Client("http://storage.test:9118", access=Access(http_proxy=proxy.url))
        assert client.read("/v1/x").status == 200
    assert proxy.requests[0].path == "http://storage.test:9118/v1/x"
    error = fails(lambda: client.read("/v1/x"))
    assert error.message == (
        "no connection to http://storage.test:9118 (through the http_proxy): Connection refused"
    )


def test_the_trace_can_be_pasted_and_tells_no_secret() -> None:
    with FaultServer([json({"status": "OK"})]) as server:
        client = Client(server.url, access=Access(token="t0ken"), headers={"X-oio-req-id": "0F"})
        client.change("/v1/it's", body=b'{"a": "$HOME"}')
    line, note = client.trace
    assert "t0ken" not in line
    assert shlex.split(line) == [
        *("curl", "-sS", "-X", "POST", "-H", "Expect:", "-H", "X-oio-req-id: 0F"),
        *("-H", "Authorization: Bearer ***", "-H", "Content-Type:"),
        *("--data-raw", '{"a": "$HOME"}'),
        f"{server.url}/v1/it's",
    ]
    assert note.startswith("# 200 OK, 14 bytes sent, 16 received, ")
    assert curl("GET", "http://h/", {"Connection": "close"}, None) == (
        "curl -sS -X GET -H Expect: http://h/"
    )


@pytest.mark.parametrize("way", ["direct", "through a proxy"])
def test_trailers_follow_a_body_and_are_computed_after_it(way: str) -> None:
    """Sent over the connection itself, and by the libraries."""
    order: list[str] = []
    received = bytearray()

    def blocks() -> Iterator[bytes]:
        for block in (b"first", b"", b"0\r\n\r\n"):
            order.append("block")
            yield block

    def total() -> str:
        order.append("trailer")
        return "10"

    def take(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            while not received.endswith(b"X-Last: yes\r\n\r\n"):
                received.extend(sock.recv(1 << 16))
            sock.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        proxy = Access(http_proxy=url) if way != "direct" else None
        client = Client("http://storage.test" if proxy else url, access=proxy)
        body = Blocks(blocks(), 10, None, {"X-Total": total, "X-Last": lambda: "yes"})
        reply = client.change(method="PUT", headers={"Connection": "keep-alive"}, body=body)
        thread.join(10)
    assert reply.status == 201
    head, _, sent = bytes(received).partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\nTrailer: X-Total, X-Last" in head
    assert b"Content-Length" not in head
    assert sent == (b"5\r\nfirst\r\n5\r\n0\r\n\r\n\r\n0\r\nX-Total: 10\r\nX-Last: yes\r\n\r\n")
    assert order == [*["block"] * 3, "trailer"]
    line, note = client.trace
    assert line.startswith(
        "curl -sS -X PUT -H Expect: -H 'Connection: keep-alive'"
        " -H 'X-Total: <known after the data>' -H 'X-Last: <known after the data>' "
    )
    assert line.endswith(f" --data-binary @- {client.transport.url}/v1/x  # 10 bytes on stdin")
    assert note.startswith("# 201 Created, 10 bytes sent, 0 received, ")


def test_requests_to_one_daemon_do_not_overlap() -> None:
    busy = threading.Lock()
    overlapped = []

    def alone(connection: Connection) -> None:
        connection.receive()
        if not busy.acquire(blocking=False):
            overlapped.append(True)
            return
        with suppress(RuntimeError):
            time.sleep(0.02)
            busy.release()
        connection.send(faults.head(200, {}) + b"{}")

    with FaultServer([alone]) as server:
        client = Client(server.url, one_at_a_time=True, retries=0)
        threads = [threading.Thread(target=client.read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.requests) == 4
    assert not overlapped


# --- TLS ---------------------------------------------------------------------------------------


@pytest.fixture
def tls() -> Iterator[TlsServer]:
    with TlsServer([OK]) as server:
        yield server


def test_a_server_is_trusted_only_for_its_certificate(tls: TlsServer) -> None:
    error = fails(Client(tls.https).change)
    assert error.code is Code.UNREACHABLE  # nothing was sent, so nothing was done
    assert "ca=FILE" in (error.hint or "")
    assert tls.requests == []
    assert Client(tls.https, access=Access(ca=str(PEM))).change().status == 200


def test_a_client_certificate_is_shown(tls: TlsServer) -> None:
    tls.client_certificate = True
    known = Access(ca=str(PEM), cert=str(PEM), key=str(PEM))
    assert Client(tls.https, access=known).read().status == 200
    assert fails(Client(tls.https, access=Access(ca=str(PEM))).read).code is Code.UNREACHABLE


def test_tls_and_plain_text_taken_for_each_other_are_told(tls: TlsServer) -> None:
    with FaultServer([faults.no_request()]) as plain:
        https = plain.url.replace("http:", "https:")
        assert fails(Client(https, retries=0).change).code is Code.UNREACHABLE
    assert fails(Client(tls.url, retries=0).read).code in (Code.UNREACHABLE, Code.BAD_REPLY)


def test_a_deadline_is_kept_behind_tls() -> None:
    with TlsServer([faults.drip_body(0.05)]) as server:
        watch = Stopwatch()
        client = Client(server.https, access=Access(ca=str(PEM)), deadline=Deadline(0.4))
        assert fails(client.read).code is Code.TIMEOUT
        assert watch.quiet < 0.85


# --- before the server is spoken to ---------------------------------------------------------------


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A resolver that never answers, and the names that it was asked for."""
    asked: list[str] = []
    end = threading.Event()
    numeric: Any = socket.getaddrinfo

    def stuck(host: Any, *rest: Any, **more: Any) -> Any:
        if more.get("flags", 0) & socket.AI_NUMERICHOST:
            return numeric(host, *rest, **more)
        asked.append(host)
        end.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    yield asked
    end.set()


def test_a_name_that_nobody_resolves(lookups: list[str]) -> None:
    """It is asked for once, in a thread that is left behind."""
    client = Client("http://never.example:9118", deadline=Deadline(0.3), retries=2)
    watch = Stopwatch()
    error = fails(client.read)
    assert error.code is Code.TIMEOUT
    assert error.message == "resolving http://never.example:9118 timed out"
    assert watch.quiet < 5
    error = fails(lambda: Client("http://never.example:9118").change(seconds=0.2))
    assert error.code in (Code.TIMEOUT, Code.UNREACHABLE)  # and so nothing was done
    assert lookups == ["never.example"]


@pytest.mark.parametrize(
    "stall", [faults.silent(), faults.drip_headers(0.05)], ids=["silent", "slow"]
)
def test_a_proxy_that_does_not_connect(stall: Behaviour) -> None:
    with FaultServer([stall]) as proxy:
        access = Access(http_proxy=proxy.url)
        client = Client("https://10.9.9.9:9118", access=access, deadline=Deadline(0.5))
        watch = Stopwatch()
        assert fails(client.read).code is Code.TIMEOUT
        assert watch.quiet < 5


@pytest.mark.parametrize("zone", ["%25lo", "%lo"])
def test_an_address_with_a_zone(zone: str) -> None:
    """Nobody listens there, but it is an address."""
    error = fails(lambda: Client(f"http://[fe80::1{zone}]:1", deadline=Deadline(1)).read())
    assert error.code in (Code.UNREACHABLE, Code.TIMEOUT)
    assert not re.search("not known|Invalid argument", error.message)


def test_what_a_reply_becomes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of nothing takes thirty times its text."""
    whole = b'{"a": [' + b"[]," * 700_000 + b"[]]}"
    assert len(Reply(200, "OK", {}, whole).json()["a"]) == 700_001
    monkeypatch.setattr("rdctl.net.messages.MOST_VALUES", 50 << 20)
    with pytest.raises(ValueError, match="would exceed 50 MiB"):
        Reply(200, "OK", {}, whole).json()
