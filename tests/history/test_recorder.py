"""What a command leaves in the history, read as another program would: line by line."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rdctl.history.form import LONGEST
from tests.conftest import Program, Ran
from tests.fakes.kernel import FakeKernel
from tests.history.reading import MACHINE, lines, of_machine, of_sandbox

Sandbox = Callable[..., Ran]
Local = Callable[..., Ran]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root has a place of its own")
OTHER = 12345  # a user


def test_a_change_has_two_lines(rdctl: Program, sandbox: Sandbox) -> None:
    times = iter([1000.5, 1000.5, 1001.5])
    rdctl.now = lambda: next(times)
    sandbox("rapiddisk", "create", "64M")
    begin, end = of_sandbox(rdctl)
    assert (begin["begin"], end["end"]) == (1000.5, 1001.5)
    assert re.fullmatch("[0-9a-f]{8}", begin["id"])
    assert begin["id"] == end["id"]
    assert begin["argv"] == ["-c", "sandbox", "rapiddisk", "create", "64M"]
    assert (begin["context"], begin["request_id"]) == ("sandbox", None)
    assert (begin["pid"], begin["uid"]) == (os.getpid(), os.getuid())
    assert begin["host"] == os.uname().nodename
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", begin["boot"])
    assert (end["result"], end["exit"], end["error"], end["targets"]) == ("done", 0, None, ["rd1"])
    (effect,) = end["effects"]
    assert effect == "echo 'rapiddisk attach 1 67108864' > /sys/kernel/rapiddisk/mgmt"


def test_without_memory_at_the_end(rdctl: Program, sandbox: Sandbox) -> None:
    """The command is done, and says so."""
    times = iter([1000.5, 1000.5])

    def now() -> float:
        for moment in times:
            return moment
        raise MemoryError

    rdctl.now = now
    ran = sandbox("rapiddisk", "lock", "rd0")
    assert (ran.code, ran.out) == (0, "locked rd0\n")
    assert "rdctl: warning: history not written: not enough memory" in ran.err
    (begin,) = of_sandbox(rdctl)
    assert begin["begin"] == 1000.5


@pytest.mark.parametrize(
    "words",
    [
        "rapiddisk list",
        "rapiddisk lock rd0 --dry-run",
        "rapiddisk remove rd7 --yes",
        "rapiddisk create 64M --number 0",
        "oio container list",
        "oio api GET container/show --param acct=sandbox --param ref=photos",
        "rapiddisk remove rd0",
    ],
)
def test_what_changes_nothing_leaves_nothing(rdctl: Program, sandbox: Sandbox, words: str) -> None:
    sandbox(*words.split())
    assert of_sandbox(rdctl) == []
    assert not (rdctl.root / "var").exists()


def test_what_was_already_so_leaves_nothing(rdctl: Program, sandbox: Sandbox) -> None:
    sandbox("rapiddisk", "create", "64M")
    sandbox("rapiddisk", "lock", "rd1")
    before = of_sandbox(rdctl)
    assert sandbox("rapiddisk", "lock", "rd1").code == 0
    assert of_sandbox(rdctl) == before


def test_results(rdctl: Program, sandbox: Sandbox) -> None:
    assert sandbox("rapiddisk", "create", "64M", "--count", "2").code == 0
    assert sandbox("rapiddisk", "remove", "rd1", "rd77", "--yes").code == 8
    *_, end = of_sandbox(rdctl)
    assert (end["result"], end["exit"]) == ("partial", 8)
    assert end["error"] == "volume rd77 not found"
    assert end["targets"] == ["rd1", "rd77"]


@as_root
def test_every_noun_is_in_the_history(rdctl: Program, tmp_path: Path) -> None:
    rdctl("context", "set", "lab", "rapiddisk=http://127.0.0.1:1")
    rdctl("completion", "bash", "--install")
    kept = tmp_path / "failed"
    rdctl("-c", "lab", "rapiddisk", "lock", "rd1", "--failed", str(kept))
    commands = [line["argv"][:2] for line in of_machine(rdctl) if "begin" in line]
    assert commands == [["context", "set"], ["completion", "bash"], ["-c", "lab"]]
    assert of_machine(rdctl)[1]["targets"] == ["lab"]
    *_, end = of_machine(rdctl)
    assert (end["result"], end["exit"]) == ("failed", 6)
    assert end["effects"] == [f"write {kept}"]


def test_the_sandbox_has_its_own(rdctl: Program, sandbox: Sandbox) -> None:
    sandbox("rapiddisk", "create", "64M")
    sandbox("oio", "container", "create", "docs")
    assert rdctl("sandbox", "reset", "--yes").code == 0
    nouns = [line["argv"] for line in of_sandbox(rdctl) if "begin" in line]
    assert [words[-4:] for words in nouns] == [
        ["sandbox", "rapiddisk", "create", "64M"],
        ["oio", "container", "create", "docs"],
        ["sandbox", "reset", "--yes"],
    ]
    assert not (rdctl.root / "var").exists()
    begun = [line for line in of_sandbox(rdctl) if "begin" in line]
    assert begun[0]["request_id"] is None
    # The ID that the services of OpenIO log.
    effects = of_sandbox(rdctl)[3]["effects"]
    assert f"X-oio-req-id: {begun[1]['request_id']}" in effects[0]


@as_root
def test_remote_and_local_changes(
    rdctl: Program, kernel: FakeKernel, local: Local, served: Sandbox
) -> None:
    local("rapiddisk", "create", "64M")
    served("rapiddisk", "create", "64M")
    begun = [line for line in of_machine(rdctl) if "begin" in line]
    assert [line["context"] for line in begun] == [None, None, "served"]
    boot = Path(kernel.path("proc/sys/kernel/random/boot_id")).read_text().strip()
    assert [line["boot"] for line in begun] == [None, boot, None]


@as_root
def test_a_fleet_with_the_sandbox_has_an_entry_in_each(rdctl: Program, served: Sandbox) -> None:
    ran = rdctl("-c", "served,sandbox", "rapiddisk", "create", "64M", "--yes")
    assert ran.code == 0, ran.err
    *_, begin, remote = of_machine(rdctl)
    assert (begin["context"], remote["result"]) == ("served", "done")
    assert all("curl" in line for line in remote["effects"])
    begin, end = of_sandbox(rdctl)
    assert (begin["context"], end["result"]) == ("sandbox", "done")
    # Both are the same machine: who comes second for rd1 tries rd2, too.
    assert all("attach" in line for line in end["effects"])
    assert [len(remote["effects"]), len(end["effects"])] in ([1, 1], [1, 2])
    assert sorted([*remote["targets"], *end["targets"]]) == ["rd1", "rd2"]


@as_root
def test_a_fleet_has_one_entry(rdctl: Program, served: Sandbox) -> None:
    url = rdctl("-c", "served", "context", "show", "-o", "json").json["items"][1]["value"]
    rdctl("context", "set", "other", f"rapiddisk={url}")
    assert rdctl("-c", "served,other", "rapiddisk", "lock", "rd0", "--yes").code == 0
    *_, begin, end = of_machine(rdctl)
    assert begin["context"] == "served,other"
    assert end["targets"] == ["rd0"]


# Where ------------------------------------------------------------------------------------------


@as_root
def test_the_file_is_private(rdctl: Program) -> None:
    rdctl("context", "set", "lab", "account=me")
    path = rdctl.root / MACHINE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o755


def test_another_file(rdctl: Program, tmp_path: Path) -> None:
    path = tmp_path / "new" / "mine.ndjson"
    rdctl("context", "set", "lab", "account=me", env={"RDCTL_HISTORY": str(path)})
    assert len(lines(path)) == 2
    assert not (rdctl.root / "var").exists()


@as_root
def test_another_user_has_it_in_the_state_directory() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        home = Path(directory) / "home"
        home.mkdir()
        os.chown(home, OTHER, OTHER)
        rdctl = Program(home)
        child = os.fork()
        if not child:
            code = 1
            try:
                os.setresuid(OTHER, OTHER, OTHER)
                code = rdctl("context", "set", "lab", "account=me").code
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        path = home / ".local/state/rdctl/history.ndjson"
        assert [len(lines(path)), path.stat().st_uid] == [2, OTHER]
        assert not (rdctl.root / "var").exists()


# Bounds -----------------------------------------------------------------------------------------


def test_thousands_of_effects_are_counted(rdctl: Program, sandbox: Sandbox) -> None:
    names = "".join(f"container-{number}\n" for number in range(1500))
    sandbox("oio", "container", "create", "-", stdin=names.encode())
    path = rdctl.home / "sandbox.db-history.ndjson"
    path.unlink()
    assert sandbox("oio", "container", "destroy", "-", "--yes", stdin=names.encode()).code == 0
    raw = path.read_bytes().splitlines(keepends=True)
    assert len(raw) == 2
    assert max(map(len, raw)) <= LONGEST
    end = json.loads(raw[1])
    assert len(end["effects"]) + end["more_effects"] == 1500
    assert len(end["targets"]) + end["more_targets"] == 1500
    assert min(len(end["effects"]), len(end["targets"])) > 100
    assert any("ref=container-0'" in effect for effect in end["effects"])


def test_thousands_of_words_are_counted(rdctl: Program, sandbox: Sandbox) -> None:
    words = [f"container-{number:0100}" for number in range(1500)]
    sandbox("oio", "container", "create", *words, "x" * 9000)
    begin = of_sandbox(rdctl)[0]
    assert len(begin["argv"]) + begin["more_argv"] == 1506
    assert len(json.dumps(begin)) <= LONGEST
