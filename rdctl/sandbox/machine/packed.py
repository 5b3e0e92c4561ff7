"""Large files, most of which are zeros, in few bytes: their size, then each piece that is not zero
after its offset and its size, compressed as a whole."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

_PIECE = 64 << 10
_SIZE = struct.Struct("<Q")
_HEAD = struct.Struct("<QI")


def pack(file: BinaryIO) -> bytes:
    packing = zlib.compressobj(level=1)
    parts, size = [], file.seek(0, 2)
    parts.append(packing.compress(_SIZE.pack(size)))
    file.seek(0)
    for offset in range(0, size, _PIECE):
        piece = file.read(_PIECE)
        if piece != bytes(len(piece)):
            parts.append(packing.compress(_HEAD.pack(offset, len(piece)) + piece))
    return b"".join([*parts, packing.flush()])


def unpack(packed: bytes, file: BinaryIO) -> None:
    """Into an empty file."""
    data = memoryview(zlib.decompress(packed))
    file.truncate(*_SIZE.unpack_from(data))
    at = _SIZE.size
    while at < len(data):
        offset, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        file.seek(offset)
        file.write(data[at : at + size])
        at += size
