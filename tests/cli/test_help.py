"""Every command explains itself, and its examples work exactly as they are printed. That it has a
line, a paragraph and examples at all is held by test_every_command.py."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rdctl.cli.tree import Command, LazyGroup, root
from rdctl.completion.nodes import Node, label, parted, walk
from tests.conftest import Program, Ran
from tests.rapiddisk.keys import ONE_KEY, key_file

ROOT = Path(__file__).resolve().parent.parent.parent
NODES = walk(root)
VERBS = [node for node in NODES if not node.children]
OWN = {node.path: options for node, options in parted(root)[1].items()}
# Commands whose examples are not run, and why.
UNRUN = {
    "rdctl sandbox serve": "runs until Ctrl-C; has tests of its own",
    "rdctl oio service handlers": "asks a proxy 3.3, which the sandbox is not",
    "rdctl oio admin vacuum": "asks a proxy since 5.1, which the sandbox is not",
}
SHELL = re.compile(r"[|<>]")


def examples_of(node: Node) -> list[str]:
    assert isinstance(node.command, Command)
    return list(node.command.examples)


ALL = [example for node in VERBS for example in examples_of(node)]
RUNNABLE = [node for node in VERBS if node.path not in UNRUN]
# What needs a kernel says nothing of the sandbox; tests of local mode run it.
LOCAL = [
    example
    for node in RUNNABLE
    for example in examples_of(node)
    if isinstance(node.command, Command) and node.command.on_site and "-c sandbox" not in example
]
# An ID of the history is another one in each run: tests/history/test_command.py.
WITH_ID = {"rdctl history 3f2a"}
RUN = [
    example
    for node in RUNNABLE
    for example in examples_of(node)
    if example not in LOCAL and example not in WITH_ID
]


def help_of(rdctl: Program, node: Node, width: int) -> str:
    ran = rdctl(*node.path.split()[1:], "--help", width=width)
    assert (ran.code, ran.err) == (0, "")
    return ran.out


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.path)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_help(rdctl: Program, monkeypatch: pytest.MonkeyPatch, node: Node, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = help_of(rdctl, node, width)

    # Who looks for a word finds it.
    assert not re.search(r"\w-$", shown, re.MULTILINE)

    def says(text: str | None) -> bool:
        """However it is wrapped."""
        return bool(text) and "".join(str(text).split()) in "".join(shown.split())

    assert says(f"Usage: {node.path}")
    assert says(node.command.help)
    for option in OWN[node.path]:
        assert says(", ".join(option.opts) + (option.metavar or "")), option.opts
        assert says(option.help), option.opts
    for child in node.children:
        assert says(f"{child.command.name} {child.summary}")
    examples = [] if node.children else examples_of(node)
    for example in examples:
        assert f"  {example}\n" in shown
    # Not parted: an example, the spelling of an option, a long word.
    whole = re.compile(r"-\S+( \S+)*|\S+")
    lines = [line for line in shown.splitlines() if line.strip() not in examples]
    prose = [line for line in lines if not whole.fullmatch(line.strip())]
    # click lays out for no less than 50 columns, and parts no word at all there.
    assert max(map(len, prose)) <= max(width, 52)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.path)
def test_the_help_is_the_same_with_h(rdctl: Program, node: Node) -> None:
    assert rdctl(*node.path.split()[1:], "-h").out == help_of(rdctl, node, 80)


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.path)
def test_the_line_in_the_list_is_the_first_of_the_help(node: Node) -> None:
    if isinstance(node.command, LazyGroup):
        lines = {name: line for name, (_, line) in node.command.children.items()}
        assert lines == {child.command.name: child.summary for child in node.children}


def test_no_value_is_without_a_name() -> None:
    """click would show TEXT and INTEGER RANGE."""
    nameless = [
        f"{node.path} {option.opts[-1]}"
        for node in NODES
        for option in OWN[node.path]
        if not option.is_flag
        and label(option) in ("", "TEXT", "INTEGER", "INTEGER RANGE", "FLOAT")
        and not option.metavar
    ]
    assert nameless == []


# --- examples -----------------------------------------------------------------------------------


# What examples assume: where one mentions this, these commands were run before, in the sandbox,
ASSUMED = {
    r"\brd[12]\b|rc-w._sdb": "rapiddisk create 64M --count 2",
    r"rc-wt_sdb": "rapiddisk cache create rd1 sdb",
    r"rc-wb_sdb": "rapiddisk cache create rd1 sdb --policy writeback --yes",
    r"-c sandbox rapiddisk (diff|apply|boot enable)": "rapiddisk dump --save --yes",
    r"-c sandbox rapiddisk undo": "rapiddisk create 64M",
    r"\blab\b": "context set lab rapiddisk=http://127.0.0.1:9118",
    r"(?<!create )\buser1\b": "oio reference create user1 -p color=blue",
    r"(unlink|renew) user1 rdir": "oio reference link user1 rdir",
    r"relink user1 rdir": "oio reference force user1 rdir 127.0.0.1:16018",
    r"force user1 sqlx .*--replace": "oio reference link user1 sqlx",
    r"(?<!create )\bdocs\b": "oio container create docs",
    r"checkpoint|sharding|transition": "sandbox release 2025",
    r"account delete team1": "oio account create team1 team2",
    # Any service may be the master, which is refused.
    r"admin remove photos .*:16010": "oio admin leave photos --service 127.0.0.1:16010 --yes",
    r"admin remove photos .*:16011": "oio admin leave photos --service 127.0.0.1:16011 --yes",
}
# and these files were in the directory.
CHUNK = {"url": "http://127.0.0.1:16201/" + "A" * 64, "pos": "0", "size": 11, "hash": "0" * 32}
RULES = (
    "<LifecycleConfiguration><Rule><Filter><Prefix>tmp/</Prefix></Filter><Status>Enabled</Status>"
    "<Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>"
)
FILES: dict[str, tuple[str, object]] = {
    r"raw-(insert|delete) .*beans\.json": ("beans.json", [{"type": "chunk"}]),
    r"raw-update .*beans\.json": (
        "beans.json",
        {"old": [{"type": "chunk"}], "new": [{"type": "chunk"}]},
    ),
    r"chunks\.json": ("chunks.json", [CHUNK]),
    r"lost\.json": ("lost.json", {"notin": [], "broken": [CHUNK]}),
    r"picture\.png": ("picture.png", "no picture"),
    r"rules\.xml": ("rules.xml", RULES),
    r"\bholiday\b": ("holiday/beach.svg", "no drawing"),
}


def assume(rdctl: Program, example: str) -> None:
    for mention, command in ASSUMED.items():
        if re.search(mention, example):
            ran = rdctl("-c", "sandbox", *command.split())
            assert ran.code == 0, ran.err
    for mention, (name, content) in FILES.items():
        if re.search(mention, example):
            (rdctl.home / name).parent.mkdir(exist_ok=True)
            text = content if name.endswith(".xml") else json.dumps(content)
            (rdctl.home / name).write_text(str(text))


def as_printed(rdctl: Program, example: str, **options: bool | bytes) -> Ran:
    """Run an example: in this process, or in a real shell where it needs one."""
    if not SHELL.search(example):
        program, *argv = shlex.split(example)
        assert program == "rdctl"
        return rdctl(*argv, **options)  # type: ignore[arg-type]
    directory = rdctl.home / "bin"
    directory.mkdir()
    wrapper = directory / "rdctl"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rdctl "$@"\n')
    wrapper.chmod(0o700)
    environ = {
        "PATH": f"{directory}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(rdctl.home),
        "RDCTL_CONFIG": str(rdctl.config),
        "RDCTL_SANDBOX": str(rdctl.sandbox),
        "RDCTL_HISTORY": str(rdctl.home / "history.ndjson"),
    }
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", example],
        check=False,
        cwd=rdctl.home,
        env=environ,
        capture_output=True,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("example", RUN)
def test_an_example_works_as_printed(
    rdctl: Program, monkeypatch: pytest.MonkeyPatch, example: str
) -> None:
    monkeypatch.chdir(rdctl.home)
    assume(rdctl, example)
    ran = as_printed(rdctl, example)
    if ran.code == 2 and "is not a terminal" in ran.err:
        # It would destroy something: nothing outside the sandbox, and only after a question.
        assert re.match(r"rdctl (-c sandbox|sandbox) ", example)
        assert ran.code == 2
        ran = as_printed(rdctl, example, tty=True, stdin=b"y\n")
        assert "Continue? [y/N]" in ran.err
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("example", LOCAL)
def test_an_example_for_this_machine_works_in_the_sandbox(
    rdctl: Program, monkeypatch: pytest.MonkeyPatch, example: str
) -> None:
    for line in (
        "create 64M --count 2",
        "cache create rd2 sdb --policy writeback --yes",
        "nvmet port remove 2 --yes",
        "nvmet port add 2 --transport tcp --address 127.0.0.1 --service 4421",
    ):
        assert rdctl("-c", "sandbox", "rapiddisk", *line.split()).code == 0
    monkeypatch.chdir(rdctl.home)
    (rdctl.home / "rapiddisk.toml").write_text(rdctl("-c", "sandbox", "rapiddisk", "dump").out)
    assert rdctl("-c", "sandbox", "rapiddisk", "dump", "--save", "--yes").code == 0
    program, *argv = shlex.split(example.replace(":store-", ":sandbox-"))
    if argv[:2] == ["rapiddisk", "undo"]:
        adding = ("history", "--target", "add", "--json")
        argv[2] = rdctl("-c", "sandbox", *adding).json["items"][-1]["id"]
    if argv[:2] == ["rapiddisk", "load"]:
        assert rdctl("-c", "sandbox", "rapiddisk", "save", "rd1", argv[2]).code == 0
    if "unexport" in argv or "revalidate" in argv:
        exporting = "nvmet export rd1 --port 1 --port 2 --any-host"
        assert rdctl("-c", "sandbox", "rapiddisk", *exporting.split()).code == 0
    if argv[:4] == ["rapiddisk", "nvmet", "port", "remove"] and "1" in argv:
        assert rdctl("-c", "sandbox", "rapiddisk", "nvmet", "unexport", "rd0", "--yes").code == 0
    if argv[:3] == ["rapiddisk", "nvmet", "export"] and "rd0" in argv:
        assert rdctl("-c", "sandbox", "rapiddisk", "nvmet", "unexport", "rd0", "--yes").code == 0
    for name in argv:
        if name.endswith(".key"):
            key_file(rdctl.home, name, ONE_KEY)
    ran = rdctl("-c", "sandbox", *argv, tty=True, stdin=b"y\n")
    assert (program, ran.code) == ("rdctl", 0), ran.err


def test_destroying_examples_are_among_those(rdctl: Program) -> None:
    """The test above tells them by what the program answers."""
    asking = {
        "rdctl -c sandbox rapiddisk remove rd1",
        "rdctl -c sandbox rapiddisk flush rd1",
        "rdctl sandbox reset",
    }
    assert asking <= set(RUN)
    for example in asking:
        assume(rdctl, example)
        assert as_printed(rdctl, example).code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_every_shell_reads_the_examples_alike(shell: str, tmp_path: Path) -> None:
    """Nothing unquoted that a shell takes for a pattern: zsh refuses one without a match."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    simple = [example for example in ALL if not SHELL.search(example)]
    script = 'rdctl() { printf "%s\\n" "$@"; echo; }\n' + "\n".join(simple)
    done = subprocess.run(
        [shell, "-f", "-c", script] if shell == "zsh" else [shell, "-c", script],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    read = [block.split("\n") for block in done.stdout.rstrip("\n").split("\n\n")]
    assert read == [shlex.split(example)[1:] for example in simple]
