"""rdctl oio conscience"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.oio.arguments import pairs_option
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape

if TYPE_CHECKING:
    from rdctl.core.results import Item, Listing, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.conscience:"
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")

group = LazyGroup(
    "conscience",
    help="""Manage the registry of services and their scores.

    The conscience assigns every service of the namespace a score from 0 (gets no new data) to 100
    (best).""",
    children={
        "info": (_HERE + "info", "Show the namespace."),
        "types": (_HERE + "types", "List service types."),
        "list": (_HERE + "list_services", "List services and their scores."),
        "show": (_HERE + "show", "Show services with all their tags and statistics."),
        "resolve": (_HERE + "resolve", "Show the addresses of services by their IDs."),
        "wait": (_HERE + "wait", "Wait until services have a score."),
        "register": (_HERE + "register", "Register a service."),
        "lock": (_HERE + "lock", "Lock service scores."),
        "unlock": (_HERE + "unlock", "Unlock service scores."),
        "flush": (_HERE + "flush", "Deregister all services of a type."),
        "deregister": (_HERE + "deregister", "Deregister services, or all services of a type."),
    },
)


def address(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """IP:PORT, checked before anything is sent."""
    return None if value is None else checked_address(value)


def checked_address(word: str) -> str:
    if not _ADDRESS.fullmatch(word):
        message = f'invalid service address "{escape(word)}": must be IP:PORT'
        raise RdctlError(Code.USAGE, message, target=word)
    return word


@verb(
    "info",
    shows="rdctl.oio.namespace/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio conscience info",
        "rdctl -c sandbox oio conscience info --json --query storage_policies",
    ],
)
def info(site: Site) -> Item:
    """Show the namespace.

    Shows its storage policies and their definitions, its service pools and its options."""
    return site.oio.conscience.namespace()


@verb(
    "types",
    shows="rdctl.oio.type/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio conscience types",
        "rdctl -c sandbox oio conscience types -o name",
    ],
)
def types(site: Site) -> Listing:
    """List service types.

    Lists all types that the namespace supports, including those without a service."""
    return site.oio.conscience.types()


@verb(
    "list",
    shows="rdctl.oio.service/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio conscience list",
        "rdctl -c sandbox oio conscience list rawx meta2 --sort-by score",
        "rdctl -c sandbox oio conscience list rawx --json --query '[?score==`0`].address'",
    ],
)
@names("type", required=False)
@click.option("--full", is_flag=True, help="Include statistics; bypasses the proxy's cache.")
def list_services(site: Site, types: list[str] | None, full: bool) -> Listing:
    """List services and their scores.

    Lists the services of the given types, or of all types. A score of 0 means down or locked;
    before 4.5, the conscience does not report which."""
    return site.oio.conscience.services(types, full)


@verb(
    "show",
    shows="rdctl.oio.service/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio conscience show rawx 127.0.0.1:16013",
        "rdctl -c sandbox oio conscience show rawx 127.0.0.1:16013 --json --query '[].tags'",
    ],
)
@click.argument("type")
@names("address", check=checked_address)
def show(site: Site, addresses: list[str], type: str) -> Listing:
    """Show services with all their tags and statistics.

    The statistics are current: the proxy's cache is bypassed. A score of 0 means down or locked;
    before 4.5, the conscience does not report which."""
    return site.oio.conscience.show(type, addresses)


@verb(
    "resolve",
    shows="rdctl.oio.service-id/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio conscience resolve rawx 127.0.0.1:16013",
        "rdctl -c sandbox oio conscience resolve rawx 127.0.0.1:16013 --json --query '[].address'",
    ],
)
@click.argument("type")
@names("id")
def resolve(site: Site, ids: list[str], type: str) -> Listing:
    """Show the addresses of services by their IDs.

    Since OpenIO 5 a service can have an ID in place of its address, which chunk URLs then contain.
    An address is its own ID. Not supported by proxies 3.3."""
    return site.oio.conscience.resolve(type, ids)


def _type_or_address(word: str) -> str:
    return checked_address(word) if ":" in word else word


@verb(
    "wait",
    shows="rdctl.oio.service/1",
    examples=[
        "rdctl -c sandbox oio conscience wait rawx",
        "rdctl -c sandbox oio conscience wait rawx meta2 --count 15 --timeout 60",
        "rdctl -c sandbox oio conscience wait rawx 127.0.0.1:16013",
    ],
)
@names("type|address", required=False, check=_type_or_address)
@click.option(
    "-s",
    "--score",
    type=click.IntRange(-1, 99),
    metavar="N",
    default=0,
    show_default=True,
    help="Score that every service must exceed.",
)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    help="Number of services that must exceed it, in all (default: 1).",
)
@click.option("--unlock", is_flag=True, help="Unlock the services that do not exceed it.")
def wait(site: Site, words: list[str] | None, score: int, count: int, unlock: bool) -> Listing:
    """Wait until services have a score.

    Waits until no service of the given types, or of all types, has a score of N or lower, and lists
    them. With addresses (IP:PORT), waits for these services only. A given type without any service
    is waited for, and so is an address that is not registered. Looks once a second for 15 seconds,
    or as long as --timeout allows; exit code 7 if that was not enough."""
    from rdctl.oio.operations.conscience import Awaited

    types = [word for word in words or () if ":" not in word]
    addresses = [word for word in words or () if ":" in word]
    return site.oio.conscience.wait(Awaited(types or None, addresses), score, count, unlock)


@verb(
    "register",
    examples=[
        "rdctl -c sandbox oio conscience register rawx 127.0.0.1:6301 --tag tag.vol=/mnt/d1",
        "rdctl -c sandbox oio conscience register echo 127.0.0.1:7999 --dry-run",
    ],
)
@click.argument("type")
@click.argument("address", callback=address)
@pairs_option("--tag", "tags", help="Service tag (repeatable).")
def register(site: Site, type: str, address: str, tags: dict[str, str]) -> Report:
    """Register a service.

    Services register themselves; use this for tests and repairs. The tags of a registered service
    are replaced."""
    return site.oio.conscience.register(type, address, tags)


_only = click.option(
    "--only",
    type=click.Choice(["put", "get"]),
    help="Only the score for writing or for reading (oio-proxy 2025).",
)


@verb(
    "lock",
    examples=[
        "rdctl -c sandbox oio conscience lock rawx 127.0.0.1:16013",
        "rdctl -c sandbox oio conscience lock rawx 127.0.0.1:16013 --score 50 --dry-run",
    ],
)
@click.argument("type")
@names("address", check=checked_address)
@click.option(
    "--score",
    type=click.IntRange(0, 100),
    metavar="N",
    default=0,
    show_default=True,
    help="Score to set.",
)
@click.option(
    "--unregistered", is_flag=True, help="Also lock services that are not registered yet."
)
@_only
def lock(
    site: Site, addresses: list[str], type: str, score: int, unregistered: bool, only: str | None
) -> Report:
    """Lock service scores.

    A service locked at score 0 gets no new data: use this to take it out of service. Requires
    confirmation. An unknown address is refused without --unregistered. With it, the conscience
    lists the address, and a service that registers there later is locked from the start."""
    return site.oio.conscience.lock(type, addresses, score, unregistered, only)


@verb(
    "unlock",
    examples=[
        "rdctl -c sandbox oio conscience unlock rawx 127.0.0.1:16013",
        "rdctl -c sandbox oio conscience unlock --all --dry-run",
    ],
)
@click.argument("type", required=False)
@names("address", required=False, check=checked_address)
@click.option("--all", "everything", is_flag=True, help="Unlock all services (of TYPE).")
@_only
def unlock(
    site: Site,
    addresses: list[str] | None,
    type: str | None,
    everything: bool,
    only: str | None,
) -> Report:
    """Unlock service scores.

    Services that are not locked are left unchanged; before 4.5, the conscience does not report
    which."""
    if everything == (addresses is not None):
        raise RdctlError(Code.USAGE, "specify either TYPE ADDRESS... or --all")
    if addresses is None:
        return site.oio.conscience.unlock_all(type, only)
    return site.oio.conscience.unlock(str(type), addresses, only)


@verb(
    "flush",
    examples=[
        "rdctl -c sandbox oio conscience flush echo --dry-run",
        "rdctl -c sandbox oio conscience flush echo",
    ],
)
@click.argument("type")
def flush(site: Site, type: str) -> Report:
    """Deregister all services of a type.

    The services are unknown to the conscience until they register again. Requires confirmation,
    which lists them."""
    return site.oio.conscience.drop("flush", type)


@verb(
    "deregister",
    examples=[
        "rdctl -c sandbox oio conscience deregister echo --dry-run",
        "rdctl -c sandbox oio conscience deregister echo",
    ],
)
@click.argument("type")
@names("address", required=False, check=checked_address)
def deregister(site: Site, addresses: list[str] | None, type: str) -> Report:
    """Deregister services, or all services of a type.

    Single services require oio-proxy 6 or later; without an address, it is the same as flush.
    Services that run register again. Requires confirmation, which lists the services."""
    if addresses is None:
        return site.oio.conscience.drop("deregister", type)
    return site.oio.conscience.deregister(type, addresses)


local = LazyGroup(
    "local",
    help="""Show the services on the proxy's host.

    As registered with the proxy, regardless of what the conscience reports.""",
    children={"list": (_HERE + "list_local", "List the services on the proxy's host.")},
)


@verb(
    "list",
    shows="rdctl.oio.service/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio local list",
        "rdctl -c sandbox oio local list rawx --json --query '[].address'",
    ],
)
@names("type", required=False)
@click.option("--full", is_flag=True, help="Include statistics.")
def list_local(site: Site, types: list[str] | None, full: bool) -> Listing:
    """List the services on the proxy's host.

    Shows the services, of the given types or of all, that run on that host and registered through
    the proxy. Their scores are not set (-2)."""
    return site.oio.conscience.local(types, full)
