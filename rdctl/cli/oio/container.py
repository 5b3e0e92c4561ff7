"""rdctl oio container"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.names_input import bulk_of
from rdctl.cli.oio.arguments import (
    PROPERTIES,
    SYSTEM,
    bean_update,
    beans,
    json_option,
    target,
)
from rdctl.cli.oio.properties import children, properties_verbs
from rdctl.cli.tree import Command, LazyGroup, verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.container:"

group = LazyGroup(
    "container",
    help="""Containers, and what they hold.

    A container belongs to an account (--account) and holds contents. Its base, a database on
    meta2 services, lists them; what they consist of lies in chunks on rawx services.""",
    children={
        "create": (_HERE + "create", "Create containers."),
        "show": (_HERE + "show", "Show what containers are."),
        "list": (_HERE + "list_contents", "List what a container holds."),
        "destroy": (_HERE + "destroy", "Destroy containers."),
        "flush": (_HERE + "flush", "Delete all contents of a container."),
        **children("rdctl.cli.oio.container"),
        "touch": (_HERE + "touch", "Make the account count containers anew."),
        "dedup": (_HERE + "dedup", "Let equal contents share their chunks."),
        "purge": (_HERE + "purge", "Delete surplus versions."),
        "raw-insert": (_HERE + "raw_insert", "Insert beans into a container's base."),
        "raw-update": (_HERE + "raw_update", "Replace beans in a container's base."),
        "raw-delete": (_HERE + "raw_delete", "Delete beans from a container's base."),
    },
)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox oio container create docs",
        "rdctl -c sandbox oio container create a b c -p team=red --json",
        "rdctl -c sandbox oio container create limited --system sys.m2.quota=10G --dry-run",
    ],
)
@target("container", several=True, new=True)
@PROPERTIES
@SYSTEM
def create(
    site: Site, places: list[Place], properties: dict[str, str], system: dict[str, str]
) -> Report:
    """Create containers.

    Several go to the server a hundred at a time. One that exists is left as it is: no error, unless
    it lacks the properties that are given (exit 4)."""
    own = bulk_of(click.get_current_context()).of(site.settings.context).properties
    return site.oio.containers.create(places, properties, system, own)


@verb(
    "show",
    shows="rdctl.oio.container/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio container show photos",
        "rdctl -c sandbox oio container show photos -o csv --columns container,usage,objects",
    ],
)
@target("container", several=True, reads=True)
def show(site: Site, places: list[Place]) -> Listing:
    """Show what containers are.

    Usage, number of objects, quota, policy, versioning, date, and the user's properties."""
    return site.oio.containers.show(places)


def _listing_options(function: Any) -> Any:
    for option in reversed(
        (
            click.option("--prefix", metavar="P", help="Only names that begin so."),
            click.option(
                "--delimiter", metavar="D", help="Fold names at this character: / folds folders."
            ),
            click.option("--marker", metavar="M", help="Only names after this one."),
            click.option("--end-marker", metavar="M", help="Only names before this one."),
            click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many."),
            click.option("--deleted", is_flag=True, help="Show delete markers too."),
            click.option(
                "--all-versions", is_flag=True, help="Show all versions, not only the latest."
            ),
            click.option("--properties", is_flag=True, help="Show the user's properties too."),
        )
    ):
        function = option(function)
    return function


def listing_verb(family: str) -> Command:
    """`container list`, which is `content list` as well."""

    @verb(
        "list",
        shows="rdctl.oio.entry/1",
        watch=True,
        examples=[
            f"rdctl -c sandbox oio {family} list photos",
            f"rdctl -c sandbox oio {family} list photos --delimiter /",
            f"rdctl -c sandbox oio {family} list photos --prefix alps/ --json",
            f"rdctl -c sandbox oio {family} list photos -0 | xargs -0 -n 1 echo",
        ],
    )
    @target("container", reads=True)
    @_listing_options
    def list_contents(
        site: Site,
        place: Place,
        prefix: str | None,
        delimiter: str | None,
        marker: str | None,
        end_marker: str | None,
        limit: int | None,
        deleted: bool,
        all_versions: bool,
        properties: bool,
    ) -> Listing:
        """List what a container holds.

        In the order of the names' bytes, however many there are: rows are shown as they come. When
        --limit ends the listing, the marker to go on with is told."""
        if delimiter is not None and len(delimiter.encode("utf-8", "surrogateescape")) != 1:
            raise RdctlError(Code.USAGE, "--delimiter: the server takes a single byte")
        filters = {
            "prefix": prefix,
            "delimiter": delimiter,
            "marker": marker,
            "end_marker": end_marker,
            "deleted": deleted,
            "all": all_versions,
            "properties": properties,
        }
        return site.oio.containers.entries(place, filters, limit)

    return list_contents


