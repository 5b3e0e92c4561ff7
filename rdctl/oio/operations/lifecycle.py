"""The lifecycle configuration of a container."""

from __future__ import annotations

from rdctl.core.results import Document, Report
from rdctl.oio.acts import ACCEPTED, ALREADY, Acts
from rdctl.oio.lifecycle import KEY, Configuration
from rdctl.oio.model import Place, Properties

_SCHEMA = "rdctl.oio.lifecycle/1"
_VERSIONS = "sys.m2.policy.version"


class Lifecycles(Acts):
    def get(self, place: Place) -> Document:
        """The configuration as stored; no text if none is set."""
        stored = self._read(place).properties.get(KEY)
        text = stored if not stored or stored.endswith("\n") else stored + "\n"
        data = {"schema": _SCHEMA, "container": place.container, "configuration": stored or None}
        return Document(text or "", data, "lifecycle configuration")

    def set(self, place: Place, configuration: Configuration) -> Report:
        """Set a checked configuration. One that would replace another needs confirmation."""
        found = self._read(place)
        for warning in configuration.warnings:
            self._warn(warning)
        if configuration.is_about_versions and found.known_system.get(_VERSIONS) in (None, "1"):
            self._warn(f"{place.shown} may keep no versions: then rules about them have no effect")
        old = found.properties.get(KEY)
        if old == configuration.text:
            return Report([self._done("set", place.name, ALREADY, past=_PAST)])
        loss = None
        if old:
            loss = f'the lifecycle configuration of container "{place.shown}" will be replaced'
            self._effects.consent([loss])
        self._change(
            "container.set_properties",
            place,
            what=f"set the lifecycle configuration of {place.described}",
            shows=f"rdctl oio lifecycle get {place.words}",
            properties={KEY: configuration.text},
            system={},
        )
        return Report([self._done("set", place.name, ACCEPTED, past=_PAST)])

    def _read(self, place: Place) -> Properties:
        found: Properties = self._proxy.read("container.get_properties", place)
        return found


_PAST = "set the lifecycle configuration of"
