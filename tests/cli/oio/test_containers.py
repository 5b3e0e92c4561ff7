"""`container list` without a container: the containers of the account."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.oio.conftest import Oio, Server
from tests.cli.oio.test_refusals import refusing
from tests.cli.oio.test_rows import account_service, containers


def names(oio: Oio, *words: str) -> list[str]:
    return oio.ok("container", "list", *words, "-o", "name").out.splitlines()


def test_without_a_container_the_containers_are_listed(oio: Oio) -> None:
    oio.ok("container", "create", "docs")
    ran = oio.ok("container", "list", "--json")
    assert ran.json == oio.ok("account", "containers", "--json").json
    assert ran.json["schema"] == "rdctl.oio.account-container/1"
    assert [row["name"] for row in ran.json["items"]] == ["docs", "photos"]
    assert oio.ok("container", "list").out.split("\n")[0].split() == [
        *("NAME", "OBJECTS", "BYTES", "MODIFIED")
    ]
    assert oio.ok("container", "list", "photos", "--json").json["schema"] == "rdctl.oio.entry/1"
    cid = oio.ok("container", "show", "photos", "--json").json["items"][0]["cid"]
    assert names(oio, "--cid", cid) == names(oio, "photos")


@pytest.mark.parametrize(
    ("words", "listed"),
    [
        ("", ["a/1", "a/2", "b", "photos"]),
        ("--prefix a/", ["a/1", "a/2"]),
        ("--marker a/2", ["b", "photos"]),
        ("--end-marker b", ["a/1", "a/2"]),
        ("--limit 2", ["a/1", "a/2"]),
        ("--delimiter /", ["a/", "b", "photos"]),
        ("--sort-by -objects --limit 1", ["photos"]),
        ("--account nobody", []),
    ],
)
def test_some_of_the_containers(oio: Oio, words: str, listed: list[str]) -> None:
    oio.ok("container", "create", "a/1", "a/2", "b")
    ran = oio("container", "list", *words.split(), "-o", "name")
    assert ran.out.splitlines() == listed
    assert ran.code == (0 if listed else 3)


def test_a_limit_ends_the_listing_with_a_marker(oio: Oio) -> None:
    oio.ok("container", "create", "a/1", "a/2", "b")
    seen, marker = [], ""
    while True:
        words = ("--delimiter", "/", "--limit", "1", "--marker", marker, "--json")
        ran = oio.ok("container", "list", *words).json
        seen += [row["name"] for row in ran["items"]]
        if ran["complete"]:
            break
        marker = ran["marker"]
    assert seen == ["a/", "b", "photos"]


def test_the_containers_come_page_by_page(oio: Oio) -> None:
    with account_service(containers(0, 1000), containers(1000, 1003)) as server:
        at = Oio(oio.rdctl, "--oio-url", server.url, "--namespace", "NS", "--account", "me")
        ran = at("container", "list", "-o", "name")
    assert (ran.code, len(ran.out.splitlines())) == (0, 1003)
    assert "marker=c0999" in server.requests[-1].path


@pytest.mark.parametrize("option", ["--deleted", "--all-versions", "--properties"])
def test_what_only_objects_have_requires_a_container(oio: Oio, option: str) -> None:
    ran = oio("container", "list", option, "--json")
    assert (ran.code, ran.json["error"]["message"]) == (2, f"{option} requires CONTAINER")


def test_columns_are_those_of_what_is_listed(oio: Oio) -> None:
    assert oio("container", "list", "--columns", "name,objects").code == 0
    assert oio("container", "list", "--columns", "name,size").code == 2
    assert oio("container", "list", "photos", "--columns", "name,size").code == 0
    assert oio("container", "list", "photos", "--columns", "name,objects").code == 2


def test_a_namespace_without_an_account_service(wire: Oio, server: Server) -> None:
    refusing(server, "lb/choose", 453, "Unexpected service type")
    ran = wire("container", "list", "--json")
    error: dict[str, Any] = ran.json["error"]
    assert (ran.code, error["code"]) == (11, "unsupported")
    assert error["hint"].startswith("List the objects of a container: rdctl ")
    assert wire("container", "list", "photos").code == 0


# Limits -------------------------------------------------------------------------------------------


def test_limits_are_system_properties(wire: Oio) -> None:
    words = ("--quota", "1 MiB", "--max-versions", "3", "--policy", "SINGLE")
    wire.ok("container", "create", "docs", *words)
    (sent,) = [sent for sent in wire.sent if sent.changes]
    assert sent.body == {
        "system": {
            "sys.m2.quota": "1048576",
            "sys.m2.policy.storage": "SINGLE",
            "sys.m2.policy.version": "3",
        }
    }
    (shown,) = wire.ok("container", "show", "docs", "--json").json["items"]
    assert [shown[key] for key in ("quota", "policy", "versioning")] == [1 << 20, "SINGLE", 3]
    changed = ("container", "set-properties", "docs", "--quota", "0", "--max-versions", "-1")
    wire.ok(*changed, "--yes")
    (shown,) = wire.ok("container", "show", "docs", "--json").json["items"]
    assert [shown[key] for key in ("quota", "policy", "versioning")] == [0, "SINGLE", -1]
    again = wire.ok(*changed, "--json").json
    assert [row["changed"] for row in again["results"]] == [False]


def test_a_limit_is_refused_before_anything_is_sent(wire: Oio) -> None:
    for words in ("--quota 10X", "--max-versions -2", "--policy NONE", "--quota 9000P"):
        for verb in ("create", "set-properties"):
            assert wire("container", verb, "photos", *words.split(), "--yes").code == 2
    assert wire.changes == []
    assert {sent.route for sent in wire.sent} == {"conscience/info"}


# Objects ------------------------------------------------------------------------------------------


def test_chunks_are_listed_when_asked_for(oio: Oio) -> None:
    words = ("content", "show", "photos", "index.txt")
    brief = oio.ok(*words).out
    assert brief.endswith("\nChunks        3 (use --chunks)\n")
    assert "MIME type     text/plain\n" in brief
    assert oio.ok(*words, "--chunks").out.startswith(brief.rpartition("Chunks ")[0] + "Chunks\n  ")
    document = oio.ok(*words, "--json").json
    assert document == oio.ok(*words, "--chunks", "--json").json
    assert len(document["items"][0]["chunks"]) == 3
    several = oio.rdctl("-c", "sandbox,", "oio", *words)
    assert "\nChunks        3 (use --chunks)\n" in several.out
