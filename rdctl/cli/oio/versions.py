"""rdctl oio content drain, purge, undelete: versions of objects, and what is left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.oio.arguments import target
from rdctl.cli.tree import verb

if TYPE_CHECKING:
    from rdctl.core.results import Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site


@verb(
    "undelete",
    examples=[
        "rdctl -c sandbox oio content undelete photos index.txt",
        "rdctl -c sandbox oio content undelete photos index.txt sea/storm.svg --json",
    ],
)
@target("content", several=True, sent_by="path", flat=True)
def undelete(site: Site, places: list[Place]) -> Report:
    """Restore deleted objects.

    In a container with versioning, deleting an object adds a delete marker. This removes the
    marker, by its version, so that the latest version of the data is current again. An object that
    is not deleted is left unchanged. With --content-version only that marker is removed, and only
    if it is the current version. To make an older version the current one, use `content link` with
    --overwrite and --content-version."""
    return site.oio.contents.undelete(places)


@verb(
    "purge",
    examples=[
        "rdctl -c sandbox oio content purge photos index.txt",
        "rdctl -c sandbox oio content purge photos index.txt --max-versions 2 --dry-run",
    ],
)
@target("content", several=True, sent_by="path", versions=False, flat=True)
@click.option(
    "--max-versions",
    type=click.IntRange(1),
    metavar="N",
    help="Number of versions to keep (default: the container's).",
)
def purge(site: Site, places: list[Place], max_versions: int | None) -> Report:
    """Delete old versions of objects.

    Requires confirmation: the versions cannot be recovered; each of them is named. The latest is
    always kept. Delete markers are neither counted nor removed: a deleted object stays deleted.
    `container purge` does this for all objects of a container."""
    return site.oio.contents.purge(places, max_versions)


@verb(
    "drain",
    examples=[
        "rdctl -c sandbox oio content drain photos index.txt",
        "rdctl -c sandbox oio content drain photos index.txt sea/storm.svg --dry-run",
    ],
)
@target("content", several=True, sent_by="version", flat=True)
def drain(site: Site, places: list[Place]) -> Report:
    """Delete the data of objects, but keep their names.

    Requires confirmation: the data cannot be recovered. Names, sizes, hashes and properties are
    kept and still listed; reading the object fails (exit code 4). Uploading it again replaces
    it."""
    return site.oio.contents.drain(places)
