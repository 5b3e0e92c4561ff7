"""rdctl context: settings with their origins, and a file that others edit as well."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import SECONDS, Rdctl, process, wait_until
from tests.conftest import Program

__all__ = ["process"]

FILE = """\
# The lab, second floor.
current = "lab"

[contexts.lab]  # behind the door
rapiddisk = "http://127.0.0.1:9118"
timeout = 60
"""


@pytest.fixture
def lab(rdctl: Program) -> Program:
    rdctl.config.write_text(FILE)
    return rdctl


def machine(rdctl: Program, text: str) -> Path:
    """The configuration of the whole machine."""
    path = rdctl.home / "root/etc/rdctl/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def settings(rdctl: Program, *words: str, **options: Any) -> dict[str, tuple[Any, Any]]:
    rows = rdctl("context", "show", *words, "--json", **options).json["items"]
    return {row["key"]: (row["value"], row["origin"]) for row in rows}


def names(rdctl: Program) -> list[str]:
    return rdctl("context", "list", "-o", "name").out.split()


# Looking -----------------------------------------------------------------------------------------


def test_the_sandbox_always_exists(rdctl: Program) -> None:
    assert names(rdctl) == ["sandbox"]
    row = rdctl("context", "list", "--json").json["items"][0]
    assert (row["current"], row["file"], row["namespace"]) == (False, None, "OPENIO")


def test_list(lab: Program) -> None:
    assert lab("context", "list").out.splitlines() == [
        "NAME     CURRENT  RAPIDDISK              OIO                 PROTECTED",
        "lab      *        http://127.0.0.1:9118  -",
        "sandbox           simulated              http://oio.sandbox",
    ]


def test_every_setting_has_its_origin(lab: Program) -> None:
    found = settings(lab, "--timeout", "5", env={"OIO_NS": "NS", "RDCTL_ACCOUNT": "me"})
    assert found["context"] == ("lab", "current")
    assert found["timeout"] == (5.0, "--timeout")
    assert found["rapiddisk"] == ("http://127.0.0.1:9118", "context lab (current)")
    assert found["namespace"] == ("NS", "OIO_NS")
    assert found["account"] == ("me", "RDCTL_ACCOUNT")
    assert found["oio"] == (None, None)
    assert found["config"] == (str(lab.config), None)


@pytest.mark.parametrize(
    ("words", "env", "origin"),
    [
        (["lab"], {}, "context lab (-c)"),
        (["-c", "lab"], {}, "context lab (-c)"),
        ([], {"RDCTL_CONTEXT": "lab"}, "context lab (RDCTL_CONTEXT)"),
    ],
)
def test_a_named_context_is_taken_whole(
    lab: Program, words: list[str], env: dict[str, str], origin: str
) -> None:
    found = settings(lab, *words, env={"RDCTL_RAPIDDISK_URL": "http://a", "OIO_NS": "NS", **env})
    assert found["rapiddisk"] == ("http://127.0.0.1:9118", origin)
    assert found["namespace"] == (None, None)


def test_without_anything_it_is_this_machine(rdctl: Program) -> None:
    assert settings(rdctl)["rapiddisk"] == ("local", "default")


def test_the_contexts_of_the_machine_lie_below_those_of_the_user(lab: Program) -> None:
    path = machine(lab, 'current = "hall"\n[contexts.hall]\n[contexts.lab]\nprotected = true\n')
    rows = lab("context", "list", "--json").json["items"]
    assert [(row["name"], row["current"], row["file"]) for row in rows] == [
        ("hall", False, str(path)),
        ("lab", True, str(lab.config)),
        ("sandbox", False, None),
    ]
    assert not rows[1]["protected"]


# Writing -----------------------------------------------------------------------------------------


def test_a_file_is_made_for_its_owner_alone(rdctl: Program) -> None:
    ran = rdctl("context", "set", "lab", "rapiddisk=http://127.0.0.1:9118", "protected=true")
    assert (ran.code, ran.out) == (0, 'Context "lab" created.\n')
    assert stat.S_IMODE(rdctl.config.stat().st_mode) == 0o600
    assert tomllib.loads(rdctl.config.read_text()) == {
        "contexts": {"lab": {"rapiddisk": "http://127.0.0.1:9118", "protected": True}}
    }


def test_comments_and_order_stay(lab: Program) -> None:
    assert lab("context", "set", "lab", "timeout=5", "namespace=NS").code == 0
    assert lab.config.read_text() == FILE.replace("60", "5") + 'namespace = "NS"\n'
    assert lab("context", "set", "lab", "timeout=60", "namespace=").code == 0
    assert lab.config.read_text() == FILE


def test_what_is_so_already_is_not_written(lab: Program) -> None:
    before = lab.config.stat()
    for words in (["set", "lab", "timeout=60"], ["use", "lab"]):
        ran = lab("context", *words, "--json")
        assert ran.json["results"][0]["changed"] is False
    assert lab.config.stat().st_mtime_ns == before.st_mtime_ns


def test_use(lab: Program) -> None:
    assert lab("context", "use", "sandbox").out == 'Switched to context "sandbox".\n'
    assert settings(lab)["rapiddisk"] == ("simulated", "context sandbox (current)")
    assert lab("rapiddisk", "list", "-o", "name").out == "rd0\n"


def test_remove(lab: Program) -> None:
    assert lab("context", "remove", "lab").out == 'Context "lab" removed.\n'
    assert lab.config.read_text() == "# The lab, second floor.\n"
    assert settings(lab)["rapiddisk"] == ("local", "default")
    assert lab("context", "remove", "lab").code == 3


@pytest.mark.parametrize("verb", ["set lab timeout=5", "use sandbox", "remove lab"])
def test_a_dry_run_writes_nothing(lab: Program, verb: str) -> None:
    ran = lab("context", *verb.split(), "--dry-run", "--json")
    assert (ran.code, ran.json["plan"]) == (0, [f"write {lab.config}"])
    assert ran.json["results"][0]["changed"] is None
    assert lab.config.read_text() == FILE


def test_a_link_to_the_file_stays_a_link(lab: Program, tmp_path: Path) -> None:
    (tmp_path / "link.toml").symlink_to(lab.config)
    env = {"RDCTL_CONFIG": str(tmp_path / "link.toml")}
    assert lab("context", "set", "lab", "timeout=5", env=env).code == 0
    assert (tmp_path / "link.toml").is_symlink()
    assert "timeout = 5" in lab.config.read_text()


def test_one_edit_at_a_time(process: Rdctl) -> None:
    """What another adds meanwhile is not lost."""
    path = process.home / "config.toml"
    path.write_text(FILE)

    lock = f"{path}.lock"

    def waits(running: subprocess.Popen[bytes]) -> bool:
        files = Path(f"/proc/{running.pid}/fd")
        return lock in [str(file.resolve()) for file in files.iterdir()]

    directory = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(directory, fcntl.LOCK_EX)
    with process.start("context", "set", "b", "account=me") as one:
        wait_until(lambda: waits(one))
        path.write_text(FILE.replace("[contexts.lab]", "[contexts.other]"))
        os.close(directory)
        assert one.communicate(timeout=SECONDS)[1] == b""
    assert list(tomllib.loads(path.read_text())["contexts"]) == ["other", "b"]


def test_who_never_unlocks_is_not_waited_for(rdctl: Program) -> None:
    """Nor does anybody hold it who can only read the home directory."""
    rdctl.config.write_text(FILE)
    home = os.open(rdctl.home, os.O_RDONLY)
    fcntl.flock(home, fcntl.LOCK_EX)
    assert rdctl("context", "set", "b", "account=me").code == 0
    os.close(home)
    held = os.open(f"{rdctl.config}.lock", os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    before = rdctl.config.read_bytes()
    ran = rdctl("context", "set", "c", "account=me", "--timeout", "0.1")
    os.close(held)
    assert ran.code == 7
    assert ran.err.startswith(f"rdctl: error: {rdctl.config} is being changed by another process: ")
    assert rdctl.config.read_bytes() == before


def test_the_first_edits_of_several(process: Rdctl) -> None:
    """Whoever comes first makes the directories."""
    env = {"RDCTL_CONFIG": str(process.home / "a/b/config.toml")}
    runs = [process.start("context", "set", f"c{n}", "account=me", env=env) for n in range(6)]
    assert [run.communicate(timeout=SECONDS)[1] for run in runs] == [b""] * 6
    made = tomllib.loads((process.home / "a/b/config.toml").read_text())["contexts"]
    assert sorted(made) == [f"c{n}" for n in range(6)]


def test_what_was_removed_meanwhile(process: Rdctl) -> None:
    path = process.home / "config.toml"
    path.write_text(FILE)
    runs = [process.start("context", "remove", "lab") for _ in range(4)]
    ran = [(run.communicate(timeout=SECONDS)[1], run.returncode) for run in runs]
    (first, code), *rest = sorted(ran, key=lambda one: one[1])
    assert code == 0
    assert b'rdctl: warning: "lab" was the current context' in first
    missing = b'rdctl: error: context "lab" not found\nhint: Existing contexts: sandbox.\n'
    assert rest == [(missing, 3)] * 3


# What cannot be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("use nowhere", 3, 'context "nowhere" not found'),
        ("use lap", 3, 'not found; did you mean "lab"?'),
        ("show nowhere", 3, 'context "nowhere" not found'),
        ("remove nowhere", 3, 'context "nowhere" not found'),
        ("remove sandbox", 2, 'cannot remove context "sandbox": it is built in'),
        ("set sandbox timeout=5", 2, 'cannot change context "sandbox": it is built in'),
        ("set -- -x timeout=5", 2, 'invalid context name "-x"'),
        ("set lab", 2, "missing argument KEY=VALUE"),
        ("set lab timeout", 2, 'invalid argument "timeout": must be KEY=VALUE'),
        ("set lab timout=5", 2, 'did you mean "timeout"?'),
        ("set lab timeout=soon", 2, "timeout: "),
        ("set lab timeout=-1", 2, "timeout: must be a positive number of seconds"),
        ("set lab protected=maybe", 2, "protected: must be true or false"),
        ("set lab rapiddisk=127.0.0.1", 2, "must begin with http://, https:// or ssh://"),
        ("set lab rapiddisk=http://a:b", 2, 'invalid URL "http://a:b": '),
        ("set lab dialect=6", 2, "dialect: must be auto, 3.3, 4.2, 5, 7, 2025 or reference"),
    ],
)
def test_refused(lab: Program, words: str, code: int, message: str) -> None:
    ran = lab("context", *words.split())
    assert ran.code == code
    assert message in ran.err
    assert lab.config.read_text() == FILE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[contexts.lab\n", "config.toml, line 1, column 14: invalid TOML: expected ']'"),
        ('curent = "lab"\n', 'config.toml, line 1: unknown key "curent"'),
        ("\n[contexts.lab]\ntimout = 5\n", 'config.toml, line 3: unknown key "timout"'),
        (
            "[contexts.lab]\ntimeout = 0\n",
            "config.toml, line 2: timeout: must be a positive number of seconds",
        ),
        ("[contexts.sandbox]\n", 'context "sandbox": it is built in'),
        ("contexts = 5\n", "config.toml, line 1: contexts must be a table"),
    ],
)
def test_a_file_that_cannot_be_used(rdctl: Program, text: str, message: str) -> None:
    rdctl.config.write_text(text)
    for words in (["context", "list"], ["rapiddisk", "list"], ["context", "set", "a", "oio="]):
        ran = rdctl(*words, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (2, "config")
        assert message in ran.err
    assert rdctl.config.read_text() == text


def test_what_needs_no_file_works_without_one(rdctl: Program) -> None:
    rdctl.config.write_text("[")
    assert rdctl("--help").code == 0
    assert rdctl("sandbox", "path").code == 0


def test_a_current_context_that_is_gone(rdctl: Program) -> None:
    rdctl.config.write_text('current = "gone"\n')
    ran = rdctl("rapiddisk", "list")
    assert ran.code == 2
    assert 'current context "gone" not found' in ran.err
    assert names(rdctl) == ["sandbox"]
    assert rdctl("rapiddisk", "list", "-c", "sandbox").code == 0
    assert rdctl("context", "use", "sandbox").code == 0


def test_a_context_of_the_machine_is_not_removed_by_a_user(lab: Program) -> None:
    machine(lab, "[contexts.hall]\n")
    ran = lab("context", "remove", "hall")
    assert ran.code == 5
    assert "it is system-wide, defined in" in ran.err


def test_a_file_that_cannot_be_written(rdctl: Program) -> None:
    env = {"RDCTL_CONFIG": "/proc/nowhere/config.toml"}
    ran = rdctl("context", "set", "lab", "timeout=5", env=env)
    assert ran.code == 5
    assert "/proc/nowhere/config.toml cannot be written: No such file or directory" in ran.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize("words", ["set a rapiddisk=local", "use sandbox"])
@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_a_device_is_not_replaced(rdctl: Program, words: str, dry_run: list[str]) -> None:
    """RDCTL_CONFIG=/dev/null is how one works without contexts."""
    os.mknod(rdctl.config, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    assert rdctl("context", "list").code == 0
    ran = rdctl("context", *words.split(), *dry_run)
    assert ran.code == 5
    assert f"{rdctl.config} cannot be written: not a regular file" in ran.err
    assert rdctl.config.is_char_device()


def test_a_file_that_cannot_be_read(rdctl: Program) -> None:
    ran = rdctl("context", "list", env={"RDCTL_CONFIG": "/proc"})
    assert ran.code == 2
    assert "/proc cannot be read: Is a directory" in ran.err


def test_a_context_of_the_machine_is_copied_before_it_is_changed(rdctl: Program) -> None:
    machine(rdctl, '[contexts.lab]\nrapiddisk = "http://127.0.0.1:9118"\nprotected = true\n')
    assert rdctl("context", "set", "lab", "timeout=5").code == 0
    rows = rdctl("context", "show", "lab", "--json").json["items"]
    values = {row["key"]: row["value"] for row in rows}
    assert values["rapiddisk"] == "http://127.0.0.1:9118"
    assert values["protected"] is True
    assert values["timeout"] == 5
