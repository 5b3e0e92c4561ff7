"""What identifies a thing of this machine until it is restarted. A name alone proves nothing.

The kernel's `diskseq` of a volume, a cache or a disk, which no other disk of this boot has; the
address of a port; the serial of an export, with its devices. All values are plain data, None where
a thing cannot be identified.
"""

from __future__ import annotations

from typing import Any

from rdctl.rapiddisk.kernel.means import Part
from rdctl.rapiddisk.model import Port, Subsystem
from rdctl.rapiddisk.names import is_volume, policy_of

Touched = tuple[str, str, Any]


class Identities(Part):
    def volume(self, name: str) -> Any:
        return self._of_boot(self._diskseq(name))

    def cache(self, kernel: str | None) -> Any:
        """By the kernel's name of its mapping."""
        return self._of_boot(self._diskseq(kernel))

    def disk(self, kernel: str) -> Any:
        """A partition has no `diskseq` of its own."""
        whole = self._diskseq(self._sysfs.whole(kernel) or kernel)
        return self._of_boot(None if whole is None else [self._sysfs.dev(kernel), whole])

    def port(self, port: Port) -> Any:
        return self._of_boot(list(port[1:4]))

    def host(self, nqn: str) -> Any:
        return self._of_boot([nqn])

    def export(self, subsystem: Subsystem) -> Any:
        """Its serial, and each device with its own identity."""
        found: list[Any] = [subsystem.serial]
        for namespace in subsystem.namespaces:
            device = self._known.at(namespace.path)
            found.append([namespace.uuid, device, self._diskseq(device)])
        return self._of_boot(found)

    def device(self, kernel: str) -> Touched:
        """The kind, the name and the identity of a block device by the kernel's name."""
        shown = self._sysfs.shown(kernel)
        if is_volume(kernel):
            return "volume", kernel, self.volume(kernel)
        if kernel.startswith("dm-") and policy_of(shown):
            return "cache", shown, self.cache(kernel)
        return "disk", shown, self.disk(kernel)

    def _diskseq(self, kernel: str | None) -> str | None:
        return self._sysfs.text(f"sys/class/block/{kernel}/diskseq") if kernel else None

    def _of_boot(self, own: Any) -> Any:
        boot = self._sysfs.text("proc/sys/kernel/random/boot_id")
        return None if own is None else [boot, own]
