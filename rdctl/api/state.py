"""The state of a machine, as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, cast

from rdctl.api.call import Changing, Noun, Words, data, each, words
from rdctl.api.checking import one_of, within
from rdctl.api.models import Difference, Outcome, State, typed

if TYPE_CHECKING:
    from rdctl.core.results import Document, Listing, Report
    from rdctl.rapiddisk.state.files import Source
    from rdctl.sites import Site

Path = str | os.PathLike[str]
_PARTS = ("caches", "exports")


class MachineState(Noun):
    """Volumes, caches, ports and exports of a machine as a file (local only). A `file` is a path, a
    mapping as in `dump().data`, or None for the state file of the machine."""

    def dump(self, *, only: str | None = None) -> State:
        """The state of the machine; `only` its "caches" or "exports"."""
        one_of("only", only, _PARTS)

        def act(site: Site) -> Document:
            dumped = site.rapiddisk.states.dump(site.warn, only=only, save=False, foreign=False)
            return cast("Document", dumped)

        document = data(self._setup, words("rapiddisk dump", only=only), act)
        return State(document.text, document.data)

    def save(self, **options: Unpack[Changing]) -> Outcome:
        """Make the state of the machine its state file."""

        def act(site: Site) -> Report:
            saved = site.rapiddisk.states.dump(site.warn, only=None, save=True, foreign=False)
            return cast("Report", saved)

        return self._change(words("rapiddisk dump", save=True), act, options)

    def diff(
        self, file: Path | Mapping[str, Any] | None = None, *, only: str | None = None
    ) -> list[Difference]:
        """What differs between the machine and a file."""
        one_of("only", only, _PARTS)

        def act(site: Site) -> Listing:
            return site.rapiddisk.states.diff(lambda: _state(site, file), only, False)

        what = words("rapiddisk diff", *_named(file), only=only)
        return list(each(self._setup, _with(what, file), act, _difference))

    def apply(
        self,
        file: Path | Mapping[str, Any] | None = None,
        *,
        prune: bool = False,
        recreate: bool = False,
        overcommit: bool = False,
        wait: float = 0.0,
        save: bool = False,
        only: str | None = None,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Make the machine as a file says, as one transaction. `prune` removes what an earlier
        apply created and the file lacks; `save` makes a path the state file of the machine."""
        one_of("only", only, _PARTS)
        within("wait", wait, 0)
        if save and not isinstance(file, str | os.PathLike):
            raise TypeError("save requires a path")
        what = words(
            "rapiddisk apply",
            *_named(file),
            prune=prune,
            recreate=recreate,
            overcommit=overcommit,
            wait=wait or None,
            save=save,
            only=only,
        )

        def act(site: Site) -> Report:
            from rdctl.rapiddisk.state.plan import Options

            chosen = Options(prune, recreate, overcommit, False, only, save)
            states = site.rapiddisk.states
            return states.apply(lambda: _state(site, file), chosen, wait, site.warn)

        return self._change(_with(what, file), act, options)


def _named(file: Path | Mapping[str, Any] | None) -> Sequence[str]:
    """As arguments of a command."""
    if file is None:
        return []
    return ["-"] if isinstance(file, Mapping) else [os.fspath(file)]


def _with(what: Words, file: Path | Mapping[str, Any] | None) -> Words:
    """The command, with the file that it names."""
    text = json.dumps(file).encode() if isinstance(file, Mapping) else None
    return what._replace(files=tuple(_named(file)), stdin=text)


def _state(site: Site, file: Path | Mapping[str, Any] | None) -> Source:
    return site.state_file(next(iter(_named(file)), None))


def _difference(one: Any) -> Difference:
    if isinstance(one, Mapping):
        return cast("Difference", typed(Difference, one))
    return Difference(*one)
