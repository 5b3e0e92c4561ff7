"""What can go wrong, and the exit code that tells it: the contract with scripts."""

from __future__ import annotations

import errno
import os
from enum import Enum, IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes, each with what it means. They are a promise: see `rdctl help exit-codes`."""

    meaning: str

    def __new__(cls, number: int, meaning: str = "") -> Exit:
        member = int.__new__(cls, number)
        member._value_ = number
        member.meaning = meaning
        return member

    OK = 0, "success, or no changes needed"
    FAILED = (
        1,
        "failed or refused, for a reason without its own code; confirmation declined;"
        " doctor found a problem",
    )
    USAGE = 2, "usage: invalid arguments or configuration; confirmation required, but no terminal"
    NOT_FOUND = 3, "not found"
    CONFLICT = 4, "conflict: already exists, not empty, in use, locked, frozen"
    DENIED = 5, "permission denied: requires root, or credentials rejected"
    UNREACHABLE = 6, "unreachable: no connection, service down, kernel module not loaded"
    TIMEOUT = 7, "timed out; nothing was changed"
    PARTIAL = 8, "partial: some targets succeeded, some did not"
    BAD_REPLY = 9, "bad reply: invalid or unexpected"
    UNKNOWN = 10, "unknown: a change was sent, but its outcome is unknown"
    UNSUPPORTED = 11, "not supported in this mode or by this server"
    HANGUP = 129, "terminated by SIGHUP"
    INTERRUPTED = 130, "interrupted by Ctrl-C; also the normal end of --watch"
    PIPE = 141, "broken pipe: the reader of a listing exited (a change continues)"
    TERMINATED = 143, "terminated by SIGTERM"


class Code(Enum):
    """`error.code` words, each with its exit code and what it means."""

    def __init__(self, word: str, exit: Exit, meaning: str) -> None:
        self.word = word
        self.exit = exit
        self.meaning = meaning

    FAILED = "failed", Exit.FAILED, "refused or failed, and no finer word fits"
    DECLINED = "declined", Exit.FAILED, "the question was answered with No"
    INTERNAL = "internal", Exit.FAILED, "a fault in rdctl itself"
    USAGE = "usage", Exit.USAGE, "wrong arguments"
    CONFIG = "config", Exit.USAGE, "the configuration cannot be used"
    CONSENT = "consent-missing", Exit.USAGE, "something would be lost and nobody could be asked"
    NOT_FOUND = "not-found", Exit.NOT_FOUND, "it does not exist"
    EXISTS = "exists", Exit.CONFLICT, "it exists already, and is not the same"
    NOT_EMPTY = "not-empty", Exit.CONFLICT, "it still holds something"
    IN_USE = "in-use", Exit.CONFLICT, "somebody uses it"
    LOCKED = "locked", Exit.CONFLICT, "it is locked"
    FROZEN = "frozen", Exit.CONFLICT, "it is frozen or disabled"
    CONFLICT = "conflict", Exit.CONFLICT, "its state does not allow this"
    UNGUARDED = "unguarded", Exit.CONFLICT, "whether it is in use cannot be seen"
    DENIED = "denied", Exit.DENIED, "credentials or permissions do not suffice"
    UNREACHABLE = "unreachable", Exit.UNREACHABLE, "no connection to the server"
    UNAVAILABLE = "unavailable", Exit.UNREACHABLE, "the service behind the server is away"
    MODULE_MISSING = "module-missing", Exit.UNREACHABLE, "a kernel module is not loaded"
    TIMEOUT = "timeout", Exit.TIMEOUT, "no answer in time; nothing was changed"
    PARTIAL = "partial", Exit.PARTIAL, "some targets are done, some are not"
    BAD_REPLY = "bad-reply", Exit.BAD_REPLY, "the reply is not what the API promises"
    UNPROVEN = "unproven", Exit.BAD_REPLY, "reported as done, but it cannot be seen"
    UNPRINTABLE = "unprintable", Exit.BAD_REPLY, "a name does not fit on one line; use -0"
    UNKNOWN = "unknown", Exit.UNKNOWN, "a change was sent and its fate is not known"
    UNSUPPORTED = "unsupported", Exit.UNSUPPORTED, "not possible in this mode or on this server"
    HANGUP = "hang-up", Exit.HANGUP, "ended by SIGHUP"
    INTERRUPTED = "interrupted", Exit.INTERRUPTED, "ended by Ctrl-C"
    TERMINATED = "terminated", Exit.TERMINATED, "ended by SIGTERM"


class Ended(BaseException):
    """A signal that ends the process, after what it interrupts was settled."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.word)
        self.code = code


class RdctlError(Exception):
    """An error that a user is told: what failed, why, and what to do next.

    `facts` holds what is known beyond that: `http_status`, `remote_status`, `request_id`, ...
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        hint: str | None = None,
        target: str | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.target = target
        self.facts = facts

    @property
    def exit(self) -> Exit:
        return self.code.exit

    def with_facts(self, **facts: Any) -> RdctlError:
        """The same error, of which more is known."""
        return RdctlError(
            self.code, self.message, hint=self.hint, target=self.target, **{**self.facts, **facts}
        )


# The HTTP statuses by which a gateway says that it has no answer of the server behind it.
GATEWAY = (502, 503, 504)


def hints(*lines: str | None) -> str | None:
    """Several hints, each on a line of its own."""
    return "\n".join(line.strip() for line in lines if line) or None


def as_error(error: BaseException) -> RdctlError:
    """What a user is told of any exception: what rdctl does not know is a fault of its own."""
    if isinstance(error, RdctlError):
        return error
    if isinstance(error, KeyboardInterrupt | Ended):
        code = error.code if isinstance(error, Ended) else Code.INTERRUPTED
        return RdctlError(code, code.word)
    if isinstance(error, MemoryError):
        return RdctlError(Code.FAILED, "not enough memory")
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return no_thread()
    if isinstance(error, RecursionError):
        # What is typed is looked at before; a server may send anything.
        return RdctlError(Code.BAD_REPLY, "a value in the reply is nested too deep")
    if isinstance(error, OSError) and error.strerror:
        return _of_the_system(error)
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f" ({where.tb_frame.f_code.co_name}, line {where.tb_lineno})" if where else ""
    fault = RdctlError(
        Code.INTERNAL,
        f"a fault in rdctl itself: {type(error).__name__}: {error}{place}",
        hint="RDCTL_DEBUG=1 shows the traceback; please report it.",
    )
    fault.__cause__ = error
    return fault


def no_thread() -> RdctlError:
    return RdctlError(
        Code.FAILED,
        "cannot start a thread: the limit of processes is reached",
        hint="See the limit with: ulimit -u",
    )


_DENIED = (errno.EACCES, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def unwritten(error: OSError) -> Code:
    """Why a file of our own cannot be written: `denied`, or `failed` when the disk is full."""
    return Code.FAILED if error.errno in _FULL else Code.DENIED


def _of_the_system(error: OSError) -> RdctlError:
    """What the system refused, where nobody foresaw it."""
    code = Code.DENIED if error.errno in _DENIED else Code.FAILED
    reason = str(error.strerror)
    if error.filename is not None:
        name = os.fsdecode(error.filename)
        return RdctlError(code, f"{name if name.isprintable() else repr(name)}: {reason}")
    if error.errno == errno.ENOENT and not _has_folder():
        hint = "Go to one that exists: cd"
        return RdctlError(code, "the working directory does not exist any more", hint=hint)
    return RdctlError(code, f"the system refused something: {reason}")


def _has_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
