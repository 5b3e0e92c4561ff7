"""rdctl oio lb"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.lb:"

group = LazyGroup(
    "lb",
    help="""Show which services the load balancer would choose.

    The load balancer chooses services by their scores, locations and slots. Nothing is reserved:
    the next request can get others.""",
    children={
        "choose": (_HERE + "choose", "Show services of a type as they would be chosen."),
        "poll": (_HERE + "poll", "Show services as they would be chosen for a pool."),
    },
)


@verb(
    "choose",
    shows="rdctl.oio.choice/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio lb choose rawx --count 3",
        "rdctl -c sandbox oio lb choose rawx --slot rawx-even --json --query '[].address'",
    ],
)
@click.argument("type")
@click.option(
    "--count",
    type=click.IntRange(1, 9999),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of services.",
)
@click.option("--slot", metavar="SLOT", help="Choose from this slot first, such as rawx-even.")
def choose(site: Site, type: str, count: int, slot: str | None) -> Listing:
    """Show services of a type as they would be chosen.

    FLAWED means that constraints, such as the distance between services, were relaxed. Exit code 6
    if too few services are up."""
    return site.oio.balancer.choose(type, count, slot)


@verb(
    "poll",
    shows="rdctl.oio.choice/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio lb poll --policy THREECOPIES",
        "rdctl -c sandbox oio lb poll --pool rawx3 --known 127.0.0.1:16014 --avoid 127.0.0.1:16013",
    ],
)
@click.option("--pool", metavar="POOL", help="Service pool to fill.")
@click.option("--policy", metavar="POLICY", help="Storage policy whose pool to fill.")
@click.option(
    "--avoid", metavar="SERVICE", multiple=True, help="Address or ID not to choose (repeatable)."
)
@click.option(
    "--known",
    metavar="SERVICE",
    multiple=True,
    help="Address or ID that is already chosen (repeatable).",
)
def poll(
    site: Site,
    pool: str | None,
    policy: str | None,
    avoid: tuple[str, ...],
    known: tuple[str, ...],
) -> Listing:
    """Show services as they would be chosen for a pool.

    Known services fill a part of the pool and are not shown. A service to avoid must be known to
    the proxy. FLAWED means that constraints, such as the distance between services, were relaxed.
    Exit code 6 if too few services are up."""
    if (pool is None) == (policy is None):
        raise RdctlError(Code.USAGE, "specify either --pool POOL or --policy POLICY")
    return site.oio.balancer.poll(pool, policy, avoid, known)
