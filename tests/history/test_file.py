"""The file of the history: many writers, kills, full disks, rotation."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rdctl.history.recorder import DAYS, ENTRIES
from tests.cli import replies
from tests.cli.processes import Rdctl, process, wait_until  # noqa: F401 - a fixture
from tests.conftest import Program, Ran
from tests.fakes.faults import FaultServer, silent
from tests.history.reading import MACHINE, lines, of_machine, of_sandbox, pairs

Sandbox = Callable[..., Ran]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root has a place of its own")
WRITERS = 16


def set_context(rdctl: Program, name: str = "lab") -> Ran:
    return rdctl("context", "set", name, "account=me")


# Many writers -----------------------------------------------------------------------------------


def test_many_processes_at_once(process: Rdctl) -> None:  # noqa: F811
    running = [
        process.start(
            *("-c", "sandbox") * (number % 2), "context", "set", f"c{number}", "account=a"
        )
        for number in range(WRITERS)
    ]
    for one in running:
        _, err = one.communicate(timeout=300)
        assert (one.returncode, err) == (0, b""), err
    found = lines(process.home / "history.ndjson")
    both = pairs(found)
    assert sorted(end["targets"] for _, end in both) == sorted([f"c{n}"] for n in range(WRITERS))
    assert {end["result"] for _, end in both} == {"done"}
    times = [line.get("begin") or line["end"] for line in found]
    assert times == sorted(times)


@as_root
def test_many_writers_while_the_file_is_renamed(rdctl: Program) -> None:
    """More entries than are kept of one month: nothing that has to be kept is lost."""
    path = rdctl.root / MACHINE
    set_context(rdctl)
    (begin, end) = of_machine(rdctl)
    old = time.time() - (DAYS + 1) * 86400
    with path.open("w") as file:
        for number in range(ENTRIES):
            for line, key in ((begin, "begin"), (end, "end")):
                entry = {key: old, **{k: v for k, v in line.items() if k != key}}
                file.write(json.dumps({**entry, "id": f"{number:08x}"}, separators=(",", ":")))
                file.write("\n")
    children = []
    for writer in range(WRITERS):
        child = os.fork()
        if not child:
            code = 1
            try:
                program = Program(rdctl.home / f"w{writer}")
                program.root = rdctl.root
                done = [set_context(program, f"w{writer}n{number}").code for number in range(5)]
                code = max(done)
            finally:
                os._exit(code)
        children.append(child)
    assert {os.waitpid(child, 0)[1] for child in children} == {0}
    kept = lines(path.with_name("history.1.ndjson"))
    assert len(pairs(kept)) == ENTRIES
    found = lines(path)
    assert len(pairs(found)) == 5 * WRITERS
    times = [line.get("begin") or line["end"] for line in found]
    assert times == sorted(times)
    rows = rdctl("history", "--json").json["items"]
    assert len(rows) == ENTRIES + 5 * WRITERS
    assert {row["result"] for row in rows} == {"done"}


@as_root
@pytest.mark.parametrize(
    ("age", "count", "renamed"),
    [
        (DAYS + 1, ENTRIES, True),
        (-1000, ENTRIES, True),
        (DAYS + 1, ENTRIES - 2, False),
        (DAYS - 1, 2 * ENTRIES, False),
    ],
)
def test_it_is_renamed_when_both_bounds_are_reached(
    rdctl: Program, age: int, count: int, renamed: bool
) -> None:
    path = rdctl.root / MACHINE
    path.parent.mkdir(parents=True)
    line = f'{{"begin":{time.time() - age * 86400},"id":"00000000"}}\n'
    path.write_text(line * count)
    set_context(rdctl)
    assert path.with_name("history.1.ndjson").exists() is renamed
    assert len(lines(path)) == (2 if renamed else count + 2)


def test_one_fsync_and_without_the_lock(
    rdctl: Program, served: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "history.ndjson"
    served("rapiddisk", "create", "64M", "--count", "3", env={"RDCTL_HISTORY": str(path)})
    synced = []
    real = os.fsync

    def counted(descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            synced.append(len(lines(path)))
            with path.open("rb") as other:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    env = {"RDCTL_HISTORY": str(path)}
    assert served("rapiddisk", "remove", "rd1", "rd2", "rd3", "--yes", env=env).code == 0
    assert synced == [3]  # the intent, before the outcome


def test_the_sandbox_waits_for_no_disk(
    sandbox: Sandbox, rdctl: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("fsync"))
    assert sandbox("rapiddisk", "create", "64M").code == 0
    assert len(of_sandbox(rdctl)) == 2


# Kills ------------------------------------------------------------------------------------------


def hanging(process: Rdctl, server: FaultServer) -> subprocess.Popen[bytes]:  # noqa: F811
    """A command whose change is sent, and never answered."""
    process("context", "set", "lab", f"rapiddisk={server.url}")
    running = process.start("-c", "lab", "rapiddisk", "lock", "rd0")
    wait_until(lambda: len(server.requests) == 2)
    return running


def test_a_kill_leaves_an_intent(process: Rdctl) -> None:  # noqa: F811
    with FaultServer([replies.inventory(), silent()]) as server:
        running = hanging(process, server)
        running.kill()
        running.communicate()
    *_, begin = lines(process.home / "history.ndjson")
    assert begin["argv"] == ["-c", "lab", "rapiddisk", "lock", "rd0"]
    code, out, err = process("history", "-c", "lab")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].endswith("rdctl -c lab rapiddisk lock rd0  begun, outcome unknown")
    _, out, _ = process("history", begin["id"], "--json")
    (row,) = json.loads(out)["items"]
    assert (row["result"], row["exit"], row["ended"]) == (None, None, None)


def test_a_signal_leaves_an_outcome(process: Rdctl) -> None:  # noqa: F811
    with FaultServer([replies.inventory(), silent()]) as server:
        running = hanging(process, server)
        running.send_signal(signal.SIGTERM)
        running.communicate()
    *_, begin, end = lines(process.home / "history.ndjson")
    assert begin["id"] == end["id"]
    assert (end["result"], end["exit"]) == ("unknown", running.returncode)
    assert "outcome unknown" in end["error"]


@as_root
def test_a_line_that_was_cut_spoils_no_other(rdctl: Program) -> None:
    set_context(rdctl, "a")
    path = rdctl.root / MACHINE
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    set_context(rdctl, "b")
    assert path.read_bytes().startswith(whole[:-20] + b'\n{"begin":')
    ran = rdctl("history", "--json")
    assert [row["result"] for row in ran.json["items"]] == [None, "done"]
    assert ran.err == f"rdctl: warning: {path}: 1 line cannot be read\n"


WRONG: list[tuple[str, str, object]] = [
    *(("begin", "begin", value) for value in (float("nan"), 1e300, -1, "soon", None)),
    *(("begin", "uid", value) for value in ("root", None, 1.5, 1 << 40, True)),
    *(("begin", "argv", value) for value in ([1], "rapiddisk", None)),
    *(("begin", key, 7) for key in ("id", "context", "host", "sudo_user", "tty", "boot", "origin")),
    ("begin", "undoes", ["a"]),
    ("begin", "login_uid", "ada"),
    *(("end", "end", value) for value in (float("nan"), 1e300)),
    *(("end", key, [["a"]]) for key in ("targets", "effects", "left", "acts")),
    *(("end", key, value) for key in ("result", "error") for value in (1, ["a"])),
    ("end", "acts", [{"verb": 1, "kind": "volume", "name": "rd1", "identity": None}]),
    (
        "end",
        "acts",
        [{"verb": "x", "kind": "y", "name": "z", "identity": 1, "touched": [[1, 2, 3]]}],
    ),
    ("end", "exit", "0"),
    ("end", "more_acts", None),
]


@pytest.mark.parametrize(("line", "key", "value"), WRONG)
def test_a_line_of_wrong_values_hides_no_other(
    rdctl: Program, sandbox: Sandbox, line: str, key: str, value: object
) -> None:
    sandbox("rapiddisk", "create", "64M")
    path = rdctl.home / "sandbox.db-history.ndjson"
    begin, end = lines(path)
    sandbox("rapiddisk", "create", "64M")
    (begin if line == "begin" else end)[key] = value
    rest = path.read_text().splitlines()[2:]
    path.write_text("\n".join([json.dumps(begin), json.dumps(end), *rest]) + "\n")
    ran = sandbox("history", "--json")
    assert ran.code == 0
    assert ran.err == f"rdctl: warning: {path}: 1 line cannot be read\n"
    *wrong, right = ran.json["items"]
    assert right["result"] == "done"
    assert [row["result"] for row in wrong] == ([] if line == "begin" else [None])
    assert sandbox("history", right["id"]).code == 0


def test_a_file_that_all_can_read_becomes_private(rdctl: Program, sandbox: Sandbox) -> None:
    path = rdctl.home / "sandbox.db-history.ndjson"
    path.touch()
    path.chmod(0o666)
    assert sandbox("rapiddisk", "create", "64M").code == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_change_whose_result_cannot_be_printed_was_done(process: Rdctl) -> None:  # noqa: F811
    with open("/dev/full", "wb") as full:
        running = subprocess.run(
            [*process.argv, "context", "set", "lab", "account=a"],
            env=process.env,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (running.returncode, b"cannot be written" in running.stderr) == (1, True)
    _, end = lines(process.home / "history.ndjson")
    assert (end["result"], end["exit"]) == ("done", 1)
    assert end["error"].startswith("the output cannot be written: ")


# What cannot be written -------------------------------------------------------------------------


@as_root
def test_a_directory_that_cannot_be_made_stops_nothing(rdctl: Program) -> None:
    (rdctl.root / "var").mkdir(parents=True)
    (rdctl.root / "var/log").write_text("")
    ran = set_context(rdctl)
    assert ran.code == 0
    path = rdctl.root / MACHINE
    assert f"rdctl: warning: history not written: {path}: Not a directory\n" in ran.err
    assert ran.err.count("history not written") == 1
    assert "account" in rdctl.config.read_text()


def required(rdctl: Program, value: str = '"required"') -> Path:
    path = rdctl.root / "etc/rdctl/config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"audit = {value}\n")
    return path


@as_root
def test_where_it_is_required_nothing_is_done_without(rdctl: Program) -> None:
    required(rdctl)
    assert set_context(rdctl, "first").code == 0
    before = rdctl.config.read_text()
    (rdctl.root / MACHINE).unlink()
    (rdctl.root / MACHINE).mkdir()
    ran = set_context(rdctl)
    path = rdctl.root / MACHINE
    assert ran.code == 1
    assert ran.err == (
        f"rdctl: error: history not written: {path}: Is a directory\n"
        'hint: It is required by audit = "required" in /etc/rdctl/config.toml. Nothing was'
        " changed.\n"
    )
    assert rdctl.config.read_text() == before
    assert set_context(rdctl, "first").code == 0  # which changes nothing
    assert rdctl("-c", "sandbox", "rapiddisk", "create", "64M").code == 0


@as_root
def test_where_it_is_required_no_other_file_will_do(rdctl: Program, tmp_path: Path) -> None:
    required(rdctl)
    env = {"RDCTL_HISTORY": str(tmp_path / "mine")}
    ran = rdctl("context", "set", "lab", "account=me", env=env)
    assert (ran.code, "RDCTL_HISTORY cannot be used" in ran.err) == (2, True)
    assert not rdctl.config.exists()
    assert not (tmp_path / "mine").exists()


def test_audit_belongs_into_the_file_of_the_system(rdctl: Program) -> None:
    rdctl.config.write_text('\naudit = "required"\n')
    ran = rdctl("context", "list")
    assert ran.code == 2
    assert f"{rdctl.config}, line 2: audit is only read from /etc/rdctl/config.toml" in ran.err
    rdctl.config.unlink()
    path = required(rdctl, "true")
    ran = rdctl("context", "list")
    assert (ran.code, f'{path}, line 1: audit must be "required"' in ran.err) == (2, True)


@as_root
@pytest.mark.parametrize("audit", [False, True])
def test_a_full_disk(rdctl: Program, served: Sandbox, audit: bool) -> None:
    """A file that cannot grow: no part of a line stays, and the change is made unless the history
    is required."""
    if audit:
        required(rdctl)
    before = (rdctl.root / MACHINE).read_bytes()
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, len(before) + 100))
            ran = served("rapiddisk", "lock", "rd0")
            assert "history not written" in ran.err
            assert "File too large" in ran.err
            code = 100 + ran.code
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 100 + audit
    assert (rdctl.root / MACHINE).read_bytes() == before
    (volume,) = served("rapiddisk", "list", "--json").json["items"]
    assert volume["locked"] is not audit


@as_root
def test_a_link_of_another_user_is_not_followed(rdctl: Program, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "theirs")
    os.chown(link, 12345, 12345, follow_symlinks=False)
    env = {"RDCTL_HISTORY": str(link)}
    ran = rdctl("context", "set", "lab", "account=me", env=env)
    assert (ran.code, "history not written" in ran.err) == (0, True)
    assert (tmp_path / "theirs").read_text() == ""
