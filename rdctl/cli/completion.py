"""rdctl completion"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.command import verb
from rdctl.result import Text

if TYPE_CHECKING:
    from rdctl.cli.invocation import Invocation


@verb(
    "completion",
    on_site=False,
    examples=["rdctl completion bash", "rdctl completion zsh > _rdctl"],
)
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
def completion(on: Invocation, shell: str) -> Text:
    """A completion script for your shell.

    bash: put it into ~/.local/share/bash-completion/completions/rdctl, or for one session say
    source <(rdctl completion bash). zsh: put it as _rdctl into a folder of your fpath, before
    compinit runs. Words, options and choices are completed without starting rdctl."""
    from rdctl.cli.root import root
    from rdctl.completion import scripts

    return Text(scripts.bash(root) if shell == "bash" else scripts.zsh(root))
