"""What an oio-proxy can do to its client: refuse, fall silent, lie, and speak other encodings."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.net import engine
from rdctl.net.heads import MOST_HEAD
from rdctl.net.transport import MOST_BODY
from rdctl.oio.client import Client
from rdctl.oio.model import Place
from tests.conftest import Program, Ran
from tests.fakes import faults
from tests.fakes.faults import Behaviour, FaultServer
from tests.oio.wire import NS, OLD, REQUEST_ID, Answer, Answering, Sent, answer, proxy_to, refusal

PLACE = Place("acct", "a b")
CONTENT = PLACE._replace(path="p/q")
SHOWN = {
    "x-oio-container-meta-sys-user-name": "a%20b",
    "x-oio-container-meta-sys-name": "AB12.1",
    "x-oio-container-meta-sys-m2-usage": "5",
}
Act = Callable[[Client], Any]


def show(proxy: Client) -> Any:
    return proxy.read("container.show", PLACE)


def touch(proxy: Client) -> Any:
    return proxy.change("container.touch", PLACE, what="touch a b", shows="rdctl oio show")


def failing(proxy: Client, act: Act = show) -> RdctlError:
    with pytest.raises(RdctlError) as caught:
        act(proxy)
    assert caught.value.facts["request_id"] == REQUEST_ID
    return caught.value


@pytest.fixture
def ask(rdctl: Program) -> Callable[..., Ran]:
    """The program at an oio-proxy."""

    def run(server: FaultServer, *words: str, **options: Any) -> Ran:
        where = ("--oio-url", server.url, "--namespace", "OPENIO", "--account", "acct")
        return rdctl(*where, "--request-id", REQUEST_ID, "oio", *words, **options)

    return run


# --- errors ---------------------------------------------------------------------------------------

# The number in the body, what HTTP says with it, the word, the exit.
ERRORS = [
    (2, 503, "unavailable", 6),
    (2, 500, "unavailable", 6),
    (7, 504, "timeout", 7),
    (19, 500, "conflict", 4),
    (400, 400, "usage", 2),
    (403, 403, "denied", 5),
    (403, 500, "denied", 5),
    (406, 404, "not-found", 3),
    (406, 403, "not-found", 3),
    (407, 403, "in-use", 4),
    (413, 413, "usage", 2),
    (418, 404, "not-found", 3),
    (420, 404, "not-found", 3),
    (421, 409, "exists", 4),
    (424, 409, "conflict", 4),
    (425, 500, "conflict", 4),
    (426, 404, "not-found", 3),
    (427, 410, "conflict", 4),
    (431, 404, "not-found", 3),
    (433, 409, "exists", 4),
    (436, 503, "frozen", 4),
    (436, 500, "frozen", 4),
    (437, 500, "frozen", 4),
    (438, 409, "not-empty", 4),
    (439, 500, "conflict", 4),
    (445, 500, "conflict", 4),
    (453, 404, "not-found", 3),
    (455, 403, "exists", 4),
    (480, 500, "usage", 2),
    (481, 500, "unavailable", 6),
    (500, 500, "failed", 1),
    (501, 501, "unsupported", 11),
    (502, 500, "unavailable", 6),
    (503, 503, "unavailable", 6),
    (503, 500, "unavailable", 6),
    (511, 500, "failed", 1),
]


@pytest.mark.parametrize(("status", "http", "word", "exit"), ERRORS)
def test_errors_go_by_the_number_in_the_body(status: int, http: int, word: str, exit: int) -> None:
    error = failing(proxy_to(Answering([refusal(status, "as it said", http)])))
    assert (error.code.word, error.exit) == (word, exit)
    assert "as it said" in error.message
    assert (error.facts["http_status"], error.facts["remote_status"]) == (http, status)


@pytest.mark.parametrize(
    ("status", "exit"), [(406, 3), (431, 3), (438, 4), (436, 4), (503, 6), (500, 1)]
)
def test_a_person_and_a_script_are_told(ask: Callable[..., Ran], status: int, exit: int) -> None:
    body = {"status": status, "message": "as it said"}
    with FaultServer([faults.json(body, 500)]) as server:
        ran = ask(server, "container", "list", "a b", "--retries", "0")
        told = ask(server, "container", "list", "a b", "--retries", "0", "--json")
    assert (ran.code, told.code) == (exit, exit)
    assert f"request id: {REQUEST_ID}" in ran.err
    assert "as it said" in ran.err
    error = told.json["error"]
    assert (error["remote_status"], error["request_id"]) == (status, REQUEST_ID)
    assert {request.headers["X-oio-req-id"] for request in server.requests} == {REQUEST_ID}
    listings = [request for request in server.requests if "container/list" in request.path]
    assert len(listings) == 2


def test_a_reply_that_is_too_large_is_named(
    ask: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdctl.net.messages.MOST_VALUES", 1 << 20)
    with FaultServer([faults.json({"objects": [[]] * 700_000})]) as server:
        ran = ask(server, "container", "list", "c", "--json")
    assert ran.code == 9
    assert "its values would exceed 1 MiB" in ran.json["error"]["message"]


def test_items_of_a_batch_have_errors_of_their_own(ask: Callable[..., Ran]) -> None:
    """Created, there before (433), refused (436), not named at all
    (docs/wire/oio-proxy.md#2-status-numbers-seen-in-bodies)."""
    items = [
        {"name": "a", "status": 201, "message": "ok"},
        {"name": "b", "status": 433, "message": "Container already exists"},
        {"name": "c d", "status": 436, "message": "Invalid status"},
    ]
    with FaultServer([faults.json({"containers": items})]) as server:
        ran = ask(server, "container", "create", "a", "b", "c d", "e", "--json")
    results = [(change["target"], change["changed"]) for change in ran.json["results"]]
    errors = {error["target"]: error for error in ran.json["errors"]}
    assert (ran.code, results) == (8, [("a", True), ("b", False)])
    assert {name: error["code"] for name, error in errors.items()} == {
        "c d": "frozen",
        "e": "unproven",
    }
    assert " oio admin enable 'c d'" in errors["c d"]["hint"]


@pytest.mark.parametrize(
    ("place", "limit"),
    [
        (Place("x" * 64, "r"), "63"),
        (Place("a", "é" * 128), "255"),
        (Place("a", "r", path="p" * 1024), "1023"),
    ],
)
@pytest.mark.parametrize(("status", "http"), [(406, 403), (400, 400)])
def test_names_that_are_too_long(place: Place, limit: str, status: int, http: int) -> None:
    """4.2 answers that there is no such user (docs/wire/oio-proxy.md#4-reference-directory)."""
    server = Answering([refusal(status, "no such user", http)] * 2)
    error = failing(proxy_to(server), lambda proxy: proxy.read("content.show", place))
    assert limit in str(error.hint)
    short = Place("x" * 63, "é" * 127, path="p" * 1023)
    error = failing(proxy_to(server), lambda proxy: proxy.read("content.show", short))
    assert error.hint is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"status": "x"}', b'{"status": 1e999}', b'{"message": "m"}']
)
@pytest.mark.parametrize("http", [404, 500])
def test_errors_that_are_none_of_a_proxy(body: bytes, http: int) -> None:
    error = failing(proxy_to(Answering([Answer(http, body)])))
    assert (error.code, error.facts["http_status"]) == (Code.BAD_REPLY, http)


