"""What the kernel reports in files: the modules, the volumes, all block devices, the memory.

A device is known by the kernel's name (`dm-0`). The one it is shown by (`rc-wt_vdb`, below
/dev/mapper) differs for device-mapper only, and may be the kernel's name of another device.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from typing import NamedTuple

from rdctl.core.units import natural
from rdctl.rapiddisk.model import Cache, Disk, Volume
from rdctl.rapiddisk.names import is_volume, policy_of, source_in

MGMT = "sys/kernel/rapiddisk/mgmt"
SECTOR = 512
# A read of `devices` ends after a page, anywhere in the list.
_NEARLY_A_PAGE = 4000
# A process or a device that disappears while it is read.
_VANISHED = (errno.ENOENT, errno.ESRCH, errno.ENOTDIR, errno.ENXIO, errno.ENODEV)
_PSEUDO = re.compile(r"(rd|ram|loop|zram|dm-|sr|fd)[0-9]")


class Mgmt(NamedTuple):
    """What the module reports about itself. `version` is such as 9.0.0."""

    version: str
    max_volumes: int | None


class Mapping(NamedTuple):
    """A device-mapper device. `slaves` are kernel names; `live`: it has a table."""

    kernel: str
    name: str
    slaves: list[str]
    live: bool


class Sysfs:
    """Reads below `root`; None or [] if it cannot be read."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")

    def path(self, below: str) -> str:
        return f"{self._root}/{below.lstrip('/')}"

    def text(self, below: str) -> str | None:
        """A file's text without the line's end."""
        try:
            return self.read(below)
        except OSError:
            return None

    def number(self, below: str) -> int | None:
        text = self.text(below) or ""
        return int(text) if text.isascii() and text.isdigit() else None

    def names(self, below: str) -> list[str]:
        """The names in a directory, in natural order."""
        try:
            return self.listed(below)
        except OSError:
            return []

    def exists(self, below: str) -> bool:
        return os.path.lexists(self.path(below))

    def leads_somewhere(self, below: str) -> bool:
        """Whether it exists and, if it is a link, so does its target."""
        return os.path.exists(self.path(below))

    # For guards: what does not exist is None or [], but what cannot be read raises OSError.

    def read(self, below: str) -> str | None:
        """A file's text without the line's end; None when it does not exist."""
        try:
            with open(self.path(below), encoding="utf-8", errors="surrogateescape") as file:
                return file.read().rstrip("\n")
        except OSError as error:
            if error.errno in _VANISHED:
                return None
            raise

    def listed(self, below: str) -> list[str]:
        """The names in a directory, in natural order; [] when it does not exist."""
        try:
            return sorted(os.listdir(self.path(below)), key=natural)
        except OSError as error:
            if error.errno in _VANISHED:
                return []
            raise

    def mode(self, below: str) -> int | None:
        """The permissions of a file; None when it does not exist."""
        try:
            return stat.S_IMODE(os.stat(self.path(below)).st_mode)
        except OSError as error:
            if error.errno in _VANISHED:
                return None
            raise

    def settable(self, below: str) -> set[str]:
        """The files in a directory that can be read and written; none when it does not exist."""
        try:
            with os.scandir(self.path(below)) as entries:
                return {entry.name for entry in entries if _can_be_set(entry)}
        except OSError as error:
            if error.errno in _VANISHED:
                return set()
            raise

    def led_to(self, below: str) -> str | None:
        """The target of a link; None when it does not exist."""
        try:
            return os.readlink(self.path(below))
        except OSError as error:
            if error.errno in _VANISHED:
                return None
            raise

    # --- the modules --------------------------------------------------------------------------

    def mgmt(self) -> Mgmt | None:
        """The first line has the version; None when the module is not loaded."""
        text = self.text(MGMT)
        if text is None:
            return None
        found = re.match(r"RapidDisk (\S+)", text)
        limit = re.search(r"^Maximum Number of Attachable Devices: ([0-9]+)$", text, re.M)
        return Mgmt(found[1] if found else "", int(limit[1]) if limit else None)

    def module(self, name: str) -> tuple[bool, str | None]:
        """Whether it is loaded, and its version where it has one."""
        directory = f"sys/module/{name.replace('-', '_')}"
        return self.exists(directory), self.text(f"{directory}/version")

    def has_module(self, name: str) -> bool:
        """Whether it is loaded, or a part of the kernel."""
        if self.module(name)[0]:
            return True
        release = self.text("proc/sys/kernel/osrelease")
        parts = self.text(f"lib/modules/{release}/modules.builtin") or ""
        return re.search(rf"/{re.escape(name)}\.ko$", parts, re.M) is not None

    def can_load(self, name: str) -> bool | None:
        """Whether the module is available to be loaded; None where that cannot be read."""
        release = self.text("proc/sys/kernel/osrelease")
        known = self.text(f"lib/modules/{release}/modules.dep")
        if known is None:
            return None
        return re.search(rf"^[^:]*/{re.escape(name)}\.ko[^:/]*:", known, re.M) is not None

    # --- volumes and caches -------------------------------------------------------------------

    def volumes(self) -> list[Volume]:
        """All volumes; `usage` is None for those beyond the first page of the kernel's list."""
        listed, cut = self._listed_volumes()
        volumes = []
        for name in self._all_volumes() if cut else listed:
            size, usage = listed.get(name) or (self.size(name), None)
            lock = self.number(f"sys/block/{name}/ro")
            locked = None if lock is None else bool(lock)
            volumes.append(Volume(device=name, size=size, usage=usage, locked=locked))
        return sorted(volumes, key=lambda volume: natural(volume.device))

    def usage(self, volume: str) -> int | None:
        """Bytes of memory that a volume uses; None beyond the first page of the kernel's list."""
        _, usage = self._listed_volumes()[0].get(volume) or (None, None)
        return usage

    def _listed_volumes(self) -> tuple[dict[str, tuple[int, int]], bool]:
        """The size and the usage of each volume in the kernel's list, and whether that is cut."""
        text = self.text("sys/kernel/rapiddisk/devices") or ""
        lines = text.splitlines()[1:]
        cut = len(text) >= _NEARLY_A_PAGE
        rows = [line.split("\t") for line in (lines[:-1] if cut else lines)]
        return {row[0]: (int(row[1]), int(row[3])) for row in rows if len(row) == 4}, cut

    def _all_volumes(self) -> list[str]:
        major = re.search(r"^ *([0-9]+) rapiddisk$", self.text("proc/devices") or "", re.M)
        prefix = f"{major[1]}:" if major else ":"
        return [
            name
            for name in self.names("sys/block")
            if is_volume(name) and (self.text(f"sys/block/{name}/dev") or "").startswith(prefix)
        ]

    def caches(self, source_of: Callable[[str], str | None]) -> list[Cache]:
        """`source_of` reads the source of a mapping from its table; None where it cannot be
        read."""
        found = (self._cache(mapping, source_of) for mapping in self.mappings())
        return [cache for cache in found if cache is not None]

    def _cache(self, mapping: Mapping, source_of: Callable[[str], str | None]) -> Cache | None:
        """The cache, or None if the mapping is not a cache despite its name. Volume and source are
        None while it is incomplete."""
        policy = policy_of(mapping.name)
        if policy is None:
            return None
        if not mapping.live:
            return Cache(
                device=mapping.name, volume=None, source=None, policy=policy, kernel=mapping.kernel
            )
        # The link to a volume stays when the volume is removed by force.
        parts = list(mapping.slaves)
        volumes = [part for part in parts if is_volume(part)]
        if len(parts) != 2 or not volumes:
            return None
        if len(volumes) == 1:
            volume = volumes[0]
        else:
            # The source is a volume, too: the table names it, else most cache names do.
            source = source_of(mapping.name)
            if source not in parts:
                base = source_in(mapping.name)
                named = (part for part in parts if self.shown(part).rsplit("/", 1)[-1] == base)
                source = next(named, parts[1])
            volume = next(part for part in parts if part != source)
        parts.remove(volume)
        return Cache(
            device=mapping.name,
            volume=volume,
            source=self.shown(parts[0]),
            policy=policy,
            kernel=mapping.kernel,
            source_kernel=parts[0],
        )

    def mappings(self) -> list[Mapping]:
        return [
            Mapping(
                kernel,
                self.text(f"sys/block/{kernel}/dm/name") or kernel,
                self.names(f"sys/block/{kernel}/slaves"),
                bool(self.number(f"sys/block/{kernel}/size")),
            )
            for kernel in self.names("sys/block")
            if kernel.startswith("dm-")
        ]

    # --- block devices ------------------------------------------------------------------------

    def size(self, kernel: str) -> int | None:
        """Bytes."""
        sectors = self.number(f"sys/class/block/{kernel}/size")
        return None if sectors is None else sectors * SECTOR

    def shown(self, kernel: str) -> str:
        """The name that a device is shown by: of a mapping its own, with the prefix `mapper/` if
        another device has that name."""
        mapped = self.text(f"sys/class/block/{kernel}/dm/name")
        if mapped is None:
            return kernel.replace("!", "/")
        taken = is_volume(mapped) or self.exists(f"sys/class/block/{mapped}")
        return f"mapper/{mapped}" if taken else mapped

    def dev(self, kernel: str) -> str | None:
        """MAJOR:MINOR."""
        return self.text(f"sys/class/block/{kernel}/dev")

    def named(self, mapping: str) -> str | None:
        """The kernel's name of the mapping of this name."""
        return next((one.kernel for one in self.mappings() if one.name == mapping), None)

    def kernel_of(self, device: str) -> str:
        """The kernel's name of a volume, a source or a cache."""
        mapped = self.named(device) if policy_of(device) else None
        return mapped or device

    def numbered(self, number: str) -> str | None:
        """The kernel's name of the device MAJOR:MINOR."""
        try:
            return os.path.basename(os.readlink(self.path(f"sys/dev/block/{number}")))
        except OSError:
            return None

    def partitions(self, kernel: str) -> list[str]:
        directory = f"sys/class/block/{kernel}"
        return [
            name
            for name in self.names(directory)
            if name.startswith(kernel) and self.exists(f"{directory}/{name}/partition")
        ]

    def whole(self, kernel: str) -> str | None:
        """The disk that a partition is on; None if it is not a partition."""
        directory = self.path(f"sys/class/block/{kernel}")
        if not os.path.exists(f"{directory}/partition"):
            return None
        return os.path.basename(os.path.dirname(os.path.realpath(directory)))

    def disks(self) -> list[Disk]:
        """The disks that can be cached; RAM disks, loop devices, mappings and optical drives are
        left out."""
        disks = []
        for kernel in self.names("sys/block"):
            size = None if _PSEUDO.match(kernel) else self.size(kernel)
            if size:
                vendor = self.text(f"sys/block/{kernel}/device/vendor") or ""
                model = self.text(f"sys/block/{kernel}/device/model") or ""
                # A PCI or virtio number is not a name.
                vendor = "" if vendor.startswith("0x") else vendor.strip()
                name = kernel.replace("!", "/")
                disks.append(Disk(name, size, vendor or None, model.strip() or None))
        return disks

    def memory(self) -> dict[str, int]:
        """MemTotal, MemFree, MemAvailable and the others, in bytes."""
        found = re.findall(r"^(\w+): +([0-9]+) kB$", self.text("proc/meminfo") or "", re.M)
        return {key: int(number) << 10 for key, number in found}


def _can_be_set(entry: os.DirEntry[str]) -> bool:
    mode = entry.stat(follow_symlinks=False).st_mode
    return stat.S_ISREG(mode) and mode & 0o600 == 0o600
