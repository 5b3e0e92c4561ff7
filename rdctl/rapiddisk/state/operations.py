"""dump, diff and apply."""

from __future__ import annotations

import json
from collections.abc import Callable

from rdctl.core.results import Change, Document, Report
from rdctl.rapiddisk.state import nvmetcli, writing
from rdctl.rapiddisk.state.apply import Apply
from rdctl.rapiddisk.state.model import only_part
from rdctl.rapiddisk.state.saving import PATH, saving
from rdctl.rapiddisk.state.there import read, state_of


class States(Apply):
    def dump(
        self, warn: Callable[[str], None], *, only: str | None, save: bool, foreign: bool
    ) -> Document | Report:
        """The state of this machine as a document; `save` writes it to the machine's state file.
        `foreign`: in the format of the tool nvmetcli."""
        self._backend.here("dump")
        state = only_part(state_of(self._backend, read(self._backend), warn), only)
        if save:
            return self._saved(writing.toml(state))
        text = nvmetcli.text(state) if foreign else writing.toml(state)
        return Document(text, json.loads(text) if foreign else writing.data(state))

    def _saved(self, text: str) -> Report:
        self._backend.permit()
        step = saving(self._backend, text)
        if step is None:
            return Report([Change("save", PATH, False, True, past="{} is up to date")])
        if step.loss is not None:
            self._effects.consent([step.loss])
        self._effects.foretell([step.sentence])
        step.act()
        done = None if self._effects.dry_run else True
        return Report([Change(step.action, PATH, done, done, past=step.past)])
