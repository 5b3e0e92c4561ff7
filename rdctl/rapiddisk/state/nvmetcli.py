"""The JSON of the tool nvmetcli, which has ports and exports: what `nvmetcli save` writes, and
`nvmetcli restore` reads.

An attribute is a file in the kernel's configuration: there as `addr_treq`, in this JSON as `treq`
in the group `addr`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from rdctl.core.errors import Code, RdctlError
from rdctl.core.source import Source, from_json
from rdctl.core.units import escape, natural, quoted
from rdctl.rapiddisk.state import references, values
from rdctl.rapiddisk.state.defaults import DEFAULTS, MODEL, OF_OTHERS, OF_TRANSPORT
from rdctl.rapiddisk.state.model import Attributes, ExportState, PortState, State, with_tls

T = TypeVar("T")

_NO_ID = "00000000-0000-0000-0000-000000000000"
_MAPPER = "/dev/mapper/"
# The groups of attributes of each kind of object.
_PORT_GROUPS = ("addr", "param")
_SUBSYSTEM_GROUPS = ("attr",)
_NAMESPACE_GROUPS = ("device", "ana", "resv")
_PORT_KEYS = {"addr_trtype", "addr_traddr", "addr_trsvcid"}
# Values that a kernel, or rdctl, chooses without being asked.
_USUAL: dict[str, set[str]] = {"addr_adrfam": {"", "ipv4", "ipv6"}}
for _defaults in (DEFAULTS, OF_OTHERS, *OF_TRANSPORT.values()):
    for _name, _values in _defaults.items():
        _USUAL.setdefault(_name, set()).update(_values)
# The release of the kernel that wrote the file, at most 8 bytes of it.
_FIRMWARE = r"[0-9]+\.[0-9]+[0-9A-Za-z.+~-]*"
# What the kernel reads as true.
_TRUE = r"(?i)[1yt].*|on.*"


def parse(name: str, text: str) -> tuple[State, list[str]]:
    """The ports and the exports of RapidDisk's devices, and a notice for each part that is left
    out. Raises `config`."""
    source = from_json(name, text)
    top = _Object(source, (), "file", source.data)
    top.require_object()
    skipped: list[str] = []
    ports = list(_ports(top, skipped))
    hosts = top.objects("hosts", "host")
    secured = {host.need("nqn", values.text): host for host in hosts if _has_key(host)}
    offered = [_offered(entry) for entry in top.objects("ports", "port")]
    exports = []
    for entry in top.objects("subsystems", "subsystem"):
        export = _export(entry, skipped)
        if export is None:
            continue
        for host in export.hosts:
            if host in secured:
                message = f"host {host}: authentication keys are not read from such a file"
                hint = "Remove the keys, and name files with them in a state file: [hosts]."
                raise secured[host].fault((), message, hint)
        numbers = {number for number, nqns in offered if export.nqn in nqns}
        numbers &= {port.number for port in ports}
        exports.append(export._replace(ports=tuple(sorted(numbers))))
    ports.sort(key=lambda port: port.number)
    exports.sort(key=lambda export: natural(export.nqn))
    # One state an entry: the same one twice is an error.
    parts = [*(State(ports=(port,)) for port in ports), *(State(exports=(e,)) for e in exports)]
    return references.merge(parts), skipped


def text(state: State) -> str:
    """The ports and exports of a state. The tool has no place for attributes without a group, such
    as `buffered_io`: they are left out."""
    hosts = sorted({host for export in state.exports for host in export.hosts})
    document = {
        "hosts": [{"nqn": host} for host in hosts],
        "ports": [_port_data(port, state.exports) for port in state.ports],
        "subsystems": [_subsystem_data(export) for export in state.exports],
    }
    return json.dumps(document, sort_keys=True, indent=2) + "\n"


# --- reading ----------------------------------------------------------------------------------


class _Object(NamedTuple):
    """An object in the JSON; `label` is what it describes."""

    source: Source
    path: tuple[str | int, ...]
    label: str
    data: Any

    @property
    def at(self) -> str:
        return self.source.at(*self.path)

    def fault(
        self, below: tuple[str | int, ...], message: str, hint: str | None = None
    ) -> RdctlError:
        where = self.source.at(*self.path, *below)
        return RdctlError(Code.CONFIG, f"{where}: {message}", hint=hint)

    def require_object(self) -> None:
        if not isinstance(self.data, dict):
            raise self.fault((), f"{self.label} must be an object")

    def objects(self, key: str, label: str) -> list[_Object]:
        """The objects in the list of this key."""
        found = []
        for index, entry in enumerate(self._list(key)):
            found.append(_Object(self.source, (*self.path, key, index), label, entry))
            found[-1].require_object()
        return found

    def texts(self, key: str, read: Callable[[str, object], str]) -> tuple[str, ...]:
        """The strings in the list of this key, sorted: the tool has them in any order."""
        found = [self._read((key, n), key, read, each) for n, each in enumerate(self._list(key))]
        return tuple(sorted(set(found)))

    def need(self, key: str, read: Callable[[str, object], T]) -> T:
        if key not in self.data:
            raise self.fault((), f'{self.label}: key "{key}" missing')
        return self._read((key,), key, read, self.data[key])

    def attribute(self, name: str) -> str:
        """An attribute by its name in the kernel; empty if it is missing."""
        return self.checked(name, values.text) or ""

    def checked(self, name: str, read: Callable[[str, object], T]) -> T | None:
        """An attribute, read; None if it is missing, empty or all zeros."""
        group, _, key = name.partition("_")
        found = self._group(group).get(key)
        if found in (None, "", _NO_ID):
            return None
        return self._read((group, key), key, read, _spelled(found))

    def attributes(self, groups: Iterable[str], named: Collection[str]) -> Attributes:
        """Those that rdctl does not name, as far as they are not the usual ones."""
        found = {}
        for group in groups:
            for key in self._group(group):
                name = f"{group}_{key}"
                value = None if name in named else self.checked(name, _attribute(name))
                if value is not None and not _is_usual(name, value):
                    found[name] = value
        return tuple(sorted(found.items()))

    def is_on(self, value: object) -> bool:
        """As the kernel reads it."""
        return re.fullmatch(_TRUE, str(_spelled(value)).strip()) is not None

    def _group(self, group: str) -> dict[str, Any]:
        found = self.data.get(group, {})
        if not isinstance(found, dict):
            raise self.fault((group,), f"{self.label}: {group} must be an object")
        return found

    def _list(self, key: str) -> list[Any]:
        found = self.data.get(key, [])
        if not isinstance(found, list):
            raise self.fault((key,), f"{self.label}: {key} must be a list")
        return found

    def _read(
        self,
        below: tuple[str | int, ...],
        key: str,
        read: Callable[[str, object], T],
        value: object,
    ) -> T:
        try:
            return read(key, value)
        except values.Invalid as error:
            raise self.fault(below, f"{self.label}: {error.message}", error.hint) from error


def _spelled(value: object) -> object:
    """A number as the tool writes it to the kernel. Longer ones are no values of the kernel."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64
    return str(value) if is_number else value


