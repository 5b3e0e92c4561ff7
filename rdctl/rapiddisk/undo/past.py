"""What the history says about the changes of this boot: which of them stand, and which thing is
which."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from rdctl.core.acts import Act
from rdctl.history.model import Entry

# What reverts an act; erasing nothing needs nothing.
INVERSES = {
    "create": "remove",
    "remove": "create",
    "resize": "resize",
    "lock": "unlock",
    "unlock": "lock",
    "map": "unmap",
    "unmap": "map",
    "export": "export",
    "authenticate": "authenticate",
    "add-port": "remove-port",
    "remove-port": "add-port",
    "load": "erase",
}
# Verbs that change only what their words name; `create` makes only new volumes.
_BY_NAME = (
    *("create", "remove", "resize", "lock", "unlock", "flush", "save", "load"),
    *("cache create", "cache remove", "cache sync", "nvmet export", "nvmet unexport"),
    *("nvmet revalidate", "nvmet port add", "nvmet port remove", "nvmet host set"),
)
_OF_BOOT = ("boot stop",)
Thing = tuple[str, str, str]


class Past:
    """`entries` is the whole history, oldest first; only those of the same `boot` concern what is
    there now."""

    def __init__(self, entries: Sequence[Entry], boot: str | None) -> None:
        self.entries = list(entries)
        self.boot = boot
        self._place = {entry.id: place for place, entry in enumerate(self.entries)}
        # The things that an undo created, and what they were before they were removed.
        self._former: dict[Thing, Thing] = {}
        self._standing: dict[int, list[Act]] = {}
        for place in reversed(range(len(self.entries))):
            self._look_at(place)

    def _look_at(self, place: int) -> None:
        """All later entries were looked at before."""
        entry = self.entries[place]
        acts = self._standing.setdefault(place, list(entry.acts))
        undone = self._place.get(entry.undoes or "", place)
        if entry.boot != self.boot or undone >= place:
            return
        original = list(self.entries[undone].acts)
        for act in entry.acts:
            if (former := _pop(original, act)) is not None:
                self._succeed(former, act)
        left = self._standing.setdefault(undone, list(self.entries[undone].acts))
        for act in acts:
            _pop(left, act)
            if act.verb == "remove":  # and with it what was loaded
                loads = [one for one in left if (one.verb, *one[1:3]) == ("load", *act[1:3])]
                left[:] = [one for one in left if one not in loads]

    def _succeed(self, former: Act, act: Act) -> None:
        new, old = _thing(*act[1:4]), _thing(*former[1:4])
        if act.before is None and former.after is None and new != old:
            self._former[new] = old

    # --- entries ------------------------------------------------------------------------------

    def here(self, entry: Entry) -> bool:
        """Whether it changed this machine in this boot."""
        return entry.boot is not None and entry.boot == self.boot

    def standing(self, entry: Entry) -> list[Act]:
        """Its acts that no undo has reverted, in order."""
        return self._standing[self._place[entry.id]]

    def later(self, entry: Entry) -> Iterator[Entry]:
        """The later commands here, without those that undo this one or each other."""
        place = self._place[entry.id]
        for other in self.entries[place + 1 :]:
            if self.here(other) and not place <= self._place.get(other.undoes or "", -1):
                yield other

    def undoing(self, entry: Entry) -> list[Entry]:
        """The commands that undo this one, or a part of it."""
        return [other for other in self.entries if other.undoes == entry.id]

    def backwards(self, wanted: Callable[[Entry], bool]) -> Iterator[Entry]:
        """The commands here that this is true of, the latest first."""
        return (entry for entry in reversed(self.entries) if self.here(entry) and wanted(entry))

    # --- things -------------------------------------------------------------------------------

    def thing(self, kind: str, name: str, identity: Any) -> Thing:
        """The same for what an undo created again."""
        found = _thing(kind, name, identity)
        for _ in range(len(self._former)):
            found = self._former.get(found, found)
        return found

    def own(self, act: Act) -> Thing:
        return self.thing(act.kind, act.name, act.identity)

    def touched(self, act: Act) -> set[Thing]:
        return {self.own(act), *(self.thing(*one) for one in act.touched)}


def is_unknown(entry: Entry) -> bool:
    """Whether its outcome is unknown, or what it changed."""
    return entry.result in (None, "unknown") or bool(entry.left or entry.more_acts)


def verb_of(entry: Entry) -> str:
    """The words of a RapidDisk command that name its verb, with what may be an argument."""
    named = [word for word in entry.argv if not word.startswith("-")]
    after = named[named.index("rapiddisk") + 1 :] if "rapiddisk" in named else []
    return " ".join(after[:3])


def is_of_boot(entry: Entry) -> bool:
    """Whether it is a command of the units of the boot, which no operator takes back by chance."""
    return "--boot" in entry.argv or _begins_with(verb_of(entry), _OF_BOOT) is not None


def may_concern(entry: Entry, names: Collection[str]) -> bool:
    """Whether a command of unknown outcome may have changed one of these, by its words."""
    verb = _begins_with(verb_of(entry), _BY_NAME)
    if verb is None or entry.more_argv or "-" in entry.argv:
        return True
    given = {part for word in entry.argv for part in (word, word.partition("=")[2])}
    bare = {word.removeprefix("/dev/").removeprefix("mapper/") for word in given}
    return verb != "create" and bool(bare & {*names})


def _begins_with(text: str, verbs: Sequence[str]) -> str | None:
    return next((verb for verb in verbs if f"{text} ".startswith(f"{verb} ")), None)


def needs_inverse(act: Act) -> bool:
    return act.verb in INVERSES or act.lost is not None


def words(entry: Entry) -> str:
    """The command."""
    more = " ..." if entry.more_argv else ""
    return shlex.join(["rdctl", *entry.argv]) + more


def _thing(kind: str, name: str, identity: Any) -> Thing:
    return kind, name, json.dumps(identity)


def _pop(acts: list[Act], inverse: Act) -> Act | None:
    """The last of these acts that the other one reverts, which is taken out."""
    for place in reversed(range(len(acts))):
        act = acts[place]
        same = (act.kind, act.name) == (inverse.kind, inverse.name)
        if same and INVERSES.get(act.verb) == inverse.verb:
            return acts.pop(place)
    return None
