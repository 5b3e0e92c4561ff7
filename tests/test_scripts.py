"""What docs/scripts.md and docs/commands.md say is so; their blocks are run by test_documents."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rdctl.core.errors import Exit
from tests.conftest import Program
from tests.documents import Step, reading

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = (ROOT / "docs/scripts.md").read_text("utf-8")
COMMANDS = (ROOT / "docs/commands.md").read_text("utf-8")


def test_the_first_commands_work_one_after_the_other(rdctl: Program) -> None:
    """As somebody would who tries them all in that order."""
    commands = re.findall(r"^\| `(rdctl [^`]*)` \|", COMMANDS, re.MULTILINE)
    assert len(commands) > 15
    for command in commands:
        ran = rdctl(*shlex.split(command)[1:], tty=True, stdin=b"y\n")
        assert ran.code == 0, f"{command}\n{ran.err}"


@pytest.mark.parametrize(("before", "said"), [("", "rc-wt_sdb\t0.0"), ("taken", "is in use")])
def test_the_script_works(tmp_path: Path, before: str, said: str) -> None:
    (script,) = re.findall(r"^```bash\n(.*?)^```$", SCRIPTS, re.MULTILINE | re.DOTALL)
    with reading(tmp_path, "") as reader:
        if before:
            assert reader.types(Step("rdctl -c sandbox rapiddisk create 64M", None)).code == 0
            cached = Step("rdctl -c sandbox rapiddisk cache create rd1 sdb", None)
            assert reader.types(cached).code == 0
        code, output = reader.types(Step(script, None))
    assert code == 0, output
    assert said in output


def test_every_exit_code_is_in_the_table() -> None:
    table = re.findall(r"^\| ([\d, ]+) \|", SCRIPTS, re.MULTILINE)
    told = [int(number) for row in table for number in row.split(",")]
    assert sorted(told) == sorted(Exit)
