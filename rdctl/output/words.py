"""Changes as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rdctl.core.results import Change, Summary
from rdctl.output import cells

_PAST = {
    "copy": "copied",
    "flush": "erased",
    "force": "linked",
    "freeze": "frozen",
    "reset": "reset",
    "set": "set",
}
# Of a change that was not necessary, by `past` or the action; else `is already PAST`.
_UNCHANGED = {
    "add": "already exists",
    "clear": "has nothing to clear",
    "create": "already exists",
    "deregister": "has no services",
    "emptied": "is already empty",
    "flushed": "has no services",
    "flushed the listing of": "has no listed containers",
    "set the incident of": "has that incident already",
    "set the lifecycle configuration of": "has that lifecycle configuration already",
    "purge": "has nothing to purge",
    "appended to": "is unchanged: nothing to append",
    "remove": "is already removed",
    "renew": "is up to date",
    "resize": "is already that size",
    "restored": "is not deleted",
    "set": "is up to date",
    "truncate": "is already that size",
    "unexport": "is not exported",
    "unlink": "is not linked",
    "properties updated": "properties are up to date",
    "properties deleted": "no properties deleted",
}
# Labels of facts other than their keys.
_LABELS = {
    "properties": "",
    "not_set": "not set: ",
    "failed_copies": "failed copies ",
    "any_host": "any host: ",
    "nqn": "",
    "resumed_at": "resumed at byte ",
    "to_container": "in container ",
}
# Facts that a message before has said.
_UNSAID = ("undoes", "chunk_method", "before", "after")

# Facts that are sizes, too.
_SIZES = {"stored": "on disk", "used": "used", "added": "added"}


def sentence(change: Change, units: str) -> str:
    """`created rd1 (64.0 MiB)`, `rd1 is already locked`, `photos: raw-insert done`."""
    words = _words(change, cells.text(change.target))
    if change.context:
        words = f"{change.context}: {words}"
    facts = (_fact(key, value, units) for key, value in _folded(change).items())
    if shown := ", ".join(fact for fact in facts if fact):
        words += f" ({shown.replace(', not set: ', '; not set: ')})"
    if change.changed and change.verified is None:
        words += " (reported, not verified)"
    return words


def total(summary: Summary, units: str, past: str, *, planned: bool = False) -> str:
    """`sent 3 (1.2 MiB), skipped 9997 in 0.4 s`; what did not occur is left out, but for what was
    sent (`past` says it) and skipped. `planned`: `would send 3 (1.2 MiB), skip 9997`."""
    plan = ("send" if past == "sent" else "download", "skip", "delete", "fail")
    words = plan if planned else (past, *summary._fields[1:4])
    size = f" ({_fact('bytes', summary.bytes, units)})" if summary.sent else ""
    parts = [f"{words[0]} {summary.sent}{size}", f"{words[1]} {summary.skipped}"]
    rare = zip(words[2:], (summary.deleted, summary.failed), strict=True)
    line = ", ".join([*parts, *(f"{word} {count}" for word, count in rare if count)])
    return f"would {line}" if planned else f"{line} in {summary.seconds:.1f} s"


def _words(change: Change, target: str) -> str:
    action, past = change.action, change.past
    if past and "{}" in past:
        return past.format(target)
    colon = ":" if "-" in action else ""
    past = past or (f"{action} done" if colon else _PAST.get(action, action.rstrip("e") + "ed"))
    if change.changed is False:
        unchanged = _UNCHANGED.get(change.past or action, f"is already {past}")
        return f"{target}{colon} {unchanged}"
    return f"{target}: {past}" if colon else f"{past} {target}"


# Facts that a sentence of its own names, or that are too long for it.
_SAID = (
    *("file", "sha256"),
    # Of repairs.
    *("container", "rebuilt", "chunks", "unreachable", "remarks", "objects", "repaired", "failed"),
)


def _folded(change: Change) -> Mapping[str, Any]:
    """The facts of a sentence, with `copies 2/3`, or `fragments 8/9`, in place of those stored and
    those requested."""
    facts = change.facts
    if change.past and "{}" in change.past:
        facts = {key: value for key, value in facts.items() if key not in _SAID}
    if "wanted" not in facts:
        return facts
    chunks = "fragments" if str(facts.get("chunk_method")).startswith("ec/") else "copies"
    stored = f"{facts['copies']}/{facts['wanted']}"
    return {
        chunks if key == "copies" else key: stored if key == "copies" else value
        for key, value in facts.items()
        if key != "wanted"
    }


def _fact(key: str, value: Any, units: str) -> str:
    """`64.0 MiB`, `score 0`, `services 127.0.0.1:6013 127.0.0.1:6014`; nothing of no value."""
    if key in ("size", "bytes") and isinstance(value, int):
        shown = cells.size(value, units)
        return f"{shown} bytes" if shown.isdigit() else shown
    if key == "resumed_at" and not value:
        return ""
    if key in _SIZES and isinstance(value, int):
        return f"{_fact('size', value, units)} {_SIZES[key]}"
    if key in _UNSAID:
        return ""
    several = isinstance(value, list | tuple)
    shown = ", ".join(map(cells.text, value)) if several else cells.text(value)
    return "" if shown in ("", cells.NOTHING) else _LABELS.get(key, f"{key} ") + shown
