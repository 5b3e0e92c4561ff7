"""Contexts over SSH with a stand-in for ssh, which runs its command on this machine."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program, Ran
from tests.remote.nursery import FAULT, Fault, Nursery, serving


@pytest.fixture(scope="session")
def forking(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with serving(tmp_path_factory.mktemp("nursery")) as found:
        yield found


@pytest.fixture
def nursery(forking: tuple[subprocess.Popen[bytes], str], tmp_path: Path) -> Iterator[Nursery]:
    """At the end of the test, nothing may be left of what it has started."""
    found = Nursery(tmp_path, *forking)
    yield found
    assert found.left() == []


@pytest.fixture
def far(rdctl: Program, nursery: Nursery) -> Callable[..., Ran]:
    """The program in the context `far`, behind whose ssh is rdctl in the sandbox. `fault` is what
    becomes of the connection."""
    command = shlex.join([sys.executable, "-m", "rdctl", "-c", "sandbox"])
    rdctl.config.write_text(
        f'[contexts.far]\nrapiddisk = "ssh://node7"\nremote_command = "{command}"\n'
    )

    def call(
        *argv: str, env: dict[str, str] | None = None, fault: Fault | None = None, **options: Any
    ) -> Ran:
        env = {"PATH": nursery.path, **(env or {})}
        if fault is not None:
            env[FAULT] = json.dumps(fault._asdict())
        return rdctl("-c", "far", *argv, env=env, **options)

    return call
