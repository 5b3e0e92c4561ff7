"""The pictures in docs/, of real runs on a terminal: `python -m tests.pictures [DIRECTORY]`."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pexpect
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent.parent
COLUMNS = 88

# What is typed in a new sandbox, for each picture: unseen, then seen.
_PREPARED = (
    "rdctl context use sandbox",
    "rdctl rapiddisk create 256M --count 2",
    "rdctl rapiddisk cache create rd1 sdb",
)
PICTURES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "volumes": (
        [*_PREPARED, "rdctl rapiddisk lock rd2", *["rdctl rapiddisk cache stats"] * 4],
        [
            "rdctl rapiddisk create 1GiB",
            "rdctl rapiddisk list",
            "rdctl rapiddisk cache stats",
            "rdctl rapiddisk show rd1",
        ],
    ),
    "safety": (
        _PREPARED,
        [
            "rdctl rapiddisk remove rd1",
            "rdctl rapiddisk remove rd2 --dry-run",
            "rdctl rapiddisk remove rd2",
            "rdctl rapiddisk show rd2 --json",
        ],
    ),
    "doctor": (
        ["rdctl -c sandbox oio conscience lock rawx 127.0.0.1:16013 --yes"],
        ["rdctl -c sandbox doctor"],
    ),
}


def play(hidden: Sequence[str], shown: Sequence[str]) -> Text:
    """Run commands on a terminal, and say y to what they ask."""
    screen = Text()
    with tempfile.TemporaryDirectory() as home:
        environ = {
            "HOME": home,
            "RDCTL_HISTORY": f"{home}/history.ndjson",
            "LC_ALL": "C.UTF-8",
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
        }
        for command in hidden:
            subprocess.run(_argv(command), env=environ, check=True, capture_output=True)
        for command in shown:
            screen.append("$ ", "bold green").append(f"{command}\n", "bold")
            screen.append_text(Text.from_ansi(_on_terminal(command, environ))).append("\n")
    screen.rstrip()
    return screen


def _argv(command: str) -> list[str]:
    program, *argv = shlex.split(command)
    assert program == "rdctl", command
    return [sys.executable, "-m", "rdctl", *argv]


def _on_terminal(command: str, environ: Mapping[str, str]) -> str:
    output = pexpect.run(
        shlex.join(_argv(command)),
        events={r"\[y/N\] ": "y\n"},
        env=environ,
        encoding="utf-8",
        dimensions=(50, COLUMNS),
    )
    assert isinstance(output, str)
    assert "Traceback" not in output, output
    return output.replace("\r\n", "\n").rstrip("\n")


def svg(name: str, screen: Text) -> str:
    """The picture; it fetches no fonts from anywhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), color_system="standard")
    console.print(screen, soft_wrap=False)
    text = console.export_svg(title="rdctl", unique_id=f"rdctl-{name}")
    text = re.sub(r"@font-face \{.*?\}\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*;", "font-family: monospace;", text)
    text = text.replace("<svg ", '<svg xml:space="preserve" ', 1)  # some viewers eat blanks
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def main(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    for name, commands in PICTURES.items():
        (directory / f"{name}.svg").write_text(svg(name, play(*commands)), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs")
