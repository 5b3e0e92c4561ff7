"""Check whole containers, objects and counters. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Failure, Listing
from rdctl.core.units import human_size
from rdctl.oio.acts import PAGE, Acts, OioDependencies, distinct, failure
from rdctl.oio.integrity.findings import findings_of, severity_of, verdict
from rdctl.oio.integrity.inspect import Inspection
from rdctl.oio.integrity.model import Finding, ObjectState, count
from rdctl.oio.model import Container, Content, Entry, Place
from rdctl.oio.rawx import Rawx
from rdctl.workers import Turns

T = TypeVar("T")
# How often a target is inspected that changes during its inspection.
LOOKS = 5
# Chunks of one object that are inspected in parallel, while other objects are, too.
_MOST_CHUNKS = 4
# What content/show refuses: the data of the object were drained.
_DRAINED = 427


class Scope(NamedTuple):
    """Which objects of a container: those whose name begins with `prefix`, with old versions."""

    prefix: str | None = None
    all_versions: bool = False


def is_whole(places: Sequence[Place]) -> bool:
    """Whether a container is given, not objects in it."""
    return any(place.path is None and place.content_id is None for place in places)


class _Checked(NamedTuple):
    """One target: its findings, and how much was inspected."""

    findings: list[Finding]
    objects: int = 0
    chunks: int = 0
    bytes: int = 0


class Checks(Acts):
    """`aimed` adds to a command the options that address the same place; `fail_on` is the least
    severity that counts."""

    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        self._rawx = Rawx(self._proxy.reach)
        self._turns = Turns()

    # --- objects ------------------------------------------------------------------------------

    def contents(
        self,
        places: Sequence[Place],
        scope: Scope,
        *,
        deep: bool,
        fail_on: str,
        aimed: Callable[[str], str],
    ) -> Listing:
        """Check objects, or all objects of a container that is given without a path. Findings are
        yielded as they are found, so it does not matter how many objects there are."""
        inspection = Inspection(self._rawx, self._workers, self._proxy.deadline, deep=deep)
        whole = is_whole(places)
        named = distinct(places)
        parallel = self._workers.parallel if len(named) == 1 and not whole else _MOST_CHUNKS

        def one(place: Place) -> _Checked | Failure:
            try:
                state = self._examined(place, inspection, parallel, scope if whole else None)
            except RdctlError as error:
                return failure("check", place.name, error)
            if state is None:
                return _Checked([])
            findings = list(findings_of(state, place, aimed))
            return _Checked(findings, 1, len(state.chunks), state.content.size or 0)

        def targets(listing: Listing) -> Iterable[Place]:
            return self._listed(places[0], scope, listing) if whole else named

        def total() -> int | None:
            return self._expected(places[0], scope) if whole else len(named)

        return self._found(targets, one, total, "objects", fail_on)

    def _expected(self, place: Place, scope: Scope) -> int | None:
        """How many objects the container counts, for the progress bar; None if not known."""
        if scope.prefix:
            return None
        try:
            shown: Container = self._proxy.read("container.show", place)
        except RdctlError:  # the listing shows why
            return None
        return shown.objects if scope.all_versions or not shown.keeps_versions else None

    def _listed(self, place: Place, scope: Scope, listing: Listing) -> Iterator[Place]:
        """The objects of a container. A listing that breaks off is a failure of its own: what was
        found before counts."""
        filters: dict[str, Any] = {"max": PAGE, "prefix": scope.prefix}
        filters |= {"all": True} if scope.all_versions else {}
        try:
            for page in self._proxy.pages(place, filters):
                for entry in page.entries:
                    if entry.kind == "object" and not entry.deleted:
                        yield place_of(entry, place, scope)
        except RdctlError as error:
            listing.failures.append(failure("check", place.name, error))

    def _examined(
        self, place: Place, inspection: Inspection, parallel: int, scope: Scope | None
    ) -> ObjectState | None:
        """The state of an object that did not change during its inspection. With a `scope`, None
        for one that was deleted after it was listed."""
        try:
            content = self._show(place)
            for _ in range(LOOKS):
                state = inspection.inspect(content, parallel)
                if state.healthy:
                    return state
                # If it was replaced in the meantime, its chunks were deleted, too.
                again = self._show(place)
                if same(content, again):
                    return state
                content = again
        except RdctlError as error:
            if scope is not None and self._is_gone(error, place, scope):
                return None
            raise
        raise changing(place)

    def _show(self, place: Place) -> Content:
        check = self._workers.check
        return self._turns.take(lambda: self._proxy.content(place, check=check), place.name)

    def _is_gone(self, error: RdctlError, place: Place, scope: Scope) -> bool:
        """Whether a listed object has no data anymore: it was drained or deleted."""
        if error.facts.get("remote_status") == _DRAINED:
            return True
        if error.code is not Code.NOT_FOUND or place.path is None:
            return False
        filters: dict[str, Any] = {"max": PAGE, "prefix": place.path}
        filters |= {"all": True} if scope.all_versions else {"max": 1}
        page = self._proxy.begun(place.holder, filters)
        return place not in [place_of(entry, place.holder, scope) for entry in page.entries]

    # --- counters -----------------------------------------------------------------------------

    def containers(
        self, places: Sequence[Place], *, fail_on: str, aimed: Callable[[str], str]
    ) -> Listing:
        """Compare the counters of containers with their listings."""
        named = distinct(places)

        def one(place: Place) -> _Checked | Failure:
            try:
                return self._turns.take(lambda: self._counted(place, aimed), place.name)
            except RdctlError as error:
                return failure("check", place.name, error)

        return self._found(lambda listing: named, one, lambda: len(named), "containers", fail_on)

    def _counted(self, place: Place, aimed: Callable[[str], str]) -> _Checked:
        """A difference is reported if it is seen twice, without a change in between."""
        before: tuple[_Counters, _Sums] | None = None
        for _ in range(LOOKS):
            counters = self._counters(place)
            sums = self._sums(place)
            after = self._counters(place)
            if sums.agrees(counters) or sums.agrees(after):
                return _Checked([], sums.objects, 0, sums.bytes)
            if counters == after and before == (counters, sums):
                finding = _off(place, counters, sums, aimed)
                return _Checked([finding], sums.objects, 0, sums.bytes)
            before = (counters, sums) if counters == after else None
        raise changing(place)

    def _counters(self, place: Place) -> _Counters:
        shown: Container = self._proxy.read("container.show", place)
        if shown.objects is None or shown.bytes is None:
            message = f"{place.shown}: its counters are not reported, or cannot be read"
            raise RdctlError(Code.BAD_REPLY, message, target=place.name)
        return _Counters(shown.objects, shown.bytes)

    def _sums(self, place: Place) -> _Sums:
        objects = markers = size = 0
        for page in self._proxy.pages(place, {"max": PAGE, "all": True}):
            self._workers.check()
            if page.skipped or any(one.size is None and not one.deleted for one in page.entries):
                message = f"{place.shown}: unreadable objects in its listing"
                raise RdctlError(Code.BAD_REPLY, message, target=place.name)
            markers += sum(1 for entry in page.entries if entry.deleted)
            objects += sum(1 for entry in page.entries if not entry.deleted)
            size += sum(entry.size or 0 for entry in page.entries)
        return _Sums(objects, size, markers)

    # --- both -----------------------------------------------------------------------------------

    def _found(
        self,
        targets: Callable[[Listing], Iterable[Place]],
        one: Callable[[Place], _Checked | Failure],
        total: Callable[[], int | None],
        unit: str,
        fail_on: str,
    ) -> Listing:
        listing = Listing((), few=True)

        def found() -> Iterator[Finding]:
            self._workers.progress.begin(total(), unit)
            tally: Counter[str] = Counter()
            words: Counter[str] = Counter()
            for result in self._workers.ordered(one, targets(listing)):
                self._workers.progress.advance()
                if isinstance(result, Failure):
                    listing.failures.append(result)
                    continue
                listing.answered = True
                tally.update(result._asdict() | {"findings": len(result.findings), "targets": 1})
                for finding in result.findings:
                    words[finding.finding] += 1
                    listing.verdict = max(listing.verdict, verdict(finding, fail_on))
                    yield finding
            if listing.answered or not listing.failures:
                listing.notes.append(_summary(tally, words, unit))

        listing.items = found()
        return listing


class _Counters(NamedTuple):
    """What a container counts."""

    objects: int
    bytes: int


class _Sums(NamedTuple):
    """What its listing adds up to: `objects` in all versions, without delete markers."""

    objects: int
    bytes: int
    markers: int

    def agrees(self, counters: _Counters) -> bool:
        """Some servers count delete markers, others do not."""
        counted = (self.objects, self.objects + self.markers)
        return counters.bytes == self.bytes and counters.objects in counted


def _off(place: Place, counters: _Counters, sums: _Sums, aimed: Callable[[str], str]) -> Finding:
    message = (
        f"{count(counters.objects, 'object')} and {count(counters.bytes, 'byte')} counted,"
        f" {count(sums.objects, 'object')} and {count(sums.bytes, 'byte')} listed"
    )
    # Touch recomputes nothing: it only sends the counters to the account service.
    mend = (
        f"rdctl oio container set-properties --system sys.m2.objects={sums.objects}"
        f" --system sys.m2.usage={sums.bytes} {place.words}"
        f" && rdctl oio container touch {place.words}"
    )
    return Finding(
        severity=severity_of("counters-off"),
        finding="counters-off",
        container=place.container,
        object=None,
        version=None,
        content_id=None,
        position=None,
        url=None,
        message=message,
        mend=aimed(mend),
    )


def place_of(entry: Entry, holder: Place, scope: Scope) -> Place:
    """An object of a listing. A latest version is named without its ID, which may change."""
    if not scope.all_versions:
        return holder._replace(path=entry.name)
    if entry.content_id:
        return holder._replace(path=entry.name, content_id=entry.content_id)
    version = None if entry.version is None else str(entry.version)
    return holder._replace(path=entry.name, version=version)


def same(one: Content, other: Content) -> bool:
    """Whether a description is still true; scores change all the time."""

    def key(content: Content) -> tuple[object, ...]:
        urls = sorted(str(chunk.get("url")) for chunk in content.chunks)
        return content.content_id, content.version, content.size, urls

    return key(one) == key(other)


def changing(place: Place) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{place.shown}: changed while it was checked",
        hint="Try again when there are fewer writes to it.",
        target=place.name,
    )


def _summary(tally: Counter[str], words: Counter[str], unit: str) -> str:
    """`checked 12 objects, 36 chunks (1.2 GiB): 2 findings (1 missing, 1 short)`"""
    parts = [count(tally["targets"], "container")] if unit == "containers" else []
    parts.append(count(tally["objects"], "object"))
    parts += [count(tally["chunks"], "chunk")] if unit == "objects" else []
    text = f"checked {', '.join(parts)} ({human_size(tally['bytes'])})"
    if not words:
        return text
    each = ", ".join(f"{number} {word}" for word, number in words.most_common())
    return f"{text}: {count(tally['findings'], 'finding')} ({each})"
