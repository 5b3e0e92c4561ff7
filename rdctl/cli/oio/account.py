"""rdctl oio account"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.tree import LazyGroup, verb

if TYPE_CHECKING:
    from rdctl.core.results import Item, Listing
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.account:"

group = LazyGroup(
    "account",
    help="""Accounts and their containers.

    As the account service counts them, which is a moment behind.""",
    children={
        "list": (_HERE + "list_accounts", "List accounts."),
        "show": (_HERE + "show", "Show an account."),
        "containers": (_HERE + "containers", "List the containers of the account."),
    },
)


@verb(
    "list",
    shows="rdctl.oio.account-name/1",
    watch=True,
    examples=["rdctl -c sandbox oio account list", "rdctl -c sandbox oio account list -o name"],
)
def list_accounts(site: Site) -> Listing:
    """List accounts.

    As the account service knows them; it is found through the proxy."""
    return site.oio.accounts.names()


@verb(
    "show",
    shows="rdctl.oio.account/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio account show",
        "rdctl -c sandbox oio account show sandbox --json --query bytes",
    ],
)
@click.argument("name", metavar="[ACCOUNT]", required=False)
def show(site: Site, name: str | None) -> Item:
    """Show an account.

    That of the settings when none is named. Counters follow a second or so late."""
    return site.oio.accounts.show(name)


@verb(
    "containers",
    shows="rdctl.oio.account-container/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio account containers",
        "rdctl -c sandbox oio account containers --prefix p -o name",
    ],
)
@click.option("--prefix", metavar="P", help="Only names that begin so.")
@click.option("--marker", metavar="M", help="Only names after this one.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most so many.")
def containers(site: Site, prefix: str | None, marker: str | None, limit: int | None) -> Listing:
    """List the containers of the account.

    With the objects and bytes of each. Another account is named by --account."""
    return site.oio.accounts.containers(prefix, marker, limit)
