"""rdctl oio content get of erasure-coded objects, from rawx services that fail in every way."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import combinations

import pytest

from rdctl.oio.erasure.codec import Codec
from tests.cli.oio.transfers import (
    Client,
    bytes_of,
    die_amid,
    errors_of,
    flipped,
    not_found,
    out_of_range,
    short,
    whole_page,
)
from tests.fakes.sds import Call, Sds, md5, on

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
    "truncated": lambda sds, spot: sds.truncate(spots(sds)[spot], 100),
    "a byte": lambda sds, spot: sds.flip(spots(sds)[spot]),
    "a byte with its own MD5": lie,
    "a byte without metadata": acted(flipped),
    "an index": lambda sds, spot: sds.flip(spots(sds)[spot], 0),
    "a length": lambda sds, spot: lie(sds, spot, 13),
    "other data": other,
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_up_to_m_damaged_fragments(coded: Client, kind: str) -> None:
    """In each metachunk others, and in every way to read."""
    damaged = {"0.0", "1.1", "1.4", "2.3", "2.5"}
    for spot in damaged:
        DAMAGES[kind](coded.sds, spot)
    for way in WAYS:
        warnings = got(coded, way, bytes_of(9000))
        named = {spot for spot, id in spots(coded.sds).items() if any(id in w for w in warnings)}
        if kind in ("die amid", "reset"):
            assert any(address in line for line in warnings for address in coded.sds.addresses)
        else:
            assert {"0.0", "1.1", "2.3"} <= named <= damaged, way


def test_fragments_that_are_not_needed_are_not_asked(coded: Client) -> None:
    got(coded, "file", bytes_of(9000))
    asked = [call.spot for call in coded.sds.asked("GET")]
    assert sorted(asked) == [f"{part}.{index}" for part in range(3) for index in range(4)]
    coded.sds.calls.clear()
    got(coded, "range", bytes_of(9000))
    # 4000 to 7999 is a whole metachunk, which its MD5 proves.
    asked = [call.spot for call in coded.sds.asked("GET")]
    extra = ["0.5", "2.5"]
    assert sorted(asked) == sorted([f"{p}.{i}" for p in range(3) for i in range(4)] + extra)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_more_than_m_damaged_fragments(coded: Client, damage: Damage) -> None:
    """No wrong bytes are passed on, whatever is missing."""
    for index in (0, 2, 5):
        damage(coded.sds, f"1.{index}")
    data = bytes_of(9000)
    for words, part in WAYS.values():
        ran = coded("get", "docs", "a", *words)
        assert ran.code in (1, 6, 7, 9), ran.err
        assert data[part].startswith(ran.stdout)
        assert not (coded.directory / "a").exists()
        assert "fragments can be read" in ran.err or "match its MD5" in ran.err


def test_how_many_of_how_many_are_left(coded: Client) -> None:
    for index in (1, 3, 4):
        coded.sds.lose(spots(coded.sds)[f"1.{index}"])
    (error,) = errors_of(coded("get", "docs", "a", "--json"))
    assert error["code"] == "failed"
    assert "metachunk 1: only 3 of 6 fragments can be read, and 4 are required" in error["message"]
    assert "--continue" in error["hint"]


def test_what_to_do_about_a_damaged_object(coded: Client) -> None:
    """Its services are up: a check shows what is wrong, not a list of services."""
    for index in (1, 3, 4):
        coded.sds.lose(spots(coded.sds)[f"0.{index}"])
        coded.sds.flip(spots(coded.sds)[f"1.{index}"])
    for words in ([], ["--range", "4000-5000"]):
        (error,) = errors_of(coded("get", "docs", "a", *words, "--json"))
        assert "oio content check CONTAINER PATH --deep" in error["hint"]


def test_fragments_of_which_each_is_damaged_elsewhere(coded: Client) -> None:
    """Two faults that no MD5 of a fragment shows, in different segments."""
    client, data = coded, bytes_of(3 * MIB)
    client.sds.chunk_size = MIB
    client.sds.put("a", data)
    lie(client.sds, "0.1", 100)
    lie(client.sds, "0.2", 2 * (MIB // 4 + 80) + 100)
    ran = client.ok("get", "docs", "a", "--to", "-", "--range", "1-3000000")
    assert ran.stdout == data[1:3000001]
    assert [f"fragment 0.{index} is damaged" in ran.err for index in range(6)] == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(("method", "k", "m"), [(EC42, 4, 2), (EC21, 2, 1)])
def test_any_k_fragments_serve(near: Callable[..., Client], method: str, k: int, m: int) -> None:
    client, data = near(chunk_size=1000, rawx=6, method=method), bytes_of(1001)
    client.sds.put("a", data)
    for lost in combinations([f"0.{index}" for index in range(k + m)], m):
        client.sds.faults[:] = [on("GET", not_found, pos=spot) for spot in lost]
        assert client.ok("get", "docs", "a", "--to", "-").stdout == data
        ran = client.ok("get", "docs", "a", "--to", "-", "--range", "1-999")
        assert ran.stdout == data[1:1000]
        assert "could not be verified" not in ran.err


# Services -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dead", [(0,), (2, 3), (0, 5)], ids=str)
def test_dead_services_are_asked_once(coded: Client, dead: tuple[int, ...]) -> None:
    for number in dead:
        coded.sds.stop(number)
    coded.sds.put("b", bytes_of(40_000))
    ran = coded.ok("get", "docs", "b", "--to", "-", "--parallel", "1")
    assert ran.stdout == bytes_of(40_000)
    assert ran.err.count("Connection refused") == len(dead)


@pytest.mark.parametrize("stuck", [(1,), (1, 2)], ids=str)
def test_stuck_services_do_not_hold_it_up(
    coded: Client, monkeypatch: pytest.MonkeyPatch, stuck: tuple[int, ...]
) -> None:
    monkeypatch.setattr("rdctl.oio.objects.gathering.GRACE_SECONDS", 0.2)
    for number in stuck:
        coded.sds.faults.append(on("GET", hang, who=number))
    coded.sds.put("a", bytes_of(40_000))
    warnings = got(coded, "stream", bytes_of(40_000))
    for number in stuck:
        asked = [call for call in coded.sds.asked("GET") if call.who == number]
        assert len(asked) < 5  # of ten metachunks: those that are on their way at a time
        address = coded.sds.addresses[number]
        assert any(address in line and "no complete reply within" in line for line in warnings)
    assert got(coded, "range", bytes_of(40_000))


def test_a_stuck_service_is_remembered_by_the_next_objects(
    coded: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdctl.oio.objects.gathering.GRACE_SECONDS", 0.2)
    coded.sds.faults.append(on("GET", hang, who=1))
    for number in range(12):
        coded.sds.put(f"many/{number}", bytes_of(5000, seed=number))
    ran = coded.ok("get", "docs", "many/", "--recursive", "--to", "all", "--parallel", "1")
    assert "no complete reply within" in ran.err
    for number in range(12):
        found = coded.directory / "all" / str(number)
        assert found.read_bytes() == bytes_of(5000, seed=number)
    assert len([call for call in coded.sds.asked("GET") if call.who == 1]) < 4


def test_a_deadline_ends_what_waits_for_stuck_services(coded: Client) -> None:
    coded.sds.faults.append(on("GET", hang))
    ran = coded.rdctl("--timeout", "1", *coded.where, "oio", "content", "get", "docs", "a")
    assert ran.code == 7
    assert "only 0 of 6 fragments can be read, and 4 are required" in ran.err
    assert "Use a longer --timeout." in ran.err
    assert os.listdir(coded.directory) == []


def test_a_slow_service_may_still_be_the_first(
    coded: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With m lost, nothing replaces the slow one: it is waited for."""
    monkeypatch.setattr("rdctl.oio.objects.gathering.GRACE_SECONDS", 0.05)
    for index in (0, 5):
        DAMAGES["404"](coded.sds, f"0.{index}")
    coded.sds.faults.append(on("GET", late, pos="0.2"))
    got(coded, "stream", bytes_of(9000))


