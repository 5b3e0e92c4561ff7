"""Objects."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Unpack, cast, overload

from rdctl.api.call import Changing, Noun, calling, each, log, words
from rdctl.api.checking import within
from rdctl.api.errors import NotFoundError
from rdctl.api.models import Content, Entry, Located, Outcome
from rdctl.api.properties import pairs
from rdctl.api.streams import BUFFER, ObjectReader, ObjectWriter, source
from rdctl.core.errors import Code, RdctlError

if TYPE_CHECKING:
    from typing import Literal

    from rdctl.core.results import Listing, Report
    from rdctl.oio.model import Place
    from rdctl.sites import Site

Rows = list  # in a class, `list` is its method
Data = bytes | bytearray | memoryview | BinaryIO
FilePath = str | os.PathLike[str]


class Storing(Changing, total=False):
    """How an object is stored. `overwrite` replaces an existing one; without versioning it is then
    lost, which requires consent. `autocreate` creates the container."""

    overwrite: bool
    autocreate: bool
    policy: str | None
    mime_type: str | None
    min_copies: int | None
    properties: Mapping[str, str]


class Contents(Noun):
    """Objects of containers, which OpenIO calls contents."""

    # --- looking ------------------------------------------------------------------------------

    def list(self, container: str, **filters: Any) -> Rows[Entry]:
        """The objects of a container, sorted by name; filters as of `iterate`."""
        return list(self.iterate(container, **filters))

    def iterate(
        self,
        container: str,
        *,
        prefix: str | None = None,
        delimiter: str | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        limit: int | None = None,
        deleted: bool = False,
        all_versions: bool = False,
        properties: bool = False,
    ) -> Iterator[Entry]:
        """The same, as they come, however many they are. With a `delimiter`, names are grouped up
        to it; names after `marker` and before `end_marker`; with delete markers, all versions, or
        user properties."""
        filters = {
            "prefix": prefix,
            "delimiter": delimiter,
            "marker": marker,
            "end_marker": end_marker,
            "deleted": deleted,
            "all": all_versions,
            "properties": properties,
        }
        within("limit", limit, 1)
        if delimiter is not None and len(delimiter.encode()) != 1:
            raise ValueError("delimiter must be a single byte")
        what = words(
            "oio content list",
            container,
            limit=limit,
            all_versions=all_versions,
            **{key: value for key, value in filters.items() if key != "all"},
        )

        def act(site: Site) -> Listing:
            site.oio.about(site.oio.places([container]))
            return site.oio.containers.entries(site.oio.place(container), filters, limit)

        return each(self._setup, what, act)

    def show(self, container: str, path: str, *, version: int | None = None) -> Content:
        """An object with its properties and chunks."""

        def act(site: Site) -> Listing:
            place = _place(site, container, path, version)
            site.oio.about([place])
            return site.oio.contents.show([place], False)

        what = words("oio content show", container, path, content_version=version)
        return self._one(what, act, Content)

    def exists(self, container: str, path: str) -> bool:
        """Whether there is an object of this name."""
        try:
            self.show(container, path)
        except NotFoundError:
            return False
        return True

    def locate(self, container: str, path: str) -> Rows[Located]:
        """The chunks of an object, and the services that hold them."""
        return self._list(
            words("oio content locate", container, path),
            lambda site: site.oio.contents.locate(site.oio.place(container, path=path), False),
            Located,
        )

    # --- reading ------------------------------------------------------------------------------

    def get(
        self,
        container: str,
        path: str,
        *,
        start: int = 0,
        end: int | None = None,
        version: int | None = None,
    ) -> bytes:
        """The bytes of an object, from `start` up to `end`, as of a slice. A whole object is
        verified by its checksums, a part as far as they cover it."""
        if (start, end) == (0, None):
            what = words("oio content get", container, path, content_version=version)
            with calling(self._setup, what, {}) as call:
                site = call.site()
                return _read(site, _place(site, container, path, version), None)
        content = self.show(container, path, version=version)
        first, last, _ = slice(start, end).indices(content.size or 0)
        return self._part(container, content, first, last) if first < last else b""

    def _part(self, container: str, content: Content, first: int, end: int) -> bytes:
        """A part of an object that was looked up."""
        quiet = self._setup._replace(warn=log.debug)  # that a part cannot be verified
        what = words("oio content get", container, content.path, range=f"{first}-{end - 1}")
        with calling(quiet, what, {}) as call:
            from rdctl.oio.objects.layout import Bytes

            site = call.site()
            place = site.oio.place(container, None, content.path, content.content_id)
            return _read(site, place, Bytes(first, end - 1))

    def get_file(
        self,
        container: str,
        path: str,
        file: FilePath,
        *,
        overwrite: bool = False,
        resume: bool = False,
        version: int | None = None,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Download an object into a file, which appears when it is complete and verified. `resume`
        continues an interrupted download."""

        def act(site: Site) -> Report:
            from rdctl.oio.objects.download import Below
            from rdctl.oio.objects.files import Where

            name = os.fspath(file)
            if os.path.isdir(name):
                raise RdctlError(Code.CONFLICT, f"{name}: is a directory", target=name)
            special = os.path.exists(name) and not os.path.isfile(name)
            where = Where(name, directory=False, special=special, home=site.config.home)
            below = Below([_place(site, container, path, version)], {})
            return site.oio.downloads.get(below, where, None, overwrite=overwrite, resume=resume)

        what = words(
            "oio content get",
            container,
            path,
            to=os.fspath(file),
            overwrite=overwrite,
            content_version=version,
            **{"continue": resume},
        )
        return self._change(what, act, options)

    @overload
    def open(
        self,
        container: str,
        path: str,
        mode: Literal["rb"] = "rb",
        *,
        version: int | None = None,
        buffer_size: int = BUFFER,
    ) -> io.BufferedReader: ...

    @overload
    def open(
        self,
        container: str,
        path: str,
        mode: Literal["wb", "xb", "ab"],
        **options: Unpack[Storing],
    ) -> ObjectWriter: ...

    def open(
        self,
        container: str,
        path: str,
        mode: str = "rb",
        *,
        version: int | None = None,
        buffer_size: int = BUFFER,
        **given: Unpack[Storing],
    ) -> io.BufferedReader | ObjectWriter:
        """An object as a binary file. "rb" can seek. "wb" replaces an object, "xb" refuses an
        existing one, "ab" appends to it; the object is there after `close`, and only if the body of
        `with` does not fail. A loss is refused when opening."""
        if mode == "rb":
            return self._reader(container, path, version, buffer_size)
        return self._writer(container, path, mode, given)

    def _reader(
        self, container: str, path: str, version: int | None = None, buffer_size: int = BUFFER
    ) -> io.BufferedReader:
        content = self.show(container, path, version=version)
        reader = ObjectReader(content, partial(self._part, container, content))
        return io.BufferedReader(reader, buffer_size)

    def _writer(self, container: str, path: str, mode: str, options: Storing) -> ObjectWriter:
        if mode not in ("wb", "xb", "ab"):
            raise ValueError(f"mode {mode!r} is not rb, wb, xb or ab")
        if mode == "ab" and self.exists(container, path):
            return ObjectWriter(path, partial(self._append, container, path, options))
        options["overwrite"] = mode == "wb"
        agreed = self._agreed(container, path, options)
        return ObjectWriter(
            path, partial(self._put, container, path, cast("Storing", {**options, **agreed}))
        )

    def _agreed(self, container: str, path: str, options: Storing) -> Changing:
        """The consent to what is lost when the object is replaced, asked for before it is written;
        that to anything else is not given."""
        preview = self._put(container, path, {**options, "dry_run": True}, io.BytesIO())
        losses = set(preview.losses)
        if losses:
            what = words("oio content put", container, path=path, overwrite=True)
            with calling(self._setup, what, _changing(options)) as call:
                call.ask(preview.losses)
        return {"yes": False, "consent": losses.issuperset}

    # --- writing ------------------------------------------------------------------------------

    def put(self, container: str, path: str, data: Data, **options: Unpack[Storing]) -> Outcome:
        """Upload bytes, or what a binary file has from its position on, as an object."""
        return self._put(container, path, options, source(data))

    def put_file(
        self, container: str, file: FilePath, path: str | None = None, **options: Unpack[Storing]
    ) -> Outcome:
        """Upload a file as an object, by default under its name."""
        name = os.fspath(file)
        return self._put(container, path or os.path.basename(name), options, None, name)

    def _put(
        self,
        container: str,
        path: str,
        options: Storing,
        data: Any = None,
        file: str = "-",
    ) -> Outcome:
        wishes: dict[str, Any] = {key: options[key] for key in _WISHES if key in options}  # type: ignore[literal-required]
        properties = dict(wishes.pop("properties", {}))

        def act(site: Site) -> Report:
            from rdctl.oio.objects.inputs import Naming
            from rdctl.oio.objects.upload import Wish
            from rdctl.oio.properties import CREATE, check_user

            holder = site.oio.place(container)
            check_user("content", CREATE, holder._replace(path=path), properties)
            given = file if data is not None or file != "-" else "./-"
            return site.oio.uploads.put(
                holder,
                [given],
                Naming({}, path, ""),
                recursive=False,
                wish=Wish(**wishes, properties=properties),
                own={},
                stdin=data,
            )

        what = words(
            "oio content put", container, file, path=path, property=pairs(properties), **wishes
        )
        return self._change(what, act, _changing(options))

    def append(self, container: str, path: str, data: Data, **options: Unpack[Storing]) -> Outcome:
        """Append bytes, or a binary file, to an object that exists."""
        return self._append(container, path, options, source(data))

    def _append(self, container: str, path: str, options: Storing, data: Any) -> Outcome:
        copies = options.get("min_copies")
        return self._change(
            words("oio content append", container, path, "-", min_copies=copies),
            lambda site: site.oio.appends.append(
                site.oio.place(container, path=path), "-", copies, data
            ),
            _changing(options),
        )

    # --- changing -----------------------------------------------------------------------------

    def delete(
        self,
        container: str,
        *paths: str,
        version: int | None = None,
        prefix: str | None = None,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Delete objects: these, one version of one, or all whose names begin with `prefix`. In a
        container with versioning, a delete marker is added and `undelete` removes it."""
        if bool(paths) == bool(prefix) or (version is not None and len(paths) != 1):
            raise TypeError("give either paths or a prefix, and a version only with one path")

        def act(site: Site) -> Report:
            if prefix:
                from rdctl.oio.sync.deleting import Selection

                return site.oio.deletions.selected(site.oio.place(container), Selection(prefix))
            places = [_place(site, container, path, version) for path in paths]
            site.oio.about(places)
            return site.oio.contents.delete(places)

        what = words(
            "oio content delete", container, *paths, content_version=version, prefix=prefix
        )
        return self._change(what, act, options)

    def undelete(self, container: str, *paths: str, **options: Unpack[Changing]) -> Outcome:
        """Restore deleted objects of a container with versioning."""

        def act(site: Site) -> Report:
            return site.oio.contents.undelete([_place(site, container, path) for path in paths])

        return self._change(words("oio content undelete", container, *paths), act, options)

    def link(
        self,
        container: str,
        path: str,
        target: str | None = None,
        *,
        to_container: str | None = None,
        overwrite: bool = False,
        autocreate: bool = False,
        properties: Mapping[str, str] | None = None,
        version: int | None = None,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Copy an object on the servers, without copying its data (oio-proxy 4.0 or later). Either
        can be deleted or replaced without a change of the other."""
        if target is None and to_container is None:
            raise TypeError("give a target, or to_container")

        def act(site: Site) -> Report:
            from rdctl.oio.objects.linking import Link
            from rdctl.oio.properties import CREATE, check_user

            new = site.oio.place(to_container or container, path=target or path)
            check_user("content", CREATE, new, properties or {})
            link = Link(overwrite, autocreate, properties, None)
            return site.oio.links.link(_place(site, container, path, version), new, link)

        what = words(
            "oio content link",
            container,
            path,
            *([target] if target else []),
            to_container=to_container,
            overwrite=overwrite,
            autocreate=autocreate,
            property=pairs(properties),
            content_version=version,
        )
        return self._change(what, act, options)

    def truncate(
        self, container: str, path: str, size: int, **options: Unpack[Changing]
    ) -> Outcome:
        """Cut an object to `size` bytes, which must be between two of its chunks."""
        return self._change(
            words("oio content truncate", container, path, size=f"{size}B"),
            lambda site: site.oio.contents.truncate(site.oio.place(container, path=path), size),
            options,
        )

    def get_properties(self, container: str, path: str) -> dict[str, str]:
        """The properties that users have set on an object."""
        return self.show(container, path).properties or {}

    def set_properties(
        self,
        container: str,
        path: str,
        properties: Mapping[str, str],
        *,
        replace_all: bool = False,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Set properties of an object; others are kept unless `replace_all`."""
        what = words(
            "oio content set-properties",
            container,
            path,
            *pairs(properties),
            replace_all=replace_all,
        )
        return self._change(
            what,
            lambda site: site.oio.properties.set(
                "content", _place(site, container, path), properties, {}, replace_all, {}
            ),
            options,
        )

    def del_properties(
        self,
        container: str,
        path: str,
        *keys: str,
        all: bool = False,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Delete properties of an object: these, or `all`."""
        if bool(keys) == all:
            raise TypeError("give either keys or all=True")
        return self._change(
            words("oio content del-properties", container, path, *keys, all=all),
            lambda site: site.oio.properties.delete(
                "content", _place(site, container, path), None if all else keys, {}
            ),
            options,
        )


_WISHES = ("overwrite", "autocreate", "policy", "mime_type", "min_copies", "properties")


def _changing(options: Storing) -> Changing:
    chosen = {key: value for key, value in options.items() if key in Changing.__annotations__}
    return cast("Changing", chosen)


def _place(site: Site, container: str, path: str, version: int | None = None) -> Place:
    of = None if version is None else str(version)
    return site.oio.place(container, path=path, version=of)


def _read(site: Site, place: Place, part: Any) -> bytes:
    from rdctl.oio.objects.download import Below

    blocks = site.oio.downloads.read(Below([place], {}), part).blocks
    with closing(iter(blocks)) as received:  # type: ignore[type-var]
        return b"".join(received)
