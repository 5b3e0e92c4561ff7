"""How objects lie in chunks."""

from __future__ import annotations

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.objects.layout import copies_of, positions
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
    assert copies_of(method) == copies


@pytest.mark.parametrize("number", ["", "two", "-1", "9" * 5000], ids=lambda text: text[:20])
def test_a_number_of_copies_that_cannot_be_read(number: str) -> None:
    with pytest.raises(RdctlError) as caught:
        copies_of(f"plain/nb_copy={number}")
    assert caught.value.code is Code.BAD_REPLY


@pytest.mark.parametrize("told", ["", "0" * 64, "x" * 32, None])
def test_a_hash_by_another_method_is_none(told: str | None) -> None:
    (found,) = positions(content(chunks=[chunk(0, hash=told)]), lambda number, one: 1)
    assert found.hash is None
