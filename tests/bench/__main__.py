"""What a start costs: `python -m tests.bench [ROUNDS]` prints a table in Markdown.

CPU time of whole processes as ratios to `python3 -c pass` of the same interpreter, medians of one
interleaved run, so that a machine that is busy or changes its clock bends all of them alike.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROUNDS = 15
MODULE = (sys.executable, "-m", "rdctl")
LIST = ("rapiddisk", "list")


class Run(NamedTuple):
    """A command to measure; `budget` is the most that its ratio should be."""

    what: str
    argv: Sequence[str]
    budget: float | None = None
    terminal: bool = False


def runs(url: str) -> Iterator[Run]:
    yield Run("`python3 -c pass`", (sys.executable, "-c", "pass"))
    # The floor of all that begins with `python3 -m`.
    yield Run("`python3 -m` of an empty module", (sys.executable, "-m", "tests.bench.nothing"))
    yield Run("`python3 -m rdctl --version`", (*MODULE, "--version"), 1.1)
    installed = Path(sys.executable).with_name("rdctl")
    if installed.exists():
        yield Run("`rdctl --version`, as installed by pip", (str(installed), "--version"), 1.7)
    yield Run("`--help`", (*MODULE, "--help"), 5)
    yield Run("`rapiddisk --help`", (*MODULE, "rapiddisk", "--help"), 5)
    yield Run("`rapiddisk list --help`", (*MODULE, *LIST, "--help"), 5)
    yield Run("a local read: `context list`", (*MODULE, "context", "list"), 5.5)
    remote = (*MODULE, "--rapiddisk-url", url, *LIST)
    yield Run("a remote read, json", (*remote, "--json"), 14)
    yield Run("a remote read, plain table", remote, 14)
    yield Run("a remote read, table on a terminal", remote, 17, terminal=True)
    yield Run("the sandbox, json", (*MODULE, "-c", "sandbox", *LIST, "--json"))


def environment(home: str) -> dict[str, str]:
    """Without what would change how Python starts; PYTHONDONTWRITEBYTECODE above all."""
    own = {"HOME": home, "TERM": "xterm", "COLUMNS": "80"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RDCTL_", "XDG_"))}
    return {**kept, **own}


class Meter:
    """Runs commands and takes their CPU time, with stdout and stderr to nowhere or a terminal."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.nowhere = os.open(os.devnull, os.O_RDWR)
        self.screen, self.terminal = pty.openpty()

    def seconds(self, run: Run) -> float:
        out = self.terminal if run.terminal else self.nowhere
        streams = [(os.POSIX_SPAWN_DUP2, out, number) for number in range(3)]
        pid = os.posix_spawn(run.argv[0], list(run.argv), self.env, file_actions=streams)
        _, status, usage = os.wait4(pid, 0)
        if status:
            raise SystemExit(f"{run.what}: exit code {os.waitstatus_to_exitcode(status)}")
        if run.terminal:
            os.read(self.screen, 65536)
        return usage.ru_utime + usage.ru_stime


@contextmanager
def server(env: Mapping[str, str]) -> Iterator[str]:
    """The sandbox in a process of its own; its address."""
    argv = [*MODULE, "sandbox", "serve", "--rapiddisk-port", "0", "--oio-port", "0"]
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline().split()[-1]
        finally:
            process.kill()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as home:
        env = environment(home)
        meter = Meter(env)
        with server(env) as url:
            todo = list(runs(url))
            for run in todo:  # compiles, and fills the caches
                meter.seconds(run)
            times = [[meter.seconds(run) for run in todo] for _ in range(rounds)]
    base = median(row[0] for row in times)
    print(f"CPU time, medians of {rounds} rounds; `python3 -c pass` takes {base * 1000:.1f} ms.\n")
    print("| what | ratio | budget |\n|---|--:|--:|")
    for number, run in enumerate(todo):
        ratio = median(row[number] / row[0] for row in times)
        print(f"| {run.what} | {ratio:.2f} | {run.budget or ''} |")


if __name__ == "__main__":
    main()
