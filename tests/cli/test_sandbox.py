"""rdctl sandbox: served as a process, reset, shared by several."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Timer

import pytest

from rdctl.core.errors import Exit
from rdctl.sandbox import store
from rdctl.sandbox.machine.stored import StoredMachine
from tests.cli.processes import SECONDS, Rdctl, process
from tests.conftest import Program, Ran

__all__ = ["process"]

Sandbox = Callable[..., Ran]


def names(sandbox: Sandbox) -> list[str]:
    return sandbox("rapiddisk", "list", "-o", "name").out.split()


# State -------------------------------------------------------------------------------------------


def test_state_survives(sandbox: Sandbox) -> None:
    assert sandbox("rapiddisk", "create", "64M", "-o", "name").out == "rd1\n"
    assert sandbox("rapiddisk", "lock", "rd1").code == 0
    assert sandbox("rapiddisk", "show", "rd1", "--json").json["item"]["locked"] is True


@pytest.mark.parametrize("typed", ["lab", "sandbox,lab", "lab-*"])
@pytest.mark.parametrize(
    "words",
    [
        "serve",
        "reboot --yes",
        "damage photos index.txt --how missing --yes",
        "stop 127.0.0.1:16013",
        "start 127.0.0.1:16013",
        "release 5",
        "reset --yes",
        "path",
    ],
)
def test_an_unknown_context_is_refused_although_the_sandbox_is_meant(
    rdctl: Program, sandbox: Sandbox, typed: str, words: str
) -> None:
    sandbox("rapiddisk", "create", "64M")
    ran = rdctl("-c", typed, "sandbox", *words.split())
    assert (ran.code, ran.out) == (Exit.NOT_FOUND, "")
    assert re.match('rdctl: error: (context "lab" not found|no context matches "lab-)', ran.err)
    assert names(sandbox) == ["rd0", "rd1"]


def test_another_context_does_not_lead_away_from_the_sandbox(rdctl: Program) -> None:
    assert rdctl("context", "set", "lab", "rapiddisk=http://127.0.0.1:1").code == 0
    ran = rdctl("-c", "lab", "sandbox", "stop", "127.0.0.1:16013")
    assert (ran.code, ran.out) == (0, "stopped 127.0.0.1:16013\n")


def test_path(rdctl: Program) -> None:
    assert rdctl("sandbox", "path", "-o", "name").out == f"{rdctl.sandbox}\n"
    env = {"RDCTL_SANDBOX": "", "XDG_STATE_HOME": "/state"}
    assert rdctl("sandbox", "path", "-o", "name", env=env).out == "/state/rdctl/sandbox.db\n"
    env = {"RDCTL_SANDBOX": "", "HOME": "/home/op"}
    shown = rdctl("sandbox", "path", "-o", "name", env=env).out
    assert shown == "/home/op/.local/state/rdctl/sandbox.db\n"


@pytest.mark.parametrize(
    ("words", "options", "code", "left"),
    [
        ([], {}, 2, ["rd0", "rd1"]),
        ([], {"tty": True, "stdin": b"n\n"}, 1, ["rd0", "rd1"]),
        ([], {"tty": True, "stdin": b"y\n"}, 0, ["rd0"]),
        (["--yes"], {}, 0, ["rd0"]),
        (["--dry-run"], {}, 0, ["rd0", "rd1"]),
    ],
)
def test_reset_asks(
    rdctl: Program,
    sandbox: Sandbox,
    words: list[str],
    options: dict[str, object],
    code: int,
    left: list[str],
) -> None:
    sandbox("rapiddisk", "create", "64M")
    ran = rdctl("sandbox", "reset", *words, **options)  # type: ignore[arg-type]
    assert ran.code == code
    if code:
        assert "will be reset; all changes in it will be lost" in ran.err
    assert names(sandbox) == left


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no database at all, by far", "cannot use sandbox"), (None, "is a directory")],
)
def test_a_file_that_is_no_sandbox(
    rdctl: Program, sandbox: Sandbox, content: bytes | None, message: str
) -> None:
    if content is None:
        rdctl.sandbox.mkdir()
    else:
        rdctl.sandbox.write_bytes(content)
    ran = sandbox("rapiddisk", "list", "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "config"
    assert message in ran.err.lower()


@pytest.mark.parametrize(
    "words",
    [["--local"], ["--rapiddisk-url", "http://127.0.0.1:1"], ["--oio-url", "http://127.0.0.1:1"]],
)
def test_the_sandbox_has_its_own_endpoints(sandbox: Sandbox, words: list[str]) -> None:
    ran = sandbox("rapiddisk", "list", *words)
    assert ran.code == 2
    assert "it has its own endpoints" in ran.err


def test_changes_are_marked(sandbox: Sandbox) -> None:
    assert sandbox("rapiddisk", "create", "1M").err == "[sandbox]\n"
    assert sandbox("rapiddisk", "create", "1M", "-q").err == ""
    assert sandbox("rapiddisk", "list").err == ""


def test_two_at_once(process: Rdctl) -> None:
    """Neither takes the other's number, and nothing is corrupted."""
    words = ("-c", "sandbox", "rapiddisk", "create", "1M", "--count", "10", "--json")
    both = [process.start(*words) for _ in range(2)]
    for running in both:
        out, err = running.communicate(timeout=SECONDS)
        assert running.returncode == 0, err
        assert len(json.loads(out)["results"]) == 10
    _, shown, _ = process("-c", "sandbox", "rapiddisk", "list", "-o", "name")
    assert shown.split() == [f"rd{number}" for number in range(21)]


