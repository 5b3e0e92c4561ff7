"""What documents say of commands outside of the blocks that test_documents runs is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rdctl.cli.tree import root
from rdctl.completion.nodes import parted
from rdctl.core.errors import Exit
from tests.conftest import Program
from tests.documents import Step, reading
from tests.test_docs import without_fences

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = (ROOT / "docs/scripts.md").read_text("utf-8")
COMMANDS = (ROOT / "docs/commands.md").read_text("utf-8")
# What users read. The benchmarks abbreviate the commands that they measure.
GUIDES = [
    Path("README.md"),
    *sorted(
        path.relative_to(ROOT)
        for path in (ROOT / "docs").glob("*.md")
        if path.name != "benchmarks.md"
    ),
]
ANYWHERE, OPTIONS = parted(root)
NODES = {node.path: (node, [*ANYWHERE, *options]) for node, options in OPTIONS.items()}


def fault_in(line: str) -> str | None:
    """What is wrong with a command in running text, whose values may be missing or in capitals."""
    path, *words = line.replace("rdctl -c sandbox ", "rdctl ").split(" ")
    while words and f"{path} {words[0]}" in NODES:
        path += f" {words.pop(0)}"
    node, options = NODES[path]
    if node.children and words and words[0].islower() and words[0].isalpha():
        return f"no command {path} {words[0]}"
    known = {name for option in options for name in option.opts} | {"--help", "-"}
    used = [word.partition("=")[0] for word in words if word.startswith("-")]
    unknown = [option for option in used if option not in known]
    return f"{path}: no option {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("guide", GUIDES, ids=str)
def test_commands_in_running_text_exist(guide: Path) -> None:
    text = without_fences((ROOT / guide).read_text("utf-8"))
    faults = map(fault_in, re.findall(r"`(rdctl [^`\n]+)`", text))
    assert [fault for fault in faults if fault] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("rdctl oio content get CONTAINER --to -", None),
        ("rdctl -c sandbox rapiddisk dump --save --yes", None),
        ("rdctl rapiddisk copy rd0", "no command rdctl rapiddisk copy"),
        ("rdctl rapiddisk list --nope", "rdctl rapiddisk list: no option --nope"),
    ],
)
def test_wrong_commands_are_caught(line: str, fault: str | None) -> None:
    assert fault_in(line) == fault


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
