"""The machine on which rdctl runs behind a stand-in for ssh: one with the kernel of the tests,
where the connection is lost before a chosen step."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from rdctl.core.environment import Environment
from tests.conftest import Program
from tests.rapiddisk.acts import ACTS, arranged


def on_machine(told: str | None, run: Callable[[Environment], None], own: Environment) -> None:
    """Run the program. `told` is JSON: the name of an act, the step before which something happens,
    the folder of the machine, the number of the signal that the other side gets then, 0 to lose the
    connection, and the function at whose call this side gets another signal, if any. Without it, it
    runs on this machine or in its sandbox. What is there afterwards is written to `after.json`."""
    if told is None:
        run(own)
        return
    from tests.remote.nursery import lose, signal_near

    name, step, folder, number, again = json.loads(told)
    program = Program(Path(folder))
    kernel = arranged(program, Path(folder) / "root", ACTS[name])
    own.root, own.calls = str(program.root), kernel
    os.environ["RDCTL_HISTORY"] = f"{folder}/history.ndjson"
    before = kernel.snapshot()
    kernel.before[step] = partial(signal_near, number) if number else lose
    try:
        with signaled(again):
            run(own)
    finally:
        after: dict[str, Any] = {
            "before": before,
            "after": kernel.snapshot(),
            "harm": kernel.harm,
            "steps": kernel.steps,
            "free": is_free(kernel.path("run/rdctl.lock")),
        }
        written = Path(folder) / "after"
        written.write_text(json.dumps(after))
        written.rename(written.with_suffix(".json"))


@contextmanager
def signaled(function: str) -> Iterator[None]:
    """A signal at the moment in which `Run`, after its command, calls this function."""
    seen = False

    def at(frame: FrameType, event: str, _: object) -> None:
        nonlocal seen
        caller = frame.f_back.f_code.co_name if frame.f_back is not None else ""
        name = frame.f_code.co_name
        seen = seen or name == "_typed"
        if seen and (event, name) == ("call", function) and caller in ("carry_out", "_ended"):
            sys.setprofile(None)
            signal.raise_signal(signal.SIGTERM)

    sys.setprofile(at if function else None)
    try:
        yield
    finally:
        sys.setprofile(None)


def is_free(lock: Path) -> bool:
    """Whether another process could take the lock."""
    import fcntl

    if not lock.exists():
        return True
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
