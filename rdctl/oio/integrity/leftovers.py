"""Remove the chunks that killed repairs left behind, and that no listing shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from rdctl.core.errors import Code, RdctlError
from rdctl.core.once import once
from rdctl.oio.addresses import Addresses
from rdctl.oio.client import Client
from rdctl.oio.integrity.inspect import HEAD_SECONDS
from rdctl.oio.integrity.journal import Entry, Pair
from rdctl.oio.integrity.mending import DELETE_SECONDS
from rdctl.oio.model import Content, Place, Service
from rdctl.oio.rawx import Copy, Rawx, copy_of
from rdctl.workers import Workers

# A list may come from a database that is late: one look at it proves that a chunk is not registered
# only if the repair is older than this.
LATE_SECONDS = 600.0
# Else it has to be the same one after this time.
AGAIN_SECONDS = 5.0


class Leftovers:
    """`removed` counts the chunks that were removed; `now` is the time."""

    def __init__(
        self,
        proxy: Client,
        rawx: Rawx,
        workers: Workers,
        sleep: Callable[[float], None],
        now: float,
    ) -> None:
        self._proxy = proxy
        self._rawx = rawx
        self._workers = workers
        self._sleep = sleep
        self._now = now
        self._addresses = Addresses(proxy)
        self._away: set[str] = set()
        self.removed = 0

    def finish(self, entries: Sequence[Entry]) -> list[Entry]:
        """The repairs of which nothing is left: of each chunk and the one that it replaces, the one
        that is not registered is removed."""
        sure: list[tuple[Entry, set[str] | None]] = []
        unsure: list[tuple[Entry, set[str] | None]] = []
        for entry, listed in self._looked(entries):
            (sure if self._is_sure(entry, listed) else unsure).append((entry, listed))
        if unsure:
            self._sleep(AGAIN_SECONDS)
            first = {entry.id: listed for entry, listed in unsure}
            again = self._looked([entry for entry, _ in unsure])
            sure += [(entry, listed) for entry, listed in again if first[entry.id] == listed]
        return [entry for entry, listed in sure if self._is_finished(entry, listed)]

    def _looked(self, entries: Sequence[Entry]) -> list[tuple[Entry, set[str] | None]]:
        """What is registered for the object of each repair, as far as that can be seen."""
        found = []
        for entry in entries:
            with suppress(RdctlError):
                listed = self._listed(entry)
                if listed is not None or self._is_ours(entry):
                    found.append((entry, listed))
        return found

    def _is_sure(self, entry: Entry, listed: set[str] | None) -> bool:
        if self._now - entry.time > LATE_SECONDS:
            return True
        return listed is not None and all(pair.new in listed for pair in entry.pairs)

    def _is_finished(self, entry: Entry, listed: set[str] | None) -> bool:
        settled = [self._settled(entry, pair, listed) for pair in entry.pairs]
        return all(settled)

    def _settled(self, entry: Entry, pair: Pair, listed: set[str] | None) -> bool:
        if listed is None:
            gone = [self._gone(url, entry, strict=True) for url in pair if url is not None]
            return all(gone)
        if pair.new not in listed:
            return self._gone(pair.new, entry, strict=True)
        if pair.old is None or pair.old in listed:
            return True
        return self._gone(pair.old, entry, strict=False)

    def _listed(self, entry: Entry) -> set[str] | None:
        """The chunks that are registered for the object; None if it is gone, by its name and by
        its ID."""
        by_name = entry.place._replace(content_id=None)
        for place in (entry.place, by_name):
            with suppress(_Gone):
                content = self._content_of(place)
                if content.content_id == entry.place.content_id:
                    return {str(chunk["url"]) for chunk in content.chunks}
        return None

    def _is_ours(self, entry: Entry) -> bool:
        """Whether all its chunks are on services of this namespace. In another namespace of the
        same name, they may be in use."""
        urls = [url for pair in entry.pairs for url in pair if url is not None]
        return all(copy_of({"url": url}).address in self._services for url in urls)

    @once
    def _services(self) -> set[str]:
        services: list[Service] = self._proxy.read("conscience.list", None, {"type": "rawx"})
        names = (name for one in services for name in (one.address, one.tags.get("tag.service_id")))
        return {str(name) for name in names if name}

    def _content_of(self, place: Place) -> Content:
        try:
            return self._proxy.content(place, check=self._workers.check)
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                raise _Gone from error
            raise

    def _gone(self, url: str, entry: Entry, *, strict: bool) -> bool:
        """Remove a chunk of that object: whether it does not exist now. `strict`: only if its
        service says that it belongs to the object, as a new chunk does."""
        address = copy_of({"url": url}).address
        if address in self._away:
            return False
        try:
            copy = self._addresses.copy_at(url)
            held = self._rawx.head(copy, seconds=HEAD_SECONDS, check=self._workers.check)
            owner = (held.content_id or "").upper()
            if owner == (entry.place.content_id or "").upper() or not (owner or strict):
                self._delete(copy)
            return True  # or it belongs to another object
        except RdctlError as error:
            if error.code is Code.NOT_FOUND:
                return True
            self._away.add(address)
            return False

    def _delete(self, copy: Copy) -> None:
        self.removed += self._rawx.delete(copy, DELETE_SECONDS)


class _Gone(Exception):
    """The object does not exist."""
