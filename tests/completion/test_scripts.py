"""The completion scripts, in the shells that they are for, at a real prompt."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pexpect
import pytest

from rdctl.cli.root import root
from rdctl.completion import scripts
from rdctl.completion.scripts import Node, choices, parted, walk

NODES = walk(root)
ANYWHERE, OWN = parted(root)
GLOBALS = {spelling for option in ANYWHERE for spelling in option.opts}
FORMATS = {"table", "json", "ndjson", "yaml", "csv", "tsv", "name"}
POLICIES = {"write-through", "write-around", "writeback"}


# --- bash, called as readline calls it ----------------------------------------------------------


class Bash:
    """One bash that has sourced the script."""

    def __init__(self, folder: Path) -> None:
        script = folder / "rdctl.bash"
        script.write_text(scripts.bash(root))
        setup = f"source {script}; PATH=; set -u\n" + _OFFER
        self.process = subprocess.Popen(
            ["bash", "--norc", "-c", setup + 'while IFS= read -r line; do offer "$line"; done'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __call__(self, line: str) -> set[str]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        offered = []
        while (word := self.process.stdout.readline().rstrip("\n")) != "--end--":
            assert self.process.poll() is None
            offered.append(word)
        assert len(set(offered)) == len(offered)
        return set(offered)


# Parts a line into words as readline does: at blanks, and at = and :, which are words themselves.
_OFFER = r"""
offer() {
    COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=() COMPREPLY=()
    local rest=$1
    while [[ $rest =~ ^[\ ]*([=:]+|[^=:\ ]+) ]]; do
        COMP_WORDS+=("${BASH_REMATCH[1]}")
        rest=${rest:${#BASH_REMATCH[0]}}
    done
    [[ $1 == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _rdctl rdctl "" ""
    ((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
    echo --end--
}
"""


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    """Without any PATH: completing words starts no program."""
    shell = Bash(tmp_path_factory.mktemp("bash"))
    yield shell
    shell.process.communicate("")
    assert shell.process.returncode == 0


def names(node: Node) -> set[str]:
    return {str(child.command.name) for child in node.children}


def spellings(node: Node) -> set[str]:
    return GLOBALS | {spelling for option in OWN[node] for spelling in option.opts}


@pytest.mark.parametrize("node", OWN, ids=lambda node: node.path)
def test_every_place_in_the_tree(bash: Bash, node: Node) -> None:
    first = node.arguments[:1]
    assert bash(f"{node.path} ") == names(node) | {word for arg in first for word in choices(arg)}
    assert bash(f"{node.path} -") == spellings(node)
    for option in OWN[node]:
        check_option(bash, node, option)


@pytest.mark.parametrize("path", ["rdctl", "rdctl rapiddisk", "rdctl rapiddisk cache create"])
def test_options_stand_anywhere(bash: Bash, path: str) -> None:
    (node,) = (node for node in OWN if node.path == path)
    for option in ANYWHERE:
        check_option(bash, node, option)


def check_option(bash: Bash, node: Node, option: click.Option) -> None:
    """Its value is completed, and what stands behind it as if it were not there."""
    for spelling in option.opts:
        if option.is_flag:
            assert bash(f"{node.path} {spelling} ") == bash(f"{node.path} ")
            continue
        assert bash(f"{node.path} {spelling} ") == set(choices(option))
        assert bash(f"{node.path} {spelling} value ") == bash(f"{node.path} ")
        if spelling.startswith("--"):
            assert bash(f"{node.path} {spelling}=") == set(choices(option))
            assert bash(f"{node.path} {spelling}=value ") == bash(f"{node.path} ")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rdctl rap", {"rapiddisk"}),
        ("rdctl -c sandbox rapiddisk c", {"create", "cache"}),
        ("rdctl --rapiddisk-url http://[::1]:9118 rapiddisk cr", {"create"}),
        ("rdctl --rapiddisk-url=http://h:9118 rapiddisk cr", {"create"}),
        ("rdctl rapiddisk -o json cache create rd1 sdb --po", {"--policy"}),
        ("rdctl rapiddisk cache create --policy write-", {"write-through", "write-around"}),
        ("rdctl rapiddisk cache create --policy=writeb", {"writeback"}),
        ("rdctl rapiddisk list -o ", FORMATS),
        ("rdctl rapiddisk list -o n", {"ndjson", "name"}),
        ("rdctl rapiddisk list -ojson --no-", {"--no-headers"}),
        ("rdctl rapiddisk list -- -", set()),
        ("rdctl rapiddisk list rd0 -- --no-", set()),
        ("rdctl rapiddisk remove - --fo", {"--force"}),
        ("rdctl rapiddisk nosuch ", names(next(n for n in NODES if n.path == "rdctl rapiddisk"))),
        ("rdctl help ex", {"exit-codes"}),
        ("rdctl help exit-codes ", set()),
        ("rdctl completion --json ", {"bash", "zsh"}),
        ("rdctl rapiddisk * ", names(next(n for n in NODES if n.path == "rdctl rapiddisk"))),
        ("rdctl context set a:b=c --quie", {"--quiet"}),
        ("rdctl --vers", {"--version"}),
        ("rdctl rapiddisk --vers", set()),
    ],
)
def test_words_in_bash(bash: Bash, line: str, offered: set[str]) -> None:
    assert bash(line) == offered


# --- at a prompt ---------------------------------------------------------------------------------


class Prompt:
    """A shell on a terminal; each call types a line and then TAB."""

    def __init__(self, argv: list[str], home: Path, setup: str) -> None:
        environ = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "LC_ALL": "C"}
        self.pty = pexpect.spawn(
            argv[0], argv[1:], env=environ, encoding="utf-8", dimensions=(50, 200), timeout=20
        )
        self.pty.setecho(False)
        # Ctrl-T prints the line as it stands and empties it; quoted, so the echo is no match.
        self.pty.sendline(f"{setup}; printf 'RE''ADY\\n'")
        self.pty.expect("READY\r\n")

    def __call__(self, line: str, tabs: int = 1) -> tuple[str, str]:
        """The line after that, and what was shown meanwhile."""
        self.pty.send(line + "\t" * tabs + "\x14")
        self.pty.expect(r"LINE<(.*?)>")
        match, before = self.pty.match, self.pty.before
        assert isinstance(match, re.Match)
        return str(match[1]), str(before)

    def close(self) -> None:
        self.pty.close(force=True)


def prompt_of(shell: str, folder: Path) -> Prompt:
    if shell == "bash":
        (folder / "rdctl.bash").write_text(scripts.bash(root))
        show = r"""bind -x '"\C-t": printf "LINE<%s>\n" "$READLINE_LINE"; READLINE_LINE='"""
        settings = "bell-style none", "enable-bracketed-paste off", "show-all-if-ambiguous on"
        quiet = "; ".join(f"bind 'set {setting}'" for setting in settings)
        setup = f"source ~/rdctl.bash; {quiet}; {show}"
        return Prompt(["bash", "--norc", "-i"], folder, setup)
    (folder / "_rdctl").write_text(scripts.zsh(root))
    show = 'show() { zle -I; print -r -- "LINE<$BUFFER>"; BUFFER= }; zle -N show; bindkey "^T" show'
    load = "fpath=(~ $fpath); autoload -Uz compinit; compinit -u -D; setopt nobeep noautomenu"
    return Prompt(["zsh", "-f", "-i"], folder, f"{load}; {show}")


@pytest.fixture(scope="module", params=["bash", "zsh"])
def prompt(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prompt]:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param}")
    shell = prompt_of(request.param, tmp_path_factory.mktemp(request.param))
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("rdctl rap", "rdctl rapiddisk "),
        ("rdctl rapiddisk cre", "rdctl rapiddisk create "),
        ("rdctl -c sandbox --json rapiddisk nvm", "rdctl -c sandbox --json rapiddisk nvmet "),
        ("rdctl rapiddisk --output=js", "rdctl rapiddisk --output=json "),
        ("rdctl rapiddisk list -o js", "rdctl rapiddisk list -o json "),
        ("rdctl --color al", "rdctl --color always "),
        ("rdctl rapiddisk list --dry", "rdctl rapiddisk list --dry-run "),
        (
            "rdctl rapiddisk cache create rd1 sdb --policy writeb",
            "rdctl rapiddisk cache create rd1 sdb --policy writeback ",
        ),
        (
            "rdctl --rapiddisk-url http://h:9118 rapiddisk fl",
            "rdctl --rapiddisk-url http://h:9118 rapiddisk flush ",
        ),
        ("rdctl help exi", "rdctl help exit-codes "),
        ("rdctl completion zs", "rdctl completion zsh "),
        ("rdctl rapiddisk frobnicat", "rdctl rapiddisk frobnicat"),
        ("rdctl rapiddisk show r", "rdctl rapiddisk show r"),
        ("rdctl rapiddisk list -- --js", "rdctl rapiddisk list -- --js"),
    ],
)
def test_a_line_is_completed(prompt: Prompt, line: str, completed: str) -> None:
    assert prompt(line)[0] == completed


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rdctl ", names(NODES[0])),
        ("rdctl rapiddisk -o ", FORMATS),
        ("rdctl rapiddisk cache create --policy ", POLICIES),
        ("rdctl rapiddisk create --", {"--count", "--overcommit", "--json", "--help"}),
    ],
)
def test_what_may_follow_is_listed(prompt: Prompt, line: str, words: set[str]) -> None:
    _, shown = prompt(line, tabs=2)
    assert words <= set(re.split(r"[\s,]+", shown))


def test_zsh_says_what_words_mean(tmp_path: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("no zsh")
    prompt = prompt_of("zsh", tmp_path)
    try:
        _, shown = prompt("rdctl rapiddisk ", tabs=2)
        for node in NODES:
            if node.path.startswith("rdctl rapiddisk ") and node.path.count(" ") == 2:
                assert re.search(rf"{node.command.name} +-- {re.escape(node.summary)}", shown)
        _, shown = prompt("rdctl rapiddisk create -", tabs=2)
        (create,) = (node for node in OWN if node.path == "rdctl rapiddisk create")
        for option in [*ANYWHERE, *OWN[create]]:
            assert f"-- {option.help}" in shown
    finally:
        prompt.close()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_script_is_sound_and_can_be_sourced(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    script = tmp_path / "script"
    script.write_text(getattr(scripts, shell)(root))
    assert subprocess.run([shell, "-n", script], check=False, capture_output=True).stderr == b""
    source = {
        "bash": f"source {script}; complete -p rdctl",
        "zsh": f"autoload -Uz compinit; compinit -D -u; source {script}; print $_comps[rdctl]",
    }
    done = subprocess.run(
        [shell, *(["-f"] if shell == "zsh" else []), "-c", source[shell]],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "_rdctl" in done.stdout
    assert done.stderr == ""