def test_a_name_is_not_taken_for_a_missing_route() -> None:
    said = "No handler found: no such user"
    error = failing(proxy_to(Answering([refusal(406, said, 404)])))
    assert error.code is Code.NOT_FOUND


# --- retries --------------------------------------------------------------------------------------

AWAY = {"status": 503, "message": "No service replied"}
ELECTION = {"status": 503, "message": "Election failed [AB.1][meta2]"}
CONTAINER = faults.reply(200, b'{"properties": {}}', SHOWN)
BUSY: dict[str, Behaviour] = {
    "503 in the body": faults.http_error(503, AWAY, retry_after="1"),
    "503 in the body, 500 by HTTP": faults.http_error(500, AWAY),
    "a gateway's 502": faults.http_error(502),
    "a gateway's 504": faults.http_error(504),
    "429": faults.http_error(429),
    "reset": faults.reset(),
    "reset at once": faults.reset_unread(),
    "closed": faults.close(),
}
FIRM: dict[str, Behaviour] = {
    "no election": faults.http_error(503, ELECTION),
    "frozen": faults.http_error(503, {"status": 436, "message": "Container frozen"}),
    "too few": faults.http_error(500, {"status": 481, "message": "found only 0"}),
    "absent": faults.http_error(404, {"status": 406, "message": "no such user"}),
    "half": faults.half_body(),
    "rubbish": faults.garbage(),
}


