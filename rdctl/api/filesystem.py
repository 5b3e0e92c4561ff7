"""`oio://CONTAINER/PATH` for fsspec, and so for pandas, pyarrow and dask."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from fsspec.utils import isfilelike, stringify_path

from rdctl.api.call import log
from rdctl.api.connection import connect
from rdctl.api.errors import ConsentError, DeniedError, Error, NotFoundError, UnreachableError
from rdctl.api.models import Container, Content, Entry
from rdctl.api.streams import ObjectWriter


class OioFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The containers of an account of OpenIO SDS, and their objects.

    `context`, `account`, `namespace` and `oio_url` say which, as of `rdctl.connect`; `timeout`,
    `retries` and `parallel` are as there. To write to a name or to delete it is to consent to what
    is lost; with `yes=False` that is refused with PermissionError. Names are literal: nothing in
    them is decoded. Directories are the parts of names up to a slash; `mkdir` creates containers.

    Listings are not cached. Nothing here is asynchronous, and any thread can use it.
    """

    protocol = "oio"
    async_impl = False

    def __init__(
        self,
        context: str | None = None,
        account: str | None = None,
        namespace: str | None = None,
        oio_url: str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        parallel: int | None = None,
        yes: bool = True,
        **options: Any,
    ) -> None:
        options.pop("asynchronous", None)
        super().__init__(asynchronous=False, **options)
        with _as_settings():
            self.site = connect(
                context,
                account=account,
                namespace=namespace,
                oio=oio_url,
                timeout=timeout,
                retries=retries,
                parallel=parallel,
                yes=yes,
            )
        self._containers = self.site.oio.containers
        self._contents = self.site.oio.contents

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        stripped = super()._strip_protocol(path)
        return stripped if isinstance(stripped, list) else stripped.lstrip("/")

    # --- looking ------------------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        path = self._strip_protocol(path)
        with _as_os_error(path):
            found = list(self._listed(path))
            if "/" in path and not found:
                one = self.info(path)
                found = [one] if one["type"] == "file" else []
        return found if detail else sorted(one["name"] for one in found)

    def _listed(self, path: str) -> Iterator[dict[str, Any]]:
        """What is in a directory."""
        container, name = _parted(path)
        if not container:
            for one in self._containers.iterate():
                yield _directory(one.name)
            return
        prefix = f"{name}/" if name else ""
        for entry in self._contents.iterate(container, prefix=prefix or None, delimiter="/"):
            if entry.name != prefix:  # an object that marks the directory itself
                yield _of_entry(container, entry)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        container, name = _parted(path)
        if not container:
            return _directory("")
        with _as_os_error(path):
            if not name:
                return _of_container(self._containers.show(container))
            try:
                return _file(self._contents.show(container, name))
            except NotFoundError:
                if self._contents.list(container, prefix=f"{name}/", limit=1):
                    return _directory(path)
                raise

    # Those of fsspec take any error, such as of a server that is down, for "no".

    def exists(self, path: str, **options: Any) -> bool:
        return self._kind(path) is not None

    def isfile(self, path: str) -> bool:
        return self._kind(path) == "file"

    def isdir(self, path: str) -> bool:
        return self._kind(path) == "directory"

    def _kind(self, path: str) -> str | None:
        try:
            kind: str = self.info(path)["type"]
        except FileNotFoundError:
            return None
        return kind

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **options: Any,
    ) -> Any:
        path = self._strip_protocol(path)
        container, name = _parted(path)
        if not container or withdirs or maxdepth is not None:
            return super().find(path, maxdepth, withdirs, detail, **options)
        found: dict[str, dict[str, Any]] = {}
        prefix = f"{name}/" if name else None
        try:
            for entry in self._contents.iterate(container, prefix=prefix):
                if entry.name != prefix:
                    one = _of_entry(container, entry)
                    found[one["name"]] = one
            if name and not found:
                one = _file(self._contents.show(container, name))
                found[one["name"]] = one
        except NotFoundError:
            pass  # as every file system of fsspec
        except Error as error:
            raise _os_error(error, path) from error
        return found if detail else sorted(found)

    def created(self, path: str) -> datetime | None:
        """When an object or a container was created."""
        when: datetime | None = self.info(path).get("created")
        return when

    def modified(self, path: str) -> datetime | None:
        """When an object was modified; when it was created, if that is not reported."""
        when: datetime | None = self.info(path).get("modified")
        return when

    def checksum(self, path: str) -> int:
        """A number that changes with the contents: the MD5, if it is known."""
        digest = self.info(path).get("hash")
        return int(digest, 16) if digest else int(super().checksum(path))

    def ukey(self, path: str) -> str:
        """A text that changes whenever the object is written."""
        info = self.info(path)
        return f"{info.get('content_id')}-{info.get('version')}"

    # --- reading ------------------------------------------------------------------------------

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **options: Any
    ) -> bytes:
        container, name = self._object(path)
        with _as_os_error(path):
            return self._contents.get(container, name, start=start or 0, end=end)

    def get_file(self, rpath: str, lpath: Any, *words: Any, **options: Any) -> None:
        if isfilelike(lpath) or options.get("outfile") is not None or self.isdir(rpath):
            super().get_file(rpath, lpath, *words, **options)
            return
        container, name = self._object(rpath)
        local = LocalFileSystem(auto_mkdir=True)
        local.makedirs(local._parent(lpath), exist_ok=True)
        with _as_os_error(rpath):
            self._contents.get_file(container, name, stringify_path(lpath), overwrite=True)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        container, name = self._object(path)
        with _as_os_error(path):
            if mode == "rb":
                content = self._contents.show(container, name)
                size = "default" if block_size is None else block_size
                return OioFile(self, path, content, size, cache_options, options)
            writer = self._contents._writer(container, name, mode, {})
            return OioWriter(path, writer, mode, autocommit)

    # --- writing ------------------------------------------------------------------------------

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        container, name = self._object(path)
        with _as_os_error(path):
            self._contents.put(container, name, value, overwrite=mode != "create")

    def put_file(
        self, lpath: Any, rpath: str, callback: Any = None, mode: str = "overwrite", **options: Any
    ) -> None:
        local = stringify_path(lpath)
        if os.path.isdir(local):
            self.makedirs(rpath, exist_ok=True)
            return
        container, name = self._object(rpath)
        with _as_os_error(rpath):
            self._contents.put_file(container, local, name, overwrite=mode != "create")

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        if self.isdir(path1):
            return  # only names have directories
        container, name = self._object(path1)
        to_container, target = self._object(path2)
        with _as_os_error(path1):
            try:
                self._contents.link(
                    container, name, target, to_container=to_container, overwrite=True
                )
            except Error as error:
                if error.code != "unsupported":
                    raise
                # The servers are too old for that.
                with self._contents._reader(container, name) as read:
                    self._contents.put(to_container, target, read, overwrite=True)

    def rm_file(self, path: str) -> None:
        container, name = self._object(path)
        with _as_os_error(path):
            self._contents.delete(container, name)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        for root in self.expand_path(path):
            if not recursive:
                self.rm_file(root)
            elif maxdepth is not None:
                for one in self.find(root, maxdepth=maxdepth):
                    self.rm_file(one)
            else:
                self._rm_all(root)

    def _rm_all(self, root: str) -> None:
        """A container with its objects, or an object and all below its name."""
        container, name = _parted(root)
        if not container:
            raise PermissionError(errno.EPERM, "containers are only deleted by name", root)
        with _as_os_error(root):
            if not name:
                self._containers.destroy(container, flush=True)
                return
            is_file = self.info(root)["type"] == "file"
            if self._contents.list(container, prefix=f"{name}/", limit=1):
                self._contents.delete(container, prefix=f"{name}/")
            if is_file:
                self._contents.delete(container, name)

    def mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:
        container, name = _parted(self._strip_protocol(path))
        with _as_os_error(path):
            exists = self._containers.exists(container)
            if not name and exists:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            if name and not exists and not create_parents:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), container)
            if not exists:
                self._containers.create(container)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        container, name = _parted(self._strip_protocol(path))
        with _as_os_error(path):
            if self._containers.create(container).changed or exist_ok or name:
                return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def rmdir(self, path: str) -> None:
        container, name = _parted(self._strip_protocol(path))
        if not name:
            with _as_os_error(path):
                self._containers.destroy(container)

    def _object(self, path: Any) -> tuple[str, str]:
        """The container and the name of an object."""
        path = self._strip_protocol(path)
        container, name = _parted(path)
        if not name:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return container, name