def test_after_a_reset_nothing_can_be_undone(rdctl: Program, sandbox: Sandbox) -> None:
    boots = []
    for _ in range(2):
        machine = StoredMachine(store.Store(rdctl.sandbox))
        boots.append(machine.text("proc/sys/kernel/random/boot_id"))
        sandbox("rapiddisk", "create", "1M")
        assert rdctl("sandbox", "reset", "--yes").code == 0
    assert boots[0] != boots[1]
    sandbox("rapiddisk", "create", "1M")
    assert rdctl("sandbox", "reset", "--yes").code == 0
    ran = sandbox("rapiddisk", "undo", "--yes")
    assert (ran.code, "nothing to undo since the last boot" in ran.err) == (3, True)
    assert names(sandbox) == ["rd0"]


def test_a_damaged_sandbox_is_reset(rdctl: Program, sandbox: Sandbox) -> None:
    sandbox("rapiddisk", "create", "1M")
    os.truncate(rdctl.sandbox, 5000)
    ran = sandbox("rapiddisk", "list", "--json")
    assert (ran.code, ran.json["error"]["hint"]) == (2, "Reset it: rdctl sandbox reset")
    assert rdctl("sandbox", "reset", "--yes").code == 0
    assert names(sandbox) == ["rd0"]


@pytest.mark.parametrize(
    "words", [["-c", "sandbox", "rapiddisk", "create", "1M"], ["sandbox", "reset", "--yes"]]
)
def test_others_are_waited_for_as_long_as_the_command_may_take(
    rdctl: Program, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    sandbox("rapiddisk", "list")
    monkeypatch.setattr(store, "_PATIENCE", 0.0)
    with closing(sqlite3.connect(rdctl.sandbox, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "locked" in rdctl(*words).err
        waited = Timer(0.5, other.rollback)
        waited.start()
        assert rdctl(*words, "--timeout", "9000000").code == 0
        waited.join()


# Served ------------------------------------------------------------------------------------------


ANY_PORTS = ("--rapiddisk-port", "0", "--oio-port", "0")
Served = tuple[subprocess.Popen[bytes], list[str]]


@pytest.fixture
def served(process: Rdctl) -> Iterator[Callable[..., Served]]:
    """Starts a server and returns it with its addresses."""
    started: list[subprocess.Popen[bytes]] = []

    def serve(*words: str) -> Served:
        running = process.start("sandbox", "serve", *words)
        started.append(running)
        assert running.stderr is not None
        urls = []
        apis = (b"rapiddiskd", b"oio-proxy", b"beanstalkd", b"")
        for line, api in zip(running.stderr, apis, strict=False):
            if line == b"Press Ctrl-C to stop.\n":
                break
            serving, url, name = line.split()
            assert (serving, name) == (b"Serving", b"(%s)" % api)
            urls.append(url.decode())
        return running, urls

    yield serve
    for running in started:
        running.kill()
        running.communicate()


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 0, b""),
        (signal.SIGTERM, 143, b"rdctl: error: terminated\n"),
        (signal.SIGHUP, 129, b"rdctl: error: hang-up\n"),
    ],
)
def test_serve(
    served: Callable[..., Served], process: Rdctl, number: int, code: int, message: bytes
) -> None:
    running, urls = served(*ANY_PORTS)
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", urls[0])
    assert process("--rapiddisk-url", urls[0], "rapiddisk", "create", "1M", "-o", "name") == (
        0,
        "rd1\n",
        "",
    )
    running.send_signal(number)
    out, err = running.communicate(timeout=SECONDS)
    assert (running.returncode, out, err) == (code, b"", message)
    # What was made stays, and the port is free again.
    assert process("-c", "sandbox", "rapiddisk", "list", "-o", "name")[1] == "rd0\nrd1\n"
    done, _, err_text = process("--rapiddisk-url", urls[0], "rapiddisk", "list", "--retries", "0")
    assert (done, "Connection refused" in err_text) == (6, True)


def test_a_port_in_use(process: Rdctl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ("--rapiddisk-port", port, "--oio-port", "0", "--json")
        code, out, err = process("sandbox", "serve", *words)
    assert code == 4
    assert "port in use" in err
    assert json.loads(out)["error"]["target"] == f"127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rapiddisk-port", "65536"], "must be a whole number from 0 to 65535"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:0"),
    ],
)
def test_an_address_that_cannot_be_had(rdctl: Program, words: list[str], message: str) -> None:
    ran = rdctl("sandbox", "serve", *ANY_PORTS, *words)
    assert ran.code == 2
    assert message in ran.err


def test_the_directory_of_the_state_is_made(
    rdctl: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "a/b/sandbox.db"
    assert sandbox("rapiddisk", "list", env={"RDCTL_SANDBOX": str(path)}).code == 0
    assert path.exists()
