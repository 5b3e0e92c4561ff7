"""rdctl on another machine, for as long as the connection lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from queue import Empty, Queue

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse
from rdctl.remote import wire
from rdctl.remote.launch import Connection, Target, reach
from rdctl.remote.wire import Incoming, Lost, Message, Outgoing

# Messages that are read ahead.
_MOST_WAITING = 64
_CLOSE_SECONDS = 1.0
# Until rdctl there greets. A person may have to answer ssh; a server ends a login after as long.
_START_SECONDS, _LOGIN_SECONDS = 45.0, 120.0


class Far:
    """rdctl on another machine, which is asked one command after the other."""

    def __init__(self, connection: Connection, hello: Message, incoming: Incoming) -> None:
        self.target = connection.target
        self.version = defuse(str(hello["version"]))
        self.user = defuse(str(hello.get("user")))
        self._connection = connection
        self._incoming = incoming
        self.out = Outgoing(_writing(connection), wire.BEAT)
        self._messages: Queue[Message | Exception] = Queue(_MOST_WAITING)
        self.closed = False

    def start(self, sender: str) -> None:
        """Greet it, and read what it sends from now on."""
        self.out.tell(**wire.hello(sender=sender, beat=wire.BEAT, patience=wire.PATIENCE))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while not self.closed:
                message = self._incoming.next()
                if message["kind"] != "beat":
                    self._messages.put(message)
        except (Lost, RdctlError) as error:
            self._messages.put(error)

    def get(self, seconds: float) -> Message | None:
        """The next message, if any came within so many seconds. Raises Lost, `bad-reply`."""
        try:
            message = self._messages.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(message, Exception):
            self._messages.put(message)  # also for whoever asks again
            raise message
        return message

    def lost(self) -> str:
        """Why the connection has ended, "" if that is not known."""
        return self._connection.lost()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.out.close(_CLOSE_SECONDS)
            self._connection.close()


def _writing(connection: Connection) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[connection.write.write(left) :]

    return write


def started(
    target: Target,
    *,
    batch: bool,
    seconds: float | None,
    environ: Mapping[str, str],
    sleep: Callable[[float], None],
    sender: str,
) -> Far:
    """rdctl on that machine, greeted."""
    patience = _START_SECONDS if batch else _LOGIN_SECONDS

    def greeted(connection: Connection) -> Far:
        connection.patience = patience if seconds is None else min(patience, seconds)
        incoming = Incoming(connection.read.read1)  # type: ignore[attr-defined]
        hello = incoming.hello()
        connection.patience = wire.PATIENCE
        if fault := wire.mismatch(hello, target.host):
            raise RdctlError(Code.UNSUPPORTED, fault, hint="Install the same version on both.")
        return Far(connection, hello, incoming)

    _, far = reach(target, greeted, batch=batch, seconds=seconds, environ=environ, sleep=sleep)
    far.start(sender)
    return far
