"""rdctl oio reference"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import bulk_of
from rdctl.cli.oio.arguments import PROPERTIES, target
from rdctl.cli.oio.conscience import checked_address
from rdctl.cli.oio.properties import children, properties_verbs
from rdctl.cli.tree import LazyGroup, verb

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.reference:"

group = LazyGroup(
    "reference",
    help="""Manage references: names in the directory.

    A reference links a name to the services that hold its data. Containers manage their references
    automatically. Use these commands for other services, and for repairs.""",
    children={
        "create": (_HERE + "create", "Create references."),
        "show": (_HERE + "show", "Show references and their linked services."),
        "destroy": (_HERE + "destroy", "Destroy references."),
        "link": (_HERE + "link", "Link a service chosen by the directory."),
        "unlink": (_HERE + "unlink", "Remove the links to services of a type."),
        "renew": (_HERE + "renew", "Replace a linked service that is down."),
        "relink": (_HERE + "relink", "Replace linked services by others."),
        "force": (_HERE + "force", "Link a specific service."),
        **children("rdctl.cli.oio.reference"),
    },
)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox oio reference create user1",
        "rdctl -c sandbox oio reference create user1 user2 -p color=blue",
    ],
)
@target("reference", several=True, new=True)
@PROPERTIES
def create(site: Site, places: list[Place], properties: dict[str, str]) -> Report:
    """Create references.

    An existing reference is left unchanged; this is an error only if it lacks the given properties
    (exit code 4)."""
    own = bulk_of(click.get_current_context()).of(site.settings.context).properties
    return site.oio.references.create(places, properties, own)


@verb(
    "show",
    shows="rdctl.oio.reference/2",
    watch=True,
    examples=[
        "rdctl -c sandbox oio reference show photos",
        "rdctl -c sandbox oio reference show photos --type meta2 --json",
    ],
)
@target("reference", several=True, reads=True)
@click.option("--type", metavar="TYPE", help="Show only links to services of this type.")
def show(site: Site, places: list[Place], type: str | None) -> Listing:
    """Show references and their linked services.

    The services of the directory itself (meta0, meta1) are listed separately."""
    return site.oio.references.show(places, type)


@verb(
    "destroy",
    examples=[
        "rdctl -c sandbox oio reference destroy user1",
        "rdctl -c sandbox oio reference destroy user1 --force --dry-run",
    ],
)
@target("reference", several=True)
@click.option("--force", is_flag=True, help="Destroy a reference that is linked to services.")
def destroy(site: Site, places: list[Place], force: bool) -> Report:
    """Destroy references.

    Requires confirmation: the names and their properties are lost. A reference that is linked to
    services is refused without --force. With --force, the data on these services become
    unreachable."""
    return site.oio.references.destroy(places, force)


@verb(
    "link",
    examples=[
        "rdctl -c sandbox oio reference link user1 rdir",
        "rdctl -c sandbox oio reference link user1 sqlx --json",
    ],
)
@target("reference", rest="TYPE")
def link(site: Site, place: Place, type: str) -> Report:
    """Link a service chosen by the directory.

    TYPE is a service type, such as rdir. If a service of this type is already linked, the link is
    kept and shown."""
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
    """Remove the links to services of a type.

    Requires confirmation: the data of the reference on these services become unreachable."""
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
    """Replace a linked service that is down.

    The directory chooses another service. If the linked service is up, the link is kept."""
    return site.oio.references.link(place, type, renew=True)


@verb(
    "relink",
    examples=[
        "rdctl -c sandbox oio reference relink user1 rdir --from 127.0.0.1:16018",
        "rdctl -c sandbox oio reference relink user1 rdir --from 127.0.0.1:16018 --dry-run",
    ],
)
@target("reference", rest="TYPE")
@click.option(
    "--from",
    "addresses",
    metavar="ADDRESS",
    multiple=True,
    required=True,
    help="Linked service to replace (repeatable).",
)
def relink(site: Site, place: Place, type: str, addresses: tuple[str, ...]) -> Report:
    """Replace linked services by others.

    Requires confirmation: the data of the reference on these services become unreachable, unless
    another linked service has them. Other services are chosen as for a new link; the links to the
    services that are not given are kept. Not supported by proxies 3.3."""
    return site.oio.references.relink(place, type, [checked_address(one) for one in addresses])


@verb(
    "force",
    examples=[
        "rdctl -c sandbox oio reference force user1 sqlx 127.0.0.1:16012",
        "rdctl -c sandbox oio reference force user1 sqlx 127.0.0.1:16012 --replace --dry-run",
    ],
)
@target("reference", rest="TYPE ADDRESS")
@click.option(
    "--seq",
    type=int,
    metavar="N",
    default=1,
    show_default=True,
    help="Sequence number of the link.",
)
@click.option("--args", metavar="TEXT", default="", help="Arguments stored with the link.")
@click.option("--replace", is_flag=True, help="Replace an existing link.")
def force(
    site: Site, place: Place, type: str, address: str, seq: int, args: str, replace: bool
) -> Report:
    """Link a specific service.

    If a service of TYPE is already linked, this is refused without --replace. --replace requires
    confirmation: the data on the previous service become unreachable."""
    return site.oio.references.force(place, type, checked_address(address), seq, args, replace)


get_properties, set_properties, del_properties = properties_verbs(
    "reference", "reference", "user1", system=False
)