@pytest.mark.parametrize("name", BUSY)
def test_reads_come_again(name: str) -> None:
    slept: list[float] = []
    with FaultServer([BUSY[name], BUSY[name], CONTAINER]) as server:
        found = show(proxy_to(server.url, retries=2, slept=slept))
    assert (found.container, found.bytes, len(slept)) == ("a b", 5, 2)


@pytest.mark.parametrize("name", BUSY)
def test_reads_give_up(name: str) -> None:
    with FaultServer([BUSY[name]]) as server:
        error = failing(proxy_to(server.url, retries=2))
    assert error.exit == 6
    assert len(server.requests) == (0 if name == "reset at once" else 3)


@pytest.mark.parametrize("name", FIRM)
def test_reads_do_not_insist(name: str) -> None:
    with FaultServer([FIRM[name]]) as server:
        failing(proxy_to(server.url, retries=2))
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", [*BUSY, *FIRM])
def test_changes_are_sent_once(name: str) -> None:
    with FaultServer([(BUSY | FIRM)[name]]) as server:
        failing(proxy_to(server.url, retries=5), touch)
    assert len(server.requests) == (0 if name == "reset at once" else 1)


def test_api_reads_come_again_too(ask: Callable[..., Ran]) -> None:
    script = [BUSY["503 in the body"], faults.json({"ns": "OPENIO"})]
    with FaultServer(script) as server:
        ran = ask(server, "api", "GET", "conscience/info")
    assert (ran.code, ran.json, len(server.requests)) == (0, {"ns": "OPENIO"}, 2)


def test_an_election_is_awaited_long_enough() -> None:
    """All three replicas that fail to elect answer after 62 s; a stuck service after 30 s
    (docs/wire/oio-proxy.md#9-failure-and-speed)."""
    waits: list[float] = []

    class Waiting(Answering):
        def send(self, request: engine.Request) -> engine.Answer:
            waits.append(request.seconds or 0)
            return super().send(request)

    server = Waiting(lambda sent: refusal(406, "no such user", 404))
    failing(proxy_to(server))
    failing(proxy_to(server), lambda proxy: proxy.read("admin.status", PLACE, {"type": "meta2"}))
    assert [round(wait) for wait in waits] == [35, 90]


# --- faults of the wire ---------------------------------------------------------------------------

# The fault, what a read is told, and what a change is.
FAULTS: list[tuple[Behaviour, Code, Code]] = [
    (faults.close(), Code.UNREACHABLE, Code.UNKNOWN),
    (faults.reset(), Code.UNREACHABLE, Code.UNKNOWN),
    (faults.reset_in_body(), Code.UNREACHABLE, Code.UNKNOWN),
    (faults.half_body(), Code.BAD_REPLY, Code.UNKNOWN),
    (faults.broken_chunks(), Code.BAD_REPLY, Code.UNKNOWN),
    (faults.bad_chunk_size(), Code.BAD_REPLY, Code.UNKNOWN),
    (faults.garbage(), Code.BAD_REPLY, Code.UNKNOWN),
    (faults.long_header(MOST_HEAD + 1), Code.BAD_REPLY, Code.UNKNOWN),
    (faults.chunk_size(b"-5"), Code.BAD_REPLY, Code.UNKNOWN),
    (faults.http_error(502), Code.UNAVAILABLE, Code.UNKNOWN),
    (faults.http_error(504), Code.UNAVAILABLE, Code.UNKNOWN),
    (faults.http_error(504, {"status": 7, "message": "Timeout"}), Code.TIMEOUT, Code.UNKNOWN),
    (faults.http_error(500, {"status": 7, "message": "Timeout"}), Code.TIMEOUT, Code.UNKNOWN),
    (faults.http_error(401), Code.DENIED, Code.DENIED),
    (faults.http_error(404), Code.BAD_REPLY, Code.BAD_REPLY),
    (faults.redirect("http://elsewhere/"), Code.BAD_REPLY, Code.BAD_REPLY),
    (faults.http_error(500), Code.BAD_REPLY, Code.UNKNOWN),
    (faults.false_gzip(), Code.BAD_REPLY, Code.UNKNOWN),
    (faults.deep_json(), Code.BAD_REPLY, Code.UNKNOWN),
    (faults.reply(200, b"<html>"), Code.BAD_REPLY, Code.UNKNOWN),
]


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_faults_of_the_wire(number: int) -> None:
    behaviour, of_read, of_change = FAULTS[number]
    with FaultServer([behaviour]) as server:
        assert failing(proxy_to(server.url)).code is of_read
        error = failing(proxy_to(server.url), touch)
    assert error.code is of_change
    if error.code is Code.UNKNOWN:
        assert "rdctl oio show" in str(error.hint)


