"""The codec, compared with what liberasurecode wrote, and by its promises."""

from __future__ import annotations

import hashlib
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdctl.oio.erasure.codec import Codec
from rdctl.oio.erasure.fragments import (
    HEADER_SIZE,
    SEGMENT,
    DamagedFragment,
    chunk_file_size,
    segment_sizes,
)
from tests.oio.erasure.fixtures import Recorded, data, recorded

SMALL = [one for one in recorded() if 0 < len(one.data) <= SEGMENT]
SCHEMES = [(6, 3), (4, 2), (2, 1), (1, 1), (1, 3), (10, 4), (12, 20)]


@pytest.fixture(autouse=True)
def pure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyECLib, even where it is installed: see test_library.py."""
    monkeypatch.setattr(Codec, "_library", None)


@pytest.mark.parametrize("one", SMALL, ids=lambda one: one.name)
def test_fragments_are_those_of_the_library(one: Recorded) -> None:
    assert Codec(one.k, one.m).encode(one.data) == one.fragments


@pytest.mark.parametrize("one", SMALL, ids=lambda one: one.name)
def test_any_k_fragments_give_the_data(one: Recorded) -> None:
    codec, fragments = Codec(one.k, one.m), one.fragments
    for chosen in combinations(range(one.k + one.m), one.k):
        found = codec.decode({index: fragments[index] for index in chosen}, len(one.data))
        assert found == one.data, chosen


@pytest.mark.parametrize("one", recorded(), ids=lambda one: one.name)
def test_chunk_files_are_those_of_the_recorded_objects(one: Recorded) -> None:
    files = [b""] * (one.k + one.m)
    first = 0
    for size in segment_sizes(len(one.data)):
        for index, part in enumerate(Codec(one.k, one.m).encode(one.data[first : first + size])):
            files[index] += part
        first += size
    assert first == len(one.data)
    assert [hashlib.md5(file).hexdigest() for file in files] == [one["md5"] for one in one.files]
    assert {len(file) for file in files} == {chunk_file_size(one.k, len(one.data))}


@pytest.mark.parametrize(("k", "m"), [(6, 3), (4, 2), (2, 1)])
@pytest.mark.parametrize("size", [SEGMENT, SEGMENT - 1])
def test_a_large_segment_with_m_lost(k: int, m: int, size: int) -> None:
    segment = (data(70_001) * 15)[:size]
    codec = Codec(k, m)
    fragments = dict(enumerate(codec.encode(segment)))
    left = {index: fragments[index] for index in range(m, k + m)}
    assert codec.decode(left, size) == segment
    assert codec.is_consistent(fragments, size)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(SCHEMES), st.binary(min_size=1, max_size=200), st.randoms())
def test_whatever_is_lost(scheme: tuple[int, int], segment: bytes, random: object) -> None:
    k, m = scheme
    codec = Codec(k, m)
    fragments = codec.encode(segment)
    assert len(fragments) == k + m
    indexes = list(range(k + m))
    random.shuffle(indexes)  # type: ignore[attr-defined]
    kept = {index: memoryview(fragments[index]) for index in indexes[:k]}
    assert codec.decode(kept, len(segment)) == segment
    # What is rebuilt from them is the lost ones, byte by byte.
    assert codec.encode(codec.decode(kept, len(segment))) == fragments


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(SCHEMES), st.binary(min_size=1, max_size=200), st.data())
def test_a_wrong_byte_is_seen(scheme: tuple[int, int], segment: bytes, draw: st.DataObject) -> None:
    k, m = scheme
    codec = Codec(k, m)
    fragments = dict(enumerate(codec.encode(segment)))
    chosen = draw.draw(st.lists(st.sampled_from(range(k + m)), min_size=k + 1, unique=True))
    some = {index: fragments[index] for index in chosen}
    assert codec.is_consistent(some, len(segment))
    spoiled = bytearray(some[chosen[0]])
    place = draw.draw(st.integers(HEADER_SIZE, len(spoiled) - 1))
    spoiled[place] ^= draw.draw(st.integers(1, 255))
    assert not codec.is_consistent({**some, chosen[0]: spoiled}, len(segment))


def test_the_first_parity_is_the_xor_of_the_data() -> None:
    *parts, parity = (part[HEADER_SIZE:] for part in Codec(5, 1).encode(data(999)))
    for place, byte in enumerate(parity):
        expected = 0
        for part in parts:
            expected ^= part[place]
        assert byte == expected


def test_too_few_fragments() -> None:
    codec = Codec(4, 2)
    fragments = dict(enumerate(codec.encode(b"data")))
    with pytest.raises(ValueError, match="3 fragments, but 4"):
        codec.decode({index: fragments[index] for index in (0, 2, 5)}, 4)


def test_all_data_is_read_without_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec(4, 2)
    fragments = dict(enumerate(codec.encode(b"some data")))
    monkeypatch.setattr("rdctl.oio.erasure.codec.Terms", None)
    assert codec.decode(fragments, 9) == b"some data"


@pytest.mark.parametrize("used", [{0, 1, 2, 3}, {1, 2, 3, 4, 5}])
def test_a_damaged_header_names_its_fragment(used: set[int]) -> None:
    codec = Codec(4, 2)
    fragments: dict[int, bytes] = dict(enumerate(codec.encode(b"some data")))
    some = {index: fragments[index] for index in used}
    some[2] = b"\x07" + some[2][1:]
    with pytest.raises(DamagedFragment) as caught:
        codec.decode(some, 9)
    assert caught.value.index == 2
