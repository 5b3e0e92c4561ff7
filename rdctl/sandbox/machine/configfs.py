"""The NVMe target of a simulated machine, below configfs."""

from __future__ import annotations

import errno
import os
import struct
import uuid
from collections.abc import Sequence
from pathlib import Path

from rdctl.sandbox.machine.attributes import (
    HOST,
    NAMESPACE,
    PORT,
    SUBSYSTEM,
    TSAS,
    WRITE_ONLY,
    accepted,
)
from rdctl.sandbox.machine.mapper import Mapper
from rdctl.sandbox.machine.objects import DISCOVERY, NVMET, fail


class Configfs(Mapper):
    def _below(self, path: str) -> list[str]:
        return str(Path(path).relative_to(self.path(NVMET))).split("/")

    def _mkdir(self, path: str) -> None:
        if not self.root_user:
            fail(errno.EACCES, path)
        below = self._below(path)
        if not os.path.isdir(os.path.dirname(path)):
            fail(errno.ENOENT, path)
        if os.path.exists(path):
            fail(errno.EEXIST, path)
        attributes, directories = self._contents(below, path)
        inside = self.inside(path)
        self.make_dir(inside)
        for name, value in attributes.items():
            self.put(f"{inside}/{name}", f"{value}\n")
            if name == WRITE_ONLY:
                Path(path, name).chmod(0o200)
        for directory in directories:
            self.make_dir(f"{inside}/{directory}")

    def _contents(self, below: list[str], path: str) -> tuple[dict[str, str], list[str]]:
        """The attributes and directories of what is created."""
        attributes: dict[str, str]
        directories: list[str]
        if below[0] == "ports" and len(below) == 2:
            if not below[1].isdigit() or int(below[1]) > 65535:
                fail(errno.EINVAL, path)
            attributes = {name: text for name, text in PORT.items() if self.has_tls or name != TSAS}
            directories = ["subsystems", "referrals", "ana_groups/1"]
        elif below[0] == "subsystems" and len(below) == 2:
            if below[1] == DISCOVERY:
                fail(errno.EINVAL, path)
            attributes = {**SUBSYSTEM, "attr_serial": self._random(10).hex()}
            directories = ["namespaces", "allowed_hosts"]
        elif below[0] == "subsystems" and below[2:3] == ["namespaces"] and len(below) == 4:
            if not below[3].isdigit() or below[3] == "0":
                fail(errno.EINVAL, path)
            chosen = str(uuid.UUID(bytes=self._random(16), version=4))
            attributes = {**NAMESPACE, "device_uuid": chosen, WRITE_ONLY: ""}
            directories = []
        elif below[0] == "hosts" and len(below) == 2:
            attributes, directories = HOST if self.has_auth else {}, []
        else:
            fail(errno.EPERM, path)
        return attributes, directories

    def _rmdir(self, path: str) -> None:
        below = self._below(path)
        if not os.path.isdir(path):
            fail(errno.ENOENT, path)
        if below[0] == "ports" and os.listdir(f"{path}/subsystems"):
            fail(errno.ENOTEMPTY, path)
        if below[0] == "subsystems" and len(below) == 2:
            if os.listdir(f"{path}/namespaces") or os.listdir(f"{path}/allowed_hosts"):
                fail(errno.ENOTEMPTY, path)
            if any(self.path(f"{NVMET}/ports").glob(f"*/subsystems/{below[1]}")):
                fail(errno.EBUSY, path)
        if below[0] == "hosts":
            if any(self.path(f"{NVMET}/subsystems").glob(f"*/allowed_hosts/{below[1]}")):
                fail(errno.EBUSY, path)
        self.delete(self.inside(path))

    def _symlink(self, target: str, path: str) -> None:
        below = self._below(path)
        if not os.path.isdir(target) or not os.path.isdir(os.path.dirname(path)):
            fail(errno.ENOENT, path)
        if os.path.islink(path):
            fail(errno.EEXIST, path)
        if below[0] == "subsystems":
            if below[2] != "allowed_hosts":
                fail(errno.EPERM, path)
            if self.text(f"{NVMET}/subsystems/{below[1]}/attr_allow_any_host") == "1":
                fail(errno.EINVAL, path)
        else:
            if (below[0], below[2]) != ("ports", "subsystems"):
                fail(errno.EPERM, path)
            self._listen(below[1])
        inside = "/".join(self._below(target))
        self._link(self.inside(path), f"../../../../nvmet/{inside}")

    def _listen(self, port: str) -> None:
        """The first subsystem on a port starts its listener."""
        directory = f"{NVMET}/ports/{port}"
        if os.listdir(self.path(f"{directory}/subsystems")):
            return
        kind, address, service = (
            self.text(f"{directory}/{name}")
            for name in ("addr_trtype", "addr_traddr", "addr_trsvcid")
        )
        if kind not in self.transports:
            fail(errno.EINVAL)
        if kind == "loop":
            return
        if kind == "rdma":
            fail(errno.ENODEV)
        if not service.isdigit() or int(service) > 65535 or not address:
            fail(errno.EINVAL)
        if address not in self.addresses:
            fail(errno.EADDRNOTAVAIL)
        others = {
            (
                self.text(f"{NVMET}/ports/{n}/addr_traddr"),
                self.text(f"{NVMET}/ports/{n}/addr_trsvcid"),
            )
            for n in os.listdir(self.path(f"{NVMET}/ports"))
            if n != port and os.listdir(self.path(f"{NVMET}/ports/{n}/subsystems"))
        }
        if (address, service) in others | self.taken_services:
            fail(errno.EADDRINUSE)

    def _unlink(self, path: str) -> None:
        if self._below(path)[-2] not in ("allowed_hosts", "subsystems"):
            fail(errno.EPERM, path)
        if not os.path.islink(path):
            fail(errno.ENOENT, path)
        self.delete(self.inside(path))

    def _attribute(self, path: Path, text: str) -> None:
        below = self._below(str(path))
        name, directory = below[-1], path.parent
        if name == "enable":
            self._enable(below, directory, text)
        elif name == WRITE_ONLY:
            device = self._kernel_name((directory / "device_path").read_text().strip())
            self.namespace_sizes[below[1], int(below[3])] = self._size(device)
            return
        else:
            if name == TSAS and (directory / "addr_trtype").read_text().strip() != "tcp":
                fail(errno.EINVAL, str(path))
            if (name, text) == ("attr_allow_any_host", "1"):
                if os.listdir(directory / "allowed_hosts"):
                    fail(errno.EINVAL, str(path))
            enable = directory / "enable"
            text = accepted(
                name,
                text,
                enabled=enable.exists() and enable.read_text().strip() == "1",
                seen=self._is_seen(below[1]),
                listening=below[0] == "ports" and bool(os.listdir(directory / "subsystems")),
            )
        self.put(self.inside(path), f"{text}\n")
        if name in ("addr_trtype", TSAS) and self.has_tls:
            self._secure(self.inside(directory), name, text)

    def _secure(self, port: str, name: str, text: str) -> None:
        """A new transport has no security yet; one with TLS requires it of hosts."""
        if name != TSAS:
            self.put(f"{port}/{TSAS}", f"{'connected' if text == 'rdma' else 'none'}\n")
        elif text == "none":
            self.put(f"{port}/addr_treq", "not specified\n")
        elif self.text(f"{port}/addr_treq") == "not specified":
            self.put(f"{port}/addr_treq", "required\n")

    def clear(self) -> None:
        """All that RapidDisk has is gone."""
        for mapping in reversed(list(self.maps.values())):
            self.unmap(mapping)
        for number in list(self.volumes):
            self.detach(number)
        for kind in ("ports", "subsystems", "hosts"):
            directory = f"{NVMET}/{kind}"
            for name in os.listdir(self.path(directory)):
                self.delete(f"{directory}/{name}")
        self.namespace_sizes.clear()

    # --- as other tools make them -------------------------------------------------------------

    def allow_transport(self, name: str) -> None:
        """The kernel has the module."""
        self.transports.add(name)
        self.make_dir(f"sys/module/nvme_{name}")

    def add_port(self, number: int, address: str, service: str, transport: str) -> None:
        directory = f"{NVMET}/ports/{number}"
        self._mkdir(str(self.path(directory)))
        family = "ipv6" if ":" in address else "ipv4"
        values = {"trtype": transport, "adrfam": family, "traddr": address, "trsvcid": service}
        for name, value in values.items():
            self.put(f"{directory}/addr_{name}", f"{value}\n")

    def add_export(
        self,
        nqn: str,
        number: int,
        device: str,
        *,
        enabled: bool,
        hosts: Sequence[str] = (),
        ports: Sequence[int] = (),
    ) -> None:
        """Nothing is checked: the device may not exist."""
        directory = f"{NVMET}/subsystems/{nqn}"
        if not self.path(directory).exists():
            self._mkdir(str(self.path(directory)))
        place = f"{directory}/namespaces/{number}"
        self._mkdir(str(self.path(place)))
        self.put(f"{place}/device_path", f"{device}\n")
        self.put(f"{place}/enable", f"{int(enabled)}\n")
        for host in hosts:
            if not self.path(f"{NVMET}/hosts/{host}").exists():
                self._mkdir(str(self.path(f"{NVMET}/hosts/{host}")))
            self._link(f"{directory}/allowed_hosts/{host}", f"../../../../nvmet/hosts/{host}")
        for port in ports:
            self._link(
                f"{NVMET}/ports/{port}/subsystems/{nqn}", f"../../../../nvmet/subsystems/{nqn}"
            )

    def _is_seen(self, nqn: str) -> bool:
        """Whether a host has discovered the subsystem: none does in a simulation."""
        return False

    def _random(self, size: int) -> bytes:
        return os.urandom(size)

    def _enable(self, below: list[str], directory: Path, text: str) -> None:
        if text not in ("0", "1"):
            fail(errno.EINVAL)
        if text == "0" or (directory / "enable").read_text().strip() == "1":
            return
        device = (directory / "device_path").read_text().strip()
        if device == "(null)":
            fail(errno.EINVAL)
        if not self.path(device).exists():
            fail(errno.ENOENT)
        kernel = self._kernel_name(device)
        user = self.is_used(kernel)
        if user:
            self._harm(f"{kernel} was exported while {user}")
        self.namespace_sizes[below[1], int(below[3])] = self._size(kernel)

    def _interface_address(self, request: bytearray) -> None:
        name = bytes(request[:16]).split(b"\0")[0].decode()
        if name not in self.interfaces:
            fail(errno.ENODEV)
        address = self.interfaces[name]
        if address is None:
            fail(errno.EADDRNOTAVAIL)
        request[16:24] = struct.pack("=HH4B", 2, 0, *map(int, address.split(".")))
