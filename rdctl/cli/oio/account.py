"""rdctl oio account"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.names_input import names
from rdctl.cli.oio.arguments import pairs
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import quoted

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.account:"

group = LazyGroup(
    "account",
    help="""Manage accounts, and show their containers.

    An account groups containers. It is created with its first container, or by `create`. The
    account service updates its counters with a delay of about a second.""",
    children={
        "list": (_HERE + "list_accounts", "List accounts."),
        "show": (_HERE + "show", "Show accounts."),
        "containers": (_HERE + "containers", "List the containers of the account."),
        "create": (_HERE + "create", "Create accounts."),
        "delete": (_HERE + "delete", "Delete accounts."),
        "set-properties": (_HERE + "set_properties", "Set properties of an account."),
        "del-properties": (_HERE + "del_properties", "Delete properties of an account."),
        "refresh": (_HERE + "refresh", "Recompute the counters of accounts."),
        "flush": (_HERE + "flush", "Empty the container listings of accounts."),
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


@verb(
    "create",
    examples=[
        "rdctl -c sandbox oio account create team1",
        "rdctl -c sandbox oio account create team1 team2 --json",
    ],
)
@names("account")
def create(site: Site, accounts: list[str]) -> Report:
    """Create accounts.

    An account is also created with its first container. An existing account is left unchanged."""
    return site.oio.accounts.create(accounts)


@verb(
    "delete",
    examples=[
        "rdctl -c sandbox oio account delete team1",
        "rdctl -c sandbox oio account delete team1 team2 --dry-run",
    ],
)
@names("account")
def delete(site: Site, accounts: list[str]) -> Report:
    """Delete accounts.

    Requires confirmation: the properties of the account are lost. An account that lists containers
    is refused: destroy them first. Do not empty the listing with `flush` instead: the containers
    and their objects would be kept, but no longer be listed. After a flush rdctl cannot see that
    they exist either; `account refresh` does not list them again, but `container refresh` does.
    After a deletion that the service
    itself refused, it locks the account for 10 seconds, and answers that it does not exist; this is
    reported as in use (exit code 4)."""
    return site.oio.accounts.delete(accounts)


@verb(
    "set-properties",
    examples=[
        "rdctl -c sandbox oio account set-properties sandbox owner=me",
        "rdctl -c sandbox oio account set-properties sandbox owner=me --replace-all --dry-run",
    ],
)
@click.argument("account", metavar="ACCOUNT")
@click.argument("texts", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.option("--replace-all", is_flag=True, help="Remove all other properties.")
def set_properties(site: Site, account: str, texts: tuple[str, ...], replace_all: bool) -> Report:
    """Set properties of an account.

    Other properties are kept, unless --replace-all is given, which requires confirmation. Values
    that are already set are not sent again. An account that does not exist is an error; the service
    itself would create it. `rdctl oio account show` shows the properties."""
    return site.oio.accounts.set_properties(account, pairs(texts), replace_all)


@verb(
    "del-properties",
    examples=[
        "rdctl -c sandbox oio account del-properties sandbox owner",
        "rdctl -c sandbox oio account del-properties sandbox --all --dry-run",
    ],
)
@click.argument("account", metavar="ACCOUNT")
@click.argument("keys", metavar="[KEY...]", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Delete all properties.")
def del_properties(site: Site, account: str, keys: tuple[str, ...], everything: bool) -> Report:
    """Delete properties of an account.

    A property that is not set is reported, but not an error. --all deletes all properties and
    requires confirmation."""
    if bool(keys) == everything:
        raise RdctlError(
            Code.USAGE,
            "specify either KEY... or --all",
            hint=f"List the properties: rdctl oio account show {quoted(account)}",
        )
    return site.oio.accounts.del_properties(account, None if everything else list(keys))


@verb(
    "refresh",
    examples=[
        "rdctl -c sandbox oio account refresh sandbox",
        "rdctl -c sandbox oio account refresh --all",
    ],
)
@names("account", required=False)
@click.option("--all", "everything", is_flag=True, help="Refresh all accounts.")
def refresh(site: Site, accounts: list[str] | None, everything: bool) -> Report:
    """Recompute the counters of accounts.

    The counters of each listed container are set to 0, and the container is touched, so that they
    are right again a moment later; containers that no longer exist are removed from the listing.
    This takes two requests per container. Containers that the service does not list, as after a
    flush, are not found by it: use `rdctl oio container refresh CONTAINER`."""
    if (accounts is not None) == everything:
        raise RdctlError(Code.USAGE, "specify either ACCOUNT... or --all")
    return site.oio.refreshes.accounts(accounts)


@verb(
    "flush",
    examples=[
        "rdctl -c sandbox oio account flush sandbox --dry-run",
        "rdctl -c sandbox oio account flush sandbox --dry-run --json",
    ],
)
@names("account")
def flush(site: Site, accounts: list[str]) -> Report:
    """Empty the container listings of accounts.

    Requires confirmation: the service forgets the containers and their counters. The containers,
    their objects, and the properties of the account are kept. `rdctl oio account refresh` does not
    bring the listing back, as nothing is left to refresh. A container is listed again a few seconds
    after it was changed or touched, so save the names first: `rdctl oio account containers -0 >
    FILE`, and later use `rdctl oio container touch - < FILE`."""
    return site.oio.accounts.flush(accounts)