def late(call: Call) -> None:
    call.sds.wait(0.5)
    call.sds._answer(call)


# Ranges -------------------------------------------------------------------------------------------


def test_the_requests_of_ranges_at_borders(near: Callable[..., Client]) -> None:
    """As recorded, docs/wire/oio-ec.md: with one more fragment to compare."""
    client, data = near(chunk_size=MIB, rawx=6, method=EC42), bytes_of(4 * MIB + 7)
    client.sds.put("a", data[: MIB + 7])
    client.sds.put("b", data)

    def asked(path: str, first: int, last: int) -> set[str]:
        client.sds.calls.clear()
        ran = client.ok("get", "docs", path, "--to", "-", "--range", f"{first}-{last}")
        assert ran.stdout == (data[: MIB + 7] if path == "a" else data)[first : last + 1]
        assert "could not be verified" not in ran.err
        return {f"{call.pos} {call.headers['range']}" for call in client.sds.asked("GET")}

    assert asked("a", 1048570, 1048580) == {"0 bytes=0-262305"}
    assert asked("a", 1048576, 1048580) == {"0 bytes=262224-262305"}
    assert asked("b", 4194300, 4194310) == {"0 bytes=786672-1048895", "1 bytes=0-81"}
    assert asked("b", 1048575, 1048575) == {"0 bytes=0-262223"}
    assert asked("b", 1048576, 2097151) == {"0 bytes=262224-524447"}


