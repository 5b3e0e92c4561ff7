"""The systemd unit of rapiddiskd."""

from __future__ import annotations

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Item, Report, between
from rdctl.rapiddisk.changes import Changes, unproven

# The state of a unit after each act: a field and its value.
_STATES = {
    "start": ("active", True),
    "stop": ("active", False),
    "enable": ("enabled", True),
    "disable": ("enabled", False),
}


class Daemon(Changes):
    def status(self) -> Item:
        """The systemd unit of rapiddiskd on this machine."""
        return Item(self._backend.daemon())

    def act(self, verb: str) -> Report:
        """`start`, `stop`, `enable` or `disable` the unit."""
        self._backend.permit_daemon()
        unit = self._backend.daemon()
        if not unit.installed:
            raise RdctlError(
                Code.NOT_FOUND,
                f"unit {unit.unit} not found on this machine",
                hint="It is optional: local mode does not need it.",
                target=unit.unit,
            )
        key, expected = _STATES[verb]
        past = "stopped" if verb == "stop" else None
        facts = between({key: getattr(unit, key)}, {key: expected})
        if getattr(unit, key) == expected:
            return Report([Change(verb, unit.unit, False, True, facts, past)])
        loss = None
        if verb == "stop":
            loss = f"{unit.unit} will be stopped: remote clients can no longer manage this machine"
            self._effects.consent([loss])
        self._backend.daemon_act(verb, loss)
        return self._proven(
            verb,
            unit.unit,
            lambda: getattr(self._backend.daemon(), key) == expected,
            unproven(unit.unit, "its state did not change"),
            facts,
            past,
        )
