"""The backend `local`: this machine's kernel, driven directly.

The kernel refuses for many reasons with one errno and writes the reason to its log only, so every
refusal is told with what is known here.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import MIB, escape, human_size, natural, operand
from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import Syscalls, write
from rdctl.rapiddisk.kernel.blockdev import PAGE, BlockDevices
from rdctl.rapiddisk.kernel.devices import Devices
from rdctl.rapiddisk.kernel.devmapper import DeviceMapper
from rdctl.rapiddisk.kernel.nvmet import Nvmet
from rdctl.rapiddisk.kernel.records import Records
from rdctl.rapiddisk.kernel.sources import Sources
from rdctl.rapiddisk.kernel.sysfs import MGMT, SECTOR, Mgmt, Sysfs
from rdctl.rapiddisk.kernel.users import Found, Users
from rdctl.rapiddisk.model import (
    Cache,
    CacheCounters,
    Device,
    Inventory,
    Module,
    Port,
    Resources,
    Status,
    Subsystem,
    Superblock,
    Survey,
    Target,
    Unit,
    User,
    Volume,
    Writeback,
    nqn_of,
    targets_of,
)
from rdctl.rapiddisk.names import export_nqn, number_of, numbered, policy_of

if TYPE_CHECKING:
    from rdctl.rapiddisk.kernel.surroundings import Surroundings

# The commands of `mgmt` are those of this major version of the module.
DIALECT = "9"
_LOCK = "run/rdctl.lock"
_LOCK_SECONDS = 30.0
_NODE_SECONDS = 5.0
# As long as `dmsetup remove --retry`.
_UDEV_SECONDS = 5.0
_PAUSE = 0.05
_MODULES = (
    ("rapiddisk", "everything"),
    ("rapiddisk-cache", "write-through and write-around caches"),
    ("dm-writecache", "writeback caches; loaded when one is made"),
    ("nvmet", "NVMe-oF exports"),
    ("nvmet-tcp", "ports of transport tcp; loaded with their first export"),
    ("nvmet-rdma", "ports of transport rdma; loaded with their first export"),
    ("nvme-loop", "ports of transport loop; loaded with their first export"),
)
TRANSPORTS = {"tcp": "nvmet-tcp", "rdma": "nvmet-rdma", "loop": "nvme-loop"}
_NO_CONFIGFS = "the kernel's configuration file system is not mounted"
# Readings of a count that have to agree, within so many seconds.
_AGREE = 3
_AGREE_SECONDS = 1.0
_LOG = "The kernel's log tells why: dmesg | tail"
# A rapiddisk-cache works in sets of 512 blocks of 4 KiB.
_SMALLEST_CACHE = 2 * MIB
_COUNTER = re.compile(r"([a-z ]+)\(([0-9]+)\)")
_WRITECACHE = (
    "errors num_blocks num_free_blocks num_wb_blocks num_read_req num_read_cache_hits"
    " num_write_req num_write_uncommitted_blk_hits num_write_committed_blk_hits"
    " num_write_cache_bypass num_write_cache_alloc num_write_freelist_blocked num_flush_req"
    " num_discard_req"
).split()


class Kernel:
    """`warn` takes what the operator should know, such as what was not seen; nothing is waited
    for longer than `seconds`."""

    tells_all = True
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
        self._calls = calls
        self._effects = effects
        self._warn = warn
        self._sleep = sleep
        self._clock = now
        self._seconds = seconds
        self._sysfs = sysfs = Sysfs(root)
        self._known = Devices(sysfs, calls)
        self._devices = BlockDevices(sysfs, calls, effects, self._known)
        self._mapper = DeviceMapper(sysfs, calls, effects)
        self._nvmet = Nvmet(sysfs, calls, effects)
        self._sources = Sources(sysfs, self._known, self._devices, warn)
        self._records = Records(sysfs, effects, self._known)
        self._users = Users(sysfs, calls, effects, self._known, self._target_type)
        self._locked = False
        self._held: dict[str, int] = {}
        # Volumes that this dry run would have made.
        self._assumed: set[int] = set()

    @property
    def users_seen(self) -> Sequence[str]:
        return self._users.seen

    # --- facts --------------------------------------------------------------------------------

    def status(self) -> Status:
        """/sys/kernel/rapiddisk/mgmt, /sys/module"""
        mgmt = self._sysfs.mgmt()
        modules = [self._module(name, purpose) for name, purpose in _MODULES]
        if mgmt is None:
            return Status("module missing", None, "local", None, None, None, None, modules)
        known = _dialect(mgmt) == DIALECT
        count = len(self._sysfs.volumes()) if known else None
        return Status(
            "OK" if known else "unsupported version",
            mgmt.version,
            "local",
            None,
            DIALECT if known else None,
            count,
            mgmt.max_volumes,
            modules,
        )

    def _module(self, name: str, purpose: str) -> Module:
        loaded, version = self._sysfs.module(name)
        missing = not loaded and self._sysfs.can_load(name) is False
        load = None if loaded or missing else f"modprobe {name}"
        purpose += "; this kernel does not have it" if missing else ""
        return Module(name, loaded, version, purpose, load)

    def resources(self) -> Resources:
        """/proc/meminfo, /sys/block"""
        memory = self._sysfs.memory()
        return Resources(
            memory.get("MemTotal", 0),
            memory.get("MemFree", 0),
            memory.get("MemAvailable"),
            self._sysfs.disks(),
        )

    def inventory(self, strict: bool = True) -> Inventory:
        """/sys/kernel/rapiddisk/devices, /sys/block"""
        self._ready()
        caches = [self._measured(cache) for cache in self._caches()]
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
        caches += self._unfinished_caches()
        return Inventory(volumes, sorted(caches, key=lambda cache: natural(cache.device)))

    def _caches(self) -> list[Cache]:
        return self._sysfs.caches(self._source_by_table)

    def _source_by_table(self, mapping: str) -> str | None:
        """The kernel's name of a cache's source; None where the table cannot be read."""
        if not self._calls.privileged:
            return None
        with suppress(OSError):
            table = self._mapper.table(mapping)
            if table is not None and table.kind == "writecache":
                return self._sysfs.numbered(table.text.split()[1])
            found = re.search(r"disk dev \((\S+)\)", table.text if table else "")
            return self._known.at(found[1]) if found else None
        return None

    def _read_by_root(self, volume: Volume) -> Volume:
        """With what only an open volume shows."""
        if not self._calls.privileged:
            return volume
        with suppress(OSError):
            if volume.usage is None:
                volume = volume._replace(usage=self._devices.usage(volume.device))
            left = self._superblock(volume.device)
            volume = volume._replace(unwritten=left.unwritten if left else 0)
        return volume

    def _measured(self, cache: Cache) -> Cache:
        """A write-back cache with what is not on its source yet; requires root."""
        if cache.policy != "writeback" or cache.volume is None or not self._calls.privileged:
            return cache
        with suppress(OSError, RdctlError):
            numbers = self.counters(cache.device).counters
            blocks = numbers["num_blocks"] - numbers["num_free_blocks"]
            dirty = blocks * self._block_size(cache.device)
            speed = self._speed(cache.source_kernel or "")
            record = self._records.of(cache.volume)
            return cache._replace(
                dirty=dirty,
                writeback_seconds=-(-dirty // speed) if speed else None,
                flush_on_suspend=record.sent if record and record.cache == cache.device else None,
            )
        return cache

    def _block_size(self, cache: str) -> int:
        """Of a write-back cache, by its table: `s SOURCE VOLUME BLOCK_SIZE ...`"""
        table = self._mapper.table(cache)
        words = table.text.split() if table is not None else []
        size = int(words[3]) if len(words) > 3 and words[3].isdigit() else 0
        return size or PAGE

    def _speed(self, kernel: str) -> int:
        """Bytes a second that a disk moved while it was busy, 0 when it never was. It is an
        estimate: /sys/class/block/NAME/stat"""
        numbers = (self._sysfs.text(f"sys/class/block/{kernel}/stat") or "").split()
        if len(numbers) < 10 or not all(number.isdigit() for number in numbers):
            return 0
        moved = int(numbers[2]) + int(numbers[6])
        milliseconds = int(numbers[9])
        return moved * SECTOR * 1000 // milliseconds if milliseconds else 0

    def _target_type(self, mapping: str) -> str | None:
        """Of the one target of a mapping; None where it cannot be asked."""
        if not self._calls.privileged:
            return None
        with suppress(OSError):
            status = self._mapper.status(mapping)
            return status.kind if status else None
        return None

    def superblock(self, volume: str) -> Superblock | None:
        with self._told(f"{volume} cannot be read", volume):
            return self._superblock(volume)

    def _superblock(self, volume: str) -> Superblock | None:
        from rdctl.rapiddisk.kernel.writecache import superblock

        with self._devices.reading(volume) as read:
            return superblock(read, self._sysfs.size(volume) or 0)

    def is_empty_behind(self, volume: str, size: int) -> bool | None:
        with self._told(f"{volume} cannot be read", volume):
            return self._devices.is_empty_behind(volume, size, self._sysfs.size(volume) or 0)

    def _unfinished_caches(self) -> list[Cache]:
        """Caches that were left without a table: only device-mapper itself shows them."""
        if not self._calls.privileged:
            return []
        shown = {mapping.name for mapping in self._sysfs.mappings()}
        try:
            names = self._mapper.names()
        except OSError:
            return []
        return [
            Cache(name, None, None, policy)
            for name in names
            if name not in shown and (policy := policy_of(name))
        ]

    def counters(self, cache: str) -> CacheCounters:
        """The status of the mapping's target; takes root."""
        with self._told(f"the counters of {cache} cannot be read", cache):
            status = self._mapper.status(cache)
        if status is None:
            raise _half_made(cache)
        if status.kind == "writecache":
            numbers = [int(word) for word in status.text.split()]
            return CacheCounters(cache, dict(zip(_WRITECACHE, numbers, strict=False)))
        found = _COUNTER.findall(status.text)
        return CacheCounters(
            cache, {name.strip().replace(" ", "_"): int(number) for name, number in found}
        )

    def targets(self) -> list[Target]:
        """/sys/kernel/config/nvmet"""
        ports = {port.port: port for port in self.ports()}
        return [target for s in self.subsystems() for target in targets_of(s, ports)]

    def guarded_targets(self) -> list[Target]:
        return self.targets() if self._has_nvmet() else []

    def _has_nvmet(self) -> bool:
        """Whether anything can be exported, be it seen or not."""
        return self._nvmet.loaded or self._sysfs.has_module("nvmet")

    def subsystems(self) -> list[Subsystem]:
        self._need_nvmet()
        with self._told("the NVMe exports cannot be read"):
            return self._nvmet.subsystems()

    def ports(self) -> list[Port]:
        """/sys/kernel/config/nvmet/ports"""
        self._need_nvmet()
        with self._told("the NVMe ports cannot be read"):
            return self._nvmet.ports()

    def high_water(self, volume: str) -> int | None:
        if not self._calls.privileged:
            self._warn("only root can see the high-water mark and open handles")
            return None
        with self._told(f"{volume} cannot be asked", volume):
            return self._devices.high_water(volume)

    def server_time(self) -> float | None:
        return None

    def surroundings(self) -> Surroundings:
        from rdctl.rapiddisk.kernel.surroundings import Surroundings

        return Surroundings(self._sysfs)

    def survey(self, devices: Sequence[str]) -> Survey:
        """Waits while udev looks at a new device. The processes, which are many, are looked into
        where they can matter."""
        if not devices:
            return self._users.survey(*self._look(devices, "files"))
        if not self._calls.privileged:
            return self._users.survey(*self._look(devices, "none"))
        found, unseen, surplus = self._accounted(devices)
        if surplus is not None:
            unseen.setdefault("opens", surplus)
        return self._users.survey(found, unseen)

    def _look(self, devices: Sequence[str], processes: str) -> tuple[list[Found], dict[str, str]]:
        found: list[Found] = []
        unseen: dict[str, str] = {}
        probed = [self._kernel_of(device) for device in devices]
        for _ in self._attempts(_UDEV_SECONDS):
            found, unseen = self._users.look(self._all_subsystems, probed, self._ours(), processes)
            if not self._users.passing(found):
                break
        return found, unseen

    def _accounted(self, devices: Sequence[str]) -> tuple[list[Found], dict[str, str], str | None]:
        """Who is found, and what is left of the opens of all volumes when three readings agree: a
        daemon opens each volume for an instant at each listing. Where the kernel's own users have
        all opens of volumes, no process has one."""
        known = {volume.device for volume in self._sysfs.volumes()}
        processes = "none" if known.issuperset(devices) else "all"
        readings: list[int] = []
        for _ in self._attempts(_AGREE_SECONDS):
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
                return found, unseen, f"{error.filename}: {error.strerror}"
            if left <= 0:
                return found, unseen, None
            readings.append(left)
            if len(readings) >= _AGREE and len(set(readings[-_AGREE:])) == 1:
                opens = f"{left} opens" if left > 1 else "1 open"
                return found, unseen, f"{opens} of some RapidDisk volume unaccounted for"
        return found, unseen, "the number of opens of RapidDisk volumes keeps changing"

    def _left(self, found: list[Found]) -> int:
        """Opens of volumes that are nobody's."""
        return self._users.unaccounted(found, self._users.references(), self._ours())

    def _users_of(self, device: str) -> list[User]:
        found, unseen = self._look([device], "all")
        return self._users.survey(found, unseen).users.get(self._kernel_of(device), [])

    def _ours(self) -> dict[str, int]:
        """What is held for the time of an act, by the kernel's name."""
        return {self._kernel_of(device): held for device, held in self._held.items()}

    def _all_subsystems(self) -> list[Subsystem]:
        """OSError where there may be some that cannot be seen."""
        if not self._has_nvmet():
            return []
        if not self._nvmet.loaded:
            raise OSError(errno.ENOENT, _NO_CONFIGFS)
        return self._nvmet.subsystems()

    def _kernel_of(self, device: str) -> str:
        """The kernel's name of a volume, a source or a cache."""
        mapped = self._sysfs.named(device) if policy_of(device) else None
        return mapped or device

    def source(self, text: str) -> Device:
        device = self._known.find(text)
        if device is None:
            there = self._known.exists(text)
            raise RdctlError(
                Code.USAGE if there else Code.NOT_FOUND,
                f"'{escape(text)}' {'is not a block device' if there else 'does not exist'}",
                hint="See what can be cached: rdctl rapiddisk resources",
                target=text,
            )
        return device

    def is_path_of(self, path: str | None, device: str) -> bool:
        return self._known.at(path, gone=True) == device

    def led_by_contents(self, text: str) -> bool:
        return self._known.by_contents(text)

    def device_of(self, path: str | None) -> str | None:
        """The name of the device that a namespace's path leads to."""
        kernel = self._known.at(path, gone=True)
        return None if kernel is None else self._sysfs.shown(kernel)

    def path_of(self, device: str) -> str:
        with self._told(f"{device} cannot be exported", device):
            return self._known.node(self._kernel_of(device))

    def nqn_of(self, device: str) -> str:
        """The NQN that RapidDisk gives the export of a device."""
        host = self._sysfs.text("proc/sys/kernel/hostname") or "localhost"
        return export_nqn(host, device)

    # --- what changes need --------------------------------------------------------------------

    def here(self, what: str) -> None:
        """It is."""

    def permit(self) -> None:
        self._ready()
        self._need_root()

    def permit_daemon(self) -> None:
        self._need_root()

    def permit_exports(self) -> None:
        self._need_nvmet()
        self._need_root()

    def _ready(self) -> Mgmt:
        mgmt = self._sysfs.mgmt()
        if mgmt is None:
            raise _missing("rapiddisk")
        if _dialect(mgmt) != DIALECT:
            raise RdctlError(
                Code.UNSUPPORTED,
                f"the kernel module rapiddisk is {mgmt.version or 'of an unknown version'}, and"
                f" rdctl speaks to {DIALECT}.x only: others take other commands",
                hint="Install the module in version 9, or drive this one with its own daemon and"
                " --rapiddisk-url.",
            )
        return mgmt

    def _need_root(self) -> None:
        if not self._calls.privileged:
            raise _denied("changes require root")

    def _need_nvmet(self) -> None:
        if self._nvmet.loaded:
            return
        if not self._has_nvmet():
            raise _missing("nvmet")
        raise RdctlError(
            Code.MODULE_MISSING,
            _NO_CONFIGFS,
            hint="Mount it: sudo mount -t configfs none /sys/kernel/config",
        )

    def check_cache(self, volume: Volume, source: Device, policy: str) -> None:
        """Raise what the kernel is known to refuse, before anything is asked or done."""
        if policy != "writeback":
            if not self._sysfs.module("rapiddisk-cache")[0]:
                raise _missing("rapiddisk-cache")
            if volume.size is not None and volume.size < _SMALLEST_CACHE:
                raise RdctlError(
                    Code.CONFLICT,
                    f"{volume.device} has {human_size(volume.size)}, and a {policy} cache takes"
                    f" {human_size(_SMALLEST_CACHE)} at least",
                    target=volume.device,
                )
        if not self._sysfs.size(source.kernel):
            raise RdctlError(Code.CONFLICT, f"{source.name} has no size", target=source.name)
        self._sources.check(source, policy, volume.device)

    def check_adoption(self, volume: Volume, source: Device, left: Superblock) -> None:
        size = self._sysfs.size(source.kernel) or 0
        if size % left.block_size:
            raise RdctlError(
                Code.CONFLICT,
                f"{source.name} has {size} bytes, which is not a multiple of the cache's blocks of"
                f" {left.block_size}: it is not its source",
                target=source.name,
            )
        if left.end > size:
            raise RdctlError(
                Code.CONFLICT,
                f"{volume.device} holds a block for byte {left.end}, which is beyond the end of"
                f" {source.name} ({human_size(size)}): it is not its source",
                target=source.name,
            )
        self._sources.check_writable(source)

    def check_transport(self, transport: str) -> None:
        """Raise when the kernel cannot serve ports of this transport."""
        module = TRANSPORTS[transport]
        if not self._sysfs.module(module)[0] and self._sysfs.can_load(module) is False:
            raise RdctlError(
                Code.MODULE_MISSING,
                f"this kernel has no module {module}, which ports of transport {transport} take",
                hint=f"Where it is installed later: modprobe {module}",
            )

    def address_of(self, interface: str) -> str:
        from rdctl.rapiddisk.kernel.addresses import address_of

        try:
            address = address_of(interface, self._sysfs, self._calls, self._effects)
        except OSError as error:
            raise RdctlError(
                Code.NOT_FOUND,
                f"there is no network interface '{escape(interface)}'",
                hint=f"There is {', '.join(self._sysfs.names('sys/class/net')) or 'none'}.",
                target=interface,
            ) from error
        if address is None:
            raise RdctlError(
                Code.CONFLICT, f"the interface {interface} has no address", target=interface
            )
        return address

    def is_address_here(self, address: str) -> bool:
        return self._calls.can_bind(address)

    # --- keeping others away ------------------------------------------------------------------

    @contextmanager
    def claim(self, devices: Sequence[str]) -> Iterator[bool]:
        """One rdctl at a time; and nobody can mount, map or swap to the devices meanwhile."""
        with self._alone():
            claimed = []
            try:
                for device in devices:
                    if device not in self._held:
                        self._hold(device)
                        claimed.append(device)
                yield True
            finally:
                self._release(claimed)

    def _hold(self, device: str) -> None:
        try:
            path = self._sysfs.path(self._known.node(self._kernel_of(device)))
            self._held[device] = self._calls.open_device(path, exclusive=True)
        except OSError as error:
            if error.errno in _GONE:
                return  # it has gone, or has no node: the act itself will tell
            with self._told(f"{device} cannot be claimed", device):
                raise

    def _release(self, devices: Sequence[str]) -> None:
        for device in devices:
            descriptor = self._held.pop(device, None)
            if descriptor is not None:
                self._calls.close(descriptor)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Around list, decide and act. A dry run changes nothing and makes no lock file."""
        if self._locked or self._effects.dry_run:
            yield
            return
        path = self._sysfs.path(_LOCK)
        with self._told(f"the lock {path} cannot be made"):
            for _ in self._attempts(_LOCK_SECONDS):
                descriptor = self._calls.lock(path)
                if descriptor is not None:
                    break
                self._warn(f"waiting for another rdctl, process {self._sysfs.text(_LOCK)}")
        if descriptor is None:
            raise RdctlError(
                Code.IN_USE,
                f"another rdctl (process {self._sysfs.text(_LOCK)}) holds the lock {path}",
                hint="Try again when it has finished.",
                target=path,
            )
        self._locked = True
        try:
            yield
        finally:
            self._locked = False
            self._calls.close(descriptor)

    def _do_alone(self, effect: Effect[None], device: str) -> None:
        """Do what the kernel refuses while anybody else has the device open. udev opens it at any
        moment, for an instant, so one refusal says nothing while no other user is seen."""
        for _ in self._attempts(_UDEV_SECONDS):
            try:
                return self._effects.do(effect, None)
            except OSError as error:
                refusal = error
                if error.errno != errno.EBUSY or self._users_of(device):
                    break
        raise refusal

    def _attempts(self, seconds: float) -> Iterator[None]:
        """One at once, then more of them for so long."""
        yield
        patience = seconds if self._seconds is None else min(seconds, self._seconds)
        for _ in range(round(patience / _PAUSE)):
            self._sleep(_PAUSE)
            yield

    # --- acts on volumes ----------------------------------------------------------------------

    def _command(self, line: str, what: str, destroys: str | None = None) -> None:
        path = self._sysfs.path(MGMT)
        self._effects.do(write(self._calls, path, line, what=what, destroys=destroys), None)

    def create(self, mib: int, number: int | None) -> str | None:
        """The lowest free number, or this one. A number that another tool takes at that moment is
        lost, and the next one tried."""
        while True:
            taken = self._numbers() | self._assumed
            chosen = number if number is not None else _lowest_free(taken)
            name = numbered(chosen)
            try:
                if chosen in taken:
                    raise OSError(errno.EINVAL, "the number is taken")
                self._command(f"rapiddisk attach {chosen} {mib * MIB}", f"create {name}")
            except OSError as error:
                if error.errno == errno.EINVAL and chosen in self._numbers():
                    if number is None:
                        continue
                    raise RdctlError(
                        Code.EXISTS,
                        f"{name} already exists",
                        hint="Without --number the lowest free one is taken.",
                        target=name,
                    ) from error
                self._not_created(name, error)
            if self._effects.dry_run:
                self._assumed.add(chosen)
            return name

    def _numbers(self) -> set[int]:
        return {number_of(volume.device) for volume in self._sysfs.volumes()}

    def _not_created(self, name: str, error: OSError) -> None:
        limit = self._ready().max_volumes
        if error.errno == errno.EINVAL and limit is not None and len(self._numbers()) >= limit:
            raise RdctlError(
                Code.CONFLICT,
                f"there are {limit} volumes, which is all that the module allows",
                hint="Its parameter rd_max_nr is set when it is loaded.",
                target=name,
            ) from error
        with self._told(f"{name} was not created", name):
            raise error

    def resize(self, volume: str, mib: int, destroys: str | None) -> None:
        command = f"rapiddisk resize {number_of(volume)} {mib * MIB}"
        with self._told(f"{volume} was not resized to {human_size(mib * MIB)}", volume):
            self._command(command, f"resize {volume} to {mib} MiB", destroys)

    def erase(self, volume: str, destroys: str) -> None:
        with self._told(f"{volume} was not erased", volume):
            erase = self._devices.erase(volume, self._held.get(volume), destroys)
            self._do_alone(erase, volume)

    def remove(self, volume: str, destroys: str) -> None:
        with self._told(f"{volume} was not removed", volume):
            self._command(f"rapiddisk detach {number_of(volume)}", f"remove {volume}", destroys)

    def set_lock(self, volume: str, locked: bool) -> None:
        with self._told(f"{volume} was not {'locked' if locked else 'unlocked'}", volume):
            self._devices.set_lock(volume, locked)

    # --- acts on caches -----------------------------------------------------------------------

    def map(
        self,
        volume: str,
        source: Device,
        policy: str,
        name: str,
        writeback: Writeback,
        destroys: str | None,
    ) -> None:
        """The mapping, whole or not at all; the kernel then holds both devices itself."""
        with self._told(f"{name} was not made", name):
            kind, arguments = self._table(volume, source, policy, writeback)
        sectors = (self._sysfs.size(source.kernel) or 0) // SECTOR
        # Device-mapper claims them for itself, which our claim would keep it from.
        self._release([volume, source.kernel])
        # What a table writes to its volume would be taken for contents.
        again = None if writeback.adopt else self._devices.erase(volume, None, None)
        made = self._effects.transaction(f"map {volume} over {source.name}")
        with self._told(f"{name} was not made", name), made:
            self._mapper.create(name)
            self._mapper.load(name, sectors, kind, arguments, destroys, again)
            self._mapper.resume(name)
            if policy == "writeback":
                self._write_back_before_it_goes(name)
        if policy == "writeback":
            self._note_source(volume, name, source)
        if not self._effects.dry_run:
            self._await_node(name)

    def _table(
        self, volume: str, source: Device, policy: str, writeback: Writeback
    ) -> tuple[str, str]:
        """Type and arguments of the target. Both paths lead to the devices that were checked."""
        if self._sysfs.dev(source.kernel) != source.number:
            raise OSError(errno.ENODEV, f"{source.name} is another device by now", source.name)
        below, cache = self._known.node(source.kernel), self._known.node(volume)
        if policy != "writeback":
            size = (self._sysfs.size(volume) or 0) // SECTOR
            mode = 0 if policy == "write-through" else 1
            return "rapiddisk-cache", f"{below} {cache} {size} {mode}"
        options = "0"
        if writeback.max_age is not None:
            options = f"2 max_age {writeback.max_age * 1000}"
        return "writecache", f"s {below} {cache} {writeback.block_size} {options}"

    def _write_back_before_it_goes(self, cache: str) -> None:
        """What takes the mapping away past rdctl then loses nothing: `dmsetup remove`, or systemd
        at shutdown. The kernel obeys once, and does not show whether it will."""
        self._mapper.message(cache, "flush_on_suspend")

    def _note_source(self, volume: str, cache: str, source: Device) -> None:
        try:
            self._records.keep(volume, cache, source, self._now())
        except OSError as error:
            self._warn(f"the source of {cache} could not be noted: {error.strerror}")

    def _now(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))

    @property
    def ages(self) -> bool:
        """Whether write-back caches take a `max_age`: Linux 5.8"""
        release = self._sysfs.text("proc/sys/kernel/osrelease") or ""
        found = re.match(r"([0-9]+)\.([0-9]+)", release)
        return found is not None and (int(found[1]), int(found[2])) >= (5, 8)

    def source_noted(self, volume: str) -> str | None:
        record = self._records.of(volume)
        return record.source if record else None

    def is_source_of(self, volume: str, source: Device) -> bool:
        record = self._records.of(volume)
        return record is not None and self._records.matches(record, source)

    def drop(self, cache: Cache, destroys: str | None) -> None:
        """Remove a mapping that cannot write back any more. Its volume keeps its blocks.

        One that was told to write back before it goes, over a source that fails in parts, hangs in
        the kernel for ever: seen on Linux 6.1, and not where the source is gone."""
        record = self._records.of(cache.volume or "")
        source = cache.source_kernel
        if record and record.sent and self._sysfs.leads_somewhere(f"sys/class/block/{source}"):
            raise RdctlError(
                Code.CONFLICT,
                f"{cache.device} cannot be removed: its source {cache.source} returned an I/O"
                " error, and removing the cache could hang in the kernel",
                hint=f"Detach the source first: echo 1 > /sys/block/{source}/device/delete; the"
                f" blocks stay in {cache.volume}",
                target=cache.device,
            )
        with self._told(f"{cache.device} was not removed", cache.device):
            self._do_alone(self._mapper.removal(cache.device, destroys), cache.device)

    def _await_node(self, name: str) -> None:
        """udev makes /dev/mapper/NAME a moment later."""
        node = f"dev/mapper/{name}"
        for _ in self._attempts(_NODE_SECONDS):
            if self._sysfs.exists(node):
                return
        kernel = self._kernel_of(name)
        self._warn(f"/{node} did not appear; is udev running? The device is /dev/{kernel}")

    def unmap(self, cache: str, destroys: str) -> None:
        """A write-back cache is written back first, and its volume wiped: mapped again, it would
        replay its old blocks onto any disk."""
        found = [entry for entry in self._caches() if entry.device == cache]
        volume = found[0].volume if found else None
        writes_back = volume is not None and found[0].policy == "writeback"
        left = self.sync(cache) if writes_back else 0
        if left:
            raise RdctlError(
                Code.IN_USE,
                f"{cache}: {left} blocks are still not written back; it was not removed",
                hint="Does somebody write to it? Try again.",
                target=cache,
            )
        with self._effects.unbroken():
            with self._told(f"{cache} was not removed", cache):
                self._do_alone(self._mapper.removal(cache, destroys), cache)
            if writes_back and volume is not None:
                self._wipe(volume, destroys)
                with suppress(OSError):
                    self._records.forget(volume)

    def _wipe(self, volume: str, destroys: str) -> None:
        try:
            self._do_alone(self._devices.erase(volume, None, destroys), volume)
        except OSError as error:
            if error.errno in _GONE:
                return
            raise RdctlError(
                Code.IN_USE,
                f"its cache is removed, but {volume} still holds old blocks, which it would write"
                f" to the next disk that it caches: {error.strerror}",
                hint=f"Erase it: rdctl rapiddisk flush {volume}",
                target=volume,
            ) from error

    def sync(self, cache: str) -> int | None:
        """Write all back, however long it takes; the blocks that are dirty after that, None in a
        dry run."""
        self._dirty(cache)
        try:
            self._mapper.message(cache, "flush")
        except OSError as error:
            self._dirty(cache)  # knows more, where the source or the volume failed
            with self._told(f"{cache} was not written back", cache):
                raise error
        return None if self._effects.dry_run else self._dirty(cache)

    def _dirty(self, cache: str) -> int:
        """Blocks that are not on the disk; raises when they cannot be written there now."""
        kernel = self._kernel_of(cache)
        if self._sysfs.number(f"sys/block/{kernel}/dm/suspended"):
            raise RdctlError(
                Code.CONFLICT,
                f"{cache} is suspended",
                hint=f"Resume it first: dmsetup resume {cache}",
                target=cache,
            )
        found = next((one for one in self._caches() if one.device == cache), None)
        if found is not None and (failure := self.failure(found)) is not None:
            raise failure
        counters = self.counters(cache).counters
        return counters["num_blocks"] - counters["num_free_blocks"]

    def failure(self, cache: Cache) -> RdctlError | None:
        """/sys/block/dm-N/slaves, /sys/block/rdN/holders, the status of the target"""
        if cache.policy != "writeback" or cache.volume is None:
            return None
        failed = bool(self.counters(cache.device).counters["errors"])
        if not self._sysfs.exists(f"sys/block/{cache.volume}/holders/{cache.kernel}"):
            return _volume_gone(cache.device, cache.volume) if failed else None
        there = self._sysfs.leads_somewhere(f"sys/class/block/{cache.source_kernel}")
        if there and not failed:
            return None
        return self._source_failed(cache, "returned an I/O error" if there else "is gone")

    def _source_failed(self, cache: Cache, why: str) -> RdctlError:
        """The volume holds the only copy of what was not written back."""
        volume = str(cache.volume)
        # Not the superblock: what is not committed yet is behind it while the cache is mapped.
        dirty = self._measured(cache).dirty
        size = f" ({human_size(dirty)})" if dirty is not None else ""
        held = f"what was not written back{size}"
        return RdctlError(
            Code.CONFLICT,
            f"{cache.device} has failed: its source {cache.source} {why}; {volume} still holds"
            f" {held}",
            hint="When the source is back, write them to it: rdctl rapiddisk cache create"
            f" {volume} SOURCE --policy writeback --adopt",
            target=cache.device,
        )

    # --- acts on exports ----------------------------------------------------------------------

    def change_export(
        self, before: Subsystem | None, after: Subsystem | None, destroys: str | None
    ) -> None:
        nqn = nqn_of(before, after)
        with self._told(f"{nqn} stays as it was", nqn):
            self._nvmet.change(before, after, destroys)

    def revalidate(self, nqn: str, namespace: int) -> None:
        if not self._nvmet.can_revalidate(nqn, namespace):
            raise RdctlError(
                Code.UNSUPPORTED,
                "this kernel cannot tell clients a new size; they see it when they connect again",
                target=nqn,
            )
        with self._told(f"the size of {nqn} was not revalidated", nqn):
            self._nvmet.revalidate(nqn, namespace)

    def add_port(self, port: Port) -> None:
        with self._told(f"port {port.port} was not added", str(port.port)):
            self._nvmet.add_port(port)

    def remove_port(self, number: int, destroys: str) -> None:
        with self._told(f"port {number} was not removed", str(number)):
            self._nvmet.remove_port(number, destroys)

    # --- the daemon ---------------------------------------------------------------------------

    def daemon(self) -> Unit:
        from rdctl.rapiddisk.kernel.systemd import Systemd

        return Systemd(self._calls, self._effects, self._seconds).unit()

    def daemon_act(self, verb: str, destroys: str | None) -> None:
        from rdctl.rapiddisk.kernel.systemd import Systemd

        Systemd(self._calls, self._effects, self._seconds).act(verb, destroys)

    # --- refusals -----------------------------------------------------------------------------

    @contextmanager
    def _told(self, what: str, target: str | None = None) -> Iterator[None]:
        """An OSError in words, and what of it could not be undone."""
        before = len(self._effects.left)
        try:
            yield
        except OSError as error:
            code, why, hint = _REASONS.get(
                error.errno or 0, (Code.FAILED, error.strerror or str(error), _LOG)
            )
            users = self._users_of(target) if target and error.errno == errno.EBUSY else None
            if users:
                why, hint = users[0].deed, users[0].advice
            left = self._effects.left[before:]
            if left:
                hint = f"Left behind, it could not be undone: {', '.join(left)}. {hint}"
            raise RdctlError(code, f"{what}: {why}", hint=hint, target=target) from error


_GONE = (errno.ENOENT, errno.ENXIO, errno.ENODEV)
_ROOT_HINT = "Try again with sudo."
_REASONS: dict[int, tuple[Code, str, str]] = {
    errno.EACCES: (Code.DENIED, "requires root", _ROOT_HINT),
    errno.EPERM: (Code.DENIED, "requires root", _ROOT_HINT),
    errno.EROFS: (Code.DENIED, "the file system is read-only here", "Is this a container?"),
    errno.ENOENT: (Code.NOT_FOUND, "it is not there", "It has gone meanwhile; look again."),
    errno.ENXIO: (Code.NOT_FOUND, "it is not there", "It has gone meanwhile; look again."),
    errno.EEXIST: (Code.EXISTS, "it exists already", "Somebody made it meanwhile; look again."),
    errno.EBUSY: (
        Code.IN_USE,
        "in use",
        "A mount in a container or an open descriptor may be seen with: lsof",
    ),
    errno.ENOMEM: (Code.FAILED, "the kernel has no memory for it", _LOG),
    errno.EADDRNOTAVAIL: (
        Code.CONFLICT,
        "the port's address is not on this machine",
        "See: rdctl rapiddisk nvmet port list, ip address",
    ),
    errno.EADDRINUSE: (
        Code.CONFLICT,
        "the port's service is taken",
        "Another program listens there; see: ss -ltnp",
    ),
    errno.ENODEV: (Code.FAILED, "the device that it takes is not there", _LOG),
    errno.ENOTBLK: (
        Code.CONFLICT,
        "its node in /dev leads to another device",
        "Is udev running? See: ls -l /dev /dev/mapper",
    ),
    errno.EINVAL: (Code.FAILED, "the kernel refuses it", _LOG),
}


def _missing(module: str) -> RdctlError:
    return RdctlError(
        Code.MODULE_MISSING,
        f"the kernel module {module} is not loaded",
        hint=f"Load it: sudo modprobe {module}; or try without a kernel: -c sandbox",
    )


def _volume_gone(cache: str, volume: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{cache} has failed: its volume {volume} is gone, and with it what was not written back",
        hint=f"Only this removes it: dmsetup remove {cache}",
        target=cache,
    )


def _denied(what: str) -> RdctlError:
    return RdctlError(Code.DENIED, what, hint=_ROOT_HINT)


def _half_made(cache: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{cache} is only half made",
        hint=f"Remove it: rdctl rapiddisk cache remove {operand(cache)}",
        target=cache,
    )


def _dialect(mgmt: Mgmt) -> str:
    return mgmt.version.split(".")[0]


def _lowest_free(taken: set[int]) -> int:
    return next(number for number in range(len(taken) + 1) if number not in taken)
