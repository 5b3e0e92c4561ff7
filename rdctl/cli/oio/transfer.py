"""rdctl oio content put, get: upload and download of objects."""

from __future__ import annotations

import functools
import os
import re
import stat
from typing import TYPE_CHECKING, Any, cast

import click

from rdctl.cli.names_input import bulk_of, bulk_options
from rdctl.cli.oio.arguments import PROPERTIES, content_id, target
from rdctl.cli.options import seconds_of
from rdctl.cli.renamed import Renamed
from rdctl.cli.tree import verb
from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import defuse, escape

if TYPE_CHECKING:
    from rdctl.cli.names_input import Bulk
    from rdctl.core.results import Data, Report
    from rdctl.oio.flat import Flat
    from rdctl.oio.model import Place
    from rdctl.oio.objects.files import Where
    from rdctl.oio.objects.layout import Bytes
    from rdctl.oio.sync.choice import Choice
    from rdctl.oio.sync.journal import Given, Journal
    from rdctl.sites import Site

_RANGE = re.compile(r"(?a)(\d{1,18})?-(\d{1,18})?")
_NO = (None, None)


def choosing(function: Any, *, always: bool = False) -> Any:
    """Add the options that choose what is transferred; the function gets them as `choice`.
    `always`: it compares in any case."""

    @functools.wraps(function)
    def chosen(
        *words: Any,
        update: bool = always,
        checksum: bool,
        include: tuple[str, ...],
        exclude: tuple[str, ...],
        **options: Any,
    ) -> Any:
        from rdctl.oio.sync.choice import Choice
        from rdctl.oio.sync.filters import Filters

        choice = Choice(update, checksum, Filters.of(include, exclude))
        return function(*words, choice=choice, **options)

    options = [
        click.option(
            "--exclude",
            metavar="GLOB",
            multiple=True,
            help="Skip names that match GLOB (repeatable).",
        ),
        click.option(
            "--include",
            metavar="GLOB",
            multiple=True,
            help="Transfer only names that match GLOB (repeatable).",
        ),
        click.option(
            "--checksum",
            is_flag=True,
            help="Skip what has the same size and MD5; replace the rest.",
        ),
        click.option(
            "--update",
            is_flag=True,
            help="Skip what has the same size and modification time; replace the rest.",
        ),
    ]
    for option in options[:-1] if always else options:
        chosen = option(chosen)
    return chosen


def journaling(function: Any) -> Any:
    """Add --journal and --resume; the function gets them as `given`."""

    @functools.wraps(function)
    def kept(
        site: Site, *words: Any, journal: str | None, resume_journal: bool, **options: Any
    ) -> Any:
        given = None
        if journal is not None:
            from rdctl.oio.sync.journal import Given

            given = Given(journal, resume_journal, site.config.home)
        elif resume_journal:
            raise RdctlError(Code.USAGE, "--resume requires --journal")
        return function(site, *words, given=given, **options)

    for option in (
        click.option(
            "--resume",
            "resume_journal",
            is_flag=True,
            help="Continue the transfer of the journal, or begin it.",
        ),
        click.option(
            "--journal",
            metavar="FILE",
            help="Record what is finished in FILE, for --resume.",
        ),
    ):
        kept = option(kept)
    return kept


