"""Caches: volumes in front of slower disks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Listing, Report, between
from rdctl.core.units import human_size, operand, quoted
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.changes import (
    Changes,
    data_of,
    distinct,
    find,
    found,
    shown,
    unproven,
    unseen,
)
from rdctl.rapiddisk.counters import stats_row
from rdctl.rapiddisk.guards import Facts, Overrides, blocks, unreported, upper_first
from rdctl.rapiddisk.model import (
    Cache,
    Device,
    Inventory,
    NewCache,
    Superblock,
    Volume,
)
from rdctl.rapiddisk.names import PREFIXES, cache_name, is_cache_name, volume_name

# Seconds after which a write-back cache writes a block back, where the kernel can do that.
_MAX_AGE = 300


class Caches(Changes):
    # --- looking ------------------------------------------------------------------------------

    def list(self, names: Sequence[str] | None = None) -> Listing:
        """All caches, or those of these names; an unknown name is an error."""
        named = distinct(cache_name(name) for name in names or ())
        caches = self._backend.inventory(strict=False).caches
        if names is not None:
            caches = [find(caches, name, "cache") for name in named]
        known = any(cache.dirty is not None for cache in caches)
        return Listing(caches, also=("dirty", "writeback_seconds") if known else ())

    def show(self, names: Sequence[str], keys: Sequence[str]) -> Listing:
        """Caches at length, with these keys."""
        names = [cache_name(name) for name in names]
        caches = self._backend.inventory(strict=False).caches
        return shown(names, lambda name: [find(caches, name, "cache")], keys)

    def stats(self, names: Sequence[str] | None, keys: Sequence[str]) -> Listing:
        """The counters of all caches, or of those with these names, as rows with these keys. One
        that disappears meanwhile is left out, unless it was named."""
        named = distinct(cache_name(name) for name in names or ())
        caches = self._backend.inventory(strict=False).caches
        if names is None:
            # Any mapping called rc... is listed; an invalid cache name is never sent.
            caches = [cache for cache in caches if is_cache_name(cache.device)]
        else:
            caches = [find(caches, name, "cache") for name in named]

        return Listing(self.counted(caches, keys, named=names is not None))

    def counted(
        self, caches: Sequence[Cache], keys: Sequence[str], *, named: bool
    ) -> Iterator[dict[str, Any]]:
        """The rows of `stats` for caches of a listing, whose names are valid."""
        for cache in caches:
            try:
                counters = self._backend.counters(cache.device)
            except RdctlError as error:
                if named or error.code is not Code.NOT_FOUND:
                    raise
                if cache in self._backend.inventory().caches:
                    raise
                continue
            yield stats_row(counters, cache.policy, keys)

    # --- making -------------------------------------------------------------------------------

    def create(
        self,
        volume_text: str,
        source_text: str,
        policy: str,
        overrides: Overrides,
        *,
        name: str | None = None,
        max_age: int | None = None,
    ) -> Report:
        """Cache a source with a volume; `max_age` is in seconds, for write-back caches; with 0 they
        do not write back by age."""
        volume_text = volume_name(volume_text)
        self._backend.permit()
        source = self._backend.source(source_text)
        device = self._name_of(name, policy, source)
        age = self._age(policy, max_age)
        facts = self._facts([volume_text, source.kernel], overrides)
        volume = find(facts.inventory.volumes, volume_text, "volume")
        _guard_itself(volume, source)
        already = self._already(facts, volume.device, source, policy, name, source_text)
        if already is not None:
            return Report([self._completed(find(facts.inventory.caches, already, "cache"))])
        # Known users are reported before unknown ones.
        facts.guard_users(source.kernel, source.name)
        facts.guard(volume)
        facts.guard_source(source)
        _guard_name(facts.inventory.caches, device)
        self._backend.check_cache(volume, source, policy)
        contents = self._losses_of_contents(facts, volume, overrides)
        losses = list(contents)
        if policy == "writeback":
            losses.append(writeback_loss(source.name))
        self._consent(losses, facts)
        loss = "; ".join(losses) or None

        def again(facts: Facts) -> None:
            now = find(facts.inventory.volumes, volume.device, "volume")
            facts.guard(now)
            facts.guard_source(source)
            if self._losses_of_contents(facts, now, overrides) != contents:
                raise RdctlError(
                    Code.CONFLICT,
                    f"the contents of {now.device} changed meanwhile; nothing was done",
                    hint="Check the volume, then try again: rdctl rapiddisk list",
                    target=now.device,
                )

        def act() -> None:
            if contents:
                self._erase(volume.device, loss or volume.device)
            try:
                new = NewCache(volume.device, source, policy, device, max_age=age)
                self._backend.map(new, loss)
            except RdctlError as error:
                if contents:
                    error.message += f"; {volume.device} had already been erased"
                raise

        self._effects.foretell([f"create {device}"])
        return self._map(volume.device, source, policy, device, overrides, again, act)

    def _name_of(self, name: str | None, policy: str, source: Device) -> str:
        """The name of the new cache: the given one, which must be valid, or that of its source."""
        if name is None:
            return cache_name(PREFIXES[policy] + source.name.rsplit("/", 1)[-1])
        self._backend.here("--name")
        cache_name(name)
        if not name.startswith(PREFIXES[policy]):
            raise RdctlError(
                Code.USAGE,
                f'invalid name "{name}" for a {policy} cache: must begin with {PREFIXES[policy]}',
                target=name,
            )
        return name

    def _age(self, policy: str, seconds: int | None) -> int | None:
        """When blocks are written back at the latest, if the kernel supports that."""
        if policy != "writeback" and seconds is not None:
            raise RdctlError(Code.USAGE, "--max-age requires --policy writeback")
        return age_by_default(self._backend, policy, seconds) or None

    def _already(
        self,
        facts: Facts,
        volume: str,
        source: Device,
        policy: str,
        name: str | None,
        typed: str,
    ) -> str | None:
        """The requested cache, if it exists. A link to a file system resolves to the cache itself
        as soon as the cache shows that file system; its former device is meant."""
        by_contents = self._backend.led_by_contents(typed)
        for cache in facts.inventory.caches:
            itself = by_contents and cache.key == source.kernel
            over = cache.volume == volume and cache.policy == policy
            if over and (itself or cache.of(source.kernel)) and name in (None, cache.device):
                return cache.device
            if itself:
                raise RdctlError(
                    Code.CONFLICT,
                    f"{typed} leads to the cache {cache.device} itself",
                    hint=f"To cache the cache, use {quoted(f'/dev/mapper/{cache.device}')};"
                    " to cache its source differently, remove the cache first:"
                    f" rdctl rapiddisk cache remove {operand(cache.device)}",
                    target=typed,
                )
        return None

    def _completed(self, cache: Cache) -> Change:
        """One that exists. If its creation was interrupted, it is set to write back."""
        if not self._backend.reports_all or not self._backend.is_unarmed(cache):
            return _unchanged(cache)
        words = f"set cache {cache.device} to write back before it is removed"
        self._effects.foretell([words])
        with self._backend.claim([]):
            self._backend.arm(cache)
        done = None if self._effects.dry_run else True
        past = "{} is set to write back before it is removed"
        return Change("create", cache.device, done, done, past=past)

    def _losses_of_contents(
        self, facts: Facts, volume: Volume, overrides: Overrides
    ) -> Sequence[str]:
        """What is lost of a volume that becomes a cache; raises without consent to that."""
        name = volume.device
        facts.guard_contents(volume)
        if volume.usage is None and not (overrides.discard or overrides.force):
            raise unreported(name, "whether it holds data")
        # A refused erase sets the usage to 0 and keeps the data.
        if volume.usage == 0 and self._backend.is_empty_behind(name, 0) is not False:
            return []
        if volume.usage is not None and not overrides.discard:
            former = self._backend.superblock(name)
            if former is None:
                much = human_size(volume.usage) + " of data" if volume.usage else "data"
                raise RdctlError(
                    Code.NOT_EMPTY,
                    f"{name} holds {much}, which a cache overwrites",
                    hint=f"Use --discard-contents, or erase it first: rdctl rapiddisk flush {name}",
                    target=name,
                )
        lost = facts.only_copies([volume])
        return [*lost, f"volume {name}: all data on it will be erased"]

    def _map(
        self,
        volume: str,
        source: Device,
        policy: str,
        device: str,
        overrides: Overrides,
        again: Callable[[Facts], None],
        act: Callable[[], None],
        first: Callable[[], None] | None = None,
    ) -> Report:
        """Check `again` when nothing can intervene, `act`, and verify that the cache exists. What
        keeps the devices from being claimed is done `first`."""
        with self._backend.claim([]) as alone:
            if alone:
                again(self._facts([volume, source.kernel], overrides))
            try:
                if first is not None:
                    first()
                # In a dry run nothing was done first, so the devices are still in use.
                held = first is None or not self._effects.dry_run
                with self._backend.claim([volume, source.kernel] if held else []):
                    act()
            except RdctlError as error:
                error.target = error.target or device
                return Report([Failure("create", error)])

        def is_there() -> bool:
            caches = self._backend.inventory().caches
            return any(c.device == device and c.volume in (volume, None) for c in caches)

        missing = unproven(device, "it is not listed")
        try:
            made = {"volume": volume, "source": source.name, "policy": policy}
            return self._proven("create", device, is_there, missing, between(None, made))
        except RdctlError as error:
            return Report([Failure("create", unseen(device, error))])

    def adopt(
        self,
        volume_text: str,
        source_text: str | None,
        overrides: Overrides,
        *,
        name: str | None = None,
        max_age: int | None = None,
    ) -> Report:
        """Map a former write-back cache over its source again, without formatting it: its unwritten
        blocks are then written back."""
        volume_text = volume_name(volume_text)
        self._backend.here("--adopt")
        self._backend.permit()
        find(self._backend.inventory().volumes, volume_text, "volume")
        left = self._backend.superblock(volume_text)
        source = self._backend.source(source_text or self._recorded(volume_text))
        device = self._name_of(name, "writeback", source)
        age = self._age("writeback", max_age)
        facts = self._facts([volume_text, source.kernel], overrides)
        volume = find(facts.inventory.volumes, volume_text, "volume")
        mapped = [cache for cache in facts.inventory.caches if cache.volume == volume.device]
        failed = next((c for c in mapped if self._backend.failure(c) is not None), None)
        for cache in mapped:
            itself = cache.key == source.kernel and source_text is not None
            if cache is not failed and (cache.of(source.kernel) or itself):
                return Report([_unchanged(cache)])
        left = _to_adopt(volume.device, left)
        self._guard_adoption(facts, volume, source, left, failed)
        _guard_name([cache for cache in facts.inventory.caches if cache is not failed], device)
        loss = f"{source.name}: {blocks(left)} of {volume.device} will be written to it"
        if not self._backend.is_source_of(volume.device, source):
            loss = (
                f"{source.name}: {blocks(left)} of {volume.device} will be written to it; rdctl"
                " cannot verify that they belong there"
            )
            recorded = self._backend.source_recorded(volume.device)
            loss += f": the recorded source is {recorded}" if recorded else ""
        self._consent([loss], facts)

        def again(facts: Facts) -> None:
            volume = find(facts.inventory.volumes, volume_text, "volume")
            self._guard_adoption(facts, volume, source, left, failed)

        def drop() -> None:
            if failed is not None:
                self._backend.drop(failed, loss)

        def act() -> None:
            new = NewCache(volume.device, source, "writeback", device, left.block_size, age, True)
            self._backend.map(new, loss)

        return self._map(
            volume.device,
            source,
            "writeback",
            device,
            overrides,
            again,
            act,
            drop if failed else None,
        )

    def _recorded(self, volume: str) -> str:
        """The source that was recorded when the cache was created."""
        recorded = self._backend.source_recorded(volume)
        if recorded is None:
            raise RdctlError(
                Code.USAGE,
                f"missing argument SOURCE: no source is recorded for {volume}",
                hint=f"Specify it: rdctl rapiddisk cache create {volume} SOURCE --adopt",
                target=volume,
            )
        return recorded

    def _guard_adoption(
        self,
        facts: Facts,
        volume: Volume,
        source: Device,
        left: Superblock,
        failed: Cache | None,
    ) -> None:
        but = () if failed is None else {("cache", failed.device)}
        facts.guard(volume, but=but)
        facts.guard_source(source, but=but, adopted=volume.device)
        _guard_itself(volume, source)
        self._backend.check_adoption(volume, source, left)

    # --- removing, writing back ---------------------------------------------------------------

    def remove(self, names: Sequence[str], overrides: Overrides) -> Report:
        """Remove caches from their sources, stacked ones first; a write-back cache is written back
        before that."""
        names = distinct(map(cache_name, names))
        self._backend.permit()
        facts = self._facts([], overrides)
        caches, outcomes = found(facts.inventory.caches, names, "cache", "remove")
        losses: dict[str, str] = {}
        for cache in upper_first(caches):
            try:
                facts.guard_cache(cache, {("cache", name) for name in losses})
                losses[cache.device] = removal_loss(cache)
            except RdctlError as error:
                outcomes.append(Failure("remove", error))
        self._consent(list(losses.values()), facts)

        gone_from = {cache.device: between(cache_data(cache), None) for cache in caches}

        def judged(device: str, after: Inventory) -> Change | Failure:
            if any(cache.device == device for cache in after.caches):
                return Failure("remove", unproven(device, "it is still listed"))
            return Change("remove", device, True, True, gone_from[device])

        with self._backend.claim([]) as alone:
            fresh = self._facts([], overrides) if alone and losses else facts
            gone: list[str] = []

            def act(device: str) -> None:
                cache = find(fresh.inventory.caches, device, "cache")
                fresh.guard_cache(cache, {("cache", name) for name in gone})
                self._backend.unmap(device, losses[device])
                gone.append(device)

            return self._in_turn("remove", list(losses), act, judged, outcomes, names, gone_from)

    def sync(self, names: Sequence[str]) -> Report:
        """Write back the blocks of write-back caches, which stay in place."""
        self._backend.here("cache sync")
        names = distinct(map(cache_name, names))
        self._backend.permit()
        caches, outcomes = found(self._backend.inventory().caches, names, "cache", "sync")
        todo = {cache.device: cache for cache in caches}

        def act(device: str) -> Change:
            return self._synced(todo[device])

        return self._in_turn("sync", list(todo), act, None, outcomes, names)

    def _synced(self, cache: Cache) -> Change:
        """Only a write-back cache ever holds data that its source lacks."""
        if cache.policy != "writeback":
            return Change("sync", cache.device, False, True, past="{} has no dirty blocks")
        left = self._backend.sync(cache.device)
        if left is None:
            return Change("sync", cache.device, None, None)
        if left:
            raise RdctlError(
                Code.FAILED,
                f"{cache.device}: {left} {'block is' if left == 1 else 'blocks are'} still not"
                " written back",
                hint="Something may be writing to it. Try again:"
                f" rdctl rapiddisk cache sync {operand(cache.device)}",
                target=cache.device,
                dirty=left,
            )
        return Change("sync", cache.device, True, True, {"dirty": 0})


def cache_data(cache: Cache) -> dict[str, Any]:
    return data_of(cache, "volume", "source", "policy")


def _unchanged(cache: Cache) -> Change:
    return Change(
        "create", cache.device, False, True, between(cache_data(cache), cache_data(cache))
    )


def _guard_itself(volume: Volume, source: Device) -> None:
    if source.kernel == volume.device:
        raise RdctlError(
            Code.CONFLICT, f"{volume.device} cannot cache itself", target=volume.device
        )


def _guard_name(caches: Sequence[Cache], device: str) -> None:
    """Raise when another cache has the name, such as one over another source of the same name."""
    for cache in caches:
        if cache.device == device:
            over = f", over {cache.source}" if cache.source else ""
            raise RdctlError(
                Code.EXISTS,
                f"{device} already exists{over}",
                hint=f"Choose another name: --name {device}-2; or remove it first: rdctl rapiddisk"
                f" cache remove {device}",
                target=device,
            )


def _to_adopt(volume: str, left: Superblock | None) -> Superblock:
    if left is None or not left.blocks:
        raise RdctlError(
            Code.CONFLICT,
            f"{volume} holds no unwritten blocks to adopt",
            hint="List the volumes: rdctl rapiddisk list",
            target=volume,
        )
    return left


def age_by_default(backend: Backend, policy: str, seconds: int | None) -> int | None:
    """Seconds after which a write-back cache writes blocks back: these, or the default where the
    kernel supports it; None for other caches."""
    if policy != "writeback":
        return None
    if backend.ages:
        return _MAX_AGE if seconds is None else seconds
    if seconds:
        raise RdctlError(
            Code.UNSUPPORTED,
            "--max-age requires --local and Linux 5.8 or later",
        )
    return None


def writeback_loss(source: str) -> str:
    """What a write-back cache over this source risks."""
    return (
        f"{source}: new writes stay in RAM until they are written back; a crash or a power failure"
        " loses them"
    )


def removal_loss(cache: Cache) -> str:
    source = cache.source or "its source"
    if cache.policy == "writeback":
        return f"cache {cache.device} will be written back and removed; {source} will be uncached"
    return f"cache {cache.device} will be removed; {source} will be uncached"
