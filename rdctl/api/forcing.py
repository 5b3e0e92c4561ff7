"""Options of operations that guards may refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from rdctl.api.call import Changing
from rdctl.core.units import either
from rdctl.rapiddisk.guards import LOOKS, Overrides


class Forcing(Changing, total=False):
    """`force`: continue even if an old daemon does not report whether a device is in use. `unseen`:
    even if these checks failed, out of exports, caches, locks and opens."""

    force: bool
    unseen: Sequence[str]


class Discarding(Forcing, total=False):
    """`discard_contents`: discard data that would be the only copy, or is in the way."""

    discard_contents: bool


def overrides_of(options: Discarding | Forcing) -> Overrides:
    given = cast("Discarding", options)
    for look in given.get("unseen", ()):
        if look not in LOOKS:
            raise ValueError(f"unseen: {look!r}: must be {either(LOOKS)}")
    return Overrides(
        given.get("force", False), given.get("unseen", ()), given.get("discard_contents", False)
    )


def given(overrides: Overrides) -> dict[str, Any]:
    """As options of a command."""
    return {
        "force": overrides.force,
        "unseen": list(overrides.unseen),
        "discard_contents": overrides.discard,
    }