@verb(
    "put",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio content put photos picture.png",
        "rdctl -c sandbox oio content put photos holiday/ --recursive --name-prefix 2024/",
        "tar -c holiday | rdctl -c sandbox oio content put photos - --path holiday.tar",
        "find holiday -type f | rdctl -c sandbox oio content put photos --files-from -",
        "rdctl -c sandbox oio content put photos holiday/ --recursive --update",
        "rdctl -c sandbox oio content put photos holiday/ --recursive --exclude '*.raw'",
        "rdctl -c sandbox oio content put --auto --autocreate picture.png",
    ],
)
@target("container", rest="[FILE...]", gets_flat=True)
@click.option(
    "--files-from",
    "list_of_files",
    metavar="FILE",
    help="Read file names (one per line or NUL-terminated) from FILE; - reads stdin.",
)
@bulk_options
@click.option("--path", metavar="P", help="Object name (default: name of the file).")
@click.option(
    "--name-prefix",
    "prefix",
    cls=Renamed,
    formerly="--prefix",
    metavar="P",
    default="",
    help="Text before all object names, such as 2024/.",
)
@click.option("--recursive", is_flag=True, help="Upload directories recursively.")
@click.option("--overwrite", is_flag=True, help="Replace existing objects.")
@click.option("--autocreate", is_flag=True, help="Create the container if it does not exist.")
@click.option("--policy", metavar="POLICY", help="Storage policy (default: the container's).")
@click.option("--mime-type", metavar="TYPE", help="MIME type (default: guessed from the name).")
@click.option(
    "--min-copies",
    type=click.IntRange(1),
    metavar="N",
    help="Minimum number of copies, or fragments, to store.",
)
@click.option(
    "--content-id",
    cls=Renamed,
    formerly="--id",  # as OpenIO's own client has it
    metavar="HEX",
    callback=content_id,
    help="ID of the new object (one file).",
)
@PROPERTIES
@choosing
@journaling
def put(
    site: Site,
    place: Place,
    files: list[str] | None,
    list_of_files: str | None,
    path: str | None,
    prefix: str,
    recursive: bool,
    choice: Choice,
    given: Given | None,
    flat: Flat | None,
    **wishes: Any,
) -> Report:
    """Upload files as objects.

    An object gets the name of the file or, with --recursive, the path of the file below the given
    directory. With --files-from it gets the path as listed, without a leading slash. - uploads
    standard input and requires --path. An existing object is refused without --overwrite, both
    before the upload and before the object is created. --overwrite in a container without
    versioning requires confirmation: the previous data are lost. If two uploads of the same name
    finish at the same time, both can succeed; the later one is kept.

    With --auto, each object is stored in the container that follows from its name, as by
    `openio object create --auto`. Use --autocreate to create the containers, as openio always does.

    --update skips files that have been uploaded: those of the same size and modification time,
    which --update stores with each object as the property x-object-meta-mtime. Objects without it
    are skipped if they have the same size and the file is not newer than the object. --checksum
    compares sizes and MD5s instead, and reads all files; an object without an MD5 is uploaded.
    What differs is replaced as with --overwrite. The objects are compared by a listing of the
    container.

    --include and --exclude select files by their path below the given directory. In GLOB, * and ?
    match within a path component, ** across components. A GLOB without a slash matches the last
    component at any depth, one with a slash the whole path; one that ends with a slash matches all
    below. A file is uploaded if it matches any --include (or none is given) and no --exclude.

    The MIME type is guessed from the suffix of the object's name, unless --mime-type is given.

    Chunks are sent to the rawx services in parallel and verified by checksum. A copy that fails or
    takes too long is skipped with a warning, as long as half of the copies (or --min-copies) are
    stored; of the fragments of an erasure-coded object, at least one more than are needed to read
    it. If an upload fails or is interrupted, its chunks are deleted. If the outcome of the final
    request is unknown (exit code 10), the chunks are kept and listed.

    Data of unknown size (standard input, a pipe, a file in /proc) are first stored in a temporary
    file ($TMPDIR, or /tmp), up to the container's quota and while at least 64 MiB are free
    there."""
    from rdctl.oio.objects.inputs import Naming
    from rdctl.oio.objects.upload import Wish
    from rdctl.oio.properties import CREATE, check_user

    if path is not None and prefix:
        raise RdctlError(Code.USAGE, "--path and --name-prefix are mutually exclusive")
    context = click.get_current_context()
    bulk = bulk_of(context)
    names: dict[str, str] = {}
    if list_of_files is not None:
        if files or path is not None or recursive:
            raise RdctlError(
                Code.USAGE, "--files-from cannot be used with FILE, --path or --recursive"
            )
        seconds = seconds_of(context)
        listed = bulk.names(context.obj, site.settings.context, seconds, list_of_files)
        files, names = _listed(bulk, listed, prefix)
    elif bulk.failed or bulk.ndjson:
        raise RdctlError(Code.USAGE, "--failed and --ndjson require --files-from")
    elif files is None:
        raise click.UsageError("Missing argument 'FILE...'.", context)
    check_user("content", CREATE, place, wishes["properties"])
    for name, properties in bulk.properties.items():
        check_user("content", CREATE, place._replace(path=name), properties)

    def transfer(journal: Journal | None) -> Report:
        return site.oio.uploads.put(
            place,
            files or [],
            Naming(names, path, prefix, choice.filters),
            recursive=recursive,
            wish=Wish(**wishes),
            choice=choice._replace(journal=journal),
            own=bulk.properties,
            stdin=context.obj.stdin,
            flat=flat,
        )

    named = {
        "action": "put",
        **_named(place, choice),
        "source": [file if file == "-" else os.path.abspath(file) for file in files],
        "path": path,
        "prefix": prefix,
        "recursive": recursive,
        **{key: wishes[key] for key in ("policy", "mime_type", "properties")},
        **({"flat": list(flat)} if flat else {}),
    }
    return site.oio.journaled(given, named, transfer)


