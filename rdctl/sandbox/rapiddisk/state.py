"""The daemon's state: volumes, caches, exports; that of a new sandbox, and any other."""

from __future__ import annotations

import json
from collections.abc import Iterable
from sqlite3 import Connection, Row
from typing import Any
from zlib import crc32

from rdctl.sandbox.rapiddisk.counters import Counters, fresh_counters
from rdctl.sandbox.rapiddisk.replies import Refusal
from rdctl.sandbox.rapiddisk.sizes import MIB

SCHEMA = """
CREATE TABLE rd_memory (total INTEGER, free INTEGER);  -- bytes; free as if no volume held data
CREATE TABLE rd_disks (name TEXT PRIMARY KEY, size INTEGER, vendor TEXT, model TEXT);
CREATE TABLE rd_volumes (
    name TEXT PRIMARY KEY,
    size INTEGER,        -- bytes, as signed 64 bits: the daemon lists it so
    usage INTEGER,       -- bytes
    high_water INTEGER,  -- bytes: the end of the highest write since the last flush
    locked INTEGER
);
CREATE TABLE rd_caches (
    name TEXT PRIMARY KEY,
    volume TEXT,
    source TEXT,
    minor INTEGER,       -- of its node /dev/dm-N
    counters TEXT        -- JSON, in the order of the wire
);
CREATE TABLE rd_ports (id INTEGER PRIMARY KEY, address TEXT, protocol TEXT);
CREATE TABLE rd_namespaces (
    nqn TEXT, id INTEGER, device TEXT, enabled INTEGER, PRIMARY KEY (nqn, id)
);
CREATE TABLE rd_hosts (nqn TEXT, host TEXT, PRIMARY KEY (nqn, host));
CREATE TABLE rd_links (nqn TEXT, port INTEGER, PRIMARY KEY (nqn, port));
"""


_DISKS = (
    {"device": "sda", "size": 512 * MIB, "vendor": "QEMU", "model": "QEMU"},
    {"device": "sdb", "size": 1024 * MIB, "vendor": "QEMU", "model": "QEMU"},
    {"device": "nvme0n1", "size": 8192 * MIB, "vendor": "UNAVAILABLE", "model": "QEMU"},
    {"device": "vdb", "size": 512 * MIB, "vendor": "UNAVAILABLE", "model": "UNAVAILABLE"},
    {"device": "vdc", "size": 512 * MIB, "vendor": "UNAVAILABLE", "model": "UNAVAILABLE"},
)
_MEMORY = {"total": 4103258112, "free": 3502264320}

_SEED: dict[str, Any] = {
    "volumes": [{"device": "rd0", "size": 32 * MIB, "usage": 16384}],
    "ports": [
        {"port": 1, "address": "127.0.0.1", "protocol": "tcp"},
        {"port": 2, "address": "UNDEFINED", "protocol": "loop"},
    ],
    "targets": [
        {
            "nqn": "nqn.2021-06.org.rapiddisk:sandbox-rd0",
            "device": "/dev/rd0",
            "hosts": ["nqn.2014-08.org.nvmexpress:uuid:0f7c6d1e-6c5e-4b8e-9d3a-2f1f6a1b2c3d"],
            "ports": [1],
        }
    ],
}


def seed(connection: Connection) -> None:
    """The state of a new sandbox: one small volume, exported over TCP."""
    load_state(connection, _SEED)


