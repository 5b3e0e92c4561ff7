"""A change in words, as people read of it."""

from __future__ import annotations

from typing import Any

from rdctl.core.results import Change
from rdctl.output import cells

_PAST = {
    "copy": "copied",
    "flush": "erased",
    "force": "linked",
    "freeze": "frozen",
    "reset": "reset",
    "set": "set",
    "use": "in use now",
}
# Of facts that are not known by their keys.
_LABELS = {"properties": "", "not_set": "not set: "}


def sentence(change: Change, terminal: bool) -> str:
    """`rd1 created (64.0 MiB)`, `photos: raw-insert done`."""
    action, target = change.action, cells.text(change.target)
    past = change.past or _PAST.get(action) or action.rstrip("e") + "ed"
    words = f"{target}: {change.past or f'{action} done'}" if "-" in action else f"{target} {past}"
    if change.changed is False:
        words += " already, nothing to do"
    if change.context:
        words = f"{change.context}: {words}"
    facts = (_fact(key, value, terminal) for key, value in change.facts.items())
    if shown := ", ".join(fact for fact in facts if fact):
        words += f" ({shown})"
    if change.changed and change.verified is None:
        words += " (reported, not verified)"
    return words


def _fact(key: str, value: Any, terminal: bool) -> str:
    """`64.0 MiB`, `score 0`, `services 127.0.0.1:6013 127.0.0.1:6014`; nothing of no value."""
    if key == "size" and isinstance(value, int):
        return cells.human(value) if terminal else cells.size(value)
    shown = cells.text(value)
    return "" if shown == cells.NOTHING else _LABELS.get(key, f"{key} ") + shown
