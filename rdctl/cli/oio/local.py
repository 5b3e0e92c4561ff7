"""rdctl oio local"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.cli.tree import LazyGroup, verb

if TYPE_CHECKING:
    from rdctl.core.results import Listing
    from rdctl.sites import Site

group = LazyGroup(
    "local",
    help="""Show the services on the proxy's host.

    As registered with the proxy, regardless of what the conscience reports.""",
    children={
        "list": ("rdctl.cli.oio.local:list_services", "List the services on the proxy's host.")
    },
)


@verb(
    "list",
    shows="rdctl.oio.service/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio local list",
        "rdctl -c sandbox oio local list --json --query \"[?type=='rawx'].address\"",
    ],
)
def list_services(site: Site) -> Listing:
    """List the services on the proxy's host.

    Shows the services that run on that host and registered through the proxy. Their scores are not
    set (-2)."""
    return site.oio.conscience.local()
