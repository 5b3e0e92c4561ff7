"""RapidDisk: what is read of a machine, in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rdctl.core.errors import Code, RdctlError
from rdctl.metrics.model import Sample, sampled
from rdctl.metrics.parts import Group, Part

if TYPE_CHECKING:
    from rdctl.rapiddisk.model import Cache, Target
    from rdctl.rapiddisk.readings import Readings
    from rdctl.rapiddisk.state.files import Source
    from rdctl.sites import Site

# The counters of caches, by the keys of `cache stats`.
_COUNTERS = {
    "reads": "reads",
    "cache_hits": "hits",
    "writes": "writes",
    "replacement": "replacements",
    "uncached_reads": "uncached_reads",
    "uncached_writes": "uncached_writes",
    "disk_reads": "disk_reads",
    "disk_writes": "disk_writes",
}


def group(site: Site) -> Group:
    """A daemon has one thread, so its parts follow each other; it is never asked for exports, which
    can crash it, nor for ports."""
    readings = site.rapiddisk.readings()
    parts = [
        Part("rapiddisk_inventory", lambda: _inventory(readings)),
        Part("rapiddisk_cache_stats", lambda: _counters(readings)),
        Part("rapiddisk_memory", lambda: _memory(readings)),
        Part("rapiddisk_status", lambda: _status(readings)),
    ]
    if not site.settings.is_local:
        return Group(parts, one_server=True)
    parts += [
        Part("rapiddisk_exports", lambda: _exports(site, readings)),
        # Without systemd, or without a state file, nothing is restored at boot.
        Part("rapiddisk_boot", lambda: _boot(site), (Code.UNSUPPORTED,)),
        Part("rapiddisk_state", lambda: _state(site), (Code.NOT_FOUND,)),
    ]
    return Group(parts, one_server=False)


def _inventory(readings: Readings) -> Iterator[Sample]:
    volumes, caches = readings.inventory
    yield Sample("rapiddisk_volumes", len(volumes))
    yield Sample("rapiddisk_caches", len(caches))
    for volume in volumes:
        name = (("volume", volume.device),)
        for metric, value in (
            ("rapiddisk_volume_size_bytes", volume.size),
            ("rapiddisk_volume_usage_bytes", volume.usage),
            ("rapiddisk_volume_locked", volume.locked),
            ("rapiddisk_volume_unwritten_bytes", volume.unwritten),
        ):
            if value is not None:
                yield Sample(metric, value, name)
    known = {volume.device for volume in volumes}
    for cache in caches:
        yield from _cache(cache)
        # A daemon may not report the volume.
        if cache.volume is not None or readings.reports_all:
            broken = cache.volume not in known
            yield from sampled("rapiddisk_cache_broken", broken, cache=cache.device)


def _cache(cache: Cache) -> Iterator[Sample]:
    name = cache.device
    labels = {"volume": cache.volume, "source": cache.source, "policy": cache.policy}
    yield from sampled("rapiddisk_cache_info", 1, cache=name, **labels)
    yield from sampled("rapiddisk_cache_dirty_bytes", cache.dirty, cache=name)
    estimate = cache.writeback_seconds
    yield from sampled("rapiddisk_cache_writeback_estimate_seconds", estimate, cache=name)


def _counters(readings: Readings) -> Iterator[Sample]:
    for row in readings.counters([*_COUNTERS, "errors"]):
        name = row["device"]
        for key, metric in _COUNTERS.items():
            yield from sampled(f"rapiddisk_cache_{metric}_total", row[key], cache=name)
        failed = None if row["errors"] is None else row["errors"] > 0
        yield from sampled("rapiddisk_cache_failed", failed, cache=name)


def _memory(readings: Readings) -> Iterator[Sample]:
    for key, value in readings.memory()._asdict().items():
        # 0: not readable.
        if value or key in ("promised", "used"):
            yield from sampled(f"rapiddisk_memory_{key}_bytes", value)


def _status(readings: Readings) -> Iterator[Sample]:
    status = readings.status()
    yield from sampled("rapiddisk_volumes_max", status.max_volumes)
    if status.mode == "remote":
        yield from sampled("rapiddisk_daemon_info", 1, version=status.version)
    for module in status.modules or ():
        yield from sampled("rapiddisk_module_loaded", module.loaded, module=module.module)
        if module.loaded:
            version = module.version
            yield from sampled("rapiddisk_module_info", 1, module=module.module, version=version)


def _exports(site: Site, readings: Readings) -> Iterator[Sample]:
    targets = readings.exports()
    yield Sample("rapiddisk_exports", len(targets))
    own = site.rapiddisk.surroundings().addresses if targets else []
    for target in targets:
        yield from _export(target, own)
    for port in readings.ports():
        address = {"transport": port.transport, "address": port.address, "service": port.service}
        yield from sampled("rapiddisk_port_info", 1, port=port.port, **address)


def _export(target: Target, own: Sequence[str]) -> Iterator[Sample]:
    """`own` are the addresses of the machine."""
    from rdctl.rapiddisk.reach import EVERYWHERE, public_addresses

    name = {"nqn": target.nqn, "namespace": target.namespace}
    hosts = None if target.hosts is None else len(target.hosts)
    yield from sampled("rapiddisk_export_info", 1, **name, device=target.device)
    yield from sampled("rapiddisk_export_enabled", target.enabled, **name)
    yield from sampled("rapiddisk_export_any_host", target.any_host, **name)
    yield from sampled("rapiddisk_export_hosts", hosts, **name)
    yield from sampled("rapiddisk_export_ports", len(target.ports), **name)
    yield from sampled("rapiddisk_export_authenticated", target.authenticated, **name)
    yield from sampled("rapiddisk_export_tls", target.tls, **name)
    wildcard = [port for port in target.ports if port.address in EVERYWHERE]
    yield from sampled("rapiddisk_export_wildcard_ports", len(wildcard), **name)
    public = [port for port in target.ports if public_addresses(port, own)]
    plain = [port for port in public if not port.tls]
    yield from sampled("rapiddisk_export_public_ports", len(public), **name)
    yield from sampled("rapiddisk_export_public_unencrypted_ports", len(plain), **name)


def _boot(site: Site) -> Iterator[Sample]:
    for unit in site.rapiddisk.boot.states():
        yield from sampled("rapiddisk_boot_unit_enabled", unit.enabled, unit=unit.unit)
        yield from sampled("rapiddisk_boot_unit_active", unit.active, unit=unit.unit)


def _state(site: Site) -> Iterator[Sample]:
    """Nothing without a state file."""
    from rdctl.rapiddisk.state.compare import STATES

    source = _source(site)
    yield Sample("rapiddisk_state_valid", not isinstance(source, RdctlError))
    if isinstance(source, RdctlError):
        return
    found = [one.state for one in site.rapiddisk.states.diff(lambda: source, None, False)]
    for state in STATES:
        yield from sampled("rapiddisk_state_differences", found.count(state), state=state)


def _source(site: Site) -> Source | RdctlError:
    """The state file, or why it cannot be used."""
    try:
        return site.state_file(None)
    except RdctlError as error:
        if error.code is Code.NOT_FOUND:
            raise
        return error
