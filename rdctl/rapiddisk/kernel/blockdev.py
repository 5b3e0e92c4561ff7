"""The ioctls of block devices: those of the module rapiddisk, and the lock."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rdctl.core.acts import Act
from rdctl.effects.blocks import PIECE, is_zero
from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import Syscalls, ioctl
from rdctl.rapiddisk.kernel.devices import Devices
from rdctl.rapiddisk.kernel.sysfs import SECTOR, Sysfs

_HIGH_WATER = 0x0529  # u64, sectors
_USAGE = 0x0530  # u64, pages
_ERASE = 0x0531
_SET_READ_ONLY = 0x125D  # BLKROSET
PAGE = 4096


class BlockDevices:
    """Queries and changes single devices by the kernel's name. Raises OSError."""

    def __init__(self, sysfs: Sysfs, calls: Syscalls, effects: Effects, devices: Devices) -> None:
        self._sysfs = sysfs
        self._devices = devices
        self._calls = calls
        self._effects = effects

    def usage(self, volume: str) -> int:
        """Bytes of memory that the volume uses."""
        return self._ask(volume, _USAGE, "pages in use") * PAGE

    def high_water(self, volume: str) -> int:
        """Bytes: the end of the highest write since the last erase."""
        return self._ask(volume, _HIGH_WATER, "end of the highest write") * SECTOR

    def _ask(self, volume: str, request: int, what: str) -> int:
        path, answer = self._path(volume), bytearray(8)
        line = f"# ioctl {self._calls.shown(path)} {request:#06x}: {what}"
        self._effects.look(
            ioctl(self._calls, path, request, answer, what=f"query {volume}", line=line)
        )
        return int.from_bytes(answer, "little")

    def is_empty_behind(self, volume: str, start: int, end: int) -> bool:
        """Whether a volume holds only zeros between two offsets. Its counters do not show that: a
        refused erase sets them to 0 and keeps the data."""
        return all(is_zero(piece) for piece in self.pieces(volume, start, end))

    def pieces(self, volume: str, start: int, end: int) -> Iterator[bytes]:
        """The contents between two offsets, in pieces of PIECE bytes."""
        with self._opened(volume) as descriptor:
            for offset in range(start, end, PIECE):
                size = min(PIECE, end - offset)
                piece = self._calls.pread(descriptor, size, offset)
                if len(piece) != size:
                    raise OSError(errno.EIO, "it became smaller meanwhile", volume)
                yield piece
                os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_DONTNEED)

    @contextmanager
    def reading(self, device: str) -> Iterator[Callable[[int, int], bytes]]:
        """A function that reads from the open device, by offset and size."""
        with self._opened(device) as descriptor:
            yield lambda offset, size: os.pread(descriptor, size, offset)

    @contextmanager
    def _opened(self, device: str) -> Iterator[int]:
        """A descriptor for reading. The page cache is dropped first: a mapping writes without
        updating it."""
        descriptor = self._calls.open_device(self._path(device))
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            yield descriptor
        finally:
            self._calls.close(descriptor)

    def set_lock(self, volume: str, locked: bool, act: Act) -> None:
        undo = [self._locking(volume, not locked)]
        self._effects.do(self._locking(volume, locked), None, undo, lambda: act)

    def _locking(self, volume: str, locked: bool) -> Effect[None]:
        node = self._path(volume)
        return ioctl(
            self._calls,
            node,
            _SET_READ_ONLY,
            bytearray(int(locked).to_bytes(4, "little")),
            what=f"{'lock' if locked else 'unlock'} {volume}",
            line=f"blockdev {'--setro' if locked else '--setrw'} {self._calls.shown(node)}",
        )

    def erase(self, volume: str, descriptor: int | None, destroys: str | None) -> Effect[None]:
        """Free all memory of the volume. The descriptor has to be the only open one; without one,
        the volume is claimed first: even when the kernel refuses, it sets usage and high-water mark
        to 0 and keeps the data."""
        path = self._path(volume)
        return ioctl(
            self._calls,
            path if descriptor is None else descriptor,
            _ERASE,
            what=f"erase {volume}",
            line=f"ioctl {self._calls.shown(path)} {_ERASE:#06x}  # erase {volume}",
            destroys=destroys,
            exclusive=True,
        )

    def _path(self, name: str) -> str:
        return self._sysfs.path(self._devices.node(name))
