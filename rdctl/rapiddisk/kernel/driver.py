"""The backend `local`: this machine's kernel, driven directly.

The kernel refuses for many reasons with one errno and writes the reason to its log only, so every
refusal is told with what is known here.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rdctl.effects import Effect, Effects, Syscalls, write
from rdctl.errors import Code, RdctlError
from rdctl.rapiddisk.kernel.blockdev import BlockDevices
from rdctl.rapiddisk.kernel.devmapper import DeviceMapper
from rdctl.rapiddisk.kernel.nvmet import Nvmet
from rdctl.rapiddisk.kernel.sources import Sources
from rdctl.rapiddisk.kernel.sysfs import MGMT, SECTOR, Mgmt, Sysfs
from rdctl.rapiddisk.kernel.users import SEEN, SEEN_BY_ROOT, Users
from rdctl.rapiddisk.model import (
    NQN_PREFIX,
    PREFIXES,
    Cache,
    CacheCounters,
    Inventory,
    Module,
    Port,
    Resources,
    Status,
    Subsystem,
    Target,
    Unit,
    User,
    Volume,
    targets_of,
)
from rdctl.units import MIB, escape, human_size, natural

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
        seconds: float | None = None,
    ) -> None:
        self._calls = calls
        self._effects = effects
        self._warn = warn
        self._sleep = sleep
        self._seconds = seconds
        self._sysfs = sysfs = Sysfs(root)
        self._devices = BlockDevices(sysfs, calls, effects)
        self._mapper = DeviceMapper(sysfs, calls, effects)
        self._nvmet = Nvmet(sysfs, calls, effects)
        self._users = Users(sysfs, calls)
        self._locked = False
        self._held: dict[str, int] = {}
        # Volumes that this dry run would have made.
        self._assumed: set[int] = set()

    @property
    def users_seen(self) -> Sequence[str]:
        return SEEN_BY_ROOT if self._calls.privileged else SEEN

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

    def inventory(self) -> Inventory:
        """/sys/kernel/rapiddisk/devices, /sys/block"""
        self._ready()
        volumes = [self._with_usage(volume) for volume in self._sysfs.volumes()]
        unseen = sum(volume.usage is None for volume in volumes)
        if unseen and not self._calls.privileged:
            self._warn(
                f"the usage of {unseen} volumes is not shown: the kernel's list ends before them,"
                " and asking each takes root"
            )
        caches = self._sysfs.caches() + self._unfinished_caches()
        return Inventory(volumes, sorted(caches, key=lambda cache: natural(cache.device)))

    def _with_usage(self, volume: Volume) -> Volume:
        if volume.usage is None and self._calls.privileged:
            with suppress(OSError):
                return volume._replace(usage=self._devices.usage(volume.device))
        return volume

    def _unfinished_caches(self) -> list[Cache]:
        """Caches that were left without a table: only device-mapper itself shows them."""
        if not self._calls.privileged:
            return []
        shown = {mapping.name for mapping in self._sysfs.mappings()}
        policies = {prefix: policy for policy, prefix in PREFIXES.items()}
        try:
            names = self._mapper.names()
        except OSError:
            return []
        return [
            Cache(name, None, None, policies[name[:6]])
            for name in names
            if name not in shown and name[:6] in policies
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

    def subsystems(self) -> list[Subsystem]:
        self._need_nvmet()
        return self._nvmet.subsystems()

    def ports(self) -> list[Port]:
        """/sys/kernel/config/nvmet/ports"""
        self._need_nvmet()
        return self._nvmet.ports()

    def high_water(self, volume: str) -> int | None:
        if not self._calls.privileged:
            self._warn("the high-water mark, and who has it open, is seen by root only")
            return None
        with self._told(f"{volume} cannot be asked", volume):
            return self._devices.high_water(volume)

    def is_blank(self, volume: str) -> bool | None:
        with self._told(f"{volume} cannot be read", volume):
            return self._devices.is_blank(volume)

    def server_time(self) -> float | None:
        return None

    def surroundings(self) -> Surroundings:
        from rdctl.rapiddisk.kernel.surroundings import Surroundings

        return Surroundings(self._sysfs)

    def other_users(self) -> Mapping[str, list[User]]:
        """A survey; it waits while udev looks at a new device."""
        subsystems = self._nvmet.subsystems()
        survey: dict[str, list[User]] = {}
        for _ in self._attempts(_UDEV_SECONDS):
            survey = self._users.survey(subsystems)
            if not any(self._users.passing(users) for users in survey.values()):
                break
        return survey

    def source_name(self, text: str) -> str:
        path = text if text.startswith("/") else f"/dev/{text}"
        if not text.startswith("/") and not self._sysfs.exists(path):
            path = f"/dev/mapper/{text}"
        number = None
        with suppress(OSError):
            number = self._calls.device_number(self._sysfs.path(path))
        kernel = self._sysfs.numbered(number) if number else None
        if kernel is None:
            there = self._sysfs.exists(path)
            raise RdctlError(
                Code.USAGE if there else Code.NOT_FOUND,
                f"'{escape(text)}' is {'no block device' if there else 'not there'}",
                hint="See what can be cached: rdctl rapiddisk resources",
                target=text,
            )
        return self._sysfs.shown(kernel)

    def device_of(self, path: str | None) -> str | None:
        """The name of the device that a namespace's path leads to."""
        kernel = self._users.device_at(path, gone=True)
        return None if kernel is None else self._sysfs.shown(kernel)

    def nqn_of(self, device: str) -> str:
        """The NQN that RapidDisk gives the export of a device."""
        host = self._sysfs.text("proc/sys/kernel/hostname") or "localhost"
        return f"{NQN_PREFIX}{host}-{device}"

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
            raise _denied("changes take root")

    def _need_nvmet(self) -> None:
        if self._nvmet.loaded:
            return
        if not self._sysfs.module("nvmet")[0]:
            raise _missing("nvmet")
        raise RdctlError(
            Code.MODULE_MISSING,
            "the kernel's configuration file system is not mounted",
            hint="Mount it: sudo mount -t configfs none /sys/kernel/config",
        )

    def check_cache(self, volume: Volume, source: str, policy: str) -> None:
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
        if not self._sysfs.size(source):
            raise RdctlError(Code.CONFLICT, f"{source} has no size", target=source)
        Sources(self._sysfs, self._devices, self._warn).check(source, policy, volume.device)

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
        path = self._sysfs.path(self._sysfs.node(device))
        try:
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
                f"another rdctl is still at work: process {self._sysfs.text(_LOCK)}",
                hint="Try again when it has ended.",
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
                if error.errno != errno.EBUSY or self.other_users().get(device):
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
            name = f"rd{chosen}"
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
                        f"{name} exists",
                        hint="Without --number the lowest free one is taken.",
                        target=name,
                    ) from error
                self._not_created(name, error)
            if self._effects.dry_run:
                self._assumed.add(chosen)
            return name

    def _numbers(self) -> set[int]:
        return {int(volume.device[2:]) for volume in self._sysfs.volumes()}

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
        command = f"rapiddisk resize {volume[2:]} {mib * MIB}"
        with self._told(f"{volume} was not resized to {human_size(mib * MIB)}", volume):
            self._command(command, f"resize {volume} to {mib} MiB", destroys)

    def erase(self, volume: str, destroys: str) -> None:
        with self._told(f"{volume} was not erased", volume):
            erase = self._devices.erase(volume, self._held.get(volume), destroys)
            self._do_alone(erase, volume)

    def remove(self, volume: str, destroys: str) -> None:
        with self._told(f"{volume} was not removed", volume):
            self._command(f"rapiddisk detach {volume[2:]}", f"remove {volume}", destroys)

    def set_lock(self, volume: str, locked: bool) -> None:
        with self._told(f"{volume} was not {'locked' if locked else 'unlocked'}", volume):
            self._devices.set_lock(volume, locked)

    # --- acts on caches -----------------------------------------------------------------------

    def map(self, volume: str, source: str, policy: str, destroys: str | None) -> None:
        """The mapping, whole or not at all; the kernel then holds both devices itself."""
        name = PREFIXES[policy] + source.rsplit("/", 1)[-1]
        sectors = (self._sysfs.size(source) or 0) // SECTOR
        below, cache = self._sysfs.node(source), f"/dev/{volume}"
        if policy == "writeback":
            kind, arguments = "writecache", f"s {below} {cache} 4096 0"
        else:
            size = (self._sysfs.size(volume) or 0) // SECTOR
            mode = 0 if policy == "write-through" else 1
            kind, arguments = "rapiddisk-cache", f"{below} {cache} {size} {mode}"
        # Device-mapper claims them for itself, which our claim would keep it from.
        self._release([volume, source])
        made = self._effects.transaction(f"map {volume} over {source}")
        with self._told(f"{name} was not made", name), made:
            self._mapper.create(name)
            # What a table writes to its volume would be taken for contents.
            again = self._devices.erase(volume, None, None)
            self._mapper.load(name, sectors, kind, arguments, destroys, again)
            self._mapper.resume(name)
        if not self._effects.dry_run:
            self._await_node(name)

    def _await_node(self, name: str) -> None:
        """udev makes /dev/mapper/NAME a moment later."""
        node = f"dev/mapper/{name}"
        for _ in self._attempts(_NODE_SECONDS):
            if self._sysfs.exists(node):
                return
        kernel = self._sysfs.kernel(name)
        self._warn(f"/{node} did not appear; is udev running? The device is /dev/{kernel}")

    def unmap(self, cache: str, destroys: str) -> None:
        """A write-back cache is written back first, and its volume wiped: mapped again, it would
        replay its old blocks onto any disk."""
        found = [entry for entry in self._sysfs.caches() if entry.device == cache]
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
        with self._told(f"{cache} was not written back", cache):
            self._mapper.message(cache, "flush")
        return None if self._effects.dry_run else self._dirty(cache)

    def _dirty(self, cache: str) -> int:
        """Blocks that are not on the disk; raises when they are lost."""
        counters = self.counters(cache).counters
        if counters["errors"]:
            raise RdctlError(
                Code.CONFLICT,
                f"{cache} has failed: its volume is gone, and with it what was not written back",
                hint=f"Only this removes it: dmsetup remove {cache}",
                target=cache,
            )
        return counters["num_blocks"] - counters["num_free_blocks"]

    # --- acts on exports ----------------------------------------------------------------------

    def change_export(
        self, before: Subsystem | None, after: Subsystem | None, destroys: str | None
    ) -> None:
        subject = after or before
        assert subject is not None
        with self._told(f"{subject.nqn} stays as it was", subject.nqn):
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

        return Systemd(self._calls, self._effects).unit()

    def daemon_act(self, verb: str, destroys: str | None) -> None:
        from rdctl.rapiddisk.kernel.systemd import Systemd

        Systemd(self._calls, self._effects).act(verb, destroys)

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
            users = self.other_users().get(target or "") if error.errno == errno.EBUSY else None
            if users:
                why = users[0].deed
                hint = f"Free it first: {users[0].freed_by}" if users[0].freed_by else hint
            left = self._effects.left[before:]
            if left:
                hint = f"Left behind, it could not be undone: {', '.join(left)}. {hint}"
            raise RdctlError(code, f"{what}: {why}", hint=hint, target=target) from error


