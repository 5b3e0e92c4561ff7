"""Keep other users away between a check and an act."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rdctl.core.acts import Act
from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effect
from rdctl.effects.syscalls import exclusively
from rdctl.rapiddisk.kernel.acts import Acts
from rdctl.rapiddisk.kernel.identities import Identities
from rdctl.rapiddisk.kernel.means import KernelDependencies, Part
from rdctl.rapiddisk.kernel.refusals import GONE, Refusals
from rdctl.rapiddisk.kernel.surveys import UDEV_SECONDS, Surveys

_LOCK = "run/rdctl.lock"
_LOCK_SECONDS = 30.0


class KernelPart(Part):
    """What the volumes, the caches and the exports of the kernel share."""

    def __init__(self, means: KernelDependencies, claims: Claims, refusals: Refusals) -> None:
        super().__init__(means)
        self._claims = claims
        self._refusals = refusals
        self._identities = Identities(means)
        self._acts = Acts(means, self._identities)
        self._foreseen = means.foreseen

    def identities(self) -> Identities:
        return self._identities


class Claims(Part):
    def __init__(self, means: KernelDependencies, surveys: Surveys, refusals: Refusals) -> None:
        super().__init__(means)
        self._surveys = surveys
        self._refusals = refusals
        self._foreseen = means.foreseen
        self._locked = False

    @contextmanager
    def claim(self, devices: Sequence[str]) -> Iterator[bool]:
        """One rdctl at a time; meanwhile the devices cannot be mounted, mapped or used as swap."""
        with self._alone():
            claimed = []
            try:
                for device in devices:
                    if device not in self._held:
                        self._hold(device)
                        claimed.append(device)
                yield True
            finally:
                self.release(claimed)

    def _hold(self, device: str) -> None:
        if self._foreseen:
            return  # it is still used by what would be gone
        try:
            path = self._sysfs.path(self._known.node(self._sysfs.kernel_of(device)))
            self._held[device] = self._calls.open_device(path, exclusive=True)
        except OSError as error:
            if error.errno in GONE:
                return  # it is gone, or has no node: the act itself will fail
            with self._refusals.worded(f"{device} cannot be claimed", device):
                raise

    def release(self, devices: Sequence[str]) -> None:
        for device in devices:
            descriptor = self._held.pop(device, None)
            if descriptor is not None:
                self._calls.close(descriptor)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Around list, decide and act. A dry run changes nothing and creates no lock file."""
        if self._locked or self._effects.dry_run:
            yield
            return
        path = self._sysfs.path(_LOCK)
        shown = self._calls.shown(path)
        with self._refusals.worded(f"the lock {shown} cannot be created"):
            for _ in self._patience.attempts(_LOCK_SECONDS):
                descriptor = self._calls.lock(path)
                if descriptor is not None:
                    break
                self._warn(f"waiting for another rdctl (process {self._sysfs.text(_LOCK)})")
        if descriptor is None:
            raise RdctlError(
                Code.IN_USE,
                f"another rdctl (process {self._sysfs.text(_LOCK)}) holds the lock {shown}",
                hint="Try again when it has finished.",
                target=shown,
            )
        self._locked = True
        try:
            yield
        finally:
            self._locked = False
            self._calls.close(descriptor)

    def unless_used(self, effect: Effect[None], device: str) -> Effect[None]:
        """The effect on a device, refused (EBUSY) while others use it. For an undo: what was made
        by rdctl may be in use meanwhile."""

        def perform() -> None:
            if users := self._surveys.users_of(device):
                raise OSError(errno.EBUSY, users[0].use, device)
            path = self._sysfs.path(self._known.node(device))
            held = device in self._held
            (effect if held else exclusively(self._calls, path, effect)).perform()

        return effect._replace(perform=perform)

    def do_alone(self, effect: Effect[None], device: str, act: Act | None = None) -> None:
        """Do what the kernel refuses while the device is open elsewhere. udev opens it at any
        moment, for an instant, so a single refusal is retried while no other user is found. `act`
        is what this changes, if that is for the history."""
        changes = None if act is None else lambda: act
        self._insist(lambda: self._effects.do(effect, None, act=changes), device)

    def alone(self, effect: Effect[None], device: str) -> Effect[None]:
        """The effect, which is tried again in the same way. For an undo."""
        return effect._replace(perform=lambda: self._insist(effect.perform, device))

    def _insist(self, perform: Callable[[], None], device: str) -> None:
        for _ in self._patience.attempts(UDEV_SECONDS):
            try:
                return perform()
            except OSError as error:
                refusal = error
                if error.errno != errno.EBUSY or self._surveys.users_of(device):
                    break
        raise refusal
