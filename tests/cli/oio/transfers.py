"""What the tests of content put and get have in common: a client, and rawx services that fail."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cli.processes import SECONDS
from tests.conftest import Program, Ran
from tests.fakes.sds import Call, Sds

ROOT = Path(__file__).resolve().parent.parent.parent.parent


def bytes_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


class Client:
    """rdctl in a directory of its own, talking to a small namespace."""

    def __init__(self, rdctl: Program, sds: Sds, directory: Path) -> None:
        self.rdctl, self.sds, self.directory = rdctl, sds, directory
        self.where = ["--oio-url", sds.url, "--namespace", "OPENIO", "--account", "ACCT"]

    def __call__(self, *words: str, **options: Any) -> Ran:
        ran = self.rdctl(*self.where, "oio", "content", *words, **options)
        assert "Traceback" not in ran.err
        return ran

    def ok(self, *words: str, **options: Any) -> Ran:
        ran = self(*words, **options)
        assert ran.code == 0, ran.err
        return ran

    def file(self, name: str, data: bytes) -> str:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    @contextmanager
    def start(
        self, *words: str, noun: str = "content", **options: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The program as a process, which is over at the end."""
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.rdctl.home),
            "RDCTL_HISTORY": str(self.rdctl.home / "history.ndjson"),
            "RDCTL_DEBUG": "1",
        }
        argv = [sys.executable, "-m", "rdctl", *self.where, "oio", noun, *words]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}
        given = {**streams, **options}
        with subprocess.Popen(argv, env=environ, cwd=self.directory, **given) as process:
            yield process


def wait_for(met: Callable[[], object]) -> None:
    until = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < until
        time.sleep(0.01)


def errors_of(ran: Ran) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ran.json["errors"]
    return found


# What a rawx may do instead of storing a chunk.
def refuse_507(call: Call) -> None:
    call.body()
    call.reply("507 Insufficient Storage", body=b"<html>")


def wrong_hash(call: Call) -> None:
    call.sds.chunks[call.chunk] = call.body()
    call.reply("201 Created", {"x-oio-chunk-meta-chunk-hash": "0" * 32})


def lose_reply(call: Call) -> None:
    call.sds.chunks[call.chunk] = call.body()
    call.hang_up()


def reset_amid(call: Call) -> None:
    call.body(100)
    call.reset()


def conflict(call: Call) -> None:
    call.body()
    call.reply("409 Conflict")


def once_there(act: Callable[[Call], None], others: int) -> Callable[[Call], None]:
    """The fault, when so many other chunks are stored."""

    def late(call: Call) -> None:
        wait_for(lambda: len(call.sds.chunks) == others)
        act(call)

    return late


WRITE_FAULTS = (refuse_507, wrong_hash, lose_reply, reset_amid, conflict)


REFUSED: dict[str, tuple[int, Any]] = {
    "424": (4, lambda call: call.refuse(424, "409 Conflict")),
    "a page with 404": (9, lambda call: call.reply("404 Not Found", body=b"<html>")),
    "a redirect": (9, lambda call: call.reply("302 Found", {"Location": "http://x/"})),
    "429": (6, lambda call: call.reply("429 Too Many Requests", body=b"slow down")),
    "403": (5, lambda call: call.reply("403 Forbidden", body=b"<html>")),
    "no such route": (
        11,
        lambda call: call.refuse(404, "404 No handler found", "No handler found"),
    ),
    "no election": (6, lambda call: call.refuse(503, message="Election failed [AB.1][meta2]")),
    "too busy": (6, lambda call: call.refuse(509)),
}


def lost(call: Call) -> None:
    call.body()
    call.hang_up()


def unsure(call: Call) -> None:
    call.body()
    call.refuse(503, "503 Service unavailable", "No service replied")


def gateway(call: Call) -> None:
    call.body()
    call.reply("502 Bad Gateway", body=b"<html>")


def rubbish(call: Call) -> None:
    call.body()
    call.reply("500 Internal error", body=b"oops")


def away(call: Call) -> None:
    call.body()
    call.reply("503 Service Unavailable", body=b"<html>")


def contradiction(call: Call) -> None:
    call.body()
    call.refuse(200)


def flipped(call: Call) -> None:
    """The right number of wrong bytes."""
    first, last = map(int, call.headers["range"][6:].split("-"))
    part = call.sds.chunks[call.chunk][first : last + 1]
    call.reply("206 Partial Content", {}, part[:-1] + bytes([part[-1] ^ 1]))


def short(call: Call) -> None:
    call.reply("206 Partial Content", {}, b"x" * 5)


def die_amid(call: Call) -> None:
    call.reply("206 Partial Content", {}, b"x" * 5, length=900)
    call.reset()


def not_found(call: Call) -> None:
    call.reply("404 Not Found", body=b"<html>")


def out_of_range(call: Call) -> None:
    call.reply("416 Requested Range Not Satisfiable", body=b"<html>")


def whole_page(call: Call) -> None:
    call.reply("200 OK", body=b"<html>")


READ_FAULTS = (flipped, short, die_amid, not_found, out_of_range, whole_page)


def part_of(client: Client) -> Path:
    (part,) = client.directory.rglob(".*.part")
    return part


def hold(call: Call) -> None:
    """Take a byte, and the rest when the client has had enough."""
    call.body(1)
    call.sds.wait(5)
    call.body()
    call.sds._put_chunk(call)
