"""rdctl rapiddisk: volumes, and the machine that they are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.options import parsed
from rdctl.cli.rapiddisk.overrides import DISCARD, overriding
from rdctl.cli.tree import HERE, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import parse_mib

if TYPE_CHECKING:
    from rdctl.core.results import Item, Listing, Report
    from rdctl.rapiddisk.guards import Overrides
    from rdctl.sites import Site

# A size in whole MiB.
MIB = parsed("size", parse_mib)

overcommit = click.option(
    "--overcommit", is_flag=True, help="Go on although volumes could outgrow the memory."
)


@verb(
    "status",
    shows="rdctl.rapiddisk.status/1",
    watch=True,
    examples=["rdctl -c sandbox rapiddisk status", "rdctl -c sandbox rapiddisk status --json"],
)
def status(site: Site) -> Item:
    """The daemon and its version, or the kernel modules here.

    Of a remote machine: the daemon's sign of life, which is also OK while the kernel modules are
    not loaded; a daemon below version 9 is warned of. Of this machine: the version of the kernel
    module, its limit, and which modules are loaded, with the command that loads the others."""
    return site.rapiddisk.status()


@verb(
    "resources",
    shows="rdctl.rapiddisk.resources/1",
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk resources",
        "rdctl -c sandbox rapiddisk resources --json --query 'disks[].device'",
    ],
)
def resources(site: Site) -> Item:
    """Memory, and disks that can be cached.

    A daemon lists disks called sd*, nvme* and pmem* only; others, such as vdb or loop0, can be
    cached as well."""
    return site.rapiddisk.resources()


@verb(
    "list",
    shows="rdctl.rapiddisk.volume/1",
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk list",
        "rdctl -c sandbox rapiddisk list --json",
        "rdctl -c sandbox rapiddisk list -o csv --columns device,usage --sort-by -usage",
    ],
)
@names("volume", required=False)
def list_volumes(site: Site, volumes: list[str] | None) -> Listing:
    """List volumes.

    All of them, or those that are named: an unknown name is exit 3. USAGE is the memory that one
    takes by now. UNWRITTEN, where there is any, is what a writeback cache has not written to its
    disk; root sees it on the machine itself."""
    return site.rapiddisk.volumes.list(volumes)


@verb(
    "show",
    shows="rdctl.rapiddisk.volume-detail/1",
    watch=HERE,
    examples=[
        "rdctl -c sandbox rapiddisk show rd0",
        "rdctl -c sandbox rapiddisk show rd0 --json --query 'users[].name'",
    ],
)
@click.argument("volume")
def show(site: Site, volume: str) -> Item:
    """Show one volume and everybody who uses it.

    A remote daemon shows caches and NVMe-oF exports; mounts, swap, loop devices and, by root,
    open files can be seen on that machine only. users_seen tells which were looked for."""
    return site.rapiddisk.volumes.show(volume, site.warn)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox rapiddisk create 64M",
        "rdctl -c sandbox rapiddisk create 1GiB --count 2",
        "rdctl -c sandbox rapiddisk create 64 -o name",
    ],
)
@click.argument("size", type=MIB)
@click.option("--count", type=click.IntRange(1, 1024), metavar="N", help="How many.")
@click.option(
    "--number",
    type=click.IntRange(0, 1048575),
    metavar="N",
    help="The number in its name; only on the machine itself.",
)
@overcommit
def create(
    site: Site, size: int, count: int | None, number: int | None, overcommit: bool
) -> Report:
    """Create volumes.

    SIZE is in whole MiB: 64M, 1GiB, or a bare number of MiB. The name of the new volume is shown;
    -o name prints nothing else. A volume takes memory only as it is written to: a size that the
    memory cannot hold beside the other volumes is refused."""
    if count is not None and number is not None:
        raise RdctlError(Code.USAGE, "--count and --number exclude each other")
    return site.rapiddisk.volumes.create(size, count or 1, number, overcommit)


@verb(
    "resize",
    examples=[
        "rdctl -c sandbox rapiddisk resize rd1 128M",
        "rdctl -c sandbox rapiddisk resize rd1 256M --dry-run",
    ],
)
@click.argument("volume")
@click.argument("size", type=MIB)
@overcommit
@DISCARD
@overriding
def resize(site: Site, volume: str, size: int, overcommit: bool, overrides: Overrides) -> Report:
    """Change the size of a volume.

    Growing keeps all data. Shrinking asks first, since what lies beyond the new end is lost; on
    this machine itself anything but zeros there is refused without --discard-contents. Below the
    highest byte ever written the kernel refuses it. A volume that is locked is not resized, nor
    one that is in use; on this machine itself one that is in use can grow, and NVMe-oF clients are
    told its new size."""
    return site.rapiddisk.volumes.resize(volume, size, overcommit, overrides)


@verb(
    "flush",
    examples=[
        "rdctl -c sandbox rapiddisk flush rd1",
        "rdctl -c sandbox rapiddisk flush rd1 rd2 --dry-run",
    ],
)
@names("volume")
@DISCARD
@overriding
def flush(site: Site, volumes: list[str], overrides: Overrides) -> Report:
    """ERASE volumes: all their data are lost.

    It is no sync: afterwards a volume reads as zeros, takes no memory, and has its size still.
    Asks first. A volume that is locked, cached with, exported, or seen to be in use in any other
    way is not erased, nor one of which that could not be seen (--unseen). What a writeback cache
    has not written to its disk is kept without --discard-contents."""
    return site.rapiddisk.volumes.flush(volumes, overrides)


@verb(
    "remove",
    examples=[
        "rdctl -c sandbox rapiddisk remove rd1",
        "rdctl -c sandbox rapiddisk remove rd1 rd2 --dry-run",
    ],
)
@names("volume")
@DISCARD
@overriding
def remove(site: Site, volumes: list[str], overrides: Overrides) -> Report:
    """Remove volumes with all their data.

    Asks first: the data cannot be brought back. A volume that is locked, cached with, exported, or
    seen to be in use in any other way is not removed, nor one of which that could not be seen
    (--unseen). What a writeback cache has not written to its disk is kept without
    --discard-contents."""
    return site.rapiddisk.volumes.remove(volumes, overrides)


@verb(
    "lock",
    examples=[
        "rdctl -c sandbox rapiddisk lock rd1",
        "rdctl -c sandbox rapiddisk list -o name | rdctl -c sandbox rapiddisk lock -",
    ],
)
@names("volume")
def lock(site: Site, volumes: list[str]) -> Report:
    """Make volumes read-only.

    Who has a volume open for writing already (a mounted file system, a cache) goes on writing: the
    kernel does not stop that. rdctl does not remove, erase, resize or map a locked volume."""
    return site.rapiddisk.volumes.set_lock(volumes, True)


@verb(
    "unlock",
    examples=[
        "rdctl -c sandbox rapiddisk unlock rd1",
        "rdctl -c sandbox rapiddisk unlock rd1 rd2 --json",
    ],
)
@names("volume")
def unlock(site: Site, volumes: list[str]) -> Report:
    """Make volumes writable again.

    A volume that is not locked is left as it is, and that is no error."""
    return site.rapiddisk.volumes.set_lock(volumes, False)
