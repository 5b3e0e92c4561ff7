"""What the replies of a rapiddiskd mean.

The body is the verdict, never the HTTP status; dialects differ in the keys that are there.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, natural
from rdctl.core.unread import note, rows, spared
from rdctl.net.messages import Reply
from rdctl.rapiddisk.model import (
    Cache,
    CacheCounters,
    Disk,
    Inventory,
    Port,
    Resources,
    Target,
    Volume,
)

# What a daemon's messages mean, in the order in which they are matched.
_REFUSALS: tuple[tuple[str, Code, str | None], ...] = (
    ("Unsupported", Code.UNSUPPORTED, None),
    ("does not exist", Code.NOT_FOUND, None),
    ("Can't get device status", Code.NOT_FOUND, None),
    (
        "cache_device_map: open: No such file",
        Code.NOT_FOUND,
        "Check the name of the source: rdctl rapiddisk resources",
    ),
    ("is currently mounted", Code.IN_USE, "Unmount it on that machine first."),
    ("currently mapped", Code.IN_USE, "List the caches: rdctl rapiddisk cache list"),
    ("Device or resource busy", Code.IN_USE, "It is open in a process on that machine."),
    ("Unable to unmap", Code.IN_USE, "It may be open, exported, or below another mapping."),
    ("Size is currently set", Code.CONFLICT, None),
    ("specify a size larger", Code.CONFLICT, "It has data up to that size."),
    (
        "sys/kernel/rapiddisk/mgmt: No such file",
        Code.MODULE_MISSING,
        "Load it on that machine: sudo modprobe rapiddisk",
    ),
    (
        "NVMe Target subsystem is not loaded",
        Code.MODULE_MISSING,
        "Load it on that machine: sudo modprobe nvmet && sudo modprobe nvmet-tcp",
    ),
    (
        "search_cache_targets",
        Code.FAILED,
        "The daemon cannot list its mappings. Check that udev is running on that machine.",
    ),
)


# --- the verdict ---------------------------------------------------------------------------------


def verdict(body: dict[str, Any]) -> Any:
    return body.get("status", body.get("return_status"))


def object_of(reply: Reply) -> dict[str, Any]:
    """The object of a reply; {} if its body is not an object."""
    try:
        body = reply.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def did(reply: Reply) -> bool:
    """Whether a change was done: a refusal may come with 200, and an empty 200 proves nothing, so
    it passes."""
    if not reply.text.strip():
        return reply.status == 200
    return bool(verdict(object_of(reply)) == "Success")


def refused(message: str, reply: Reply) -> RdctlError:
    """The daemon's refusal, in its own words if it sent any."""
    message = escape(message.strip())
    code, hint = next(
        ((code, hint) for words, code, hint in _REFUSALS if words in message),
        (Code.FAILED, None),
    )
    if code is Code.UNSUPPORTED:
        message = "this rapiddiskd does not support the request"
    elif message in ("", "Failed"):
        message = "the daemon refused and gave no reason"
        hint = "See its log on that machine: journalctl -u rapiddiskd"
    return RdctlError(code, message.removeprefix("Error. "), hint=hint, http_status=reply.status)


def major(version: str) -> int:
    """The major version; what cannot be read counts as new."""
    digits = version.split(".")[0]
    return int(digits) if re.fullmatch(r"[0-9]{1,4}", digits) else 9


# --- whole replies -------------------------------------------------------------------------------


def status(body: dict[str, Any]) -> tuple[str, str]:
    """The version and the status that the daemon reports."""
    return _text(body["version"]), _text(body["status"])


def resources(body: dict[str, Any]) -> Resources:
    parts = _merged(body["resources"])
    memory = _merged(parts["memory"])
    disks = rows(_disk, _list(parts["volumes"]), "disk", "device")
    disks.sort(key=lambda disk: natural(disk.device))
    return spared(_memory, memory, "machine")._replace(disks=disks)


def inventory(body: dict[str, Any], strict: bool) -> Inventory:
    parts = _merged(body["volumes"])
    if strict:
        _miss(parts["rapiddisk"], "volume", "size")
        _miss(parts["rapiddisk_cache"], "cache", "cache", "source", "mode")
    volumes = rows(_volume, _list(parts["rapiddisk"]), "volume", "device")
    caches = rows(_cache, _list(parts["rapiddisk_cache"]), "cache", "device")
    return Inventory(volumes, caches)


