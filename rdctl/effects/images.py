"""Raw images of volumes, each with its SHA-256 beside it.

A process may be killed at any moment: FILE is then the old image or the new one, and FILE.sha256
has its digest. So FILE.sha256 gets the new digest first, with those that were valid before as
comments; FILE is replaced, and FILE.sha256 is written again, without them.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

from rdctl.core.units import raw_bytes
from rdctl.effects.blocks import PIECE
from rdctl.effects.door import Effect
from rdctl.effects.files import Destination, Part, directory_of, open_part, rename_part
from rdctl.effects.places import Location
from rdctl.effects.signals import signals_held
from rdctl.effects.syscalls import Syscalls, quoted_path

_MODE = 0o600
SUFFIX = ".sha256"
_MOST_DIGESTS = 1 << 20  # bytes
_DIGEST = re.compile(rb"^(?:# )?(\\?)([0-9a-fA-F]{64}) [ *](.*)$", re.MULTILINE)
_ESCAPED = re.compile(rb"\\([\\nr])")
_PLAIN = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}


def digests_in(text: bytes, name: str, *, renamed: bool = True) -> list[str]:
    """The digests of the file of this name in the text of its FILE.sha256, that of the present
    image first. If it may have been `renamed`, a single line counts whatever it names."""
    lines = _DIGEST.findall(text)
    own = raw_bytes(name)
    return [
        digest.decode().lower()
        for mark, digest, named in lines
        if (renamed and len(lines) == 1) or _named(mark, named) == own
    ]


def _named(mark: bytes, name: bytes) -> bytes:
    """The name in a line, without its directory."""
    if mark:
        name = _ESCAPED.sub(lambda found: _PLAIN[found[1]], name)
    return name.rpartition(b"/")[2]


def digests_beside(path: str, *, renamed: bool = True) -> list[str] | None:
    """The digests beside an image; None if it has none. Raises OSError, ValueError if FILE.sha256
    has none of it."""
    try:
        descriptor = os.open(f"{path}{SUFFIX}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        text, name = file.read(_MOST_DIGESTS), os.path.basename(path)
        if digests := digests_in(text, name, renamed=renamed):
            return digests
    raise ValueError("contains no SHA-256 of the image")


class Made(NamedTuple):
    """`stored`: the bytes that the image takes on disk."""

    digest: str
    stored: int


class NewImage:
    """An image on its way to its place: first it is `written` beside it, then `placed`. At the end
    of the context, the part of one that was not placed is removed.

    `check` is called while an old image is read, and may raise. Without `replace` an existing file
    raises FileExistsError. What is new below `home` belongs to its owner.
    """

    def __init__(
        self,
        calls: Syscalls,
        target: Destination,
        *,
        replace: bool,
        check: Callable[[], None],
        home: str | None = None,
    ) -> None:
        self._calls = calls
        self._target = target
        self._replace = replace
        self._check = check
        self._home = home
        self._place: Location | None = None
        self._part: int | None = None
        self._digest = ""
        self._former: Sequence[str] = ()

    def __enter__(self) -> NewImage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with signals_held():
            if self._place is None:
                return
            if self._part is not None:
                with suppress(OSError):
                    os.unlink(self._target.part, dir_fd=self._place.directory)
                os.close(self._part)
            self._place.close()

    def written(
        self, fill: Callable[[Part], str], *, of: str, what: str, through: str = ""
    ) -> Effect[None]:
        """Write the contents of a device; `fill` returns their digest. If it is on another machine,
        the command `through` leads there."""
        part = self._target._replace(name=self._target.part).path
        source, place = quoted_path(self._calls, of), quoted_path(self._calls, part)
        line = f"dd if={source} of={place} bs=1M conv=sparse,fsync"
        if through:
            line = f"{through} dd if={source} bs=1M | dd of={place} bs=1M iflag=fullblock"
            line += " conv=sparse,fsync"

        def perform() -> None:
            self._place = directory_of(self._target, self._home)
            self._former = self._valid()
            self._part = open_part(self._place, self._target.part, _MODE)
            os.fchmod(self._part, _MODE)
            os.ftruncate(self._part, 0)
            self._digest = fill(Part(self._part))
            os.fsync(self._part)

        return Effect(what, line, perform, step=True)

    def placed(self, *, what: str) -> Effect[Made]:
        """Give it its name, and its digest."""
        path = self._target.path
        part = self._target._replace(name=self._target.part).path
        line = f"mv {quoted_path(self._calls, part)} {quoted_path(self._calls, path)}"
        line += f"  # and write {quoted_path(self._calls, f'{path}{SUFFIX}')}"

        def perform() -> Made:
            if self._place is None or self._part is None:
                raise RuntimeError("nothing was written")
            self._publish(self._place)
            stored = os.fstat(self._part).st_blocks * 512
            os.close(self._part)
            self._part = None
            for written in (path, f"{path}{SUFFIX}"):
                self._calls.kept(written)
            return Made(self._digest, stored)

        return Effect(what, line, perform, brief=True)

    def _publish(self, place: Location) -> None:
        former = self._text(place)
        try:
            self._write_digests(place, self._former)
            rename_part(place, self._target, self._replace)
        except BaseException:
            with suppress(OSError):
                self._restore_digests(place, former)
            raise
        _settle(place)
        with suppress(OSError):  # the digest is there, and the former ones do no harm
            self._write_digests(place, ())

    def _write_digests(self, place: Location, former: Sequence[str]) -> None:
        line = b"%b  %b\n"
        name = raw_bytes(self._target.name)
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
        mark = b"" if escaped == name else b"\\"
        text = mark + line % (self._digest.encode(), escaped)
        text += b"".join(b"# " + mark + line % (old.encode(), escaped) for old in former)
        place.name = f"{self._target.name}{SUFFIX}"
        place.replace(text, _MODE)
        _settle(place)

    def _restore_digests(self, place: Location, former: bytes | None) -> None:
        place.name = f"{self._target.name}{SUFFIX}"
        if former is None:
            os.unlink(place.name, dir_fd=place.directory)
        else:
            place.replace(former, _MODE)
        _settle(place)

    # --- the old image ------------------------------------------------------------------------

    def _valid(self) -> list[str]:
        """The digests with which the old image can be loaded. One without any gets its own."""
        try:
            return digests_beside(self._target.path) or self._computed()
        except ValueError:
            return self._computed()

    def _computed(self) -> list[str]:
        try:
            descriptor = os.open(self._target.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        digest = hashlib.sha256()
        with open(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return []  # a link to a device: nothing that could be loaded
            while piece := file.read(PIECE):
                self._check()
                digest.update(piece)
        return [digest.hexdigest()]

    def _text(self, place: Location) -> bytes | None:
        """Of FILE.sha256, to restore it."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(f"{self._target.name}{SUFFIX}", flags, dir_fd=place.directory)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as file:
            return file.read(_MOST_DIGESTS)


def _settle(place: Location) -> None:
    """Have the disk take the names in a directory."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(".", flags, dir_fd=place.directory)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
