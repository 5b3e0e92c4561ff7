"""What apply made since the machine started, so that --prune removes nothing else.

One file below /run/rdctl, which a reboot clears. Every entry has what identifies the thing itself
(see kernel.identities).
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.state.there import There, identity

_RECORD = "made"
Entries = dict[str, dict[str, Any]]


class Made:
    """The kinds are those of Difference."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._entries: Entries = {}
        with suppress(ValueError, AttributeError, TypeError):
            found = json.loads(backend.record(_RECORD) or "")
            self._entries = {kind: dict(ones) for kind, ones in found.items()}

    def owns(self, kind: str, name: str, there: There) -> bool:
        """Whether apply made this very thing."""
        recorded = self._entries.get(kind, {}).get(name)
        return recorded is not None and recorded == self._identity(kind, name, there)

    def keep(self, made: list[tuple[str, str]], there: There) -> None:
        """Record what was made, beside what still exists."""
        entries: Entries = {}
        known = [(kind, name) for kind, ones in self._entries.items() for name in ones]
        for kind, name in (*(one for one in known if self.owns(*one, there)), *made):
            identity = self._identity(kind, name, there)
            if identity is not None:
                entries.setdefault(kind, {})[name] = identity
        if entries != self._entries:
            self._write(entries)
            self._entries = entries

    def forget(self, kind: str, name: str) -> None:
        """It was removed by hand: one of the same name is another thing."""
        if self._entries.get(kind, {}).pop(name, None) is not None:
            self._write(self._entries)

    def foretell(self) -> None:
        """In a dry run: it would be written."""
        self._write({})

    def _write(self, entries: Entries) -> None:
        """Without it, --prune leaves the things alone."""
        text = json.dumps(entries) + "\n"
        self._backend.keep_record(_RECORD, text, "record what apply created", required=False)

    def _identity(self, kind: str, name: str, there: There) -> Any:
        """What identifies a thing of the machine in this boot; None if it is not there."""
        return identity(self._backend.identities(), there, kind, name)
