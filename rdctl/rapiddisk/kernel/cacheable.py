"""The block devices of this machine that a volume may cache, as completion offers them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from rdctl.rapiddisk.kernel.blockdev import PAGE
from rdctl.rapiddisk.kernel.sysfs import Sysfs

# What LVM keeps for itself: the parts of a snapshot, a mirror or a pool.
_INTERNAL = re.compile(r"LVM-\w{64}-.+")


class Cacheable(NamedTuple):
    """A device by its name, and by its path; `about` is what else is known of it."""

    name: str
    path: str
    size: int
    about: str


def cacheable(sysfs: Sysfs) -> Iterator[Cacheable]:
    """Disks, each with its partitions, then the devices of device-mapper; not RapidDisk's own."""
    for disk in sysfs.disks():
        about = " ".join(filter(None, (disk.vendor, disk.model)))
        yield Cacheable(disk.device, f"/dev/{disk.device}", disk.size or 0, about)
        for partition in sysfs.partitions(disk.device.replace("/", "!")):
            # An extended partition has only the size of its table.
            if (size := sysfs.size(partition) or 0) >= PAGE:
                name = sysfs.shown(partition)
                yield Cacheable(name, f"/dev/{name}", size, "")
    caches = {cache.kernel for cache in sysfs.caches(lambda mapping: None)}
    for mapping in sysfs.mappings():
        if (
            mapping.live
            and mapping.kernel not in caches
            and not _is_internal(sysfs, mapping.kernel)
        ):
            size = sysfs.size(mapping.kernel) or 0
            name = sysfs.shown(mapping.kernel)
            yield Cacheable(name, f"/dev/mapper/{mapping.name}", size, "")


def _is_internal(sysfs: Sysfs, kernel: str) -> bool:
    return _INTERNAL.fullmatch(sysfs.text(f"sys/block/{kernel}/dm/uuid") or "") is not None
