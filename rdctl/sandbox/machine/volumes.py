"""The module rapiddisk of a simulated machine."""

from __future__ import annotations

import errno
import re

from rdctl.sandbox.machine.objects import MAJOR, MIB, PAGE, SECTOR, Volume, fail
from rdctl.sandbox.machine.users import Users


class Volumes(Users):
    def add_volume(self, number: int, size: int = 64 * MIB) -> Volume:
        volume = self.volumes[number] = Volume(size)
        self._show_block(f"rd{number}", f"{MAJOR}:{number}", size)
        self.show_volumes()
        return volume

    def write_data(self, name: str, data: bytes, offset: int = 0) -> None:
        """A program writes to a volume."""
        volume = self.volume(name)
        volume.blocks[offset] = data
        volume.used += -(-len(data) // PAGE) * PAGE
        volume.high = max(volume.high, offset + len(data))
        self._store(name, data, offset)
        self.show_volumes()

    def pour(self, name: str, data: bytes, offset: int) -> None:
        """A system call writes to a volume."""
        if user := self.is_used(name):
            self._harm(f"{name} was written to while {user}")
        self._occupy(name, self._write_node(name, data, offset), offset + len(data))

    def _write_node(self, name: str, data: bytes, offset: int) -> int:
        """Write to its node; returns the memory that it takes. A page that was zero counts as
        new."""
        if self.volume(name).locked:
            fail(errno.EPERM, name)
        if offset + len(data) > self.volume(name).size:
            fail(errno.ENOSPC, name)
        former = self.stored(name, len(data), offset)
        pages = range(0, len(data), PAGE)
        self._store(name, data, offset)
        return PAGE * sum(not any(former[at : at + PAGE]) for at in pages)

    def _occupy(self, name: str, used: int, end: int) -> None:
        volume = self.volume(name)
        volume.used += used
        volume.high = max(volume.high, end)
        self.show_volumes()

    def stored(self, name: str, size: int, offset: int = 0) -> bytes:
        """What is in a node, up to its end."""
        with open(self.path(f"dev/{name}"), "rb") as file:
            file.seek(offset)
            return file.read(size)

    def write_disk(self, name: str, data: bytes, offset: int = 0) -> None:
        """A program writes to a disk or a partition; what was never written is zero."""
        self._store(name, data, offset)

    def _store(self, name: str, data: bytes, offset: int) -> None:
        self.store(f"dev/{name}", data, offset)

    def _cut(self, name: str, size: int) -> None:
        """A node is as long as what was written to it: behind its end are zeros."""
        self.cut(f"dev/{name}", size)

    def _command(self, line: str) -> None:
        found = re.fullmatch(r"rapiddisk (attach|detach|resize) (\w+)(?: (\w+))?", line)
        if not found:
            fail(errno.EINVAL)
        verb, number = found[1], int(found[2]) if found[2].isdigit() else 0
        size = int(found[3] or 0)
        if verb == "attach":
            bad = number in self.volumes or size % SECTOR or number > 1048575
            if bad or len(self.volumes) >= self.limit:
                fail(errno.EINVAL)
            self.add_volume(number, size)
        elif number not in self.volumes:
            fail(errno.EINVAL)
        elif verb == "detach":
            user = self.is_used(f"rd{number}")
            if user:
                self._harm(f"rd{number} was removed while {user}")
            self._lose(f"rd{number}")
            self.detach(number)
        else:
            volume = self.volumes[number]
            if size % SECTOR or size <= volume.high:
                fail(errno.EINVAL)
            if size < volume.size and self.is_used(f"rd{number}"):
                self._harm(f"rd{number} was cut while {self.is_used(f'rd{number}')}")
            if size < volume.size and any(at >= size for at in volume.blocks):
                self._harm(f"data of rd{number} were cut off")
            self.resize(number, size)

    def resize(self, number: int, size: int) -> None:
        self.volumes[number].size = size
        self._cut(f"rd{number}", max(0, size))
        self.put(f"sys/block/rd{number}/size", f"{size // SECTOR}\n")
        self.show_volumes()

    def detach(self, number: int) -> None:
        del self.volumes[number]
        self._hide_block(f"rd{number}", f"{MAJOR}:{number}")
        self.show_volumes()

    def wipe(self, name: str) -> None:
        volume = self.volume(name)
        volume.used = volume.high = 0
        opened = list(self.descriptors.values()).count(name)
        user = self.is_used(name)
        if user or opened > 1:
            self._harm(f"the counters of {name} were set to 0 by a refused erase: {user}")
            self.show_volumes()
            fail(errno.EBUSY)
        self._lose(name)
        volume.blocks.clear()
        volume.dirty_of = None
        self._cut(name, 0)
        self.show_volumes()

    def _lose(self, name: str) -> None:
        """The only copy of what was not written back."""
        if self.volume(name).unwritten:
            self._harm(f"{self.volume(name).unwritten} unwritten blocks of {name} were lost")
        self.volume(name).unwritten = 0

    def set_lock(self, name: str, locked: bool) -> None:
        self.volume(name).locked = locked
        self.put(f"sys/block/{name}/ro", f"{int(locked)}\n")
