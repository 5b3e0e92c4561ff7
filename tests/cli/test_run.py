"""run(argv, environment): every way out ends in an exit code, and a message where one is due."""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdctl.__main__ import start
from rdctl.cli import run as running
from rdctl.cli.run import run, signals
from rdctl.core.environment import Environment, Messages, Stream
from rdctl.core.errors import Code, Ended, Exit, RdctlError, as_error
from tests.cli.replies import inventory
from tests.conftest import Program
from tests.fakes.faults import FaultServer


class Failing(io.RawIOBase):
    """A stream that takes some bytes and then fails."""

    def __init__(self, number: int, room: int = 0) -> None:
        self.number = number
        self.room = room

    def write(self, data: Any) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(self.number, os.strerror(self.number))
        return len(data)


class Stdin(io.RawIOBase):
    """A person who is gone, or a stream that cannot be read."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def read(self, size: int = -1) -> bytes:
        raise self.error

    def readline(self, size: int | None = -1) -> bytes:
        raise self.error


Make = Callable[..., Environment]


@pytest.fixture
def environment(tmp_path: Path) -> Make:
    """An environment in the sandbox, whose streams a test replaces; `err` keeps the messages."""

    def make(
        stdout: Any = None, stderr: Any = None, stdin: Any = None, tty: bool = False, **env: str
    ) -> Environment:
        return Environment(
            stdin=stdin or io.BytesIO(),
            stdout=Stream(stdout or io.BytesIO(), tty=tty),
            stderr=Messages(stderr or io.BytesIO(), tty=tty),
            environ={
                "HOME": str(tmp_path),
                "RDCTL_SANDBOX": str(tmp_path / "sandbox.db"),
                "RDCTL_HISTORY": str(tmp_path / "history.ndjson"),
                "RDCTL_CONTEXT": "sandbox",
                **env,
            },
            stdin_tty=tty,
            root=str(tmp_path),
        )

    return make


def err(environment: Environment) -> str:
    return bytes(environment.stderr.raw.getvalue()).decode()  # type: ignore[attr-defined]


def out(environment: Environment) -> str:
    return bytes(environment.stdout.raw.getvalue()).decode()  # type: ignore[attr-defined]


# Streams that fail -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("rapiddisk list", 141),
        ("rapiddisk list --json", 141),
        ("rapiddisk show rd0", 141),
        ("--help", 141),
        ("rapiddisk create 1M", 0),  # a change was done, whoever reads of it
        ("rapiddisk create 1M -o name", 0),
        ("rapiddisk lock rd0 rd9", 8),
        ("rapiddisk unlock rd0", 0),
        ("rapiddisk lock rd9 --json", 3),
        ("rapiddisk show rd9 --json", 3),
        ("rapiddisk show --json", 2),
    ],
)
def test_the_reader_left(environment: Make, words: str, code: int) -> None:
    here = environment(stdout=Failing(errno.EPIPE))
    assert run(words.split(), here) == code
    if code in (0, 141):
        assert err(here) in ("", "[sandbox]\n")


@pytest.mark.parametrize("words", ["rapiddisk list --json", "rapiddisk list"])
def test_the_output_cannot_be_written(environment: Make, words: str) -> None:
    here = environment(stdout=Failing(errno.ENOSPC))
    assert run(words.split(), here) == 1
    assert err(here) == "rdctl: error: the output cannot be written: No space left on device\n"


def test_it_is_said_that_a_change_was_done_all_the_same(environment: Make) -> None:
    here = environment(stdout=Failing(errno.ENOSPC))
    assert run(["rapiddisk", "create", "1M"], here) == 1
    assert "No space left on device; completed: create rd1\n" in err(here)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("rapiddisk list --trace", 0),
        ("rapiddisk create 1M --trace", 0),
        ("rapiddisk show rd9", 3),
        ("rapiddisk --json", 2),
        ("rapiddisk remove rd0 rd9 --yes", 1),
    ],
)
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
def test_messages_that_nobody_reads_change_nothing(
    environment: Make, words: str, code: int, number: int
) -> None:
    here = environment(stderr=Failing(number, room=3))
    assert run(words.split(), here) == code


def test_messages_leave_at_once(tmp_path: Path) -> None:
    """Not when the buffer is full: somebody waits for them."""
    with open(tmp_path / "err", "wb") as file:
        Messages(file, tty=False).write("asking")
        assert (tmp_path / "err").read_bytes() == b"asking"


def test_standard_input_cannot_be_read(environment: Make) -> None:
    here = environment(stdin=Stdin(OSError(errno.EIO, "Input/output error")))
    assert run(["rapiddisk", "list", "-"], here) == 2
    assert err(here).startswith("rdctl: error: standard input cannot be read: Input/output error")


# Faults and interruptions ------------------------------------------------------------------------


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Lets the sandbox raise this instead of answering."""

    def break_it(error: BaseException) -> None:
        def answer(*_: Any) -> None:
            raise error

        monkeypatch.setattr("rdctl.sandbox.machine.stored.StoredMachine.refresh", answer)

    return break_it


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_fault_of_rdctl_is_no_traceback(environment: Make, fault: Any, words: list[str]) -> None:
    fault(ZeroDivisionError("by zero"))
    here = environment()
    assert run(["rapiddisk", "list", *words], here) == 1
    message = "internal error: ZeroDivisionError: by zero (answer, line "
    assert f"rdctl: error: {message}" in err(here)
    assert "RDCTL_DEBUG=1" in err(here)
    if words:
        assert json.loads(out(here))["error"]["code"] == "internal"


