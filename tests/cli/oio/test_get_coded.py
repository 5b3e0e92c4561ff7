"""rdctl oio content get of erasure-coded objects, from rawx services that fail in every way."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.cli.oio.transfers import (
    Client,
    bytes_of,
    die_amid,
    flipped,
    not_found,
    out_of_range,
    short,
    whole_page,
)
from tests.fakes.sds import Call, Sds, on

EC42 = "ec/algo=liberasurecode_rs_vand,k=4,m=2"
EC21 = "ec/algo=liberasurecode_rs_vand,k=2,m=1"
MIB = 1 << 20
# How an object of 9,000 bytes is read: the words, and the bytes that they ask for.
WAYS: dict[str, tuple[list[str], slice]] = {
    "file": ([], slice(None)),
    "stream": (["--to", "-"], slice(None)),
    "range": (["--to", "-", "--range", "10-8000"], slice(10, 8001)),
    "range to a file": (["--range", "10-8000"], slice(10, 8001)),
}

Damage = Callable[[Sds, str], object]


@pytest.fixture
def coded(near: Callable[..., Client]) -> Client:
    """A namespace of EC 4+2 with metachunks of 4000 bytes, and an object of three of them."""
    client = near(chunk_size=1000, rawx=6, method=EC42)
    client.sds.put("a", bytes_of(9000))
    return client


def spots(sds: Sds, path: str = "a") -> dict[str, str]:
    """The chunks of an object by their positions."""
    return {chunk["pos"]: chunk["url"][-64:] for chunk in sds.objects[path][-1]["chunks"]}


def got(client: Client, way: str, data: bytes) -> list[str]:
    """The warnings of a download, which must be right and verified."""
    words, part = WAYS[way]
    if "--to" in words:
        ran = client.ok("get", "docs", "a", *words)
        assert ran.stdout == data[part]
        assert "could not be verified" not in ran.err
    else:
        ran = client.ok("get", "docs", "a", *words, "--json")
        (change,) = ran.json["results"]
        assert change["verified"] is True
        path = client.directory / "a"
        assert path.read_bytes() == data[part]
        path.unlink()
    assert os.listdir(client.directory) == []
    return ran.err.splitlines()


def acted(act: Callable[[Call], None]) -> Damage:
    return lambda sds, spot: sds.faults.append(on("GET", act, pos=spot))


def lie(sds: Sds, spot: str, at: int = -1) -> None:
    """A wrong byte, with an MD5 that fits."""
    id = spots(sds)[spot]
    sds.flip(id, at)
    sds.lie(id, sds.chunks[id])


def other(sds: Sds, spot: str) -> None:
    """The fragment of another object in its place."""
    if "b" not in sds.objects:
        sds.put("b", bytes_of(9000, seed=2))
    sds.swap(spots(sds)[spot], spots(sds, "b")[spot])


def hang(call: Call) -> None:
    call.sds.wait(30)


DAMAGES: dict[str, Damage] = {
    "404": acted(not_found),
    "416": acted(out_of_range),
    "a page": acted(whole_page),
    "short": acted(short),
    "die amid": acted(die_amid),
    "reset": acted(lambda call: call.reset()),
    "lost": lambda sds, spot: sds.lose(spots(sds)[spot]),
    "truncated": lambda sds, spot: sds.truncate(spots(sds)[spot], 500),
    "a byte": lambda sds, spot: sds.flip(spots(sds)[spot]),
    "a byte with its own MD5": lie,
    "a byte without metadata": acted(flipped),
    "an index": lambda sds, spot: sds.flip(spots(sds)[spot], 0),
    "a length": lambda sds, spot: lie(sds, spot, 13),
    "other data": other,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("indices", [(0,), (5,), (1, 3), (2, 4), (4, 5)], ids=str)
def test_up_to_m_damaged_fragments(
    coded: Client, damage: Damage, indices: tuple[int, ...], way: str
) -> None:
    for index in indices:
        damage(coded.sds, f"1.{index}")
    warnings = got(coded, way, bytes_of(9000))
    # What is not needed is not asked.
    if way in ("file", "stream") and min(indices) >= 4:
        assert warnings == []
    elif min(indices) < 4:
        named = {spots(coded.sds)[f"1.{index}"] for index in indices}
        assert {id for id in named for line in warnings if id in line} <= named
        assert warnings
