"""A machine in the sandbox's file: its files, a row each, and its objects in one row.

Every change has a number. Who has seen a machine up to one number reads only what came after it.
"""

from __future__ import annotations

import json
import os
import stat
from sqlite3 import Connection
from typing import Any

from rdctl.sandbox.machine.machine import Machine
from rdctl.sandbox.machine.objects import Disk, Mapping, Volume
from rdctl.sandbox.machine.packed import pack, unpack

_PLAIN = (
    "version",
    "limit",
    "configfs",
    "swaps",
    "identities",
    "disk_sequence",
    "addresses",
    "interfaces",
    "loops",
    "unit",
    "steps",
    "boot",
    "memory_total",
    "memory_free",
    "memory_available",
)

# Bytes from which on a file is packed: an image, or the node of a volume that has contents.
_LARGE = 64 << 10


def add(machine: Machine, connection: Connection) -> None:
    """A new machine."""
    made = os.urandom(8).hex()
    connection.execute("INSERT INTO machine VALUES (?, 0, '')", (made,))
    save(machine, connection)


def save(machine: Machine, connection: Connection) -> int:
    """Save what changed; the number of the last change."""
    change, objects = connection.execute("SELECT change, objects FROM machine").fetchone()
    now = json.dumps(_objects(machine))
    if not (machine.made or machine.gone) and now == objects:
        return int(change)
    change += 1
    for path in machine.gone:
        connection.execute(
            "UPDATE machine_files SET kind = NULL, content = NULL, change = ?"
            " WHERE path = ? OR path > ? AND path < ?",
            (change, path, f"{path}/", f"{path}0"),
        )
    connection.executemany(
        "INSERT OR REPLACE INTO machine_files VALUES (?, ?, ?, ?, ?)",
        [(path, *_file(machine.root / path), change) for path in machine.made],
    )
    connection.execute("UPDATE machine SET change = ?, objects = ?", (change, now))
    forget(machine)
    return int(change)


def forget(machine: Machine) -> None:
    """What changed is saved, or was read."""
    machine.made.clear()
    machine.gone.clear()


def load(machine: Machine, connection: Connection, seen: int) -> None:
    """Read what changed after the change `seen`."""
    (objects,) = connection.execute("SELECT objects FROM machine").fetchone()
    rows = connection.execute(
        "SELECT path, kind, mode, content FROM machine_files WHERE change > ? ORDER BY path",
        (seen,),
    ).fetchall()
    _restore(machine, json.loads(objects))
    for path, kind, _, _ in reversed(rows):
        if kind is None and os.path.lexists(machine.path(path)):
            machine.delete(path)
    for path, kind, mode, content in rows:
        if kind is not None:
            _show(machine, path, kind, mode, content)
    forget(machine)


def _file(path: os.PathLike[str]) -> tuple[str, int, bytes | None]:
    status = os.lstat(path)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return "link", mode, os.fsencode(os.readlink(path))
    if stat.S_ISDIR(status.st_mode):
        return "dir", mode, None
    if not mode & stat.S_IRUSR:
        return "file", mode, b""
    with open(path, "rb") as file:
        if status.st_size > _LARGE:
            return "packed", mode, pack(file)
        return "file", mode, file.read()


def _show(machine: Machine, below: str, kind: str, mode: int, content: bytes) -> None:
    path = machine.root / below
    if kind == "dir":
        path.mkdir(exist_ok=True)
        return
    if kind == "link" or path.is_symlink():
        path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(os.fsdecode(content))
        return
    if kind == "packed":
        with open(path, "wb") as file:
            unpack(content, file)
    else:
        path.write_bytes(content)
    path.chmod(mode)


# --- the objects ------------------------------------------------------------------------------


def _objects(machine: Machine) -> dict[str, Any]:
    found = {name: getattr(machine, name) for name in _PLAIN}
    volumes = {number: _volume(volume) for number, volume in machine.volumes.items()}
    return found | {
        "volumes": volumes,
        "maps": {name: vars(mapping) for name, mapping in machine.maps.items()},
        "disks": {name: vars(disk) for name, disk in machine.disks.items()},
        "mounts": machine.mounts,
        "transports": sorted(machine.transports),
        "active": sorted(machine.systemd.active),
        "read": machine.systemd.read,
        "namespace_sizes": [[*key, size] for key, size in machine.namespace_sizes.items()],
    }


def _volume(volume: Volume) -> dict[str, Any]:
    blocks = {offset: data.hex() for offset, data in volume.blocks.items()}
    return vars(volume) | {"blocks": blocks}


def _restore(machine: Machine, found: dict[str, Any]) -> None:
    for name in _PLAIN:
        setattr(machine, name, found[name])
    machine.volumes = {}
    for number, values in found["volumes"].items():
        blocks = {int(offset): bytes.fromhex(data) for offset, data in values["blocks"].items()}
        machine.volumes[int(number)] = _filled(Volume(0), values | {"blocks": blocks})
    machine.maps = {
        name: _filled(Mapping(0, name), values) for name, values in found["maps"].items()
    }
    machine.disks = {name: _filled(Disk(0, ""), values) for name, values in found["disks"].items()}
    machine.mounts = [(device, place) for device, place in found["mounts"]]
    machine.transports = set(found["transports"])
    machine.systemd.active = set(found["active"])
    machine.systemd.read = found["read"]
    machine.namespace_sizes = {(nqn, n): size for nqn, n, size in found["namespace_sizes"]}


def _filled(one: Any, values: dict[str, Any]) -> Any:
    vars(one).update(values)
    return one
