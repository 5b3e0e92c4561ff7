"""The program with the real ssh, and a real server on 127.0.0.1."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program, Ran
from tests.ssh.server import Server, left_behind, serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server; at the end of the test, nothing may be left of what it has started."""
    with serving(tmp_path / "ssh") as server:
        yield server
        assert left_behind(server) == {}


@pytest.fixture
def over(rdctl: Program, server: Server) -> Callable[..., Ran]:
    """The program in the context `node`: the sandbox of the login on that server."""
    where = ("rapiddisk=ssh://node", "remote_command=rdctl -c sandbox")
    assert rdctl("context", "set", "node", *where).code == 0

    def call(*argv: str, **options: Any) -> Ran:
        path = f"{server.bin}:{os.environ['PATH']}"
        return rdctl("-c", "node", *argv, env={"PATH": path}, **options)

    return call
