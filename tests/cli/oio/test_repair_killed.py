"""content repair, killed at each of its requests: nothing readable is lost, and the next repair
leaves a healthy object and nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.cli.oio.repairs import KINDS, Near, closed, healthy, lawful, namespace, readable
from tests.cli.oio.transfers import Client
from tests.fakes.sds import Call


def before(call: Call) -> None:
    call.hang_up()


def amid(call: Call) -> None:
    """A part of what is sent arrives; nothing is stored."""
    call.hang_up()


def after(call: Call) -> None:
    call.sds._answer(call)


def killed(client: Client, number: int, act: Callable[[Call], None], *words: str) -> bool:
    """Run the program as a process that is killed at its request of this number; false if it has
    fewer. `act` is what still becomes of that request."""
    child = 0
    count = 0

    def fault(call: Call) -> bool:
        nonlocal count
        count += act is not amid or call.method in CUT
        if count != number:
            return False
        if act is after:
            call.body()
        elif act is amid:
            call.body(10)
        os.kill(child, signal.SIGKILL)
        act(call)
        return True

    client.sds.faults.append(fault)
    child = os.fork()
    if not child:
        try:
            client(*words)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    client.sds.faults.remove(fault)
    return os.WIFSIGNALED(status)


# Only a request with a body can be cut.
CUT = ("PUT",)


@pytest.mark.parametrize("act", [before, amid, after])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost(near: Near, kind: str, act: Callable[[Call], None]) -> None:
    number = 0
    ended = False
    while not ended:
        number += 1
        client = namespace(near, kind)
        sds = client.sds
        held = sds.held("a")
        sds.lose(held[0])
        sds.truncate(held[1], 5)
        was = readable(sds)
        ended = not killed(client, number, act, "repair", "docs", "a", "--parallel", "1")
        assert all(count >= was[part] for part, count in readable(sds).items()), number
        lawful(sds)
        client.ok("repair", "docs", "a")
        healthy(sds)
        assert closed(client)
        sds.__exit__(None, None, None)
    assert number > (2 if act is amid else 15)
