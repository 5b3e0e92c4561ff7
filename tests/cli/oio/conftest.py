"""rdctl oio in the sandbox: in-process, and over HTTP where what is sent is to be seen."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from rdctl.sandbox import OIO_HOST, apps
from rdctl.sandbox.oio.state import RDIR_ADDRESSES
from rdctl.sandbox.serve import serve
from tests.cli.oio.transfers import Client
from tests.conftest import Program, Ran
from tests.fakes.sds import Sds
from tests.sandbox.oio.wire import ACCOUNT_HOST

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# POST is no sign of a change: these only ask.
ASKING = (
    *("get_properties", "forward/stats", "lb/poll"),
    *(f"admin/{action}" for action in ("status", "debug", "has", "info")),
)


class Sent(NamedTuple):
    """A request as it arrived: `route` below the namespace, `query` as it was escaped."""

    method: str
    route: str
    query: str
    body: Any

    @property
    def changes(self) -> bool:
        asks = self.route.endswith(ASKING) or "dryrun=1" in self.query
        # A warmup asks for what that makes services do.
        warms = self.route == "admin/status" and self.query.endswith("&type=meta1")
        return self.method != "GET" and (warms or not asks)


class Oio:
    """`oio("container", "show", "photos")`, in the sandbox or at an address."""

    def __init__(self, rdctl: Program, *where: str) -> None:
        self.rdctl = rdctl
        self.where = where or ("-c", "sandbox")
        self.sent: list[Sent] = []
        # Over HTTP: have the proxy report where its rdir services listen.
        self.show_rdir: Callable[[], None] = lambda: None

    def __call__(self, *words: str, body: Any = None, **options: Any) -> Ran:
        """`body`: a JSON value on standard input."""
        if body is not None:
            options["stdin"] = json.dumps(body).encode()
        return self.rdctl(*self.where, "oio", *words, **options)

    def ok(self, *words: str, **options: Any) -> Ran:
        ran = self(*words, **options)
        assert ran.code == 0, ran.err
        return ran

    @property
    def changes(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.changes]

    @property
    def state(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that the sandbox's servers remember."""
        with closing(sqlite3.connect(self.rdctl.sandbox)) as store:
            tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                name: sorted(store.execute(f"SELECT * FROM {name}"), key=repr)
                for (name,) in tables.fetchall()
            }


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new sandbox, to be copied."""
    rdctl = Program(tmp_path_factory.mktemp("seeded"))
    assert rdctl("-c", "sandbox", "oio", "conscience", "types").code == 0
    with closing(sqlite3.connect(rdctl.sandbox)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return rdctl.sandbox


@pytest.fixture
def oio(rdctl: Program, seeded: Path) -> Oio:
    shutil.copyfile(seeded, rdctl.sandbox)
    return Oio(rdctl)


def _value(body: bytes) -> Any:
    """The JSON value of a body; what is none as it is."""
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"))
    except ValueError:
        return body


class Server:
    """The ports for all tests, of the proxy and of the rdir services; each test puts its own apps
    behind them. `real` are the addresses of the services that the proxy knows by others."""

    def __init__(self) -> None:
        self.apps: dict[str, WSGIApplication] = {}
        self.real: dict[str, str] = {}
        self.url = ""
        self.sent: list[Sent] = []

    @property
    def app(self) -> WSGIApplication:
        """The proxy."""
        return self.apps[OIO_HOST]

    @app.setter
    def app(self, app: WSGIApplication) -> None:
        self.apps[OIO_HOST] = app

    def at(self, host: str) -> WSGIApplication:
        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(body)
            route = environ["PATH_INFO"].removeprefix("/v3.0/").removeprefix("OPENIO/")
            query = environ["QUERY_STRING"]
            sent = Sent(environ["REQUEST_METHOD"], route.lstrip("/"), query, _value(body))
            self.sent.append(sent)
            return self.apps[host](environ, start_response)

        return app


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    stop, ready = Event(), Event()
    served = Server()

    hosts = (OIO_HOST, *RDIR_ADDRESSES)

    def listening(urls: list[str]) -> None:
        served.url, *others = urls
        addresses = [url.removeprefix("http://") for url in others]
        served.real = dict(zip(RDIR_ADDRESSES, addresses, strict=True))
        ready.set()

    listeners = [(served.at(host), "127.0.0.1", 0) for host in hosts]
    thread = Thread(target=serve, args=(listeners, listening, stop), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield served
    stop.set()
    thread.join()


@pytest.fixture
def wire(oio: Oio, server: Server) -> Oio:
    """The sandbox's proxy over HTTP, at the same port its account service, and its rdir services;
    `sent` keeps what they are asked."""
    real = {ACCOUNT_HOST: server.url.removeprefix("http://")}
    served = apps(oio.rdctl.sandbox, real)

    def both(environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        to_account = environ["PATH_INFO"].startswith("/v1.0/account/")
        return served[ACCOUNT_HOST if to_account else OIO_HOST](environ, start_response)

    server.apps = {**served, OIO_HOST: both}
    server.sent = []
    where = ("--oio-url", server.url, "--namespace", "OPENIO", "--account", "sandbox")
    over_http = Oio(oio.rdctl, *where)
    over_http.sent = server.sent
    over_http.show_rdir = lambda: real.update(server.real)
    return over_http


@pytest.fixture
def near(
    rdctl: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Client]]:
    """`near(chunk_size=..., copies=...)`: a client and its namespace."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    opened: list[Sds] = []

    def make(**options: Any) -> Client:
        sds = Sds(**options)
        sds.__enter__()
        opened.append(sds)
        return Client(rdctl, sds, directory)

    yield make
    for sds in opened:
        sds.__exit__(None, None, None)
