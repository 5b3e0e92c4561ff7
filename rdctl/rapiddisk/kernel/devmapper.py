"""Device-mapper by its raw ioctls: `struct dm_ioctl`, then targets, a name list or a message.

Reasons of a refusal are only in the kernel's log. Everything raises OSError.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from rdctl.core.units import quoted
from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import Syscalls, ioctl
from rdctl.rapiddisk.kernel.sysfs import Sysfs

# version[3], data_size, data_start, target_count, open_count, flags, event_nr, padding, dev,
# name[128], uuid[129], data[7]
_HEADER = struct.Struct("=3I I I I i I I I Q 128s 129s 7s")
# sector_start, length, status, next, target_type[16]
_TARGET = struct.Struct("=Q Q i I 16s")
# dev, next; then the name
_NAME = struct.Struct("=Q I")
_FIRST = 0xC138FD00
_LIST, _CREATE, _REMOVE, _RESUME, _LOAD, _STATUS, _MESSAGE = 2, 3, 4, 6, 9, 12, 14
_BUFFER_FULL = 1 << 8
# The arguments of the targets instead of their status.
_TABLE = 1 << 4
# For udev, in the high half of event_nr: the event comes from who made the device, so its rules
# make /dev/mapper/NAME and keep it at later events.
_PRIMARY_SOURCE = 0x0040 << 16
_ANSWER = 16 << 10

# What a message to a write-back cache does.
_MESSAGES = {
    "flush": "write back {}",
    "flush_on_suspend": "set {} to be written back when it is removed",
}


class MappingStatus(NamedTuple):
    """The one target of a mapping: its type and the text of its status."""

    kind: str
    text: str


class DeviceMapper:
    def __init__(self, sysfs: Sysfs, calls: Syscalls, effects: Effects) -> None:
        self._control = sysfs.path("dev/mapper/control")
        self._calls = calls
        self._effects = effects

    # --- looking ------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """All mappings, including those that have no table yet, which sysfs does not show."""
        return list(_names(self._ask(_LIST, "", "dmsetup ls")))

    def status(self, name: str) -> MappingStatus | None:
        """None while the mapping has no table."""
        return self._target(self._ask(_STATUS, name, f"dmsetup status {name}"))

    def table(self, name: str) -> MappingStatus | None:
        """As `status`, with the arguments of the target."""
        return self._target(self._ask(_STATUS, name, f"dmsetup table {name}", _TABLE))

    def kind(self, name: str) -> str | None:
        """The type of the mapping's target; None where it cannot be read."""
        if not self._calls.privileged:
            return None
        with suppress(OSError):
            status = self.status(name)
            return status.kind if status else None
        return None

    @staticmethod
    def _target(data: bytes) -> MappingStatus | None:
        if not data:
            return None
        *_, kind = _TARGET.unpack_from(data)
        text = data[_TARGET.size :].split(b"\0", 1)[0]
        return MappingStatus(_word(kind), text.decode("utf-8", "replace"))

    def _ask(self, command: int, name: str, line: str, flags: int = 0) -> bytes:
        """The answer, in a buffer that is made larger until it holds all of it."""
        room = _ANSWER
        while True:
            buffer = _request(name, bytes(room), flags=flags)
            self._effects.look(self._effect(command, buffer, line, f"# {line}"))
            fields = _HEADER.unpack_from(buffer)
            size, start, count, answer = fields[3], fields[4], fields[5], fields[7]
            if not answer & _BUFFER_FULL:
                if command == _STATUS and not count:
                    return b""
                return bytes(buffer[start:size])
            room *= 2

    # --- changing -----------------------------------------------------------------------------

    def create(self, name: str) -> None:
        """An empty device, which a failed transaction removes again."""
        effect = self._effect(_CREATE, _request(name), f"create {name}")
        self._effects.do(
            effect._replace(line=f"dmsetup create {name} --notable"), None, [self.removal(name)]
        )

    def load(
        self,
        name: str,
        sectors: int,
        kind: str,
        arguments: str,
        destroys: str | None,
        then: Effect[None] | None,
    ) -> None:
        """Load the table of one target, which is not in use before `resume`. `then` runs when the
        mapping has to be removed again."""
        text = arguments.encode() + b"\0"
        text += bytes(-len(text) % 8)
        target = _TARGET.pack(0, sectors, 0, _TARGET.size + len(text), kind.encode()) + text
        table = f"0 {sectors} {kind} {arguments}"
        effect = self._effect(
            _LOAD,
            _request(name, target, targets=1),
            f"load the table of {name}",
            f"dmsetup load {name} --table {quoted(table)}",
        )
        undo = [self.removal(name)] if then is None else [then, self.removal(name)]
        self._effects.do(effect._replace(destroys=destroys), None, undo)

    def resume(self, name: str) -> None:
        """Put the loaded table into use."""
        request = _request(name, event=_PRIMARY_SOURCE)
        line = f"dmsetup resume {name}"
        self._effects.do(self._effect(_RESUME, request, f"resume {name}", line), None)

    def message(self, name: str, text: str) -> None:
        """Send a message to sector 0; returns when it has been processed."""
        message = struct.pack("=Q", 0) + text.encode() + b"\0"
        effect = self._effect(
            _MESSAGE,
            _request(name, message),
            _MESSAGES[text].format(name),
            f"dmsetup message {name} 0 {text}",
        )
        self._effects.do(effect, None)

    def removal(self, name: str, destroys: str | None = None) -> Effect[None]:
        """EBUSY while it is open."""
        request = _request(name, event=_PRIMARY_SOURCE)
        effect = self._effect(_REMOVE, request, f"remove cache {name}", f"dmsetup remove {name}")
        return effect._replace(destroys=destroys)

    def _effect(
        self, command: int, request: bytearray, what: str, line: str | None = None
    ) -> Effect[None]:
        return ioctl(
            self._calls, self._control, _FIRST + command, request, what=what, line=line or what
        )


def _request(
    name: str, data: bytes = b"", *, targets: int = 0, event: int = 0, flags: int = 0
) -> bytearray:
    encoded = name.encode()
    if len(encoded) > 127:
        raise OSError(errno.ENAMETOOLONG, "the name is longer than 127 bytes", name)
    size = _HEADER.size + len(data)
    fields = (4, 0, 0, size, _HEADER.size, targets, 0, flags, event, 0, 0, encoded, b"", b"")
    return bytearray(_HEADER.pack(*fields) + data)


def _names(data: bytes) -> Iterator[str]:
    offset = 0
    while len(data) - offset > _NAME.size:
        device, following = _NAME.unpack_from(data, offset)
        if not device:
            return  # the list is empty
        yield _word(data[offset + _NAME.size :])
        if not following:
            return
        offset += following


def _word(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")
