"""Volumes: create, remove, resize, erase, lock."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

from rdctl.sandbox.rapiddisk.replies import Refusal, Reply, failed, success
from rdctl.sandbox.rapiddisk.sizes import MIB, WORD, mib_of, signed
from rdctl.sandbox.rapiddisk.state import is_open, refuse_mapped, volume_of, volumes_of

_SECTOR = 512
_MAX_VOLUMES = 1024


def create(connection: Connection, size: str) -> Reply:
    mib = mib_of(size)
    volumes = volumes_of(connection)
    number = _free_number(volumes)
    # The daemon ignores the kernel's answer, so what the kernel refuses is Success too.
    if number >= 0 and len(volumes) < _MAX_VOLUMES:
        connection.execute(
            "INSERT INTO rd_volumes VALUES (?, ?, 0, 0, FALSE)",
            (f"rd{number}", signed(mib * MIB)),
        )
    return success(f"Attached device rd{number} of size {mib} Mbytes.")


def _free_number(volumes: Iterable[str]) -> int:
    """The daemon's choice: any name that contains "rd1", such as rd10, hides the free number 1."""
    names = list(volumes)
    number = len(names)
    while number >= 0 and any(f"rd{number}" in name for name in names):
        number -= 1
    return number


def remove(connection: Connection, name: str) -> Reply:
    volume_of(connection, name)
    refuse_mapped(connection, name)
    connection.execute("DELETE FROM rd_volumes WHERE name = ?", (name,))
    return success(f"Detached device {name}.")


def resize(connection: Connection, name: str, size: str) -> Reply:
    mib = mib_of(size)
    if not volumes_of(connection):
        raise Refusal(None)
    volume = volume_of(connection, name)
    current = volume["size"] % WORD
    written = volume["high_water"]
    larger = f"Please specify a size larger than {written // MIB} Mbytes."
    if mib * 1024 % WORD == current // 1024:
        raise Refusal(f"Error. Size is currently set to {current // MIB} Mbytes. {larger}")
    if mib * MIB % WORD // _SECTOR <= written // _SECTOR:
        raise Refusal(f"Error. {larger}")
    connection.execute("UPDATE rd_volumes SET size = ? WHERE name = ?", (signed(mib * MIB), name))
    return success(f"Resized device {name} to {mib} Mbytes.")


def flush(connection: Connection, name: str) -> Reply:
    volume_of(connection, name)
    refuse_mapped(connection, name)
    # Even a refused erase sets the kernel's counters to 0, although the data stays.
    connection.execute("UPDATE rd_volumes SET usage = 0, high_water = 0 WHERE name = ?", (name,))
    if is_open(connection, name, f"/dev/{name}"):
        return failed("mem_device_flush: ioctl: Device or resource busy")
    return success(f"Flushed all data from device {name}.")


def lock(connection: Connection, name: str) -> Reply:
    _set_locked(connection, name, True)
    return success(f"Device {name} is now set to read-only")


def unlock(connection: Connection, name: str) -> Reply:
    _set_locked(connection, name, False)
    return success(f"Device {name} is now set to read-write")


def _set_locked(connection: Connection, name: str, locked: bool) -> None:
    volume_of(connection, name)
    connection.execute("UPDATE rd_volumes SET locked = ? WHERE name = ?", (locked, name))
