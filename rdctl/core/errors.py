"""Errors and their exit codes: the contract with scripts."""

from __future__ import annotations

import errno
import os
from enum import Enum, IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes with their meanings. They never change: see `rdctl help exit-codes`."""

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
    FINDINGS = 12, "findings: damage, with check; differences, with diff --exit-code"
    HANGUP = 129, "terminated by SIGHUP"
    INTERRUPTED = 130, "interrupted by Ctrl-C; also the normal end of --watch"
    PIPE = 141, "broken pipe: the reader of a listing exited (a change continues)"
    TERMINATED = 143, "terminated by SIGTERM"


class Code(Enum):
    """`error.code` words, each with its exit code and meaning."""

    def __init__(self, word: str, exit: Exit, meaning: str) -> None:
        self.word = word
        self.exit = exit
        self.meaning = meaning

    FAILED = "failed", Exit.FAILED, "failed or refused, for a reason without its own word"
    DECLINED = "declined", Exit.FAILED, "confirmation declined"
    INTERNAL = "internal", Exit.FAILED, "internal error in rdctl"
    USAGE = "usage", Exit.USAGE, "invalid arguments"
    CONFIG = "config", Exit.USAGE, "invalid configuration"
    CONSENT = "consent-missing", Exit.USAGE, "confirmation required, but no terminal"
    NOT_FOUND = "not-found", Exit.NOT_FOUND, "not found"
    EXISTS = "exists", Exit.CONFLICT, "already exists, and differs"
    NOT_EMPTY = "not-empty", Exit.CONFLICT, "not empty"
    IN_USE = "in-use", Exit.CONFLICT, "in use"
    LOCKED = "locked", Exit.CONFLICT, "locked"
    FROZEN = "frozen", Exit.CONFLICT, "frozen or disabled"
    CONFLICT = "conflict", Exit.CONFLICT, "not possible in its current state"
    UNGUARDED = "unguarded", Exit.CONFLICT, "cannot check whether it is in use"
    DENIED = "denied", Exit.DENIED, "permission denied, or credentials rejected"
    UNREACHABLE = "unreachable", Exit.UNREACHABLE, "no connection to the server"
    UNAVAILABLE = "unavailable", Exit.UNREACHABLE, "the service behind the server is down"
    MODULE_MISSING = "module-missing", Exit.UNREACHABLE, "kernel module not loaded"
    TIMEOUT = "timeout", Exit.TIMEOUT, "timed out; nothing was changed"
    PARTIAL = "partial", Exit.PARTIAL, "some targets succeeded, some did not"
    BAD_REPLY = "bad-reply", Exit.BAD_REPLY, "invalid or unexpected reply"
    UNPROVEN = "unproven", Exit.BAD_REPLY, "reported as done, but not visible afterwards"
    UNPRINTABLE = "unprintable", Exit.BAD_REPLY, "a name does not fit on one line; use -0"
    UNKNOWN = "unknown", Exit.UNKNOWN, "a change was sent, but its outcome is unknown"
    UNSUPPORTED = "unsupported", Exit.UNSUPPORTED, "not supported in this mode or by this server"
    HANGUP = "hang-up", Exit.HANGUP, "terminated by SIGHUP"
    INTERRUPTED = "interrupted", Exit.INTERRUPTED, "interrupted by Ctrl-C"
    TERMINATED = "terminated", Exit.TERMINATED, "terminated by SIGTERM"


class Ended(BaseException):
    """A signal that ends the process, raised where it can unwind."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.word)
        self.code = code


class RdctlError(Exception):
    """An error for the user: what failed, why, and what to do next.

    `facts` holds further details: `http_status`, `remote_status`, `request_id`, ...
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
        """The same error with more facts."""
        return RdctlError(
            self.code, self.message, hint=self.hint, target=self.target, **{**self.facts, **facts}
        )


# HTTP statuses of a gateway that got no reply from the server behind it.
GATEWAY = (502, 503, 504)


def hints(*lines: str | None) -> str | None:
    """Several hints, each on its own line."""
    return "\n".join(line.strip() for line in lines if line) or None


def as_error(error: BaseException) -> RdctlError:
    """The error to show for any exception; an unknown one is an internal error."""
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
        # Typed input is checked before; a server may send anything.
        return RdctlError(Code.BAD_REPLY, "a value in the reply is nested too deep")
    if isinstance(error, OSError) and error.strerror:
        return _of_the_system(error)
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f" ({where.tb_frame.f_code.co_name}, line {where.tb_lineno})" if where else ""
    fault = RdctlError(
        Code.INTERNAL,
        f"internal error: {type(error).__name__}: {error}{place}",
        hint="Please report this. Show the traceback with: RDCTL_DEBUG=1",
    )
    fault.__cause__ = error
    return fault


def no_thread() -> RdctlError:
    return RdctlError(
        Code.FAILED,
        "cannot start a thread: process limit reached",
        hint="Show the limit: ulimit -u",
    )


_DENIED = (errno.EACCES, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def unwritten(error: OSError) -> Code:
    """The code for a file that cannot be written: `denied`, or `failed` if the disk is full."""
    return Code.FAILED if error.errno in _FULL else Code.DENIED


def _of_the_system(error: OSError) -> RdctlError:
    """An unexpected error of the system."""
    code = Code.DENIED if error.errno in _DENIED else Code.FAILED
    reason = str(error.strerror)
    if error.filename is not None:
        name = os.fsdecode(error.filename)
        return RdctlError(code, f"{name if name.isprintable() else repr(name)}: {reason}")
    if error.errno == errno.ENOENT and not _has_directory():
        hint = "Change to an existing directory: cd"
        return RdctlError(code, "the working directory no longer exists", hint=hint)
    return RdctlError(code, f"system error: {reason}")


def _has_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
