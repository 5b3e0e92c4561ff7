"""Containers, and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.core.units import escape, human_size
from rdctl.oio.acts import (
    ACCEPTED,
    PAGE,
    PROVEN,
    UNREPORTED,
    Acts,
    Evidence,
    after_name,
    batches,
    distinct,
    failure,
)
from rdctl.oio.model import UNREADABLE, Container, Entry, Link, Location, Outcome, Page, Place
from rdctl.oio.properties import CREATE, check_user, system_values
from rdctl.oio.refusals import FROZEN, Asked

# Give up flushing a container after this many requests that leave its listing unchanged.
_IDLE_ROUNDS = 5
# The property of a snapshot that still shares chunks with its source: "ACCOUNT/SNAPSHOT shares
# chunks with ACCOUNT/SOURCE". Its source has it meanwhile too, so that it is copied with the rest.
INCOMPLETE = "rdctl.incomplete-snapshot"
SHARES = " shares chunks with "
# Codes that guarantee that nothing was changed.
_NOTHING_DONE = (Code.UNREACHABLE, Code.UNAVAILABLE, Code.TIMEOUT)


class Containers(Acts):
    def create(
        self,
        places: Sequence[Place],
        properties: Mapping[str, str],
        system: Mapping[str, str],
        own: Mapping[str, Mapping[str, str]],
        limits: Mapping[str, str],
    ) -> Report:
        """Create containers with shared properties, and own ones by name; existing containers are
        not changed. `limits` are system properties that need no confirmation."""
        places = distinct(places)
        for place in places[:1]:
            check_user("container", CREATE, place, properties)
        for place in places:
            check_user("container", CREATE, place, own.get(place.name, {}))
        system = system_values(system, new=True)
        if system:
            keys = escape(", ".join(sorted(system)))
            self._effects.consent(
                [
                    f'container "{p.shown}" will be created with system properties {keys}'
                    for p in places
                ]
            )
        system |= system_values(limits, new=True)

        def create(batch: Sequence[Place]) -> Iterator[Change | Failure]:
            if len(batch) > 1:
                return self._create_batch(batch, properties, system, own)
            all_of_it = {**properties, **own.get(batch[0].name, {})}
            return self._create_container(batch[0], all_of_it, system)

        return self._in_turn("create", batches(places), create)

    def _create_container(
        self, place: Place, properties: Mapping[str, str], system: Mapping[str, str]
    ) -> Iterator[Change | Failure]:
        try:
            new = self._change(
                "container.create",
                place,
                properties=properties,
                system=system,
            )
        except RdctlError as error:
            yield failure("create", place.name, error)
        else:
            yield self._created("container", place, new, properties, system)

    def _create_batch(
        self,
        batch: Sequence[Place],
        properties: Mapping[str, str],
        system: Mapping[str, str],
        own: Mapping[str, Mapping[str, str]],
    ) -> Iterator[Change | Failure]:
        """create_many: each item with its own status; 433: it exists."""
        by_name = {place.name: place for place in batch}

        def done(outcome: Outcome) -> Change | Failure | None:
            if outcome.status != 433:
                return None
            all_of_it = {**properties, **own.get(outcome.name, {})}
            return self._created("container", by_name[outcome.name], False, all_of_it, system)

        return self._batch(
            "create",
            "container.create_many",
            batch,
            {"acct": batch[0].account},
            done,
            properties=properties,
            system=system,
            own={name: own[name] for place in batch if (name := place.name) in own},
        )

    def show(self, places: Sequence[Place]) -> Listing:
        """Show each container; those that cannot be shown are reported at the end."""
        return self._shown(places, lambda place: self._proxy.read("container.show", place))

    def locate(self, places: Sequence[Place]) -> Listing:
        """The services that hold the database of each container, and those that led there."""

        def locate(place: Place) -> Location:
            found: Container = self._proxy.read("container.show", place)
            services, directory = self._proxy.read("reference.show", place)
            return Location(
                container=found.container,
                account=found.account,
                cid=found.cid,
                base=found.system.get("sys.name"),
                status=found.status,
                meta2=_hosts(services, "meta2"),
                meta1=directory and _hosts(directory, "meta1"),
                meta0=directory and _hosts(directory, "meta0"),
            )

        return self._shown_by_name("locate", places, locate, lambda place: place.name)

    def entries(self, place: Place, filters: Mapping[str, Any], limit: int | None) -> Listing:
        """A container's objects and prefixes, in the order of their names' bytes."""
        listing = Listing((), also=also_shown(filters))

        def found() -> Iterator[Entry]:
            left = limit
            pages = self._proxy.pages(place, {**filters, "max": min(PAGE, left or PAGE)})
            for page in pages:
                entries = entries_of(page, filters, self._warn)
                taken = entries if left is None else entries[:left]
                yield from taken
                if left is not None:
                    left -= len(taken)
                    if left <= 0:
                        if page.marker is not None or len(taken) < len(entries):
                            listing.marker = after_name(taken[-1])
                        return

        listing.items = found()
        return listing

    def destroy(self, places: Sequence[Place], flush: bool, force: bool) -> Report:
        """Destroy containers. What would be refused is refused before the prompt."""

        def destroy(place: Place, loss: str) -> Evidence:
            shown = self._look(place, force)  # it may have been frozen while the prompt was open
            if shown.status == "disabled":
                # The servers destroy a frozen container, but not a disabled one.
                self._change("admin.enable", place, {"type": "meta2"})
            if flush:
                self._flush(place, loss)
            try:
                self._change(
                    "container.destroy",
                    place,
                    {"force": force, "flush": flush},
                    destroys=loss,
                )
            except RdctlError as error:
                if flush and error.code in _NOTHING_DONE:
                    done = f"{place.shown}: its objects are already deleted"
                    raise _partly(error, done, place) from error
                if flush:
                    error.message += "; its objects are already deleted"
                raise
            return PROVEN

        return self._each_confirmed(
            "destroy", places, lambda place: self._lost(place, flush, force), destroy
        )

    def _lost(self, place: Place, flush: bool, force: bool) -> str:
        """What is lost when a container is destroyed; or why that would be refused."""
        shown = self._look(place, force)
        count = _count(shown)
        loss = f'container "{place.shown}"'
        if flush:
            objects = f"its {count}" if count else "all its objects"
            return f"{loss} and {objects} will be deleted"
        if is_incomplete(place, shown):
            return f"{loss}, an incomplete snapshot, will be destroyed; its source keeps all chunks"
        if force:
            objects = f"its {count}" if count else "any objects in it"
            return f"{loss} will be destroyed; the chunks of {objects} will be orphaned"
        if count and self._first(place):
            error = self._proxy.error(438, "", Asked("container.destroy", place))
            error.message += f": {count}"
            raise error
        return f"{loss} will be destroyed"

    def _look(self, place: Place, force: bool) -> Container:
        """A container that is not frozen. An incomplete snapshot is only destroyed by force, and
        may be frozen."""
        shown: Container = self._proxy.read("container.show", place)
        if not force:
            refuse_shared(place, shown)
        if not is_incomplete(place, shown):
            refuse_frozen(place, shown.status or UNREADABLE)
        return shown

    def flush(self, places: Sequence[Place]) -> Report:
        def lost(place: Place) -> str | None:
            if not self._first(place):
                return None
            shown: Container = self._proxy.read("container.show", place)
            refuse_shared(place, shown)
            count = _count(shown) or "all objects"
            return f'{count} in container "{place.shown}" will be deleted'

        def flush(place: Place, loss: str) -> Evidence:
            self._flush(place, loss)
            return ACCEPTED

        return self._each_confirmed("flush", places, lost, flush, "emptied")

    def _flush(self, place: Place, loss: str) -> None:
        """Delete all objects: a large container takes several requests, and once the first was
        accepted some are deleted, whatever happens to the next."""
        if self._flush_some(place, loss):
            return
        idle, first = 0, None
        try:
            while not self._flush_some(place, loss):
                before, first = first, self._first(place)
                idle = idle + 1 if first == before else 0
                if idle == _IDLE_ROUNDS:
                    message = f"{place.shown}: flush makes no progress"
                    raise RdctlError(Code.BAD_REPLY, message)
        except RdctlError as error:
            raise _partly(
                error, f"{place.shown}: some of its objects are already deleted", place
            ) from error

    def _flush_some(self, place: Place, loss: str) -> bool:
        """One request; returns whether nothing is left."""
        done: bool = self._change(
            "container.flush",
            place,
            what=f"empty container {place.shown}",
            shows=f"rdctl oio container list {place.words}",
            destroys=loss,
            assume=True,
        )
        return done

    def _first(self, place: Place) -> Entry | None:
        """Any version of anything in it, or a delete marker: the counters of a container may be
        wrong, its listing is not. A frozen one must not be changed."""
        page = self._proxy.begun(place, {"max": 1, "all": True})
        refuse_frozen(place, page.status)
        return page.entries[0] if page.entries else None

    def dedup(self, places: Sequence[Place]) -> Report:
        def dedup(place: Place) -> Evidence:
            self._change("container.dedup", place)
            return UNREPORTED

        return self._each("dedup", distinct(places), dedup)

    def purge(self, places: Sequence[Place], versions: int | None) -> Report:
        kept = f"the latest {versions}" if versions is not None else "those that its policy keeps"

        def lost(place: Place) -> str | None:
            if not self._first(place):
                return None
            objects = f'all versions of objects in container "{place.shown}"'
            return f"{objects} except {kept} will be deleted"

        def purge(place: Place, loss: str) -> Evidence:
            self._change("container.purge", place, {"maxvers": versions}, destroys=loss)
            return UNREPORTED

        return self._each_confirmed("purge", places, lost, purge)

    def raw(self, action: str, place: Place, body: Any, flags: Mapping[str, bool]) -> Report:
        """Insert, update or delete beans directly in a container's database."""
        loss = f'beans in the database of container "{place.shown}" will be edited (raw-{action})'
        # Inserting existing beans or deleting absent ones is not an error; only an update needs the
        # old ones.
        proven = action == "update" and body["old"] != body["new"]
        evidence = PROVEN if proven else UNREPORTED
        return self._destroy(
            f"container.raw_{action}",
            f"raw-{action}",
            place,
            loss,
            evidence,
            query=flags,
            body=body,
        )


