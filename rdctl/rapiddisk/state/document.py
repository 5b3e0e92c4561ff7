"""The text of a state, in TOML or JSON: read strictly. rdctl/rapiddisk/state/writing.py writes it.

A fault names the file and the line of its key. What refers to each other is checked in
rdctl/rapiddisk/state/references.py, single values in rdctl/rapiddisk/state/values.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from rdctl.core.errors import Code, RdctlError
from rdctl.core.source import Source, from_json, from_toml, toml_string
from rdctl.core.units import defuse, did_you_mean, escape, nearest
from rdctl.rapiddisk.names import PREFIXES, policy_of
from rdctl.rapiddisk.state import references, values
from rdctl.rapiddisk.state.model import (
    SCHEMA,
    TLS_OPTIONAL,
    Attributes,
    CacheState,
    ExportState,
    HostState,
    ModuleState,
    PortState,
    State,
    VolumeState,
    with_tls,
)
from rdctl.rapiddisk.state.writing import HOST_KEYS, key_text

T = TypeVar("T")

SERVICE = "4420"
_TABLES = ("modules", "volumes", "caches", "ports", "hosts", "exports")
# What a missing key may look like.
_EXAMPLES = {
    "size": 'size = "64MiB"',
    "volume": 'volume = "rd1"',
    "source": 'source = "/dev/disk/by-id/..."',
    "policy": 'policy = "write-through"',
    "transport": 'transport = "tcp"',
    "device": 'device = "rd0"',
    "auth_key_file": 'auth_key_file = "/etc/rdctl/host.key"',
}
# Keys whose value only the machine knows.
_HINTS = {
    "source_size": 'Add the size of the disk, as in: source_size = "1GiB" (that of an existing'
    " cache is in: rdctl rapiddisk dump)",
}


_KEY_FILE = 'Name them: [hosts."nqn..."] auth_key_file = "/etc/rdctl/host.key"'

# A key of more parts than any that is known.
_DEEP = re.compile(r"""\s*\[*\s*(?:[^\s.="'#\[\]]+\s*\.\s*){32}""")


def parse(name: str, text: str) -> State:
    """The state in a text of TOML, or of JSON if it begins with `{`. Raises `config`."""
    if text.lstrip().startswith("{"):
        source = from_json(name, text)
    else:
        source = _from_toml(name, text)
    top = _Table(source, (), "", source.data)
    _check_schema(top)
    top.only(("schema", *_TABLES), "table")
    state = State(
        volumes=tuple(_volume(entry) for entry in top.entries("volumes", values.volume)),
        caches=tuple(_cache(entry) for entry in top.entries("caches", values.cache)),
        ports=tuple(_port(entry) for entry in top.entries("ports", values.port_number)),
        exports=tuple(_export(entry) for entry in top.entries("exports", values.nqn)),
        modules=tuple(_modules(top)),
        hosts=tuple(_host(entry) for entry in top.entries("hosts", values.nqn)),
    )
    references.check(state)
    return state


def merge(states: Sequence[State]) -> State:
    """The entries of several files, which must not have the same one. Raises `config`."""
    return references.merge(states)


# --- reading ----------------------------------------------------------------------------------


class _Table(NamedTuple):
    """A table in a source; `label` is what it describes: `volume rd0`."""

    source: Source
    path: tuple[str, ...]
    label: str
    data: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def at(self) -> str:
        return self.source.at(*self.path)

    def fault(self, key: str | None, message: str, hint: str | None = None) -> RdctlError:
        """The error at the line of a key, or of the table."""
        where = self.source.at(*self.path, *([] if key is None else [key]))
        return RdctlError(Code.CONFIG, f"{where}: {message}", hint=hint)

    def only(self, known: Collection[str], kind: str = "key") -> None:
        for key, value in self.data.items():
            if key in known:
                continue
            if key.startswith("dhchap"):
                why = "authentication keys are not in the state file, but in files of their own"
                raise self.fault(key, f"{escape(key)}: {why}", _KEY_FILE)
            what = kind if isinstance(value, dict) else "key"
            meant = did_you_mean(nearest(key, known))
            hint = None if meant else f"Known keys: {', '.join(known)}."
            of = f"{self.label}: " if self.label else ""
            raise self.fault(key, f'{of}unknown {what} "{escape(key)}"{meant}', hint)

    def get(self, key: str, read: Callable[[str, object], T], default: T) -> T:
        return self._read(key, read) if key in self.data else default

    def maybe(self, key: str, read: Callable[[str, object], T]) -> T | None:
        return self._read(key, read) if key in self.data else None

    def need(self, key: str, read: Callable[[str, object], T]) -> T:
        if key not in self.data:
            hint = _HINTS.get(key, f"Add a line: {_EXAMPLES.get(key)}")
            raise self.fault(None, f'{self.label}: key "{key}" missing', hint)
        return self._read(key, read)

    def _read(self, key: str, read: Callable[[str, object], T]) -> T:
        try:
            return read(key, self.data[key])
        except values.Invalid as error:
            raise self.fault(key, error.message, error.hint) from error

    def table(self, key: str, label: str) -> _Table:
        """The table of this key, which may be missing."""
        data = self.data.get(key, {})
        path = (*self.path, key)
        if isinstance(data, dict):
            return _Table(self.source, path, label, data)
        header = ".".join(map(key_text, path))
        raise self.fault(key, f"{escape(header)} must be a table", f"Write [{escape(header)}].")

    def entries(self, key: str, check: Callable[[str, object], Any]) -> Iterable[_Table]:
        """The tables in the table of this key, with their names checked."""
        of_all = self.table(key, key)
        for name in of_all.data:
            entry = of_all.table(name, f"{key[:-1]} {escape(name)}")
            _refuse_unquoted(entry)
            try:
                check(key, name)
            except values.Invalid as error:
                raise entry.fault(None, error.message, error.hint) from error
            yield entry

    def attributes(self, key: str, named: Mapping[str, str]) -> Attributes:
        """The table of attributes of the kernel, but for those that have keys."""
        table = self.table(key, f"{self.label}: {key}")
        table.only([name for name in table.data if not name.startswith("dhchap")])

        def read(name: str, value: object) -> str:
            return values.attribute(name, value, named)

        return tuple((name, table.need(name, read)) for name in sorted(table.data))


def _from_toml(name: str, text: str) -> Source:
    _refuse_deep(name, text)
    try:
        return from_toml(name, text)
    except RdctlError as error:
        found = re.match(r", line (\d+).*: invalid TOML", error.message.removeprefix(name))
        line = text.split("\n")[int(found[1]) - 1].strip() if found else ""
        unquoted = _unquoted_in(line)
        if unquoted is not None:
            error.hint = _quoting(*unquoted)
        elif 0 < len(line) <= _LONGEST_SHOWN:
            error.hint = f"The line is: {defuse(line)}"
        raise


def _refuse_deep(name: str, text: str) -> None:
    """A key of very many parts would take all memory to parse."""
    for number, line in enumerate(text.split("\n"), 1):
        if _DEEP.match(line):
            raise RdctlError(Code.CONFIG, f"{name}, line {number}: invalid TOML: key too long")


# A line of a text that is no state file at all may be of any length.
_LONGEST_SHOWN = 200


def _unquoted_in(line: str) -> tuple[str, str] | None:
    """The table and the name with a colon or plus in it, if that is why the line is invalid."""
    pattern = r"\[?\s*(?:(exports|hosts|caches)\s*\.\s*)?((?:nqn\.|rc-w)[^\s\]\"'=]*)"
    entry = re.match(pattern, line)
    if entry is None:
        return None
    return entry[1] or ("exports" if entry[2].startswith("nqn") else "caches"), entry[2]


def _refuse_unquoted(entry: _Table) -> None:
    """Recognize a name with dots that was not quoted: it became tables in tables."""
    table, name = entry.path
    if table != "caches" and (table, name) not in (("exports", "nqn"), ("hosts", "nqn")):
        return
    data = entry.data
    while data and all(isinstance(value, dict) for value in data.values()):
        part, data = next(iter(data.items()))
        name += f".{part}"
    if name != entry.name:
        message = f"{table}.{escape(name)}: a name with dots must be quoted"
        raise entry.fault(None, message, _quoting(table, name))


def _quoting(table: str, name: str) -> str:
    what = "name" if table == "caches" else "NQN"
    return f"Quote the {what}: [{table}.{toml_string(name)}]"


def _check_schema(top: _Table) -> None:
    found = top.data.get("schema")
    if found == SCHEMA:
        return
    hint = f'Begin the file with: schema = "{SCHEMA}"'
    if found is None:
        raise top.fault("schema", 'key "schema" missing', hint)
    base, _, number = SCHEMA.rpartition("/")
    pattern = rf"{re.escape(base)}/([1-9][0-9]{{0,8}})"
    later = re.fullmatch(pattern, found) if isinstance(found, str) else None
    if later and int(later[1]) > int(number):
        message = f'schema "{found}" was written by a later rdctl'
        raise top.fault("schema", message, f"Update rdctl: this one reads {SCHEMA}.")
    raise top.fault("schema", f'schema must be "{SCHEMA}"', hint)


_VOLUME = ("size", "locked", "image")
_CACHE = ("volume", "source", "source_size", "policy", "max_age")
_PORT = ("transport", "address", "interface", "service", "tls", "attributes")
_EXPORT = (
    "device",
    "ports",
    "hosts",
    "any_host",
    "serial",
    "uuid",
    "nguid",
    "namespace",
    "attributes",
    "namespace_attributes",
)


def _modules(top: _Table) -> Iterable[ModuleState]:
    modules = top.table("modules", "modules")
    modules.only(tuple(values.MODULES), "module")
    for module, known in values.MODULES.items():
        table = modules.table(module, f"module {module}")
        table.only(known)
        for key in table.data:
            at = table.source.at(*table.path, key)
            yield ModuleState(key, table.need(key, values.parameter), at)


def _volume(entry: _Table) -> VolumeState:
    entry.only(_VOLUME)
    size = entry.need("size", values.size)
    locked = entry.get("locked", values.flag, False)
    image = entry.maybe("image", values.image)
    return VolumeState(entry.name, size, locked, image, entry.at)


def _cache(entry: _Table) -> CacheState:
    entry.only(_CACHE)
    policy = entry.need("policy", values.policy)
    if policy_of(entry.name) != policy:
        message = f'cache {entry.name} does not match its policy "{policy}"'
        raise entry.fault("policy", message, f"Its name must begin with {PREFIXES[policy]}.")
    is_writeback = policy == "writeback"
    if "max_age" in entry.data and not is_writeback:
        raise entry.fault("max_age", 'max_age requires policy "writeback"')
    return CacheState(
        name=entry.name,
        volume=entry.need("volume", values.volume),
        source=entry.need("source", values.source),
        source_size=entry.need("source_size", values.size)
        if is_writeback
        else entry.get("source_size", values.size, 0),
        policy=policy,
        max_age=entry.maybe("max_age", values.max_age),
        at=entry.at,
    )


def _port(entry: _Table) -> PortState:
    entry.only(_PORT)
    transport = entry.need("transport", values.transport)
    address = entry.maybe("address", values.address)
    interface = entry.maybe("interface", values.interface)
    service = entry.maybe("service", values.service)
    if transport == "loop":
        for key in ("address", "interface", "service"):
            if key in entry.data:
                raise entry.fault(key, f'{entry.label}: transport "loop" has no {key}')
    elif address is None and interface is None:
        message = f"{entry.label}: specify address or interface"
        hint = 'Add a line: address = "10.0.0.1", or interface = "eth0".'
        raise entry.fault(None, message, hint)
    elif address is not None and interface is not None:
        message = f"{entry.label}: specify either address or interface"
        raise entry.fault("interface", message, "Remove one of them.")
    else:
        service = service or SERVICE
    given = entry.maybe("tls", values.flag)
    attributes, tls = with_tls(entry.attributes("attributes", values.PORT_KEYS), given)
    if tls and transport != "tcp":
        raise entry.fault("tls", f'{entry.label}: tls requires transport "tcp"')
    if tls and TLS_OPTIONAL in attributes:
        raise entry.fault("tls", f'{entry.label}: tls requires that addr_treq is "required"')
    return PortState(
        int(entry.name), transport, address, interface, service, attributes, tls, entry.at
    )


def _host(entry: _Table) -> HostState:
    entry.only(HOST_KEYS)
    return HostState(
        nqn=entry.name,
        auth_key_file=entry.need("auth_key_file", values.key_file),
        ctrl_key_file=entry.maybe("ctrl_key_file", values.key_file),
        hash=entry.get("hash", values.hash, HostState._field_defaults["hash"]),
        dhgroup=entry.get("dhgroup", values.dhgroup, HostState._field_defaults["dhgroup"]),
        at=entry.at,
    )


def _export(entry: _Table) -> ExportState:
    entry.only(_EXPORT)
    any_host = entry.get("any_host", values.flag, False)
    if any_host and "hosts" in entry.data:
        message = f"{entry.label}: specify either hosts or any_host"
        raise entry.fault("any_host", message, "Remove one of them.")
    if not any_host and "hosts" not in entry.data:
        message = f"{entry.label}: specify hosts or any_host"
        hint = 'Add a line: hosts = ["nqn..."], or any_host = true to allow every host.'
        raise entry.fault(None, message, hint)
    return ExportState(
        nqn=entry.name,
        device=entry.need("device", values.device),
        ports=entry.get("ports", values.ports, ()),
        hosts=entry.get("hosts", values.hosts, ()),
        any_host=any_host,
        serial=entry.maybe("serial", values.serial),
        uuid=entry.maybe("uuid", values.uuid),
        nguid=entry.maybe("nguid", values.uuid),
        namespace=entry.get("namespace", values.namespace, 1),
        attributes=entry.attributes("attributes", values.EXPORT_KEYS),
        namespace_attributes=entry.attributes("namespace_attributes", values.NAMESPACE_KEYS),
        at=entry.at,
    )
