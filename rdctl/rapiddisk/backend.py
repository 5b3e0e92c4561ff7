"""What every backend of RapidDisk gives: facts, and single acts. Policy is above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NoReturn, Protocol

from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk.model import (
    Cache,
    CacheCounters,
    Device,
    Inventory,
    Port,
    Resources,
    Status,
    Subsystem,
    Superblock,
    Survey,
    Target,
    Unit,
    Volume,
    Writeback,
)

if TYPE_CHECKING:
    from rdctl.rapiddisk.kernel.surroundings import Surroundings


class Backend(Protocol):
    """Facts raise RdctlError when they cannot be had; an act raises it when it was refused.

    An act that returns was accepted, which proves nothing: `changes` looks again.
    """

    # Whether listings always say of what a cache is made and what is exported.
    tells_all: bool
    # Whether a volume in use can grow, and its users be notified.
    grows_in_use: bool

    @property
    def users_seen(self) -> Sequence[str]:
        """The kinds of user (see model.User) that can be found."""

    def status(self) -> Status: ...

    def resources(self) -> Resources: ...

    def inventory(self, strict: bool = True) -> Inventory:
        """All volumes and caches. Not `strict`, for those who only look: what cannot be read is
        null."""

    def counters(self, cache: str) -> CacheCounters: ...

    def targets(self) -> list[Target]: ...

    def guarded_targets(self) -> list[Target] | None:
        """The targets for a guard: none where there can be none, None where this backend never
        shows them. Raises when they could not be looked at."""

    def is_path_of(self, path: str | None, device: str) -> bool:
        """Whether the path of a target leads to the device."""

    def ports(self) -> list[Port]: ...

    def high_water(self, volume: str) -> int | None:
        """Bytes: the end of the highest write since the last erase."""

    def server_time(self) -> float | None:
        """Seconds since 1970 by the daemon's clock; None where none is reported."""

    def superblock(self, volume: str) -> Superblock | None:
        """What a former write-back cache left in the volume; None also where it cannot be read."""

    def is_empty_behind(self, volume: str, size: int) -> bool | None:
        """Whether the volume holds nothing but zeros behind so many bytes."""

    def survey(self, devices: Sequence[str]) -> Survey:
        """Who uses which device, beyond what the listings show; of `devices` also whether the
        kernel itself holds them."""

    def source(self, text: str) -> Device:
        """A block device to be cached as this backend takes it, or a usage error."""

    def led_by_contents(self, text: str) -> bool:
        """Whether a path names a device by the file system on it, so that it may lead to a cache
        in place of its source."""

    def permit(self) -> None:
        """Raise when nothing can be changed here: no root, no module."""

    def check_cache(self, volume: Volume, source: Device, policy: str) -> None:
        """Raise what is known to make a cache impossible."""

    def claim(self, devices: Sequence[str]) -> AbstractContextManager[bool]:
        """Keep others away from the devices until the acts are done. True when nobody else can
        come between any more, so that it is worth looking once more."""

    def create(self, mib: int, number: int | None) -> str | None:
        """The new volume's name, where the backend learns it."""

    def resize(self, volume: str, mib: int, destroys: str | None) -> None: ...

    def erase(self, volume: str, destroys: str) -> None: ...

    def remove(self, volume: str, destroys: str) -> None: ...

    def set_lock(self, volume: str, locked: bool) -> None: ...

    def map(
        self,
        volume: str,
        source: Device,
        policy: str,
        name: str,
        writeback: Writeback,
        destroys: str | None,
    ) -> None:
        """Make the cache `name`."""

    @property
    def ages(self) -> bool:
        """Whether a write-back cache can write blocks back after some time."""

    def unmap(self, cache: str, destroys: str) -> None: ...

    def sync(self, cache: str) -> int | None:
        """The blocks that are not written back after that; None in a dry run."""

    def here(self, what: str) -> None:
        """Raise `unsupported` unless this is the machine itself; `what` is done there only."""

    # What only this machine itself can do.

    def surroundings(self) -> Surroundings: ...

    def subsystems(self) -> list[Subsystem]: ...

    def device_of(self, path: str | None) -> str | None:
        """The name of the device that a namespace's path leads to."""

    def path_of(self, device: str) -> str:
        """The path by which a volume or a cache is exported."""

    def failure(self, cache: Cache) -> RdctlError | None:
        """Why a write-back cache cannot write back, and where its blocks are; None when it can."""

    def drop(self, cache: Cache, destroys: str | None) -> None:
        """Remove a mapping that cannot write back any more; its volume keeps its blocks."""

    def source_noted(self, volume: str) -> str | None:
        """The source for which the write-back cache in a volume was made, where that is known."""

    def is_source_of(self, volume: str, source: Device) -> bool:
        """Whether it is known that the device is that source."""

    def check_adoption(self, volume: Volume, source: Device, left: Superblock) -> None:
        """Raise when what is left in the volume cannot be written to the source."""

    def nqn_of(self, device: str) -> str:
        """The NQN that RapidDisk gives the export of a device."""

    def permit_exports(self) -> None:
        """Raise when no export can be changed here."""

    def check_transport(self, transport: str) -> None:
        """Raise when the kernel cannot serve ports of it."""

    def address_of(self, interface: str) -> str: ...

    def is_address_here(self, address: str) -> bool: ...

    def change_export(
        self, before: Subsystem | None, after: Subsystem | None, destroys: str | None
    ) -> None:
        """Make one of the other: wholly or not at all."""

    def revalidate(self, nqn: str, namespace: int) -> None:
        """Tell the clients the device's size."""

    def add_port(self, port: Port) -> None: ...

    def remove_port(self, number: int, destroys: str) -> None: ...

    def permit_daemon(self) -> None:
        """Raise when the daemon's unit cannot be changed here."""

    def daemon(self) -> Unit: ...

    def daemon_act(self, verb: str, destroys: str | None) -> None: ...


def here_only(what: str) -> NoReturn:
    raise RdctlError(
        Code.UNSUPPORTED,
        f"{what} on the machine itself only: rapiddiskd has no request for it",
        hint="It takes a machine with RapidDisk: run rdctl there, with --local.",
    )


def _unsupported(what: str) -> Callable[..., NoReturn]:
    def method(self: object, *args: object, **options: object) -> NoReturn:
        here_only(what)

    return method


class LocalOnly:
    """For a backend that is not this machine: all of this is `unsupported` there."""

    def here(self, what: str) -> None:
        here_only(what)

    sync = _unsupported("a cache is written back")
    surroundings = _unsupported("the machine's own state is seen")
    subsystems = _unsupported("exports are made and unmade")
    device_of = _unsupported("exports are made and unmade")
    path_of = _unsupported("exports are made and unmade")
    failure = _unsupported("a cache is adopted")
    drop = _unsupported("a cache is adopted")
    source_noted = _unsupported("a cache is adopted")
    is_source_of = _unsupported("a cache is adopted")
    check_adoption = _unsupported("a cache is adopted")
    nqn_of = _unsupported("exports are made and unmade")
    permit_exports = _unsupported("exports and ports are made and unmade")
    check_transport = _unsupported("ports are added")
    address_of = _unsupported("ports are added")
    is_address_here = _unsupported("ports are added")
    change_export = _unsupported("exports are made and unmade")
    revalidate = _unsupported("sizes are revalidated")
    add_port = _unsupported("ports are added")
    remove_port = _unsupported("ports are removed")
    permit_daemon = _unsupported("the daemon is started and stopped")
    daemon = _unsupported("the daemon's unit is seen")
    daemon_act = _unsupported("the daemon is started and stopped")
