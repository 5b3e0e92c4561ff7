"""Who is asked for names: the sandbox, a fake kernel, servers that keep what they are sent."""

from __future__ import annotations

import io
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from rdctl.completion.answer import answer
from rdctl.completion.request import Candidate, made, usable
from rdctl.core.environment import Environment, Messages, Stream
from rdctl.sandbox import OIO_HOST, RAPIDDISK_HOST, apps
from rdctl.sandbox.serve import serve
from tests.conftest import Program

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

SANDBOX = ("-c", "sandbox")


class Completion:
    """What `rdctl __complete` does, in this process and with all the time that it needs."""

    def __init__(self, rdctl: Program) -> None:
        self.rdctl = rdctl
        self.environ = {
            "HOME": str(rdctl.home),
            "RDCTL_CONFIG": str(rdctl.config),
            "RDCTL_SANDBOX": str(rdctl.sandbox),
            "RDCTL_HISTORY": str(rdctl.home / "history.ndjson"),
        }

    @property
    def cache(self) -> Path:
        return self.rdctl.home / ".cache" / "rdctl"

    @property
    def environment(self) -> Environment:
        return Environment(
            stdin=io.BytesIO(),
            stdout=Stream(io.BytesIO(), tty=False),
            stderr=Messages(io.BytesIO(), tty=False),
            environ=self.environ,
            root=str(self.rdctl.root),
            calls=self.rdctl.calls,
            now=self.rdctl.now,
        )

    def about(
        self, kind: str, *args: str, text: str = "", where: tuple[str, ...] = SANDBOX
    ) -> list[Candidate]:
        """What is offered, each with what is told of it."""
        request = made(kind, text, args, where)
        environment = self.environment
        return list(usable(answer(request, environment, environment.clock() + 60), request))

    def __call__(self, kind: str, *args: str, **given: Any) -> list[str]:
        return [name for name, _ in self.about(kind, *args, **given)]


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new sandbox, to be copied."""
    rdctl = Program(tmp_path_factory.mktemp("seeded"))
    assert rdctl(*SANDBOX, "oio", "conscience", "types").code == 0
    with closing(sqlite3.connect(rdctl.sandbox)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return rdctl.sandbox


@pytest.fixture
def asked(rdctl: Program) -> Completion:
    """Where there is no sandbox yet."""
    return Completion(rdctl)


@pytest.fixture
def complete(asked: Completion, seeded: Path) -> Completion:
    """In the sandbox as it begins."""
    shutil.copyfile(seeded, asked.rdctl.sandbox)
    return asked


class Noting:
    """One of the sandbox's servers, which notes what it is asked; each test has its own behind."""

    def __init__(self, sent: list[str]) -> None:
        self.sent = sent
        self.app: WSGIApplication

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        query = environ["QUERY_STRING"]
        path = environ["PATH_INFO"] + (f"?{query}" if query else "")
        self.sent.append(f"{environ['REQUEST_METHOD']} {path}")
        return self.app(environ, start_response)


class Servers:
    """All servers of the sandbox over HTTP, for all tests; `urls` by their names in it."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self.sent: list[str] = []
        self.behind = {host: Noting(self.sent) for host in hosts}
        self.urls: dict[str, str] = {}
        self.ready = Event()

    def listening(self, urls: list[str]) -> None:
        self.urls = dict(zip(self.behind, urls, strict=True))
        self.ready.set()

    def stand_for(self, path: Path) -> None:
        real = {host: url.split("//", 1)[1] for host, url in self.urls.items()}
        for host, app in apps(path, real).items():
            self.behind[host].app = app
        self.sent.clear()


@pytest.fixture(scope="session")
def servers(seeded: Path) -> Iterator[Servers]:
    servers = Servers(apps(seeded))
    stop = Event()
    listeners = [(app, "127.0.0.1", 0) for app in servers.behind.values()]
    thread = Thread(target=serve, args=(listeners, servers.listening, stop), daemon=True)
    thread.start()
    assert servers.ready.wait(10)
    yield servers
    stop.set()
    thread.join()


class Served(NamedTuple):
    """The options that lead there; `sent` are "METHOD path?query", in order."""

    where: tuple[str, ...]
    sent: list[str]


@pytest.fixture
def served(complete: Completion, servers: Servers) -> Served:
    """The same sandbox over HTTP."""
    servers.stand_for(complete.rdctl.sandbox)
    urls = servers.urls
    where = ("--rapiddisk-url", urls[RAPIDDISK_HOST], "--oio-url", urls[OIO_HOST])
    return Served((*where, "--namespace", "OPENIO", "--account", "sandbox"), servers.sent)


@pytest.fixture
def state(complete: Completion) -> Callable[[], dict[str, list[Any]]]:
    """All that the sandbox's servers remember."""

    def read() -> dict[str, list[Any]]:
        with closing(sqlite3.connect(complete.rdctl.sandbox)) as store:
            tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {
                name: sorted(store.execute(f"SELECT * FROM {name}"), key=repr)
                for (name,) in tables.fetchall()
            }

    return read
