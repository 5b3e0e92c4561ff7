"""The same cause has the same exit code and word, whichever verb meets it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from typing import Any, cast

import pytest
import requests

from rdctl.core.errors import Code
from rdctl.net.heads import MOST_HEAD
from rdctl.sandbox import OIO_HOST, apps
from tests.cli.oio.conftest import Oio, Sent
from tests.fakes import faults
from tests.fakes.faults import Behaviour, Connection, FaultServer, Request
from tests.sandbox.mounted import Mounted

# What is met; the exit and the word of a read, and those of a change.
Told = tuple[int, str]
BAD, LOST, AWAY, UNKNOWN = (9, "bad-reply"), (6, "unreachable"), (6, "unavailable"), (10, "unknown")
CAUSES: dict[str, tuple[Behaviour, Told, Told]] = {
    "reset": (faults.reset(), LOST, UNKNOWN),
    "reset in the body": (faults.reset_in_body(), LOST, UNKNOWN),
    "closed": (faults.close(), LOST, UNKNOWN),
    "half a body": (faults.half_body(), BAD, UNKNOWN),
    "half a chunk": (faults.broken_chunks(), BAD, UNKNOWN),
    "a chunk of -5 bytes": (faults.chunk_size(b"-5"), BAD, UNKNOWN),
    "no HTTP": (faults.garbage(), BAD, UNKNOWN),
    "headers beyond bounds": (faults.long_header(MOST_HEAD + 1), BAD, UNKNOWN),
    "a page": (faults.reply(200, b"<html>It works!</html>"), BAD, UNKNOWN),
    "a page with 500": (faults.http_error(500), BAD, UNKNOWN),
    "a page with 404": (faults.http_error(404), BAD, BAD),
    "a page with 502": (faults.http_error(502), AWAY, UNKNOWN),
    "a page with 503": (faults.http_error(503), AWAY, UNKNOWN),
    "a page with 504": (faults.http_error(504), AWAY, UNKNOWN),
    "a redirect": (faults.redirect("http://elsewhere.test/"), BAD, BAD),
    "401": (faults.http_error(401), (5, "denied"), (5, "denied")),
    "403": (faults.http_error(403), (5, "denied"), (5, "denied")),
    "429": (faults.http_error(429), AWAY, AWAY),
    "503 in the body": (faults.http_error(503, {"status": 503, "message": "No"}), AWAY, UNKNOWN),
    "503 in a 500": (faults.http_error(500, {"status": 503, "message": "No"}), AWAY, UNKNOWN),
    "timeout behind": (
        faults.http_error(504, {"status": 7, "message": "Timeout"}),
        (7, "timeout"),
        UNKNOWN,
    ),
    "another namespace": (
        faults.http_error(400, {"status": 400, "message": "Invalid parameter 'namespace'"}),
        (3, "not-found"),
        (3, "not-found"),
    ),
    "no such route": (
        faults.raw(
            b"HTTP/1.1 404 No handler found\r\nConnection: close\r\nContent-Length: 43\r\n\r\n"
            b'{"status":404,"message":"No handler found"}'
        ),
        (11, "unsupported"),
        (11, "unsupported"),
    ),
}
READS = """
conscience info|conscience types|conscience list|conscience list rawx|local list
reference show photos|reference get-properties photos|container show photos|container list photos
container get-properties photos|content show photos index.txt|content get photos --recursive --to x
content get-properties photos index.txt|content get photos index.txt --to x|account list
content get photos index.txt --to -|account show|account containers|admin status photos
service ping 127.0.0.1:9 --type meta2|service version 127.0.0.1:9 --type meta2
service stats 127.0.0.1:9 --type meta2|admin debug photos|admin get-properties photos
api GET conscience/info|api GET content/show --param ref=photos --param path=index.txt
"""
CHANGES = """
reference create new|reference destroy photos --force|reference link photos rawx
reference unlink photos meta2|reference renew photos meta2|reference set-properties photos a=b
reference force photos rawx 127.0.0.1:9|container create new|container create new another
container touch photos|container dedup photos|container purge photos|container flush photos
container destroy photos --force|container raw-insert photos --body -
container set-properties photos a=b|content touch photos index.txt|content delete photos index.txt
content delete photos index.txt sea/storm.svg|content prepare photos new --size 1
content create photos new --length 1 --content-id AB --chunks -
content set-properties photos index.txt a=b|admin ping photos|admin sync photos
admin leave photos --all|admin copy photos --to 127.0.0.1:9|admin freeze photos
conscience lock rawx 127.0.0.1:16013 --score 5|conscience flush rawx
service flush 127.0.0.1:16010|api POST container/touch --param ref=photos
"""
BODIES = {
    "raw-insert": [{"type": "alias", "name": "n", "version": 1}],
    "create": [{"url": "http://127.0.0.1:9/AB", "pos": "0", "size": 1, "hash": "0" * 32}],
}


def words_of(table: str) -> list[str]:
    return table.strip().replace("\n", "|").split("|")


class Received:
    """A connection whose request was read."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection, self._request = connection, request

    def receive(self) -> Request:
        return self._request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def meeting(cause: Behaviour, sandbox: Any, met: Callable[[Request], bool]) -> Behaviour:
    """The cause for the requests that are to meet it, the sandbox's answer for the others."""
    session = requests.Session()
    session.mount(f"http://{OIO_HOST}", Mounted(apps(sandbox)[OIO_HOST]))

    def behave(connection: Connection) -> None:
        request = connection.receive()
        if met(request):
            cause(cast(Connection, Received(connection, request)))
            return
        url = f"http://{OIO_HOST}{request.path}"
        sent = requests.Request(request.method, url, data=request.body).prepare()
        sent.url = url
        reply = session.send(sent)
        headers = {**reply.headers, "Content-Length": len(reply.content)}
        connection.send(faults.head(reply.status_code, headers, reply.reason) + reply.content)

    return behave


