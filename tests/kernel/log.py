"""The kernel's log: which faults of its own it tells, and which of them are known.

The module rapiddisk 9.0.0 takes a mutex while preemption is disabled (`copy_to_rdsk`). Whoever
writes to a volume while somebody else writes to any may have to wait for it: `BUG: scheduling while
atomic`. The count of disabled preemptions is wrong after that, so that the same task is told of
once or twice more. 9.2.0 has no such mutex. It takes no rdctl:

    for disk in rd0 rd0 rd1 rd1; do dd if=/dev/zero of=/dev/$disk bs=1M oflag=direct & done
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

_FAULT = re.compile(r"\bBUG\b|\bOops\b|general protection fault")
_TASK = re.compile(
    r"BUG: (?:scheduling while atomic: (?P<atomic>.+/\d+)/0x(?P<count>[0-9a-f]{8})"
    r"|workqueue leaked lock or atomic: (?P<leaked>.+)/0x[0-9a-f]{8}/(?P<pid>\d+))$"
)
# A mutex that is waited for, by a write to a volume; with ? the kernel only guesses.
_WAITS = re.compile(r"mutex_lock\S*(?:\n \? .*)*\n rdsk_submit_bio\+")
_BALANCED = "00000000"


class Log:
    """What is logged from now on."""

    def __init__(self) -> None:
        self._descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._descriptor, 0, os.SEEK_END)

    def news(self) -> Iterator[str]:
        """The messages since the last call."""
        while True:
            try:
                record = os.read(self._descriptor, 8192)
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # the oldest were overwritten
            yield record.decode(errors="replace").partition(";")[2].partition("\n")[0]

    def close(self) -> None:
        os.close(self._descriptor)


class Faults:
    """`known` counts the module's own."""

    def __init__(self) -> None:
        self.known = 0
        self._owing: set[str] = set()

    def unknown(self, messages: Iterable[str]) -> list[str]:
        """The others, each with what was logged behind it."""
        return [report for report in _reports(messages) if not self._is_known(report)]

    def _is_known(self, report: str) -> bool:
        told = _TASK.match(report.partition("\n")[0])
        if told is None:
            return False
        task = told["atomic"] or f"{told['leaked']}/{told['pid']}"
        if _WAITS.search(report):
            self._owing.add(task)
            self.known += 1
            return True
        owed = task in self._owing
        if told["count"] == _BALANCED:
            self._owing.discard(task)
        return owed


def _reports(messages: Iterable[str]) -> Iterator[str]:
    lines: list[str] = []
    for message in messages:
        if _FAULT.search(message):
            if lines:
                yield "\n".join(lines)
            lines = [message]
        elif lines:
            lines.append(message)
    if lines:
        yield "\n".join(lines)
