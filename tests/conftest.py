"""The program in-process: `rdctl("rapiddisk", "list")` runs it in an environment of its own."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rdctl.cli.run import run
from rdctl.core.environment import Environment, Messages, Stream
from rdctl.effects.syscalls import Syscalls
from rdctl.sandbox import rapiddisk_app
from tests.fakes.kernel import FakeKernel
from tests.fakes.served import serving

# Who runs the tests in the background may have these ignored, which programs under test inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Ran(NamedTuple):
    """What a run left: exit code, and the two streams as bytes and as text."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode("utf-8", "surrogateescape")

    @property
    def err(self) -> str:
        return self.stderr.decode("utf-8", "surrogateescape")

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Program:
    """rdctl with a home directory, a configuration and a sandbox of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = home / "config.toml"
        self.sandbox = home / "sandbox.db"
        self.slept: list[float] = []
        self.sleep: Callable[[float], None] = self.slept.append
        self.clock: Callable[[], float] = time.monotonic
        self.now: Callable[[], float] = time.time
        self.size: Callable[[], tuple[int, int]] | None = None
        self.root = home / "root"
        self.calls: Syscalls | None = None
        self.program: Sequence[str] = ("/usr/bin/rdctl",)

    def __call__(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        tty: bool = False,
        stdin: bytes | io.BytesIO = b"",
        width: int = 80,
        joined: bool = False,
    ) -> Ran:
        """Run one command. `tty` makes all three streams a terminal; `joined`: what goes to stderr
        goes to stdout, too, as on a screen."""
        out = io.BytesIO()
        err = out if joined else io.BytesIO()
        environment = Environment(
            stdin=io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin,
            stdout=Stream(out, tty=tty),
            stderr=Messages(err, tty=tty),
            environ={
                "HOME": str(self.home),
                "RDCTL_CONFIG": str(self.config),
                "RDCTL_SANDBOX": str(self.sandbox),
                "RDCTL_DEBUG": "1",
                **(env or {}),
            },
            stdin_tty=tty,
            width=width,
            size=self.size,
            root=str(self.root),
            calls=self.calls,
            clock=self.clock,
            sleep=self.sleep,
            now=self.now,
            program=self.program,
        )
        code = run(argv, environment)
        return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture
def rdctl(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def sandbox(rdctl: Program) -> Callable[..., Ran]:
    """The program in its sandbox."""

    def call(*argv: str, **options: Any) -> Ran:
        return rdctl("-c", "sandbox", *argv, **options)

    return call


@pytest.fixture
def served(rdctl: Program) -> Iterator[Callable[..., Ran]]:
    """The program in the context `served`: the rapiddiskd of its sandbox, over HTTP."""

    def call(*argv: str, **options: Any) -> Ran:
        return rdctl("-c", "served", *argv, **options)

    with serving(rapiddisk_app(rdctl.sandbox)) as (url,):
        assert rdctl("context", "set", "served", f"rapiddisk={url}").code == 0
        yield call


@pytest.fixture
def kernel(rdctl: Program) -> Iterator[FakeKernel]:
    """The machine that the program runs on, with its kernel; nothing may come to harm there."""
    kernel = FakeKernel(rdctl.root)
    rdctl.calls = kernel
    yield kernel
    assert kernel.harm == []
    kernel.close_all()


@pytest.fixture
def local(rdctl: Program, kernel: FakeKernel) -> Callable[..., Ran]:
    """The program on that machine, in local mode."""

    def call(*argv: str, **options: Any) -> Ran:
        return rdctl("--local", *argv, **options)

    return call
