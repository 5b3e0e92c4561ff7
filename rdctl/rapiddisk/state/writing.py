"""The text of a state as it is written: in natural order, to be read and edited by people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from rdctl.core.source import toml_string
from rdctl.core.units import defuse, natural
from rdctl.rapiddisk.state import values
from rdctl.rapiddisk.state.model import (
    SCHEMA,
    CacheState,
    ExportState,
    HostState,
    PortState,
    State,
    VolumeState,
)

T = TypeVar("T")
HOST_KEYS = ("auth_key_file", "ctrl_key_file", "hash", "dhgroup")


def data(state: State) -> dict[str, Any]:
    """The state as plain data, in natural order: the JSON form. Defaults are left out."""
    modules = {module.name: module.value for module in _in_order(state.modules)}
    document = {
        "modules": {"rapiddisk": modules} if modules else {},
        "volumes": {volume.name: _volume_data(volume) for volume in _in_order(state.volumes)},
        "caches": {cache.name: _cache_data(cache) for cache in _in_order(state.caches)},
        "ports": {str(port.number): _port_data(port) for port in _in_order(state.ports)},
        "hosts": {host.nqn: _host_data(host) for host in _in_order(state.hosts)},
        "exports": {export.nqn: _export_data(export) for export in _in_order(state.exports)},
    }
    return {"schema": SCHEMA, **_present(document)}


def _in_order(entries: Iterable[T]) -> list[T]:
    """By their names, which come first in each."""

    def name_of(entry: Any) -> tuple[Any, ...]:
        return natural(str(entry[0]))

    return sorted(entries, key=name_of)


def _present(entry: dict[str, Any]) -> dict[str, Any]:
    """Without what is a default or empty; lists are kept, since an empty one has a meaning."""
    return {
        key: value
        for key, value in entry.items()
        if isinstance(value, list) or value not in (None, False, {})
    }


def _volume_data(volume: VolumeState) -> dict[str, Any]:
    size = values.size_text(volume.size)
    return _present({"size": size, "locked": volume.locked, "image": volume.image})


def _cache_data(cache: CacheState) -> dict[str, Any]:
    return _present(
        {
            "volume": cache.volume,
            "source": cache.source,
            "source_size": values.size_text(cache.source_size) if cache.source_size else None,
            "policy": cache.policy,
            "max_age": None if cache.max_age is None else _age(cache.max_age),
        }
    )


def _age(seconds: int) -> str:
    return f"{seconds}s" if seconds else values.NEVER


def _port_data(port: PortState) -> dict[str, Any]:
    return _present(
        {
            "transport": port.transport,
            "address": port.address,
            "interface": port.interface,
            "service": port.service,
            "tls": port.tls,
            "attributes": dict(port.attributes),
        }
    )


def _host_data(host: HostState) -> dict[str, Any]:
    usual = HostState._field_defaults
    return {
        key: getattr(host, key)
        for key in HOST_KEYS
        if key == "auth_key_file" or getattr(host, key) != usual[key]
    }


def _export_data(export: ExportState) -> dict[str, Any]:
    return _present(
        {
            "device": export.device,
            "ports": list(export.ports),
            "hosts": None if export.any_host else list(export.hosts),
            "any_host": export.any_host,
            "serial": export.serial,
            "uuid": export.uuid,
            "nguid": export.nguid,
            "namespace": None if export.namespace == 1 else export.namespace,
            "attributes": dict(export.attributes),
            "namespace_attributes": dict(export.namespace_attributes),
        }
    )


def toml(state: State, comments: Mapping[str, str] | None = None) -> str:
    """The state as TOML; `comments` has texts to put above entries: `caches.rc-wb_sdb`."""
    lines: list[str] = []
    for key, value in data(state).items():
        if not isinstance(value, dict):
            lines.append(f"{key} = {_value(value)}")
            continue
        for name, entry in value.items():
            lines += ["", *_comment((comments or {}).get(f"{key}.{name}", ""))]
            lines += _entry((key, name), entry)
    return "\n".join(lines) + "\n"


def _entry(path: tuple[str, ...], entry: Mapping[str, Any]) -> Iterable[str]:
    yield f"[{'.'.join(map(key_text, path))}]"
    for key, value in entry.items():
        if not isinstance(value, dict):
            yield f"{key} = {_value(value)}"
    for key, value in entry.items():
        if isinstance(value, dict):
            yield ""
            yield from _entry((*path, key), value)


def _comment(text: str) -> Iterable[str]:
    return (f"# {defuse(line)}".rstrip() for line in text.splitlines())


def key_text(name: str) -> str:
    """As a part of a header: caches and exports are quoted, since most of them have to be."""
    return name if re.fullmatch("[a-z0-9_]+", name) else toml_string(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return toml_string(value)
    if not isinstance(value, list):
        return str(value)
    if len(value) > 1 and isinstance(value[0], str):
        return "[\n" + "".join(f"    {_value(entry)},\n" for entry in value) + "]"
    return f"[{', '.join(map(_value, value))}]"
