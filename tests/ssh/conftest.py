"""The program with the real ssh, and a real server on 127.0.0.1."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program, Ran
from tests.ssh.server import Server, left_behind, serving


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A server; at the end of the test, nothing may be left of what it has started."""
    yield running
    running.restore()
    assert left_behind(running) == {}


@pytest.fixture
def shared(server: Server) -> Iterator[Server]:
    """The user's ssh shares its connections."""
    server.configure(f"ControlPath {server.folder}/cm", "ControlMaster auto", "ControlPersist 60")
    yield server
    subprocess.run([server.bin / "ssh", "-O", "exit", "node"], check=True, capture_output=True)


class Over:
    """The program in the context `node`: another sandbox, that of a login on the server."""

    def __init__(self, rdctl: Program, server: Server) -> None:
        self.rdctl = rdctl
        self.server = server
        self.path = f"{server.bin}{os.pathsep}{os.environ['PATH']}"
        far = {"RDCTL_SANDBOX": rdctl.home / "far.db", "RDCTL_HISTORY": rdctl.home / "far.ndjson"}
        self.environ = [f"{name}={path}" for name, path in far.items()]
        rdctl.sleep = time.sleep
        self.context("node")

    def context(self, name: str, url: str = "ssh://node", command: str = "") -> None:
        """A context of this name; without a command, rdctl in the sandbox."""
        command = command or shlex.join(["env", *self.environ, "rdctl", "-c", "sandbox"])
        words = (f"rapiddisk={url}", f"remote_command={command}")
        assert self.rdctl("context", "set", name, *words).code == 0

    def there(self, *argv: str) -> Ran:
        """The same sandbox, without ssh."""
        env = dict(one.split("=", 1) for one in self.environ)
        return self.rdctl("-c", "sandbox", *argv, env=env)

    def __call__(self, *argv: str, **options: Any) -> Ran:
        env = {"PATH": self.path, **options.pop("env", {})}
        if not {"-c", "--rapiddisk-url"} & set(argv):
            argv = ("-c", "node", *argv)
        return self.rdctl(*argv, env=env, **options)


@pytest.fixture
def over(rdctl: Program, server: Server) -> Over:
    return Over(rdctl, server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For a server of the test's own."""
    return tmp_path / "own"
