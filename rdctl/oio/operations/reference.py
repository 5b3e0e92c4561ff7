"""References: names in the directory, and the services they are linked to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rdctl.core.errors import RdctlError
from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.core.units import escape
from rdctl.oio.acts import ACCEPTED, ALREADY, PROVEN, Acts, Evidence, distinct, failure
from rdctl.oio.model import Link, Place, Reference
from rdctl.oio.properties import CREATE, check_user
from rdctl.oio.refusals import Asked
from rdctl.oio.suggest import existing_types

# An unknown service type: 4.2, 3.3 and other routes.
_NO_TYPE = (400, 481, 453)


class References(Acts):
    def create(
        self,
        places: Sequence[Place],
        properties: Mapping[str, str],
        own: Mapping[str, Mapping[str, str]],
    ) -> Report:
        """Create references with shared properties, and own ones by name."""
        places = distinct(places)
        all_of = {place: {**properties, **own.get(place.name, {})} for place in places}
        for place, given in all_of.items():
            check_user("reference", CREATE, place, given)

        def create(batch: Sequence[Place]) -> Iterator[Change | Failure]:
            for place in batch:
                yield self._create(place, all_of[place])

        return self._in_turn("create", [[place] for place in places], create)

    def _create(self, place: Place, properties: Mapping[str, str]) -> Change | Failure:
        what = f"create reference {place.shown}"
        try:
            new = self._change("reference.create", place, what=what, properties=properties)
        except RdctlError as error:
            return failure("create", place.name, error)
        return self._created("reference", place, new, properties, {})

    def show(self, places: Sequence[Place], type: str | None) -> Listing:
        def show(place: Place) -> Reference:
            services, directory = self._proxy.read("reference.show", place, {"type": type})
            return Reference(place.container, services, directory)

        return self._shown(places, show)

    def destroy(self, places: Sequence[Place], force: bool) -> Report:
        def lost(place: Place) -> str:
            services, _ = self._proxy.read("reference.show", place, strict=True)
            if services and not force:
                raise self._proxy.error(407, "", Asked("reference.destroy", place))
            loss = f'reference "{place.shown}" will be destroyed'
            if services:
                loss += f" and unlinked from {len(services)} service{'s' if services[1:] else ''}"
            return loss

        def destroy(place: Place, loss: str) -> Evidence:
            self._change("reference.destroy", place, {"force": force}, destroys=loss)
            return PROVEN

        return self._each_confirmed("destroy", places, lost, destroy)

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
