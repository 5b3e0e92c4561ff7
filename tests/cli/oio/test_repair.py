"""content repair: lost and damaged chunks are rebuilt, whatever services do meanwhile."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest

from tests.cli.oio.repairs import (
    DATA,
    KINDS,
    Near,
    changes,
    closed,
    emptied,
    flipped,
    forgotten,
    grown,
    healthy,
    lost,
    lying,
    namespace,
    truncated,
)
from tests.cli.oio.transfers import Client, bytes_of, errors_of

SEEN = (lost, truncated, emptied, grown, forgotten)


@pytest.fixture(params=KINDS)
def client(near: Near, request: pytest.FixtureRequest) -> Client:
    return namespace(near, request.param)


@pytest.fixture
def copies(near: Near) -> Client:
    return namespace(near, "copies")


@pytest.fixture
def coded(near: Near) -> Client:
    return namespace(near, "fragments")


def test_a_healthy_object_needs_nothing(client: Client) -> None:
    ran = client.ok("repair", "docs", "a", "--json")
    (one,) = ran.json["results"]
    assert (one["changed"], one["verified"]) == (False, True)
    assert changes(client.sds) == []
    assert client.ok("repair", "docs", "a").out == "a: no damage found\n"


@pytest.mark.parametrize("damage", SEEN, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("bad", [1, 2])
def test_damage_is_repaired(client: Client, damage: Callable[..., None], bad: int) -> None:
    sds = client.sds
    ids = sds.held("a")[:bad]
    size = sum(len(sds.chunks[id]) for id in ids)
    for id in ids:
        damage(sds, id)
    ran = client.ok("repair", "docs", "a", "--json")
    (one,) = ran.json["results"]
    assert (one["changed"], one["verified"], one["rebuilt"]) == (True, True, bad)
    assert one["bytes"] == size
    healthy(sds)
    assert closed(client)
    client.ok("repair", "docs", "a", "--deep")
    assert client.ok("get", "docs", "a", "--to", "-").stdout == DATA


@pytest.mark.parametrize("damage", [*SEEN, flipped, lying], ids=lambda damage: damage.__name__)
def test_the_command_of_a_finding_repairs_it(client: Client, damage: Callable[..., None]) -> None:
    sds = client.sds
    damage(sds, sds.held("a")[1])
    found = client("check", "docs", "--deep", "--json").json["items"]
    (mend,) = {one["mend"] for one in found}
    assert client.rdctl(*shlex.split(mend)[1:]).code == 0
    healthy(sds)
    client.ok("check", "docs", "--deep")


def test_a_missing_chunk_is_stored_under_its_own_url(client: Client) -> None:
    sds = client.sds
    before = sds.held("a")
    sds.lose(before[0])
    client.ok("repair", "docs", "a")
    assert sds.held("a") == before
    assert changes(sds) == ["PUT"]
    healthy(sds)


def test_a_damaged_chunk_is_replaced_before_it_is_removed(client: Client) -> None:
    sds = client.sds
    sds.truncate(sds.held("a")[0], 5)
    client.ok("repair", "docs", "a")
    assert changes(sds) == ["content/spare", "PUT", "container/raw_update", "DELETE"]
    healthy(sds)


def test_silent_damage_is_found_by_reading(client: Client) -> None:
    sds = client.sds
    sds.flip(sds.held("a")[0])
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert one["changed"] is False
    (one,) = client.ok("repair", "docs", "a", "--deep", "--json").json["results"]
    assert one["rebuilt"] == 1
    healthy(sds)


def test_a_source_with_silent_damage_is_not_used_but_repaired(client: Client) -> None:
    sds = client.sds
    first, second, _ = sds.held("a")[:3]
    sds.lose(first)
    sds.flip(second)
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert one["rebuilt"] == 2
    healthy(sds)


def test_the_last_readable_copy_is_never_touched(client: Client) -> None:
    sds = client.sds
    first, second, third = sds.held("a")[:3]
    sds.lose(first)
    sds.truncate(second, 7)
    sds.flip(third)
    before = dict(sds.chunks)
    ran = client("repair", "docs", "a", "--json")
    assert ran.code == 1
    (error,) = errors_of(ran)
    assert error["code"] == "failed"
    words = "3 good fragments of position 0, 4 required" if sds.k else "no good copy of position 0"
    assert words in error["message"]
    assert (sds.chunks, changes(sds)) == (before, [])


def test_the_chunk_of_another_object_is_left_to_it(client: Client) -> None:
    sds = client.sds
    sds.put("b", bytes_of(900, 2))
    first, other = sds.held("a")[0], sds.held("b")[0]
    sds.swap(first, other)
    foreign = sds.chunks[first]
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert one["chunks"][0]["removed"] is False
    assert sds.chunks.pop(first) == foreign
    healthy(sds)


def test_nothing_is_written_in_a_dry_run(client: Client) -> None:
    sds = client.sds
    lose, cut = sds.held("a")[0], sds.held("a")[4]
    size = len(sds.chunks[lose])
    sds.lose(lose)
    sds.truncate(cut, 5)
    before = dict(sds.chunks)
    ran = client.ok("repair", "docs", "a", "--dry-run")
    assert changes(sds) == []
    assert sds.chunks == before
    assert not list(client.rdctl.home.rglob("repairs.ndjson"))
    assert ran.out.count("would rebuild chunk") == 2
    assert f"({size} bytes) from 127.0.0.1:" in ran.out
    # Each on one or two lines of a terminal; JSON has the URLs.
    assert "http://" not in ran.out
    (one,) = client.ok("repair", "docs", "a", "--dry-run", "--json").json["results"]
    assert (one["changed"], one["rebuilt"], one["bytes"]) == (None, 2, 2 * size)
    assert all(url.startswith("http://") for chunk in one["chunks"] for url in chunk["from"])


# --- services that do not answer ----------------------------------------------------------------


def test_unreachable_is_not_lost(client: Client) -> None:
    sds = client.sds
    sds.stop(0)
    ran = client("repair", "docs", "a", "--json")
    (error,) = errors_of(ran)
    assert (ran.code, error["code"], error["container"]) == (6, "unavailable", "docs")
    assert error["unreachable"]
    assert f"not all chunks could be examined: {sds.addresses[0]} did not answer" in ran.err
    assert "--include-unreachable" in error["hint"]
    assert changes(sds) == []


def test_what_can_be_rebuilt_is_although_some_chunks_are_unreachable(client: Client) -> None:
    sds = client.sds
    sds.put("b", DATA)
    sds.stop(0)
    held = [id for id in sds.held("a") if sds.rawx_of(id) != 0]
    sds.lose(held[0])
    ran = client("repair", "docs", "a", "--json")
    (error,) = errors_of(ran)
    assert (ran.code, error["code"], error["rebuilt"]) == (6, "unavailable", 1)
    assert "a: 1 chunk rebuilt, but not all chunks could be examined" in error["message"]
    assert client("repair", "docs").code == 6
    sds.put("c", b"")
    for id in sds.held("c"):
        del sds.chunks[id]
    sds.objects["c"][-1]["chunks"] = []  # which no service has
    ran = client("repair", "docs")
    assert (ran.code, ran.err.count("not all chunks could be examined")) == (8, 2)
    sds.start(0)
    client.ok("repair", "docs")
    healthy(sds)


def test_unreachable_chunks_are_rebuilt_when_that_is_requested(client: Client) -> None:
    sds = client.sds
    sds.stop(0)
    gone = [id for id in sds.held("a") if sds.rawx_of(id) == 0]
    ran = client.ok("repair", "docs", "a", "--include-unreachable", "--json")
    (one,) = ran.json["results"]
    assert one["rebuilt"] == len(gone) > 0
    chunks = f"{len(gone)} old chunk{'s' if gone[1:] else ''} could not be deleted yet"
    assert f"{chunks} ({sds.addresses[0]}): a later repair with the same journal" in ran.err
    assert not set(gone) & set(sds.held("a"))
    assert not closed(client)  # what is on that service is an orphan now
    sds.start(0)
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


def test_unreachable_chunks_may_be_the_last_good_ones(copies: Client) -> None:
    client, sds = copies, copies.sds
    first, second, third = sds.held("a")[:3]
    sds.lose(first)
    sds.lose(second)
    sds.stop(sds.rawx_of(third))
    ran = client("repair", "docs", "a", "--include-unreachable", "--json")
    (error,) = errors_of(ran)
    assert (ran.code, error["code"]) == (6, "unavailable")
    assert changes(sds) == []


# --- a whole container --------------------------------------------------------------------------


def test_a_container_lists_what_was_repaired(client: Client) -> None:
    sds = client.sds
    for number in range(7):
        sds.put(f"n{number}", DATA)
    sds.lose(sds.held("n3")[0])
    ran = client.ok("repair", "docs", "--json")
    repaired, container = ran.json["results"]
    assert (repaired["target"], repaired["changed"]) == ("n3", True)
    assert repaired["container"] == "docs"
    assert (container["target"], container["objects"], container["repaired"]) == ("docs", 8, 1)
    assert "container" not in container
    ran = client.ok("repair", "docs", "--prefix", "n")
    assert ran.out == "docs: 7 objects examined, 0 objects repaired\n"
    for id in sds.held("n4"):
        sds.lose(id)
    ran = client("repair", "docs", "--prefix", "n")
    assert (ran.code, ran.out) == (8, "docs: 7 objects examined, 0 objects repaired, 1 failed\n")
    (error,) = errors_of(client("repair", "docs", "--prefix", "n", "--json"))
    assert (error["target"], error["container"]) == ("n4", "docs")


def test_sizes_are_shown_as_others(copies: Client) -> None:
    sds = copies.sds
    copies.sds.put("big", bytes_of(1_750_640))
    for tty, size in ((False, "1750640 bytes"), (True, "1.7 MiB")):
        sds.chunk_size = 1_750_640
        sds.put("big", bytes_of(1_750_640))
        sds.lose(sds.held("big")[0])
        ran = copies.ok("repair", "docs", "big", tty=tty)
        assert f"repaired big: 1 chunk rebuilt ({size})" in ran.out.replace("\r", "")


def test_prefix_is_about_containers(client: Client) -> None:
    assert client("repair", "docs", "a", "--prefix", "b").code == 2
    assert client("repair", "docs", "a", "--all-versions").code == 2


# --- what hashes show ---------------------------------------------------------------------------


def test_a_replica_with_a_wrong_hash_of_its_own(copies: Client) -> None:
    sds = copies.sds
    lying(sds, sds.held("a")[0])
    copies.ok("repair", "docs", "a")
    healthy(sds)


@pytest.mark.parametrize("lies", [0, 1, 4, 5])
def test_a_wrong_fragment_with_a_right_hash_is_never_a_source(coded: Client, lies: int) -> None:
    """OpenIO's own rebuilder makes a wrong fragment of it."""
    sds = coded.sds
    held = sds.held("a")
    lying(sds, held[lies])
    sds.lose(held[2])
    (one,) = coded.ok("repair", "docs", "a", "--json").json["results"]
    assert one["rebuilt"] == 2
    healthy(sds)


