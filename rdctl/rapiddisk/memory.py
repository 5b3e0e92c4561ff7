"""The memory of the machine, and how much of it the volumes could still use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import human_size
from rdctl.rapiddisk.model import Memory, Resources, Volume

# The share of memory that volumes must leave free, should they fill up.
RESERVE = 0.05


class Demand(NamedTuple):
    """`required`: bytes that the volumes could use of `room`, which is None if not known."""

    required: int
    room: int | None

    @property
    def exceeds(self) -> bool:
        return self.room is not None and self.required > self.room * (1 - RESERVE)


def demand(resources: Resources, volumes: Sequence[Volume], growth: int = 0) -> Demand:
    """What the volumes could take if they grow by so many bytes and fill up: of the memory that is
    available, or of all memory if a daemon reports only that."""
    promised = sum(volume.size or 0 for volume in volumes) + growth
    if resources.mem_available is None:
        return Demand(promised, resources.mem_total)
    return Demand(promised - sum(volume.usage or 0 for volume in volumes), resources.mem_available)


def guard_memory(resources: Resources, volumes: Sequence[Volume], growth: int) -> None:
    """Raise if the memory does not suffice for the volumes and so many bytes more. Volumes are
    thin, and nothing else checks it: when one fills up, the kernel kills other processes."""
    required, room = asked = demand(resources, volumes, growth)
    if room is None:
        raise RdctlError(
            Code.UNGUARDED,
            "cannot tell how much memory the machine has",
            hint="If it is enough, use --overcommit.",
        )
    if asked.exceeds:
        raise RdctlError(
            Code.CONFLICT,
            f"with {human_size(growth)} more, volumes could grow to {human_size(required)}, but"
            f" only {human_size(room)} of memory is available",
            hint="When volumes fill up, the kernel kills processes. Choose a smaller size, or"
            " use --overcommit.",
        )


def guard_use(resources: Resources, volume: str, used: int, freed: int) -> None:
    """Raise if the memory does not suffice for contents of so many bytes, when others are freed."""
    room = resources.mem_available
    if room is not None and Demand(used - freed, room).exceeds:
        raise RdctlError(
            Code.CONFLICT,
            f"the contents of {volume} would take {human_size(used)}, but only"
            f" {human_size(room + freed)} of memory is available",
            hint="When memory runs out, the kernel kills processes. Free some, or use"
            " --overcommit.",
            target=volume,
        )


def shortage(resources: Resources, volumes: Sequence[Volume]) -> str | None:
    """The warning that the memory does not suffice for the volumes; None if it does."""
    required, room = asked = demand(resources, volumes)
    if not room or not asked.exceeds:  # 0: not readable
        return None
    left = human_size(int(room * (1 - RESERVE)))
    grow = "to" if resources.mem_available is None else "by"
    return (
        f"volumes could grow {grow} {human_size(required)}, but only {left} of memory is available"
        f" for them ({RESERVE:.0%} is kept free)"
    )


def memory_of(resources: Resources, volumes: Sequence[Volume] | None) -> Memory:
    """The memory, and what of it the volumes have; null where one of them is not known."""
    sizes = [volume.size for volume in volumes] if volumes is not None else [None]
    usages = [volume.usage for volume in volumes] if volumes is not None else [None]
    return Memory(
        total=resources.mem_total,
        available=resources.mem_available,
        promised=_sum(sizes),
        used=_sum(usages),
    )


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
