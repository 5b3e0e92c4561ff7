"""What may go wrong at the next boot or shutdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rdctl.core.errors import RdctlError
from rdctl.core.units import escape, human_size, operand
from rdctl.rapiddisk.boot import units
from rdctl.rapiddisk.boot.model import BootUnit, BootWarning, Dirty
from rdctl.rapiddisk.boot.program import doubt
from rdctl.rapiddisk.model import Volume
from rdctl.rapiddisk.state.model import State


def program(words: Sequence[str], mount_point: Callable[[str], str]) -> BootWarning | None:
    """That the program of the units may be missing at boot."""
    reason = doubt(words, mount_point)
    if reason is None:
        return None
    why = "The units run it. Install rdctl for all users, then run: rdctl rapiddisk boot enable"
    return BootWarning(f"rdctl may not run at boot: {reason}", why, None)


def idle(
    shown: Iterable[BootUnit], state: State | None, caches: Sequence[Dirty]
) -> Iterator[BootWarning]:
    """That a unit is enabled and has something to save, but is not stopped at the next shutdown."""
    planned = state is not None and any(one.policy == "writeback" for one in state.caches)
    acts = {}
    if planned or caches:
        acts[units.CACHES] = "write caches back"
    if state is not None and any(one.image for one in state.volumes):
        acts[units.IMAGES] = "save the contents of volumes"
    for one in shown:
        if one.unit in acts and one.enabled and not one.active:
            act = acts[one.unit]
            yield BootWarning(
                f"{one.unit} is enabled but not active: the next shutdown does not run it",
                f"systemd stops only active units, so it does not {act} before it shuts down.",
                "rdctl rapiddisk boot enable --now",
            )


def unsaved(error: RdctlError) -> BootWarning:
    """Why an image would not be saved."""
    why = "; ".join((error.hint or "").splitlines())
    return BootWarning(f"not saved at the next shutdown: {error.message}", why, None)


def outgrown(volume: Volume, size: int) -> BootWarning:
    """That the volume of the next boot has no room for the image of this one."""
    return BootWarning(
        f"not loaded at the next boot: {volume.device} is larger ({human_size(volume.size or 0)})"
        f" than in the state file ({human_size(size)})",
        "Its image has the size of the volume, and will not fit.",
        "rdctl rapiddisk dump --save",
    )


def not_kept(shown: Iterable[BootUnit], state: State | None) -> BootWarning | None:
    """That the contents of volumes do not survive a reboot, since the unit is off."""
    names = [one.name for one in state.volumes if one.image] if state is not None else []
    unit = next(one for one in shown if one.unit == units.IMAGES)
    if not names or unit.enabled:
        return None
    return BootWarning(
        f"the contents of {', '.join(names)} do not survive a reboot: {unit.unit} is not enabled",
        "It saves volumes to their images at shutdown, and loads them at boot.",
        "rdctl rapiddisk boot enable --now",
    )


def keyless(state: State | None) -> Iterator[BootWarning]:
    """That the next boot cannot set the key of a host, whose exports it does not make then."""
    for host in state.hosts if state is not None else ():
        if "" in (host.auth_key_file, host.ctrl_key_file):
            yield BootWarning(
                f"not exported to {host.nqn} at the next boot: the file of its key is not named",
                "The kernel forgets keys. Name the file in the state file, as auth_key_file or"
                f" ctrl_key_file of {host.at or 'the host'}.",
                None,
            )


def no_room(volume: Volume, path: str, free: int) -> BootWarning:
    """That an image has no space beside the one that it replaces."""
    return BootWarning(
        f"not saved at the next shutdown: {volume.device} holds {human_size(volume.usage or 0)},"
        f" but only {human_size(free)} are free for {escape(path)}",
        "The old image is kept until the new one is complete.",
        None,
    )


def too_short(
    caches: Sequence[Dirty], seconds: int | None, limit: int | None
) -> BootWarning | None:
    """That writing back may take longer than a shutdown may."""
    if seconds is None or limit is None or seconds * 2 <= limit:
        return None
    return BootWarning(
        f"writing back takes about {_minutes(seconds)}, more than half of the stop limit of"
        f" {_minutes(limit)}",
        "systemd forces a shutdown that takes longer; what is not written back is lost.",
        _sync(one for one in caches if one.dirty),
    )


def unprepared(active: bool, caches: Sequence[Dirty]) -> str | None:
    """What disabling leaves to the next shutdown. The kernel still writes caches back that are set
    to, but it is given no time for that."""
    if not caches or not (active or any(one.dirty != 0 for one in caches)):
        return None
    return (
        "the next shutdown will not wait until caches are written back; before it, run:"
        f" {_sync(caches)}"
    )


def forgotten(volumes: Sequence[str]) -> str | None:
    """That these volumes lose their contents."""
    if not volumes:
        return None
    return (
        f"the next shutdown will not save the contents of {', '.join(volumes)}; before it, run:"
        " rdctl rapiddisk boot stop --only images"
    )


def _sync(caches: Iterable[Dirty]) -> str:
    return f"rdctl rapiddisk cache sync {' '.join(operand(one.device) for one in caches)}"


def _minutes(seconds: int) -> str:
    return f"{-(-seconds // 60)} min"
