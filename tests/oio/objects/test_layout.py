"""How objects lie in chunks."""

from __future__ import annotations

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.objects.layout import Scheme, positions, scheme_of
from tests.oio.objects.chunks import chunk, content


def test_positions_come_in_order_and_the_best_replica_first() -> None:
    chunks = [
        chunk(10, "http://h/A"),
        *(chunk(number, f"http://h/{number}") for number in range(9, -1, -1)),
        chunk(3, "http://h/best", score=99),
        chunk(3, "http://h/worst", score=-1),
    ]
    found = positions(content(chunks=chunks), lambda number, one: 7)
    assert [(one.number, one.offset) for one in found] == [(n, 7 * n) for n in range(11)]
    assert [copy.url for copy in found[3].copies] == [
        "http://h/best",
        "http://h/3",
        "http://h/worst",
    ]


@pytest.mark.parametrize("pos", ["0.1", "-1", "x", "1"])
def test_what_is_no_position(pos: str) -> None:
    with pytest.raises(RdctlError) as caught:
        positions(content(chunks=[chunk(pos)]), lambda number, one: 1)
    assert caught.value.code is Code.BAD_REPLY


@pytest.mark.parametrize(
    ("method", "copies"),
    [
        ("plain/nb_copy=3", 3),
        ("plain/distance=1,nb_copy=2", 2),
        ("plain", 1),
        (None, 1),
    ],
    ids=lambda value: str(value)[:20],
)
def test_how_many_copies_are_wanted(method: str | None, copies: int) -> None:
    assert scheme_of(content(chunk_method=method)) == Scheme(copies)


@pytest.mark.parametrize("number", ["", "two", "-1", "9" * 5000], ids=lambda text: text[:20])
def test_a_number_of_copies_that_cannot_be_read(number: str) -> None:
    with pytest.raises(RdctlError) as caught:
        scheme_of(content(chunk_method=f"plain/nb_copy={number}"))
    assert caught.value.code is Code.BAD_REPLY


@pytest.mark.parametrize("told", ["", "0" * 64, "x" * 32, None])
def test_a_hash_by_another_method_is_none(told: str | None) -> None:
    (found,) = positions(content(chunks=[chunk(0, hash=told)]), lambda number, one: 1)
    assert found.hash is None


EC42 = "ec/algo=liberasurecode_rs_vand,k=4,m=2"


@pytest.mark.parametrize(
    ("method", "scheme", "needed", "quorum", "m"),
    [
        (None, Scheme(1), 1, 1, 0),
        ("plain/nb_copy=3", Scheme(3), 1, 2, 0),
        ("plain/nb_copy=2", Scheme(2), 1, 1, 0),
        (EC42, Scheme(6, 4), 4, 5, 2),
        ("ec/algo=liberasurecode_rs_vand,k=2,m=1", Scheme(3, 2), 2, 3, 1),
        ("ec/k=6,m=3,algo=liberasurecode_rs_vand,distance=1", Scheme(9, 6), 6, 7, 3),
    ],
    ids=str,
)
def test_schemes(method: str | None, scheme: Scheme, needed: int, quorum: int, m: int) -> None:
    found = scheme_of(content(chunk_method=method))
    assert found == scheme
    assert (found.needed, found.quorum, found.m) == (needed, quorum, m)


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("ec/algo=isa_l_rs_vand,k=4,m=2", Code.UNSUPPORTED),
        ("ec/k=4,m=2", Code.UNSUPPORTED),
        ("backblaze/nb_copy=1", Code.UNSUPPORTED),
        ("drained", Code.UNSUPPORTED),
        ("ec/algo=liberasurecode_rs_vand,k=0,m=2", Code.BAD_REPLY),
        ("ec/algo=liberasurecode_rs_vand,k=4", Code.BAD_REPLY),
        ("ec/algo=liberasurecode_rs_vand,k=30,m=3", Code.BAD_REPLY),
        (f"ec/algo=liberasurecode_rs_vand,k={'9' * 5000},m=3", Code.BAD_REPLY),
    ],
    ids=lambda value: str(value)[:60],
)
def test_methods_that_cannot_be_read_or_served(method: str, code: Code) -> None:
    with pytest.raises(RdctlError) as caught:
        scheme_of(content(chunk_method=method))
    assert caught.value.code is code


def test_fragments_come_by_position_and_index() -> None:
    chunks = [chunk(f"{pos}.{index}") for pos in (1, 0) for index in (2, 0, 1, 5, 4, 3)]
    found = positions(content(chunks=chunks, chunk_method=EC42), lambda number, one: 7)
    assert [[copy.pos for copy in one.copies] for one in found] == [
        [f"{pos}.{index}" for index in range(6)] for pos in (0, 1)
    ]
    assert [copy.fragment for copy in found[1].copies] == list(range(6))


@pytest.mark.parametrize("pos", ["0", "0.6", "0.x", "0.-1", "0.1.2"])
def test_what_is_no_position_of_a_fragment(pos: str) -> None:
    with pytest.raises(RdctlError) as caught:
        positions(content(chunks=[chunk(pos)], chunk_method=EC42), lambda number, one: 1)
    assert caught.value.code is Code.BAD_REPLY


@pytest.mark.parametrize("wrong", range(3))
def test_the_hash_that_most_chunks_have(wrong: int) -> None:
    right = "AB" * 16
    chunks = [chunk(0, f"http://h/{n}", hash="0" * 32 if n == wrong else right) for n in range(3)]
    (found,) = positions(content(chunks=chunks), lambda number, one: 1)
    assert found.hash == right
