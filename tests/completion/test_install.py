"""`rdctl completion SHELL --install`: where the script goes, and what is said of it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from rdctl.cli.tree import root
from tests.completion.shells import SCRIPTS, Prompt
from tests.conftest import Program

PACKAGE = "usr/share/bash-completion/bash_completion"


def installed_package(rdctl: Program) -> None:
    path = rdctl.root / PACKAGE
    path.parent.mkdir(parents=True)
    path.touch()


def test_what_is_no_file_is_not_replaced(rdctl: Program) -> None:
    path = rdctl.home / ".zfunc" / "_rdctl"
    path.parent.mkdir()
    os.mkfifo(path)
    ran = rdctl("completion", "zsh", "--install")
    assert ran.code == 5
    assert f"{path} cannot be written: not a regular file" in ran.err
    assert path.is_fifo()


@pytest.mark.parametrize(
    ("shell", "env", "path"),
    [
        ("bash", {}, ".local/share/bash-completion/completions/rdctl"),
        ("bash", {"XDG_DATA_HOME": "{}/data"}, "data/bash-completion/completions/rdctl"),
        ("bash", {"BASH_COMPLETION_USER_DIR": "{}/own"}, "own/completions/rdctl"),
        ("fish", {}, ".config/fish/completions/rdctl.fish"),
        ("fish", {"XDG_CONFIG_HOME": "{}/own"}, "own/fish/completions/rdctl.fish"),
        ("zsh", {}, ".zfunc/_rdctl"),
        ("zsh", {"ZDOTDIR": "{}/zsh"}, "zsh/.zfunc/_rdctl"),
    ],
)
def test_it_goes_where_the_shell_looks(
    rdctl: Program, shell: str, env: dict[str, str], path: str
) -> None:
    env = {name: value.format(rdctl.home) for name, value in env.items()}
    target = rdctl.home / path
    planned = rdctl("completion", shell, "--install", "--dry-run", env=env)
    assert planned.code == 0
    assert planned.out == f"would write {target}\n"
    assert not target.exists()
    done = rdctl("completion", shell, "--install", "--json", env=env)
    (result,) = done.json["results"]
    assert result == {
        "action": "install",
        "target": str(target),
        "changed": True,
        "verified": True,
    }
    assert target.read_text() == SCRIPTS[shell](root)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    before = target.stat()
    (result,) = rdctl("completion", shell, "--install", "--json", env=env).json["results"]
    assert result["changed"] is False
    assert target.stat() == before
    target.write_text("an older one")
    (result,) = rdctl("completion", shell, "--install", "--json", env=env).json["results"]
    assert result["changed"] is True
    assert target.read_text() == SCRIPTS[shell](root)


def test_without_bash_completion_it_is_to_be_sourced(rdctl: Program) -> None:
    done = rdctl("completion", "bash", "--install")
    path = rdctl.home / ".local/share/bash-completion/completions/rdctl"
    assert done.out == f"installed {path}\n"
    assert done.err.endswith(f"add to ~/.bashrc:\n  source {path}\n")
    assert rdctl("completion", "bash", "--install", "-q").err == ""
    installed_package(rdctl)
    assert rdctl("completion", "bash", "--install").err == ""


@pytest.mark.parametrize(
    ("zshrc", "said"),
    [
        (None, "Add to {home}/.zshrc:\n  {fpath}\n  autoload -Uz compinit && compinit\n"),
        ("# compinit\n", "Add to {home}/.zshrc:\n  {fpath}\n  autoload -Uz compinit && compinit\n"),
        (
            "fpath=(~/.zfunc $fpath)\n",
            "Add to {home}/.zshrc:\n  autoload -Uz compinit && compinit\n",
        ),
        (
            "x=1\nautoload -Uz compinit\ncompinit\n",
            "Add to {home}/.zshrc, above line 2 (which runs compinit):\n  {fpath}\n",
        ),
        (
            "source $ZSH/oh-my-zsh.sh\nfpath+=~/.zfunc\n",
            "Add to {home}/.zshrc, above line 1 (which runs compinit):\n  {fpath}\n",
        ),
        ("fpath+=(~/.zfunc)\nautoload -Uz compinit && compinit\n", ""),
        ("fpath=($HOME/.zfunc $fpath)\nsource $ZSH/oh-my-zsh.sh # compinit\n", ""),
    ],
)
def test_what_zsh_lacks_is_told(rdctl: Program, zshrc: str | None, said: str) -> None:
    if zshrc is not None:
        (rdctl.home / ".zshrc").write_text(zshrc)
    fpath = f"fpath=({rdctl.home}/.zfunc $fpath)"
    expected = said.format(home=rdctl.home, fpath=fpath)
    for _ in range(2):
        assert rdctl("completion", "zsh", "--install").err == expected


def test_those_lines_are_enough(rdctl: Program) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("no zsh")
    told = rdctl("completion", "zsh", "--install").err
    lines = [line.strip() for line in told.splitlines()[1:]]
    assert rdctl("completion", "zsh", "--install", env={"HOME": str(rdctl.home)}).code == 0
    done = subprocess.run(
        ["zsh", "-f", "-c", "; ".join([*lines[:-1], lines[-1] + " -u -D", "print $_comps[rdctl]"])],
        env={"HOME": str(rdctl.home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "_rdctl\n"


def test_bash_completion_finds_it(rdctl: Program) -> None:
    package = Path("/") / PACKAGE
    if not package.exists():
        pytest.skip("no bash-completion")
    assert rdctl("completion", "bash", "--install").code == 0
    quiet = "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'"
    show = r"""bind -x '"\C-t": printf "LINE<%s>END\n" "$READLINE_LINE"; READLINE_LINE='"""
    environ = {"HOME": str(rdctl.home), "PATH": "/usr/bin:/bin", "TERM": "dumb", "LC_ALL": "C"}
    prompt = Prompt(["bash", "--norc", "-i"], environ, f"source {package}; {quiet}; {show}")
    try:
        assert prompt("rdctl rapiddisk cache crea")[0] == "rdctl rapiddisk cache create "
        assert prompt("rdctl --rapiddisk-url http://h:1 rap")[0].endswith("rapiddisk ")
    finally:
        prompt.close()


@pytest.mark.parametrize("env", [{}, {"XDG_CONFIG_HOME": "{}/own"}])
def test_fish_finds_it(rdctl: Program, env: dict[str, str]) -> None:
    if shutil.which("fish") is None:
        pytest.skip("no fish")
    environ = {name: value.format(rdctl.home) for name, value in env.items()}
    done = rdctl("completion", "fish", "--install", env=environ)
    assert done.code == 0
    assert done.err == ""
    # fish loads only the completions of programs that it finds.
    program = rdctl.home / "bin" / "rdctl"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for line in ("rdctl rapiddisk cach", "env X=1 rdctl rapiddisk cach"):
        ran = subprocess.run(
            ["fish", "-c", f"complete -C '{line}'"],
            env={"HOME": str(rdctl.home), "PATH": f"{program.parent}:/usr/bin:/bin", **environ},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout == "cache\tManage caches: volumes in front of slower disks.\n"


def test_where_it_cannot_be_written(rdctl: Program) -> None:
    (rdctl.home / ".zfunc").write_text("a file")
    failed = rdctl("completion", "zsh", "--install", "--json")
    assert failed.code == 5
    assert failed.json["error"]["code"] == "denied"
    assert failed.json["error"]["target"] == f"{rdctl.home}/.zfunc/_rdctl"


def test_complete_is_no_command_that_people_see(rdctl: Program) -> None:
    assert "__complete" not in rdctl("--help").out
    assert rdctl("__complete", "bash").code == 2
