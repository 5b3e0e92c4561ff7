"""rdctl oio cache"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.tree import LazyGroup, verb

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.cache:"

group = LazyGroup(
    "cache",
    help="""Show and flush the caches of the proxy.

    The proxy caches the services of the namespace and where references are. To flush the caches of
    another service, use `rdctl oio service flush`.""",
    children={
        "show": (_HERE + "show", "Show the services that the proxy knows."),
        "status": (_HERE + "status", "Show how full the caches are."),
        "flush": (_HERE + "flush", "Flush caches of the proxy."),
    },
)


@verb(
    "show",
    shows="rdctl.oio.service-id/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio cache show",
        "rdctl -c sandbox oio cache show --json --query \"[?type=='rawx'].id\"",
    ],
)
def show(site: Site) -> Listing:
    """Show the services that the proxy knows.

    The load balancer chooses from these. The list is empty after a flush of the local cache, until
    the proxy asks the conscience again."""
    return site.oio.caches.known()


@verb(
    "status",
    shows="rdctl.oio.cache/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio cache status",
        "rdctl -c sandbox oio cache status --json --query '[].count'",
    ],
)
def status(site: Site) -> Listing:
    """Show how full the caches are.

    csm0 has the locations of prefixes, meta1 the services of references. A maximum of 0 means that
    a cache is disabled."""
    return site.oio.caches.status()


@verb(
    "flush",
    examples=[
        "rdctl -c sandbox oio cache flush low high",
        "rdctl -c sandbox oio cache flush local --dry-run",
    ],
)
@click.argument(
    "names",
    metavar="CACHE...",
    nargs=-1,
    required=True,
    type=click.Choice(["local", "high", "low"]),
)
def flush(site: Site, names: tuple[str, ...]) -> Report:
    """Flush caches of the proxy.

    low has the services of references, high the locations of prefixes; both are filled again as
    needed. local has these and the list of services. It requires confirmation: until the proxy has
    asked the conscience again, requests that need a service can fail. rdctl waits up to 10 seconds
    for that."""
    return site.oio.caches.flush(names)
