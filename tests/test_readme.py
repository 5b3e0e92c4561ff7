"""What the README tells to type works, and what it says of exit codes is so."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rdctl.core.errors import Exit
from rdctl.sandbox import rapiddisk_app
from tests.conftest import Program
from tests.fakes.served import serving

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"^(?:\| `|    )(rdctl [^`\n]*?)(?:` \|.*)?$", README, re.MULTILINE)


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_it_opens_with_the_two_commands() -> None:
    commands = re.findall(r"^    (\w.*?)(?:  .*)?$", README, re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]
    targets = re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)


def test_the_commands_work_one_after_the_other(rdctl: Program) -> None:
    """As somebody would who tries them all in that order."""
    commands = [line.split("#")[0].strip() for line in COMMANDS]
    assert len(commands) > 10
    for command in commands:
        argv = shlex.split(command.split(">")[0])[1:]
        ran = rdctl(*argv, tty=True, stdin=b"y\n")
        assert ran.code == 0, f"{command}\n{ran.err}"


def test_the_example_of_json_is_a_real_reply(rdctl: Program) -> None:
    real = rdctl("-c", "sandbox", "rapiddisk", "list", "--json").out
    assert json.loads(block("json")) == json.loads(real)
    assert block("json") == real


@pytest.mark.parametrize(("before", "said"), [("", "rc-wt_sdb\t0.0"), ("taken", "is in use")])
def test_the_script_works(rdctl: Program, before: str, said: str) -> None:
    if before:
        assert rdctl("-c", "sandbox", "rapiddisk", "create", "64M").code == 0
        assert rdctl("-c", "sandbox", "rapiddisk", "cache", "create", "rd1", "sdb").code == 0
    done = run_in_shell(rdctl, block("bash"))
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_many_at_a_time_works(rdctl: Program) -> None:
    (rdctl.home / "holiday").mkdir()
    (rdctl.home / "holiday" / "a file").write_text("hello")
    done = run_in_shell(rdctl, block("sh"))
    assert done.returncode == 0, done.stderr
    assert "\nuploaded holiday/a file" in done.stdout
    assert "deleted a file" in done.stdout
    assert (rdctl.home / "rest").read_bytes() == b""


def test_rows_of_several_machines_go_back_to_them(rdctl: Program) -> None:
    stores = [rdctl.home / f"{name}.db" for name in "ab"]
    with serving(*map(rapiddisk_app, stores)) as urls:
        for name, url in zip("ab", urls, strict=True):
            assert rdctl("context", "set", f"rack1-{name}", f"rapiddisk={url}").code == 0
        assert rdctl("-c", "rack1-b", "rapiddisk", "lock", "rd0").code == 0
        done = run_in_shell(rdctl, block("shell"))
    assert (done.returncode, done.stdout) == (0, "rack1-b: unlocked rd0\n"), done.stderr
    assert (rdctl.home / "rest").read_bytes() == b""


def run_in_shell(rdctl: Program, script: str) -> subprocess.CompletedProcess[str]:
    """A block of the README, in an empty home directory."""
    define = f'rdctl() {{ {shlex.quote(sys.executable)} -m rdctl "$@"; }}\n'
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(rdctl.home),
        "RDCTL_CONFIG": str(rdctl.config),
        "RDCTL_SANDBOX": str(rdctl.sandbox),
        "RDCTL_HISTORY": str(rdctl.home / "history.ndjson"),
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", define + script],
        check=False,
        cwd=rdctl.home,
        env=environ,
        capture_output=True,
        text=True,
    )


def test_every_exit_code_is_in_the_table() -> None:
    table = re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE)
    told = [int(number) for row in table for number in row.split(",")]
    assert sorted(told) == sorted(Exit)


def test_every_file_that_it_links_to_is_there() -> None:
    for name in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / name).is_file(), name
