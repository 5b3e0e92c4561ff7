"""rdctl oio container sharding, checkpoint"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from rdctl.cli.oio.arguments import target
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

# The suffix becomes part of a file name on the server.
_SUFFIX = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

group = LazyGroup(
    "sharding",
    help="""Show how a container is sharded.

    From release 2025 on, large containers may be divided into shards: containers that hold the
    objects of a range of names. The proxy finds the shard of an object by itself.""",
    children={"show": ("rdctl.cli.oio.sharding:show", "List the shards of a container.")},
)


@verb(
    "show",
    shows="rdctl.oio.shard/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio container sharding show photos",
        "rdctl -c sandbox oio container sharding show photos --json",
    ],
)
@target("container", reads=True)
def show(site: Site, place: Place) -> Listing:
    """List the shards of a container.

    Each shard is a container with its own ID, for --cid. A container without shards has an empty
    list. Requires oio-proxy 2025."""
    return site.oio.shardings.shards(place)


@verb(
    "checkpoint",
    examples=[
        "rdctl -c sandbox oio container checkpoint photos",
        "rdctl -c sandbox oio container checkpoint photos --suffix before-upgrade",
    ],
    fleet=False,
)
@target("container")
@click.option("--suffix", metavar="NAME", help="End of the name of the copy (default: the time).")
def checkpoint(site: Site, place: Place, suffix: str | None) -> Report:
    """Copy the database of a container on its meta2 services.

    The copy is a file in the directory of the database, for other tools. It holds the list of
    objects, not their data, and rdctl neither lists nor deletes it. Requires oio-proxy 2025."""
    if suffix is not None and not _SUFFIX.fullmatch(suffix):
        message = f'invalid suffix "{escape(suffix)}": must be letters, digits, ".", "_" or "-"'
        raise RdctlError(Code.USAGE, message)
    return site.oio.shardings.checkpoint(place, suffix)
