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

    Two units of systemd apply the state file, /etc/rdctl/rapiddisk.toml, when the machine starts:
    rdctl-caches.service before file systems are mounted, rdctl-exports.service when the network is
    up. At shutdown they write all writeback caches back, after file systems are unmounted. Create
    the state file first with `rapiddisk dump --save`.""",
    children={
        "enable": (_HERE + "enable", "Restore what the state file has at each boot."),
        "disable": (_HERE + "disable", "Do not restore anything at boot."),
        "status": (_HERE + "status", "Show the units, and what a shutdown has to write back."),
        "stop": (_HERE + "stop", "Write caches back and remove exports, as at shutdown."),
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

    Writes and enables rdctl-caches.service and rdctl-exports.service, and the files for the kernel
    modules that they need. The boot waits at most 30 seconds for missing disks and addresses, and
    is never stopped by them: what is missing is named in the journal.

    Units write caches back at a shutdown if they are active, which they are after the next boot.
    With --now they are started, too, which applies the state file as at boot: where the machine is
    as written, nothing is changed.

    systemd forces a shutdown after 30 minutes. That limit is raised if the writeback caches of the
    state file could take longer. Run `boot enable` again after changing the state file, or when
    `boot status` shows that a file is outdated. A file that was edited by hand is refused.
    --dry-run prints the files."""
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

    The next shutdown then no longer waits until writeback caches are written back, even if the
    units are active: write them back before it with `rapiddisk cache sync`."""
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

    The status is enabled if both units are enabled and all files are up to date, else disabled or
    incomplete. As root, it also shows the dirty data of writeback caches, and an estimate of the
    time to write them back. A warning is shown if that takes more than half of the time after which
    systemd forces a shutdown, if the unit for caches is not active and so is not stopped at a
    shutdown, and if rdctl itself may not be there at boot."""
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
    "--only", type=click.Choice(["caches", "exports"]), help="Stop only caches, or only exports."
)
def stop(site: Site, only: str | None) -> Report:
    """Write caches back and remove exports, as at shutdown.

    The units run this at shutdown; it does not ask for confirmation. First the exports and ports of
    the state file are removed, so their clients are disconnected. Then all writeback caches are
    written back, however long this takes, and those that nothing uses are removed. A cache in use
    is kept, and is set to be written back again before it is removed. Caches of other policies and
    volumes are kept: at shutdown they have nothing to lose. If some caches cannot be written back,
    they are named, with exit code 8."""
    return site.rapiddisk.stop.stop(_reader(site), only)
