"""A process of this program that computes for it, beside its own threads."""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

# A job is two numbers.
_JOB = struct.Struct("<II")
_DONE = b"."
# It is idle when it is closed, so it ends at once.
_END_SECONDS = 2.0
_ROOT = str(Path(__file__).resolve().parents[2])
_SCRIPT = """
import sys
sys.path.append(sys.argv[1])
from importlib import import_module
getattr(import_module(sys.argv[2]), sys.argv[3])(*map(int, sys.argv[4:]))
"""


class Helper:
    """Runs the function NAME of a module with `numbers`, then the descriptors of the memory that it
    shares with this process, and of its end of each wire. It sees the end of the wires when this
    process closes them or ends in any way, and has to return then. It has no other input or output,
    gets no signals from a terminal, and can import only this program and the standard library.

    Raises OSError if it cannot be started.
    """

    def __init__(
        self, module: str, name: str, numbers: Sequence[int], size: int, wires: int
    ) -> None:
        import subprocess

        self.wires: list[socket.socket] = []
        with ExitStack() as its, ExitStack() as failed:
            failed.callback(self._close_wires)
            memory = os.memfd_create("rdctl")
            its.callback(os.close, memory)
            os.ftruncate(memory, size)
            self.memory = memoryview(mmap.mmap(memory, size))
            inherited = [memory]
            for _ in range(wires):
                one, other = socket.socketpair()
                self.wires.append(one)
                inherited.append(its.enter_context(other).fileno())
            words = [_ROOT, module, name, *map(str, [*numbers, *inherited])]
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _SCRIPT, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=inherited,
                start_new_session=True,
            )
            failed.pop_all()

    def close(self) -> None:
        """End it, and wait for that."""
        import subprocess

        self._close_wires()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _close_wires(self) -> None:
        for wire in self.wires:
            wire.close()


def ask(wire: socket.socket, one: int, other: int) -> None:
    """Give the process a job, of which it sends a byte when it is done; raises OSError if it has
    ended."""
    wire.sendall(_JOB.pack(one, other))


def answer(wires: Sequence[int], act: Callable[[int, int], None]) -> None:
    """Do the jobs that come over the wires, in the process, until one of them ends."""
    lines = [socket.socket(fileno=wire) for wire in wires]
    while True:
        for line in select.select(lines, [], [])[0]:
            job = line.recv(_JOB.size, socket.MSG_WAITALL)
            if len(job) < _JOB.size:
                return
            act(*_JOB.unpack(job))
            line.sendall(_DONE)
