"""Properties as servers read them: which names are reserved, and which values they misinterpret.
What servers would misinterpret is refused before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, human_size, parse_bytes, quoted
from rdctl.oio.model import Place

# The verbs, as typed.
CREATE, SET, DELETE = "create", "set-properties", "del-properties"
_MOST = (1 << 63) - 1
# As sys.status is stored: enabled, frozen and disabled, with a sign and in 32 bits without.
_STATUSES = ("0", "-1", "-2", "4294967295", "4294967294")


class Noun(NamedTuple):
    """`system`: it has system properties that can be set; `empty`: it keeps empty values; for
    others they mean deletion."""

    name: str
    system: bool
    empty: bool


_NOUNS = {
    "reference": Noun("reference", system=False, empty=True),
    "container": Noun("container", system=True, empty=False),
    "content": Noun("object", system=False, empty=False),
    "admin": Noun("database", system=True, empty=False),
}


def is_system(key: str) -> bool:
    """Whether the name is reserved for the server."""
    return key.startswith(("sys.", "version:")) or key == "schema_version"


def setting(
    family: str, place: Place, properties: Mapping[str, str], system: Mapping[str, str]
) -> str:
    """The command that sets these."""
    words = [quoted(f"{key}={value}") for key, value in properties.items()]
    return " ".join([_with_system(family, SET, system), place.words, *words])


def _with_system(family: str, verb: str, system: Mapping[str, str]) -> str:
    options = [f"--system {quoted(f'{key}={value}')}" for key, value in system.items()]
    return " ".join([f"rdctl oio {family} {verb}", *options])


def check_user(family: str, verb: str, place: Place, properties: Mapping[str, str]) -> None:
    """Refuse user properties that the server would not keep: those with a reserved name, and those
    without a value."""
    noun = _NOUNS[family]
    for key, value in properties.items():
        if is_system(key):
            raise _is_system(family, verb, place, key, value)
        if not value and not noun.empty:
            hint = "Omit it."
            if verb == SET:
                words = f"{place.words} {quoted(key)}"
                hint = f"Delete it: rdctl oio {family} {DELETE} {words}"
            article = "an" if noun.name == "object" else "a"
            message = f"{escape(key)}: {article} {noun.name} cannot have empty properties"
            raise RdctlError(Code.USAGE, message, hint=hint, target=place.name)


def check_deletion(family: str, place: Place, keys: Iterable[str]) -> None:
    """Refuse names of system properties: servers ignore them here."""
    for key in filter(is_system, keys):
        raise _is_system(family, SET, place, key, "")


def _is_system(family: str, verb: str, place: Place, key: str, value: str) -> RdctlError:
    system = {key: value}
    if not key.startswith("sys."):
        hint = "Only the server sets it."
    elif not _NOUNS[family].system:
        words = f"{_with_system('container', SET, system)} {place.holder.words}"
        hint = f"Only containers have it: {words}"
    elif value:
        hint = f"Use --system: {_with_system(family, verb, system)} {place.words}"
    else:
        hint = f"Unset it: {_with_system(family, SET, system)} {place.words}"
    message = f"{escape(key)} is a system property"
    return RdctlError(Code.USAGE, message, hint=hint, target=place.name)


# --- values of system properties ----------------------------------------------------------------


def system_values(system: Mapping[str, str], *, new: bool) -> dict[str, str]:
    """System properties with values that the server understands: it reads `10G` as 10, and `ten` as
    0. An empty value unsets one, and so has no meaning for what is `new`."""
    return {key: _understood(key, value, new) for key, value in system.items()}


def _understood(key: str, value: str, new: bool) -> str:
    if not key.startswith("sys."):
        hint = "System properties begin with sys.; give user properties without --system."
        raise RdctlError(Code.USAGE, f"{escape(key)} is not a system property", hint=hint)
    if not value and new:
        raise RdctlError(Code.USAGE, f"{escape(key)}: empty value", hint="Omit it.")
    reader = _READERS.get(key)
    return reader(key, value) if reader is not None and value else value


def _quota(key: str, value: str) -> str:
    try:
        size = parse_bytes(value)
    except RdctlError as error:
        error.message = f"{key}: {error.message}"
        raise
    if size > _MOST:
        raise _invalid(key, value, "The maximum is 8 EiB; 0 means no quota.")
    return str(size)


def _versions(key: str, value: str) -> str:
    if not re.fullmatch(r"(?a)-1|\d{1,18}", value):
        hint = "Use 1 (no versioning), the number of versions to keep, or -1 (all)."
        raise _invalid(key, value, hint)
    return value


def _status(key: str, value: str) -> str:
    if value not in _STATUSES:
        raise _invalid(key, value, "Use rdctl oio admin freeze, disable or enable.")
    return value


def _count(key: str, value: str) -> str:
    if not re.fullmatch(r"(?a)\d{1,18}", value):
        raise _invalid(key, value, "Use a whole number.")
    return value


def _invalid(key: str, value: str, hint: str) -> RdctlError:
    return RdctlError(Code.USAGE, f'{key}: invalid value "{escape(value)}"', hint=hint)


_READERS = {
    "sys.m2.quota": _quota,
    "sys.m2.policy.version": _versions,
    "sys.status": _status,
    "sys.m2.objects": _count,
    "sys.m2.usage": _count,
}


# --- what a change of them means ----------------------------------------------------------------


def will_be(key: str, value: str, now: str) -> str:
    """What setting this system property means, for the question before it."""
    words = _MEANT.get(key)
    if words is not None and value:
        with suppress(ValueError):
            return words(value, now)
    if not value:
        return f"{escape(key)} will be unset (now {escape(now)})"
    return f"{escape(key)} will be set to {escape(value)}{_now(escape(now))}"


def _now(words: str) -> str:
    return f" (now {words})" if words else ""


def _quota_meant(value: str, now: str) -> str:
    was = _now(human_size(int(now)) if now.isdecimal() and int(now) else "")
    if not int(value):
        return f"the quota will be removed{was}"
    return f"the quota will be {human_size(int(value))}{was}; uploads to a full container fail"


def _versions_meant(value: str, now: str) -> str:
    was, kept = _now(escape(now)), int(value)
    if kept < 0:
        return f"all versions of each object will be kept{was}"
    raises = bool(now) and 0 <= int(now) <= kept
    older = "" if raises else "; older ones can be deleted"
    if kept < 2:
        return f"only the latest version of each object will be kept{was}{older}"
    return f"{kept} versions of each object will be kept{was}{older}"


def _policy_meant(value: str, now: str) -> str:
    return f"new objects will have storage policy {escape(value)}{_now(escape(now))}"


_MEANT = {
    "sys.m2.quota": _quota_meant,
    "sys.m2.policy.version": _versions_meant,
    "sys.m2.policy.storage": _policy_meant,
}
