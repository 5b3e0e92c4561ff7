"""Listings, as the daemon sends them."""

from __future__ import annotations

from rdctl.sandbox.machine.machine import Machine
from rdctl.sandbox.rapiddisk.replies import Reply
from rdctl.sandbox.rapiddisk.state import (
    attribute,
    caches_of,
    in_directory_order,
    names_in,
    slaves_of,
    volumes_of,
)

VERSION = "9.2.0"

_MODES = {"rc-wt": "write-through", "rc-wb": "writeback"}  # by the name; else write-around
_ENABLED = {"1": "true", "0": "false"}
_LISTED_DISKS = ("sd", "nvme", "pmem")


def check_service_status(machine: Machine) -> Reply:
    return {"status": "OK", "version": VERSION}


def list_all_resources(machine: Machine) -> Reply:
    used = sum(volume.used for volume in machine.volumes.values())
    free = max(0, machine.memory_free - used)
    return {
        "resources": [
            {"memory": [{"mem_total": machine.memory_total, "mem_free": free}]},
            {
                "volumes": [
                    {
                        "device": name,
                        "size": machine.disks[name].size,
                        "vendor": _told(machine, name, "vendor"),
                        "model": _told(machine, name, "model"),
                    }
                    for name in in_directory_order(machine.disks)
                    if name.startswith(_LISTED_DISKS)
                ]
            },
        ]
    }


def _told(machine: Machine, disk: str, key: str) -> str:
    below = f"sys/block/{disk}/device/{key}"
    return machine.text(below) if machine.path(below).exists() else "UNAVAILABLE"


def list_volumes(machine: Machine) -> Reply:
    return {
        "volumes": [
            {
                "rapiddisk": [
                    {
                        "device": name,
                        "size": volume.size,
                        "usage": volume.used,
                        "status": "locked" if volume.locked else "unlocked",
                    }
                    for name, volume in volumes_of(machine).items()
                ]
            },
            {
                "rapiddisk_cache": [
                    {
                        "device": name,
                        "cache": slaves_of(cache)[0],
                        "source": slaves_of(cache)[1],
                        "mode": _MODES.get(name[:5], "write-around"),
                    }
                    for name, cache in caches_of(machine).items()
                ]
            },
        ]
    }


def list_targets(machine: Machine) -> Reply:
    return {
        "targets": [
            {
                "nvmet_targets": [
                    {
                        "nqn": nqn,
                        "namespace": number,
                        "device": attribute(machine, f"{place}/{number}/device_path"),
                        "enabled": _ENABLED[attribute(machine, f"{place}/{number}/enable")],
                        "allowed_hosts": _hosts(machine, nqn),
                        "assigned_ports": _ports(machine, nqn),
                    }
                    for nqn in names_in(machine, "subsystems")
                    for place in [f"subsystems/{nqn}/namespaces"]
                    for number in sorted(map(int, names_in(machine, place)))
                ]
            }
        ]
    }


def list_ports(machine: Machine) -> Reply:
    return {"targets": [{"nvmet_ports": _ports(machine)}]}


def _hosts(machine: Machine, nqn: str) -> list[Reply]:
    return [{"host": host} for host in names_in(machine, f"subsystems/{nqn}/allowed_hosts")]


def _ports(machine: Machine, nqn: str | None = None) -> list[Reply]:
    """The ports, or those on which a subsystem is exported."""
    return [
        {
            "port": int(number),
            "address": attribute(machine, f"ports/{number}/addr_traddr") or "UNDEFINED",
            "protocol": attribute(machine, f"ports/{number}/addr_trtype"),
        }
        for number in names_in(machine, "ports")
        if nqn is None or nqn in names_in(machine, f"ports/{number}/subsystems")
    ]
