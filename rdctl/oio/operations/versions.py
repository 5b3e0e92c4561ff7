"""Objects in their versions: deleted and restored, purged, drained.

A server that deletes an object whose current version is a delete marker removes the marker, which
restores the object, and replies as to a deletion. So the current version is looked up before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Report
from rdctl.core.units import escape, human_size, quoted, raw_bytes
from rdctl.oio.acts import (
    ALREADY,
    PAGE,
    PROVEN,
    Acts,
    Evidence,
    batches,
    by_holder,
    distinct,
    for_target,
)
from rdctl.oio.client import Client
from rdctl.oio.model import Container, Entry, Page, Place
from rdctl.oio.refusals import Asked

# What content/show refuses: the data were drained; the version is a delete marker.
_DRAINED, _MARKER = 427, 426
PERMANENTLY = " permanently"
# How many versions a prompt names.
_MOST_NAMED = 10
# What is known of an object that needs no request: it is deleted, or why none is sent.
Settled = Evidence | RdctlError


class Versions(Acts):
    """What removes objects, or versions of them, and brings them back."""

    def delete(self, places: Sequence[Place]) -> Report:
        """Delete objects, in batches if the server supports it. What is already deleted is left
        alone; this is looked up before the prompt, and again before each request."""
        places = distinct(places)
        settled = self._settled(places)
        losses = self._losses([place for place in places if place not in settled])
        self._effects.consent(list(losses.values()))
        many = self._proxy.offers("content.delete_many") and all(
            place.path and not place.version for place in places
        )

        def now(batch: Sequence[Place]) -> Mapping[Place, Settled]:
            left = [place for place in batch if place not in settled]
            if not left or self._effects.dry_run:
                return settled
            return {**settled, **self._settled(left)}

        def delete(place: Place) -> Evidence:
            known = now([place])
            if place in known:
                return _evidence(known[place])
            self._change("content.delete", place, destroys=losses[place])
            return PROVEN

        def delete_many(batch: Sequence[Place]) -> Iterator[Change | Failure]:
            known = now(batch)
            outcomes = self._delete_many([place for place in batch if place not in known])
            for place in batch:
                if place in known:
                    yield self._outcome("delete", place, lambda one: _evidence(known[one]))
                else:
                    yield next(outcomes)

        if many and len(places) > 1:
            parts = (batches(inside) for inside in by_holder(places).values())
            return self._in_turn("delete", chain.from_iterable(parts), delete_many)
        return self._each("delete", places, delete)

    def _losses(self, places: Sequence[Place]) -> dict[Place, str]:
        holders = list(by_holder(place for place in places if not place.version))
        found = (
            self._workers.ordered(self._end, holders) if holders[1:] else map(self._end, holders)
        )
        ends = dict(zip(holders, found, strict=True))
        return {
            place: f"{place.described} will be deleted"
            f"{PERMANENTLY if place.version else ends[place.holder]}"
            for place in places
        }

    def _end(self, holder: Place) -> str:
        try:
            shown: Container = self._proxy.read("container.show", holder)
        except RdctlError:
            return ""
        return ending(self._proxy, holder, shown)

    def _delete_many(self, batch: Sequence[Place]) -> Iterator[Change | Failure]:
        if batch:
            yield from self._batch(
                "delete",
                "content.delete_many",
                batch,
                batch[0].holder.query(),
                lambda outcome: None,
                destroys=f'{len(batch)} objects in container "{batch[0].holder.shown}"',
            )

    def _settled(self, places: Sequence[Place]) -> dict[Place, Settled]:
        """The objects for which nothing is to be sent. Those that do not exist are left to the
        server."""
        groups = by_holder(places)
        if len(groups) > 1:
            parts = self._workers.ordered(self._settled_inside, groups.values())
        else:
            parts = (self._settled_inside(inside) for inside in groups.values())
        return {place: known for part in parts for place, known in part.items()}

    def _settled_inside(self, places: Sequence[Place]) -> dict[Place, Settled]:
        """Of one container."""
        found: dict[Place, Settled] = {}
        named = [place for place in places if place.path and not place.version]
        if named:
            try:
                current = self._current(named[0].holder, [str(place.path) for place in named])
            except RdctlError as error:
                return {place: for_target(error, place.name) for place in places}
            for place in named:
                entry = current.get(str(place.path))
                if entry is not None and entry.deleted:
                    found[place] = ALREADY
        for place in places:
            if place.version and (refused := self._refused_version(place)):
                found[place] = refused
        return found

    def _refused_version(self, place: Place) -> RdctlError | None:
        """Why this version is not deleted: it is a delete marker, or cannot be looked up."""
        try:
            self._proxy.content(place)
        except RdctlError as error:
            status = error.facts.get("remote_status")
            if status == _MARKER:
                return _is_marker(place)
            return None if status == _DRAINED else error
        return None

    def _current(self, holder: Place, names: Sequence[str]) -> dict[str, Entry]:
        """The current version of each of these names, delete markers included. Names that are close
        to each other in the listing take one request."""
        found: dict[str, Entry] = {}
        left = sorted(set(names), key=raw_bytes, reverse=True)
        while left:
            first = last = left[-1]
            page: Page | None = None
            if len(left) > 1:
                page = self._page(holder, {"marker": _before(first), "max": min(PAGE, len(left))})
                last = _end_of(page, left[0])
            if page is None or raw_bytes(last) < raw_bytes(first):
                # Of all names that begin with this one, it is the first.
                page, last = self._page(holder, {"prefix": first, "max": 1}), first
            found.update((entry.name, entry) for entry in page.entries)
            while left and raw_bytes(left[-1]) <= raw_bytes(last):
                left.pop()
        return found

    def _page(self, holder: Place, query: Mapping[str, object]) -> Page:
        return self._proxy.begun(holder, {**query, "deleted": True})

    # --- all versions of one object -----------------------------------------------------------

    def _versions(self, place: Place) -> list[Entry]:
        """The versions of an object, the current one first; `not-found` if it has none."""
        found: list[Entry] = []
        query = {"prefix": place.path, "all": True, "max": PAGE}
        for page in self._proxy.pages(place.holder, query):
            for entry in page.entries:
                if entry.name == place.path and entry.version is not None:
                    found.append(entry)
            if page.incomplete == place.path or page.skipped:
                message = f"{place.shown}: the proxy does not list all its versions"
                raise RdctlError(Code.BAD_REPLY, message, target=place.name)
            if page.entries and page.entries[-1].name != place.path:
                break
        if not found:
            error = self._proxy.error(420, "", Asked("content.show", place))
            error.hint = error.hint or "Without versioning, a deleted object cannot be restored."
            raise error
        return found

    def undelete(self, places: Sequence[Place]) -> Report:
        """Remove the delete markers that hide objects, each by its version."""
        self._effects.consent([])  # no data are lost

        def undelete(place: Place) -> Evidence:
            versions = self._versions(place)
            markers = _leading_markers(versions)
            if place.version is not None:
                self._check_marker(place, versions, markers)
            if not markers:
                return ALREADY
            if len(markers) == len(versions):
                message = f"{place.shown}: no version is left that could be restored"
                raise RdctlError(Code.NOT_FOUND, message, target=place.name)
            for marker in markers:
                exact = place._replace(version=str(marker.version))
                self._change(
                    "content.delete",
                    exact,
                    what=f"undelete {place._replace(version=None).described}",
                    shows=f"rdctl oio content show {place._replace(version=None).words}",
                    destroys="the delete marker",
                )
            return PROVEN

        return self._each("undelete", distinct(places), undelete, "restored")

    def _check_marker(self, place: Place, versions: list[Entry], markers: list[Entry]) -> None:
        """Refuse a version that is not the current delete marker."""
        named = [entry for entry in versions if str(entry.version) == place.version]
        if not named:
            raise self._proxy.error(420, "", Asked("content.show", place))
        if named[0] in markers[:1]:
            return
        shown = escape(str(place.version))
        if named[0].deleted:
            message = f"{place.shown}: version {shown} is not its current version"
            raise RdctlError(Code.CONFLICT, message, target=place.name)
        plain = place._replace(version=None)
        raise RdctlError(
            Code.CONFLICT,
            f"{place.shown}: version {shown} is not a delete marker",
            hint="To make an older version the current one: rdctl oio content link --overwrite"
            f" {place.words} {quoted(str(plain.path))}",
            target=place.name,
        )

    def purge(self, places: Sequence[Place], most: int | None) -> Report:
        """Delete the versions of objects beyond the latest `most`, or those that the container
        keeps; each is named before."""
        surplus: dict[Place, list[Entry]] = {}
        kept: dict[Place, int] = {}

        def lost(place: Place) -> str | None:
            holder = place.holder
            if most is None and holder not in kept:
                kept[holder] = self._kept(holder)
            data = [entry for entry in self._versions(place) if not entry.deleted]
            number = most if most is not None else kept[holder]
            surplus[place] = data[max(1, number) :] if number >= 0 else []
            return _loss(place, surplus[place]) if surplus[place] else None

        def purge(place: Place, loss: str) -> Evidence:
            for number, entry in enumerate(surplus[place]):
                exact = place._replace(version=str(entry.version))
                try:
                    self._change("content.delete", exact, destroys=loss)
                except RdctlError as error:
                    if number:
                        done = f"{number} of {len(surplus[place])} versions deleted"
                        error.message = f"{place.shown}: {done}; then: {error.message}"
                    raise
            return PROVEN

        return self._each_confirmed("purge", places, lost, purge)

    def _kept(self, holder: Place) -> int:
        """How many versions of an object the container keeps; negative: all."""
        return kept_versions(self._proxy, holder, self._proxy.read("container.show", holder))

    def drain(self, places: Sequence[Place]) -> Report:
        """Delete the data of objects, not their names and properties."""

        def lost(place: Place) -> str | None:
            try:
                content = self._proxy.content(place)
            except RdctlError as error:
                if error.facts.get("remote_status") == _DRAINED:
                    return None
                raise
            size = "" if content.size is None else f" ({human_size(content.size)})"
            return f"the data of {place.described}{size} will be deleted; its name will be kept"

        def drain(place: Place, loss: str) -> Evidence:
            self._change("content.drain", place, destroys=loss)
            return PROVEN

        return self._each_confirmed("drain", places, lost, drain)


def kept_versions(proxy: Client, holder: Place, shown: Container) -> int:
    """How many versions of an object this container keeps, by default as the namespace; negative:
    all."""
    if shown.versioning is not None:
        return shown.versioning
    if not proxy.offers("config.get"):
        return 1
    settings = proxy.read("config.get")
    given = settings.get("meta2.max_versions") if isinstance(settings, dict) else None
    try:
        return int(given or 1)
    except (TypeError, ValueError) as error:
        message = f"{holder.shown}: the number of versions that it keeps cannot be read"
        hint = "Use --max-versions N."
        raise RdctlError(Code.BAD_REPLY, message, hint=hint) from error


def ending(proxy: Client, holder: Place, shown: Container) -> str:
    """What a deletion without a version means in this container; empty if that is not known."""
    try:
        kept = kept_versions(proxy, holder, shown)
    except RdctlError:
        return ""
    return PERMANENTLY if kept in (0, 1) else " (`content undelete` restores it)"


def _evidence(known: Settled) -> Evidence:
    if isinstance(known, RdctlError):
        raise known
    return known


def _is_marker(place: Place) -> RdctlError:
    version = escape(str(place.version))
    return RdctlError(
        Code.CONFLICT,
        f"{place.shown}: version {version} is a delete marker; deleting it could restore the"
        " object",
        hint=f"To restore it: rdctl oio content undelete {place.words}",
        target=place.name,
    )


def _leading_markers(versions: Sequence[Entry]) -> list[Entry]:
    """The delete markers that are newer than all data."""
    number = next((n for n, entry in enumerate(versions) if not entry.deleted), len(versions))
    return list(versions[:number])


def _loss(place: Place, surplus: Sequence[Entry]) -> str:
    """`versions 12, 11 (2.0 KiB) of object "a" in container "b" will be deleted`"""
    named = ", ".join(str(entry.version) for entry in surplus[:_MOST_NAMED])
    if surplus[_MOST_NAMED:]:
        named += f" and {len(surplus) - _MOST_NAMED} older ones"
    size = human_size(sum(entry.size or 0 for entry in surplus))
    noun = "version" if len(surplus) == 1 else "versions"
    described = place._replace(version=None).described
    return f"{noun} {named} ({size}) of {described} will be deleted"


def _end_of(page: Page, end: str) -> str:
    """The name up to which a page is complete; `end` if nothing follows."""
    if page.marker is None:
        return end
    return page.entries[-1].name if page.entries else ""


def _before(name: str) -> str:
    """A marker that sorts before a name, as close as is simple."""
    start, last = name[:-1], name[-1:]
    return f"{start}{chr(ord(last) - 1)}\U0010ffff" if "!" < last < "\x7f" else start
