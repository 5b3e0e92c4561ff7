"""The progress of long work, on a terminal."""

from __future__ import annotations

import threading
from typing import IO, TYPE_CHECKING, cast

from rdctl.workers import Progress

if TYPE_CHECKING:
    import rich.progress

    from rdctl.core.environment import Environment

# Work that is done sooner shows nothing.
PATIENCE_SECONDS = 0.5


class Bar(Progress):
    """A bar on stderr, which goes when the work ends. rich is loaded only when it is drawn."""

    def __init__(self, environment: Environment, *, color: bool) -> None:
        self._environment = environment
        self._color = color
        # A signal may end it in the midst of a step.
        self._lock = threading.RLock()
        self._total: int | None = None
        self._unit = ""
        self._done = 0
        self._since: float | None = None
        self._drawn: rich.progress.Progress | None = None

    def begin(self, total: int | None, unit: str) -> None:
        with self._lock:
            if self._since is None:
                self._total, self._unit, self._since = total, unit, self._environment.clock()
            elif self._total is not None:
                self._total = None if total is None else self._total + total

    def advance(self, count: int = 1) -> None:
        with self._lock:
            if self._since is None:
                return
            self._done += count
            if self._drawn is None and self._environment.clock() - self._since > PATIENCE_SECONDS:
                self._drawn = self._draw()
            if self._drawn is not None:
                task = self._drawn.task_ids[0]
                self._drawn.update(task, completed=self._done, total=self._total)

    def end(self) -> None:
        """Nothing of it stays."""
        with self._lock:
            if self._drawn is not None:
                self._drawn.stop()
            self._drawn = self._since = None
            self._done = 0

    def _draw(self) -> rich.progress.Progress:
        from rich import progress
        from rich.console import Console

        amount = (
            [progress.DownloadColumn(binary_units=True), progress.TransferSpeedColumn()]
            if self._unit == "bytes"
            else [progress.MofNCompleteColumn(), progress.TextColumn(self._unit)]
        )
        shown = progress.Progress(
            progress.BarColumn(),
            *amount,
            progress.TimeRemainingColumn(compact=True),
            console=Console(
                file=cast("IO[str]", self._environment.stderr),
                force_terminal=True,
                color_system="standard" if self._color else None,
                width=self._environment.width,
            ),
            transient=True,
        )
        shown.add_task("", total=self._total, completed=self._done)
        shown.start()
        return shown
