"""One RapidDisk machine: this one, or that of a rapiddiskd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.core.once import once
from rdctl.core.results import Item, Listing
from rdctl.rapiddisk.changes import Dependencies

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdctl.history.model import Entry
    from rdctl.rapiddisk.boot.boot import Boot
    from rdctl.rapiddisk.boot.stop import Stop
    from rdctl.rapiddisk.caches import Caches
    from rdctl.rapiddisk.contents import Contents
    from rdctl.rapiddisk.daemon import Daemon
    from rdctl.rapiddisk.exports import Exports
    from rdctl.rapiddisk.former import FormerExports
    from rdctl.rapiddisk.hosts import Hosts
    from rdctl.rapiddisk.kernel.surroundings import Surroundings
    from rdctl.rapiddisk.ports import Ports
    from rdctl.rapiddisk.readings import Readings
    from rdctl.rapiddisk.state.operations import States
    from rdctl.rapiddisk.undo.undo import Undo
    from rdctl.rapiddisk.volumes import Volumes


class RapidDisk:
    """All its commands; each noun is loaded when it is used."""

    def __init__(self, means: Dependencies) -> None:
        self._means = means
        self._backend = means.backend

    def status(self) -> Item:
        return Item(self._backend.status())

    def resources(self) -> Item:
        return Item(self._backend.resources())

    def overview(self, machine: str, deep: bool, warn: Callable[[str], None]) -> Listing:
        """All of it as one row; `machine` is its name there."""
        from rdctl.rapiddisk.overview import overview

        return overview(self._backend, machine, deep, warn)

    def readings(self) -> Readings:
        """What monitoring reads, each part by itself."""
        from rdctl.rapiddisk.readings import Readings

        return Readings(self._backend, self.caches)

    def surroundings(self) -> Surroundings:
        """What it depends on, on this machine."""
        return self._backend.surroundings()

    def server_time(self) -> float | None:
        """Seconds since 1970 by a remote daemon's clock; None where none is reported."""
        return self._backend.server_time()

    @once
    def volumes(self) -> Volumes:
        from rdctl.rapiddisk.volumes import Volumes

        return Volumes(self._means)

    @once
    def contents(self) -> Contents:
        from rdctl.rapiddisk.contents import Contents

        return Contents(self._means)

    @once
    def caches(self) -> Caches:
        from rdctl.rapiddisk.caches import Caches

        return Caches(self._means)

    @once
    def exports(self) -> Exports:
        from rdctl.rapiddisk.exports import Exports

        return Exports(self._means)

    @once
    def former_exports(self) -> FormerExports:
        from rdctl.rapiddisk.former import FormerExports

        return FormerExports(self._means)

    @once
    def ports(self) -> Ports:
        from rdctl.rapiddisk.ports import Ports

        return Ports(self._means)

    @once
    def hosts(self) -> Hosts:
        from rdctl.rapiddisk.hosts import Hosts

        return Hosts(self._means)

    @once
    def states(self) -> States:
        from rdctl.rapiddisk.state.operations import States

        return States(self._means)

    @once
    def boot(self) -> Boot:
        from rdctl.rapiddisk.boot.boot import Boot

        return Boot(self._means)

    @once
    def stop(self) -> Stop:
        from rdctl.rapiddisk.boot.stop import Stop

        return Stop(self._means)

    def undo(self, entries: Callable[[], list[Entry]]) -> Undo:
        """`entries` reads the history of the machine, the oldest command first."""
        from rdctl.rapiddisk.undo.undo import Undo

        return Undo(self._means, RapidDisk, entries)

    @once
    def daemon(self) -> Daemon:
        from rdctl.rapiddisk.daemon import Daemon

        return Daemon(self._means)
