"""Ports: addresses of this machine on which devices are exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Listing, Report, between
from rdctl.core.units import escape, quoted
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.changes import Changes, data_of, export_unproven, missing, shown, the_change
from rdctl.rapiddisk.model import Port, PortDetail
from rdctl.rapiddisk.names import port_number
from rdctl.rapiddisk.state.made import Made


class Ports(Changes):
    def list(self) -> Listing:
        return Listing(self._backend.ports())

    def show(self, names: Sequence[str]) -> Listing:
        """Ports at length."""
        numbers = {str(number): number for number in map(port_number, names)}
        ports = self._backend.ports()

        def one(name: str) -> Sequence[Port]:
            found = [port for port in ports if port.port == numbers[name]]
            if not found:
                raise missing("port", name, [str(port.port) for port in ports])
            return found

        return shown(numbers, one)

    def add(
        self,
        number: int,
        transport: str,
        interface: str | None,
        address: str | None,
        service: str,
        attributes: tuple[tuple[str, str], ...] = (),
        tls: bool = False,
    ) -> Report:
        """A port on an address of this machine; nothing listens before the first export.
        `attributes` as in state.model; with `tls` clients must encrypt."""
        self._backend.permit_exports()
        if tls:
            self._backend.check_tls()
        self._backend.check_transport(transport)
        if interface is not None:
            address = self._backend.address_of(interface)
        if address is not None:
            address = here(self._backend, address)
        port = Port(number, transport, address, None if address is None else service, tls or None)
        facts = port_data(port)
        target = str(number)

        def is_new() -> bool:
            there = self._backend.ports()
            if any(map(port.is_like, there)):
                return False
            guard_port(port, there)
            return True

        self._ask_first(lambda: [f"add port {number}"] if is_new() else [])
        with self._backend.claim([]):
            if not is_new():
                already = "port {} already exists"
                same = between(facts, facts)
                return Report([Change("add", target, False, True, {**facts, **same}, already)])
            self._backend.add_port(PortDetail(port, attributes))
            return self._proven(
                "add",
                target,
                lambda: any(map(port.is_like, self._backend.ports())),
                export_unproven(target),
                {**facts, **between(None, facts)},
                "added port {}",
            )

    def remove(self, names: Sequence[str]) -> Report:
        """Remove ports on which nothing is exported."""
        numbers = {str(number): number for number in map(port_number, names)}
        self._backend.permit_exports()
        losses: dict[str, str] = {}
        there: dict[str, Port] = {}
        outcomes: list[Change | Failure] = []
        for target, number in numbers.items():
            try:
                there[target] = self._removable(number)
                losses[target] = f"port {number} will be removed; it has no exports"
            except RdctlError as error:
                outcomes.append(Failure("remove", error))
        if losses:
            self._effects.consent(list(losses.values()))

        def act(target: str) -> Change:
            return self._removed(there[target], losses[target])

        return self._in_turn("remove", list(losses), act, None, outcomes, list(numbers))

    def _removed(self, before: Port, loss: str) -> Change:
        target = str(before.port)
        with self._backend.claim([]):
            self._backend.remove_port(before.port, loss)
            Made(self._backend).forget("port", target)

        def is_gone() -> bool:
            return all(port.port != before.port for port in self._backend.ports())

        unproven = export_unproven(target)
        past = "removed port {}"
        facts = between(port_data(before), None)
        return the_change(self._proven("remove", target, is_gone, unproven, facts, past))

    def _removable(self, number: int) -> Port:
        there = {port.port: port for port in self._backend.ports()}
        if number not in there:
            raise missing("port", str(number), list(map(str, there)))
        for subsystem in self._backend.subsystems():
            if number in subsystem.ports:
                raise RdctlError(
                    Code.IN_USE,
                    f"port {number} is in use: {subsystem.nqn} is exported on it",
                    hint="Free it first: rdctl rapiddisk nvmet unexport"
                    f" --nqn {quoted(subsystem.nqn)} --port {number}",
                    target=str(number),
                )
        return there[number]


def port_data(port: Port) -> dict[str, Any]:
    data = data_of(port, "transport", "address", "service")
    return {**data, "tls": True} if port.tls else data


def here(backend: Backend, address: str) -> str:
    """The address in its usual form; the kernel accepts any, and fails at the first export."""
    import ipaddress

    try:
        usual = str(ipaddress.ip_address(address))
    except ValueError as error:
        raise RdctlError(
            Code.USAGE,
            f'invalid IP address "{escape(address)}"',
            hint="Use --interface to specify a network interface.",
            target=address,
        ) from error
    if not backend.is_address_here(usual):
        raise RdctlError(
            Code.CONFLICT,
            f"{usual} is not an address of this machine",
            hint="List the addresses: ip address",
            target=usual,
        )
    return usual


def guard_port(port: Port, there: Sequence[Port]) -> None:
    """Raise when another port has its number or its address."""
    for other in there:
        if other.port == port.port:
            raise RdctlError(
                Code.EXISTS,
                f"port {port.port} already exists: {_port_words(other)}",
                hint=f"Choose another number, or remove it: rdctl rapiddisk nvmet port remove"
                f" {port.port}",
                target=str(port.port),
            )
        same = (other.address, other.service) == (port.address, port.service)
        if same and port.address is not None and other.transport == port.transport:
            raise RdctlError(
                Code.CONFLICT,
                f"port {other.port} already uses {_port_words(other)}",
                hint="Export on that port, or choose another --service.",
                target=str(port.port),
            )


def _port_words(port: Port) -> str:
    words = (port.transport, port.address, port.service, "with TLS" if port.tls else None)
    return " ".join(word for word in words if word) or "incomplete"
