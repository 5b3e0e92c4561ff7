"""rdctl oio volume"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.oio.arguments import container_id
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.volume:"
_VOLUME = "127.0.0.1:16013"

group = LazyGroup(
    "volume",
    help="""Show and manage the chunk indexes of rawx services.

    A rdir service indexes the chunks of each rawx (VOLUME: its address, or its service ID), so
    that the chunks of a lost disk can be found and rebuilt. OpenIO updates an index with a short
    delay.""",
    children={
        "show": (_HERE + "show", "Show the number of chunks on volumes."),
        "chunks": (_HERE + "chunks", "List the chunks on volumes."),
        "assignation": (_HERE + "assignation", "List volumes and their rdir services."),
        "admin": (_HERE + "admin", "Manage incidents and locks of volumes."),
    },
)

admin = LazyGroup(
    "admin",
    help="""Manage incidents and locks of volumes.

    The date of an incident defines which chunks have to be rebuilt: those that are not newer. A
    lock prevents two rebuilds of the same volume; it does not stop uploads or deletions.""",
    children={
        "show": (_HERE + "show_state", "Show incidents and locks of volumes."),
        "incident": (_HERE + "incident", "Set the date of an incident of volumes."),
        "lock": (_HERE + "lock", "Lock volumes."),
        "unlock": (_HERE + "unlock", "Unlock volumes."),
        "clear": (_HERE + "clear", "Clear incidents, and the indexes of volumes."),
    },
)


def checked_volume(word: str) -> str:
    if not word or not word.isprintable() or "/" in word:
        message = f'invalid volume "{defuse(word)}": must be the address or ID of a rawx service'
        raise RdctlError(Code.USAGE, message, target=word)
    return word


_volumes = names("volume", check=checked_volume)


@verb(
    "show",
    shows="rdctl.oio.volume/1",
    watch=True,
    examples=[
        f"rdctl -c sandbox oio volume show {_VOLUME}",
        f"rdctl -c sandbox oio volume show {_VOLUME} --containers",
    ],
)
@_volumes
@click.option("--containers", is_flag=True, help="Show the chunks of each container.")
def show(site: Site, volumes: list[str], containers: bool) -> Listing:
    """Show the number of chunks on volumes.

    Shows the chunks in the index of each volume, in total and by container. If an incident is set,
    also how many of them are to be rebuilt."""
    return site.oio.volumes.show(volumes, containers)


@verb(
    "chunks",
    shows="rdctl.oio.indexed-chunk/1",
    watch=True,
    examples=[
        f"rdctl -c sandbox oio volume chunks {_VOLUME} 127.0.0.1:16014",
        f"rdctl -c sandbox oio volume chunks {_VOLUME} --limit 10 -o name",
    ],
)
@_volumes
@container_id
@click.option("--to-rebuild", is_flag=True, help="Show only chunks not newer than the incident.")
@click.option("--marker", metavar="M", help="Show only chunks after this one (of one VOLUME).")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Maximum number (of one VOLUME)."
)
def chunks(
    site: Site,
    volumes: list[str],
    cid: str | None,
    to_rebuild: bool,
    marker: str | None,
    limit: int | None,
) -> Listing:
    """List the chunks on volumes.

    Lists the entries of their indexes page by page, however many there are, in the order of the
    containers. A missing entry does not mean that a chunk is missing: an index may be incomplete
    (see `rdctl oio content check`)."""
    if volumes[1:] and (marker or limit):
        raise RdctlError(Code.USAGE, "--marker and --limit require a single VOLUME")
    return site.oio.volumes.chunks(volumes, cid, to_rebuild, marker, limit)


@verb(
    "assignation",
    shows="rdctl.oio.assignment/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio volume assignation",
        "rdctl -c sandbox oio volume assignation --exit-code --sort-by rdir",
    ],
)
@click.option("--exit-code", is_flag=True, help="Exit with code 12 if a volume has no rdir.")
def assignation(site: Site, exit_code: bool) -> Listing:
    """List volumes and their rdir services.

    The chunks of a volume without a rdir are not indexed, so rebuilds do not find them. A rdir is
    assigned by OpenIO's own client: openio volume admin bootstrap"""
    return site.oio.volumes.assignation(exit_code)


