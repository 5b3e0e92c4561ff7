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
from tests.rapiddisk.acts import ACTS
from tests.remote.nursery import ACT, FAULT, Fault, Nursery, serving


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
    configure(rdctl.config, "-c", "sandbox")

    def call(
        *argv: str, env: dict[str, str] | None = None, fault: Fault | None = None, **options: Any
    ) -> Ran:
        env = {"PATH": nursery.path, **(env or {})}
        if fault is not None:
            env[FAULT] = json.dumps(fault._asdict())
        return rdctl("-c", "far", *argv, env=env, **options)

    return call


@pytest.fixture
def machine(rdctl: Program, nursery: Nursery, tmp_path: Path) -> Callable[..., Ran]:
    """An act of this name on a machine with the kernel of the tests, in the folder `there`. Before
    the step of this number the connection is lost, or this side gets a signal; `again` is the
    function of the end there at which that side gets another one."""
    configure(rdctl.config)
    (tmp_path / "there").mkdir()

    def call(name: str, step: int, number: int = 0, again: str = "") -> Ran:
        env = {"PATH": nursery.path, **acting(tmp_path, name, step, number, again)}
        return rdctl("-c", "far", "rapiddisk", *ACTS[name].words.split(), env=env)

    return call


def configure(config: Path, *options: str) -> None:
    """The context `far`, behind whose ssh is rdctl with these options."""
    command = shlex.join([sys.executable, "-m", "rdctl", *options])
    config.write_text(f'[contexts.far]\nrapiddisk = "ssh://node7"\nremote_command = "{command}"\n')


def acting(folder: Path, name: str, step: int, number: int = 0, again: str = "") -> dict[str, str]:
    return {ACT: json.dumps([name, step, str(folder / "there"), number, again])}
