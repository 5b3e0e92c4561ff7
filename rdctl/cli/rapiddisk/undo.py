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
    """Undo an earlier command.

    Without ID, the latest command is undone that changed a volume, a cache, a port or an export;
    repeat it to undo the one before. Undos, commands that are already undone, and those of the boot
    units are skipped. ID is that of `rdctl history`, or its first digits; with the ID of an undo,
    the command that it undid is done again. Created volumes are removed, grown ones shrink, caches
    and exports are removed; what was removed is created again, an export with its serial and uuid.
    Confirmation is required once, for all that is lost.

    Either all of it can be undone, or nothing is changed. Refused, by name, are contents that were
    lost; a volume, cache or export that is not the same one any longer; one that a later command
    changed or uses (undo that first), or may have changed when it was killed; a command of unknown
    outcome, or from before the last boot; and all that the inverse command itself refuses, such as
    a device in use. If a step fails, the rest is not started: run undo again to continue. Files,
    such as the state file, are not restored. Local only."""
    return site.rapiddisk.undo(site.history.entries).undo(id, site.now(), site.user, site.warn)