def test_nobody_listens() -> None:
    with FaultServer([faults.close()]) as server:
        pass
    for act in (show, touch):
        error = failing(proxy_to(server.url), act)
        assert (error.code, server.requests) == (Code.UNREACHABLE, [])


def test_the_body_is_bounded() -> None:
    with FaultServer([faults.huge_json((MOST_BODY >> 20) + 1)]) as server:
        assert failing(proxy_to(server.url)).code is Code.BAD_REPLY


# --- encodings ------------------------------------------------------------------------------------

NAMES = [
    b"\xff\xfe",
    b"caf\xe9",
    "é\u2028☃😀".encode(),
    b"a b+c%2F&=?#;\"'\\\n\t\r\x7f",
    b"..",
    b"-x",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_come_and_go_byte_for_byte(name: bytes) -> None:
    """From a reply, JSON or headers, into the query and the body of the next request."""
    text = json.dumps(name.decode("utf-8", "surrogateescape"), ensure_ascii=False)
    escaped = "".join(f"%{byte:02X}" for byte in name)
    quoted = text.encode("utf-8", "surrogateescape")
    body = b'{"prefixes": [], "objects": [{"name": %b, "deleted": false}]}' % quoted
    script = [
        Answer(200, body, {**OLD, "x-oio-list-truncated": "false"}),
        Answer(200, b"[]", {"x-oio-content-meta-name": escaped, "x-oio-content-meta-length": "0"}),
        Answer(200, b'{"properties": {%b: %b}}' % (quoted, quoted), OLD),
        Answer(204),
        Answer(200, b'{"contents": []}'),
    ]
    server = Answering(script)
    proxy = proxy_to(server)
    (entry,) = proxy.read("container.list", PLACE).entries
    there = PLACE._replace(path=entry.name)
    assert proxy.read("content.show", there).path == entry.name
    found = proxy.read("content.get_properties", there).properties
    change = partial(proxy.change, what="act", shows="rdctl", destroys="data")
    change("content.set_properties", there, properties=found)
    change("content.delete_many", PLACE, names=[entry.name])
    for sent in server.sent[1:4]:
        assert sent.target.partition("&path=")[2] == _quoted(name)
    assert server.sent[3].body == b'{"properties": {%b: %b}}' % (quoted, quoted)
    assert server.sent[4].body == b'{"contents": [{"name": %b}]}' % quoted


def _quoted(name: bytes) -> str:
    """Every byte but letters, digits and `_.-~`."""
    kept = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~"
    return "".join(chr(byte) if byte in kept else f"%{byte:02X}" for byte in name)


def test_half_a_surrogate_pair_is_no_fault_of_ours() -> None:
    """JSON may spell what no UTF-8 can; it goes back as its own three bytes would stand."""
    body = rb'{"prefixes": [], "objects": [{"name": "a\ud83d", "deleted": false}]}'
    server = Answering([Answer(200, body, {"x-oio-list-truncated": "false"}), Answer(204)])
    proxy = proxy_to(server)
    (entry,) = proxy.read("container.list", PLACE).entries
    proxy.change(
        "content.delete", PLACE._replace(path=entry.name), what="", shows="", destroys="data"
    )
    assert server.sent[1].target.endswith("&path=a%ED%A0%BD")


@pytest.mark.parametrize("count", [99, 150, 1000])
def test_many_headers(count: int) -> None:
    user = {f"x-oio-container-meta-user-k{number}": "v" for number in range(count)}
    with FaultServer([faults.reply(200, b'{"properties": {}}', {**user, **SHOWN})]) as server:
        assert show(proxy_to(server.url)).bytes == 5


def test_a_long_property_makes_no_container_unreadable() -> None:
    user = {"x-oio-container-meta-user-note": "%C3%BC" * 50_000}
    with FaultServer([faults.reply(200, b'{"properties": {}}', {**user, **SHOWN})]) as server:
        assert show(proxy_to(server.url)).bytes == 5


@pytest.mark.parametrize(
    "header",
    [
        "x-oio-container-meta-user-caf\xc3\xa9 \xe2\x98\x83: %C3%BC",
        "x-oio-container-meta-user-two words: x",
        "x-oio-container-meta-user-raw: a\n b",
        'x-oio-container-meta-user-raw: a\n"q"',
        "x-oio-container-meta-user-: empty",
    ],
)
def test_headers_behind_a_users_odd_one_count(header: str) -> None:
    """Proxies make headers of what users call their properties; the marker comes behind them."""
    lines = [
        "HTTP/1.1 200 OK",
        "Connection: Close",
        header,
        "x-oio-list-truncated: true",
        "x-oio-list-marker: a%0Ab",
        "Content-Length: 32",
    ]
    body = b'{"prefixes": [], "objects": [] }'
    with FaultServer(
        [faults.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)]
    ) as server:
        assert proxy_to(server.url).read("container.list", PLACE).marker == "a%0Ab"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hash", ""),
        ("mime_type", "テキスト"),
        ("policy", "a\r\nx-evil: 1"),
        ("chunk_method", "\x7f"),
    ],
)
def test_what_cannot_be_a_header_is_not_sent(key: str, value: str) -> None:
    """An empty value makes the proxy close the connection (docs/wire/oio-proxy.md#1-http-level)."""
    server = Answering([])
    arguments: dict[str, Any] = {"length": 1, "chunks": [], key: value}
    with pytest.raises(RdctlError) as caught:
        proxy_to(server, dialect="4.2").change(
            "content.create", CONTENT, what="", shows="", **arguments
        )
    assert (caught.value.code, server.sent) == (Code.USAGE, [])


