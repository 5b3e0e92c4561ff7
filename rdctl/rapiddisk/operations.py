"""The policy of RapidDisk, once for every backend: validate, guard, claim, act, confirm, report.

Neither the daemon nor the kernel protects a volume that is in use; this does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Failure, Item, Listing, Report
from rdctl.core.units import MIB, escape, guess, human_size, natural, operand, quoted
from rdctl.effects.door import Effects
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.guards import NO_OVERRIDES, Facts, Overrides, blocks, is_over, untold
from rdctl.rapiddisk.model import (
    OLDER_DAEMON,
    Cache,
    Device,
    Inventory,
    Superblock,
    Target,
    Volume,
    VolumeDetail,
    Writeback,
    misread,
    stats_row,
)
from rdctl.rapiddisk.names import PREFIXES, cache_name, is_cache_name, numbered, volume_name

if TYPE_CHECKING:
    from rdctl.rapiddisk.exports import Exports
    from rdctl.rapiddisk.kernel.surroundings import Surroundings
    from rdctl.workers import Workers

# Seconds after which a write-back cache writes a block back, where the kernel can do that.
_MAX_AGE = 300
_UNIT_STATES = {
    "start": ("active", True),
    "stop": ("active", False),
    "enable": ("enabled", True),
    "disable": ("enabled", False),
}

# Memory that is left to the machine when volumes may fill up.
_RESERVE = 0.05


class RapidDisk:
    """All that can be asked of one RapidDisk machine."""

    def __init__(
        self,
        backend: Backend,
        effects: Effects,
        aimed: Callable[[str], str],
        workers: Callable[[], Workers],
    ) -> None:
        """`aimed` makes the commands in a text lead here; `workers` gives those of the whole
        command, which who only looks does without."""
        self._backend = backend
        self._effects = effects
        self._aimed = aimed
        self._workers = workers

    # --- looking ------------------------------------------------------------------------------

    def status(self) -> Item:
        return Item(self._backend.status())

    def resources(self) -> Item:
        return Item(self._backend.resources())

    def surroundings(self) -> Surroundings:
        """What it depends on, on this machine."""
        return self._backend.surroundings()

    def server_time(self) -> float | None:
        """Seconds since 1970 by a remote daemon's clock; None where it is not told."""
        return self._backend.server_time()

    def volumes(self, names: Sequence[str] | None) -> Listing:
        """All volumes, or those of these names; an unknown name is an error."""
        wanted = _distinct(volume_name(name) for name in names or ())
        volumes = self._backend.inventory(strict=False).volumes
        if names is not None:
            volumes = [_find(volumes, name, "volume") for name in wanted]
        return Listing(volumes, also=("unwritten",) if any(v.unwritten for v in volumes) else ())

    def volume(self, name: str, warn: Callable[[str], None]) -> Item:
        """One volume with everybody who uses it; `warn` takes what could not be looked at."""
        name = volume_name(name)
        facts = self._facts([name])
        if facts.lost is not None and facts.lost.code is not Code.MODULE_MISSING:
            raise facts.lost
        for doubt in facts.doubts:
            warn(doubt)
        volume = _find(facts.inventory.volumes, name, "volume")
        users = [
            user._replace(freed_by=user.freed_by and self._aimed(user.freed_by))
            for user in facts.users(name)
        ]
        return Item(
            VolumeDetail(
                volume.device,
                volume.size,
                volume.usage,
                self._backend.high_water(name),
                volume.locked,
                volume.unwritten,
                users,
                facts.seen,
            )
        )

    def caches(self) -> Listing:
        caches = self._backend.inventory(strict=False).caches
        known = any(cache.dirty is not None for cache in caches)
        return Listing(caches, also=("dirty", "writeback_seconds") if known else ())

    def cache_stats(self, names: Sequence[str] | None, keys: list[str]) -> Listing:
        """The counters of all caches, or of those of these names, as rows with these keys. One that
        goes meanwhile is left out, unless it was named."""
        wanted = _distinct(cache_name(name) for name in names or ())
        caches = self._backend.inventory(strict=False).caches
        if names is None:
            # Any mapping called rc... is listed; what is no cache's name is not sent.
            caches = [cache for cache in caches if is_cache_name(cache.device)]
        else:
            caches = [_find(caches, name, "cache") for name in wanted]

        def rows() -> Iterator[dict[str, Any]]:
            for cache in caches:
                try:
                    counters = self._backend.counters(cache.device)
                except RdctlError as error:
                    if names is not None or error.code is not Code.NOT_FOUND:
                        raise
                    if cache in self._backend.inventory().caches:
                        raise
                    continue
                yield stats_row(counters, cache.policy, keys)

        return Listing(rows())

    @property
    def exports(self) -> Exports:
        """NVMe targets and ports."""
        from rdctl.rapiddisk.exports import Exports

        return Exports(self._backend, self._effects)

    # --- volumes ------------------------------------------------------------------------------

    def create(self, mib: int, count: int, number: int | None, overcommit: bool) -> Report:
        """`count` new volumes of `mib` MiB each, or the one of this number; what the backend says
        is checked against what is there afterwards."""
        self._backend.permit()
        if number is not None:
            self._backend.here("a volume's number is chosen")
        with self._backend.claim([]):
            return self._create(mib, count, number, overcommit)

    def _create(self, mib: int, count: int, number: int | None, overcommit: bool) -> Report:
        before = self._backend.inventory().volumes
        facts = {"size": mib * MIB}
        if number is not None and any(v[:2] == (numbered(number), mib * MIB) for v in before):
            return Report([Change("create", numbered(number), False, True, facts)])
        if not overcommit:
            self._guard_memory(before, mib * count * MIB, 0)
        made = f"{count} volumes" if count > 1 else "a volume"
        self._effects.foretell([f"create {made} of {human_size(mib * MIB)}"])
        with self._workers().held_signals(count > 1) as raise_signal:
            claims, failures = self._claims(mib, count, number)
            outcomes = self._created(before, claims, mib, number)
        return Report(_told([*outcomes, *failures], raise_signal))

    def _claims(
        self, mib: int, count: int, number: int | None
    ) -> tuple[list[str | None], list[Failure]]:
        """What the backend says that it made, and why it is less than was wanted."""
        from rdctl.workers import Stopped

        workers = self._workers()
        claims: list[str | None] = []
        if count > 1:
            workers.progress.begin(count, "volumes")
        try:
            for _ in range(count):
                workers.check()
                claims.append(self._backend.create(mib, number))
                workers.progress.advance()
        except Stopped:
            untried = count - len(claims)
            error = RdctlError(workers.ended_by, f"{workers.ended_by.word}; {untried} not begun")
            return claims, [Failure("create", error)]
        except RdctlError as error:
            untried = count - len(claims) - 1
            if untried:
                error.message += f"; {untried} more not tried"
            return claims, [Failure("create", error)]
        return claims, []

    def _created(
        self, before: Sequence[Volume], claims: Sequence[str | None], mib: int, number: int | None
    ) -> Sequence[Change | Failure]:
        facts = {"size": mib * MIB}
        if self._effects.dry_run:
            name = None if number is None else numbered(number)
            return [Change("create", name, None, None, facts) for _ in claims]
        if not claims:
            return []
        after = self._look_again()
        if isinstance(after, RdctlError):
            return [Failure("create", _unseen(claim, after)) for claim in claims]
        known = {volume.device for volume in before}
        new = [volume for volume in after.volumes if volume.device not in known]
        if wrong := misread(new):
            return [Failure("create", _made_instead(wrong[0])) for _ in claims]
        new = [volume for volume in new if volume.size in (None, mib * MIB)]
        return _matched(claims, new, facts)

    def resize(self, name: str, mib: int, overcommit: bool, overrides: Overrides) -> Report:
        """A new size; shrinking asks, since what lies beyond is cut off. Who uses a volume that
        grows is told, where the backend can do that."""
        name, size = volume_name(name), mib * MIB
        self._backend.permit()
        facts = self._facts([name], overrides)
        volume = _find(facts.inventory.volumes, name, "volume")
        if volume.size == size:
            return Report([Change("resize", name, False, True, {"size": size})])
        shrinks = volume.size is None or size < volume.size
        free = shrinks or not self._backend.grows_in_use
        facts.guard(volume, free=free)
        facts.guard_contents(volume)
        if not overcommit and (volume.size is None or size > volume.size):
            self._guard_memory(facts.inventory.volumes, size, volume.size or 0)
        losses = _lost_with(facts, [volume])
        if shrinks:
            self._guard_cut(name, size, overrides)
            was = _size_of(volume)
            losses.append(
                f"{name}: cut from {was} to {human_size(size)}; data beyond that end are lost"
            )
        self._consent(losses, facts)
        loss = "; ".join(losses) or None
        exports = [] if free else facts.exports_of(name)

        def act(name: str) -> None:
            if shrinks:
                self._guard_cut(name, size, overrides)
            self._backend.resize(name, mib, loss)
            for target in exports:
                self._revalidate(target)

        def confirmed(after: Volume | None) -> bool | None:
            return None if after is None or after.size is None else after.size == size

        told = {"revalidated": [target.nqn for target in exports]} if exports else {}
        return self._each(
            "resize",
            [volume],
            act,
            confirmed,
            {"size": size, **told},
            free=free,
            overrides=overrides,
        )

    def _guard_cut(self, name: str, size: int, overrides: Overrides) -> None:
        """Raise when something lies behind the new end. The kernel's counters are no proof that
        nothing does: a refused erase sets them to 0."""
        end = self._backend.high_water(name)
        if end is not None and size <= end:
            raise RdctlError(
                Code.CONFLICT,
                f"{name} was written to up to {human_size(end)}, and cannot be cut to"
                f" {human_size(size)}",
                hint=f"Erased, it can be: rdctl rapiddisk flush {operand(name)}",
                target=name,
            )
        if not overrides.discard and self._backend.is_empty_behind(name, size) is False:
            raise RdctlError(
                Code.NOT_EMPTY,
                f"{name} holds data beyond {human_size(size)}, which would be cut off",
                hint="To lose them: --discard-contents",
                target=name,
            )

    def _revalidate(self, target: Target) -> None:
        try:
            self._backend.revalidate(target.nqn, target.namespace or 0)
        except RdctlError as error:
            error.message = f"it has its new size, but its clients were not told: {error.message}"
            raise

    def flush(self, names: Sequence[str], overrides: Overrides) -> Report:
        """Erase volumes: all their data are gone, their sizes stay."""

        def confirmed(after: Volume | None) -> bool | None:
            return None if after is None or after.usage is None else after.usage == 0

        return self._destroy("flush", names, overrides, "ERASED", self._backend.erase, confirmed)

    def remove(self, names: Sequence[str], overrides: Overrides) -> Report:
        """Remove volumes with all their data."""
        return self._destroy(
            "remove",
            names,
            overrides,
            "removed",
            self._backend.remove,
            lambda after: after is None,
        )

    def set_lock(self, names: Sequence[str], locked: bool) -> Report:
        """Make volumes read-only, or writable again."""
        action = "lock" if locked else "unlock"
        names = _distinct(map(volume_name, names))
        self._backend.permit()
        inventory = self._backend.inventory()
        outcomes: list[Change | Failure] = []
        todo = []
        for volume, failure in _sorted_out(inventory.volumes, names, "volume", action):
            if failure is not None:
                outcomes.append(failure)
            elif volume is None:
                continue
            elif volume.locked == locked:
                outcomes.append(Change(action, volume.device, False, True))
            elif volume.locked is None and volume.usage is None:
                error = RdctlError(
                    Code.UNSUPPORTED,
                    f"{volume.device}: rapiddiskd before version 9 cannot lock volumes",
                    target=volume.device,
                )
                outcomes.append(Failure(action, error))
            else:
                todo.append(volume)

        def confirmed(after: Volume | None) -> bool | None:
            return None if after is None or after.locked is None else after.locked == locked

        return self._each(
            action,
            todo,
            lambda name: self._backend.set_lock(name, locked),
            confirmed,
            free=False,
            before=outcomes,
            names=names,
        )

    # --- caches -------------------------------------------------------------------------------

    def map_cache(
        self,
        volume_text: str,
        source_text: str,
        policy: str,
        overrides: Overrides,
        *,
        name: str | None = None,
        max_age: int | None = None,
    ) -> Report:
        """Let a volume cache a source; `max_age` is in seconds, of a write-back cache."""
        volume_text = volume_name(volume_text)
        self._backend.permit()
        source = self._backend.source(source_text)
        device = self._name_of(name, policy, source)
        writeback = Writeback(max_age=self._age(policy, max_age))
        facts = self._facts([volume_text, source.kernel], overrides)
        volume = _find(facts.inventory.volumes, volume_text, "volume")
        already = self._already(facts, volume.device, source, policy, name, source_text)
        if already is not None:
            return Report([Change("create", already, False, True)])
        if source.kernel == volume.device:
            raise RdctlError(
                Code.CONFLICT, f"{volume.device} cannot cache itself", target=volume.device
            )
        # Who is seen is named before what is not.
        facts.guard_users(source.kernel, source.name)
        facts.guard(volume)
        facts.guard_source(source)
        _guard_name(facts.inventory.caches, device)
        self._backend.check_cache(volume, source, policy)
        contents = self._losses_of_contents(facts, volume, overrides)
        erases, losses = bool(contents), list(contents)
        if policy == "writeback":
            losses.append(
                f"{source.name}: what is written to it stays in RAM until it is written back;"
                " a crash or a power failure loses that"
            )
        if losses:
            self._consent(losses, facts)
        loss = "; ".join(losses) or None

        def again(facts: Facts) -> None:
            now = _find(facts.inventory.volumes, volume.device, "volume")
            facts.guard(now)
            facts.guard_source(source)
            if self._losses_of_contents(facts, now, overrides) != contents:
                raise RdctlError(
                    Code.CONFLICT,
                    f"the contents of {now.device} changed meanwhile; nothing was done",
                    hint="Look again: rdctl rapiddisk list",
                    target=now.device,
                )

        def act() -> None:
            if erases:
                self._backend.erase(volume.device, loss or volume.device)
            try:
                self._backend.map(volume.device, source, policy, device, writeback, loss)
            except RdctlError as error:
                if erases:
                    error.message += f"; {volume.device} had already been erased"
                raise

        return self._map(volume.device, source, device, overrides, again, act)

    def _name_of(self, name: str | None, policy: str, source: Device) -> str:
        """The name of the new cache: the given one, which has to fit, or that of its source."""
        if name is None:
            return cache_name(PREFIXES[policy] + source.name.rsplit("/", 1)[-1])
        self._backend.here("a cache's name is chosen")
        cache_name(name)
        if not name.startswith(PREFIXES[policy]):
            raise RdctlError(
                Code.USAGE,
                f"invalid name '{name}' for a {policy} cache: it begins with {PREFIXES[policy]}",
                target=name,
            )
        return name

    def _age(self, policy: str, seconds: int | None) -> int | None:
        """When blocks are written back at the latest, where the kernel can do that."""
        if policy != "writeback":
            if seconds is not None:
                raise RdctlError(Code.USAGE, "--max-age is for writeback caches only")
            return None
        if self._backend.ages:
            return _MAX_AGE if seconds is None else seconds
        if seconds is not None:
            raise RdctlError(
                Code.UNSUPPORTED,
                "--max-age is not supported: it requires --local and Linux 5.8 or later",
            )
        return None

    def _already(
        self,
        facts: Facts,
        volume: str,
        source: Device,
        policy: str,
        name: str | None,
        typed: str,
    ) -> str | None:
        """The cache that is wanted, where it is there. A link to a file system leads to the cache
        itself as soon as that shows it; what it led to before is meant."""
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
                    hint=f"To cache the cache: {quoted(f'/dev/mapper/{cache.device}')};"
                    " to cache its source in another way:"
                    f" rdctl rapiddisk cache remove {operand(cache.device)}",
                    target=typed,
                )
        return None

    def _losses_of_contents(self, facts: Facts, volume: Volume, overrides: Overrides) -> list[str]:
        """What goes of a volume that becomes a cache; raises when that was not said."""
        name = volume.device
        facts.guard_contents(volume)
        if volume.usage is None and not (overrides.discard or overrides.force):
            raise untold(name, "whether it holds data")
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
                    hint=f"Erase it first: rdctl rapiddisk flush {name}; or use --discard-contents",
                    target=name,
                )
        lost = _lost_with(facts, [volume])
        return [*lost, f"{name}: its contents are erased, it becomes a cache"]

    def _map(
        self,
        volume: str,
        source: Device,
        device: str,
        overrides: Overrides,
        again: Callable[[Facts], None],
        act: Callable[[], None],
        first: Callable[[], None] | None = None,
    ) -> Report:
        """Look `again` when nobody else can come between, `act`, and see whether the cache is
        there. What keeps the devices from being claimed is done `first`."""
        with self._backend.claim([]) as alone:
            if alone:
                again(self._facts([volume, source.kernel], overrides))
            try:
                if first is not None:
                    first()
                # In a dry run what is done first still keeps them.
                held = first is None or not self._effects.dry_run
                with self._backend.claim([volume, source.kernel] if held else []):
                    act()
            except RdctlError as error:
                error.target = error.target or device
                return Report([Failure("create", error)])
        if self._effects.dry_run:
            return Report([Change("create", device, None, None)])
        after = self._look_again()
        if isinstance(after, RdctlError):
            return Report([Failure("create", _unseen(device, after))])
        for cache in after.caches:
            if cache.device == device and cache.volume in (volume, None):
                return Report([Change("create", device, True, True)])
        return Report([Failure("create", _unproven(device, "it is not in the list of caches"))])

    def adopt_cache(
        self,
        volume_text: str,
        source_text: str | None,
        overrides: Overrides,
        *,
        name: str | None = None,
        max_age: int | None = None,
    ) -> Report:
        """Map a former write-back cache over its source again, without formatting it: what it has
        not written back is written back then."""
        volume_text = volume_name(volume_text)
        self._backend.here("a cache is adopted")
        self._backend.permit()
        _find(self._backend.inventory().volumes, volume_text, "volume")
        left = self._backend.superblock(volume_text)
        source = self._backend.source(source_text or self._noted(volume_text))
        device = self._name_of(name, "writeback", source)
        age = self._age("writeback", max_age)
        facts = self._facts([volume_text, source.kernel], overrides)
        volume = _find(facts.inventory.volumes, volume_text, "volume")
        mapped = [cache for cache in facts.inventory.caches if cache.volume == volume.device]
        failed = next((c for c in mapped if self._backend.failure(c) is not None), None)
        for cache in mapped:
            itself = cache.key == source.kernel and source_text is not None
            if cache is not failed and (cache.of(source.kernel) or itself):
                return Report([Change("create", cache.device, False, True)])
        left = _to_adopt(volume.device, left)
        self._guard_adoption(facts, volume, source, left, failed)
        _guard_name([cache for cache in facts.inventory.caches if cache is not failed], device)
        loss = f"{source.name}: {blocks(left)} of {volume.device} are written over it"
        if not self._backend.is_source_of(volume.device, source):
            loss = (
                f"writes {blocks(left)} over {source.name}; rdctl cannot verify that they are its"
                " own"
            )
            noted = self._backend.source_noted(volume.device)
            loss += f": they are of {noted}" if noted else ""
        self._consent([loss], facts)

        def again(facts: Facts) -> None:
            volume = _find(facts.inventory.volumes, volume_text, "volume")
            self._guard_adoption(facts, volume, source, left, failed)

        def drop() -> None:
            if failed is not None:
                self._backend.drop(failed, loss)

        def act() -> None:
            writeback = Writeback(left.block_size, age, adopt=True)
            self._backend.map(volume.device, source, "writeback", device, writeback, loss)

        return self._map(
            volume.device, source, device, overrides, again, act, drop if failed else None
        )

    def _noted(self, volume: str) -> str:
        """The source that was noted when the cache was made."""
        noted = self._backend.source_noted(volume)
        if noted is None:
            raise RdctlError(
                Code.USAGE,
                f"missing argument SOURCE: no source is recorded for {volume}",
                hint=f"Name it: rdctl rapiddisk cache create {volume} SOURCE --adopt",
                target=volume,
            )
        return noted

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
        facts.guard_source(source, but=but)
        if source.kernel == volume.device:
            raise RdctlError(
                Code.CONFLICT, f"{volume.device} cannot cache itself", target=volume.device
            )
        self._backend.check_adoption(volume, source, left)

    def _consent(self, losses: Sequence[str], facts: Facts) -> None:
        """Ask for all that will be lost, and say what was not looked at."""
        if losses:
            self._effects.consent(losses, facts.never_shown)

    def unmap_caches(self, names: Sequence[str], overrides: Overrides) -> Report:
        """Take caches off their sources, upper ones first; a write-back cache is written back
        before."""
        names = _distinct(map(cache_name, names))
        self._backend.permit()
        facts = self._facts([], overrides)
        outcomes: list[Change | Failure] = []
        todo: list[Cache] = []
        for cache, failure in _sorted_out(facts.inventory.caches, names, "cache", "remove"):
            if failure is not None:
                outcomes.append(failure)
            elif cache is not None:
                todo.append(cache)
        todo = _upper_first(todo)
        above: list[str] = []
        for cache in list(todo):
            try:
                facts.guard_cache(cache, above)
                above.append(cache.device)
            except RdctlError as error:
                todo.remove(cache)
                outcomes.append(Failure("remove", error))
        losses = {cache.device: _unmap_loss(cache) for cache in todo}
        self._consent(list(losses.values()), facts)

        def judged(device: str, after: Inventory) -> Change | Failure:
            if any(cache.device == device for cache in after.caches):
                return Failure("remove", _unproven(device, "it is still listed"))
            return Change("remove", device, True, True)

        with self._backend.claim([]) as alone:
            fresh = self._facts([], overrides) if alone and todo else facts
            gone: list[str] = []

            def act(device: str) -> None:
                cache = _find(fresh.inventory.caches, device, "cache")
                fresh.guard_cache(cache, gone)
                self._backend.unmap(device, losses[device])
                gone.append(device)

            return self._in_turn("remove", list(losses), act, judged, outcomes, names)

    def sync_caches(self, names: Sequence[str]) -> Report:
        """Write back what write-back caches hold; they stay."""
        self._backend.here("a cache is written back")
        names = _distinct(map(cache_name, names))
        self._backend.permit()
        outcomes: list[Change | Failure] = []
        todo: dict[str, Cache] = {}
        caches = self._backend.inventory().caches
        for cache, failure in _sorted_out(caches, names, "cache", "sync"):
            if failure is not None:
                outcomes.append(failure)
            elif cache is not None:
                todo[cache.device] = cache

        def act(device: str) -> Change:
            return self._synced(todo[device])

        return self._in_turn("sync", list(todo), act, None, outcomes, names)

    def _synced(self, cache: Cache) -> Change:
        """Only a write-back cache ever holds what its source does not."""
        if cache.policy != "writeback":
            return Change("sync", cache.device, False, True)
        left = self._backend.sync(cache.device)
        if left is None:
            return Change("sync", cache.device, None, None)
        if left:
            raise RdctlError(
                Code.FAILED,
                f"{cache.device}: {left} {'block is' if left == 1 else 'blocks are'} still not"
                " written back",
                hint="Is it written to at the moment? Try again.",
                target=cache.device,
                dirty=left,
            )
        return Change("sync", cache.device, True, True, {"dirty": 0})

    # --- the daemon ---------------------------------------------------------------------------

    def daemon(self) -> Item:
        """The systemd unit of rapiddiskd on this machine."""
        return Item(self._backend.daemon())

    def daemon_act(self, verb: str) -> Report:
        """`start`, `stop`, `enable` or `disable` the unit."""
        self._backend.permit_daemon()
        unit = self._backend.daemon()
        if not unit.installed:
            raise RdctlError(
                Code.NOT_FOUND,
                f"there is no unit {unit.unit} on this machine",
                hint="Debian has it in the package rapiddisk.",
                target=unit.unit,
            )
        key, wanted = _UNIT_STATES[verb]
        if getattr(unit, key) == wanted:
            return Report([Change(verb, unit.unit, False, True)])
        loss = None
        if verb == "stop":
            loss = f"{unit.unit} stops: who drives this machine from elsewhere cannot any more"
            self._effects.consent([loss])
        self._backend.daemon_act(verb, loss)
        if self._effects.dry_run:
            return Report([Change(verb, unit.unit, None, None)])
        if getattr(self._backend.daemon(), key) != wanted:
            error = _unproven(unit.unit, "its state is not so")
            return Report([Failure(verb, error)])
        return Report([Change(verb, unit.unit, True, True)])

    # --- how changes go -----------------------------------------------------------------------

    def _facts(self, devices: Sequence[str], overrides: Overrides = NO_OVERRIDES) -> Facts:
        return Facts.of(self._backend, devices, overrides)

    def _destroy(
        self,
        action: str,
        names: Sequence[str],
        overrides: Overrides,
        fate: str,
        act: Callable[[str, str], None],
        confirmed: Callable[[Volume | None], bool | None],
    ) -> Report:
        """Guard each volume, ask once for all that remain, act."""
        names = _distinct(map(volume_name, names))
        self._backend.permit()
        facts = self._facts(names, overrides)
        outcomes: list[Change | Failure] = []
        todo: list[Volume] = []
        for volume, failure in _sorted_out(facts.inventory.volumes, names, "volume", action):
            if failure is not None:
                outcomes.append(failure)
            elif volume is not None:
                try:
                    facts.guard(volume)
                    facts.guard_contents(volume)
                    todo.append(volume)
                except RdctlError as error:
                    outcomes.append(Failure(action, error))
        losses = {v.device: f"{v.device} ({_size_of(v)}{_use_of(v)}) is {fate}" for v in todo}
        self._consent([*_lost_with(facts, todo), *losses.values()], facts)
        return self._each(
            action,
            todo,
            lambda name: act(name, losses[name]),
            confirmed,
            overrides=overrides,
            before=outcomes,
            names=names,
        )

    def _each(
        self,
        action: str,
        volumes: Sequence[Volume],
        act: Callable[[str], None],
        confirmed: Callable[[Volume | None], bool | None],
        facts: Mapping[str, Any] | None = None,
        *,
        free: bool = True,
        overrides: Overrides = NO_OVERRIDES,
        before: Sequence[Change | Failure] = (),
        names: Sequence[str] = (),
    ) -> Report:
        """Act on each volume, then look once and say what became of each. A volume that has to be
        `free` is claimed for its act, and looked at once more."""

        def judged(device: str, after: Inventory) -> Change | Failure:
            verified = confirmed(next((v for v in after.volumes if v.device == device), None))
            if verified is False:
                error = _unproven(device, "the list afterwards does not show it")
                return Failure(action, error)
            return Change(action, device, True, verified, facts or {})

        self._effects.foretell(f"{action} {volume.device}" for volume in volumes)
        with self._backend.claim([]) as alone:
            devices = [volume.device for volume in volumes]
            fresh = self._facts(devices, overrides) if alone and free and volumes else None

            def one(device: str) -> None:
                if fresh is not None:
                    volume = _find(fresh.inventory.volumes, device, "volume")
                    fresh.guard(volume)
                    fresh.guard_contents(volume)
                with self._backend.claim([device] if free else []):
                    act(device)

            return self._in_turn(action, devices, one, judged, before, names, facts)

    def _in_turn(
        self,
        action: str,
        devices: Sequence[str],
        act: Callable[[str], Change | None],
        judged: Callable[[str, Inventory], Change | Failure] | None,
        before: Sequence[Change | Failure],
        names: Sequence[str],
        facts: Mapping[str, Any] | None = None,
    ) -> Report:
        """Act on one device after the other, then look once: `judged` tells what became of those
        of which the act itself does not. All outcomes, with those of `before`, in the order of the
        names.

        When the daemon is away, the rest is not tried. A signal leaves those that were not begun,
        and is raised when all is told; a single act is not waited for.
        """
        outcomes = list(before)
        acted = []
        workers, several = self._workers(), len(devices) > 1
        if several:
            workers.progress.begin(len(devices), "devices")
        with workers.held_signals(several) as raise_signal:
            for device, outcome in self._acts(action, devices, act):
                workers.progress.advance()
                if outcome is None:
                    acted.append(device)
                else:
                    outcomes.append(outcome)
            if self._effects.dry_run:
                outcomes += [Change(action, device, None, None, facts or {}) for device in acted]
            elif acted and judged is not None:
                after = self._look_again()
                for device in acted:
                    if isinstance(after, RdctlError):
                        outcomes.append(Failure(action, _unseen(device, after)))
                    else:
                        outcomes.append(judged(device, after))
        return Report(_told(_in_order(outcomes, names), raise_signal))

    def _acts(
        self, action: str, devices: Sequence[str], act: Callable[[str], Change | None]
    ) -> Iterator[tuple[str, Change | Failure | None]]:
        """Each device with the outcome of its act, None where that is still to be seen."""
        from rdctl.workers import Stopped, ends_the_rest, not_begun, untried

        workers = self._workers()
        lost: RdctlError | None = None
        for device in devices:
            if lost is not None:
                yield device, Failure(action, untried(device, lost))
                continue
            try:
                workers.check()
                yield device, act(device)
            except Stopped:
                yield device, Failure(action, not_begun(workers.ended_by, device))
            except RdctlError as error:
                error.target = error.target or device
                # There is one daemon: who says that it is away says so of all.
                if ends_the_rest(error) or error.code is Code.UNAVAILABLE:
                    lost = error
                yield device, Failure(action, error)

    def _look_again(self) -> Inventory | RdctlError:
        """What is there after the acts, or why that cannot be seen: what was done stays done."""
        try:
            return self._backend.inventory()
        except RdctlError as error:
            return error

    def _guard_memory(self, volumes: Sequence[Volume], size: int, instead_of: int) -> None:
        """Volumes are thin and nothing else checks: one that fills up kills other processes."""
        resources = self._backend.resources()
        promised = sum(volume.size or 0 for volume in volumes)
        room = resources.mem_available
        if room is not None:
            wanted = size - instead_of + promised - sum(v.usage or 0 for v in volumes)
        else:
            room, wanted = resources.mem_total, size - instead_of + promised
        if room is None:
            raise RdctlError(
                Code.UNGUARDED,
                "cannot tell how much memory the machine has",
                hint="If it is enough: --overcommit",
            )
        if wanted > room * (1 - _RESERVE):
            raise RdctlError(
                Code.CONFLICT,
                f"with {human_size(size - instead_of)} more, volumes could grow to"
                f" {human_size(wanted)}, and the machine has {human_size(room)} of memory for them",
                hint="When volumes fill up, the kernel kills processes. Take a smaller size, or"
                " say --overcommit.",
            )


