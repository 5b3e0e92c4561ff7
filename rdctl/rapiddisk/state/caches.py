"""The steps for caches: they are created, or adopted if their record proves where they belong.
Nothing is erased but what an interrupted apply left of its own."""

from __future__ import annotations

import re
from functools import partial
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import between
from rdctl.core.units import human_size, operand, quoted
from rdctl.rapiddisk.caches import age_by_default, writeback_loss
from rdctl.rapiddisk.changes import data_of
from rdctl.rapiddisk.guards import blocks
from rdctl.rapiddisk.images import Images
from rdctl.rapiddisk.model import Device, NewCache, Superblock, Volume
from rdctl.rapiddisk.state.model import CacheState
from rdctl.rapiddisk.state.plan import Refusal, Stage, Step, Work
from rdctl.rapiddisk.state.values import size_text

# Links to whatever shows these contents: a cache, once it exists, instead of its source.
_BY_CONTENTS = re.compile(r"/dev/disk/by-(uuid|label)/")
# Names that tell which device it is, whatever the kernel calls it.
_IDENTIFYING = re.compile(r"/dev/(disk/by-(id|path|partuuid|partlabel)|mapper)/")
_MAPPER = "/dev/mapper/"
PAGE = 4096


class _Found(NamedTuple):
    """A cache of the file with its devices. `is_new`: its volume is created first; `left`: what a
    former write-back cache left in it; `remains`: that is all of an interrupted creation."""

    wanted: CacheState
    volume: Volume
    source: Device
    is_new: bool
    left: Superblock | None = None
    remains: bool = False


def plan(work: Work) -> list[Step | Refusal]:
    found: list[Step | Refusal] = []
    for wanted in _lower_first(work.comparison.wanted.caches):
        with work.refusing("cache", wanted.name, found, wanted.at):
            differing = list(work.comparison.cache(wanted))
            if not differing:
                found += _armed(work, wanted)
            elif wanted.name in work.comparison.there.caches:
                raise _different(wanted, ", ".join(str(one.key) for one in differing))
            else:
                found += _steps(work, wanted)
    return found


def _lower_first(caches: tuple[CacheState, ...]) -> list[CacheState]:
    """Each after the caches below it."""
    names = {cache.name for cache in caches}
    ordered: list[CacheState] = []

    def add(cache: CacheState) -> None:
        below = cache.source.removeprefix(_MAPPER)
        if below in names:
            names.discard(cache.name)  # a circle ends here, and is refused later
            add(next(other for other in caches if other.name == below))
        if cache not in ordered:
            ordered.append(cache)

    for cache in caches:
        add(cache)
    return ordered


def _different(wanted: CacheState, keys: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{wanted.name} differs from the file in {keys}, which cannot be changed in place",
        hint=f"Change the file, or remove the cache first: rdctl rapiddisk cache remove"
        f" {quoted(wanted.name)}",
    )


def _armed(work: Work, wanted: CacheState) -> list[Step]:
    """A write-back cache whose creation was interrupted before it was set to write back."""
    if not work.backend.is_unarmed(work.comparison.there.caches[wanted.name]):
        return []
    arm = partial(work.backend.arm, work.comparison.there.caches[wanted.name])
    words = f"set cache {wanted.name} to write back before it is removed"
    past = "{} is set to write back before it is removed"
    return [Step(Stage.CACHE, "cache", wanted.name, words, arm, "arm", past=past)]


def _steps(work: Work, wanted: CacheState) -> list[Step]:
    found = _devices(work, wanted)
    loss = implied = None
    words = f"cache {wanted.source} with {wanted.volume} as {wanted.name} ({wanted.policy})"
    if found.left is not None and not found.remains:
        words = f"adopt cache {wanted.name}: {wanted.volume} over {wanted.source}"
        loss = f"{wanted.source}: {blocks(found.left)} of {wanted.volume} will be written to it"
    elif wanted.policy == "writeback":
        loss = writeback_loss(wanted.source)
        implied = _IDENTIFYING.match(wanted.source) is not None
    step = Step(
        Stage.CACHE,
        "cache",
        wanted.name,
        words,
        lambda: _map(work, found, loss),
        "create",
        between(None, data_of(wanted, "volume", "source", "policy")),
        loss=loss,
        implied=bool(implied),
        makes=True,
    )
    return [step]


def _devices(work: Work, wanted: CacheState) -> _Found:
    """The devices of a new cache, guarded."""
    facts, there = work.facts, work.comparison.there
    if _BY_CONTENTS.match(wanted.source):
        raise RdctlError(
            Code.CONFLICT,
            f"source {wanted.source} names a file system, which the cache itself shows as soon as"
            " it exists",
            hint="Use a name of the disk, from /dev/disk/by-id.",
        )
    # An interrupted creation left it without a table in use: it holds nothing, and is replaced.
    but = {*work.users_going}
    if wanted.name in there.unfinished:
        but.add(("cache", wanted.name))
    volume = there.volumes.get(wanted.volume)
    is_new = volume is None
    if volume is None:
        volume = _new_volume(work, wanted)
    source = _source(work, wanted)
    if source.number is not None:
        facts.guard_source(source, but=but, adopted=wanted.volume)
        _guard_size(work, wanted, source)
        work.backend.check_cache(volume, source, wanted.policy)
    found = _Found(wanted, volume, source, is_new)
    if is_new:
        return found
    facts.guard(volume, but=but)
    return _with_contents(work, found)


