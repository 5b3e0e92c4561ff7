"""References: names in the directory, and the services they are linked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rdctl.core.errors import RdctlError
from rdctl.core.results import Item, Report
from rdctl.core.units import escape
from rdctl.oio.acts import ACCEPTED, ALREADY, PROVEN, Acts, Evidence
from rdctl.oio.model import Link, Place, Reference
from rdctl.oio.properties import CREATE, check_user
from rdctl.oio.refusals import Asked
from rdctl.oio.suggest import existing_types

# An unknown service type: 4.2, 3.3 and other routes.
_NO_TYPE = (400, 481, 453)


class References(Acts):
    def create(self, place: Place, properties: Mapping[str, str]) -> Report:
        check_user("reference", CREATE, place, properties)
        new = self._change(
            "reference.create",
            place,
            what=f"create reference {place.shown}",
            properties=properties,
        )
        return Report([self._created("reference", place, new, properties, {})])

    def show(self, place: Place, type: str | None) -> Item:
        services, directory = self._proxy.read("reference.show", place, {"type": type})
        return Item(Reference(place.container, services, directory))

    def destroy(self, place: Place, force: bool) -> Report:
        services, _ = self._proxy.read("reference.show", place, strict=True)
        if services and not force:
            raise self._proxy.error(407, "", Asked("reference.destroy", place))
        loss = f'reference "{place.shown}" will be destroyed'
        if services:
            loss += f" and unlinked from {len(services)} service{'s' if services[1:] else ''}"
        query = {"force": force}
        return self._destroy("reference.destroy", "destroy", place, loss, PROVEN, query=query)

    def link(self, place: Place, type: str, renew: bool) -> Report:
        """Link a service of the type, or replace the linked one if it is unavailable."""
        action = "renew" if renew else "link"
        before = self._links(place, type)

        def done(evidence: Evidence, links: Sequence[Link]) -> Report:
            facts = {"services": [link.address for link in links]}
            return Report([self._done(action, place.name, evidence, facts)])

        if before and not renew:
            return done(ALREADY, before)
        try:
            links: list[Link] | None = self._change(
                f"reference.{action}",
                place,
                {"type": type},
                what=f"{action} {type} of {place.shown}",
            )
        except RdctlError as error:
            if error.facts.get("remote_status") in _NO_TYPE:
                self._explain_type(error, type)
            raise
        # The reply lists the links as they are now.
        return done(ALREADY if links == before else PROVEN, links or [])

    def _explain_type(self, error: RdctlError, type: str) -> None:
        if existing := existing_types(self._proxy, type):
            error.message = f'service type "{escape(type)}" not found in the conscience'
            error.hint = existing

    def _links(self, place: Place, type: str) -> list[Link]:
        """The links to services of the type, all of them: a missing one does not exist."""
        services, _ = self._proxy.read("reference.show", place, {"type": type}, strict=True)
        return [link for link in services if link.type == type]

    def unlink(self, place: Place, type: str) -> Report:
        if not self._links(place, type):
            return Report([self._done("unlink", place.name, ALREADY)])
        loss = f'reference "{place.shown}" will be unlinked from its {type} services'
        query = {"type": type}
        return self._destroy("reference.unlink", "unlink", place, loss, ACCEPTED, query=query)

    def force(
        self, place: Place, type: str, address: str, seq: int, args: str, replace: bool
    ) -> Report:
        loss, evidence = None, PROVEN  # without --replace an existing link is refused
        if replace:
            if self._links(place, type) == [Link(seq, type, address, args)]:
                return Report([self._done("force", place.name, ALREADY)])
            evidence = ACCEPTED
            loss = f'{address} will replace the {type} service of reference "{place.shown}"'
            self._effects.consent([loss])
        self._change(
            "reference.force",
            place,
            {"type": type, "replace": replace},
            what=f"link {place.shown} to {type} {address}",
            destroys=loss,
            address=address,
            type=type,
            seq=seq,
            args=args,
        )
        return Report([self._done("force", place.name, evidence)])
