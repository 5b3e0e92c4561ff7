"""Listings, as the daemon sends them."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection, Row

from rdctl.sandbox.rapiddisk.replies import Reply
from rdctl.sandbox.rapiddisk.state import (
    caches_of,
    in_directory_order,
    rows_by_name,
    slaves_of,
    volumes_of,
)

VERSION = "9.2.0"

_MODES = {"rc-wt": "write-through", "rc-wb": "writeback"}  # by the name; else write-around
_LISTED_DISKS = ("sd", "nvme", "pmem")


def check_service_status(connection: Connection) -> Reply:
    return {"status": "OK", "version": VERSION}


def list_all_resources(connection: Connection) -> Reply:
    memory = connection.execute("SELECT total, free FROM rd_memory").fetchone()
    used = sum(volume["usage"] for volume in volumes_of(connection).values())
    disks = rows_by_name(connection, "rd_disks")
    return {
        "resources": [
            {"memory": [{"mem_total": memory["total"], "mem_free": max(0, memory["free"] - used)}]},
            {
                "volumes": [
                    {
                        "device": name,
                        "size": disk["size"],
                        "vendor": disk["vendor"],
                        "model": disk["model"],
                    }
                    for name, disk in disks.items()
                    if name.startswith(_LISTED_DISKS)
                ]
            },
        ]
    }


def list_volumes(connection: Connection) -> Reply:
    return {
        "volumes": [
            {
                "rapiddisk": [
                    {
                        "device": name,
                        "size": volume["size"],
                        "usage": volume["usage"],
                        "status": "locked" if volume["locked"] else "unlocked",
                    }
                    for name, volume in volumes_of(connection).items()
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
                    for name, cache in caches_of(connection).items()
                ]
            },
        ]
    }


def list_targets(connection: Connection) -> Reply:
    rows = connection.execute("SELECT nqn, id, device, enabled FROM rd_namespaces ORDER BY id")
    namespaces: dict[str, list[Row]] = {}
    for row in rows:
        namespaces.setdefault(row["nqn"], []).append(row)
    return {
        "targets": [
            {
                "nvmet_targets": [
                    {
                        "nqn": nqn,
                        "namespace": row["id"],
                        "device": row["device"],
                        "enabled": "true" if row["enabled"] else "false",
                        "allowed_hosts": _hosts(connection, nqn),
                        "assigned_ports": _ports(connection, nqn),
                    }
                    for nqn in in_directory_order(namespaces)
                    for row in namespaces[nqn]
                ]
            }
        ]
    }


def list_ports(connection: Connection) -> Reply:
    return {"targets": [{"nvmet_ports": _ports(connection)}]}


def _hosts(connection: Connection, nqn: str) -> list[Reply]:
    rows = connection.execute("SELECT host FROM rd_hosts WHERE nqn = ?", (nqn,))
    return [{"host": host} for host in in_directory_order(row["host"] for row in rows)]


def _ports(connection: Connection, nqn: str | None = None) -> list[Reply]:
    """The ports, or those on which a subsystem is exported."""
    ports = {str(row["id"]): row for row in connection.execute("SELECT * FROM rd_ports")}
    names: Iterable[str] = ports
    if nqn is not None:
        links = connection.execute("SELECT port FROM rd_links WHERE nqn = ?", (nqn,))
        names = {str(link["port"]) for link in links} & ports.keys()
    return [
        {
            "port": ports[name]["id"],
            "address": ports[name]["address"],
            "protocol": ports[name]["protocol"],
        }
        for name in in_directory_order(names)
    ]