def _hosts(links: Sequence[Link], type: str) -> list[str]:
    return [link.address for link in links if link.type == type]


def refuse_frozen(place: Place, status: str | None) -> None:
    """Refuse a frozen or disabled container: a server that refuses to destroy a frozen one also
    enables it."""
    if status == UNREADABLE:
        raise RdctlError(
            Code.UNGUARDED,
            f'container "{place.shown}": sys.status cannot be read',
            hint=f"If it should be enabled: rdctl oio admin enable {place.words}",
            target=place.name,
        )
    if status in ("frozen", "disabled"):
        raise RdctlError(
            Code.FROZEN,
            f'container "{place.shown}" is {FROZEN if status == "frozen" else status}',
            hint=f"Enable it: rdctl oio admin enable {place.words}",
            target=place.name,
        )


def is_incomplete(place: Place, shown: Container) -> bool:
    """Whether it is an incomplete snapshot, and not the source of one."""
    mark = shown.properties.get(INCOMPLETE)
    if mark is None:
        return False
    account = place.account or shown.account
    name = place.reference or shown.container
    return SHARES not in str(mark) or str(mark).startswith(f"{account}/{name}{SHARES}")


def refuse_read_only(place: Place, shown: Container) -> None:
    refuse_shared(place, shown)
    refuse_frozen(place, shown.status)


