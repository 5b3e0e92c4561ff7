"""Who uses a block device of a simulated machine."""

from __future__ import annotations

import os

from rdctl.sandbox.machine.objects import NVMET, SECTOR
from rdctl.sandbox.machine.tree import Tree


class Users(Tree):
    def _size(self, kernel: str) -> int:
        if kernel.startswith("rd"):
            return self.volume(kernel).size
        for mapping in self.maps.values():
            if mapping.kernel == kernel:
                return mapping.sectors * SECTOR
        return self.disks[kernel].size

    def _block(self, kernel: str) -> int:
        """Of the whole disk, also for a partition, which has no queue of its own."""
        directory = self.path(f"sys/class/block/{kernel}").resolve()
        disk = directory.parent if (directory / "partition").exists() else directory
        return int((disk / "queue/logical_block_size").read_text())

    def _claimed(self, kernel: str) -> str | None:
        """Who keeps an exclusive open away: from a disk also who has a partition, and the other way
        round."""
        directory = self.path(f"sys/class/block/{kernel}").resolve()
        disk = directory.parent if (directory / "partition").exists() else directory
        parts = [path.parent.name for path in disk.glob("*/partition")]
        related = [disk.name] if disk != directory else parts
        return next(filter(None, map(self._claimed_itself, [kernel, *related])), None)

    def _claimed_itself(self, kernel: str) -> str | None:
        for device, place in self.mounts:
            if self._kernel_name(device) == kernel:
                return f"mounted on {place}"
        if any(self._kernel_name(path) == kernel for path in self.swaps):
            return "swap"
        if kernel in self.exclusive.values():
            return "claimed"
        return self._mapped(kernel)

    def _mapped(self, kernel: str) -> str | None:
        holders = self.path(f"sys/block/{kernel}/holders")
        held = os.listdir(holders) if holders.is_dir() else []
        return f"held by {held[0]}" if held else None

    def _exported(self, kernel: str) -> str | None:
        found = self._namespaces_of(kernel)
        return f"exported by {found[0]}" if found else None

    def _opened(self, kernel: str) -> str | None:
        for process, device in self.openers:
            if device == kernel:
                return f"open by {process}"
        for loop, below in self.loops.items():
            if below == kernel:
                return f"below {loop}"
        return None

    def is_used(self, kernel: str) -> str | None:
        """Anybody but our own exclusive descriptor."""
        ours = {fd: name for fd, name in self.exclusive.items() if fd > 0}
        self.exclusive = {fd: name for fd, name in self.exclusive.items() if fd < 0}
        user = self._claimed(kernel) or self._exported(kernel) or self._opened(kernel)
        self.exclusive |= ours
        return user

    def _namespaces_of(self, kernel: str) -> list[str]:
        """Enabled ones."""
        found = []
        for directory in self.path(f"{NVMET}/subsystems").glob("*/namespaces/*"):
            path = (directory / "device_path").read_text().strip()
            enabled = (directory / "enable").read_text().strip() == "1"
            if enabled and path.startswith("/dev/") and self._kernel_name(path) == kernel:
                found.append(directory.parent.parent.name)
        return found

    def _opens(self, kernel: str) -> int:
        """As measured on a real kernel: one each, and one for all mounts of a file system
        (docs/guards.md#hidden-opens)."""
        mounted = any(self._kernel_name(device) == kernel for device, _ in self.mounts)
        swaps = [path for path in self.swaps if self._kernel_name(path) == kernel]
        holders = self.path(f"sys/block/{kernel}/holders")
        stacked = os.listdir(holders) if holders.is_dir() else []
        unseen = [fd for fd, name in self.exclusive.items() if name == kernel and fd < 0]
        ours = [fd for fd, name in self.descriptors.items() if name == kernel]
        loops = [loop for loop, below in self.loops.items() if below == kernel]
        opened = [process for process, device in self.openers if device == kernel]
        each = (swaps, stacked, unseen, ours, loops, opened, self._namespaces_of(kernel))
        return mounted + len(swaps) + sum(len(list(ones)) for ones in each)
