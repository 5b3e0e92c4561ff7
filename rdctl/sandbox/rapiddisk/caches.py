"""Caches: map, unmap, show."""

from __future__ import annotations

from rdctl.sandbox.machine.machine import Machine
from rdctl.sandbox.rapiddisk.replies import Refusal, Reply, success
from rdctl.sandbox.rapiddisk.sizes import MIB, WORD
from rdctl.sandbox.rapiddisk.state import caches_of, slaves_of, volume_of, volumes_of

_MAX_NAME = 255  # bytes of a file name
_POLICIES = {"write-through": "rc-wt", "write-around": "rc-wa", "write-back": "rc-wb"}
_NOT_BLOCK = ("null", "zero", "full", "random", "urandom", "tty", "mapper", "disk")


def map_cache(machine: Machine, name: str, source: str, policy: str) -> Reply:
    prefix = _POLICIES.get(policy)
    if prefix is None:
        raise Refusal("Invalid cache mode in URL.", bad_request=True)
    volume = volume_of(machine, name)
    caches = caches_of(machine)
    for other, cache in caches.items():
        used_volume, used_source = slaves_of(cache)
        if name == used_volume or source == used_source:
            raise Refusal(
                f"Error. At least one of your cache/source devices is currently mapped to {other}."
            )
    _open_source(machine, source)
    device = f"{prefix}_{source}"
    # What the kernel refuses: a name in use, no room for one set of blocks or for the superblock.
    if device in caches or volume.size % WORD < (MIB if prefix == "rc-wb" else 2 * MIB):
        raise Refusal("Error. Unable to create map. Please verify all input values are correct.")
    machine.add_cache(device, name, source)
    return success(f"Command to map {device} with {name} and /dev/{source} has been sent.")


def _open_source(machine: Machine, source: str) -> None:
    mapped = {cache.kernel for cache in caches_of(machine).values()}
    if source in volumes_of(machine) or source in machine.disks or source in mapped:
        return
    if source in _NOT_BLOCK:
        raise Refusal("cache_device_map: ioctl: Inappropriate ioctl for device")
    if len(source.encode("utf-8", "surrogateescape")) > _MAX_NAME:
        raise Refusal("cache_device_map: open: File name too long")
    raise Refusal("cache_device_map: open: No such file or directory")


def unmap(machine: Machine, name: str) -> Reply:
    cache = caches_of(machine).get(name)
    if cache is None:
        raise Refusal(f"Error. Cache target {name} does not exist.")
    if machine.is_used(cache.kernel):
        raise Refusal(f"Error. Unable to unmap {name}. Please check to make sure nothing is wrong.")
    machine.unmap(cache)
    return success(f"Command to unmap {name} has been sent.")


def show_stats(machine: Machine, name: str) -> Reply:
    """The counters; then some more work is done on the cache, for the next call to show."""
    cache = caches_of(machine).get(name)
    if cache is None:
        raise Refusal("Can't get device status.", bad_request=True)
    counters = machine.counters_of(cache)
    reply = {"statistics": [{"cache_stats": [{"device": name, **counters}]}]}
    machine.work(cache)
    return reply
