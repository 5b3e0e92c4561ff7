"""What becomes of a command over SSH when something goes wrong in its midst."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rdctl import __version__
from rdctl.cli.run import signals
from rdctl.remote import wire
from tests.cli.processes import SECONDS, Rdctl, process
from tests.conftest import Program, Ran
from tests.rapiddisk.acts import ACTS
from tests.rapiddisk.test_crash import ENDS, WHOLE_ONLY
from tests.remote.conftest import acting, configure
from tests.remote.nursery import Fault, Nursery

__all__ = ["process"]

Call = Callable[..., Ran]
UNREACHABLE, BAD_REPLY, UNKNOWN = 6, 9, 10


@pytest.fixture(autouse=True)
def _unwinding() -> Iterator[None]:
    with signals():
        yield


# --- at any step ----------------------------------------------------------------------------------


class There(NamedTuple):
    """What is on the other machine after a command."""

    before: dict[str, str]
    after: dict[str, str]
    harm: list[str]
    steps: int
    free: bool


def after(folder: Path) -> tuple[There, dict[str, Any]]:
    """What is there, and what the history there has of its only command."""
    there = There(**json.loads((folder / "there" / "after.json").read_text()))
    lines = (folder / "there" / "history.ndjson").read_text().splitlines()
    begun, ended = map(json.loads, lines)
    assert begun["id"] == ended["id"]
    return there, ended


# Each step of these; what is done in one step ends as it does alone.
ALL = (
    *("create three", "lock", "cache create writeback", "cache remove writeback"),
    *("export", "unexport", "apply"),
)
STEPS = [(name, step) for name in ALL for step in range(1, ACTS[name].steps + 1)]


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_connection_that_is_lost_at_a_step(
    machine: Call, nursery: Nursery, tmp_path: Path, name: str, step: int
) -> None:
    """The other side ends as by Ctrl-C, which its history has."""
    ran = machine(name, step)
    assert (ran.code, ran.out) == (UNKNOWN, "")
    assert ran.err.startswith("rdctl: error: connection to node7 lost; the outcome is unknown\n")
    assert nursery.left() == []
    there, entry = after(tmp_path)
    assert (there.harm, there.free) == ([], True)
    assert (entry["result"], entry["exit"]) == ("failed", 130)
    assert entry["error"].startswith("interrupted; ")
    assert "outcome unknown" not in entry["error"]
    if name in WHOLE_ONLY:
        assert there.after == there.before
        assert "rolled back: " in entry["error"]
    else:
        assert "completed: " in entry["error"]


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_here_ends_the_command_there(
    machine: Call, tmp_path: Path, number: signal.Signals
) -> None:
    ran = machine("export", 6, number)
    code, word = ENDS[number]
    assert (ran.code, ran.out) == (code, "")
    assert "; rolled back: export nqn.2021-06.org.rapiddisk:rdvm-rd0\n" in ran.err
    there, entry = after(tmp_path)
    assert (there.after, there.free) == (there.before, True)
    assert entry["exit"] == code
    del word


# What rdctl there calls after its command.
AT_THE_END = ("ended_by", "mark_sandbox", "record", "_end")


@pytest.mark.parametrize("function", AT_THE_END)
def test_a_second_signal_at_the_end_there(machine: Call, tmp_path: Path, function: str) -> None:
    """It comes when the command is over: how it ended is recorded and reported anyway."""
    ran = machine("export", 6, signal.SIGINT, function)
    assert (ran.code, ran.out) == (130, ""), ran.err
    assert "; rolled back: export nqn.2021-06.org.rapiddisk:rdvm-rd0\n" in ran.err
    there, entry = after(tmp_path)
    assert (there.after, there.free, entry["exit"]) == (there.before, True, 130)


@pytest.mark.parametrize("function", AT_THE_END[1:])
def test_a_signal_after_the_command_there(machine: Call, tmp_path: Path, function: str) -> None:
    ran = machine("export", 0, 0, function)
    assert (ran.code, ran.err) == (0, "")
    there, entry = after(tmp_path)
    assert (there.after != there.before, there.free, entry["exit"]) == (True, True, 0)


def test_a_signal_that_comes_with_the_command(process: Rdctl) -> None:
    """It is not lost because the command there has not begun."""
    hello = {"kind": "hello", "protocol": wire.PROTOCOL, "version": __version__, "sender": "a@b"}
    command = {
        "kind": "command",
        "path": ["rapiddisk", "remove"],
        "arguments": ["rd0"],
        "options": {},
        "globals": {},
        "asks_always": False,
        "place": "",
        "progress": False,
    }
    messages = (hello, command, {"kind": "signal", "signal": "INT"})
    with process.start("-c", "sandbox", "__agent") as there:
        assert there.stdin is not None
        there.stdin.write(b"".join(json.dumps(one).encode() + b"\n" for one in messages))
        there.stdin.flush()
        # Otherwise it would wait for an answer to its question.
        assert there.wait(SECONDS) == 0


def test_a_killed_process_here_ends_the_command_there(
    process: Rdctl, nursery: Nursery, tmp_path: Path
) -> None:
    configure(tmp_path / "config.toml")
    (tmp_path / "there").mkdir()
    env = {"PATH": nursery.path, **acting(tmp_path, "export", 6, signal.SIGKILL)}
    words = ACTS["export"].words.split()
    assert process("-c", "far", "rapiddisk", *words, env=env)[0] == -signal.SIGKILL
    assert nursery.left() == []
    there, entry = after(tmp_path)
    assert (there.after, there.free, entry["exit"]) == (there.before, True, 130)


# --- at any message -------------------------------------------------------------------------------


def messages(log: Path) -> list[tuple[str, int, str]]:
    """What both sides sent: the side, the number of its message, its kind."""
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(side, int(number), kind) for side, number, kind in lines]


def exit_of(seen: list[tuple[str, int, str]], at: int) -> int:
    """How a command ends whose connection is lost at a message: before this side knows that
    anything may be changed, nothing was."""
    return UNKNOWN if ("far", "begin") in [(one[0], one[2]) for one in seen[:at]] else UNREACHABLE


@pytest.mark.parametrize(
    "words", ["remove rd7 --yes", "create 8M --number 9", "list", "apply s.toml"]
)
def test_a_connection_that_is_lost_at_a_message(
    far: Call, sandbox: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text('schema = "rdctl.rapiddisk.state/1"\n[volumes.rd9]\nsize = "8MiB"\n')

    def arrange() -> None:
        sandbox("rapiddisk", "remove", "rd9", "--yes")
        sandbox("rapiddisk", "create", "8M", "--number", "7")

    log = tmp_path / "log"
    arrange()
    assert far("rapiddisk", *words.split(), fault=Fault(log=str(log))).code == 0
    seen = messages(log)
    assert len(seen) > 5
    for at, side, number, kind in sampled(seen):
        arrange()
        ran = far("rapiddisk", *words.split(), fault=Fault(side, number, "drop"))
        assert ran.code == exit_of(seen, at), (side, number, kind, ran.err)
        assert "internal" not in ran.err
    assert sandbox("rapiddisk", "lock", "rd0").code == 0


def sampled(seen: list[tuple[str, int, str]]) -> Iterator[tuple[int, str, int, str]]:
    """The messages with their places; of many in a row that are alike, the first and the last."""
    for at, (side, number, kind) in enumerate(seen):
        around = [one[::2] for one in (*seen[max(at - 2, 0) : at], *seen[at + 1 : at + 3])]
        if around.count((side, kind)) < 2:
            yield at, side, number, kind


def imaged(data: bytes, name: str = "a.img") -> None:
    Path(name).write_bytes(data)
    Path(f"{name}.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  {name}\n")


# More than one message of contents.
DATA = os.urandom(1280 << 10)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory here, with an image."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    imaged(DATA)
    return place


def test_a_save_that_loses_its_connection_leaves_no_part(
    far: Call, sandbox: Call, tmp_path: Path, here: Path
) -> None:
    log = tmp_path / "log"
    sandbox("rapiddisk", "create", "2M", "--number", "7")
    assert sandbox("rapiddisk", "load", "a.img", "rd7").code == 0
    assert far("rapiddisk", "save", "rd7", "b.img", fault=Fault(log=str(log))).code == 0
    seen = messages(log)
    placed = max(at for at, one in enumerate(seen) if one[::2] == ("near", "answer"))
    assert [one[2] for one in seen].count("piece") > 2
    for at, side, number, kind in sampled(seen):
        for left in ("b.img", "b.img.sha256"):
            Path(left).unlink(missing_ok=True)
        ran = far("rapiddisk", "save", "rd7", "b.img", fault=Fault(side, number, "drop"))
        assert ran.code == UNREACHABLE, (side, number, kind, ran.err)
        names = ["a.img", "a.img.sha256"]
        if at >= placed:
            names += ["b.img", "b.img.sha256"]
            assert "; completed: save rd7 to b.img" in ran.err
            assert Path("b.img").read_bytes() == DATA.ljust(2 << 20, b"\0")
        else:
            lost = kind == "hello" or "; nothing was changed" in ran.err
            assert lost, (side, number, kind, ran.err)
        assert sorted(os.listdir()) == names, (side, number, kind)


def test_a_load_that_loses_its_connection_leaves_the_volume_empty(
    far: Call, sandbox: Call, tmp_path: Path, here: Path
) -> None:
    log = tmp_path / "log"
    sandbox("rapiddisk", "create", "2M", "--number", "7")
    assert far("rapiddisk", "load", "a.img", "rd7", fault=Fault(log=str(log))).code == 0
    seen = messages(log)
    for at, side, number, kind in sampled(seen):
        sandbox("rapiddisk", "flush", "rd7", "--yes")
        ran = far("rapiddisk", "load", "a.img", "rd7", fault=Fault(side, number, "drop"))
        assert ran.code == exit_of(seen, at), (side, number, kind, ran.err)
        (found,) = sandbox("rapiddisk", "list", "rd7", "--json").json["items"]
        saved = sandbox("rapiddisk", "save", "rd7", "c.img", "--overwrite")
        if found["usage"] == len(DATA):
            assert saved.code == 0, saved.err
            assert Path("c.img").read_bytes()[: len(DATA)] == DATA
        else:
            assert found["usage"] == 0
            assert saved.code == 0 or "rd7 is incomplete: loading was interrupted" in saved.err


def test_a_save_that_ends_there(far: Call, sandbox: Call, tmp_path: Path, here: Path) -> None:
    """In its midst, the other side says so, and then why."""
    log = tmp_path / "log"
    sandbox("rapiddisk", "create", "2M", "--number", "7")
    assert sandbox("rapiddisk", "load", "a.img", "rd7").code == 0
    assert far("rapiddisk", "save", "rd7", "b.img", fault=Fault(log=str(log))).code == 0
    number = [number for _, number, kind in messages(log) if kind == "piece"][1]
    why = {"code": "timeout", "exit": 7, "message": "saving rd7 timed out", "facts": {}}
    error = {**why, "hint": None, "target": None}
    end = {"kind": "end", "error": error, "signal": False, "account": {}, "unread": []}
    ending = [json.dumps(one) + "\n" for one in ({"kind": "piece", "abandoned": True}, end)]
    fault = Fault("far", number, instead="".join(ending))
    ran = far("rapiddisk", "save", "rd7", "c.img", fault=fault)
    assert (ran.code, ran.out) == (7, "")
    assert ran.err == "rdctl: error: saving rd7 timed out\n"
    assert sorted(os.listdir()) == ["a.img", "a.img.sha256", "b.img", "b.img.sha256"]


def test_a_disk_that_is_full_here(far: Call, sandbox: Call, here: Path) -> None:
    """The other side learns it, and this one has the message of a local save."""
    sandbox("rapiddisk", "create", "2M", "--number", "7")
    assert sandbox("rapiddisk", "load", "a.img", "rd7").code == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 10, hard))
    try:
        ran = far("rapiddisk", "save", "rd7", "b.img")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("rdctl: error: b.img: File too large\nhint: Nothing was changed. ")
    assert sorted(os.listdir()) == ["a.img", "a.img.sha256"]


def test_a_reader_that_leaves(process: Rdctl, nursery: Nursery, tmp_path: Path) -> None:
    configure(tmp_path / "config.toml", "-c", "sandbox")
    process.env["PATH"] = nursery.path
    code, out, err = process.shell(
        'set -o pipefail; "$@" | head -0', "-c", "far", "rapiddisk", "list", "-o", "csv"
    )
    assert (code in (0, 141), out, err) == (True, "", "")
    assert nursery.left() == []


# --- a side that is silent, or ends ---------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides take the other one for lost soon."""
    monkeypatch.setattr(wire, "BEAT", 0.2)
    monkeypatch.setattr(wire, "PATIENCE", 2.0)


