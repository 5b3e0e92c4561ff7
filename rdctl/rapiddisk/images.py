"""Which files the contents of volumes come from, or were saved to, since the machine started.

A record below /run/rdctl, which a reboot clears with the volumes. An entry is valid for the volume
of that boot and that `diskseq` only: a volume that is created again is another one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, quoted
from rdctl.rapiddisk.backend import Backend
from rdctl.rapiddisk.names import is_volume

_RECORD = "images"


class ImageRecord(NamedTuple):
    """`image`: the file in which the contents persist, as apply set it. `files`: those that had the
    contents of the volume since it was last erased, which may be replaced by the present ones, each
    with its digest (empty: not verified). Not `whole`: loading was begun, and not completed."""

    image: str | None = None
    files: tuple[tuple[str, str], ...] = ()
    whole: bool = True

    def having(self, path: str, digest: str) -> ImageRecord:
        """The same, and that file has the contents now."""
        return self._replace(files=tuple((dict(self.files) | {path: digest}).items()))


class Images:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._entries: dict[str, dict[str, Any]] = {}
        with suppress(ValueError, AttributeError, TypeError):
            self._entries = dict(json.loads(backend.record(_RECORD) or ""))

    def of(self, volume: str) -> ImageRecord:
        """The record of this very volume."""
        with suppress(KeyError, TypeError, ValueError):
            entry = self._entries[volume]
            if entry["identity"] == self._identity(volume):
                files = tuple((str(path), str(digest)) for path, digest in entry["files"])
                return ImageRecord(entry["image"], files, entry["whole"])
        return ImageRecord()

    def named(self) -> set[str]:
        """The images of all volumes, by the records and by the state file of the machine."""
        from rdctl.rapiddisk.state.files import machine_state

        found = {self.of(volume).image for volume in self._entries}
        with suppress(RdctlError):
            state = machine_state(self._backend.host().place("/"))
            found |= {one.image for one in state.volumes}
        return {path for path in found if path is not None}

    def keep(
        self, volume: str, record: ImageRecord, *, required: bool = True, lasting: bool = False
    ) -> None:
        """An effect. Raises `failed` if it is `required`, else warns; a `lasting` one is not rolled
        back with its transaction."""
        if record == self.of(volume):
            return
        entry = record._asdict() | {"identity": self._identity(volume)}
        entries = {name: one for name, one in self._entries.items() if self._is_valid(name, one)}
        self._entries = entries | {volume: entry}
        text = json.dumps(self._entries) + "\n"
        what = f"record the image of {volume}"
        self._backend.keep_record(_RECORD, text, what, required=required, lasting=lasting)

    @contextmanager
    def erasing(self, volume: str) -> Iterator[None]:
        """What is erased comes from no file, and is whole. Recorded before, else a kill in between
        could leave an empty volume that may be saved over its image."""
        former = self.of(volume)
        self.keep(volume, former._replace(files=()), lasting=True)
        try:
            yield
        except RdctlError:  # nothing was erased
            self.keep(volume, former, required=False, lasting=True)
            raise
        self.keep(volume, self.of(volume)._replace(whole=True), required=False, lasting=True)

    def _is_valid(self, volume: str, entry: Any) -> bool:
        return isinstance(entry, dict) and entry.get("identity") == self._identity(volume)

    def _identity(self, volume: str) -> list[str | None]:
        return [self._backend.boot_id(), self._backend.diskseq(volume)]


def place_of_file(backend: Backend, path: str) -> str:
    """Where the FILE of a command is. On a simulated machine a file or an image of that machine is
    its own, so that the commands in messages work; all others are files of the operator."""
    host = backend.host()
    if not path.startswith("/") or host.place("/") == "/":
        return path
    place = host.place(path)
    return place if os.path.isfile(place) or path in Images(backend).named() else path


def is_in_image(backend: Backend, volume: str, path: str, record: ImageRecord) -> bool:
    """Whether the volume has what the image has, or may become the first to be saved there."""
    if not record.whole:
        return False
    try:
        check_place(backend, volume, path)
    except RdctlError:  # what its file system has is not known
        return path in dict(record.files)
    return not backend.host().has(path) or comes_from(backend, path, record)


def comes_from(backend: Backend, path: str, record: ImageRecord) -> bool:
    """Whether the image is a file that had the contents of the volume, and not one that replaced
    it: by the digest beside it, since it may take long to read."""
    from rdctl.effects.images import digests_beside

    if (recorded := dict(record.files).get(path)) is None:
        return False
    try:
        return recorded in (digests_beside(backend.host().place(path)) or [""])
    except PermissionError:  # only for root, who saves and loads
        return True
    except (OSError, ValueError):
        return False


def check_place(backend: Backend, volume: str, path: str) -> None:
    """Raise unless the file system that has the image is mounted, and survives a reboot."""
    host = backend.host()
    real = host.real(path)
    mount = host.mount(real)
    for line in backend.surroundings().fstab:
        place = host.real(line.directory).rstrip("/")
        if real.startswith(f"{place}/") and len(place) > len(mount.place.rstrip("/")):
            raise RdctlError(
                Code.CONFLICT,
                f"{volume}: {escape(place)}, which has its image, is not mounted",
                hint=f"Mount it: mount {quoted(place)}",
                target=volume,
            )
    if mount.kind in ("tmpfs", "ramfs") or is_volume(mount.device or ""):
        raise RdctlError(
            Code.CONFLICT,
            f"{volume}: its image {escape(path)} is in RAM: a reboot loses it",
            hint=f"Use a file on a disk, not below {escape(mount.place)}.",
            target=volume,
        )


def check_whole(volume: str, record: ImageRecord) -> None:
    """Raise when the volume has only a part of its contents."""
    if not record.whole:
        raise RdctlError(
            Code.CONFLICT,
            f"{volume} is incomplete: loading was interrupted",
            hint=f"Load it again: rdctl rapiddisk load FILE {volume}; or erase it: rdctl rapiddisk"
            f" flush {volume}",
            target=volume,
        )


def check_saving(backend: Backend, volume: str, path: str, record: ImageRecord) -> None:
    """Raise unless the contents of the volume may replace the image."""
    check_place(backend, volume, path)
    check_whole(volume, record)
    if backend.host().has(path) and not comes_from(backend, path, record):
        raise unrelated(volume, path)


@contextmanager
def about(volume: str, what: str) -> Iterator[None]:
    """Name the volume in an error about its image."""
    try:
        yield
    except RdctlError as error:
        message = f"{volume} was not {what}: "
        error.message = message + error.message.removeprefix(message)
        error.target = volume
        raise


def unrelated(volume: str, path: str) -> RdctlError:
    """The error for an image that the contents of the volume did not come from."""
    return RdctlError(
        Code.CONFLICT,
        f"{volume} and its image {escape(path)} differ: the volume was not loaded from it",
        hint=f"To use the file, load it: rdctl rapiddisk load {quoted(path)} {volume}\n"
        f"To use the volume, save it: rdctl rapiddisk save {volume} {quoted(path)} --overwrite",
        target=volume,
    )
