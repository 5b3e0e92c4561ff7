"""The simulated machine of the sandbox for tests: what others do to it is arranged here, and harm
is written down.

What destroys something that is in use is done, and written down in `harm`, which a test then finds
not empty.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rdctl.sandbox.machine.machine import Machine
from rdctl.sandbox.machine.objects import (
    DISCOVERY,
    DM_MAJOR,
    FREE,
    MAGIC,
    MAJOR,
    MIB,
    NVMET,
    PAGE,
    SECTOR,
    WRITECACHE,
    Disk,
    Mapping,
    Volume,
    fail,
)
from tests.signals import signal_here

__all__ = [
    "DISCOVERY",
    "DM_MAJOR",
    "FREE",
    "MAGIC",
    "MAJOR",
    "MIB",
    "NVMET",
    "PAGE",
    "SECTOR",
    "WRITECACHE",
    "Disk",
    "FakeKernel",
    "Killed",
    "Mapping",
    "Volume",
    "fail",
]


class Killed(BaseException):
    """SIGKILL: nothing of the process runs after it."""


class FakeKernel(Machine):
    """Tests arrange what others do with `mount`, `swap_on`, `open_by`, ..."""

    def __init__(self, root: Path, **options: Any) -> None:
        """With the options of a machine."""
        self.harm: list[str] = []
        self.seen_by_hosts: set[str] = set()  # NQNs
        self.random_numbers = 0
        self.systemctl = True
        self.writecache_numbers = 14
        self.says: str | None = None  # in place of an answer
        self.calls: list[str] = []
        self.when_locked: Callable[[], None] = lambda: None
        # The crash tests: what happens before the step of this number, counted from 1.
        self.before: dict[int, Callable[[], None]] = {}
        self.after: dict[int, Callable[[], None]] = {}
        self.dead = False
        super().__init__(root, **options)
        # As Debian 12's kernel.
        self.has_auth = self.has_tls = False
        for name, size, number in (
            ("sda", 512 * MIB, "8:0"),
            ("sdb", 1024 * MIB, "8:16"),
            ("vdb", 512 * MIB, "254:16"),
            ("vdc", 512 * MIB, "254:32"),
        ):
            self.add_disk(name, size, number)
        self.name_disk("sda", "QEMU    ", "QEMU HARDDISK   ")
        self.name_disk("vdb", "0x1af4", None)

    def _random(self, size: int) -> bytes:
        """The same in each run, and never the same twice."""
        self.random_numbers += 1
        return self.random_numbers.to_bytes(size, "big")

    def _is_seen(self, nqn: str) -> bool:
        return nqn in self.seen_by_hosts

    def _rmdir(self, path: str) -> None:
        super()._rmdir(path)
        self.seen_by_hosts.discard(os.path.basename(path))

    # --- what others do -----------------------------------------------------------------------

    def take_number(self, number: int) -> None:
        """Some other tool attaches a volume at this moment."""
        self.add_volume(number, 16 * MIB)

    def remove_volume(self, number: int) -> None:
        self.detach(number)

    def resize_volume(self, number: int, size: int) -> None:
        """Some other tool resizes it, and tells nobody."""
        self._command(f"rapiddisk resize {number} {size}")

    def replace_volume(self, number: int, size: int) -> None:
        self.detach(number)
        self.add_volume(number, size)

    def add_volumes(self, count: int) -> None:
        """Many at once, which is quicker."""
        for number in range(count):
            self.volumes[number] = Volume(8 * MIB)
            self._show_block(f"rd{number}", f"{MAJOR}:{number}", 8 * MIB)
        self.show_volumes()

    def mount(self, device: str, place: str) -> None:
        self.mounts.append((device, place))
        self.show_users()

    def mount_elsewhere(self, device: str, place: str, process: int) -> None:
        """In a mount namespace of its own, which only that process sees."""
        at = self._number(self._kernel_name(device))
        self.put(f"proc/{process}/mountinfo", f"90 1 {at} / {place} rw - ext4 {device} rw\n")
        self._link(f"proc/{process}/ns/mnt", f"mnt:[{process}]")
        self.exclusive[-process] = self._kernel_name(device)

    def swap_on(self, device: str) -> None:
        self.swaps.append(device)
        self.show_users()

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
        self.add_cache(name, volume, source, dirty)

    def allow_host(self, nqn: str, host: str) -> None:
        self._mkdir(str(self.path(f"{NVMET}/hosts/{host}")))
        self._link(
            f"{NVMET}/subsystems/{nqn}/allowed_hosts/{host}", f"../../../../nvmet/hosts/{host}"
        )

    def discover(self, nqn: str) -> None:
        """A host sees a subsystem."""
        self.seen_by_hosts.add(nqn)

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
        self.show_users()

    def link_node(self, below: str, target: str) -> None:
        """Another path to a device."""
        self.add_link(below, target)

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

    def add_port(
        self,
        number: int,
        address: str = "10.0.2.15",
        service: str = "4420",
        transport: str = "tcp",
    ) -> None:
        """Some other tool makes a port."""
        super().add_port(number, address, service, transport)

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
            self.take_disk(mapping.source)

    def reattach(self, disk: str, name: str, number: str) -> None:
        """A disk that was taken away comes back under another name."""
        self.identities[name] = self._identity(disk)
        self.add_disk(name, 512 * MIB, number)

    def suspend(self, name: str) -> None:
        self.put(f"sys/block/{self.maps[name].kernel}/dm/suspended", "1\n")

    def tear_out(self, volume: str) -> None:
        """Some other tool removes a volume from under its mapping."""
        for mapping in self.maps.values():
            if volume in mapping.slaves:
                mapping.failed = True
        self.detach(int(volume[2:]))

    # --- steps, for the crash tests -----------------------------------------------------------

    def _change(self, act: Callable[[], None]) -> None:
        if self.dead:
            raise Killed
        self.steps += 1
        self.before.pop(self.steps, lambda: None)()
        number = self.steps
        act()
        self.after.pop(number, lambda: None)()

    def _harm(self, what: str) -> None:
        self.harm.append(what)

    def lock(self, path: str) -> int | None:
        assert path == str(self.path("run/rdctl.lock")), path
        descriptor = super().lock(path)
        self.when_locked()
        return descriptor

    def execute(self, words: list[str]) -> tuple[int, str]:
        """What a unit runs; it does nothing here."""
        self.calls.append(" ".join(words))
        return 0, ""

    def replace(self, path: str, text: str, mode: int) -> None:
        if self._lasts(path):
            self._change(lambda: self._replace(path, text, mode))
        else:
            self._replace(path, text, mode)

    def remove(self, path: str) -> None:
        if self._lasts(path):
            self._change(lambda: self._remove(path))
        else:
            self._remove(path)

    def _lasts(self, path: str) -> bool:
        """Whether a file is one that a reboot keeps."""
        return path.startswith(f"{self.root}/etc/")

    def run(self, argv: Sequence[str], seconds: float | None = None) -> tuple[int, str]:
        self.calls.append(" ".join(argv))
        if not self.systemctl:
            fail(errno.ENOENT, argv[0])
        assert argv[0] == "systemctl"
        if self.says is not None:
            return 1, self.says + "\n"
        return super().run(argv, seconds)

    def kill_at(self, step: int) -> None:
        def kill() -> None:
            self.dead = True
            raise Killed

        self.before[step] = kill

    def interrupt_at(self, step: int, number: int = signal.SIGINT) -> None:
        """A signal that comes while the step is being done."""
        self.before[step] = lambda: signal_here(number)

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

    # --- numbers that tests name --------------------------------------------------------------

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

    # --- for comparing ------------------------------------------------------------------------

    def snapshot(self) -> dict[str, str]:
        """Everything that changes, to compare before and after."""
        found = {}
        for top in (NVMET, "sys/kernel/rapiddisk", "sys/block", "dev"):
            for path in sorted(self._walk(self.path(top))):
                below = str(path.relative_to(self.root))
                if path.is_symlink():
                    found[below] = f"-> {os.readlink(path)}"
                elif path.name == "revalidate_size":
                    found[below] = ""  # nobody can read it
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
