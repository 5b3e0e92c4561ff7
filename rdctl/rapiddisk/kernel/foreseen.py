"""What a dry run would have changed so far, so that its later steps find it so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rdctl.core.acts import Act
from rdctl.effects.door import Effects
from rdctl.rapiddisk import plain
from rdctl.rapiddisk.kernel.devices import Devices
from rdctl.rapiddisk.model import (
    Cache,
    Inventory,
    NvmeHost,
    PortDetail,
    Subsystem,
    Survey,
    Volume,
)

_USERS = ("cache", "export")


class Foreseen:
    """What is read from the machine, with the acts of a dry run; all else stays as it is."""

    def __init__(self, effects: Effects, known: Devices) -> None:
        self._effects = effects
        self._known = known

    @property
    def _acts(self) -> Sequence[Act]:
        return self._effects.acts if self._effects.dry_run else ()

    def __bool__(self) -> bool:
        """Whether anything is foreseen."""
        return bool(self._acts)

    def inventory(self, found: Inventory) -> Inventory:
        volumes = {volume.device: volume for volume in found.volumes}
        caches = {cache.device: cache for cache in found.caches}
        for act in self._acts:
            if act.kind == "volume":
                self._volume(act, volumes)
            elif act.kind == "cache":
                self._cache(act, volumes, caches)
        return Inventory(list(volumes.values()), list(caches.values()))

    def _volume(self, act: Act, volumes: dict[str, Volume]) -> None:
        if act.verb == "create":
            size = act.after["size"]
            volumes[act.name] = Volume(act.name, size, usage=0, locked=False, unwritten=0)
        elif act.verb == "remove":
            volumes.pop(act.name, None)
        elif act.name in volumes:
            changed = act.after
            if act.verb == "erase":
                changed = {"usage": 0, "unwritten": 0}
            elif act.verb == "load":
                changed = {"usage": volumes[act.name].size}
            volumes[act.name] = volumes[act.name]._replace(**changed)

    def _cache(self, act: Act, volumes: dict[str, Volume], caches: dict[str, Cache]) -> None:
        if act.after is not None:
            volume, source = (name for _, name, _ in act.touched)
            caches[act.name] = Cache(
                device=act.name,
                volume=volume,
                source=source,
                policy=act.after["policy"],
                source_kernel=self._known.at(act.after["source"]),
            )
            return
        gone = caches.pop(act.name, None)
        if gone is not None and gone.policy == "writeback" and gone.volume in volumes:
            volumes[gone.volume] = volumes[gone.volume]._replace(usage=0, unwritten=0)

    def is_blank(self, volume: str) -> bool:
        """Whether a volume would be new or erased, so that its present contents do not count."""
        blank = False
        for act in self._acts:
            if act.kind == "volume" and act.name == volume and act.verb != "resize":
                blank = act.verb in ("create", "erase") or (blank and act.verb != "load")
            elif act.verb == "unmap" and act.before is not None:
                wiped = act.before["policy"] == "writeback" and act.before["volume"] == volume
                blank = blank or wiped
        return blank

    def survey(self, found: Survey) -> Survey:
        """Without the caches and exports that would be gone."""
        gone = {
            (act.kind, act.name) for act in self._acts if act.kind in _USERS and act.after is None
        }
        if not gone:
            return found
        users = {
            device: [user for user in there if (user.kind, user.name) not in gone]
            for device, there in found.users.items()
        }
        return found._replace(users=users)

    def subsystems(self, found: Iterable[Subsystem]) -> list[Subsystem]:
        there = {subsystem.nqn: subsystem for subsystem in found}
        for act in self._acts:
            if act.kind == "export":
                there.pop(act.name, None)
                if act.after is not None:
                    there[act.name] = plain.subsystem(act.after)
        return list(there.values())

    def hosts(self, found: Iterable[NvmeHost]) -> list[NvmeHost]:
        """Without those that would be gone. No act has a key."""
        there = {host.nqn: host for host in found}
        for act in self._acts:
            if act.kind == "host" and act.after is None:
                there.pop(act.name, None)
        return list(there.values())

    def ports(self, found: Iterable[PortDetail]) -> list[PortDetail]:
        there = {str(detail.port.port): detail for detail in found}
        for act in self._acts:
            if act.kind == "port":
                there.pop(act.name, None)
                if act.after is not None:
                    there[act.name] = plain.port(act.after)
        return list(there.values())
