"""Identify a block device: resolved once to the kernel's name and number, and every path to it
is checked against that number."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress

from rdctl.effects.syscalls import Syscalls
from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.model import Device
from rdctl.rapiddisk.names import is_volume

# Names of mappings. Any other link may be that of a file system, which leads to whichever device
# shows it at the moment: to a cache instead of its source.
_EXPLICIT = re.compile(r"/dev/(mapper/[^/]+|dm-[0-9]+|disk/by-id/dm-(name|uuid)-[^/]+)")
# Links that name the hardware itself, not its place, its contents or a mapping.
_HARDWARE = re.compile(r"(wwn|eui|nvme|ata|scsi|virtio|usb|mmc|dm-uuid)[-.]")
_STABLE = (("id", _HARDWARE), ("partuuid", re.compile("")), ("path", re.compile("")))


class Devices:
    def __init__(self, sysfs: Sysfs, calls: Syscalls, *, dry_run: bool = False) -> None:
        self._sysfs = sysfs
        self._calls = calls
        self._dry_run = dry_run
        # The volumes and caches that this dry run would have created or resized, by their names,
        # with their sizes: later steps refer to them.
        self.assumed: dict[str, int] = {}

    def assume(self, name: str, size: int) -> None:
        """In a dry run: a volume or a cache has this size from now on."""
        if self._dry_run:
            self.assumed[name] = size

    def assumed_at(self, path: str) -> Device | None:
        """A volume or a cache that this dry run would have created."""
        name = path.rsplit("/", 1)[-1]
        return Device(name, None, name) if name in self.assumed else None

    def size(self, kernel: str) -> int | None:
        """Bytes."""
        return self.assumed.get(kernel) or self._sysfs.size(kernel)

    def find(self, text: str) -> Device | None:
        """What an operator typed: a path, or a name below /dev or /dev/mapper."""
        kernel = self.at(self._typed(text))
        return None if kernel is None else self.device(kernel)

    def _typed(self, text: str) -> str:
        if text.startswith(("./", "../")):
            with suppress(OSError):  # the working directory may be gone
                return os.path.abspath(text)
            return text
        path = text if text.startswith("/") else f"/dev/{text}"
        if not text.startswith("/") and not self._sysfs.exists(path):
            path = f"/dev/mapper/{text}"
        return path

    def exists(self, text: str) -> bool:
        return self._sysfs.exists(self._typed(text))

    def device(self, kernel: str) -> Device:
        return Device(kernel, self._sysfs.dev(kernel), self._sysfs.shown(kernel))

    def at(self, path: str | None, *, gone: bool = False) -> str | None:
        """The kernel's name of the device that a path leads to; with `gone` also of one that
        has been removed."""
        if not path:
            return None
        try:
            number = self._calls.device_number(self._sysfs.path(path))
        except OSError:
            named = re.fullmatch(r"/dev/([^/]+)", path)
            mapped = re.fullmatch(r"/dev/mapper/([^/]+)", path)
            if mapped and gone:
                # A volume or a disk of that name is another device.
                other = is_volume(mapped[1]) or self._sysfs.exists(f"sys/class/block/{mapped[1]}")
                return self._sysfs.named(mapped[1]) or (None if other else mapped[1])
            return named[1] if gone and named else None
        return self._sysfs.numbered(number) if number else None

    def node(self, kernel: str) -> str:
        """The device's node below /dev, as tables name it. Raises OSError when it does not exist,
        or is now that of another device."""
        if kernel in self.assumed:
            return f"/dev/{kernel}" if is_volume(kernel) else f"/dev/mapper/{kernel}"
        number = self._sysfs.dev(kernel)
        mapped = self._sysfs.text(f"sys/class/block/{kernel}/dm/name")
        paths = [f"/dev/{kernel.replace('!', '/')}"]
        if mapped is not None:
            paths.insert(0, f"/dev/mapper/{mapped}")
        found = [self._number_at(path) for path in paths]
        for path, there in zip(paths, found, strict=True):
            if there is not None and there == number:
                return path
        if number is not None and any(found):
            raise OSError(errno.ENOTBLK, f"{paths[-1]} is not the device {number}", paths[-1])
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), paths[-1])

    def _number_at(self, path: str) -> str | None:
        try:
            return self._calls.device_number(self._sysfs.path(path))
        except OSError:
            return None

    def stable_name(self, number: str) -> str | None:
        """A path that still leads to the device when its kernel name changes; None if none does."""
        return self._link_to(number, "by-id", _HARDWARE)

    def _link_to(self, number: str, kind: str, names: re.Pattern[str]) -> str | None:
        directory = f"dev/disk/{kind}"
        for name in self._sysfs.names(directory):
            if names.match(name) and self._number_at(f"/{directory}/{name}") == number:
                return f"/{directory}/{name}"
        return None

    def stable_source(self, kernel: str) -> tuple[str, str]:
        """The path to write down for a device, and the kind of that path. Not by UUID or label: as
        soon as a cache exists, those lead to the cache."""
        number = self._sysfs.dev(kernel)
        node = self.node(kernel)
        if is_volume(kernel):
            return node, "volume"
        if number is not None and node.startswith("/dev/mapper/"):
            return node, "mapping"
        for kind, names in _STABLE:
            link = self._link_to(number, f"by-{kind}", names) if number is not None else None
            if link is not None:
                return link, kind
        return node, "kernel"

    def by_contents(self, text: str) -> bool:
        """Whether the path may identify a device by its contents."""
        path = "/" + os.path.normpath(self._typed(text)).lstrip("/")
        return not _EXPLICIT.fullmatch(path)
