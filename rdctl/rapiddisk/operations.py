"""The policy of RapidDisk, once for every backend: validate, guard, claim, act, confirm, report.

Neither the daemon nor the kernel protects a volume that is in use; this does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rdctl.effects import Effects
from rdctl.errors import Code, Exit, RdctlError
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.model import (
    PREFIXES,
    Cache,
    Inventory,
    Target,
    User,
    Volume,
    VolumeDetail,
    cache_name,
    is_cache_name,
    stats_row,
    volume_name,
)
from rdctl.result import Change, Failure, Item, Listing, Report
from rdctl.units import MIB, guess, human_size, natural

if TYPE_CHECKING:
    from rdctl.bulk import Workers
    from rdctl.rapiddisk.exports import Exports
    from rdctl.rapiddisk.kernel.surroundings import Surroundings

_FREED = {"export": "unexport it on that machine"}
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
        volumes = self._backend.inventory().volumes
        if names is None:
            return Listing(volumes)
        return Listing([_find(volumes, name, "volume") for name in wanted])

    def volume(self, name: str) -> Item:
        """One volume with everybody who uses it."""
        name = volume_name(name)
        facts = self._facts()
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
                users,
                facts.seen,
            )
        )

    def caches(self) -> Listing:
        return Listing(self._backend.inventory().caches)

    def cache_stats(self, names: Sequence[str] | None, keys: list[str]) -> Listing:
        """The counters of all caches, or of those of these names, as rows with these keys. One that
        goes meanwhile is left out, unless it was named."""
        wanted = _distinct(cache_name(name) for name in names or ())
        caches = self._backend.inventory().caches
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
        with self._backend.claim([]):
            return self._create(mib, count, number, overcommit)

    def _create(self, mib: int, count: int, number: int | None, overcommit: bool) -> Report:
        before = self._backend.inventory().volumes
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
        from rdctl.bulk import Stopped

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
            name = None if number is None else f"rd{number}"
            return [Change("create", name, None, None, facts) for _ in claims]
        if not claims:
            return []
        after = self._look_again()
        if isinstance(after, RdctlError):
            return [Failure("create", _unseen(claim, after)) for claim in claims]
        known = {volume.device for volume in before}
        new = [volume for volume in after.volumes if volume.device not in known]
        new = [volume for volume in new if volume.size in (None, mib * MIB)]
        return _matched(claims, new, facts)

    def resize(self, name: str, mib: int, overcommit: bool, force: bool) -> Report:
        """A new size; shrinking asks, since what lies beyond is cut off. Who uses a volume that
        grows is told, where the backend can do that."""
        name, size = volume_name(name), mib * MIB
        self._backend.permit()
        facts = self._facts()
        volume = _find(facts.inventory.volumes, name, "volume")
        if volume.size == size:
            return Report([Change("resize", name, False, True, {"size": size})])
        shrinks = volume.size is None or size < volume.size
        free = shrinks or not self._backend.grows_in_use
        facts.guard(volume, force, free=free)
        if not overcommit and (volume.size is None or size > volume.size):
            self._guard_memory(facts.inventory.volumes, size, volume.size or 0)
        loss = None
        if shrinks:
            self._guard_cut(name, size)
            was = _size_of(volume)
            loss = f"{name}: cut from {was} to {human_size(size)}; data beyond that end are lost"
            self._effects.consent([loss])
        exports = [] if free else facts.exports_of(name)

        def act(name: str) -> None:
            self._backend.resize(name, mib, loss)
            for target in exports:
                self._revalidate(target)

        def confirmed(after: Volume | None) -> bool | None:
            return None if after is None or after.size is None else after.size == size

        told = {"revalidated": [target.nqn for target in exports]} if exports else {}
        return self._each(
            "resize", [volume], act, confirmed, {"size": size, **told}, free=free, force=force
        )

    def _guard_cut(self, name: str, size: int) -> None:
        end = self._backend.high_water(name)
        if end is not None and size <= end:
            raise RdctlError(
                Code.CONFLICT,
                f"{name} was written to up to {human_size(end)}, and cannot be cut to"
                f" {human_size(size)}",
                hint=f"Erased, it can be: rdctl rapiddisk flush {name}",
                target=name,
            )

    def _revalidate(self, target: Target) -> None:
        try:
            self._backend.revalidate(target.nqn, target.namespace or 0)
        except RdctlError as error:
            error.message = f"it has its new size, but its clients were not told: {error.message}"
            raise

    def flush(self, names: Sequence[str], force: bool) -> Report:
        """Erase volumes: all their data are gone, their sizes stay."""

        def confirmed(after: Volume | None) -> bool | None:
            return None if after is None or after.usage is None else after.usage == 0

        return self._destroy("flush", names, force, "ERASED", self._backend.erase, confirmed)

    def remove(self, names: Sequence[str], force: bool) -> Report:
        """Remove volumes with all their data."""
        return self._destroy(
            "remove",
            names,
            force,
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
                    f"{volume.device}: a rapiddiskd below 9 has no lock",
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
        self, volume_text: str, source_text: str, policy: str, discard: bool, force: bool
    ) -> Report:
        """Let a volume cache a source."""
        name = volume_name(volume_text)
        self._backend.permit()
        source = self._backend.source_name(source_text)
        device = PREFIXES[policy] + source.rsplit("/", 1)[-1]
        cache_name(device)
        facts = self._facts()
        volume = _find(facts.inventory.volumes, name, "volume")
        for cache in facts.inventory.caches:
            if (cache.device, cache.volume, cache.source) == (device, name, source):
                return Report([Change("create", device, False, True)])
        if source == name:
            raise RdctlError(Code.CONFLICT, f"{name} cannot cache itself", target=name)
        facts.guard(volume, force)
        facts.guard_source(source, force)
        if any(cache.device == device for cache in facts.inventory.caches):
            raise RdctlError(
                Code.EXISTS,
                f"{device} exists already",
                hint=f"Remove it first: rdctl rapiddisk cache remove {device}",
                target=device,
            )
        self._backend.check_cache(volume, source, policy)
        if volume.usage is None and not (discard or force):
            raise _unguarded(name, "whether it holds data")
        losses = []
        holds = volume.usage != 0 or self._backend.is_blank(name) is False
        if holds and volume.usage is not None and not discard:
            much = human_size(volume.usage) + " of data" if volume.usage else "data"
            raise RdctlError(
                Code.NOT_EMPTY,
                f"{name} holds {much}, which a cache overwrites",
                hint=f"Erase it first: rdctl rapiddisk flush {name}; or say --discard-contents.",
                target=name,
            )
        if holds:
            losses.append(f"{name}: its contents are erased, it becomes a cache")
        if policy == "writeback":
            losses.append(
                f"{source}: what is written to it stays in RAM until it is written back;"
                " a crash or a power failure loses that"
            )
        if losses:
            self._effects.consent(losses)
        loss = "; ".join(losses) or None
        with self._backend.claim([]) as alone:
            if alone:
                facts = self._facts()
                facts.guard(_find(facts.inventory.volumes, name, "volume"), force)
                facts.guard_source(source, force)
            failed = self._map(name, source, policy, device, loss, holds)
        if failed is not None:
            return Report([failed])
        if self._effects.dry_run:
            return Report([Change("create", device, None, None)])
        after = self._look_again()
        if isinstance(after, RdctlError):
            return Report([Failure("create", _unseen(device, after))])
        for cache in after.caches:
            if cache.device == device and cache.volume in (name, None):
                return Report([Change("create", device, True, True)])
        return Report([Failure("create", _unproven(device, "it is not in the list of caches"))])

    def _map(
        self, volume: str, source: str, policy: str, device: str, loss: str | None, holds: bool
    ) -> Failure | None:
        """Erase what the volume holds, since a write-back cache would take over old dirty blocks
        that still lie in it; then map."""
        erased = False
        try:
            with self._backend.claim([volume, source]):
                if holds:
                    self._backend.erase(volume, loss or volume)
                    erased = True
                self._backend.map(volume, source, policy, loss)
        except RdctlError as error:
            error.target = error.target or device
            if erased:
                error.message += f"; {volume} had been erased by then"
            return Failure("create", error)
        return None

    def unmap_caches(self, names: Sequence[str], force: bool) -> Report:
        """Take caches off their sources; a write-back cache is written back first."""
        names = _distinct(map(cache_name, names))
        self._backend.permit()
        facts = self._facts()
        outcomes: list[Change | Failure] = []
        todo: list[Cache] = []
        for cache, failure in _sorted_out(facts.inventory.caches, names, "cache", "remove"):
            if failure is not None:
                outcomes.append(failure)
            elif cache is not None:
                try:
                    facts.guard_cache(cache.device, force)
                    todo.append(cache)
                except RdctlError as error:
                    outcomes.append(Failure("remove", error))
        losses = {cache.device: _unmap_loss(cache) for cache in todo}
        if losses:
            self._effects.consent(list(losses.values()))

        def judged(device: str, after: Inventory) -> Change | Failure:
            if any(cache.device == device for cache in after.caches):
                return Failure("remove", _unproven(device, "it is still listed"))
            return Change("remove", device, True, True)

        with self._backend.claim([]) as alone:
            fresh = self._facts() if alone else facts

            def act(device: str) -> None:
                fresh.guard_cache(device, force)
                self._backend.unmap(device, losses[device])

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
        """Only a write-back cache ever holds what its source does not. Whoever uses it meanwhile
        makes new dirty blocks, so what is left is no failure."""
        if cache.policy != "writeback" or cache.volume is None:
            return Change("sync", cache.device, False, True)
        left = self._backend.sync(cache.device)
        if left is None:
            return Change("sync", cache.device, None, None)
        return Change("sync", cache.device, True, True if left == 0 else None, {"dirty": left})

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

    def _facts(self) -> Facts:
        return Facts.of(self._backend)

    def _destroy(
        self,
        action: str,
        names: Sequence[str],
        force: bool,
        fate: str,
        act: Callable[[str, str], None],
        confirmed: Callable[[Volume | None], bool | None],
    ) -> Report:
        """Guard each volume, ask once for all that remain, act."""
        names = _distinct(map(volume_name, names))
        self._backend.permit()
        facts = self._facts()
        outcomes: list[Change | Failure] = []
        todo: list[Volume] = []
        for volume, failure in _sorted_out(facts.inventory.volumes, names, "volume", action):
            if failure is not None:
                outcomes.append(failure)
            elif volume is not None:
                try:
                    facts.guard(volume, force)
                    todo.append(volume)
                except RdctlError as error:
                    outcomes.append(Failure(action, error))
        losses = {v.device: f"{v.device} ({_size_of(v)}{_use_of(v)}) is {fate}" for v in todo}
        if losses:
            self._effects.consent(list(losses.values()))
        return self._each(
            action,
            todo,
            lambda name: act(name, losses[name]),
            confirmed,
            force=force,
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
        force: bool = False,
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
            fresh = self._facts() if alone and free and volumes else None

            def one(device: str) -> None:
                if fresh is not None:
                    fresh.guard(_find(fresh.inventory.volumes, device, "volume"), force)
                with self._backend.claim([device] if free else []):
                    act(device)

            devices = [volume.device for volume in volumes]
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
        from rdctl.bulk import Stopped, not_begun

        workers = self._workers()
        lost: RdctlError | None = None
        for device in devices:
            if lost is not None:
                yield device, Failure(action, _untried(device, lost))
                continue
            try:
                workers.check()
                yield device, act(device)
            except Stopped:
                yield device, Failure(action, not_begun(workers.ended_by, device))
            except RdctlError as error:
                error.target = error.target or device
                if error.exit in (Exit.UNREACHABLE, Exit.TIMEOUT):
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
        if resources.mem_available is not None:
            room = resources.mem_available
            wanted = size - instead_of + promised - sum(v.usage or 0 for v in volumes)
        else:
            room, wanted = resources.mem_total, size - instead_of + promised
        if wanted > room * (1 - _RESERVE):
            raise RdctlError(
                Code.CONFLICT,
                f"with {human_size(size - instead_of)} more, volumes could grow to"
                f" {human_size(wanted)}, and the machine has {human_size(room)} of memory for them",
                hint="When volumes fill up, the kernel kills processes. Take a smaller size, or"
                " say --overcommit.",
            )


class Facts:
    """What the guards know: everything that a backend shows, read once before a change."""

    def __init__(
        self,
        inventory: Inventory,
        targets: list[Target] | None,
        others: Mapping[str, list[User]],
        backend: Backend,
    ) -> None:
        self.inventory = inventory
        self._targets = targets or []
        self._others = others
        self._tells_all = backend.tells_all
        self.seen = [kind for kind in backend.users_seen if kind != "export" or targets is not None]

    @classmethod
    def of(cls, backend: Backend) -> Facts:
        inventory = backend.inventory()
        try:
            targets: list[Target] | None = backend.targets()
        except RdctlError as error:
            if error.code is Code.MODULE_MISSING:
                targets = []
            elif error.code is Code.UNSUPPORTED:
                targets = None
            else:
                raise
        return cls(inventory, targets, backend.other_users(), backend)

    @property
    def devices(self) -> list[str]:
        """The names of all volumes and caches."""
        volumes, caches = self.inventory.volumes, self.inventory.caches
        return [*(volume.device for volume in volumes), *(cache.device for cache in caches)]

    def users(self, device: str) -> list[User]:
        """Who uses a volume, a source or a cache; last those who just have it open."""
        users = list(self._others.get(device, ()))
        for cache in self.inventory.caches:
            if device in (cache.volume, cache.source):
                users.append(
                    User("cache", cache.device, f"rdctl rapiddisk cache remove {cache.device}")
                )
        users += [User("export", target.nqn, None) for target in self.exports_of(device)]
        # The same one may be seen in two ways; the first knows more.
        found: dict[tuple[str, str], User] = {}
        for user in users:
            found.setdefault((user.kind, user.name), user)
        return sorted(found.values(), key=lambda user: user.kind == "open")

    def exports_of(self, device: str) -> list[Target]:
        paths = (f"/dev/{device}", f"/dev/mapper/{device}")
        return [target for target in self._targets if target.device in paths]

    def guard(self, volume: Volume, force: bool, *, free: bool = True) -> None:
        """Raise unless nobody uses the volume, where it has to be free, and it is not locked."""
        name = volume.device
        if free:
            self.guard_users(name)
        if volume.locked:
            raise RdctlError(
                Code.LOCKED,
                f"{name} is locked",
                hint=f"Unlock it first: rdctl rapiddisk unlock {name}",
                target=name,
            )
        if force:
            return
        # A daemon below 9 has no lock, and no usage either.
        if volume.locked is None and volume.usage is not None:
            raise _unguarded(name, "whether it is locked")
        self._guard_unseen(name)

    def guard_source(self, source: str, force: bool) -> None:
        """Raise unless nobody uses the device that is to be cached; it may be a volume too."""
        for volume in self.inventory.volumes:
            if volume.device == source:
                self.guard(volume, force)
        self.guard_users(source)

    def guard_cache(self, cache: str, force: bool) -> None:
        self.guard_users(cache)
        if not force:
            self._guard_unseen(cache, caches=False)

    def guard_users(self, device: str, but: str | None = None) -> None:
        """Raise when anybody uses the device, `but` the export of this NQN."""
        users = [user for user in self.users(device) if (user.kind, user.name) != ("export", but)]
        if not users:
            return
        user = users[0]
        more = f" ({len(users) - 1} more use it)" if len(users) > 1 else ""
        freed = user.freed_by or _FREED.get(user.kind, "what uses it has to end")
        raise RdctlError(
            Code.IN_USE,
            f"{device} is in use: {user.deed}{more}",
            hint=f"Free it first: {freed}",
            target=device,
        )

    def _guard_unseen(self, device: str, caches: bool = True) -> None:
        """Debian's 9.0.0 lists mappings and exports without saying of what."""
        if self._tells_all:
            return
        if caches and any(cache.volume is None for cache in self.inventory.caches):
            raise _unguarded(device, "which volumes its caches use")
        if any(target.device is None and target.enabled is None for target in self._targets):
            raise _unguarded(device, "which devices it exports")


# --- small things -------------------------------------------------------------------------------


def _unguarded(device: str, what: str) -> RdctlError:
    return RdctlError(
        Code.UNGUARDED,
        f"{device}: this rapiddiskd does not tell {what}",
        hint="Look on that machine itself; when you are sure that nothing is lost, say --force.",
        target=device,
    )


def _unproven(target: str | None, why: str) -> RdctlError:
    return RdctlError(
        Code.UNPROVEN,
        f"{target or 'a volume'}: reported as done, but {why}",
        hint="The log on that machine tells why: dmesg",
        target=target,
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


def _untried(target: str, cause: RdctlError) -> RdctlError:
    message = f"{target}: not tried, since the one before failed"
    return RdctlError(cause.code, message, target=target)


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
        hint = f"There is no {kind} at all."
    else:
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        hint = f"There is {shown}.{guess(name, names)}"
    raise RdctlError(Code.NOT_FOUND, f"{kind} {name} does not exist", hint=hint, target=name)


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
