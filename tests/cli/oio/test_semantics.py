"""What an operator counts on: what is in the way, what became of it, what to do next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.cli.oio.cases import CHUNKS, META2, RAWX, chunk
from tests.cli.oio.conftest import Oio
from tests.cli.oio.test_causes import Received
from tests.conftest import Program, Ran
from tests.fakes.faults import Behaviour, Connection, FaultServer, json, reply

OLD = {"Server": "oio-proxy/3.3.1/3.0"}


def results(ran: Ran) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ran.json["results"]
    return rows


def changed(ran: Ran) -> Any:
    (row,) = results(ran)
    return row["changed"]


def put(oio: Oio, path: str, *options: str, length: int = 5) -> None:
    """A content of chunks that nobody looks at."""
    words = ("--chunks", "-", "--length", f"{length}B", "--content-id", f"AB{length:02}")
    body = [chunk(f"{path} {options}", size=length)]
    oio.ok("content", "create", "photos", path, *words, *options, body=body)


# Containers --------------------------------------------------------------------------------------


def test_what_is_in_the_way_of_destroying(oio: Oio) -> None:
    ran = oio("container", "destroy", "photos", "--yes")
    assert ran.code == 4
    assert 'container "photos" is not empty: 5 objects (733 B)\n' in ran.err
    assert "See its objects: rdctl -c sandbox oio container list photos\n" in ran.err
    assert "--force to leave their chunks as orphans" in ran.err
    assert len(oio.ok("container", "list", "photos", "-0").stdout.split(b"\0")) == 6
    oio.ok("container", "destroy", "photos", "--flush", "--yes")
    ran = oio("container", "show", "photos")
    assert (ran.code, ran.out) == (3, "")
    assert "rdctl -c sandbox oio reference show photos" in ran.err
    assert oio.ok("reference", "show", "photos", "--json").json["items"][0]["services"] == []
    oio.ok("reference", "destroy", "photos", "--yes")
    assert oio("reference", "show", "photos").code == 3


def test_objects_that_went_before_destroying_failed_are_told_of(rdctl: Program) -> None:
    shown = reply(200, b"{}", {"x-oio-container-meta-sys-user-name": "c"})
    gone = json({"status": 503, "message": "No service replied"}, status=503)
    with FaultServer([shown, shown, reply(204), gone]) as server:
        ran = at(rdctl, server, "container", "destroy", "c", "--flush", "--yes", "--json")
    routes = [request.path.partition("?")[0] for request in server.requests]
    wanted = ["container/show", "container/show", "container/flush", "container/destroy"]
    assert routes == [f"/v3.0/OPENIO/{route}" for route in wanted]
    assert ran.code == 10
    assert "its objects are already deleted" in ran.err


@pytest.mark.parametrize("noun", ["container", "reference"])
def test_creating_what_exists_changes_nothing(oio: Oio, noun: str) -> None:
    assert changed(oio.ok(noun, "create", "docs", "--json")) is True
    before = oio.state
    assert oio.ok(noun, "create", "docs").out == "docs already exists\n"
    ran = oio(noun, "create", "docs", "-p", "a=b c", "-p", "d=e", "--json")
    (error,) = ran.json["errors"]
    assert (ran.code, error["code"]) == (4, "exists")
    assert error["message"] == "docs: already exists without these properties (a, d)"
    wanted = f"rdctl -c sandbox oio {noun} set-properties docs 'a=b c' d=e"
    assert error["hint"] == f"Set them: {wanted}"
    assert oio.state == before
    oio.ok(*shlex.split(wanted)[4:])
    assert changed(oio.ok(noun, "create", "docs", "-p", "d=e", "--json")) is False


def test_of_many_only_those_that_lack_a_property_fail(wire: Oio) -> None:
    """A look at each of those that exist, and at no other."""
    wire.ok("container", "create", "like", "-p", "a=b", "--system", "sys.m2.quota=1k", "--yes")
    wire.ok("container", "create", "bare")
    wire.sent.clear()
    names = "like bare new other".split()
    system = ("--system", "sys.m2.quota=1024")
    ran = wire("container", "create", *names, "-p", "a=b", *system, "--yes", "--json")
    assert ran.code == 8
    rows = {row["target"]: (row["changed"], row["verified"]) for row in results(ran)}
    assert rows == {"like": (False, True), "new": (True, True), "other": (True, True)}
    (error,) = ran.json["errors"]
    assert (error["target"], error["code"]) == ("bare", "exists")
    assert "set-properties --system sys.m2.quota=1024 bare a=b" in error["hint"]
    asked = [(sent.route, sent.query) for sent in wire.sent]
    assert asked == [
        ("container/create_many", "acct=sandbox"),
        ("container/get_properties", "acct=sandbox&ref=like"),
        ("container/get_properties", "acct=sandbox&ref=bare"),
    ]


def test_what_is_frozen_is_not_destroyed_and_stays_frozen(wire: Oio) -> None:
    """The server would destroy it; one with objects it would refuse, and enable it by doing so."""
    wire.ok("container", "create", "one", "two", "three")
    chunk = {"url": "http://127.0.0.1:7/" + "A" * 64, "pos": "0", "size": 1, "hash": "0" * 32}
    words = ("--body", "-", "--size", "1", "--content-id", "AB")
    wire.ok("content", "create", "two", "a", *words, body=[chunk])
    wire.ok("admin", "freeze", "two", "--yes")
    wire.sent.clear()
    ran = wire("container", "destroy", "one", "two", "three", "--yes", "--json")
    assert ran.code == 8
    (error,) = ran.json["errors"]
    assert (error["target"], error["code"], error["message"]) == (
        "two",
        "frozen",
        'container "two" is frozen (read-only)',
    )
    assert "oio admin enable two" in error["hint"]
    assert sorted(sent.query for sent in wire.changes) == [
        "acct=sandbox&ref=one",
        "acct=sandbox&ref=three",
    ]
    status = wire.ok("container", "show", "two", "--json").json["items"][0]["status"]
    assert status == "frozen"
    assert wire("container", "destroy", "two", "--flush", "--dry-run").code == 4
    # What it is kept from:
    query = ("--param", "acct=sandbox", "--param", "ref=two")
    assert wire("api", "POST", "container/destroy", *query, "--yes").code == 4
    shown = wire.ok("container", "show", "two", "--json").json["items"][0]
    assert shown["status"] == "enabled"


STATES = [
    # action, state before, exit, changed
    ("freeze", "enabled", 0, True),
    ("freeze", "frozen", 0, False),
    ("freeze", "disabled", 4, None),
    ("disable", "enabled", 0, True),
    ("disable", "disabled", 0, False),
    ("disable", "frozen", 4, None),
    ("enable", "frozen", 0, True),
    ("enable", "disabled", 0, True),
    ("enable", "enabled", 0, False),
]


@pytest.mark.parametrize(("action", "before", "code", "change"), STATES)
def test_a_state_that_is_so_already(
    oio: Oio, action: str, before: str, code: int, change: bool | None
) -> None:
    to = {"frozen": "freeze", "disabled": "disable"}
    if before in to:
        oio.ok("admin", to[before], "photos", "--yes")
    ran = oio("admin", action, "photos", "--yes", "--json")
    assert ran.code == code, ran.err
    if code == 0:
        assert changed(ran) is change
    else:
        assert "rdctl -c sandbox oio admin enable photos" in ran.err
    becomes = {"freeze": "frozen", "disable": "disabled", "enable": "enabled"}[action]
    shown = oio.ok("container", "show", "photos", "--json").json["items"][0]["status"]
    assert shown == (before if code else becomes)


@pytest.mark.parametrize("state", ["freeze", "disable"])
@pytest.mark.parametrize(
    "words",
    [
        "container flush photos",
        "container flush empty",
        "container purge empty",
        "container dedup photos",
        "container destroy photos --force",
        "container purge photos",
        "content delete photos index.txt",
        "content set-properties photos index.txt a=b",
    ],
)
def test_what_is_frozen_says_how_to_thaw_it(oio: Oio, state: str, words: str) -> None:
    oio.ok("container", "create", "empty")
    name = "empty" if "empty" in words else "photos"
    oio.ok("admin", state, name, "--yes")
    before = oio.state
    ran = oio(*words.split(), "--yes", "--json")
    error = ran.json["error"] if "error" in ran.json else ran.json["errors"][0]
    assert (ran.code, error["code"]) == (4, "frozen")
    assert re.match(
        rf'(container "{name}" is|{name}:) (frozen|disabled|frozen or disabled)( \(|$)',
        error["message"],
    )
    assert error["hint"].endswith(f": rdctl -c sandbox oio admin enable {name}")
    assert oio.state == before


def test_what_a_frozen_container_takes_all_the_same(oio: Oio) -> None:
    oio.ok("admin", "freeze", "photos", "--yes")
    assert oio("content", "prepare", "photos", "new", "--size", "1").code == 4
    for words in (
        "container touch photos",
        "container set-properties photos a=b",
        "content show photos index.txt",
    ):
        oio.ok(*words.split())
    assert oio.ok("container", "show", "photos", "--json").json["items"][0]["status"] == "frozen"


# Properties --------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["reference {} r", "container {} photos", "admin {} photos"])
def test_properties_are_never_dropped_by_accident(wire: Oio, target: str) -> None:
    wire.ok("reference", "create", "r")
    name = target.split()[-1]
    noun = target.split()[0]

    def all_of() -> dict[str, str]:
        words = target.format("get-properties").split()
        found: dict[str, str] = wire.ok(*words, "--json").json["item"]["properties"]
        return found

    wire.ok(*target.format("del-properties").split(), "--all", "--yes")
    wire.ok(*target.format("set-properties").split(), "a=1", "c=3 3")
    wire.sent.clear()
    for words in ([], ["-"]):
        wire(*target.format("del-properties").split(), *words, "--yes", stdin=b"")
    assert wire.changes == []
    kept = all_of()
    assert kept.items() >= {"a": "1", "c": "3 3"}.items()
    wire.ok(*target.format("del-properties").split(), "--all", "--yes")
    (sent,) = wire.changes
    assert sent.body == sorted(kept)
    assert all_of() == {}
    again = wire.ok(*target.format("del-properties").split(), "--all", "--json")
    assert (changed(again), results(again)[0]["target"]) == (False, name)
    assert len(wire.changes) == 1
    assert noun in sent.route


def test_replacing_all_properties(oio: Oio) -> None:
    oio.ok("container", "set-properties", "photos", "a=1", "b=2")
    oio.ok("container", "set-properties", "photos", "c=3", "--replace-all", "--yes")
    item = oio.ok("container", "get-properties", "photos", "--json").json["item"]
    assert item["properties"] == {"c": "3"}
    assert item["system"]["sys.user.name"] == "photos"


def test_properties_of_some_names(oio: Oio) -> None:
    words = ("container", "get-properties", "photos", "owner", "sys.ns", "nothing", "--json")
    item = oio.ok(*words).json["item"]
    assert (item["properties"], item["system"]) == ({"owner": "ada"}, {"sys.ns": "OPENIO"})


# Versions, quota ---------------------------------------------------------------------------------


def listed(oio: Oio, *options: str) -> list[tuple[int, bool]]:
    rows = oio.ok("container", "list", "photos", "--prefix", "v", *options, "--json").json["items"]
    return [(row["version"], row["deleted"]) for row in rows]


def test_versions(oio: Oio) -> None:
    oio.ok("container", "set-properties", "photos", "--system", "sys.m2.policy.version=-1", "-y")
    assert oio.ok("container", "show", "photos", "--json").json["items"][0]["versioning"] == -1
    put(oio, "v", "--content-version", "10")
    put(oio, "v", "--content-version", "20", length=7)
    assert listed(oio) == [(20, False)]
    assert listed(oio, "--all-versions") == [(20, False), (10, False)]
    older = ("content", "show", "photos", "v", "--content-version", "10", "--json")
    assert oio.ok(*older).json["items"][0]["size"] == 5

    deleted = oio.ok("content", "delete", "photos", "v", "--yes")
    assert deleted.out == "deleted v\n"
    assert listed(oio) == []
    ((_, marker),) = listed(oio, "--deleted")
    assert marker is True
    ran = oio("content", "show", "photos", "v")
    assert ran.code == 3
    assert "Its latest version is a delete marker; older ones may exist." in ran.err
    assert len(listed(oio, "--all-versions")) == 3

    oio.ok("content", "delete", "photos", "v", "--content-version", "20", "--yes")
    assert (20, False) not in listed(oio, "--all-versions")
    ran = oio("content", "delete", "photos", "v", "--content-version", "20", "--yes")
    assert ran.code == 3
    oio.ok("container", "purge", "photos", "--max-versions", "1", "--yes")
    # A marker is not counted: one version of the data is kept below it.
    assert [gone for _, gone in listed(oio, "--all-versions")] == [True, False]


@pytest.mark.parametrize(
    ("options", "headings"),
    [
        ("", "CREATED"),
        ("--deleted", "DELETED CREATED"),
        ("--all-versions", "VERSION DELETED CREATED"),
        ("--properties", "CREATED PROPERTIES"),
    ],
)
def test_a_table_shows_what_was_asked_for(oio: Oio, options: str, headings: str) -> None:
    for noun in ("container", "content"):
        shown = oio.ok(noun, "list", "photos", *options.split()).out
        assert shown.split("\n")[0].split() == f"NAME SIZE POLICY MIME TYPE {headings}".split()


def test_a_quota_is_named(oio: Oio) -> None:
    oio.ok("container", "create", "small", "--system", "sys.m2.quota=5", "--yes")
    assert oio.ok("container", "show", "small", "--json").json["items"][0]["quota"] == 5
    words = ("content", "create", "small", "a", "--chunks", "-", "--length", "10B")
    oio.ok(*words, "--content-id", "AB", body=CHUNKS)
    ran = oio("content", "prepare", "small", "b", "--size", "1")
    assert ran.code == 4
    assert "The quota of the container (sys.m2.quota) is reached." in ran.err


def test_what_prepare_prints_is_what_create_takes(oio: Oio) -> None:
    prepared = oio.ok("content", "prepare", "photos", "new", "--size", "1MiB", "--json")
    words = ("content", "create", "photos", "new", "--length", "1MiB", "-p", "k=v")
    oio.ok(*words, "--chunks", "-", stdin=prepared.stdout)
    made = oio.ok("content", "show", "photos", "new", "--json").json["items"][0]
    wanted = prepared.json["item"]
    for key in ("content_id", "version", "policy", "mime_type", "chunk_method", "size"):
        assert made[key] == wanted[key]
    assert made["properties"] == {"k": "v"}
    assert [c["url"] for c in made["chunks"]] == [c["url"] for c in wanted["chunks"]]
    ran = oio(*words, "--yes", "--chunks", "-", stdin=prepared.stdout)
    assert (ran.code, "Alias already saved" in ran.err) == (4, True)
    later = ("--content-id", "CD", "--content-version", str(wanted["version"] + 1))
    chosen = (*later, "--mime-type", "image/png", "--hash", "A" * 32)
    oio.ok(*words, *chosen, "--yes", "--chunks", "-", stdin=prepared.stdout)
    made = oio.ok("content", "show", "photos", "new", "--json").json["items"][0]
    assert (made["mime_type"], made["hash"], made["content_id"]) == ("image/png", "A" * 32, "CD")
    bare = ("content", "create", "photos", "other", "--chunks", "-", "--length")
    ran = oio(*bare, "10B", body=CHUNKS)
    assert ran.code == 2
    assert "Use --content-id HEX, or --body with the output of: rdctl" in ran.err
    ran = oio(*bare, "11B", "--content-id", "AB", body=CHUNKS)
    assert ran.code == 4
    assert "The sizes of the chunks must add up to --length." in ran.err


def test_sizes_of_contents_are_bytes(oio: Oio) -> None:
    for text, size in (("10", 10), ("1k", 1024), ("1kB", 1000), ("1MiB", 1 << 20), ("0", 0)):
        ran = oio.ok("content", "prepare", "photos", "n", "--size", text, "--json")
        assert ran.json["item"]["size"] == size
    for text in ("1.5", "-1", "x", ""):
        assert oio("content", "prepare", "photos", "n", "--size", text).code == 2


# Conscience --------------------------------------------------------------------------------------


def state_of(oio: Oio, address: str) -> tuple[int, str]:
    rows = oio.ok("conscience", "list", "rawx", "--json").json["items"]
    ((score, state),) = [(r["score"], r["state"]) for r in rows if r["address"] == address]
    return score, state


def test_a_lock_shows_the_state_as_it_becomes(oio: Oio) -> None:
    locked = oio.ok("conscience", "lock", "rawx", RAWX, "--yes", "--json")
    assert results(locked) == [
        {
            "action": "lock",
            "target": RAWX,
            "changed": True,
            "verified": True,
            "score": 0,
            "state": "down-or-locked",
        }
    ]
    assert state_of(oio, RAWX) == (0, "down-or-locked")
    again = oio.ok("conscience", "lock", "rawx", RAWX, "--yes", "--json")
    assert (changed(again), results(again)[0]["verified"]) == (None, True)
    free = oio.ok("conscience", "unlock", "rawx", RAWX, "--json")
    assert (changed(free), results(free)[0]["score"]) == (True, 93)
    again = oio.ok("conscience", "unlock", "rawx", RAWX, "--json")
    assert (changed(again), results(again)[0]["verified"]) == (None, None)


def test_unknown_addresses_are_refused_before_anything_is_sent(wire: Oio) -> None:
    for verb in ("lock", "unlock"):
        ran = wire("conscience", verb, "rawx", "127.0.0.1:16031", "--yes")
        assert ran.code == 3
        assert f"Registered rawx services: {RAWX}, 127.0.0.1:16014, " in ran.err
    assert wire.changes == []
    assert wire("conscience", "lock", "rawx", META2, "--yes").code == 3  # it is a meta2


def services(*scores: int) -> Behaviour:
    addresses = ("127.0.0.1:6010", "127.0.0.1:6011")
    rows = zip(addresses, scores, strict=True)
    return json([{"addr": address, "score": score, "tags": {}} for address, score in rows])


def at(rdctl: Program, server: FaultServer, *words: str) -> Ran:
    where = ("--oio-url", server.url, "--namespace", "OPENIO", "--account", "me", "--retries", "0")
    return rdctl(*where, "oio", *words)


LOCK = ("conscience", "lock", "rawx", "127.0.0.1:6010", "127.0.0.1:6011", "--yes", "--json")
DONE = reply(204)
BEFORE = services(90, 80)


@pytest.mark.parametrize(
    ("after", "slept", "verified", "scores"),
    [
        ([services(0, 0)], 1, [True, True], [0, 0]),
        ([BEFORE, services(0, 80), services(0, 0)], 3, [True, True], [0, 0]),
        ([services(0, 80)], 5, [True, None], [0, 80]),
        ([json({"status": 503, "message": "down"}, status=503)], 1, [None, None], [None, None]),
    ],
)
def test_the_conscience_takes_its_time(
    rdctl: Program,
    after: Sequence[Behaviour],
    slept: int,
    verified: list[bool | None],
    scores: list[int | None],
) -> None:
    rdctl.slept.clear()
    with FaultServer([BEFORE, DONE, DONE, *after]) as server:
        ran = at(rdctl, server, *LOCK)
    assert ran.code == 0, ran.err
    assert [row["verified"] for row in results(ran)] == verified
    assert [row.get("score") for row in results(ran)] == scores
    assert len(rdctl.slept) == slept
    assert sum(rdctl.slept) < 3
    assert sum(request.path.endswith("full=1") for request in server.requests) == 1 + slept


def test_dropping_a_type_names_its_services(wire: Oio) -> None:
    ran = wire("conscience", "deregister", "rawx")
    assert ran.code == 2
    addresses = [f"127.0.0.1:{port}" for port in (*range(16013, 16017), *range(16020, 16028))]
    for address in addresses:
        assert f"\n  rawx {address} will be removed from the conscience" in ran.err
    ran = wire("conscience", "flush", "rawx", "--yes", "--json")
    assert results(ran)[0]["services"] == addresses
    (sent,) = wire.changes
    assert (sent.route, sent.query, sent.body) == ("conscience/flush", "type=rawx", b"")
    again = wire("conscience", "flush", "rawx", "--json")  # nothing is lost any more
    assert (again.code, changed(again), len(wire.changes)) == (0, False, 1)
    assert wire.ok("conscience", "list", "rawx").err == "No services.\n"


# Elections ---------------------------------------------------------------------------------------


def test_the_master_is_marked(oio: Oio) -> None:
    rows = oio.ok("admin", "status", "photos", "--json").json["items"]
    (master,) = [row["service"] for row in rows if row["role"] == "master"]
    assert [row["role"] for row in rows].count("slave") == 2
    assert {row["master"] for row in rows} == {master}
    assert re.search(rf"^{master} +master +{master} +200 +OK$", oio.ok(
        "admin", "status", "photos").out, re.MULTILINE)  # fmt: skip
    oio.ok("admin", "leave", "photos", "--service", master, "--yes")
    rows = oio.ok("admin", "status", "photos", "--json").json["items"]
    assert master not in [row["service"] for row in rows if row["role"] == "master"]


def test_an_election_can_be_read(oio: Oio) -> None:
    shown = oio.ok("admin", "debug", "photos").out
    first, second, third = shown.split("\n\n")
    assert re.fullmatch(
        r"Service  127\.0\.0\.1:16009\n"
        r"Status   200\n"
        r"Message  OK\n"
        r"State    (MASTER|SLAVE)\n"
        r"Master   127\.0\.0\.1:\d+\n"
        r"Peers    127\.0\.0\.1:16010 127\.0\.0\.1:16011\n"
        r"Steps\n"
        r"  TIME +BEFORE +EVENT +AFTER\n"
        r"  \d+ +NONE +GET_VERS +CREATING\n"
        r"(  \d+ +\w+ +\w+ +\w+\n?)+",
        first,
    )
    assert shown.count("MASTER\n") == 2  # its state, and the step to it
    assert "127.0.0.1:16010" in second
    assert "127.0.0.1:16011" in third


STATUS = {
    "127.0.0.1:6009": {"status": {"status": 200, "message": "OK"}, "body": ""},
    "127.0.0.1:6010": {"status": {"status": 303, "message": "127.0.0.1:6009"}, "body": ""},
    "127.0.0.1:6011": {"status": {"status": 2, "message": "127.0.0.1:6011: refused"}, "body": ""},
}


@pytest.mark.parametrize(
    ("replicas", "code"),
    [(("09", "10"), 0), (("09", "11"), 8), (("11",), 6), ((), 0)],
)
def test_replicas_that_are_away(rdctl: Program, replicas: tuple[str, ...], code: int) -> None:
    chosen = {f"127.0.0.1:60{port}": STATUS[f"127.0.0.1:60{port}"] for port in replicas}
    with FaultServer([json(chosen)]) as server:
        ran = at(rdctl, server, "admin", "status", "c", "--json")
    assert ran.code == code
    assert [row["service"][-2:] for row in ran.json["items"]] == list(replicas)
    if code:
        assert "rdctl: error: 127.0.0.1:6011: refused\n" in ran.err
        assert ran.json["errors"][0]["code"] == "unavailable"


# A proxy 3.3 -------------------------------------------------------------------------------------


def test_what_only_an_old_proxy_can_do(rdctl: Program) -> None:
    handlers = reply(200, b"REQ_PING\nREQ_STATS\n", OLD)
    with FaultServer([*[reply(200, b"[]", OLD)] * 3, handlers]) as server:
        ran = at(rdctl, server, "service", "handlers", META2, "-o", "name")
    assert (ran.code, ran.out) == (0, "REQ_PING\nREQ_STATS\n")
    with FaultServer([reply(204, headers=OLD)]) as server:
        ran = at(rdctl, server, "content", "copy", "c", "from", "to here")
    assert (ran.code, ran.out) == (0, "copied from (to to here)\n")
    assert server.requests[-1].headers["Destination"] == "OPENIO/me/c//to%20here"


def test_a_dialect_without_batches_deletes_one_by_one(rdctl: Program) -> None:
    empty = {"x-oio-list-truncated": "false"}
    listing = reply(200, b'{"objects": [], "prefixes": []}', empty)

    def behave(connection: Connection) -> None:
        request = connection.receive()
        answer = listing if request.method == "GET" else reply(204)
        answer(cast(Connection, Received(connection, request)))

    with FaultServer([behave]) as server:
        facts = f"oio={server.url} namespace=NS account=me dialect=reference"
        assert rdctl("context", "set", "old", *facts.split()).code == 0
        words = ("oio", "content", "delete", "c", "a", "b", "--yes", "--json")
        ran = rdctl("-c", "old", *words)
    assert (ran.code, [row["target"] for row in results(ran)]) == (0, ["a", "b"])
    routes = [one.path.partition("?")[0] for one in server.requests if one.method == "POST"]
    assert routes == ["/v3.0/NS/content/delete"] * 2


# Settings that are missing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ("", "no oio-proxy configured", "--oio-url http://HOST:6002, set OIO_PROXYD_URL"),
        ("--oio-url http://h:1", "no namespace configured", "--namespace NS, set OIO_NS"),
        (
            "--oio-url http://h:1 --namespace NS",
            "no account specified",
            "--account NAME, set OIO_ACCOUNT",
        ),
        ("--oio-url ftp://h:1 --namespace NS --account A", "ftp://h:1", "http"),
    ],
)
def test_missing_settings_say_how_to_set_them(
    rdctl: Program, options: str, message: str, hint: str
) -> None:
    ran = rdctl(*options.split(), "oio", "container", "show", "c", "--json")
    assert ran.code == 2
    assert message in ran.json["error"]["message"]
    assert hint in (ran.json["error"]["hint"] or ran.json["error"]["message"])


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "yaml", "csv"])
def test_a_value_nested_too_deep_is_no_fault_of_rdctl(rdctl: Program, form: str) -> None:
    deep = b'{"a":' * 800 + b"1" + b"}" * 800
    service = b'[{"addr":"127.0.0.1:6010","score":5,"tags":' + deep + b"}]"
    with FaultServer([reply(200, service)]) as server:
        ran = at(rdctl, server, "conscience", "list", "rawx", "-o", form)
    assert (ran.code, "nested too deep" in ran.err) in ((0, False), (9, True))
    assert "internal error" not in ran.err
