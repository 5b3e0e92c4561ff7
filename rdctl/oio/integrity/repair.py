"""Repair objects: damaged chunks are rebuilt from chunks that are proven to be good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.core.once import once
from rdctl.core.results import Change, Failure, Report, literal
from rdctl.core.units import escape
from rdctl.effects.log import SharedLog, shared_log, shared_text
from rdctl.oio.acts import ACCEPTED, ALREADY, PAGE, PROVEN, Evidence, OioDependencies, failure
from rdctl.oio.integrity.check import LOOKS, Scope, changing, is_whole, place_of, same
from rdctl.oio.integrity.inspect import Inspection
from rdctl.oio.integrity.journal import Entry, Journal, ended, entries, unusable
from rdctl.oio.integrity.leftovers import Leftovers
from rdctl.oio.integrity.mending import Means, Mended, Mending, facts_of
from rdctl.oio.integrity.model import ObjectState, PositionState, count
from rdctl.oio.integrity.plan import Plan, is_damaged, planned, sources
from rdctl.oio.model import Container, Content, Page, Place
from rdctl.oio.objects.transfers import Transfers
from rdctl.oio.operations.container import refuse_frozen
from rdctl.oio.rawx import reported_md5
from rdctl.workers import Stopped

if TYPE_CHECKING:
    from rdctl.oio.objects.metachunk import Metachunk

# How many unfinished repairs of the journal a command finishes, and after how many days they are
# dropped.
MOST_UNFINISHED = 1000
DAYS = 30
# What content/show refuses: the data of the object were drained.
_DRAINED = 427


class Choice(NamedTuple):
    """What is repaired: `deep` reads all data, `unreachable` rebuilds chunks whose services do not
    answer."""

    deep: bool = False
    unreachable: bool = False


class Keeping(NamedTuple):
    """Where the journal is kept; new files below `home` belong to its owner. `now` is the time."""

    path: str
    home: str | None
    now: float


class Repairs(Transfers):
    """Objects of one container, by their names or all of them."""

    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        deadline = self._proxy.deadline
        self._quick = Inspection(self._rawx, self._workers, deadline)
        self._thorough = Inspection(self._rawx, self._workers, deadline, deep=True)
        self._choice = Choice()
        self._tools: Means | None = None
        self._holder = Place()
        # How many replaced chunks could not be deleted, by their services.
        self._behind: Counter[str] = Counter()

    def repair(
        self, places: Sequence[Place], scope: Scope, choice: Choice, keeping: Keeping
    ) -> Report:
        """Repair objects, each with an outcome; of a whole container, those with damage, and at the
        end the container itself. First, killed repairs are finished."""
        self._choice = choice
        if places:
            self._holder = places[0].holder
        self._proxy.suggests = len(places) == 1
        whole = is_whole(places)
        self._effects.foretell([f"repair objects of {places[0].holder.shown}"] if places else [])
        # No question: only damaged chunks that were replaced are removed.
        self._effects.consent([])

        def outcomes() -> Iterator[Change | Failure]:
            with ExitStack() as stack:
                self._begin(stack, keeping)
                stack.callback(self._say_behind, keeping)
                yield from self._whole(places[0], scope) if whole else self._named(places)

        return Report(outcomes())

    # --- the journal --------------------------------------------------------------------------

    def _begin(self, stack: ExitStack, keeping: Keeping) -> None:
        log: SharedLog | None = None
        try:
            if self._effects.dry_run:
                self._foresee(keeping)
            else:
                log = stack.enter_context(shared_log(keeping.path, keeping.home))
                self._prepare(log, keeping)
        except OSError as error:
            raise unusable(keeping.path, error) from error
        journal = Journal(keeping.path, log, self._effects, self._proxy.namespace, keeping.now)
        self._tools = Means(
            proxy=self._proxy,
            namespace=lambda: self._namespace,
            rawx=self._rawx,
            effects=self._effects,
            workers=self._workers,
            inspection=self._thorough,
            journal=journal,
            sleep=self._sleep,
        )

    def _foresee(self, keeping: Keeping) -> None:
        every = entries(shared_text(keeping.path), keeping.path)
        if left := [one for one in every if self._is_here(one)]:
            self._warn(f"would first finish {_interrupted(left)} ({keeping.path})")

    def _prepare(self, log: SharedLog, keeping: Keeping) -> None:
        """Another file than a journal is left as it is. Only one that no other repair uses has
        lines to finish."""
        text = log.read()
        every = entries(text, keeping.path)
        log.protect()
        if not log.alone:
            return
        finished = self._finished([one for one in every if self._is_here(one)], keeping)
        kept = b"".join(one.line + b"\n" for one in every if one not in finished)
        try:
            if kept != text:
                log.keep(kept)
        except OSError:  # a mount point, or a directory that cannot be written: it grows
            for one in finished:
                log.append(ended(one.id))
        log.share()

    def _finished(self, here: Sequence[Entry], keeping: Keeping) -> list[Entry]:
        """Finish what killed repairs have left: what needs no line in the journal by now."""
        leftovers = Leftovers(self._proxy, self._rawx, self._workers, self._sleep, keeping.now)
        some = here[:MOST_UNFINISHED]
        settled = leftovers.finish(some)
        finished = [one for one in some if one in settled or keeping.now - one.time > DAYS * 86400]
        if finished:
            removed = count(leftovers.removed, "chunk")
            detail = f" ({removed} removed)" if leftovers.removed else ""
            self._effects.tell(f"finished {_interrupted(finished)}{detail}")
        if left := [one for one in here if one not in finished]:
            self._warn(f"{_interrupted(left)} cannot be finished yet ({keeping.path})")
        return finished

    def _is_here(self, entry: Entry) -> bool:
        return entry.namespace == self._proxy.namespace

    # --- which objects ------------------------------------------------------------------------

    def _named(self, places: Sequence[Place]) -> Iterator[Change | Failure]:
        places = list(dict.fromkeys(places))
        self._workers.progress.begin(len(places), "objects")

        def one(number: int, parallel: int) -> Change | Failure:
            outcome = self._outcome_of(places[number], parallel)
            self._workers.progress.advance()
            return outcome

        return self._each_of("repair", [place.name for place in places], one)

    def _whole(self, holder: Place, scope: Scope) -> Iterator[Change | Failure]:
        """All objects of a container, page by page: healthy ones are only counted."""
        tally = {"objects": 0, "repaired": 0, "failed": 0}
        self._workers.progress.begin(None, "objects")
        outcomes = self._workers.ordered(self._attempt, self._objects(holder, scope))
        for outcome in outcomes:
            self._workers.progress.advance()
            if outcome is None:
                continue
            tally["objects"] += 1
            if isinstance(outcome, Failure):
                tally["failed"] += 1
            elif outcome.changed is not False:
                tally["repaired"] += 1
            elif outcome.past == _HEALTHY:
                continue
            yield outcome
        if tally["failed"] < tally["objects"] or not tally["objects"]:
            yield self._summary(holder, tally)

    def _summary(self, holder: Place, tally: Mapping[str, int]) -> Change:
        repaired = f"{count(tally['repaired'], 'object')} repaired"
        if tally["failed"]:
            repaired += f", {tally['failed']} failed"
        words = f"{{}}: {count(tally['objects'], 'object')} examined, {repaired}"
        evidence = Evidence(tally["repaired"] > 0, True)
        return self._done("repair", holder.name, evidence, tally, past=words)

    def _objects(self, holder: Place, scope: Scope) -> Iterator[Place]:
        query: dict[str, Any] = {"max": PAGE, "prefix": scope.prefix}
        query |= {"all": True} if scope.all_versions else {}
        pages: Iterator[Page] = self._proxy.pages(holder, query)
        for page in pages:
            if page.skipped:
                names = count(page.skipped, "object")
                self._warn(f"{holder.shown}: {names} skipped: unreadable in the listing")
            for entry in page.entries:
                if entry.kind == "object" and not entry.deleted:
                    yield place_of(entry, holder, scope)

    def _attempt(self, place: Place) -> Change | Failure | None:
        """The outcome for a listed object; None if its data are gone."""
        outcome = self._outcome_of(place, 1)
        if isinstance(outcome, Failure) and _is_gone(outcome.error):
            return None
        return outcome

    # --- one object ---------------------------------------------------------------------------

    def _outcome_of(self, place: Place, parallel: int) -> Change | Failure:
        try:
            return self._repaired(place, parallel)
        except Stopped:
            raise
        except Exception as error:  # the others continue
            failed = as_error(error)
            failed.facts.setdefault("container", place.container)
            return failure("repair", place.name, failed)

    def _repaired(self, place: Place, parallel: int) -> Change | Failure:
        content, plan = self._planned(place, parallel)
        if plan.refusal is not None:
            raise plan.refusal
        frozen = self._frozen(place, plan)
        if frozen is not None:  # what is stored in its own place changes no database
            exchanged = [one for one in plan.rebuilds if not one.in_place]
            plan = plan._replace(rebuilds=tuple(one for one in plan.rebuilds if one.in_place))
        mended = self._mended(place, content, plan)
        facts = _facts(place, plan, mended)
        self._note_behind(mended)
        if frozen is not None:
            raise _not_exchanged(place, frozen, count(len(exchanged), "chunk"), facts)
        return self._outcome_for(place, plan, mended, facts)

    def _planned(self, place: Place, parallel: int) -> tuple[Content, Plan]:
        """An object that did not change while it was examined, and the plan for it."""
        content: Content = self._asked(lambda: self._show(place))
        for _ in range(LOOKS):
            fault: RdctlError | None = None
            plan = Plan()
            try:
                state = self._examined(content, parallel)
                proofs = self._proofs(state)
                plan = planned(state, proofs, unreachable=self._choice.unreachable)
            except RdctlError as error:
                fault = error
            if fault is None and not plan.rebuilds and plan.refusal is None:
                return content, plan
            # If it was replaced in the meantime, its chunks were deleted, too.
            again: Content = self._asked(lambda: self._show(place))
            if same(content, again):
                if fault is not None:
                    raise fault
                return content, plan
            content = again
        raise changing(place)

    def _examined(self, content: Content, parallel: int) -> ObjectState:
        """The state of an object. All data of a position with damage are read: a source is proven,
        and further damage is repaired as well."""
        if self._choice.deep:
            return self._thorough.inspect(content, parallel)
        state = self._quick.inspect(content, parallel)
        bad = {one.number for one in state.positions if self._is_damaged(one)}
        if not bad:
            return state
        urls = {
            chunk.copy.url
            for position in state.positions
            if position.number in bad
            for chunk in position.chunks
        }
        some = content._replace(chunks=[one for one in content.chunks if one["url"] in urls])
        read = {one.number: one for one in self._thorough.inspect(some, parallel).positions}
        positions = tuple(read.get(one.number, one) for one in state.positions)
        return state._replace(positions=positions)

    def _is_damaged(self, position: PositionState) -> bool:
        return is_damaged(position, self._choice.unreachable)

    def _proofs(self, state: ObjectState) -> dict[int, Metachunk]:
        """The metachunks of which something is rebuilt, proven."""
        proofs: dict[int, Metachunk] = {}
        for position in state.positions:
            scheme = position.scheme
            coded = scheme.k and position.size and reported_md5(position.hash)
            if not coded or not self._is_damaged(position):
                continue
            if len({one.copy.fragment for one in sources(position)}) >= scheme.k:
                from rdctl.oio.integrity.proofs import proven

                proof = proven(self._rawx, self._workers, state.content, position)
                proofs[position.number] = proof
        return proofs

    def _frozen(self, place: Place, plan: Plan) -> RdctlError | None:
        """Why no chunk can be exchanged, which is found out before any is stored."""
        if all(one.in_place for one in plan.rebuilds):
            return None
        try:
            refuse_frozen(place.holder, self._status)
        except RdctlError as error:
            return error
        return None

    @once
    def _status(self) -> str | None:
        """That of the container of all objects."""
        shown: Container = self._asked(lambda: self._proxy.read("container.show", self._holder))
        return shown.status

    def _mended(self, place: Place, content: Content, plan: Plan) -> Mended | None:
        if not plan.rebuilds or self._tools is None:
            return None
        return Mending(self._tools, place, content, plan).run()

    def _outcome_for(
        self, place: Place, plan: Plan, mended: Mended | None, facts: Mapping[str, Any]
    ) -> Change:
        if plan.unlisted:
            raise _unlisted(place, plan, facts)
        if plan.unreachable:
            raise _not_examined(place, plan, facts)
        if mended is None:
            if plan.remarks:
                words = f"no damaged chunk; not repaired: {'; '.join(plan.remarks)}"
                return Change("repair", place.name, *ALREADY, facts, _past(words))
            return Change("repair", place.name, *ALREADY, facts, _HEALTHY)
        for remark in plan.remarks:
            self._warn(f"{place.shown}: {remark}")
        evidence = PROVEN if mended.confirmed else ACCEPTED
        words = f"repaired {{}}: {count(len(plan.rebuilds), 'chunk')} rebuilt"
        return self._done("repair", place.name, evidence, facts, past=words)

    def _note_behind(self, mended: Mended | None) -> None:
        if mended is not None and not self._effects.dry_run:
            self._behind.update(mended.behind)

    def _say_behind(self, keeping: Keeping) -> None:
        """Of replaced chunks that could not be deleted."""
        if self._behind:
            addresses = ", ".join(sorted(self._behind))
            self._warn(
                f"{count(self._behind.total(), 'old chunk')} could not be deleted yet"
                f" ({addresses}): a later repair with the same journal ({keeping.path}) deletes"
                f" {'it' if self._behind.total() == 1 else 'them'}"
            )


def _is_gone(error: RdctlError) -> bool:
    return error.code is Code.NOT_FOUND or error.facts.get("remote_status") == _DRAINED


def _past(words: str) -> str:
    return f"{{}}: {literal(words)}"


_HEALTHY = _past("no damage found")


def _facts(place: Place, plan: Plan, mended: Mended | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"container": place.container}
    facts |= facts_of(mended.chunks) if mended else {}
    if plan.remarks:
        facts["remarks"] = list(plan.remarks)
    if plan.unreachable:
        facts["unreachable"] = [chunk.copy.url for chunk in plan.unreachable]
    return facts


def _so_far(place: Place, facts: Mapping[str, Any]) -> str:
    """How the message of an object begins of which only some chunks were rebuilt."""
    rebuilt = facts.get("rebuilt", 0)
    return f"{place.shown}: " + (f"{count(rebuilt, 'chunk')} rebuilt, but " if rebuilt else "")


def _not_examined(place: Place, plan: Plan, facts: Mapping[str, Any]) -> RdctlError:
    """Whether these chunks are damaged is unknown."""
    addresses = ", ".join(dict.fromkeys(one.copy.address for one in plan.unreachable))
    return RdctlError(
        Code.UNAVAILABLE,
        f"{_so_far(place, facts)}not all chunks could be examined: {addresses} did not answer",
        hint="Start the service, or rebuild its chunks on others: --include-unreachable",
        target=place.name,
        **facts,
    )


def _not_exchanged(
    place: Place, error: RdctlError, chunks: str, facts: Mapping[str, Any]
) -> RdctlError:
    message = f"{_so_far(place, facts)}{chunks} cannot be exchanged: {error.message}"
    return RdctlError(error.code, message, hint=error.hint, target=place.name, **facts)


def _unlisted(place: Place, plan: Plan, facts: Mapping[str, Any]) -> RdctlError:
    """Too few chunks are registered: without an old chunk, raw_update cannot register a new one."""
    message = _so_far(place, facts)
    message += f"redundancy cannot be restored: {'; '.join(plan.unlisted)}"
    copy = "COPY"
    hint = (
        "Upload the object again:"
        f" rdctl oio content get {place.words} --to {copy},"
        f" then rdctl oio content put {place.holder.words} {copy} --overwrite --path PATH"
    )
    return RdctlError(Code.CONFLICT, message, hint=hint, target=place.name, **facts)


def _interrupted(found: Sequence[Entry]) -> str:
    repairs = count(len(found), "interrupted repair")
    names = ", ".join(escape(entry.place.name) for entry in found[:3])
    return f"{repairs} ({names}{', ...' if found[3:] else ''})"
