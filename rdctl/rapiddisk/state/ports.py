"""The steps for ports: they are added. One that differs is replaced while nothing is exported on
it."""

from __future__ import annotations

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import between
from rdctl.core.units import quoted
from rdctl.rapiddisk.model import Port, PortDetail
from rdctl.rapiddisk.ports import guard_port, here, port_data
from rdctl.rapiddisk.state.model import PortState
from rdctl.rapiddisk.state.plan import Refusal, Stage, Step, Work


def plan(work: Work) -> list[Step | Refusal]:
    found: list[Step | Refusal] = []
    new: list[Port] = []
    for wanted in work.comparison.wanted.ports:
        with work.refusing("port", str(wanted.number), found, wanted.at):
            if list(work.comparison.port(wanted)):
                found.append(_add(work, wanted, new))
    return found


def _add(work: Work, wanted: PortState, new: list[Port]) -> Step:
    """`new` are those that are added before."""
    backend, there = work.backend, work.comparison.there.ports
    backend.permit_exports()
    backend.check_transport(wanted.transport)
    address = wanted.address
    if wanted.interface is not None:
        address = backend.address_of(wanted.interface)
    if address is not None:
        address = here(backend, address)
    if wanted.tls:
        backend.check_tls()
    port = Port(wanted.number, wanted.transport, address, wanted.service, wanted.tls or None)
    replaced = there.get(wanted.number)
    if replaced is not None:
        _guard_replaced(work, wanted)
    gone = {("port", str(wanted.number)), *work.going}
    kept = [detail.port for number, detail in there.items() if ("port", str(number)) not in gone]
    guard_port(port, [*kept, *new])
    new.append(port)

    def act() -> None:
        if replaced is not None:
            backend.remove_port(wanted.number, "")
        backend.add_port(PortDetail(port, wanted.attributes))

    tls = "with TLS" if wanted.tls else None
    words = " ".join(word for word in (wanted.transport, address, wanted.service, tls) if word)
    return Step(
        Stage.PORT,
        "port",
        str(wanted.number),
        f"{'replace' if replaced else 'add'} port {wanted.number} ({words})",
        act,
        "add",
        between(port_data(replaced.port) if replaced else None, port_data(port)),
        past="replaced port {}" if replaced else "added port {}",
        makes=replaced is None or work.made.owns("port", str(wanted.number), work.comparison.there),
    )


def _guard_replaced(work: Work, wanted: PortState) -> None:
    for export in work.comparison.there.exports.values():
        if wanted.number in export.ports and ("export", export.nqn) not in work.going:
            keys = ", ".join(str(one.key) for one in work.comparison.port(wanted))
            raise RdctlError(
                Code.IN_USE,
                f"port {wanted.number} differs from the file in {keys}, and {export.nqn} is"
                " exported on it",
                hint="Change the file, or free the port first: rdctl rapiddisk nvmet unexport --nqn"
                f" {quoted(export.nqn)} --port {wanted.number}",
            )
