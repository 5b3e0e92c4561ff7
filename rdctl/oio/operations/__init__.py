"""The operations on OpenIO SDS, one per command: validate, describe the loss, act, verify, report.
One module per noun, as in `cli/oio`; the wire is in `client` and `routes`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.once import once
from rdctl.core.results import Raw, Report
from rdctl.core.units import escape
from rdctl.oio import ids
from rdctl.oio.acts import Acts, OioDependencies
from rdctl.oio.flat import Flat, flat_of
from rdctl.oio.model import CID_DIGITS, Place
from rdctl.oio.operations.account import Accounts
from rdctl.oio.operations.admin import Bases
from rdctl.oio.operations.conscience import Conscience
from rdctl.oio.operations.container import Containers
from rdctl.oio.operations.content import Contents
from rdctl.oio.operations.overview import Overviews
from rdctl.oio.operations.properties import PropertiesOf
from rdctl.oio.operations.reference import References
from rdctl.oio.operations.refresh import Refreshes
from rdctl.oio.operations.service import Services
from rdctl.oio.routes import READ

if TYPE_CHECKING:
    from rdctl.oio.integrity.check import Checks
    from rdctl.oio.integrity.repair import Repairs
    from rdctl.oio.objects.append import Appends
    from rdctl.oio.objects.download import Downloads
    from rdctl.oio.objects.linking import Links
    from rdctl.oio.objects.ranges import Ranges
    from rdctl.oio.objects.upload import Uploads
    from rdctl.oio.operations.balancing import LoadBalancer
    from rdctl.oio.operations.cache import ProxyCaches
    from rdctl.oio.operations.directory import Directory
    from rdctl.oio.operations.events import Events, Queue
    from rdctl.oio.operations.flat_listing import FlatListings
    from rdctl.oio.operations.lifecycle import Lifecycles
    from rdctl.oio.operations.sharding import Shardings
    from rdctl.oio.operations.snapshot import Snapshots
    from rdctl.oio.operations.variables import Variables
    from rdctl.oio.operations.volume import Volumes
    from rdctl.oio.sync.deleting import Deletions
    from rdctl.oio.sync.journal import Given, Journal
    from rdctl.oio.sync.sync import Syncs


class OpenIO(Acts):
    """One namespace."""

    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        self._means = means
        self._proxy.suggests = True
        self.conscience = Conscience(means)
        self.references = References(means)
        self.properties = PropertiesOf(means)
        self.containers = Containers(means)
        self.contents = Contents(means)
        self.accounts = Accounts(means)
        self.refreshes = Refreshes(means)
        self.overviews = Overviews(means)
        self.services = Services(means)
        self.bases = Bases(means)

    def dialect(self) -> str:
        """The dialect of the proxy."""
        return self._proxy.detect()

    def server_time(self) -> float | None:
        """Seconds since 1970 by the clock of the account service; None if it is not reported."""
        return self._proxy.account_service.time()

    def about(self, places: Sequence[Place]) -> None:
        """The targets of a command. Similar names are suggested only for a single target."""
        self._proxy.suggests = len(places) == 1

    @once
    def shardings(self) -> Shardings:
        """Shards and checkpoints of containers."""
        from rdctl.oio.operations.sharding import Shardings

        return Shardings(self._means)

    @once
    def flat_listings(self) -> FlatListings:
        """The objects of all flat containers."""
        from rdctl.oio.operations.flat_listing import FlatListings

        return FlatListings(self._means)

    @once
    def lifecycles(self) -> Lifecycles:
        """Lifecycle configurations."""
        from rdctl.oio.operations.lifecycle import Lifecycles

        return Lifecycles(self._means)

    @once
    def directory(self) -> Directory:
        """The map of meta0, and the bases of meta1."""
        from rdctl.oio.operations.directory import Directory

        return Directory(self._means)

    def events(self, queue: Queue) -> Events:
        """The queue of events, which is reached by itself."""
        from rdctl.oio.operations.events import Events

        return Events(self._means, queue)

    @once
    def volumes(self) -> Volumes:
        """The indexes of rdir services."""
        from rdctl.oio.operations.volume import Volumes

        return Volumes(self._means)

    @once
    def uploads(self) -> Uploads:
        """Whole objects, from files; loaded only when needed."""
        from rdctl.oio.objects.upload import Uploads

        return Uploads(self._means)

    @once
    def several_ranges(self) -> Ranges:
        """Several ranges of objects, into files."""
        from rdctl.oio.objects.ranges import Ranges

        return Ranges(self._means)

    @once
    def appends(self) -> Appends:
        """Bytes, to the end of objects."""
        from rdctl.oio.objects.append import Appends

        return Appends(self._means)

    @once
    def downloads(self) -> Downloads:
        """Whole objects, into files."""
        from rdctl.oio.objects.download import Downloads

        return Downloads(self._means)

    @once
    def deletions(self) -> Deletions:
        """Deletion of what a listing has."""
        from rdctl.oio.sync.deleting import Deletions

        return Deletions(self._means)

    @once
    def links(self) -> Links:
        """Objects that share the bytes of others."""
        from rdctl.oio.objects.linking import Links

        return Links(self._means)

    @once
    def snapshots(self) -> Snapshots:
        """Copies of whole containers."""
        from rdctl.oio.operations.snapshot import Snapshots

        return Snapshots(self._means)

    @once
    def syncs(self) -> Syncs:
        """Folders and containers that are made the same."""
        from rdctl.oio.sync.sync import Syncs

        return Syncs(self._means)

    def journaled(
        self,
        given: Given | None,
        transfer: Mapping[str, Any],
        act: Callable[[Journal | None], Report],
    ) -> Report:
        """The report of a transfer that keeps a journal, if one is given."""
        if given is None:
            return act(None)
        from rdctl.oio.sync.journal import journaled

        named = {"namespace": self._proxy.namespace, **transfer}
        return journaled(given, self._effects, named, act)

    @once
    def checks(self) -> Checks:
        """Checks of objects and counters."""
        from rdctl.oio.integrity.check import Checks

        return Checks(self._means)

    @once
    def balancer(self) -> LoadBalancer:
        """The load balancer."""
        from rdctl.oio.operations.balancing import LoadBalancer

        return LoadBalancer(self._means)

    @once
    def caches(self) -> ProxyCaches:
        """The caches of the proxy."""
        from rdctl.oio.operations.cache import ProxyCaches

        return ProxyCaches(self._means)

    @once
    def variables(self) -> Variables:
        """The configuration of running services."""
        from rdctl.oio.operations.variables import Variables

        return Variables(self._means)

    @once
    def repairs(self) -> Repairs:
        """Repairs of damaged objects."""
        from rdctl.oio.integrity.repair import Repairs

        return Repairs(self._means)

    def place(
        self,
        reference: str | None = None,
        cid: str | None = None,
        path: str | None = None,
        content_id: str | None = None,
        version: str | None = None,
    ) -> Place:
        """A target in the account of the settings."""
        account = None if cid else self.account_name(None)
        return Place(
            account=account,
            reference=reference,
            cid=cid,
            path=path,
            content_id=content_id,
            version=version,
        )

    def places(self, references: Iterable[str]) -> list[Place]:
        """References or containers in the account of the settings."""
        account = self.account_name(None)
        return [Place(account=account, reference=reference) for reference in references]

    def flat(self, bits: int | None) -> Flat:
        """How the namespace names flat containers; `bits` in place of its own."""
        return flat_of(self._proxy.read("conscience.info").options, bits)

    def named(
        self, places: Sequence[Place], *, sent_by: str = "id", needed: bool = True
    ) -> list[Place]:
        """These places with their names added to the ids; those with a `cid` are all in that
        container. `sent_by`: as in `ids`. Not `needed`: without a container only the id is kept."""
        cid = places[0].cid if places else None
        if cid is not None and len(cid) == CID_DIGITS:  # not the prefix of a base
            places = self._owned(places, needed)
        find = ids.SENT_BY[sent_by]
        return [find(self._proxy, place) if place.content_id else place for place in places]

    def _owned(self, places: Sequence[Place], needed: bool) -> Sequence[Place]:
        try:
            holder = ids.owner(self._proxy, places[0].holder)
        except RdctlError as error:
            if needed or error.code is not Code.NOT_FOUND:
                raise
            return places
        account, reference = holder.account, holder.reference
        return [place._replace(account=account, reference=reference) for place in places]

    def api(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        include: bool,
        untouched: bool,
    ) -> Raw:
        """Any request. All but GET and known read-only routes require confirmation."""
        route = self._proxy.route_of(method, path)
        reads = method == "GET" or (route is not None and route.effect == READ)
        loss = None
        if not reads:
            loss = f"{method} {escape(path)}" + (f": {route.doc}" if route else "")
            self._effects.consent([loss])
        reply, fault = self._proxy.request(method, path, parameters, headers, body, route, loss)
        head = b""
        if include:
            lines = [f"HTTP/1.1 {reply.status} {reply.reason}"]
            lines += [f"{name}: {value}" for name, value in reply.headers.items()]
            head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        return Raw(head + reply.body, fault, untouched)
