"""The adapter: an app in this process is asked, and answers, like any server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.net.engine import Calling
from rdctl.sandbox import RAPIDDISK_HOST, apps
from rdctl.sandbox.adapter import WsgiAdapter
from tests.net.client import Client, fails

if TYPE_CHECKING:
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

URL = "http://app.sandbox"
BLOB = bytes(range(256)) * 4096  # 1 MiB


def client_of(app: WSGIApplication, url: str = URL) -> Client:
    return Client(url, engine=Calling(WsgiAdapter(app).call))


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The request, as JSON."""
    length = int(environ.get("CONTENT_LENGTH") or -1)
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    seen["body"] = environ["wsgi.input"].read(length).decode("latin-1")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]


def ask(
    method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None
) -> dict[str, str]:
    *_, data = WsgiAdapter(echo).call(method, URL + path, headers or {}, body)
    seen: dict[str, str] = json.loads(data)
    return seen


def test_the_app_sees_the_target_as_it_was_sent() -> None:
    seen = ask("GET", "//a/%20d0%2Fb//?x=1%202&y")
    assert seen["REQUEST_URI"] == "//a/%20d0%2Fb//?x=1%202&y"
    assert seen["PATH_INFO"] == "//a/ d0/b//"
    assert seen["QUERY_STRING"] == "x=1%202&y"
    assert seen["REQUEST_METHOD"] == "GET"
    assert seen["HTTP_HOST"] == seen["SERVER_NAME"] == "app.sandbox"


def test_the_app_sees_the_headers() -> None:
    headers = {"X-oio-req-id": "F00", "Content-Type": "text/plain", "X-Latin": "\xe9"}
    seen = ask("POST", "/", headers, b"12345")
    assert seen["HTTP_X_OIO_REQ_ID"] == "F00"
    assert seen["HTTP_X_LATIN"] == "\xe9"
    assert seen["CONTENT_TYPE"] == "text/plain"
    assert seen["CONTENT_LENGTH"] == "5"


def pieces() -> Iterator[bytes]:
    yield b"one "
    yield b"two"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (None, ""),
        (b"one two", "one two"),
        (pieces, "one two"),
        (b"", ""),
    ],
    ids=["none", "bytes", "pieces", "empty"],
)
def test_the_app_reads_any_kind_of_body(data: Any, body: str) -> None:
    assert ask("PUT", "/", body=data() if callable(data) else data)["body"] == body


def test_the_memory_of_a_body_may_be_used_again_for_its_next_piece() -> None:
    memory = bytearray(3)

    def reused() -> Iterator[memoryview]:
        for piece in (b"one", b"two"):
            memory[:] = piece
            yield memoryview(memory)

    assert ask("PUT", "/x", body=reused())["body"] == "onetwo"


def blob(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("206 Partly Here", [("X-Part", "one"), ("X-Part", "two")])
    return [BLOB[:1000], BLOB[1000:]]


def test_a_whole_reply() -> None:
    reply = client_of(blob).read("/")
    assert (reply.status, reply.reason, reply.body) == (206, "Partly Here", BLOB)
    assert reply.headers["content-length"] == str(len(BLOB))
    assert reply.headers["connection"] == "close"
    assert reply.headers["date"].endswith(" GMT")
    assert reply.headers["x-part"] == "one, two"
    into = memoryview(bytearray(2 << 20))
    assert client_of(blob).read("/", into=into).filled == len(BLOB)
    assert into[: len(BLOB)] == BLOB


def test_a_reply_to_head_may_tell_a_length_that_it_does_not_send() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "1000")])
        return []

    reply = client_of(app).read("/", method="HEAD")
    assert (reply.headers["Content-Length"], reply.body) == ("1000", b"")


def test_a_reply_shorter_than_its_length_is_noticed() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "1000")])
        return [b"short"]

    error = fails(client_of(app).read)
    assert (error.code, error.message) == (Code.BAD_REPLY, f"{URL} sent an incomplete reply")


def test_the_old_way_to_write_and_the_end_of_the_reply() -> None:
    closed = []

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"one ")
        return Body([b"two"])

    assert client_of(app).read().body == b"one two"
    assert closed == [True]


def test_what_an_app_raises_reaches_the_caller() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise RdctlError(Code.CONFIG, "the store is of another version")

    with pytest.raises(RdctlError, match="another version"):
        client_of(app).read()


def test_the_daemon_by_its_host(tmp_path: Path) -> None:
    app = apps(tmp_path / "db")[RAPIDDISK_HOST]
    client = client_of(app, f"http://{RAPIDDISK_HOST}")
    reply = client.read("/v1/checkServiceStatus")
    assert reply.json() == {"status": "OK", "version": "9.2.0"}
    assert set(reply.headers) == {"Date", "Connection", "Content-Length"}
    assert client.change("/v1/lockRapidDisk/rd0%2F").json()["status"] == "Success"


def test_trailers_follow_a_chunked_body_and_replace_no_header() -> None:
    sent: list[bytes] = []

    def blocks() -> Iterator[bytes]:
        for block in pieces():
            sent.append(block)
            yield block

    def trailers() -> dict[str, str]:
        return {"X-Sum": str(len(b"".join(sent))), "X-Own": "trailer"}

    adapter = WsgiAdapter(echo, trailers)
    headers = {"X-Own": "header"}
    chunked = {**headers, "Transfer-Encoding": "chunked"}
    seen = json.loads(adapter.call("PUT", URL, chunked, blocks())[3])
    assert (seen["body"], seen["HTTP_X_SUM"], seen["HTTP_X_OWN"]) == ("one two", "7", "header")
    assert "HTTP_X_SUM" not in json.loads(adapter.call("PUT", URL, headers, b"one two")[3])
