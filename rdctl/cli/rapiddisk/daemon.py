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
    help="""Manage the systemd unit of rapiddiskd.

    rapiddiskd allows remote clients to manage this machine over the network. These commands require
    systemd; changes require root.""",
    children={
        "status": (_HERE + "status", "Show whether rapiddiskd is installed and running."),
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
    examples=[
        "rdctl rapiddisk daemon status",
        "rdctl rapiddisk daemon status --json",
        "rdctl -c sandbox rapiddisk daemon status",
    ],
)
def status(site: Site) -> Item:
    """Show whether rapiddiskd is installed and running.

    As reported by systemd on this machine. To check whether a daemon responds, use
    `rapiddisk status` with --rapiddisk-url."""
    return site.rapiddisk.daemon.status()


@verb(
    "start",
    local_only=True,
    examples=[
        "rdctl rapiddisk daemon start",
        "rdctl rapiddisk daemon start --dry-run",
        "rdctl -c sandbox rapiddisk daemon start",
    ],
)
def start(site: Site) -> Report:
    """Start rapiddiskd.

    Anyone who can reach port 9118 can manage this machine: rapiddiskd has no authentication. Local
    mode does not need it."""
    return site.rapiddisk.daemon.act("start")


@verb(
    "stop",
    local_only=True,
    examples=[
        "rdctl rapiddisk daemon stop",
        "rdctl rapiddisk daemon stop --dry-run",
        "rdctl -c sandbox rapiddisk daemon stop",
    ],
)
def stop(site: Site) -> Report:
    """Stop rapiddiskd.

    Requires confirmation: remote clients can no longer manage this machine. Volumes, caches and
    exports are kept."""
    return site.rapiddisk.daemon.act("stop")


@verb(
    "enable",
    local_only=True,
    examples=[
        "rdctl rapiddisk daemon enable",
        "rdctl rapiddisk daemon enable --dry-run",
        "rdctl -c sandbox rapiddisk daemon enable",
    ],
)
def enable(site: Site) -> Report:
    """Start rapiddiskd at boot.

    It is not started now; use `daemon start` for that."""
    return site.rapiddisk.daemon.act("enable")


@verb(
    "disable",
    local_only=True,
    examples=[
        "rdctl rapiddisk daemon disable",
        "rdctl rapiddisk daemon disable --dry-run",
        "rdctl -c sandbox rapiddisk daemon disable",
    ],
)
def disable(site: Site) -> Report:
    """Do not start rapiddiskd at boot.

    It is not stopped now; use `daemon stop` for that."""
    return site.rapiddisk.daemon.act("disable")
