"""rdctl oio content put, get: whole objects."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Any

import click

from rdctl.cli.names_input import bulk_of, bulk_options
from rdctl.cli.oio.arguments import PROPERTIES, target
from rdctl.cli.options import seconds_of
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, escape

if TYPE_CHECKING:
    from rdctl.cli.names_input import Bulk
    from rdctl.core.results import Data, Report
    from rdctl.oio.model import Place
    from rdctl.oio.objects.files import Where
    from rdctl.oio.objects.layout import Bytes
    from rdctl.sites import Site

_RANGE = re.compile(r"(?a)(\d{1,18})?-(\d{1,18})?")
_NO = (None, None)


@verb(
    "put",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio content put photos picture.png",
        "rdctl -c sandbox oio content put photos holiday/ --recursive --prefix 2024/",
        "tar -c holiday | rdctl -c sandbox oio content put photos - --path holiday.tar",
        "find holiday -type f | rdctl -c sandbox oio content put photos --files-from -",
    ],
)
@target("container", rest="[FILE...]")
@click.option(
    "--files-from",
    "list_of_files",
    metavar="FILE",
    help="The files that FILE names, one a line or NUL-ended; - is stdin.",
)
@bulk_options
@click.option("--path", metavar="P", help="The name of the content, if it is not the file's.")
@click.option("--prefix", metavar="P", default="", help="Stands before every name: 2024/.")
@click.option("--recursive", is_flag=True, help="Folders too: everything below them.")
@click.option("--overwrite", is_flag=True, help="Replace contents of the same names; asks first.")
@click.option("--autocreate", is_flag=True, help="Create the container if it does not exist.")
@click.option("--policy", metavar="P", help="The storage policy, if not the container's.")
@click.option("--mime-type", metavar="TYPE", help="Such as image/png.")
@click.option(
    "--min-copies",
    type=click.IntRange(1),
    metavar="N",
    help="Fail unless so many copies are stored.",
)
@PROPERTIES
def put(
    site: Site,
    place: Place,
    files: list[str] | None,
    list_of_files: str | None,
    path: str | None,
    prefix: str,
    recursive: bool,
    **wishes: Any,
) -> Report:
    """Store files as contents.

    A content gets the name of the file, or its path below the folder given; - is standard input,
    and wants --path. In a list every file has the path as it stands there, without a / before it.
    A name that is taken is refused before a byte is sent, and once more before the content is made,
    unless --overwrite is said, which asks first where versions are not kept: what was there is
    lost. Two puts of one name that end in the same moment can both succeed; the later one stays.

    Chunks go to the rawx services several at a time, and each has to prove by its checksum what it
    holds. A copy that cannot be written, or takes too long, is left out while half of the copies
    can (--min-copies asks for more), and that is said. When it fails or is interrupted, the chunks
    are deleted; only when it is not known whether the content was made, they are left, and named
    (exit 10).

    What has no size of its own (standard input, a pipe, a file of /proc) is kept in the folder for
    temporary files ($TMPDIR, else /tmp) before it is sent, up to the container's quota and while
    64 MiB are free there."""
    from rdctl.oio.objects.upload import Wish
    from rdctl.oio.properties import CREATE, check_user

    if path is not None and prefix:
        raise RdctlError(Code.USAGE, "--path and --prefix exclude each other")
    context = click.get_current_context()
    bulk = bulk_of(context)
    names: dict[str, str] = {}
    if list_of_files is not None:
        if files or path is not None or recursive:
            raise RdctlError(Code.USAGE, "--files-from excludes FILE, --path and --recursive")
        seconds = seconds_of(context)
        given = bulk.names(context.obj, site.settings.context, seconds, list_of_files)
        files, names = _listed(bulk, given, prefix)
    elif bulk.failed or bulk.ndjson:
        raise RdctlError(Code.USAGE, "--failed and --ndjson go with --files-from")
    elif files is None:
        raise click.UsageError("Missing argument 'FILE...'.", context)
    check_user("content", CREATE, place, wishes["properties"])
    for name, properties in bulk.properties.items():
        check_user("content", CREATE, place._replace(path=name), properties)
    return site.oio.uploads.put(
        place,
        files,
        names=names,
        path=path,
        prefix=prefix,
        recursive=recursive,
        wish=Wish(**wishes),
        own=bulk.properties,
        stdin=context.obj.stdin,
    )


def _listed(bulk: Bulk, given: list[str], prefix: str) -> tuple[list[str], dict[str, str]]:
    """The files of a list, and the names of the contents that they become."""
    words: dict[str, str] = {}
    for word in dict.fromkeys(given):
        inner = os.path.normpath(word).lstrip("/")
        if inner in ("", ".", "..") or inner.startswith("../") or "\0" in inner:
            message = f"{escape(word)} gives no name to a content"
            hint = "Paths in a list lie below the working folder, or begin with /."
            raise bulk.located(RdctlError(Code.USAGE, message, hint=hint, target=word))
        name = prefix + inner
        if name in words:
            first = words[name]
            message = f"{escape(first)} and {escape(word)} would both become {escape(name)}"
            raise bulk.located(RdctlError(Code.USAGE, message, target=first))
        words[name] = word
    bulk.call(words)
    # A file of that name, not standard input.
    paths = ["./-" if word == "-" else word for word in words.values()]
    return paths, dict(zip(paths, words, strict=True))


def _range(context: click.Context, param: click.Parameter, value: str | None) -> Bytes | None:
    if value is None:
        return None
    from rdctl.oio.objects.layout import Bytes

    match = _RANGE.fullmatch(value)
    first, last = (None if part is None else int(part) for part in match.groups()) if match else _NO
    if first is None or last is None:
        sound = first is not last
    else:
        sound = first <= last
    if not sound:
        raise RdctlError(
            Code.USAGE,
            f"--range: '{defuse(value)}' is no range of bytes",
            hint="A range is 0-99 (the first hundred), 100- (from there on) or -50 (the last).",
        )
    return Bytes(first, last)


@verb(
    "get",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio content get photos index.txt",
        "rdctl -c sandbox oio content get photos index.txt --to - --range 0-3",
        "rdctl -c sandbox oio content get photos sea/ --recursive --to holiday",
    ],
)
@target("content", several=True, whole=True, reads=True)
@click.option(
    "--to", metavar="FILE|DIR|-", help="Where it goes, if not to the working folder. - is stdout."
)
@click.option("--recursive", is_flag=True, help="All contents whose names begin with PATH.")
@click.option(
    "--range", "wanted", metavar="R", callback=_range, help="Only these bytes: 0-99, 100-, -50."
)
@click.option("--continue", "resume", is_flag=True, help="Go on where it was broken off.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def get(
    site: Site,
    places: list[Place],
    to: str | None,
    recursive: bool,
    wanted: Bytes | None,
    resume: bool,
    overwrite: bool,
) -> Report | Data:
    """Read contents, into files or to standard output.

    Names become paths below the folder; with --recursive they lose what PATH has up to its last
    slash. An empty content whose name ends with a slash becomes a folder; a // or a leading /
    counts for nothing. A name that would lead out of the folder fails, and so does one that becomes
    the same file as another. A file gets its name when all of it is there and its checksums are
    right; one that exists is not touched without --overwrite. What was broken off lies beside it,
    and --continue goes on with it if the content is still the same; files that are complete already
    are left as they are. A replica that cannot be read, or whose
    bytes are wrong, is passed over. With --to - the bytes leave while they come: what was wrong
    with a chunk of more than 2 MiB is reported at its end (exit 9)."""
    downloads = site.oio.downloads
    strip, below = "", None
    if recursive:
        (place,) = _one(places)
        prefix = place.path or ""
        strip = prefix[: prefix.rfind("/") + 1]
        below = downloads.below(place.holder, prefix or None)
        places = below.places
    elif any(place.path is None and place.content_id is None for place in places):
        raise click.UsageError("Missing argument 'PATH'.", click.get_current_context())
    if to == "-":
        if resume or overwrite:
            raise RdctlError(Code.USAGE, "--to - excludes --continue and --overwrite")
        return downloads.read(places, wanted, below)
    where = _where(to, recursive or len(places) > 1, strip)._replace(home=site.config.home)
    return downloads.get(places, where, wanted, overwrite=overwrite, resume=resume, below=below)


def _one(places: list[Place]) -> list[Place]:
    if len(places) != 1 or places[0].content_id or places[0].version:
        raise RdctlError(Code.USAGE, "--recursive goes with one PATH, or with none for all")
    return places


def _where(to: str | None, several: bool, strip: str) -> Where:
    """The file or folder that was meant."""
    from rdctl.oio.objects.files import Where

    path = "." if to is None else to
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError:
        folder = several or path.endswith("/")
        return Where(path=path.rstrip("/") or "/" if folder else path, folder=folder, strip=strip)
    if kind == stat.S_IFDIR:
        return Where(path=path.rstrip("/") or "/", folder=True, strip=strip)
    if several or path.endswith("/"):
        raise RdctlError(Code.CONFLICT, f"{escape(path)} is no folder", target=path)
    return Where(path=path, folder=False, special=kind != stat.S_IFREG)
