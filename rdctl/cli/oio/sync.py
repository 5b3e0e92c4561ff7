"""rdctl oio content sync, ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.oio.arguments import target
from rdctl.cli.options import SYNONYM
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing
    from rdctl.oio.model import Place
    from rdctl.oio.sync.deleting import Selection
    from rdctl.sites import Site

# A range costs some kilobytes of memory.
MOST_SHARDS = 10_000


@verb(
    "ranges",
    shows="rdctl.oio.range/1",
    examples=[
        "rdctl -c sandbox oio content ranges photos --shards 4",
        "rdctl -c sandbox oio content ranges photos --shards 4 --prefix sea/ --json",
        "rdctl -c sandbox oio content ranges photos --shards 2 -o tsv --no-headers"
        " --columns marker,end_marker",
    ],
)
@target("container", reads=True)
@click.option(
    "--shards",
    type=click.IntRange(1, MOST_SHARDS),
    metavar="N",
    required=True,
    help="Number of ranges.",
)
@click.option("--prefix", metavar="P", help="Only objects whose names begin with P.")
def ranges(site: Site, place: Place, shards: int, prefix: str | None) -> Listing:
    """Divide the listing of a container into ranges.

    The container is listed once, and divided into ranges of about as many objects each, so that
    several machines can process them at the same time. Each row is a range for `content list
    --marker M --end-marker M`; an empty marker does not limit it. With --prefix, give the same
    prefix there.

    The ranges cover the whole container. Of an object that is created later, none of its ranges
    is missing, but two neighboring ones may list it. There are fewer ranges than N if there are
    fewer objects. A range never ends at a name with control characters, backslashes or bytes that
    are not UTF-8, so markers can be passed as they are shown."""
    return site.oio.contents.ranges(place, shards, prefix)


# --- content delete -------------------------------------------------------------------------------


def selection_of(
    places: list[Place], prefix: str | None, glob: str | None, recursive: bool
) -> tuple[Place, Selection]:
    """The container, and what --prefix, --glob and --recursive select in it."""
    from rdctl.oio.sync.deleting import Selection

    if typed := click.get_current_context().meta.get(SYNONYM):
        message = f'"{typed}" takes one name: use delete with --prefix, --glob or --recursive'
        raise RdctlError(Code.USAGE, message)
    place = places[0] if len(places) == 1 else None
    if place is None or place.content_id or place.version or (place.path and not recursive):
        message = "--prefix and --glob cannot be used with PATH, and --recursive takes one PATH"
        raise RdctlError(Code.USAGE, message)
    if recursive and (prefix is not None or glob is not None):
        raise RdctlError(Code.USAGE, "--recursive cannot be used with --prefix or --glob")
    if prefix == "":  # usually a variable of a script that is not set
        hint = "To delete all objects of the container, use --recursive without PATH."
        raise RdctlError(Code.USAGE, "--prefix must not be empty", hint=hint)
    if place.path:
        prefix = f"{place.path.rstrip('/')}/"
    return place.holder, Selection(prefix or "", glob)