_GONE = (errno.ENOENT, errno.ENXIO, errno.ENODEV)
_ROOT_HINT = "Try again with sudo."
_REASONS: dict[int, tuple[Code, str, str]] = {
    errno.EACCES: (Code.DENIED, "it takes root", _ROOT_HINT),
    errno.EPERM: (Code.DENIED, "it takes root", _ROOT_HINT),
    errno.EROFS: (Code.DENIED, "the file system is read-only here", "Is this a container?"),
    errno.ENOENT: (Code.NOT_FOUND, "it is not there", "It has gone meanwhile; look again."),
    errno.ENXIO: (Code.NOT_FOUND, "it is not there", "It has gone meanwhile; look again."),
    errno.EEXIST: (Code.EXISTS, "it exists already", "Somebody made it meanwhile; look again."),
    errno.EBUSY: (
        Code.IN_USE,
        "somebody uses it",
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
    errno.EINVAL: (Code.FAILED, "the kernel refuses it", _LOG),
}


def _missing(module: str) -> RdctlError:
    return RdctlError(
        Code.MODULE_MISSING,
        f"the kernel module {module} is not loaded",
        hint=f"Load it: sudo modprobe {module}; or try without a kernel: -c sandbox",
    )


def _denied(what: str) -> RdctlError:
    return RdctlError(Code.DENIED, what, hint=_ROOT_HINT)


def _half_made(cache: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{cache} is only half made",
        hint=f"Remove it: rdctl rapiddisk cache remove {cache}",
        target=cache,
    )


def _dialect(mgmt: Mgmt) -> str:
    return mgmt.version.split(".")[0]


def _lowest_free(taken: set[int]) -> int:
    return next(number for number in range(len(taken) + 1) if number not in taken)