def rebuilt_by_openio(sds: Sds) -> None:
    """OpenIO's rebuilder verifies nothing: fragment 0 is made of a damaged 1, 2, 3 and 4."""
    ids = spots(sds)
    sds.flip(ids["0.1"], 500)
    codec, sources = Codec(4, 2), range(1, 5)
    wrong = codec.decode({index: sds.chunks[ids[f"0.{index}"]] for index in sources}, 4000)
    sds.lie(ids["0.0"], codec.encode(wrong)[0])


def like_faults(sds: Sds) -> None:
    """They cancel out in an XOR."""
    for spot in ("0.0", "0.1"):
        sds.flip(spots(sds)[spot], 500)


@pytest.mark.parametrize("damage", [rebuilt_by_openio, like_faults])
def test_wrong_fragments_that_agree_with_the_first_parity(
    coded: Client, damage: Callable[[Sds], None]
) -> None:
    damage(coded.sds)
    for way in WAYS:
        warnings = got(coded, way, bytes_of(9000))
        assert any("fragment 0.0 is damaged" in line for line in warnings)
        assert any("fragment 0.1 is damaged" in line for line in warnings)


def test_only_k_are_left_for_a_range(coded: Client) -> None:
    """The MD5 of the metachunk proves it; without any MD5, nothing does."""
    for index in (0, 4):
        coded.sds.lose(spots(coded.sds)[f"0.{index}"])
    ran = coded.ok("get", "docs", "a", "--range", "10-20", "--json")
    assert ran.json["results"][0]["verified"] is True
    (coded.directory / "a").unlink()
    for chunk in coded.sds.objects["a"][-1]["chunks"]:
        chunk["hash"] = "B" * 64
    ran = coded.ok("get", "docs", "a", "--range", "10-20", "--json")
    assert ran.json["results"][0]["verified"] is True  # by those of the fragments
    (coded.directory / "a").unlink()
    for id in spots(coded.sds).values():
        coded.sds.forget(id)
    ran = coded.ok("get", "docs", "a", "--range", "10-20", "--json")
    assert ran.json["results"][0]["verified"] is None
    assert (coded.directory / "a").read_bytes() == bytes_of(9000)[10:21]
    assert "could not be verified" in ran.err


def test_fragments_that_disagree_without_any_checksum(coded: Client) -> None:
    lie(coded.sds, "0.0", 100)
    for chunk in coded.sds.objects["a"][-1]["chunks"]:
        chunk["hash"] = "B" * 64
    for id in spots(coded.sds).values():
        coded.sds.forget(id)
    ran = coded("get", "docs", "a", "--to", "-", "--range", "10-20")
    assert (ran.code, ran.stdout) == (9, b"")
    assert "its fragments disagree, and no checksum shows which is wrong" in ran.err


# What is listed -----------------------------------------------------------------------------------


def test_an_empty_object(near: Callable[..., Client]) -> None:
    client = near(rawx=6, method=EC42)
    client.sds.put("a", b"")
    for index in range(6):
        assert client.sds.chunks[spots(client.sds)[f"0.{index}"]] == b""
    assert got(client, "file", b"") == []
    assert got(client, "stream", b"") == []
    assert client.sds.asked("GET") == []


def test_fragments_that_were_never_stored(coded: Client) -> None:
    """A short write lists fewer; below k, that is said."""
    object = coded.sds.objects["a"][-1]

    def only(*indices: int) -> None:
        kept = [f"1.{index}" for index in indices]
        object["chunks"] = [
            chunk
            for chunk in object["chunks"]
            if chunk["pos"] in kept or not chunk["pos"].startswith("1.")
        ]

    only(0, 1, 3, 4, 5)
    got(coded, "stream", bytes_of(9000))
    only(1, 3, 4, 5)
    got(coded, "stream", bytes_of(9000))
    got(coded, "range", bytes_of(9000))
    only(1, 3, 5)
    ran = coded("get", "docs", "a", "--to", "-")
    assert ran.code == 1
    assert ran.stdout == bytes_of(9000)[:4000]
    assert "metachunk 1: only 3 of 6 fragments are listed, and 4 are required" in ran.err


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_fragment_that_is_listed_twice(coded: Client, wrong: int) -> None:
    sds = coded.sds
    id, again = spots(sds)["1.2"], "F" * 64
    sds.store(again, sds.chunks[id], sds.meta[id])
    chunks = sds.objects["a"][-1]["chunks"]
    (old,) = (chunk for chunk in chunks if chunk["pos"] == "1.2")
    chunks.append({**old, "url": f"http://{sds.addresses[0]}/{again}"})
    sds.flip((id, again)[wrong])
    for index in (0, 5):
        DAMAGES["404"](sds, f"1.{index}")
    for way in WAYS:
        got(coded, way, bytes_of(9000))


