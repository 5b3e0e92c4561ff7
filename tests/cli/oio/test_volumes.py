"""rdctl oio volume: what rdir services are asked, and what their replies prove."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from tests.cli.oio.cases import INDEXED, RAWX
from tests.cli.oio.conftest import Oio
from tests.conftest import Ran
from tests.fakes import faults
from tests.fakes.faults import Behaviour, FaultServer, Request

RDIR = "127.0.0.1:16018"
UNLINKED = ("reference", "unlink", RAWX, "rdir", "--account", "_RDIR", "--yes")
CID = "A" * 64


class Volume(NamedTuple):
    """A volume whose rdir follows a script."""

    oio: Oio
    rdir: FaultServer

    def __call__(self, *words: str) -> Ran:
        return self.oio("volume", *words, "--retries", "0")

    @property
    def asked(self) -> list[str]:
        return [f"{one.method} {one.path.partition('?')[0][9:]}" for one in self.rdir.requests]

    def bodies(self) -> list[Any]:
        return [json.loads(one.body) for one in self.rdir.requests if one.body]


@contextmanager
def scripted(oio: Oio, *script: Behaviour) -> Iterator[Volume]:
    with FaultServer(script) as rdir:
        link = {"seq": 1, "type": "rdir", "host": rdir.url.removeprefix("http://"), "args": ""}
        with FaultServer([faults.json({"dir": [], "srv": [link]})]) as proxy:
            where = ("--oio-url", proxy.url, "--namespace", "OPENIO", "--account", "a")
            yield Volume(Oio(oio.rdctl, *where), rdir)


def state(incident: int = 0, lock: str = "") -> Behaviour:
    values = {"incident_date": str(incident) if incident else "", "lock": lock}
    return faults.json({name: value for name, value in values.items() if value})


def refused(status: int, message: str, inner: int | None = None) -> Behaviour:
    body = json.dumps({"status": inner or status, "message": message}).encode()
    return faults.reply(status, body)


DONE = faults.reply(204, b"")


# --- queries ------------------------------------------------------------------------------------


def test_uploads_and_deletions_reach_the_index(oio: Oio) -> None:
    for line in INDEXED:
        words, _, body = line.partition(" < ")
        oio.ok(*words.split(), "--yes", stdin=body.encode())

    def chunks() -> dict[str, Any]:
        rows = oio.ok("volume", "chunks", RAWX, "--json").json["items"]
        return {row["content_id"]: row for row in rows}

    (shown,) = oio.ok("content", "show", "photos", "new", "--json").json["items"]
    before = chunks()
    entry = before.pop(shown["content_id"])
    assert shown["chunks"][0]["url"] == f"http://{RAWX}/{entry['chunk_id']}"
    assert entry["modified"] is not None
    status = oio.ok("volume", "show", RAWX, "--json").json["items"][0]
    assert status["chunks"] == len(before) + 1
    assert status["containers"] == [
        {"cid": entry["cid"], "chunks": len(before) + 1, "to_rebuild": None}
    ]
    text = oio.ok("volume", "show", RAWX).out
    assert re.search("^Containers +1 \\(use --containers\\)$", text, re.MULTILINE)
    assert entry["cid"] in oio.ok("volume", "show", RAWX, "--containers").out
    oio.ok("content", "delete", "photos", "new", "--yes")
    assert chunks() == before


def test_a_damaged_chunk_stays_in_the_index(oio: Oio) -> None:
    """What a disk loses, nobody reports to the rdir."""
    (shown,) = oio.ok("content", "show", "photos", "index.txt", "--json").json["items"]
    url = shown["chunks"][0]["url"]
    damage = ("sandbox", "damage", "photos", "index.txt", "--how", "missing", "--yes")
    assert oio.rdctl(*damage).code == 0
    listed = oio.ok("volume", "chunks", url.split("/")[2], "-o", "name").out.split()
    assert url.rpartition("/")[2] in listed


def test_an_incident_counts_what_is_older(oio: Oio) -> None:
    oio.ok("volume", "admin", "incident", RAWX)
    row = oio.ok("volume", "show", RAWX, "--json").json["items"][0]
    assert row["to_rebuild"] == row["chunks"]
    rebuilt = oio.ok("volume", "chunks", RAWX, "--to-rebuild", "-o", "name").out.split()
    assert len(rebuilt) == row["chunks"]
    oio.ok("volume", "admin", "incident", RAWX, "--date", "2023-01-01", "--yes")
    row = oio.ok("volume", "show", RAWX, "--json").json["items"][0]
    assert row["to_rebuild"] == 0
    assert oio.ok("volume", "chunks", RAWX, "--to-rebuild", "-o", "name").out == ""


def test_to_rebuild_without_an_incident_is_no_empty_list(oio: Oio) -> None:
    """The server answers [], as if nothing were to be rebuilt."""
    ran = oio("volume", "chunks", RAWX, "--to-rebuild")
    assert ran.code == 4
    assert f"volume {RAWX} has no incident" in ran.err


def key(number: int) -> list[Any]:
    return [f"{CID}|{'B' * 32}|{number:064X}", {"mtime": 1_750_000_000 + number}]


def test_pages_until_an_empty_one(oio: Oio) -> None:
    pages = [[key(1), key(2)], [key(3)], []]
    with scripted(oio, *map(faults.json, pages)) as volume:
        rows = volume("chunks", "v", "--cid", CID, "--json").json["items"]
        assert [int(row["chunk_id"], 16) for row in rows] == [1, 2, 3]
        assert rows[0]["modified"] == "2025-06-15T15:06:41Z"
        assert volume.bodies() == [
            {"limit": 1000, "container_id": CID},
            {"limit": 1000, "container_id": CID, "start_after": key(2)[0]},
            {"limit": 1000, "container_id": CID, "start_after": key(3)[0]},
        ]


def paged(value: object, marker: str | None) -> Behaviour:
    """As a server since 7."""
    headers = {"x-oio-list-truncated": "false"}
    if marker is not None:
        headers = {"x-oio-list-truncated": "true", "x-oio-list-marker": marker}
    return faults.reply(200, json.dumps(value).encode(), headers)


def test_pages_by_the_marker_of_a_server_since_7(oio: Oio) -> None:
    with scripted(oio, paged([key(1)], "m1"), paged([key(2)], None)) as volume:
        assert len(volume("chunks", "v", "-o", "name").out.split()) == 2
        assert volume.bodies()[1] == {"limit": 1000, "start_after": "m1"}


def test_counts_in_pages_are_added(oio: Oio) -> None:
    one = {
        "chunk": {"total": 3, "to_rebuild": 1},
        "container": {CID: {"total": 3, "to_rebuild": 1}},
    }
    other = {"chunk": {"total": 2}, "container": {CID: {"total": 1}, "C": {"total": 1}}}
    incident = {"rebuild": {"incident_date": 1_750_000_000}}
    pages = paged({**one, **incident}, "m"), paged({**other, **incident}, None)
    with scripted(oio, *pages) as volume:
        row = volume("show", "v", "--json").json["items"][0]
        assert (row["chunks"], row["to_rebuild"]) == (5, 1)
        assert row["containers"] == [
            {"cid": CID, "chunks": 4, "to_rebuild": 1},
            {"cid": "C", "chunks": 1, "to_rebuild": 0},
        ]
        assert volume.rdir.requests[1].path.endswith("&marker=m")


def test_a_marker_that_does_not_advance_ends_the_listing(oio: Oio) -> None:
    with scripted(oio, paged([key(1)], "m")) as volume:
        ran = volume("chunks", "v")
        assert ran.code == 9
        assert "does not advance past" in ran.err
        assert len(volume.rdir.requests) == 2


def test_a_limit_ends_the_listing_and_says_how_to_continue(oio: Oio) -> None:
    with scripted(oio, faults.json([key(1), key(2)])) as volume:
        ran = volume("chunks", "v", "--limit", "1")
        assert f"--marker '{key(1)[0]}'" in ran.err + ran.out
        assert len(volume.rdir.requests) == 1
    assert oio("volume", "chunks", "a", "b", "--limit", "1").code == 2


def test_an_unreadable_entry_is_skipped_and_said(oio: Oio) -> None:
    with scripted(oio, paged([key(1), ["no key", {}]], None)) as volume:
        ran = volume("chunks", "v", "-o", "name")
        assert ran.out.split() == [f"{1:064X}"]
        assert "1 unreadable index entry" in ran.err


def test_assignation(oio: Oio) -> None:
    rows = oio.ok("volume", "assignation", "--exit-code", "--json").json["items"]
    assert len(rows) == 12
    assert rows[0] == {
        "volume": RAWX,
        "rdir": RDIR,
        "location": "srv1.vol1",
        "rdir_location": "srv1.vol1",
    }
    oio.ok(*UNLINKED)
    ran = oio.ok("volume", "assignation", "--json")
    assert ran.json["items"][0] == {**rows[0], "rdir": None, "rdir_location": None}
    assert "1 volume has no rdir" in ran.err
    assert oio("volume", "assignation", "--exit-code").code == 12


def test_a_link_that_cannot_be_read_is_no_missing_one(oio: Oio) -> None:
    with FaultServer([faults.json({"dir": [], "srv": [{"type": "rdir"}]})]) as proxy:
        at = Oio(oio.rdctl, "--oio-url", proxy.url, "--namespace", "OPENIO")
        assert at("volume", "show", "v").code == 9


@pytest.mark.parametrize("words", ["show", "chunks", "admin show", "admin clear --all"])
def test_no_rdir_assigned(oio: Oio, words: str) -> None:
    oio.ok(*UNLINKED)
    ran = oio("volume", *words.split(), RAWX, "127.0.0.9:9999", "--json")
    assert ran.code == 3
    for volume in (RAWX, "127.0.0.9:9999"):
        assert f"volume {volume}: no rdir assigned" in ran.err


@pytest.mark.parametrize(
    ("behaviour", "code", "says"),
    [
        (refused(404, "DB not found"), 3, "no index on rdir 127.0.0.1:"),
        (refused(404, "Route not managed", 400), 11, "volume v: Route not managed"),
        (refused(405, "Bad method", 400), 11, "volume v: Bad method"),
        (refused(400, "no volume id"), 1, "volume v: no volume id"),
        (refused(500, "IO error"), 1, "volume v: IO error"),
        (refused(503, "busy"), 6, "volume v: busy"),
        (faults.reply(404, b"<html>no</html>"), 9, "does not answer like a rdir service"),
        (
            faults.json({"chunk": {"total": "x"}, "container": {}}),
            9,
            "unreadable value in its reply: total",
        ),
        (faults.json([1]), 9, "does not answer like a rdir service"),
        (faults.close(), 6, "closed the connection"),
    ],
    ids=range(10),
)
def test_what_a_rdir_refuses(oio: Oio, behaviour: Behaviour, code: int, says: str) -> None:
    with scripted(oio, behaviour) as volume:
        ran = volume("show", "v")
        assert (ran.code, says in ran.err) == (code, True), ran.err


# --- changes ------------------------------------------------------------------------------------


def sent(volume: Volume) -> list[Request]:
    return [one for one in volume.rdir.requests if one.method == "POST"]


def test_an_incident_is_read_back(oio: Oio) -> None:
    with scripted(oio, state(), DONE, state(1_750_000_000)) as volume:
        ran = volume("admin", "incident", "v", "--date", "1750000000", "--json")
        assert (ran.code, ran.json["results"][0]["verified"]) == (0, True)
        assert volume.asked == ["GET admin/show", "POST admin/incident", "GET admin/show"]
        assert volume.bodies() == [{"date": 1_750_000_000}]
    with scripted(oio, state(), DONE, state()) as volume:
        ran = volume("admin", "incident", "v", "--date", "1750000000")
        assert ran.code == 9
        assert "accepted, but not visible afterwards" in ran.err


def test_an_incident_that_is_set_is_not_sent(oio: Oio) -> None:
    with scripted(oio, state(1_750_000_000)) as volume:
        ran = volume("admin", "incident", "v", "--date", "1750000000", "--json")
        assert ran.json["results"][0]["changed"] is False
        assert sent(volume) == []


@pytest.mark.parametrize("when", ["9999999999", "2999-01-01", "yesteryear", "0", "-5"])
def test_the_time_of_an_incident(oio: Oio, when: str) -> None:
    ran = oio("volume", "admin", "incident", RAWX, f"--date={when}", "--trace")
    assert ran.code == 2
    assert "curl" not in ran.err


def test_a_lock_of_another_owner(oio: Oio) -> None:
    oio.ok("volume", "admin", "lock", RAWX, "--owner", "me")
    again = oio.ok("volume", "admin", "lock", RAWX, "--owner", "me")
    assert again.out == f"{RAWX} is already locked (owner me)\n"
    for words in (
        ("lock", RAWX, "--owner", "you"),
        ("unlock", RAWX, "--owner", "you"),
        ("unlock", RAWX),
        ("clear", RAWX, "--all", "--yes"),
    ):
        ran = oio("volume", "admin", *words, "--trace")
        assert ran.code == 4
        assert f'volume {RAWX} is locked by "me": not {words[0]}ed' in ran.err
        assert "-X POST" not in ran.err
    oio.ok("volume", "admin", "unlock", RAWX, "--force", "--yes")
    assert oio.ok("volume", "admin", "unlock", RAWX).out == f"{RAWX} is already unlocked\n"


def test_a_lock_that_was_taken_in_between(oio: Oio) -> None:
    with scripted(oio, state(), refused(403, "Already locked by you")) as volume:
        ran = volume("admin", "lock", "v", "--owner", "me", "--json")
        assert ran.code == 4
        error = json.loads(ran.err)["error"] if ran.err.startswith("{") else ran.json["errors"][0]
        assert error["code"] == "in-use"
        assert "already locked by you" in error["message"]


def test_the_lock_of_clear_is_reserved(oio: Oio) -> None:
    ran = oio("volume", "admin", "lock", RAWX, "--owner", "admin_clear")
    assert ran.code == 2


def test_force_asks(oio: Oio) -> None:
    oio.ok("volume", "admin", "lock", RAWX, "--owner", "me")
    before = oio.state
    assert oio("volume", "admin", "unlock", RAWX, "--force").code == 2
    assert oio.state == before


def test_clear_counts_what_it_removes(oio: Oio) -> None:
    """Entries without a time are removed as old ones, but the status does not count them."""
    counts = faults.json({"chunk": {"total": 7, "to_rebuild": 4}, "container": {}})
    with scripted(oio, state(5), counts) as volume:
        ran = volume("admin", "clear", "v", "--all", "--dry-run")
        assert "7 entries of its index will be removed" in ran.out
    with scripted(oio, state(5), faults.json([key(1), key(2)]), faults.json([])) as volume:
        ran = volume("admin", "clear", "v", "--before-incident", "--dry-run")
        assert "2 entries of its index will be removed" in ran.out
        assert "incident of 1970-01-01T00:00:05Z will be removed" in ran.out
        assert volume.bodies()[0] == {"limit": 1000, "rebuild": True}


def test_what_clear_reports(oio: Oio) -> None:
    cleared = faults.json({"removed": 7, "repaired": 0, "errors": 0})
    script = state(5), faults.json([key(1)]), faults.json([]), cleared, state()
    with scripted(oio, *script) as volume:
        ran = volume("admin", "clear", "v", "--before-incident", "--yes", "--json")
        assert ran.json["results"] == [
            {
                "action": "clear",
                "target": "v",
                "changed": True,
                "verified": True,
                "removed": 7,
                "repaired": 0,
                "errors": 0,
            }
        ]
        query = volume.rdir.requests[3].path.partition("?")[2]
        assert query == "vol=v&before_incident=1"


def test_errors_of_clear_are_a_failure(oio: Oio) -> None:
    """OpenIO's client calls that a success."""
    cleared = faults.json({"removed": 2, "repaired": 3, "errors": 1})
    with scripted(oio, state(), cleared) as volume:
        ran = volume("admin", "clear", "v", "--repair", "--yes")
        assert ran.code == 1
        assert "1 entry of the index could not be processed (removed 2, repaired 3)" in ran.err


