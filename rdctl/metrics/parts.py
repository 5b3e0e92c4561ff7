"""The parts of what is read: each is read by itself, and fails alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.metrics.model import PartResult, Sample
from rdctl.workers import ends_the_rest, untried


class Part(NamedTuple):
    """`read` yields its samples. An error with one of the codes `absent` before the first one means
    that the machine does not have what the part is about. `seconds`: how long it took, if it was
    read before."""

    name: str
    read: Callable[[], Iterable[Sample]]
    absent: Sequence[Code] = ()
    seconds: float | None = None


class Group(NamedTuple):
    """Parts that are read one after the other. `one_server`: once it does not reply, the rest is
    skipped."""

    parts: Sequence[Part]
    one_server: bool = True


def read(
    group: Group, samples: Callable[[Sample], None], results: Callable[[PartResult], None]
) -> None:
    """Read each part. The samples before an error are kept."""
    lost: RdctlError | None = None
    for part in group.parts:
        began, error, absent = time.perf_counter(), None, part.absent
        try:
            if lost is not None:
                raise untried(None, lost)
            for sample in part.read():
                samples(sample)
                absent = ()
        except Exception as problem:
            error = as_error(problem)
            if group.one_server and lost is None and ends_the_rest(error):
                lost = error
            if error.code in absent:
                continue
        took = time.perf_counter() - began if part.seconds is None else part.seconds
        results(PartResult(part.name, took, error))
