"""What RapidDisk depends on besides its modules, on this machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from rdctl.rapiddisk.kernel.devices import Devices
from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.model import DAEMON_PORT
from rdctl.rapiddisk.names import policy_of

_LISTENING = "0A"
# How fstab names a device by a tag of its contents or its partition.
_TAG = re.compile(r"(UUID|LABEL|PARTUUID|PARTLABEL)=\"?([^\"]+)\"?")


def unescaped(word: str) -> str:
    """A word of fstab or mountinfo, where a space is `\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


class FstabLine(NamedTuple):
    """A line of fstab, whose words are as they are written; `device` is the name of the device that
    its first word leads to now, or names."""

    number: int
    device: str
    words: list[str]

    @property
    def place(self) -> str:
        return self.words[1]

    @property
    def directory(self) -> str:
        """Where it is mounted."""
        return unescaped(self.place)

    @property
    def options(self) -> list[str]:
        return self.words[3].split(",") if len(self.words) > 3 else []


class Surroundings:
    """Each property is read when it is used."""

    def __init__(self, sysfs: Sysfs, known: Devices) -> None:
        self._sysfs = sysfs
        self._known = known

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
    def fstab(self) -> list[FstabLine]:
        """/etc/fstab"""
        found = []
        for number, line in enumerate((self._sysfs.text("etc/fstab") or "").splitlines(), 1):
            words = line.split()
            if len(words) > 1 and not words[0].startswith("#"):
                found.append(FstabLine(number, self._device(words[0]), words))
        return found

    def _device(self, word: str) -> str:
        tag = _TAG.fullmatch(word)
        path = f"/dev/disk/by-{tag[1].lower()}/{tag[2]}" if tag else word
        kernel = self._known.at(path)
        return self._sysfs.shown(kernel) if kernel else path.rpartition("/")[2]

    @property
    def cache_below_root(self) -> str | None:
        """The cache that holds the root file system, if one does, whatever is in between."""
        for line in (self._sysfs.text("proc/self/mountinfo") or "").splitlines():
            fields = line.split()
            if fields[4] == "/":
                kernel = self._sysfs.numbered(fields[2])
                return self._cache_below(kernel) if kernel else None
        return None

    def _cache_below(self, kernel: str) -> str | None:
        name = self._sysfs.text(f"sys/class/block/{kernel}/dm/name")
        if name and policy_of(name):
            return name
        whole = self._sysfs.whole(kernel) or kernel
        below = self._sysfs.names(f"sys/class/block/{whole}/slaves")
        return next(filter(None, map(self._cache_below, below)), None)

    @property
    def listeners(self) -> list[str]:
        """The addresses at which something listens on the port of rapiddiskd: /proc/net"""
        return [address for file in ("tcp", "tcp6") for address in self._listeners(file)]

    @property
    def addresses(self) -> list[str]:
        """The addresses of this machine: /proc/net/fib_trie, /proc/net/if_inet6"""
        import ipaddress

        routes = self._sysfs.text("proc/net/fib_trie") or ""
        found = re.findall(r"\|-- (\S+)\n(?: *\+-- .*\n)? */32 host LOCAL", routes)
        for line in (self._sysfs.text("proc/net/if_inet6") or "").splitlines():
            found.append(str(ipaddress.IPv6Address(int(line.split()[0], 16))))
        return list(dict.fromkeys(found))

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
