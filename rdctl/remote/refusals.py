"""What it means that ssh has ended before rdctl there has answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse

if TYPE_CHECKING:
    from rdctl.remote.launch import Target

# The exit code of ssh itself, and those of a shell for a command that it cannot run.
_SSH_FAILED = 255
_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


class Refusal(NamedTuple):
    """A kind of failure, known by a line of the messages. `message` may contain the {url} and that
    {line}; `hint` gets the target and all messages. `again`: another attempt may succeed."""

    pattern: str
    code: Code
    message: str
    hint: Callable[[Target, str], str]
    again: bool = False


def _try(target: Target, said: str) -> str:
    return f"Check that this works: {target.ssh('true')}"


def _accept(target: Target, said: str) -> str:
    """ssh itself names the command that removes a key which has changed."""
    if remove := re.search(r"^\s*(ssh-keygen .*)$", said, re.MULTILINE):
        return f"If the host key was changed on purpose, remove the old one: {remove[1].strip()}"
    return f"Compare and accept its host key: {target.ssh('true')}"


def _command(target: Target, said: str) -> str:
    return (
        "If rdctl is installed there, set its path: "
        f"rdctl context set {target.context} remote_command=/usr/local/bin/rdctl"
    )


def _without_password(target: Target, said: str) -> str:
    user = target.user or "USER"
    return (
        "Allow it without a password, in /etc/sudoers.d there: "
        f"{user} ALL=(root) NOPASSWD: /usr/bin/rdctl"
    )


def _update(target: Target, said: str) -> str:
    return f"Update rdctl there, to at least version 1.0: {target.rdctl('--version')}"


_AWAY = "no connection to {url}: {line}"
# Of ssh itself.
_OF_SSH = (
    Refusal(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key .*has changed",
        Code.UNREACHABLE,
        "{url}: the host key has changed: {last}",
        _accept,
    ),
    Refusal(
        r"Host key verification failed|No .*host key is known",
        Code.UNREACHABLE,
        "{url}: the host key is not known: {line}",
        _accept,
    ),
    Refusal(
        r"Permission denied \(|Too many authentication failures|No supported authentication",
        Code.DENIED,
        "{url}: permission denied: {line}",
        _try,
    ),
    # Also of a jump host, before the connection through it ends.
    Refusal(
        r"Could not resolve hostname|connect to host|Unable to negotiate with",
        Code.UNREACHABLE,
        _AWAY,
        _try,
    ),
    Refusal(r"Bad configuration option|bad configuration option", Code.CONFIG, "{line}", _try),
    # Turned away by a server on which many log in at the same time.
    Refusal(
        r"kex_exchange_identification: |^Connection (closed|reset) by |Connection reset by peer",
        Code.UNREACHABLE,
        _AWAY,
        _try,
        again=True,
    ),
)
# Of the shell there, of sudo or another command that runs rdctl.
_OF_COMMAND = (
    Refusal(
        r"command not found|: not found$|No such file or directory",
        Code.UNAVAILABLE,
        "rdctl not found on {url}: {line}",
        _command,
    ),
    Refusal(
        r"sudo: .*(password|terminal|askpass)",
        Code.DENIED,
        "{url}: permission denied: {line}",
        _without_password,
    ),
    Refusal(
        r"not in the sudoers file|is not allowed to (execute|run)|[Pp]ermission denied$",
        Code.DENIED,
        "{url}: permission denied: {line}",
        _try,
    ),
    Refusal(
        r"""unknown (sub)?command ["']?__agent|No such command ["']?__agent""",
        Code.UNSUPPORTED,
        "{url}: its rdctl does not support SSH: {line}",
        _update,
    ),
)


def no_ssh(target: Target) -> RdctlError:
    return RdctlError(
        Code.FAILED,
        f"cannot connect to {target.url}: ssh not found",
        hint="Install it: sudo apt-get install openssh-client",
    )


def no_answer(target: Target, code: Code, seconds: float) -> RdctlError:
    return RdctlError(
        code,
        f"{target.url} did not answer within {seconds:.3g} s",
        hint=f"Check that this works: {target.rdctl('--version')}",
    )


def is_reason(line: str) -> bool:
    """Whether this line of the messages becomes a part of the error."""
    known = (*_OF_SSH, *_OF_COMMAND)
    return any("{line}" in one.message and re.search(one.pattern, line) for one in known)


def ended(
    target: Target, code: int | None, said: str, before: str, shown: Collection[str] = ()
) -> RdctlError:
    """The error for an ssh that ended with this exit code, None if it did not end; `said` are the
    messages, `before` is what came where rdctl should have answered. The user has seen `shown`."""
    lines = [plain(line) for line in (before + "\n" + said).splitlines() if line.strip()]
    for refusal in _OF_SSH if code == _SSH_FAILED else _OF_COMMAND:
        for line in lines:
            if re.search(refusal.pattern, line):
                return _refused(refusal, target, line, lines, said)
    unseen = [line for line in lines if line not in shown]
    last = unseen[-1] if unseen else ""
    if code == _SSH_FAILED:
        last = next((line for line in reversed(unseen) if not _is_ours(line)), "")
        alone = "ssh failed" if shown else "ssh failed without a message"
        return RdctlError(
            Code.UNREACHABLE,
            _AWAY.format(url=target.url, line=last or alone),
            hint=_try(target, said),
        )
    name = " ".join(target.command)
    if code in (_NOT_FOUND, _NOT_EXECUTABLE):
        reason = f": {last}" if last else ""
        return RdctlError(
            Code.UNAVAILABLE,
            f'{target.url}: cannot run "{defuse(name)}"{reason}',
            hint=_command(target, said),
        )
    how = "did not end" if code is None else f"ended with exit code {code}"
    if code is not None and code < 0:
        how = f"was ended by signal {-code}"
    return RdctlError(
        Code.UNREACHABLE,
        f'{target.url}: "{defuse(name)}" {how} before it answered' + (f": {last}" if last else ""),
        hint=f"Check that this works: {target.rdctl('--version')}",
    )


def lost(code: int | None, said: str) -> str:
    """Why a connection ended on which rdctl had answered, "" if that is not known."""
    if code == _SSH_FAILED:
        lines = [plain(line) for line in said.splitlines() if line.strip()]
        return next((line for line in reversed(lines) if not _is_ours(line)), "")
    if not code:
        return ""
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    return f"rdctl there ended with {how}"


def _refused(
    refusal: Refusal, target: Target, line: str, lines: list[str], said: str
) -> RdctlError:
    message = refusal.message.format(url=target.url, line=line, last=lines[-1])
    error = RdctlError(refusal.code, message, hint=refusal.hint(target, said))
    return error.with_facts(again=True) if refusal.again else error


def _is_ours(line: str) -> bool:
    """Whether rdctl there has written it, when it lost the connection, too."""
    return line.startswith(("rdctl: ", "hint: "))


def plain(line: str) -> str:
    """A line of messages, which may come from the server, as part of an error."""
    words = " ".join(defuse(line.strip().removeprefix("ssh: ")).split())
    return words if len(words) <= 200 else words[:199] + "…"
