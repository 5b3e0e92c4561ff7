"""Tests on a real kernel. `make test-kernel` runs them as root in a virtual machine of their own;
anywhere else they are not collected: they remove every volume, cache and export that they find.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rdctl.cli.run import main, run
from rdctl.core.environment import Environment, Messages, Stream
from tests.conftest import Ran
from tests.kernel import machine
from tests.kernel.log import Faults, Log
from tests.kernel.processes import Child, Tripwire, nobody

if not os.environ.get("RDCTL_KERNEL_TESTS"):
    collect_ignore_glob = ["test_*.py"]

FAULTS = Faults()


class Program:
    """`rdctl rapiddisk ...` on this machine, as JSON and with consent unless said otherwise."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def environment(self, *, tty: bool = False, stderr: io.BytesIO | None = None) -> Environment:
        """An environment whose kernel is the real one."""
        return Environment(
            stdin=io.BytesIO(),
            stdout=Stream(io.BytesIO(), tty=tty),
            stderr=Messages(stderr or io.BytesIO(), tty=tty),
            environ={
                "HOME": str(self.home),
                "RDCTL_HISTORY": str(self.home / "history.ndjson"),
                "RDCTL_CONFIG": str(self.home / "config.toml"),
                "RDCTL_DEBUG": "1",
                "PATH": os.environ["PATH"],
            },
            root="/",
        )

    def __call__(self, *argv: str, options: tuple[str, ...] = ("--json", "--yes")) -> Ran:
        environment = self.environment()
        code = run((*options, "rapiddisk", *argv), environment)
        return _ran(code, environment)

    def ok(self, *argv: str, options: tuple[str, ...] = ("--json", "--yes")) -> Any:
        """The JSON of a command that must succeed."""
        ran = self(*argv, options=options)
        assert ran.code == 0, ran
        return ran.json

    def refused(self, *argv: str, code: str, exit: int = 4) -> str:
        """The message and hint of a command that must be refused with this `error.code`."""
        ran = self(*argv)
        assert ran.code == exit, ran
        document = ran.json
        errors = document["errors"] if "errors" in document else [document["error"]]
        assert [error["code"] for error in errors] == [code], ran
        return ran.err

    def items(self, *argv: str) -> list[dict[str, Any]]:
        document = self.ok(*argv)
        assert document["complete"] is True, document
        items: list[dict[str, Any]] = document["items"]
        return items

    def as_nobody(self, *argv: str) -> Ran:
        """Run by an ordinary user, who can look into no directory of root's."""

        def job() -> Ran:
            nobody()
            return Program(Path("/proc/nonexistent"))(*argv)

        ran = Child(job).result()
        assert isinstance(ran, Ran)
        return ran

    def start(self, *argv: str) -> Child:
        """Run in a process of its own, at the same time."""
        return Child(lambda: self(*argv))

    def struck(self, *argv: str, line: int, signum: signal.Signals) -> Ran | None:
        """Run in a process of its own that gets a signal right before line `line` of the trace is
        shown: before that step. None when the signal killed it."""

        def job() -> Ran:
            environment = self.environment(stderr=Tripwire(line, signum))
            with pytest.raises(SystemExit) as left:
                main(("--json", "--yes", "--trace", "rapiddisk", *argv), environment)
            return _ran(int(left.value.code or 0), environment)

        ran = Child(job).result()
        assert ran is None or isinstance(ran, Ran)
        return ran


def _ran(code: int, environment: Environment) -> Ran:
    streams = [stream.raw.getvalue() for stream in (environment.stdout, environment.stderr)]  # type: ignore[attr-defined]
    return Ran(code, *streams)


@pytest.fixture
def rdctl(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture(autouse=True)
def clean_machine(sound_kernel: None) -> Iterator[None]:
    """Nothing is there before a test, and nothing of it stays: else no other means anything."""
    yield
    try:
        machine.clean()
    except (AssertionError, OSError) as error:
        pytest.exit(f"what a test left cannot be removed: {error}", returncode=1)


@pytest.fixture(scope="session")
def log() -> Iterator[Log]:
    machine.clean()
    log = Log()
    yield log
    log.close()


@pytest.fixture(autouse=True)
def sound_kernel(log: Log) -> Iterator[None]:
    """The kernel logs no fault of its own during a test."""
    yield
    unknown = FAULTS.unknown(log.news())
    assert not unknown, "\n\n".join(unknown)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FAULTS.known:
        terminalreporter.line(
            f"the module rapiddisk waited {FAULTS.known} times with preemption disabled"
            " (known of 9.0.0, see tests/kernel/log.py)"
        )


@pytest.fixture
def disk() -> str:
    """A scratch disk without traces of an earlier test."""
    machine.wipe(f"/dev/{machine.DISKS[0]}", machine.MIB)
    return machine.DISKS[0]


@pytest.fixture
def mounted(tmp_path: Path) -> Callable[..., Path]:
    """Mounts a device on a fresh directory, with a fresh file system unless told to keep its
    own."""

    def mount(device: str, name: str = "mnt", make: bool = True) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        if make:
            machine.tool("mke2fs", "-q", "-F", device)
        machine.tool("mount", device, directory)
        return directory

    return mount


@pytest.fixture
def loop(tmp_path: Path) -> Callable[..., str]:
    """Makes a loop device of a file, with options of losetup; its kernel name."""

    def make(size: int, backing: str | Path | None = None, *options: str) -> str:
        if backing is None:
            backing = tmp_path / f"loop-{len(list(tmp_path.iterdir()))}"
            with open(backing, "wb") as file:
                file.truncate(size)
        made = machine.tool("losetup", "--find", "--show", *options, backing)
        return made.strip().removeprefix("/dev/")

    return make
