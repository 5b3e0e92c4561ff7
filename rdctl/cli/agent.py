"""rdctl __agent: runs commands for an rdctl on another machine, which has started this one over
SSH. Standard input and output carry the messages of rdctl/remote/wire.py."""

from __future__ import annotations

import queue
import signal
import threading
from contextlib import suppress
from typing import Any

from rdctl.cli.far import PLACES, Run
from rdctl.cli.invocation import Invocation
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, Ended, RdctlError
from rdctl.core.results import Text
from rdctl.core.units import defuse
from rdctl.effects.signals import ENDING
from rdctl.history.process import login_of, this_process, user_of
from rdctl.remote import wire
from rdctl.remote.wire import Incoming, Lost, Message, Outgoing

# Global options that say how a result is shown; here none is.
_OUTPUT = ("output", "json", "columns", "sort_by", "no_headers", "nul", "query", "table_style")
_WAKE_SECONDS = 0.5
_BY_NAME = {number.name.removeprefix("SIG"): number for number in ENDING}


@verb("__agent", on_site=False)
def agent(on: Invocation) -> Text:
    """Run commands for rdctl on another machine, over SSH."""
    here = Agent(on)
    here.greet()
    with suppress(KeyboardInterrupt, Ended):  # a command has reported it, or none was running
        while (message := here.command()) is not None:
            if message["kind"] == wire.COMPLETE:
                here.complete(message)
            else:
                here.run(message)
    here.close()
    return Text("")


class Agent:
    """The other side, and what came from it."""

    def __init__(self, on: Invocation) -> None:
        environment = on.environment
        process = this_process(environment.environ, environment.root)
        self.environment = environment
        self.flags = {name: value for name, value in on.flags.items() if name not in _OUTPUT}
        if not any(name in self.flags for name in PLACES):
            self.flags["local"] = True
        # Whatever else prints something must not mix with the messages.
        receive, write = environment.taken()
        self.patience = wire.PATIENCE
        self._incoming = Incoming(lambda most: receive(most, self.patience))
        self.out = Outgoing(write)
        self.origin = ""
        self._host = process.host
        self._user = user_of(process)
        self._commands: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._answered: dict[int, Message] = {}
        self._number = 0
        self._one_asks = threading.Lock()
        self.lost = threading.Event()
        self._running = False
        # The signal for the latest command, which may not have begun.
        self._signal: int | None = None
        self._main = threading.main_thread().ident

    def greet(self) -> None:
        """Exchange the first messages."""
        self.out.tell(**wire.hello(host=self._host, user=self._user))
        try:
            # A side that is slow sends a beat before it greets.
            while (other := self._incoming.next())["kind"] == "beat":
                pass
        except (Lost, RdctlError):
            raise RdctlError(
                Code.USAGE, "__agent is started by rdctl on another machine, over SSH"
            ) from None
        login = login_of(self.environment.environ, self.environment.root)
        sender = defuse(str(other.get("sender")))
        self.origin = f"{sender}, logged in as {login}"
        if fault := wire.mismatch(other, sender.rpartition("@")[2]):
            self.out.close(_WAKE_SECONDS)
            raise RdctlError(Code.UNSUPPORTED, fault)
        self.out.beat = float(other.get("beat") or wire.BEAT)
        self.patience = float(other.get("patience") or wire.PATIENCE)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        """Takes the messages of the other side until it is lost, which is as a Ctrl-C."""
        try:
            while True:
                message = self._incoming.next()
                kind = message["kind"]
                if kind in ("command", wire.COMPLETE):
                    self._signal = None
                    self._commands.put(message)
                elif kind == "answer":
                    self._answers.put(message)
                elif kind == "signal" and message.get("signal") in _BY_NAME:
                    self._raise(_BY_NAME[message["signal"]])
        except Exception:  # whatever it is, nothing more can be understood
            self.lost.set()
            self.out.lost.set()
            self._raise(signal.SIGINT)
            self._commands.put(None)

    def _raise(self, number: int) -> None:
        """A signal for the main thread, as from a terminal."""
        self._signal = number
        if self._running and self._main is not None:
            signal.pthread_kill(self._main, number)

    def command(self) -> Message | None:
        """The next command, None at the end."""
        return self._commands.get()

    def run(self, command: Message) -> None:
        self._running = True
        try:
            if self._signal is not None:
                signal.raise_signal(self._signal)
            Run(self, command).carry_out()
        finally:
            self._running = False

    def complete(self, message: Message) -> None:
        from rdctl.completion.answer import there

        of, text, args = message["of"], message["text"], message["args"]
        names = there(of, text, args, self.flags, self.environment)
        self.out.tell(wire.NAMES, names=[list(name) for name in names])

    def close(self) -> None:
        self.out.close(self.patience)

    # --- questions ------------------------------------------------------------------------

    def asked(self, kind: str, **message: Any) -> Message:
        """Ask the other side something, and wait for its answer; raises what it refuses with."""
        with self._one_asks:
            return self.answer(self.request(kind, **message))

    def request(self, kind: str, **message: Any) -> int:
        """Ask it; returns the number of the answer."""
        self._number += 1
        self.out.tell(kind, number=self._number, **message)
        return self._number

    def answer(self, number: int) -> Message:
        while not self.has_answer(number):
            try:
                self._keep_answer(_WAKE_SECONDS)
            except queue.Empty:
                if self.lost.is_set():
                    raise KeyboardInterrupt from None
        answer = self._answered.pop(number)
        if answer.get("error"):
            raise wire.error_of(answer["error"])
        if answer.get("stopped"):
            raise KeyboardInterrupt
        return answer

    def has_answer(self, number: int) -> bool:
        with suppress(queue.Empty):
            while True:
                self._keep_answer(0)
        return number in self._answered

    def _keep_answer(self, seconds: float) -> None:
        message = self._answers.get(seconds > 0, seconds or None)
        self._answered[message["number"]] = message

    def tell_piece(self, data: bytes | bytearray = b"", **message: Any) -> None:
        self.out.tell_much("piece", data, **message)
