"""The fragments of erasure-coded objects, as liberasurecode writes them.

A metachunk is cut into segments of 1 MiB, the last one shorter. Each is encoded on its own: its
fragments are a header and a payload, and the chunk file of index I is the concatenation of fragment
I of all segments.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from rdctl.core.buffers import Buffer

# The only erasure code whose fragments are known here.
ALGORITHM = "liberasurecode_rs_vand"
# Every client of OpenIO uses this size; objects do not record it.
SEGMENT = 1 << 20
HEADER_SIZE = 80
# index, payload length, backend metadata length, segment length, checksum type, checksums,
# mismatch flag, backend, its version
_FIELDS = struct.Struct("<IIIQB32sBBI")
# magic, library version, CRC-32 of the fields
_END = struct.Struct("<III")
_NO_CHECKSUM = 1
_BACKEND = 6
_BACKEND_VERSION = 0x10000
_MAGIC = 0x0B0C5ECC
_LIBRARY_VERSION = 0x10602


class DamagedFragment(ValueError):
    """A fragment that contradicts its place: `index` is the one that it was read as."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"fragment {index}: {reason}")
        self.index = index


class Extent(NamedTuple):
    """Bytes of a chunk file: from `first` up to and without `end`."""

    first: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.first


def payload_size(k: int, segment: int) -> int:
    """The length of each payload of a segment: whole words of two bytes, the last ones padded."""
    return -(-segment // (2 * k)) * 2


def fragment_size(k: int, segment: int) -> int:
    """The length of each fragment of a segment, with its header."""
    return HEADER_SIZE + payload_size(k, segment) if segment else 0


def chunk_file_size(k: int, metachunk: int) -> int:
    """The length of each chunk file of a metachunk."""
    whole, rest = divmod(metachunk, SEGMENT)
    return whole * fragment_size(k, SEGMENT) + fragment_size(k, rest)


def segment_count(metachunk: int) -> int:
    """The number of segments of a metachunk; an empty one has none."""
    return -(-metachunk // SEGMENT)


def segment_sizes(metachunk: int, first: int = 0, end: int | None = None) -> list[int]:
    """The lengths of the segments of a metachunk, from `first` up to and without `end`."""
    numbers = range(first, segment_count(metachunk) if end is None else end)
    return [min(SEGMENT, metachunk - number * SEGMENT) for number in numbers]


def segments_extent(k: int, metachunk: int, first: int, last: int) -> Extent:
    """Where the fragments of the segments `first` to `last` are in each chunk file."""
    each = fragment_size(k, SEGMENT)
    return Extent(first * each, min((last + 1) * each, chunk_file_size(k, metachunk)))


def header(k: int, index: int, segment: int) -> bytes:
    """The header of a fragment, byte for byte that of liberasurecode 1.6.2."""
    fields = _FIELDS.pack(
        index,
        payload_size(k, segment),
        0,
        segment,
        _NO_CHECKSUM,
        bytes(32),
        0,
        _BACKEND,
        _BACKEND_VERSION,
    )
    end = _END.pack(_MAGIC, _LIBRARY_VERSION, zlib.crc32(fields))
    return (fields + end).ljust(HEADER_SIZE, b"\0")


def payload(fragment: Buffer, k: int, index: int, segment: int) -> memoryview:
    """The payload of the fragment with that index of a segment of that length; DamagedFragment if
    its header or its length does not match. Versions and checksums of the header are not compared:
    they differ between libraries, and hashes of the whole prove the payload."""
    size = payload_size(k, segment)
    if len(fragment) != HEADER_SIZE + size:
        raise DamagedFragment(index, f"{len(fragment)} bytes, not {HEADER_SIZE + size}")
    found, length, metadata, original = _FIELDS.unpack_from(fragment)[:4]
    if found != index:
        raise DamagedFragment(index, f"its header is that of fragment {found}")
    if (length, metadata, original) != (size, 0, segment):
        raise DamagedFragment(index, f"its header is that of a segment of {original} bytes")
    return memoryview(fragment)[HEADER_SIZE:]