def _new_volume(work: Work, wanted: CacheState) -> Volume:
    planned = {volume.name: volume for volume in work.comparison.wanted.volumes}
    work.check_planned("volume", wanted.volume, planned)
    return Volume(wanted.volume, planned[wanted.volume].size, 0, False)


def _source(work: Work, wanted: CacheState) -> Device:
    """The device to cache. One that is a cache of the file itself may be created first, and has no
    number yet."""
    volume = wanted.source.removeprefix("/dev/")
    volumes = [one.name for one in work.comparison.wanted.volumes]
    if volume in volumes and volume not in work.comparison.there.volumes:
        work.check_planned("volume", volume, volumes)
        return Device(volume, None, volume)
    below = wanted.source.removeprefix(_MAPPER)
    planned = {cache.name for cache in work.comparison.wanted.caches}
    if below != wanted.source and below in planned - {wanted.name}:
        if below not in work.comparison.there.caches:
            work.check_planned("cache", below, planned)
            _guard_stack(work, wanted, below)
            return Device(below, None, below)
    return work.backend.source(wanted.source)


def _guard_stack(work: Work, wanted: CacheState, below: str) -> None:
    """A write-back cache has blocks of 4 KiB, of which only another one can be on top."""
    lower = next(cache for cache in work.comparison.wanted.caches if cache.name == below)
    if lower.policy == "writeback" and wanted.policy != "writeback":
        raise RdctlError(
            Code.CONFLICT,
            f"cannot cache {wanted.source} with policy {wanted.policy}: a writeback cache has"
            f" logical blocks of {PAGE} bytes, which only another one supports",
        )


def _guard_size(work: Work, wanted: CacheState, source: Device) -> None:
    size = work.backend.size_of(source.kernel) or 0
    if wanted.source_size not in (0, size):
        raise RdctlError(
            Code.CONFLICT,
            f'{wanted.source} has a size of "{size_text(size)}", but'
            f' "{size_text(wanted.source_size)}" in the file: it may be another disk',
            hint=f"If it is the right one, change source_size of {wanted.name} in the file.",
        )


def _with_contents(work: Work, found: _Found) -> _Found:
    """What may be done with the contents of an existing volume; raises if they would be lost."""
    volume, source, wanted = found.volume, found.source, found.wanted
    name = volume.device
    cleared = any(
        cache.policy == "writeback"
        and cache.volume == name
        and ("cache", cache.device) in work.going
        for cache in work.facts.inventory.caches
    )
    if cleared or (volume.usage == 0 and work.backend.is_empty_behind(name, 0) is not False):
        return found
    left = work.backend.superblock(name)
    if left is not None and wanted.policy == "writeback" and source.number is not None:
        if work.backend.is_source_of(name, source):
            if not left.blocks:
                return found._replace(left=left, remains=True)
            work.backend.check_adoption(volume, source, left)
            return found._replace(left=left)
    work.facts.guard_contents(volume, may_go=False)
    raise RdctlError(
        Code.NOT_EMPTY,
        f"{name} holds {human_size(volume.usage)} of data, which a cache overwrites"
        if volume.usage
        else f"{name} holds data, which a cache overwrites",
        hint=_erasing(work, name),
    )


def _erasing(work: Work, volume: str) -> str:
    """A cache must be removed before its volume can be erased, which apply does not do."""
    there = work.comparison.there.caches.values()
    caches = [cache.device for cache in there if cache.volume == volume]
    removal = f"rdctl rapiddisk cache remove {operand(caches[0])}; " if caches else ""
    return f"If they are not needed, erase them: {removal}rdctl rapiddisk flush {volume}"


def _map(work: Work, found: _Found, loss: str | None) -> None:
    wanted, volume = found.wanted, found.wanted.volume
    if wanted.name in work.comparison.there.unfinished:
        work.backend.unmap(wanted.name, "")
    source = found.source
    if source.number is None and not work.effects.dry_run:
        source = work.backend.source(wanted.source)
        _guard_size(work, wanted, source)
        work.backend.check_cache(found.volume, source, wanted.policy)
    if found.remains:
        with Images(work.backend).erasing(volume):
            work.backend.erase(volume, loss or volume)
    adopts = found.left is not None and not found.remains
    new = NewCache(
        volume,
        source,
        wanted.policy,
        wanted.name,
        found.left.block_size if found.left is not None and adopts else PAGE,
        age_by_default(work.backend, wanted.policy, wanted.max_age) or None,
        adopts,
    )
    with work.claim([volume, source.kernel]):
        work.backend.map(new, loss)
