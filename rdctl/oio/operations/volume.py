"""Volumes: the indexes of the chunks of each rawx, which rdir services keep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rdctl.core.errors import Code, Exit, RdctlError
from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.core.units import escape, natural, quoted
from rdctl.oio.acts import ALREADY, PROVEN, UNREPORTED, Acts, Evidence, OioDependencies, failure
from rdctl.oio.model import (
    Assignment,
    IndexedChunk,
    IndexedContainer,
    Place,
    Service,
    Volume,
    VolumeState,
)
from rdctl.oio.rdir import Assigned, Rdir
from rdctl.oio.replies.rdir import Cleared, State
from rdctl.oio.replies.values import date
from rdctl.workers import Turns

# The owner by which a rdir locks a volume while it clears it: it releases the lock of anybody who
# uses that name.
_OF_CLEAR = "admin_clear"


class Volumes(Acts):
    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        self._rdir = Rdir(means.proxy)

    # --- queries ------------------------------------------------------------------------------

    def show(self, volumes: Sequence[str], containers: bool) -> Listing:
        """The number of chunks of each volume, in total and by container, which a text only counts
        unless `containers`."""
        listing = self._each_shown("show", volumes, self._volume)
        listing.counted = () if containers else ("containers",)
        return listing

    def _volume(self, volume: str) -> Volume:
        at = self._rdir.of(volume)
        pages = list(self._rdir.counts(at))
        incident = pages[-1].incident
        return Volume(
            volume=volume,
            rdir=at.rdir,
            chunks=sum(page.chunks for page in pages),
            to_rebuild=sum(page.to_rebuild for page in pages) if incident else None,
            incident=date(incident),
            containers=[
                one._asdict() for one in _merged(one for page in pages for one in page.containers)
            ],
        )

    def chunks(
        self,
        volumes: Sequence[str],
        cid: str | None,
        to_rebuild: bool,
        marker: str | None,
        limit: int | None,
    ) -> Listing:
        """The chunks of volumes, or of one container on them; `to_rebuild`: only those not newer
        than the incident. With a limit there is one volume."""
        self._proxy.suggests = False
        query = {"container_id": cid, "rebuild": to_rebuild or None, "start_after": marker}
        given = {key: value for key, value in query.items() if value is not None}
        listing = Listing((), also=("volume",) if volumes[1:] else ())

        def found() -> Iterator[IndexedChunk]:
            for volume in dict.fromkeys(volumes):
                try:
                    yield from self._indexed(volume, given)
                except RdctlError as error:
                    if not volumes[1:]:
                        raise
                    listing.failures.append(failure("chunks", volume, error))

        def limited() -> Iterator[IndexedChunk]:
            coming, last = found(), None
            for last in islice(coming, limit):
                yield last
            if last is not None and next(coming, None) is not None:
                listing.marker = "|".join((last.cid, last.content_id, last.chunk_id))

        listing.items = found() if limit is None else limited()
        return listing

    def _indexed(self, volume: str, query: Mapping[str, Any]) -> Iterator[IndexedChunk]:
        at = self._rdir.of(volume)
        if query.get("rebuild") and not self._rdir.state(at).incident:
            message = f"volume {escape(volume)} has no incident"
            hint = f"Set one: rdctl oio volume admin incident {quoted(volume)}"
            raise RdctlError(Code.CONFLICT, message, hint=hint, target=volume)
        for page in self._rdir.keys(at, query):
            for key in page.keys:
                yield IndexedChunk(volume, *key)

    def assignation(self, exit_code: bool) -> Listing:
        """Each rawx with its rdir. `exit_code`: a rawx without one is a finding."""
        self._proxy.suggests = False
        volumes, rdirs = self._services("rawx"), self._services("rdir")
        known = {service.address: service for service in rdirs}
        listing = Listing(())

        def assigned(service: Service) -> Assignment:
            volume = service.tags.get("tag.service_id") or service.address
            address = self._rdir.address(volume)
            index = known.get(address or "")
            where = None if index is None else _location(index)
            return Assignment(volume, address, _location(service), where)

        def found() -> Iterator[Assignment]:
            self._workers.progress.begin(len(volumes), "volumes")
            without = 0
            for assignment in self._workers.ordered(assigned, volumes):
                self._workers.progress.advance()
                without += assignment.rdir is None
                yield assignment
            if without:
                many = "1 volume has" if without == 1 else f"{without} volumes have"
                listing.notes.append(f"{many} no rdir: lost chunks of it are not found by rebuilds")
                listing.verdict = Exit.FINDINGS if exit_code else Exit.OK

        listing.items = found()
        return listing

    def _services(self, type: str) -> list[Service]:
        services = self._proxy.read("conscience.list", None, {"type": type}, strict=True)
        return sorted(services, key=lambda service: natural(service.address))

    def state(self, volumes: Sequence[str]) -> Listing:
        """The incident and the lock of each volume."""

        def state(volume: str) -> VolumeState:
            at = self._rdir.of(volume)
            found = self._rdir.state(at)
            return VolumeState(volume, at.rdir, date(found.incident), found.lock or None)

        listing = self._each_shown("show", volumes, state)
        listing.vertical = not volumes[1:]
        return listing

    def _each_shown(
        self, action: str, volumes: Sequence[str], show: Callable[[str], Any]
    ) -> Listing:
        self._proxy.suggests = False
        return self._shown_by_name(action, volumes, show, str)

    # --- changes ------------------------------------------------------------------------------

    def set_incident(self, volumes: Sequence[str], when: int) -> Report:
        """Set the date of an incident: chunks that are not newer are to be rebuilt."""

        def lost(at: Assigned, state: State) -> str | None:
            if state.incident in (0, when):
                return None
            return f"volume {at.volume}: incident of {date(state.incident)} will be replaced"

        def act(at: Assigned, state: State, loss: str | None) -> Evidence:
            if state.incident == when:
                return ALREADY
            self._rdir.set_incident(at, when, loss)
            return self._confirmed(at, lambda now: now.incident == when)

        facts = {"incident": date(when)}
        return self._on_each("incident", volumes, lost, act, facts, "set the incident of")

    def lock(self, volumes: Sequence[str], owner: str) -> Report:
        """Lock volumes for one owner. A lock keeps out other locks and `clear`, nothing else."""
        if owner == _OF_CLEAR:
            message = f'invalid --owner "{owner}": rdir services release that lock themselves'
            raise RdctlError(Code.USAGE, message)

        def lost(at: Assigned, state: State) -> None:
            if state.lock not in ("", owner):
                raise _held(at, state, "locked")

        def act(at: Assigned, state: State, loss: str | None) -> Evidence:
            if state.lock == owner:
                return ALREADY
            self._rdir.lock(at, owner)
            return self._confirmed(at, lambda now: now.lock == owner)

        return self._on_each("lock", volumes, lost, act, {"owner": owner})

    def unlock(self, volumes: Sequence[str], owner: str | None, force: bool) -> Report:
        """Unlock volumes. Servers release any lock, so its owner is compared before."""

        def lost(at: Assigned, state: State) -> str | None:
            if state.lock in ("", owner):
                return None
            if not force:
                error = _held(at, state, "unlocked")
                error.hint = (
                    f"If it is yours: --owner {quoted(state.lock)}\n"
                    "To release the lock of another owner: --force"
                )
                raise error
            return f'volume {at.volume}: lock of "{escape(state.lock)}" will be released'

        def act(at: Assigned, state: State, loss: str | None) -> Evidence:
            if not state.lock:
                return ALREADY
            self._rdir.unlock(at, loss)
            return self._confirmed(at, lambda now: not now.lock)

        return self._on_each("unlock", volumes, lost, act)

    def clear(
        self, volumes: Sequence[str], everything: bool, before_incident: bool, repair: bool
    ) -> Report:
        """Remove entries from the index, and always the incident."""
        if everything and (before_incident or repair):
            raise RdctlError(
                Code.USAGE, "--all cannot be combined with --before-incident or --repair"
            )
        flags = {"all": everything, "before_incident": before_incident, "repair": repair}
        cleared: dict[str, Cleared] = {}

        def lost(at: Assigned, state: State) -> str | None:
            if state.lock:
                raise _held(at, state, "cleared")
            losses = list(self._lost_entries(at, state, everything, before_incident))
            if state.incident:
                losses.append(f"incident of {date(state.incident)} will be removed")
            if losses or repair:
                return f"volume {at.volume}: " + "; ".join(
                    losses or ["all entries of its index will be rewritten"]
                )
            return None

        def act(at: Assigned, state: State, loss: str | None) -> Evidence:
            if loss is None:
                return ALREADY
            done = self._rdir.clear(at, flags, loss)
            if self._effects.dry_run:
                return UNREPORTED
            cleared[at.volume] = done
            if done.errors:
                raise _incomplete(at, done)
            changed = bool(done.removed or done.repaired or state.incident)
            seen = self._confirmed(at, lambda now: not now.incident)
            return seen if changed else ALREADY

        report = self._on_each("clear", volumes, lost, act)

        def counts(outcome: Change | Failure) -> Change | Failure:
            done = cleared.get(str(outcome.target)) if isinstance(outcome, Change) else None
            return outcome if done is None else _with_facts(outcome, done._asdict())

        report.pass_through(counts)
        return report

    def _lost_entries(
        self, at: Assigned, state: State, everything: bool, before_incident: bool
    ) -> Iterator[str]:
        """What a clear would remove from the index. Entries without a time are as old as any, but
        the status does not count them, so those of an incident are counted one by one."""
        if everything:
            count = sum(page.chunks for page in self._rdir.counts(at))
        elif before_incident and state.incident:
            count = sum(len(page.keys) for page in self._rdir.keys(at, {"rebuild": True}))
        else:
            return
        if count:
            entries = "1 entry" if count == 1 else f"{count} entries"
            yield f"{entries} of its index will be removed (rebuilds will not find these chunks)"

    def _on_each(
        self,
        action: str,
        volumes: Sequence[str],
        lost: Callable[[Assigned, State], str | None],
        act: Callable[[Assigned, State, str | None], Evidence],
        facts: Mapping[str, Any] | None = None,
        past: str | None = None,
    ) -> Report:
        """Change each volume, whose state is read before. `lost` says what is lost, if anything, or
        raises why the change is refused."""
        self._proxy.suggests = False

        def look(volume: str) -> tuple[Assigned, State, str | None] | RdctlError:
            try:
                at = self._rdir.of(volume)
                state = self._rdir.state(at)
                return at, state, lost(at, state)
            except RdctlError as error:
                return error

        names = list(dict.fromkeys(volumes))
        looked = self._workers.ordered(look, names) if names[1:] else map(look, names)
        found = dict(zip(names, looked, strict=True))
        losses = [one[2] for one in found.values() if not isinstance(one, RdctlError) and one[2]]
        self._effects.consent([loss for loss in losses if loss])

        # A rdir that is down says nothing about the others.
        turns: dict[str, Turns] = defaultdict(Turns)

        def change(place: Place) -> Evidence:
            seen = found[place.name]
            if isinstance(seen, RdctlError):
                raise seen
            return turns[seen[0].rdir].take(lambda: act(*seen), place.name)

        def attempt(number: int) -> list[Change | Failure]:
            return [self._outcome(action, Place(reference=names[number]), change, past)]

        self._effects.foretell(f"{action} volume {name}" for name in names)
        report = Report(self._outcomes(action, [[name] for name in names], attempt))
        if facts:
            report.pass_through(lambda outcome: _with_facts(outcome, facts))
        return report

    def _confirmed(self, at: Assigned, expected: Callable[[State], bool]) -> Evidence:
        """Read back what a 204 does not prove."""
        if self._effects.dry_run:
            return UNREPORTED
        if not expected(self._rdir.state(at)):
            message = f"volume {escape(at.volume)}: accepted, but not visible afterwards"
            raise RdctlError(Code.UNPROVEN, message, target=at.volume)
        return PROVEN


def _with_facts(outcome: Change | Failure, facts: Mapping[str, Any]) -> Change | Failure:
    if isinstance(outcome, Failure):
        return outcome
    return outcome._replace(facts={**outcome.facts, **facts})


def _merged(containers: Iterator[IndexedContainer]) -> list[IndexedContainer]:
    """A container that is on two pages is counted on both."""
    found: dict[str, IndexedContainer] = {}
    for one in containers:
        if (before := found.get(one.cid)) is not None:
            one = IndexedContainer(
                one.cid,
                _sum(before.chunks, one.chunks),
                _sum(before.to_rebuild, one.to_rebuild),
            )
        found[one.cid] = one
    return list(found.values())


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _location(service: Service) -> str | None:
    return service.tags.get("tag.loc")


def _held(at: Assigned, state: State, refused: str) -> RdctlError:
    message = f'volume {escape(at.volume)} is locked by "{escape(state.lock)}": not {refused}'
    hint = f"Release the lock: rdctl oio volume admin unlock {quoted(at.volume)} --force"
    return RdctlError(Code.IN_USE, message, hint=hint, target=at.volume)


def _incomplete(at: Assigned, done: Cleared) -> RdctlError:
    """Entries that the rdir could not read, or not write; the others were cleared."""
    entries = "1 entry" if done.errors == 1 else f"{done.errors} entries"
    return RdctlError(
        Code.FAILED,
        f"volume {escape(at.volume)}: {entries} of the index could not be processed"
        f" (removed {done.removed}, repaired {done.repaired})",
        hint="See the log of the rdir service.",
        target=at.volume,
        **done._asdict(),
    )
