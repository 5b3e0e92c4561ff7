"""rdctl oio container"""

from __future__ import annotations

import re
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
from rdctl.cli.oio.limits import limits, limits_of
from rdctl.cli.oio.properties import children, properties_verbs
from rdctl.cli.renamed import Renamed
from rdctl.cli.tree import Command, LazyGroup, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rdctl.core.results import Listing, Report
    from rdctl.oio.flat import Flat
    from rdctl.oio.model import Place
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.container:"

group = LazyGroup(
    "container",
    help="""Manage containers.

    A container belongs to an account (--account) and holds objects. Its database, on meta2
    services, lists the objects; their data are stored as chunks on rawx services.""",
    children={
        "create": (_HERE + "create", "Create containers."),
        "show": (_HERE + "show", "Show containers."),
        "list": (_HERE + "list_contents", "List containers, or the objects of a container."),
        "destroy": (_HERE + "destroy", "Destroy containers."),
        "flush": (_HERE + "flush", "Delete all objects of containers (alias: empty)."),
        **children("rdctl.cli.oio.container"),
        "locate": (_HERE + "locate", "Show the services of containers."),
        "touch": (_HERE + "touch", "Recompute the account's container counters."),
        "refresh": (_HERE + "refresh", "Reset and recompute the account's container counters."),
        "dedup": (_HERE + "dedup", "Deduplicate the chunks of identical objects."),
        "purge": (_HERE + "purge", "Delete old versions of objects."),
        "snapshot": ("rdctl.cli.oio.links:snapshot", "Copy a container without copying its data."),
        "checkpoint": (
            "rdctl.cli.oio.sharding:checkpoint",
            "Copy the database of a container on its meta2 services.",
        ),
        "sharding": ("rdctl.cli.oio.sharding:group", "Show how a container is sharded."),
        "check": (
            "rdctl.cli.oio.integrity:check_containers",
            "Check the counters of containers.",
        ),
        "raw-insert": (_HERE + "raw_insert", "Insert rows into a container's database."),
        "raw-update": (_HERE + "raw_update", "Replace rows in a container's database."),
        "raw-delete": (_HERE + "raw_delete", "Delete rows from a container's database."),
    },
)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox oio container create docs",
        "rdctl -c sandbox oio container create a b c -p team=red --json",
        "rdctl -c sandbox oio container create limited --quota 10G --max-versions 3",
    ],
)
@target("container", several=True, new=True)
@PROPERTIES
@limits
@SYSTEM
def create(
    site: Site,
    places: list[Place],
    properties: dict[str, str],
    system: dict[str, str],
    **options: Any,
) -> Report:
    """Create containers.

    Containers are sent to the server in batches of a hundred. An existing container is left
    unchanged; this is an error only if it lacks the given properties (exit code 4)."""
    context = click.get_current_context()
    _check_names(context.params["words"])
    own = bulk_of(context).of(site.settings.context).properties
    chosen = limits_of(site, system, options)
    return site.oio.containers.create(places, properties, system, own, chosen)


def _check_names(words: Sequence[str]) -> None:
    """Refuse what is typed after one name by habit, and would become a second container."""
    for word in words[1:] if len(words) == 2 else ():
        if "=" in word or re.fullmatch("(?i)[0-9]+[kmgtp](i?b?)", word):
            raise RdctlError(
                Code.USAGE,
                f'"{escape(word)}" looks like a limit or a property, not like a container',
                hint="Use --quota SIZE or -p KEY=VALUE; a container of that name is created alone.",
            )


@verb(
    "show",
    shows="rdctl.oio.container/2",
    watch=True,
    examples=[
        "rdctl -c sandbox oio container show photos",
        "rdctl -c sandbox oio container show photos -o csv --columns container,objects,bytes",
    ],
)
@target("container", several=True, reads=True)
def show(site: Site, places: list[Place]) -> Listing:
    """Show containers.

    Shows the number of objects and their bytes, quota, storage policy, versioning, creation date
    and user properties."""
    return site.oio.containers.show(places)


