"""The peer of the benchmarks: a server that is quicker than its clients.

    python -m tests.bench.peer [--latency MS] [--chunk BYTES] [--hash]

It listens on 127.0.0.1, says its address on stdout, and ends with its standard input. Each reply
leaves in one piece, `--latency` milliseconds after it was ready, whatever else goes on. What is put
is taken for what its id says, whose MD5 is known, unless `--hash` makes the peer work it out, as a
rawx does. `GET /bench/log` tells, and then forgets, when which requests came.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.bench.answers import BLOCK, Answer, Answers, Request, block_of, data_md5, is_chunk

LOG = "/bench/log"
_MOST_LINE = 1 << 10
# One loop, so one buffer: what was received is used up before the next is.
_BUFFER = memoryview(bytearray(1 << 20))


class Settings(NamedTuple):
    answers: Answers
    latency: float
    hashing: bool
    log: deque[tuple[float, str, str]]


class Pieces:
    """A body in pieces, each behind its length, with trailers after the last one."""

    def __init__(self) -> None:
        self._line = b""
        self._left = 0  # of a piece, with the end of its line
        self._last = False
        self.ended = False

    def parts(self, received: memoryview) -> Iterator[memoryview]:
        """What a piece of the stream holds of the body."""
        while received and not self.ended:
            if self._left:
                part, received = received[: self._left], received[self._left :]
                yield part[: max(self._left - 2, 0)]
                self._left -= len(part)
                continue
            # A line is short.
            start = self._line + bytes(received[:_MOST_LINE])
            line, end, _ = start.partition(b"\r\n")
            if not end:
                self._line = start
                return
            received = received[len(line) + 2 - len(self._line) :]
            self._line = b""
            if self._last:
                self.ended = not line
            elif int(line, 16):
                self._left = int(line, 16) + 2
            else:
                self._last = True


class Connection(asyncio.BufferedProtocol):
    """One client: request after request, each read to its end before it is answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._head = bytearray()
        self._body = bytearray()
        self._left: range | None = None  # of a chunk that is being sent, and its block
        self._block = memoryview(BLOCK)
        self._pieces: Pieces | None = None  # of a body of unknown length
        self._closing = False
        self._paused = False
        self._missing = 0
        self._method = self._target = ""
        self._headers: dict[str, str] = {}
        self._keeps = False
        self._digest: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(len(BLOCK))

    # --- receiving ----------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, count: int) -> None:
        received = _BUFFER[:count]
        if not self._missing and self._pieces is None:
            self._head += received
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            rest = bytes(self._head[end + 4 :])
            self._begin(bytes(self._head[:end]).decode("latin-1"))
            self._head.clear()
            received = memoryview(rest)
        self._take(received)

    def _begin(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        self._settings.log.append((time.monotonic(), *first.split(" ")[:2]))  # type: ignore[arg-type]
        self._method, self._target, _ = first.split(" ")
        fields = (line.partition(": ") for line in lines)
        self._headers = headers = {name.lower(): value for name, _, value in fields}
        self._missing = self._length = int(headers.get("content-length", "0"))
        self._pieces = Pieces() if headers.get("transfer-encoding") == "chunked" else None
        chunk = is_chunk(self._target)
        # A rawx keeps connections as HTTP/1.1 has it, a proxy only when it is asked to.
        wish = headers.get("connection", "").lower()
        self._keeps = wish == "keep-alive" or (chunk and wish != "close")
        self._keeps_body = not chunk
        self._digest = hashlib.md5() if chunk and self._settings.hashing else None
        if chunk and headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _take(self, received: memoryview) -> None:
        if self._pieces is not None:
            for part in self._pieces.parts(received):
                self._length += len(part)
                if self._digest is not None:
                    self._digest.update(part)
            if self._pieces.ended:
                self._pieces = None
                self._answer()
            return
        if self._keeps_body:
            self._body += received
        elif self._digest is not None:
            self._digest.update(received)
        self._missing -= len(received)
        if self._missing <= 0:
            self._missing = 0
            self._answer()

    # --- answering ----------------------------------------------------------------------------

    def _answer(self) -> None:
        settings, length, md5 = self._settings, self._length, ""
        if self._method == "PUT":
            known = block_of(self._target) if is_chunk(self._target) else BLOCK
            md5 = self._digest.hexdigest().upper() if self._digest else data_md5(length, known)
        body = bytes(self._body)
        self._body.clear()
        if self._target == LOG:
            answer = Answer("200 OK", {}, json.dumps(list(settings.log)[:-1]).encode())
            settings.log.clear()
        else:
            answer = settings.answers.answer(
                Request(self._method, self._target, self._headers, body, length, md5)
            )
        if settings.latency:
            asyncio.get_running_loop().call_later(settings.latency, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        length = len(answer.body) if answer.chunk is None else len(answer.chunk)
        lines = [f"HTTP/1.1 {answer.status}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        lines += [f"Content-Length: {length}"]
        lines += [f"Connection: {'keep-alive' if self._keeps else 'Close'}"]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        sent = self._method != "HEAD"
        self._left, self._block = answer.chunk if sent else None, memoryview(answer.block)
        self._transport.write(head + answer.body if sent else head)
        self._go_on()

    def _go_on(self) -> None:
        """Send what is left of a chunk as far as the client takes it, then end the request."""
        while self._left and not self._paused:
            start = self._left.start % len(self._block)
            piece = self._block[start : start + len(self._left)]
            self._left = self._left[len(piece) :]
            self._transport.write(piece)
        if not self._left and not self._keeps:
            self._transport.close()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._go_on()


async def serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(settings), "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()
    settings.answers.url = f"http://{host}:{port}"
    print(settings.answers.url, flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0)
    parser.add_argument("--chunk", type=int, default=10 << 20)
    parser.add_argument("--hash", action="store_true")
    asked = parser.parse_args()
    settings = Settings(
        Answers(asked.chunk), asked.latency / 1000, asked.hash, deque(maxlen=10_000)
    )
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