@pytest.mark.parametrize("value", ["€", "a\nb"])
def test_api_headers_that_cannot_be_sent(ask: Callable[..., Ran], value: str) -> None:
    with FaultServer([faults.json({})]) as server:
        assert ask(server, "api", "GET", "conscience/info", "--header", f"X={value}").code == 2
    assert server.requests == []


@pytest.mark.parametrize("value", ["€", "a\nb", "\x1b"])
def test_request_ids_that_cannot_be_sent(rdctl: Program, value: str) -> None:
    with FaultServer([faults.json([])]) as server:
        where = ("--oio-url", server.url, "--namespace", "OPENIO", "--request-id", value)
        assert rdctl(*where, "oio", "conscience", "types").code == 2
    assert server.requests == []


TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


def _request_ids(rdctl: Program, traceparent: str, *options: str) -> set[str]:
    with FaultServer([faults.json([])]) as server:
        where = ("--oio-url", server.url, "--namespace", "OPENIO", *options)
        ran = rdctl(*where, "oio", "conscience", "types", env={"TRACEPARENT": traceparent})
        assert ran.code == 0
    return {request.headers["X-oio-req-id"] for request in server.requests}


def test_a_trace_context_sets_the_request_id(rdctl: Program) -> None:
    assert _request_ids(rdctl, PARENT) == {TRACE_ID}


def test_a_request_id_outweighs_the_trace_context(rdctl: Program) -> None:
    assert _request_ids(rdctl, PARENT, "--request-id", "typed") == {"typed"}


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACE_ID,
        PARENT.upper(),
        PARENT + "\n",
        PARENT + "-00",
        PARENT.replace("00-", "ff-", 1),
        PARENT.replace(TRACE_ID, "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        PARENT.replace("a3ce", "a3cg"),
    ],
)
def test_an_invalid_trace_context_is_ignored(rdctl: Program, traceparent: str) -> None:
    (request_id,) = _request_ids(rdctl, traceparent)
    assert len(request_id) == 32
    assert request_id.upper() == request_id


# --- what is never sent ---------------------------------------------------------------------------


def test_connections_are_not_kept(ask: Callable[..., Ran]) -> None:
    """Neither keep-alive, nor chunks, nor an expectation: reads and changes alike
    (docs/wire/oio-proxy.md#1-http-level)."""
    with FaultServer([faults.reply(204)]) as server:
        ask(server, "container", "touch", "a", "b")
        ask(server, "service", "lean-glib", "127.0.0.1:6010")
        ask(server, "api", "POST", "container/set_properties", "--yes", "--body", "-", stdin=b"{}")
        ask(server, "api", "GET", "conscience/info")
    assert len(server.requests) == 5
    for request in server.requests:
        assert request.headers.get_all("Connection") == ["close"]
        assert not {"Transfer-Encoding", "Expect", "TE", "Upgrade"} & set(request.headers)
        assert request.headers.get("Content-Length") == (
            None if request.method == "GET" else str(len(request.body))
        )


