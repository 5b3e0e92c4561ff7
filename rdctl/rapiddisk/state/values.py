"""The values in a state file: each reader takes a key and what the file has for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from rdctl.core.errors import RdctlError
from rdctl.core.units import (
    MIB,
    MOST_MIB,
    did_you_mean,
    either,
    escape,
    nearest,
    parse_size,
)
from rdctl.rapiddisk import names
from rdctl.rapiddisk.auth import DHGROUPS, HASHES

T = TypeVar("T")

SECTOR = 512
MOST_PORT = 65535
TRANSPORTS = ("tcp", "rdma", "loop")
DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery"
MODULES = {"rapiddisk": ("rd_max_nr", "max_sectors", "nr_requests")}
_MOST_NQN = 223  # bytes
_MOST_NAMESPACE = (1 << 32) - 2
_MOST_SECONDS = 24 * 60 * 60
_MOST_ATTRIBUTE = 4095  # bytes: a page of configfs with its end
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Invalid(ValueError):
    """What is wrong with a value, and what is right instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


# --- plain types ------------------------------------------------------------------------------


def flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false")
    return value


def integer(least: int, most: int) -> Callable[[str, object], int]:
    """The reader of an integer in these limits."""

    def read(key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Invalid(f"{key} must be an integer from {least} to {most}")
        return value

    return read


parameter = integer(0, (1 << 31) - 1)
namespace = integer(1, _MOST_NAMESPACE)


def text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{key} must be a string")
    if "\0" in value or not _is_unicode(value):
        raise Invalid(f"{key} must be valid Unicode, without NUL")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def unique(key: str, value: object, read: Callable[[str, object], T]) -> tuple[T, ...]:
    """A list without duplicates."""
    if not isinstance(value, list):
        raise Invalid(f"{key} must be a list")
    found: list[T] = []
    for each in value:
        entry = read(key, each)
        if entry in found:
            raise Invalid(f"{key}: {entry} is listed twice")
        found.append(entry)
    return tuple(found)


# --- amounts ----------------------------------------------------------------------------------


def size(key: str, value: object) -> int:
    """Bytes, as the kernel can have them."""
    if _is_count(value):
        meant = f'"{value}MiB" ({int(str(value)) * MIB} bytes)'
        raise Invalid(f'{key} = {_shown(value)} has no unit: write {meant} or "{value}B"')
    if not isinstance(value, str):
        raise Invalid(f"{key} must be a string with a unit", f'Example: {key} = "64MiB".')
    try:
        found = parse_size(value)
    except RdctlError as error:
        raise Invalid(f"{key}: {error.message}", error.hint) from error
    if found == 0:
        raise Invalid(f'{key}: invalid size "{value}": minimum is {SECTOR}B')
    if found > MOST_MIB * MIB:
        raise Invalid(f'{key}: invalid size "{value}": maximum is {MOST_MIB}MiB')
    if found % SECTOR:
        below = found - found % SECTOR
        nearby = [f'"{near}B"' for near in (below, below + SECTOR) if near]
        why = f"must be a multiple of {SECTOR} bytes"
        raise Invalid(f'{key}: invalid size "{value}": {why}', f"Nearest: {either(nearby)}.")
    return found


def size_text(found: int) -> str:
    """The size in the largest unit from MiB that is exact, else in bytes."""
    for unit, factor in (("TiB", MIB << 20), ("GiB", MIB << 10), ("MiB", MIB)):
        if found % factor == 0:
            return f"{found // factor}{unit}"
    return f"{found}B"


# A write-back cache that does not write blocks back by age.
NEVER = "never"


def max_age(key: str, value: object) -> int:
    """Seconds; 0 is never."""
    if value == NEVER:
        return 0
    if _is_count(value):
        raise Invalid(f'{key} = {_shown(value)} has no unit: write "{value}s"')
    found = re.fullmatch("([0-9]{1,9})([smh])", value) if isinstance(value, str) else None
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 1 <= seconds <= _MOST_SECONDS:
        raise Invalid(
            f'{key} must be from "1s" to "{_MOST_SECONDS}s", or "{NEVER}"',
            f'Example: {key} = "300s", or "5m".',
        )
    return seconds


def _is_count(value: object) -> bool:
    """Whether it is a number of things of unknown size."""
    if isinstance(value, str):
        return re.fullmatch("[0-9]{1,30}", value) is not None
    # Python refuses to print numbers of some thousand digits.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**30


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


# --- names ------------------------------------------------------------------------------------


def volume(key: str, value: object) -> str:
    name = text(key, value)
    if re.fullmatch("rd(0|[1-9][0-9]{0,6})", name):
        return name
    plain = re.fullmatch("(?:/dev/)?rd0*([0-9]{1,7})", name)
    meant = did_you_mean(f"rd{plain[1]}" if plain else "")
    hint = None if plain else "Volume names are rd0, rd1, ..."
    raise Invalid(f'invalid volume name "{escape(name)}"{meant}', hint)


def cache(key: str, value: object) -> str:
    name = text(key, value)
    if names.is_cache_name(name):
        return name
    raise Invalid(
        f'invalid cache name "{escape(name)}"',
        "Cache names are rc-wt_SOURCE, rc-wa_SOURCE or rc-wb_SOURCE, of letters, digits and ._+-.",
    )


def device(key: str, value: object) -> str:
    """A volume or a cache."""
    name = text(key, value)
    if name.startswith("/dev/mapper/"):
        raise Invalid(f"{key} must be a name", f'Write "{escape(name[len("/dev/mapper/") :])}".')
    return cache(key, name) if name.startswith("rc") else volume(key, name)


def source(key: str, value: object) -> str:
    """The path of a device."""
    from posixpath import normpath

    path = text(key, value)
    usual = normpath(path)
    if not usual.startswith("/dev/"):
        raise Invalid(
            f'{key}: "{escape(path)}" is not a path below /dev',
            'Use a stable name: source = "/dev/disk/by-id/..."',
        )
    if usual != path:
        raise Invalid(f'{key}: "{escape(path)}" is not normalized', f'Write "{escape(usual)}".')
    return path


# Where no file survives a reboot.
_VOLATILE = ("/dev", "/proc", "/run", "/sys")


def image(key: str, value: object) -> str:
    """The path of a file that survives a reboot."""
    from posixpath import normpath

    path = text(key, value)
    shown, example = escape(path), f'Example: {key} = "/var/lib/rdctl/rd0.img"'
    if not path.startswith("/"):
        raise Invalid(f'{key}: "{shown}" is not an absolute path', example)
    if not path.isprintable():
        raise Invalid(f'{key}: "{shown}" has characters that are not printable', example)
    usual = "/" + normpath(path).lstrip("/")
    if usual == "/":
        raise Invalid(f'{key}: "{shown}" is a directory', example)
    if usual != path:
        raise Invalid(f'{key}: "{shown}" is not normalized', f'Write "{escape(usual)}".')
    for directory in _VOLATILE:
        if f"{path}/".startswith(f"{directory}/"):
            why = f"files below {directory} do not survive a reboot"
            raise Invalid(f'{key}: "{shown}": {why}', example)
    return path


def key_file(key: str, value: object) -> str:
    """The path of a file with a key; empty if it is not known."""
    from posixpath import normpath

    path = text(key, value)
    shown, example = escape(path), f'Example: {key} = "/etc/rdctl/host.key"'
    if path.startswith("DHHC-1:"):
        raise Invalid(f"{key} must be the path of a file, not a key", example)
    if path and not path.startswith("/"):
        raise Invalid(f'{key}: "{shown}" is not an absolute path', example)
    if not path.isprintable():
        raise Invalid(f'{key}: "{shown}" has characters that are not printable', example)
    if path and "/" + normpath(path).lstrip("/") != path:
        raise Invalid(f'{key}: "{shown}" is not normalized', example)
    return path


def word(kind: str, words: tuple[str, ...]) -> Callable[[str, object], str]:
    """The reader of one of these words."""

    def read(key: str, value: object) -> str:
        found = text(key, value)
        if found not in words:
            meant = did_you_mean(nearest(found, words))
            hint = None if meant else f"Use {either(words)}."
            raise Invalid(f'{key}: unknown {kind} "{escape(found)}"{meant}', hint)
        return found

    return read


policy = word("policy", names.POLICIES)
transport = word("transport", TRANSPORTS)
hash = word("hash", HASHES)
dhgroup = word("Diffie-Hellman group", DHGROUPS)


def host(key: str, value: object) -> str:
    """The NQN of a host. The kernel has hosts by any name, which a dump must not lose."""
    try:
        return nqn(key, value)
    except Invalid as error:
        raise Invalid(f"{key}: {error}", "Show it on the host: cat /etc/nvme/hostnqn") from error


def nqn(key: str, value: object) -> str:
    """The NQN of a subsystem, which is a directory of the kernel."""
    name = text(key, value)
    if name == DISCOVERY:
        raise Invalid(f'invalid NQN "{name}": reserved for discovery')
    if name in ("", ".", "..") or not name.isprintable() or "/" in name:
        why = "must be printable characters without a slash"
    elif len(name.encode()) > _MOST_NQN:
        why = f"must have at most {_MOST_NQN} bytes"
    else:
        return name
    hint = "Example: nqn.2021-06.org.rapiddisk:HOST-rd0"
    raise Invalid(f'invalid NQN "{escape(name)}": {why}', hint)


def port_number(key: str, value: object) -> int:
    """The number of a port, which is a key."""
    name = text(key, value)
    if re.fullmatch("0|[1-9][0-9]{0,4}", name) and int(name) <= MOST_PORT:
        return int(name)
    plain = name.lstrip("0") or "0"
    meant = did_you_mean(plain if re.fullmatch("0[0-9]{1,5}", name) else "")
    hint = None if meant else f"Ports have numbers from 0 to {MOST_PORT}."
    raise Invalid(f'invalid port number "{escape(name)}"{meant}', hint)


def ports(key: str, value: object) -> tuple[int, ...]:
    def read(key: str, value: object) -> int:
        try:
            return integer(0, MOST_PORT)(key, value)
        except Invalid as error:
            why = f"{key} must be a list of port numbers from 0 to {MOST_PORT}"
            raise Invalid(why, f"Example: {key} = [1, 2].") from error

    return unique(key, value, read)


def hosts(key: str, value: object) -> tuple[str, ...]:
    return unique(key, value, host)


# --- addresses and identity -------------------------------------------------------------------


def address(key: str, value: object) -> str:
    """An IP address in its usual form."""
    import ipaddress

    typed = text(key, value)
    try:
        if not re.fullmatch("[0-9A-Fa-f.:]+(%[A-Za-z0-9._-]+)?", typed):
            raise ValueError
        return str(ipaddress.ip_address(typed))
    except ValueError as error:
        hint = "Examples: 10.0.0.1, fe80::1."
        raise Invalid(f'{key}: invalid IP address "{escape(typed)}"', hint) from error


def interface(key: str, value: object) -> str:
    name = text(key, value)
    if not re.fullmatch("[!-.0-9;-~]{1,15}", name) or name in (".", ".."):
        hint = "List the interfaces: ip link"
        raise Invalid(f'{key}: invalid interface name "{escape(name)}"', hint)
    return name


def service(key: str, value: object) -> str:
    """A TCP port."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_PORT:
        raise Invalid(f'{key} must be a string: "{value}"')
    number = text(key, value)
    if not re.fullmatch("[1-9][0-9]{0,4}", number) or int(number) > MOST_PORT:
        raise Invalid(f'{key}: invalid service "{escape(number)}": must be from 1 to {MOST_PORT}')
    return number


def serial(key: str, value: object) -> str:
    found = text(key, value)
    if not re.fullmatch("[!-~](?:[ -~]{0,18}[!-~])?", found):
        raise Invalid(
            f'{key}: invalid serial number "{escape(found)}"',
            "It has 1 to 20 printable ASCII characters, and no space at either end.",
        )
    return found


def uuid(key: str, value: object) -> str:
    """A UUID in its canonical form."""
    found = text(key, value).lower()
    digits = found.replace("-", "")
    if re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", found):
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    raise Invalid(
        f'{key}: invalid UUID "{escape(str(value))}"',
        "Example: d592cdf3-5d1c-44e0-8412-3fcf7d99df27",
    )


# Attributes of the kernel that have keys of their own.
PORT_KEYS = {
    "addr_trtype": "transport",
    "addr_traddr": "address",
    "addr_trsvcid": "service",
}
EXPORT_KEYS = {"attr_allow_any_host": "any_host", "attr_serial": "serial"}
NAMESPACE_KEYS = {
    "device_path": "device",
    "device_uuid": "uuid",
    "device_nguid": "nguid",
    "enable": "device",
}


def attribute(name: str, value: object, keys: Mapping[str, str]) -> str:
    """The value of one attribute of the kernel, a file by its name."""
    if name in keys:
        raise Invalid(f'attribute "{name}" has a key: {keys[name]}')
    if not re.fullmatch("[a-z0-9_]{1,64}", name):
        raise Invalid(f'invalid attribute name "{escape(name)}"')
    if not isinstance(value, str) and _is_count(value):
        raise Invalid(f'{name} must be a string: "{value}"')
    found = text(name, value)
    if len(found.encode()) > _MOST_ATTRIBUTE:
        raise Invalid(f"{name} must have at most {_MOST_ATTRIBUTE} bytes")
    return found
