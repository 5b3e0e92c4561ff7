"""Until rdctl there has answered: the time limit holds, and no ssh is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rdctl.cli.run import signals
from tests.cli.processes import Rdctl, process
from tests.conftest import Program
from tests.ssh.server import lasting

__all__ = ["process"]

LIST = ("rapiddisk", "list")
# Of this process: others may run the same test at the same time.
WAITING = f"sleep 27182.{os.getpid()}"
REFUSING = "echo kex_exchange_identification: Connection closed by remote host >&2; exit 255"
Behind = Callable[[str], dict[str, str]]


@pytest.fixture(autouse=True)
def _unwinding() -> Iterator[None]:
    with signals():
        yield


@pytest.fixture
def behind(rdctl: Program, tmp_path: Path) -> Behind:
    """The contexts a and b, and the environment in which their ssh is this script."""
    rdctl.config.write_text(
        '[contexts.a]\nrapiddisk = "ssh://a"\n[contexts.b]\nrapiddisk = "ssh://b"\n'
    )

    def ssh(script: str) -> dict[str, str]:
        file = tmp_path / "bin" / "ssh"
        file.parent.mkdir()
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return {"PATH": f"{file.parent}{os.pathsep}{os.environ['PATH']}"}

    return ssh


def test_further_attempts_end_with_the_time_limit(rdctl: Program, behind: Behind) -> None:
    env = behind(REFUSING)
    assert rdctl("-c", "a", *LIST, env=env).code == 6
    assert len(rdctl.slept) == 5
    rdctl.slept.clear()
    rdctl.clock = lambda: sum(rdctl.slept)
    ran = rdctl("-c", "a", "--timeout", "1", *LIST, env=env)
    assert ran.code == 6
    assert "Connection closed by remote host" in ran.err
    assert 0 < sum(rdctl.slept) < 1


@pytest.mark.parametrize("words", ["metrics", "check"])
def test_what_is_not_waited_for_is_ended(
    rdctl: Program, behind: Behind, tmp_path: Path, words: str
) -> None:
    """These give up when ssh does, or just before."""
    begun = tmp_path / "begun"
    env = behind(f"touch {begun}; exec {WAITING}")
    # On a busy machine the time would be over before ssh has begun.
    rdctl.clock = lambda: 1000.0 if begun.exists() else 0.0
    assert rdctl("-c", "a", words, "--timeout", "1", env=env).code != 0
    assert begun.exists()
    assert lasting(WAITING) == {}


@pytest.mark.parametrize("words", ["list", "lock rd0"])
def test_a_signal_ends_every_ssh(rdctl: Program, behind: Behind, words: str) -> None:
    env = behind(f"case $* in *\\ b\\ *) kill -INT $PPID;; esac; exec {WAITING}")
    ran = rdctl("-c", "a,b", "rapiddisk", *words.split(), env=env)
    assert ran.code == 130
    assert lasting(WAITING) == {}


@pytest.mark.parametrize("check", ["exit 0", f"exec {WAITING}"], ids=["shared", "silent"])
def test_tab_leaves_nothing_behind(process: Rdctl, behind: Behind, check: str) -> None:
    """Its time is over long before that of ssh."""
    env = behind(f'case "$*" in *check*) {check};; esac; exec {WAITING}')
    words = ("__complete", "zsh", "volume", "", "", "", "0", "rdctl", "-c", "a")
    assert process(*words, env=env) == (0, "", "")
    assert lasting(WAITING) == {}