def _number(least: int, most: int) -> Callable[[str, object], int]:
    """The reader of an integer, or of a string that spells it."""

    def read(key: str, value: object) -> int:
        spelled = isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value)
        return values.integer(least, most)(key, int(str(value)) if spelled else value)

    return read


def _attribute(name: str) -> Callable[[str, object], str]:
    return lambda _, value: values.attribute(name, value, {})


def _is_usual(name: str, value: str) -> bool:
    if name == "attr_firmware":
        return re.fullmatch(_FIRMWARE, value) is not None
    return value in _USUAL.get(name, ())


def _has_key(host: _Object) -> bool:
    return any(host.attribute(f"dhchap_{key}") for key in ("key", "ctrl_key"))


_portid = _number(0, values.MOST_PORT)


def _offered(port: _Object) -> tuple[int, tuple[str, ...]]:
    return port.need("portid", _portid), port.texts("subsystems", values.text)


def _ports(top: _Object, skipped: list[str]) -> Iterator[PortState]:
    for entry in top.objects("ports", "port"):
        number = entry.need("portid", _portid)
        port = entry._replace(label=f"port {number}")
        transport = port.attribute("addr_trtype")
        if transport not in values.TRANSPORTS:
            what = f"transport {escape(transport)} is not supported" if transport else "incomplete"
            skipped.append(f"{port.label} skipped: {what}")
            continue
        if port.objects("referrals", "referral"):
            skipped.append(f"{port.label}: referrals skipped")
        if not all(map(_is_usual_group, port.objects("ana_groups", "ANA group"))):
            skipped.append(f"{port.label}: ANA groups skipped")
        attributes = port.attributes(_PORT_GROUPS, _PORT_KEYS)
        if transport == "loop":
            yield PortState(number, transport, attributes=attributes, at=port.at)
            continue
        address = port.checked("addr_traddr", values.address)
        service = port.checked("addr_trsvcid", values.service)
        if address is None or service is None:
            skipped.append(f"{port.label} skipped: incomplete")
            continue
        attributes, tls = with_tls(attributes)
        yield PortState(number, transport, address, None, service, attributes, tls, port.at)


def _is_usual_group(group: _Object) -> bool:
    """Whether it is the group that the kernel creates with each port."""
    number = group.need("grpid", _number(1, 1 << 16))
    return number == 1 and group.attribute("ana_state") in ("", "optimized")


def _export(entry: _Object, skipped: list[str]) -> ExportState | None:
    """None if it is no export of RapidDisk."""
    nqn = entry.need("nqn", values.text)
    entry = entry._replace(label=f"subsystem {escape(nqn)}")
    namespaces = entry.objects("namespaces", f"{entry.label}: namespace")
    device = _device_at(namespaces[0].attribute("device_path")) if namespaces else None
    if len(namespaces) != 1:
        why = f"{len(namespaces)} namespaces" if namespaces else "no namespace"
    elif device is None:
        path = escape(namespaces[0].attribute("device_path"))
        why = f"{path or 'its namespace'} is not a RapidDisk device"
    elif not entry.is_on(namespaces[0].data.get("enable")):
        why = "namespace disabled"
    else:
        return _of_device(entry, namespaces[0], device)
    skipped.append(f"{entry.label} skipped: {why}")
    return None