@verb(
    "show",
    shows="rdctl.oio.volume-state/1",
    watch=True,
    examples=[
        f"rdctl -c sandbox oio volume admin show {_VOLUME}",
        f"rdctl -c sandbox oio volume admin show {_VOLUME} --json --query '[].locked_by'",
    ],
)
@_volumes
def show_state(site: Site, volumes: list[str]) -> Listing:
    """Show incidents and locks of volumes.

    Shows the date of the incident and the owner of the lock, if set."""
    return site.oio.volumes.state(volumes)


@verb(
    "incident",
    examples=[
        f"rdctl -c sandbox oio volume admin incident {_VOLUME}",
        f"rdctl -c sandbox oio volume admin incident {_VOLUME} --date 2026-11-29T20:15 --dry-run",
    ],
)
@_volumes
@click.option(
    "--date",
    "when",
    metavar="TIME",
    help="Time of the incident: an age (2h), a date, or seconds since 1970 (default: now).",
)
def incident(site: Site, volumes: list[str], when: str | None) -> Report:
    """Set the date of an incident of volumes.

    All chunks in the index that are not newer are then to be rebuilt: see `volume show`. Requires
    confirmation if another incident is replaced. `volume admin show` shows it, `volume admin clear`
    removes it."""
    return site.oio.volumes.set_incident(volumes, _seconds(when, site.now()))


def _seconds(when: str | None, now: float) -> int:
    """Seconds since 1970."""
    from rdctl.history.times import past

    if when is None:
        return int(now)
    time = int(when) if when.isascii() and when.isdigit() else int(past(when, now))
    if not 0 < time <= now:
        message = f'invalid time "{defuse(when)}": must be in the past'
        raise RdctlError(Code.USAGE, message)
    return time


@verb(
    "lock",
    examples=[
        f"rdctl -c sandbox oio volume admin lock {_VOLUME} --owner rebuild-7",
        f"rdctl -c sandbox oio volume admin lock {_VOLUME} --owner rebuild-7 --dry-run",
    ],
)
@_volumes
@click.option("--owner", required=True, metavar="WHO", help="Who holds the lock.")
def lock(site: Site, volumes: list[str], owner: str) -> Report:
    """Lock volumes.

    Fails if another owner holds the lock (in-use, exit code 4). A lock has no time limit; it stays
    until it is released."""
    return site.oio.volumes.lock(volumes, owner)


@verb(
    "unlock",
    examples=[
        f"rdctl -c sandbox oio volume admin unlock {_VOLUME} --owner rebuild-7",
        f"rdctl -c sandbox oio volume admin unlock {_VOLUME} --force --dry-run",
    ],
)
@_volumes
@click.option("--owner", metavar="WHO", help="Who holds the lock.")
@click.option("--force", is_flag=True, help="Release the lock of any owner.")
def unlock(site: Site, volumes: list[str], owner: str | None, force: bool) -> Report:
    """Unlock volumes.

    Servers release a lock without asking who holds it. rdctl compares its owner with --owner just
    before, and refuses if another one holds it. With --force it releases any lock, and requires
    confirmation."""
    return site.oio.volumes.unlock(volumes, owner, force)


@verb(
    "clear",
    examples=[
        f"rdctl -c sandbox oio volume admin clear {_VOLUME} --dry-run",
        f"rdctl -c sandbox oio volume admin clear {_VOLUME} --all --dry-run",
    ],
)
@_volumes
@click.option("--all", "everything", is_flag=True, help="Remove all entries of the index.")
@click.option(
    "--before-incident", is_flag=True, help="Remove the entries not newer than the incident."
)
@click.option("--repair", is_flag=True, help="Rewrite the remaining entries.")
def clear(site: Site, volumes: list[str], **options: bool) -> Report:
    """Clear incidents, and the indexes of volumes.

    Always removes the incident; without an option, nothing else. The chunks themselves are never
    deleted, but rebuilds do not find chunks without an entry. Requires confirmation, with the
    number of entries. Refused while the volume is locked."""
    return site.oio.volumes.clear(volumes, **options)
