"""The tree of a simulated machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from rdctl.sandbox.machine.files import Files
from rdctl.sandbox.machine.objects import (
    DM_MAJOR,
    MAJOR,
    MIB,
    NVMET,
    PAGE,
    SECTOR,
    Disk,
    Mapping,
    Volume,
)
from rdctl.sandbox.machine.systemd import Systemd


class Tree(Files):
    """What /sys, /proc and /dev show."""

    def __init__(
        self,
        root: Path,
        *,
        version: str | None = "9.0.0",
        nvmet: bool = True,
        available: int = 3500 * MIB,
        limit: int = 1024,
    ) -> None:
        super().__init__(root)
        self.version = version
        self.limit = limit
        self.root_user = True
        self.udev = True
        self.volumes: dict[int, Volume] = {}
        self.maps: dict[str, Mapping] = {}
        self.disks: dict[str, Disk] = {}
        self.mounts: list[tuple[str, str]] = []  # device, place
        self.configfs = True
        self.swaps: list[str] = []
        self.exclusive: dict[int, str] = {}  # descriptors of ours
        self.descriptors: dict[int, str] = {}
        self.openers: list[tuple[int, str]] = []  # process, device
        self.shared: list[set[int]] = []  # processes that have one open file
        self.identities: dict[str, str] = {}  # disks by the names that they had first
        self.hidden = 0  # opens of volumes that no file shows
        self.disk_sequence = 0
        self.addresses = ["127.0.0.1", "10.0.2.15", "0.0.0.0", "::", "::1", "fd00::2"]
        self.interfaces: dict[str, str | None] = {
            "lo": "127.0.0.1",
            "eth0": "10.0.2.15",
            "down0": None,
        }
        self.taken_services: set[tuple[str, str]] = set()
        self.transports = {"tcp", "rdma"}
        # Whether the kernel can authenticate hosts, and serve ports with TLS.
        self.has_auth = self.has_tls = True
        self.loops: dict[str, str] = {}  # loop device, what it is set up on
        self.namespace_sizes: dict[tuple[str, int], int] = {}
        self.unit = {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "disabled"}
        self.boot = "0d2b3c44-boot"
        self.memory_total, self.memory_free = 4007088 << 10, 3420180 << 10  # if no volume has data
        self.memory_available = available
        self.steps = 0  # changes so far
        real = os.path.realpath(root)
        self._directories = (f"{real}/dev", f"{real}/dev/mapper")
        self._lay_out(nvmet, available)
        self.systemd = Systemd(self)
        self.systemd.lay_out()

    def _change(self, act: Callable[[], None]) -> None:
        """Every change of a system call passes here."""
        self.steps += 1
        act()

    def _harm(self, what: str) -> None:
        """What a real kernel does although it destroys something that is in use."""

    def _lay_out(self, nvmet: bool, available: int) -> None:
        for directory in ("dev/mapper", "sys/block", "sys/class/block", "sys/dev/block", "run"):
            self.make_dir(directory)
        self.put("dev/mapper/control", "")
        self.put("run/udev/control", "")
        self.put("proc/sys/kernel/hostname", "rdvm\n")
        self.put("proc/sys/kernel/random/boot_id", f"{self.boot}\n")
        self._link("proc/self/ns/pid", "pid:[4026531836]")
        self._link("proc/self/ns/mnt", "mnt:[4026531841]")
        self.put("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n")
        known: tuple[str, ...] = (
            "kernel/drivers/nvme/target/nvmet-tcp",
            "kernel/drivers/nvme/target/nvmet-rdma",
        )
        known += ("kernel/drivers/md/dm-writecache", "updates/dkms/rapiddisk")
        known += ("updates/dkms/rapiddisk-cache", "kernel/drivers/nvme/target/nvmet")
        modules = "".join(f"{name}.ko: kernel/lib/crc.ko\n" for name in known)
        self.put("lib/modules/6.1.0-56-amd64/modules.dep", modules)
        self._show_memory()
        self.put(
            "proc/devices",
            f"Character devices:\n  1 mem\n\nBlock devices:\n  8 sd\n{MAJOR} rapiddisk\n"
            f"{DM_MAJOR} device-mapper\n254 virtblk\n",
        )
        for module in ("dm_mod", "nvmet") if nvmet else ("dm_mod",):
            self.make_dir(f"sys/module/{module}")
        if self.version is not None:
            self.load_module("rapiddisk")
            self.load_module("rapiddisk_cache")
        if nvmet:
            for directory in ("subsystems", "ports", "hosts"):
                self.make_dir(f"{NVMET}/{directory}")
        for interface in self.interfaces:
            self.make_dir(f"sys/class/net/{interface}")
        self.put(
            "proc/net/if_inet6",
            "00000000000000000000000000000001 01 80 10 80       lo\n"
            "fe80000000000000505400fffe123456 02 40 20 80     eth0\n"
            "fd000000000000000000000000000002 02 40 00 82     eth0\n"
            "fd000000000000000000000000000007 03 40 00 82    down0\n",
        )
        self.show_users()

    def load_module(self, name: str) -> None:
        self.put(f"sys/module/{name}/version", f"{self.version}\n")
        if name == "rapiddisk":
            self.show_volumes()

    def set_memory(self, available: int) -> None:
        self.memory_available = available + sum(one.used for one in self.volumes.values())
        self._show_memory()

    def _show_memory(self) -> None:
        used = sum(volume.used for volume in self.volumes.values())
        free, available = (
            max(0, memory - used) >> 10 for memory in (self.memory_free, self.memory_available)
        )
        self.put(
            "proc/meminfo",
            f"MemTotal:        {self.memory_total >> 10} kB\nMemFree:         {free} kB\n"
            f"MemAvailable:    {available} kB\nBuffers:            2048 kB\n",
        )

    def add_disk(self, name: str, size: int, number: str, block: int = SECTOR) -> None:
        self.disks[name] = Disk(size, number)
        self._show_block(name, number, size, block)

    def name_disk(self, name: str, vendor: str | None, model: str | None) -> None:
        for key, text in (("vendor", vendor), ("model", model)):
            if text is not None:
                self.put(f"sys/block/{name}/device/{key}", f"{text}\n")

    def take_disk(self, name: str) -> None:
        """It is taken away, and udev removes its links."""
        node = self.path(f"dev/{name}").resolve()
        for link in self.path("dev/disk").glob("*/*"):
            if link.resolve() == node:
                self.delete(self.inside(link))
        self._hide_block(name, self.disks.pop(name).number)

    def add_link(self, below: str, target: str) -> None:
        """Another path to a device."""
        self._link(below, target)

    def add_partition(self, disk: str, name: str, number: str) -> None:
        directory = f"sys/block/{disk}/{name}"
        self.put(f"{directory}/partition", "1\n")
        self.put(f"{directory}/dev", f"{number}\n")
        self.put(f"{directory}/size", "2048\n")
        self.put(f"{directory}/ro", "0\n")
        self._link(f"sys/class/block/{name}", f"../../block/{disk}/{name}")
        self._link(f"sys/dev/block/{number}", f"../../block/{disk}/{name}")
        self.put(f"dev/{name}", "")
        self.disks[name] = Disk(MIB, number)

    def _show_block(self, name: str, number: str, size: int, block: int = SECTOR) -> None:
        directory = f"sys/block/{name}"
        self.put(f"{directory}/dev", f"{number}\n")
        self.put(f"{directory}/size", f"{size // SECTOR}\n")
        self.put(f"{directory}/ro", "0\n")
        self.disk_sequence += 1
        self.put(f"{directory}/diskseq", f"{self.disk_sequence}\n")
        for below in ("holders", "slaves"):
            self.make_dir(f"{directory}/{below}")
        self.put(f"{directory}/queue/logical_block_size", f"{block}\n")
        self._link(f"sys/class/block/{name}", f"../../block/{name}")
        self._link(f"sys/dev/block/{number}", f"../../block/{name}")
        self.put(f"dev/{name}", "")

    def _hide_block(self, name: str, number: str) -> None:
        top = f"sys/block/{name}"
        for below in (top, f"sys/class/block/{name}", f"sys/dev/block/{number}", f"dev/{name}"):
            self.delete(below)

    def show_volumes(self) -> None:
        """`mgmt`, and `devices` up to the end of its page."""
        self.put(
            "sys/kernel/rapiddisk/mgmt",
            f"RapidDisk {self.version}\n\nMaximum Number of Attachable Devices: {self.limit}\n"
            f"Number of Attached Devices: {len(self.volumes)}\nMax Sectors (KB): 127\n"
            "Number of Requests: 128\n",
        )
        first = islice(self.volumes.items(), PAGE // 12)  # no line is shorter
        lines = [f"rd{n}\t{v.size}\t0\t{v.used}\n" for n, v in first]
        self.put(
            "sys/kernel/rapiddisk/devices",
            ("Device\tSize\tErrors\tUsed\n" + "".join(lines))[: PAGE - 1],
        )
        self._show_memory()

    def refresh(self) -> None:
        self.show_volumes()

    def show_users(self) -> None:
        lines = ["22 1 0:21 / / rw - ext4 /dev/vda rw\n"]
        if self.configfs:
            lines.append("23 22 0:20 / /sys/kernel/config rw - configfs configfs rw\n")
        for number, (device, place) in enumerate(self.mounts):
            at = self._number(self._kernel_name(device))
            lines.append(f"{30 + number} 22 {at} / {_escaped(place)} rw - ext4 {device} rw\n")
        self.put("proc/self/mountinfo", "".join(lines))
        swaps = [f"{path}\tpartition\t65532\t0\t-2\n" for path in self.swaps]
        self.put("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n" + "".join(swaps))

    def _kernel_name(self, path: str) -> str:
        """Of /dev/rd0, /dev/mapper/x or a path in the tree that leads there."""
        if path.startswith("/dev/") and not path.startswith(f"{self.root}/"):
            if path.startswith("/dev/mapper/") and path[12:] in self.maps:
                return self.maps[path[12:]].kernel
            if path.count("/") == 2:
                return path[5:]
            path = str(self.path(path))
        real = os.path.realpath(path)
        # A link in /proc leads to the /dev of the machine that the tests run on.
        directory = os.path.dirname(real)
        return os.path.basename(real) if directory in ("/dev", *self._directories) else real

    def volume(self, name: str) -> Volume:
        return self.volumes[int(name[2:])]

    def _number(self, kernel: str) -> str:
        if re.fullmatch(r"rd[0-9]+", kernel):
            return f"{MAJOR}:{kernel[2:]}"
        if kernel.startswith("dm-"):
            return f"{DM_MAJOR}:{kernel[3:]}"
        return self.disks[kernel].number


def _escaped(path: str) -> str:
    return path.replace(" ", "\\040")
