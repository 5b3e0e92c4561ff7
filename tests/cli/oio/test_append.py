"""content append, content put --content-id, and several ranges of content get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.oio.transfers import (
    WRITE_FAULTS,
    Client,
    bytes_of,
    errors_of,
    flipped,
    gateway,
    lost,
    unsure,
)
from tests.fakes.sds import CHUNK, Call, on

Near = Callable[..., Client]
CODED = {"method": "ec/algo=liberasurecode_rs_vand,k=4,m=2", "rawx": 9}


def chunks_of(client: Client, path: str) -> list[str]:
    return [chunk["url"][-64:] for chunk in client.sds.objects[path][-1]["chunks"]]


# --- append ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"copies": 3}, CODED])
def test_append(near: Near, options: dict[str, Any]) -> None:
    client = near(**options)
    first, more = bytes_of(2500), bytes_of(1700, seed=2)
    client.file("a", first)
    client.file("more", more)
    client.ok("put", "docs", "a")
    before = set(client.sds.chunks)
    ran = client.ok("append", "docs", "a", "more", "--json")
    (result,) = ran.json["results"]
    assert (result["changed"], result["verified"], result["hash"]) == (True, True, None)
    assert (result["size"], result["added"]) == (4200, 1700)
    assert "its MD5 is no longer recorded" in ran.err
    assert client.sds.content("a") == first + more
    client.ok("append", "docs", "a", "-", stdin=b"end")
    assert client.sds.content("a") == first + more + b"end"
    client.ok("get", "docs", "a", "--to", "copy")
    assert Path("copy").read_bytes() == first + more + b"end"
    # The chunks are labeled as parts of the object: OpenIO's own client gets that wrong.
    object = client.sds.objects["a"][-1]
    positions = {chunk["url"][-64:]: chunk["pos"] for chunk in object["chunks"]}
    for call in client.sds.asked("PUT"):
        assert call.headers[f"{CHUNK}content-id"] == object["meta"]["id"]
        assert call.headers[f"{CHUNK}content-version"] == object["meta"]["version"]
        assert call.headers[f"{CHUNK}chunk-pos"] == positions[call.chunk]
    assert before < set(client.sds.chunks)


def test_nothing_to_append(near: Near) -> None:
    client = near()
    client.sds.put("a", b"data")
    ran = client.ok("append", "docs", "a", "-", "--json", stdin=b"")
    assert ran.json["results"][0]["changed"] is False
    assert [call for call in client.sds.calls if call.method != "GET"] == []


def test_a_missing_object_is_not_created(near: Near) -> None:
    client = near()
    for words in (("docs", "a"), ("nope", "a")):
        ran = client("append", *words, "-", "--json", stdin=b"data")
        assert (ran.code, errors_of(ran)[0]["code"] if "errors" in ran.json else "not-found") == (
            3,
            "not-found",
        )
    assert (client.sds.asked("PUT"), client.sds.objects) == ([], {})


@pytest.mark.parametrize("fault", WRITE_FAULTS)
def test_a_part_that_cannot_be_stored_leaves_the_object_alone(near: Near, fault: Any) -> None:
    client = near()
    client.sds.put("a", b"data")
    before = dict(client.sds.chunks)
    client.sds.faults.append(on("PUT", fault))
    ran = client("append", "docs", "a", "-", stdin=b"more")
    assert ran.code not in (0, 10)
    assert (client.sds.content("a"), client.sds.chunks) == (b"data", before)
    assert "content/create" not in client.sds.routes()


def test_too_few_copies(near: Near) -> None:
    client = near(copies=3)
    client.sds.put("a", b"data")
    client.sds.faults.append(on("PUT", WRITE_FAULTS[0], times=1))
    ran = client("append", "docs", "a", "-", "--min-copies", "3", stdin=b"more")
    assert (ran.code, client.sds.content("a")) == (6, b"data")
    assert "content/create" not in client.sds.routes()


@pytest.mark.parametrize("fault", [lost, unsure, gateway])
def test_an_unknown_outcome_is_never_sent_twice(near: Near, fault: Any) -> None:
    client = near()
    client.sds.put("a", b"data")
    client.sds.faults.append(on("content/create", fault))
    ran = client("append", "docs", "a", "-", "--json", stdin=b"more")
    (error,) = errors_of(ran)
    assert (ran.code, error["code"], len(error["chunks"])) == (10, "unknown", 1)
    assert client.sds.routes().count("content/create") == 1
    # Its chunk is kept: the object may refer to it.
    assert error["chunks"][0][-64:] in client.sds.chunks


def test_another_method_than_that_of_the_object(near: Near) -> None:
    client = near(copies=3)
    client.sds.put("a", b"data")
    client.sds.prepared["chunk-method"] = "plain/nb_copy=1"
    ran = client("append", "docs", "a", "-", "--json", stdin=b"more")
    assert (ran.code, errors_of(ran)[0]["code"]) == (11, "unsupported")
    assert client.sds.asked("PUT") == []


def test_an_object_replaced_meanwhile(near: Near) -> None:
    client = near()
    client.sds.put("a", b"data")

    def replace(call: Call) -> bool:
        if call.route == "content/create":
            del client.sds.objects["a"]
        return False

    client.sds.faults.append(replace)
    ran = client("append", "docs", "a", "-", "--json", stdin=b"more")
    assert (ran.code, errors_of(ran)[0]["code"]) == (9, "unproven")


# --- put --content-id -----------------------------------------------------------------------------


def test_put_with_an_id(near: Near) -> None:
    client = near()
    client.file("a", b"data")
    client.ok("put", "docs", "a", "--content-id", "ab01")
    assert client.sds.objects["a"][-1]["meta"]["id"] == "ab01"
    (prepare,) = [call for call in client.sds.calls if call.route == "content/prepare"]
    assert prepare.query["content"] == "ab01"


def test_an_id_that_is_used(near: Near) -> None:
    client = near()
    client.file("a", b"data")
    client.ok("put", "docs", "a", "--content-id", "AB")
    before = dict(client.sds.chunks)
    ran = client("put", "docs", "a", "--path", "b", "--content-id", "AB", "--json")
    (error,) = errors_of(ran)
    assert (ran.code, error["code"]) == (4, "exists")
    assert "content show --content-id AB docs" in error["hint"]
    assert client.sds.chunks == before  # what was sent is deleted


@pytest.mark.parametrize("id", ["XYZ", "A", "", "AB" * 33, "A B", "0xAB"])
def test_an_id_that_is_none(near: Near, id: str) -> None:
    """The proxy would silently choose another one."""
    client = near()
    client.file("a", b"data")
    assert client("put", "docs", "a", "--content-id", id).code == 2
    assert client.sds.calls == []


def test_an_id_is_for_one_file(near: Near) -> None:
    client = near()
    for name in "ab":
        client.file(name, b"data")
    assert client("put", "docs", "a", "b", "--content-id", "AB").code == 2
    assert client.sds.asked("PUT") == []


def test_a_proxy_that_chooses_another_id(near: Near) -> None:
    client = near()
    client.file("a", b"data")
    client.sds.prepared["id"] = "CD"
    ran = client("put", "docs", "a", "--content-id", "AB", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (9, "bad-reply")
    assert client.sds.asked("PUT") == []


# --- several ranges -------------------------------------------------------------------------------

RANGES = ("--range", "2490-", "--range", "0-9", "--range", "-5", "--range", "995-1004")


def expected(data: bytes) -> bytes:
    return data[2490:] + data[:10] + data[-5:] + data[995:1005]


@pytest.mark.parametrize("options", [{}, CODED])
def test_several_ranges(near: Near, options: dict[str, Any]) -> None:
    client = near(**options)
    data = bytes_of(2500)
    client.file("a", data)
    client.ok("put", "docs", "a")
    assert client.ok("get", "docs", "a", "--to", "-", *RANGES).stdout == expected(data)
    ran = client.ok("get", "docs", "a", "--to", "part", *RANGES, "--json")
    assert Path("part").read_bytes() == expected(data)
    assert ran.json["results"][0]["size"] == 35
    assert client("get", "docs", "a", "--to", "part", *RANGES).code == 4
    client.ok("get", "docs", "a", "--to", "part", "--overwrite", *RANGES[:4])
    assert Path("part").read_bytes() == data[2490:] + data[:10]
    ran = client.ok("get", "docs", "a", "--to", "/dev/null", *RANGES)
    assert "downloaded a" in ran.out


def test_a_range_past_the_end_writes_nothing(near: Near) -> None:
    client = near()
    client.sds.put("a", b"0123456789")
    for to in ("-", "part"):
        ran = client("get", "docs", "a", "--to", to, "--range", "0-3", "--range", "10-")
        assert (ran.code, ran.out) == (2, "")
        assert "range not satisfiable: the object has 10 bytes" in ran.err
    assert not Path("part").exists()
    assert client.sds.asked("GET") == []


def test_several_ranges_cannot_be_resumed(near: Near) -> None:
    client = near()
    client.sds.put("a", b"0123456789")
    assert client("get", "docs", "a", "--continue", *RANGES[:4]).code == 2
    assert client.sds.calls == []


def test_a_wrong_range_leaves_no_file(near: Near) -> None:
    client = near()
    client.file("a", bytes_of(1500))
    client.ok("put", "docs", "a")
    client.sds.faults.append(on("GET", flipped))
    ran = client("get", "docs", "a", "--to", "part", "--range", "0-999", "--range", "0-999")
    assert ran.code == 9
    assert list(client.directory.iterdir()) == [client.directory / "a"]


def test_several_objects_and_ranges(near: Near) -> None:
    client = near()
    for name in ("a", "b"):
        client.sds.put(name, name.encode() * 10)
    ranges = ("--range", "0-1", "--range", "-1")
    assert client.ok("get", "docs", "a", "b", "--to", "-", *ranges).out == "aaabbb"
    client.ok("get", "docs", "--recursive", "--to", "d", *ranges)
    assert {path.name: path.read_bytes() for path in Path("d").iterdir()} == {
        "a": b"aaa",
        "b": b"bbb",
    }
