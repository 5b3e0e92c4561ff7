"""rdctl rapiddisk boot"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from rdctl.cli.tree import LazyGroup, verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdctl.core.results import Item, Report
    from rdctl.rapiddisk.state.model import State
    from rdctl.sites import Site

_HERE = "rdctl.cli.rapiddisk.boot:"

group = LazyGroup(
    "boot",
    help="""Restore volumes, caches and exports at boot.

    Three units of systemd apply the state file, /etc/rdctl/rapiddisk.toml, when the machine starts:
    rdctl-caches.service before file systems are mounted, rdctl-images.service when those with the
    images of volumes are, rdctl-exports.service when the network is up. At shutdown they write all
    writeback caches back and save the images, after file systems are unmounted. Create the state
    file first with `rapiddisk dump --save`.""",
    children={
        "enable": (_HERE + "enable", "Restore what the state file has at each boot."),
        "disable": (_HERE + "disable", "Do not restore anything at boot."),
        "status": (_HERE + "status", "Show the units, and what a shutdown has to write back."),
        "stop": (_HERE + "stop", "Save images, write caches back, remove exports."),
    },
)


def _reader(site: Site) -> Callable[[], State]:
    from rdctl.rapiddisk.state.files import machine_state

    return partial(machine_state, site.root)


@verb(
    "enable",
    local_only=True,
    examples=["rdctl rapiddisk boot enable --now", "rdctl rapiddisk boot enable --dry-run"],
)
@click.option("--now", is_flag=True, help="Start the units, too, which applies the state file.")
def enable(site: Site, now: bool) -> Report:
    """Restore what the state file has at each boot.

    Writes and enables rdctl-caches.service, rdctl-images.service and rdctl-exports.service, and the
    files for the kernel modules that they need. A drop-in of rdctl-images.service has the file
    systems of the images, which are mounted first, and a time limit that follows from the sizes of
    their volumes. The boot waits at most 30 seconds for missing disks and addresses, and
    is never stopped by them: what is missing is named in the journal.

    Units write caches back and save images at a shutdown if they are active, which they are after
    the next boot. With --now they are started, too, which applies the state file as at boot: where
    the machine is as written, nothing is changed.

    systemd forces a shutdown after 30 minutes. That limit is raised if the writeback caches and the
    images of the state file could take longer. Run `boot enable` again after changing the state
    file, or when `boot status` shows that a file is outdated. A file that was edited by hand is
    refused. --dry-run prints the files."""
    return site.rapiddisk.boot.enable(_reader(site), site.program, site.warn, now=now)


@verb(
    "disable",
    local_only=True,
    examples=["rdctl rapiddisk boot disable", "rdctl rapiddisk boot disable --dry-run"],
)
def disable(site: Site) -> Report:
    """Do not restore anything at boot.

    Disables the units and removes the files that `boot enable` wrote. Nothing is stopped now, and
    the state file is kept. A file that was edited by hand is kept and named, with exit code 8.

    The next shutdown then no longer waits until writeback caches are written back, and saves no
    image, even if the units are active: do it before with `rapiddisk boot stop`."""
    return site.rapiddisk.boot.disable(site.warn)


@verb(
    "status",
    shows="rdctl.rapiddisk.boot/1",
    watch=True,
    local_only=True,
    examples=["rdctl rapiddisk boot status", "rdctl rapiddisk boot status --json"],
)
def status(site: Site) -> Item:
    """Show the units, and what a shutdown has to write back.

    The status is enabled if all units are enabled and all files are up to date, else disabled or
    incomplete. As root, it also shows the dirty data of writeback caches, and an estimate of the
    time to write them back. A warning is shown if that takes more than half of the time after which
    systemd forces a shutdown, if a unit that has to save something is not active and so is not
    stopped at a shutdown, if the image of a volume would not be saved, and if rdctl itself may not
    be there at boot."""
    return site.rapiddisk.boot.status(_reader(site), site.program)


@verb(
    "stop",
    local_only=True,
    examples=[
        "rdctl rapiddisk boot stop --dry-run",
        "rdctl rapiddisk boot stop --only caches",
    ],
)
@click.option(
    "--only",
    type=click.Choice(["caches", "images", "exports"]),
    help="Only write caches back, only save images, or only remove exports.",
)
def stop(site: Site, only: str | None) -> Report:
    """Save images, write caches back, remove exports.

    The units run this at shutdown; it does not ask for confirmation. First the exports and ports of
    the state file are removed, so their clients are disconnected. Then each volume that has an
    image in the state file is saved there. A volume in use, one whose load did not complete, and
    one that was not loaded from an image that exists are not saved; the image stays as it is. Then
    all writeback caches are written back, however long this takes, and those that nothing uses are
    removed. A cache in use is kept, and is set to be written back again before it is removed.
    Caches of other policies are kept: at shutdown they have nothing to lose. If some volumes cannot
    be saved or some caches not be written back, they are named, with exit code 8."""
    return site.rapiddisk.stop.stop(_reader(site), only)