# --- small things -------------------------------------------------------------------------------


def _unproven(target: str | None, why: str) -> RdctlError:
    return RdctlError(
        Code.UNPROVEN,
        f"{target or 'a volume'}: reported as done, but {why}",
        hint="The log on that machine tells why: dmesg",
        target=target,
    )


def _made_instead(name: str) -> RdctlError:
    return RdctlError(
        Code.UNPROVEN,
        f"{name} of 0 bytes was made instead: {OLDER_DAEMON}",
        hint=f"Remove it: rdctl rapiddisk remove {name}; then install a rapiddiskd of the module's"
        " version there.",
        target=name,
    )


def _unseen(target: str | None, error: RdctlError) -> RdctlError:
    """The daemon took the change, and then could not be asked what came of it."""
    return RdctlError(
        Code.UNKNOWN,
        f"{target or 'a volume'}: reported as done, but not seen: {error.message}",
        hint="See what became of it with: rdctl rapiddisk list, rdctl rapiddisk cache list",
        target=target,
        **error.facts,
    )


def _matched(
    claims: Sequence[str | None], new: Sequence[Volume], facts: Mapping[str, Any]
) -> list[Change | Failure]:
    """Which new volume came of which creation. A name that the daemon claims counts when it is
    there and was not claimed before; claims without a name take what is left, in order."""
    left = {volume.device for volume in new}
    rest = sorted(left.difference(claim for claim in claims if claim), key=natural)
    # More than were asked for: another client creates as well, so whose is whose is not known.
    doubtful = len(rest) > claims.count(None)
    outcomes: list[Change | Failure] = []
    for claim in claims:
        if claim in left:
            left.remove(claim)
            outcomes.append(Change("create", claim, True, True, facts))
        elif claim is not None:
            outcomes.append(Failure("create", _unproven(None, f"there is no new {claim}")))
        elif doubtful:
            outcomes.append(Change("create", None, True, None, facts))
        elif rest:
            outcomes.append(Change("create", rest.pop(0), True, True, facts))
        else:
            outcomes.append(Failure("create", _unproven(None, "there is no new one")))
    return outcomes


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _find(things: Sequence[Any], name: str, kind: str) -> Any:
    """The thing of that name, or `not-found` with what there is."""
    for thing in things:
        if thing.device == name:
            return thing
    names = [thing.device for thing in things]
    if not names:
        hint: str | None = f"No {kind}s exist."
    else:
        shown = ", ".join(map(escape, names[:8])) + (", ..." if len(names) > 8 else "")
        hint = hints(f"Existing {kind}s: {shown}.", guess(name, names))
    raise RdctlError(Code.NOT_FOUND, f"{kind} {name} does not exist", hint=hint, target=name)


