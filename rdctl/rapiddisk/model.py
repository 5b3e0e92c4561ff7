"""What RapidDisk consists of: plain data, the same from every backend. Sizes are bytes; None means
that the backend does not report it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rdctl.rapiddisk.names import is_volume, number_of, numbered

if TYPE_CHECKING:
    from rdctl.rapiddisk.auth import Auth

DAEMON_PORT = 9118


class Device(NamedTuple):
    """A block device. `kernel` (such as dm-3) and `number` (MAJOR:MINOR) identify it; `name` is for
    display only, since a mapping may have the name of another device. A daemon reports only names:
    `kernel` is then that name, and `number` None."""

    kernel: str
    number: str | None
    name: str


class Volume(NamedTuple):
    """A RAM disk. `usage` is the memory that it uses; `unwritten` the bytes in it that a
    write-back cache has not written to its source; `used_by` what uses it, in listings only."""

    device: str
    size: int | None
    usage: int | None
    locked: bool | None
    unwritten: int | None = None
    used_by: list[str] | None = None


class Cache(NamedTuple):
    """A mapping in which a volume caches a source.

    `dirty`: bytes that are not on the source yet; writing them back takes about
    `writeback_seconds`. `flush_on_suspend`: when rdctl last set the kernel to write back before the
    mapping is removed. `kernel` and `source_kernel` are the kernel's names, None from a daemon,
    which does not report them.
    """

    device: str
    volume: str | None
    source: str | None
    policy: str | None
    dirty: int | None = None
    writeback_seconds: int | None = None
    flush_on_suspend: str | None = None
    kernel: str | None = None
    source_kernel: str | None = None

    @property
    def key(self) -> str:
        """The key of the cache in a survey of users."""
        return self.kernel or self.device

    def of(self, device: str) -> bool:
        """Whether this device is its volume or its source."""
        return device in (self.volume, self.source_kernel or self.source)


class Inventory(NamedTuple):
    volumes: list[Volume]
    caches: list[Cache]


class CacheCounters(NamedTuple):
    """The counters of one cache under the kernel's own names."""

    device: str
    counters: dict[str, int]


_USES = {
    "cache": "used by cache {}",
    "export": "exported over NVMe-oF as {}",
    "target": "exported by SCSI target {}",
    "mount": "mounted on {}",
    "swap": "used as swap space ({})",
    "loop": "used by loop device {}",
    "mapping": "used by mapping {}",
    "raid": "used by array {}",
    "other": "used by {}",
    "held": "held exclusively by {}",
    "open": "open in process {}",
}


_ADVICE = {
    "export": "Remove the export with the tool that created it, or with: nvmetcli",
    "held": "Find its mount or mapping: findmnt, lsblk, dmsetup ls --tree",
}


OLDER_DAEMON = "this rapiddiskd is older than the kernel module of its machine"
# An old daemon sends KiB; the maximum number of volumes of a module.
_KIB, _MOST_VOLUMES = 1024, 1024


def misread(volumes: Iterable[Volume]) -> list[str]:
    """The volumes that a daemon below 9 creates on a module of 9 or later: it sends a size in KiB,
    which is taken for the number of a volume of 0 bytes."""
    empty = (volume.device for volume in volumes if volume.size == 0 and is_volume(volume.device))
    numbers = map(number_of, empty)
    return [numbered(one) for one in numbers if one >= _MOST_VOLUMES and one % _KIB == 0]


class User(NamedTuple):
    """A user of a device: its kind, its name, the command that frees the device from it."""

    kind: str
    name: str
    freed_by: str | None

    @property
    def use(self) -> str:
        """How it uses the device, as in `mounted on /mnt`."""
        return _USES[self.kind].format(self.name)

    @property
    def advice(self) -> str:
        """How to free the device, as a hint."""
        if self.freed_by is not None:
            return f"Free it first: {self.freed_by}"
        if self.kind == "open":
            return f"The process must close it first. Show it: ps -fp {self.name.split()[0]}"
        return _ADVICE.get(self.kind, f"Stop {self.name} first.")


class Survey(NamedTuple):
    """The users of each device, by the kernel's name; and the checks that failed (see
    guards.LOOKS), with the reasons."""

    users: Mapping[str, list[User]]
    unseen: Mapping[str, str]


class Superblock(NamedTuple):
    """What a write-back cache left at the beginning of its volume: `blocks` blocks of `block_size`
    bytes are not on its source; the last of them ends at byte `end` there."""

    block_size: int
    blocks: int
    end: int

    @property
    def unwritten(self) -> int:
        """Bytes."""
        return self.blocks * self.block_size


class NewCache(NamedTuple):
    """A cache to be created. A write-back cache has blocks of `block_size` bytes, which are written
    back after at most `max_age` seconds; None: when the volume fills up. Without `adopt` it is
    formatted."""

    volume: str
    source: Device
    policy: str
    name: str
    block_size: int = 4096
    max_age: int | None = None
    adopt: bool = False


class VolumeDetail(NamedTuple):
    """`users_seen` names the kinds of user that the backend can detect."""

    device: str
    size: int | None
    usage: int | None
    high_water: int | None
    locked: bool | None
    unwritten: int | None
    users: list[User]
    users_seen: list[str]


