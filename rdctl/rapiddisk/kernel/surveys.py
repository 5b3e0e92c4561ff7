"""Survey the users of devices, repeatedly until the result is stable."""

from __future__ import annotations

from collections.abc import Sequence

from rdctl.rapiddisk.kernel.means import KernelDependencies, Part
from rdctl.rapiddisk.kernel.users import Found, Users
from rdctl.rapiddisk.model import Survey, User

# As long as `dmsetup remove --retry`.
UDEV_SECONDS = 5.0
# The number of readings that have to agree, and the seconds within which.
_AGREE = 3
_AGREE_SECONDS = 1.0


class Surveys(Part):
    def __init__(self, means: KernelDependencies) -> None:
        super().__init__(means)
        self._users = Users(means)

    @property
    def seen(self) -> Sequence[str]:
        """The kinds of user that can be detected."""
        return self._users.seen

    def of(self, devices: Sequence[str]) -> Survey:
        """Waits while udev examines a new device. The processes, which are many, are examined only
        where they can matter."""
        if not devices:
            return self._users.survey(*self._look(devices, "files"))
        if not self._calls.privileged:
            return self._users.survey(*self._look(devices, "none"))
        found, unseen, surplus = self._accounted(devices)
        if surplus is not None:
            unseen.setdefault("opens", surplus)
        return self._users.survey(found, unseen)

    def listed(self) -> Survey:
        """The exports, mounts and swap areas, each read once."""
        return self._users.survey(*self._users.listed(self._nvmet.guarded))

    def _look(self, devices: Sequence[str], processes: str) -> tuple[list[Found], dict[str, str]]:
        found: list[Found] = []
        unseen: dict[str, str] = {}
        probed = [self._sysfs.kernel_of(device) for device in devices]
        for _ in self._patience.attempts(UDEV_SECONDS):
            found, unseen = self._users.look(self._nvmet.guarded, probed, self._ours(), processes)
            if not self._users.passing(found):
                break
        return found, unseen

    def _accounted(self, devices: Sequence[str]) -> tuple[list[Found], dict[str, str], str | None]:
        """The users found, and the unexplained opens of all volumes when three readings agree: a
        daemon opens each volume for an instant at each listing. Where the kernel's own users
        account for all opens of volumes, no process has one."""
        known = {volume.device for volume in self._sysfs.volumes()}
        processes = "none" if known.issuperset(devices) else "all"
        readings: list[int] = []
        for _ in self._patience.attempts(_AGREE_SECONDS):
            found, unseen = self._look(devices, processes)
            try:
                left = self._left(found)
                # A mount of another process explains what the kernel holds.
                held = any(one.user.kind == "held" for one in found)
                if processes == "none" and (left > 0 or held):
                    processes = "all"
                    found, unseen = self._look(devices, processes)
                    left = self._left(found)
            except OSError as error:
                found, unseen = self._look(devices, "all")
                shown = self._calls.shown(str(error.filename))
                return found, unseen, f"{shown}: {error.strerror}"
            if left <= 0:
                return found, unseen, None
            readings.append(left)
            if len(readings) >= _AGREE and len(set(readings[-_AGREE:])) == 1:
                opens = f"{left} opens" if left > 1 else "1 open"
                return found, unseen, f"{opens} of RapidDisk volumes unaccounted for"
        return found, unseen, "the number of opens of RapidDisk volumes keeps changing"

    def _left(self, found: list[Found]) -> int:
        """The number of opens of volumes without a known user."""
        return self._users.unaccounted(found, self._users.references(), self._ours())

    def users_of(self, device: str) -> list[User]:
        found, unseen = self._look([device], "all")
        return self._users.survey(found, unseen).users.get(self._sysfs.kernel_of(device), [])

    def _ours(self) -> dict[str, int]:
        """The devices that are held during an act, by the kernel's name."""
        return {self._sysfs.kernel_of(device): held for device, held in self._held.items()}
