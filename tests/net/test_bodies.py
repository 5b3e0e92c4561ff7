"""Bodies of replies: whether they are complete, whatever the libraries notice."""

from __future__ import annotations

from contextlib import suppress

import pytest

from rdctl.core.errors import Code
from rdctl.net.messages import Access
from rdctl.net.requests_engine import RequestsEngine
from tests.fakes.faults import Connection, FaultServer
from tests.net.client import PEM, Client, TlsServer, fails

WAYS = ("direct", "direct by requests", "through a proxy", "TLS")
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
# Replies that end too early.
CUT = {
    "in a body of known size": b"Content-Length: 20\r\n\r\n0123456789",
    "before a body of known size": b"Content-Length: 20\r\n\r\n",
    "one byte before the end": b"Content-Length: 20\r\n\r\n0123456789012345678",
    "before the first chunk": CHUNKED,
    "in the size of a chunk": CHUNKED + b"a\r\n0123456789\r\n1",
    "in a chunk": CHUNKED + b"14\r\n0123456789",
    "after a chunk": CHUNKED + b"a\r\n0123456789",
    "in the line end after a chunk": CHUNKED + b"a\r\n0123456789\r",
    "before the last chunk": CHUNKED + b"a\r\n0123456789\r\n",
    "in the last chunk": CHUNKED + b"a\r\n0123456789\r\n0",
    "before the trailers": CHUNKED + b"a\r\n0123456789\r\n0\r\n",
    "in the trailers": CHUNKED + b"a\r\n0123456789\r\n0\r\nX-Sum: ",
    "after the trailers": CHUNKED + b"a\r\n0123456789\r\n0\r\nX-Sum: 1\r\n",
}
# Those that are not valid, and the reason in the message.
INVALID = {
    b"zz\r\n": r"invalid chunk size b'zz\r\n'",
    b"\r\n": r"invalid chunk size b'\r\n'",
    b"-5\r\n": r"invalid chunk size b'-5\r\n'",
    b"1_0\r\n": r"invalid chunk size b'1_0\r\n'",
    b"a\r\n0123456789xx\r\n0\r\n\r\n": "invalid end of a chunk",
    b"3" * 5000 + b"\r\n": f"invalid chunk size b'{'3' * 40}'",
    b"0\r\n" + b"X: 1\r\n" * 3_000_000: "its trailers are larger than 16 MiB",
}


class Served:
    """A server that sends these bytes for each request, then closes the connection or waits for the
    next request; reached in one of the ways."""

    def __init__(self, data: bytes, way: str = "direct", *, open: bool = False) -> None:
        self.data = data
        self.connections = 0
        self._open = open
        self._way = way
        self.server = (TlsServer if way == "TLS" else FaultServer)([self._behave])

    def __enter__(self) -> Client:
        self.server.__enter__()
        url = self.server.url
        if self._way == "TLS":
            url, access = url.replace("http:", "https:"), Access(ca=str(PEM))
        elif self._way == "through a proxy":
            url, access = "http://storage.test:9118", Access(http_proxy=url)
        else:
            access = Access()
        kept = {"Connection": "keep-alive"} if self._open else {}
        engine = RequestsEngine(access) if self._way == "direct by requests" else None
        return Client(url, access=access, headers=kept, engine=engine)

    def __exit__(self, *_: object) -> None:
        self.server.__exit__(None, None, None)

    def _behave(self, connection: Connection) -> None:
        self.connections += 1
        with suppress(OSError):
            connection.receive()
            connection.send(self.data)
            while self._open:
                connection.receive()
                connection.send(self.data)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CUT)
def test_a_reply_that_is_cut_is_incomplete(name: str, way: str) -> None:
    served = Served(b"HTTP/1.1 500 Oops\r\n" + CUT[name], way)
    with served as client:
        error = fails(client.read)
        assert error.code is Code.BAD_REPLY
        assert error.message == f"{client.transport.url} sent an incomplete reply"
        error = fails(client.change)
        assert error.code is Code.UNKNOWN
        assert error.message == (
            f"create it: sent, but {client.transport.url} sent an incomplete reply;"
            " the outcome is unknown"
        )
        assert (len(served.server.requests), client.slept) == (2, [])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CUT)
def test_into_a_buffer_a_reply_that_is_cut_is_incomplete(name: str, way: str) -> None:
    with Served(b"HTTP/1.1 206 Part\r\n" + CUT[name], way) as client:
        error = fails(lambda: client.read(into=memoryview(bytearray(20))))
        assert error.code is Code.BAD_REPLY
        assert error.message == f"{client.transport.url} sent an incomplete reply"


