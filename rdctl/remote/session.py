"""rdctl on another machine, for as long as the connection lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from typing import TYPE_CHECKING

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse
from rdctl.history.process import this_process, user_of
from rdctl.remote import wire
from rdctl.remote.launch import Connection, Opening, at_once, reach, target_of
from rdctl.remote.wire import Incoming, Lost, Message, Outgoing

if TYPE_CHECKING:
    from rdctl.config.resolve import Settings
    from rdctl.core.environment import Environment

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
        self._end: Exception | None = None
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
        except Exception as error:  # of the connection, or whatever it is
            self._messages.put(error)

    def get(self, seconds: float) -> Message | None:
        """The next message, if any came within so many seconds. Raises Lost, `bad-reply`."""
        if self._end is not None:
            raise self._end
        try:
            message = self._messages.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(message, Exception):
            self._end = message  # also for whoever asks again
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
            self._end = self._end or Lost("connection closed")
            with suppress(Empty):  # the thread that reads may wait for room
                while True:
                    self._messages.get_nowait()


def _writing(connection: Connection) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[connection.write.write(left) :]

    return write


def started(
    settings: Settings,
    environment: Environment,
    *,
    batch: bool,
    left: Callable[[], float | None],
    opening: Opening = at_once,
) -> Far:
    """rdctl on the machine of these settings, greeted. `batch`: ssh must not ask for anything;
    else its messages are shown to the person whom it asks. `left` are the seconds of the time
    limit, None without one. `opening` starts each connection."""
    target, environ = target_of(settings), environment.environ
    process = this_process(environ, environment.root)

    def greeted(connection: Connection) -> Far:
        incoming = Incoming(connection.read.read1)  # type: ignore[attr-defined]
        hello = incoming.hello()
        connection.patience = wire.PATIENCE
        connection.greeted()
        if fault := wire.mismatch(hello, target.host):
            raise RdctlError(Code.UNSUPPORTED, fault, hint="Install the same version on both.")
        return Far(connection, hello, incoming)

    far = reach(
        target,
        greeted,
        show=None if batch else lambda line: environment.stderr.write(f"{defuse(line)}\n"),
        patience=_START_SECONDS if batch else _LOGIN_SECONDS,
        left=left,
        opening=opening,
        environ=environ,
        sleep=environment.sleep,
    )
    far.start(f"{user_of(process)}@{process.host}")
    return far
