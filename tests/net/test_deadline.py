"""A deadline that is kept whatever the server does with its bytes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from rdctl.net.deadline import Deadline, current
from rdctl.net.engine import Engine, Request
from rdctl.net.faults import FAULTS
from tests.clock import Stopwatch
from tests.fakes.faults import (
    Behaviour,
    Connection,
    FaultServer,
    drip_body,
    drip_headers,
    json,
    silent,
)

EngineTo = Callable[[str], Engine]
# Beyond the deadline: what a busy machine needs to notice it.
GRACE = 0.45


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_left_of_a_deadline() -> None:
    clock = Clock()
    deadline = Deadline(5, clock)
    assert (deadline.left(), deadline.over) == (5.0, False)
    clock.now += 4
    assert (deadline.left(), deadline.over) == (1.0, False)
    clock.now += 4
    assert (deadline.left(), deadline.over) == (0.0, True)
    never = Deadline(None, clock)
    assert (never.left(), never.over) == (None, False)


@pytest.mark.parametrize(
    ("whole", "seconds", "left"),
    [(None, None, None), (None, 3, 3), (5, None, 5), (5, 3, 3), (3, 5, 3)],
)
def test_the_earlier_of_two_deadlines_holds(
    whole: float | None, seconds: float | None, left: float | None
) -> None:
    clock = Clock()
    within = Deadline(whole, clock).within(seconds)
    assert within.left() == left
    if left is not None:
        clock.now += left - 1
        assert within.left() == 1


def ask(engine: Engine, **more: Any) -> int:
    """Send a request, and read the whole reply."""
    url = more.pop("url")
    headers = {"Content-Length": str(len(more["body"]))} if "body" in more else {}
    answer = engine.send(Request(more.pop("method", "GET"), url + "/", headers, **more))
    try:
        for _ in answer.body.read():
            pass
    finally:
        answer.finish()
    return answer.head.status


@contextmanager
def within(seconds: float) -> Iterator[None]:
    current.deadline = Deadline(seconds)
    try:
        yield
    finally:
        current.deadline = None


def ends_after(seconds: float, work: Callable[[], object]) -> None:
    watch = Stopwatch()
    with pytest.raises(FAULTS):
        work()
    assert watch.elapsed > seconds - 0.05
    assert watch.quiet < seconds + GRACE


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(drip_headers(0.05), id="headers drip"),
        pytest.param(drip_body(0.05), id="body drips"),
        pytest.param(silent(), id="silent"),
        # Interim replies without end: no single one of them is late.
        pytest.param(lambda c: endless(c, b"HTTP/1.1 100 Continue\r\n\r\n"), id="interim replies"),
    ],
)
def test_a_reply_that_does_not_come_is_given_up_in_time(
    behaviour: Behaviour, engine_to: EngineTo
) -> None:
    with FaultServer([behaviour]) as server, within(0.4):
        ends_after(0.4, lambda: ask(engine_to(server.url), url=server.url))


def endless(connection: Connection, data: bytes) -> None:
    connection.receive()
    while True:
        connection.send(data)


def test_a_request_that_nobody_takes_is_given_up_in_time(engine_to: EngineTo) -> None:
    body = b"x" * (64 << 20)
    with socket.create_server(("127.0.0.1", 0)) as listener, within(0.4):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ends_after(0.4, lambda: ask(engine_to(url), method="POST", url=url, body=body))


@contextmanager
def full_listeners(count: int) -> Iterator[int]:
    """A port on which `count` addresses take no further connection; nor do they refuse it."""
    with ExitStack() as stack:
        port = 0
        for number in range(1, count + 1):
            listener = stack.enter_context(socket.create_server((f"127.0.0.{number}", port)))
            listener.listen(0)
            port = listener.getsockname()[1]
            for _ in range(2):  # more than the queue holds
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((f"127.0.0.{number}", port))
        yield port


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a host name addresses on this machine: `resolve("a.test", 80, 1, 2)`."""

    def make(name: str, port: int, *numbers: int) -> None:
        real = socket.getaddrinfo
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in numbers
        ]

        def getaddrinfo(host: str, *rest: Any, **options: Any) -> Any:
            return found if host == name else real(host, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return make


def test_the_addresses_of_a_host_share_the_time_for_connecting(
    resolve: Callable[..., None], engine_to: EngineTo
) -> None:
    with full_listeners(3) as port:
        resolve("three.test", port, 1, 2, 3)
        url = f"http://three.test:{port}"
        ends_after(0.5, lambda: ask(engine_to(url), url=url, connect=0.5))


def test_the_lookup_and_the_connection_share_the_deadline(
    monkeypatch: pytest.MonkeyPatch, resolve: Callable[..., None], engine_to: EngineTo
) -> None:
    with full_listeners(1) as port:
        resolve("slow.test", port, 1)
        found = socket.getaddrinfo

        def slowly(host: str, *rest: Any, **options: Any) -> Any:
            if host == "slow.test":
                time.sleep(0.8)
            return found(host, *rest, **options)

        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        url = f"http://slow.test:{port}"
        with within(1.0):
            ends_after(1.0, lambda: ask(engine_to(url), url=url, connect=1.0))


def test_the_next_address_is_tried_when_one_refuses(
    resolve: Callable[..., None], engine_to: EngineTo
) -> None:
    with FaultServer([json({})]) as server:
        port = int(server.url.rpartition(":")[2])
        resolve("two.test", port, 2, 1)
        url = f"http://two.test:{port}"
        assert ask(engine_to(url), url=url, connect=1.0, seconds=1.0) == 200
        assert server.requests[0].headers["Host"] == f"two.test:{port}"


def test_each_wait_has_its_own_patience_and_all_one_end() -> None:
    now = [100.0]
    patience = Deadline(10, lambda: now[0]).each(3)
    assert patience.left() == 3
    now[0] += 8
    assert patience.left() == 2
    now[0] += 8
    assert patience.over
    assert Deadline(None).each(3).left() == 3
    assert Deadline(None).each(None).left() is None
