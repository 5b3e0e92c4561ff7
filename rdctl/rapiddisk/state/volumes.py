"""The steps for volumes: they are created, grow, and are locked or unlocked. None shrinks."""

from __future__ import annotations

from functools import partial

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import between
from rdctl.core.units import MIB, human_size
from rdctl.rapiddisk.memory import guard_memory
from rdctl.rapiddisk.names import number_of
from rdctl.rapiddisk.state import images
from rdctl.rapiddisk.state.model import VolumeState
from rdctl.rapiddisk.state.plan import Refusal, Stage, Step, Work


def plan(work: Work) -> list[Step | Refusal]:
    found: list[Step | Refusal] = []
    growth = 0
    for wanted in work.comparison.wanted.volumes:
        differing = {one.key: one for one in work.comparison.volume(wanted)}
        with work.refusing("volume", wanted.name, found, wanted.at):
            if None in differing and work.options.only == "images":
                work.check_planned("volume", wanted.name, ())
            elif None in differing or "size" in differing:
                there = work.comparison.there.volumes.get(wanted.name)
                more = wanted.size - (there.size or 0 if there else 0)
                if more > 0 and not work.options.overcommit:
                    guard_memory(work.backend.memory(), work.facts.inventory.volumes, growth + more)
                found.append(_grow(work, wanted) if there else _create(work, wanted))
                growth += more
        if ("volume", wanted.name) in work.refused:
            continue
        with work.refusing("image", wanted.name, found, wanted.at):
            found += images.plan(work, wanted, differing.values())
            if "locked" in differing or (None in differing and wanted.locked):
                if not _is_locked_later(work, wanted):
                    found.append(_lock(work, wanted))
        if work.options.boot and ("image", wanted.name) in work.refused:
            found += images.noted(work, wanted)
    return found


def _is_locked_later(work: Work, wanted: VolumeState) -> bool:
    """Whether the image or the exports, which --only leaves out, have to come before the lock."""
    if work.options.only is None or not wanted.locked:
        return False
    if work.options.only == "caches" and wanted.image is not None:
        return True
    there = work.comparison.there.exports
    return any(e.device == wanted.name and e.nqn not in there for e in work.whole.exports)


def plan_locks(work: Work) -> list[Step | Refusal]:
    """The locks that had to wait for the exports, which --only selects."""
    exported = {
        export.device
        for export in work.comparison.wanted.exports
        if ("export", export.nqn) not in work.refused
    }
    there = work.comparison.there.volumes
    return [
        _lock(work, wanted)
        for wanted in work.whole.volumes
        if wanted.locked and wanted.name in exported
        if wanted.name in there and not there[wanted.name].locked
    ]


def _create(work: Work, wanted: VolumeState) -> Step:
    def act() -> None:
        work.backend.create(wanted.size, number_of(wanted.name))

    return Step(
        Stage.VOLUME,
        "volume",
        wanted.name,
        f"create volume {wanted.name} ({human_size(wanted.size)})",
        act,
        "create",
        {"size": wanted.size, **between(None, {"size": wanted.size})},
        makes=True,
        keys=(None, "size"),
    )


def _grow(work: Work, wanted: VolumeState) -> Step:
    volume = work.comparison.there.volumes[wanted.name]
    size = volume.size or 0
    if wanted.size < size:
        raise RdctlError(
            Code.CONFLICT,
            f"{wanted.name} is larger ({human_size(size)}) than in the file"
            f" ({human_size(wanted.size)}): apply never shrinks a volume",
            hint=_shrink(wanted),
        )
    work.facts.guard(volume, free=False)
    work.facts.guard_contents(volume, may_go=False)
    exports = work.facts.exports_of(wanted.name)

    def act() -> None:
        work.backend.resize(wanted.name, wanted.size, None)
        for target in exports:
            work.backend.revalidate(target.nqn, target.namespace or 0)

    return Step(
        Stage.VOLUME,
        "volume",
        wanted.name,
        f"resize volume {wanted.name} from {human_size(size)} to {human_size(wanted.size)}",
        act,
        "resize",
        {"size": wanted.size, **between({"size": volume.size}, {"size": wanted.size})},
        keys=("size",),
    )


def _shrink(wanted: VolumeState) -> str:
    # A smaller volume would no longer have room for its image.
    if wanted.size % MIB or wanted.image is not None:
        return "Change the size in the file."
    return (
        f"Change the size in the file, or shrink it: rdctl rapiddisk resize {wanted.name}"
        f" {wanted.size // MIB}M"
    )


def _lock(work: Work, wanted: VolumeState) -> Step:
    action = "lock" if wanted.locked else "unlock"
    return Step(
        Stage.LOCK if wanted.locked else Stage.UNLOCK,
        "volume",
        wanted.name,
        f"{action} volume {wanted.name}",
        partial(work.backend.set_lock, wanted.name, wanted.locked),
        action,
        between({"locked": not wanted.locked}, {"locked": wanted.locked}),
        keys=("locked",),
    )
