"""Commands, what they cost, and tables of that."""

from __future__ import annotations

import marshal
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

LAUNCHER = Path(__file__).with_name("launcher.py")
# Nothing here takes so long: what does, hangs.
MOST_SECONDS = 300.0
MB = 1e6


class Row(NamedTuple):
    """A command to measure.

    `work` is how much it does (names, objects, bytes), for a rate. `against` is the row that its
    time is divided by, after both were divided by their work. `ratio`, `seconds` and `megabytes`
    are the most that is allowed. `fresh` is a pattern of the files in the home directory that must
    not be there before. `lacking` says why it cannot be measured on this machine.
    """

    what: str
    argv: Sequence[str]
    work: float = 0
    against: str | None = None
    ratio: float | None = None
    seconds: float | None = None
    megabytes: float | None = None
    stdin: str = os.devnull
    terminal: bool = False
    fresh: str | None = None
    lacking: str | None = None


class Cost(NamedTuple):
    """Seconds of the clock, seconds of CPU, bytes of memory at the peak."""

    wall: float
    cpu: float
    memory: float


class Failed(Exception):
    """A command that ended badly."""


class Meter:
    """Runs commands in `home`, with their output to nowhere or to a terminal."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        self._home = home
        self._env = dict(env)
        self._errors = home / "errors"
        self._screen, terminal = pty.openpty()
        self._terminal = os.ttyname(terminal)
        self._launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=home,
            start_new_session=True,
        )

    def cost(self, row: Row) -> Cost:
        """Run it once. Raises Failed."""
        for path in self._home.glob(row.fresh) if row.fresh else ():
            path.unlink()
        self._errors.unlink(missing_ok=True)
        streams = [row.stdin, os.devnull, str(self._errors)]
        if row.terminal:
            streams = [self._terminal] * 3
        code, wall, cpu, kib = self._launch(list(row.argv), streams)
        if row.terminal:
            os.read(self._screen, 1 << 16)
        if code:
            said = "" if row.terminal else self._errors.read_text(errors="replace")
            # Of a message the message, not its hint; of a traceback the last line.
            lines = [line for line in said.splitlines() if line[:1].strip()]
            raise Failed(f"exit code {code}: {lines[-1] if lines else 'no message'}")
        return Cost(wall, cpu, kib * 1024)

    def _launch(self, argv: list[str], streams: list[str]) -> tuple[int, float, float, int]:
        stdin, stdout = self._launcher.stdin, self._launcher.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(marshal.dumps((argv, self._env, streams)))
        stdin.flush()
        if not select.select([stdout], [], [], MOST_SECONDS)[0]:
            self.close()
            raise SystemExit(f"{argv}: no end after {MOST_SECONDS:.0f} s")
        result: tuple[int, float, float, int] = marshal.load(stdout)
        return result

    def close(self) -> None:
        """End what still runs."""
        os.killpg(self._launcher.pid, signal.SIGKILL)
        self._launcher.wait()


class Measured(NamedTuple):
    """The costs of a row, one a round; or why there are none."""

    row: Row
    costs: Sequence[Cost]
    fault: str | None = None

    def median(self, what: str) -> float:
        return float(median(getattr(cost, what) for cost in self.costs))


class Section(NamedTuple):
    """Rows that are measured in turn, round after round. `compares` is `wall` or `cpu`, of which
    the ratios are made; `unit` is what work is counted in; `warm`: a first round does not count;
    `after` gives further findings."""

    title: str
    text: str
    rows: Sequence[Row]
    rounds: int
    compares: str = "wall"
    unit: str = ""
    warm: bool = True
    after: Callable[[Mapping[str, Measured]], Sequence[str]] = lambda found: ()


def measure(section: Section, meter: Meter) -> list[Measured]:
    """All rows in turn, round after round; one that fails is not tried again."""
    found = [Measured(row, [], row.lacking) for row in section.rows]
    for number in range(-1 if section.warm else 0, section.rounds):
        for index, (row, costs, fault) in enumerate(found):
            if fault is not None:
                continue
            try:
                cost = meter.cost(row)
            except Failed as failed:
                found[index] = Measured(row, [], f"FAILED, {failed}")
                continue
            if number >= 0:
                found[index] = Measured(row, [*costs, cost])
    return found


def table(section: Section, found: Sequence[Measured]) -> str:
    """The section as Markdown."""
    told = {measured.row.what: measured for measured in found}
    rated, compared = any(r.work for r in section.rows), any(r.against for r in section.rows)
    bound = any(_limits(row) for row in section.rows)
    heads = ["what", "CPU", "wall", "memory"]
    heads += [f"{section.unit}/s"] if rated else []
    heads += [f"{'CPU' if section.compares == 'cpu' else 'wall'} ratio"] if compared else []
    heads += ["allowed"] if bound else []
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)]]
    for measured in found:
        row = measured.row
        if measured.fault is not None:
            lines.append([row.what, measured.fault, *[""] * (len(heads) - 2)])
            continue
        wall, cpu, memory = (measured.median(name) for name in Cost._fields)
        cells = [row.what, seconds(cpu), seconds(wall), f"{memory / MB:.0f} MB"]
        cells += [_rate(row.work / wall, section.unit) if row.work else ""] if rated else []
        ratio = _ratio(section, measured, told)
        cells += [f"{ratio:.2f}" if ratio is not None else ""] if compared else []
        cells += [_limits(row) + ("" if kept(measured, ratio) else " **missed**")] if bound else []
        lines.append(cells)
    drawn = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    findings = "\n".join(f"- {line}" for line in section.after(told))
    return f"## {section.title}\n\n{section.text}\n\n{drawn}\n" + (
        f"\n{findings}\n" if findings else ""
    )


def _ratio(section: Section, measured: Measured, told: Mapping[str, Measured]) -> float | None:
    """The median of the ratios of each round: what slows the machine slows both alike."""
    row = measured.row
    base = told.get(row.against) if row.against else None
    if base is None or base.fault is not None:
        return None

    def unit(row: Row, cost: Cost) -> float:
        return float(getattr(cost, section.compares)) / (row.work or 1)

    pairs = zip(measured.costs, base.costs, strict=True)
    return median(unit(row, one) / unit(base.row, other) for one, other in pairs)


def kept(measured: Measured, ratio: float | None) -> bool:
    """Whether a row is within what is allowed; what could not be compared is not."""
    row = measured.row
    values = (
        (row.ratio, ratio),
        (row.seconds, measured.median("wall")),
        (row.megabytes, measured.median("memory") / MB),
    )
    return all(most is None or (value is not None and value <= most) for most, value in values)


def _limits(row: Row) -> str:
    limits = [f"{row.ratio:g}" if row.ratio is not None else ""]
    limits += [f"{row.seconds:g} s" if row.seconds is not None else ""]
    limits += [f"{row.megabytes:g} MB" if row.megabytes is not None else ""]
    return ", ".join(filter(None, limits))


def seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def _rate(value: float, unit: str) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
