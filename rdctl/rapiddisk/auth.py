"""How a host proves who it is: DH-HMAC-CHAP, whose keys the kernel keeps per host. A key is never
shown."""

from __future__ import annotations

import binascii
import os
import re
import stat
from typing import NamedTuple

from rdctl.core.environment import Environment, read_in_time
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import quoted

HASHES = ("sha256", "sha384", "sha512")
DHGROUPS = ("null", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192")
GENERATE = "Generate one: (umask 077; nvme gen-dhchap-key > FILE)"
# The bytes that a key for each hash has; 00 is for any of them.
_BYTES = {"00": (32, 48, 64), "01": (32,), "02": (48,), "03": (64,)}
_FORM = re.compile(r"DHHC-1:(0[0-3]):([A-Za-z0-9+/]+={0,2}):")
_PREFIX = "DHHC-1:"
_CHECKSUM = 4
_MOST = 4096  # bytes of a file
_STDIN = "standard input"


class Key:
    """A key. `file` is where it was read, None if from the kernel or standard input."""

    __slots__ = ("_text", "file")

    def __init__(self, text: str, file: str | None = None) -> None:
        self._text = text
        self.file = file

    def reveal(self) -> str:
        """For the kernel, and nothing else."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Key(***)"


class Auth(NamedTuple):
    """`key` is the host's, `ctrl_key` that with which this machine proves who it is, too; None: not
    set. `hash` and `dhgroup` as in HASHES and DHGROUPS."""

    key: Key | None = None
    ctrl_key: Key | None = None
    hash: str = HASHES[0]
    dhgroup: str = DHGROUPS[0]


NO_AUTH = Auth()


class Settings(NamedTuple):
    """What is requested of a host; None: as it is."""

    key: Key | None = None
    ctrl_key: Key | None = None
    hash: str | None = None
    dhgroup: str | None = None

    def given_to(self, auth: Auth) -> Auth:
        given = {name: value for name, value in self._asdict().items() if value is not None}
        return auth._replace(**given)


NO_SETTINGS = Settings()


def read_key(path: str, environment: Environment, seconds: float | None) -> Key:
    """The key in a file that only its owner can read; `-` is standard input."""
    if path == "-":
        return _parsed(environment.read("-", seconds, _MOST), _STDIN, None)
    return key_in(path, seconds)


def key_in(path: str, seconds: float | None = None) -> Key:
    """The key in a file that only its owner can read."""
    if path.lstrip().startswith(_PREFIX):
        message = "the name of a file is required, not a key"
        hint = "Others may have seen it among the processes: generate another key, into a file."
        raise RdctlError(Code.USAGE, message, hint=hint)
    try:
        status = os.stat(path)
        _guard_mode(path, status.st_mode)
        return _parsed(read_in_time(path, seconds, _MOST), quoted(path), os.path.abspath(path))
    except FileNotFoundError as error:
        message = f"key file {quoted(path)} not found"
        raise RdctlError(Code.NOT_FOUND, message, hint=GENERATE, target=path) from error
    except OSError as error:
        denied = isinstance(error, PermissionError)
        code = Code.DENIED if denied else Code.FAILED
        why = f"cannot be read: {error.strerror}"
        raise RdctlError(code, f"key file {quoted(path)} {why}", target=path) from error


def _guard_mode(path: str, mode: int) -> None:
    """As ssh does. A pipe, as of a password manager, has no other readers."""
    if stat.S_ISREG(mode) and mode & 0o077:
        raise RdctlError(
            Code.CONFLICT,
            f"key file {quoted(path)} can be read or written by others (mode {mode & 0o777:04o})",
            hint=f"Make it private: chmod 600 {quoted(path)}; if others may have read it, generate"
            " another key.",
            target=path,
        )


def _parsed(data: bytes, name: str, file: str | None) -> Key:
    """A message never has anything of the key."""
    text = data.decode("ascii", "replace").strip()
    found = _FORM.fullmatch(text)
    if found is None:
        raise _invalid(name, "must be one line, DHHC-1:XX:BASE64:", file)
    try:
        whole = binascii.a2b_base64(found[2], strict_mode=True)
    except binascii.Error as error:
        raise _invalid(name, "its base64 is damaged", file) from error
    secret, checksum = whole[:-_CHECKSUM], whole[-_CHECKSUM:]
    if len(secret) not in _BYTES[found[1]]:
        sizes = " or ".join(map(str, _BYTES[found[1]]))
        why = f"has {max(len(secret), 0)} bytes; a key of the form DHHC-1:{found[1]} has {sizes}"
        raise _invalid(name, why, file)
    if binascii.crc32(secret).to_bytes(_CHECKSUM, "little") != checksum:
        raise _invalid(name, "its checksum (CRC-32) does not match", file)
    return Key(text, file)


def _invalid(name: str, why: str, file: str | None) -> RdctlError:
    message = f"invalid DH-HMAC-CHAP key in {name}: {why}"
    return RdctlError(Code.USAGE, message, hint=GENERATE, target=file)
