"""What a reboot does to a simulated machine: all RAM is gone, the disks and their files stay."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from rdctl.sandbox.machine.machine import Machine
from rdctl.sandbox.machine.objects import PAGE, Mapping

if TYPE_CHECKING:
    from rdctl.sandbox.machine.stored import StoredMachine

_IMAGES, _EXPORTS = "rdctl-images.service", "rdctl-exports.service"


class Loss(NamedTuple):
    """Bytes that a reboot destroys: the contents of a volume or, with a `source`, the blocks that
    are only in a volume or a cache. `image`: the state file has one, but they are not saved."""

    name: str
    size: int
    source: str | None
    image: bool = False


def losses(
    machine: StoredMachine, with_image: Collection[str], *, sudden: bool = False
) -> list[Loss]:
    """`with_image`: the volumes that have one in the state file of the machine. `sudden`: without a
    shutdown."""
    found = []
    mapped = {mapping.volume for mapping in machine.maps.values() if mapping.is_cache}
    saved = _saved(machine) if with_image and not sudden else set()
    for number, volume in machine.volumes.items():
        name = f"rd{number}"
        if volume.unwritten:
            found.append(Loss(name, volume.unwritten * PAGE, volume.dirty_of))
        elif volume.used and volume.dirty_of is None and name not in mapped | saved:
            found.append(Loss(name, volume.used, None, name in with_image))
    for mapping in machine.maps.values():
        if mapping.dirty and (sudden or not _writes_back(mapping)):
            found.append(Loss(mapping.name, mapping.dirty * PAGE, mapping.source))
    return found


def _saved(machine: StoredMachine) -> set[str]:
    """The volumes that the unit of images would save: it knows best, by a dry run."""
    import json

    if _IMAGES not in machine.systemd.active:
        return set()
    only = [] if _EXPORTS in machine.systemd.active else ["--only", "images"]
    words = ["rdctl", "rapiddisk", "boot", "stop", *only, "--dry-run", "--json"]
    _, text = machine.execute(words)
    with suppress(ValueError, KeyError, TypeError):
        found = (line.split() for line in json.loads(text)["summary"])
        return {words[2] for words in found if words[:2] == ["would", "save"]}
    return set()


def _writes_back(mapping: Mapping) -> bool:
    """systemd removes what is still mapped, which writes an armed cache back."""
    return mapping.armed and not mapping.failed


def power_cycle(machine: Machine) -> None:
    """The machine after the reboot, before its units start."""
    machine.clear()
    machine.mounts.clear()
    machine.swaps.clear()
    machine.systemd.active.clear()
    machine.systemd.read.clear()
    name_boot(machine)
    enabled = machine.unit["UnitFileState"] == "enabled"
    machine.unit["ActiveState"] = "active" if enabled else "inactive"
    machine.delete("run")
    machine.put("run/udev/control", "")
    for number, name in enumerate(machine.disks, 1):
        machine.put(f"sys/block/{name}/diskseq", f"{number}\n")
    machine.disk_sequence = len(machine.disks)
    machine.show_users()


def name_boot(machine: Machine) -> None:
    """Give the machine a boot id that no other boot has."""
    digits = os.urandom(16).hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    machine.boot = "-".join(parts)
    machine.put("proc/sys/kernel/random/boot_id", f"{machine.boot}\n")
