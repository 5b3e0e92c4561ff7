"""dump, diff and apply."""

from __future__ import annotations

import json
from collections.abc import Callable

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Document, Report
from rdctl.rapiddisk.state import document, nvmetcli
from rdctl.rapiddisk.state.apply import Apply
from rdctl.rapiddisk.state.model import DIRECTORY, FILE, only_part
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
            return self._saved(document.toml(state))
        text = nvmetcli.text(state) if foreign else document.toml(state)
        return Document(text, json.loads(text) if foreign else document.data(state))

    def _saved(self, text: str) -> Report:
        path = f"/{FILE}"
        self._backend.permit()
        others = self._backend.state_files()
        if others:
            raise RdctlError(
                Code.CONFLICT,
                f"{others[0]} exists: the saved state would name the same things again",
                hint=f"Remove the files in /{DIRECTORY}, or print the state and edit it:"
                " rdctl rapiddisk dump",
                target=path,
            )
        former = self._backend.state_text()
        if former == text:
            return Report([Change("save", path, False, True, past="{} is up to date")])
        if former is not None:
            self._effects.consent([f"{path} will be replaced"])
        self._effects.foretell([f"save the state in {path}"])
        self._backend.keep_state(text)
        done = None if self._effects.dry_run else True
        return Report([Change("save", path, done, done, past="saved {}")])
