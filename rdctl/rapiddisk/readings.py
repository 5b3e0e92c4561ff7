"""What monitoring reads of a machine: each part by itself, and the inventory once for all parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.once import once
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.caches import Caches
from rdctl.rapiddisk.memory import memory_of
from rdctl.rapiddisk.model import Inventory, Memory, Port, Status, Target
from rdctl.rapiddisk.names import is_cache_name
from rdctl.workers import ends_the_rest


class Readings:
    def __init__(self, backend: Backend, caches: Caches) -> None:
        self._backend = backend
        self._caches = caches
        # Whether the volumes of caches are always reported.
        self.reports_all = backend.reports_all

    @once
    def inventory(self) -> Inventory:
        """All volumes and caches."""
        return self._backend.inventory(strict=False)

    def counters(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        """A row with these keys for each cache that is complete. Raises the first error at the end,
        or at once if the server is lost."""
        first: RdctlError | None = None
        for cache in self.inventory.caches:
            # Any mapping called rc... is in the inventory; an invalid cache name is never sent.
            if not is_cache_name(cache.device) or (cache.volume is None and self.reports_all):
                continue
            try:
                yield from self._caches.counted([cache], keys, named=False)
            except RdctlError as error:
                if ends_the_rest(error):
                    raise
                first = first or error
        if first is not None:
            raise first

    def memory(self) -> Memory:
        """Without what volumes have of it, if they cannot be listed."""
        volumes = None
        with suppress(RdctlError):
            volumes = self.inventory.volumes
        return memory_of(self._backend.memory(), volumes)

    def status(self) -> Status:
        return self._backend.status()

    def exports(self) -> list[Target]:
        """Never of a daemon, which listing exports can crash."""
        self._backend.here("listing exports for monitoring")
        return self._backend.guarded_targets() or []

    def ports(self) -> list[Port]:
        """None on a machine that cannot export anything."""
        self._backend.here("listing ports for monitoring")
        try:
            return self._backend.ports()
        except RdctlError as error:
            if error.code is not Code.MODULE_MISSING or self._backend.guarded_targets() != []:
                raise
            return []
