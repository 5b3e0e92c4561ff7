"""Several targets: in order, once each, in as few requests as the proxy allows."""

from __future__ import annotations

from json import loads
from typing import Any

import pytest

from rdctl.core.units import quoted
from tests.cli.oio.conftest import Oio, Server
from tests.fakes.faults import Behaviour, FaultServer, close, json

MANY = [f"c{number:03}" for number in range(250)]


def lines(names: list[str], end: str = "\n") -> bytes:
    return "".join(name + end for name in names).encode()


def targets(document: Any) -> list[str]:
    return [row["target"] for row in document["results"]]


def batches(oio: Oio, key: str) -> list[list[str]]:
    """The names in each changing request."""
    return [[item["name"] for item in sent.body[key]] for sent in oio.changes]


@pytest.mark.parametrize("end", ["\n", "\0"])
def test_hundreds_of_containers(wire: Oio, end: str) -> None:
    ran = wire("container", "create", "-", "-p", "team=red", "--json", stdin=lines(MANY, end))
    assert (ran.code, targets(ran.json)) == (0, MANY)
    assert sorted(batches(wire, "containers")) == [MANY[:100], MANY[100:200], MANY[200:]]
    assert {sent.route for sent in wire.sent} == {"container/create_many"}
    assert wire.ok("container", "get-properties", "c249", "--json").json["item"]["properties"] == {
        "team": "red"
    }
    again = wire("container", "create", "-", "new", "--json", stdin=lines(MANY[:3]))
    changed = [(row["target"], row["changed"]) for row in again.json["results"]]
    assert changed == [("c000", False), ("c001", False), ("c002", False), ("new", True)]


def test_hundreds_of_contents(wire: Oio) -> None:
    beans = [
        {"type": "alias", "name": name, "version": 1, "ctime": 1, "mtime": 1, "header": "AB"}
        for name in MANY
    ]
    wire.ok("container", "raw-insert", "photos", "--body", "-", "--yes", body=beans)
    listed = wire.ok("container", "list", "photos", "--prefix", "c", "-0").stdout
    assert listed == lines(MANY, "\0")
    wire.sent.clear()
    ran = wire("content", "delete", "photos", "-", "--yes", "--json", stdin=listed)
    assert (ran.code, targets(ran.json)) == (0, MANY)
    assert sorted(batches(wire, "contents")) == [MANY[:100], MANY[100:200], MANY[200:]]
    assert wire.ok("container", "list", "photos", "--prefix", "c", "-o", "name").out == ""


def refusing(server: Server, most: int, page: bool = False) -> None:
    """A proxy that takes fewer names at a time, or a gateway that takes no long body."""
    app = server.app

    def limited(environ: Any, start_response: Any) -> Any:
        body = environ["wsgi.input"].getvalue()
        items = next(iter(loads(body).values())) if b'"name"' in body else []
        if len(items) <= most:
            return app(environ, start_response)
        start_response("413 Request entity too large", [])
        return [b"<html>" if page else b'{"status": 413, "message": "too many items"}']

    server.app = limited


@pytest.mark.parametrize("page", [False, True])
def test_a_server_that_takes_fewer_at_a_time(wire: Oio, server: Server, page: bool) -> None:
    """Refused as a whole, it is asked in halves; what it takes is learnt for the rest."""
    refusing(server, 10, page)
    names = MANY[:130]
    words = ("container", "create", "-", "--parallel", "1")
    ran = wire(*words, "--json", stdin=lines(names))
    assert (ran.code, targets(ran.json)) == (0, names)
    sizes = [len(batch) for batch in batches(wire, "containers")]
    assert (sizes[:4], max(sizes[4:]), sum(sizes[4:])) == ([100, 50, 25, 13], 7, 130)


def test_a_server_that_takes_not_even_one(wire: Oio, server: Server) -> None:
    refusing(server, 0)
    ran = wire("container", "create", "a", "b", "c", "--json")
    assert (ran.code, {error["remote_status"] for error in ran.json["errors"]}) == (2, {413})
    assert [len(batch) for batch in batches(wire, "containers")] == [3, 2, 1, 1, 1]


