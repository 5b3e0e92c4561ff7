"""Addresses of machines that are reached over SSH, and the command that runs rdctl there."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

DEFAULT_COMMAND = "rdctl"

# Nothing that a shell would take for more than a name: configurations of ssh put the host and the
# user into commands (ProxyCommand, Match exec).
_HOST = re.compile(r"[^-\s/@:?#'\"`$\\;&<>|(){}\[\],*!][^\s/@:?#'\"`$\\;&<>|(){}\[\],*!]*")
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]")
_USER = re.compile(r"[^-\s/:?#'\"`$;&<>|(){}\[\]][^\s/:?#'\"`$;&<>|(){}\[\]]*")
_PORT = re.compile(r"[0-9]{1,5}")


class Address(NamedTuple):
    """Without a user or a port, those of ssh's own configuration."""

    user: str | None
    host: str
    port: int | None


def address_of(url: str) -> Address:
    """The parts of ssh://[USER@]HOST[:PORT]; raises ValueError with what is wrong."""
    if not url.isprintable():
        raise ValueError("host missing or invalid")
    where = url.partition("://")[2]
    if any(char in where for char in "/?#"):
        raise ValueError("must contain only a user, a host and a port")
    user, at, rest = where.rpartition("@")
    if user.startswith("-") or rest.startswith("-"):
        raise ValueError("must not begin with a dash")  # ssh would take it for an option
    if ":" in user:
        raise ValueError("must not contain a password")
    if at and not _USER.fullmatch(user):
        raise ValueError("invalid user")
    match = re.fullmatch(rf"({_IPV6.pattern}|{_HOST.pattern})(?::({_PORT.pattern}))?", rest)
    if match is None:
        raise ValueError("invalid host or port")
    port = int(match[3]) if match[3] else None
    if port is not None and not 0 < port < 1 << 16:
        raise ValueError("invalid port")
    return Address(user or None, match[2] or match[1], port)


def words_of(command: str) -> tuple[str, ...]:
    """The words of a remote command; raises ValueError with what is wrong."""
    if not command.isprintable():
        raise ValueError("must not contain control characters")
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise ValueError("a quote or an escape is not closed") from error
    if not words:
        raise ValueError("must name a command")
    return words
