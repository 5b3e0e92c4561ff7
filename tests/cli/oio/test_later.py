"""Verbs of later proxies, in a sandbox of such a release (docs/wire/oio-later.md)."""

from __future__ import annotations

import json

import pytest

from tests.cli.oio.repairs import Near, chunks_of, healthy, namespace
from tests.conftest import Program
from tests.fakes.sds import Call, on
from tests.oio.wire import NS

RAWX = "127.0.0.1:16013"
VERBS = [
    "container checkpoint photos",
    "container sharding show photos",
    "content transition photos index.txt --policy EC42",
]


def service(rdctl: Program) -> tuple[object, ...]:
    row = rdctl("-c", "sandbox", "oio", "conscience", "show", "rawx", RAWX, "--json").json["items"]
    return tuple(row[0][key] for key in ("score", "get_score", "state", "locked"))


@pytest.mark.parametrize("words", VERBS)
def test_earlier_releases_do_not_have_them(rdctl: Program, words: str) -> None:
    assert rdctl("sandbox", "release", "7").code == 0
    ran = rdctl("-c", "sandbox", "oio", *words.split())
    assert (ran.code, "hint: Available in oio-proxy 2025.28 and later." in ran.err) == (11, True)
    assert rdctl("sandbox", "release", "2025").code == 0
    assert rdctl("-c", "sandbox", "oio", *words.split()).code == 0


def test_the_release_is_what_doctor_shows(rdctl: Program) -> None:
    for release in ("4.2", "5", "7", "2025"):
        rdctl("sandbox", "release", release)
        assert f"dialect {release}, namespace OPENIO" in rdctl("-c", "sandbox", "doctor").out
    again = rdctl("sandbox", "release", "2025", "--json").json["results"][0]
    assert (again["changed"], again["verified"]) == (False, True)


def test_a_checkpoint_is_not_replaced(rdctl: Program) -> None:
    rdctl("sandbox", "release", "2025")
    words = ("-c", "sandbox", "oio", "container", "checkpoint", "photos", "--suffix", "s1")
    assert rdctl(*words).code == 0
    ran = rdctl(*words)
    assert (ran.code, "Use another --suffix, or none." in ran.err) == (4, True)


@pytest.mark.parametrize("suffix", ["a/b", "../x", "", ".", "a b"])
def test_a_suffix_stays_within_its_directory(rdctl: Program, suffix: str) -> None:
    rdctl("sandbox", "release", "2025")
    words = ("-c", "sandbox", "oio", "container", "checkpoint", "photos", "--trace")
    ran = rdctl(*words, "--suffix", suffix)
    assert (ran.code, f"{NS}/container" in ran.err) == (2, False)


def test_an_unknown_policy_is_refused_before(rdctl: Program) -> None:
    rdctl("sandbox", "release", "2025")
    words = "oio content transition photos index.txt --policy NOPE --trace"
    ran = rdctl("-c", "sandbox", *words.split())
    assert (ran.code, "content/transition" in ran.err) == (2, False)


def test_one_direction_is_locked_and_unlocked(rdctl: Program) -> None:
    rdctl("sandbox", "release", "2025")
    lock = f"oio conscience lock rawx {RAWX} --only put --yes --json"
    first = rdctl("-c", "sandbox", *lock.split()).json["results"][0]
    assert (first["changed"], first["verified"]) == (True, True)
    assert service(rdctl) == (0, 93, "locked", "put")
    again = rdctl("-c", "sandbox", *lock.split(), "--trace")
    assert (again.json["results"][0]["changed"], "conscience/lock" in again.err) == (False, False)
    rdctl("-c", "sandbox", "oio", "conscience", "unlock", "rawx", RAWX, "--only", "put")
    assert service(rdctl) == (93, 93, "up", "no")


def test_locks_are_reported_from_5_on(rdctl: Program) -> None:
    rdctl("-c", "sandbox", "oio", "conscience", "lock", "rawx", RAWX, "--yes")
    found = []
    for release in ("4.2", "5", "7", "2025"):
        rdctl("sandbox", "release", release)
        found.append(service(rdctl))
    assert found == [
        (0, None, "down-or-locked", None),
        (0, None, "locked", "both"),
        (0, None, "locked", "both"),
        (0, 0, "locked", "both"),
    ]


