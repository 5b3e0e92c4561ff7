"""rdctl oio events"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.tree import LazyGroup, verb
from rdctl.config.contexts import queue_address
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing
    from rdctl.sites import Site

group = LazyGroup(
    "events",
    help="""Show the queue of events.

    Services report changes as events: of chunks to the rdir services, of containers to the account
    service. A beanstalkd queues them, and event agents work them off.""",
    children={"stats": ("rdctl.cli.oio.events:stats", "Show the counters of a queue.")},
)


def _address(context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else queue_address(value)
    except ValueError as error:
        raise RdctlError(Code.USAGE, f"--address: {error}") from error


@verb(
    "stats",
    shows="rdctl.oio.counter/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio events stats",
        "rdctl -c sandbox oio events stats --tube oio --json",
    ],
)
@click.option("--tube", metavar="TUBE", default="oio", show_default=True, help="Queue to show.")
@click.option(
    "--address", metavar="HOST:PORT", callback=_address, help="Address of the beanstalkd."
)
def stats(site: Site, tube: str, address: str | None) -> Listing:
    """Show the counters of a queue.

    Shows how many events are waiting (ready), being handled (reserved), and buried after a failure.
    Without --address, uses the key `events` of the context, or the beanstalkd that the conscience
    knows (since OpenIO 5; before, it is `event-agent` in /etc/oio/sds.conf.d)."""
    return site.oio_events.stats(address, tube)
