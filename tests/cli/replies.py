"""Replies of a rapiddiskd 9.2, for servers that misbehave after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.fakes.faults import Behaviour, json


def inventory(devices: Sequence[str] = ("rd0",), caches: Sequence[str] = ()) -> Behaviour:
    """listRapidDiskVolumes: volumes of 64 MiB, and caches of the first of them."""
    volumes: list[dict[str, Any]] = [
        {"device": device, "size": 67108864, "usage": 0, "status": "unlocked"} for device in devices
    ]
    mapped = [
        {"device": cache, "cache": devices[0], "source": "sdb", "mode": "write-through"}
        for cache in caches
    ]
    return json({"volumes": [{"rapiddisk": volumes}, {"rapiddisk_cache": mapped}]})


def resources() -> Behaviour:
    """listAllResources: plenty of memory."""
    memory = {"memory": [{"mem_total": 1 << 40, "mem_free": 1 << 40}]}
    return json({"resources": [memory, {"volumes": []}]})


def targets() -> Behaviour:
    """listAllNVMeTargets: none."""
    return json({"targets": [{"nvmet_targets": []}]})


def counters(cache: str) -> Behaviour:
    """showRapidDiskCacheStats"""
    stats = {"device": cache, "reads": 4, "cache_hits": 1, "writes": 2}
    return json({"statistics": [{"cache_stats": [stats]}]})


def success() -> Behaviour:
    return json({"status": "Success", "message": "Done."})


def failed(message: str) -> Behaviour:
    return json({"status": "Failed", "message": message})
