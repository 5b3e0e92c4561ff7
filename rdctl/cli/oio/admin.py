"""rdctl oio admin"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.oio.arguments import target
from rdctl.cli.oio.conscience import address, checked_address
from rdctl.cli.oio.properties import children, properties_verbs
from rdctl.cli.tree import Command, LazyGroup, verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdctl.core.results import Listing, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.admin:"

# Requests to every replica: the first line of the help, the rest, and the loss to confirm.
_REPLICAS: dict[str, tuple[str, str, str | None]] = {
    "ping": (
        "Make all replicas join their election.",
        "Nothing else is changed. Shows the reply of each replica.",
        None,
    ),
    "status": (
        "Show which replica is the master.",
        "Shows which master each replica reports. Takes a minute if the quorum is lost.",
        None,
    ),
    "drop-cache": (
        "Make all replicas close the database.",
        "Requires confirmation: requests in progress fail. The database is opened again on demand.",
        "all replicas will close the database; requests in progress will fail",
    ),
    "sync": (
        "Make the slaves fetch the database from the master.",
        "The master replies that it is not a slave (301); this is not an error.",
        None,
    ),
    "info": (
        "Show the SQLite settings of each replica.",
        "Shows how the database is opened and replicated; the details are in JSON, in `body`.",
        None,
    ),
    "debug": (
        "Show the election state of each replica.",
        "Shows the state, the master that the replica reports, and its latest transitions.",
        None,
    ),
}
_STATES = {
    "freeze": (
        "Make databases read-only.",
        "Requires confirmation: all writes fail until `admin enable`, except to properties.",
    ),
    "enable": (
        "Enable frozen or disabled databases.",
        "Reads and writes work again. An incomplete snapshot (see `container snapshot`) is refused:"
        " deleting its objects would delete the data of its source.",
    ),
    "disable": (
        "Disable databases.",
        "Requires confirmation: all reads and writes fail until `admin enable`.",
    ),
}

group = LazyGroup(
    "admin",
    help="""Repair databases: replicas and elections.

    Every container has a database with replicas on several services, which elect one of them as
    the master. These commands are for repairs only.""",
    children={
        **{
            action: (f"{_HERE}{action.replace('-', '_')}", line)
            for action, (line, _, _) in _REPLICAS.items()
        },
        "has": (_HERE + "has", "Show which services have the database."),
        "remove": (_HERE + "remove", "Remove surplus copies of a database."),
        "vacuum": (_HERE + "vacuum", "Compact databases."),
        "leave": (_HERE + "leave", "Make replicas leave the election."),
        "copy": (_HERE + "copy", "Copy a database to another service."),
        **{action: (f"{_HERE}{action}", line) for action, (line, _) in _STATES.items()},
        **children("rdctl.cli.oio.admin"),
    },
)


def _base_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Select a database of the reference by service type and number."""
    function = click.option(
        "--seq", type=int, metavar="N", help="Sequence number of the database."
    )(function)
    kind = click.option(
        "--type",
        metavar="TYPE",
        default="meta2",
        show_default=True,
        help="Service type.",
    )
    return kind(function)


def _ask_replicas(action: str) -> Command:
    line, meaning, loss = _REPLICAS[action]
    route = action.replace("-", "_")
    reads = action in ("status", "debug", "info")

    @target("base", reads=reads)
    @_base_options
    def ask(site: Site, place: Place, **query: Any) -> Listing:
        lost = f"{place.shown}: {loss}" if loss else None
        return site.oio.bases.replicas(route, place, query, lost)

    ask.__doc__ = f"{line}\n\n{meaning}"
    here = f"rdctl -c sandbox oio admin {action} photos"
    examples = [here, f"{here} --type meta2 --json"]
    shows = "rdctl.oio.election/1" if action == "debug" else "rdctl.oio.replica/1"
    return verb(action, shows=shows, watch=reads, examples=examples)(ask)


ping = _ask_replicas("ping")
status = _ask_replicas("status")
drop_cache = _ask_replicas("drop-cache")
sync = _ask_replicas("sync")
debug = _ask_replicas("debug")
info = _ask_replicas("info")