def changes(request: Request) -> bool:
    path = request.path.partition("?")[0]
    return Sent(request.method, path, "", None).changes


@pytest.fixture
def meets(oio: Oio) -> Callable[[str, Behaviour, Callable[[Request], bool]], Told]:
    """What a verb is told that meets a cause; every request may, but what `met` spares."""

    def run(words: str, cause: Behaviour, met: Callable[[Request], bool]) -> Told:
        shutil.copyfile(oio.rdctl.sandbox, oio.rdctl.home / "fresh")
        body = (
            BODIES.get(words.split()[1]) if words.endswith(" -") and "--to" not in words else None
        )
        with FaultServer([meeting(cause, oio.rdctl.home / "fresh", met)]) as server:
            where = ("--oio-url", server.url, "--namespace", "OPENIO", "--account", "sandbox")
            at = Oio(oio.rdctl, *where)
            ran = at(*shlex.split(words), "--yes", "--retries", "0", body=body)
            told = at(*shlex.split(words), "--yes", "--retries", "0", "--json", body=body)
        assert ran.code == told.code, ran.err
        raw = words.startswith("api") or "--to -" in words
        if raw:
            return ran.code, next(code.word for code in Code if code.exit == ran.code)
        document = told.json
        return ran.code, (document.get("error") or document["errors"][0])["code"]

    return run


@pytest.mark.parametrize("name", CAUSES)
def test_reads(meets: Callable[..., Told], name: str) -> None:
    cause, expected, _ = CAUSES[name]
    told = {words: meets(words, cause, lambda request: True) for words in words_of(READS)}
    assert {words: got for words, got in told.items() if not same(words, got, expected)} == {}


@pytest.mark.parametrize("name", CAUSES)
def test_changes(meets: Callable[..., Told], name: str) -> None:
    cause, _, expected = CAUSES[name]
    told = {words: meets(words, cause, changes) for words in words_of(CHANGES)}
    assert {words: got for words, got in told.items() if not same(words, got, expected)} == {}


OF_THE_PROXY = ("503 in a 500", "timeout behind", "another namespace", "no such route")


@pytest.mark.parametrize("name", [name for name in CAUSES if name not in OF_THE_PROXY])
def test_the_account_service(oio: Oio, name: str) -> None:
    cause, expected, _ = CAUSES[name]
    with FaultServer([cause]) as service:
        address = service.url.removeprefix("http://")
        with FaultServer([faults.json([{"addr": address, "id": "x"}])]) as proxy:
            where = ("--oio-url", proxy.url, "--namespace", "OPENIO", "--account", "sandbox")
            at = Oio(oio.rdctl, *where)
            for words in (
                "account list",
                "account show",
                "account containers",
                f"service ping {address}",
            ):
                typed = ["--type", "account"] if words.startswith("service") else []
                ran = at(*words.split(), *typed, "--retries", "0", "--json")
                error = ran.json["error"] if "error" in ran.json else ran.json["errors"][0]
                assert (ran.code, error["code"]) == expected, words
    assert len(service.requests) == 4


def same(words: str, got: Told, expected: Told) -> bool:
    """Bytes on their way out have an exit code only."""
    return (
        got[0] == expected[0] if words.startswith("api") or "--to -" in words else got == expected
    )


def test_nobody_listens(oio: Oio) -> None:
    with FaultServer([faults.close()]) as gone:
        pass
    at = Oio(oio.rdctl, "--oio-url", gone.url, "--namespace", "OPENIO", "--account", "sandbox")
    for words in words_of(READS) + words_of(CHANGES):
        body = (
            BODIES.get(words.split()[1]) if words.endswith(" -") and "--to" not in words else None
        )
        assert at(*shlex.split(words), "--yes", "--retries", "0", body=body).code == 6, words
