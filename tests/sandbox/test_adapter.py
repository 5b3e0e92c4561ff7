"""The adapter: what requests gets from an app in this process is a response like any other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
import requests

from rdctl.core.errors import Code, RdctlError
from rdctl.sandbox import RAPIDDISK_HOST, apps
from rdctl.sandbox.adapter import WsgiAdapter

if TYPE_CHECKING:
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

URL = "http://app.sandbox"
BLOB = bytes(range(256)) * 4096  # 1 MiB


def session_over(app: WSGIApplication) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount(URL, WsgiAdapter(app))
    return session


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The request, as JSON."""
    length = int(environ.get("CONTENT_LENGTH") or -1)
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    seen["body"] = environ["wsgi.input"].read(length).decode("latin-1")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]


def ask(method: str, path: str, **more: Any) -> dict[str, str]:
    reply = session_over(echo).request(method, URL + path, **more)
    seen: dict[str, str] = reply.json()
    return seen


def test_the_app_sees_the_target_as_it_was_sent() -> None:
    seen = ask("GET", "//a/%20d0%2Fb//?x=1%202&y")
    assert seen["REQUEST_URI"] == "//a/%20d0%2Fb//?x=1%202&y"
    assert seen["PATH_INFO"] == "//a/ d0/b//"
    assert seen["QUERY_STRING"] == "x=1%202&y"
    assert seen["REQUEST_METHOD"] == "GET"
    assert seen["HTTP_HOST"] == seen["SERVER_NAME"] == "app.sandbox"


def test_the_app_sees_the_headers() -> None:
    headers = {"X-oio-req-id": "F00", "Content-Type": "text/plain", "X-Bytes": b"\xe9"}
    seen = ask("POST", "/", headers=headers, data=b"12345")
    assert seen["HTTP_X_OIO_REQ_ID"] == "F00"
    assert seen["HTTP_X_BYTES"] == "\xe9"
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
        ("one two", "one two"),
        (pieces, "one two"),
        (lambda: BytesIO(b"one two"), "one two"),
        (b"", ""),
    ],
    ids=["none", "bytes", "text", "pieces", "file", "empty"],
)
def test_the_app_reads_any_kind_of_body(data: Any, body: str) -> None:
    assert ask("PUT", "/", data=data() if callable(data) else data)["body"] == body


def test_the_memory_of_a_body_may_be_used_again_for_its_next_piece() -> None:
    memory = bytearray(3)

    def reused() -> Iterator[memoryview]:
        for piece in (b"one", b"two"):
            memory[:] = piece
            yield memoryview(memory)

    assert ask("PUT", "/x", data=reused())["body"] == "onetwo"


def blob(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("206 Partly Here", [("X-Part", "one"), ("X-Part", "two")])
    return [BLOB[:1000], BLOB[1000:]]


def test_a_whole_reply() -> None:
    reply = session_over(blob).get(URL)
    assert (reply.status_code, reply.reason, reply.url) == (206, "Partly Here", URL + "/")
    assert reply.content == BLOB
    assert reply.headers["content-length"] == str(len(BLOB))
    assert reply.headers["connection"] == "close"
    assert reply.headers["date"].endswith(" GMT")
    assert reply.headers["x-part"] == "one, two"
    assert reply.raw.headers.getlist("x-part") == ["one", "two"]
    assert reply.request.method == "GET"
    assert reply.elapsed.total_seconds() < 1


def test_a_streamed_reply() -> None:
    session = session_over(blob)
    with session.get(URL, stream=True) as reply:
        assert b"".join(reply.iter_content(1000)) == BLOB
    with session.get(URL, stream=True) as reply:
        assert reply.raw.read(10) == BLOB[:10]
        assert reply.raw.read() == BLOB[10:]
        assert reply.raw.read(10) == b""
    with session.get(URL, stream=True) as reply:
        reply.raw.read(10)
    assert reply.raw.closed


def test_a_reply_to_head_may_tell_a_length_that_it_does_not_send() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "1000")])
        return []

    reply = session_over(app).head(URL)
    assert reply.headers["Content-Length"] == "1000"
    assert reply.content == b""


def test_a_reply_shorter_than_its_length_is_noticed() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "1000")])
        return [b"short"]

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="995 more expected"):
        session_over(app).get(URL)


def test_the_old_way_to_write_and_the_end_of_the_reply() -> None:
    closed = []

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append(True)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"one ")
        return Body([b"two"])

    assert session_over(app).get(URL).content == b"one two"
    assert closed == [True]


def test_what_an_app_raises_reaches_the_caller() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise RdctlError(Code.CONFIG, "the store is of another version")

    with pytest.raises(RdctlError, match="another version"):
        session_over(app).get(URL)


def test_the_daemon_by_its_host(tmp_path: Path) -> None:
    session = requests.Session()
    session.mount(f"http://{RAPIDDISK_HOST}", WsgiAdapter(apps(tmp_path / "db")[RAPIDDISK_HOST]))
    reply = session.get(f"http://{RAPIDDISK_HOST}/v1/checkServiceStatus")
    assert reply.json() == {"status": "OK", "version": "9.2.0"}
    assert set(reply.headers) == {"Date", "Connection", "Content-Length"}
    reply = session.post(f"http://{RAPIDDISK_HOST}/v1/lockRapidDisk/rd0%2F")
    assert reply.json()["status"] == "Success"


def test_trailers_follow_a_chunked_body_and_replace_no_header() -> None:
    sent: list[bytes] = []

    def blocks() -> Iterator[bytes]:
        for block in pieces():
            sent.append(block)
            yield block

    def trailers() -> dict[str, str]:
        return {"X-Sum": str(len(b"".join(sent))), "X-Own": "trailer"}

    session = requests.Session()
    session.mount(URL, WsgiAdapter(echo, trailers))
    headers = {"X-Own": "header"}
    seen = session.put(URL, data=blocks(), headers=headers).json()
    assert (seen["body"], seen["HTTP_X_SUM"], seen["HTTP_X_OWN"]) == ("one two", "7", "header")
    assert "HTTP_X_SUM" not in session.put(URL, data=b"one two", headers=headers).json()