@pytest.mark.parametrize("method", ["HEAD", "head", "OPTIONS", "TRACE"])
def test_head_is_never_sent(ask: Callable[..., Ran], method: str) -> None:
    with FaultServer([faults.json({})]) as server:
        assert ask(server, "api", method, "container/show", "--yes").code == 2
    assert server.requests == []


# --- the account service --------------------------------------------------------------------------

ACCOUNT = {"ctime": "1795295483.66755", "bytes": 3, "objects": 2, "id": "a b", "containers": 1}


def test_account_service_is_found_once() -> None:
    def serve(sent: Sent) -> Answer:
        if sent.target.startswith("/v1.0/"):
            return answer({**ACCOUNT, "metadata": {"owner": "me"}})
        return answer([{"addr": "10.0.0.9:6017", "id": "OPENIO|account|10.0.0.9:6017"}])

    server = Answering(serve)
    proxy = proxy_to(server)
    for _ in range(2):
        found = proxy.account_service.show("a b")
    assert (found.account, found.bytes, found.created) == ("a b", 3, "2026-11-21T21:11:23Z")
    assert server.lines == [
        f"GET {NS}/lb/choose?type=account",
        "GET /v1.0/account/show?id=a%20b",
        "GET /v1.0/account/show?id=a%20b",
    ]
    assert {sent.headers["X-oio-req-id"] for sent in server.sent} == {REQUEST_ID}


def account_of(*replies: Answer) -> Client:
    found = answer([{"addr": "10.0.0.9:6017", "id": "x"}])
    return proxy_to(Answering([found, *replies]))


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (Answer(404, b"Account not found"), Code.NOT_FOUND, "not found"),
        (Answer(409, b"Account not empty"), Code.FAILED, "Account not empty"),
        (Answer(400, b"Missing Account ID"), Code.FAILED, "Missing Account ID"),
        (Answer(500, b"Unmanaged error: x"), Code.FAILED, "Unmanaged error: x"),
        (Answer(404, b"", reason="NOT FOUND"), Code.NOT_FOUND, "not found"),
        (Answer(404, b"\x1b[31m\xff\n"), Code.NOT_FOUND, "\\x1b[31m\\xff"),
        (Answer(503, b"<html>"), Code.UNAVAILABLE, "503"),
        (Answer(200, b"<html>"), Code.BAD_REPLY, "10.0.0.9:6017"),
        (Answer(200, b"7"), Code.BAD_REPLY, "account service"),
    ],
)
def test_errors_of_the_account_service_are_plain_text(reply: Answer, code: Code, said: str) -> None:
    for act in (
        lambda proxy: proxy.account_service.show("a b"),
        lambda proxy: proxy.account_service.names(),
        lambda proxy: proxy.account_service.containers("a b", {}),
    ):
        error = failing(account_of(reply), act)
        assert error.code is code
        assert said in error.message or said in error.message.lower()


def test_no_account_service() -> None:
    """None is up: an empty list, or an error of its own."""
    for reply in (answer([]), refusal(481, "found only 0 services")):
        error = failing(proxy_to(Answering([reply])), lambda proxy: proxy.account_service.names())
        assert error.code is Code.UNAVAILABLE


def test_token_is_not_for_the_account_service(rdctl: Program) -> None:
    (rdctl.home / "token").write_text("secret\n")
    with FaultServer([faults.json(["acct"])]) as account:
        found = [{"addr": account.url.removeprefix("http://"), "id": "x"}]
        with FaultServer([faults.json(found)]) as server:
            rdctl.config.write_text(
                f'[contexts.lab]\noio = "{server.url}"\nnamespace = "OPENIO"\n'
                f'token_file = "{rdctl.home}/token"\n'
            )
            ran = rdctl("-c", "lab", "oio", "account", "list", "-o", "name")
    assert (ran.code, ran.out) == (0, "acct\n")
    assert server.requests[0].headers["Authorization"] == "Bearer secret"
    assert "Authorization" not in account.requests[0].headers
