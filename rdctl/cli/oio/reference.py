"""rdctl oio reference"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.oio.arguments import PROPERTIES, target
from rdctl.cli.oio.conscience import checked_address
from rdctl.cli.oio.properties import children, properties_verbs
from rdctl.cli.tree import LazyGroup, verb

if TYPE_CHECKING:
    from rdctl.core.results import Item, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.reference:"

group = LazyGroup(
    "reference",
    help="""Names in the directory, and their links.

    A reference says which services hold the data of a name. Containers make and use references
    by themselves; by hand they are for other services, and for repairs.""",
    children={
        "create": (_HERE + "create", "Create a reference."),
        "show": (_HERE + "show", "Show a reference and the services it is linked to."),
        "destroy": (_HERE + "destroy", "Destroy a reference."),
        "link": (_HERE + "link", "Link a service, chosen by the directory."),
        "unlink": (_HERE + "unlink", "Drop the links to services of a type."),
        "renew": (_HERE + "renew", "Replace a linked service that is away."),
        "force": (_HERE + "force", "Link one service by hand."),
        **children("rdctl.cli.oio.reference"),
    },
)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox oio reference create user1",
        "rdctl -c sandbox oio reference create user1 -p color=blue",
    ],
)
@target("reference", new=True)
@PROPERTIES
def create(site: Site, place: Place, properties: dict[str, str]) -> Report:
    """Create a reference.

    One that exists is left as it is: no error, unless it lacks the properties that are given
    (exit 4)."""
    return site.oio.references.create(place, properties)


@verb(
    "show",
    shows="rdctl.oio.reference/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio reference show photos",
        "rdctl -c sandbox oio reference show photos --type meta2 --json",
    ],
)
@target("reference", reads=True)
@click.option("--type", metavar="TYPE", help="Only links to services of this type.")
def show(site: Site, place: Place, type: str | None) -> Item:
    """Show a reference and the services it is linked to.

    The directory's own services (meta0, meta1) stand apart."""
    return site.oio.references.show(place, type)


@verb(
    "destroy",
    examples=[
        "rdctl -c sandbox oio reference destroy user1",
        "rdctl -c sandbox oio reference destroy user1 --force --dry-run",
    ],
)
@target("reference")
@click.option("--force", is_flag=True, help="Drop its links to services as well.")
def destroy(site: Site, place: Place, force: bool) -> Report:
    """Destroy a reference.

    Asks first: the name and its properties are lost. One that is linked to services is refused
    without --force, after which nothing finds what these services hold."""
    return site.oio.references.destroy(place, force)


@verb(
    "link",
    examples=[
        "rdctl -c sandbox oio reference link user1 rdir",
        "rdctl -c sandbox oio reference link user1 sqlx --json",
    ],
)
@target("reference", rest="TYPE")
def link(site: Site, place: Place, type: str) -> Report:
    """Link a service, chosen by the directory.

    TYPE is a type of service, such as rdir. When one is linked already, that link is kept and
    shown."""
    return site.oio.references.link(place, type, renew=False)


@verb(
    "unlink",
    examples=[
        "rdctl -c sandbox oio reference unlink user1 rdir",
        "rdctl -c sandbox oio reference unlink user1 rdir --dry-run",
    ],
)
@target("reference", rest="TYPE")
def unlink(site: Site, place: Place, type: str) -> Report:
    """Drop the links to services of a type.

    Asks first: what the services hold for the reference is no longer found."""
    return site.oio.references.unlink(place, type)


@verb(
    "renew",
    examples=[
        "rdctl -c sandbox oio reference renew user1 rdir",
        "rdctl -c sandbox oio reference renew user1 rdir --dry-run",
    ],
)
@target("reference", rest="TYPE")
def renew(site: Site, place: Place, type: str) -> Report:
    """Replace a linked service that is away.

    Another service is chosen in its place. While the linked one is alive, the link stays."""
    return site.oio.references.link(place, type, renew=True)


@verb(
    "force",
    examples=[
        "rdctl -c sandbox oio reference force user1 sqlx 127.0.0.1:16012",
        "rdctl -c sandbox oio reference force user1 sqlx 127.0.0.1:16012 --replace --dry-run",
    ],
)
@target("reference", rest="TYPE ADDRESS")
@click.option(
    "--seq", type=int, metavar="N", default=1, show_default=True, help="Number of the link."
)
@click.option("--args", metavar="TEXT", default="", help="Arguments that are kept with the link.")
@click.option("--replace", is_flag=True, help="In place of the present link; asks first.")
def force(
    site: Site, place: Place, type: str, address: str, seq: int, args: str, replace: bool
) -> Report:
    """Link one service by hand.

    When a service of TYPE is linked already, that is refused without --replace, after which
    nothing finds what the former service holds."""
    return site.oio.references.force(place, type, checked_address(address), seq, args, replace)


get_properties, set_properties, del_properties = properties_verbs(
    "reference", "reference", "user1", system=False
)
