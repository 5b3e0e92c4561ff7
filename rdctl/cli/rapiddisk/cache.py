"""rdctl rapiddisk cache"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.names_input import names
from rdctl.cli.rapiddisk.details import hidden_keys
from rdctl.cli.rapiddisk.overrides import overriding
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.rapiddisk.names import POLICIES, PREFIXES

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.rapiddisk.guards import Overrides
    from rdctl.sites import Site

_HERE = "rdctl.cli.rapiddisk.cache:"
_SCHEMA = "rdctl.rapiddisk.cache/1"

group = LazyGroup(
    "cache",
    help="""Manage caches: volumes in front of slower disks.

    A cache serves frequently read data from memory. The cached disk is a separate device,
    /dev/mapper/rc-wt_SOURCE (rc-wa_, rc-wb_). Using the underlying disk directly corrupts data.""",
    children={
        "list": (_HERE + "list_caches", "List caches."),
        "show": (_HERE + "show", "Show caches in detail."),
        "stats": (_HERE + "stats", "Show cache statistics."),
        "create": (_HERE + "create", "Cache a disk with a volume."),
        "remove": (_HERE + "remove", "Remove caches from their disks."),
        "sync": (_HERE + "sync", "Write dirty blocks of writeback caches to disk."),
    },
)


@verb(
    "list",
    shows=_SCHEMA,
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk cache list",
        "rdctl -c sandbox rapiddisk cache list -o name",
    ],
)
@names("cache", required=False)
def list_caches(site: Site, caches: list[str] | None) -> Listing:
    """List caches.

    Lists all caches, or only the given ones; an unknown name fails with exit code 3. Shows the
    volume, the cached disk and the policy of each. For writeback caches, root also sees the data
    not yet written to the disk (DIRTY) and an estimate of the time to write them back, based on the
    speed of the disk so far."""
    return site.rapiddisk.caches.list(caches)


@verb(
    "show",
    shows=_SCHEMA,
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk cache show rc-wt_sdb",
        "rdctl -c sandbox rapiddisk cache show rc-wt_sdb --json",
    ],
)
@names("cache")
def show(site: Site, caches: list[str]) -> Listing:
    """Show caches in detail.

    Shows all that `list` knows of each, including the names of the kernel, the data not yet written
    to the disk (writeback, as root), and when the kernel was last set to write them back at a
    shutdown. These are visible in local mode only."""
    return site.rapiddisk.caches.show(caches, hidden_keys(_SCHEMA))


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
    """Show cache statistics.

    Reads, hits and writes are counted in blocks of 4 KiB since the cache was created. Tables show
    the counters that all policies have; --json, -o yaml and --columns show all kernel counters."""
    from rdctl.output.schemas import SCHEMAS

    keys = [column.key for column in SCHEMAS["rdctl.rapiddisk.cache-stats/1"].columns]
    return site.rapiddisk.caches.stats(caches, keys)


class _Policy(click.Choice):  # type: ignore[type-arg]
    """The policies in any case, and by the words of the command `rapiddisk`: wt, wa, wb."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        by_prefix = {prefix[len("rc-") : -1]: policy for policy, prefix in PREFIXES.items()}
        return super().convert(by_prefix.get(value.lower(), value), param, ctx)


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
    type=_Policy(POLICIES, case_sensitive=False),
    help="How writes are handled (default: write-through).",
)
@click.option(
    "--name", metavar="NAME", help="Cache name: rc-wt_..., rc-wa_... or rc-wb_... (local only)."
)
@click.option(
    "--max-age",
    type=click.IntRange(1, 86400),
    metavar="SECONDS",
    help="Write back blocks older than this (default: 300; writeback, local only).",
)
@click.option("--adopt", is_flag=True, help="Re-attach a writeback cache without formatting it.")
@click.option(
    "--discard-contents", is_flag=True, help="Erase the volume first. Required if it holds data."
)
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
    """Cache a disk with a volume.

    The cached disk appears as /dev/mapper/rc-wt_SOURCE (rc-wa_, rc-wb_), or under --name. Use that
    device from now on. write-through writes to both, write-around only to the disk, writeback to
    the volume first. With writeback, a power loss loses all data not yet written back, so it
    requires confirmation. A volume that holds data is refused without --discard-contents.

    In local mode, a disk that the policy does not support is refused. Read-only disks are not
    supported. write-through and write-around require logical blocks of 512 bytes. writeback
    requires a size that is a multiple of 4 KiB, and contents with blocks of at least 4 KiB: no
    partition table on the whole disk, and no file system with smaller blocks or sectors (ext2,
    ext3, ext4, XFS, FAT, exFAT, NTFS). Unknown contents cause a warning.

    --adopt re-attaches a writeback cache to its disk, after the disk was unavailable or the cache
    was unmapped. Nothing is formatted, and `cache remove` then writes back the cached data. SOURCE
    is optional if rdctl created the cache since the last boot. --adopt is local only."""
    if adopt:
        if policy not in (None, "writeback"):
            raise RdctlError(Code.USAGE, f"--adopt cannot be used with --policy {policy}")
        if overrides.discard:
            raise RdctlError(Code.USAGE, "--adopt and --discard-contents are mutually exclusive")
        return site.rapiddisk.caches.adopt(volume, source, overrides, name=name, max_age=max_age)
    if source is None:
        raise RdctlError(Code.USAGE, "missing argument SOURCE: optional only with --adopt")
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
    """Remove caches from their disks.

    Requires confirmation: the device in /dev/mapper is removed. A cache that is in use is refused.
    A writeback cache is written back first, however long this takes, so no data are lost; its
    volume is then erased. Other volumes keep the cached blocks until they are erased. Stacked
    caches are removed from the top down."""
    return site.rapiddisk.caches.remove(caches, overrides)


@verb(
    "sync",
    local_only=True,
    examples=[
        "rdctl rapiddisk cache sync rc-wb_sdb",
        "rdctl rapiddisk cache sync rc-wb_sdb --dry-run",
        "rdctl -c sandbox rapiddisk cache sync rc-wb_sdb",
    ],
)
@names("cache")
def sync(site: Site, caches: list[str]) -> Report:
    """Write dirty blocks of writeback caches to disk.

    The caches are kept. If blocks are still dirty afterwards, because the cache was written to in
    the meantime, the command fails and reports their number. Other caches never have dirty blocks.
    Local only."""
    return site.rapiddisk.caches.sync(caches)
