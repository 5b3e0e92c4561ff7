"""Attributes of the NVMe target in configfs that rdctl does not name: which of them differ from the
kernel's defaults, so that a configuration can be written down and restored."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.model import Port
from rdctl.rapiddisk.state.defaults import DEFAULTS, OF_OTHERS, OF_TRANSPORT
from rdctl.rapiddisk.state.model import Attributes

_NAMED = {
    "subsystem": {"attr_allow_any_host", "attr_serial"},
    "namespace": {"device_path", "device_uuid", "device_nguid", "enable"},
    "port": {"addr_trtype", "addr_traddr", "addr_trsvcid"},
}
# The value of addr_tsas of a port of transport tcp that requires TLS.
TLS = "tls1.3"
_FIRMWARE_SIZE = 8
_NAME = re.compile(r"[a-z0-9_]+")


def is_attribute(name: str) -> bool:
    """Whether it can be the name of an attribute; anything else could be a path to another file."""
    return _NAME.fullmatch(name) is not None


def family_of(address: str | None) -> str:
    """The address family that rdctl writes for an address."""
    if address is None:
        return ""
    return "ipv6" if ":" in address else "ipv4"


class AttributeReader:
    """Reads raise OSError."""

    def __init__(self, sysfs: Sysfs, root: str) -> None:
        self._sysfs = sysfs
        self._root = root

    def of_subsystem(self, nqn: str) -> Attributes:
        # It is the release of the running kernel, as far as there is room for it.
        release = self._sysfs.text("proc/sys/kernel/osrelease") or ""
        firmware = {"attr_firmware": (release[:_FIRMWARE_SIZE],)}
        return self._set("subsystem", f"subsystems/{nqn}", firmware)

    def of_namespace(self, nqn: str, number: int) -> Attributes:
        return self._set("namespace", f"subsystems/{nqn}/namespaces/{number}", {})

    def of_port(self, port: Port) -> Attributes:
        defaults = OF_TRANSPORT.get(port.transport or "", OF_OTHERS)
        usual = {"addr_adrfam": (family_of(port.address),)}
        if port.tls:
            usual |= {"addr_tsas": (TLS,), "addr_treq": ("required",)}
        return self._set("port", f"ports/{port.port}", {**defaults, **usual})

    def _set(self, kind: str, below: str, defaults: Mapping[str, Collection[str]]) -> Attributes:
        """The attributes of a directory that differ from their defaults."""
        directory = f"{self._root}/{below}"
        usual = {**DEFAULTS, **defaults}
        found = []
        for name in sorted(self._sysfs.settable(directory) - _NAMED[kind]):
            value = self._sysfs.read(f"{directory}/{name}")
            if value and value not in usual.get(name, ()):
                found.append((name, value))
        return tuple(found)
