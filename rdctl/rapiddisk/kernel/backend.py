"""The backend `local`: this machine's kernel, driven directly."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, natural
from rdctl.effects.door import Effects
from rdctl.effects.syscalls import Syscalls
from rdctl.rapiddisk.kernel.blockdev import BlockDevices
from rdctl.rapiddisk.kernel.caches import KernelCaches
from rdctl.rapiddisk.kernel.claims import Claims
from rdctl.rapiddisk.kernel.contents import KernelContents
from rdctl.rapiddisk.kernel.devices import Devices
from rdctl.rapiddisk.kernel.devmapper import DeviceMapper
from rdctl.rapiddisk.kernel.exports import KernelExports
from rdctl.rapiddisk.kernel.foreseen import Foreseen
from rdctl.rapiddisk.kernel.machine import KernelMachine
from rdctl.rapiddisk.kernel.means import KernelDependencies, Patience
from rdctl.rapiddisk.kernel.nvmet import Nvmet
from rdctl.rapiddisk.kernel.refusals import Refusals, denied
from rdctl.rapiddisk.kernel.surveys import Surveys
from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.kernel.volumes import DIALECT, KernelVolumes, dialect
from rdctl.rapiddisk.model import Device, Inventory, Module, Resources, Status, Survey, Unit

if TYPE_CHECKING:
    from rdctl.rapiddisk.kernel.host import Host
    from rdctl.rapiddisk.kernel.surroundings import Surroundings

_MODULES = (
    ("rapiddisk", "everything"),
    ("rapiddisk-cache", "write-through and write-around caches"),
    ("dm-writecache", "writeback caches; loaded when one is created"),
    ("nvmet", "NVMe-oF exports"),
    ("nvmet-tcp", "ports of transport tcp; loaded with their first export"),
    ("nvmet-rdma", "ports of transport rdma; loaded with their first export"),
    ("nvme-loop", "ports of transport loop; loaded with their first export"),
)


class Kernel(KernelVolumes, KernelContents, KernelCaches, KernelExports, KernelMachine):
    """`warn` takes what the operator should know, such as what could not be read; no wait is longer
    than `seconds`."""

    reports_all = True
    grows_in_use = True

    def __init__(
        self,
        root: str,
        calls: Syscalls,
        effects: Effects,
        *,
        warn: Callable[[str], None],
        sleep: Callable[[float], None],
        now: Callable[[], float] = time.time,
        seconds: float | None = None,
    ) -> None:
        self._seconds = seconds
        sysfs = Sysfs(root)
        known = Devices(sysfs, calls, dry_run=effects.dry_run)
        means = KernelDependencies(
            sysfs=sysfs,
            calls=calls,
            effects=effects,
            warn=warn,
            now=now,
            patience=Patience(sleep, seconds),
            known=known,
            devices=BlockDevices(sysfs, calls, effects, known),
            mapper=DeviceMapper(sysfs, calls, effects),
            nvmet=Nvmet(sysfs, calls, effects),
            foreseen=Foreseen(effects, known),
            held={},
        )
        self._surveys = surveys = Surveys(means)
        refusals = Refusals(effects, surveys)
        claims = Claims(means, surveys, refusals)
        super().__init__(means, claims, refusals)
        self.claim = claims.claim
        self.listed_users = surveys.listed

    @property
    def users_seen(self) -> Sequence[str]:
        return self._surveys.seen

    # --- facts --------------------------------------------------------------------------------

    def status(self) -> Status:
        """/sys/kernel/rapiddisk/mgmt, /sys/module"""
        mgmt = self._sysfs.mgmt()
        modules = [self._module(name, purpose) for name, purpose in _MODULES]
        if mgmt is None:
            return Status("module missing", None, "local", None, modules=modules)
        status = Status("unsupported version", mgmt.version, "local", None, modules=modules)
        if dialect(mgmt) == DIALECT:
            count = len(self._sysfs.volumes())
            status = status._replace(status="OK", dialect=DIALECT, volumes=count)
        return status._replace(max_volumes=mgmt.max_volumes)

    def _module(self, name: str, purpose: str) -> Module:
        loaded, version = self._sysfs.module(name)
        missing = not loaded and self._sysfs.can_load(name) is False
        load = None if loaded or missing else f"modprobe {name}"
        purpose += "; not available in this kernel" if missing else ""
        return Module(module=name, loaded=loaded, version=version, needed_for=purpose, load=load)

    def resources(self) -> Resources:
        """/proc/meminfo, /sys/block"""
        return self.memory()._replace(disks=self._sysfs.disks())

    def memory(self) -> Resources:
        """/proc/meminfo"""
        memory = self._sysfs.memory()
        return Resources(
            memory.get("MemTotal", 0), memory.get("MemFree", 0), memory.get("MemAvailable"), []
        )

    def inventory(self, strict: bool = True) -> Inventory:
        """/sys/kernel/rapiddisk/devices, /sys/block"""
        self.ready()
        caches = self._all_caches()
        dirty = {cache.volume: cache.dirty for cache in caches if cache.policy == "writeback"}
        volumes = [
            volume._replace(unwritten=dirty[volume.device])
            if volume.device in dirty
            else self._read_by_root(volume)
            for volume in self._sysfs.volumes()
        ]
        unseen = sum(volume.usage is None for volume in volumes)
        if unseen and not self._calls.privileged:
            self._warn(
                f"usage of {unseen} volumes is unknown: the kernel's list is truncated, and"
                " querying each volume requires root"
            )
        caches += self._unfinished()
        found = Inventory(volumes, sorted(caches, key=lambda cache: natural(cache.device)))
        return self._foreseen.inventory(found)

    def survey(self, devices: Sequence[str]) -> Survey:
        return self._foreseen.survey(self._surveys.of(devices))

    def server_time(self) -> float | None:
        return None

    def surroundings(self) -> Surroundings:
        from rdctl.rapiddisk.kernel.surroundings import Surroundings

        return Surroundings(self._sysfs, self._known)

    def source(self, text: str) -> Device:
        device = self._known.find(text) or self._known.assumed_at(text)
        if device is None:
            there = self._known.exists(text)
            raise RdctlError(
                Code.USAGE if there else Code.NOT_FOUND,
                f'"{escape(text)}" is not a block device'
                if there
                else f'block device "{escape(text)}" not found',
                hint="List the disks that can be cached: rdctl rapiddisk resources",
                target=text,
            )
        return device

    def stable_source(self, kernel: str) -> tuple[str, str]:
        with self._refusals.worded(f"{kernel} cannot be named", kernel):
            return self._known.stable_source(kernel)

    def is_path_of(self, path: str | None, device: str) -> bool:
        return self._known.at(path, gone=True) == device

    def led_by_contents(self, text: str) -> bool:
        return self._known.by_contents(text)

    # --- what changes need --------------------------------------------------------------------

    def here(self, what: str) -> None:
        """Nothing: this is the machine itself."""

    def permit(self) -> None:
        self.ready()
        self._need_root()

    def permit_daemon(self) -> None:
        self._need_root()

    def permit_exports(self) -> None:
        self._need_nvmet()
        self._need_root()

    def _need_root(self) -> None:
        if not self._calls.privileged:
            raise denied("changes require root")

    # --- the daemon, the units ----------------------------------------------------------------

    def daemon(self) -> Unit:
        from rdctl.rapiddisk.kernel.systemd import DAEMON, Systemd

        return Systemd(self._calls, self._effects, self._seconds).unit(DAEMON)

    def daemon_act(self, verb: str, destroys: str | None) -> None:
        from rdctl.rapiddisk.kernel.systemd import DAEMON, Systemd

        Systemd(self._calls, self._effects, self._seconds).act(verb, [DAEMON], destroys)

    def host(self) -> Host:
        from rdctl.rapiddisk.kernel.host import Host

        return Host(self._sysfs, self._calls, self._effects, self._seconds)
