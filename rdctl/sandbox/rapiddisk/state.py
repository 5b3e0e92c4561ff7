"""What the daemon sees of its machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

from rdctl.sandbox.machine.initial import DISKS, add_disks
from rdctl.sandbox.machine.machine import Machine
from rdctl.sandbox.machine.objects import NVMET, Mapping, Volume
from rdctl.sandbox.rapiddisk.replies import Refusal


def in_directory_order(names: Iterable[str]) -> list[str]:
    """Names in the order of a directory, which is arbitrary: clients have to sort.

    The number is one that gives the recorded listings in their recorded order.
    """
    return sorted(names, key=lambda name: (crc32(name.encode()) % 1409, name))


def volumes_of(machine: Machine) -> dict[str, Volume]:
    volumes = {f"rd{number}": volume for number, volume in machine.volumes.items()}
    return {name: volumes[name] for name in in_directory_order(volumes)}


def caches_of(machine: Machine) -> dict[str, Mapping]:
    caches = {name: one for name, one in machine.maps.items() if one.is_cache and one.live}
    return {name: caches[name] for name in in_directory_order(caches)}


def volume_of(machine: Machine, name: str) -> Volume:
    volume = volumes_of(machine).get(name)
    if volume is None:
        raise Refusal(f"Error. Device {name} does not exist.")
    return volume


def number_of(volume: str) -> int:
    return int(volume.removeprefix("rd"))


def slaves_of(cache: Mapping) -> tuple[str, str]:
    """(cache, source) as the daemon lists them: it takes any device called rd... for the cache."""
    volume = source = ""
    for name in in_directory_order({cache.volume, cache.source}):
        if name.startswith("rd"):
            volume = name
        else:
            source = name
    return volume, source


def refuse_mapped(machine: Machine, name: str) -> None:
    for device, cache in caches_of(machine).items():
        if name == slaves_of(cache)[0]:
            raise Refusal(
                f"Error. Unable to remove {name}. This RapidDisk device is currently mapped"
                f" as a cache drive to {device}."
            )


def names_in(machine: Machine, below: str) -> list[str]:
    """The names in a directory of the NVMe target."""
    path = machine.path(f"{NVMET}/{below}")
    return in_directory_order(entry.name for entry in path.iterdir()) if path.is_dir() else []


def attribute(machine: Machine, below: str) -> str:
    return machine.text(f"{NVMET}/{below}")


# --- any state, for tests ---------------------------------------------------------------------


def load_state(machine: Machine, state: dict[str, Any]) -> None:
    """Replace everything that is simulated with `state`; what it does not name does not exist.

    Lists of dicts: `volumes` (device, size; usage, high_water, locked), `caches` (device, cache,
    source; counters), `ports` (port, address, protocol), `targets` (nqn, device; namespace,
    enabled, hosts, ports), `disks` (device, size, vendor, model) and the dict `memory` (total,
    free). Sizes are bytes. Without `disks` or `memory` they are those of a new sandbox.
    """
    machine.clear()
    if memory := state.get("memory"):
        machine.memory_total, machine.memory_free = memory["total"], memory["free"]
    _load_disks(machine, state.get("disks"))
    for volume in state.get("volumes", ()):
        made = machine.add_volume(number_of(volume["device"]), volume["size"])
        made.used = volume.get("usage", 0)
        made.high = volume.get("high_water", made.used)
        machine.set_lock(volume["device"], volume.get("locked", False))
    for cache in state.get("caches", ()):
        _load_cache(machine, cache)
    for port in state.get("ports", ()):
        address = "" if port["address"] == "UNDEFINED" else port["address"]
        machine.add_port(port["port"], address, "4420" if address else "", port["protocol"])
    for target in state.get("targets", ()):
        machine.add_export(
            target["nqn"],
            target.get("namespace", 1),
            target["device"],
            enabled=target.get("enabled", True),
            hosts=target.get("hosts", ()),
            ports=target.get("ports", ()),
        )
    machine.show_volumes()


def _load_disks(machine: Machine, disks: Sequence[dict[str, Any]] | None) -> None:
    for name in list(machine.disks):
        machine.take_disk(name)
    if disks is None:
        add_disks(machine)
        return
    numbers = {disk.name: disk.number for disk in DISKS}
    for disk in disks:
        machine.add_disk(disk["device"], disk["size"], numbers[disk["device"]])
        machine.name_disk(disk["device"], disk["vendor"], disk["model"])


def _load_cache(machine: Machine, cache: dict[str, Any]) -> None:
    mapping = machine.add_cache(cache["device"], cache["cache"], cache["source"])
    mapping.counters |= cache.get("counters", {})
    if mapping.kind == "writecache":
        mapping.dirty = mapping.counters["num_blocks"] - mapping.counters["num_free_blocks"]