class OioFile(AbstractBufferedFile):  # type: ignore[misc]
    """An object that is read in ranges, as it was when opened."""

    def __init__(
        self,
        fs: OioFileSystem,
        path: str,
        content: Content,
        block_size: int | str,
        cache_options: dict[str, Any] | None,
        options: dict[str, Any],
    ) -> None:
        self._content = content
        options.pop("size", None)  # of a pickled one, when it was opened
        super().__init__(
            fs, path, "rb", block_size, cache_options=cache_options, size=content.size, **options
        )
        self.details = _file(content)

    def _fetch_range(self, start: int, end: int) -> bytes:
        end = min(end, self.size)
        if start >= end:
            return b""
        with _as_os_error(self.path):
            container = _parted(self.path)[0]
            data: bytes = self.fs._contents._part(container, self._content, start, end)
            return data


class OioWriter(io.BufferedIOBase):
    """An object that is written, and there after `close`, or after the end of its transaction.

    If it is closed while an exception is handled that was not when it was opened, it is discarded:
    what closes it at the end of a `with` does not always pass the exception on.
    """

    def __init__(self, path: str, writer: ObjectWriter, mode: str, autocommit: bool) -> None:
        super().__init__()
        self.path = path
        self.mode = mode
        self.autocommit = autocommit
        self._writer = writer
        self._before = sys.exception()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._writer.tell()

    def write(self, data: Any) -> int:
        with _as_os_error(self.path):
            return self._writer.write(data)

    def close(self) -> None:
        if self.closed:
            return
        failure = sys.exception()
        if failure is not None and failure is not self._before:
            log.warning("%s: not written, because of %s", self.path, type(failure).__name__)
            self.discard()
        elif self.autocommit:
            self.commit()
        super().close()

    def commit(self) -> None:
        """Upload it."""
        with _as_os_error(self.path):
            self._writer.close()

    def discard(self) -> None:
        """Upload nothing."""
        self._writer.discard()

    def __exit__(self, kind: object, *failure: object) -> None:
        if kind is not None:
            self.discard()
        self.close()

    def __del__(self) -> None:
        """What was never closed is discarded by its writer, with a warning."""


