"""What RapidDisk depends on besides its modules, on this machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.model import DAEMON_PORT

_LISTENING = "0A"


class Surroundings:
    """Each property is read when it is used."""

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs

    @property
    def configfs(self) -> bool:
        """Whether it is mounted: /proc/self/mountinfo"""
        mounts = self._sysfs.text("proc/self/mountinfo") or ""
        return re.search(r"^(\S+ ){4}/sys/kernel/config .* - configfs ", mounts, re.M) is not None

    @property
    def udev(self) -> bool:
        """Whether it runs."""
        return self._sysfs.exists("run/udev/control")

    @property
    def device_mapper(self) -> bool:
        return self._sysfs.exists("dev/mapper/control")

    @property
    def package(self) -> str | None:
        """The version of Debian's package `rapiddisk`, if dpkg installed it."""
        packages = self._sysfs.text("var/lib/dpkg/status") or ""
        found = re.search(
            r"^Package: rapiddisk\nStatus: \S+ \S+ installed\n(?:.+\n)*?Version: (\S+)$",
            packages,
            re.M,
        )
        return found[1] if found else None

    @property
    def listeners(self) -> list[str]:
        """The addresses at which something listens on the port of rapiddiskd: /proc/net"""
        return [address for file in ("tcp", "tcp6") for address in self._listeners(file)]

    def _listeners(self, file: str) -> Iterator[str]:
        for line in (self._sysfs.text(f"proc/net/{file}") or "").splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == _LISTENING and int(port, 16) == DAEMON_PORT:
                yield _address(address)


def _address(digits: str) -> str:
    """An address as the kernel writes it: words of 32 bits, each in the machine's byte order."""
    import ipaddress

    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    return str(ipaddress.ip_address(packed))
