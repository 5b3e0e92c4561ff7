"""References: names in the directory, and the services they are linked to."""

from __future__ import annotations

from collections.abc import Mapping

from rdctl.oio.model import Place, Reference
from rdctl.oio.operations.acts import Acts
from rdctl.oio.properties import CREATE, check_user
from rdctl.result import Item, Report


class References(Acts):
    """References: names in the directory, and the services they are linked to."""

    def create(self, place: Place, properties: Mapping[str, str]) -> Report:
        check_user("reference", CREATE, place, properties)
        new = self._change(
            "reference.create",
            place,
            what=f"create the reference {place.shown}",
            shows=f"rdctl oio reference show {place.words}",
            properties=properties,
        )
        return Report([self._done("create", place.name, changed=new)])

    def show(self, place: Place, type: str | None) -> Item:
        services, directory = self._proxy.read("reference.show", place, {"type": type})
        return Item(Reference(place.container, services, directory))

    def destroy(self, place: Place, force: bool) -> Report:
        loss = f"the reference {place.shown} is destroyed"
        if force:
            loss += ", and its links to services are dropped"
        return self._destroy("reference.destroy", "destroy", place, loss, query={"force": force})

    def link(self, place: Place, type: str, renew: bool) -> Report:
        """Link a service of the type, or replace the linked one if it is away."""
        action = "renew" if renew else "link"
        links = self._change(
            f"reference.{action}",
            place,
            {"type": type},
            what=f"{action} {type} of {place.shown}",
            shows=f"rdctl oio reference show {place.words}",
            assume=[],
        )
        facts = {"services": [link.address for link in links]}
        return Report([self._done(action, place.name, changed=None, facts=facts)])

    def unlink(self, place: Place, type: str) -> Report:
        loss = f"{place.shown}: its links to {type} services are dropped"
        return self._destroy("reference.unlink", "unlink", place, loss, query={"type": type})

    def force(
        self, place: Place, type: str, address: str, seq: int, args: str, replace: bool
    ) -> Report:
        loss = None
        if replace:
            loss = f"{place.shown}: {address} takes the place of its {type} service"
            self._effects.consent([loss])
        self._change(
            "reference.force",
            place,
            {"type": type, "replace": replace},
            what=f"link {place.shown} to {type} {address}",
            shows=f"rdctl oio reference show {place.words}",
            destroys=loss,
            address=address,
            type=type,
            seq=seq,
            args=args,
        )
        return Report([self._done("force", place.name)])
