"""content repair while services fail at every stage: what was there is kept, nothing is left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from tests.cli.oio.repairs import (
    DATA,
    KINDS,
    Near,
    before_reply,
    changes,
    closed,
    damaged,
    healthy,
    journal_line,
    lawful,
    readable,
)
from tests.cli.oio.transfers import (
    Client,
    away,
    bytes_of,
    conflict,
    errors_of,
    gateway,
    lose_reply,
    refuse_507,
    reset_amid,
    unsure,
)
from tests.fakes.sds import Call, Sds, md5, on


@pytest.fixture(params=KINDS)
def client(near: Near, request: pytest.FixtureRequest) -> Client:
    return damaged(near, request.param)


def stored_wrong(call: Call) -> None:
    """Other bytes are stored, and reported as they were sent."""
    data = call.body()
    given = {n[17:]: v for n, v in call.headers.items() if n.startswith("x-oio-chunk-meta-")}
    call.sds.store(call.chunk, data, given)
    call.sds.flip(call.chunk)
    call.reply("201 Created", {"x-oio-chunk-meta-chunk-hash": md5(data)})


def die(call: Call) -> None:
    call.sds.stop(int(call.who))
    call.reset()


WRITING = (refuse_507, lose_reply, reset_amid, conflict, stored_wrong, die)


@pytest.mark.parametrize("act", WRITING, ids=lambda act: act.__name__)
def test_another_service_is_used(client: Client, act: Callable[[Call], None]) -> None:
    sds = client.sds
    sds.faults.append(on("PUT", act, times=1))
    client.ok("repair", "docs", "a")
    sds.faults.clear()
    for number in range(len(sds.addresses) - 1):
        if sds._listeners[number].fileno() == -1:
            sds.start(number)
    client.ok("repair", "docs", "a")
    healthy(sds)


@pytest.mark.parametrize("act", WRITING[:-1], ids=lambda act: act.__name__)
def test_no_service_stores_anything(client: Client, act: Callable[[Call], None]) -> None:
    sds = client.sds
    was, listed = readable(sds), sds.held("a")
    sds.faults.append(on("PUT", act))
    ran = client("repair", "docs", "a", "--json")
    assert ran.code not in (0, 8), ran.out
    assert (readable(sds), sds.held("a")) == (was, listed)
    assert "container/raw_update" not in changes(sds)
    lawful(sds)
    sds.faults.clear()
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


# --- the registration ---------------------------------------------------------------------------


def done_then(act: Callable[[Call], None]) -> Callable[[Call], None]:
    """It is done; what the client hears is something else."""

    def fault(call: Call) -> None:
        call.body()
        call.sds._container_raw_update(Quiet(call))  # type: ignore[arg-type]
        act(call)

    return fault


class Quiet:
    """A call whose reply is lost."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.query = call.query

    def body(self) -> bytes:
        return self._call.body()

    def reply(self, *words: object, **named: object) -> None:
        pass

    refuse = reply


def hang_up(call: Call) -> None:
    call.body()
    call.hang_up()


LOST = (hang_up, unsure, gateway, away)


@pytest.mark.parametrize("act", LOST, ids=lambda act: act.__name__)
def test_it_was_registered_although_the_reply_was_lost(
    client: Client, act: Callable[[Call], None]
) -> None:
    sds = client.sds
    sds.faults.append(on("container/raw_update", done_then(act), times=1))
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert (one["changed"], one["verified"]) == (True, True)
    healthy(sds)
    assert closed(client)


