"""The state of a machine as its file has it: plain data. Sizes are bytes, ages seconds.

`at` is where an entry was read (`/etc/rdctl/rapiddisk.toml, line 12`), for errors; it is "" for the
state of the machine itself. `attributes` are those of the kernel that rdctl does not name, where
they differ from the kernel's defaults: pairs of name and value, sorted by name.
"""

from __future__ import annotations

from typing import NamedTuple

from rdctl.rapiddisk.auth import NO_AUTH

SCHEMA = "rdctl.rapiddisk.state/1"

# Below the root of the machine.
FILE = "etc/rdctl/rapiddisk.toml"
DIRECTORY = "etc/rdctl/rapiddisk.d"

Attributes = tuple[tuple[str, str], ...]


class ModuleState(NamedTuple):
    """A parameter of the module rapiddisk, which is set only when it is loaded."""

    name: str
    value: int
    at: str = ""


class VolumeState(NamedTuple):
    """`image` is the path of the file in which its contents last: loaded at boot, saved at
    shutdown."""

    name: str
    size: int
    locked: bool = False
    image: str | None = None
    at: str = ""


class CacheState(NamedTuple):
    """`source` is the most stable path that leads to the device. `max_age` is that of a write-back
    cache: 0 is never, None the default of rdctl. A `source_size` of 0 is unknown, which is allowed
    for caches that hold nothing unwritten."""

    name: str
    volume: str
    source: str
    source_size: int
    policy: str
    max_age: int | None = None
    at: str = ""


class PortState(NamedTuple):
    """An address for exports: `address` or, for one that changes, the `interface` that has it. The
    transport loop has neither, and no `service`. `tls`: clients must encrypt."""

    number: int
    transport: str
    address: str | None = None
    interface: str | None = None
    service: str | None = None
    attributes: Attributes = ()
    tls: bool = False
    at: str = ""


TLS_OPTIONAL = ("addr_treq", "not required")


def with_tls(attributes: Attributes, given: bool | None = None) -> tuple[Attributes, bool]:
    """The attributes of a port without those that its `tls` means, and that, which is `given` or
    follows from them."""
    if TLS_OPTIONAL in attributes and not given:
        return attributes, False
    security = ("addr_tsas", "tls1.3")
    tls = security in attributes if given is None else given
    meant = {security, ("addr_treq", "required")} if tls else {security}
    return tuple(pair for pair in attributes if pair not in meant), tls


class HostState(NamedTuple):
    """A host that must authenticate itself. Keys are in files, which only their owner can read;
    the name of one that is not known is empty."""

    nqn: str
    auth_key_file: str
    ctrl_key_file: str | None = None
    hash: str = NO_AUTH.hash
    dhgroup: str = NO_AUTH.dhgroup
    at: str = ""


class ExportState(NamedTuple):
    """A subsystem with one namespace. `device` is a volume or a cache by its name, as rd0. The
    identity by which clients know the disk is `serial`, `uuid` and `nguid`; None: the kernel
    chooses. `attributes` are those of the subsystem, `namespace_attributes` those of the
    namespace."""

    nqn: str
    device: str
    ports: tuple[int, ...] = ()
    hosts: tuple[str, ...] = ()
    any_host: bool = False
    serial: str | None = None
    uuid: str | None = None
    nguid: str | None = None
    namespace: int = 1
    attributes: Attributes = ()
    namespace_attributes: Attributes = ()
    at: str = ""


class State(NamedTuple):
    """In the order of the file; names are unique within each."""

    volumes: tuple[VolumeState, ...] = ()
    caches: tuple[CacheState, ...] = ()
    ports: tuple[PortState, ...] = ()
    exports: tuple[ExportState, ...] = ()
    modules: tuple[ModuleState, ...] = ()
    hosts: tuple[HostState, ...] = ()


# The kinds of thing that --only selects. Of volumes, images are a part.
KINDS = {
    None: ("module", "volume", "cache", "port", "host", "export"),
    "caches": ("module", "volume", "cache"),
    "images": (),
    "exports": ("port", "host", "export"),
}


def only_part(state: State, only: str | None) -> State:
    """The part of a state that --only selects."""
    if only == "caches":
        return State(volumes=state.volumes, caches=state.caches, modules=state.modules)
    if only == "images":
        return State(volumes=state.volumes)
    if only == "exports":
        return State(ports=state.ports, exports=state.exports, hosts=state.hosts)
    return state
