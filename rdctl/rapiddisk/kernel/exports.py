"""Exports and ports as the kernel has them, and single acts on them."""

from __future__ import annotations

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape
from rdctl.rapiddisk.auth import Auth
from rdctl.rapiddisk.kernel.claims import KernelPart
from rdctl.rapiddisk.kernel.nvmet import NO_CONFIGFS
from rdctl.rapiddisk.kernel.refusals import missing
from rdctl.rapiddisk.model import NvmeHost, Port, PortDetail, Subsystem, Target, targets_of
from rdctl.rapiddisk.names import export_nqn

TRANSPORTS = {"tcp": "nvmet-tcp", "rdma": "nvmet-rdma", "loop": "nvme-loop"}


class KernelExports(KernelPart):
    # --- what they are ------------------------------------------------------------------------

    def targets(self) -> list[Target]:
        """/sys/kernel/config/nvmet"""
        ports = {port.port: port for port in self.ports()}
        keys = {host.nqn: host.has_key for host in self.hosts()}
        return [
            target
            for subsystem in self.subsystems()
            if subsystem.namespaces
            for target in targets_of(subsystem, ports, keys)
        ]

    def guarded_targets(self) -> list[Target]:
        return self.targets() if self._nvmet.is_there else []

    def subsystems(self) -> list[Subsystem]:
        self._need_nvmet()
        with self._refusals.worded("the NVMe exports cannot be read"):
            return self._foreseen.subsystems(self._nvmet.subsystems())

    def described_subsystems(self) -> list[Subsystem]:
        """/sys/kernel/config/nvmet/subsystems"""
        self._need_nvmet()
        with self._refusals.worded("the NVMe exports cannot be read"):
            return self._foreseen.subsystems(map(self._nvmet.described, self._nvmet.subsystems()))

    def hosts(self) -> list[NvmeHost]:
        """/sys/kernel/config/nvmet/hosts"""
        self._need_nvmet()
        with self._refusals.worded("the NVMe hosts cannot be read"):
            return self._foreseen.hosts(self._nvmet.hosts())

    def exposed(self, host: str) -> list[str]:
        return self._nvmet.exposed(host)

    def ports(self) -> list[Port]:
        """/sys/kernel/config/nvmet/ports"""
        self._need_nvmet()
        with self._refusals.worded("the NVMe ports cannot be read"):
            found = map(PortDetail, self._nvmet.ports())
            return [detail.port for detail in self._foreseen.ports(found)]

    def described_ports(self) -> list[PortDetail]:
        """/sys/kernel/config/nvmet/ports"""
        self._need_nvmet()
        with self._refusals.worded("the NVMe ports cannot be read"):
            return self._foreseen.ports(self._nvmet.described_ports())

    def device_of(self, path: str | None) -> str | None:
        """The name of the device that a namespace's path leads to."""
        kernel = self._known.at(path, gone=True)
        return None if kernel is None else self._sysfs.shown(kernel)

    def path_of(self, device: str) -> str:
        with self._refusals.worded(f"{device} cannot be exported", device):
            return self._known.node(self._sysfs.kernel_of(device))

    def nqn_of(self, device: str) -> str:
        """The NQN that RapidDisk uses for the export of a device."""
        host = self._sysfs.text("proc/sys/kernel/hostname") or "localhost"
        return export_nqn(host, device)

    # --- what they need -----------------------------------------------------------------------

    def _need_nvmet(self) -> None:
        if self._nvmet.loaded:
            return
        if not self._nvmet.is_there:
            raise missing("nvmet")
        raise RdctlError(
            Code.MODULE_MISSING,
            NO_CONFIGFS,
            hint="Mount it: sudo mount -t configfs none /sys/kernel/config",
        )

    def check_transport(self, transport: str) -> None:
        """Raise when the kernel cannot serve ports of this transport."""
        module = TRANSPORTS[transport]
        if not self._sysfs.module(module)[0] and self._sysfs.can_load(module) is False:
            raise RdctlError(
                Code.MODULE_MISSING,
                f"ports of transport {transport} require the module {module}, which this kernel"
                " does not have",
                hint=f"Once it is installed, load it: sudo modprobe {module}",
            )

    def check_authentication(self) -> None:
        """Raise when the kernel is known to be unable to authenticate hosts."""
        if self._nvmet.can_authenticate() is False:
            raise self._nvmet.no_authentication()

    def check_tls(self) -> None:
        """Raise when the kernel is known to be unable to serve ports with TLS."""
        if self._nvmet.can_encrypt() is False:
            raise self._nvmet.no_tls()

    def address_of(self, interface: str) -> str:
        from rdctl.rapiddisk.kernel.addresses import address_of

        try:
            address = address_of(interface, self._sysfs, self._calls, self._effects)
        except OSError as error:
            raise RdctlError(
                Code.NOT_FOUND,
                f'network interface "{escape(interface)}" not found',
                hint="Existing interfaces:"
                f" {', '.join(self._sysfs.names('sys/class/net')) or 'none'}.",
                target=interface,
            ) from error
        if address is None:
            raise RdctlError(
                Code.CONFLICT, f"network interface {interface} has no address", target=interface
            )
        return address

    def is_address_here(self, address: str) -> bool:
        return self._calls.can_bind(address)

    # --- acts ---------------------------------------------------------------------------------

    def change_export(
        self, nqn: str, before: Subsystem | None, after: Subsystem | None, destroys: str | None
    ) -> None:
        with self._refusals.worded(f"{nqn} was not changed", nqn):
            self._nvmet.change(nqn, before, after, destroys, self._acts)

    def recreate_export(self, before: Subsystem, after: Subsystem, destroys: str) -> None:
        with self._refusals.worded(f"{before.nqn} was not re-created", before.nqn):
            self._nvmet.recreate(before, after, destroys, self._acts)

    def set_auth(self, host: str, auth: Auth, destroys: str | None) -> None:
        with self._refusals.worded(f"host {host} was not changed", host):
            self._nvmet.set_auth(host, auth, destroys, self._acts)

    def note_key_files(self, host: str, auth: Auth) -> None:
        with self._refusals.worded(f"host {host} was not changed", host):
            self._nvmet.note_files(host, auth)

    def revalidate(self, nqn: str, namespace: int) -> None:
        if not self._nvmet.can_revalidate(nqn, namespace):
            raise RdctlError(
                Code.UNSUPPORTED,
                "this kernel cannot notify clients of a new size; they see it when they reconnect",
                target=nqn,
            )
        with self._refusals.worded(f"the size of {nqn} was not revalidated", nqn):
            self._nvmet.revalidate(nqn, namespace)

    def add_port(self, detail: PortDetail) -> None:
        number = detail.port.port
        with self._refusals.worded(f"port {number} was not added", str(number)):
            self._nvmet.add_port(detail, self._acts.port_added(detail))

    def remove_port(self, number: int, destroys: str | None) -> None:
        with self._refusals.worded(f"port {number} was not removed", str(number)):
            there = self._nvmet.described_port(number)
            self._nvmet.remove_port(number, destroys, self._acts.port_removed(there))