def _guard_name(caches: Sequence[Cache], device: str) -> None:
    """Raise when another cache bears the name: that of another source of the same name, too."""
    for cache in caches:
        if cache.device == device:
            over = f", over {cache.source}" if cache.source else ""
            raise RdctlError(
                Code.EXISTS,
                f"{device} already exists{over}",
                hint=f"Give another name: --name {device}-2; or remove it first: rdctl rapiddisk"
                f" cache remove {device}",
                target=device,
            )


def _to_adopt(volume: str, left: Superblock | None) -> Superblock:
    if left is None or not left.blocks:
        raise RdctlError(
            Code.CONFLICT,
            f"{volume} holds no unwritten blocks that could be adopted",
            hint="See what volumes hold: rdctl rapiddisk list",
            target=volume,
        )
    return left


def _upper_first(caches: Sequence[Cache]) -> list[Cache]:
    """Each before those that it is made of."""
    left, ordered = list(caches), list[Cache]()
    while left:
        tops = [cache for cache in left if not any(is_over(other, cache.key) for other in left)]
        ordered += tops or left
        left = [cache for cache in left if cache not in ordered]
    return ordered


def _lost_with(facts: Facts, volumes: Sequence[Volume]) -> list[str]:
    """The only copies that go with volumes."""
    return [
        f"{volume.device}: {blocks(left)} of a write-back cache, the only copy, are lost"
        for volume in volumes
        if (left := facts.unwritten(volume)) is not None
    ]


