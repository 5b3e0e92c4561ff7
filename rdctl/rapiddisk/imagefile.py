"""Image files: which of them can be loaded, and what is wrong with the others."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import MIB, escape, human_size, operand, quoted
from rdctl.effects.blocks import PIECE, runs
from rdctl.effects.files import Destination
from rdctl.effects.images import SUFFIX, digests_beside
from rdctl.effects.places import refuse_planted

_SECTOR = 512
_PAGE = 4096
_NAME_MAX = 255  # bytes, in any file system of Linux
# Bytes of a name that its part has too.
_STEM = 200
_FAULTS = {
    errno.ENOENT: Code.NOT_FOUND,
    errno.EEXIST: Code.EXISTS,
    errno.EINVAL: Code.CONFLICT,  # not a regular file
    errno.EISDIR: Code.CONFLICT,
    errno.ENOTDIR: Code.CONFLICT,
    errno.ELOOP: Code.CONFLICT,
    errno.EACCES: Code.DENIED,
    errno.EPERM: Code.DENIED,
    errno.EROFS: Code.DENIED,
    errno.EAGAIN: Code.IN_USE,
}


class ImageFile(NamedTuple):
    """An image that was checked. `path` is where it is, `name` its path for people; `used`: the
    memory that its contents take. `verified`: a digest beside it proves it. `stream` gives the
    contents of one that is on another machine, in pieces of PIECE bytes."""

    path: str
    name: str
    size: int
    used: int
    digest: str
    verified: bool
    stream: Callable[[], Iterator[bytes]] | None = None

    @property
    def recorded(self) -> tuple[tuple[str, str], ...]:
        """Which files have these contents, in the records of this machine: a path of another one
        would be taken for a file that is here."""
        if self.stream is not None:
            return ()
        return ((os.path.abspath(self.name), self.digest if self.verified else ""),)


class TooLarge(RdctlError):
    """The error for an image that does not fit into the volume, with its `size`."""


def checked(
    path: str, name: str, room: int, volume: str, begin: Callable[[int], Callable[[int], None]]
) -> ImageFile:
    """Read an image once. Raises RdctlError if it is none, is damaged, or does not fit into so many
    bytes of the volume. `begin` takes its size, and returns what takes the progress."""
    try:
        with _opened(path) as file:
            path, name = followed(path, name)
            size = os.fstat(file.fileno()).st_size
            _guard_size(name, size, room, volume)
            known, step = digests_beside(path), begin(size)
            digest, used = hashlib.sha256(), 0
            for piece in _pieces(file, size):
                digest.update(piece)
                used += sum(-(-(end - start) // _PAGE) * _PAGE for start, end in runs(piece))
                step(len(piece))
    except ValueError as error:
        raise RdctlError(
            Code.CONFLICT,
            f"{escape(name)}{SUFFIX}: {error}",
            hint=f"If the image is intact, write its digest again: {_renewed(name)}",
            target=name,
        ) from error
    except OSError as error:
        raise fault(error, name) from error
    found = digest.hexdigest()
    if known is not None and found not in known:
        raise RdctlError(
            Code.CONFLICT,
            f"{escape(name)}: its SHA-256 is {found}, but {escape(name)}{SUFFIX} has {known[0]}",
            hint="The image is damaged, or was changed after it was saved. If it was changed on"
            f" purpose, write its digest again: {_renewed(name)}",
            target=name,
        )
    return ImageFile(
        path=path, name=name, size=size, used=used, digest=found, verified=known is not None
    )


def _guard_size(name: str, size: int, room: int, volume: str) -> None:
    """Raise if an image of this size does not fit into so many bytes of a volume."""
    if size > room:
        shown, most = human_size(size), human_size(room)
        if shown == most:
            shown, most = f"{size} bytes", f"{room} bytes"
        raise TooLarge(
            Code.CONFLICT,
            f"{escape(name)} ({shown}) is larger than {volume} ({most})",
            hint=f"Resize the volume first: rdctl rapiddisk resize {volume} {-(-size // MIB)}M",
            target=volume,
            size=size,
        )
    if not size:
        raise RdctlError(
            Code.CONFLICT,
            f"{escape(name)} is empty: not the image of a disk",
            target=name,
        )
    if size % _SECTOR:
        raise RdctlError(
            Code.CONFLICT,
            f"{escape(name)}: not the image of a disk: its size, {size} bytes, is not a multiple"
            f" of {_SECTOR}",
            target=name,
        )


def image_pieces(image: ImageFile) -> Iterator[bytes]:
    """The contents of an image, in pieces of PIECE bytes. Raises RdctlError."""
    if image.stream is not None:
        yield from image.stream()
        return
    try:
        with _opened(image.path) as file:
            yield from _pieces(file, image.size)
    except OSError as error:
        raise fault(error, image.name) from error


def changed(image: ImageFile) -> RdctlError:
    return RdctlError(
        Code.CONFLICT, f"{escape(image.name)} was changed while it was loaded", target=image.name
    )


def _opened(path: str) -> IO[bytes]:
    """A regular file, reached without links of other users. Raises OSError."""
    refuse_planted(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    file = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - its user closes it
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        file.close()
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return file


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    for offset in range(0, size, PIECE):
        count = min(PIECE, size - offset)
        piece = os.pread(file.fileno(), count, offset)
        if len(piece) != count:
            raise OSError(errno.EIO, "it became smaller meanwhile")
        yield piece


def _renewed(path: str) -> str:
    """The command that writes the digest of an image again, as `sha256sum -c` takes it."""
    directory, _, name = path.rpartition("/")
    inside = f"cd {quoted(directory or '/')} && " if "/" in path else ""
    return f"{inside}sha256sum {quoted(name)} > {quoted(name + SUFFIX)}"


# --- where an image goes --------------------------------------------------------------------------


def target_of(path: str, shown: str, *, replace: bool) -> Destination:
    """Where an image is written; `shown` is its path for people. Raises RdctlError if it cannot
    be."""
    try:
        if replace:
            refuse_planted(path)
            path, shown = followed(path, shown)
        kind = stat.S_IFMT(os.lstat(path).st_mode)
    except FileNotFoundError:
        kind = 0
    except OSError as error:
        raise fault(error, shown) from error
    root, _, name = path.rpartition("/")
    root = root or ("/" if path.startswith("/") else ".")
    if kind == stat.S_IFDIR or name in ("", ".", ".."):
        raise fault(IsADirectoryError(errno.EISDIR, ""), shown)
    if len(os.fsencode(name + SUFFIX)) > _NAME_MAX:
        raise fault(OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)), shown)
    if kind not in (0, stat.S_IFREG, stat.S_IFLNK):
        raise fault(OSError(errno.EINVAL, "not a regular file"), shown)
    if kind and not replace:
        raise fault(FileExistsError(errno.EEXIST, ""), shown)
    _guard_digests(path, f"{shown}{SUFFIX}", replace=replace)
    stem = os.fsdecode(os.fsencode(name)[:_STEM])
    return Destination(root, (), name, f".{stem}.image.part")


def followed(path: str, name: str) -> tuple[str, str]:
    """The path and the name for people of an image; those of the file that it links to, if any."""
    if not os.path.islink(path):
        return path, name
    real = os.path.realpath(path)
    return real, real


def _guard_digests(path: str, shown: str, *, replace: bool) -> None:
    """Raise if the file of the digest is another one, whose contents would be lost."""
    if not os.path.lexists(f"{path}{SUFFIX}"):
        return
    try:
        digests_beside(path, renamed=replace)  # its own may be left of a save that was killed
    except ValueError as error:
        if not replace:
            raise fault(FileExistsError(errno.EEXIST, ""), shown) from error
        raise RdctlError(
            Code.CONFLICT,
            f"{escape(shown)}: {error}",
            hint=f"It would be replaced. If it is not needed, remove it: rm {operand(shown)}",
            target=shown,
        ) from error
    except OSError as error:
        raise fault(error, shown) from error


def guard_directory(target: Destination) -> None:
    """Raise if it would have to be created: it may be on a disk that is not mounted."""
    if not os.path.isdir(target.root):
        raise RdctlError(
            Code.NOT_FOUND,
            f"directory {escape(target.root)} not found",
            hint="If it is on a disk that is not mounted, mount it first."
            f" To create it: mkdir -p {operand(target.root)}",
            target=target.root,
        )


def fault(error: OSError, path: str) -> RdctlError:
    """What is wrong with a file, in words."""
    code = _FAULTS.get(error.errno or 0, Code.FAILED)
    reason, hint = error.strerror or str(error), None
    if code is Code.EXISTS:
        reason, hint = "already exists", "Use --overwrite to replace it."
    elif code is Code.IN_USE:
        reason = "another process is saving to it"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        hint = "Nothing was changed. A former image is kept until the new one is complete."
    elif error.errno == errno.EISDIR:
        reason = "is a directory"
    return RdctlError(code, f"{escape(path)}: {reason}", hint=hint, target=path)
