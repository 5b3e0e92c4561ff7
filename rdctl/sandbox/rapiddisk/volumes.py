"""Volumes: create, remove, resize, erase, lock."""

from __future__ import annotations

from collections.abc import Iterable

from rdctl.sandbox.machine.machine import Machine
from rdctl.sandbox.rapiddisk.replies import Refusal, Reply, failed, success
from rdctl.sandbox.rapiddisk.sizes import MIB, WORD, mib_of, signed
from rdctl.sandbox.rapiddisk.state import number_of, refuse_mapped, volume_of, volumes_of

_SECTOR = 512
_MAX_VOLUMES = 1024


def create(machine: Machine, size: str) -> Reply:
    mib = mib_of(size)
    volumes = volumes_of(machine)
    number = _free_number(volumes)
    # The daemon ignores the kernel's answer, so what the kernel refuses is Success too.
    if number >= 0 and len(volumes) < _MAX_VOLUMES:
        machine.add_volume(number, signed(mib * MIB))
    return success(f"Attached device rd{number} of size {mib} Mbytes.")


def _free_number(volumes: Iterable[str]) -> int:
    """The daemon's choice: any name that contains "rd1", such as rd10, hides the free number 1."""
    names = list(volumes)
    number = len(names)
    while number >= 0 and any(f"rd{number}" in name for name in names):
        number -= 1
    return number


def remove(machine: Machine, name: str) -> Reply:
    volume_of(machine, name)
    refuse_mapped(machine, name)
    machine.detach(number_of(name))
    return success(f"Detached device {name}.")


def resize(machine: Machine, name: str, size: str) -> Reply:
    mib = mib_of(size)
    if not volumes_of(machine):
        raise Refusal(None)
    volume = volume_of(machine, name)
    current = volume.size % WORD
    written = volume.high
    larger = f"Please specify a size larger than {written // MIB} Mbytes."
    if mib * 1024 % WORD == current // 1024:
        raise Refusal(f"Error. Size is currently set to {current // MIB} Mbytes. {larger}")
    if mib * MIB % WORD // _SECTOR <= written // _SECTOR:
        raise Refusal(f"Error. {larger}")
    machine.resize(number_of(name), signed(mib * MIB))
    return success(f"Resized device {name} to {mib} Mbytes.")


def flush(machine: Machine, name: str) -> Reply:
    volume_of(machine, name)
    refuse_mapped(machine, name)
    try:
        machine.wipe(name)
    except OSError as refusal:
        return failed(f"mem_device_flush: ioctl: {refusal.strerror}")
    return success(f"Flushed all data from device {name}.")


def lock(machine: Machine, name: str) -> Reply:
    _set_locked(machine, name, True)
    return success(f"Device {name} is now set to read-only")


def unlock(machine: Machine, name: str) -> Reply:
    _set_locked(machine, name, False)
    return success(f"Device {name} is now set to read-write")


def _set_locked(machine: Machine, name: str, locked: bool) -> None:
    volume_of(machine, name)
    machine.set_lock(name, locked)
