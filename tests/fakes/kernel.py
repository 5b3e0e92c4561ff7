"""A simulated kernel: a tree of /sys, /proc and /dev in a directory, and the system calls that
change it, which react as rapiddisk 9.0.0 on Linux 6.1 was seen to (docs/wire/rapiddisk-local.md).

Like the real one it protects almost nothing. What destroys something that is in use is done, and
written down in `harm`, which a test then finds not empty.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from rdctl.effects.syscalls import Syscalls

MIB = 1 << 20
PAGE = 4096
SECTOR = 512
MAJOR, DM_MAJOR = 251, 252
NVMET = "sys/kernel/config/nvmet"
DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery"


class Killed(BaseException):
    """SIGKILL: nothing of the process runs after it."""


def fail(number: int, path: str = "") -> NoReturn:
    raise OSError(number, os.strerror(number), path)


# A writecache's superblock, and how many entries follow it here.
WRITECACHE = struct.Struct("<IIIIQQ32x")
MAGIC, ENTRIES = 0x23489321, 1024
FREE = b"\xff" * 16


class Volume:
    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self.high = 0  # bytes
        self.locked = False
        self.blocks: dict[int, bytes] = {}  # by their byte offset
        self.dirty_of: str | None = None  # the source that its blocks were written for
        self.unwritten = 0  # blocks that are on no source


class Mapping:
    """A device of device-mapper."""

    def __init__(self, minor: int, name: str) -> None:
        self.minor = minor
        self.kernel = f"dm-{minor}"
        self.name = name
        self.kind = ""
        self.arguments: list[str] = []
        self.sectors = 0
        self.slaves: list[str] = []
        self.numbers: list[str] = []  # of these, as they were
        self.live = False
        self.dirty = 0
        self.failed = False
        self.armed = False  # it is written back before it goes

    @property
    def volume(self) -> str:
        return self.slaves[1]

    @property
    def source(self) -> str:
        return self.slaves[0]


class Disk:
    def __init__(self, size: int, number: str) -> None:
        self.size = size
        self.number = number


class FakeKernel(Syscalls):
    """`root` is its tree. Tests arrange what others do with `mount`, `swap_on`, `open_by`, ..."""

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
        self.harm: list[str] = []
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
        self.serials = 1
        self.loops: dict[str, str] = {}  # loop device, what it is set up on
        self.namespace_sizes: dict[tuple[str, int], int] = {}
        self.unit = {"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "disabled"}
        self.systemctl = True
        self.says: str | None = None  # in place of an answer
        self.writecache_numbers = 14
        self.calls: list[str] = []
        self.when_locked: Callable[[], None] = lambda: None
        # The crash tests: what happens before the step of this number, counted from 1.
        self.steps = 0
        self.before: dict[int, Callable[[], None]] = {}
        self.after: dict[int, Callable[[], None]] = {}
        self.dead = False
        real = os.path.realpath(root)
        self._directories = (f"{real}/dev", f"{real}/dev/mapper")
        self._lay_out(nvmet, available)

    # --- the tree -----------------------------------------------------------------------------

    def path(self, below: str) -> Path:
        return self.root / below.lstrip("/")

    def put(self, below: str, text: str) -> None:
        path = self.path(below)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def text(self, below: str) -> str:
        return self.path(below).read_text().rstrip("\n")

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

    def _link(self, below: str, target: str) -> None:
        path = self.path(below)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

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

    def _number(self, kernel: str) -> str:
        if re.fullmatch(r"rd[0-9]+", kernel):
            return f"{MAJOR}:{kernel[2:]}"
        if kernel.startswith("dm-"):
            return f"{DM_MAJOR}:{kernel[3:]}"
        return self.disks[kernel].number

    # --- what others do -----------------------------------------------------------------------

    def add_volume(self, number: int, size: int = 64 * MIB) -> Volume:
        volume = self.volumes[number] = Volume(size)
        self._show_block(f"rd{number}", f"{MAJOR}:{number}", size)
        self._show_volumes()
        return volume

    def take_number(self, number: int) -> None:
        """Some other tool attaches a volume at this moment."""
        self.add_volume(number, 16 * MIB)

    def remove_volume(self, number: int) -> None:
        self._detach(number)

    def resize_volume(self, number: int, size: int) -> None:
        """Some other tool resizes it, and tells nobody."""
        self._command(f"rapiddisk resize {number} {size}")

    def replace_volume(self, number: int, size: int) -> None:
        self._detach(number)
        self.add_volume(number, size)

    def add_volumes(self, count: int) -> None:
        """Many at once, which is quicker."""
        for number in range(count):
            self.volumes[number] = Volume(8 * MIB)
            self._show_block(f"rd{number}", f"{MAJOR}:{number}", 8 * MIB)
        self._show_volumes()

    def volume(self, name: str) -> Volume:
        return self.volumes[int(name[2:])]

    def write_data(self, name: str, data: bytes, offset: int = 0) -> None:
        """A program writes to a volume."""
        volume = self.volume(name)
        volume.blocks[offset] = data
        volume.used += -(-len(data) // PAGE) * PAGE
        volume.high = max(volume.high, offset + len(data))
        self._store(name, data, offset)
        self._show_volumes()

    def write_disk(self, name: str, data: bytes, offset: int = 0) -> None:
        """A program writes to a disk or a partition; what was never written is zero."""
        self._store(name, data, offset)

    def _store(self, name: str, data: bytes, offset: int) -> None:
        with open(self.path(f"dev/{name}"), "r+b") as file:
            file.seek(offset)
            file.write(data)

    def _cut(self, name: str, size: int) -> None:
        """A node is as long as what was written to it: behind its end are zeros."""
        node = self.path(f"dev/{name}")
        os.truncate(node, min(size, node.stat().st_size))

    def mount(self, device: str, place: str) -> None:
        self.mounts.append((device, place))
        self._show_users()

    def mount_elsewhere(self, device: str, place: str, process: int) -> None:
        """In a mount namespace of its own, which only that process sees."""
        at = self._number(self._kernel_name(device))
        self.put(f"proc/{process}/mountinfo", f"90 1 {at} / {place} rw - ext4 {device} rw\n")
        self._link(f"proc/{process}/ns/mnt", f"mnt:[{process}]")
        self.exclusive[-process] = self._kernel_name(device)

    def swap_on(self, device: str) -> None:
        self.swaps.append(device)
        self._show_users()

    def loop(self, number: int, backing: str, shown: str | None = None) -> None:
        """A loop device, which may be `shown` by a path that leads nowhere here."""
        self.add_disk(f"loop{number}", 8 * MIB, f"7:{number}")
        self.put(f"sys/block/loop{number}/loop/backing_file", f"{shown or backing}\n")
        self.loops[f"loop{number}"] = self._kernel_name(backing)

    def open_by(
        self,
        process: int,
        name: str,
        device: str,
        parent: str = "bash",
        *,
        line: str = "",
        unit: str = "",
    ) -> None:
        """A program has the device open, which another one has started."""
        self._begin_process(process, name, parent)
        self.put(f"proc/{process}/cmdline", line.replace(" ", "\0"))
        self.put(f"proc/{process}/cgroup", f"0::{unit}\n")
        self._link(f"proc/{process}/fd/3", device)
        self.openers.append((process, self._kernel_name(device)))

    def _begin_process(self, process: int, name: str, parent: str = "bash") -> None:
        self.put(f"proc/{process}/comm", f"{name}\n")
        self.put(f"proc/{process}/stat", f"{process} ({name}) S 3 {process} {process} 0 -1 0 0\n")
        self.put("proc/3/comm", f"{parent}\n")

    def inherit(self, process: int, name: str, other: int) -> None:
        """A program has what another one has open: one open file."""
        self._begin_process(process, name)
        device = os.readlink(self.path(f"proc/{other}/fd/3"))
        self._link(f"proc/{process}/fd/4", device)
        self.shared.append({process, other})

    def map_by(self, process: int, name: str, device: str, *, node: int = 7) -> None:
        """A program maps the device into its memory, and has closed it."""
        self._begin_process(process, name)
        self.put(
            f"proc/{process}/maps",
            "00400000-00500000 r-xp 00000000 fd:01 1234567   /usr/bin/python3.11\n"
            "7ffd0000-7ffe0000 rw-p 00000000 00:00 0   [stack]\n"
            f"7f000000-7f001000 rw-s 00000000 00:05 {node}   /srv/jail/{device}\n",
        )
        self._link(f"proc/{process}/map_files/00400000-00500000", "/usr/bin/env")
        self._link(f"proc/{process}/map_files/7f000000-7f001000", device)
        self.openers.append((process, self._kernel_name(device)))

    def end_process(self, process: int) -> None:
        shutil.rmtree(self.path(f"proc/{process}"), ignore_errors=True)
        self.openers = [opener for opener in self.openers if opener[0] != process]

    def raid(self, name: str, *parts: str) -> None:
        self.add_disk(name, 8 * MIB, "9:0")
        for part in parts:
            self._stack(name, part)

    def map_linear(self, name: str, *parts: str) -> None:
        """A mapping that is not RapidDisk's."""
        mapping = self._new_mapping(name)
        mapping.kind, mapping.slaves, mapping.sectors = "linear", list(parts), 2048
        self._show_mapping(mapping)
        self._go_live(mapping)

    def map_cache(self, name: str, volume: str, source: str, dirty: int = 0) -> None:
        """Some other tool makes a cache."""
        mapping = self._new_mapping(name)
        mapping.kind = "writecache" if name.startswith("rc-wb") else "rapiddisk-cache"
        mapping.slaves = [self._kernel_name(f"/dev/{source}"), volume]
        words = [f"/dev/{source}", f"/dev/{volume}"]
        cached = mapping.kind == "writecache"
        mapping.arguments = ["s", *words, str(PAGE), "0"] if cached else [*words, "0", "0"]
        mapping.sectors = self._size(mapping.source) // SECTOR
        mapping.dirty = dirty
        self._show_mapping(mapping)
        self._go_live(mapping)

    def allow_host(self, nqn: str, host: str) -> None:
        self._mkdir(str(self.path(f"{NVMET}/hosts/{host}")))
        self._link(
            f"{NVMET}/subsystems/{nqn}/allowed_hosts/{host}", f"../../../../nvmet/hosts/{host}"
        )

    def offer(self, nqn: str, port: int) -> None:
        """Put a subsystem on a port."""
        self._link(f"{NVMET}/ports/{port}/subsystems/{nqn}", f"../../../../nvmet/subsystems/{nqn}")

    def make_directory(self, below: str) -> None:
        """Some other tool begins a port or a subsystem; or a module is loaded."""
        path = str(self.path(below))
        if NVMET in below:
            self._mkdir(path)
        else:
            os.makedirs(path)

    def unmount_configfs(self) -> None:
        self.configfs = False
        shutil.rmtree(self.path("sys/kernel/config"))
        self._show_users()

    def allow_transport(self, name: str) -> None:
        """The kernel has the module."""
        self.transports.add(name)
        self.make_directory(f"sys/module/nvme_{name}")

    def link_node(self, below: str, target: str) -> None:
        """Another path to a device."""
        self._link(below, target)

    def foreign_subsystem(self, nqn: str, device: str | None, *, enabled: bool = True) -> None:
        """Some other tool exports a device; None: it makes no namespace."""
        directory = self.path(f"{NVMET}/subsystems/{nqn}")
        self._mkdir(str(directory))
        if device is not None:
            self.foreign_namespace(nqn, 1, device, enabled=enabled)

    def foreign_namespace(self, nqn: str, number: int, device: str, *, enabled: bool) -> None:
        place = self.path(f"{NVMET}/subsystems/{nqn}/namespaces/{number}")
        self._mkdir(str(place))
        (place / "device_path").write_text(f"{device}\n")
        (place / "enable").write_text(f"{int(enabled)}\n")

    def add_port(self, number: int, address: str = "10.0.2.15", service: str = "4420") -> None:
        """Some other tool makes a TCP port."""
        directory = self.path(f"{NVMET}/ports/{number}")
        self._mkdir(str(directory))
        values = {"trtype": "tcp", "adrfam": "ipv4", "traddr": address, "trsvcid": service}
        for name, value in values.items():
            (directory / f"addr_{name}").write_text(f"{value}\n")

    def begin_mapping(self, name: str) -> None:
        """Some other tool makes a mapping, and has given it no table yet."""
        self._new_mapping(name)

    def unmap_unsafely(self, name: str) -> None:
        """`dmsetup remove` without the message."""
        self._dm_remove(name)

    def fail_source(self, name: str, *, gone: bool = False) -> None:
        """The disk below a write-back cache fails, or is taken away."""
        mapping = self.maps[name]
        mapping.failed = True
        self._leave_blocks(mapping)
        if gone:
            self._hide_block(mapping.source, self.disks.pop(mapping.source).number)

    def reattach(self, disk: str, name: str, number: str) -> None:
        """A disk that was taken away comes back under another name."""
        self.identities[name] = self._identity(disk)
        self.add_disk(name, 512 * MIB, number)

    def _identity(self, disk: str) -> str:
        return self.identities.get(disk, disk)

    def suspend(self, name: str) -> None:
        self.put(f"sys/block/{self.maps[name].kernel}/dm/suspended", "1\n")

    def _leave_blocks(self, mapping: Mapping) -> None:
        """What is not written back stays in the volume."""
        volume = self.volumes.get(int(mapping.volume[2:]))
        if mapping.kind != "writecache" or volume is None:
            return
        volume.unwritten = mapping.dirty
        volume.dirty_of = self._identity(mapping.source)
        # Behind them one that was written back: it keeps its sector.
        entries = [struct.pack("<QQ", number * 8, 1) for number in range(mapping.dirty)]
        entries.append(struct.pack("<Q", 800) + FREE[:8])
        entries += [FREE] * (ENTRIES - len(entries))
        header = WRITECACHE.pack(MAGIC, 1, PAGE, 0, ENTRIES, 2)
        self._store(mapping.volume, header + b"".join(entries), 0)

    def tear_out(self, volume: str) -> None:
        """Some other tool removes a volume from under its mapping."""
        for mapping in self.maps.values():
            if volume in mapping.slaves:
                mapping.failed = True
        self._detach(int(volume[2:]))

    # --- steps, for the crash tests -----------------------------------------------------------

    def _change(self, act: Callable[[], None]) -> None:
        if self.dead:
            raise Killed
        self.steps += 1
        self.before.pop(self.steps, lambda: None)()
        number = self.steps
        act()
        self.after.pop(number, lambda: None)()

    def kill_at(self, step: int) -> None:
        def kill() -> None:
            self.dead = True
            raise Killed

        self.before[step] = kill

    def interrupt_at(self, step: int, number: int = signal.SIGINT) -> None:
        """A signal that comes while the step is being done."""
        self.before[step] = lambda: os.kill(os.getpid(), number)

    def fail_at(self, step: int, number: int) -> None:
        self.before[step] = lambda: fail(number)

    def revive(self) -> None:
        """The next process begins: the old one's descriptors are closed."""
        self.dead = False
        self.steps = 0
        self.before.clear()
        self.close_all()

    def close_all(self) -> None:
        for descriptor in list(self.descriptors):
            self.close(descriptor)

    # --- the system calls ---------------------------------------------------------------------

    @property
    def privileged(self) -> bool:
        return self.root_user

    def write(self, path: str, text: str) -> None:
        self._change(lambda: self._write(path, text))

    def mkdir(self, path: str) -> None:
        self._change(lambda: self._mkdir(path))

    def rmdir(self, path: str) -> None:
        self._change(lambda: self._rmdir(path))

    def symlink(self, target: str, path: str) -> None:
        self._change(lambda: self._symlink(target, path))

    def unlink(self, path: str) -> None:
        self._change(lambda: self._unlink(path))

    def lock(self, path: str) -> int | None:
        assert path == str(self.path("run/rdctl.lock")), path
        descriptor = super().lock(path)
        self.when_locked()
        if descriptor is not None:
            self.descriptors[descriptor] = "lock"
        return descriptor

    def open_device(self, path: str, *, exclusive: bool = False) -> int:
        if not self.root_user:
            fail(errno.EACCES, path)
        kernel = self._kernel_name(path)
        if exclusive and self._claimed(kernel):
            fail(errno.EBUSY, path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.descriptors[descriptor] = kernel
        if exclusive:
            self.exclusive[descriptor] = kernel
        return descriptor

    def close(self, descriptor: int) -> None:
        self.descriptors.pop(descriptor, None)
        self.exclusive.pop(descriptor, None)
        os.close(descriptor)

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> None:
        if request == 0x8915:
            assert isinstance(argument, bytearray)
            self._interface_address(argument)
            return
        device = self.descriptors[descriptor]
        if request == 0x4C05:
            assert isinstance(argument, bytearray)
            if device not in self.loops:
                fail(errno.ENXIO)
            major, minor = map(int, self._number(self.loops[device]).split(":"))
            argument[16:24] = struct.pack("=Q", os.makedev(major, minor))
            return
        if device == "control":
            assert isinstance(argument, bytearray)
            self._device_mapper(request, argument)
            return
        volume = self.volume(device)
        if request in (0x0529, 0x0530):
            assert isinstance(argument, bytearray)
            value = volume.high // SECTOR if request == 0x0529 else volume.used // PAGE
            argument[:] = struct.pack("=Q", value)
        elif request == 0x0531:
            self._change(lambda: self._erase(device))
        elif request == 0x125D:
            assert isinstance(argument, bytearray)
            self._change(lambda: self._set_lock(device, bool(struct.unpack("=i", argument)[0])))
        else:
            fail(errno.ENOTTY)

    def run(self, argv: Sequence[str], seconds: float | None = None) -> tuple[int, str]:
        self.calls.append(" ".join(argv))
        if not self.systemctl:
            fail(errno.ENOENT, argv[0])
        assert argv[0] == "systemctl"
        assert argv[2] == "rapiddiskd"
        if self.says is not None:
            return 1, self.says + "\n"
        if argv[1] == "show":
            pid = 4711 if self.unit["ActiveState"] == "active" else 0
            return 0, "".join(f"{key}={value}\n" for key, value in self.unit.items()) + (
                f"MainPID={pid}\n"
            )
        if self.unit["LoadState"] != "loaded":
            return 5, f"Failed to {argv[1]} rapiddiskd.service: Unit not found.\n"
        key, value = {
            "start": ("ActiveState", "active"),
            "stop": ("ActiveState", "inactive"),
            "enable": ("UnitFileState", "enabled"),
            "disable": ("UnitFileState", "disabled"),
        }[argv[1]]
        self._change(lambda: self.unit.update({key: value}))
        return 0, ""

    def can_bind(self, address: str) -> bool:
        return address in self.addresses

    def device_number(self, path: str) -> str | None:
        if path.startswith(str(self.path("dev"))) and not os.path.lexists(path):
            fail(errno.ENOENT, path)
        kernel = self._kernel_name(path)
        if re.fullmatch(r"rd[0-9]+", kernel) and int(kernel[2:]) not in self.volumes:
            fail(errno.ENOENT, path)
        try:
            return self._number(kernel)
        except KeyError:
            os.stat(path)
            return None

    def peek(self, path: str) -> str | None:
        return self.device_number(path)

    def same_file(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        return any({one[0], other[0]} <= processes for processes in self.shared)

    def references(self, path: str) -> int:
        if self.version is None:
            fail(errno.ENOENT, path)
        return self.hidden + sum(self._opens(f"rd{number}") for number in self.volumes)

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

    def _namespaces_of(self, kernel: str) -> list[str]:
        """Enabled ones."""
        found = []
        for directory in self.path(f"{NVMET}/subsystems").glob("*/namespaces/*"):
            path = (directory / "device_path").read_text().strip()
            enabled = (directory / "enable").read_text().strip() == "1"
            if enabled and path.startswith("/dev/") and self._kernel_name(path) == kernel:
                found.append(directory.parent.parent.name)
        return found

    # --- block devices ------------------------------------------------------------------------

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

    def _used(self, kernel: str) -> str | None:
        """Anybody but our own exclusive descriptor."""
        ours = {fd: name for fd, name in self.exclusive.items() if fd > 0}
        self.exclusive = {fd: name for fd, name in self.exclusive.items() if fd < 0}
        user = self._claimed(kernel) or self._exported(kernel) or self._opened(kernel)
        self.exclusive |= ours
        return user

    def _erase(self, name: str) -> None:
        volume = self.volume(name)
        volume.used = volume.high = 0
        opened = list(self.descriptors.values()).count(name)
        user = self._used(name)
        if user or opened > 1:
            self.harm.append(f"the counters of {name} were set to 0 by a refused erase: {user}")
            self._show_volumes()
            fail(errno.EBUSY)
        self._lose(name)
        volume.blocks.clear()
        volume.dirty_of = None
        self._cut(name, 0)
        self._show_volumes()

    def _lose(self, name: str) -> None:
        """The only copy of what was not written back."""
        if self.volume(name).unwritten:
            self.harm.append(f"{self.volume(name).unwritten} unwritten blocks of {name} were lost")
        self.volume(name).unwritten = 0

    def _set_lock(self, name: str, locked: bool) -> None:
        self.volume(name).locked = locked
        self.put(f"sys/block/{name}/ro", f"{int(locked)}\n")

    # --- mgmt ---------------------------------------------------------------------------------

    def _write(self, path: str, text: str) -> None:
        if not self.root_user:
            fail(errno.EACCES, path)
        if not os.path.exists(path):
            fail(errno.ENOENT, path)
        if path == str(self.path("sys/kernel/rapiddisk/mgmt")):
            self._command(text.rstrip("\n"))
        elif path.startswith(str(self.path(NVMET))):
            self._attribute(Path(path), text.rstrip("\n"))
        else:
            raise AssertionError(f"nobody writes to {path}")

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
            user = self._used(f"rd{number}")
            if user:
                self.harm.append(f"rd{number} was removed while {user}")
            self._lose(f"rd{number}")
            self._detach(number)
        else:
            volume = self.volumes[number]
            if size % SECTOR or size <= volume.high:
                fail(errno.EINVAL)
            if size < volume.size and self._used(f"rd{number}"):
                self.harm.append(f"rd{number} was cut while {self._used(f'rd{number}')}")
            if size < volume.size and any(at >= size for at in volume.blocks):
                self.harm.append(f"data of rd{number} were cut off")
            volume.size = size
            self._cut(f"rd{number}", size)
            self.put(f"sys/block/rd{number}/size", f"{size // SECTOR}\n")
            self._show_volumes()

    def _detach(self, number: int) -> None:
        del self.volumes[number]
        self._hide_block(f"rd{number}", f"{MAJOR}:{number}")
        self._show_volumes()

    # --- device-mapper ------------------------------------------------------------------------

    _HEADER = struct.Struct("=3I I I I i I I I Q 128s 129s 7x")

    def _device_mapper(self, request: int, buffer: bytearray) -> None:
        size = self._HEADER.size
        assert size == 312
        assert request >> 8 == 0xC138FD, hex(request)
        fields = list(self._HEADER.unpack_from(buffer))
        assert fields[0] == 4
        assert fields[3] == len(buffer), "data_size"
        name = fields[11].split(b"\0")[0].decode()
        data = bytes(buffer[fields[4] :])
        command = request & 0xFF
        if command in (2, 12):
            self._dm_answer(
                fields,
                buffer,
                *(self._dm_list() if command == 2 else self._dm_text(name, fields[7] & 1 << 4)),
            )
            return
        acts: dict[int, Callable[[], None]] = {
            3: lambda: self._dm_create(name),
            4: lambda: self._dm_remove(name),
            6: lambda: self._dm_resume(name),
            9: lambda: self._dm_load(name, data),
            14: lambda: self._dm_message(name, data[8:].split(b"\0")[0].decode()),
        }
        self._change(acts[command])

    def _dm_answer(self, fields: list[int], buffer: bytearray, count: int, answer: bytes) -> None:
        room = len(buffer) - self._HEADER.size
        fields[5] = count
        if len(answer) > room:
            fields[7] |= 1 << 8  # DM_BUFFER_FULL_FLAG
            answer = b""
        fields[3] = self._HEADER.size + len(answer)
        self._HEADER.pack_into(buffer, 0, *fields)
        buffer[self._HEADER.size : fields[3]] = answer

    def _dm_list(self) -> tuple[int, bytes]:
        if not self.maps:
            return 0, bytes(16)
        parts = []
        for mapping in self.maps.values():
            name = mapping.name.encode() + b"\0"
            length = 12 + len(name) + (-(12 + len(name)) % 8)
            number = DM_MAJOR << 8 | mapping.minor
            parts.append((number, length, name))
        answer = b""
        for index, (number, length, name) in enumerate(parts):
            following = length if index + 1 < len(parts) else 0
            answer += (struct.pack("=QI", number, following) + name).ljust(length, b"\0")
        return 0, answer

    def _dm_text(self, name: str, table: int) -> tuple[int, bytes]:
        mapping = self._mapping(name)
        if not mapping.live:
            return 0, b""
        words = self._table_of(mapping) if table else self.status_of(mapping)
        text = words.encode() + b"\0"
        head = struct.pack("=QQiI16s", 0, mapping.sectors, 0, 40 + len(text), mapping.kind.encode())
        return 1, head + text

    def _table_of(self, mapping: Mapping) -> str:
        """As the kernel prints it: by numbers, or in words that no table can be made of
        (docs/wire/rapiddisk-local.md#34-dmsetup-table-output)."""
        if mapping.kind == "writecache":
            return " ".join(["s", *mapping.numbers, *mapping.arguments[3:]])
        source, volume = mapping.arguments[:2]
        return f"conf:\n\tRapidDisk dev ({volume}), disk dev ({source}) mode (WRITETHROUGH)\n"

    def status_of(self, mapping: Mapping) -> str:
        if mapping.kind == "writecache":
            blocks = 16320
            free = blocks - mapping.dirty
            numbers = f"{int(mapping.failed)} {blocks} {free} 0 1034 642 512 0 0 0 512 0 0 0"
            return " ".join(numbers.split()[: self.writecache_numbers]) + " "
        if mapping.kind == "rapiddisk-cache":
            return (
                "stats:\n\treads(1034), writes(8)\n"
                "\tcache hits(646), replacement(0), write replacement(0)\n"
                "\tread invalidates(0), write invalidates(8)\n"
                "\tuncached reads(0), uncached writes(0)\n"
                "\tdisk reads(388), disk writes(8)\n\tcache reads(646), cache writes(396)\n"
            )
        return ""

    def _mapping(self, name: str) -> Mapping:
        return self.maps[name] if name in self.maps else fail(errno.ENXIO)

    def _new_mapping(self, name: str) -> Mapping:
        taken = {mapping.minor for mapping in self.maps.values()}
        minor = next(number for number in range(len(taken) + 1) if number not in taken)
        mapping = self.maps[name] = Mapping(minor, name)
        return mapping

    def _dm_create(self, name: str) -> None:
        """Not in sysfs before it has a table."""
        if name in self.maps:
            fail(errno.EBUSY)
        self._new_mapping(name)

    def _dm_load(self, name: str, data: bytes) -> None:
        mapping = self._mapping(name)
        start, sectors, _, following, kind = struct.unpack_from("=QQiI16s", data)
        assert start == 0
        assert following % 8 == 0
        assert len(data) == following
        text = data[40:].split(b"\0")[0].decode()
        mapping.kind, mapping.sectors = kind.rstrip(b"\0").decode(), sectors
        mapping.arguments = text.split()
        if mapping.kind == "rapiddisk-cache":
            self._check_rapiddisk(mapping)
        elif mapping.kind == "writecache":
            self._check_writecache(mapping)
        else:
            fail(errno.EINVAL)
        if self._block(mapping.source) > (PAGE if mapping.kind == "writecache" else SECTOR):
            self.harm.append(f"{name} sends {mapping.source} less than its blocks")
        if sectors * SECTOR > self._size(mapping.source):
            self.harm.append(f"{name} is longer than {mapping.source}")
        for part in mapping.slaves:
            if self._mapped(part) or self._exported(part):
                self.harm.append(f"{part} was mapped while {self._used(part)}")
        if self.volume(mapping.volume).locked:
            self.harm.append(f"{mapping.volume} was mapped while locked")
        if mapping.source == mapping.volume:
            self.harm.append(f"{mapping.volume} caches itself")
        self._show_mapping(mapping)

    def _check_rapiddisk(self, mapping: Mapping) -> None:
        if len(mapping.arguments) < 2:
            fail(errno.EINVAL)
        source, cache, sectors, mode = mapping.arguments
        mapping.slaves = [self._kernel_name(source), self._kernel_name(cache)]
        if not self._has_node(source) or self._busy(mapping.source):
            fail(errno.EINVAL)
        if not cache.startswith("/dev/rd") or not self._has_node(cache):
            fail(errno.EINVAL)
        if self._busy(mapping.volume) or int(sectors) * SECTOR > self._size(mapping.volume):
            fail(errno.EINVAL)
        if int(sectors) * SECTOR < 2 * MIB:
            fail(errno.ENOMEM)
        assert mode in ("0", "1")

    def _check_writecache(self, mapping: Mapping) -> None:
        ssd, source, cache, block, count, *options = mapping.arguments
        assert ssd == "s"
        assert len(options) == int(count)
        assert options[::2] in ([], ["max_age"])
        mapping.slaves = [self._kernel_name(source), self._kernel_name(cache)]
        if not self._has_node(source) or self._busy(mapping.source):
            fail(errno.EBUSY)
        if not self._has_node(cache):
            fail(errno.ENODEV)
        if self._busy(mapping.volume):
            fail(errno.EBUSY)
        if mapping.sectors * SECTOR % PAGE:
            fail(errno.EINVAL)
        volume = self.volume(mapping.volume)
        if volume.dirty_of is not None and block != str(PAGE):
            fail(errno.EINVAL)  # not that of the superblock
        if volume.dirty_of not in (None, self._identity(mapping.source)):
            self.harm.append(f"blocks of {volume.dirty_of} were written to {mapping.source}")
        elif volume.unwritten:
            mapping.dirty, volume.unwritten = volume.unwritten, 0
        elif volume.blocks.get(0, b"\0").strip(b"\0") and volume.dirty_of is None:
            fail(errno.EINVAL)  # no superblock, and not zero
        elif volume.dirty_of is None:
            self._format(mapping)

    def _has_node(self, path: str) -> bool:
        return self.path(path).exists()

    def _busy(self, kernel: str) -> bool:
        """Device-mapper shares its claims with itself, and with nobody else."""
        return bool(self._claimed(kernel)) and not self._mapped(kernel)

    def _show_mapping(self, mapping: Mapping) -> None:
        mapping.numbers = [self._number(part) for part in mapping.slaves]
        kernel = mapping.kernel
        block = PAGE if mapping.kind == "writecache" else SECTOR
        self._show_block(kernel, f"{DM_MAJOR}:{mapping.minor}", 0, block)
        self.put(f"sys/block/{kernel}/dm/name", f"{mapping.name}\n")
        for part in mapping.slaves:
            self._stack(kernel, part)

    def _stack(self, upper: str, lower: str) -> None:
        self._link(f"sys/block/{upper}/slaves/{lower}", f"../../{lower}")
        whole = next(self.path("sys/block").glob(f"*/{lower}/partition"), None)
        below = f"sys/block/{lower}" if whole is None else str(whole.parent.relative_to(self.root))
        self._link(f"{below}/holders/{upper}", f"../../{upper}")

    def _dm_resume(self, name: str) -> None:
        mapping = self._mapping(name)
        if not mapping.slaves:
            fail(errno.EINVAL)
        self._go_live(mapping)

    def _go_live(self, mapping: Mapping) -> None:
        mapping.live = True
        self.put(f"sys/block/{mapping.kernel}/size", f"{mapping.sectors}\n")
        if self.udev:
            self._link(f"dev/mapper/{mapping.name}", f"../{mapping.kernel}")
        if mapping.kind == "writecache" and self.volume(mapping.volume).dirty_of is None:
            self._format(mapping)
        elif mapping.kind == "rapiddisk-cache":
            self.volume(mapping.volume).used += 261 * PAGE
        self._show_volumes()

    def _format(self, mapping: Mapping) -> None:
        """A writecache writes its superblock when its table is loaded."""
        volume = self.volume(mapping.volume)
        volume.used += 64 * PAGE
        self._leave_blocks(mapping)
        volume.unwritten = 0
        self._show_volumes()

    def _dm_remove(self, name: str) -> None:
        mapping = self._mapping(name)
        if mapping.kernel in self.descriptors.values() or self._used(mapping.kernel):
            fail(errno.EBUSY)
        if mapping.armed and not mapping.failed:
            mapping.dirty = 0
        if mapping.slaves:
            self._leave_blocks(mapping)
        del self.maps[name]
        if not mapping.slaves:
            return
        for part in mapping.slaves:
            for holder in self.path("sys/block").glob(f"**/{part}/holders/{mapping.kernel}"):
                holder.unlink()
        if self.path(f"dev/mapper/{name}").is_symlink():
            self.path(f"dev/mapper/{name}").unlink()
        self._hide_block(mapping.kernel, f"{DM_MAJOR}:{mapping.minor}")

    def _dm_message(self, name: str, text: str) -> None:
        mapping = self._mapping(name)
        if not mapping.live or mapping.kind != "writecache":
            fail(errno.EINVAL)
        if text == "flush_on_suspend":
            mapping.armed = True
            return
        if text != "flush":
            fail(errno.EINVAL)
        if mapping.failed:
            fail(errno.EIO)
        mapping.dirty = 0

    # --- configfs -----------------------------------------------------------------------------

    def _below(self, path: str) -> list[str]:
        return str(Path(path).relative_to(self.path(NVMET))).split("/")

    def _mkdir(self, path: str) -> None:
        if not self.root_user:
            fail(errno.EACCES, path)
        below = self._below(path)
        if not os.path.isdir(os.path.dirname(path)):
            fail(errno.ENOENT, path)
        if os.path.exists(path):
            fail(errno.EEXIST, path)
        if below[0] == "ports" and len(below) == 2:
            if not below[1].isdigit() or int(below[1]) > 65535:
                fail(errno.EINVAL, path)
            attributes = dict.fromkeys(("addr_adrfam", "addr_traddr", "addr_trsvcid"), "")
            attributes |= {"addr_trtype": "", "addr_treq": "not specified"}
            directories = ["subsystems", "referrals", "ana_groups/1"]
        elif below[0] == "subsystems" and len(below) == 2:
            if below[1] == DISCOVERY:
                fail(errno.EINVAL, path)
            attributes = {"attr_allow_any_host": "0", "attr_model": "Linux", "attr_version": "1.3"}
            attributes |= {"attr_serial": f"{self.serials:020x}"}
            self.serials += 1
            directories = ["namespaces", "allowed_hosts"]
        elif below[0] == "subsystems" and below[2:3] == ["namespaces"] and len(below) == 4:
            if not below[3].isdigit() or below[3] == "0":
                fail(errno.EINVAL, path)
            attributes = {"device_path": "(null)", "enable": "0", "revalidate_size": ""}
            attributes |= {"device_uuid": f"uuid-{self.steps}"}
            directories = []
        elif below[0] == "hosts" and len(below) == 2:
            attributes, directories = {}, []
        else:
            fail(errno.EPERM, path)
        os.mkdir(path)
        for name, value in attributes.items():
            Path(path, name).write_text(f"{value}\n")
        for directory in directories:
            Path(path, directory).mkdir(parents=True)

    def _rmdir(self, path: str) -> None:
        below = self._below(path)
        if not os.path.isdir(path):
            fail(errno.ENOENT, path)
        if below[0] == "ports" and os.listdir(f"{path}/subsystems"):
            fail(errno.ENOTEMPTY, path)
        if below[0] == "subsystems" and len(below) == 2:
            if os.listdir(f"{path}/namespaces") or os.listdir(f"{path}/allowed_hosts"):
                fail(errno.ENOTEMPTY, path)
            if any(self.path(f"{NVMET}/ports").glob(f"*/subsystems/{below[1]}")):
                fail(errno.EBUSY, path)
        if below[0] == "hosts":
            if any(self.path(f"{NVMET}/subsystems").glob(f"*/allowed_hosts/{below[1]}")):
                fail(errno.EBUSY, path)
        shutil.rmtree(path)

    def _symlink(self, target: str, path: str) -> None:
        below = self._below(path)
        if not os.path.isdir(target) or not os.path.isdir(os.path.dirname(path)):
            fail(errno.ENOENT, path)
        if os.path.islink(path):
            fail(errno.EEXIST, path)
        if below[0] == "subsystems":
            assert below[2] == "allowed_hosts"
            if self.text(f"{NVMET}/subsystems/{below[1]}/attr_allow_any_host") == "1":
                fail(errno.EINVAL, path)
        else:
            assert below[0] == "ports"
            assert below[2] == "subsystems"
            self._listen(below[1])
        inside = "/".join(self._below(target))
        os.symlink(f"../../../../nvmet/{inside}", path)

    def _listen(self, port: str) -> None:
        """The first subsystem on a port starts its listener."""
        directory = f"{NVMET}/ports/{port}"
        if os.listdir(self.path(f"{directory}/subsystems")):
            return
        kind, address, service = (
            self.text(f"{directory}/{name}")
            for name in ("addr_trtype", "addr_traddr", "addr_trsvcid")
        )
        if kind not in self.transports:
            fail(errno.EINVAL)
        if kind == "loop":
            return
        if kind == "rdma":
            fail(errno.ENODEV)
        if not service.isdigit() or int(service) > 65535 or not address:
            fail(errno.EINVAL)
        if address not in self.addresses:
            fail(errno.EADDRNOTAVAIL)
        others = {
            (
                self.text(f"{NVMET}/ports/{n}/addr_traddr"),
                self.text(f"{NVMET}/ports/{n}/addr_trsvcid"),
            )
            for n in os.listdir(self.path(f"{NVMET}/ports"))
            if n != port and os.listdir(self.path(f"{NVMET}/ports/{n}/subsystems"))
        }
        if (address, service) in others | self.taken_services:
            fail(errno.EADDRINUSE)

    def _unlink(self, path: str) -> None:
        assert self._below(path)[-2] in ("allowed_hosts", "subsystems")
        if not os.path.islink(path):
            fail(errno.ENOENT, path)
        os.unlink(path)

    def _attribute(self, path: Path, text: str) -> None:
        below = self._below(str(path))
        name, directory = below[-1], path.parent
        if name.startswith("addr_"):
            if os.listdir(directory / "subsystems"):
                fail(errno.EACCES, str(path))
            words = {"addr_trtype": ("tcp", "rdma", "loop", "fc"), "addr_adrfam": ("ipv4", "ipv6")}
            if text not in words.get(name, (text,)):
                fail(errno.EINVAL, str(path))
        elif name == "attr_allow_any_host":
            if text == "1" and os.listdir(directory / "allowed_hosts"):
                fail(errno.EINVAL, str(path))
        elif name == "device_path":
            if (directory / "enable").read_text().strip() == "1":
                fail(errno.EBUSY, str(path))
            if not text:
                fail(errno.EFAULT, str(path))
        elif name == "enable":
            self._enable(below, directory, text)
        elif name == "revalidate_size":
            device = self._kernel_name((directory / "device_path").read_text().strip())
            self.namespace_sizes[below[1], int(below[3])] = self._size(device)
            return
        elif name == "attr_model":
            assert len(text) <= 40
        elif name not in ("device_uuid", "attr_serial"):
            raise AssertionError(f"nobody writes to {path}")
        path.write_text(f"{text}\n")

    def _enable(self, below: list[str], directory: Path, text: str) -> None:
        if text not in ("0", "1"):
            fail(errno.EINVAL)
        if text == "0" or (directory / "enable").read_text().strip() == "1":
            return
        device = (directory / "device_path").read_text().strip()
        if device == "(null)":
            fail(errno.EINVAL)
        if not self.path(device).exists():
            fail(errno.ENOENT)
        kernel = self._kernel_name(device)
        user = self._used(kernel)
        if user:
            self.harm.append(f"{kernel} was exported while {user}")
        self.namespace_sizes[below[1], int(below[3])] = self._size(kernel)

    # --- the network --------------------------------------------------------------------------

    def _interface_address(self, request: bytearray) -> None:
        name = bytes(request[:16]).split(b"\0")[0].decode()
        if name not in self.interfaces:
            fail(errno.ENODEV)
        address = self.interfaces[name]
        if address is None:
            fail(errno.EADDRNOTAVAIL)
        request[16:24] = struct.pack("=HH4B", 2, 0, *map(int, address.split(".")))

    # --- for the tests ------------------------------------------------------------------------

    def snapshot(self) -> dict[str, str]:
        """Everything that changes, to compare before and after."""
        found = {}
        for top in (NVMET, "sys/kernel/rapiddisk", "sys/block", "dev"):
            for path in sorted(self._walk(self.path(top))):
                below = str(path.relative_to(self.root))
                if path.is_symlink():
                    found[below] = f"-> {os.readlink(path)}"
                elif path.is_file():
                    with open(path, "rb") as file:
                        found[below] = file.read(PAGE).decode("latin-1")
                else:
                    found[below] = ""
        found["dm"] = " ".join(sorted(self.maps))
        return found

    def _walk(self, top: Path) -> Iterator[Path]:
        for directory, directories, files in os.walk(top):
            for name in (*directories, *files):
                yield Path(directory, name)


def _escaped(path: str) -> str:
    return path.replace(" ", "\\040")