def counters(body: dict[str, Any]) -> CacheCounters:
    counters = dict(_merged(_merged(body["statistics"])["cache_stats"]))
    device = _text(counters.pop("device"))
    return CacheCounters(device, spared(_counters, counters, "cache"))


def targets(body: dict[str, Any], strict: bool) -> list[Target]:
    parts = _merged(body["targets"])
    if strict:
        _miss(parts["nvmet_targets"], "target", "device")
    read = partial(_target, parts)
    return rows(read, _list(parts["nvmet_targets"]), "target", "nqn")


def ports(body: dict[str, Any]) -> list[Port]:
    parts = _merged(body["targets"])
    return rows(_port, _list(parts["nvmet_ports"]), "port", "port")


# --- values --------------------------------------------------------------------------------------


def _merged(parts: Any) -> dict[str, Any]:
    """The daemon wraps each object into a list of one-key objects."""
    merged: dict[str, Any] = {}
    for part in _list(parts):
        if not isinstance(part, dict):
            raise TypeError("an object was expected")
        merged.update(part)
    return merged


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("a number was expected")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _known(value: Any) -> str | None:
    """A string; None where the daemon sends a placeholder."""
    return None if _text(value) in ("", "UNDEFINED", "UNAVAILABLE", "(null)") else value


def _miss(entries: Any, noun: str, *keys: str) -> None:
    """Note the keys that entries lack and a guard needs."""
    for entry in _list(entries):
        for key in keys:
            if isinstance(entry, dict) and key not in entry:
                note(noun, key)


def _optional(entry: dict[str, Any], key: str) -> int | None:
    return _integer(entry[key]) if key in entry else None


def _volume(entry: dict[str, Any]) -> Volume:
    size = _optional(entry, "size")
    # Below 9 there are neither usage nor status.
    return Volume(
        device=_text(entry["device"]),
        size=None if size is None else size % (1 << 64),
        usage=_optional(entry, "usage"),
        locked={"locked": True, "unlocked": False}.get(_text(entry.get("status", ""))),
    )


def _cache(entry: dict[str, Any]) -> Cache:
    return Cache(
        device=_text(entry["device"]),
        volume=_known(entry.get("cache", "")),
        source=_known(entry.get("source", "")),
        policy=_text(entry["mode"]) if "mode" in entry else None,
    )


def _memory(memory: dict[str, Any]) -> Resources:
    return Resources(_optional(memory, "mem_total"), _optional(memory, "mem_free"), None, [])


def _counters(counters: dict[str, Any]) -> dict[str, int]:
    return {key: _integer(number) for key, number in counters.items()}


def _disk(entry: dict[str, Any]) -> Disk:
    vendor, model = entry.get("vendor", ""), entry.get("model", "")
    size = _optional(entry, "size")
    # Debian's 9.0.0 reads nothing from sysfs: its zero is not a size.
    unread = size == 0 and vendor == "" and model == ""
    return Disk(_text(entry["device"]), None if unread else size, _known(vendor), _known(model))


def _port(entry: dict[str, Any]) -> Port:
    """The daemon does not report the service."""
    number = _integer(entry["port"])
    transport, address = _known(entry.get("protocol", "")), _known(entry.get("address", ""))
    return Port(number, transport, address, None)


def _target(parts: dict[str, Any], entry: dict[str, Any]) -> Target:
    nqn, device = _text(entry["nqn"]), _text(entry.get("device", ""))
    enabled = None
    if entry.get("device") != "" and "enabled" in entry:
        enabled = {"true": True, "false": False}[entry["enabled"]]
    if "nvmet_ports" not in parts:
        ports = _list(entry.get("assigned_ports", []))
        hosts = None
        if "allowed_hosts" in entry:
            hosts = [_text(host["host"]) for host in _list(entry["allowed_hosts"])]
    else:
        # 8.x and 9.0.0: one list of all pairs of port and subsystem, and no hosts.
        ports = [port for port in _list(parts["nvmet_ports"]) if _text(port["nqn"]) == nqn]
        hosts = None
    return Target(
        nqn=nqn,
        namespace=_optional(entry, "namespace"),
        device=_known(device),
        enabled=enabled if device else None,
        any_host=False if hosts else None,
        hosts=hosts,
        ports=sorted(map(_port, ports), key=lambda port: port.port),
    )
