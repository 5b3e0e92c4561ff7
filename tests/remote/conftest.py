"""Contexts over SSH with a stand-in for ssh, which runs its command on this machine."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program, Ran

# The last word is the command line for the shell there; all words are kept for tests.
_SSH = """#!/bin/sh
for last; do :; done
printf '%s\\n' "$*" >> "$HOME/ssh-words"
exec /bin/sh -c "$last"
"""


def stand_in(directory: Path) -> str:
    """The PATH on which `ssh` runs its command on this machine."""
    ssh = directory / "bin" / "ssh"
    ssh.parent.mkdir(exist_ok=True)
    ssh.write_text(_SSH)
    ssh.chmod(0o755)
    return f"{ssh.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def far(rdctl: Program, tmp_path: Path) -> Callable[..., Ran]:
    """The program in the context `far`, behind whose ssh is rdctl in the sandbox."""
    path = stand_in(tmp_path)
    command = shlex.join([sys.executable, "-m", "rdctl", "-c", "sandbox"])
    rdctl.config.write_text(
        f'[contexts.far]\nrapiddisk = "ssh://node7"\nremote_command = "{command}"\n'
    )

    def call(*argv: str, env: dict[str, str] | None = None, **options: Any) -> Ran:
        return rdctl("-c", "far", *argv, env={"PATH": path, **(env or {})}, **options)

    return call
