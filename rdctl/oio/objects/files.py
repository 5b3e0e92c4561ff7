"""Local files that become objects, or that objects become: their names, their faults."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import IO, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, raw_bytes
from rdctl.effects.files import Destination
from rdctl.oio.model import Place
from rdctl.oio.sync.model import Local

_PART = ".part"
_NAME_MAX = 255  # bytes, in any file system of Linux
# Bytes of a name that its part has too: with the rest it must not be longer than a name may be.
_STEM = 200
_IDENTITY = 16  # digits
_A_PART = re.compile(rf"\..+\.[0-9a-f]{{{_IDENTITY}}}{re.escape(_PART)}", re.DOTALL)
_ALONE = "Use --to FILE to download a single object under any name."
_FILE_FAULTS = {
    errno.ENOENT: Code.NOT_FOUND,
    errno.EEXIST: Code.EXISTS,
    errno.EISDIR: Code.CONFLICT,
    errno.ENOTDIR: Code.CONFLICT,
    errno.EACCES: Code.DENIED,
    errno.EPERM: Code.DENIED,
    errno.EROFS: Code.DENIED,
    errno.ELOOP: Code.CONFLICT,
    errno.EAGAIN: Code.IN_USE,
}


class Where(NamedTuple):
    """Where objects go: into the file `path`, or below the directory `path`, by their names without
    `strip`. `special`: it is a device or a pipe. `home` is the home directory: what is new below it
    belongs to its owner."""

    path: str
    directory: bool
    special: bool = False
    strip: str = ""
    home: str | None = None


# --- what an object becomes -----------------------------------------------------------------------


def identity_of(*words: object) -> str:
    """A hash that identifies an object, its version and the range of bytes."""
    return hashlib.md5(repr(words).encode(), usedforsecurity=False).hexdigest()[:_IDENTITY]


def target_of(where: Where, name: str, identity: str = "") -> Destination:
    """The file that an object becomes, its part only with the `identity`; `usage` for a name that
    would lead elsewhere."""
    if not where.directory:
        root, _, last = where.path.rpartition("/")
        root = root or ("/" if where.path.startswith("/") else ".")
        return Destination(root, (), last, _part_of(last, identity))
    parts = parts_of(where, name)
    if not parts:
        raise RdctlError(Code.CONFLICT, f"{escape(name)}: not a file name", hint=_ALONE)
    *directories, last = parts
    return Destination(where.path, tuple(directories), last, _part_of(last, identity))


# One name is split for several purposes in turn.
@lru_cache(maxsize=1)
def parts_of(where: Where, name: str) -> tuple[str, ...]:
    """The path of an object below the directory. Empty parts (`//`, a leading `/`) are ignored, as
    in any path; what would lead elsewhere is `usage`."""
    relative = _relative(where, name)
    parts = tuple(filter(None, relative.split("/")))
    if "\0" in relative or "." in parts or ".." in parts:
        kind = "a NUL byte" if "\0" in relative else f'the component "{_elsewhere(parts)}"'
        raise RdctlError(
            Code.USAGE,
            f"{escape(name)}: invalid file path: it contains {kind}",
            hint=_ALONE,
            target=name,
        )
    return parts


def _relative(where: Where, name: str) -> str:
    relative = name.removeprefix(where.strip)
    if relative.isascii():
        return relative
    return os.fsdecode(raw_bytes(relative))  # it may hold half a surrogate pair, which is no byte


def _elsewhere(parts: Sequence[str]) -> str:
    return next(part for part in parts if part in (".", ".."))


def is_marker(where: Where, name: str) -> bool:
    """Whether the name means a directory, if the object is empty."""
    return where.directory and name.endswith("/")


class Files:
    """Which objects of a command become which files below the directory."""

    def __init__(self, where: Where, places: Sequence[Place]) -> None:
        self._where = where
        self._files: dict[tuple[str, ...], Place] = {}
        self._directories: set[tuple[str, ...]] = set()
        if not where.directory:
            return
        for place in places:
            try:
                self._add(place, place.path or "")
            except RdctlError:  # reported when it is processed
                continue

    def _add(self, place: Place, name: str) -> None:
        parts = parts_of(self._where, name)
        if len(parts) > 1:
            self._directories.update(parts[:count] for count in range(1, len(parts)))
        if name.endswith("/") or not parts:
            return
        # The object with exactly this path takes precedence over those that only map to it.
        if "/".join(parts) == _relative(self._where, name):
            self._files[parts] = place
        else:
            self._files.setdefault(parts, place)

    def guard(self, place: Place, name: str) -> None:
        """Raise if another object maps to the same file, or to a directory at its path."""
        if not self._where.directory:
            return
        parts = parts_of(self._where, name)
        other = self._files.setdefault(parts, place)
        reason = None
        if other != place:
            reason = f'object "{other.shown}" has the same path'
        elif parts in self._directories:
            empty = "it is not empty, and " if name.endswith("/") else ""
            reason = f"{empty}other objects are below it"
        if reason:
            raise RdctlError(
                Code.CONFLICT, f"{escape(name)}: skipped: {reason}", hint=_ALONE, target=name
            )


def _part_of(name: str, identity: str) -> str:
    if not identity:
        return ""
    stem = os.fsdecode(raw_bytes(name)[:_STEM])
    return f".{stem}.{identity}{_PART}"


def is_part(name: str) -> bool:
    """Whether a file is what a download has begun, of which another attempt may continue."""
    return _A_PART.fullmatch(name.rpartition("/")[2]) is not None


def refuse_taken(target: Destination, *, replaced: bool) -> None:
    """Raise if the file cannot be created."""
    if any(len(os.fsencode(name)) > _NAME_MAX for name in (*target.directories, target.name)):
        error = OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        raise file_fault(error, target.path)
    try:
        status = os.lstat(target.path)
    except OSError:
        return  # if it cannot be created, creating it reports why
    if stat.S_ISDIR(status.st_mode):
        message = f"{escape(target.path)}: is a directory"
        raise RdctlError(Code.CONFLICT, message)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        message = f"{escape(target.path)}: not a regular file"
        raise RdctlError(
            Code.CONFLICT,
            message,
            hint="Use --to FILE with a single object to write to a device or pipe.",
        )
    if not replaced:
        raise RdctlError(
            Code.EXISTS,
            f"{escape(target.path)}: already exists",
            hint="Use --overwrite to replace it, or --continue to resume an interrupted download.",
        )


def others_begun(target: Destination) -> bool:
    """Whether partial data of another download to the same file exists next to it."""
    stem = target.part[: -_IDENTITY - len(_PART)]
    directory = os.path.dirname(target.path) or "."
    with suppress(OSError):
        return any(
            name != target.part and name.startswith(stem) and name.endswith(_PART)
            for name in os.listdir(directory)
        )
    return False


# --- what is there --------------------------------------------------------------------------------


def is_regular(file: str | IO[bytes]) -> bool:
    """Whether a path leads to a regular file, or an open file is one."""
    try:
        return stat.S_ISREG(os.stat(file if isinstance(file, str) else file.fileno()).st_mode)
    except (OSError, ValueError):
        return False  # not a file of the operating system


def file_at(path: str, name: str) -> Local | None:
    """The regular file at a path, if any; the link itself, if it is one, is no file."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Local(name, path, status.st_size, status.st_mtime_ns)