list_contents = listing_verb("container")


@verb(
    "destroy",
    examples=[
        "rdctl -c sandbox oio container destroy docs",
        "rdctl -c sandbox oio container destroy photos --flush --dry-run",
    ],
)
@target("container", several=True)
@click.option("--flush", is_flag=True, help="Delete all its contents before.")
@click.option(
    "--force",
    is_flag=True,
    help="Destroy it whatever it holds; chunks stay behind, and nothing finds them.",
)
def destroy(site: Site, places: list[Place], flush: bool, force: bool) -> Report:
    """Destroy containers.

    Asks first: the container and its properties are lost. One that holds contents is refused
    without --flush or --force; a frozen or disabled one is refused, and stays so. The reference of
    that name stays: rdctl oio reference destroy."""
    return site.oio.containers.destroy(places, flush, force)


@verb(
    "flush",
    examples=[
        "rdctl -c sandbox oio container flush photos --dry-run",
        "rdctl -c sandbox oio container flush docs",
    ],
)
@target("container")
def flush(site: Site, place: Place) -> Report:
    """Delete all contents of a container.

    Asks first: they cannot be brought back. The container stays, with its properties. A frozen one
    is refused. A large one takes several requests; where a later one fails, some contents are
    deleted already (exit 10)."""
    return site.oio.containers.flush(place)


get_properties, set_properties, del_properties = properties_verbs(
    "container", "container", "photos", system=True
)


@verb(
    "touch",
    examples=[
        "rdctl -c sandbox oio container touch photos",
        "rdctl -c sandbox oio container touch photos --json",
    ],
)
@target("container", several=True)
def touch(site: Site, places: list[Place]) -> Report:
    """Make the account count containers anew.

    For counters of the account that went wrong; nothing in the container changes. A frozen one is
    touched all the same."""
    return site.oio.touch("container", places)


@verb(
    "dedup",
    examples=[
        "rdctl -c sandbox oio container dedup photos",
        "rdctl -c sandbox oio container dedup photos --dry-run",
    ],
)
@target("container")
def dedup(site: Site, place: Place) -> Report:
    """Let equal contents share their chunks.

    Contents of the same hash then refer to the same chunks."""
    return site.oio.containers.dedup(place)


@verb(
    "purge",
    examples=[
        "rdctl -c sandbox oio container purge photos",
        "rdctl -c sandbox oio container purge photos --max-versions 2 --dry-run",
    ],
)
@target("container")
@click.option(
    "--max-versions", type=click.IntRange(1), metavar="N", help="Versions of each name to keep."
)
def purge(site: Site, place: Place, max_versions: int | None) -> Report:
    """Delete surplus versions.

    Asks first: they are deleted for good. As many of each name are kept as the container's policy
    says, or --max-versions; the latest always. A frozen container is refused. A proxy 3.3 fails at
    this."""
    return site.oio.containers.purge(place, max_versions)


def _raw(action: str, check: Any, doc: str, *flags: str) -> Command:
    """raw-insert, raw-update, raw-delete: the same but for the shape of the body."""

    def raw(site: Site, place: Place, body: Any, **options: bool) -> Report:
        return site.oio.containers.raw(action, place, body, options)

    raw.__doc__ = doc + (
        "\n\nFor repairs by hand. Beans are the rows of that database: alias (a name), header (a"
        " content), chunk and property. Asks first: nothing is checked, and a wrong bean makes"
        " contents unreadable."
    )
    function: Any = raw
    for flag in flags:
        function = click.option(f"--{flag}", is_flag=True, help=f"With the server's {flag} flag.")(
            function
        )
    function = json_option("body", check, "A file with the beans as JSON.")(function)
    here = f"rdctl -c sandbox oio container raw-{action} photos"
    examples = [f"{here} --body beans.json --dry-run", f"{here} --body - --dry-run < beans.json"]
    return verb(f"raw-{action}", examples=examples)(target("container")(function))


raw_insert = _raw("insert", beans, "Insert beans into a container's base.", "force")
raw_update = _raw("update", bean_update, "Replace beans in a container's base.", "frozen")
raw_delete = _raw("delete", beans, "Delete beans from a container's base.")
