"""The progress of long work, on a terminal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from rdctl.core.units import escape
from rdctl.output.layout import shortened
from rdctl.workers import Progress

if TYPE_CHECKING:
    import rich.progress
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

    from rdctl.core.environment import Environment

# Work that is done sooner shows nothing.
PATIENCE_SECONDS = 0.5
# Beside names: narrower terminals have a short bar, or none.
WIDE_COLUMNS, NARROW_COLUMNS = 100, 60
# Narrower ones have only numbers.
TINY_COLUMNS = 40
SHORT_BAR = 12


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
        # The places and names of the files being transferred, in order. The first is shown: its
        # number never falls, and all files before it are done.
        self._files: dict[object, tuple[str, str]] = {}
        self._first = ("", "")

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

    @contextmanager
    def file(self, number: int, count: int, name: str) -> Iterator[None]:
        if count < 2:
            yield
            return
        key = object()
        with self._lock:
            self._files[key] = f"{number}/{count} ", escape(name)
            self._find_first()
        try:
            yield
        finally:
            with self._lock:
                del self._files[key]
                self._find_first()

    def _find_first(self) -> None:
        self._first = next(iter(self._files.values()), ("", ""))

    def _file(self, columns: int) -> str:
        """The file, in so many columns. Called while rich holds its lock, so it takes none: other
        threads hold ours when they wait for that of rich."""
        place, name = self._first
        return place + shortened(name, columns - len(place))

    def pause(self) -> None:
        with self._lock:
            if self._drawn is not None:
                self._drawn.stop()
            self._drawn = None

    def end(self) -> None:
        """Nothing of it stays."""
        with self._lock:
            self.pause()
            self._since = None
            self._done = 0

    def _draw(self) -> rich.progress.Progress:
        from rich import progress
        from rich.console import Console

        width = self._environment.size()[0]
        columns = [*self._bar(width), *self._amount(width)]
        if self._files:
            columns.append(_file_column(self._file))
        shown = progress.Progress(
            *columns,
            console=Console(
                file=cast("IO[str]", self._environment.stderr),
                force_terminal=True,
                color_system="standard" if self._color else None,
                width=width,
            ),
            expand=bool(self._files),
            transient=True,
        )
        shown.add_task("", total=self._total, completed=self._done)
        shown.start()
        return shown

    def _bar(self, width: int) -> list[rich.progress.ProgressColumn]:
        from rich.progress import BarColumn

        if width < TINY_COLUMNS:
            return []
        if not self._files or width >= WIDE_COLUMNS:
            return [BarColumn()]
        return [BarColumn(SHORT_BAR)] if width >= NARROW_COLUMNS else []

    def _amount(self, width: int) -> list[rich.progress.ProgressColumn]:
        from rich import progress
        from rich.table import Column

        line = Column(no_wrap=True)
        if self._unit != "bytes":
            count = progress.MofNCompleteColumn(table_column=line)
            if width < TINY_COLUMNS:
                return [count]
            unit = progress.TextColumn(self._unit)
            return [count, unit, progress.TimeRemainingColumn(compact=True)]
        amount: list[progress.ProgressColumn] = [
            progress.DownloadColumn(binary_units=True, table_column=line)
        ]
        if width < (NARROW_COLUMNS if self._files else TINY_COLUMNS):
            return amount
        speed = progress.TransferSpeedColumn(table_column=line)
        return [*amount, speed, progress.TimeRemainingColumn(compact=True)]


def _file_column(shown: Callable[[int], str]) -> rich.progress.ProgressColumn:
    """The room that the other columns leave, for a text of so many columns, which is asked for only
    when the bar is drawn."""
    from rich.measure import Measurement
    from rich.progress import ProgressColumn
    from rich.table import Column
    from rich.text import Text

    class Fitting:
        def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
            return Measurement(1, options.max_width)

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            yield Text(shown(options.max_width), no_wrap=True, overflow="crop")

    class FileColumn(ProgressColumn):
        def render(self, task: rich.progress.Task) -> Fitting:
            return Fitting()

    return FileColumn(Column(ratio=1, no_wrap=True))
