"""A stand-in for an oio-proxy that is asked for many names: it counts, waits, refuses and dies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from tests.fakes.faults import Connection, FaultServer, Request, head

# Of the routes that take many names: the key of their bodies, and the status of what was done.
MANY = {"container/create_many": ("containers", 201), "content/delete_many": ("contents", 204)}
SYSTEM_HEADER = "x-oio-container-meta-sys-"
# Bytes are sent in place of the usual answer; nothing else counts.
Before = Callable[[Sequence[str]], object]


class Crowd:
    """`requests` has the names of each request in order of their arrival, `most` how many were
    under way at a time; requests about a container have its name. `objects` are those of every
    container. `before` is called with the names of a request before it is answered, and
    may wait, or give bytes to be sent instead; no bytes just close the connection."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.objects: Sequence[str] = ()
        self.properties: dict[str, Any] = {}
        self.refused: dict[str, tuple[int, str]] = {}
        self.before: Before = lambda names: None
        self.most = 0
        self._under_way = 0
        self._lock = threading.Lock()
        self.server = FaultServer([self._serve])

    @property
    def where(self) -> tuple[str, ...]:
        return ("--oio-url", self.server.url, "--namespace", "NS", "--account", "me")

    @property
    def names(self) -> list[str]:
        return [name for names in self.requests for name in names]

    def _serve(self, connection: Connection) -> None:
        request = connection.receive()
        route = urlsplit(request.path).path.removeprefix("/v3.0/").removeprefix("NS/")
        names = self._named(route, request)
        with self._lock:
            self.requests.append(names)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        instead = self.before(names)
        with self._lock:
            self._under_way -= 1
        connection.send(
            instead if isinstance(instead, bytes) else self._reply(route, names, request)
        )

    def _reply(self, route: str, names: Sequence[str], request: Request) -> bytes:
        if route == "container/list":
            return self._page(dict(parse_qsl(urlsplit(request.path).query)))
        return self._answer(route, names)

    def _page(self, query: Mapping[str, str]) -> bytes:
        """The objects from a marker on, in the order of their names' bytes."""
        prefix, marker = query.get("prefix", ""), query.get("marker", "").encode()
        names = sorted(name for name in self.objects if name.startswith(prefix))
        left = [name for name in names if name.encode() > marker]
        taken = left[: int(query["max"])]
        headers = {"x-oio-list-truncated": str(len(taken) < len(left)).lower()}
        if taken and len(taken) < len(left):
            headers["x-oio-list-marker"] = quote(taken[-1])
        rows = [{"name": name, "size": 1, "ver": 1, "deleted": False} for name in taken]
        return answer(200, {"objects": rows, "prefixes": []}, headers)

    def _named(self, route: str, request: Request) -> list[str]:
        if route in MANY:
            entries = json.loads(request.body.decode("utf-8", "surrogateescape"))[MANY[route][0]]
            self.properties |= {entry["name"]: entry.get("properties") for entry in entries}
            return [entry["name"] for entry in entries]
        query = dict(parse_qsl(urlsplit(request.path).query, errors="surrogateescape"))
        return [query.get("path") or query.get("ref") or route]

    def _answer(self, route: str, names: Sequence[str]) -> bytes:
        if route in MANY:
            key, done = MANY[route]
            outcomes = [(name, *self.refused.get(name, (done, "Done"))) for name in names]
            fields = ("name", "status", "message")
            return answer(200, {key: [dict(zip(fields, one, strict=True)) for one in outcomes]})
        if names[0] in self.refused:
            status, message = self.refused[names[0]]
            return answer(404, {"status": status, "message": message})
        if route == "container/create":
            return empty(201)
        if route == "config":
            return answer(200, {"meta2.max_versions": "1"})
        if route == "container/show":
            return answer(200, {"properties": {}}, {SYSTEM_HEADER + "user-name": names[0]})
        return empty(204)


def empty(status: int) -> bytes:
    """A reply that has nothing else to say."""
    return f"HTTP/1.1 {status} Done\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()


def answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> bytes:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
    labels = {"Content-Length": len(body), "Content-Type": "application/json", **(headers or {})}
    return head(status, labels) + body


@contextmanager
def serving() -> Iterator[Crowd]:
    crowd = Crowd()
    with crowd.server:
        yield crowd


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    with serving() as crowd:
        yield crowd
