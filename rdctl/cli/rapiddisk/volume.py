"""rdctl rapiddisk: volumes, and the machine they are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.options import parsed
from rdctl.cli.rapiddisk.overrides import DISCARD, overriding
from rdctl.cli.tree import HERE, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import MIB, parse_growth, parse_mib

if TYPE_CHECKING:
    from rdctl.core.results import Item, Listing, Report
    from rdctl.rapiddisk.guards import Overrides
    from rdctl.sites import Site

# A size in whole MiB.
WHOLE_MIB = parsed("size", parse_mib)
GROWTH = parsed("size", parse_growth)

overcommit = click.option(
    "--overcommit", is_flag=True, help="Allow volumes to exceed the available memory."
)


@verb(
    "status",
    shows="rdctl.rapiddisk.status/1",
    watch=True,
    examples=["rdctl -c sandbox rapiddisk status", "rdctl -c sandbox rapiddisk status --json"],
)
def status(site: Site) -> Item:
    """Show the daemon version, or the kernel modules.

    On a remote machine: whether the daemon responds, and its version. It also responds while the
    kernel modules are not loaded. Versions before 9 cause a warning. On this machine: the version
    and the limit of the kernel module, which modules are loaded, and the command that loads the
    others."""
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
    """Show memory, and disks that can be cached.

    A daemon only lists disks named sd*, nvme* and pmem*. Others, such as vdb or loop0, can be
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

    Lists all volumes, or only the given ones; an unknown name fails with exit code 3. USAGE is the
    memory used by the volume. USED BY shows caches, exports, and in local mode also mounts and
    swap; a daemon is not asked for exports, since that can crash it. For all users see `show`. A
    warning is shown if the volumes could outgrow the memory (local mode). UNWRITTEN, if any, is the
    data that a writeback cache has not written to its disk; it is shown to root, in local mode
    only."""
    return site.rapiddisk.volumes.list(volumes, site.warn)


@verb(
    "show",
    shows="rdctl.rapiddisk.volume-detail/1",
    watch=HERE,
    examples=[
        "rdctl -c sandbox rapiddisk show rd0",
        "rdctl -c sandbox rapiddisk show rd0 rd1 --json",
        "rdctl -c sandbox rapiddisk show rd0 --json --query 'users[].name'",
    ],
)
@names("volume")
def show(site: Site, volumes: list[str]) -> Item | Listing:
    """Show volumes and their users.

    A remote daemon only reports caches and NVMe-oF exports. Mounts, swap, loop devices and (as
    root) open files are only visible in local mode. users_seen lists what was checked for. JSON has
    one item for one volume, and a list of items for several."""
    if len(volumes) > 1:
        return site.rapiddisk.volumes.show_all(volumes, site.warn)
    return site.rapiddisk.volumes.show(volumes[0], site.warn)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox rapiddisk create 64M",
        "rdctl -c sandbox rapiddisk create 1GiB --count 2",
        "rdctl -c sandbox rapiddisk create 64 -o name",
    ],
)
@click.argument("size", type=WHOLE_MIB)
@click.option("--count", type=click.IntRange(1, 1024), metavar="N", help="Number of volumes.")
@click.option(
    "--number",
    type=click.IntRange(0, 1048575),
    metavar="N",
    help="Number in the name of the volume (local only).",
)
@overcommit
def create(
    site: Site, size: int, count: int | None, number: int | None, overcommit: bool
) -> Report:
    """Create volumes.

    SIZE is a whole number of MiB: 64M, 1GiB, or a number without a unit. The name of the new volume
    is printed; -o name prints only the name. A volume uses memory only as it is written to. A size
    that would exceed the memory, together with the other volumes, is refused without
    --overcommit."""
    if count is not None and number is not None:
        raise RdctlError(Code.USAGE, "--count and --number are mutually exclusive")
    return site.rapiddisk.volumes.create(size * MIB, count or 1, number, overcommit)


@verb(
    "resize",
    examples=[
        "rdctl -c sandbox rapiddisk resize rd1 128M",
        "rdctl -c sandbox rapiddisk resize rd1 +64M --dry-run",
    ],
)
@click.argument("volume")
@click.argument("size", type=GROWTH)
@overcommit
@click.option(
    "--discard-contents",
    is_flag=True,
    help="Discard data beyond the new end, and data that a writeback cache has not written to its"
    " disk.",
)
@overriding
def resize(
    site: Site, volume: str, size: tuple[int, bool], overcommit: bool, overrides: Overrides
) -> Report:
    """Resize a volume.

    With a plus sign (+64M) the volume grows by that size; messages show the resulting size. Growing
    keeps all data. Shrinking requires confirmation: data beyond the new end are lost. In local
    mode, any nonzero data there are refused without --discard-contents. The kernel refuses a size
    below the highest byte ever written. A volume that is locked or in use is refused; in local
    mode, a volume that is in use can grow, and NVMe-oF clients are notified of its new size."""
    mib, added = size
    return site.rapiddisk.volumes.resize(volume, mib * MIB, added, overcommit, overrides)


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
    """ERASE volumes; all data are lost (alias: erase).

    This is not a sync. An erased volume reads as zeros, uses no memory, and keeps its size.
    Requires confirmation. A volume that is locked, used by a cache, exported or otherwise in use is
    refused. So is a volume whose users cannot be checked (see --unseen), and one with data that a
    writeback cache has not written to its disk (see --discard-contents)."""
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
    """Remove volumes and all their data.

    Requires confirmation: the data cannot be recovered. A volume that is locked, used by a cache,
    exported or otherwise in use is refused. So is a volume whose users cannot be checked (see
    --unseen), and one with data that a writeback cache has not written to its disk (see
    --discard-contents)."""
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

    A process that already has the volume open for writing (a mounted file system, a cache) can
    still write: the kernel does not prevent that. rdctl refuses to remove, erase, resize or map a
    locked volume."""
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

    A volume that is not locked is left unchanged; this is not an error."""
    return site.rapiddisk.volumes.set_lock(volumes, False)
