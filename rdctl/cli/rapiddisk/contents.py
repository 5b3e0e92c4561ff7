"""rdctl rapiddisk: the contents of volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.rapiddisk.overrides import DISCARD, overriding
from rdctl.cli.rapiddisk.volume import overcommit
from rdctl.cli.tree import verb

if TYPE_CHECKING:
    from rdctl.core.results import Report
    from rdctl.rapiddisk.guards import Overrides
    from rdctl.sites import Site


@verb(
    "save",
    files={"file": "target"},
    local_only=True,
    fleet=False,
    examples=[
        "rdctl rapiddisk save rd1 rd1.img",
        "rdctl rapiddisk save rd1 rd1.img --overwrite --dry-run",
    ],
)
@click.argument("volume")
@click.argument("file")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@overriding
def save(site: Site, volume: str, file: str, overwrite: bool, overrides: Overrides) -> Report:
    """Save the contents of a volume to an image file.

    FILE becomes a raw image of the size of the volume, which any tool can mount or copy back. Parts
    that are zero take no space on disk. Its SHA-256 is written to FILE.sha256, which
    `sha256sum -c` checks.

    The image appears under its name only when it is complete: a save that is interrupted, or that
    fills the disk, leaves the former image as it was. An existing file is refused without
    --overwrite. A volume that is mounted, cached, exported or otherwise in use is refused, since it
    could change meanwhile; a locked one can be saved."""
    return site.rapiddisk.contents.save(
        volume, file, overrides, overwrite=overwrite, home=site.config.home
    )


@verb(
    "load",
    files={"file": "image"},
    local_only=True,
    fleet=False,
    examples=[
        "rdctl rapiddisk load rd1.img rd1",
        "rdctl rapiddisk load rd1.img rd1 --dry-run",
    ],
)
@click.argument("file")
@click.argument("volume")
@overcommit
@DISCARD
@overriding
def load(site: Site, file: str, volume: str, overcommit: bool, overrides: Overrides) -> Report:
    """Load the contents of a volume from an image file.

    FILE is a raw image of at most the size of the volume; the rest of the volume is zero. Parts of
    it that are zero use no memory. It is checked against FILE.sha256 before anything is changed;
    without that file, a warning says that it was not verified.

    What the volume holds is erased before, which requires confirmation. A load that fails or is
    interrupted leaves the volume empty. A volume that is locked or in use is refused. So is an
    image whose contents exceed the available memory (see --overcommit), and a volume with data
    that a writeback cache has not written to its disk (see --discard-contents)."""
    return site.rapiddisk.contents.load(file, volume, overrides, site.warn, overcommit=overcommit)
