"""What refers to each other in a state, in one file or in several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.rapiddisk.state.model import CacheState, ExportState, State, VolumeState

_KINDS = {
    "volumes": "volume",
    "caches": "cache",
    "ports": "port",
    "exports": "export",
    "modules": "module parameter",
    "hosts": "host",
}
_MAPPER = "/dev/mapper/"


def merge(states: Sequence[State]) -> State:
    """All entries, in the order of the files; each must be in only one of them."""
    merged = State(
        *(tuple(entry for state in states for entry in getattr(state, kind)) for kind in _KINDS)
    )
    for kind, word in _KINDS.items():
        places: dict[object, str] = {}
        for entry in getattr(merged, kind):
            name = entry[0]
            if name in places:
                what = f"{word} {escape(str(name))}"
                message = f"{what} is in {places[name]} and in {entry.at}"
                raise _fault(message, "Remove one of them.")
            places[name] = entry.at
    check(merged)
    return merged


def check(state: State) -> None:
    """Refuse what cannot be on one machine. Raises `config`."""
    _check_volumes(state)
    _check_images(state)
    _check_sources(state.caches)
    _check_addresses(state)
    _check_identity(state)


def _check_volumes(state: State) -> None:
    users: dict[str, CacheState] = {}
    for cache in state.caches:
        other = users.setdefault(cache.volume, cache)
        if other is not cache:
            raise _clash(cache.at, f"volume {cache.volume}", f"cache {cache.name}", other)
    for export in state.exports:
        if export.device in users:
            user = f"export {escape(export.nqn)}"
            raise _clash(export.at, f"volume {export.device}", user, users[export.device])


def _check_images(state: State) -> None:
    caches = {cache.volume: cache for cache in state.caches}
    users: dict[str, VolumeState] = {}
    for volume in state.volumes:
        if volume.image is None:
            continue
        from rdctl.effects.images import SUFFIX

        if volume.name in caches:
            cache = caches[volume.name]
            what = f"volume {volume.name} has an image, but is in use by cache {cache.name}"
            raise _fault(f"{volume.at}: {what} ({cache.at})", "Remove one of them.")
        for path in (volume.image, volume.image + SUFFIX):
            other = users.setdefault(path, volume)
            if other is not volume:
                kind = "image" if other.image == volume.image else "file"
                what = f'{kind} "{escape(path)}" is used by both {other.name} and {volume.name}'
                raise _fault(f"{volume.at}: {what} ({other.at})", "Each volume needs its own.")


def _check_sources(caches: Sequence[CacheState]) -> None:
    users: dict[str, CacheState] = {}
    for cache in caches:
        other = users.setdefault(cache.source, cache)
        if other is not cache:
            source = f"source {escape(cache.source)}"
            raise _clash(cache.at, source, f"cache {cache.name}", other)
    below = {cache.name: cache for cache in caches}
    for cache in caches:
        if cache.name in _sources_of(cache, below):
            message = f"{cache.at}: cache {cache.name} is below its own source"
            raise _fault(message, "Name the disk below it as the source.")


def _sources_of(cache: CacheState, below: dict[str, CacheState]) -> Iterator[str]:
    """The caches that a cache lies on, as far as they differ."""
    seen: set[str] = set()
    while cache.source.startswith(_MAPPER):
        name = cache.source[len(_MAPPER) :]
        if name in seen or name not in below:
            return
        seen.add(name)
        yield name
        cache = below[name]


def _check_addresses(state: State) -> None:
    users: dict[tuple[Any, ...], Any] = {}
    for port in state.ports:
        if port.transport == "loop":
            continue
        address = (port.transport, port.address, port.interface, port.service)
        other = users.setdefault(address, port)
        if other is not port:
            message = f"{port.at}: port {port.number} has the address of port {other.number}"
            raise _fault(f"{message} ({other.at})", "Use another address or service.")


def _check_identity(state: State) -> None:
    """Clients would take two disks for one."""
    for key in ("uuid", "nguid"):
        users: dict[str, ExportState] = {}
        for export in state.exports:
            value = getattr(export, key)
            other = users.setdefault(value, export) if value is not None else export
            if other is not export:
                what = (
                    f"{key} {value} of export {escape(export.nqn)} is that of {escape(other.nqn)}"
                )
                raise _fault(f"{export.at}: {what} ({other.at})", "Each disk needs its own.")


def _clash(at: str, what: str, user: str, other: CacheState) -> RdctlError:
    message = f"{at}: {what} of {user} is in use by cache {other.name} ({other.at})"
    return _fault(message, "Remove one of them.")


def _fault(message: str, hint: str) -> RdctlError:
    return RdctlError(Code.CONFIG, message, hint=hint)
