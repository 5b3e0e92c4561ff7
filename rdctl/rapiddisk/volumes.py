"""Volumes: RAM disks. Neither the daemon nor the kernel protects those in use; this module does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rdctl.core.errors import Code, Exit, RdctlError, hints
from rdctl.core.results import Change, Failure, Item, Listing, Report, between
from rdctl.core.units import MIB, human_size, natural, operand, parse_mib
from rdctl.rapiddisk.changes import (
    Changes,
    data_of,
    distinct,
    find,
    found,
    shown,
    unproven,
    unseen,
    with_signal,
)
from rdctl.rapiddisk.guards import NO_OVERRIDES, Facts, Overrides
from rdctl.rapiddisk.memory import guard_memory, shortage
from rdctl.rapiddisk.model import OLDER_DAEMON, Inventory, Target, Volume, VolumeDetail, misread
from rdctl.rapiddisk.names import numbered, volume_name
from rdctl.rapiddisk.uses import with_uses


class Volumes(Changes):
    # --- looking ------------------------------------------------------------------------------

    def list(
        self, names: Sequence[str] | None, warn: Callable[[str], None] | None = None
    ) -> Listing:
        """All volumes, or those of these names; an unknown name is an error. `warn` takes that the
        memory does not suffice, where that is known without another request."""
        named = distinct(volume_name(name) for name in names or ())
        inventory = self._backend.inventory(strict=False)
        if warn is not None and self._backend.reports_all:
            if words := shortage(self._backend.memory(), inventory.volumes):
                warn(words)
        volumes = with_uses(inventory, self._backend.listed_users())
        if names is not None:
            volumes = [find(volumes, name, "volume") for name in named]
        return Listing(volumes, also=("unwritten",) if any(v.unwritten for v in volumes) else ())

    def shortage(self) -> str | None:
        """That the memory does not suffice for the volumes, should they fill up."""
        return shortage(self._backend.memory(), self._backend.inventory(strict=False).volumes)

    def show(self, name: str, warn: Callable[[str], None]) -> Item:
        """One volume with all its users; `warn` takes what could not be checked."""
        name = volume_name(name)
        return Item(self._detail(self._shown_facts([name], warn), name))

    def show_all(self, names: Sequence[str], warn: Callable[[str], None]) -> Listing:
        """The same of several volumes."""
        names = distinct(map(volume_name, names))
        facts = self._shown_facts(names, warn)
        return shown(names, lambda name: [self._detail(facts, name)])

    def _shown_facts(self, names: Sequence[str], warn: Callable[[str], None]) -> Facts:
        facts = self._facts(names)
        if facts.lost is not None and facts.lost.code is not Code.MODULE_MISSING:
            raise facts.lost
        for doubt in facts.doubts:
            warn(doubt)
        return facts

    def _detail(self, facts: Facts, name: str) -> VolumeDetail:
        volume = find(facts.inventory.volumes, name, "volume")
        users = [
            user._replace(freed_by=user.freed_by and self._aimed(user.freed_by))
            for user in facts.users(name)
        ]
        return VolumeDetail(
            device=volume.device,
            size=volume.size,
            usage=volume.usage,
            high_water=self._backend.high_water(name),
            locked=volume.locked,
            unwritten=volume.unwritten,
            users=users,
            users_seen=facts.seen,
        )

    # --- changing -----------------------------------------------------------------------------

    def create(self, size: int, count: int, number: int | None, overcommit: bool) -> Report:
        """`count` new volumes of `size` bytes each, or the one of this number; what the backend
        reports is verified in a listing afterwards."""
        self._backend.permit()
        if number is not None:
            self._backend.here("--number")
        made = f"{count} volumes" if count > 1 else "a volume"
        words = [f"create {made} of {human_size(size)}"]

        def look() -> Sequence[Volume] | None:
            """The volumes before; None if the requested one exists."""
            before = self._backend.inventory().volumes
            if number is not None and any(v[:2] == (numbered(number), size) for v in before):
                return None
            if not overcommit:
                guard_memory(self._backend.memory(), before, size * count)
            return before

        self._ask_first(lambda: words if look() is not None else [])
        with self._backend.claim([]):
            if (before := look()) is None:
                same = {"size": size}
                facts = {"size": size, **between(same, same)}
                return Report([Change("create", numbered(number or 0), False, True, facts)])
            self._effects.foretell(words)
            return self._create(before, size, count, number)

    def _create(
        self, before: Sequence[Volume], size: int, count: int, number: int | None
    ) -> Report:
        with self._workers().held_signals(count > 1) as raise_signal:
            claims, failures = self._claims(size, count, number)
            outcomes = self._created(before, claims, size, number)
        return Report(with_signal([*outcomes, *failures], raise_signal))

    def _claims(
        self, size: int, count: int, number: int | None
    ) -> tuple[Sequence[str | None], Sequence[Failure]]:
        """What the backend reports as created, and why it is less than was requested."""
        from rdctl.workers import Stopped

        workers = self._workers()
        claims: list[str | None] = []
        if count > 1:
            workers.progress.begin(count, "volumes")
        try:
            for _ in range(count):
                workers.check()
                claims.append(self._backend.create(size, number))
                workers.progress.advance()
        except Stopped:
            untried = count - len(claims)
            error = RdctlError(workers.ended_by, f"{workers.ended_by.word}; {untried} not started")
            return claims, [Failure("create", error)]
        except RdctlError as error:
            untried = count - len(claims) - 1
            if untried:
                error.message += f"; {untried} more skipped"
            return claims, [Failure("create", error)]
        return claims, []

    def _created(
        self, before: Sequence[Volume], claims: Sequence[str | None], size: int, number: int | None
    ) -> Sequence[Change | Failure]:
        facts = {"size": size, **between(None, {"size": size})}
        if self._effects.dry_run:
            name = None if number is None else numbered(number)
            return [Change("create", name, None, None, facts) for _ in claims]
        if not claims:
            return []
        after = self._look_again()
        if isinstance(after, RdctlError):
            return [Failure("create", unseen(claim, after)) for claim in claims]
        known = {volume.device for volume in before}
        new = [volume for volume in after.volumes if volume.device not in known]
        if wrong := misread(new):
            return [Failure("create", _created_instead(wrong[0])) for _ in claims]
        new = [volume for volume in new if volume.size in (None, size)]
        return _matched(claims, new, facts)

    def resize(
        self, name: str, size: int, added: bool, overcommit: bool, overrides: Overrides
    ) -> Report:
        """Change the size to `size` bytes, or if `added` by them; shrinking asks for consent, since
        data beyond the new end are lost. Users of a volume that grows are notified, if the backend
        supports that."""
        name = volume_name(name)
        self._backend.permit()
        facts = self._facts([name], overrides)
        volume = find(facts.inventory.volumes, name, "volume")
        if added:
            size = parse_mib(f"{_whole_mib(volume) + size // MIB}M") * MIB
        if volume.size == size:
            same = {"size": size}
            unchanged = {"size": size, **between(same, same)}
            return Report([Change("resize", name, False, True, unchanged)])
        shrinks = volume.size is None or size < volume.size
        free = shrinks or not self._backend.grows_in_use
        facts.guard(volume, free=free)
        facts.guard_contents(volume)
        if not overcommit and (volume.size is None or size > volume.size):
            growth = size - (volume.size or 0)
            guard_memory(self._backend.memory(), facts.inventory.volumes, growth)
        losses = facts.only_copies([volume])
        if shrinks:
            self._guard_cut(name, size, overrides)
            was = _size_of(volume)
            losses.append(
                f"volume {name} will shrink from {was} to {human_size(size)}; data beyond that will"
                " be lost"
            )
        self._consent(losses, facts)
        loss = "; ".join(losses) or None
        exports = [] if free else facts.exports_of(name)

        def act(name: str) -> None:
            if shrinks:
                self._guard_cut(name, size, overrides)
            self._backend.resize(name, size, loss)
            for target in exports:
                self._revalidate(target)

        revalidated = {"revalidated": [target.nqn for target in exports]} if exports else {}
        report = self._each(
            "resize",
            [volume],
            act,
            _shown("size", size),
            lambda volume: between({"size": volume.size}, {"size": size}),
            {"size": size, **revalidated},
            free=free,
            overrides=overrides,
        )
        if added:
            report.pass_through(partial(_repeatable, size // MIB))
        return report

    def _guard_cut(self, name: str, size: int, overrides: Overrides) -> None:
        """Raise when there are data beyond the new end. The kernel's counters do not prove that
        there are none: a refused erase sets them to 0."""
        end = self._backend.high_water(name)
        if end is not None and size <= end:
            raise RdctlError(
                Code.CONFLICT,
                f"{name} has data up to {human_size(end)}, and cannot shrink to {human_size(size)}",
                hint=f"Erase it first: rdctl rapiddisk flush {operand(name)}",
                target=name,
            )
        if not overrides.discard and self._backend.is_empty_behind(name, size) is False:
            raise RdctlError(
                Code.NOT_EMPTY,
                f"{name} holds data beyond {human_size(size)}, which would be lost",
                hint="To discard them, use --discard-contents.",
                target=name,
            )

    def _revalidate(self, target: Target) -> None:
        try:
            self._backend.revalidate(target.nqn, target.namespace or 0)
        except RdctlError as error:
            error.message = f"resized, but its clients were not notified: {error.message}"
            raise

    def flush(self, names: Sequence[str], overrides: Overrides) -> Report:
        """Erase volumes: all their data are lost, their sizes stay."""
        return self._destroy(
            "flush",
            names,
            overrides,
            "ERASED",
            self._erase,
            _shown("usage", 0),
            lambda volume: between({"usage": volume.usage}, {"usage": 0}),
        )

    def remove(self, names: Sequence[str], overrides: Overrides) -> Report:
        """Remove volumes with all their data."""
        return self._destroy(
            "remove",
            names,
            overrides,
            "removed",
            self._backend.remove,
            lambda after: after is None,
            lambda volume: between(volume_data(volume), None),
        )

    def set_lock(self, names: Sequence[str], locked: bool) -> Report:
        """Make volumes read-only, or writable again."""
        action = "lock" if locked else "unlock"
        same = {"locked": locked}
        names = distinct(map(volume_name, names))
        self._backend.permit()
        volumes, outcomes = found(self._backend.inventory().volumes, names, "volume", action)
        todo = []
        for volume in volumes:
            if volume.locked == locked:
                outcomes.append(Change(action, volume.device, False, True, between(same, same)))
            elif volume.locked is None and volume.usage is None:
                error = RdctlError(
                    Code.UNSUPPORTED,
                    f"{volume.device}: rapiddiskd before version 9 cannot lock volumes",
                    target=volume.device,
                )
                outcomes.append(Failure(action, error))
            else:
                todo.append(volume)

        return self._each(
            action,
            todo,
            lambda name: self._backend.set_lock(name, locked),
            _shown("locked", locked),
            lambda volume: between({"locked": volume.locked}, same),
            free=False,
            before=outcomes,
            names=names,
        )

    def _destroy(
        self,
        action: str,
        names: Sequence[str],
        overrides: Overrides,
        fate: str,
        act: Callable[[str, str], None],
        confirmed: Callable[[Volume | None], bool | None],
        difference: Callable[[Volume], Mapping[str, Any]],
    ) -> Report:
        """Guard each volume, ask once for all that remain, act."""
        names = distinct(map(volume_name, names))
        self._backend.permit()
        facts = self._facts(names, overrides)
        volumes, outcomes = found(facts.inventory.volumes, names, "volume", action)
        todo: list[Volume] = []
        for volume in volumes:
            try:
                facts.guard(volume)
                facts.guard_contents(volume)
                todo.append(volume)
            except RdctlError as error:
                outcomes.append(Failure(action, error))
        losses = {volume.device: removal_loss(volume, fate) for volume in todo}
        self._consent([*facts.only_copies(todo), *losses.values()], facts)
        return self._each(
            action,
            todo,
            lambda name: act(name, losses[name]),
            confirmed,
            difference,
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
        difference: Callable[[Volume], Mapping[str, Any]],
        facts: Mapping[str, Any] | None = None,
        *,
        free: bool = True,
        overrides: Overrides = NO_OVERRIDES,
        before: Sequence[Change | Failure] = (),
        names: Sequence[str] = (),
    ) -> Report:
        """Act on each volume, then list once and report the outcome of each. A volume that has to
        be `free` is claimed for its act, and checked again."""
        all_facts = {volume.device: {**(facts or {}), **difference(volume)} for volume in volumes}

        def judged(device: str, after: Inventory) -> Change | Failure:
            verified = confirmed(next((v for v in after.volumes if v.device == device), None))
            if verified is False:
                error = unproven(device, "the listing does not confirm it")
                return Failure(action, error)
            return Change(action, device, True, verified, all_facts[device])

        to = f" to {human_size(facts['size'])}" if facts and "size" in facts else ""
        self._effects.foretell(f"{action} {volume.device}{to}" for volume in volumes)
        with self._backend.claim([]) as alone:
            devices = [volume.device for volume in volumes]
            fresh = self._facts(devices, overrides) if alone and free and volumes else None

            def one(device: str) -> None:
                if fresh is not None:
                    volume = find(fresh.inventory.volumes, device, "volume")
                    fresh.guard(volume)
                    fresh.guard_contents(volume)
                with self._backend.claim([device] if free else []):
                    act(device)

            return self._in_turn(action, devices, one, judged, before, names, all_facts)


def _created_instead(name: str) -> RdctlError:
    return RdctlError(
        Code.UNPROVEN,
        f"{name} of 0 bytes was created instead: {OLDER_DAEMON}",
        hint=f"Remove it: rdctl rapiddisk remove {name}; then install the rapiddiskd of the"
        " module's version there.",
        target=name,
    )


def _matched(
    claims: Sequence[str | None], new: Sequence[Volume], facts: Mapping[str, Any]
) -> list[Change | Failure]:
    """The outcome of each creation. A name that the daemon claims counts when the volume exists and
    was not claimed before; claims without a name take what is left, in order."""
    left = {volume.device for volume in new}
    rest = sorted(left.difference(claim for claim in claims if claim), key=natural)
    # More than were requested: another client creates too, so their owners are not known.
    doubtful = len(rest) > claims.count(None)
    outcomes: list[Change | Failure] = []
    for claim in claims:
        if claim in left:
            left.remove(claim)
            outcomes.append(Change("create", claim, True, True, facts))
        elif claim is not None:
            outcomes.append(Failure("create", unproven(None, f"{claim} was not created")))
        elif doubtful:
            outcomes.append(Change("create", None, True, None, facts))
        elif rest:
            outcomes.append(Change("create", rest.pop(0), True, True, facts))
        else:
            outcomes.append(Failure("create", unproven(None, "none was created")))
    return outcomes


def _shown(fact: str, value: object) -> Callable[[Volume | None], bool | None]:
    """Whether a volume has this value; None where it has none."""

    def confirmed(after: Volume | None) -> bool | None:
        there = getattr(after, fact, None)
        return None if there is None else there == value

    return confirmed


def _repeatable(mib: int, outcome: Change | Failure) -> Change | Failure:
    """A growth of unknown outcome, with the words that do not grow the volume twice."""
    if isinstance(outcome, Failure) and outcome.error.exit is Exit.UNKNOWN:
        again = f"rdctl rapiddisk resize {operand(outcome.error.target or '')} {mib}M"
        outcome.error.hint = hints(outcome.error.hint, f"If it was not resized: {again}")
    return outcome


def _whole_mib(volume: Volume) -> int:
    """The size to which a growth is added."""
    mib, rest = divmod(volume.size or 0, MIB)
    if rest or not mib:
        known = f"{volume.size} bytes are not a whole number of MiB"
        raise RdctlError(
            Code.USAGE,
            f"{volume.device} cannot grow by a size:"
            f" {known if volume.size else 'its size is not known'}",
            hint="Specify its new size, such as 128M.",
            target=volume.device,
        )
    return mib


def volume_data(volume: Volume) -> dict[str, Any]:
    return data_of(volume, "size", "usage", "locked")


def removal_loss(volume: Volume, fate: str) -> str:
    return f"volume {volume.device} ({_size_of(volume)}{_use_of(volume)}) will be {fate}"


def _size_of(volume: Volume) -> str:
    return "size unknown" if volume.size is None else human_size(volume.size)


def _use_of(volume: Volume) -> str:
    if volume.usage is None:
        return ""
    return f", {human_size(volume.usage)} used" if volume.usage else ", empty"
