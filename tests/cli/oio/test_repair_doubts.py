"""content repair where answers are old, contradict each other, or are those of another system:
what may be needed is kept."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest

from tests.cli.oio.repairs import (
    KINDS,
    Near,
    changes,
    chunks_of,
    closed,
    damaged,
    healthy,
    journal_line,
    late,
    lawful,
    namespace,
    readable,
)
from tests.cli.oio.test_repair_faults import Quiet, done_then, hang_up
from tests.cli.oio.transfers import Client, errors_of, unsure
from tests.fakes.sds import Call, Sds, on


@pytest.fixture(params=KINDS)
def client(near: Near, request: pytest.FixtureRequest) -> Client:
    return damaged(near, request.param)


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
    old = late(chunks_of(sds))

    def registered(call: Call) -> None:
        sds.faults.append(on("content/show", old, times=1))
        sds._answer(call)

    sds.faults.append(on("container/raw_update", registered, times=1))
    (one,) = client.ok("repair", "docs", "a", "--json").json["results"]
    assert (one["changed"], one["verified"]) == (True, None)
    assert "DELETE" not in changes(sds)
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


def test_a_list_that_contradicts_the_refusal_removes_nothing(client: Client) -> None:
    """The registration was carried out, and the list is older than that."""
    sds = client.sds
    old = late(chunks_of(sds))

    def registered(call: Call) -> None:
        sds.faults.append(on("content/show", old, times=1))
        done_then(repeated)(call)

    sds.faults.append(on("container/raw_update", registered, times=1))
    ran = client("repair", "docs", "a", "--json")
    assert (ran.code, errors_of(ran)[0]["code"]) == (4, "conflict")
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


# --- the journal --------------------------------------------------------------------------------


def test_another_system_of_the_same_name_removes_nothing(near: Near) -> None:
    """It does not have the object; the chunks of the journal are those of the first one."""
    client = namespace(near, "copies")
    sds = client.sds
    sds.truncate(sds.held("a")[0], 5)

    def silent(call: Call) -> None:
        sds.faults.append(on("content/show", unsure))
        done_then(hang_up)(call)

    sds.faults.append(on("container/raw_update", silent, times=1))
    assert client("repair", "docs", "a").code == 10
    sds.faults.clear()
    was, calls = readable(sds), len(sds.calls)
    with Sds(copies=3, rawx=6) as other:
        twin = Client(client.rdctl, other, client.directory)
        ran = twin.ok("repair", "docs")
        assert "cannot be finished yet" in ran.err
    assert readable(sds) == was
    assert len(sds.calls) == calls
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


OTHER = {
    "text": b"my notes\n",
    "bytes": b"\xff\xd8\xff\xe0\0\0",
    "json": b'{"name": "index.txt"}\n',
    "deep": b"[" * 100_000,
    "number": b"1\n2\n",
}


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_another_file_than_a_journal_is_left_alone(
    client: Client, name: str, words: tuple[str, ...]
) -> None:
    file = Path(client.file("notes", OTHER[name]))
    ran = client("repair", "docs", "a", "--journal", str(file), *words)
    assert ran.code == 1
    assert f"{file}: not a journal of repairs" in ran.err
    assert file.read_bytes() == OTHER[name]
    assert changes(client.sds) == []


WRONG: dict[str, object] = {
    "time": 10**400,
    "account": 5,
    "container": ["docs"],
    "path": {},
    "chunks": [{"new": "no url", "old": None}],
    "content_id": 7,
}


@pytest.mark.parametrize("name", [*WRONG, "cut"])
def test_damaged_lines_are_skipped(client: Client, name: str) -> None:
    line = journal_line(client, **{"content_id": "AA", name: WRONG.get(name)})
    done = b'{"id": "0", "state": "done"}\n'
    text = b'{"id": "1", "sta' if name == "cut" else done + line.strip().encode()
    file = client.file("journal", text)
    client.ok("repair", "docs", "a", "--journal", file)
    healthy(client.sds)


def test_a_disk_that_is_full_at_the_end_does_not_fail_the_repair(client: Client) -> None:
    sds = client.sds
    file = client.directory / "repairs.ndjson"
    processes: list[subprocess.Popen[bytes]] = []

    def full(call: Call) -> None:
        size = file.stat().st_size
        resource.prlimit(processes[0].pid, resource.RLIMIT_FSIZE, (size, size))
        sds._answer(call)

    sds.faults.append(on("container/raw_update", full, times=1))
    with client.start("repair", "docs", "a", "--journal", str(file)) as process:
        processes.append(process)
        out, err = process.communicate()
    assert (process.returncode, out[:10]) == (0, b"repaired a"), err
    healthy(sds)
    assert not closed(client)
    client.ok("repair", "docs", "a", "--journal", str(file))
    healthy(sds)
    assert file.read_bytes() == b""
