"""rdctl rapiddisk cache"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.arguments import FORCE, names
from rdctl.cli.command import verb
from rdctl.cli.lazy import LazyGroup
from rdctl.rapiddisk.model import POLICIES

if TYPE_CHECKING:
    from rdctl.result import Listing, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.rapiddisk.cache:"

group = LazyGroup(
    "cache",
    help="""Caches: volumes in front of slower disks.

    What is read often comes from memory then. The cached disk is a device of its own,
    /dev/mapper/rc-wt_SOURCE (rc-wa_, rc-wb_): what uses the disk below it corrupts it.""",
    children={
        "list": (_HERE + "list_caches", "List caches."),
        "stats": (_HERE + "stats", "Show how caches are used."),
        "create": (_HERE + "create", "Let a volume cache a disk."),
        "remove": (_HERE + "remove", "Take caches off their disks."),
        "sync": (_HERE + "sync", "Write back what writeback caches hold."),
    },
)


@verb(
    "list",
    shows="rdctl.rapiddisk.cache/1",
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk cache list",
        "rdctl -c sandbox rapiddisk cache list -o name",
    ],
)
def list_caches(site: Site) -> Listing:
    """List caches.

    Each with its volume, the disk behind it, and its policy."""
    return site.rapiddisk.caches()


@verb(
    "stats",
    shows="rdctl.rapiddisk.cache-stats/1",
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk cache stats",
        "rdctl -c sandbox rapiddisk cache stats --json --query '[].hit_rate'",
    ],
)
@names("cache", required=False)
def stats(site: Site, caches: list[str] | None) -> Listing:
    """Show how caches are used.

    Reads, hits and writes are counted in blocks of 4 KiB since the cache was made. A table shows
    what all policies have; --json, -o yaml and --columns show all counters of the kernel."""
    from rdctl.output.columns import SCHEMAS

    keys = [column.key for column in SCHEMAS["rdctl.rapiddisk.cache-stats/1"].columns]
    return site.rapiddisk.cache_stats(caches, keys)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox rapiddisk cache create rd1 sdb",
        "rdctl -c sandbox rapiddisk cache create rd1 sdb --policy write-around --dry-run",
    ],
)
@click.argument("volume")
@click.argument("source")
@click.option(
    "--policy",
    type=click.Choice(POLICIES),
    default="write-through",
    show_default=True,
    help="What happens on a write.",
)
@click.option("--discard-contents", is_flag=True, help="Erase what the volume holds first.")
@FORCE
def create(
    site: Site, volume: str, source: str, policy: str, discard_contents: bool, force: bool
) -> Report:
    """Let a volume cache a disk.

    The cached disk appears as /dev/mapper/rc-wt_SOURCE (rc-wa_, rc-wb_): use that from now on.
    write-through writes to both, write-around to the disk alone, writeback to the volume first:
    what was not written back is lost with the power, so it asks. A volume that holds data is
    refused without --discard-contents.

    On the machine itself a disk that the policy does not support is refused. No policy supports a
    read-only one. write-through and write-around require logical blocks of 512 bytes. writeback
    requires a size that is a multiple of 4 KiB, and contents with blocks of at least 4 KiB: not a
    partition table of the whole disk, nor a file system with smaller blocks or sectors (ext2, ext3,
    ext4, XFS, FAT, exFAT, NTFS). Unknown contents cause a warning."""
    return site.rapiddisk.map_cache(volume, source, policy, discard_contents, force)


@verb(
    "remove",
    examples=[
        "rdctl -c sandbox rapiddisk cache remove rc-wt_sdb",
        "rdctl -c sandbox rapiddisk cache remove rc-wt_sdb --dry-run",
    ],
)
@names("cache")
@FORCE
def remove(site: Site, caches: list[str], force: bool) -> Report:
    """Take caches off their disks.

    Asks first, since the device below /dev/mapper goes; what uses it has to end before. A
    writeback cache is written back first, however long it takes, so nothing is lost. The volume
    stays, and keeps the cached blocks until it is erased."""
    return site.rapiddisk.unmap_caches(caches, force)


@verb(
    "sync",
    local_only=True,
    examples=[
        "rdctl rapiddisk cache sync rc-wb_sdb",
        "rdctl rapiddisk cache sync rc-wb_sdb --dry-run",
    ],
)
@names("cache")
def sync(site: Site, caches: list[str]) -> Report:
    """Write back what writeback caches hold.

    The caches stay. `dirty` tells how many blocks are not on the disk after that: 0, unless
    somebody writes at that moment. Other caches never hold what their disk does not. Only on the
    machine itself."""
    return site.rapiddisk.sync_caches(caches)
