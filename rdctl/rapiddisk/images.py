"""Which files the contents of volumes come from, or were saved to, since the machine started.

A record below /run/rdctl, which a reboot clears with the volumes. An entry is valid for the volume
of that boot and that `diskseq` only: a volume that is created again is another one.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, NamedTuple

from rdctl.rapiddisk.backend import Backend

_RECORD = "images"


class ImageRecord(NamedTuple):
    """`image`: the file in which the contents last, as apply set it. `files`: those that had the
    contents of the volume at some time, which may be replaced by the present ones. Not `whole`:
    loading was begun, and not completed."""

    image: str | None = None
    files: tuple[str, ...] = ()
    whole: bool = True


class Images:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._entries: dict[str, dict[str, Any]] = {}
        with suppress(ValueError, AttributeError, TypeError):
            self._entries = dict(json.loads(backend.record(_RECORD) or ""))

    def of(self, volume: str) -> ImageRecord:
        """The record of this very volume."""
        with suppress(KeyError, TypeError):
            entry = self._entries[volume]
            if entry["identity"] == self._identity(volume):
                return ImageRecord(entry["image"], tuple(entry["files"]), entry["whole"])
        return ImageRecord()

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

    def complete(self, volume: str) -> None:
        """An effect, unless the volume is whole already."""
        self.keep(volume, self.of(volume)._replace(whole=True), required=False)

    def _is_valid(self, volume: str, entry: Any) -> bool:
        return isinstance(entry, dict) and entry.get("identity") == self._identity(volume)

    def _identity(self, volume: str) -> list[str | None]:
        return [self._backend.boot_id(), self._backend.diskseq(volume)]
