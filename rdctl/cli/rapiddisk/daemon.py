"""rdctl rapiddisk daemon"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.cli.tree import LazyGroup, verb

if TYPE_CHECKING:
    from rdctl.core.results import Item, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.rapiddisk.daemon:"

group = LazyGroup(
    "daemon",
    help="""The daemon's systemd unit.

    rapiddiskd lets others drive this machine over the network; it takes systemd, and root to
    change anything.""",
    children={
        "status": (_HERE + "status", "Whether rapiddiskd is installed, enabled and running."),
        "start": (_HERE + "start", "Start rapiddiskd."),
        "stop": (_HERE + "stop", "Stop rapiddiskd."),
        "enable": (_HERE + "enable", "Start rapiddiskd at boot."),
        "disable": (_HERE + "disable", "Do not start rapiddiskd at boot."),
    },
)


@verb(
    "status",
    shows="rdctl.rapiddisk.daemon/1",
    watch=True,
    local_only=True,
    examples=["rdctl rapiddisk daemon status", "rdctl rapiddisk daemon status --json"],
)
def status(site: Site) -> Item:
    """Whether rapiddiskd is installed, enabled and running.

    As systemd tells on this machine. Whether a daemon answers is what `rapiddisk status` with
    --rapiddisk-url tells."""
    return site.rapiddisk.daemon.status()


@verb(
    "start",
    local_only=True,
    examples=["rdctl rapiddisk daemon start", "rdctl rapiddisk daemon start --dry-run"],
)
def start(site: Site) -> Report:
    """Start rapiddiskd.

    It answers whoever reaches port 9118, with no password at all. Local mode does not need it."""
    return site.rapiddisk.daemon.act("start")


@verb(
    "stop",
    local_only=True,
    examples=["rdctl rapiddisk daemon stop", "rdctl rapiddisk daemon stop --dry-run"],
)
def stop(site: Site) -> Report:
    """Stop rapiddiskd.

    Asks first, since who drives this machine from elsewhere cannot any more. Volumes, caches and
    exports stay."""
    return site.rapiddisk.daemon.act("stop")


@verb(
    "enable",
    local_only=True,
    examples=["rdctl rapiddisk daemon enable", "rdctl rapiddisk daemon enable --dry-run"],
)
def enable(site: Site) -> Report:
    """Start rapiddiskd at boot.

    It is not started now: that is `daemon start`."""
    return site.rapiddisk.daemon.act("enable")


@verb(
    "disable",
    local_only=True,
    examples=["rdctl rapiddisk daemon disable", "rdctl rapiddisk daemon disable --dry-run"],
)
def disable(site: Site) -> Report:
    """Do not start rapiddiskd at boot.

    It is not stopped now: that is `daemon stop`."""
    return site.rapiddisk.daemon.act("disable")