def load_state(connection: Connection, state: dict[str, Any]) -> None:
    """Replace everything that is simulated with `state`; what it does not name does not exist.

    Lists of dicts: `volumes` (device, size; usage, high_water, locked), `caches` (device, cache,
    source; counters), `ports` (port, address, protocol), `targets` (nqn, device; namespace,
    enabled, hosts, ports), `disks` (device, size, vendor, model) and the dict `memory` (total,
    free). Sizes are bytes. Without `disks` or `memory` they are those of a new sandbox.
    """
    tables = "memory disks volumes caches ports namespaces hosts links"
    for table in tables.split():
        connection.execute(f"DELETE FROM rd_{table}")
    memory = state.get("memory", _MEMORY)
    connection.execute("INSERT INTO rd_memory VALUES (?, ?)", (memory["total"], memory["free"]))
    for disk in state.get("disks", _DISKS):
        connection.execute(
            "INSERT INTO rd_disks VALUES (?, ?, ?, ?)",
            (disk["device"], disk["size"], disk["vendor"], disk["model"]),
        )
    for volume in state.get("volumes", ()):
        usage = volume.get("usage", 0)
        high_water = volume.get("high_water", usage)
        connection.execute(
            "INSERT INTO rd_volumes VALUES (?, ?, ?, ?, ?)",
            (volume["device"], volume["size"], usage, high_water, volume.get("locked", False)),
        )
    for cache in state.get("caches", ()):
        size = volumes_of(connection)[cache["cache"]]["size"]
        counters = fresh_counters(cache["device"], size) | cache.get("counters", {})
        insert_cache(connection, cache["device"], cache["cache"], cache["source"], counters)
    for port in state.get("ports", ()):
        connection.execute(
            "INSERT INTO rd_ports VALUES (?, ?, ?)",
            (port["port"], port["address"], port["protocol"]),
        )
    for target in state.get("targets", ()):
        insert_target(connection, target)


def in_directory_order(names: Iterable[str]) -> list[str]:
    """Names in the order of a directory, which is arbitrary: clients have to sort.

    The number is one that gives the recorded listings in their recorded order.
    """
    return sorted(names, key=lambda name: (crc32(name.encode()) % 1409, name))


def rows_by_name(connection: Connection, table: str) -> dict[str, Row]:
    rows = {row["name"]: row for row in connection.execute(f"SELECT * FROM {table}")}
    return {name: rows[name] for name in in_directory_order(rows)}


def volumes_of(connection: Connection) -> dict[str, Row]:
    return rows_by_name(connection, "rd_volumes")


def caches_of(connection: Connection) -> dict[str, Row]:
    return rows_by_name(connection, "rd_caches")


def volume_of(connection: Connection, name: str) -> Row:
    volume = volumes_of(connection).get(name)
    if volume is None:
        raise Refusal(f"Error. Device {name} does not exist.")
    return volume


def slaves_of(cache: Row) -> tuple[str, str]:
    """(cache, source) as the daemon lists them: it takes any device called rd... for the cache."""
    volume = source = ""
    for name in in_directory_order({cache["volume"], cache["source"]}):
        if name.startswith("rd"):
            volume = name
        else:
            source = name
    return volume, source


def refuse_mapped(connection: Connection, name: str) -> None:
    for device, cache in caches_of(connection).items():
        if name == slaves_of(cache)[0]:
            raise Refusal(
                f"Error. Unable to remove {name}. This RapidDisk device is currently mapped"
                f" as a cache drive to {device}."
            )


def is_open(connection: Connection, node: str, *paths: str) -> bool:
    """Whether a device is the source of a cache, or an enabled namespace has it."""
    if any(cache["source"] == node for cache in caches_of(connection).values()):
        return True
    rows = connection.execute("SELECT device FROM rd_namespaces WHERE enabled")
    return any(row["device"] in paths for row in rows)


def insert_cache(
    connection: Connection, device: str, volume: str, source: str, counters: Counters
) -> None:
    taken = {cache["minor"] for cache in caches_of(connection).values()}
    minor = next(number for number in range(len(taken) + 1) if number not in taken)
    connection.execute(
        "INSERT INTO rd_caches VALUES (?, ?, ?, ?, ?)",
        (device, volume, source, minor, json.dumps(counters)),
    )


def insert_target(connection: Connection, target: dict[str, Any]) -> None:
    nqn = target["nqn"]
    connection.execute(
        "INSERT INTO rd_namespaces VALUES (?, ?, ?, ?)",
        (nqn, target.get("namespace", 1), target["device"], target.get("enabled", True)),
    )
    for host in target.get("hosts", ()):
        connection.execute("INSERT OR IGNORE INTO rd_hosts VALUES (?, ?)", (nqn, host))
    for port in target.get("ports", ()):
        connection.execute("INSERT OR IGNORE INTO rd_links VALUES (?, ?)", (nqn, port))