def test_a_developer_sees_the_traceback(environment: Make, fault: Any) -> None:
    fault(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run(["rapiddisk", "list"], environment(RDCTL_DEBUG="1"))


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (Ended(Code.TERMINATED), 143, "terminated"),
        (Ended(Code.HANGUP), 129, "hang-up"),
    ],
)
def test_an_interruption_says_what_is_done(
    environment: Make, fault: Any, error: BaseException, code: int, word: str
) -> None:
    fault(error)
    here = environment()
    assert run(["rapiddisk", "list", "--json"], here) == code
    assert err(here) == f"rdctl: error: {word}; nothing was changed\n"
    assert json.loads(out(here))["error"]["code"] == word


def test_ctrl_c_at_the_prompt(environment: Make) -> None:
    assert run(["rapiddisk", "create", "1M"], environment()) == 0
    here = environment(stdin=Stdin(KeyboardInterrupt()), tty=True)
    assert run(["rapiddisk", "remove", "rd1"], here) == 130
    assert err(here).endswith("Continue? [y/N] \nrdctl: error: interrupted; nothing was changed\n")
    assert run(["rapiddisk", "show", "rd1"], environment()) == 0


def test_time_to_think_is_not_the_commands(environment: Make) -> None:
    seconds = 0.0

    class Thoughtful(io.BytesIO):
        def readline(self, size: int | None = -1) -> bytes:
            nonlocal seconds
            seconds += 60
            return super().readline(size)

    assert run(["rapiddisk", "create", "1M"], environment()) == 0
    here = environment(stdin=Thoughtful(b"y\n"), tty=True)
    here.clock = lambda: seconds
    assert run(["rapiddisk", "remove", "rd1", "--timeout", "5"], here) == 0, err(here)
    assert run(["rapiddisk", "show", "rd1"], environment()) == 3


def test_interrupted_while_a_table_is_drawn(rdctl: Program, environment: Make) -> None:
    """By then the rows are known."""

    class Interrupting(Failing):
        def write(self, data: Any) -> int:
            raise KeyboardInterrupt

    with FaultServer([inventory()]) as server:
        here = environment(stdout=Interrupting(0), RDCTL_CONTEXT="")
        assert run(["rapiddisk", "list", "--rapiddisk-url", server.url], here) == 130


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, Exit.TERMINATED), (signal.SIGHUP, Exit.HANGUP)]
)
def test_signals_unwind_and_are_given_back(number: signal.Signals, code: Exit) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Ended) as raised, signals():
        signal.raise_signal(number)
    assert raised.value.code.exit is code
    assert signal.getsignal(number) is before


def test_an_ignored_hang_up_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_while_the_first_is_settled(
    environment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(*_: Any) -> int:
        raise Ended(Code.TERMINATED)

    monkeypatch.setattr(running, "run", twice)
    with pytest.raises(SystemExit) as left:
        running.main([], environment())
    assert left.value.code == 143


def test_ctrl_c_before_anything_began(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> Environment:
        raise KeyboardInterrupt

    monkeypatch.setattr("rdctl.core.environment.real", interrupted)
    monkeypatch.setattr("sys.argv", ["rdctl", "rapiddisk", "list"])
    try:
        with pytest.raises(SystemExit) as left:
            start()
    finally:
        gc.enable()
    assert left.value.code == 130


def test_what_a_user_is_told_of_an_exception() -> None:
    known = RdctlError(Code.LOCKED, "locked")
    assert as_error(known) is known
    assert as_error(KeyboardInterrupt()).exit is Exit.INTERRUPTED
    assert as_error(Ended(Code.HANGUP)).exit is Exit.HANGUP
    assert as_error(ValueError("x")).message == "internal error: ValueError: x"


def test_the_home_directory_is_not_known(
    environment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = environment(HOME="nowhere", RDCTL_CONTEXT="")
    assert run(["context", "list"], here) == 2
    assert err(here) == "rdctl: error: home directory not found\nhint: Set HOME.\n"


@pytest.mark.parametrize(
    ("words", "again"),
    [
        ("-c sandbox rapiddisk show x", "rdctl -c sandbox rapiddisk list"),
        ("-c sandbox rapiddisk remove x --yes --json", "rdctl -c sandbox rapiddisk list"),
        ("--local rapiddisk show x", "rdctl --local rapiddisk list"),
        ("--rapiddisk-url http://h:1 rapiddisk show x", "rdctl --rapiddisk-url http://h:1 rapid"),
        ("-c lab rapiddisk list --retries 0", "its address: rdctl -c lab context show"),
        ("rapiddisk show x", "List them: rdctl rapiddisk list"),
    ],
)
def test_a_command_in_a_hint_reaches_the_same_place(rdctl: Program, words: str, again: str) -> None:
    rdctl.config.write_text('[contexts.lab]\nrapiddisk = "http://127.0.0.1:1"\n')
    assert again in rdctl(*words.split()).err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("rapiddisk create 64M --count x", '"x" for --count: must be a whole number'),
        ("rapiddisk list --timeout x", '"x" for --timeout: must be a number'),
    ],
)
def test_a_number_is_called_one(rdctl: Program, words: str, message: str) -> None:
    assert message in rdctl(*words.split()).err


def test_a_context_without_a_proxy_is_told_how_it_gets_one(rdctl: Program) -> None:
    rdctl.config.write_text('[contexts.lab]\nrapiddisk = "local"\n')
    ran = rdctl("-c", "lab", "oio", "container", "list", "photos")
    assert 'context "lab" has no oio-proxy endpoint' in ran.err
    assert "rdctl context set lab oio=http://HOST:6002" in ran.err