def _listing_options(function: Any) -> Any:
    for option in reversed(
        (
            click.option("--prefix", metavar="P", help="Show only names with this prefix."),
            click.option(
                "--delimiter", metavar="D", help="Group names up to this character, such as /."
            ),
            click.option("--marker", metavar="M", help="Show only names after this one."),
            click.option("--end-marker", metavar="M", help="Show only names before this one."),
            click.option(
                "--limit", type=click.IntRange(1), metavar="N", help="Maximum number of entries."
            ),
            click.option("--deleted", is_flag=True, help="Include delete markers."),
            click.option(
                "--all-versions", is_flag=True, help="Show all versions, not only the latest."
            ),
            click.option("--properties", is_flag=True, help="Include user properties."),
        )
    ):
        function = option(function)
    return function


def listing_verb(family: str, *, bare: bool = False) -> Command:
    """`content list`, and `container list`, which without a container (`bare`) lists these."""

    def list_contents(
        site: Site,
        place: Place | None,
        limit: int | None,
        flat: Flat | None = None,
        **filters: Any,
    ) -> Listing:
        delimiter = filters["delimiter"]
        if flat and delimiter is not None:
            raise RdctlError(Code.USAGE, "--auto cannot be used with --delimiter")
        if delimiter is not None and len(delimiter.encode("utf-8", "surrogateescape")) != 1:
            raise RdctlError(Code.USAGE, "invalid --delimiter: must be a single byte")
        filters["end_marker"] = filters["end_marker"] or None
        if place is None:
            return _list_containers(site, limit, **filters)
        filters["all"] = filters.pop("all_versions")
        if flat:
            return site.oio.flat_listings.entries(flat, filters, limit)
        return site.oio.containers.entries(place, filters, limit)

    list_contents.__doc__ = _LIST_CONTAINERS if bare else _LIST_CONTENTS
    targeted = target("container", reads=True, optional=bare, gets_flat=not bare)
    with_target = targeted(_listing_options(list_contents))
    return verb(
        "list",
        shows="rdctl.oio.entry/1",
        shows_bare="rdctl.oio.account-container/1" if bare else None,
        watch=True,
        examples=[
            *([f"rdctl -c sandbox oio {family} list"] if bare else []),
            f"rdctl -c sandbox oio {family} list photos",
            f"rdctl -c sandbox oio {family} list photos --delimiter /",
            f"rdctl -c sandbox oio {family} list photos --prefix alps/ --json",
            f"rdctl -c sandbox oio {family} list photos -0 | xargs -0 -n 1 echo",
            *([] if bare else [f"rdctl -c sandbox oio {family} list --auto"]),
        ],
    )(with_target)


_SORTED = """Sorted by name (byte order). Rows are shown as they arrive, however long the listing. \
If --limit ends the listing, the marker for the next one is shown."""
_LIST_CONTENTS = f"""List the objects of a container.

{_SORTED}

With --auto, lists the objects of all containers of the account that are named as by --auto, one \
container after the other, in the order of the containers' names. --marker, the name of an object, \
then continues after that object in this order. Objects that --auto does not find in their \
container are left out, and counted at the end."""
_LIST_CONTAINERS = f"""List containers, or the objects of a container.

Without CONTAINER, lists the containers of the account with their objects and bytes. The account \
service updates these with a delay of about a second.

{_SORTED}"""


def _list_containers(
    site: Site,
    limit: int | None,
    deleted: bool,
    all_versions: bool,
    properties: bool,
    **filters: Any,
) -> Listing:
    """The containers of the account."""
    given = {"deleted": deleted, "all-versions": all_versions, "properties": properties}
    for option in (option for option, is_given in given.items() if is_given):
        raise RdctlError(Code.USAGE, f"--{option} requires CONTAINER")
    return site.oio.accounts.list_containers(filters, limit)


list_contents = listing_verb("container", bare=True)


@verb(
    "destroy",
    examples=[
        "rdctl -c sandbox oio container destroy docs",
        "rdctl -c sandbox oio container destroy photos --flush --dry-run",
    ],
)
@target("container", several=True)
@click.option("--flush", is_flag=True, help="Delete all objects of the containers first.")
@click.option(
    "--force",
    is_flag=True,
    help="Destroy non-empty containers; leaves the chunks of their objects as orphans.",
)
def destroy(site: Site, places: list[Place], flush: bool, force: bool) -> Report:
    """Destroy containers.

    Requires confirmation: the container and its properties are lost. A container that is not empty
    is refused without --flush or --force. A frozen or disabled container is refused. The reference
    of the same name is kept; remove it with `rdctl oio reference destroy`."""
    return site.oio.containers.destroy(places, flush, force)