@pytest.mark.parametrize("release", ["4.2", "7"])
@pytest.mark.parametrize("action", ["lock", "unlock"])
def test_no_other_release_locks_one_direction(rdctl: Program, action: str, release: str) -> None:
    """It would lock both."""
    rdctl("sandbox", "release", release)
    words = f"oio conscience {action} rawx {RAWX} --only get --yes --trace"
    ran = rdctl("-c", "sandbox", *words.split())
    assert (ran.code, f"conscience/{action}" in ran.err) == (11, False)


def test_a_single_service_is_deregistered(rdctl: Program) -> None:
    words = ("-c", "sandbox", "oio", "conscience", "deregister", "rawx", RAWX, "--yes")
    assert rdctl(*words).code == 11
    rdctl("sandbox", "release", "7")
    assert rdctl(*words).code == 0
    listed = rdctl("-c", "sandbox", "oio", "conscience", "list", "rawx", "-o", "name").out
    assert (RAWX in listed, len(listed.split())) == (False, 11)
    assert rdctl(*words).code == 3


def test_only_large_uploads_are_prepared_in_a_body(rdctl: Program) -> None:
    rdctl("sandbox", "release", "5")
    words = "oio content prepare photos new --policy SINGLE --trace --json --size"
    for size, route, chunks in (("1M", "prepare", 1), ("256M", "prepare2", 256)):
        ran = rdctl("-c", "sandbox", *words.split(), size)
        assert f"{NS}/content/{route}?" in ran.err
        assert len(json.loads(ran.out)["item"]["chunks"]) == chunks


@pytest.mark.parametrize("words", ["flush docs", "purge docs"])
def test_an_empty_page_is_not_an_empty_container(near: Near, words: str) -> None:
    """A 2025 may list nothing, and a marker for what follows."""

    def empty_page(call: Call) -> None:
        headers = {"x-oio-list-truncated": "true", "x-oio-list-marker": "A"}
        call.json({"objects": [], "prefixes": []}, headers=headers)

    client = near()
    client.sds.put("a", b"data")
    client.sds.faults.append(on("container/list", empty_page, times=1))
    ran = client.rdctl(*client.where, "oio", "container", *words.split())
    assert (ran.code, 'in container "docs"' in ran.err) == (2, True)  # consent is asked for
    assert client.sds.routes().count("container/list") == 2


@pytest.mark.parametrize("words", ["flush docs", "purge docs"])
def test_a_row_that_cannot_be_read_is_not_an_empty_container(near: Near, words: str) -> None:
    client = near()
    unreadable = {"objects": [{"name": 5}], "prefixes": []}
    client.sds.faults.append(on("container/list", lambda call: call.json(unreadable), times=9))
    ran = client.rdctl(*client.where, "oio", "container", *words.split(), "--yes")
    assert ran.code == 9
    assert f"container/{words.split()[0]}" not in client.sds.routes()


def test_a_repair_of_2025_names_each_position_and_the_object(near: Near) -> None:
    """The ID of a new chunk follows from its version and position; of a sharded container, the
    name of the object says which shard has its rows."""
    client = namespace(near, "fragments")
    sds = client.sds
    known = b"counter req.hits.container_checkpoint_POST 0\n"
    sds.faults.append(on("/v3.0/status", lambda call: call.reply("200 OK", body=known)))
    lost = sds.held("a")[:2]
    for id in lost:
        sds.truncate(id, 5)
    spots = sorted(chunk["pos"] for chunk in chunks_of(sds) if chunk["url"][-64:] in lost)
    client.ok("repair", "docs", "a")
    spares = [call.query for call in sds.calls if call.route == "content/spare"]
    assert sorted(query["position"] for query in spares) == spots
    version = sds.objects["a"][-1]["meta"]["version"]
    assert {(query["path"], query["version"]) for query in spares} == {("a", version)}
    (update,) = [call.query for call in sds.calls if call.route == "container/raw_update"]
    assert (update["ref"], update["path"]) == ("docs", "a")
    healthy(sds)
