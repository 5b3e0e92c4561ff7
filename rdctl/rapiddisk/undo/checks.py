"""What prevents an undo, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rdctl.core.acts import Act
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import human_size, quoted
from rdctl.history.model import Entry
from rdctl.rapiddisk import plain
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.identity import is_as
from rdctl.rapiddisk.state.there import identity, read
from rdctl.rapiddisk.undo.inverses import CHANGED, GONE, THERE, outcome_of
from rdctl.rapiddisk.undo.past import Past, Thing, is_unknown, may_concern, needs_inverse, words

_LOST_WHEN = {
    "remove": "removed",
    "erase": "erased",
    "resize": "resized",
    "map": "mapped",
    "load": "overwritten",
}


class Checks:
    """What is there, read once, beside what the history says."""

    def __init__(self, backend: Backend, past: Past) -> None:
        self._backend = backend
        self._past = past
        self._there = read(backend)
        self._identities = backend.identities()
        self._touches: dict[str, set[Thing]] = {}

    def left(self, entry: Entry) -> list[Act]:
        """What is to be undone, the latest first. Of an undo that was killed, the history does not
        have what it did: the machine shows it."""
        acts = self._standing(entry)
        if not self._is_in_doubt(entry):
            return acts
        return [act for act in acts if not self._is_undone(act, acts)]

    def _standing(self, entry: Entry) -> list[Act]:
        acts = [act for act in reversed(self._past.standing(entry)) if needs_inverse(act)]
        going = {act.name for act in acts if act.verb == "create"}
        # What was loaded goes with its volume.
        return [act for act in acts if act.verb != "load" or act.name not in going]

    def is_candidate(self, entry: Entry) -> bool:
        """Whether something of it is to be undone that nobody has reverted otherwise."""
        return any(not self._is_reverted(act) for act in self.left(entry))

    def is_free(self, entry: Entry) -> bool:
        """Whether nothing prevents its undo."""
        acts = self.left(entry)
        if any(self._own_reasons(entry, acts)):
            return False
        return not any(self._later(entry, acts))

    def reasons(self, entry: Entry, acts: Sequence[Act]) -> list[RdctlError]:
        """All that prevents it. The hint to undo a later command first is only where that helps."""
        found = [*self._own_reasons(entry, acts)]
        later = [*self._later(entry, acts)]
        helps = not found
        for blocker, thing in later:
            if thing is None:
                found.append(_of_unknown(blocker))
            else:
                hinted = helps and blocker is later[0][0] and self.is_free(blocker)
                found.append(_of_later(blocker, thing, hinted=hinted))
        return found

    def _own_reasons(self, entry: Entry, acts: Sequence[Act]) -> Iterator[RdctlError]:
        """Those that are not in later commands."""
        yield from self._of_entry(entry)
        undone = [act for act in self._standing(entry) if act not in acts]
        will = {(act.kind, act.name): outcome_of(act) != GONE for act in undone}
        yield from self._of_acts(acts, will, doubt=self._is_in_doubt(entry))

    def _is_in_doubt(self, entry: Entry) -> bool:
        return any(map(is_unknown, self._past.undoing(entry)))

    # --- the command --------------------------------------------------------------------------

    def _of_entry(self, entry: Entry) -> Iterator[RdctlError]:
        if entry.left or entry.more_left:
            yield _refusal(f"it failed, and left behind: {', '.join(entry.left)}")
        elif entry.result in (None, "unknown"):
            yield _refusal(
                "its outcome is unknown: it was killed, or is still running", _mend(entry)
            )
        if entry.more_acts:
            yield _refusal(f"{entry.more_acts} of its changes are not in the history")

    def _later(
        self, entry: Entry, acts: Sequence[Act]
    ) -> Iterator[tuple[Entry, tuple[str, str] | None]]:
        """The later commands that prevent it, the newest first, each with the thing that it changed
        or uses; None: that is unknown."""
        concerned: set[Thing] = set()
        for act in acts:
            own = {self._past.own(act)}
            concerned |= self._past.touched(act) if outcome_of(act) == THERE else own
        names = {name for act in acts for _, name, _ in self._past.touched(act)}
        for later in reversed([*self._past.later(entry)]):
            if is_unknown(later):
                if may_concern(later, names):
                    yield later, None
            elif both := concerned & self._touched(later):
                yield later, min(both)[:2]

    def _touched(self, entry: Entry) -> set[Thing]:
        """What its acts that still stand changed or use."""
        if entry.id not in self._touches:
            in_doubt = self._is_in_doubt(entry)
            standing = self.left(entry) if in_doubt else self._past.standing(entry)
            touched = {thing for act in standing for thing in self._past.touched(act)}
            self._touches[entry.id] = touched
        return self._touches[entry.id]

    # --- its acts -----------------------------------------------------------------------------

    def _of_acts(
        self, acts: Sequence[Act], will: dict[tuple[str, str], bool], *, doubt: bool
    ) -> Iterator[RdctlError]:
        """In the order in which they are undone: what one creates is there for the next one, as
        `will` says, at first of what a killed undo did."""
        for act in acts:
            key, outcome = (act.kind, act.name), outcome_of(act)
            if reason := _never(act, acts):
                yield reason
            elif outcome == THERE:
                if will.get(key, True) and (reason := self._taken(act, doubt)):
                    yield reason
                yield from self._parts(act, will)
            elif key not in will and (reason := self._other(act, doubt)):
                yield reason
            will[key] = outcome != GONE

    def _taken(self, act: Act, doubt: bool) -> RdctlError | None:
        """What would be created again must not be there."""
        if self._now(act.kind, act.name) is None:
            return None
        if doubt and act.kind == "export":
            there = self._there.exports[act.name]
            if there.serial == act.before["serial"] or not there.ports:
                return None  # a killed undo left it so; without ports no client could connect
        if doubt and act.kind == "cache" and self._is_of(act):
            return None  # it lacks only that it is set to write back
        removal = {
            "volume": f"remove {act.name}",
            "cache": f"cache remove {act.name}",
            "port": f"nvmet port remove {act.name}",
            "export": f"nvmet unexport --nqn {quoted(act.name)}",
        }[act.kind]
        why = f"{_shown(act.kind, act.name)} was created again later"
        hint = f"If it is not needed, remove it: rdctl rapiddisk {removal}"
        return _refusal(why, hint, act.name)

    def _parts(self, act: Act, will: dict[tuple[str, str], bool]) -> Iterator[RdctlError]:
        """The devices of what is created again must be the same ones."""
        for kind, name, recorded in act.touched:
            if will.get((kind, name)):
                continue
            now = self._now(kind, name)
            if kind == "disk" and act.kind == "cache":
                kind, name, now = self._source(act, (kind, name, now))
            if not self._is(kind, name, now, recorded):
                yield _gone_or_other(kind, name, now)

    def _source(self, act: Act, otherwise: tuple[str, str, Any]) -> tuple[str, str, Any]:
        kernel = self._backend.kernel_of(act.before["source"])
        return self._identities.device(kernel) if kernel else (*otherwise[:2], None)

    def _other(self, act: Act, doubt: bool) -> RdctlError | None:
        """What would be changed or removed must be what it was about, and as it left it."""
        now = self._now(act.kind, act.name)
        if act.kind == "host" and now is None:
            return None  # it has no key, since it went with its exports
        if doubt and act.kind == "export" and self._is_rest(act):
            return None
        if not self._is(act.kind, act.name, now, act.identity):
            return _gone_or_other(act.kind, act.name, now)
        if act.verb == "resize":
            size = self._there.volumes[act.name].size or 0
            if size != act.after["size"]:
                was = human_size(act.after["size"])
                why = f"{act.name} is {human_size(size)}, no longer {was}"
                return _refusal(why, target=act.name)
        if act.verb == "export" and not doubt:
            if not is_as(self._there.exports[act.name], plain.subsystem(act.after)):
                why = f"{_shown(act.kind, act.name)} was changed since, not by rdctl"
                return _refusal(why, target=act.name)
        return None

    def _is_rest(self, act: Act) -> bool:
        """Whether an export is what a killed undo left of this one."""
        found = self._there.exports.get(act.name)
        return found is not None and found.serial == act.identity[1][0]

    def _is(self, kind: str, name: str, now: Any, recorded: Any) -> bool:
        if now is None or recorded is None:
            return False
        return self._past.thing(kind, name, now) == self._past.thing(kind, name, recorded)

    def _now(self, kind: str, name: str) -> Any:
        """The identity of what has this name; None if nothing has."""
        if kind != "disk":
            return identity(self._identities, self._there, kind, name)
        paths = (f"/dev/{name}", f"/dev/mapper/{name}")
        kernels = filter(None, map(self._backend.kernel_of, paths))
        return next((self._identities.disk(kernel) for kernel in kernels), None)

    # --- what is undone already ---------------------------------------------------------------

    def _is_reverted(self, act: Act) -> bool:
        """Whether what it changed is as it was before, however that came."""
        if outcome_of(act) != CHANGED or act.before is None:
            return False
        now = self._now(act.kind, act.name)
        return self._is(act.kind, act.name, now, act.identity) and self._is_as_before(act)

    def _is_undone(self, act: Act, acts: Sequence[Act]) -> bool:
        """Whether the machine is as it is after the act was undone, as one of these acts."""
        now, outcome = self._now(act.kind, act.name), outcome_of(act)
        if outcome != THERE and not self._is(act.kind, act.name, now, act.identity):
            if act.kind == "export" and self._is_rest(act):
                return False
            key = act.kind, act.name
            return any((one.kind, one.name) == key and outcome_of(one) == GONE for one in acts)
        if outcome == GONE or now is None or act.before is None:
            return False
        return self._is_as_before(act)

    def _is_as_before(self, act: Act) -> bool:
        if act.kind == "volume":
            facts = self._there.volumes[act.name]._asdict()
            before = {"usage": 0} if act.verb == "load" else act.before
            return all(facts[key] == value for key, value in before.items())
        if act.kind == "cache":
            unarmed = self._backend.is_unarmed(self._there.caches[act.name])
            return self._is_of(act) and not unarmed
        if act.kind == "host":
            there = plain.of_auth(self._there.hosts[act.name].auth)
            return act.lost is None and bool(there == act.before)
        if act.kind == "port":
            return self._there.ports[int(act.name)] == plain.port(act.before)
        return is_as(self._there.exports[act.name], plain.subsystem(act.before))

    def _is_of(self, act: Act) -> bool:
        """Whether the cache is of the volume and the policy that it was."""
        cache = self._there.caches[act.name]
        return (cache.volume, cache.policy) == (act.before["volume"], act.before["policy"])


def _never(act: Act, acts: Sequence[Act]) -> RdctlError | None:
    """Why this act can never be undone."""
    name = _shown(act.kind, act.name)
    if act.lost is not None:
        one = "data" if act.kind != "host" else "its former"
        were = "was" if act.lost.startswith(one) and " and " not in act.lost else "were"
        when = _LOST_WHEN.get(act.verb, "removed" if act.after is None else "changed")
        why = f"{name}: {act.lost} {were} lost when it was {when}; cannot be restored"
        return _refusal(why, _key_again(act, acts) if act.kind == "host" else None, act.name)
    if act.verb == "map" and act.after.get("adopted"):
        why = f"{name} was adopted: its blocks may be written back by now"
        hint = f"To write them back and remove it: rdctl rapiddisk cache remove {act.name}"
        return _refusal(why, hint, act.name)
    if act.verb == "unmap" and act.before is None:
        return _refusal(f"{name} was incomplete", target=act.name)
    return None


def _key_again(act: Act, acts: Sequence[Act]) -> str:
    """How to set a key that is lost. A host goes with its last export, whose undo sets no key."""
    nqn = quoted(act.name)
    if act.after is None and any(other.kind == "export" for other in acts):
        words = f"nvmet export DEVICE --port ID --host {nqn} --auth-key-file FILE"
        return f"Export it again, with the key file: rdctl rapiddisk {words}"
    words = f"nvmet host set {nqn} --auth-key-file FILE"
    return f"Set it again from its file: rdctl rapiddisk {words}"


def _mend(unknown: Entry) -> str:
    if unknown.undoes:
        return f"Complete it: rdctl rapiddisk undo {unknown.undoes}"
    return "Check the machine, and continue by hand: rdctl rapiddisk overview"


def _of_unknown(later: Entry) -> RdctlError:
    why = f"the outcome of a later command is unknown: {later.id} ({words(later)})"
    return _refusal(why, _mend(later))


def _of_later(later: Entry, thing: tuple[str, str], *, hinted: bool) -> RdctlError:
    hint = f"Undo that first: rdctl rapiddisk undo {later.id}" if hinted else None
    why = f"a later command changed or uses {_shown(*thing)}: {later.id} ({words(later)})"
    return _refusal(why, hint, thing[1])


def _gone_or_other(kind: str, name: str, now: Any) -> RdctlError:
    shown = _shown(kind, name)
    why = f"{shown} no longer exists"
    if now is not None:
        why = f"{shown} is not the same {kind}: it was removed and created again"
    return _refusal(why, target=name)


def _refusal(why: str, hint: str | None = None, target: str | None = None) -> RdctlError:
    return RdctlError(Code.CONFLICT, why, hint=hint, target=target)


def _shown(kind: str, name: str) -> str:
    return f"{kind} {name}" if kind in ("port", "host", "export") else name
