"""Who uses a block device: mounts, swap, loop devices, what is stacked on it, NVMe namespaces, open
descriptors. Much of this is seen by neither O_EXCL nor `holders`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence

from rdctl.effects import Syscalls
from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.model import PREFIXES, Subsystem, User

SEEN = ("cache", "export", "mount", "swap", "loop", "mapping", "raid", "other")
SEEN_BY_ROOT = (*SEEN, "open")
_OCTAL = re.compile(r"\\([0-7]{3})")
# Never stacked on anything.
_SIMPLE = re.compile(r"(rd|ram|loop|sd|vd|nvme|sr)[0-9a-z]")
_EXPORTED = re.compile(r"rd[0-9]+|rc-w[tab]_.+")
# It looks at every new device, and at each that was written to, for an instant.
_UDEV = ("systemd-udevd", "(udev-worker)", "udevd", "systemd-udev")
# In /proc/PID/stat, behind the program's name, in which anything may stand.
_PARENT = re.compile(r"(?s).*\) \S+ ([0-9]+)")
_SETTLED = "udevadm settle"


class Users:
    """A survey of all users, by the name that a device is shown by."""

    def __init__(self, sysfs: Sysfs, calls: Syscalls) -> None:
        self._sysfs = sysfs
        self._calls = calls

    def survey(self, subsystems: Sequence[Subsystem]) -> dict[str, list[User]]:
        """Everybody who can be seen. What uses a partition uses the disk, and the other way
        round."""
        direct: dict[str, list[User]] = {}
        for kernel, user in self._all(subsystems):
            there = direct.setdefault(kernel, [])
            if user not in there:
                there.append(user)
        found = {kernel: list(users) for kernel, users in direct.items()}
        for kernel, users in direct.items():
            whole = self._sysfs.whole(kernel)
            for other in [whole] if whole else self._sysfs.partitions(kernel):
                found.setdefault(other, []).extend(users)
        return {self._sysfs.shown(kernel): users for kernel, users in found.items()}

    def passing(self, users: Iterable[User]) -> bool:
        """Whether udev is among these, whose look is over in a moment."""
        return any(user.freed_by == _SETTLED for user in users)

    def _all(self, subsystems: Sequence[Subsystem]) -> Iterator[tuple[str, User]]:
        yield from self._stacked()
        for subsystem in subsystems:
            for namespace in subsystem.namespaces:
                kernel = self.device_at(namespace.path, gone=True)
                if kernel is not None:
                    yield kernel, _export(subsystem, self._sysfs.shown(kernel))
        yield from self._mounts("self")
        yield from self._swaps()
        yield from self._loops()
        if self._calls.privileged:
            yield from self._processes()

    def device_at(self, path: str | None, *, gone: bool = False) -> str | None:
        """The kernel's name of the device that a path leads to; with `gone` also of one that is
        there no more."""
        if not path:
            return None
        try:
            number = self._calls.device_number(self._sysfs.path(path))
        except OSError:
            named = re.fullmatch(r"/dev/(?:mapper/)?([^/]+)", path)
            return named[1] if gone and named else None
        return self._sysfs.numbered(number) if number else None

    def _stacked(self) -> Iterator[tuple[str, User]]:
        for kernel in self._sysfs.names("sys/block"):
            if _SIMPLE.match(kernel):
                continue
            for slave in self._sysfs.names(f"sys/block/{kernel}/slaves"):
                yield slave, self._stack(kernel)

    def _stack(self, kernel: str) -> User:
        name = self._sysfs.shown(kernel)
        if not kernel.startswith("dm-"):
            raid = kernel.startswith("md")
            freed_by = f"mdadm --stop /dev/{kernel}" if raid else None
            return User("raid" if raid else "other", name, freed_by)
        if name.startswith(tuple(PREFIXES.values())):
            return User("cache", name, f"rdctl rapiddisk cache remove {name}")
        return User("mapping", name, f"dmsetup remove {name}")

    def _mounts(self, process: str) -> Iterator[tuple[str, User]]:
        for line in (self._sysfs.text(f"proc/{process}/mountinfo") or "").splitlines():
            fields = line.split(" ")
            number, place = fields[2], _plain(fields[4])
            kernel = self._sysfs.numbered(number)
            if kernel is None and " - " in line:
                # btrfs and the like have a number of their own; their source is the device.
                kernel = self.device_at(_plain(line.split(" - ", 1)[1].split(" ")[1]))
            if kernel is not None:
                freed_by = f"umount {shlex.quote(place)}"
                if process == "self":
                    yield kernel, User("mount", place, freed_by)
                else:
                    name = f"{place} (of process {process})"
                    yield kernel, User("mount", name, f"nsenter -t {process} -m {freed_by}")

    def _swaps(self) -> Iterator[tuple[str, User]]:
        for line in (self._sysfs.text("proc/swaps") or "").splitlines()[1:]:
            path = _plain(line.split()[0])
            kernel = self.device_at(path)
            if kernel is not None:
                yield kernel, User("swap", path, f"swapoff {path}")

    def _loops(self) -> Iterator[tuple[str, User]]:
        for loop in self._sysfs.names("sys/block"):
            if loop.startswith("loop"):
                kernel = self.device_at(self._sysfs.text(f"sys/block/{loop}/loop/backing_file"))
                if kernel is not None:
                    yield kernel, User("loop", f"/dev/{loop}", f"losetup -d /dev/{loop}")

    def _processes(self) -> Iterator[tuple[str, User]]:
        """Open descriptors, and mounts that only another process sees (in a container)."""
        own = str(os.getpid())
        spaces = {self._space("self")}
        for process in self._sysfs.names("proc"):
            if not process.isdigit() or process == own:
                continue
            space = self._space(process)
            if space is not None and space not in spaces:
                spaces.add(space)
                yield from self._mounts(process)
            for kernel in self._open_in(process):
                freed_by = _SETTLED if self._is_udev(process) else f"kill {process}"
                yield kernel, User("open", f"{process} ({self._program(process)})", freed_by)

    def _is_udev(self, process: str) -> bool:
        """Whether it is udev, or what udev has started: lvm, mdadm, blkid."""
        parent = _PARENT.match(self._sysfs.text(f"proc/{process}/stat") or "")
        family = [process, parent[1]] if parent else [process]
        return any(self._program(one) in _UDEV for one in family)

    def _program(self, process: str) -> str | None:
        return self._sysfs.text(f"proc/{process}/comm")

    def _space(self, process: str) -> str | None:
        try:
            return os.readlink(self._sysfs.path(f"proc/{process}/ns/mnt"))
        except OSError:
            return None

    def _open_in(self, process: str) -> set[str]:
        folder = f"proc/{process}/fd"
        found = set()
        for descriptor in self._sysfs.names(folder):
            try:
                path = os.readlink(self._sysfs.path(f"{folder}/{descriptor}"))
                if path.startswith("/dev/"):
                    number = self._calls.device_number(self._sysfs.path(f"{folder}/{descriptor}"))
                    found.add(self._sysfs.numbered(number) if number else None)
            except OSError:
                continue
        return {kernel for kernel in found if kernel}


def _export(subsystem: Subsystem, device: str) -> User:
    ours = _EXPORTED.fullmatch(device) and len(subsystem.namespaces) == 1
    freed_by = f"rdctl rapiddisk nvmet unexport --nqn {subsystem.nqn}" if ours else None
    return User("export", subsystem.nqn, freed_by)


def _plain(text: str) -> str:
    r"""A path as /proc escapes it: `\040` is a blank."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
