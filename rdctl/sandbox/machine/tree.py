"""The tree of a simulated machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from rdctl.effects.syscalls import Syscalls
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


class Tree(Syscalls):
    """`root` is the directory of the tree."""

    def __init__(
        self,
        root: Path,
        *,
        version: str | None = "9.0.0",
        nvmet: bool = True,
        available: int = 3500 * MIB,
        limit: int = 1024,
    ) -> None:
        self.root = root
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
        self.loops: dict[str, str] = {}  # loop device, what it is set up on
        self.namespace_sizes: dict[tuple[str, int], int] = {}
        self.unit = {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "disabled"}
        self.writecache_numbers = 14
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

    def path(self, below: str) -> Path:
        return self.root / below.lstrip("/")

    def put(self, below: str, text: str) -> None:
        path = self.path(below)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def text(self, below: str) -> str:
        return self.path(below).read_text().rstrip("\n")

    def _link(self, below: str, target: str) -> None:
        path = self.path(below)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def _lay_out(self, nvmet: bool, available: int) -> None:
        for directory in ("dev/mapper", "sys/block", "sys/class/block", "sys/dev/block", "run"):
            self.path(directory).mkdir(parents=True)
        self.put("dev/mapper/control", "")
        self.put("run/udev/control", "")
        self.put("proc/sys/kernel/hostname", "rdvm\n")
        self.put("proc/sys/kernel/random/boot_id", "0d2b3c44-boot\n")
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
        self.put("proc/meminfo", "")
        self.set_memory(available)
        self.put(
            "proc/devices",
            f"Character devices:\n  1 mem\n\nBlock devices:\n  8 sd\n{MAJOR} rapiddisk\n"
            f"{DM_MAJOR} device-mapper\n254 virtblk\n",
        )
        for module in ("dm_mod", "nvmet") if nvmet else ("dm_mod",):
            self.path(f"sys/module/{module}").mkdir(parents=True)
        if self.version is not None:
            self.load_module("rapiddisk")
            self.load_module("rapiddisk_cache")
        if nvmet:
            for directory in ("subsystems", "ports", "hosts"):
                self.path(f"{NVMET}/{directory}").mkdir(parents=True)
        for interface in self.interfaces:
            self.path(f"sys/class/net/{interface}").mkdir(parents=True)
        self.put(
            "proc/net/if_inet6",
            "00000000000000000000000000000001 01 80 10 80       lo\n"
            "fe80000000000000505400fffe123456 02 40 20 80     eth0\n"
            "fd000000000000000000000000000002 02 40 00 82     eth0\n"
            "fd000000000000000000000000000007 03 40 00 82    down0\n",
        )
        for name, size, number in (
            ("sda", 512 * MIB, "8:0"),
            ("sdb", 1024 * MIB, "8:16"),
            ("vdb", 512 * MIB, "254:16"),
            ("vdc", 512 * MIB, "254:32"),
        ):
            self.add_disk(name, size, number)
        self.put("sys/block/sda/device/vendor", "QEMU    \n")
        self.put("sys/block/sda/device/model", "QEMU HARDDISK   \n")
        self.put("sys/block/vdb/device/vendor", "0x1af4\n")
        self._show_users()

    def load_module(self, name: str) -> None:
        self.put(f"sys/module/{name}/version", f"{self.version}\n")
        if name == "rapiddisk":
            self._show_volumes()

    def set_memory(self, available: int) -> None:
        self.put(
            "proc/meminfo",
            f"MemTotal:        4007088 kB\nMemFree:         3420180 kB\n"
            f"MemAvailable:    {available >> 10} kB\nBuffers:            2048 kB\n",
        )

    def add_disk(self, name: str, size: int, number: str, block: int = SECTOR) -> None:
        self.disks[name] = Disk(size, number)
        self._show_block(name, number, size, block)

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
            self.path(f"{directory}/{below}").mkdir(exist_ok=True)
        self.put(f"{directory}/queue/logical_block_size", f"{block}\n")
        self._link(f"sys/class/block/{name}", f"../../block/{name}")
        self._link(f"sys/dev/block/{number}", f"../../block/{name}")
        self.put(f"dev/{name}", "")

    def _hide_block(self, name: str, number: str) -> None:
        shutil.rmtree(self.path(f"sys/block/{name}"))
        for below in (f"sys/class/block/{name}", f"sys/dev/block/{number}", f"dev/{name}"):
            self.path(below).unlink()

    def _show_volumes(self) -> None:
        """`mgmt`, and `devices` up to the end of its page."""
        self.put(
            "sys/kernel/rapiddisk/mgmt",
            f"RapidDisk {self.version}\n\nMaximum Number of Attachable Devices: {self.limit}\n"
            f"Number of Attached Devices: {len(self.volumes)}\nMax Sectors (KB): 127\n"
            "Number of Requests: 128\n",
        )
        lines = [f"rd{n}\t{v.size}\t0\t{v.used}\n" for n, v in self.volumes.items()]
        self.put(
            "sys/kernel/rapiddisk/devices",
            ("Device\tSize\tErrors\tUsed\n" + "".join(lines))[: PAGE - 1],
        )

    def refresh(self) -> None:
        self._show_volumes()

    def _show_users(self) -> None:
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
        if path.startswith("/dev/mapper/") and path[12:] in self.maps:
            return self.maps[path[12:]].kernel
        if path.startswith("/dev/") and path.count("/") == 2:
            return path[5:]
        real = os.path.realpath(self.path(path) if path.startswith("/dev/") else path)
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
