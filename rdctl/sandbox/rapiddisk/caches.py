"""Caches: map, unmap, show."""

from __future__ import annotations

import json
from sqlite3 import Connection

from rdctl.sandbox.rapiddisk.counters import Counters, fresh_counters, work_on, writeback_head
from rdctl.sandbox.rapiddisk.replies import Refusal, Reply, success
from rdctl.sandbox.rapiddisk.sizes import MIB, PAGE, WORD
from rdctl.sandbox.rapiddisk.state import (
    caches_of,
    insert_cache,
    is_open,
    rows_by_name,
    slaves_of,
    volume_of,
    volumes_of,
)

_MAX_NAME = 255  # bytes of a file name
_POLICIES = {"write-through": "rc-wt", "write-around": "rc-wa", "write-back": "rc-wb"}
_NOT_BLOCK = ("null", "zero", "full", "random", "urandom", "tty", "mapper", "disk")


def map_cache(connection: Connection, name: str, source: str, policy: str) -> Reply:
    prefix = _POLICIES.get(policy)
    if prefix is None:
        raise Refusal("Invalid cache mode in URL.", bad_request=True)
    volume = volume_of(connection, name)
    caches = caches_of(connection)
    for other, cache in caches.items():
        used_volume, used_source = slaves_of(cache)
        if name == used_volume or source == used_source:
            raise Refusal(
                f"Error. At least one of your cache/source devices is currently mapped to {other}."
            )
    _open_source(connection, source)
    device = f"{prefix}_{source}"
    # What the kernel refuses: a name in use, no room for one set of blocks or for the superblock.
    if device in caches or volume["size"] % WORD < (MIB if prefix == "rc-wb" else 2 * MIB):
        raise Refusal("Error. Unable to create map. Please verify all input values are correct.")
    counters = fresh_counters(device, volume["size"])
    insert_cache(connection, device, name, source, counters)
    _use_volume(connection, name, device, counters)
    return success(f"Command to map {device} with {name} and /dev/{source} has been sent.")


def _open_source(connection: Connection, source: str) -> None:
    nodes = {f"dm-{cache['minor']}" for cache in caches_of(connection).values()}
    if source in volumes_of(connection) or source in rows_by_name(connection, "rd_disks"):
        return
    if source in nodes:
        return
    if source in _NOT_BLOCK:
        raise Refusal("cache_device_map: ioctl: Inappropriate ioctl for device")
    if len(source.encode("utf-8", "surrogateescape")) > _MAX_NAME:
        raise Refusal("cache_device_map: open: File name too long")
    raise Refusal("cache_device_map: open: No such file or directory")


def unmap(connection: Connection, name: str) -> Reply:
    cache = caches_of(connection).get(name)
    if cache is None:
        raise Refusal(f"Error. Cache target {name} does not exist.")
    node = f"dm-{cache['minor']}"
    if is_open(connection, node, f"/dev/{node}", f"/dev/mapper/{name}"):
        raise Refusal(f"Error. Unable to unmap {name}. Please check to make sure nothing is wrong.")
    connection.execute("DELETE FROM rd_caches WHERE name = ?", (name,))
    return success(f"Command to unmap {name} has been sent.")


def show_stats(connection: Connection, name: str) -> Reply:
    """The counters; then some more work is done on the cache, for the next call to show."""
    cache = caches_of(connection).get(name)
    if cache is None:
        raise Refusal("Can't get device status.", bad_request=True)
    counters: Counters = json.loads(cache["counters"])
    reply = {"statistics": [{"cache_stats": [{"device": name, **counters}]}]}
    volume = volumes_of(connection).get(cache["volume"])
    if volume is not None:
        work_on(name, counters, volume["size"] % WORD // PAGE)
        connection.execute(
            "UPDATE rd_caches SET counters = ? WHERE name = ?", (json.dumps(counters), name)
        )
        _use_volume(connection, cache["volume"], name, counters)
    return reply


def _use_volume(connection: Connection, name: str, device: str, counters: Counters) -> None:
    """Account for the blocks of a cache in its volume."""
    size = volumes_of(connection)[name]["size"] % WORD
    if device.startswith("rc-wb"):
        held = counters["num_blocks"] - counters["num_free_blocks"]
        usage = written = writeback_head(counters["num_blocks"]) + held * PAGE
    else:
        usage, written = counters["disk_reads"] * PAGE, size  # blocks are scattered over the volume
    connection.execute(
        "UPDATE rd_volumes SET usage = max(usage, ?), high_water = max(high_water, ?)"
        " WHERE name = ?",
        (min(usage, size), min(written, size, WORD // 2 - 1), name),
    )