@pytest.mark.parametrize("name", [name for name in CUT if "last" in name or "trailers" in name])
def test_a_buffer_that_is_filled_by_chunks_shows_no_end(name: str) -> None:
    """So the end is read too."""
    with Served(b"HTTP/1.1 200 OK\r\n" + CUT[name]) as client:
        error = fails(lambda: client.read(into=memoryview(bytearray(10))))
        assert error.message == f"{client.transport.url} sent an incomplete reply"


@pytest.mark.parametrize("data", INVALID, ids=[str(data[:20]) for data in INVALID])
@pytest.mark.parametrize("into", [None, memoryview(bytearray(40))], ids=["whole", "buffer"])
def test_chunks_that_are_not_valid(data: bytes, into: memoryview | None) -> None:
    with Served(b"HTTP/1.1 200 OK\r\n" + CHUNKED + data) as client:
        error = fails(lambda: client.read(into=into))
        assert error.code is Code.BAD_REPLY
        url = client.transport.url
        assert error.message == f"{url} sent an invalid HTTP reply: {INVALID[data]}"


# Replies that are whole: the method, the reply, and its body.
WHOLE = {
    "of known size": ("GET", b"200 OK\r\nContent-Length: 10\r\n\r\n0123456789", b"0123456789"),
    "empty": ("GET", b"200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "in chunks": (
        "GET",
        b"200 OK\r\n" + CHUNKED + b"5\r\n01234\r\n05 ; a=b\r\n56789\r\n000\r\n\r\n",
        b"0123456789",
    ),
    "with trailers": (
        "GET",
        b"200 OK\r\n" + CHUNKED + b"A\r\n0123456789\r\n0\r\nX-Sum: 1\r\nX-End: 2\r\n\r\n",
        b"0123456789",
    ),
    "no chunk": ("GET", b"200 OK\r\n" + CHUNKED + b"0\r\n\r\n", b""),
    "of HEAD": ("HEAD", b"200 OK\r\nContent-Length: 1000\r\n\r\n", b""),
    "of HEAD in chunks": ("HEAD", b"200 OK\r\n" + CHUNKED, b""),
    "204": ("GET", b"204 No Content\r\nContent-Length: 1000\r\n\r\n", b""),
    "204 in chunks": ("DELETE", b"204 No Content\r\n" + CHUNKED, b""),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("buffer", [False, True], ids=["whole", "buffer"])
@pytest.mark.parametrize("open", [False, True], ids=["closed", "kept open"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_reply(name: str, open: bool, buffer: bool, way: str) -> None:
    """Without waiting for the server to close the connection, which is used again."""
    method, data, body = WHOLE[name]
    served = Served(b"HTTP/1.1 " + data, way, open=open)
    with served as client:
        for _ in range(2):
            into = memoryview(bytearray(10)) if buffer else None
            reply = client.read(method=method, into=into, seconds=20)
            if into is not None and reply.status == 200:
                assert (bytes(into[: reply.filled]), reply.body) == (body, b"")
            else:
                assert reply.body == body
        assert [request.method for request in served.server.requests] == [method] * 2
        assert served.connections == (1 if open else 2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [b"0", b"1000"])
def test_a_reply_without_a_body_whatever_its_length(length: bytes, way: str) -> None:
    data = b"HTTP/1.1 304 Not Modified\r\nContent-Length: " + length + b"\r\n\r\n"
    with Served(data, way, open=True) as client:
        assert "answered 304 Not Modified: redirect" in fails(client.read).message


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("buffer", [False, True], ids=["whole", "buffer"])
def test_what_follows_a_body_is_not_read(buffer: bool, way: str) -> None:
    """It is not taken for the next reply either."""
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    served = Served(data + b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", way, open=True)
    with served as client:
        for _ in range(3):
            into = memoryview(bytearray(20)) if buffer else None
            reply = client.read(into=into)
            assert (reply.status, reply.filled or len(reply.body)) == (200, 10)


@pytest.mark.parametrize("way", WAYS)
def test_a_body_that_ends_with_its_connection(way: str) -> None:
    with Served(b"HTTP/1.1 200 OK\r\n\r\n0123456789", way) as client:
        assert client.read().body == b"0123456789"
        into = memoryview(bytearray(20))
        assert client.read(into=into).filled == 10
        assert bytes(into[:10]) == b"0123456789"


@pytest.mark.parametrize("way", WAYS)
def test_the_connection_of_a_cut_reply_is_not_used_again(way: str) -> None:
    """Nor that of a reply which did not fit into the buffer."""
    served = Served(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + b"x" * 40, way, open=True)
    with served as client:
        into = memoryview(bytearray(20))
        assert [client.read(into=into).filled for _ in range(2)] == [20, 20]
        assert served.connections == 2
