"""Properties of references, containers, objects and databases: one family for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from rdctl.core.errors import RdctlError
from rdctl.core.results import Item, Report, between
from rdctl.core.units import escape
from rdctl.oio.acts import ACCEPTED, ALREADY, PROVEN, Acts, Evidence, different
from rdctl.oio.model import Place
from rdctl.oio.properties import DELETE, SET, check_deletion, check_user, system_values, will_be


class PropertiesOf(Acts):
    def get(
        self, family: str, place: Place, keys: Sequence[str] | None, query: Mapping[str, Any]
    ) -> Item:
        """All properties, or those with these names: the filter is applied here, as servers ignore
        it."""
        only: dict[str, Any] = {"keys": keys} if keys else {}
        found = self._proxy.read(f"{family}.get_properties", place, query, **only)
        if keys is not None:
            user = {key: value for key, value in found.properties.items() if key in keys}
            system = found.system and {k: v for k, v in found.system.items() if k in keys}
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
        """Set properties; `replace` deletes all others. Unchanged ones are not sent."""
        check_user(family, SET, place, properties)
        system = system_values(system, new=False)
        names = [*properties, *system]

        def done(evidence: Evidence, names: Sequence[str], difference: Mapping[str, Any]) -> Report:
            facts = {"properties": list(names), **difference}
            return Report([self._done(SET, place.name, evidence, facts, "properties updated")])

        if not names:
            return done(ALREADY, names, {})
        requested = _facts(properties, system)
        found = self._proxy.read(f"{family}.get_properties", place, query)
        # One that is not set equals an empty one.
        now = {**dict.fromkeys(system, ""), **found.known_system} if system else {}
        was = dict(found.properties) if replace else _some(found.properties, properties)
        before = _facts(was, _some(now, system))
        system = different(system, now)
        if not replace:
            properties = different(properties, found.properties)
        elif properties == found.properties:
            replace, properties = False, {}
        if not replace and not properties and not system:
            return done(ALREADY, names, between(before, before))
        losses = []
        if replace:
            losses.append(f"{place.shown}: all other properties will be deleted")
        losses += [
            f"{place.shown}: {will_be(key, value, now[key])}"
            for key, value in sorted(system.items())
        ]
        if losses:
            self._effects.consent(losses)
        self._change(
            f"{family}.set_properties",
            place,
            {**query, "flush": replace},
            what=f"set properties of {place.described}",
            shows=f"rdctl oio {family} get-properties {place.words}",
            destroys="; ".join(losses) or None,
            properties=properties,
            system=system,
        )
        verified = system and not self._effects.dry_run and self._has(family, place, query, system)
        difference = between(before, requested)
        return done(PROVEN if verified else ACCEPTED, [*properties, *system], difference)

    def _has(
        self, family: str, place: Place, query: Mapping[str, Any], system: Mapping[str, str]
    ) -> bool:
        """Whether the server reports these system properties after a change; what it does not
        report, or cannot at the moment, is not verified, and no error."""
        with suppress(RdctlError):
            found = self._proxy.read(f"{family}.get_properties", place, query)
            return not different(system, {**dict.fromkeys(system, ""), **found.known_system})
        return False

    def delete(
        self,
        family: str,
        place: Place,
        keys: Sequence[str] | None,
        query: Mapping[str, Any],
    ) -> Report:
        """Delete those of the named properties that are set. An empty list means all of them to
        some servers and none to others, so it is never sent; None means all existing ones."""
        read = f"{family}.get_properties"
        found = {} if keys == [] else self._proxy.read(read, place, query).properties
        requested = sorted(found) if keys is None else list(dict.fromkeys(keys))
        there = [key for key in requested if key in found]
        absent = [key for key in requested if key not in found]
        check_deletion(family, place, absent)

        def done(evidence: Evidence) -> Report:
            facts = {"properties": there, **({"not_set": absent} if absent else {})}
            facts |= between(_facts(_some(found, there), {}), _facts(dict.fromkeys(there), {}))
            return Report([self._done(DELETE, place.name, evidence, facts, "properties deleted")])

        if not there:
            return done(ALREADY)
        loss = None
        if keys is None:
            loss = f"{place.shown}: all properties will be deleted: {escape(', '.join(there))}"
            self._effects.consent([loss])
        self._change(
            f"{family}.del_properties",
            place,
            query,
            what=f"delete properties of {place.described}",
            shows=f"rdctl oio {family} get-properties {place.words}",
            destroys=loss,
            all=keys is None,
            keys=there,
        )
        return done(ACCEPTED)


def _some(found: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """These of them; None: not set."""
    return {key: found.get(key) for key in keys}


def _facts(properties: Mapping[str, Any], system: Mapping[str, Any]) -> dict[str, Any]:
    """As a change reports them."""
    return {"properties": properties, **({"system": system} if system else {})}
