"""What may go wrong at the next boot or shutdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rdctl.core.units import operand
from rdctl.rapiddisk.boot import units
from rdctl.rapiddisk.boot.model import BootUnit, BootWarning, Dirty
from rdctl.rapiddisk.boot.program import doubt
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
) -> BootWarning | None:
    """That the unit for caches is enabled, but is not stopped at the next shutdown."""
    is_idle = any(one.unit == units.CACHES and one.enabled and not one.active for one in shown)
    planned = state is not None and any(one.policy == "writeback" for one in state.caches)
    if not is_idle or not (planned or caches):
        return None
    return BootWarning(
        f"{units.CACHES} is enabled but not active: the next shutdown does not run it",
        "systemd stops only active units, so it does not write caches back before it shuts down.",
        "rdctl rapiddisk boot enable --now",
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


def _sync(caches: Iterable[Dirty]) -> str:
    return f"rdctl rapiddisk cache sync {' '.join(operand(one.device) for one in caches)}"


def _minutes(seconds: int) -> str:
    return f"{-(-seconds // 60)} min"
