"""The network address of an interface."""

from __future__ import annotations

import errno
import ipaddress
import socket

from rdctl.effects.door import Effects
from rdctl.effects.syscalls import Syscalls, ioctl
from rdctl.rapiddisk.kernel.sysfs import Sysfs

_GET_ADDRESS = 0x8915  # SIOCGIFADDR
_NAME_SIZE = 16


def address_of(interface: str, sysfs: Sysfs, calls: Syscalls, effects: Effects) -> str | None:
    """The interface's first IPv4 address, else its first IPv6 address that is not link-local; None
    when it has none. OSError (ENODEV) when the interface does not exist."""
    if len(interface.encode()) >= _NAME_SIZE:
        raise OSError(errno.ENODEV, "network interface not found", interface)
    request = bytearray(interface.encode().ljust(40, b"\0"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asking = ioctl(
            calls,
            asked.fileno(),
            _GET_ADDRESS,
            request,
            what=f"query the address of {interface}",
            line=f"# ip address show {interface}",
        )
        try:
            effects.look(asking)
            return str(ipaddress.IPv4Address(bytes(request[20:24])))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    for line in (sysfs.text("proc/net/if_inet6") or "").splitlines():
        digits, *_, name = line.split()
        address = ipaddress.IPv6Address(int(digits, 16))
        if name == interface and not address.is_link_local:
            return str(address)
    return None