@pytest.mark.parametrize(
    ("words", "done"),
    [
        ("container create b a b photos a", ["b", "a", "photos"]),
        ("container touch photos photos", ["photos"]),
        ("container destroy docs docs --yes", ["docs"]),
        ("container flush photos docs photos --yes", ["photos", "docs"]),
        ("container dedup photos docs photos", ["photos", "docs"]),
        ("container purge photos docs photos --yes", ["photos", "docs"]),
        ("reference create b a b photos", ["b", "a", "photos"]),
        ("reference destroy photos docs photos --force --yes", ["photos", "docs"]),
        ("admin freeze photos docs photos --yes", ["photos", "docs"]),
        ("service reload 127.0.0.1:16011 127.0.0.1:16010 127.0.0.1:16011", ["127.0.0.1:16011"]),
        ("content delete photos sea/storm.svg index.txt sea/storm.svg --yes", ["sea/storm.svg"]),
        ("content touch photos index.txt index.txt", ["index.txt"]),
        (
            "conscience lock rawx 127.0.0.1:16014 127.0.0.1:16013 127.0.0.1:16014 --yes",
            ["127.0.0.1:16014", "127.0.0.1:16013"],
        ),
    ],
)
def test_each_once_in_the_order_given(oio: Oio, words: str, done: list[str]) -> None:
    oio.ok("container", "create", "docs")
    ran = oio.ok(*words.split(), "--json")
    told = targets(ran.json)
    assert told[: len(done)] == done
    assert len(set(told)) == len(told)


@pytest.mark.parametrize(
    ("words", "code", "status", "done", "errors"),
    [
        ("container destroy docs nope photos", 8, "partial", ["docs"], ["not-found", "not-empty"]),
        ("container destroy nope none", 3, "error", [], ["not-found", "not-found"]),
        ("container destroy nope photos", 1, "error", [], ["not-found", "not-empty"]),
        ("container touch nope photos", 8, "partial", ["photos"], ["not-found"]),
        ("container flush nope photos docs", 8, "partial", ["photos", "docs"], ["not-found"]),
        ("container dedup nope photos", 8, "partial", ["photos"], ["not-found"]),
        ("container purge nope photos", 8, "partial", ["photos"], ["not-found"]),
        ("reference destroy photos nope", 1, "error", [], ["in-use", "not-found"]),
        ("admin disable nope photos", 8, "partial", ["photos"], ["not-found"]),
        (
            "service reload 127.0.0.1:16013 127.0.0.1:16010",
            8,
            "partial",
            ["127.0.0.1:16010"],
            ["unsupported"],
        ),
        (
            "service kill 127.0.0.1:16013 127.0.0.1:16014",
            11,
            "error",
            [],
            ["unsupported", "unsupported"],
        ),
        ("content delete photos nope index.txt", 8, "partial", ["index.txt"], ["not-found"]),
        ("content delete photos nope none", 3, "error", [], ["not-found", "not-found"]),
        ("content delete nope a b", 3, "error", [], ["not-found", "not-found"]),
        (
            "conscience lock rawx 127.0.0.1:7 127.0.0.1:16013",
            8,
            "partial",
            ["127.0.0.1:16013"],
            ["not-found"],
        ),
    ],
)
def test_some_done_some_not(
    oio: Oio, words: str, code: int, status: str, done: list[str], errors: list[str]
) -> None:
    oio.ok("container", "create", "docs")
    ran = oio(*words.split(), "--yes", "--json")
    assert (ran.code, ran.json["status"]) == (code, status)
    assert targets(ran.json) == done
    assert [error["code"] for error in ran.json["errors"]] == errors
    for error in ran.json["errors"]:
        assert error["target"] in words.split()
        assert error["fate"] == "not done"
        assert f"{error['message']}\n" in ran.err


@pytest.mark.parametrize("noun", ["container show {}", "content show photos {}"])
def test_what_cannot_be_shown_keeps_nothing_back(oio: Oio, noun: str) -> None:
    names = ("nope", "photos" if noun.startswith("container") else "index.txt", "none")
    ran = oio(*noun.format(" ".join(names)).split(), "--json")
    assert (ran.code, ran.json["complete"]) == (8, False)
    assert len(ran.json["items"]) == 1
    assert [error["target"] for error in ran.json["errors"]] == ["nope", "none"]


# `-` is there wherever several are taken; nothing on it is no target at all.
EMPTY = """
conscience list -|conscience lock rawx -|conscience unlock rawx -|container create -
container show -|container destroy - --flush|container touch -|content show photos -
container flush -|container dedup -|container purge -|reference create -|reference show -
reference destroy -|admin freeze -|service flush -|service kill -|service ping -|account show -
conscience show rawx -
content delete photos -|content touch photos -|reference set-properties photos -
reference del-properties photos -|container set-properties photos - --replace-all
container del-properties photos -|content del-properties photos index.txt -
admin del-properties photos -
"""


@pytest.mark.parametrize("words", EMPTY.strip().replace("\n", "|").split("|"))
def test_no_targets_on_standard_input(wire: Oio, words: str) -> None:
    ran = wire(*words.split(), "--json", stdin=b"\n\n")
    assert ran.code == 0, ran.err
    assert ran.json.get("items", []) == []
    assert [row["changed"] for row in ran.json.get("results", [])] in ([], [False])
    assert wire.changes == []


