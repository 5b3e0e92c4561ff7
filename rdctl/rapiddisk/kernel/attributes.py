"""Attributes of the NVMe target in configfs that rdctl does not name: which of them differ from the
kernel's defaults, so that a configuration can be written down and restored.

The defaults are those of any Linux (drivers/nvme/target/configfs.c and core.c): a value that one
kernel has by itself is not a setting of another.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.state.model import Attributes

# What rdctl writes to each new subsystem.
MODEL = "RapidDisk"
_NAMED = {
    "subsystem": {"attr_allow_any_host", "attr_serial"},
    "namespace": {"device_path", "device_uuid", "device_nguid", "enable"},
    "port": {"addr_trtype", "addr_traddr", "addr_trsvcid"},
}
_DEFAULTS: dict[str, Collection[str]] = {
    "attr_cntlid_min": ("1",),
    "attr_cntlid_max": ("65519",),
    "attr_ieee_oui": ("0x000000",),
    "attr_model": (MODEL,),
    "attr_pi_enable": ("0",),
    "attr_qid_max": ("128",),
    "attr_subsys_vendor_id": ("0x0",),
    "attr_vendor_id": ("0x0",),
    "attr_version": ("1.2.1", "1.3", "2.1"),
    "ana_grpid": ("1",),
    "buffered_io": ("0",),
    "p2pmem": ("0",),
    "resv_enable": ("0",),
    "addr_treq": ("not specified",),
    "param_mdts": ("-1", "0"),
    "param_pi_enable": ("0",),
}
# Those of a port depend on its transport, which chooses them when the port begins to listen: sizes
# in pages of 4 and 64 KiB.
_OF_TRANSPORT: dict[str, dict[str, Collection[str]]] = {
    "tcp": {
        "addr_tsas": ("none",),
        "param_inline_data_size": ("-1", "16384", "262144"),
        "param_max_queue_size": ("-1", "1024"),
    },
    "rdma": {
        "addr_tsas": ("connected",),
        "param_inline_data_size": ("-1", "4096", "65536"),
        "param_max_queue_size": ("-1", "128"),
    },
}
_OF_OTHERS: dict[str, Collection[str]] = {
    "addr_tsas": ("none",),
    "param_inline_data_size": ("-1", "0"),
    "param_max_queue_size": ("-1", "1024"),
}
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

    def of_port(self, number: int, transport: str | None, address: str | None) -> Attributes:
        defaults = _OF_TRANSPORT.get(transport or "", _OF_OTHERS)
        families = {"addr_adrfam": (family_of(address),)}
        return self._set("port", f"ports/{number}", {**defaults, **families})

    def _set(self, kind: str, below: str, defaults: Mapping[str, Collection[str]]) -> Attributes:
        """The attributes of a directory that differ from their defaults."""
        directory = f"{self._root}/{below}"
        usual = {**_DEFAULTS, **defaults}
        found = []
        for name in sorted(self._sysfs.settable(directory) - _NAMED[kind]):
            value = self._sysfs.read(f"{directory}/{name}")
            if value and value not in usual.get(name, ()):
                found.append((name, value))
        return tuple(found)
