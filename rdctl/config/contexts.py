"""The contexts, and the files that define them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rdctl.core.environment import read_in_time
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, did_you_mean, either, natural, nearest, without_password

SANDBOX = "sandbox"
LOCAL = "local"
# The endpoint of RapidDisk in the sandbox: a simulated machine.
SIMULATED = "simulated"
# How the endpoint of RapidDisk begins on a machine where rdctl runs over SSH.
SSH = "ssh://"
SYSTEM_FILE = "etc/rdctl/config.toml"
# The value of `audit` in that file: without history, no change.
REQUIRED = "required"
ENDPOINTS = {"rapiddisk": "rapiddisk_url", "oio": "oio_url"}
DIALECTS = ("auto", "3.3", "4.2", "5", "7", "2025", "reference")

# The keys of a context: their type, and what they mean.
KEYS: dict[str, tuple[type, str]] = {
    "rapiddisk": (
        str,
        "`local`, the URL of rapiddiskd: http://HOST:9118, or a machine with rdctl:"
        " ssh://[USER@]HOST[:PORT]",
    ),
    "oio": (str, "URL of the oio-proxy: http://HOST:6002"),
    "namespace": (str, "OpenIO SDS namespace"),
    "account": (str, "OpenIO SDS account"),
    "protected": (bool, "if true, --yes requires -c, --local or a URL on the command line"),
    "timeout": (float, "time limit for a whole command, in seconds"),
    "token_file": (str, "file with a bearer token"),
    "ca": (str, "file with the CA certificate"),
    "cert": (str, "file with the client certificate"),
    "key": (str, "file with the private key of the client certificate"),
    "http_proxy": (str, "URL of an HTTP proxy"),
    "events": (str, "address of the beanstalkd of OpenIO: beanstalk://HOST:PORT"),
    "dialect": (str, "dialect of the oio-proxy: auto, 3.3, 4.2, 5, 7, 2025 or reference"),
    "remote_command": (str, "command that runs rdctl on a machine over SSH: sudo -n rdctl"),
}
# Credentials: sent only to endpoints from the same source.
CREDENTIALS = ("token_file", "cert", "key")
_QUEUE = re.compile(r"(?:beanstalk://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})/?")
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


class Context(NamedTuple):
    """A named set of settings; `file` is None for the built-in one."""

    name: str
    values: dict[str, Any]
    file: str | None


class Config:
    """The contexts of this user, merged over the system-wide ones. `seconds` limits the reading of
    a file that is a pipe: the timeout in it is not known yet."""

    def __init__(
        self, environ: Mapping[str, str], root: str, home: str, seconds: float = 10.0
    ) -> None:
        self.environ = environ
        directory = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
        self.path = environ.get("RDCTL_CONFIG") or os.path.join(directory, "rdctl", "config.toml")
        self.home = home
        self.current: str | None = None
        self.contexts: dict[str, Context] = {}
        # The system-wide file and the user's own, whether they exist or not.
        self.files = (os.path.join(root, SYSTEM_FILE), self.path)
        for path in self.files:
            self._read(path, seconds)
        self.contexts[SANDBOX] = Context(
            SANDBOX,
            {
                "rapiddisk": SIMULATED,
                "oio": "http://oio.sandbox",
                "namespace": "OPENIO",
                "account": "sandbox",
                "events": "127.0.0.1:16028",
            },
            None,
        )

    def expanded(self, path: str) -> str:
        """A path in a context, which may begin with `~/`."""
        return os.path.join(self.home, path[2:]) if path.startswith("~/") else path

    def context(self, name: str) -> Context:
        """The context of that name; raises `not-found` with a suggestion."""
        if name in self.contexts:
            return self.contexts[name]
        meant = did_you_mean(nearest(name, self.contexts))
        raise self._not_there(f'context "{defuse(name)}" not found{meant}', name)

    def matching(self, pattern: str) -> list[str]:
        """The contexts that match a pattern; raises `not-found` if none do. The sandbox never
        matches."""
        from fnmatch import fnmatchcase

        matches = {name for name in self.contexts if fnmatchcase(name, pattern)} - {SANDBOX}
        if not matches:
            raise self._not_there(f'no context matches "{defuse(pattern)}"', pattern)
        return sorted(matches, key=natural)

    def _not_there(self, message: str, name: str) -> RdctlError:
        hint = f"Existing contexts: {', '.join(sorted(self.contexts))}."
        return RdctlError(Code.NOT_FOUND, message, hint=hint, target=name)

    def _read(self, path: str, seconds: float) -> None:
        text = read_file(path, seconds)
        if text is None:
            return
        data = parse(text, path, system=path == self.files[0])
        self.current = data.get("current", self.current)
        for name, values in data.get("contexts", {}).items():
            self.contexts[name] = Context(name, values, path)


def required_audit(root: str, seconds: float = 10.0) -> bool:
    """Whether the system-wide file requires that every change is in the history."""
    path = os.path.join(root, SYSTEM_FILE)
    text = read_file(path, seconds)
    return text is not None and "audit" in parse(text, path, system=True)


_MOST = 16 << 20  # bytes


def read_file(path: str, seconds: float) -> str | None:
    """The text of a config file, or None if it does not exist. Raises `config`, `timeout`."""
    try:
        return read_in_time(path, seconds, _MOST).decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise RdctlError(Code.CONFIG, f"{path} is not valid UTF-8") from error
    except OSError as error:
        raise RdctlError(
            Code.CONFIG,
            f"{path} cannot be read: {error.strerror}",
            hint="Use another file: RDCTL_CONFIG=PATH",
        ) from error


def parse(text: str, path: str, *, system: bool = False) -> dict[str, Any]:
    """The validated content of a config file, the system-wide one or a user's; errors name file and
    line."""
    from rdctl.core.source import from_toml

    source = from_toml(path, text)
    data: dict[str, Any] = source.data
    at = source.at
    for key, value in data.items():
        if key == "current" and isinstance(value, str):
            continue
        if key == "audit" and value == REQUIRED and system:
            continue
        if key == "audit" and not system:
            raise RdctlError(Code.CONFIG, f"{at(key)}: audit is only read from /{SYSTEM_FILE}")
        if key != "contexts" or not isinstance(value, dict):
            known = {"current": "a string", "contexts": "a table"}
            raise _wrong(at(key), key, {**known, "audit": f'"{REQUIRED}"'} if system else known)
    for name, values in data.get("contexts", {}).items():
        if name == SANDBOX or not re.fullmatch(_NAME, name):
            raise bad_name(name, at("contexts", name))
        if not isinstance(values, dict):
            where = at("contexts", name)
            raise RdctlError(Code.CONFIG, f"{where}: contexts.{name} must be a table")
        for key, value in values.items():
            if key not in KEYS:
                raise _wrong(at("contexts", name, key), key, KEYS)
            try:
                values[key] = checked(key, value)
            except ValueError as error:
                where = at("contexts", name, key)
                raise RdctlError(Code.CONFIG, f"{where}: {key}: {error}") from error
    return data


def bad_name(name: str, where: str | None = None) -> RdctlError:
    code, start = (Code.CONFIG, f"{where}: ") if where else (Code.USAGE, "")
    if name == SANDBOX:
        return RdctlError(
            code,
            f'{start}cannot change context "{SANDBOX}": it is built in',
            hint="Choose another name.",
        )
    return RdctlError(
        code,
        f'{start}invalid context name "{defuse(name)}"',
        hint="Use up to 64 letters, digits, dots, dashes and underscores; begin with a letter or a"
        " digit.",
    )


def _wrong(where: str, key: str, known: Mapping[str, Any]) -> RdctlError:
    """The error for a value of the wrong type, or for an unknown key."""
    if key in known:
        return RdctlError(Code.CONFIG, f"{where}: {key} must be {known[key]}")
    meant = did_you_mean(nearest(key, known))
    hint = None if meant else f"Known keys: {', '.join(known)}."
    return RdctlError(Code.CONFIG, f'{where}: unknown key "{defuse(key)}"{meant}', hint=hint)


def as_number(text: str) -> float | str:
    """The number that the text spells; the text itself, which `checked` refuses, if none."""
    try:
        return float(text)
    except ValueError:
        return text


def checked(key: str, value: Any) -> Any:
    """The value converted to its type; raises ValueError with what it must be."""
    kind = KEYS[key][0]
    if kind is bool and not isinstance(value, bool):
        raise ValueError("must be true or false")
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise ValueError("must be a positive number of seconds")
        return float(value)
    if kind is str and not isinstance(value, str):
        raise ValueError("must be a string")
    if key in ENDPOINTS and not (key == "rapiddisk" and value == LOCAL):
        fault = _unusable_endpoint(key, value)
        if fault:
            raise ValueError(f'invalid URL "{defuse(without_password(value))}": {fault}')
    if key == "remote_command":
        from rdctl.config.ssh import words_of

        words_of(value)
    if key == "http_proxy":
        # The part before the @ may be a password, so the value is not shown.
        fault = unusable_url(re.sub(r"//[^/@]*@", "//", value))
        if fault:
            raise ValueError(f"invalid URL: {fault}")
    if key == "events":
        return queue_address(value)
    if key == "dialect" and value not in DIALECTS:
        raise ValueError(f"must be {either(DIALECTS)}")
    return value


def queue_address(text: str) -> str:
    """HOST:PORT of a beanstalkd; raises ValueError with what it must be."""
    match = _QUEUE.fullmatch(text)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise ValueError(f'invalid address "{defuse(text)}": must be HOST:PORT')
    return f"{match[1]}:{match[2]}"


def _unusable_endpoint(key: str, url: str) -> str | None:
    if key != "rapiddisk":
        return unusable_url(url)
    if not url.startswith(SSH):
        return unusable_url(url, ("http://", "https://", SSH))
    from rdctl.config.ssh import address_of

    try:
        address_of(url)
    except ValueError as error:
        return str(error)
    return None


def unusable_url(url: str, known: Sequence[str] = ("http://", "https://")) -> str | None:
    """Why this is not a valid endpoint, or None if it is; `known` is what it may begin with."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "invalid host or port"  # urllib's message may show a password
    if parts.scheme not in ("http", "https"):
        return f"must begin with {either(known)}"
    if not parts.hostname or not url.isprintable() or " " in url:
        return "host missing or invalid"
    if port == 0 or parts.query or parts.fragment or parts.username is not None:
        return "must contain only a host, a port and a path"
    return None
