"""How long something takes on a machine that has nothing else to do."""

from __future__ import annotations

import re
import time
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")


def contended() -> float:
    """Seconds since boot in which the kernel let a process wait for a processor; 0 if unknown."""
    try:
        found = re.search(r"^some .*total=(\d+)$", PRESSURE.read_text(), re.MULTILINE)
    except OSError:  # a kernel that does not keep account of it
        return 0.0
    return int(found[1]) / 1e6 if found else 0.0


class Stopwatch:
    """Compare lower bounds with `elapsed`, upper bounds with `quiet`.

    `quiet` leaves out the time in which processes waited for a processor: on a busy machine that
    is most of it, and nothing can be said there about how long rdctl takes.
    """

    def __init__(self) -> None:
        self._contended = contended()
        self._since = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._since

    @property
    def quiet(self) -> float:
        return self.elapsed - (contended() - self._contended)
