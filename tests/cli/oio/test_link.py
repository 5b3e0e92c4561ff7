"""content link: another object with the same bytes and chunks of its own, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import pytest

from tests.cli.oio.conftest import Oio
from tests.cli.oio.repairs import DATA, KINDS, Near, namespace
from tests.cli.oio.transfers import Client, lost, unsure
from tests.fakes.sds import Call, on


@pytest.fixture(params=KINDS)
def client(near: Near, request: pytest.FixtureRequest) -> Client:
    return namespace(near, request.param)


def linked(call: Call) -> None:
    """The link is made."""
    id = call.headers["destination"][-64:]
    call.sds.link(call.chunk, id, call.headers["x-oio-chunk-meta-full-path"])


def lose_link(call: Call) -> None:
    linked(call)
    call.hang_up()


def refuse_link(call: Call) -> None:
    call.reply("507 Insufficient Storage", body=b"<html>")


def break_off(call: Call) -> None:
    call.reset()


def unproven(call: Call) -> None:
    linked(call)
    call.reply("200 OK", body=b"<html>")


FAILING = (refuse_link, break_off, unproven)


def nth(number: int, act: Callable[[Call], None]) -> Callable[[Call], bool]:
    """The fault at each COPY of the chunk that is the one of that number, from 1."""
    seen: list[str] = []

    def fault(call: Call) -> bool:
        if call.method == "COPY" and call.chunk not in seen:
            seen.append(call.chunk)
        if call.method != "COPY" or seen[number - 1 : number] != [call.chunk]:
            return False
        act(call)
        return True

    return fault


def test_a_link_has_its_own_chunks_and_the_same_bytes(client: Client) -> None:
    sds = client.sds
    before = sds.urls_of("docs")
    ran = client.ok("link", "docs", "a", "b", "--json")
    assert ran.json["results"][0]["to"] == "b"
    assert sds.content("b") == DATA
    old, new = sds.urls_of("docs").values()
    assert list(before.values()) == [old]
    assert (old & new, len(old)) == (set(), len(new))
    assert {url.split("/")[2] for url in old} == {url.split("/")[2] for url in new}
    for url in new:
        assert sds.owner_of(url[-64:])[:3] == ["ACCT", "docs", "b"]
    first, second = (sds.objects[name][-1]["meta"] for name in "ab")
    assert first["id"] != second["id"]
    assert {k: first[k] for k in ("hash", "length", "policy", "chunk-method")} == {
        k: second[k] for k in ("hash", "length", "policy", "chunk-method")
    }
    for url in old:  # the first object is deleted, and its chunks by events
        sds.lose(url[-64:])
    del sds.objects["a"]
    assert client.ok("get", "docs", "b", "--to", "-").stdout == DATA
    assert sds.unlisted() == set()


@pytest.mark.parametrize("act", FAILING, ids=lambda act: act.__name__)
def test_a_chunk_that_cannot_be_linked_leaves_nothing(
    client: Client, act: Callable[[Call], None]
) -> None:
    client.sds.faults.append(nth(3, act))
    before = client.sds.urls_of("docs")
    ran = client("link", "docs", "a", "b", "--json")
    assert ran.code not in (0, 10), ran.err
    assert "chunks could not be linked" in ran.err
    assert client.sds.urls_of("docs") == before
    assert client.sds.unlisted() == set()
    assert "content/create" not in client.sds.routes()


def test_a_connection_that_breaks_once_is_no_failure(client: Client) -> None:
    client.sds.faults.append(on("COPY", break_off, times=1))
    client.ok("link", "docs", "a", "b")
    assert client.sds.content("b") == DATA
    assert client.sds.unlisted() == set()


def test_a_lost_reply_of_a_link_is_looked_up(client: Client) -> None:
    client.sds.faults.append(nth(2, lose_link))
    client.ok("link", "docs", "a", "b")
    assert client.sds.content("b") == DATA
    assert client.sds.unlisted() == set()


def test_a_refused_creation_leaves_nothing(client: Client) -> None:
    before = client.sds.urls_of("docs")
    client.sds.faults.append(on("content/create", lambda call: call.refuse(424, "409 Conflict")))
    assert client("link", "docs", "a", "b").code == 4
    assert len(client.sds.asked("COPY")) == len(client.sds.asked("DELETE")) > 0
    assert (client.sds.urls_of("docs"), client.sds.unlisted()) == (before, set())


@pytest.mark.parametrize("act", [lost, unsure])
def test_after_a_lost_reply_the_chunks_are_kept_and_named(
    client: Client, act: Callable[[Call], None]
) -> None:
    client.sds.faults.append(on("content/create", act))
    ran = client("link", "docs", "a", "b", "--json")
    assert ran.code == 10
    error = ran.json["error"]
    assert {url[-64:] for url in error["chunks"]} == client.sds.unlisted() != set()
    assert " oio content show docs b" in error["hint"]


def test_an_existing_name_is_refused_before_anything_is_linked(client: Client) -> None:
    client.sds.put("b", b"other")
    before = client.sds.urls_of("docs")
    ran = client("link", "docs", "a", "b")
    assert (ran.code, client.sds.asked("COPY")) == (4, [])
    assert "--overwrite" in ran.err
    assert client("link", "docs", "a", "b", "--overwrite").code == 2  # nobody agreed
    assert client.sds.urls_of("docs") == before
    client.ok("link", "docs", "a", "b", "--overwrite", "--yes")
    assert client.sds.content("b") == DATA


def test_a_name_taken_meanwhile_is_refused(client: Client) -> None:
    first = Lock()  # COPYs come in parallel

    def taken(call: Call) -> bool:
        if call.method == "COPY" and first.acquire(blocking=False):
            call.sds.put("b", b"other")
        return False

    client.sds.faults.append(taken)
    ran = client("link", "docs", "a", "b")
    assert ran.code == 4
    assert client.sds.content("b") == b"other"
    assert client.sds.unlisted() == set()


def test_nothing_but_names_is_sent_in_a_dry_run(client: Client) -> None:
    before = client.sds.urls_of("docs")
    ran = client.ok("link", "docs", "a", "b", "--dry-run")
    assert 'would link object "a" in container "docs" as object "b"' in ran.out
    assert (client.sds.asked("COPY"), client.sds.urls_of("docs")) == ([], before)
    assert "content/prepare" not in client.sds.routes()


# --- in the sandbox -----------------------------------------------------------------------------


def test_to_another_container_with_properties_and_an_id(oio: Oio) -> None:
    oio.ok("content", "set-properties", "photos", "index.txt", "color=blue")
    words = ("content", "link", "photos", "index.txt", "--to-container", "backup")
    assert oio(*words).code == 3
    linked = oio.ok(*words, "--autocreate", "--id", "00AA").out
    assert "linked index.txt (to index.txt, in container backup, " in linked
    shown = oio.ok("content", "show", "backup", "index.txt", "--json").json["items"][0]
    assert (shown["content_id"], shown["properties"]) == ("00AA", {"color": "blue"})
    oio.ok("content", "link", "photos", "index.txt", "i2", "-p", "shape=round")
    shown = oio.ok("content", "show", "photos", "i2", "--json").json["items"][0]
    assert shown["properties"] == {"shape": "round"}
    ran = oio("content", "link", "photos", "index.txt", "x", "--to-container", "backup", "--id",
              "00AA")  # fmt: skip
    assert ran.code == 4
    assert oio("content", "show", "backup", "x").code == 3
    oio.ok("content", "delete", "photos", "index.txt", "--yes")
    oio.ok("content", "get", "backup", "index.txt", "--to", "-")
    assert oio.ok("content", "check", "backup").err.startswith("No findings")


def test_an_older_version_becomes_the_current_one(oio: Oio) -> None:
    oio.ok("container", "set-properties", "photos", "--max-versions", "-1", "--yes")
    first = oio.ok("content", "get", "photos", "index.txt", "--to", "-").stdout
    (old,) = oio.ok("content", "show", "photos", "index.txt", "--json").json["items"]
    oio.ok("content", "put", "photos", "-", "--path", "index.txt", "--overwrite", stdin=b"new")
    version = ("--content-version", str(old["version"]))
    oio.ok("content", "link", "photos", "index.txt", "index.txt", *version, "--overwrite")
    assert oio.ok("content", "get", "photos", "index.txt", "--to", "-").stdout == first
    rows = oio.ok("content", "list", "photos", "--prefix", "index.txt", "--all-versions", "--json")
    assert len(rows.json["items"]) == 3


def test_no_name_and_no_container_is_no_link(oio: Oio) -> None:
    assert oio("content", "link", "photos", "index.txt").code == 2
    ran = oio("content", "link", "photos", "nope", "x")
    assert (ran.code, 'object "nope" not found' in ran.err) == (3, True)
