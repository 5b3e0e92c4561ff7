"""rdctl rapiddisk cache"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.rapiddisk.overrides import overriding
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk.names import POLICIES

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.rapiddisk.guards import Overrides
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

    Each with its volume, the disk behind it, and its policy. Of writeback caches root sees what is
    not on the disk yet (DIRTY), and an estimate of the time to write it there, from how fast the
    disk was so far."""
    return site.rapiddisk.caches.list()


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
    from rdctl.output.schemas import SCHEMAS

    keys = [column.key for column in SCHEMAS["rdctl.rapiddisk.cache-stats/1"].columns]
    return site.rapiddisk.caches.stats(caches, keys)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox rapiddisk cache create rd1 sdb",
        "rdctl -c sandbox rapiddisk cache create rd1 sdb --policy write-around --dry-run",
    ],
)
@click.argument("volume")
@click.argument("source", required=False)
@click.option(
    "--policy",
    type=click.Choice(POLICIES),
    help="What happens on a write: write-through if not set.",
)
@click.option(
    "--name", metavar="NAME", help="The cache's name, rc-wt_..., rc-wa_... or rc-wb_...; locally."
)
@click.option(
    "--max-age",
    type=click.IntRange(1, 86400),
    metavar="SECONDS",
    help="Write back what is older; 300 if not set. Of writeback caches, locally.",
)
@click.option("--adopt", is_flag=True, help="Map a former writeback cache again, unformatted.")
@click.option("--discard-contents", is_flag=True, help="Erase what the volume holds first.")
@overriding
def create(
    site: Site,
    volume: str,
    source: str | None,
    policy: str | None,
    name: str | None,
    max_age: int | None,
    adopt: bool,
    overrides: Overrides,
) -> Report:
    """Let a volume cache a disk.

    The cached disk appears as /dev/mapper/rc-wt_SOURCE (rc-wa_, rc-wb_), or under --name: use that
    from now on. write-through writes to both, write-around to the disk alone, writeback to the
    volume first: what was not written back is lost with the power, so it asks. A volume that holds
    data is refused without --discard-contents.

    On the machine itself a disk that the policy does not support is refused. No policy supports a
    read-only one. write-through and write-around require logical blocks of 512 bytes. writeback
    requires a size that is a multiple of 4 KiB, and contents with blocks of at least 4 KiB: not a
    partition table of the whole disk, nor a file system with smaller blocks or sectors (ext2, ext3,
    ext4, XFS, FAT, exFAT, NTFS). Unknown contents cause a warning.

    --adopt maps a writeback cache whose disk was away, or that was unmapped, over its disk again:
    nothing is formatted, and `cache remove` then writes back what it holds. The volume does not say
    which disk is its own; where it was made by rdctl since the last boot that is known, and SOURCE
    may be left out. Only on the machine itself."""
    if adopt:
        if policy not in (None, "writeback"):
            raise RdctlError(Code.USAGE, f"--adopt is for writeback caches, not for {policy} ones")
        if overrides.discard:
            raise RdctlError(Code.USAGE, "--adopt and --discard-contents exclude each other")
        return site.rapiddisk.caches.adopt(volume, source, overrides, name=name, max_age=max_age)
    if source is None:
        raise RdctlError(Code.USAGE, "missing argument SOURCE: only --adopt goes without it")
    return site.rapiddisk.caches.create(
        volume, source, policy or "write-through", overrides, name=name, max_age=max_age
    )


@verb(
    "remove",
    examples=[
        "rdctl -c sandbox rapiddisk cache remove rc-wt_sdb",
        "rdctl -c sandbox rapiddisk cache remove rc-wt_sdb --dry-run",
    ],
)
@names("cache")
@overriding
def remove(site: Site, caches: list[str], overrides: Overrides) -> Report:
    """Take caches off their disks.

    Asks first, since the device below /dev/mapper goes; what uses it has to end before. A
    writeback cache is written back first, however long it takes, so nothing is lost, and its volume
    is erased then. Other volumes keep the cached blocks until they are erased. Of caches on top of
    each other the upper one goes first."""
    return site.rapiddisk.caches.remove(caches, overrides)


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

    The caches stay. Blocks that are still not on the disk after that, since the cache is written to
    at that moment, are an error that says how many. Other caches never hold what their disk does
    not. Only on the machine itself."""
    return site.rapiddisk.caches.sync(caches)