def test_nothing_to_clear(oio: Oio) -> None:
    ran = oio.ok("volume", "admin", "clear", RAWX, "--trace")
    assert ran.out == f"{RAWX} has nothing to clear\n"
    assert "-X POST" not in ran.err


@pytest.mark.parametrize(
    "behaviour",
    [refused(500, "IO error"), faults.close(), refused(503, "busy")],
    ids=["500", "no reply", "503"],
)
def test_a_lost_reply_is_an_unknown_outcome(oio: Oio, behaviour: Behaviour) -> None:
    with scripted(oio, state(), behaviour) as volume:
        ran = volume("admin", "lock", "v", "--owner", "me")
        assert ran.code == 10
        assert "rdctl oio volume admin show v" in re.sub(" -c | --oio-url.*? oio", " oio", ran.err)
        assert len(sent(volume)) == 1


def test_a_rdir_that_is_down(oio: Oio) -> None:
    assert oio.rdctl("sandbox", "stop", RDIR).code == 0
    ran = oio("volume", "admin", "lock", RAWX, "127.0.0.1:16014", "--owner", "me", "--json")
    assert ran.code == 8
    assert [one["target"] for one in ran.json["results"]] == ["127.0.0.1:16014"]
    assert [one["target"] for one in ran.json["errors"]] == [RAWX]


@pytest.mark.parametrize("word", ["", "a/b", "a\nb"])
def test_what_is_no_volume(oio: Oio, word: str) -> None:
    """A rdir would take a/b for a path."""
    assert oio("volume", "show", word).code == 2
