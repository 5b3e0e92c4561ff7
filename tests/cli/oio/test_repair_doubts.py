"""content repair where answers are old, contradict each other, or are those of another system:
what may be needed is kept."""

from __future__ import annotations

import copy

import pytest

from tests.cli.oio.repairs import (
    KINDS,
    Near,
    changes,
    closed,
    healthy,
    lawful,
    namespace,
    readable,
)
from tests.cli.oio.test_repair_faults import Quiet, done_then, hang_up
from tests.cli.oio.transfers import Client, errors_of, unsure
from tests.fakes.sds import Call, on


@pytest.fixture(params=KINDS)
def client(near: Near, request: pytest.FixtureRequest) -> Client:
    """An object of which one chunk is cut."""
    made = namespace(near, request.param)
    made.sds.truncate(made.sds.held("a")[0], 5)
    return made


def repeated(call: Call) -> None:
    """A proxy asked twice: the second meta2 knows what the first one did."""
    call.refuse(420, "404 Not found", "bean not found")


# --- the registration ---------------------------------------------------------------------------


def test_a_chunk_that_is_registered_is_kept_although_it_was_refused(client: Client) -> None:
    sds = client.sds
    sds.faults.append(on("container/raw_update", done_then(repeated), times=1))
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert (one["changed"], one["verified"]) == (True, True)
    healthy(sds)
    assert closed(client)


@pytest.mark.parametrize("done", [True, False])
def test_nothing_is_removed_after_a_refusal_that_no_list_explains(
    client: Client, done: bool
) -> None:
    sds = client.sds
    was = readable(sds)

    def silent(call: Call) -> None:
        sds.faults.append(on("content/show", unsure))
        (done_then(repeated) if done else repeated)(call)

    sds.faults.append(on("container/raw_update", silent, times=1))
    ran = client("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (4, "conflict")
    assert "DELETE" not in changes(sds)
    sds.faults.clear()
    assert all(count >= was[part] for part, count in readable(sds).items())
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


def test_a_list_older_than_the_registration_removes_nothing(client: Client) -> None:
    sds = client.sds
    before = copy.deepcopy(sds.objects["a"][-1]["chunks"])

    def old(call: Call) -> None:
        object = sds.objects["a"][-1]
        now, object["chunks"] = object["chunks"], before
        sds._answer(call)
        object["chunks"] = now

    def registered(call: Call) -> None:
        sds._answer(call)
        sds.faults.append(on("content/show", old, times=1))

    sds.faults.append(on("container/raw_update", registered, times=1))
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert (one["changed"], one["verified"]) == (True, None)
    assert "DELETE" not in changes(sds)
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


# --- the law of content/spare -------------------------------------------------------------------


def test_no_spare_is_asked_for_without_a_policy(client: Client) -> None:
    sds = client.sds
    del sds.objects["a"][-1]["meta"]["policy"]
    ran = client("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (11, "unsupported")
    assert changes(sds) == []
    lawful(sds)


def test_a_policy_that_asks_for_fewer_copies_by_now(near: Near) -> None:
    client = namespace(near, "copies")
    sds = client.sds
    sds.truncate(sds.held("a")[0], 5)
    sds.chunks_a_part, sds.method = 2, "plain/nb_copy=2"
    client.ok("repair", "docs", "a")
    lawful(sds)
    assert readable(sds) == {"0": 3, "1": 3, "2": 3}
    assert sds.orphans() == set()


# --- a chunk in its own place -------------------------------------------------------------------


@pytest.fixture
def lacking(near: Near) -> Client:
    """An object of which one chunk is lost."""
    made = namespace(near, "copies")
    made.sds.lose(made.sds.held("a")[0])
    return made


def test_what_another_repair_stored_meanwhile_is_kept(lacking: Client) -> None:
    sds = lacking.sds

    def quicker(call: Call) -> None:
        call.body(100)
        lacking.ok("repair", "docs", "a", "--journal", str(lacking.directory / "other"))
        call.reset()

    sds.faults.append(on("PUT", quicker, times=1))
    (one,) = lacking.ok("repair", "docs", "a", "--json").json["results"]
    assert (one["changed"], one["verified"]) == (True, True)
    assert "DELETE" not in changes(sds)
    healthy(sds)


def test_it_was_stored_although_the_reply_was_lost(lacking: Client) -> None:
    sds = lacking.sds

    def stored(call: Call) -> None:
        call.reply = Quiet(call).reply  # type: ignore[method-assign]
        sds._put_chunk(call)
        call.hang_up()

    sds.faults.append(on("PUT", stored, times=1))
    lacking.ok("repair", "docs", "a")
    assert changes(sds) == ["PUT"]
    healthy(sds)


def test_it_was_not_stored(lacking: Client) -> None:
    sds = lacking.sds
    sds.faults.append(on("PUT", hang_up))
    ran = lacking("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (6, "unavailable")
    assert changes(sds) == ["PUT"]
    sds.faults.clear()
    lacking.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(lacking)
