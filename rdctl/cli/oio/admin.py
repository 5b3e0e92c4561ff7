"""rdctl oio admin"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.oio.arguments import target
from rdctl.cli.oio.conscience import address
from rdctl.cli.oio.properties import children, properties_verbs
from rdctl.cli.tree import Command, LazyGroup, verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdctl.core.results import Listing, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.admin:"

# What is asked of every replica: the line, what it means, what is lost by it.
_REPLICAS: dict[str, tuple[str, str, str | None]] = {
    "ping": (
        "Make every replica join its election.",
        "Nothing else is changed; shows how each replica answered.",
        None,
    ),
    "status": (
        "Show which replica is the master.",
        "Each is asked whom it takes for it. Without a quorum this takes a minute.",
        None,
    ),
    "drop-cache": (
        "Make every replica close the base.",
        "It is opened again when it is needed. Asks first.",
        "every replica closes the base, and requests under way fail",
    ),
    "sync": (
        "Make the slaves fetch the base from the master.",
        "The master itself answers that it is no slave (301); that is no fault.",
        None,
    ),
    "debug": (
        "Show what each replica knows of the election.",
        "Its state, whom it takes for the master, and the latest steps.",
        None,
    ),
}
_STATES = {
    "freeze": (
        "Let nobody write to a base.",
        "Asks first: until `admin enable` all writing fails, but for properties. Reading goes on.",
    ),
    "enable": ("Let everybody use a base again.", "It ends what freeze and disable began."),
    "disable": (
        "Let nobody use a base.",
        "Asks first: until `admin enable` all reading and writing fails.",
    ),
}

group = LazyGroup(
    "admin",
    help="""Databases: replicas and elections.

    Every container has a base, a database with replicas on several services, which elect one of
    them master. These verbs are for who repairs them: most are never needed.""",
    children={
        **{
            action: (f"{_HERE}{action.replace('-', '_')}", line)
            for action, (line, _, _) in _REPLICAS.items()
        },
        "leave": (_HERE + "leave", "Make replicas leave the election."),
        "copy": (_HERE + "copy", "Copy a base to another service."),
        **{action: (f"{_HERE}{action}", line) for action, (line, _) in _STATES.items()},
        **children("rdctl.cli.oio.admin"),
    },
)


def _base_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which base of the reference: its type of service, and its number."""
    function = click.option("--seq", type=int, metavar="N", help="Number of the base.")(function)
    kind = click.option(
        "--type",
        metavar="TYPE",
        default="meta2",
        show_default=True,
        help="The type of its services.",
    )
    return kind(function)


def _ask_replicas(action: str) -> Command:
    line, meaning, loss = _REPLICAS[action]
    route = action.replace("-", "_")
    reads = action in ("status", "debug")

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
@click.option("--service", metavar="ADDRESS", callback=address, help="This replica.")
@click.option("--all", "everything", is_flag=True, help="Every replica.")
def leave(site: Site, place: Place, service: str | None, everything: bool, **query: Any) -> Listing:
    """Make replicas leave the election.

    Asks first. They close the base, and elect anew at the next request. A proxy 3.3 makes all of
    them leave, whichever is named."""
    if (service is not None) == everything:
        raise RdctlError(Code.USAGE, "either --service ADDRESS is wanted, or --all")
    loss = f"{place.shown}: {service or 'every replica'} leaves the election"
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
@click.option("--to", required=True, metavar="ADDRESS", callback=address, help="The service.")
def copy(site: Site, place: Place, to: str, **query: Any) -> Report:
    """Copy a base to another service.

    Asks first: what that service has of the base is overwritten."""
    return site.oio.bases.copy(place, to, query)


def _set_state(action: str) -> Command:
    line, meaning = _STATES[action]

    @target("base")
    @_base_options
    def set_state(site: Site, place: Place, **query: Any) -> Report:
        return site.oio.bases.set_state(action, place, query)

    set_state.__doc__ = f"{line}\n\n{meaning}"
    here = f"rdctl -c sandbox oio admin {action} photos"
    return verb(action, examples=[here, f"{here} --dry-run"])(set_state)


freeze = _set_state("freeze")
enable = _set_state("enable")
disable = _set_state("disable")

get_properties, set_properties, del_properties = properties_verbs(
    "admin", "base", "photos", system=True, adds=_base_options
)
