"""What a machine has, read once, to dump it or to compare it with a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.images import ImageRecord, Images
from rdctl.rapiddisk.model import Cache, NvmeHost, PortDetail, Subsystem, Volume
from rdctl.rapiddisk.names import is_rapiddisk
from rdctl.rapiddisk.state.model import (
    CacheState,
    ExportState,
    HostState,
    ModuleState,
    PortState,
    State,
    VolumeState,
)

if TYPE_CHECKING:
    from rdctl.rapiddisk.kernel.identities import Identities


class There(NamedTuple):
    """By name, number or NQN. `caches` are those that have a table, `unfinished` the others."""

    volumes: dict[str, Volume]
    caches: dict[str, Cache]
    unfinished: dict[str, Cache]
    ports: dict[int, PortDetail]
    exports: dict[str, Subsystem]
    images: dict[str, ImageRecord]
    parameters: dict[str, int]
    hosts: dict[str, NvmeHost]


def read(backend: Backend) -> There:
    """Read all of it. A machine that cannot export anything has no ports and no exports."""
    inventory = backend.inventory()
    caches = {cache.device: cache for cache in inventory.caches}
    images = Images(backend)
    subsystems: list[Subsystem] = []
    ports: list[PortDetail] = []
    hosts: list[NvmeHost] = []
    try:
        subsystems, ports = backend.described_subsystems(), backend.described_ports()
        hosts = backend.hosts()
    except RdctlError as error:
        if error.code is not Code.MODULE_MISSING or backend.guarded_targets() != []:
            raise
    return There(
        volumes={volume.device: volume for volume in inventory.volumes},
        caches={name: cache for name, cache in caches.items() if cache.volume},
        unfinished={name: cache for name, cache in caches.items() if not cache.volume},
        ports={detail.port.port: detail for detail in ports},
        exports={subsystem.nqn: subsystem for subsystem in subsystems},
        images={volume.device: images.of(volume.device) for volume in inventory.volumes},
        parameters=backend.module_parameters(),
        hosts={host.nqn: host for host in hosts},
    )


def identity(identities: Identities, there: There, kind: str, name: str) -> Any:
    """What identifies a thing in this boot, by the kind and the name of a Difference; None if it is
    not there."""
    if kind == "volume" and name in there.volumes:
        return identities.volume(name)
    if kind == "cache" and name in there.caches:
        return identities.cache(there.caches[name].kernel)
    if kind == "port" and int(name) in there.ports:
        return identities.port(there.ports[int(name)].port)
    if kind == "host" and name in there.hosts:
        return identities.host(name)
    if kind == "export" and name in there.exports:
        return identities.export(there.exports[name])
    return None


def state_of(backend: Backend, there: There, warn: Callable[[str], None]) -> State:
    """The state of the machine as a file has it. `warn` takes what is left out, and what may not
    be found again."""
    for name in there.unfinished:
        warn(f"{name} is left out: it is incomplete")
    exports = [
        export
        for subsystem in there.exports.values()
        if (export := _export(backend, subsystem, warn)) is not None
    ]
    foreign = {port for subsystem in there.exports.values() for port in subsystem.ports} - {
        port for export in exports for port in export.ports
    }
    return State(
        volumes=tuple(_volume(there, volume) for volume in there.volumes.values()),
        caches=tuple(_cache(backend, cache, warn) for cache in there.caches.values()),
        ports=tuple(
            port
            for number, detail in there.ports.items()
            if number not in foreign and (port := _port(detail, warn)) is not None
        ),
        exports=tuple(exports),
        modules=tuple(ModuleState(name, value) for name, value in there.parameters.items()),
        hosts=tuple(_hosts(there, exports, warn)),
    )


def _hosts(
    there: There, exports: Sequence[ExportState], warn: Callable[[str], None]
) -> Iterator[HostState]:
    """No key is in a state: its file is named, as far as it is known."""
    allowed = {nqn for export in exports for nqn in export.hosts}
    for host in there.hosts.values():
        if host.nqn not in allowed and host.exports:
            continue
        if host.auth is None:
            warn(f"host {host.nqn} is left out: its keys can be read by root only")
            continue
        key, ctrl_key, hashed, dhgroup = host.auth
        if key is None:
            continue
        files = host.key_file or "", None if ctrl_key is None else host.ctrl_key_file or ""
        if "" in files:
            warn(
                f"host {host.nqn}: the file of its key is not known: name it as auth_key_file or"
                " ctrl_key_file before the state is applied"
            )
        yield HostState(host.nqn, *files, hashed, dhgroup)


def _volume(there: There, volume: Volume) -> VolumeState:
    image = there.images[volume.device].image
    return VolumeState(volume.device, volume.size or 0, bool(volume.locked), image)


def _cache(backend: Backend, cache: Cache, warn: Callable[[str], None]) -> CacheState:
    path, kind = backend.stable_source(cache.source_kernel or "")
    if kind == "path":
        warn(
            f"{cache.device}: {cache.source} has no name of its own; {path} is the place where it"
            " is attached"
        )
    elif kind == "kernel":
        warn(
            f"{cache.device}: {cache.source} has no stable name; {path} may be another device after"
            " a reboot"
        )
    return CacheState(
        name=cache.device,
        volume=cache.volume or "",
        source=path,
        source_size=backend.size_of(cache.source_kernel or "") or 0,
        policy=cache.policy or "",
        max_age=age_of(backend, cache),
    )


def age_of(backend: Backend, cache: Cache) -> int | None:
    """The age at which a write-back cache writes blocks back; 0: it does not; None for others."""
    return (backend.max_age_of(cache.device) or 0) if cache.policy == "writeback" else None


def _port(detail: PortDetail, warn: Callable[[str], None]) -> PortState | None:
    port = detail.port
    if port.transport not in ("tcp", "rdma", "loop") or (
        port.address is None and port.transport != "loop"
    ):
        warn(
            f"port {port.port} is left out: it is incomplete, or of a transport that rdctl does"
            " not support"
        )
        return None
    loop = port.transport == "loop"
    return PortState(
        number=port.port,
        transport=port.transport,
        address=None if loop else port.address,
        service=None if loop else port.service,
        attributes=detail.attributes,
        tls=bool(port.tls),
    )


def _export(
    backend: Backend, subsystem: Subsystem, warn: Callable[[str], None]
) -> ExportState | None:
    """None for what RapidDisk does not export."""
    devices = [backend.device_of(one.path) or "" for one in subsystem.namespaces]
    if not any(map(is_rapiddisk, devices)):
        return None
    if len(devices) != 1 or not subsystem.namespaces[0].enabled:
        why = "it has more than one namespace" if len(devices) > 1 else "it is incomplete"
        warn(f"export {subsystem.nqn} is left out: {why}")
        return None
    return export_state(subsystem, devices[0])


def export_state(subsystem: Subsystem, device: str) -> ExportState:
    """A subsystem with one namespace, which exports the device."""
    (namespace,) = subsystem.namespaces
    return ExportState(
        nqn=subsystem.nqn,
        device=device,
        ports=subsystem.ports,
        hosts=subsystem.hosts,
        any_host=subsystem.any_host,
        serial=subsystem.serial,
        uuid=namespace.uuid,
        nguid=namespace.nguid,
        namespace=namespace.number,
        attributes=subsystem.attributes,
        namespace_attributes=namespace.attributes,
    )
