"""All of a machine at once: each part is read by itself, and fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Failure, Listing
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.memory import memory_of, shortage
from rdctl.rapiddisk.model import Inventory, Overview, Survey, Target, User
from rdctl.rapiddisk.names import at_path
from rdctl.rapiddisk.uses import with_uses

T = TypeVar("T")

_FRAGILE = "exports were not listed: that can crash rapiddiskd 9.2 (use --deep)"


def overview(backend: Backend, machine: str, deep: bool, warn: Callable[[str], None]) -> Listing:
    """Memory, volumes, caches and exports as one row. A daemon is asked for its exports only if
    `deep`: that can crash a 9.2."""
    failed: dict[str, RdctlError] = {}

    def part(name: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except RdctlError as error:
            failed[name] = error
            return None

    inventory = part("volumes", lambda: backend.inventory(strict=False))
    if inventory is None and failed["volumes"].code is Code.UNREACHABLE:
        raise failed["volumes"]
    resources = part("memory", backend.memory)
    asked = deep or backend.reports_all
    exports = part("exports", backend.guarded_targets) if asked else None
    if inventory is None and resources is None and exports is None:
        raise failed["volumes"]
    if not asked:
        warn(_FRAGILE)
    known = None if inventory is None else inventory.volumes
    if resources is not None and (words := shortage(resources, known or ())):
        warn(words)
    row = Overview(
        machine=machine,
        memory=None if resources is None else memory_of(resources, known),
        volumes=inventory and with_uses(inventory, _survey(backend, inventory, exports)),
        caches=inventory and inventory.caches,
        exports=exports,
    )
    listing = Listing([row], vertical=True)
    for name, error in failed.items():
        error.target = name
        listing.failures.append(Failure("overview", error))
    return listing


def _survey(backend: Backend, inventory: Inventory, exports: Sequence[Target] | None) -> Survey:
    """The users of volumes; of a daemon, those by the exports that it listed."""
    if exports is None or backend.reports_all:
        return backend.listed_users()
    users: dict[str, list[User]] = {}
    for target in exports:
        if device := at_path(target.device):
            users.setdefault(device, []).append(User("export", target.nqn, None))
    # Debian's 9.0.0 lists mappings and exports without their devices.
    dark = any(cache.volume is None for cache in inventory.caches)
    dark |= any(target.device is None for target in exports)
    return Survey(users, {"exports": "listed without their devices"} if dark else {})
