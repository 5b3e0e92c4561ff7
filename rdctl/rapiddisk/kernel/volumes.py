"""Volumes as the module rapiddisk has them, and single acts on them."""

from __future__ import annotations

import errno
from contextlib import suppress

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import MIB, human_size
from rdctl.effects.syscalls import write
from rdctl.rapiddisk.kernel.claims import Claims, KernelPart
from rdctl.rapiddisk.kernel.means import KernelDependencies
from rdctl.rapiddisk.kernel.refusals import Refusals, missing
from rdctl.rapiddisk.kernel.sysfs import MGMT, Mgmt
from rdctl.rapiddisk.model import Superblock, Volume
from rdctl.rapiddisk.names import number_of, numbered

# The commands of `mgmt` are those of this major version of the module.
DIALECT = "9"


class KernelVolumes(KernelPart):
    def __init__(self, means: KernelDependencies, claims: Claims, refusals: Refusals) -> None:
        super().__init__(means, claims, refusals)
        # The volumes that this dry run would have created.
        self._assumed: set[int] = set()

    # --- what they are ------------------------------------------------------------------------

    def _read_by_root(self, volume: Volume) -> Volume:
        """The volume with the values that require opening it."""
        if not self._calls.privileged:
            return volume
        with suppress(OSError):
            if volume.usage is None:
                volume = volume._replace(usage=self._devices.usage(volume.device))
            left = self._superblock(volume.device)
            volume = volume._replace(unwritten=left.unwritten if left else 0)
        return volume

    def superblock(self, volume: str) -> Superblock | None:
        with self._refusals.worded(f"{volume} cannot be read", volume):
            return self._superblock(volume)

    def _superblock(self, volume: str) -> Superblock | None:
        from rdctl.rapiddisk.kernel.writecache import superblock

        with self._devices.reading(volume) as read:
            return superblock(read, self._sysfs.size(volume) or 0)

    def is_empty_behind(self, volume: str, size: int) -> bool | None:
        with self._refusals.worded(f"{volume} cannot be read", volume):
            return self._devices.is_empty_behind(volume, size, self._sysfs.size(volume) or 0)

    def high_water(self, volume: str) -> int | None:
        if not self._calls.privileged:
            self._warn("only root can see the high-water mark and open files")
            return None
        with self._refusals.worded(f"{volume} cannot be queried", volume):
            return self._devices.high_water(volume)

    def ready(self) -> Mgmt:
        mgmt = self._sysfs.mgmt()
        if mgmt is None:
            raise missing("rapiddisk")
        if dialect(mgmt) != DIALECT:
            raise RdctlError(
                Code.UNSUPPORTED,
                f"the kernel module rapiddisk is {mgmt.version or 'of an unknown version'}: rdctl"
                f" supports {DIALECT}.x only",
                hint="Install version 9 of the module, or manage this one through its own daemon,"
                " with --rapiddisk-url.",
            )
        return mgmt

    # --- acts ---------------------------------------------------------------------------------

    def _command(self, line: str, what: str, destroys: str | None = None) -> None:
        path = self._sysfs.path(MGMT)
        self._effects.do(write(self._calls, path, line, what=what, destroys=destroys), None)

    def create(self, mib: int, number: int | None) -> str | None:
        """Create a volume with this number, or the lowest free one. When another tool takes that
        number meanwhile, the next one is tried."""
        while True:
            taken = self._numbers() | self._assumed
            chosen = number if number is not None else _lowest_free(taken)
            name = numbered(chosen)
            try:
                if chosen in taken:
                    raise OSError(errno.EINVAL, "the number is in use")
                self._command(f"rapiddisk attach {chosen} {mib * MIB}", f"create {name}")
            except OSError as error:
                if error.errno == errno.EINVAL and chosen in self._numbers():
                    if number is None:
                        continue
                    raise RdctlError(
                        Code.EXISTS,
                        f"{name} already exists",
                        hint="Omit --number to use the lowest free number.",
                        target=name,
                    ) from error
                self._not_created(name, error)
            if self._effects.dry_run:
                self._assumed.add(chosen)
            return name

    def _numbers(self) -> set[int]:
        return {number_of(volume.device) for volume in self._sysfs.volumes()}

    def _not_created(self, name: str, error: OSError) -> None:
        limit = self.ready().max_volumes
        if error.errno == errno.EINVAL and limit is not None and len(self._numbers()) >= limit:
            raise RdctlError(
                Code.CONFLICT,
                f"the module's limit of {limit} volumes is reached",
                hint="Increase its parameter rd_max_nr, which is set when it is loaded.",
                target=name,
            ) from error
        with self._refusals.worded(f"{name} was not created", name):
            raise error

    def resize(self, volume: str, mib: int, destroys: str | None) -> None:
        command = f"rapiddisk resize {number_of(volume)} {mib * MIB}"
        with self._refusals.worded(f"{volume} was not resized to {human_size(mib * MIB)}", volume):
            self._command(command, f"resize {volume} to {human_size(mib * MIB)}", destroys)

    def erase(self, volume: str, destroys: str) -> None:
        with self._refusals.worded(f"{volume} was not erased", volume):
            erase = self._devices.erase(volume, self._held.get(volume), destroys)
            self._claims.do_alone(erase, volume)

    def remove(self, volume: str, destroys: str) -> None:
        with self._refusals.worded(f"{volume} was not removed", volume):
            self._command(f"rapiddisk detach {number_of(volume)}", f"remove {volume}", destroys)

    def set_lock(self, volume: str, locked: bool) -> None:
        past = "locked" if locked else "unlocked"
        with self._refusals.worded(f"{volume} was not {past}", volume):
            self._devices.set_lock(volume, locked)


def dialect(mgmt: Mgmt) -> str:
    return mgmt.version.split(".")[0]


def _lowest_free(taken: set[int]) -> int:
    return next(number for number in range(len(taken) + 1) if number not in taken)
