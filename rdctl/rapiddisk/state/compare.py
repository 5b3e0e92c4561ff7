"""What differs between a state file and the machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rdctl.core.errors import RdctlError, hints
from rdctl.rapiddisk.auth import Key, key_in
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.guards import upper_first
from rdctl.rapiddisk.images import is_in_image
from rdctl.rapiddisk.kernel.refusals import denied
from rdctl.rapiddisk.model import Cache, Device, Subsystem, Volume
from rdctl.rapiddisk.names import is_rapiddisk
from rdctl.rapiddisk.state.model import (
    KINDS,
    CacheState,
    ExportState,
    HostState,
    PortState,
    State,
    VolumeState,
    only_part,
)
from rdctl.rapiddisk.state.there import There, age_of, export_state

STATES = MISSING, DIFFERS, EXTRA = "missing", "differs", "extra"


class Difference(NamedTuple):
    """`state`: the machine lacks it (`missing`), it differs in `key`, or only the machine has it
    (`extra`). `note` says what apply does about it."""

    kind: str
    name: str
    state: str
    key: str | None = None
    file: Any = None
    machine: Any = None
    note: str | None = None


class Comparison:
    """A file and a machine, all of them or `only` some kinds. A source or an address that cannot be
    found yet differs."""

    def __init__(
        self, wanted: State, there: There, backend: Backend, only: str | None = None
    ) -> None:
        self.wanted, self.there = only_part(wanted, only), there
        self._kinds, self._only = KINDS[only], only
        self._backend = backend

    def differences(self) -> list[Difference]:
        return [*self.modules(), *self._each(), *self.extras()]

    def modules(self) -> Iterator[Difference]:
        for wanted in self.wanted.modules:
            value = self.there.parameters.get(wanted.name)
            if value != wanted.value:
                yield Difference("module", wanted.name, DIFFERS, "value", wanted.value, value)

    def _each(self) -> Iterator[Difference]:
        for volume in self.wanted.volumes:
            yield from self.volume(volume)
        for cache in self.wanted.caches:
            yield from self.cache(cache)
        for port in self.wanted.ports:
            yield from self.port(port)
        for host in self.wanted.hosts:
            yield from self._located(host)
        for export in self.wanted.exports:
            yield from self.export(export)

    def _located(self, wanted: HostState) -> Iterable[Difference]:
        """An error says which line names a file that cannot be used."""
        try:
            return self.host(wanted)
        except RdctlError as error:
            error.hint = hints(error.hint, f"See {wanted.at}." if wanted.at else None)
            raise

    # --- what the file has --------------------------------------------------------------------

    def volume(self, wanted: VolumeState) -> Iterable[Difference]:
        """With --only images it has to exist, and its lock waits for its image."""
        of_images = self._only == "images"
        found: Volume | None = self.there.volumes.get(wanted.name)
        if found is None:
            absent = Difference("volume", wanted.name, MISSING)
            return [absent] if wanted.image or not of_images else []
        facts: dict[str, tuple[Any, Any]] = {}
        if not of_images:
            facts["size"] = wanted.size, found.size
        if not of_images or wanted.image:
            facts["locked"] = wanted.locked, found.locked
        if self._only != "caches":
            facts["image"] = wanted.image, self.image(wanted)
        return _differing("volume", wanted.name, facts)

    def image(self, wanted: VolumeState) -> str | None:
        """The image of a volume; None also while its contents are not those of that file."""
        record, path = self.there.images[wanted.name], wanted.image
        if path is None or path != record.image:
            return record.image
        return path if is_in_image(self._backend, wanted.name, path, record) else None

    def cache(self, wanted: CacheState) -> Iterable[Difference]:
        found: Cache | None = self.there.caches.get(wanted.name)
        if found is None:
            return [Difference("cache", wanted.name, MISSING)]
        device = self.source(wanted.source)
        same = device is not None and device.kernel == found.source_kernel
        facts: dict[str, tuple[Any, Any]] = {
            "volume": (wanted.volume, found.volume),
            "source": (wanted.source, wanted.source if same else found.source),
            "policy": (wanted.policy, found.policy),
        }
        if wanted.source_size:
            size = self._backend.size_of(found.source_kernel or "")
            facts["source_size"] = (wanted.source_size, size)
        if wanted.max_age is not None:
            facts["max_age"] = (wanted.max_age, age_of(self._backend, found))
        return _differing("cache", wanted.name, facts)

    def source(self, path: str) -> Device | None:
        """The device at the path of a source; None if not found."""
        try:
            return self._backend.source(path)
        except RdctlError:
            return None

    def port(self, wanted: PortState) -> Iterable[Difference]:
        name, found = str(wanted.number), self.there.ports.get(wanted.number)
        if found is None:
            return [Difference("port", name, MISSING)]
        port: Any = found.port
        facts: dict[str, tuple[Any, Any]] = {
            "transport": (wanted.transport, port.transport),
            "address": (self.address(wanted), port.address),
            "service": (wanted.service, port.service),
            "tls": (wanted.tls, bool(port.tls)),
            **_attributes(wanted.attributes, found.attributes),
        }
        if wanted.transport == "loop":
            facts = {key: both for key, both in facts.items() if key not in ("address", "service")}
        return _differing("port", name, facts)

    def address(self, wanted: PortState) -> str | None:
        """The address of a port, which its interface may have; None while it has none."""
        if wanted.interface is None:
            return wanted.address
        try:
            return self._backend.address_of(wanted.interface)
        except RdctlError:
            return None

    def host(self, wanted: HostState) -> Iterable[Difference]:
        """By the contents of the files, which are never shown."""
        found = self.there.hosts.get(wanted.nqn)
        if found is None:
            return [Difference("host", wanted.nqn, MISSING)]
        if found.auth is None:
            raise denied(f"the keys of host {wanted.nqn} can be read by root only")
        key, ctrl_key, hashed, dhgroup = found.auth
        facts: dict[str, tuple[Any, Any]] = {
            "auth_key_file": _files(wanted.auth_key_file, key),
            "ctrl_key_file": _files(wanted.ctrl_key_file, ctrl_key),
            "hash": (wanted.hash, hashed),
            "dhgroup": (wanted.dhgroup, dhgroup),
        }
        return _differing("host", wanted.nqn, facts)

    def export(self, wanted: ExportState) -> Iterable[Difference]:
        found: Subsystem | None = self.there.exports.get(wanted.nqn)
        if found is None:
            return [Difference("export", wanted.nqn, MISSING)]
        if len(found.namespaces) != 1:
            count = len(found.namespaces)
            return [Difference("export", wanted.nqn, DIFFERS, "namespaces", 1, count)]
        device = self._backend.device_of(found.namespaces[0].path) or ""
        there = export_state(found, device)
        facts: dict[str, tuple[Any, Any]] = {
            "device": (wanted.device, there.device),
            "namespace": (wanted.namespace, there.namespace),
            "enabled": (True, found.namespaces[0].enabled),
            "any_host": (wanted.any_host, there.any_host),
            "hosts": (sorted(wanted.hosts), sorted(there.hosts)),
            "ports": (sorted(wanted.ports), sorted(there.ports)),
            **_attributes(wanted.attributes, there.attributes),
            **_attributes(wanted.namespace_attributes, there.namespace_attributes),
        }
        for key in IDENTITY:
            if getattr(wanted, key) is not None:
                facts[key] = (getattr(wanted, key), getattr(there, key))
        return _differing("export", wanted.nqn, facts)

    # --- what only the machine has ------------------------------------------------------------

    def extras(self) -> Iterator[Difference]:
        """In the order in which they can be removed. Exports of other tools, and ports that only
        those use, are not RapidDisk's."""
        mine = {
            nqn
            for nqn, found in self.there.exports.items()
            if any(is_rapiddisk(self._backend.device_of(n.path) or "") for n in found.namespaces)
        }
        others = {
            port
            for nqn, found in self.there.exports.items()
            for port in found.ports
            if nqn not in mine
        }
        ports = [number for number in self.there.ports if number not in others]
        hosts = [
            nqn
            for nqn, host in self.there.hosts.items()
            if host.has_key and (not host.exports or mine & {*host.exports})
        ]
        for kind, wanted, there in (
            ("export", [one.nqn for one in self.wanted.exports], sorted(mine)),
            ("host", [one.nqn for one in self.wanted.hosts], hosts),
            ("port", [str(one.number) for one in self.wanted.ports], map(str, ports)),
            (
                "cache",
                [one.name for one in self.wanted.caches],
                [cache.device for cache in upper_first([*self.there.caches.values()])],
            ),
            ("volume", [one.name for one in self.wanted.volumes], self.there.volumes),
        ):
            if kind in self._kinds:
                yield from (Difference(kind, name, EXTRA) for name in there if name not in wanted)


# What clients know an exported disk by.
IDENTITY = ("serial", "uuid", "nguid")


def _files(file: str | None, key: Key | None) -> tuple[str | None, str | None]:
    """The file with a key, and what the machine has instead. An unknown file may have any key."""
    if file == "" and key is not None:
        return file, file
    if file and key is not None:
        return file, file if key_in(file) == key else "another key"
    return file, None if key is None else "a key"


def _differing(kind: str, name: str, facts: Mapping[str, tuple[Any, Any]]) -> Iterator[Difference]:
    for key, (file, machine) in facts.items():
        if file != machine:
            yield Difference(kind, name, DIFFERS, key, file, machine)


def _attributes(
    wanted: Iterable[tuple[str, str]], there: Iterable[tuple[str, str]]
) -> dict[str, tuple[Any, Any]]:
    """Those of the file; one that the machine does not show has the kernel's default."""
    known = dict(there)
    return {name: (value, known.get(name, "default")) for name, value in wanted}
