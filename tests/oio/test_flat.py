"""Containers of flat names. The expected ones were computed by oio_str_autocontainer of OpenIO's
own liboiocore (7.3.0)."""

from __future__ import annotations

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.flat import Flat, flat_of

VECTORS = {
    b"a": {1: "8", 3: "C", 5: "C8", 7: "CA", 8: "CA", 9: "CA8", 13: "CA90", 15: "CA96"},
    b"index.txt": {1: "0", 4: "5", 12: "52A", 16: "52AA", 17: "52AA0", 20: "52AA0", 24: "52AA09"},
    "café/☃".encode(): {1: "8", 9: "CC8", 15: "CCA8", 17: "CCA80", 31: "CCA83236", 32: "CCA83237"},
    b"\xff\xfe raw": {3: "4", 8: "4E", 13: "4EC0", 17: "4EC60", 31: "4EC63ECE"},
    b"video/ABC/DEF/0123456789_file.bin": {5: "C0", 9: "C38", 13: "C3B8", 31: "C3B85888"},
    b"x" * 1000: {4: "4", 9: "448", 17: "44F80", 64: "44F8354494A5BA03"},
    b"": {1: "8", 5: "E0", 9: "E38", 17: "E3B08"},
}


@pytest.mark.parametrize("name", VECTORS, ids=lambda name: name[:9].hex())
def test_as_openio_names_containers(name: bytes) -> None:
    text = name.decode("utf-8", "surrogateescape")
    assert {bits: Flat(bits).container(text) for bits in VECTORS[name]} == VECTORS[name]


def test_all_bits() -> None:
    whole = "52AA09F650AA7014F4BDB966B36EC250A1B70C37DF925F02C566CD5CC4AADFF8"
    assert Flat(255).container("index.txt") == whole


def test_a_part_of_the_name() -> None:
    assert Flat(17, offset=6).container("index.txt") == "486B8"
    assert Flat(17, size=5).container("index.txt") == "1BC00"
    assert Flat(17, offset=2, size=3).container("index.txt") == "9D0F8"
    assert Flat(17, offset=20).container("index.txt") == "E3B08"


@pytest.mark.parametrize("bits", [17, "17"], ids=["number", "text"])
def test_options(bits: object) -> None:
    assert flat_of({"flat_bitlength": bits}) == Flat(17)
    options = {"flat_bitlength": bits, "flat_hash_offset": "2", "flat_hash_size": 3}
    assert flat_of(options) == Flat(17, 2, 3)


def test_other_bits_than_those_of_the_namespace() -> None:
    assert flat_of({"flat_bitlength": 17, "flat_hash_size": 3}, 9) == Flat(9, 0, 3)
    assert flat_of({}, 9) == Flat(9)


def test_names_of_flat_containers() -> None:
    for bits, names in ((17, ["52AA0", "00000", "FFFF8"]), (9, ["528", "000", "FF8"])):
        assert all(map(Flat(bits).names, names))
    for name, containers in VECTORS.items():
        text = name.decode("utf-8", "surrogateescape")
        assert all(Flat(bits).names(container) for bits, container in containers.items())
        assert all(Flat(bits).names(Flat(bits).container(text)) for bits in range(1, 256))


@pytest.mark.parametrize(
    "name",
    [
        "52AA4",
        "52aa0",
        "52AA",
        "052AA0",
        "0x52AA0",
        " 52AA0",
        "52AA0\n",
        "5_AA0",
        "",
        "photos",
        "528",
    ],
)
def test_names_that_no_flat_container_has(name: str) -> None:
    """The client of OpenIO takes some of these for flat containers, but never creates them."""
    assert not Flat(17).names(name)


@pytest.mark.parametrize("bits", [None, 0, "00", 256, "x", -1, 1.5])
def test_a_namespace_without_flat_names(bits: object) -> None:
    with pytest.raises(RdctlError) as caught:
        flat_of({"flat_bitlength": bits})
    assert caught.value.code is Code.UNSUPPORTED
