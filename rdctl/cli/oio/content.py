"""rdctl oio content"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.oio.arguments import PROPERTIES, content_id, json_option, prepared, spare, target
from rdctl.cli.oio.container import listing_verb
from rdctl.cli.oio.properties import children, properties_verbs
from rdctl.cli.options import parsed
from rdctl.cli.renamed import Renamed
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.units import parse_bytes

if TYPE_CHECKING:
    from rdctl.core.results import Item, Listing, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.content:"
_THERE = "rdctl.cli.oio.transfer:"
_CHECKS = "rdctl.cli.oio.integrity:"
_SYNC = "rdctl.cli.oio.sync:"
_VERSIONS = "rdctl.cli.oio.versions:"
_LINKS = "rdctl.cli.oio.links:"

group = LazyGroup(
    "content",
    help="""Manage objects and their chunks.

    In the API of OpenIO, an object is called a content.""",
    children={
        "list": (_HERE + "list_contents", "List the objects of a container."),
        "show": (_HERE + "show", "Show objects."),
        "delete": (_HERE + "delete", "Delete objects."),
        "undelete": (_VERSIONS + "undelete", "Restore deleted objects."),
        "purge": (_VERSIONS + "purge", "Delete old versions of objects."),
        "drain": (_VERSIONS + "drain", "Delete the data of objects, but keep their names."),
        "link": (_LINKS + "link", "Copy an object without copying its data."),
        "locate": (_LINKS + "locate", "Show where the chunks of an object are stored."),
        **children("rdctl.cli.oio.content"),
        "touch": (_HERE + "touch", "Re-emit the creation events of objects."),
        "prepare": (_HERE + "prepare", "Get locations for the chunks of a new object."),
        "create": (_HERE + "create", "Register an object whose chunks are already stored."),
        "spare": (_HERE + "spare_chunks", "Get locations for replacements of lost chunks."),
        "copy": (_HERE + "copy", "Copy (link) an object within its container."),
        "transition": (_HERE + "transition", "Move objects to another storage policy."),
        "truncate": (_HERE + "truncate", "Truncate an object."),
        "put": (_THERE + "put", "Upload files as objects."),
        "get": (_THERE + "get", "Download objects to files or standard output."),
        "append": (_HERE + "append", "Append a file to an object."),
        "sync": (_SYNC + "sync", "Make a container the same as a folder, or the reverse."),
        "ranges": (_SYNC + "ranges", "Divide the listing of a container into ranges."),
        "check": (_CHECKS + "check_contents", "Check the chunks of objects."),
        "repair": (_CHECKS + "repair", "Repair lost and damaged chunks of objects."),
    },
)

list_contents = listing_verb("content")
get_properties, set_properties, del_properties = properties_verbs(
    "content", "content", "photos index.txt", system=False
)


BYTES = parsed("size", parse_bytes)


@verb(
    "show",
    shows="rdctl.oio.content/1",
    watch=True,
    examples=[
        "rdctl -c sandbox oio content show photos index.txt",
        "rdctl -c sandbox oio content show photos index.txt --chunks",
        "rdctl -c sandbox oio content show photos index.txt --json --query '[].chunks[].url'",
    ],
)
@target("content", several=True, reads=True, flat=True)
@click.option("--chunks", is_flag=True, help="List the chunks of each object in tables.")
def show(site: Site, places: list[Place], chunks: bool) -> Listing:
    """Show objects.

    Shows size, hash, storage policy, MIME type, version, dates, user properties and the number of
    chunks. --chunks shows where each chunk is stored; the other formats always have that."""
    return site.oio.contents.show(places, chunks)


@verb(
    "delete",
    examples=[
        "rdctl -c sandbox oio content delete photos index.txt",
        "rdctl -c sandbox oio content delete photos --prefix alps/ --dry-run",
        "rdctl -c sandbox oio content delete photos --glob '*.svg' --dry-run",
        "rdctl -c sandbox oio content list photos -0 --prefix sea/"
        " | rdctl -c sandbox oio content delete photos - --dry-run",
    ],
)
@target(
    "content", several=True, sent_by="deletion", selects=("prefix", "glob", "recursive"), flat=True
)
@click.option("--prefix", metavar="P", help="Delete all objects whose names begin with P.")
@click.option("--glob", metavar="PATTERN", help="Delete all objects whose names match PATTERN.")
@click.option(
    "--recursive", is_flag=True, help="Delete all objects below PATH, or of the container."
)
def delete(
    site: Site, places: list[Place], prefix: str | None, glob: str | None, recursive: bool
) -> Report:
    """Delete objects.

    Requires confirmation, which says whether the objects can be restored: in a container with
    versioning, this adds a delete marker and keeps all versions. An object that is already deleted
    is left unchanged; `content undelete` restores it. To delete one version permanently, use
    --content-version, or the --content-id of a version older than the latest. The version of a
    delete marker is refused.

    A PATH is always a name, never a pattern. With --prefix and --glob, the objects whose names
    begin with P, match PATTERN, or both, are deleted. In a pattern, `*` and `?` match within one
    component of the name, `**` matches any number of them; a pattern without a slash matches the
    last component. --recursive deletes the objects below PATH/ (not all whose names begin with
    PATH, as `content get --recursive` takes them), and without PATH all objects. The container is
    listed first, and the number of objects and their size are confirmed once. If the listing is
    incomplete, nothing is deleted. An object that has changed since then is not deleted."""
    if prefix is None and glob is None and not recursive:
        return site.oio.contents.delete(places)
    from rdctl.cli.oio.sync import selection_of

    holder, selection = selection_of(places, prefix, glob, recursive)
    return site.oio.deletions.selected(holder, selection)


@verb(
    "touch",
    examples=[
        "rdctl -c sandbox oio content touch photos index.txt",
        "rdctl -c sandbox oio content touch photos index.txt --json",
    ],
)
@target("content", several=True, flat=True)
def touch(site: Site, places: list[Place]) -> Report:
    """Re-emit the creation events of objects.

    Services are notified as if the object were new. The object itself is not changed."""
    return site.oio.touch("content", places)


@verb(
    "prepare",
    shows="rdctl.oio.content/1",
    examples=[
        "rdctl -c sandbox oio content prepare photos new.bin --size 1048576",
        "rdctl -c sandbox oio content prepare photos new.bin --size 10MiB --json",
    ],
)
@target("content", new=True)
@click.option("--size", type=BYTES, required=True, help="Size of the object: 1048576, 1MiB.")
@click.option("--policy", metavar="POLICY", help="Storage policy (default: the container's).")
@click.option("--autocreate", is_flag=True, help="Create the container if it does not exist.")
def prepare(site: Site, place: Place, size: int, policy: str | None, autocreate: bool) -> Item:
    """Get locations for the chunks of a new object.

    Nothing is written. After storing the chunks and filling in their sizes and hashes, pass the
    --json output to `content create`."""
    return site.oio.contents.prepare(place, size, policy, autocreate)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox oio content create photos new.bin --body chunks.json --size 11 --dry-run",
        "rdctl -c sandbox oio content create photos new.bin --body - --size 11 --dry-run"
        " < chunks.json",
    ],
)
@target("content", new=True)
@json_option(
    "body", prepared, "JSON file with the chunks: url, pos, size, hash", formerly="--chunks"
)
@click.option(
    "--size",
    cls=Renamed,
    formerly="--length",
    type=BYTES,
    required=True,
    help="Size of the object: 1048576, 1MiB.",
)
@click.option("--content-id", metavar="HEX", callback=content_id, help="ID of the new object.")
@click.option("--content-version", "version", metavar="V", help="Version of the new object.")
@click.option("--hash", metavar="MD5", help="MD5 of the whole object.")
@click.option("--mime-type", metavar="TYPE", help="MIME type, such as image/png.")
@click.option("--policy", metavar="POLICY", help="Storage policy.")
@click.option("--chunk-method", metavar="M", help="Chunk method, as shown by content prepare.")
@PROPERTIES
def create(
    site: Site,
    place: Place,
    body: dict[str, Any],
    size: int,
    properties: dict[str, str],
    **given: Any,
) -> Report:
    """Register an object whose chunks are already stored.

    The server does not verify the chunks. Proxy 4.2 requires an object ID. If the file is the
    output of `content prepare --json`, the ID, the version and the storage policy are taken from
    it. An existing object of this name gets a new version. Without versioning it is replaced, which
    requires confirmation."""
    known = {key: value for key, value in given.items() if value is not None}
    known |= {"length": size, "properties": properties}
    return site.oio.contents.create(place, {**body, **known})


@verb(
    "spare",
    shows="rdctl.oio.spare-chunk/1",
    examples=[
        "rdctl -c sandbox oio content spare photos index.txt --policy SINGLE --body lost.json"
        " --dry-run",
        "rdctl -c sandbox oio content spare photos index.txt --policy SINGLE --body -"
        " --dry-run < lost.json",
    ],
)
@target("content")
@click.option(
    "--policy", metavar="POLICY", required=True, help="Storage policy of the replacements."
)
@json_option("body", spare, 'JSON file: {"notin": [chunks], "broken": [chunks]}')
def spare_chunks(site: Site, place: Place, policy: str, body: Any) -> Listing:
    """Get locations for replacements of lost chunks.

    Nothing is written. Copy the remaining chunks to the services that are shown."""
    return site.oio.contents.spare(place, policy, body)


@verb(
    "copy",
    examples=[
        "rdctl -c sandbox oio content copy photos index.txt index2.txt --dry-run",
        "rdctl -c sandbox oio content copy photos index.txt 'a copy' --dry-run",
    ],
)
@target("content", rest="TARGET", sent_by="path")
def copy(site: Site, place: Place, target: str) -> Report:
    """Copy (link) an object within its container.

    Both objects share the same chunks. Not supported by proxies since 4.0 (exit code 11)."""
    return site.oio.contents.copy(place, target)


@verb(
    "append",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio content append photos index.txt picture.png",
        "echo more | rdctl -c sandbox oio content append photos index.txt -",
    ],
)
@target("content", rest="FILE", sent_by="path", flat=True)
@click.option(
    "--min-copies",
    type=click.IntRange(1),
    metavar="N",
    help="Minimum number of copies, or fragments, to store.",
)
def append(site: Site, place: Place, file: str, min_copies: int | None) -> Report:
    """Append a file to an object.

    The data (- for standard input) become new chunks after the last one, stored with the policy of
    the object and the same checks and clean-up as in `content put`. The latest version itself is
    changed, also in a container that keeps versions. Its MD5 is no longer recorded afterwards,
    only those of its chunks, so `content get` verifies it by these. An object that does not exist
    is an error (exit code 3)."""
    stdin = click.get_current_context().obj.stdin
    return site.oio.appends.append(place, file, min_copies, stdin)


@verb(
    "transition",
    examples=[
        "rdctl -c sandbox oio content transition photos index.txt --policy THREECOPIES",
        "rdctl -c sandbox oio content transition photos index.txt --policy EC42 --dry-run",
    ],
)
@target("content", several=True)
@click.option("--policy", metavar="POLICY", required=True, help="Storage policy.")
def transition(site: Site, places: list[Place], policy: str) -> Report:
    """Move objects to another storage policy.

    The proxy accepts the request, and OpenIO's own services move the data later; until then the
    object keeps its policy, and its data stay where they are. Requires oio-proxy 2025."""
    site.oio.conscience.check_policy(policy)
    return site.oio.contents.transition(places, policy)


@verb(
    "truncate",
    examples=[
        "rdctl -c sandbox oio content truncate photos index.txt --size 0 --dry-run",
        "rdctl -c sandbox oio content truncate photos index.txt --size 10B --json --dry-run",
    ],
)
@target("content")
@click.option("--size", type=BYTES, required=True, help="New size of the object.")
def truncate(site: Site, place: Place, size: int) -> Report:
    """Truncate an object.

    Requires confirmation: data beyond the new size are lost. An object can only be cut between two
    chunks; otherwise the server refuses it and reports the nearest valid size."""
    return site.oio.contents.truncate(place, size)
