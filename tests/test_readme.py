"""What the README tells to type works, and what it says of exit codes is so."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from rdctl.core.errors import Exit
from tests.conftest import Program
from tests.documents import Step, reading

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
def test_the_script_works(tmp_path: Path, before: str, said: str) -> None:
    with reading(tmp_path, "") as reader:
        if before:
            assert reader.types(Step("rdctl -c sandbox rapiddisk create 64M", None)).code == 0
            cached = Step("rdctl -c sandbox rapiddisk cache create rd1 sdb", None)
            assert reader.types(cached).code == 0
        code, output = reader.types(Step(block("bash"), None))
    assert code == 0, output
    assert said in output


def test_every_exit_code_is_in_the_table() -> None:
    table = re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE)
    told = [int(number) for row in table for number in row.split(",")]
    assert sorted(told) == sorted(Exit)
