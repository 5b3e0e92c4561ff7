"""What a command changed on a machine, one thing at a time: what undo needs."""

from __future__ import annotations

from typing import Any, NamedTuple


class Act(NamedTuple):
    """One change of one thing, as the history has it.

    `verb` is create, resize, erase, remove, lock, unlock, map, unmap, export (created, changed,
    re-created or removed), authenticate, add-port, remove-port or load; `kind` and `name` are those
    of a Difference. `identity` is that of the thing, as in rdctl/rapiddisk/kernel/identities.py;
    None if it is unknown. `before` and `after` are plain data, None where the thing did not exist.
    `lost` names contents that were lost, in words. `touched` are further things that the change
    concerns, each as (kind, name, identity): the volume and the source of a cache.
    """

    verb: str
    kind: str
    name: str
    identity: Any
    before: Any = None
    after: Any = None
    lost: str | None = None
    touched: tuple[tuple[str, str, Any], ...] = ()