def _sorted_out(
    things: Sequence[Any], names: Sequence[str], kind: str, action: str
) -> Iterable[tuple[Any | None, Failure | None]]:
    """For each name what it names, or the failure."""
    for name in names:
        try:
            yield _find(things, name, kind), None
        except RdctlError as error:
            yield None, Failure(action, error)


def _in_order(
    outcomes: Iterable[Change | Failure], names: Sequence[str]
) -> Sequence[Change | Failure]:
    """The outcomes in the order in which their targets were named."""
    rank = {name: number for number, name in enumerate(names)}

    def place(outcome: Change | Failure) -> int:
        target = outcome.target if isinstance(outcome, Change) else outcome.error.target
        return rank.get(target or "", len(rank))

    return sorted(outcomes, key=place)


def _told(
    outcomes: Iterable[Change | Failure], raise_signal: Callable[[], None]
) -> Iterator[Change | Failure]:
    """The outcomes; the signal that was held meanwhile is raised behind the last."""
    yield from outcomes
    raise_signal()


def _size_of(volume: Volume) -> str:
    return "size not known" if volume.size is None else human_size(volume.size)


def _use_of(volume: Volume) -> str:
    if volume.usage is None:
        return ""
    return f", {human_size(volume.usage)} in use" if volume.usage else ", empty"


def _unmap_loss(cache: Cache) -> str:
    source = cache.source or "its source"
    if cache.policy == "writeback":
        return f"{cache.device} goes: {source} is without its cache, once all was written back"
    return f"{cache.device} goes: {source} is without its cache"
