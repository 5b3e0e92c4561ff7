"""A stand-in for ssh that starts rdctl quickly, and cuts its connection where a test wants.

A process that has loaded rdctl once forks for each connection: `ssh`, a small program, passes its
three streams to it. Between the two sides of rdctl, a relay reads their messages and, at a chosen
one, drops the connection, freezes it, or does something else (see Fault).
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.cli.processes import SECONDS
from tests.ssh.server import descendants

ROOT = Path(__file__).resolve().parents[2]
FAULT, ACT, NEAR = "NURSERY_FAULT", "NURSERY_ACT", "NURSERY_NEAR"
NETWORK = "NURSERY_NETWORK"
# The exit code of ssh when its connection is lost.
LOST = 255

# All words but the last, the command for the shell there, are options and the host.
_SSH = """#!{python} -IS
import _socket, json, os, struct, sys
with open({words!r}, "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
one.connect({path!r})
environ = {{**os.environ, {near!r}: str(os.getppid())}}
told = json.dumps([sys.argv[-1], os.getcwd(), environ]).encode()
fds = struct.pack("3i", 0, 1, 2)
one.sendmsg([struct.pack("I", len(told))], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
while told:
    told = told[one.send(told):]
null = os.open(os.devnull, os.O_RDWR)
os.dup2(null, 0)
os.dup2(null, 1)
code = one.recv(4)
sys.exit(struct.unpack("i", code)[0] if len(code) == 4 else 255)
"""


class Fault(NamedTuple):
    """What the relay does in place of the message of this number (from 1; beats do not count) that
    `side` sends: `drop` or `freeze` the connection, `swallow` the message, `kill` or `stop`
    (SIGSTOP) rdctl there, or send the text `instead`, in Latin-1, and `end` the connection after
    it. `log` is a file for the kinds of all messages."""

    side: str = "far"
    number: int = 0
    do: str = ""
    instead: str = ""
    log: str = ""


class Nursery:
    """`path` is the PATH with its `ssh`; `words` has the words with which that was started."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], address: str) -> None:
        self._process = process
        self.words = folder / "ssh-words"
        ssh = folder / "bin" / "ssh"
        ssh.parent.mkdir(parents=True, exist_ok=True)
        words, python = str(self.words), sys.executable
        ssh.write_text(_SSH.format(python=python, path=address, words=words, near=NEAR))
        ssh.chmod(0o755)
        self.path = f"{ssh.parent}{os.pathsep}{os.environ['PATH']}"

    def descendants(self) -> list[int]:
        """All processes of its connections."""
        return descendants(self._process.pid)

    def left(self, seconds: float = SECONDS) -> list[int]:
        """The processes of its connections that do not end."""
        end = time.monotonic() + seconds
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while (found := children.read_text().split()) and time.monotonic() < end:
            time.sleep(0.01)
        return [int(one) for one in found]


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process that forks, and its address."""
    address = str(folder / "nursery")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.remote.nursery", address], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process, address
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


# --- the process that forks -----------------------------------------------------------------------


def main(address: str) -> None:
    import tests.remote.machines  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        one, _ = server.accept()
        if os.fork():
            one.close()
            continue
        server.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            _serve(one)
        finally:
            os._exit(70)


def _serve(one: socket.socket) -> None:
    head, fds, _, _ = socket.recv_fds(one, 4, 3)
    told, length = b"", int.from_bytes(head, sys.byteorder)
    while len(told) < length:
        told += one.recv(length - len(told))
    command, directory, environ = json.loads(told)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environ)
    fault = Fault(**json.loads(environ.get(FAULT, "{}")))
    code = _relayed(command, fault, *fds)
    with suppress(OSError):
        one.send(code.to_bytes(4, sys.byteorder, signed=True))
    os._exit(0)


def _relayed(command: str, fault: Fault, source: int, sink: int, messages: int) -> int:
    """The exit code of a command whose streams go through the relay."""
    (far_in, to_far), (from_far, far_out) = os.pipe(), os.pipe()
    lost = False

    def lose(*_: object) -> None:
        nonlocal lost
        lost = True

    signal.signal(signal.SIGUSR1, lose)
    if not (pid := os.fork()):
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        for number, descriptor in enumerate((far_in, far_out, messages)):
            os.dup2(descriptor, number)
        os.closerange(3, 64)
        _become(shlex.split(command), command)
    for descriptor in (far_in, far_out, messages):
        os.close(descriptor)
    relay = _Relay(fault, pid, {"near": (source, to_far), "far": (from_far, sink)})
    relay.run(lambda: lost)
    for descriptor in (source, to_far, from_far, sink):
        with suppress(OSError):
            os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return LOST if relay.lost else code if code >= 0 else 128 - code


def _become(words: Sequence[str], command: str) -> None:
    """Run the command; rdctl without a new interpreter."""
    if words[:3] != [sys.executable, "-m", "rdctl"]:
        os.execv("/bin/sh", ["/bin/sh", "-c", command])
    from rdctl.cli.run import main as run
    from rdctl.core.environment import real
    from tests.remote import machines

    sys.argv = [str(ROOT / "rdctl" / "__main__.py"), *words[3:]]
    code = 70
    try:
        machines.on_machine(os.environ.get(ACT), partial(run, words[3:]), real())
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


class _Relay:
    """Passes the messages of both sides on."""

    def __init__(self, fault: Fault, pid: int, ways: Mapping[str, tuple[int, int]]) -> None:
        self._fault = fault
        self._pid = pid
        self._ways = dict(ways)
        self._held = dict.fromkeys(ways, b"")
        self._counts = dict.fromkeys(ways, 0)
        self._frozen = False
        self._ends = False
        self.lost = False

    def run(self, is_lost: Callable[[], bool]) -> None:
        while "far" in self._ways and not self.lost:
            waiting = select.poll()
            for source, _ in self._ways.values():
                waiting.register(source, select.POLLHUP if self._frozen else select.POLLIN)
            ready = [descriptor for descriptor, _ in waiting.poll(20)]
            if is_lost():
                self.lost = True
                return
            for side, (source, sink) in list(self._ways.items()):
                if source in ready and not self.lost:
                    self._pass(side, source, sink)

    def _pass(self, side: str, source: int, sink: int) -> None:
        data = b"" if self._frozen else os.read(source, 1 << 20)
        if not data:
            del self._ways[side]
            if not self._frozen:  # a frozen connection does not tell that a side has ended
                self._write(sink, self._held[side])
                os.close(sink)
            return
        self._held[side] += data
        while (size := _size(self._held[side])) and not self._frozen and not self.lost:
            message, self._held[side] = self._held[side][:size], self._held[side][size:]
            self._forward(side, message, sink)

    def _forward(self, side: str, message: bytes, sink: int) -> None:
        fault, kind = self._fault, _kind(message)
        if kind != "beat":
            self._counts[side] += 1
            if fault.log:
                with open(fault.log, "a") as log:
                    log.write(f"{side} {self._counts[side]} {kind}\n")
            if (fault.side, fault.number) == (side, self._counts[side]):
                if not self._fail():
                    return
                if fault.instead:
                    message = fault.instead.encode("latin-1")
        self._write(sink, message)
        self.lost = self.lost or self._ends

    def _fail(self) -> bool:
        """Do what the fault is; returns whether a message is still to be sent."""
        do = self._fault.do
        self.lost, self._frozen, self._ends = do == "drop", do == "freeze", do == "end"
        if do == "kill":
            os.kill(self._pid, signal.SIGKILL)
        elif do == "stop":
            os.kill(self._pid, signal.SIGSTOP)
        return do not in ("drop", "freeze", "swallow")

    @staticmethod
    def _write(sink: int, data: bytes) -> None:
        rest = memoryview(data)
        with suppress(OSError):
            while rest:
                rest = rest[os.write(sink, rest) :]


def _kind(message: bytes) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(message.split(b"\n", 1)[0])["kind"])
    return "text"


def _size(data: bytes) -> int:
    """The bytes of the first message, 0 if it is not complete; of the text before the first one,
    and of what is none, a line."""
    end = data.find(b"\n") + 1
    if not end:
        return 0
    count: Any = 0
    with suppress(ValueError, AttributeError):
        count = json.loads(data[:end]).get("bytes", 0)
    return end + count if len(data) >= end + count else 0


def lose() -> None:
    """Called in rdctl there: lose the connection now, and wait until it has noticed. NETWORK is the
    address of what loses it, if not the stand-in for ssh."""
    if address := os.environ.get(NETWORK):
        with socket.socket(socket.AF_UNIX) as network:
            network.connect(address)
            network.recv(1)
    else:
        os.kill(os.getppid(), signal.SIGUSR1)
    wait_for_loss()


def wait_for_loss() -> None:
    _wait(lambda: not any("_read" in one.name for one in threading.enumerate()))


def signal_near(number: int) -> None:
    """Called in rdctl there: send the other side this signal, and wait until it has come here."""
    os.kill(int(os.environ[NEAR]), number)
    if number == signal.SIGKILL:
        wait_for_loss()
    else:
        _wait(lambda: bool(signal.sigpending()))


def _wait(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError("it was not noticed")
        time.sleep(0.002)


if __name__ == "__main__":
    main(sys.argv[1])
