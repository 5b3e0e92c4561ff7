"""The names of volumes, caches and exports."""

from __future__ import annotations

import re

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape

# A cache is named after its policy and its source.
PREFIXES = {"write-through": "rc-wt_", "write-around": "rc-wa_", "writeback": "rc-wb_"}
POLICIES = tuple(PREFIXES)
_POLICY_OF = {prefix: policy for policy, prefix in PREFIXES.items()}
_PREFIX = len("rc-wt_")

# Compiled when they are needed.
_VOLUME = r"rd[0-9]+"
_CACHE = r"rc-w[tab]_.+"
# Other names crash a rapiddiskd 9, and reach a root shell in 7 and 8.
_SENT_VOLUME = r"rd[0-9]{1,7}"
_SENT_CACHE = r"rc-w[tab]_[A-Za-z0-9._+-]{1,100}"
# The kernel's limit is a name of 223 bytes.
_HOST = r"nqn\.[!-.0-~]{1,219}"
_PORT = r"[0-9]{1,5}"
# Printable ASCII, without spaces at either end: the kernel pads it with them.
_SERIAL = r"[!-~]([ -~]{0,18}[!-~])?"
_IDENTIFIER = "-?".join(f"([0-9a-f]{{{digits}}})" for digits in (8, 4, 4, 4, 12))
_ZERO = "00000000-0000-0000-0000-000000000000"
_MOST_PORT = 65535
_OWN_NQN = "nqn.2021-06.org.rapiddisk:"


def is_volume(name: str) -> bool:
    return re.fullmatch(_VOLUME, name) is not None


def is_rapiddisk(name: str) -> bool:
    """Whether it is the name of a volume or a cache."""
    return is_volume(name) or re.fullmatch(_CACHE, name) is not None


def numbered(number: int) -> str:
    """The volume of this number."""
    return f"rd{number}"


def number_of(volume: str) -> int:
    return int(volume[2:])


def policy_of(mapping: str) -> str | None:
    """The policy in the name of a cache; None if it is not the name of a cache."""
    return _POLICY_OF.get(mapping[:_PREFIX])


def source_in(cache: str) -> str:
    """The source in the name of a cache."""
    return cache[_PREFIX:]


def at_path(path: str | None) -> str | None:
    """The volume or cache at a path below /dev; None if it is another device."""
    found = re.fullmatch(r"/dev/(?:mapper/)?(.+)", path or "")
    return found[1] if found and is_rapiddisk(found[1]) else None


def export_nqn(host: str, device: str) -> str:
    """The NQN that RapidDisk uses for the export of a device."""
    return f"{_OWN_NQN}{host}-{device}"


def is_own_nqn(nqn: str) -> bool:
    return nqn.startswith(_OWN_NQN)


# Names as an operator types them; anything else is a usage error.


def volume_name(text: str) -> str:
    """The name of a volume, `/dev/rd0` allowed."""
    name = text.removeprefix("/dev/")
    if not re.fullmatch(_SENT_VOLUME, name):
        raise RdctlError(
            Code.USAGE,
            f'invalid volume name "{escape(text)}"',
            hint="Volume names are rd0, rd1, ... List them: rdctl rapiddisk list",
            target=text,
        )
    return name


def is_cache_name(name: str) -> bool:
    return re.fullmatch(_SENT_CACHE, name) is not None


def cache_name(text: str) -> str:
    """The name of a cache, `/dev/mapper/rc-wt_sdb` allowed."""
    name = text.removeprefix("/dev/mapper/")
    if not is_cache_name(name):
        raise RdctlError(
            Code.USAGE,
            f'invalid cache name "{escape(text)}"',
            hint="Cache names are rc-wt_SOURCE, rc-wa_SOURCE or rc-wb_SOURCE."
            " List them: rdctl rapiddisk cache list",
            target=text,
        )
    return name


def device_name(text: str) -> str:
    """The name of a volume or a cache."""
    name = text.removeprefix("/dev/mapper/")
    return cache_name(name) if name.startswith("rc") else volume_name(text)


def host_nqn(text: str) -> str:
    """The NQN of a host."""
    if not re.fullmatch(_HOST, text):
        raise RdctlError(
            Code.USAGE,
            f'invalid host NQN "{escape(text)}"',
            hint="It begins with nqn., has no slash and at most 223 bytes. Show it on the host:"
            " cat /etc/nvme/hostnqn",
            target=text,
        )
    return text


def nvme_serial(text: str) -> str:
    """The serial number of an export."""
    if not re.fullmatch(_SERIAL, text):
        raise RdctlError(
            Code.USAGE,
            f'invalid serial number "{escape(text)}": must be 1 to 20 printable ASCII characters'
            " without spaces at either end",
            target=text,
        )
    return text


def nvme_identifier(kind: str, text: str) -> str:
    """A UUID or an NGUID of an export, as the kernel writes it: all zeros if not set."""
    bare = text.lower().removeprefix("urn:uuid:")
    if bare.startswith("{") and bare.endswith("}"):
        bare = bare[1:-1]
    found = re.fullmatch(_IDENTIFIER, bare)
    usual = "-".join(found.groups()) if found else _ZERO
    if usual == _ZERO:
        raise RdctlError(
            Code.USAGE,
            f'invalid {kind} "{escape(text)}": must be 32 hexadecimal digits, not all of them 0',
            hint="Generate one: uuidgen",
            target=text,
        )
    return usual


def port_number(text: str) -> int:
    """The number of a port."""
    number = int(text) if re.fullmatch(_PORT, text) else _MOST_PORT + 1
    if number > _MOST_PORT:
        raise RdctlError(
            Code.USAGE,
            f'invalid port ID "{escape(text)}": must be from 0 to {_MOST_PORT}',
            hint="List the ports: rdctl rapiddisk nvmet port list",
            target=text,
        )
    return number
