"""Metrics and their samples: plain data. A name is a promise to dashboards and alert rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from rdctl.core.errors import RdctlError

Labels = tuple[tuple[str, str], ...]


class Metric(NamedTuple):
    """`kind` is gauge or counter."""

    name: str
    kind: str
    help: str


class Sample(NamedTuple):
    """One value of a metric; a metric has at most one for the same labels."""

    metric: str
    value: float
    labels: Labels = ()


class PartResult(NamedTuple):
    """One part of what was read, and how it ended."""

    part: str
    seconds: float
    error: RdctlError | None


class Gathered(NamedTuple):
    """All of one context, which is None unless there are several."""

    samples: list[Sample]
    parts: list[PartResult]


def sampled(metric: str, value: Any, **labels: Any) -> Iterable[Sample]:
    """The sample of a value, none if it is null; a null label is an empty one."""
    if value is not None:
        named = tuple((key, "" if text is None else str(text)) for key, text in labels.items())
        yield Sample(metric, value, named)


def in_context(samples: Iterable[Sample], context: str | None) -> list[Sample]:
    """The samples, with the context as a label."""
    if context is None:
        return list(samples)
    where = ("context", context)
    return [sample._replace(labels=(where, *sample.labels)) for sample in samples]


_GAUGES = {
    "rdctl_build_info": "Version of rdctl.",
    "rdctl_scrape_success": "Whether this part was read (1) or failed (0).",
    "rdctl_scrape_duration_seconds": "Time taken to read this part.",
    "rdctl_scrape_timestamp_seconds": "When all of this was read, in seconds since 1970.",
    # RapidDisk
    "rapiddisk_volumes": "Number of volumes.",
    "rapiddisk_volumes_max": "Maximum number of volumes of the kernel module.",
    "rapiddisk_volume_size_bytes": "Size of a volume.",
    "rapiddisk_volume_usage_bytes": "Memory that a volume uses.",
    "rapiddisk_volume_locked": "Whether a volume is read-only.",
    "rapiddisk_volume_unwritten_bytes": "Data in a volume that a writeback cache has not written"
    " to its source.",
    "rapiddisk_caches": "Number of caches.",
    "rapiddisk_cache_info": "Volume, source and policy of a cache.",
    "rapiddisk_cache_broken": "Whether a cache is incomplete, or has lost its volume.",
    "rapiddisk_cache_failed": "Whether a writeback cache reports an I/O error.",
    "rapiddisk_cache_dirty_bytes": "Data that a writeback cache has not written to its source.",
    "rapiddisk_cache_writeback_estimate_seconds": "Estimated time to write these to the source, at"
    " the speed of the disk so far.",
    "rapiddisk_memory_total_bytes": "Memory of the machine.",
    "rapiddisk_memory_available_bytes": "Memory available on the machine.",
    "rapiddisk_memory_promised_bytes": "Total size of all volumes.",
    "rapiddisk_memory_used_bytes": "Memory that all volumes use.",
    "rapiddisk_exports": "Number of exported NVMe namespaces.",
    "rapiddisk_export_info": "Device of an exported NVMe namespace.",
    "rapiddisk_export_enabled": "Whether an NVMe namespace is enabled.",
    "rapiddisk_export_any_host": "Whether any host may connect to an export.",
    "rapiddisk_export_hosts": "Number of hosts that may connect to an export.",
    "rapiddisk_export_ports": "Number of ports of an export.",
    "rapiddisk_export_authenticated": "Whether all hosts that may connect to an export have a key.",
    "rapiddisk_export_tls": "Whether all ports of an export require TLS.",
    "rapiddisk_export_wildcard_ports": "Number of ports of an export at all addresses of the"
    " machine.",
    "rapiddisk_export_public_ports": "Number of ports of an export at addresses that are not"
    " private.",
    "rapiddisk_export_public_unencrypted_ports": "Number of ports of an export at addresses that"
    " are not private, and without TLS.",
    "rapiddisk_port_info": "Transport, address and service of an NVMe-oF port.",
    "rapiddisk_module_info": "Version of a loaded kernel module.",
    "rapiddisk_module_loaded": "Whether a kernel module is loaded.",
    "rapiddisk_daemon_info": "Version of the rapiddiskd.",
    "rapiddisk_boot_unit_enabled": "Whether a systemd unit that restores the machine is enabled.",
    "rapiddisk_boot_unit_active": "Whether a systemd unit that restores the machine is active.",
    "rapiddisk_state_valid": "Whether the state file can be used.",
    "rapiddisk_state_differences": "Number of differences from the state file: missing from the"
    " machine, differs, or extra on the machine.",
    # OpenIO SDS
    "oio_proxy_info": "Namespace and dialect of the oio-proxy.",
    "oio_service_up": "Whether a service is up.",
    "oio_service_locked": "Whether the score of a service is locked.",
    "oio_service_score": "Score of a service, 0 to 100.",
    "oio_accounts": "Number of accounts.",
    "oio_account_containers": "Number of containers of an account.",
    "oio_account_objects": "Number of objects in an account.",
    "oio_account_bytes": "Size of all objects in an account.",
    "oio_events": "Number of events in a queue, by state.",
}
_COUNTERS = {
    "rapiddisk_cache_reads_total": "Reads of a cached device, in blocks of 4 KiB.",
    "rapiddisk_cache_hits_total": "Reads served from the cache, in blocks of 4 KiB.",
    "rapiddisk_cache_writes_total": "Writes to a cached device, in blocks of 4 KiB.",
    "rapiddisk_cache_replacements_total": "Blocks replaced in a cache.",
    "rapiddisk_cache_uncached_reads_total": "Reads that bypassed the cache, in blocks of 4 KiB.",
    "rapiddisk_cache_uncached_writes_total": "Writes that bypassed the cache, in blocks of 4 KiB.",
    "rapiddisk_cache_disk_reads_total": "Reads from the source of a cache, in blocks of 4 KiB.",
    "rapiddisk_cache_disk_writes_total": "Writes to the source of a cache, in blocks of 4 KiB.",
    "oio_events_queued_total": "Events queued since the beanstalkd was started.",
}
METRICS = {
    name: Metric(name, kind, text)
    for kind, table in (("gauge", _GAUGES), ("counter", _COUNTERS))
    for name, text in table.items()
}
