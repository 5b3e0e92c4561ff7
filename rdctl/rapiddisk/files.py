"""The files that a command names: of this machine, or of the one on which it was typed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import quoted
from rdctl.rapiddisk.imagefile import ImageFile, checked, guard_directory, target_of
from rdctl.rapiddisk.images import place_of_file

if TYPE_CHECKING:
    from rdctl.effects.door import Effects
    from rdctl.effects.files import Destination
    from rdctl.effects.images import Made
    from rdctl.effects.syscalls import Syscalls
    from rdctl.rapiddisk.backend import Backend


class Writer(Protocol):
    """Takes the contents of an image; what is left out is zero."""

    def write(self, data: bytes | memoryview, at: int) -> None: ...

    def cut(self, size: int) -> None: ...


class Copy(NamedTuple):
    """The contents of a volume on their way into an image. `fill` writes them and returns their
    digest; `check` is called meanwhile, and may raise. `node` is the device, which the command
    `through` reaches if it is not on this machine."""

    volume: str
    node: str
    fill: Callable[[Writer], str]
    check: Callable[[], None]
    through: str = ""


class ImageTarget(Protocol):
    """Where an image goes."""

    @property
    def name(self) -> str:
        """Its path for people."""

    @property
    def recorded(self) -> str | None:
        """Its path in the records of this machine; None if it is not on this machine."""

    def take(self, copy: Copy, effects: Effects, calls: Syscalls) -> Made:
        """Raises OSError about the file."""


class Files(Protocol):
    """The files of one command, each named as it was typed."""

    def target(self, volume: str, path: str, *, replace: bool, home: str | None) -> ImageTarget:
        """The file for the contents of a volume. Raises RdctlError if it cannot be written."""

    def image(
        self, path: str, room: int, volume: str, begin: Callable[[int], Callable[[int], None]]
    ) -> ImageFile:
        """An image, which is read once (see imagefile.checked)."""


class Away(Files, Protocol):
    """Those of the machine on which the command was typed, if it is another one."""

    def texts(self, path: str) -> list[tuple[str, str]]:
        """The files of a state by name (see state.files)."""


class FileTarget(NamedTuple):
    """A file at a place of this machine; `name` is its path for people. Without `replace` it must
    not exist; what is new below `home` belongs to its owner."""

    place: str
    name: str
    replace: bool
    home: str | None = None

    @property
    def recorded(self) -> str | None:
        return os.path.abspath(self.name)

    def checked(self) -> Destination:
        """Raises RdctlError if it cannot be written."""
        return target_of(self.place, self.name, replace=self.replace)

    def take(self, copy: Copy, effects: Effects, calls: Syscalls) -> Made:
        from rdctl.effects.images import Made, NewImage

        target = self.checked()
        what = f"save {copy.volume} to {calls.shown(target.path)}"
        if effects.dry_run and os.path.exists(target.path):
            what += ", which is replaced"
        with NewImage(
            calls, target, replace=self.replace, check=copy.check, home=self.home
        ) as image:
            written = image.written(copy.fill, of=copy.node, through=copy.through, what=what)
            effects.do(written, None)
            return effects.do(image.placed(what=what), Made("", 0))


def guard_target(volume: str, target: FileTarget) -> None:
    """Raise if a file cannot be written, or if its directory is missing; a simulated machine
    creates it."""
    try:
        destination = target.checked()
    except RdctlError as error:
        if error.code is Code.EXISTS:
            words = f"{quoted(volume)} {quoted(target.name)} --overwrite"
            error.hint = f"To replace it: rdctl rapiddisk save {words}"
        raise
    if target.place == target.name:
        guard_directory(destination)


def out_of_time(what: str) -> RdctlError:
    """The error when the time limit of the command ends what only reads, or writes a new image."""
    hint = "Use a longer --timeout. Nothing was changed."
    return RdctlError(Code.TIMEOUT, f"{what} timed out", hint=hint)


class FilesHere:
    """Those of this machine, be it a simulated one."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def target(self, volume: str, path: str, *, replace: bool, home: str | None) -> ImageTarget:
        target = FileTarget(place_of_file(self._backend, path), path, replace, home)
        guard_target(volume, target)
        return target

    def image(
        self, path: str, room: int, volume: str, begin: Callable[[int], Callable[[int], None]]
    ) -> ImageFile:
        return checked(place_of_file(self._backend, path), path, room, volume, begin)