def refuse_shared(place: Place, shown: Container) -> None:
    """Refuse to delete the objects of an incomplete snapshot: their chunks are also those of the
    source."""
    if is_incomplete(place, shown):
        raise RdctlError(
            Code.IN_USE,
            f'container "{place.shown}" is an incomplete snapshot:'
            f" {escape(str(shown.properties[INCOMPLETE]))}",
            hint=f"Remove it without its chunks: rdctl oio container destroy --force {place.words}",
            target=place.name,
        )


def _partly(error: RdctlError, done: str, place: Place) -> RdctlError:
    """The error of a partly done change."""
    return RdctlError(
        Code.UNKNOWN,
        f"{done}; then: {error.message}",
        hint=f"See what is left: rdctl oio container list {place.words}",
        target=place.name,
        **error.facts,
    )


def _count(shown: Container) -> str:
    """`32 objects (305.2 MiB)`; empty if not known: raw-insert does not update the counters."""
    if not shown.objects:
        return ""
    size = "" if shown.bytes is None else f" ({human_size(shown.bytes)})"
    return f"{shown.objects} object{'s' if shown.objects > 1 else ''}{size}"


def also_shown(filters: Mapping[str, Any]) -> list[str]:
    """The keys that a table of entries shows because of these filters."""
    also = {
        "all": ("version", "deleted"),
        "deleted": ("deleted",),
        "properties": ("properties",),
    }
    return [key for option, keys in also.items() if filters.get(option) for key in keys]


def entries_of(
    page: Page, filters: Mapping[str, Any], warn: Callable[[str], None]
) -> Sequence[Entry]:
    """The entries of a page as they are shown; `warn` of versions that are missing."""
    if page.incomplete is not None:
        warn(f"{escape(page.incomplete)}: the proxy does not list all its versions")
    if not filters.get("properties"):
        return page.entries
    return [_with_properties(entry) for entry in page.entries]


def _with_properties(entry: Entry) -> Entry:
    """Servers leave out an object's properties when there are none."""
    asked = entry.kind == "object" and entry.properties is None
    return entry._replace(properties={}) if asked else entry
