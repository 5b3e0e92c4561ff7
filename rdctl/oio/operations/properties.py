"""Properties of references, containers, contents and bases: one family for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rdctl.oio.model import Place
from rdctl.oio.operations.acts import Acts
from rdctl.oio.properties import SET, check_user, system_values
from rdctl.result import Item, Report
from rdctl.units import escape


class PropertiesOf(Acts):
    """Properties of references, containers, contents and bases: one family for all."""

    def get(
        self, family: str, place: Place, keys: Sequence[str] | None, query: Mapping[str, Any]
    ) -> Item:
        """All properties, or those of these names: a filter that servers ignore is applied here."""
        wanted: dict[str, Any] = {"keys": keys} if keys else {}
        found = self._proxy.read(f"{family}.get_properties", place, query, **wanted)
        if keys is not None:
            user = {key: value for key, value in found.properties.items() if key in keys}
            system = {key: value for key, value in found.system.items() if key in keys}
            found = found._replace(properties=user, system=system)
        return Item(found._replace(target=place.name))

    def set(
        self,
        family: str,
        place: Place,
        properties: Mapping[str, str],
        system: Mapping[str, str],
        replace: bool,
        query: Mapping[str, Any],
    ) -> Report:
        """Set properties; `replace` drops all others."""
        check_user(family, SET, place, properties)
        system = system_values(system, new=False)
        if not properties and not system:
            return Report([self._done("set-properties", place.name, False, {"properties": []})])
        losses = []
        if replace:
            losses.append(f"{place.shown}: all its other properties are dropped")
        if system:
            losses.append(
                f"{place.shown}: set system properties {escape(', '.join(sorted(system)))}"
            )
        if losses:
            self._effects.consent(losses)
        self._change(
            f"{family}.set_properties",
            place,
            {**query, "flush": replace},
            what=f"set properties of {place.shown}",
            shows=f"rdctl oio {family} get-properties {place.words}",
            destroys="; ".join(losses) or None,
            properties=properties,
            system=system,
        )
        facts = {"properties": [*properties, *system]}
        return Report([self._done("set-properties", place.name, facts=facts)])

    def delete(
        self,
        family: str,
        place: Place,
        keys: Sequence[str] | None,
        query: Mapping[str, Any],
    ) -> Report:
        """Delete the named properties. An empty list means all of them to some servers and none to
        others, so it is never sent; None are all that there are."""
        loss = None
        all = keys is None
        if keys is None:
            found = self._proxy.read(f"{family}.get_properties", place, query)
            keys = sorted(found.properties)
        if not keys:
            return Report([self._done("del-properties", place.name, False, {"properties": []})])
        if all:
            loss = f"{place.shown}: all its properties are dropped: {escape(', '.join(keys))}"
            self._effects.consent([loss])
        self._change(
            f"{family}.del_properties",
            place,
            query,
            what=f"delete properties of {place.shown}",
            shows=f"rdctl oio {family} get-properties {place.words}",
            destroys=loss,
            all=all,
            keys=keys,
        )
        facts = {"properties": list(keys)}
        return Report([self._done("del-properties", place.name, facts=facts)])
