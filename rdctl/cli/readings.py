"""What metrics and check read: of one context, or of several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rdctl.core.results import Document, Failure, InContext, Listing
from rdctl.metrics.gathering import SYSTEMS, gather

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdctl.cli.invocation import Invocation
    from rdctl.metrics.model import Gathered
    from rdctl.sites import Site

system_argument = click.argument(
    "system", type=click.Choice(SYSTEMS), required=False, metavar="[rapiddisk|oio]"
)


class Read(NamedTuple):
    """What was read, by context, which is None unless there are several; `failures` are contexts of
    which nothing was."""

    contexts: list[tuple[str | None, Gathered]]
    failures: list[Failure]


def read(action: str, on: Invocation, system: str | None) -> Read:
    def ask(site: Site) -> Mapping[str, Any]:
        from rdctl.cli import remote
        from rdctl.remote.near import Request

        request = Request(["metrics"], ["rapiddisk"], {}, {}, shows=True)
        found = remote.ask(on, site, request)
        return found.data if isinstance(found, Document) else {}

    if on.contexts is None:
        return Read([(None, gather(on.site(), system, ask))], [])
    from rdctl.cli import fleet

    def call(site: Site) -> Listing:
        return Listing([gather(site, system, ask)])

    listing = fleet.read(action, call, on, on.contexts)
    found = [(row.context, row.value) for row in listing if isinstance(row, InContext)]
    return Read(list(found), list(listing.failures))
