"""Repair objects: damaged chunks are rebuilt from chunks that are proven to be good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, as_error
from rdctl.core.results import Change, Failure, Report, literal
from rdctl.core.units import escape
from rdctl.effects.log import SharedLog, shared_log
from rdctl.oio.acts import ACCEPTED, ALREADY, PAGE, PROVEN, Evidence, OioDependencies, failure
from rdctl.oio.integrity.check import LOOKS, Scope, changing, is_whole, place_of, same
from rdctl.oio.integrity.inspect import Inspection
from rdctl.oio.integrity.journal import Entry, Journal, entries, unusable
from rdctl.oio.integrity.leftovers import Leftovers
from rdctl.oio.integrity.mending import Means, Mended, Mending, facts_of
from rdctl.oio.integrity.model import ObjectState, PositionState, count
from rdctl.oio.integrity.plan import Plan, is_damaged, planned, sources, total
from rdctl.oio.model import Content, Page, Place
from rdctl.oio.objects.transfers import Transfers
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

    def repair(
        self, places: Sequence[Place], scope: Scope, choice: Choice, keeping: Keeping
    ) -> Report:
        """Repair objects, each with an outcome; of a whole container, those with damage, and at the
        end the container itself. First, killed repairs are finished."""
        self._choice = choice
        self._proxy.suggests = len(places) == 1
        whole = is_whole(places)
        self._effects.foretell([f"repair objects of {places[0].holder.shown}"] if places else [])
        # No question: only damaged chunks that were replaced are removed.
        self._effects.consent([])

        def outcomes() -> Iterator[Change | Failure]:
            with ExitStack() as stack:
                self._begin(stack, keeping)
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
        except OSError as error:
            raise unusable(keeping.path, error) from error
        journal = Journal(keeping.path, log, self._effects, self._proxy.namespace, keeping.now)
        if log is not None and log.alone:
            self._finish(journal, log, keeping)
            log.share()
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
        with suppress(FileNotFoundError), open(keeping.path, "rb") as file:
            left = [one for one in entries(file.read(), keeping.path) if self._is_here(one)]
            if left:
                self._warn(f"would first finish {_interrupted(left)} ({keeping.path})")

    def _finish(self, journal: Journal, log: SharedLog, keeping: Keeping) -> None:
        """Finish killed repairs. What cannot be finished yet stays in the journal."""
        every = entries(log.read(), keeping.path)
        here = [one for one in every if self._is_here(one)]
        leftovers = Leftovers(self._proxy, self._rawx, self._workers)
        finished = 0
        for entry in here[:MOST_UNFINISHED]:
            old = keeping.now - entry.time > DAYS * 86400
            if leftovers.finish(entry) or old:
                journal.end(entry.id)
                finished += 1
        if finished == len(every):
            log.clear()
        if here:
            left = len(here) - finished
            message = f"finished {_interrupted(here[:finished])}" if finished else ""
            if leftovers.removed:
                message += f" ({count(leftovers.removed, 'chunk')} removed)"
            if message:
                self._effects.tell(message)
            if left:
                self._warn(
                    f"{_interrupted(here[finished:])} cannot be finished yet ({keeping.path})"
                )

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
            elif outcome == _healthy(outcome.target):
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
            return failure("repair", place.name, as_error(error))

    def _repaired(self, place: Place, parallel: int) -> Change | Failure:
        content, plan = self._planned(place, parallel)
        if plan.refusal is not None:
            raise plan.refusal
        mended = self._mended(place, content, plan)
        return self._outcome_for(place, content, plan, mended)

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

    def _mended(self, place: Place, content: Content, plan: Plan) -> Mended | None:
        if not plan.rebuilds or self._tools is None:
            return None
        return Mending(self._tools, place, content, plan).run()

    def _outcome_for(
        self, place: Place, content: Content, plan: Plan, mended: Mended | None
    ) -> Change | Failure:
        facts: dict[str, Any] = facts_of(mended.chunks) if mended else {}
        if plan.remarks:
            facts["remarks"] = list(plan.remarks)
        if plan.unreachable:
            facts["unreachable"] = [chunk.copy.url for chunk in plan.unreachable]
            addresses = ", ".join(dict.fromkeys(one.copy.address for one in plan.unreachable))
            self._warn(
                f"{place.shown}: {count(len(plan.unreachable), 'chunk')} not examined, since"
                f" {addresses} did not answer; to rebuild them: --include-unreachable"
            )
        if plan.unlisted:
            raise _unlisted(place, plan, facts)
        for remark in plan.remarks:
            self._warn(f"{place.shown}: {remark}")
        if mended is None:
            if plan.unreachable:
                return self._done("repair", place.name, _UNSEEN, facts, past=_past(_WITHOUT))
            return _healthy(place.name, facts)
        evidence = PROVEN if mended.confirmed else ACCEPTED
        words = literal(f"{total(plan.rebuilds)} rebuilt")
        return self._done("repair", place.name, evidence, facts, past=f"repaired {{}}: {words}")


def _is_gone(error: RdctlError) -> bool:
    return error.code is Code.NOT_FOUND or error.facts.get("remote_status") == _DRAINED


_WITHOUT = "no other damage found"
# Nothing was changed, and it is unknown whether anything is damaged.
_UNSEEN = Evidence(False, None)


def _past(words: str) -> str:
    return f"{{}}: {literal(words)}"


def _healthy(name: str | None, facts: Mapping[str, Any] | None = None) -> Change:
    return Change("repair", name, *ALREADY, facts or {}, _past("no damage found"))


def _unlisted(place: Place, plan: Plan, facts: Mapping[str, Any]) -> RdctlError:
    """Too few chunks are registered: without an old chunk, raw_update cannot register a new one."""
    rebuilt = facts.get("rebuilt", 0)
    message = f"{place.shown}: "
    if rebuilt:
        message += f"{count(rebuilt, 'chunk')} rebuilt, but "
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
