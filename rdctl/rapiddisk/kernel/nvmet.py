"""The NVMe target's configuration in configfs, read and changed as plain data.

Nothing there is transactional: each step is one system call, so each names its undo.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import Any

from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import Syscalls, link, make_dir, remove_dir, unlink, write
from rdctl.rapiddisk.kernel.sysfs import Sysfs
from rdctl.rapiddisk.model import NvmeNamespace, Port, Subsystem

ROOT = "sys/kernel/config/nvmet"
_MODEL = "RapidDisk"
NO_CONFIGFS = "configfs is not mounted"


class Nvmet:
    """Reads raise OSError where the configuration cannot be read; changes raise it too, and are
    undone as a whole."""

    def __init__(self, sysfs: Sysfs, calls: Syscalls, effects: Effects) -> None:
        self._sysfs = sysfs
        self._calls = calls
        self._effects = effects

    @property
    def loaded(self) -> bool:
        return self._sysfs.exists(f"{ROOT}/subsystems")

    @property
    def is_there(self) -> bool:
        """Whether anything can be exported, whether or not it can be read."""
        return self.loaded or self._sysfs.has_module("nvmet")

    # --- what is there ------------------------------------------------------------------------

    def subsystems(self) -> list[Subsystem]:
        """All, including incomplete ones and those of other tools."""
        links = {number: self._names(f"ports/{number}/subsystems") for number in self._numbers()}
        return [
            Subsystem(
                nqn=nqn,
                any_host=self._value(f"subsystems/{nqn}/attr_allow_any_host") == "1",
                hosts=tuple(self._names(f"subsystems/{nqn}/allowed_hosts")),
                namespaces=tuple(self._namespaces(nqn)),
                ports=tuple(number for number, names in links.items() if nqn in names),
            )
            for nqn in self._names("subsystems")
        ]

    def guarded(self) -> list[Subsystem]:
        """As `subsystems`; OSError where some may exist that cannot be read."""
        if not self.is_there:
            return []
        if not self.loaded:
            raise OSError(errno.ENOENT, NO_CONFIGFS)
        return self.subsystems()

    def _namespaces(self, nqn: str) -> Iterator[NvmeNamespace]:
        for name in self._names(f"subsystems/{nqn}/namespaces"):
            if name.isdigit():
                directory = f"subsystems/{nqn}/namespaces/{name}"
                path = self._value(f"{directory}/device_path")
                enabled = self._value(f"{directory}/enable") == "1"
                uuid = self._value(f"{directory}/device_uuid")
                yield NvmeNamespace(int(name), None if path == "(null)" else path, enabled, uuid)

    def ports(self) -> list[Port]:
        return [
            Port(
                number,
                self._value(f"ports/{number}/addr_trtype"),
                self._value(f"ports/{number}/addr_traddr"),
                self._value(f"ports/{number}/addr_trsvcid"),
            )
            for number in self._numbers()
        ]

    def _numbers(self) -> list[int]:
        return [int(name) for name in self._names("ports") if name.isdigit()]

    def _names(self, below: str) -> list[str]:
        return self._sysfs.listed(f"{ROOT}/{below}")

    def _value(self, below: str) -> str | None:
        """An attribute; None if it is empty."""
        return self._sysfs.read(f"{ROOT}/{below}") or None

    def can_revalidate(self, nqn: str, number: int) -> bool:
        return self._sysfs.exists(f"{ROOT}/subsystems/{nqn}/namespaces/{number}/revalidate_size")

    # --- changes ------------------------------------------------------------------------------

    def change(
        self, nqn: str, before: Subsystem | None, after: Subsystem | None, destroys: str | None
    ) -> None:
        """Change a subsystem: all of it, or on any failure nothing."""
        with self._effects.transaction(f"{'export' if after else 'unexport'} {nqn}"):
            if before is not None:
                self._shrink(before, after, destroys)
            if after is not None:
                self._grow(before, after)

    def _grow(self, before: Subsystem | None, after: Subsystem) -> None:
        """Add what only `after` has; the ports come last, when all else is set."""
        directory = f"subsystems/{after.nqn}"
        if before is None:
            self._make_dir(directory)
            self._write_if_there(f"{directory}/attr_model", _MODEL)
        if after.any_host and not (before and before.any_host):
            self._write(f"{directory}/attr_allow_any_host", "1", was="0")
        for host in _more(after.hosts, before.hosts if before else ()):
            if not self._sysfs.exists(f"{ROOT}/hosts/{host}"):
                self._make_dir(f"hosts/{host}")
            self._link(f"hosts/{host}", f"{directory}/allowed_hosts/{host}")
        for namespace in after.namespaces if before is None else ():
            place = f"{directory}/namespaces/{namespace.number}"
            self._make_dir(place)
            self._write(f"{place}/device_path", namespace.path or "")
            self._write(f"{place}/enable", "1", was="0")
        for port in _more(after.ports, before.ports if before else ()):
            self._link(directory, f"ports/{port}/subsystems/{after.nqn}")

    def _shrink(self, before: Subsystem, after: Subsystem | None, destroys: str | None) -> None:
        """Remove what only `before` has; the ports come first."""
        directory = f"subsystems/{before.nqn}"
        for port in _more(before.ports, after.ports if after else ()):
            self._unlink(directory, f"ports/{port}/subsystems/{before.nqn}", destroys)
        for host in _more(before.hosts, after.hosts if after else ()):
            self._unlink(f"hosts/{host}", f"{directory}/allowed_hosts/{host}", destroys)
            if not self._allowed_elsewhere(host, before.nqn):
                self._remove_dir(f"hosts/{host}")
        if after is not None:
            return
        for namespace in before.namespaces:
            place = f"{directory}/namespaces/{namespace.number}"
            again = []
            if namespace.path:
                again = [self._writing(f"{place}/device_path", namespace.path)]
            if namespace.uuid:
                again += [self._writing(f"{place}/device_uuid", namespace.uuid)]
            if namespace.enabled:
                self._write(f"{place}/enable", "0", was="1", destroys=destroys)
            self._remove_dir(place, again)
        self._remove_dir(directory, self._identity(directory))

    def _identity(self, directory: str) -> list[Effect[None]]:
        """The effects that restore the attributes of this subsystem."""
        names = ("attr_model", "attr_serial", "attr_allow_any_host")
        values = {name: self._value(f"{directory}/{name}") for name in names}
        return [self._writing(f"{directory}/{name}", text) for name, text in values.items() if text]

    def _allowed_elsewhere(self, host: str, nqn: str) -> bool:
        return any(
            self._sysfs.exists(f"{ROOT}/subsystems/{other}/allowed_hosts/{host}")
            for other in self._names("subsystems")
            if other != nqn
        )

    def add_port(self, port: Port) -> None:
        """Nothing listens before the first subsystem is linked to it."""
        directory = f"ports/{port.port}"
        with self._effects.transaction(f"add port {port.port}"):
            self._make_dir(directory)
            if port.address is not None:
                family = "ipv6" if ":" in port.address else "ipv4"
                self._write(f"{directory}/addr_trsvcid", port.service or "")
                self._write(f"{directory}/addr_adrfam", family)
            self._write(f"{directory}/addr_trtype", port.transport or "")
            if port.address is not None:
                self._write(f"{directory}/addr_traddr", port.address)

    def remove_port(self, number: int, destroys: str) -> None:
        self._remove_dir(f"ports/{number}", destroys=destroys, what=f"remove port {number}")

    def revalidate(self, nqn: str, number: int) -> None:
        """Notify the clients of the device's new size."""
        writing = self._writing(f"subsystems/{nqn}/namespaces/{number}/revalidate_size", "1")
        self._effects.do(writing._replace(what=f"notify the clients of {nqn}"), None)

    # --- single steps -------------------------------------------------------------------------

    def _path(self, below: str) -> str:
        return self._sysfs.path(f"{ROOT}/{below}")

    def _writing(self, below: str, text: str) -> Effect[None]:
        path = self._path(below)
        return write(self._calls, path, text, what=f"write {text} to {path}")

    def _write(
        self, below: str, text: str, *, was: str | None = None, destroys: str | None = None
    ) -> None:
        undo = [] if was is None else [self._writing(below, was)]
        self._effects.do(self._writing(below, text)._replace(destroys=destroys), None, undo)

    def _write_if_there(self, below: str, text: str) -> None:
        """Older kernels lack some attributes; a dry run has no directory yet to look into."""
        try:
            self._write(below, text)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def _make_dir(self, below: str) -> None:
        path = self._path(below)
        self._effects.do(make_dir(self._calls, path), None, [remove_dir(self._calls, path)])

    def _remove_dir(
        self,
        below: str,
        again: Sequence[Effect[Any]] = (),
        destroys: str | None = None,
        what: str = "",
    ) -> None:
        """`again` refills the directory when it has to be restored."""
        path = self._path(below)
        undo = [*reversed(again), make_dir(self._calls, path)]
        effect = remove_dir(self._calls, path)._replace(destroys=destroys)
        effect = effect._replace(what=what or effect.what)
        self._effects.do(effect, None, undo)

    def _link(self, target: str, below: str) -> None:
        path = self._path(below)
        effect = link(self._calls, self._path(target), path)
        self._effects.do(effect, None, [unlink(self._calls, path)])

    def _unlink(self, target: str, below: str, destroys: str | None) -> None:
        path = self._path(below)
        effect = unlink(self._calls, path)._replace(destroys=destroys)
        self._effects.do(effect, None, [link(self._calls, self._path(target), path)])


def _more(requested: Sequence[Any], there: Sequence[Any]) -> list[Any]:
    return [entry for entry in requested if entry not in there]
