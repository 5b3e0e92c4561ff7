"""rdctl rapiddisk overview"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.options import flags_of
from rdctl.cli.tree import verb
from rdctl.config.contexts import LOCAL
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing
    from rdctl.sites import Site


@verb(
    "overview",
    shows="rdctl.rapiddisk.overview/1",
    watch=True,
    examples=[
        "rdctl -c sandbox rapiddisk overview",
        "rdctl -c sandbox rapiddisk overview --deep --json",
    ],
)
@click.option("--deep", is_flag=True, help="List the exports of a daemon, which can crash it.")
def overview(site: Site, deep: bool) -> Listing:
    """Show memory, volumes, caches and exports.

    Shows the memory of the machine, how much of it is promised to volumes and used by them, and all
    volumes, caches and exports. A warning is shown if the volumes could outgrow the memory. A part
    that cannot be read is null, and the exit code is 8. A daemon is asked for its exports only with
    --deep, since this can crash rapiddiskd 9.2."""
    here = site.settings.get("rapiddisk") == LOCAL
    if deep and not here and "watch" in flags_of(click.get_current_context()):
        raise RdctlError(
            Code.UNSUPPORTED,
            "--deep cannot be used with --watch through a daemon: it could crash rapiddiskd 9.2",
            hint="Run it on the machine itself, with --local.",
        )
    return site.rapiddisk.overview(site.settings.get("rapiddisk"), deep, site.warn)