def _named(place: Place, choice: Choice) -> dict[str, Any]:
    """What identifies a transfer besides its files."""
    return {
        "account": place.account,
        "container": place.container,
        "update": choice.update,
        "checksum": choice.checksum,
        "include": [glob.pattern for glob in choice.filters.include],
        "exclude": [glob.pattern for glob in choice.filters.exclude],
    }


def _listed(bulk: Bulk, given: list[str], prefix: str) -> tuple[list[str], dict[str, str]]:
    """The files of a list, and the object name of each."""
    words: dict[str, str] = {}
    for word in dict.fromkeys(given):
        inner = os.path.normpath(word).lstrip("/")
        if inner in ("", ".", "..") or inner.startswith("../") or "\0" in inner:
            message = f'invalid path "{escape(word)}": cannot be an object name'
            hint = "Use paths below the working directory, or absolute paths."
            raise bulk.located(RdctlError(Code.USAGE, message, hint=hint, target=word))
        name = prefix + inner
        if name in words:
            first = words[name]
            message = f'duplicate object name "{escape(name)}": {escape(first)} and {escape(word)}'
            raise bulk.located(RdctlError(Code.USAGE, message, target=first))
        words[name] = word
    bulk.call(words)
    # A file named "-", not standard input.
    paths = ["./-" if word == "-" else word for word in words.values()]
    return paths, dict(zip(paths, words, strict=True))


def _ranges(context: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[Bytes]:
    return [_range(value) for value in values]


def _range(value: str) -> Bytes:
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
            f'invalid --range "{defuse(value)}": must be FIRST-LAST, FIRST- or -COUNT',
            hint="Examples: 0-99 (first 100 bytes), 100- (from byte 100 on), -50 (last 50 bytes).",
        )
    return Bytes(first, last)


