"""--watch: repeat a query; a live table on a terminal, ndjson anywhere else."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from rdctl.cli.messages import show_failures
from rdctl.cli.tree import HERE
from rdctl.config.resolve import resolve, several
from rdctl.core.errors import Code, Exit, RdctlError
from rdctl.core.results import Item, Listing
from rdctl.core.units import defuse
from rdctl.effects.signals import signals_to
from rdctl.output.documents import dumps, error_data, row_data
from rdctl.output.layout import BOLD, cut, painted
from rdctl.output.live import Live
from rdctl.output.rows import rows_of
from rdctl.output.view import View

if TYPE_CHECKING:
    from rdctl.cli.invocation import Invocation
    from rdctl.cli.tree import Command
    from rdctl.core.environment import Environment
    from rdctl.output.schemas import Schema

Ask = Callable[[], Any]

# Errors that may be gone at the next sample.
PASSING = (Exit.UNREACHABLE, Exit.TIMEOUT, Exit.BAD_REPLY)
# How often a waiting screen checks its size, instead of a signal handler.
LOOK_SECONDS = 0.2
MOST_TROUBLES = 3
MOST_MESSAGES = 2

# Alternate screen, no cursor, no wrapping; and back in reverse.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class _Over(Exception):
    """Nothing of a listing could be shown, and repeating it will not help."""

    def __init__(self, listing: Listing) -> None:
        super().__init__()
        self.listing = listing


def watch(ask: Ask, command: Command, schema: Schema, view: View, invocation: Invocation) -> int:
    """Show samples until Ctrl-C or a permanent failure; returns the exit code. `ask` takes a new
    sample."""
    environment, seconds = invocation.environment, invocation.flags["watch"]
    live = view.terminal and environment.environ.get("TERM") != "dumb"
    _check(command, view, live, invocation)
    show = (
        _Screen(ask, schema, view, invocation) if live else _Lines(ask, schema, view, environment)
    )
    try:
        with show.shown(), _heard() as end_if_heard:
            for due in _due(seconds, environment):
                show.rest(due)
                end_if_heard()
                # Several contexts open new doors for each sample; these changed nothing.
                del invocation.doors[1:]
                show.take()
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except _Over as over:
        show_failures(environment, over.listing.failures)
        return int(over.listing.exit)
    raise AssertionError("unreachable")


@contextmanager
def _heard() -> Iterator[Callable[[], None]]:
    """A function that ends the watch after a signal whose exception was lost: Python discards
    exceptions in finalizers, and every sample leaves some to be run."""
    heard: list[Callable[[], object]] = []

    def hear(number: int, usual: Callable[[], object]) -> None:
        heard.append(usual)
        usual()

    def end_if_heard() -> None:
        if heard:
            heard[0]()

    with signals_to(hear):
        yield end_if_heard


def _check(command: Command, view: View, live: bool, invocation: Invocation) -> None:
    """Refuse unsupported combinations of options before anything is sent."""
    flags, environment = invocation.flags, invocation.environment
    wrong = None
    if view.format not in ("table", "ndjson"):
        wrong = f"-o {view.format}"
    elif flags.get("output") == "table" and not live:
        wrong = "-o table without a terminal"
    for name, option in (("query", "--query"), ("table_style", "--table-style")):
        wrong = option if flags.get(name) else wrong
    if wrong:
        raise RdctlError(
            Code.USAGE,
            f"{wrong} cannot be used with --watch",
            hint="Use a terminal for a live table, or -o ndjson for scripts.",
        )
    if live and flags.get("trace") and environment.stderr.tty:
        raise RdctlError(
            Code.USAGE,
            "--trace would overwrite the live table",
            hint="Use -o ndjson, or redirect the trace: 2>FILE",
        )
    if command.watch == HERE:
        check_here(invocation)


def check_here(invocation: Invocation) -> None:
    """Refuse daemons that the query may crash."""
    config, flags = invocation.config, invocation.flags
    names = several(config, flags) or [flags.get("context")]
    for settings in (resolve(config, {**flags, "context": name}) for name in names):
        here = settings.is_local or settings.over_ssh
        if not (here or settings.get("rapiddisk") is None):
            raise RdctlError(
                Code.UNSUPPORTED,
                f"{invocation.command_path} --watch is not supported through a daemon: listing NVMe"
                " targets with long device paths can crash rapiddiskd 9.2",
                hint="Run it on the machine itself, with --local.",
            )


def _due(seconds: float, environment: Environment) -> Iterator[float]:
    """The start time of each sample, on a fixed schedule, so that delays do not add up. Samples
    missed by a slow one are skipped."""
    start, tick = environment.clock(), 0
    while True:
        yield start + tick * seconds
        tick = max(tick + 1, math.ceil((environment.clock() - start) / seconds))


def _failed(result: Listing | Item, first: bool) -> None:
    """Raise _Over if nothing could be shown, unless the reasons may pass."""
    if isinstance(result, Listing) and result.exit not in (Exit.OK, Exit.PARTIAL):
        if first or any(one.error.exit not in PASSING for one in result.failures):
            raise _Over(result)


# --- lines ------------------------------------------------------------------------------------


class _Lines:
    """ndjson: each row with the time of its sample."""

    def __init__(self, ask: Ask, schema: Schema, view: View, environment: Environment) -> None:
        self._ask = ask
        self._schema = schema
        self._view = view
        self._environment = environment
        self._first = True

    def shown(self) -> AbstractContextManager[None]:
        return nullcontext()

    def rest(self, due: float) -> None:
        self._environment.sleep(max(0.0, due - self._environment.clock()))

    def take(self) -> None:
        """Write one sample row by row; without rows, a line with only its time."""
        moment = _stamp(self._environment.now())
        try:
            result, some = self._ask(), False
            for row in rows_of(result, self._schema, self._view):
                self._write(moment, row_data(row, self._schema, self._view))
                some = True
            failures = result.failures if isinstance(result, Listing) else []
            for failure in failures:
                self._tell(moment, failure.error, failure.context)
            if not some and not failures:
                self._write(moment, {})
            _failed(result, self._first)
        except RdctlError as error:
            if not self._first:
                self._tell(moment, error)
            if self._first or error.exit not in PASSING:
                raise
        self._environment.stdout.flush()
        self._first = False

    def _tell(self, moment: str, error: RdctlError, context: str | None = None) -> None:
        where = {"context": context} if context else {}
        self._write(moment, {**where, "error": error_data(error)})

    def _write(self, moment: str, data: Mapping[str, Any]) -> None:
        self._environment.stdout.write(dumps({"time": moment, **data}) + "\n")


def _stamp(moment: float) -> str:
    """2026-11-22T01:02:03.456Z"""
    seconds, milliseconds = divmod(int(moment * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03}Z"


# --- a screen ---------------------------------------------------------------------------------


class _Screen:
    """A live table on the alternate screen; the last picture stays on the normal one."""

    def __init__(self, ask: Ask, schema: Schema, view: View, invocation: Invocation) -> None:
        self._ask = ask
        self._view = view
        self._invocation = invocation
        self._environment = invocation.environment
        self._live = Live(schema)
        self._first = True
        self._moment = 0.0
        self._troubles: list[str] = []
        self._messages: list[bytes] = []
        self._entered = False
        self._size = (0, 0)
        self._picture: list[str] = []
        self._stop_asked = False

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Restore the terminal in any case, then print the messages that were held back."""
        stderr = self._environment.stderr
        held = stderr.held() if stderr.tty else nullcontext(self._messages)
        with held as self._messages, self._stops():
            try:
                yield
            finally:
                if self._entered:
                    with self._invocation.effects.unbroken(), suppress(OSError):
                        self._leave()
                        self._environment.stdout.write(
                            "".join(f"{line}\n" for line in self._picture)
                        )
                        self._environment.stdout.flush()

    def take(self) -> None:
        """Take one sample; a passing error is shown above the previous table."""
        moment = self._environment.now()
        try:
            result = self._ask()
            self._live.take(result, self._view)
            _failed(result, self._first)
        except RdctlError as error:
            if self._first or error.exit not in PASSING:
                raise
            self._troubles = [self._trouble(moment, error)]
        else:
            failures = result.failures if isinstance(result, Listing) else []
            self._troubles = [self._trouble(moment, f.error, f.context) for f in failures]
            self._moment = moment
        self._first = False
        self._paint()

    def rest(self, due: float) -> None:
        """Wait for the next sample; repaint at once if the screen is resized."""
        while (left := due - self._environment.clock()) > 0:
            self._environment.sleep(min(left, LOOK_SECONDS))
            if self._stop_asked:
                self._stop()
            if self._entered and self._environment.size() != self._size:
                self._paint()

    def _paint(self) -> None:
        """Write the whole picture at once over the previous one, without flicker. The last column
        stays empty: clearing the rest of a full line would clear its last character."""
        self._size = width, height = self._environment.size()
        view = self._view._replace(width=max(width - 1, 1))
        above = self._above(view)
        lines = above + self._live.lines(view, max(height - len(above), 1))
        self._picture = [cut(line, view.width) for line in lines[:height]]
        start = "" if self._entered else _ENTER
        self._entered = True
        lines = [line + _REST_OF_LINE for line in self._picture]
        self._environment.stdout.write(start + _HOME + "\r\n".join(lines) + _REST_OF_SCREEN)
        self._environment.stdout.flush()

    def _above(self, view: View) -> list[str]:
        """The lines above the table: time and command, messages and errors."""
        messages = list(map(_line, b"".join(self._messages).decode().splitlines()))[-MOST_MESSAGES:]
        wrong = [painted(line, BOLD if view.color else "") for line in self._troubles]
        if len(wrong) > MOST_TROUBLES:
            wrong[MOST_TROUBLES:] = [f"... and {len(wrong) - MOST_TROUBLES} more"]
        if view.quiet:
            return wrong
        every = f"every {self._invocation.flags['watch']:g} s"
        words = [_clock(self._moment), every, self._where(), self._invocation.command_path]
        return ["  ".join(map(_line, filter(None, words))), *messages, *(wrong or [""])]

    def _where(self) -> str:
        settings, flags = self._invocation.settings, self._invocation.flags
        if settings is None:  # several contexts
            return flags.get("context") or self._environment.environ.get("RDCTL_CONTEXT", "")
        noun = self._invocation.noun
        return settings.context or str(settings.get(noun) or "")

    def _trouble(self, moment: float, error: RdctlError, context: str | None = None) -> str:
        where = f"{context}: " if context else ""
        return f"{_clock(moment)}  {where}{error.code.word}: {_line(error.message)}"

    def _leave(self) -> None:
        self._environment.stdout.write(_LEAVE)
        self._environment.stdout.flush()
        self._entered = False  # only now: after an interruption it is left again

    # --- Ctrl-Z -------------------------------------------------------------------------------

    @contextmanager
    def _stops(self) -> Iterator[None]:
        """Ctrl-Z stops between two samples, with the terminal restored."""
        if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
            yield  # a signal ignored by the caller stays ignored
            return
        signal.signal(signal.SIGTSTP, self._ask_stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    def _ask_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_asked = True

    def _stop(self) -> None:
        self._stop_asked = False
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)  # returns when the process is continued
        signal.signal(signal.SIGTSTP, self._ask_stop)
        self._paint()


def _line(message: str) -> str:
    return defuse(" ".join(message.split()))


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))
