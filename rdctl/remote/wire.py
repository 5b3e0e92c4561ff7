"""What rdctl here and rdctl on another machine say to each other over a pipe.

A message is one line: a JSON object with its `kind`. One with `bytes` is followed by so many bytes.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from rdctl import __version__
from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure
from rdctl.core.units import defuse
from rdctl.output.rows import as_data

Message = dict[str, Any]
Bytes = bytes | bytearray | memoryview

PROTOCOL = 1
# Seconds: a side that has nothing to say sends a beat, and one that hears nothing gives up.
BEAT, PATIENCE = 5.0, 45.0
# Bytes of a line, and of all that may come before the first message (a banner of the shell there).
LONGEST = 16 << 20
PREAMBLE = 64 << 10
# Messages with rows or data that wait to be sent.
MOST_WAITING = 16
# For TAB: a kind of names is asked for, and they are answered.
COMPLETE, NAMES = "complete", "names"
# The global options that are for the other side.
GLOBALS = (
    *("yes", "dry_run", "trace", "timeout", "retries", "parallel", "request_id", "watch"),
    "remote_file",
)
_HELLO = b'{"kind":"hello"'
_READ_BYTES = 1 << 16
_FULL_SECONDS = 0.01

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Lost(Exception):
    """The other side is gone, or `silent`; the text says why."""

    def __init__(self, text: str, *, silent: bool = False) -> None:
        super().__init__(text)
        self.silent = silent


class Abandoned(Exception):
    """The other side does not send the rest of the contents; its end says why."""


def garbled(what: str) -> RdctlError:
    return RdctlError(Code.BAD_REPLY, f"invalid message over SSH: {what}")


def hello(**more: Any) -> Message:
    """The first message of each side."""
    return {"kind": "hello", "protocol": PROTOCOL, "version": __version__, **more}


def mismatch(other: Message, where: str) -> str | None:
    """Why these two cannot work together, None if they can."""
    theirs = defuse(str(other.get("version")))
    if other.get("protocol") == PROTOCOL and theirs.split(".")[0] == __version__.split(".")[0]:
        return None
    return f"rdctl {theirs} on {where} cannot work with rdctl {__version__}"


# --- reading ----------------------------------------------------------------------------------


class Incoming:
    """The messages that arrive. `receive` returns some bytes, none at the end; it raises
    TimeoutError if there are none for too long."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._held = bytearray()

    def hello(self) -> Message:
        """The first message, after whatever else the shell there has written. Raises EOFError with
        that text at the end, and TimeoutError."""
        before = b""
        while True:
            try:
                line = self._line(PREAMBLE)
            except Lost as end:
                if isinstance(end.__cause__, TimeoutError):
                    raise end.__cause__ from None
                text = (before + bytes(self._held)).decode("utf-8", "replace")
                raise EOFError(text.strip()) from end
            if (at := line.find(_HELLO)) >= 0:
                return _parsed(line[at:])
            before += line + b"\n"
            if len(before) > PREAMBLE:
                raise _no_rdctl(before)

    def next(self) -> Message:
        """The next message; raises Lost."""
        message = _parsed(self._line(LONGEST))
        if count := message.get("bytes"):
            if not isinstance(count, int) or not 0 < count <= LONGEST:
                raise garbled("its length")
            while len(self._held) < count:
                self._more()
            message["data"] = bytes(self._held[:count])
            del self._held[:count]
        return message

    def _line(self, most: int) -> bytes:
        at = 0
        while (end := self._held.find(b"\n", at)) < 0:
            at = len(self._held)
            if at > most:
                raise _no_rdctl(self._held) if most == PREAMBLE else garbled("too long")
            self._more()
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line

    def _more(self) -> None:
        try:
            data = self._receive(_READ_BYTES)
        except TimeoutError as error:
            raise Lost("no reply", silent=True) from error
        except OSError as error:
            raise Lost(error.strerror or str(error)) from error
        if not data:
            raise Lost("connection closed")
        self._held += data


def _parsed(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise garbled(str(error)) from error
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise garbled("no kind")
    return message


def _no_rdctl(text: bytes | bytearray) -> RdctlError:
    lines = bytes(text[:PREAMBLE]).decode("utf-8", "replace").split("\n")
    first = next((line.strip() for line in lines if line.strip()), "")
    return RdctlError(
        Code.BAD_REPLY,
        f'the remote command does not start rdctl: it writes "{defuse(first[:80])}"',
        hint="Check remote_command, and that the shell there prints nothing else.",
    )


# --- writing ----------------------------------------------------------------------------------


class Outgoing:
    """Sends messages from a thread of its own, and a beat when there are none for `beat` seconds:
    nothing waits for the other side, and no signal ends a message in its midst. `write` sends all
    bytes; once it fails, `lost` is set and messages are dropped."""

    def __init__(self, write: Callable[[bytes], object], beat: float = BEAT) -> None:
        self.beat = beat
        self.lost = threading.Event()
        self._write = write
        # Unlike that of other queues, its `put` may interrupt itself: signal handlers send, too.
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def tell(self, kind: str, data: Bytes = b"", **message: Any) -> None:
        """Send a message, and the bytes that follow it."""
        if self.lost.is_set():
            return
        if data:
            message["bytes"] = len(data)
        line = _encode({"kind": kind, **message}).encode()
        if len(line) > LONGEST:
            raise RdctlError(Code.FAILED, "too much for one message over SSH")
        self._queue.put(b"".join((line, b"\n", data)))

    def tell_much(self, kind: str, data: Bytes = b"", **message: Any) -> None:
        """Send a message of many, when not too many are waiting."""
        while self._queue.qsize() > MOST_WAITING and not self.lost.is_set():
            time.sleep(_FULL_SECONDS)
        self.tell(kind, data, **message)

    def close(self, seconds: float) -> None:
        """Send what is waiting, for at most so long."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        beat = _encode({"kind": "beat"}).encode() + b"\n"
        while not self.lost.is_set():
            try:
                piece = self._queue.get(timeout=self.beat)
            except queue.Empty:
                piece = beat
            if piece is None:
                return
            try:
                self._write(piece)
            except (OSError, ValueError):
                self.lost.set()


# --- errors and outcomes ----------------------------------------------------------------------

_CODES = {code.word: code for code in Code}


def error_data(error: RdctlError) -> Message:
    return {
        "code": error.code.word,
        "exit": int(error.exit),
        "message": error.message,
        "hint": error.hint,
        "target": error.target,
        "facts": as_data(error.facts),
    }


def code_of(word: Any, exit: Any = None) -> Code:
    """One of a later version is like those with its exit code."""
    return _CODES.get(word) or next((one for one in Code if one.exit == exit), Code.FAILED)


def error_of(data: Any) -> RdctlError:
    code = code_of(data["code"], data["exit"])
    message, hint, target = data["message"], data["hint"], data["target"]
    return RdctlError(code, message, hint=hint, target=target).with_facts(**data["facts"])


def outcome_data(outcome: Change | Failure) -> Message:
    if isinstance(outcome, Failure):
        return {
            "action": outcome.action,
            "error": error_data(outcome.error),
            "whole": outcome.whole,
        }
    data = outcome._asdict()
    del data["context"]
    return {**data, "facts": as_data(outcome.facts)}


def outcome_of(data: Any) -> Change | Failure:
    if "error" in data:
        return Failure(data["action"], error_of(data["error"]), whole=data["whole"])
    known = ("action", "target", "changed", "verified", "facts", "past")
    return Change(**{key: data[key] for key in known})