# --- what is shown ----------------------------------------------------------------------------


def _parted(path: str) -> tuple[str, str]:
    """The container and the name."""
    container, _, name = path.partition("/")
    return container, name


def _directory(path: str) -> dict[str, Any]:
    return {"name": path, "size": 0, "type": "directory"}


def _of_container(container: Container) -> dict[str, Any]:
    return {**_directory(container.container), "created": _date(container.created)}


def _of_entry(container: str, entry: Entry) -> dict[str, Any]:
    if entry.kind == "prefix":
        return _directory(f"{container}/{entry.name}".rstrip("/"))
    return _about(f"{container}/{entry.name}", entry)


def _file(content: Content) -> dict[str, Any]:
    return _about(f"{content.container}/{content.path}", content)


def _about(path: str, one: Entry | Content) -> dict[str, Any]:
    modified = _date(one.modified or one.created)
    return {
        "name": path,
        "size": one.size,
        "type": "file",
        "created": _date(one.created),
        "modified": modified,
        "mtime": modified.timestamp() if modified else None,
        "hash": one.hash,
        "content_id": one.content_id,
        "version": one.version,
        "mime_type": one.mime_type,
        "policy": one.policy,
    }


def _date(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


# --- errors -----------------------------------------------------------------------------------


@contextmanager
def _as_os_error(path: Any) -> Iterator[None]:
    """Raise errors of rdctl as those of Python's files."""
    try:
        yield
    except Error as error:
        raise _os_error(error, str(path)) from error


@contextmanager
def _as_settings() -> Iterator[None]:
    """Raise that a context does not exist as ValueError: no file is missing."""
    try:
        with _as_os_error(""):
            yield
    except FileNotFoundError as missing:
        raise ValueError(missing.strerror) from missing.__cause__


def _os_error(error: Error, path: str) -> Exception:
    if error.code in ("usage", "config"):
        return ValueError(str(error))
    kind: type[OSError]
    if isinstance(error, NotFoundError):
        kind, number = FileNotFoundError, errno.ENOENT
    elif isinstance(error, ConsentError | DeniedError):
        kind, number = PermissionError, errno.EPERM
    elif error.code == "exists":
        kind, number = FileExistsError, errno.EEXIST
    elif error.code == "timeout":
        kind, number = TimeoutError, errno.ETIMEDOUT
    elif isinstance(error, UnreachableError):
        kind, number = ConnectionError, errno.EHOSTUNREACH
    else:
        kind, number = OSError, errno.ENOTEMPTY if error.code == "not-empty" else errno.EIO
    return kind(number, str(error), path)
