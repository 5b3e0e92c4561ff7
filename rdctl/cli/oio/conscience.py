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
    help="""Which services there are.

    The conscience knows every service of the namespace and gives it a score: 0 keeps new work
    away from it, 100 is best.""",
    children={
        "info": (_HERE + "info", "Show the namespace."),
        "types": (_HERE + "types", "List the types of services."),
        "list": (_HERE + "list_services", "List services with their scores."),
        "register": (_HERE + "register", "Make a service known."),
        "lock": (_HERE + "lock", "Pin the scores of services."),
        "unlock": (_HERE + "unlock", "Let the scores of services go."),
        "flush": (_HERE + "flush", "Drop every service of a type."),
        "deregister": (_HERE + "deregister", "Drop every service of a type."),
    },
)


def address(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """IP:PORT, checked before anything is sent."""
    return None if value is None else checked_address(value)


def checked_address(word: str) -> str:
    if not _ADDRESS.fullmatch(word):
        message = f"'{escape(word)}' is not the address of a service, IP:PORT"
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

    Its storage policies and what they mean, its pools of services, its options."""
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
    """List the types of services.

    Those that the namespace may have; there need not be a service of each."""
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
@click.option("--full", is_flag=True, help="With the statistics of each, past the proxy's cache.")
def list_services(site: Site, types: list[str] | None, full: bool) -> Listing:
    """List services with their scores.

    Of the types that are named, else of all. A score of 0 means down or locked: the conscience
    does not tell which."""
    return site.oio.conscience.services(types, full)


@verb(
    "register",
    examples=[
        "rdctl -c sandbox oio conscience register rawx 127.0.0.1:6301 --tag tag.vol=/mnt/d1",
        "rdctl -c sandbox oio conscience register echo 127.0.0.1:7999 --dry-run",
    ],
)
@click.argument("type")
@click.argument("address", callback=address)
@pairs_option("--tag", "tags", help="A tag of the service; repeat as needed.")
def register(site: Site, type: str, address: str, tags: dict[str, str]) -> Report:
    """Make a service known.

    Services do so by themselves; by hand it is for tests and repairs. One that is known already
    gets these tags in place of its own."""
    return site.oio.conscience.register(type, address, tags)


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
    help="The score that they keep.",
)
def lock(site: Site, addresses: list[str], type: str, score: int) -> Report:
    """Pin the scores of services.

    At 0 nothing new is sent to them: that is how a service is taken out of use. Asks first. An
    address that the conscience does not know is refused."""
    return site.oio.conscience.set_lock(type, addresses, True, score)


@verb(
    "unlock",
    examples=[
        "rdctl -c sandbox oio conscience unlock rawx 127.0.0.1:16013",
        "rdctl -c sandbox oio conscience unlock --all --dry-run",
    ],
)
@click.argument("type", required=False)
@names("address", required=False, check=checked_address)
@click.option("--all", "everything", is_flag=True, help="All services, of TYPE or of every type.")
def unlock(site: Site, addresses: list[str] | None, type: str | None, everything: bool) -> Report:
    """Let the scores of services go.

    A service that was not locked is left as it is; which those are, the conscience does not
    tell."""
    if everything == (addresses is not None):
        raise RdctlError(Code.USAGE, "either TYPE and ADDRESS... are wanted, or --all")
    if addresses is None:
        return site.oio.conscience.unlock_all(type)
    return site.oio.conscience.set_lock(str(type), addresses, False, 0)


@verb(
    "flush",
    examples=[
        "rdctl -c sandbox oio conscience flush echo --dry-run",
        "rdctl -c sandbox oio conscience flush echo",
    ],
)
@click.argument("type")
def flush(site: Site, type: str) -> Report:
    """Drop every service of a type.

    The conscience forgets them until each registers again. Asks first, and names them."""
    return site.oio.conscience.drop("flush", type)


@verb(
    "deregister",
    examples=[
        "rdctl -c sandbox oio conscience deregister echo --dry-run",
        "rdctl -c sandbox oio conscience deregister echo",
    ],
)
@click.argument("type")
def deregister(site: Site, type: str) -> Report:
    """Drop every service of a type.

    The server cannot drop a single one: this does the same as flush. Asks first, and names
    them."""
    return site.oio.conscience.drop("deregister", type)
