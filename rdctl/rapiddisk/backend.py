"""The interface of every RapidDisk backend: facts and single acts. Policy is in the layer above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NoReturn, Protocol

from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk.model import (
    Cache,
    CacheCounters,
    Device,
    Inventory,
    NewCache,
    NvmeHost,
    Port,
    PortDetail,
    Resources,
    Status,
    Subsystem,
    Superblock,
    Survey,
    Target,
    Unit,
    Volume,
)

if TYPE_CHECKING:
    from rdctl.effects.images import Made
    from rdctl.rapiddisk.auth import Auth
    from rdctl.rapiddisk.files import ImageTarget
    from rdctl.rapiddisk.imagefile import ImageFile
    from rdctl.rapiddisk.kernel.host import Host
    from rdctl.rapiddisk.kernel.identities import Identities
    from rdctl.rapiddisk.kernel.surroundings import Surroundings


class Backend(Protocol):
    """A fact that cannot be read raises RdctlError, and so does an act that was refused.

    An act that returns was accepted, which proves nothing: `changes` reads the state again.
    """

    # Whether listings always report the devices of a cache and what is exported.
    reports_all: bool
    # Whether a volume in use can grow, and its users be notified.
    grows_in_use: bool

    @property
    def users_seen(self) -> Sequence[str]:
        """The kinds of user (see model.User) that can be found."""

    def status(self) -> Status: ...

    def resources(self) -> Resources: ...

    def memory(self) -> Resources:
        """The memory alone: the disks may be left out."""

    def inventory(self, strict: bool = True) -> Inventory:
        """All volumes and caches. Without `strict`, for read-only commands, values that cannot be
        read are null."""

    def counters(self, cache: str) -> CacheCounters: ...

    def targets(self) -> list[Target]: ...

    def guarded_targets(self) -> list[Target] | None:
        """The targets for a guard: [] where none are possible, None where this backend never
        lists them. Raises when they could not be listed."""

    def is_path_of(self, path: str | None, device: str) -> bool:
        """Whether the path of a target leads to the device."""

    def ports(self) -> list[Port]: ...

    def high_water(self, volume: str) -> int | None:
        """Bytes: the end of the highest write since the last erase."""

    def server_time(self) -> float | None:
        """Seconds since 1970 by the daemon's clock; None where none is reported."""

    def superblock(self, volume: str) -> Superblock | None:
        """What a former write-back cache left in the volume; None also where it cannot be read."""

    def is_empty_behind(self, volume: str, size: int) -> bool | None:
        """Whether the volume holds only zeros beyond `size` bytes."""

    def survey(self, devices: Sequence[str]) -> Survey:
        """The users of each device, beyond what the listings show; of `devices` also whether the
        kernel itself holds them."""

    def listed_users(self) -> Survey:
        """The users that a listing shows beside caches: those that are found without root, and
        without another request. `unseen`: what was not checked."""

    def source(self, text: str) -> Device:
        """The block device to cache, as this backend names it, or a usage error."""

    def led_by_contents(self, text: str) -> bool:
        """Whether a path identifies a device by the file system on it, so that it may resolve to a
        cache instead of its source."""

    def permit(self) -> None:
        """Raise when nothing can be changed here: no root, no module."""

    def check_cache(self, volume: Volume, source: Device, policy: str) -> None:
        """Raise when a cache is known to be impossible."""

    def claim(self, devices: Sequence[str]) -> AbstractContextManager[bool]:
        """Keep other users away from the devices until the acts are done. True when nothing can
        intervene from then on, so that it is worth checking again."""

    def create(self, size: int, number: int | None) -> str | None:
        """The new volume's name, where the backend learns it. The size is in bytes: whole MiB for a
        daemon, whole sectors on the machine itself."""

    def resize(self, volume: str, size: int, destroys: str | None) -> None: ...

    def erase(self, volume: str, destroys: str) -> None: ...

    def remove(self, volume: str, destroys: str) -> None: ...

    def set_lock(self, volume: str, locked: bool) -> None: ...

    def map(self, cache: NewCache, destroys: str | None) -> None: ...

    @property
    def ages(self) -> bool:
        """Whether a write-back cache can write blocks back after some time."""

    def unmap(self, cache: str, destroys: str | None) -> None: ...

    def sync(self, cache: str) -> int | None:
        """The number of blocks that are still not written back; None in a dry run."""

    def here(self, what: str) -> None:
        """Raise `unsupported` unless this is the machine itself; `what` is possible only there."""

    # Only on the machine itself.

    def identities(self) -> Identities:
        """What identifies the things of the machine until it is restarted."""

    def boot_id(self) -> str | None:
        """What no other boot of any machine has."""

    def diskseq(self, device: str) -> str | None:
        """What no other device of this boot has, by the kernel's name."""

    def kernel_of(self, path: str | None) -> str | None:
        """The kernel's name of the device that a namespace's path leads to."""

    def size_of(self, device: str) -> int | None:
        """Bytes, by the kernel's name."""

    def module_parameters(self) -> dict[str, int]:
        """The parameters of the module rapiddisk that are set when it is loaded."""

    def wait(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Check repeatedly, for at most so many seconds; whether it became so."""

    def record(self, name: str) -> str | None:
        """The text of a record that lasts until the machine is restarted."""

    def keep_record(
        self, name: str, text: str, what: str, *, required: bool, lasting: bool = False
    ) -> None:
        """Replace such a record; `what` says what it has: `record ...`. If it cannot be written,
        raise if it is `required`, else warn. A `lasting` one is not rolled back."""

    def save_contents(self, volume: str, target: ImageTarget, step: Callable[[int], None]) -> Made:
        """Write the contents of a volume to a file; `step` takes the progress. Raises OSError about
        the file."""

    def load_contents(self, volume: str, image: ImageFile, step: Callable[[int], None]) -> None:
        """Write an image to a volume that is empty. Part of a transaction, whose rollback erases
        the volume."""

    def state_text(self) -> str | None:
        """The state file of the machine, as it is."""

    def state_files(self) -> list[str]:
        """The further state files of the machine."""

    def keep_state(self, text: str) -> None:
        """Replace the state file of the machine."""

    def is_unarmed(self, cache: Cache) -> bool:
        """Whether rdctl was interrupted before it set the write-back cache to write back before it
        is removed."""

    def arm(self, cache: Cache) -> None:
        """Set a write-back cache to write back before it is removed."""

    def surroundings(self) -> Surroundings: ...

    def host(self) -> Host:
        """Its files and its units."""

    def source_speed(self, source: str) -> int | None:
        """Bytes per second of the disk at a path, as far as measured."""

    def subsystems(self) -> list[Subsystem]:
        """All NVMe subsystems, without their attributes."""

    def described_subsystems(self) -> list[Subsystem]:
        """As `subsystems`, with their attributes, each of which is another file to read."""

    def described_ports(self) -> list[PortDetail]:
        """As `ports`, with their attributes."""

    def stable_source(self, kernel: str) -> tuple[str, str]:
        """The path to a block device that is most likely to lead to it after a reboot, too, and the
        kind of that path: `id`, `volume`, `mapping`, `partuuid`, `path` or `kernel`."""

    def max_age_of(self, cache: str) -> int | None:
        """The seconds after which a write-back cache writes a block back; None: it does not by
        age."""

    def device_of(self, path: str | None) -> str | None:
        """The name of the device that a namespace's path leads to."""

    def path_of(self, device: str) -> str:
        """The path by which a volume or a cache is exported."""

    def failure(self, cache: Cache) -> RdctlError | None:
        """Why a write-back cache cannot write back, and where its blocks are; None when it can."""

    def drop(self, cache: Cache, destroys: str | None) -> None:
        """Remove a mapping that can no longer write back; its volume keeps its blocks."""

    def source_recorded(self, volume: str) -> str | None:
        """The recorded source of the write-back cache in a volume, if known."""

    def is_source_of(self, volume: str, source: Device) -> bool:
        """Whether it is known that the device is that source."""

    def check_adoption(self, volume: Volume, source: Device, left: Superblock) -> None:
        """Raise when what is left in the volume cannot be written to the source."""

    def hosts(self) -> list[NvmeHost]:
        """The hosts that exports may allow."""

    def exposed(self, host: str) -> list[str]:
        """The files with keys of the host that every user of the machine can read."""

    def check_authentication(self) -> None:
        """Raise when the kernel is known to be unable to authenticate hosts."""

    def check_tls(self) -> None:
        """Raise when the kernel is known to be unable to serve ports with TLS."""

    def set_auth(self, host: str, auth: Auth, destroys: str | None) -> None:
        """How a host authenticates itself, all or nothing; a host that is missing is created."""

    def note_key_files(self, host: str, auth: Auth) -> None:
        """Record which files the keys of a host are from, if rdctl set them."""

    def nqn_of(self, device: str) -> str:
        """The NQN that RapidDisk uses for the export of a device."""

    def permit_exports(self) -> None:
        """Raise when no export can be changed here."""

    def check_transport(self, transport: str) -> None:
        """Raise when the kernel cannot serve ports of this transport."""

    def address_of(self, interface: str) -> str: ...

    def is_address_here(self, address: str) -> bool: ...

    def change_export(
        self, nqn: str, before: Subsystem | None, after: Subsystem | None, destroys: str | None
    ) -> None:
        """Create a subsystem, remove it, or change its ports and hosts: all or nothing."""

    def recreate_export(self, before: Subsystem, after: Subsystem, destroys: str) -> None:
        """Replace the subsystem by one with another identity, device or attributes: all or
        nothing."""

    def revalidate(self, nqn: str, namespace: int) -> None:
        """Notify the clients of the device's size."""

    def add_port(self, detail: PortDetail) -> None: ...

    def remove_port(self, number: int, destroys: str | None) -> None: ...

    def permit_daemon(self) -> None:
        """Raise when the daemon's unit cannot be changed here."""

    def daemon(self) -> Unit: ...

    def daemon_act(self, verb: str, destroys: str | None) -> None: ...


def here_only(what: str) -> NoReturn:
    raise RdctlError(
        Code.UNSUPPORTED,
        f"{what} requires --local: not supported by rapiddiskd",
        hint="Run this command on the RapidDisk machine itself, with --local.",
    )


def _unsupported(what: str) -> Callable[..., NoReturn]:
    def method(self: object, *args: object, **options: object) -> NoReturn:
        here_only(what)

    return method


class LocalOnly:
    """For a backend of another machine, where all of this is `unsupported`."""

    def here(self, what: str) -> None:
        here_only(what)

    sync = _unsupported("writing back a cache")
    surroundings = source_speed = _unsupported("inspecting the machine")
    host = _unsupported("managing the boot of the machine")
    failure = drop = source_recorded = _unsupported("adopting a cache")
    is_source_of = check_adoption = _unsupported("adopting a cache")
    permit_exports = subsystems = _unsupported("changing exports and ports")
    hosts = exposed = check_authentication = _unsupported("managing hosts")
    set_auth = note_key_files = _unsupported("managing hosts")
    check_tls = _unsupported("adding ports")
    described_subsystems = described_ports = _unsupported("describing exports and ports")
    stable_source = max_age_of = _unsupported("describing caches")
    device_of = path_of = nqn_of = change_export = _unsupported("changing exports")
    recreate_export = _unsupported("re-creating exports")
    identities = _unsupported("identifying things")
    boot_id = diskseq = kernel_of = size_of = module_parameters = _unsupported("reading the state")
    state_text = state_files = keep_state = _unsupported("saving the state")
    save_contents = load_contents = _unsupported("saving and loading contents")
    wait = record = keep_record = is_unarmed = arm = _unsupported("applying a state")
    revalidate = _unsupported("revalidating sizes")
    check_transport = address_of = is_address_here = _unsupported("adding ports")
    add_port = remove_port = _unsupported("changing ports")
    permit_daemon = daemon_act = _unsupported("managing the daemon")
    daemon = _unsupported("reading the daemon's unit")
