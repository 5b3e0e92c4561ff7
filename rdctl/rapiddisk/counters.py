"""The counters of a cache, as a row."""

from __future__ import annotations

from collections.abc import Sequence

from rdctl.rapiddisk.model import CacheCounters

# One row for both kinds of statistics: writecache's names of the counters that both have.
_COMMON = {"reads": "num_read_req", "cache_hits": "num_read_cache_hits", "writes": "num_write_req"}


def stats_row(stats: CacheCounters, policy: str | None, keys: Sequence[str]) -> dict[str, object]:
    """The counters as a row with these keys; null where this kind of cache lacks a counter."""
    counters = stats.counters
    row: dict[str, object] = {key: counters.get(key) for key in keys}
    for key, other in _COMMON.items():
        row[key] = counters.get(key, counters.get(other))
    reads, hits = row["reads"], row["cache_hits"]
    rate = None
    if isinstance(reads, int) and isinstance(hits, int) and reads > 0:
        rate = round(hits / reads, 4)
    return {**row, "device": stats.device, "policy": policy, "hit_rate": rate}
