"""rdctl completion"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from rdctl.cli.tree import verb
from rdctl.core.errors import RdctlError, unwritten
from rdctl.core.results import Change, Report, Text
from rdctl.core.units import quoted
from rdctl.effects.places import write_file

if TYPE_CHECKING:
    from rdctl.cli.invocation import Invocation
    from rdctl.core.environment import Environment


@verb(
    "completion",
    on_site=False,
    examples=[
        "rdctl completion bash --install",
        "rdctl completion fish --install",
        "rdctl completion zsh --install --dry-run",
        "rdctl completion zsh > _rdctl",
    ],
)
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
@click.option("--install", is_flag=True, help="Install the script for your user.")
def completion(on: Invocation, shell: str, install: bool) -> Text | Report:
    """Print or install a shell completion script.

    --install writes the script to your shell's completion directory, replacing an older one, and
    shows any further steps. To enable completion for one session, use
    `source <(rdctl completion bash)`; the same works in zsh after compinit. In fish, use
    `rdctl completion fish | source`. Commands, options and choices are completed without running
    rdctl. Names of volumes, containers and other objects are queried live, with a short time limit
    and without changing anything."""
    text = _script(shell)
    if not install:
        return Text(text)
    path = _PATHS[shell](on.environment)
    report = _written(on, path, text)
    on.next_steps += _advice(shell, on.environment, path).splitlines()
    return report


def _script(shell: str) -> str:
    from rdctl.cli.tree import root

    if shell == "bash":
        from rdctl.completion.bash import bash_script

        return bash_script(root)
    if shell == "fish":
        from rdctl.completion.fish import fish_script

        return fish_script(root)
    from rdctl.completion.zsh import zsh_script

    return zsh_script(root)


def _advice(shell: str, environment: Environment, path: str) -> str:
    """The steps that remain; fish needs none."""
    if shell == "bash":
        return _bash_advice(environment, path)
    return _zsh_advice(environment, path) if shell == "zsh" else ""


def _written(on: Invocation, path: str, text: str) -> Report:
    """Write the script, unless it is already installed."""
    try:
        writing = write_file(path, text, what=f"write {path}", home=on.environment.home())
        with suppress(FileNotFoundError), open(path, encoding="utf-8", errors="replace") as file:
            if file.read() == text:
                return Report([Change("install", path, False, True)])
        on.effects.do(writing, None)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise RdctlError(unwritten(error), message, target=path) from error
    done = None if on.effects.dry_run else True
    return Report([Change("install", path, done, done)])


# --- bash -------------------------------------------------------------------------------------

_PACKAGE = "usr/share/bash-completion/bash_completion"


def _bash_path(environment: Environment) -> str:
    """The user's file of bash-completion."""
    data = environment.environ.get("XDG_DATA_HOME") or os.path.join(
        environment.home(), ".local", "share"
    )
    directory = environment.environ.get("BASH_COMPLETION_USER_DIR") or f"{data}/bash-completion"
    return f"{directory}/completions/rdctl"


def _bash_advice(environment: Environment, path: str) -> str:
    if os.path.exists(os.path.join(environment.root, _PACKAGE)):
        return ""
    return (
        "bash-completion is not installed. To load the script, add to ~/.bashrc:"
        f"\n  source {quoted(path)}"
    )


# --- fish -------------------------------------------------------------------------------------


def _fish_path(environment: Environment) -> str:
    """The user's file of completions, which fish loads by name."""
    config = environment.environ.get("XDG_CONFIG_HOME") or os.path.join(
        environment.home(), ".config"
    )
    return f"{config}/fish/completions/rdctl.fish"


# --- zsh --------------------------------------------------------------------------------------

# A call of compinit, or of the framework that calls it.
_RUNS = re.compile(r"[^#]*(\bcompinit\b|\boh-my-zsh\.sh\b)")


def _zsh_directory(environment: Environment) -> str:
    return environment.environ.get("ZDOTDIR") or environment.home()


def _zsh_path(environment: Environment) -> str:
    return os.path.join(_zsh_directory(environment), ".zfunc", "_rdctl")


def _zsh_advice(environment: Environment, path: str) -> str:
    """The lines missing from .zshrc, and where to add them."""
    file = os.path.join(_zsh_directory(environment), ".zshrc")
    try:
        with open(file, encoding="utf-8", errors="replace") as zshrc:
            lines = zshrc.read().splitlines()
    except OSError:
        lines = []
    runs = [number for number, line in enumerate(lines, 1) if _RUNS.match(line)]
    named = re.compile(r"[^#]*\bfpath\b.*/\.zfunc\b")
    fpath = [number for number, line in enumerate(lines, 1) if named.match(line)]
    add = f"fpath=({quoted(os.path.dirname(path))} $fpath)"
    if runs and fpath and fpath[0] < runs[-1]:
        return ""
    if runs:
        return f"Add to {file}, above line {runs[0]} (which runs compinit):\n  {add}"
    add = "" if fpath else f"  {add}\n"
    return f"Add to {file}:\n{add}  autoload -Uz compinit && compinit"


_PATHS = {"bash": _bash_path, "fish": _fish_path, "zsh": _zsh_path}