@pytest.mark.parametrize("act", LOST, ids=lambda act: act.__name__)
def test_it_was_not_registered(client: Client, act: Callable[[Call], None]) -> None:
    sds = client.sds
    was, listed = readable(sds), sds.held("a")
    sds.faults.append(on("container/raw_update", act, times=1))
    ran = client("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (6, "unavailable")
    assert (readable(sds), sds.held("a"), sds.orphans()) == (was, listed, set())
    assert closed(client)
    client.ok("repair", "docs", "a")
    healthy(sds)


@pytest.mark.parametrize("done", [True, False])
def test_nothing_is_removed_while_the_outcome_is_unknown(client: Client, done: bool) -> None:
    sds = client.sds
    was = readable(sds)

    def silent(call: Call) -> None:
        sds.faults.append(on("content/show", unsure))
        (done_then(hang_up) if done else hang_up)(call)

    sds.faults.append(on("container/raw_update", silent, times=1))
    ran = client("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (10, "unknown")
    assert "DELETE" not in changes(sds)
    assert not closed(client)
    sds.faults.clear()
    assert all(count >= was[part] for part, count in readable(sds).items())
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


def test_nothing_is_removed_before_the_list_confirms_it(client: Client) -> None:
    sds = client.sds

    def then_silent(call: Call) -> None:
        sds.faults.append(on("content/show", unsure))
        sds._answer(call)

    sds.faults.append(on("container/raw_update", then_silent, times=1))
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert (one["changed"], one["verified"]) == (True, None)
    assert "DELETE" not in changes(sds)
    sds.faults.clear()
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


def test_what_is_still_listed_is_not_removed(client: Client) -> None:
    sds = client.sds
    old = sds.objects["a"][-1]["chunks"][0]

    def listed_again(call: Call) -> None:
        before_reply(call, lambda: sds.objects["a"][-1]["chunks"].append(old))
        sds._answer(call)

    sds.faults.append(on("container/raw_update", listed_again, times=1))
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert one["chunks"][0]["removed"] is False
    assert "DELETE" not in changes(sds)


REFUSED = {
    "UNIQUE constraint": (4, lambda call: call.refuse(19, message="Step error: (19) UNIQUE")),
    "frozen": (4, lambda call: call.refuse(436, "503 Service unavailable", "Invalid status")),
    "bad request": (2, lambda call: call.refuse(400, "400 Bad request", "Missing field")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_registration_leaves_nothing(client: Client, name: str) -> None:
    sds, (code, act) = client.sds, REFUSED[name]
    was, listed = readable(sds), sds.held("a")
    sds.faults.append(on("container/raw_update", act))
    assert client("repair", "docs", "a").code == code
    assert (readable(sds), sds.held("a"), sds.orphans()) == (was, listed, set())
    assert closed(client)


STATUS = {"-1": "frozen", "-2": "disabled"}


@pytest.mark.parametrize("status", STATUS)
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_nothing_is_exchanged_in_a_frozen_container(
    client: Client, status: str, words: tuple[str, ...]
) -> None:
    """It is found out before anything is stored, once for all objects."""
    sds = client.sds
    sds.counted, sds.system = True, {"sys.status": status}
    sds.put("b", DATA)
    sds.truncate(sds.held("b")[0], 5)
    before = dict(sds.chunks)
    ran = client("repair", "docs", "a", "b", "--json", *words)
    assert (ran.code, errors_of(ran)[0]["code"]) == (4, "frozen")
    assert f'1 chunk cannot be exchanged: container "docs" is {STATUS[status]}' in ran.err
    assert errors_of(ran)[0]["hint"].endswith("oio admin enable docs")
    assert (sds.chunks, changes(sds)) == (before, [])
    assert sds.routes().count("container/show") == 1


def test_a_missing_chunk_is_stored_in_a_frozen_container(client: Client) -> None:
    """In its own place: the database does not change."""
    sds = client.sds
    sds.counted, sds.system = True, {"sys.status": "-1"}
    sds.lose(sds.held("a")[1])
    ran = client("repair", "docs", "a", "--json")
    (error,) = errors_of(ran)
    assert (ran.code, error["code"], error["rebuilt"]) == (4, "frozen", 1)
    assert changes(sds) == ["PUT"]
    sds.system = {}
    client.ok("repair", "docs", "a")
    healthy(sds)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("damage", ["cut", "lost"])
def test_ended_while_a_chunk_is_stored(near: Near, ending: signal.Signals, damage: str) -> None:
    client = near(copies=3, rawx=6, chunk_size=8 << 20)
    sds = client.sds
    data = bytes_of(8 << 20)
    sds.put("a", data)
    held = sds.held("a")
    sds.lose(held[0]) if damage == "lost" else sds.truncate(held[0], 5)
    amid = threading.Event()
    ended = threading.Event()

    def stuck(call: Call) -> None:
        call.body(1000)
        amid.set()
        ended.wait(60)
        call.hang_up()

    sds.faults.append(on("PUT", stuck, times=1))
    file = client.directory / "repairs.ndjson"
    with client.start("repair", "docs", "a", "--journal", str(file)) as process:
        assert amid.wait(60)
        process.send_signal(ending)
        _, err = process.communicate(timeout=60)
    ended.set()
    assert process.returncode == (130 if ending == signal.SIGINT else 143)
    assert b"not started" not in err, err
    assert b"nothing was changed" not in err, err
    assert b"a: interrupted (partial data removed)" in err, err
    assert (sds.held("a"), sds.orphans()) == (held, set())
    assert closed(client)
    sds.faults.clear()
    client.ok("repair", "docs", "a")
    healthy(sds, "a", data)


# --- other clients ------------------------------------------------------------------------------


def replaced(sds: Sds) -> None:
    for chunk in sds.objects["a"][-1]["chunks"]:
        sds.chunks.pop(chunk["url"][-64:], None)
    sds.put("a", bytes_of(2500, 2))


def deleted(sds: Sds) -> None:
    for chunk in sds.objects.pop("a")[-1]["chunks"]:
        sds.chunks.pop(chunk["url"][-64:], None)


@pytest.mark.parametrize("meanwhile", [replaced, deleted], ids=lambda act: act.__name__)
@pytest.mark.parametrize("stage", ["content/spare", "PUT", "container/raw_update"])
@pytest.mark.parametrize("damage", ["cut", "lost"])
def test_the_object_changes(
    client: Client, stage: str, meanwhile: Callable[[Sds], None], damage: str
) -> None:
    sds = client.sds
    if damage == "lost":
        sds.lose(sds.held("a")[0])
        if stage != "PUT":
            return  # a missing chunk is stored under its own url

    def change(call: Call) -> None:
        call.body()
        meanwhile(sds)
        sds._answer(call)

    sds.faults.append(on(stage, change, times=1))
    ran = client("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) in ((4, "conflict"), (6, "unavailable"))
    assert sds.orphans() == set()
    assert closed(client)
    lawful(sds)
    if meanwhile is replaced:
        healthy(sds, "a", bytes_of(2500, 2))


def test_an_old_version_is_repaired_although_a_new_one_came(near: Near) -> None:
    client = near(copies=3, rawx=6, versions="-1")
    sds = client.sds
    sds.put("a", DATA)
    sds.truncate(sds.held("a")[0], 5)

    def change(call: Call) -> None:
        call.body()
        sds.put("a", bytes_of(2500, 2))
        sds._answer(call)

    sds.faults.append(on("container/raw_update", change, times=1))
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert (one["changed"], one["verified"]) == (True, True)
    new = sds.objects["a"].pop()
    healthy_ids = {chunk["url"][-64:] for chunk in new["chunks"]}
    assert sds.orphans() == healthy_ids
    for id in healthy_ids:
        del sds.chunks[id]
    healthy(sds)


@pytest.mark.parametrize("stage", ["content/spare", "PUT", "container/raw_update"])
def test_two_repairs_at_once(client: Client, stage: str) -> None:
    """The second one is quicker; it keeps a journal of its own, as on another machine."""
    sds = client.sds
    second = []

    def meanwhile(call: Call) -> None:
        call.body()
        second.append(client("repair", "docs", "a", "--journal", str(client.directory / "other")))
        sds._answer(call)

    sds.faults.append(on(stage, meanwhile, times=1))
    first = client("repair", "docs", "a", "--json")
    assert second[0].code == 0, second[0].err
    assert (first.code, errors_of(first)[0]["code"]) == (4, "conflict")
    healthy(sds)
    assert closed(client)


def test_two_repairs_of_one_journal_leave_each_other_alone(client: Client) -> None:
    """What is not finished yet belongs to a process that lives."""
    sds = client.sds
    sds.put("b", DATA)
    sds.truncate(sds.held("b")[0], 5)

    def meanwhile(call: Call) -> None:
        call.body()
        client.ok("repair", "docs", "b")
        sds._answer(call)

    sds.faults.append(on("container/raw_update", meanwhile, times=1))
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


# --- too few services ---------------------------------------------------------------------------


def test_the_same_service_is_used_where_no_other_is_left(near: Near) -> None:
    client = near(copies=3, rawx=3)
    sds = client.sds
    sds.put("a", DATA)
    sds.truncate(sds.held("a")[0], 5)
    client.ok("repair", "docs", "a")
    healthy(sds)


def test_no_service_is_left(client: Client) -> None:
    sds = client.sds
    was, listed = readable(sds), sds.held("a")
    sds.faults.append(on("content/spare", lambda call: call.refuse(481, message="found only 0")))
    ran = client("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (6, "unavailable")
    assert (readable(sds), sds.held("a")) == (was, listed)
    assert [one for one in changes(sds) if one != "content/spare"] == []


@pytest.mark.parametrize("stage", ["content/show", "content/spare"])
def test_a_meta2_that_is_down(client: Client, stage: str) -> None:
    sds = client.sds
    before = dict(sds.chunks)
    sds.faults.append(on(stage, unsure))
    assert client("repair", "docs", "a").code == 6
    assert sds.chunks == before
    assert "PUT" not in changes(sds)


def test_what_cannot_be_removed_is_removed_by_the_next_repair(client: Client) -> None:
    sds = client.sds
    sds.faults.append(on("DELETE", lambda call: call.reply("500 Internal Server Error")))
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert (one["changed"], one["chunks"][0]["removed"]) == (True, False)
    assert not closed(client)
    sds.faults.clear()
    sds.put("b", DATA)
    ran = client.ok("repair", "docs", "b")
    assert "finished 1 interrupted repair (a)" in ran.err
    healthy(sds)


# --- the journal --------------------------------------------------------------------------------


def test_nothing_is_repaired_without_a_journal(client: Client) -> None:
    sds = client.sds
    ran = client("repair", "docs", "a", "--journal", str(client.directory))
    assert ran.code == 1
    assert "--journal FILE" in ran.err
    assert changes(sds) == []


def test_what_belongs_to_another_object_is_never_removed(client: Client) -> None:
    """Whatever the journal says."""
    sds = client.sds
    sds.put("b", DATA)
    (other, *_) = sds.objects["b"][-1]["chunks"]
    file = client.directory / "journal"
    line = journal_line(client, chunks=[{"new": other["url"], "old": None}])
    file.write_text(line + 'not a line\n{"id": "2", "sta')
    before = dict(sds.chunks)
    client.ok("repair", "docs", "b", "--journal", str(file))
    assert sds.chunks == before
