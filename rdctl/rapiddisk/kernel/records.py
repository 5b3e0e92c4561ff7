"""The source for which a write-back cache was created: its superblock does not name it.

One file per volume in /run/rdctl, which a reboot clears with the volumes. It is valid for the
volume of that boot and that `diskseq` only: a volume that is created again is another one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from rdctl.effects.syscalls import remove_file, replace_file
from rdctl.rapiddisk.kernel.means import Part
from rdctl.rapiddisk.model import Device

DIRECTORY = "run/rdctl"


class Record(NamedTuple):
    """`boot` and `diskseq` are the volume's; `source` is a stable path where there is one, and the
    rest tells whether a device is still that source. `sent`: when `flush_on_suspend` was, as an ISO
    time."""

    boot: str
    diskseq: str
    cache: str
    source: str
    stable: bool
    number: str | None
    source_diskseq: str | None
    size: int
    sent: str | None


class Records(Part):
    def of(self, volume: str) -> Record | None:
        """The record of this very volume."""
        text = self._sysfs.text(self._path(volume))
        if text is None:
            return None
        import json

        with suppress(ValueError, TypeError):
            record = Record(**json.loads(text))
            if (record.boot, record.diskseq) == self._identity(volume):
                return record
        return None

    def keep(self, volume: str, cache: str, source: Device, sent: str | None) -> None:
        """Raises OSError."""
        boot, diskseq = self._identity(volume)
        stable = self._known.stable_name(source.number) if source.number else None
        record = Record(
            boot=boot or "",
            diskseq=diskseq or "",
            cache=cache,
            source=stable or f"/dev/{source.kernel}",
            stable=stable is not None,
            number=source.number,
            source_diskseq=self._diskseq(source.kernel),
            size=self._sysfs.size(source.kernel) or 0,
            sent=sent,
        )
        self._write(volume, record)

    def _write(self, volume: str, record: Record) -> None:
        import json

        path = self._sysfs.path(self._path(volume))
        text = json.dumps(record._asdict()) + "\n"
        what = f"record the source of {record.cache}"
        writing = replace_file(self._calls, path, text, what=what)
        former = self._sysfs.text(self._path(volume))
        undo = remove_file(self._calls, path)
        if former is not None:
            undo = replace_file(self._calls, path, f"{former}\n", what=what)
        self._effects.do(writing._replace(step=True), None, [undo])

    def forget(self, volume: str) -> None:
        """Raises OSError."""
        if self._sysfs.exists(self._path(volume)):
            path = self._sysfs.path(self._path(volume))
            self._effects.do(remove_file(self._calls, path)._replace(step=True), None)

    def matches(self, record: Record, source: Device) -> bool:
        """Whether the device is the source in the record: by its stable name, else as long as it
        was not detached and attached again."""
        if self._sysfs.size(source.kernel) != record.size:
            return False
        if record.stable:
            leads = self._known.at(record.source) == source.kernel
            return leads and not self._is_elsewhere(record, source)
        attached = self._diskseq(source.kernel)
        return attached is not None and (source.number, attached) == (
            record.number,
            record.source_diskseq,
        )

    def _is_elsewhere(self, record: Record, source: Device) -> bool:
        """Whether the source is still attached as another device: its name was moved."""
        there = self._sysfs.numbered(record.number or "")
        if there is None or there == source.kernel:
            return False
        return record.source_diskseq is not None and self._diskseq(there) == record.source_diskseq

    def _identity(self, volume: str) -> tuple[str | None, str | None]:
        return self._sysfs.text("proc/sys/kernel/random/boot_id"), self._diskseq(volume)

    def _diskseq(self, kernel: str) -> str | None:
        whole = self._sysfs.whole(kernel) or kernel
        return self._sysfs.text(f"sys/class/block/{whole}/diskseq")

    def _path(self, volume: str) -> str:
        return f"{DIRECTORY}/{volume}.json"
