"""References: names in the directory, and the services they are linked to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.core.units import escape, operand
from rdctl.oio.acts import ACCEPTED, ALREADY, PROVEN, Acts, Evidence, distinct, failure
from rdctl.oio.model import Link, Place, Reference
from rdctl.oio.properties import CREATE, check_user
from rdctl.oio.refusals import Asked
from rdctl.oio.suggest import existing_types

# An unknown service type: 4.2, 3.3 and other routes.
_NO_TYPE = (400, 481, 453)
# Too many known services for a pool, and too few services.
_CANNOT_CHOOSE = (400, 481)


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

    def relink(self, place: Place, type: str, addresses: Sequence[str]) -> Report:
        """Have other services chosen in place of these, which are linked under one sequence number;
        all other links are kept."""
        addresses = list(dict.fromkeys(addresses))
        before = self._links(place, type)
        group = _group(place, type, before, addresses)
        left = f"{type} {', '.join(addresses)}"
        loss = (
            f'reference "{place.shown}" will be unlinked from {left}: its data there become'
            " unreachable unless another linked service has them"
        )
        # Servers drop the links that they are to keep, so these are set by force.
        whole = len(addresses) == len(before)
        kept = [link.address for link in group if link.address not in addresses]
        chosen = []
        if whole:
            self._rehearse_relink(place, type, group)
        else:
            others = [link.address for link in before if link.address not in kept]
            chosen = self._chosen_for(type, len(addresses), kept, others)
            loss += f"; {', '.join(chosen)} will be linked"
        self._effects.consent([loss])
        if self._links(place, type) != before:
            message = f'the {type} links of reference "{place.shown}" changed in the meantime'
            raise RdctlError(Code.CONFLICT, message, target=place.name)
        name, query = ("relink", {}) if whole else ("force", {"replace": True})
        self._change(
            f"reference.{name}",
            place,
            {"type": type, **query},
            what=f"relink {place.shown} from {left}",
            destroys=loss,
            **_described(type, group),
            addresses=addresses,
            address=",".join([*kept, *chosen]),
        )
        return Report([self._relinked(place, type, before, addresses)])

    def _rehearse_relink(self, place: Place, type: str, group: Sequence[Link]) -> None:
        """Have the server compare these links with its own."""
        addresses = [link.address for link in group]
        query = {"type": type, "dryrun": True}
        described = _described(type, group)
        self._proxy.read(
            "reference.rehearse-relink", place, query, **described, addresses=addresses
        )

    def _chosen_for(
        self, type: str, number: int, known: Sequence[str], avoid: Sequence[str]
    ) -> list[str]:
        """So many services, chosen by the load balancer in addition to the known ones. A pool may
        have fewer places than there are links: then they are chosen without regard to these."""
        found = self._polled(type, known, avoid)
        if len(found) < number:
            found = self._polled(type, [], [*known, *avoid])
        if len(found) < number:
            raise RdctlError(
                Code.UNAVAILABLE,
                f"only {len(found)} of {number} {escape(type)} services can be chosen",
                hint=f"See which are up: rdctl oio conscience list {operand(type)}",
            )
        return found[:number]

    def _polled(self, type: str, known: Sequence[str], avoid: Sequence[str]) -> list[str]:
        namespace = self._proxy.namespace
        body = {
            key: [f"{namespace}|{type}|{address}" for address in addresses]
            for key, addresses in (("known", known), ("avoid", avoid))
        }
        try:
            chosen = self._proxy.read("lb.poll", None, {"pool": type}, body=body).services
        except RdctlError as error:
            if error.facts.get("remote_status") not in _CANNOT_CHOOSE:
                raise
            return []
        return [one.address for one in chosen if one.address not in (*known, *avoid)]

    def _relinked(
        self, place: Place, type: str, before: Sequence[Link], addresses: Sequence[str]
    ) -> Change | Failure:
        """The outcome: as many links as before, to others in place of these."""
        if self._effects.dry_run:
            return self._done("relink", place.name, ACCEPTED)
        links = self._links(place, type)
        now = [link.address for link in links]
        kept = {link.address for link in before} - {*addresses}
        if len(now) == len(before) and kept <= {*now} and not {*addresses} & {*now}:
            return self._done("relink", place.name, PROVEN, {"services": now})
        message = f'reference "{place.shown}" is now linked to {", ".join(now) or "no service"}'
        hint = f"See its links: rdctl oio reference show {place.words}"
        return Failure("relink", RdctlError(Code.UNPROVEN, message, hint=hint, target=place.name))

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


def _described(type: str, group: Sequence[Link]) -> dict[str, Any]:
    """What the links of one sequence number share."""
    return {"seq": group[0].seq, "type": type, "args": group[0].args}


def _group(place: Place, type: str, links: Sequence[Link], addresses: Sequence[str]) -> list[Link]:
    """The links with the sequence number of these addresses."""
    numbers = {link.address: link.seq for link in links}
    for address in addresses:
        if address not in numbers:
            existing = ", ".join(map(escape, numbers)) or "none"
            raise RdctlError(
                Code.NOT_FOUND,
                f'reference "{place.shown}" is not linked to {escape(type)} {escape(address)}',
                hint=f"Linked {escape(type)} services: {existing}.",
                target=place.name,
            )
    chosen = {numbers[address] for address in addresses}
    if len(chosen) > 1 or None in chosen:
        message = f'the {type} links of reference "{place.shown}" have several sequence numbers'
        hint = "Relink from one service at a time."
        raise RdctlError(Code.USAGE, message, hint=hint, target=place.name)
    return [link for link in links if link.seq in chosen]
