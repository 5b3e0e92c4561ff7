"""Starting rdctl on another machine with the system's ssh, and what ssh says if that fails.

ssh reads its own configuration: aliases, keys, jump hosts and shared connections are the user's.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

from rdctl.config.contexts import SSH
from rdctl.config.ssh import DEFAULT_COMMAND, address_of, words_of
from rdctl.core.errors import Code, RdctlError
from rdctl.effects.piped import Piped
from rdctl.remote.refusals import ended, is_reason, lost, no_answer, no_ssh, plain

if TYPE_CHECKING:
    from rdctl.config.resolve import Settings

T = TypeVar("T")

AGENT = "__agent"
# Until ssh has a connection; a person may have to type a passphrase for a jump host meanwhile.
_CONNECT_SECONDS = 10
_PATIENT_SECONDS = 30
# As sftp does: nothing of the user's configuration but the connection itself.
_OPTIONS = (
    *("-T", "-x", "-a"),
    *("-o", "PermitLocalCommand=no"),
    *("-o", "ClearAllForwardings=yes"),
    *("-o", "RemoteCommand=none"),
    # An ssh without its rdctl does not outlive a frozen connection.
    *("-o", "ServerAliveInterval=15"),
    *("-o", "ServerAliveCountMax=3"),
)
_END_SECONDS = 5.0
# ssh asks again, on the terminal, which would get this line after the prompt.
_ASKS_AGAIN = "Permission denied, please try again."
_CHECK_SECONDS = 1.0


class Target(NamedTuple):
    """A machine, the words that run rdctl on it, and the context that has them, for hints."""

    host: str
    user: str | None
    port: int | None
    command: tuple[str, ...]
    context: str

    @property
    def login(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"{SSH}{user}{host}" + (f":{self.port}" if self.port else "")

    def rdctl(self, *words: str) -> str:
        """A command for the user's shell that runs rdctl there with these words. They are quoted
        for the shell there, too, to which ssh passes them as they are."""
        return self.ssh(*_for_shell([*self.command, *words]))

    def ssh(self, *words: str, options: Sequence[str] = ()) -> str:
        """A command for the user's shell that runs these words there."""
        port = ["-p", str(self.port)] if self.port else []
        return shlex.join(["ssh", *options, *port, self.login, *words])


def target_of(settings: Settings) -> Target:
    """Raises `config` for an address or a command that is not valid."""
    command = settings.credential("remote_command", "rapiddisk")
    try:
        user, host, port = address_of(settings.get("rapiddisk"))
    except ValueError as error:
        raise RdctlError(Code.CONFIG, f"invalid SSH address: {error}") from error
    try:
        words = words_of(command or DEFAULT_COMMAND)
    except ValueError as error:
        raise RdctlError(Code.CONFIG, f"remote_command: {error}") from error
    return Target(host, user, port, words, settings.context or "NAME")


class Connection:
    """A started ssh. `read` and `write` are the two directions; messages of ssh are kept meanwhile.

    A Ctrl-C on the terminal does not reach ssh. `patience` are the seconds that a read waits for
    data before it raises TimeoutError, None to wait without a limit.
    """

    def __init__(self, target: Target, program: Piped, shown: Collection[str] = ()) -> None:
        self.target = target
        self._shown = shown
        self.read: BinaryIO = program.read
        self.write: BinaryIO = program.write
        self._program = program

    @property
    def closed(self) -> bool:
        return self._program.closed

    @property
    def patience(self) -> float | None:
        return self._program.patience

    @patience.setter
    def patience(self, seconds: float | None) -> None:
        self._program.patience = seconds

    def ended(self, before: str = "") -> RdctlError:
        """Why it ended, in ssh's own words; `before` is what came instead of a message of rdctl.
        Waits for the end of ssh, but not for long. `again` among the facts: ssh was turned away
        before it logged in, and another attempt may succeed."""
        code = self.wait(_END_SECONDS)
        return ended(self.target, code, self._program.said, before, self._shown)

    def greeted(self) -> None:
        """rdctl there has answered: what ssh wrote before is not the reason of what follows."""
        self._program.forget()

    def lost(self) -> str:
        """Why it ended after rdctl had answered, "" if that is not known."""
        return lost(self.wait(_END_SECONDS), self._program.said)

    def silent(self, seconds: float | None) -> RdctlError:
        """Neither rdctl nor ssh has said anything in time; `seconds` is the limit of the user."""
        patience = self.patience or 0.0
        code = Code.UNREACHABLE if seconds is None or patience < seconds else Code.TIMEOUT
        return no_answer(self.target, code, patience)

    def wait(self, seconds: float) -> int | None:
        """The exit code of ssh, None if it has not ended in time."""
        return self._program.wait(seconds)

    def close(self) -> None:
        """End ssh and what it has started; takes a few seconds if the connection is frozen."""
        self._program.close()

    def abort(self) -> None:
        """End it at once: rdctl there was asked nothing."""
        self._program.close(0)