def open_regular(path: str) -> IO[bytes]:
    """A regular file, open for reading. Raises OSError."""
    directory, name = os.path.split(path)
    return open_below(directory or ".", name)


def open_below(directory: str, path: str) -> IO[bytes]:
    """A regular file below a directory, open for reading; no link is followed on the way there, as
    one could have been put in its place since the directory was listed. Raises OSError."""
    *inner, last = path.split("/")
    at = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in inner:
        try:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
        finally:
            os.close(at)
        at = below
    try:
        # The other end of a pipe may never be opened.
        descriptor = os.open(last, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)
    file = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - its user closes it
    if not is_regular(file):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def files_below(
    directory: str, warn: Callable[[str], None]
) -> tuple[list[Local], dict[str, RdctlError]]:
    """The regular files below a directory, sorted by their paths in it, and the directories that
    cannot be read. A warning names everything else; symbolic links are not followed."""
    pending = [""]
    found: list[Local] = []
    unread: dict[str, RdctlError] = {}
    while pending:
        inner = pending.pop()
        above = inner and f"{inner}/"
        try:
            with os.scandir(os.path.join(directory, inner)) as entries:
                for entry in entries:
                    name = above + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name)
                    elif not entry.is_file(follow_symlinks=False):
                        kind = "symbolic link" if entry.is_symlink() else "special file"
                        warn(f"{os.path.join(directory, name)}: skipped: {kind}")
                    else:
                        with suppress(FileNotFoundError):  # deleted since it was listed
                            status = entry.stat(follow_symlinks=False)
                            size, time = status.st_size, status.st_mtime_ns
                            found.append(Local(name, entry.path, size, time))
        except OSError as error:
            unread[inner] = file_fault(error, os.path.join(directory, inner))
    return sorted(found, key=lambda local: os.fsencode(local.name)), unread


def file_fault(error: OSError, path: str) -> RdctlError:
    code = _FILE_FAULTS.get(error.errno or 0, Code.FAILED)
    reason, hint = error.strerror or str(error), None
    if code is Code.IN_USE:
        reason = "another process is downloading it"
    elif error.errno in (errno.ELOOP, errno.ENOTDIR):
        reason = "a component of the path is not a directory (symbolic links are not followed)"
    elif code is Code.EXISTS:
        reason, hint = "already exists", "Use --overwrite to replace it."
    return RdctlError(code, f"{escape(path)}: {reason}", hint=hint)
