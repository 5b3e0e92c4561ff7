"""rdctl --watch in a process that holds nothing else, counted after 40 and after 120 samples.

    python -m tests.cli.growth (tty|pipe) WORD...

Prints the two counts as JSON. Neither pytest nor coverage is imported here: what they keep is not
rdctl's.
"""

from __future__ import annotations

import gc
import io
import json
import os
import sys
import threading
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import rdctl
from rdctl.cli.run import run
from rdctl.core.environment import Environment, Messages, Stream

START = 1_800_000_000.0  # 2027-01-15T08:00:00Z
# With a sample every 0.1 s.
MOMENTS = (4.0, 12.0)
OWN_CODE = tracemalloc.Filter(True, str(Path(rdctl.__file__).parent / "*"))


class Watch:
    """A clock that only sleeping moves. It counts at its moments, and ends with Ctrl-C."""

    def __init__(self) -> None:
        self.counts: list[dict[str, int]] = []
        self._seconds = 0.0

    def clock(self) -> float:
        return self._seconds

    def now(self) -> float:
        return START + self._seconds

    def sleep(self, seconds: float) -> None:
        self._seconds += seconds
        if self._seconds >= MOMENTS[len(self.counts)]:
            self.counts.append(count())
        if len(self.counts) == len(MOMENTS):
            raise KeyboardInterrupt


def count() -> dict[str, int]:
    """`objects` are those that can refer to others; strings are only among the `blocks`, which are
    the pieces of memory that a line of rdctl has allocated."""
    _clear_attribute_cache()
    # Objects that finalizers release are collected in the next turn.
    while gc.collect():
        pass
    # Before the snapshot: its tuples are objects, too, as long as no collection has seen them.
    objects = len(gc.get_objects())
    own = tracemalloc.take_snapshot().filter_traces([OWN_CODE])
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "objects": objects,
        "blocks": len(own.traces),
    }


def _clear_attribute_cache() -> None:
    """The interpreter's 4096 latest lookups of attributes. Each keeps the name alive, of which
    open() makes a new one for each text file."""
    if sys.version_info >= (3, 13):
        sys._clear_internal_caches()
    else:
        sys._clear_type_cache()


def main(kind: str, words: Sequence[str]) -> int:
    tty = kind == "tty"
    watch, errors = Watch(), io.BytesIO()
    environment = Environment(
        stdin=io.BytesIO(),
        stdout=Stream(io.BytesIO(), tty=tty),
        stderr=Messages(errors, tty=tty),
        environ=dict(os.environ),
        stdin_tty=tty,
        width=80,
        clock=watch.clock,
        sleep=watch.sleep,
        now=watch.now,
    )
    tracemalloc.start()
    code = run([*words, "--watch", "0.1"], environment)
    sys.stderr.write(errors.getvalue().decode())
    print(json.dumps(watch.counts))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
