"""Runs one command after another for the meter, which tells them and reads what they cost.

The kernel counts into a process's peak of memory what its parent held when it was started. So the
parent is this: a Python that has imported next to nothing, run with `-I -S`.
"""

from __future__ import annotations

import marshal
import os
import sys
import time


def run(argv: list[str], env: dict[str, str], streams: list[str]) -> tuple[int, float, float, int]:
    """Exit code, seconds of the clock, seconds of CPU and KiB of memory at the peak."""
    modes = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_WRONLY | os.O_CREAT)
    actions = [
        (os.POSIX_SPAWN_OPEN, number, path, mode, 0o600)
        for number, (path, mode) in enumerate(zip(streams, modes, strict=True))
    ]
    started = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, env, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - started
    return os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def main() -> None:
    while True:
        try:
            job = marshal.load(sys.stdin.buffer)
        except EOFError:
            return
        marshal.dump(run(*job), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
