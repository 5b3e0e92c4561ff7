"""The containers that files are uploaded to."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.oio.acts import OioDependencies
from rdctl.oio.model import Container, Place
from rdctl.oio.objects.transfers import Transfers
from rdctl.oio.operations.container import refuse_read_only
from rdctl.oio.rawx import Owner


class Destination:
    """A container by all its names, and how it keeps objects; `owner` None: it does not exist, and
    may be created."""

    def __init__(self, owner: Owner | None = None) -> None:
        self.owner = owner
        self.keeps_versions = False
        self.policy: str | None = None
        self.quota: int | None = None
        self.lock = threading.Lock()


class Destinations(Transfers):
    """Where objects are created: of flat names, each may have a container of its own."""

    def __init__(self, means: OioDependencies) -> None:
        super().__init__(means)
        self._to: dict[Place, Destination] = {}

    def _look_up(self, holders: Sequence[Place], autocreate: bool) -> dict[Place, RdctlError]:
        """Look up the containers; the errors of those that objects cannot be created in."""
        self._proxy.suggests = not autocreate and len(holders) == 1

        def look(holder: Place) -> RdctlError | None:
            try:
                self._look_up_one(holder, autocreate)
            except RdctlError as error:
                return error
            return None

        found = self._workers.ordered(look, holders) if holders[1:] else map(look, holders)
        faults = {
            holder: fault for holder, fault in zip(holders, found, strict=True) if fault is not None
        }
        self._proxy.suggests = False
        return faults

    def _look_up_one(self, holder: Place, autocreate: bool = False) -> Destination:
        to = self._asked(lambda: self._found(holder, autocreate))
        self._to[holder] = to
        return to

    def _found(self, holder: Place, autocreate: bool) -> Destination:
        try:
            container = self._container(holder)
        except RdctlError as error:
            if error.code is not Code.NOT_FOUND or holder.cid:
                raise
            if autocreate:
                return Destination()
            error.hint = hints(error.hint, "Use --autocreate to create it.")
            if holder.reference and os.path.exists(holder.reference):
                error.hint = "Specify the container first: rdctl oio content put CONTAINER FILE"
            raise
        refuse_read_only(holder, container)
        account = container.account or str(holder.account)
        found = Destination(Owner(account, container.container, container.cid or ""))
        found.keeps_versions = container.keeps_versions
        found.policy = container.policy
        found.quota = container.quota or None
        return found

    def _exists(self, holder: Place) -> bool:
        """Whether the container was there when it was looked up."""
        return holder in self._to and self._to[holder].owner is not None

    def _owner_of(self, place: Place) -> Owner:
        """The container by all its names; one just created is queried for them, once."""
        to = self._to[place.holder]
        with to.lock:
            if to.owner is None and self._effects.dry_run:
                to.owner = Owner(str(place.account), place.container, "<container ID>")
            elif to.owner is None:
                found = self._asked(lambda: self._made(place.holder))
                to.owner = Owner(str(place.account), place.container, found.cid or "")
            return to.owner

    def _made(self, holder: Place) -> Container:
        """The container just created. Since OpenIO 7, content/prepare does not create it: the proxy
        replies without a meta2."""
        try:
            return self._container(holder)
        except RdctlError as error:
            if error.code is not Code.NOT_FOUND:
                raise
        self._change("container.create", holder, properties={}, system={})
        return self._container(holder)

    def _container(self, holder: Place) -> Container:
        container: Container = self._proxy.read("container.show", holder)
        return container
