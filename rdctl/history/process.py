"""Who runs this process, and where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import NamedTuple, Protocol

# The login UID of a process that no login has started.
_UNSET = 0xFFFFFFFF


class _Actor(Protocol):
    """A Process, or an Entry."""

    @property
    def login_uid(self) -> int | None: ...
    @property
    def uid(self) -> int: ...
    @property
    def sudo_user(self) -> str | None: ...


class Process(NamedTuple):
    """As an Entry has it."""

    host: str
    login_uid: int | None
    uid: int
    sudo_user: str | None
    tty: str | None
    pid: int


def this_process(environ: Mapping[str, str], root: str) -> Process:
    return Process(
        host=os.uname().nodename,
        login_uid=_login_uid(root),
        uid=os.getuid(),
        sudo_user=environ.get("SUDO_USER") or None,
        tty=_terminal(),
        pid=os.getpid(),
    )


def login_of(environ: Mapping[str, str], root: str) -> str:
    """`root@192.0.2.7`: who logged in over SSH, and from where, if known. sudo leaves the address
    out, but the process that ran it has it."""
    user = user_of(this_process(environ, root))
    connection = environ.get("SSH_CONNECTION") or _inherited("SSH_CONNECTION")
    address = connection.split()[0] if connection else ""
    return f"{user}@{address}" if address else user


_MOST_ANCESTORS = 8


def _inherited(name: str) -> str:
    """The variable of the nearest process above that has it; empty if none is readable."""
    start, pid = f"{name}=".encode(), os.getppid()
    for _ in range(_MOST_ANCESTORS):
        with suppress(OSError, ValueError):
            with open(f"/proc/{pid}/environ", "rb") as file:
                for variable in file.read().split(b"\0"):
                    if variable.startswith(start):
                        return os.fsdecode(variable[len(start) :])
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
            continue
        break
    return ""


def user_of(actor: _Actor) -> str:
    """Who did it: the user who logged in, if known, else the one who ran sudo."""
    if actor.login_uid is not None:
        return _name(actor.login_uid)
    return actor.sudo_user or _name(actor.uid)


@cache
def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _login_uid(root: str) -> int | None:
    """The user who logged in, whom su and sudo do not change."""
    with suppress(OSError, ValueError), open(os.path.join(root, "proc/self/loginuid")) as file:
        uid = int(file.read())
        return None if uid == _UNSET else uid
    return None


def _terminal() -> str | None:
    for descriptor in (0, 1, 2):
        with suppress(OSError):
            return os.ttyname(descriptor)
    return None
