"""The NVMe target's configuration in configfs, read and changed as plain data.

Nothing there is transactional: each step is one system call, so each names its undo.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rdctl.core.acts import Act
from rdctl.core.errors import RdctlError
from rdctl.effects.door import Effects
from rdctl.effects.syscalls import Syscalls
from rdctl.rapiddisk.kernel.attributes import TLS, AttributeReader, family_of
from rdctl.rapiddisk.kernel.configtree import ROOT
from rdctl.rapiddisk.kernel.nvmethosts import NvmetHosts
from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.model import NvmeNamespace, Port, PortDetail, Subsystem
from rdctl.rapiddisk.state.defaults import MODEL

if TYPE_CHECKING:
    from rdctl.rapiddisk.kernel.acts import Acts

NO_CONFIGFS = "configfs is not mounted"
_NO_NGUID = "00000000-0000-0000-0000-000000000000"


class Nvmet(NvmetHosts):
    """Reads raise OSError where the configuration cannot be read; changes raise it too, and are
    undone as a whole."""

    def __init__(self, sysfs: Sysfs, calls: Syscalls, effects: Effects) -> None:
        super().__init__(sysfs, calls, effects)
        self._attributes = AttributeReader(sysfs, ROOT)

    @property
    def loaded(self) -> bool:
        return self._sysfs.exists(f"{ROOT}/subsystems")

    @property
    def is_there(self) -> bool:
        """Whether anything can be exported, whether or not it can be read."""
        return self.loaded or self._sysfs.has_module("nvmet")

    # --- what is there ------------------------------------------------------------------------

    def subsystems(self) -> list[Subsystem]:
        """All, including incomplete ones and those of other tools, without their attributes."""
        links = {number: self._names(f"ports/{number}/subsystems") for number in self._numbers()}
        return [
            Subsystem(
                nqn=nqn,
                any_host=self._value(f"subsystems/{nqn}/attr_allow_any_host") == "1",
                hosts=tuple(self._names(f"subsystems/{nqn}/allowed_hosts")),
                namespaces=tuple(self._namespaces(nqn)),
                ports=tuple(number for number, names in links.items() if nqn in names),
                serial=self._serial(nqn),
            )
            for nqn in self._names("subsystems")
        ]

    def described(self, subsystem: Subsystem) -> Subsystem:
        """With its attributes."""
        nqn = subsystem.nqn
        namespaces = tuple(
            one._replace(attributes=self._attributes.of_namespace(nqn, one.number))
            for one in subsystem.namespaces
        )
        attributes = self._attributes.of_subsystem(nqn)
        return subsystem._replace(attributes=attributes, namespaces=namespaces)

    def guarded(self) -> list[Subsystem]:
        """As `subsystems`; OSError where some may exist that cannot be read."""
        if not self.is_there:
            return []
        if not self.loaded:
            raise OSError(errno.ENOENT, NO_CONFIGFS)
        return self.subsystems()

    def _serial(self, nqn: str) -> str | None:
        """The kernel pads it with spaces."""
        return (self._value(f"subsystems/{nqn}/attr_serial") or "").rstrip(" ") or None

    def _namespaces(self, nqn: str) -> Iterator[NvmeNamespace]:
        for name in self._names(f"subsystems/{nqn}/namespaces"):
            if name.isdigit():
                directory = f"subsystems/{nqn}/namespaces/{name}"
                path = self._value(f"{directory}/device_path")
                nguid = self._value(f"{directory}/device_nguid")
                yield NvmeNamespace(
                    int(name),
                    None if path == "(null)" else path,
                    self._value(f"{directory}/enable") == "1",
                    self._value(f"{directory}/device_uuid"),
                    None if nguid == _NO_NGUID else nguid,
                )

    def ports(self) -> list[Port]:
        return [self._port(number) for number in self._numbers()]

    def _port(self, number: int) -> Port:
        return Port(
            number,
            self._value(f"ports/{number}/addr_trtype"),
            self._value(f"ports/{number}/addr_traddr"),
            self._value(f"ports/{number}/addr_trsvcid"),
            self._requires_tls(f"ports/{number}"),
        )

    def _requires_tls(self, port: str) -> bool | None:
        security = self._value(f"{port}/addr_tsas")
        if security != TLS:
            return None if security is None else False
        return self._value(f"{port}/addr_treq") == "required"

    def described_ports(self) -> list[PortDetail]:
        """The ports with their attributes."""
        return [self.described_port(number) for number in self._numbers()]

    def described_port(self, number: int) -> PortDetail:
        port = self._port(number)
        return PortDetail(port, self._attributes.of_port(port))

    def _numbers(self) -> list[int]:
        return [int(name) for name in self._names("ports") if name.isdigit()]

    def can_revalidate(self, nqn: str, number: int) -> bool:
        return self._sysfs.exists(f"{ROOT}/subsystems/{nqn}/namespaces/{number}/revalidate_size")

    # --- changes ------------------------------------------------------------------------------

    def change(
        self,
        nqn: str,
        before: Subsystem | None,
        after: Subsystem | None,
        destroys: str | None,
        acts: Acts,
    ) -> None:
        """Create a subsystem, remove it, or change its ports and who may connect: all of it, or on
        any failure nothing. At no moment may a host connect that neither state allows."""
        with self._effects.transaction(f"{'export' if after else 'unexport'} {nqn}"):
            if before is None and after is not None:
                after = self._create(after)
            elif before is not None and after is None:
                before = self.described(before)
                self._remove(before, destroys, acts)
            elif before is not None and after is not None:
                self._adjust(before, after, destroys, acts)
            self._effects.acted(acts.exported(before, after))

    def recreate(self, before: Subsystem, after: Subsystem, destroys: str, acts: Acts) -> None:
        """Replace a subsystem by one with other values that the kernel cannot change."""
        with self._effects.transaction(f"re-create the export {before.nqn}"):
            before = self.described(before)
            self._remove(before, destroys, acts, keep=after.hosts)
            self._effects.acted(acts.exported(before, self._create(after)))

    def _create(self, after: Subsystem) -> Subsystem:
        """The ports come last, when all else is set. Returns it with the identity that the kernel
        chose."""
        directory = f"subsystems/{after.nqn}"
        self._make_dir(directory)
        for name, text in _own_model(after):
            self._write_if_there(f"{directory}/{name}", text)
        self._set(directory, _identity(after))
        if after.any_host:
            self._write(f"{directory}/attr_allow_any_host", "1", was="0")
        self._allow(after.nqn, after.hosts)
        for namespace in after.namespaces:
            place = f"{directory}/namespaces/{namespace.number}"
            self._make_dir(place)
            self._set(place, _settings(namespace))
            if namespace.enabled:
                self._write(f"{place}/enable", "1", was="0")
        self._offer(after.nqn, after.ports)
        if self._effects.dry_run:
            return after
        namespaces = tuple(self._namespaces(after.nqn))
        return after._replace(serial=self._serial(after.nqn), namespaces=namespaces)

    def _remove(
        self, before: Subsystem, destroys: str | None, acts: Acts, keep: Collection[str] = ()
    ) -> None:
        """The ports come first. A rollback restores all of it."""
        directory = f"subsystems/{before.nqn}"
        self._withdraw(before.nqn, before.ports, destroys)
        self._forbid(before.nqn, before.hosts, destroys, acts, keep)
        for namespace in before.namespaces:
            place = f"{directory}/namespaces/{namespace.number}"
            if namespace.enabled:
                self._write(f"{place}/enable", "0", was="1", destroys=destroys)
            self._remove_dir(place, self._writings(place, _settings(namespace)))
        identity = [*_own_model(before), *_identity(before)]
        if before.any_host:
            identity.append(("attr_allow_any_host", "1"))
        self._remove_dir(directory, self._writings(directory, identity))

    def _adjust(
        self, before: Subsystem, after: Subsystem, destroys: str | None, acts: Acts
    ) -> None:
        """The kernel has either any host or named ones: first those are removed who may no longer
        connect."""
        nqn = after.nqn
        flag = f"subsystems/{nqn}/attr_allow_any_host"
        self._withdraw(nqn, _more(before.ports, after.ports), destroys)
        if before.any_host and not after.any_host:
            self._write(flag, "0", was="1", destroys=destroys)
        self._forbid(nqn, _more(before.hosts, after.hosts), destroys, acts)
        if after.any_host and not before.any_host:
            self._write(flag, "1", was="0")
        self._allow(nqn, _more(after.hosts, before.hosts))
        self._offer(nqn, _more(after.ports, before.ports))

    def _offer(self, nqn: str, ports: Sequence[int]) -> None:
        for port in ports:
            self._link(f"subsystems/{nqn}", f"ports/{port}/subsystems/{nqn}")

    def _withdraw(self, nqn: str, ports: Sequence[int], destroys: str | None) -> None:
        for port in ports:
            self._unlink(f"subsystems/{nqn}", f"ports/{port}/subsystems/{nqn}", destroys)

    def _allow(self, nqn: str, hosts: Sequence[str]) -> None:
        for host in hosts:
            if not self._exists(f"hosts/{host}"):
                self._make_dir(f"hosts/{host}")
            self._link(f"hosts/{host}", f"subsystems/{nqn}/allowed_hosts/{host}")

    def _forbid(
        self,
        nqn: str,
        hosts: Sequence[str],
        destroys: str | None,
        acts: Acts,
        keep: Collection[str] = (),
    ) -> None:
        for host in hosts:
            self._unlink(f"hosts/{host}", f"subsystems/{nqn}/allowed_hosts/{host}", destroys)
            if host not in keep and not self._is_needed(host):
                self.drop_host(host, acts)

    def _is_needed(self, host: str) -> bool:
        """Whether a host is allowed elsewhere, or has a key that is not rdctl's."""
        if self.has_foreign_key(host):
            return True
        link = f"/allowed_hosts/{host}"
        names = [f"subsystems/{nqn}{link}" for nqn in self._names("subsystems")]
        names += [below for below in self._planned if below.endswith(link)]
        return any(map(self._exists, names))

    def add_port(self, detail: PortDetail, act: Act) -> None:
        """Nothing listens before the first subsystem is linked to it."""
        port, attributes = detail
        directory = f"ports/{port.port}"
        with self._effects.transaction(f"add port {port.port}"):
            self._make_dir(directory)
            if port.address is not None:
                self._write(f"{directory}/addr_trsvcid", port.service or "")
                self._write(f"{directory}/addr_adrfam", family_of(port.address))
            self._write(f"{directory}/addr_trtype", port.transport or "")
            if port.address is not None:
                self._write(f"{directory}/addr_traddr", port.address)
            # The transport resets some of them.
            if port.tls:
                self._encrypt(directory)
            self._set(directory, attributes)
            self._effects.acted(act)

    def _encrypt(self, directory: str) -> None:
        try:
            self._write(f"{directory}/addr_tsas", TLS)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise
            why = "its ports have no addr_tsas that can be set"
            if error.errno == errno.EINVAL:
                why = f"it refuses addr_tsas = {TLS}: it was built without TLS, or has no keyring"
            raise self.no_tls(why) from error

    def can_encrypt(self) -> bool | None:
        """None while no port is there to show it."""
        for number in self._numbers():
            return self._sysfs.exists(f"{ROOT}/ports/{number}/addr_tsas")
        return None

    def no_tls(self, why: str = "its ports have no addr_tsas") -> RdctlError:
        needed = "Linux 6.7 or later with CONFIG_NVME_TARGET_TCP_TLS"
        return self._lacking("serve ports with TLS", why, needed)

    def remove_port(self, number: int, destroys: str | None, act: Act) -> None:
        what = f"remove port {number}"
        self._remove_dir(f"ports/{number}", destroys=destroys, what=what, act=act)

    def revalidate(self, nqn: str, number: int) -> None:
        """Notify the clients of the device's new size."""
        writing = self._writing(f"subsystems/{nqn}/namespaces/{number}/revalidate_size", "1")
        self._effects.do(writing._replace(what=f"notify the clients of {nqn}"), None)


def _own_model(subsystem: Subsystem) -> list[tuple[str, str]]:
    """The model of rdctl, where the subsystem has no other."""
    named = any(name == "attr_model" for name, _ in subsystem.attributes)
    return [] if named else [("attr_model", MODEL)]


def _identity(subsystem: Subsystem) -> list[tuple[str, str]]:
    """What a new subsystem is given before anything else."""
    serial = [("attr_serial", subsystem.serial)] if subsystem.serial else []
    return [*serial, *subsystem.attributes]


def _settings(namespace: NvmeNamespace) -> list[tuple[str, str]]:
    """What a new namespace is given before it is enabled: the kernel refuses it afterwards."""
    named = (
        ("device_path", namespace.path),
        ("device_uuid", namespace.uuid),
        ("device_nguid", namespace.nguid),
    )
    return [*((name, text) for name, text in named if text), *namespace.attributes]


def _more(requested: Sequence[Any], there: Sequence[Any]) -> list[Any]:
    return [entry for entry in requested if entry not in there]
