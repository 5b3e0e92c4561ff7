"""The counters of a cache, and how they grow."""

from __future__ import annotations

from rdctl.sandbox.machine.objects import PAGE, WORD

_PROBED = 261  # blocks that udev reads of every new mapping

_CACHE_COUNTERS = (
    "reads",
    "writes",
    "cache_hits",
    "replacement",
    "write_replacement",
    "read_invalidates",
    "write_invalidates",
    "uncached_reads",
    "uncached_writes",
    "disk_reads",
    "disk_writes",
    "cache_reads",
    "cache_writes",
)
_WRITEBACK_COUNTERS = (
    "errors",
    "num_blocks",
    "num_free_blocks",
    "num_wb_blocks",
    "num_read_req",
    "num_read_cache_hits",
    "num_write_req",
    "num_write_uncommitted_blk_hits",
    "num_write_committed_blk_hits",
    "num_write_cache_bypass",
    "num_write_cache_alloc",
    "num_write_freelist_blocked",
    "num_flush_req",
    "num_discard_req",
)
Counters = dict[str, int]


def fresh_counters(device: str, size: int) -> Counters:
    """The counters of a new mapping over a volume of `size` bytes, just probed by udev."""
    if device.startswith("rc-wb"):
        blocks = _writeback_blocks(size % WORD)
        known = {"num_blocks": blocks, "num_free_blocks": blocks, "num_read_req": _PROBED}
        return dict.fromkeys(_WRITEBACK_COUNTERS, 0) | known
    known = {"reads": _PROBED, "disk_reads": _PROBED, "cache_writes": _PROBED}
    return dict.fromkeys(_CACHE_COUNTERS, 0) | known


def _writeback_blocks(size: int) -> int:
    """dm-writecache: as many blocks as fit behind a superblock with 16 bytes for each."""
    blocks = size // (PAGE + 16)
    while blocks > 0 and writeback_head(blocks) + blocks * PAGE > size:
        blocks -= 1
    return blocks


def writeback_head(blocks: int) -> int:
    return -(-(64 + 16 * blocks) // PAGE) * PAGE


def work_on(device: str, counters: Counters, blocks: int) -> None:
    """Simulate an application between two calls: 128 reads and 32 writes, evenly over its data.

    Blocks that the cache lacks are misses and then cached, so the hit rate grows.
    """
    reads, writes = 128, 32
    if device.startswith("rc-wb"):
        goal = max(1, counters["num_blocks"] // 2)  # from there on the kernel writes blocks back
        held = min(goal, counters["num_blocks"] - counters["num_free_blocks"])
        new = writes * (goal - held) // goal
        _add(counters, reads, "num_read_req")
        _add(counters, reads * held // goal, "num_read_cache_hits")
        _add(counters, writes, "num_write_req")
        _add(counters, new, "num_write_cache_alloc")
        _add(counters, writes - new, "num_write_committed_blk_hits")
        _add(counters, -new, "num_free_blocks")
        return
    goal = max(1, min(blocks, 4096))
    missed = reads * max(0, goal - counters["disk_reads"]) // goal
    _add(counters, reads, "reads")
    _add(counters, reads - missed, "cache_hits", "cache_reads")
    _add(counters, missed, "disk_reads", "cache_writes")
    _add(counters, writes, "writes", "write_invalidates", "disk_writes")
    if device.startswith("rc-wt"):
        _add(counters, writes, "cache_writes")


def _add(counters: Counters, amount: int, *names: str) -> None:
    for name in names:
        counters[name] += amount