@verb(
    "get",
    fleet=False,
    examples=[
        "rdctl -c sandbox oio content get photos index.txt",
        "rdctl -c sandbox oio content get photos index.txt --to - --range 0-3",
        "rdctl -c sandbox oio content get photos index.txt --to - --range -4 --range 0-3",
        "rdctl -c sandbox oio content get photos sea/ --recursive --to holiday",
        "rdctl -c sandbox oio content get photos --recursive --update --to backup",
    ],
)
@target("content", several=True, whole=True, reads=True, flat=True)
@click.option(
    "--to",
    metavar="FILE|DIR|-",
    help="Destination (default: working directory); - writes to stdout.",
)
@click.option("--recursive", is_flag=True, help="Download all objects whose names begin with PATH.")
@click.option(
    "--range",
    "ranges",
    metavar="R",
    multiple=True,
    callback=_ranges,
    help="Byte range: 0-99, 100-, -50 (repeatable).",
)
@click.option("--continue", "resume", is_flag=True, help="Resume an interrupted download.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@choosing
@journaling
def get(
    site: Site,
    places: list[Place],
    to: str | None,
    recursive: bool,
    ranges: list[Bytes],
    resume: bool,
    overwrite: bool,
    choice: Choice,
    given: Given | None,
) -> Report | Data:
    """Download objects to files or standard output.

    Object names become paths below the destination directory. With --recursive, PATH is the start
    of names: `sea` also downloads seafood.txt, and `sea/` only what is below it, unlike `content
    delete --recursive`. The part of PATH up to its last slash is removed from the paths. Leading
    and repeated slashes are ignored, and an empty object whose name ends with a slash becomes a
    directory. A name that leads outside the directory, or to the same file as another name, is
    refused. A file gets the modification time that put --update stored, or that of the object.

    --update skips files of the same size and modification time; if the object has no stored time,
    those of the same size that are not older than the object. --checksum compares sizes and MD5s
    instead, and reads all files; an object without an MD5 is downloaded. What differs is replaced
    as with --overwrite, also files that are newer than the object. --include and --exclude select
    objects by their path below the destination directory, as in rdctl oio content put.

    A file appears under its name only when it is complete and its checksums are verified. An
    existing file is refused without --overwrite. An interrupted download is kept next to the file;
    --continue resumes it if the object has not changed, and skips complete files. Replicas and
    fragments that cannot be read or are wrong are skipped. Several ranges are written one after the
    other, in the given order. With --to - data are written as they
    arrive, so a wrong checksum of a large chunk may be reported only after its data (exit
    code 9)."""
    if choice.compares or given:
        options = "--update or --checksum" if choice.compares else "--journal"
        _refuse_no_file(to, ranges[0] if ranges else None, options)
    if given is None:
        return _get(site, places, to, recursive, ranges, resume, overwrite, choice)

    def transfer(journal: Journal | None) -> Report:
        chosen = choice._replace(journal=journal)
        return cast("Report", _get(site, places, to, recursive, ranges, resume, overwrite, chosen))

    named = {
        "action": "get",
        **_named(places[0], choice),
        "source": [place.words for place in places],
        "recursive": recursive,
        "folder": os.path.abspath(to or "."),
    }
    return site.oio.journaled(given, named, transfer)


def _get(
    site: Site,
    places: list[Place],
    to: str | None,
    recursive: bool,
    ranges: list[Bytes],
    resume: bool,
    overwrite: bool,
    choice: Choice,
) -> Report | Data:
    requested = ranges[0] if ranges else None
    downloads = site.oio.downloads
    if ranges[1:] and resume:
        raise RdctlError(Code.USAGE, "--continue cannot be used with several ranges")
    strip = ""
    if recursive:
        (place,) = _one(places)
        prefix = place.path or ""
        strip = prefix[: prefix.rfind("/") + 1]
        found = downloads.below(place.holder, prefix or None)
    elif any(place.path is None and place.content_id is None for place in places):
        raise click.UsageError("Missing argument 'PATH'.", click.get_current_context())
    else:
        found = downloads.named(places, choice)
    found = downloads.chosen(found, choice.filters, strip)
    if to == "-":
        if resume or overwrite:
            raise RdctlError(Code.USAGE, "--to - cannot be used with --continue or --overwrite")
        if ranges[1:]:
            return site.oio.several_ranges.read_each(found, ranges)
        return downloads.read(found, requested)
    where = _where(to, recursive or len(places) > 1, strip)._replace(home=site.config.home)
    if ranges[1:]:
        return site.oio.several_ranges.get_each(found, where, ranges, overwrite=overwrite)
    return downloads.get(found, where, requested, overwrite=overwrite, resume=resume, choice=choice)


def _refuse_no_file(to: str | None, requested: Bytes | None, options: str) -> None:
    """Refuse what leaves no file of a whole object, which these options require."""
    other = "--to -" if to == "-" else "--range" if requested is not None else None
    if other:
        raise RdctlError(Code.USAGE, f"{other} cannot be used with {options}")


def _one(places: list[Place]) -> list[Place]:
    if len(places) != 1 or places[0].content_id or places[0].version:
        raise RdctlError(Code.USAGE, "specify one PATH with --recursive, or none for all objects")
    return places


def _where(to: str | None, several: bool, strip: str) -> Where:
    """The destination file or directory."""
    from rdctl.oio.objects.files import Where

    path = "." if to is None else to
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError:
        directory = several or path.endswith("/")
        return Where(
            path=path.rstrip("/") or "/" if directory else path, directory=directory, strip=strip
        )
    if kind == stat.S_IFDIR:
        return Where(path=path.rstrip("/") or "/", directory=True, strip=strip)
    if several or path.endswith("/"):
        raise RdctlError(Code.CONFLICT, f"{escape(path)}: not a directory", target=path)
    return Where(path=path, directory=False, special=kind != stat.S_IFREG)
