"""The shells that complete: bash called as readline calls it, fish as its own tests call it, and
all of them at a real prompt."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pexpect

from rdctl.cli.tree import root
from rdctl.completion.bash import bash_script
from rdctl.completion.fish import fish_script
from rdctl.completion.zsh import zsh_script
from tests.cli.processes import SECONDS

SHELLS = ("bash", "fish", "zsh")

SCRIPTS = {"bash": bash_script, "fish": fish_script, "zsh": zsh_script}


class Offering:
    """A shell that reads lines, and for each prints what it offers, then `--end--`."""

    def __init__(self, argv: list[str], directory: Path) -> None:
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=directory,
            env={**os.environ, "HOME": str(directory), "LC_ALL": "C.UTF-8"},
        )

    def lines(self, line: str) -> list[str]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        offered = []
        while (word := self.process.stdout.readline().rstrip("\n")) != "--end--":
            assert self.process.poll() is None
            offered.append(word)
        assert len(set(offered)) == len(offered)
        return offered

    def __call__(self, line: str) -> set[str]:
        return set(self.lines(line))

    def end(self) -> None:
        self.process.communicate("")
        assert self.process.returncode == 0


class Bash(Offering):
    """One bash that has sourced the script."""

    def __init__(self, directory: Path) -> None:
        script = directory / "rdctl.bash"
        script.write_text(bash_script(root))
        setup = f"source {script}; PATH=; set -u\n" + _OFFER
        loop = 'while IFS= read -r line; do offer "$line"; done'
        super().__init__(["bash", "--norc", "-c", setup + loop], directory)


# Parts a line into words as readline does: at blanks, and at = and :, which are words themselves.
# bash knows compopt only while it completes by itself; what it is told is offered as `<option>`.
_OFFER = r"""
compopt() { told+=("<$2>"); }
offer() {
    COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=() COMPREPLY=()
    local rest=$1
    local -a told=()
    while [[ $rest =~ ^[\ ]*([=:]+|[^=:\ ]+) ]]; do
        COMP_WORDS+=("${BASH_REMATCH[1]}")
        rest=${rest:${#BASH_REMATCH[0]}}
    done
    [[ $1 == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _rdctl rdctl "" ""
    COMPREPLY+=("${told[@]}")
    ((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
    echo --end--
}
"""


class Fish(Offering):
    """One fish that has sourced the script; where it completes files, `<default>` is the only
    one. Of a value in the same word as its option, only the value is returned."""

    def __init__(self, directory: Path) -> None:
        (directory / "rdctl.fish").write_text(fish_script(root))
        (directory / "files").mkdir()
        (directory / "files" / "<default>").touch()
        loop = 'while read -l line; complete -C "$line"; echo --end--; end'
        setup = f"source {directory}/rdctl.fish; set PATH; "
        super().__init__(["fish", "--no-config", "-c", setup + loop], directory / "files")

    def about(self, line: str) -> dict[str, str]:
        """What is offered, each with its description."""
        found = (row.partition("\t") for row in self.lines(line))
        prefix = re.search(r" (--[^ ]*=)[^ ]*$", line)
        return {word.removeprefix(prefix[1] if prefix else ""): about for word, _, about in found}

    def __call__(self, line: str) -> set[str]:
        return set(self.about(line))


class Prompt:
    """A shell on a terminal; each call types a line and then TAB."""

    def __init__(self, argv: list[str], environ: Mapping[str, str], setup: str) -> None:
        self.home = environ["HOME"]
        self.pty = pexpect.spawn(
            argv[0],
            argv[1:],
            env=dict(environ),
            encoding="utf-8",
            dimensions=(50, 200),
            timeout=SECONDS,
        )
        self.pty.setecho(False)
        # Ctrl-T prints the line as it stands and empties it; quoted, so the echo is no match.
        self.pty.sendline(f"{setup}; printf 'RE''ADY\\n'")
        self.pty.expect("READY\r\n")

    def __call__(self, line: str, tabs: int = 1) -> tuple[str, str]:
        """The line after that, and what was shown meanwhile."""
        self.pty.send(line + "\t" * tabs)
        return self._line()

    def _line(self) -> tuple[str, str]:
        self.pty.send("\x14")
        self.pty.expect(r"LINE<(.*?)>END")
        match, before = self.pty.match, self.pty.before
        assert isinstance(match, re.Match)
        return str(match[1]), str(before)

    def listed(self, line: str, word: str) -> str:
        """What is listed for a line; that includes `word`."""
        return self(line, tabs=2)[1]

    def close(self) -> None:
        self.pty.close(force=True)


class FishPrompt(Prompt):
    """Shows its list only while no other key waits; a second TAB chooses from it."""

    def listed(self, line: str, word: str) -> str:
        self.pty.send(line + "\t")
        # The common beginning of all words is shown in another color.
        self.pty.expect_exact(word[-4:])
        shown = f"{self.pty.before}{word[-4:]}{self._line()[1]}"
        return re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|\(B|\]0;.*?\x07)", "", shown)


# Without suggestions, which are shown as if they were typed.
FISH_PROMPT = (
    "function fish_prompt; end; set -g fish_greeting; set -g fish_autosuggestion_enabled 0;"
    " function show; echo LINE'<'(commandline)'>'END; commandline -r ''; end; bind \\ct show"
)


def prompt_of(
    shell: str,
    home: Path,
    environ: Mapping[str, str] | None = None,
    *,
    sourced: bool = False,
    installed: bool = False,
) -> Prompt:
    """A prompt of a shell that has the script: found on its path (zsh), or `sourced`; or that finds
    the `installed` one by itself."""
    whole = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
        **(environ or {}),
    }
    if shell == "bash":
        (home / "rdctl.bash").write_text(bash_script(root))
        show = r"""bind -x '"\C-t": printf "LINE<%s>END\n" "$READLINE_LINE"; READLINE_LINE='"""
        settings = "bell-style none", "enable-bracketed-paste off", "show-all-if-ambiguous on"
        quiet = "; ".join(f"bind 'set {setting}'" for setting in settings)
        script = "/usr/share/bash-completion/bash_completion" if installed else "~/rdctl.bash"
        return Prompt(["bash", "--norc", "-i"], whole, f"source {script}; {quiet}; {show}")
    if shell == "fish":
        (home / "rdctl.fish").write_text(fish_script(root))
        # Without a list on a terminal that is dumb.
        whole["TERM"] = "xterm"
        load = "" if installed else "source ~/rdctl.fish; "
        return FishPrompt(["fish", "-i"], whole, f"{load}{FISH_PROMPT}")
    (home / "_rdctl").write_text(zsh_script(root))
    show = (
        'show() { zle -I; print -r -- "LINE<$BUFFER>END"; BUFFER= }; zle -N show; bindkey "^T" show'
    )
    load = "autoload -Uz compinit; compinit -u -D; setopt nobeep noautomenu"
    if not installed:
        load = f"{load}; source ~/_rdctl" if sourced else f"fpath=(~ $fpath); {load}"
    return Prompt(["zsh", "-f", "-i"], whole, f"{load}; {show}")
