"""The inverse of each act, by the operation that an operator would use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rdctl.core.acts import Act
from rdctl.core.results import Report
from rdctl.rapiddisk import plain
from rdctl.rapiddisk.guards import NO_OVERRIDES, Overrides

if TYPE_CHECKING:
    from rdctl.rapiddisk.machine import RapidDisk

GONE, THERE, CHANGED = "gone", "there", "changed"


def outcome_of(act: Act) -> str:
    """What becomes of the thing when the act is undone."""
    if act.verb in ("create", "map", "add-port"):
        return GONE
    if act.verb in ("remove", "unmap", "remove-port"):
        return THERE
    if act.verb == "export" and None in (act.before, act.after):
        return GONE if act.before is None else THERE
    return CHANGED


def batches(acts: Sequence[Act]) -> Iterator[list[Act]]:
    """Neighbors that are undone together."""

    def kind(numbered: tuple[int, Act]) -> object:
        number, act = numbered
        alone = act.verb in ("remove", "resize", "unmap", "remove-port", "authenticate")
        return act.verb, outcome_of(act), number if alone else None

    for _, batch in groupby(enumerate(acts), kind):
        yield [act for _, act in batch]


def undo(machine: RapidDisk, acts: Sequence[Act]) -> Report:
    """Undo one batch."""
    act, names = acts[0], [act.name for act in acts]
    if act.verb == "export":
        if outcome_of(act) == GONE:
            return machine.exports.unexport([], names, [], [])
        return machine.former_exports.restore([plain.subsystem(one.before) for one in acts])
    inverses: dict[str, Callable[[], Report]] = {
        "create": lambda: machine.volumes.remove(names, NO_OVERRIDES),
        "remove": lambda: machine.volumes.create(
            act.before["size"], 1, int(act.name.removeprefix("rd")), overcommit=False
        ),
        "resize": lambda: machine.volumes.resize(
            act.name, act.before["size"], False, False, NO_OVERRIDES
        ),
        "lock": lambda: machine.volumes.set_lock(names, False),
        "unlock": lambda: machine.volumes.set_lock(names, True),
        "load": lambda: machine.volumes.flush(names, NO_OVERRIDES),
        "map": lambda: machine.caches.remove(names, NO_OVERRIDES),
        "unmap": lambda: _map(machine, act),
        "add-port": lambda: machine.ports.remove(names),
        "remove-port": lambda: _add_port(machine, act),
        "authenticate": lambda: machine.hosts.restore(act.name, act.before),
    }
    return inverses[act.verb]()


def _map(machine: RapidDisk, act: Act) -> Report:
    former = act.before
    writeback = former["policy"] == "writeback"
    age = (former["max_age"] or 0) if writeback else None
    # Its volume still holds copies of blocks of its disk. The question of the operation covers
    # what else was written to it since.
    copies = NO_OVERRIDES if writeback else Overrides(discard=True)
    return machine.caches.create(
        former["volume"],
        former["source"],
        former["policy"],
        copies,
        name=act.name,
        max_age=age,
    )


def _add_port(machine: RapidDisk, act: Act) -> Report:
    port, attributes = plain.port(act.before)
    return machine.ports.add(
        port.port,
        port.transport or "",
        None,
        port.address,
        port.service or "",
        attributes,
        bool(port.tls),
    )