@pytest.mark.parametrize(("side", "number"), [("far", 2), ("near", 3), ("far", 3), ("far", 6)])
def test_a_connection_that_freezes(
    far: Call, sandbox: Call, impatient: None, tmp_path: Path, side: str, number: int
) -> None:
    """Each side gives up by itself: neither learns that the other one has."""
    log = tmp_path / "log"
    ran = far("rapiddisk", "create", "8M", fault=Fault(side, number, "freeze", log=str(log)))
    seen = messages(log)
    assert ran.code == exit_of(seen, len(seen) - 1)
    assert ran.err.startswith("rdctl: error: connection to node7 lost")
    # Nothing is left that holds the lock.
    assert sandbox("rapiddisk", "create", "8M").code == 0


@pytest.mark.parametrize(("words", "more"), [("list", ""), ("create 8M", "; nothing was changed")])
def test_a_command_that_does_not_arrive(
    far: Call,
    rdctl: Program,
    sandbox: Call,
    impatient: None,
    tmp_path: Path,
    words: str,
    more: str,
) -> None:
    """rdctl there sends signs of life, but the time limit is kept here, too."""
    log = tmp_path / "log"
    log.touch()
    # The time is over as soon as it was lost.
    rdctl.clock = lambda: 1000.0 if ("near", 2, "command") in messages(log) else 0.0
    fault = Fault("near", 2, "swallow", log=str(log))
    ran = far("rapiddisk", *words.split(), "--timeout", "600", fault=fault)
    assert (ran.code, ran.out) == (7, "")
    assert ran.err.startswith(f"rdctl: error: node7 did not answer within the time limit{more}\n")
    assert sandbox("rapiddisk", "list", "-o", "name").out == "rd0\n"


