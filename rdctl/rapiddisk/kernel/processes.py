"""Which block devices processes have open, by descriptors and memory maps."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import NamedTuple

from rdctl.effects.syscalls import Syscalls
from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.model import User

# udev opens every new device, and each that was written to, for an instant.
_UDEV = ("systemd-udevd", "(udev-worker)", "udevd", "systemd-udev")
# In /proc/PID/stat, after the program's name, which may contain anything.
_PARENT = re.compile(r"(?s).*\) \S+ ([0-9]+)")
# The inode of the first namespace of processes, which sees all of them.
_FIRST_NAMESPACE = "pid:[4026531836]"
_LONGEST_COMMAND = 60
_SECONDS = 10.0


class Observed(NamedTuple):
    """`descriptors`: process, device and the descriptor's number; `maps`: process and device;
    `apart`: a process of each further mount namespace."""

    descriptors: list[tuple[str, str, int]]
    maps: list[tuple[str, str]]
    apart: list[str]


class Processes:
    SETTLED = "udevadm settle"

    def __init__(self, sysfs: Sysfs, calls: Syscalls) -> None:
        self._sysfs = sysfs
        self._calls = calls
        # Why the last look was incomplete.
        self.missed: str | None = None
        self._open_files: dict[str, list[tuple[int, int]]] = {}

    @property
    def all_seen(self) -> bool:
        """Whether /proc shows the processes of the whole machine."""
        with suppress(OSError):
            return self._sysfs.led_to("proc/self/ns/pid") == _FIRST_NAMESPACE
        return False

    def look(self, ours: Collection[int], with_maps: bool) -> Observed:
        """All processes, this one without its descriptors `ours`. OSError where one cannot be
        inspected; one that ends meanwhile has nothing open."""
        seen = Observed([], [], [])
        self.missed = None
        self._open_files = {}
        until = time.monotonic() + _SECONDS
        spaces = {self._sysfs.led_to("proc/self/ns/mnt")}
        # The device of a map, by the file's device and inode: programs share most of theirs.
        mapped: dict[tuple[str, str], str | None] = {}
        own = str(os.getpid())
        for process in self._sysfs.listed("proc"):
            if not process.isdigit():
                continue
            if time.monotonic() > until:
                self.missed = f"not all processes could be checked within {_SECONDS:g} s"
                break
            space = self._sysfs.led_to(f"proc/{process}/ns/mnt")
            if space is not None and space not in spaces:
                spaces.add(space)
                seen.apart.append(process)
            for descriptor, kernel in self._descriptors(process):
                if process != own or descriptor not in ours:
                    seen.descriptors.append((process, kernel, descriptor))
            maps = dict.fromkeys(self._maps(process, mapped) if with_maps else ())
            seen.maps.extend((process, kernel) for kernel in maps)
        return seen

    def _descriptors(self, process: str) -> Iterator[tuple[int, str]]:
        directory = f"proc/{process}/fd"
        for name in self._sysfs.listed(directory):
            kernel = self._device_at(f"{directory}/{name}")
            if kernel is not None and not self._is_path(process, name):
                yield int(name), kernel

    def _is_path(self, process: str, descriptor: str) -> bool:
        """Whether the descriptor only names the device (O_PATH), without opening it."""
        text = self._sysfs.read(f"proc/{process}/fdinfo/{descriptor}") or ""
        found = re.search(r"^flags:\s*([0-7]+)$", text, re.M)
        return found is not None and bool(int(found[1], 8) & os.O_PATH)

    def _maps(self, process: str, mapped: dict[tuple[str, str], str | None]) -> Iterator[str]:
        """A map outlives its descriptor."""
        for line in (self._sysfs.read(f"proc/{process}/maps") or "").splitlines():
            place, _, _, device, inode, *_ = line.split(None, 5)
            if inode == "0":
                continue
            key = device, inode
            if key not in mapped:
                mapped[key] = self._device_at(f"proc/{process}/map_files/{place}")
            if kernel := mapped[key]:
                yield kernel

    def _device_at(self, below: str) -> str | None:
        """The device that is open there, if it is one."""
        try:
            number = self._calls.peek(self._sysfs.path(below))
        except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
            return None  # it was closed meanwhile
        return self._sysfs.numbered(number) if number else None

    def is_new(self, process: str, descriptor: int, kernel: str) -> bool:
        """Whether this descriptor is an open file that was not seen before. Where the kernel cannot
        compare, only the first is known to be one."""
        before = self._open_files.setdefault(kernel, [])
        this = int(process), descriptor
        try:
            new = not any(self._calls.same_file(this, other) for other in before)
        except OSError:
            new = not before
        if new:
            before.append(this)
        return new

    # --- who it is ------------------------------------------------------------------------------

    def user(self, process: str) -> User:
        if self._is_udev(process):
            return User("open", f"{process} ({self._program(process)})", self.SETTLED)
        unit = self._unit(process)
        freed_by = f"systemctl stop {shlex.quote(unit)}" if unit else None
        return User("open", f"{process} ({self._command(process)})", freed_by)

    def _command(self, process: str) -> str:
        """Its command line; its name if it has none (the kernel's own)."""
        line = (self._sysfs.text(f"proc/{process}/cmdline") or "").rstrip("\0")
        if not line:
            return self._program(process) or "?"
        words = shlex.join(line.split("\0"))
        return words if len(words) <= _LONGEST_COMMAND else words[: _LONGEST_COMMAND - 1] + "…"

    def _unit(self, process: str) -> str | None:
        """The systemd service that it belongs to."""
        groups = self._sysfs.text(f"proc/{process}/cgroup") or ""
        found = re.search(r"/system\.slice/(?:\S*/)?([^/\s]+\.service)(?:/|$)", groups, re.M)
        return found[1] if found else None

    def _is_udev(self, process: str) -> bool:
        """Whether it is udev, or was started by udev: lvm, mdadm, blkid."""
        parent = _PARENT.match(self._sysfs.text(f"proc/{process}/stat") or "")
        family = [process, parent[1]] if parent else [process]
        return any(self._program(one) in _UDEV for one in family)

    def _program(self, process: str) -> str | None:
        return self._sysfs.text(f"proc/{process}/comm")
