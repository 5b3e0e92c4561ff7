"""Lengths, ranges and headers of fragments."""

from __future__ import annotations

import struct

import pytest

from rdctl.oio.erasure.codec import Codec
from rdctl.oio.erasure.fragments import (
    HEADER_SIZE,
    SEGMENT,
    DamagedFragment,
    chunk_file_size,
    fragment_size,
    header,
    payload,
    segment_count,
    segment_sizes,
    segments_extent,
)
from tests.oio.erasure.fixtures import recorded


@pytest.mark.parametrize(
    ("k", "segment", "size"),
    [
        (4, 0, 0),
        (4, 1, 82),
        (4, 1000, 330),
        (6, 1000, 248),
        (2, 1000, 580),
        (4, SEGMENT, 262224),
        (6, SEGMENT, 174844),
        (2, SEGMENT, 524368),
    ],
)
def test_lengths_of_fragments_as_recorded(k: int, segment: int, size: int) -> None:
    assert fragment_size(k, segment) == size
    assert chunk_file_size(k, segment) == size


def test_lengths_of_chunk_files_as_recorded() -> None:
    assert {(one.name, file["length"]) for one in recorded() for file in one.files} == {
        (one.name, chunk_file_size(one.k, len(one.data))) for one in recorded()
    }


@pytest.mark.parametrize(
    ("size", "segments"),
    [
        (0, []),
        (1, [1]),
        (SEGMENT, [SEGMENT]),
        (SEGMENT + 7, [SEGMENT, 7]),
        (3 * SEGMENT, [SEGMENT] * 3),
    ],
)
def test_segments(size: int, segments: list[int]) -> None:
    assert segment_sizes(size) == segments


def test_some_segments_of_many() -> None:
    size = (1 << 60) + 7
    assert segment_count(size) == (1 << 40) + 1
    assert segment_sizes(size, (1 << 40) - 1, segment_count(size)) == [SEGMENT, 7]


def test_ranges_of_segments() -> None:
    """As upstream's client asks for them, cut at the end of the file."""
    assert segments_extent(4, SEGMENT + 7, 0, 1) == (0, 262306)
    assert segments_extent(4, 4 * SEGMENT, 3, 3) == (786672, 1048896)
    assert segments_extent(4, SEGMENT + 7, 1, 1).size == 82
    assert segments_extent(4, 0, 0, 0).size == 0


def test_headers_of_each_segment_as_recorded() -> None:
    seen = 0
    for one in recorded():
        for index, file in enumerate(one.files):
            expected = file["header_hex_per_segment"] or []
            made = [header(one.k, index, size).hex() for size in segment_sizes(len(one.data))]
            if expected:
                assert made == expected
                seen += 1
    assert seen


FRAGMENT = Codec(4, 2).encode(bytes(range(100)))[3]
# Offset, format and value of a field that other libraries may write otherwise.
FOREIGN = {
    "library version": (63, "<I", 0x10501),
    "checksum of the header": (67, "<I", 0xDEADBEEF),
    "checksum type": (20, "<B", 2),
    "checksum": (21, "<I", 77),
    "mismatch flag": (53, "<B", 1),
    "backend": (54, "<B", 4),
    "backend version": (55, "<I", 0x20000),
    "magic": (59, "<I", 0),
    "padding": (71, "<B", 9),
}
WRONG = {
    "index": (0, "<I", 2),
    "index beyond all": (0, "<I", 2**32 - 1),
    "payload length": (4, "<I", 28),
    "backend metadata": (8, "<I", 4),
    "segment length": (12, "<Q", 99),
}


def changed(offset: int, form: str, value: int) -> bytearray:
    fragment = bytearray(FRAGMENT)
    struct.pack_into(form, fragment, offset, value)
    return fragment


@pytest.mark.parametrize("field", FOREIGN)
def test_headers_of_other_libraries_are_accepted(field: str) -> None:
    assert payload(changed(*FOREIGN[field]), 4, 3, 100) == FRAGMENT[HEADER_SIZE:]


@pytest.mark.parametrize("field", WRONG)
def test_a_header_that_contradicts_its_place(field: str) -> None:
    with pytest.raises(DamagedFragment) as caught:
        payload(changed(*WRONG[field]), 4, 3, 100)
    assert caught.value.index == 3


@pytest.mark.parametrize("fragment", [b"", FRAGMENT[:79], FRAGMENT[:-1], FRAGMENT + b"\0"])
def test_a_fragment_of_another_length(fragment: bytes) -> None:
    with pytest.raises(DamagedFragment, match=r"fragment 3: \d+ bytes, not 106"):
        payload(fragment, 4, 3, 100)