def test_parts_of_other_sizes(coded: Client) -> None:
    """As after an append: the sizes are those of the object, not of the namespace."""
    sds, data = coded.sds, bytes_of(5000)
    sds.put("a", data[:1001])
    first = sds.objects["a"][-1]
    sds.put("b", data[1001:])
    second = sds.objects["b"][-1]
    for chunk in second["chunks"]:
        part, _, index = chunk["pos"].partition(".")
        chunk["pos"] = f"{int(part) + 1}.{index}"
    first["chunks"] += second["chunks"]
    first["size"] = 5000
    first["meta"].update(length="5000", hash=md5(data))
    assert coded.ok("get", "docs", "a", "--to", "-").stdout == data
    ran = coded.ok("get", "docs", "a", "--to", "-", "--range", "1000-4998")
    assert ran.stdout == data[1000:4999]


@pytest.mark.parametrize("way", WAYS)
def test_a_size_that_cannot_be(coded: Client, way: str) -> None:
    """The proxy's word for a size costs no memory."""
    object = coded.sds.objects["a"][-1]
    object["chunks"] = [one | {"size": 1 << 60} for one in object["chunks"] if one["pos"][0] == "0"]
    object["meta"] |= {"length": str(1 << 60)}
    ran = coded("get", "docs", "a", *WAYS[way][0])
    assert ran.code == 9
    assert "shorter than the proxy reports" in ran.err or "received" in ran.err


def test_headers_of_other_libraries(coded: Client) -> None:
    """Their version and checksum say nothing about the data."""
    for id in spots(coded.sds).values():
        data = bytearray(coded.sds.chunks[id])
        data[63:71] = b"\1\2\1\0wxyz"
        coded.sds.lie(id, bytes(data))
    for way in WAYS:
        assert got(coded, way, bytes_of(9000)) == []


# Partial data -------------------------------------------------------------------------------------


def test_a_download_is_continued(coded: Client) -> None:
    for index in (1, 3, 4):
        DAMAGES["404"](coded.sds, f"2.{index}")
    data = bytes_of(9000)
    assert coded("get", "docs", "a").code == 1
    coded.sds.faults.clear()
    coded.sds.calls.clear()
    (change,) = coded.ok("get", "docs", "a", "--continue", "--json").json["results"]
    assert (change["resumed_at"], change["verified"]) == (8000, True)
    assert {call.pos for call in coded.sds.asked("GET")} == {2}
    assert (coded.directory / "a").read_bytes() == data


def test_a_part_of_a_metachunk_that_is_kept_is_not_verified(coded: Client) -> None:
    """A range is continued within a metachunk, and nothing verifies the earlier bytes."""
    client, data = coded, bytes_of(8 * MIB)
    client.sds.chunk_size = 2 * MIB
    client.sds.put("a", data)
    client.sds.faults.append(late_pieces)
    assert client("get", "docs", "a", "--range", "1-8388000").code != 0
    client.sds.faults.clear()
    ran = client.ok("get", "docs", "a", "--range", "1-8388000", "--continue", "--json")
    (change,) = ran.json["results"]
    assert change["resumed_at"] > 0
    assert change["verified"] is None
    assert (client.directory / "a").read_bytes() == data[1:8388001]


def late_pieces(call: Call) -> bool:
    """Nothing beyond the first segments of a chunk can be read."""
    if call.method != "GET" or call.who == "proxy" or "bytes=0-" in call.headers["range"]:
        return False
    call.reply("500 Internal error")
    return True


def test_many_objects_at_a_time(coded: Client) -> None:
    for number in range(12):
        coded.sds.put(f"many/{number}", bytes_of(5000, seed=number))
    coded.sds.stop(2)
    coded.ok("get", "docs", "--recursive", "--to", "all")
    for number in range(12):
        found = next((coded.directory / "all").rglob(str(number)))
        assert found.read_bytes() == bytes_of(5000, seed=number)


# What is loaded -----------------------------------------------------------------------------------


def test_the_codec_is_loaded_only_for_arithmetic(
    near: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a read of all data does without it."""
    import sys

    plain, coded = near(), near(rawx=6, method=EC42)
    plain.sds.put("a", bytes_of(100))
    coded.sds.put("a", bytes_of(100))
    for name in [name for name in sys.modules if name.startswith("rdctl.oio.erasure")]:
        monkeypatch.delitem(sys.modules, name)
    plain.ok("get", "docs", "a", "--to", "-")
    assert "rdctl.oio.erasure.fragments" not in sys.modules
    coded.ok("get", "docs", "a", "--to", "-")
    assert "rdctl.oio.erasure.codec" not in sys.modules