class Port(NamedTuple):
    """An address for exports; `service` is its TCP port, which no daemon reports. `tls`: clients
    must encrypt; None where the kernel has no such setting, or it is not reported."""

    port: int
    transport: str | None
    address: str | None
    service: str | None
    tls: bool | None = None

    def is_like(self, other: Port) -> bool:
        """Whether both are the same; a kernel without TLS has none."""
        return self[:4] == other[:4] and bool(self.tls) == bool(other.tls)


class PortDetail(NamedTuple):
    """A port with its attributes, as in state.model."""

    port: Port
    attributes: tuple[tuple[str, str], ...] = ()


class Target(NamedTuple):
    """One namespace of an NVMe subsystem; None where an incomplete one has none. Its clients know
    the disk by `serial`, `uuid` and `nguid`, which no daemon reports. `authenticated`: all hosts
    that may connect have a key; `tls`: all of its ports require TLS; None: unknown."""

    nqn: str
    namespace: int | None
    device: str | None
    enabled: bool | None
    any_host: bool | None
    hosts: list[str] | None
    ports: list[Port]
    serial: str | None = None
    uuid: str | None = None
    nguid: str | None = None
    authenticated: bool | None = None
    tls: bool | None = None


class NvmeNamespace(NamedTuple):
    """A namespace of an NVMe subsystem: `path` is the device that it exports; clients know it by
    `uuid` and `nguid`. `attributes` as in state.model."""

    number: int
    path: str | None
    enabled: bool
    uuid: str | None = None
    nguid: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()


class Subsystem(NamedTuple):
    """All of an NVMe subsystem, complete or not; each Target is a part of one. `attributes` as in
    state.model, here and of its namespaces, are () unless they were asked for."""

    nqn: str
    any_host: bool
    hosts: tuple[str, ...]
    namespaces: tuple[NvmeNamespace, ...]
    ports: tuple[int, ...]
    serial: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()


class NvmeHost(NamedTuple):
    """A host that exports may allow. `exports` are the NQNs of those that do. `can`: the kernel can
    authenticate it; `auth` is None if that cannot be read. `key_file` and `ctrl_key_file` are
    where rdctl read its keys."""

    nqn: str
    exports: tuple[str, ...]
    auth: Auth | None
    can: bool
    key_file: str | None = None
    ctrl_key_file: str | None = None

    @property
    def has_key(self) -> bool | None:
        return None if self.auth is None else self.auth.key is not None


class Disk(NamedTuple):
    device: str
    size: int | None
    vendor: str | None
    model: str | None


class Resources(NamedTuple):
    mem_total: int | None
    mem_free: int | None
    mem_available: int | None
    disks: list[Disk]


class Memory(NamedTuple):
    """The memory of the machine; `promised`: the sizes of all volumes; `used`: by them."""

    total: int | None
    available: int | None
    promised: int | None
    used: int | None


class Overview(NamedTuple):
    """All of a machine; None where a part was not read. `machine` is `local`, or the address of a
    rapiddiskd."""

    machine: str
    memory: Memory | None
    volumes: list[Volume] | None
    caches: list[Cache] | None
    exports: list[Target] | None


class Module(NamedTuple):
    """A kernel module; `load` is the command that loads it when it is missing."""

    module: str
    loaded: bool
    version: str | None
    needed_for: str
    load: str | None


class Status(NamedTuple):
    """The status of the daemon or, in local mode, of the kernel modules, which only that has."""

    status: str
    version: str | None
    mode: str
    endpoint: str | None
    dialect: str | None = None
    volumes: int | None = None
    max_volumes: int | None = None
    modules: list[Module] | None = None


class Unit(NamedTuple):
    """The systemd unit of the daemon."""

    unit: str
    installed: bool
    active: bool
    enabled: bool
    state: str
    pid: int | None


def targets_of(
    subsystem: Subsystem, ports: Mapping[int, Port], keys: Mapping[str, bool | None]
) -> list[Target]:
    """A target for each namespace of a subsystem; one without a namespace where it has none. `keys`
    says which hosts have a key."""
    offered = [ports[number] for number in subsystem.ports if number in ports]
    known = [keys.get(host) for host in subsystem.hosts]
    return [
        Target(
            nqn=subsystem.nqn,
            namespace=namespace.number if namespace else None,
            device=namespace.path if namespace else None,
            enabled=namespace.enabled if namespace else False,
            any_host=subsystem.any_host,
            hosts=list(subsystem.hosts),
            ports=offered,
            serial=subsystem.serial,
            uuid=namespace.uuid if namespace else None,
            nguid=namespace.nguid if namespace else None,
            authenticated=False if subsystem.any_host else _all_of(known),
            tls=_all_of([bool(port.tls) for port in offered]),
        )
        for namespace in subsystem.namespaces or (None,)
    ]


def _all_of(facts: Sequence[bool | None]) -> bool | None:
    """Whether all are true; None if there are none, or some are unknown."""
    if not facts or False in facts:
        return False if facts else None
    return None if None in facts else True


def trust_shown(targets: Sequence[Target]) -> Sequence[str]:
    """The columns of keys and TLS, where one of these exports has either."""
    some = any(target.authenticated or target.tls for target in targets)
    return ("authenticated", "tls") if some else ()