@verb(
    "flush",
    examples=[
        "rdctl -c sandbox oio container flush photos --dry-run",
        "rdctl -c sandbox oio container flush photos docs --dry-run",
    ],
)
@target("container", several=True)
def flush(site: Site, places: list[Place]) -> Report:
    """Delete all objects of containers (alias: empty).

    Requires confirmation: the objects cannot be recovered. The containers and their properties are
    kept. A frozen container is refused. A large container takes several requests; if a later one
    fails, some objects have already been deleted (exit code 10)."""
    return site.oio.containers.flush(places)


get_properties, set_properties, del_properties = properties_verbs(
    "container", "container", "photos", system=True, sets=limits
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
    """Recompute the account's container counters.

    Repairs wrong counters of the account. The container itself is not changed. Also works on a
    frozen container."""
    return site.oio.touch("container", places)


@verb(
    "refresh",
    examples=[
        "rdctl -c sandbox oio container refresh photos",
        "rdctl -c sandbox oio container refresh photos --json",
    ],
)
@target("container", several=True)
def refresh(site: Site, places: list[Place]) -> Report:
    """Reset and recompute the account's container counters.

    The counters of a container are set to 0 in its account, and the container is touched, so that
    they are right again a moment later. A container that its account does not list, as after
    `rdctl oio account flush`, is only touched. One that no longer exists is removed from the
    listing of its account. The container itself is not changed."""
    return site.oio.refreshes.containers(places)


@verb(
    "locate",
    shows="rdctl.oio.location/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio container locate photos",
        "rdctl -c sandbox oio container locate photos --json --query '[].meta2[]'",
    ],
)
@target("container", several=True, reads=True)
def locate(site: Site, places: list[Place]) -> Listing:
    """Show the services of containers.

    The meta2 services have the database of a container, the meta1 services list these, and the
    meta0 services list those. Also shows the name and the status of the database."""
    return site.oio.containers.locate(places)


@verb(
    "dedup",
    examples=[
        "rdctl -c sandbox oio container dedup photos",
        "rdctl -c sandbox oio container dedup photos --dry-run",
    ],
)
@target("container", several=True)
def dedup(site: Site, places: list[Place]) -> Report:
    """Deduplicate the chunks of identical objects.

    Objects with the same hash share the same chunks afterwards."""
    return site.oio.containers.dedup(places)


@verb(
    "purge",
    examples=[
        "rdctl -c sandbox oio container purge photos",
        "rdctl -c sandbox oio container purge photos --max-versions 2 --dry-run",
    ],
)
@target("container", several=True)
@click.option(
    "--max-versions",
    type=click.IntRange(1),
    metavar="N",
    help="Number of versions to keep per object.",
)
def purge(site: Site, places: list[Place], max_versions: int | None) -> Report:
    """Delete old versions of objects.

    Requires confirmation: the versions cannot be recovered. Keeps as many versions of each object
    as the container's versioning policy or --max-versions specifies, and always the latest. A
    frozen container is refused. Fails on proxy 3.3."""
    return site.oio.containers.purge(places, max_versions)


def _raw(action: str, check: Any, doc: str, flag: Any = lambda function: function) -> Command:
    """raw-insert, raw-update, raw-delete, which differ in the format of the body."""

    def raw(site: Site, place: Place, body: Any, **options: bool) -> Report:
        return site.oio.containers.raw(action, place, body, options)

    raw.__doc__ = doc + (
        "\n\nFor manual repairs. The rows are called beans: alias (a name), header (an object),"
        " chunk and property. Requires confirmation: the server does not check them, and a wrong"
        " bean makes objects unreadable."
    )
    function = json_option("body", check, "JSON file with the beans")(flag(raw))
    here = f"rdctl -c sandbox oio container raw-{action} photos"
    examples = [f"{here} --body beans.json --dry-run", f"{here} --body - --dry-run < beans.json"]
    return verb(f"raw-{action}", examples=examples)(target("container")(function))


_OVERWRITE = click.option(
    "--overwrite",
    "force",
    cls=Renamed,
    formerly="--force",
    is_flag=True,
    help="Replace existing rows.",
)
_FROZEN = click.option("--frozen", is_flag=True, help="Also in a frozen container.")
raw_insert = _raw("insert", beans, "Insert rows into a container's database.", _OVERWRITE)
raw_update = _raw("update", bean_update, "Replace rows in a container's database.", _FROZEN)
raw_delete = _raw("delete", beans, "Delete rows from a container's database.")
