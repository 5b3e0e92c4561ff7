"""rdctl rapiddisk undo"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.tree import verb

if TYPE_CHECKING:
    from rdctl.core.results import Report
    from rdctl.sites import Site


@verb(
    "undo",
    local_only=True,
    fleet=False,
    examples=["rdctl -c sandbox rapiddisk undo --dry-run", "rdctl rapiddisk undo 3f2a91c0"],
)
@click.argument("id", required=False)
def undo(site: Site, id: str | None) -> Report:
    """Undo a command.

    Without ID: the latest command in the history that changed a volume, a cache, a port or an
    export; repeat it to undo the one before. Skipped are undos, what is undone, and what the boot
    units did. With the ID of a command, or its beginning: that one; with that of an undo, what it
    undid is done again. A created volume is removed, one that grew shrinks, a cache is removed and
    an export withdrawn; what was removed is created again, an export with its serial and uuid. All
    that is lost is in one question.

    Nothing is changed if any part of it is refused. Refused, by name: contents that were lost
    cannot be restored; a volume, cache or export that is no longer the same one; what a later
    command changed or uses, which has to be undone first, or may have changed if it was killed; a
    command of unknown outcome, or from before the last boot; and all that the inverse command
    itself would refuse, such as a device that is in use. If a step fails, the rest is not started;
    run undo again to continue. Contents of files such as the state file are not restored. Local
    only."""
    return site.rapiddisk.undo(site.history.entries).undo(id, site.now(), site.user, site.warn)
