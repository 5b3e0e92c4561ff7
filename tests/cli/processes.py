"""rdctl as a process of its own, with a home and a sandbox of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# Against hanging only: on a busy machine a start alone takes many seconds.
SECONDS = 120.0
# The tests of packages have an installed program.
INSTALLED = os.environ.get("RDCTL_INSTALLED")
ARGV = (INSTALLED,) if INSTALLED else (sys.executable, "-m", "rdctl")
# What pytest-xdist says to its own processes.
_OF_THE_TESTS = ("COLUMNS", "LINES")


class Rdctl:
    """`argv` and `env` of a process; what Python itself takes from the environment is not passed
    on, since it would hide what users meet (PYTHONUNBUFFERED)."""

    argv: Sequence[str] = ARGV

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {
            **{
                key: value
                for key, value in os.environ.items()
                if key[:6] not in ("PYTHON", "RDCTL_") and key not in _OF_THE_TESTS
            },
            "HOME": str(home),
            "RDCTL_CONFIG": str(home / "config.toml"),
            "RDCTL_SANDBOX": str(home / "sandbox.db"),
            "RDCTL_HISTORY": str(home / "history.ndjson"),
            "PYTHONPATH": str(ROOT),
        }

    def start(
        self, *words: str | bytes, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(
            [*self.argv, *words], env={**self.env, **(env or {})}, **{**pipes, **options}
        )

    def __call__(self, *words: str | bytes, **options: Any) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a run without input."""
        with self.start(*words, **options) as process:
            out, err = process.communicate(timeout=SECONDS)
        return process.returncode, (out or b"").decode(), (err or b"").decode()

    def shell(self, script: str, *words: str) -> tuple[int, str, str]:
        """The same through sh, where "$@" is rdctl with these words."""
        done = subprocess.run(
            ["bash", "-c", script, "bash", *self.argv, *words],
            env=self.env,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def process(tmp_path: Path) -> Rdctl:
    return Rdctl(tmp_path)


def wait_until(ready: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)
