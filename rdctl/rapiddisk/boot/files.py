"""The files that restoring at boot needs, as they would be written now and as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rdctl.rapiddisk.boot import units
from rdctl.rapiddisk.kernel.host import Host
from rdctl.rapiddisk.state.model import CacheState, State

UP_TO_DATE, OUTDATED, MISSING = "up to date", "outdated", "missing"
EDITED, NOT_NEEDED = "edited by hand", "not needed"

_ETC = "/etc/systemd/system"
_PACKAGED = ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
UNITS = (units.CACHES, units.IMAGES, units.EXPORTS)
TARGETS = tuple(f"{name}.target" for name in ("reboot", "poweroff", "halt", "kexec"))
_LIMITS = {target: f"{_ETC}/{target}.d/rdctl.conf" for target in TARGETS}
_LOAD, _OPTIONS = "/etc/modules-load.d/rdctl.conf", "/etc/modprobe.d/rdctl.conf"
_IMAGES = f"{_ETC}/{units.IMAGES}.d/rdctl.conf"
PATHS = (*(f"{_ETC}/{unit}" for unit in UNITS), *_LIMITS.values(), _IMAGES, _LOAD, _OPTIONS)

# What systemd gives a shutdown.
_LEAST_SECONDS = 30 * 60
_LEAST_IMAGE_SECONDS = 5 * 60
# Bytes per second of a disk that has not moved anything yet.
ASSUMED_SPEED = 50_000_000

Speed = Callable[[str], int | None]


class BootFile(NamedTuple):
    """`text` is what would be written now, None if nothing; `there` is what it has."""

    path: str
    text: str | None
    there: str | None

    @property
    def state(self) -> str:
        if self.there is not None and not units.is_untouched(self.there):
            return EDITED
        if self.text == self.there:
            return UP_TO_DATE
        if self.there is None:
            return MISSING
        return NOT_NEEDED if self.text is None else OUTDATED


def boot_files(
    host: Host, state: State | None, program: Sequence[str], speed: Speed
) -> list[BootFile]:
    """All that are needed or exist; without a state those that do not depend on it. `speed` is that
    of a source, in bytes per second."""
    found = [*_unit_files(host, program)]
    if state is not None:
        found += _limits(host, state, speed)
        found += _of_images(host, state)
        found += _of_modules(host, state)
    return [
        file
        for file in found
        # Another file in a place where rdctl needs none is not rdctl's.
        if file.text is not None or (file.there is not None and units.is_ours(file.there))
    ]


def _unit_files(host: Host, program: Sequence[str]) -> Iterator[BootFile]:
    """None is needed for a unit that a package has installed with the same text."""
    for name, text in units.units(program).items():
        path = f"{_ETC}/{name}"
        packaged = _first(host, name, _PACKAGED) == text
        yield BootFile(path, None if packaged else text, host.text(path))


def _limits(host: Host, state: State, speed: Speed) -> Iterator[BootFile]:
    """They only ever raise a limit. A target that systemd does not limit gets none here either:
    without an action of its own, the machine would stay up in parts."""
    capacity = stop_limit(state, speed)
    for target, path in _LIMITS.items():
        there = host.text(path)
        limit = units.limit_of(_first(host, target, (_ETC, *_PACKAGED)) or "")
        needed = max(capacity, limit)
        text = units.stop_limit(needed) if limit else None
        # The speeds that were measured vary: a limit that is long enough stays.
        if text and there and units.is_untouched(there) and units.limit_of(there) >= needed:
            text = there
        yield BootFile(path, text, there)


def stop_limit(state: State, speed: Speed) -> int:
    """Twice the seconds for saving all images and for writing back all write-back caches when they
    are full, rounded up."""
    sizes = {volume.name: volume.size for volume in state.volumes}

    def seconds(cache: CacheState) -> float:
        size = min(sizes.get(cache.volume, cache.source_size), cache.source_size)
        return size / (speed(cache.source) or ASSUMED_SPEED)

    return _doubled(_LEAST_SECONDS, sum(map(seconds, _writeback(state))) + _image_seconds(state))


def _image_seconds(state: State) -> float:
    """For all images, when their volumes are full."""
    return sum(volume.size for volume in state.volumes if volume.image) / ASSUMED_SPEED


def _doubled(limit: int, seconds: float) -> int:
    """At least twice the seconds: the limit times a power of two, so that it seldom changes."""
    while limit < 2 * seconds:
        limit *= 2
    return limit


def _of_images(host: Host, state: State) -> Iterator[BootFile]:
    # Both what has a link in the path, and what it leads to.
    named = [volume.image for volume in state.volumes if volume.image]
    paths = dict.fromkeys(one for path in named for one in (path, host.real(path)))
    seconds = _doubled(_LEAST_IMAGE_SECONDS, _image_seconds(state))
    yield BootFile(_IMAGES, units.of_images(paths, seconds) if paths else None, host.text(_IMAGES))


def _of_modules(host: Host, state: State) -> Iterator[BootFile]:
    parameters = {module.name: module.value for module in state.modules}
    yield BootFile(_LOAD, units.modules_load(_modules(state)), host.text(_LOAD))
    text = units.module_options(parameters) if parameters else None
    yield BootFile(_OPTIONS, text, host.text(_OPTIONS))


def _modules(state: State) -> Iterator[str]:
    yield "rapiddisk"
    if len(_writeback(state)) < len(state.caches):
        yield "rapiddisk-cache"
    if _writeback(state):
        yield "dm-writecache"
    if state.ports or state.exports:
        yield "nvmet"
    for transport in dict.fromkeys(port.transport for port in state.ports):
        yield "nvme-loop" if transport == "loop" else f"nvmet-{transport}"


def _writeback(state: State) -> list[CacheState]:
    return [cache for cache in state.caches if cache.policy == "writeback"]


def _first(host: Host, name: str, directories: Sequence[str]) -> str | None:
    """The unit file that systemd takes."""
    texts = (host.text(f"{directory}/{name}") for directory in directories)
    return next((text for text in texts if text is not None), None)
