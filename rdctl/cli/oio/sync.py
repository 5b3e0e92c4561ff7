"""rdctl oio content sync, ranges."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.oio.arguments import target as target_of
from rdctl.cli.oio.transfer import choosing, journaling
from rdctl.cli.options import SYNONYM
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rdctl.core.results import Listing, Report
    from rdctl.oio.model import Place
    from rdctl.oio.sync.choice import Choice
    from rdctl.oio.sync.deleting import Selection
    from rdctl.oio.sync.journal import Given
    from rdctl.oio.sync.sync import Ends
    from rdctl.sites import Site

# A range costs some kilobytes of memory.
MOST_SHARDS = 10_000


@verb(
    "ranges",
    shows="rdctl.oio.range/1",
    examples=[
        "rdctl -c sandbox oio content ranges photos --shards 4",
        "rdctl -c sandbox oio content ranges photos --shards 4 --prefix sea/ --json",
        "rdctl -c sandbox oio content ranges photos --shards 2 -o ndjson",
    ],
)
@target_of("container", reads=True)
@click.option(
    "--shards",
    type=click.IntRange(1, MOST_SHARDS),
    metavar="N",
    required=True,
    help="Number of ranges.",
)
@click.option("--prefix", metavar="P", help="Only objects whose names begin with P.")
def ranges(site: Site, place: Place, shards: int, prefix: str | None) -> Listing:
    """Divide the listing of a container into ranges.

    The container is listed once, and divided into ranges of about as many objects each, so that
    several machines can process them at the same time. Each row is a range for `content list
    --marker M --end-marker M`; an empty marker does not limit it. With --prefix, give the same
    prefix there.

    The ranges cover the whole container. Of an object that is created later, none of its ranges
    is missing, but two neighboring ones may list it. There are fewer ranges than N if there are
    fewer objects. A range never ends at a name with control characters, backslashes or bytes that
    are not UTF-8, so markers can be passed as they are shown. In scripts use -o ndjson: of the
    columns of tsv, `read` in a shell drops an empty marker, and takes the end marker for it."""
    return site.oio.contents.ranges(place, shards, prefix)


# --- content sync ---------------------------------------------------------------------------------


@verb(
    "sync",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio content sync ./holiday photos/2024 --dry-run",
        "rdctl -c sandbox oio content sync photos ./copy",
        "rdctl -c sandbox oio content sync photos/sea ./sea --delete --journal sea.journal"
        " --resume",
    ],
)
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("--delete", is_flag=True, help="Delete what is at TARGET only.")
@click.option(
    "--max-delete",
    type=click.IntRange(0),
    metavar="N",
    help="Maximum number of deletions (default: a quarter of TARGET).",
)
@click.option("--autocreate", is_flag=True, help="Create the container if it does not exist.")
@click.option("--policy", metavar="POLICY", help="Storage policy (default: the container's).")
@partial(choosing, always=True)
@journaling
def sync(
    site: Site,
    source: str,
    target: str,
    delete: bool,
    max_delete: int | None,
    autocreate: bool,
    policy: str | None,
    choice: Choice,
    given: Given | None,
) -> Report:
    """Make a container the same as a folder, or the reverse.

    One of SOURCE and TARGET is a folder, the other one CONTAINER or CONTAINER/PREFIX. A folder
    begins with `/`, `./` or `../`, or is `.` or `..`; anything else is a container. Without
    --delete, SOURCE may also be just the name of an existing folder, if TARGET is not one. Objects
    are named by their paths below the folder, after PREFIX/.

    What differs is transferred, as with --update: an object is the same as a file of the same size
    and modification time, or with --checksum of the same size and MD5. What exists at TARGET only
    stays, unless --delete is given. Replacing objects in a container without versioning, or files
    that are newer than their objects, and any deletion, require confirmation.

    --delete deletes last, and nothing at all if a transfer fails or a listing is incomplete. It is
    refused, even with --yes, if SOURCE is empty, or if more than a quarter of what is at TARGET
    (or --max-delete N) would be deleted. What --include and --exclude leave out is never deleted,
    nor what has changed since it was listed. Of a folder, only regular files are deleted, and
    directories that are empty then.

    With --journal each item is recorded when it is finished. --resume continues after an
    interruption or a crash."""
    from rdctl.oio.objects.upload import Wish
    from rdctl.oio.sync.surplus import Limit
    from rdctl.oio.sync.sync import Asked

    if max_delete is not None and not delete:
        raise RdctlError(Code.USAGE, "--max-delete requires --delete")
    if not delete and _is_bare_folder(source, target):
        source = f"./{source}"
    ends = _ends(site, source, target, delete)
    limit = Limit(max_delete) if delete else None
    options = {
        "--delete": delete,
        "--max-delete": max_delete,
        "--checksum": choice.checksum,
        "--include": [glob.pattern for glob in choice.filters.include],
        "--exclude": [glob.pattern for glob in choice.filters.exclude],
        "--autocreate": autocreate,
        "--policy": policy,
        "--journal": given and given.path,
        "--resume": given is not None,
    }
    again = f"rdctl oio content sync {quoted(source)} {quoted(target)}{_words(options)}"
    asked = Asked(choice, again, limit, given, site.config.home)
    if _is_folder(source):
        wish = Wish(autocreate=autocreate, policy=policy)
        return site.oio.syncs.upload(ends, asked, wish, click.get_current_context().obj.stdin)
    if autocreate or policy:
        raise RdctlError(Code.USAGE, "--autocreate and --policy require a folder as SOURCE")
    return site.oio.syncs.download(ends, asked)


def _words(options: Mapping[str, Any]) -> str:
    """Options as they are typed."""
    words = ""
    for option, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is True:
                words += f" {option}"
            elif one is not None and one is not False:
                words += f" {option} {quoted(str(one))}"
    return words


def _is_folder(word: str) -> bool:
    """Whether a word is a folder, by itself alone: what exists may change, and a wrong guess could
    delete."""
    return word in (".", "..") or word.startswith(("/", "./", "../"))


def _is_bare_folder(source: str, target: str) -> bool:
    """Whether SOURCE is the name of a folder, as in `put`. Only uploads are recognized like this:
    a missing folder never turns an upload into a download."""
    if _is_folder(source) or _is_folder(target) or "\0" in source + target:
        return False
    return os.path.isdir(source) and not os.path.isdir(target)


def _ends(site: Site, source: str, target: str, delete: bool) -> Ends:
    """The folder and the container of the two words."""
    from rdctl.oio.sync.sync import Ends

    folders = [word for word in (source, target) if _is_folder(word)]
    if len(folders) != 1:
        both = "both are folders" if folders else "both are containers"
        message = f"SOURCE and TARGET must be a folder and a container: {both}"
        hint = "A folder begins with / or ./, a container does not."
        if not folders:
            hint += f" Did you mean {quoted(f'./{_likely(source, target)}')}?"
        raise RdctlError(Code.USAGE, message, hint=hint)
    for word in (source, target):
        if "\0" in word:
            raise RdctlError(Code.USAGE, "SOURCE and TARGET must not contain NUL")
    container, prefix = _container(target if _is_folder(source) else source, delete)
    (place,) = site.oio.places([container])
    site.oio.about([place])
    return Ends(folders[0], place, prefix)


def _container(word: str, delete: bool) -> tuple[str, str]:
    """The container of a word, and the prefix, with a slash at its end."""
    container, slash, prefix = word.partition("/")
    below = prefix.rstrip("/")
    if slash and not prefix and delete:  # usually a variable of a script that is not set
        message = f'"{escape(word)}": empty prefix with --delete'
        hint = f"For the whole container write it without the slash: {quoted(container)}"
        raise RdctlError(Code.USAGE, message, hint=hint)
    for part in below.split("/") if prefix else ():
        if part in ("", ".", ".."):
            kind = f'the component "{part}"' if part else "an empty component"
            raise RdctlError(Code.USAGE, f'"{escape(word)}": invalid prefix: it contains {kind}')
    return container, below and f"{below}/"


def _likely(source: str, target: str) -> str:
    """The word that more likely means a folder, for a hint."""
    return target if os.path.isdir(target) and not os.path.isdir(source) else source


# --- content delete -------------------------------------------------------------------------------


def selection_of(
    places: list[Place], prefix: str | None, glob: str | None, recursive: bool
) -> tuple[Place, Selection]:
    """The container, and what --prefix, --glob and --recursive select in it."""
    from rdctl.oio.sync.deleting import Selection

    if typed := click.get_current_context().meta.get(SYNONYM):
        message = f'"{typed}" takes one name: use delete with --prefix, --glob or --recursive'
        raise RdctlError(Code.USAGE, message)
    place = places[0] if len(places) == 1 else None
    if place is None or place.content_id or place.version or (place.path and not recursive):
        message = "--prefix and --glob cannot be used with PATH, and --recursive takes one PATH"
        raise RdctlError(Code.USAGE, message)
    if recursive and (prefix is not None or glob is not None):
        raise RdctlError(Code.USAGE, "--recursive cannot be used with --prefix or --glob")
    if prefix == "":  # usually a variable of a script that is not set
        hint = "To delete all objects of the container, use --recursive without PATH."
        raise RdctlError(Code.USAGE, "--prefix must not be empty", hint=hint)
    if place.path:
        prefix = f"{place.path.rstrip('/')}/"
    return place.holder, Selection(prefix or "", glob)
