"""Sources that a cache of some policy does not support. The kernel refuses some of them without a
reason, and accepts the rest until the source is used."""

from __future__ import annotations

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import quoted
from rdctl.rapiddisk.kernel.blockdev import PAGE
from rdctl.rapiddisk.kernel.formats import recognize
from rdctl.rapiddisk.kernel.means import Part
from rdctl.rapiddisk.kernel.sysfs import SECTOR
from rdctl.rapiddisk.model import Device

_OTHER_POLICIES = "Use --policy write-through or --policy write-around"


class Sources(Part):
    def check(self, source: Device, policy: str, volume: str) -> None:
        """Raise what prevents a volume from caching a source."""
        self.check_writable(source)
        # A partition has no queue of its own: that of its disk applies.
        disk = self._sysfs.whole(source.kernel) or source.kernel
        block = self._sysfs.number(f"sys/class/block/{disk}/queue/logical_block_size")
        if policy != "writeback":
            # The module declares blocks of 512 bytes, whatever the source has.
            if block not in (None, SECTOR):
                raise _refusal(
                    source,
                    policy,
                    f"its logical blocks have {block} bytes, but the kernel module rapiddisk-cache"
                    f" supports only {SECTOR}",
                    hint="Use a writeback cache: rdctl rapiddisk cache create"
                    f" {volume} {quoted(source.name)} --policy writeback",
                )
            return
        size = self._sysfs.size(source.kernel) or 0
        if size % PAGE:
            raise _refusal(
                source,
                policy,
                f"its size, {size} bytes, is not a multiple of 4 KiB",
                hint=f"{_OTHER_POLICIES}.",
            )
        if block is not None and block < PAGE:
            self._check_contents(source, policy)

    def check_writable(self, source: Device) -> None:
        disk = self._sysfs.whole(source.kernel)
        if disk is not None and self._is_read_only(disk):
            kernel, why = disk, f"its disk {self._sysfs.shown(disk)} is read-only"
        elif self._is_read_only(source.kernel):
            kernel, why = source.kernel, "it is read-only"
        else:
            return
        raise RdctlError(
            Code.CONFLICT,
            f"cannot cache {source.name}: {why}",
            hint=f"Make it writable: blockdev --setrw {self._node(kernel)}",
            target=source.name,
        )

    def _node(self, kernel: str) -> str:
        """A device's path for a command."""
        try:
            return quoted(self._known.node(kernel))
        except OSError:
            return quoted(f"/dev/{kernel}")

    def _is_read_only(self, kernel: str) -> bool:
        return self._sysfs.number(f"sys/class/block/{kernel}/ro") == 1

    def _check_contents(self, source: Device, policy: str) -> None:
        """The cache supports only whole blocks of 4 KiB, even if the source supports smaller."""
        try:
            with self._devices.reading(source.kernel) as read:
                contents = recognize(read)
        except OSError as error:
            self._warn(f"the contents of {source.name} cannot be read: {error.strerror}")
            return
        is_partition = self._sysfs.whole(source.kernel) is not None
        # Only a virtual machine reads a table within a partition.
        formats = [found for found in contents.formats if not (found.is_table and is_partition)]
        for found in formats:
            if found.block is not None and found.block < PAGE:
                raise _refusal(
                    source,
                    policy,
                    f"its {found.name} has {found.block}-byte {found.unit}; a writeback cache"
                    f" requires {found.unit} of at least {PAGE} bytes",
                    hint=f"{_OTHER_POLICIES}; or, if the contents are not needed, erase them:"
                    f" wipefs --all {self._node(source.kernel)}",
                )
        if not (formats or contents.blank):
            self._warn(
                f"the contents of {source.name} are not recognized: a writeback cache has blocks of"
                " 4 KiB, and contents with smaller blocks may not be readable through it"
            )


def _refusal(source: Device, policy: str, why: str, *, hint: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"cannot cache {source.name} with policy {policy}: {why}",
        hint=hint,
        target=source.name,
    )
