"""rdctl oio api: any request, as it is and as it comes back."""

from __future__ import annotations

import json

import pytest

from tests.cli.oio.conftest import Oio
from tests.fakes.faults import FaultServer, reply

PHOTOS = ("--param", "acct=sandbox", "--param", "ref=photos")


def test_a_reply_comes_as_it_is(oio: Oio) -> None:
    ran = oio.ok("api", "GET", "container/show", *PHOTOS)
    assert json.loads(ran.out) == {"properties": {"owner": "ada"}}
    assert ran.err == ""
    for form in ("table", "json", "name", "csv"):
        assert oio.ok("api", "get", "container/show", *PHOTOS, "-o", form).stdout == ran.stdout
    status = oio.ok("api", "GET", "/v3.0/status").out
    assert "gauge known.srv = " in status


def test_the_head_on_request(oio: Oio) -> None:
    head, _, body = oio.ok("api", "GET", "container/show", *PHOTOS, "-i").out.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "\r\nx-oio-container-meta-sys-user-name: photos\r\n" in head
    assert json.loads(body) == {"properties": {"owner": "ada"}}


def test_what_only_reads_never_asks(wire: Oio) -> None:
    for method, path in (
        ("GET", "container/list"),
        ("POST", "container/get_properties"),
        ("POST", "reference/get_properties"),
        ("POST", "/v3.0/OPENIO/container/get_properties"),
    ):
        assert wire("api", method, path, *PHOTOS).code == 0
    assert wire("api", "POST", "admin/status", *PHOTOS, "--param", "type=meta2").code == 0
    address = ("--param", "id=127.0.0.1:16010")
    assert wire("api", "POST", "/v3.0/forward/stats", *address).code == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "container/touch"),
        ("POST", "container/set_properties"),
        ("POST", "content/delete"),
        ("POST", "admin/ping"),
        ("POST", "/v3.0/config"),  # which GET only reads
        ("POST", "/v3.0/forward/kill"),
        ("POST", "/v3.0/OPENIO/admin/meta0_force"),
        ("POST", "container%2Fget_properties"),
        ("POST", "container/get_properties/"),
        ("POST", "what/nobody/knows"),
        ("PUT", "container/get_properties"),
        ("DELETE", "container/show"),
    ],
)
def test_all_else_asks(wire: Oio, method: str, path: str) -> None:
    ran = wire("api", method, path, *PHOTOS)
    assert (ran.code, wire.sent) == (2, [])
    assert f"\n  {method} {path}" in ran.err
    ran = wire("api", method, path, *PHOTOS, tty=True, stdin=b"n\n")
    assert (ran.code, wire.sent) == (1, [])
    plan = wire("api", method, path, *PHOTOS, "--dry-run", "--trace")
    assert plan.err.startswith(f"curl -sS -X {method} ")
    assert plan.out.startswith(f"would {method} ")
    assert wire.sent == []


def test_parameters_and_headers_and_bodies_arrive(wire: Oio) -> None:
    name = "a b+c&d=e/☃\n"
    wire.ok("container", "create", "--", name)
    wire.sent.clear()
    words = ("--param", "acct=sandbox", "--param", f"ref={name}", "--body", "-", "--yes")
    body = {"properties": {"k": "☃"}}
    wire.ok("api", "POST", "container/set_properties", *words, body=body)
    (sent,) = wire.sent
    assert sent.query == "acct=sandbox&ref=a%20b%2Bc%26d%3De%2F%E2%98%83%0A"
    assert sent.body == body
    path = wire.rdctl.home / "binary"
    path.write_bytes(bytes(range(256)))
    wire("api", "POST", "container/touch", *PHOTOS, "--yes", "--body", str(path))
    assert wire.sent[-1].body == bytes(range(256))
    with FaultServer([reply(200, b"{}")]) as server:
        at = Oio(wire.rdctl, "--oio-url", server.url, "--namespace", "N S")
        at.ok("api", "GET", "a/b", "--header", "X-oio-perfdata=1", "--request-id", "ABC")
    (request,) = server.requests
    assert request.path == "/v3.0/N%20S/a/b"
    assert (request.headers["X-oio-perfdata"], request.headers["X-oio-req-id"]) == ("1", "ABC")
    assert request.headers["Connection"] == "close"


def test_binary_replies_reach_a_pipe_untouched(oio: Oio) -> None:
    data = bytes(range(256)) + b"\r\n\x1b[2J"
    with FaultServer([reply(200, data)]) as server:
        at = Oio(oio.rdctl, "--oio-url", server.url, "--namespace", "NS")
        assert at.ok("api", "GET", "x").stdout == data
        assert at.ok("api", "GET", "x", "-i").stdout.endswith(b"\r\n\r\n" + data)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("GET nothing/here", 11, "route not found"),
        ("POST nothing/here --yes", 11, "route not found"),
        (
            "GET container/show --param acct=sandbox --param ref=nope",
            3,
            'container "nope" not found',
        ),
        ("GET conscience/list", 2, "Missing type"),
        ("POST forward/kill --yes --param id=127.0.0.1:16010", 11, "route not found"),
        ("POST /v3.0/forward/kill --yes --param id=127.0.0.1:16010", 5, "abort disabled"),
        ("GET /v3.0/OTHER/conscience/info", 3, "Invalid parameter 'namespace'"),
    ],
)
def test_an_error_is_shown_and_told(oio: Oio, words: str, code: int, message: str) -> None:
    """The body on stdout as it came, what it means on stderr and in the exit code."""
    ran = oio("api", *words.split(), "--json")
    assert ran.code == code
    assert ran.json["message"]
    assert message in ran.err
    assert "{name}" not in ran.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("HEAD /v3.0/status", 'unsupported method "HEAD": must be GET, POST, PUT or DELETE'),
        ("BREW pot", 'unsupported method "BREW"'),
        ("GET", "missing argument PATH"),
        ("GET container/list?acct=A", "must not contain a query string"),
        ("GET x --param a", 'invalid argument "a": must be KEY=VALUE'),
        ("GET x --param a=1 --param a=2", 'key "a" is given twice'),
        ("GET x --header a", 'invalid --header "a": must be NAME=VALUE'),
        ("GET x --header a:b=c", "must be NAME=VALUE"),
        ("GET x --header a=b\nc", "must be NAME=VALUE"),
        ("POST x --body nowhere", "nowhere cannot be read"),
    ],
)
def test_what_cannot_be_sent(wire: Oio, words: str, message: str) -> None:
    ran = wire("api", *words.split(" "), "--yes")
    assert (ran.code, wire.sent) == (2, [])
    assert message in ran.err
