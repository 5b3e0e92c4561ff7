"""rdctl oio local"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.cli.tree import LazyGroup, verb

if TYPE_CHECKING:
    from rdctl.core.results import Listing
    from rdctl.sites import Site

group = LazyGroup(
    "local",
    help="""The services of the proxy's own host.

    Whatever the conscience says of them.""",
    children={"list": ("rdctl.cli.oio.local:list_services", "List the proxy's own services.")},
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
    """List the proxy's own services.

    Those that run on its host and registered through it; their scores are not set (-2)."""
    return site.oio.conscience.local()