# Starts a connection, as the function that it gets.
Opening = Callable[[Callable[[], Connection]], Connection]


def at_once(connect: Callable[[], Connection]) -> Connection:
    return connect()


class _Screen:
    """Shows the messages of ssh to a person, but for those that become the error."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._held = b""
        self.shown: set[str] = set()

    def hear(self, data: bytes) -> None:
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").strip("\r")
            if not is_reason(text) and text != _ASKS_AGAIN:
                self._show(text)
                self.shown.add(plain(text))


def words(target: Target, *, batch: bool, seconds: float | None) -> list[str]:
    """The command that starts rdctl there."""
    limit = _CONNECT_SECONDS if batch else _PATIENT_SECONDS
    if seconds is not None:
        limit = max(1, min(limit, int(seconds)))
    return [
        "ssh",
        *_OPTIONS,
        *("-o", f"ConnectTimeout={limit}"),
        *(("-o", "BatchMode=yes") if batch else ()),
        *(("-p", str(target.port)) if target.port else ()),
        "--",
        target.login,
        " ".join(_for_shell([*target.command, AGENT])),
    ]


def _for_shell(words: list[str]) -> list[str]:
    """The words for the shell there, which replaces a `~/` at the start."""
    first, *others = words
    start = f"~/{shlex.quote(first[2:])}" if first.startswith("~/") else shlex.quote(first)
    return [start, *map(shlex.quote, others)]


def connect(
    target: Target,
    *,
    show: Callable[[str], None] | None,
    seconds: float | None,
    environ: Mapping[str, str],
) -> Connection:
    """Start ssh. `show` gets lines of its messages, for the person at the terminal; without it, ssh
    must not ask for anything. Raises an error if ssh is not installed."""
    command = words(target, batch=show is None, seconds=seconds)
    if not any(os.access(f"{folder}/ssh", os.X_OK) for folder in os.get_exec_path(environ)):
        raise no_ssh(target)
    if show is None:
        return Connection(target, Piped(command, environ))
    screen = _Screen(show)
    return Connection(target, Piped(command, environ, screen.hear), screen.shown)


def is_shared(target: Target, environ: Mapping[str, str], opening: Opening) -> bool:
    """Whether ssh has a connection to this machine that further sessions share (ControlMaster)."""
    port = ["-p", str(target.port)] if target.port else []
    words = ["ssh", "-O", "check", *port, "--", target.login]
    check = opening(lambda: Connection(target, Piped(words, environ)))
    try:
        return check.wait(_CHECK_SECONDS) == 0
    finally:
        check.abort()


# Pauses before further attempts: a server turns connections away while many others log in
# (MaxStartups). They are spread, since all of a fleet were turned away at the same time.
_PAUSES = (0.2, 0.4, 0.8, 1.6, 3.2)


def reach(
    target: Target,
    hello: Callable[[Connection], T],
    *,
    show: Callable[[str], None] | None,
    patience: float,
    left: Callable[[], float | None],
    opening: Opening,
    environ: Mapping[str, str],
    sleep: Callable[[float], None],
) -> T:
    """What `hello` returns, which exchanges the first messages on a connection. It raises EOFError,
    with the text that came instead, if ssh ends before; nothing was asked of rdctl then, so it is
    attempted again if the server turned ssh away. It may raise TimeoutError, too, after `patience`
    seconds without data; `left` are the seconds of the time limit, None without one."""
    for pause in (*_PAUSES, None):
        seconds = left()
        try:
            connection = opening(
                partial(connect, target, show=show, seconds=seconds, environ=environ)
            )
            connection.patience = patience if seconds is None else min(patience, seconds)
            return _attempt(connection, hello, seconds)
        except RdctlError as error:
            again = error.facts.pop("again", False)
            if not again or pause is None or (seconds is not None and seconds <= 2 * pause):
                raise
            from random import uniform

            sleep(pause * uniform(0.5, 1.5))
    raise AssertionError("the last attempt returns or raises")


def _attempt(connection: Connection, hello: Callable[[Connection], T], seconds: float | None) -> T:
    try:
        try:
            return hello(connection)
        except EOFError as end:
            raise connection.ended(str(end)) from None
        except TimeoutError:
            raise connection.silent(seconds) from None
    except BaseException:
        connection.abort()
        raise