def test_names_of_properties_on_standard_input(wire: Oio) -> None:
    wire.ok("container", "set-properties", "photos", "-", stdin=b"a=1\0b=two\nlines\0c=\xff\0")
    shown = wire.ok("container", "get-properties", "photos", "-", "--json", stdin=b"b\nc\n").json
    assert shown["item"]["properties"] == {"b": "two\nlines", "c": "\udcff"}
    wire.ok("container", "del-properties", "photos", "-", stdin=b"a\nowner\n")
    assert wire.changes[-1].body == ["a", "owner"]
    nothing = wire.ok("container", "get-properties", "photos", "-", "--json").json["item"]
    assert (nothing["properties"], nothing["system"]) == ({}, {})


def test_when_the_proxy_is_away_every_target_is_named(oio: Oio) -> None:
    with FaultServer([close()]) as gone:
        pass
    where = ("--oio-url", gone.url, "--namespace", "NS", "--account", "me")
    away = Oio(oio.rdctl, *where)
    for words in ("container create -", "container destroy -", "content delete photos -"):
        ran = away(*words.split(), "--yes", "--json", stdin=lines(MANY))
        assert ran.code == 6
        assert {error["code"] for error in ran.json["errors"]} == {"unreachable"}
        assert [error["target"] for error in ran.json["errors"]] == MANY
        assert ran.err.count("no connection to") == 1
        assert "c000 and 249 more: no connection to" in ran.err


def test_a_proxy_that_is_away_is_sent_nothing_more(oio: Oio) -> None:
    """One attempt, of three batches or of 250 names."""
    with FaultServer([close()]) as gone:
        pass
    away = Oio(oio.rdctl, "--oio-url", gone.url, "--namespace", "NS", "--account", "me")
    for words in ("container create -", "content delete photos -", "content touch photos -"):
        options = ("--yes", "--parallel", "1", "--retries", "0", "--trace")
        ran = away(*words.split(), *options, stdin=lines(MANY))
        assert ran.code == 6
        sent = [line for line in ran.err.splitlines() if line.startswith("curl ")]
        # The proxy's dialect is asked for where the bodies differ.
        assert len(sent) == 1, words


NAMED = [{"name": "a", "status": 201, "message": ""}]


@pytest.mark.parametrize(
    ("answer", "code", "done", "fate"),
    [
        (close(), 10, [], "unknown"),
        (json({"containers": NAMED}), 8, ["a"], "unknown"),
        (json({"containers": 3}), 10, [], "unknown"),
        (json({"containers": [*NAMED, {"name": "b", "status": "done"}]}), 8, ["a"], "unknown"),
        (json({"status": 400, "message": "No"}, 400), 2, [], "not done"),
        (
            json({"containers": [*NAMED, {"name": "b", "status": 503, "message": "No meta2"}]}),
            8,
            ["a"],
            "unknown",
        ),
        (
            json({"containers": [*NAMED, {"name": "b", "status": 436, "message": "Frozen"}]}),
            8,
            ["a"],
            "not done",
        ),
    ],
)
def test_what_became_of_each_is_told(
    oio: Oio, answer: Behaviour, code: int, done: list[str], fate: str
) -> None:
    with FaultServer([answer]) as server:
        at = Oio(oio.rdctl, "--oio-url", server.url, "--namespace", "NS", "--account", "me")
        ran = at("container", "create", "a", "b", "--json")
    assert len(server.requests) == 1
    assert (ran.code, targets(ran.json)) == (code, done)
    assert {error["fate"] for error in ran.json["errors"]} == {fate}
    assert [error["target"] for error in ran.json["errors"]] == (["b"] if done else ["a", "b"])
    if code == 10:
        where = f"--oio-url {server.url} --namespace NS --account me"
        assert f"Check the outcome: rdctl {where} oio container show a" in ran.err


# Listings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", ["container list photos", "container list photos --delimiter /", "account containers"]
)
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_a_limit_says_where_to_go_on(oio: Oio, words: str, limit: int) -> None:
    oio.ok("container", "create", "zoo", "alps", "pictures")
    whole = oio.ok(*words.split(), "-o", "name").out.splitlines()
    found: list[str] = []
    marker: tuple[str, ...] = ()
    for _ in range(10):
        ran = oio.ok(*words.split(), "--limit", str(limit), *marker, "--json")
        names = [row["name"] for row in ran.json["items"]]
        assert len(names) <= limit
        found += names
        if ran.json["complete"]:
            break
        assert f"More results: --marker {quoted(ran.json['marker'])}\n" in ran.err
        marker = ("--marker", ran.json["marker"])
    assert found == whole
