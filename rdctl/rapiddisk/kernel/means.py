"""What all parts of this backend share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from rdctl.effects.door import Effects
from rdctl.effects.syscalls import Syscalls
from rdctl.rapiddisk.kernel.blockdev import BlockDevices
from rdctl.rapiddisk.kernel.devices import Devices
from rdctl.rapiddisk.kernel.devmapper import DeviceMapper
from rdctl.rapiddisk.kernel.foreseen import Foreseen
from rdctl.rapiddisk.kernel.nvmet import Nvmet
from rdctl.rapiddisk.kernel.sysfs import Sysfs

_PAUSE = 0.05


class Patience:
    """No wait is longer than `seconds`."""

    def __init__(self, sleep: Callable[[float], None], seconds: float | None) -> None:
        self._sleep = sleep
        self._seconds = seconds

    def attempts(self, seconds: float) -> Iterator[None]:
        """One attempt immediately, then more for `seconds`."""
        yield
        patience = seconds if self._seconds is None else min(seconds, self._seconds)
        for _ in range(round(patience / _PAUSE)):
            self._sleep(_PAUSE)
            yield


class KernelDependencies(NamedTuple):
    """`warn` takes what the operator should know, such as what could not be read; `now` is the
    time. `held` are the descriptors of the devices that are claimed during an act, by device
    name."""

    sysfs: Sysfs
    calls: Syscalls
    effects: Effects
    warn: Callable[[str], None]
    now: Callable[[], float]
    patience: Patience
    known: Devices
    devices: BlockDevices
    mapper: DeviceMapper
    nvmet: Nvmet
    foreseen: Foreseen
    held: dict[str, int]


class Part:
    """A part of this backend."""

    def __init__(self, means: KernelDependencies) -> None:
        self._sysfs = means.sysfs
        self._calls = means.calls
        self._effects = means.effects
        self._warn = means.warn
        self._now = means.now
        self._patience = means.patience
        self._known = means.known
        self._devices = means.devices
        self._mapper = means.mapper
        self._nvmet = means.nvmet
        self._held = means.held