def test_a_wrong_fragment_with_a_right_hash_is_found_by_reading(coded: Client) -> None:
    sds = coded.sds
    lying(sds, sds.held("a")[3])
    (one,) = coded.ok("repair", "docs", "a", "--deep", "--json").json["results"]
    assert (one["rebuilt"], one["chunks"][0]["pos"]) == (1, "0.3")
    healthy(sds)


def test_too_many_wrong_fragments_are_left_as_they_are(coded: Client) -> None:
    sds = coded.sds
    held = sds.held("a")
    for id in held[:2]:
        lying(sds, id)
    sds.lose(held[2])
    before = dict(sds.chunks)
    ran = coded("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (1, "failed")
    assert (sds.chunks, changes(sds)) == (before, [])


@pytest.mark.parametrize("damage", [lost, truncated, forgotten])
def test_an_hash_that_is_not_comparable_is_never_a_reason(
    client: Client, damage: Callable[..., None]
) -> None:
    sds = client.sds
    for chunk in sds.objects["a"][-1]["chunks"]:
        chunk["hash"] = "AB" * 32
    for id in sds.held("a"):
        if sds.k:
            sds.meta[id]["metachunk-hash"] = "AB" * 32
        sds.meta[id]["chunk-hash"] = "AB" * 32
    (one,) = client.ok("repair", "docs", "a", "--json", "--deep").json["results"]
    assert one["changed"] is False
    damage(sds, sds.held("a")[0])
    ran = client("repair", "docs", "a", "--json", "--deep")
    assert (ran.code, errors_of(ran)[0]["code"]) == (11, "unsupported")
    assert changes(sds) == []


def test_an_empty_object_needs_no_source(client: Client) -> None:
    sds = client.sds
    sds.put("e", b"")
    for id in sds.held("e")[:-1]:
        sds.lose(id)
    client.ok("repair", "docs", "e")
    healthy(sds, "e", b"")


# --- what the list shows ------------------------------------------------------------------------


def test_too_few_listed_chunks_are_reported(client: Client) -> None:
    sds = client.sds
    chunks = sds.objects["a"][-1]["chunks"]
    sds.chunks.pop(chunks.pop(1)["url"][-64:])
    sds.truncate(sds.held("a")[0], 5)
    ran = client("repair", "docs", "a", "--json")
    (error,) = errors_of(ran)
    assert (ran.code, error["code"], error["rebuilt"]) == (4, "conflict", 1)
    assert "content get" in error["hint"]
    assert "content put" in error["hint"]
    assert "are listed for position 0" in error["message"]


def test_surplus_copies_are_not_named_to_a_meta2(copies: Client) -> None:
    """One too many of them kills it."""
    sds = copies.sds
    chunks = sds.objects["a"][-1]["chunks"]
    for number in (4, 5):
        url = sds.fresh(number)
        first = chunks[0]["url"][-64:]
        sds.store(url[-64:], sds.chunks[first], sds.meta[first])
        chunks.append({**chunks[0], "url": url})
    sds.truncate(chunks[0]["url"][-64:], 4)
    ran = copies.ok("repair", "docs", "a", "--json")
    assert sds.killer is None
    (spare,) = [call for call in sds.calls if call.route == "content/spare"]
    body = json.loads(spare.received)
    assert (len(body["notin"]), spare.query["stgpol"]) == (2, sds.policy)
    assert "5 copies are listed for position 0" in ran.err


def test_two_copies_on_one_service_are_reported(copies: Client) -> None:
    sds = copies.sds
    chunks = sds.objects["a"][-1]["chunks"]
    second = chunks[1]["url"][-64:]
    url = f"http://{chunks[0]['url'].split('/')[2]}/{second}"
    chunks[1]["url"] = url
    ran = copies.ok("repair", "docs", "a", "--json")
    (one,) = ran.json["results"]
    assert one["changed"] is False
    assert "has several copies of position 0" in one["remarks"][0]
    (found,) = copies("check", "docs", "a", "--json").json["items"]
    assert found["finding"] == "misplaced"
    ran = copies.ok("repair", "docs", "a")
    assert ran.out == f"a: no damaged chunk; not repaired: {found['message']}\n"
    assert "not repaired: " in copies.ok("repair", "docs").out


@pytest.mark.parametrize("chunks", [[], None], ids=["none", "a hole"])
def test_chunks_that_are_not_listed_are_lost(client: Client, chunks: list[object] | None) -> None:
    sds = client.sds
    object = sds.objects["a"][-1]
    if chunks is None:
        chunks = [one for one in object["chunks"] if not str(one["pos"]).startswith("0")]
    object["chunks"] = chunks
    ran = client("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (1, "failed")
    assert changes(sds) == []
