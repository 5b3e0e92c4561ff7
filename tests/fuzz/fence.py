"""Keeps a random command line from the machine that it is tried on: nothing is written outside one
directory, no program is run, nobody but this machine is asked. What is kept out gets an OSError, as
from a kernel that forbids it."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LOOPBACK = ("127.", "::1", "localhost")


def put_up(directory: str) -> None:
    """For good: Python does not take a hook of this kind away again."""
    inside = f"{os.path.realpath(directory)}/"

    def within(path: Any, directory: int = -1) -> None:
        if isinstance(path, int) or path == os.devnull:
            return
        path = os.fsdecode(path)
        base = os.getcwd() if directory < 0 else os.readlink(f"/proc/self/fd/{directory}")
        parent = os.path.dirname(os.path.join(base, path.rstrip("/")))
        if not f"{os.path.realpath(parent)}/".startswith(inside):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def opened(path: Any, mode: str | None, flags: int) -> None:
        # By a directory's descriptor anything below it can be written.
        if flags & (WRITES | os.O_DIRECTORY):
            within(path)

    def renamed(source: Any, path: Any, one: int, other: int) -> None:
        within(source, one)
        within(path, other)

    def forbidden(*what: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(what[0]))

    def connected(sock: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    def looked_up(host: Any, *_: Any) -> None:
        word = os.fsdecode(host or "")
        if any(letter not in "0123456789abcdefABCDEF.:%" for letter in word) and (
            not word.startswith(LOOPBACK)
        ):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    hooks: dict[str, Callable[..., None]] = {
        "open": opened,
        "os.mkdir": lambda path, mode, directory: within(path, directory),
        "os.remove": within,
        "os.rmdir": within,
        "os.truncate": lambda path, size: within(path),
        "os.chmod": lambda path, mode, directory: within(path, directory),
        "os.chown": lambda path, user, group, directory: within(path, directory),
        "os.utime": lambda path, times, ns, directory: within(path, directory),
        "os.symlink": lambda source, path, directory: within(path, directory),
        "os.link": lambda source, path, one, other: within(path, other),
        "os.rename": renamed,
        "sqlite3.connect": within,
        "socket.connect": connected,
        "socket.getaddrinfo": looked_up,
        **dict.fromkeys(
            ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.kill"), forbidden
        ),
    }

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in hooks:
            hooks[event](*arguments)

    sys.addaudithook(hook)
