"""rdctl oio content"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.oio.arguments import PROPERTIES, content_id, json_option, prepared, spare, target
from rdctl.cli.oio.container import listing_verb
from rdctl.cli.oio.properties import children, properties_verbs
from rdctl.cli.options import parsed
from rdctl.cli.tree import LazyGroup, verb
from rdctl.core.units import parse_bytes

if TYPE_CHECKING:
    from rdctl.core.results import Item, Listing, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

_HERE = "rdctl.cli.oio.content:"
_THERE = "rdctl.cli.oio.transfer:"

group = LazyGroup(
    "content",
    help="Contents: objects and their chunks.",
    children={
        "list": (_HERE + "list_contents", "List what a container holds."),
        "show": (_HERE + "show", "Show contents and their chunks."),
        "delete": (_HERE + "delete", "Delete contents."),
        **children("rdctl.cli.oio.content"),
        "touch": (_HERE + "touch", "Make the services notice contents again."),
        "prepare": (_HERE + "prepare", "Ask where the chunks of a new content may go."),
        "create": (_HERE + "create", "Register a content whose chunks were written."),
        "spare": (_HERE + "spare_chunks", "Ask where lost chunks of a content may go."),
        "copy": (_HERE + "copy", "Give a content a second name."),
        "truncate": (_HERE + "truncate", "Cut the end off a content."),
        "put": (_THERE + "put", "Store files as contents."),
        "get": (_THERE + "get", "Read contents, into files or to standard output."),
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
        "rdctl -c sandbox oio content show photos index.txt --json --query '[].chunks[].url'",
    ],
)
@target("content", several=True, reads=True)
def show(site: Site, places: list[Place]) -> Listing:
    """Show contents and their chunks.

    Size, hash, policy, version, dates, the user's properties, and where each chunk is."""
    return site.oio.contents.show(places)


@verb(
    "delete",
    examples=[
        "rdctl -c sandbox oio content delete photos index.txt",
        "rdctl -c sandbox oio content list photos -0 --prefix sea/"
        " | rdctl -c sandbox oio content delete photos - --dry-run",
    ],
)
@target("content", several=True, sent_by="version")
def delete(site: Site, places: list[Place]) -> Report:
    """Delete contents.

    Asks first. Where versions are kept, the latest gets a delete marker and older ones stay;
    --content-version, or the --content-id of an older one, deletes one version for good."""
    return site.oio.contents.delete(places)


@verb(
    "touch",
    examples=[
        "rdctl -c sandbox oio content touch photos index.txt",
        "rdctl -c sandbox oio content touch photos index.txt --json",
    ],
)
@target("content", several=True)
def touch(site: Site, places: list[Place]) -> Report:
    """Make the services notice contents again.

    Events are sent as if it were new; nothing in it changes."""
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
@click.option("--size", type=BYTES, required=True, help="Bytes: 1048576, 1MiB.")
@click.option("--policy", metavar="P", help="The storage policy, if not the container's.")
@click.option("--autocreate", is_flag=True, help="Create the container if it does not exist.")
def prepare(site: Site, place: Place, size: int, policy: str | None, autocreate: bool) -> Item:
    """Ask where the chunks of a new content may go.

    Nothing is written. What --json shows can be given to content create, once the chunks were
    written and their sizes and hashes filled in."""
    return site.oio.contents.prepare(place, size, policy, autocreate)


@verb(
    "create",
    examples=[
        "rdctl -c sandbox oio content create photos new.bin --chunks chunks.json --length 11"
        " --dry-run",
        "rdctl -c sandbox oio content create photos new.bin --chunks - --length 11 --dry-run"
        " < chunks.json",
    ],
)
@target("content", new=True)
@json_option("chunks", prepared, "A file with the chunks as JSON: url, pos, size, hash.")
@click.option("--length", type=BYTES, required=True, help="Bytes of the whole content.")
@click.option("--content-id", metavar="HEX", callback=content_id, help="The id it gets.")
@click.option("--content-version", "version", metavar="V", help="The version it gets.")
@click.option("--hash", metavar="MD5", help="Of the whole content.")
@click.option("--mime-type", metavar="TYPE", help="Such as image/png.")
@click.option("--policy", metavar="P", help="The storage policy.")
@click.option("--chunk-method", metavar="M", help="As content prepare says it.")
@PROPERTIES
def create(
    site: Site, place: Place, chunks: dict[str, Any], properties: dict[str, str], **said: Any
) -> Report:
    """Register a content whose chunks were written.

    The chunks are taken as they are said to be: the server does not look at them. A proxy 4.2 wants
    a content id: that, the version and the policy are taken from what content prepare --json
    printed, when the file holds that. A content of that name gets a new version; where versions are
    not kept it is replaced, which asks first."""
    given = {key: value for key, value in said.items() if value is not None}
    return site.oio.contents.create(place, {**chunks, **given, "properties": properties})


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
@click.option("--policy", metavar="P", required=True, help="The storage policy to keep to.")
@json_option("body", spare, 'A file with {"notin": [chunks], "broken": [chunks]}.')
def spare_chunks(site: Site, place: Place, policy: str, body: Any) -> Listing:
    """Ask where lost chunks of a content may go.

    Nothing is written: the services named are to take copies of what is left."""
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
    """Give a content a second name.

    In the same container, sharing the chunks. Proxies since 4.0 cannot do it (exit 11)."""
    return site.oio.contents.copy(place, target)


@verb(
    "truncate",
    examples=[
        "rdctl -c sandbox oio content truncate photos index.txt --size 0 --dry-run",
        "rdctl -c sandbox oio content truncate photos index.txt --size 1MiB --dry-run",
    ],
)
@target("content")
@click.option("--size", type=BYTES, required=True, help="Bytes that are left.")
def truncate(site: Site, place: Place, size: int) -> Report:
    """Cut the end off a content.

    Asks first. The server cuts only where a chunk ends, and names the nearest such place."""
    return site.oio.contents.truncate(place, size)