def _of_device(entry: _Object, namespace: _Object, device: str) -> ExportState:
    any_host = entry.is_on(entry.attribute("attr_allow_any_host"))
    hosts = entry.texts("allowed_hosts", values.host)
    if any_host and hosts:
        # The kernel refuses one of the two: which one depends on their order.
        message = f"{entry.label}: specify either allowed_hosts or allow_any_host"
        raise entry.fault(("attr", "allow_any_host"), message, "Remove one of them.")
    return ExportState(
        nqn=entry.need("nqn", values.nqn),
        device=device,
        hosts=hosts,
        any_host=any_host,
        serial=entry.checked("attr_serial", values.serial),
        uuid=namespace.checked("device_uuid", values.uuid),
        nguid=namespace.checked("device_nguid", values.uuid),
        namespace=namespace.need("nsid", _nsid),
        attributes=entry.attributes(_SUBSYSTEM_GROUPS, values.EXPORT_KEYS),
        namespace_attributes=_namespace_attributes(namespace),
        at=entry.at,
    )


def _nsid(key: str, value: object) -> int:
    return values.namespace(key, _number(1, 1 << 32)(key, value))


def _namespace_attributes(namespace: _Object) -> Attributes:
    """The tool has the ANA group outside its group, in later releases also in it."""
    found = dict(namespace.attributes(_NAMESPACE_GROUPS, values.NAMESPACE_KEYS))
    if "ana_grpid" in namespace.data:
        group = str(namespace.need("ana_grpid", _number(0, 1 << 16)))
        # The tool reports 0 for a kernel without ANA groups.
        if group != "0" and not _is_usual("ana_grpid", group):
            found["ana_grpid"] = group
    return tuple(sorted(found.items()))


def _device_at(path: str) -> str | None:
    """The volume or cache at a path; None if it is another device."""
    name = path.removeprefix(_MAPPER)
    read = values.volume if name == path else values.cache
    try:
        return read("path", name.removeprefix("/dev/") if name == path else name)
    except values.Invalid:
        return None


# --- writing ----------------------------------------------------------------------------------


def _port_data(port: PortState, exports: Sequence[ExportState]) -> dict[str, Any]:
    if port.interface is not None:
        raise RdctlError(
            Code.UNSUPPORTED,
            f"port {port.number}: nvmetcli does not support an interface without its address",
            hint=f"Replace it by its address: ip address show {quoted(port.interface)}",
        )
    family = "ipv6" if ":" in (port.address or "") else "ipv4"
    groups = _grouped(
        _PORT_GROUPS,
        {
            "addr_adrfam": family if port.address else "",
            "addr_traddr": port.address or "",
            "addr_treq": "required" if port.tls else "not specified",
            **({"addr_tsas": "tls1.3"} if port.tls else {}),
            "addr_trsvcid": port.service or "",
            "addr_trtype": port.transport,
            **dict(port.attributes),
        },
    )
    return {
        **groups,
        "ana_groups": [{"ana": {"state": "optimized"}, "grpid": 1}],
        "portid": port.number,
        "referrals": [],
        "subsystems": [export.nqn for export in exports if port.number in export.ports],
    }


def _subsystem_data(export: ExportState) -> dict[str, Any]:
    serial = {"attr_serial": export.serial} if export.serial else {}
    attributes = {
        "attr_allow_any_host": "1" if export.any_host else "0",
        "attr_model": MODEL,
        **serial,
        **dict(export.attributes),
    }
    return {
        **_grouped(_SUBSYSTEM_GROUPS, attributes),
        "allowed_hosts": list(export.hosts),
        "namespaces": [_namespace_data(export)],
        "nqn": export.nqn,
    }


def _namespace_data(export: ExportState) -> dict[str, Any]:
    attributes = dict(export.namespace_attributes)
    group = attributes.pop("ana_grpid", "1")
    directory = _MAPPER if export.device.startswith("rc") else "/dev/"
    named = {
        "device_path": f"{directory}{export.device}",
        "device_uuid": export.uuid,
        "device_nguid": export.nguid,
    }
    present = {name: value for name, value in named.items() if value}
    return {
        **_grouped(_NAMESPACE_GROUPS, {**present, **attributes}),
        "ana_grpid": int(group) if group.isdecimal() else 1,
        "enable": 1,
        "nsid": export.namespace,
    }


def _grouped(groups: Iterable[str], attributes: dict[str, str]) -> dict[str, dict[str, str]]:
    """The attributes in their groups; a group without any is left out."""
    found: dict[str, dict[str, str]] = {}
    for name, value in attributes.items():
        group, _, key = name.partition("_")
        if group in groups:
            found.setdefault(group, {})[key] = value
    return found
