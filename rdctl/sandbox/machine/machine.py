"""A simulated machine, which reacts as rapiddisk 9.0.0 on Linux 6.1 was seen to
(docs/wire/rapiddisk-local.md). Like the real one it protects almost nothing."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path

from rdctl.sandbox.machine.objects import NVMET, PAGE, SECTOR, fail, filled
from rdctl.sandbox.machine.units import Units


class Machine(Units):
    """The system calls."""

    @property
    def privileged(self) -> bool:
        return self.root_user

    def write(self, path: str, text: str) -> None:
        self._change(lambda: self._write(path, text))

    def chmod(self, path: str, mode: int) -> None:
        self._change(lambda: self._chmod(path, mode))

    def mkdir(self, path: str) -> None:
        self._change(lambda: self._mkdir(path))

    def rmdir(self, path: str) -> None:
        self._change(lambda: self._rmdir(path))

    def symlink(self, target: str, path: str) -> None:
        self._change(lambda: self._symlink(target, path))

    def unlink(self, path: str) -> None:
        self._change(lambda: self._unlink(path))

    def replace(self, path: str, text: str, mode: int) -> None:
        self._change(lambda: self._replace(path, text, mode))

    def remove(self, path: str) -> None:
        self._change(lambda: self._remove(path))

    def _chmod(self, path: str, mode: int) -> None:
        if not self.root_user:
            fail(errno.EPERM, path)
        if not os.path.exists(path):
            fail(errno.ENOENT, path)
        os.chmod(path, mode)
        self._note(self.inside(path))

    def _remove(self, path: str) -> None:
        if os.path.lexists(path):
            self.delete(self.inside(path))

    def _replace(self, path: str, text: str, mode: int) -> None:
        if not self.root_user:
            fail(errno.EACCES, path)
        there = os.path.exists(path)
        self.put(self.inside(path), text)
        if not there:
            os.chmod(path, mode)

    def lock(self, path: str) -> int | None:
        descriptor = super().lock(path)
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

    def open_for_writing(self, path: str) -> int:
        if not self.root_user:
            fail(errno.EACCES, path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self.descriptors[descriptor] = self._kernel_name(path)
        return descriptor

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        """A node is as long as what was written to it: behind its end are zeros."""
        whole = self._size(self.descriptors[descriptor]) - offset
        return os.pread(descriptor, size, offset).ljust(max(0, min(size, whole)), b"\0")

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> None:
        self._change(lambda: self.pour(self.descriptors[descriptor], bytes(data), offset))

    def settle(self, descriptor: int) -> None:
        """Nothing: what is written is there."""

    def close(self, descriptor: int) -> None:
        self.descriptors.pop(descriptor, None)
        self.exclusive.pop(descriptor, None)
        os.close(descriptor)

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> None:
        if request == 0x8915:
            self._interface_address(filled(argument))
            return
        device = self.descriptors[descriptor]
        if request == 0x4C05:
            if device not in self.loops:
                fail(errno.ENXIO)
            major, minor = map(int, self._number(self.loops[device]).split(":"))
            filled(argument)[16:24] = struct.pack("=Q", os.makedev(major, minor))
            return
        if device == "control":
            self._device_mapper(request, filled(argument))
            return
        volume = self.volume(device)
        if request in (0x0529, 0x0530):
            value = volume.high // SECTOR if request == 0x0529 else volume.used // PAGE
            filled(argument)[:] = struct.pack("=Q", value)
        elif request == 0x0531:
            self._change(lambda: self.wipe(device))
        elif request == 0x125D:
            self._change(
                lambda: self.set_lock(device, bool(struct.unpack("=i", filled(argument))[0]))
            )
        else:
            fail(errno.ENOTTY)

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
            fail(errno.EACCES, path)
