"""rdctl oio account"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.tree import LazyGroup, verb

if TYPE_CHECKING:
    from rdctl.core.results import Listing
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.account:"

group = LazyGroup(
    "account",
    help="""Show accounts and their containers.

    The account service updates its counters with a delay of about a second.""",
    children={
        "list": (_HERE + "list_accounts", "List accounts."),
        "show": (_HERE + "show", "Show accounts."),
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

    The list comes from the account service, which is located through the proxy."""
    return site.oio.accounts.names()


@verb(
    "show",
    shows="rdctl.oio.account/2",
    watch=True,
    examples=[
        "rdctl -c sandbox oio account show",
        "rdctl -c sandbox oio account show sandbox --json --query '[].bytes'",
    ],
)
@names("account", required=False)
def show(site: Site, accounts: list[str] | None) -> Listing:
    """Show accounts.

    Without ACCOUNT, shows the account of the context or of --account. Counters are updated with a
    delay of about a second."""
    return site.oio.accounts.show(accounts)


@verb(
    "containers",
    shows="rdctl.oio.account-container/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio account containers",
        "rdctl -c sandbox oio account containers --prefix p -o name",
    ],
)
@click.option("--prefix", metavar="P", help="Show only names with this prefix.")
@click.option("--marker", metavar="M", help="Show only names after this one.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Maximum number of entries.")
def containers(site: Site, prefix: str | None, marker: str | None, limit: int | None) -> Listing:
    """List the containers of the account.

    Shows the objects and bytes of each. Use --account to select another account."""
    return site.oio.accounts.containers(prefix, marker, limit)
