"""rdctl oio overview"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdctl.cli.tree import verb

if TYPE_CHECKING:
    from rdctl.core.results import Listing
    from rdctl.sites import Site


@verb(
    "overview",
    shows="rdctl.oio.overview/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio overview",
        "rdctl -c sandbox oio overview --json --query '[].services[?down_or_locked>`0`].type'",
    ],
)
def overview(site: Site) -> Listing:
    """Show services and accounts at a glance.

    Shows how many services of each type are up, how many have a score of 0 (down or locked), and
    the lowest score; then the totals of all accounts. A part that cannot be read is shown as null
    with an error (exit code 8)."""
    return site.oio.overviews.show()
