"""rdctl oio directory"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from rdctl.cli.oio.conscience import address
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.directory:"

group = LazyGroup(
    "directory",
    help="""Show and warm up the directory of containers.

    The meta1 services know which services have the database of a container. The prefix of a
    container ID decides which meta1 that is; meta0 has the map.""",
    children={
        "dump": (_HERE + "dump", "List which meta1 services have which prefixes."),
        "warmup": (_HERE + "warmup", "Make meta1 services open their databases."),
    },
)


def _digits(context: click.Context, param: click.Parameter, value: str) -> str:
    if not re.fullmatch("[0-9A-Fa-f]{0,4}", value):
        message = f'invalid --prefix "{defuse(value)}": must be up to 4 hexadecimal digits'
        raise RdctlError(Code.USAGE, message)
    return value.upper()


_prefix = click.option(
    "--prefix",
    metavar="P",
    default="",
    callback=_digits,
    help="Only prefixes that begin with these digits.",
)


@verb(
    "dump",
    shows="rdctl.oio.mapped-prefix/1",
    examples=[
        "rdctl -c sandbox oio directory dump --prefix 8F5",
        "rdctl -c sandbox oio directory dump --service 127.0.0.1:16007 -o name",
    ],
)
@_prefix
@click.option(
    "--service", metavar="ADDRESS", callback=address, help="Only prefixes that this meta1 has."
)
def dump(site: Site, prefix: str, service: str | None) -> Listing:
    """List which meta1 services have which prefixes.

    Lists all 65,536 prefixes of four digits, as container IDs begin. The oio-proxy swaps the first
    and the last two digits; rdctl shows them in the order of container IDs."""
    return site.oio.directory.dump(prefix, service)


@verb(
    "warmup",
    examples=[
        "rdctl -c sandbox oio directory warmup --prefix 8F5",
        "rdctl -c sandbox oio directory warmup --digits 1 --dry-run",
    ],
)
@_prefix
@click.option(
    "--digits",
    type=click.IntRange(0, 4),
    metavar="N",
    help="Digits in the name of a database (default: ns.meta1_digits of the proxy).",
)
def warmup(site: Site, prefix: str, digits: int | None) -> Report:
    """Make meta1 services open their databases.

    Sends one request per database: 256 with two digits, 65,536 with four. Each makes the meta1
    services elect a master, so the first users do not have to wait. Requests that are refused
    because an election is not finished (503) are sent again, up to four times. Nothing is
    changed in the databases."""
    return site.oio.directory.warmup(prefix, digits)