def _addresses(context: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[str]:
    return [checked_address(word) for word in value]


@verb(
    "has",
    shows="rdctl.oio.replica/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio admin has photos",
        "rdctl -c sandbox oio admin has photos --service 127.0.0.1:16010 --json",
    ],
)
@target("base", reads=True)
@_base_options
@click.option(
    "--service",
    "services",
    metavar="ADDRESS",
    multiple=True,
    callback=_addresses,
    help="Service to query in place of the linked ones (repeatable).",
)
def has(site: Site, place: Place, services: list[str], **query: Any) -> Listing:
    """Show which services have the database.

    Queries the services that the reference is linked to. One that does not have it is an error
    (exit code 3). In JSON, `body` is the path of its file."""
    query = {**query, "service_id": ",".join(services) or None}
    return site.oio.bases.replicas("has", place, query)


@verb(
    "remove",
    examples=[
        "rdctl -c sandbox oio admin remove photos --service 127.0.0.1:16010 --dry-run",
        "rdctl -c sandbox oio admin remove photos --service 127.0.0.1:16011 --json --dry-run",
    ],
)
@target("base")
@_base_options
@click.option(
    "--service",
    "services",
    metavar="ADDRESS",
    multiple=True,
    required=True,
    callback=_addresses,
    help="Service to remove it from (repeatable).",
)
def remove(site: Site, place: Place, services: list[str], **query: Any) -> Report:
    """Remove surplus copies of a database.

    Requires confirmation. The master is refused, and so is a service if no other linked one has the
    database. Use this after `admin copy` and `reference relink`, to clean up the old service."""
    return site.oio.bases.remove(place, services, query)


_LATER = "rdctl --oio-url http://127.0.0.1:6002 oio admin vacuum photos"


@verb("vacuum", examples=[_LATER, f"{_LATER} --dry-run"])
@target("base", several=True)
@_base_options
def vacuum(site: Site, places: list[Place], **query: Any) -> Report:
    """Compact databases.

    Releases the disk space of deleted entries on the master. Only supported by proxies since 5.1;
    earlier ones fail with exit code 11."""
    return site.oio.bases.vacuum(places, query)


@verb(
    "leave",
    shows="rdctl.oio.replica/1",
    examples=[
        "rdctl -c sandbox oio admin leave photos --service 127.0.0.1:16010 --dry-run",
        "rdctl -c sandbox oio admin leave photos --all --dry-run",
    ],
)
@target("base")
@_base_options
@click.option("--service", metavar="ADDRESS", callback=address, help="Replica that leaves.")
@click.option("--all", "everything", is_flag=True, help="Make all replicas leave.")
def leave(site: Site, place: Place, service: str | None, everything: bool, **query: Any) -> Listing:
    """Make replicas leave the election.

    Requires confirmation. The replicas close the database, and a new election starts at the next
    request. With proxy 3.3 all replicas leave, even with --service."""
    if (service is not None) == everything:
        raise RdctlError(Code.USAGE, "specify either --service ADDRESS or --all")
    loss = f"{place.shown}: {service or 'all replicas'} will leave the election"
    return site.oio.bases.replicas("leave", place, {**query, "service_id": service}, loss)


@verb(
    "copy",
    examples=[
        "rdctl -c sandbox oio admin copy photos --to 127.0.0.1:16011 --dry-run",
        "rdctl -c sandbox oio admin copy photos --to 127.0.0.1:16011 --type meta2 --dry-run",
    ],
)
@target("base")
@_base_options
@click.option(
    "--to", required=True, metavar="ADDRESS", callback=address, help="Destination service."
)
def copy(site: Site, place: Place, to: str, **query: Any) -> Report:
    """Copy a database to another service.

    Requires confirmation: a copy that already exists on that service is overwritten."""
    return site.oio.bases.copy(place, to, query)


def _set_state(action: str) -> Command:
    line, meaning = _STATES[action]

    @target("base", several=True)
    @_base_options
    def set_state(site: Site, places: list[Place], **query: Any) -> Report:
        return site.oio.bases.set_state(action, places, query)

    set_state.__doc__ = f"{line}\n\n{meaning}"
    here = f"rdctl -c sandbox oio admin {action} photos"
    return verb(action, examples=[here, f"{here} --dry-run"])(set_state)


freeze = _set_state("freeze")
enable = _set_state("enable")
disable = _set_state("disable")

get_properties, set_properties, del_properties = properties_verbs(
    "admin", "base", "photos", system=True, adds=_base_options
)
