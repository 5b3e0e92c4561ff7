"""Volumes as the module rapiddisk has them, and single acts on them."""

from __future__ import annotations

import errno
from contextlib import suppress
from functools import partial

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import human_size
from rdctl.effects.door import Effect
from rdctl.effects.syscalls import write
from rdctl.rapiddisk.kernel.claims import KernelPart
from rdctl.rapiddisk.kernel.refusals import missing
from rdctl.rapiddisk.kernel.sysfs import MGMT, Mgmt
from rdctl.rapiddisk.model import Superblock, Volume
from rdctl.rapiddisk.names import is_volume, number_of, numbered

# The commands of `mgmt` are those of this major version of the module.
DIALECT = "9"


class KernelVolumes(KernelPart):
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
        if self._foreseen.is_blank(volume):
            return None
        with self._refusals.worded(f"{volume} cannot be read", volume):
            return self._superblock(volume)

    def _superblock(self, volume: str) -> Superblock | None:
        from rdctl.rapiddisk.kernel.writecache import superblock

        with self._devices.reading(volume) as read:
            return superblock(read, self._sysfs.size(volume) or 0)

    def is_empty_behind(self, volume: str, size: int) -> bool | None:
        if self._foreseen.is_blank(volume):
            return True
        with self._refusals.worded(f"{volume} cannot be read", volume):
            return self._devices.is_empty_behind(volume, size, self._sysfs.size(volume) or 0)

    def high_water(self, volume: str) -> int | None:
        if not self._calls.privileged:
            self._warn("only root can see the high-water mark and open files")
            return None
        if self._foreseen.is_blank(volume):
            return 0
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

    def _command(self, line: str, what: str, destroys: str | None = None) -> Effect[None]:
        return write(self._calls, self._sysfs.path(MGMT), line, what=what, destroys=destroys)

    def _removal(self, volume: str, destroys: str | None = None) -> Effect[None]:
        line = f"rapiddisk detach {number_of(volume)}"
        return self._command(line, f"remove {volume}", destroys)

    def _resizing(self, volume: str, size: int, destroys: str | None = None) -> Effect[None]:
        line = f"rapiddisk resize {number_of(volume)} {size}"
        return self._command(line, f"resize {volume} to {human_size(size)}", destroys)

    def create(self, size: int, number: int | None) -> str | None:
        """Create a volume with this number, or the lowest free one. When another tool takes that
        number meanwhile, the next one is tried."""
        while True:
            taken = self._numbers() | set(map(number_of, filter(is_volume, self._known.assumed)))
            chosen = number if number is not None else _lowest_free(taken)
            name = numbered(chosen)
            try:
                if chosen in taken:
                    raise OSError(errno.EINVAL, "the number is in use")
                creation = self._command(f"rapiddisk attach {chosen} {size}", f"create {name}")
                undo = self._claims.unless_used(self._removal(name), name)
                self._effects.do(creation, None, [undo], partial(self._acts.created, name, size))
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
            self._known.assume(name, size)
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

    def resize(self, volume: str, size: int, destroys: str | None) -> None:
        was = self._known.size(volume)
        undo = []
        if was is not None and was < size:
            undo = [self._claims.unless_used(self._resizing(volume, was), volume)]
        act = self._acts.resizing(volume, size)
        with self._refusals.worded(f"{volume} was not resized to {human_size(size)}", volume):
            self._effects.do(self._resizing(volume, size, destroys), None, undo, lambda: act)
        self._known.assume(volume, size)

    def erase(self, volume: str, destroys: str) -> None:
        with self._refusals.worded(f"{volume} was not erased", volume):
            erase = self._devices.erase(volume, self._held.get(volume), destroys)
            self._claims.do_alone(erase, volume, self._acts.erasure(volume))

    def remove(self, volume: str, destroys: str) -> None:
        act = self._acts.removal(volume)
        with self._refusals.worded(f"{volume} was not removed", volume):
            self._effects.do(self._removal(volume, destroys), None, act=lambda: act)

    def set_lock(self, volume: str, locked: bool) -> None:
        past = "locked" if locked else "unlocked"
        with self._refusals.worded(f"{volume} was not {past}", volume):
            self._devices.set_lock(volume, locked, self._acts.locking(volume, locked))


def dialect(mgmt: Mgmt) -> str:
    return mgmt.version.split(".")[0]


def _lowest_free(taken: set[int]) -> int:
    return next(number for number in range(len(taken) + 1) if number not in taken)
