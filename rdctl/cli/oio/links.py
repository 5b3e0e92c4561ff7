"""rdctl oio content link, locate, and container snapshot: objects by their chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdctl.cli.oio.arguments import content_id, pairs_option, target
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from rdctl.core.results import Listing, Report
    from rdctl.oio.flat import Flat
    from rdctl.oio.model import Place
    from rdctl.sites import Site


@verb(
    "link",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio content link photos index.txt index2.txt",
        "rdctl -c sandbox oio content link photos index.txt --to-container backup --autocreate",
    ],
)
@target("content", rest="[TARGET]", sent_by="path", gets_flat=True)
@click.option("--to-container", metavar="CONTAINER", help="Container of the new object.")
@click.option("--overwrite", is_flag=True, help="Replace an existing object.")
@click.option("--autocreate", is_flag=True, help="Create the container if it does not exist.")
@click.option("--id", "new_id", metavar="HEX", callback=content_id, help="ID of the new object.")
@pairs_option(
    *("-p", "--property", "properties"),
    help="Property of the new object, in place of all those of the first (repeatable).",
)
def link(
    site: Site,
    place: Place,
    name: str | None,
    to_container: str | None,
    overwrite: bool,
    autocreate: bool,
    new_id: str | None,
    properties: dict[str, str],
    flat: Flat | None,
) -> Report:
    """Copy an object without copying its data.

    The new object, TARGET or the same name in --to-container, shares the bytes of the first, but
    has chunks of its own: hard links on the same rawx services. So either can be deleted or
    replaced without a change of the other. Size, hash, storage policy and MIME type are the same,
    and so are the properties unless -p is given. With --auto, the new object is in the container of
    its own name, unless --to-container is given.

    An existing TARGET is refused without --overwrite; in a container without versioning it is lost,
    which requires confirmation. Linking an older version (--content-version) to its own name makes
    it the current one. If a chunk cannot be linked, the others are removed and the command fails.
    Requires proxy 4.0 or later."""
    from rdctl.oio.objects.linking import Link
    from rdctl.oio.properties import CREATE, check_user

    if name is None and to_container is None:
        raise click.UsageError("Missing argument 'TARGET'.", click.get_current_context())
    for word, value in (("TARGET", name), ("--to-container", to_container)):
        if value is not None and (not value or "\0" in value):
            raise RdctlError(Code.USAGE, f"invalid {word}: must not be empty or contain NUL")
    holder = place.holder if to_container is None else site.oio.places([to_container])[0]
    new = holder._replace(path=name if name is not None else place.path)
    new = flat.place(new) if flat and to_container is None else new
    check_user("content", CREATE, new, properties)
    wish = Link(overwrite, autocreate, properties or None, new_id)
    return site.oio.links.link(place, new, wish)


@verb(
    "snapshot",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio container snapshot photos",
        "rdctl -c sandbox oio container snapshot photos before-cleanup --dry-run",
    ],
)
@target("container", rest="[SNAPSHOT]")
def snapshot(site: Site, place: Place, name: str | None) -> Report:
    """Copy a container without copying its data.

    SNAPSHOT (default: the name of the container and the time) is a new container with all versions
    and delete markers. It shares the bytes of the container, but each version has chunks of its
    own, hard links on the same rawx services: what is deleted in one stays in the other. It stays
    read-only; to change or delete it, enable it with `admin enable`.

    Requires confirmation: the container is read-only meanwhile, and enabled at the end, also after
    an error or Ctrl-C. If the snapshot fails, it is removed. If only some chunks cannot be linked,
    their objects are damaged in the snapshot; they are reported (exit code 8). If rdctl is killed,
    the container stays read-only, and the snapshot may share chunks with it: both then have the
    property rdctl.incomplete-snapshot, which names the snapshot. Remove that with
    `container destroy --force`, which deletes no chunk. Requires proxy 4.2 or later."""
    if name is not None and (not name or "\0" in name):
        raise RdctlError(Code.USAGE, "invalid SNAPSHOT: must not be empty or contain NUL")
    if name is None:
        name = f"{place.container}-{site.now():.5f}"
    copy = site.oio.place(name)._replace(account=place.account or site.oio.account_name(None))
    return site.oio.snapshots.snapshot(place, copy)


@verb(
    "locate",
    shows="rdctl.oio.chunk/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio content locate photos index.txt",
        "rdctl -c sandbox oio content locate photos index.txt --chunk-info --json",
    ],
)
@target("content", reads=True, flat=True)
@click.option(
    "--chunk-info", is_flag=True, help="Also query the rawx services (one request per chunk)."
)
def locate(site: Site, place: Place, chunk_info: bool) -> Listing:
    """Show where the chunks of an object are stored.

    Each chunk is shown with its position (0.3: fragment 3 of metachunk 0), its service, the volume
    and the location of that service, its score, and the size and hash that are registered: of a
    fragment, those of its metachunk. --chunk-info adds the size and hash of what the service
    holds. `content check` finds damaged chunks."""
    return site.oio.contents.locate(place, chunk_info)