def test_rdctl_there_is_killed(far: Call, sandbox: Call) -> None:
    ran = far("rapiddisk", "create", "8M", fault=Fault("far", 3, "kill"))
    assert ran.code == UNKNOWN
    assert ran.err.startswith(
        "rdctl: error: connection to node7 lost: rdctl there ended with exit code 137;"
        " the outcome is unknown\n"
    )
    assert sandbox("rapiddisk", "create", "8M").code == 0


def test_rdctl_there_is_stopped(far: Call, nursery: Nursery, impatient: None) -> None:
    """When it goes on, it finds that this side is gone."""
    ran = far("rapiddisk", "create", "8M", fault=Fault("far", 2, "stop"))
    assert ran.code == UNKNOWN
    assert "lost: no reply; the outcome is unknown\n" in ran.err
    for pid in nursery.descendants():
        os.kill(pid, signal.SIGCONT)
    assert nursery.left() == []


# --- what is no message ---------------------------------------------------------------------------

GARBAGE = {
    "half a message": '{"kind":"res',
    "no JSON": "hello\n",
    "no object": "[]\n",
    "no kind": '{"a":1}\n',
    "another kind of kind": '{"kind":7}\n',
    "an unknown kind and no more": '{"kind":"song"}\n',
    "a message without its parts": '{"kind":"result"}\n',
    "an unknown result": '{"kind":"result","type":"song"}\n',
    "a result of wrong parts": '{"kind":"result","type":"listing","vertical":1,"few":2,"also":3}\n',
    "rows that are none": '{"kind":"rows","rows":7}\n',
    "rows of numbers": '{"kind":"rows","rows":[7]}\n',
    "empty rows": '{"kind":"rows","rows":[{}]}\n',
    "an end without its parts": '{"kind":"end"}\n',
    "a wrong error": '{"kind":"end","error":7,"account":{},"unread":{}}\n',
    "a warning without text": '{"kind":"warning"}\n',
    "a wrong progress": '{"kind":"progress","what":"begin"}\n',
    "a question without a number": '{"kind":"ask","losses":["x"]}\n',
    "a file that was not named": '{"kind":"file","number":1,"do":"texts","path":"/etc/shadow"}\n',
    "negative bytes": '{"kind":"data","bytes":-1}\n',
    "too many bytes": '{"kind":"data","bytes":99999999999}\n',
    "bytes that are no number": '{"kind":"data","bytes":"many"}\n',
    "no bytes": '{"kind":"data","bytes":1000}\nabc',
    "NUL bytes": "\0" * 1000 + "\n",
    "deep": "[" * 100_000 + "\n",
    "not UTF-8": "\xff\xfe\n",
    "a huge number": '{"kind":"rows","rows":' + "9" * 10_000 + "}\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_from_there(far: Call, name: str) -> None:
    """In place of the rows; then the connection is gone."""
    ran = far("rapiddisk", "list", fault=Fault("far", 3, "end", GARBAGE[name]))
    assert ran.code in (UNREACHABLE, BAD_REPLY), ran.err
    assert ran.err.startswith("rdctl: error: ")
    assert ran.err.count("\n") <= 2


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_after_a_change_was_begun(far: Call, sandbox: Call, name: str) -> None:
    ran = far("rapiddisk", "create", "8M", fault=Fault("far", 4, "end", GARBAGE[name]))
    assert ran.code == UNKNOWN, ran.err
    assert "; the outcome is unknown\n" in ran.err


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_from_here(far: Call, name: str) -> None:
    """In place of this side's command: the other side ends without a word about its code."""
    ran = far("rapiddisk", "create", "8M", fault=Fault("near", 2, "end", GARBAGE[name]))
    assert ran.code == UNREACHABLE, ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(("protocol", "version"), [(2, "1.9.0"), (1, "2.0.0")])
def test_another_version_here_is_refused_there(process: Rdctl, protocol: int, version: str) -> None:
    hello = {"kind": "hello", "protocol": protocol, "version": version, "sender": "ada@laptop"}
    with process.start("__agent") as there:
        _, err = there.communicate(json.dumps(hello).encode() + b"\n")
    refusal = f"rdctl {version} on laptop cannot work with rdctl {__version__}"
    assert (there.returncode, err.decode()) == (11, f"rdctl: error: {refusal}\n")


def test_a_sign_of_life_may_come_first(process: Rdctl) -> None:
    """A side that is slow sends it before it has greeted."""
    hello = {"kind": "hello", "protocol": wire.PROTOCOL, "version": __version__}
    lines = [json.dumps(one).encode() + b"\n" for one in ({"kind": "beat"}, hello)]
    with process.start("__agent") as there:
        _, err = there.communicate(b"".join(lines))
    assert (there.returncode, err) == (0, b"")
