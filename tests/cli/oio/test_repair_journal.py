"""The journal of content repair: which file it may be, and what the next repair makes of it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from rdctl.oio.integrity.leftovers import AGAIN_SECONDS, LATE_SECONDS
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
    readable,
)
from tests.cli.oio.test_repair_faults import done_then, hang_up
from tests.cli.oio.transfers import Client, unsure
from tests.fakes.sds import Call, on


@pytest.fixture(params=KINDS)
def client(near: Near, request: pytest.FixtureRequest) -> Client:
    return damaged(near, request.param)


# --- which file ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(
    client: Client, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each repair would believe that it is alone, and finish the live lines of others."""
    sds = client.sds
    chunk = sds.fresh(0)
    meta = {"content-id": sds.objects["a"][-1]["meta"]["id"], "chunk-pos": "0"}
    sds.store(chunk[-64:], b"new", meta)
    text = journal_line(client, chunks=[{"new": chunk, "old": None}])
    file = Path(client.file("journal", text.encode()))
    before = dict(sds.chunks)

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    ran = client("repair", "docs", "a", "--journal", str(file))
    assert ran.code == 1
    assert f"{file}: files cannot be locked here ({os.strerror(code)})" in ran.err
    assert "on a local file system: --journal FILE" in ran.err
    assert (sds.chunks, file.read_text(), changes(sds)) == (before, text, [])


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_another_file_keeps_its_mode(client: Client, words: tuple[str, ...], locked: bool) -> None:
    file = Path(client.file("notes", b"my notes\n"))
    file.chmod(0o644)
    with file.open("rb") as held:
        if locked:
            fcntl.flock(held, fcntl.LOCK_SH)
        ran = client("repair", "docs", "a", "--journal", str(file), *words)
    assert ran.code == 1
    assert "not a journal of repairs" in ran.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert (file.read_bytes(), changes(client.sds)) == (b"my notes\n", [])


def test_a_journal_becomes_private(client: Client) -> None:
    file = Path(client.file("journal", b'{"id": "0", "state": "done"}\n'))
    file.chmod(0o644)
    client.ok("repair", "docs", "a", "--journal", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["fifo", "directory", "device"])
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_only_regular_files(client: Client, kind: str, words: tuple[str, ...]) -> None:
    path = client.directory / kind
    if kind == "fifo":
        os.mkfifo(path, 0o644)
    elif kind == "directory":
        path.mkdir()
    else:
        path = Path("/dev/null")
    before = path.stat().st_mode
    ran = client("repair", "docs", "a", "--journal", str(path), *words)
    assert ran.code == 1
    assert f"{path}: not a regular file: the journal of repairs cannot be used" in ran.err
    assert "--journal FILE" in ran.err
    assert (path.stat().st_mode, changes(client.sds)) == (before, [])


# --- what stays in it ---------------------------------------------------------------------------


def test_only_open_lines_are_kept(client: Client) -> None:
    """Those of another namespace are finished by its own repairs."""
    other = journal_line(client, id="7", namespace="OTHER", path="elsewhere")
    done = '{"id": "0", "state": "done"}\n'
    text = (
        journal_line(client, id="0")
        + done
        + other
        + journal_line(client, id="2")
        + '{"id": "3", "sta'
    )
    file = Path(client.file("journal", text.encode()))
    client.ok("repair", "docs", "a", "--journal", str(file))
    client.ok("repair", "docs", "a", "--journal", str(file))
    assert file.read_text() == other
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.iterdir() if one.name.endswith(".part")] == []
    healthy(client.sds)


def test_lines_are_kept_while_another_repair_uses_it(client: Client) -> None:
    text = journal_line(client, id="2") + '{"id": "0", "state": "done"}\n'
    file = Path(client.file("journal", text.encode()))
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        client.ok("repair", "docs", "a", "--journal", str(file))
    assert file.read_text().startswith(text)


def test_a_journal_that_is_a_mount_point(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be replaced: what is finished is noted in it."""
    other = journal_line(client, id="7", namespace="OTHER")
    text = journal_line(client, id="2") + other
    file = Path(client.file("journal", text.encode()))

    def refuse(*names: object, **directories: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "rename", refuse)
    ran = client.ok("repair", "docs", "a", "--journal", str(file))
    assert "finished 1 interrupted repair (a)" in ran.err
    assert file.read_text().startswith(text + '{"id": "2", "state": "done"}\n')
    ran = client.ok("repair", "docs", "a", "--journal", str(file))
    assert "finished" not in ran.err


# --- lists that are late ------------------------------------------------------------------------


def interrupted(client: Client, *, done: bool) -> list[dict[str, Any]]:
    """A repair ends without knowing whether its chunks are registered; the list before it."""
    sds = client.sds
    before = chunks_of(sds)

    def silent(call: Call) -> None:
        sds.faults.append(on("content/show", unsure))
        (done_then(hang_up) if done else hang_up)(call)

    sds.faults.append(on("container/raw_update", silent, times=1))
    assert client("repair", "docs", "a").code == 10
    sds.faults.clear()
    sds.calls.clear()
    client.rdctl.slept.clear()
    return before


def test_a_late_list_removes_nothing(client: Client) -> None:
    sds = client.sds
    before = interrupted(client, done=True)
    was = readable(sds)
    sds.faults.append(on("content/show", late(before), times=1))
    ran = client.ok("repair", "docs", "a")
    assert "cannot be finished yet" in ran.err
    assert AGAIN_SECONDS in client.rdctl.slept
    assert "DELETE" not in changes(sds)
    assert readable(sds) == was
    client.ok("repair", "docs", "a")
    healthy(sds)
    assert closed(client)


def test_an_object_that_seems_gone_keeps_its_chunks(client: Client) -> None:
    sds = client.sds
    interrupted(client, done=True)
    was = readable(sds)
    sds.faults.append(
        on("content/show", lambda call: call.refuse(420, "404 Not found", "gone"), times=2)
    )
    ran = client.ok("repair", "docs", "a")
    assert "cannot be finished yet" in ran.err
    assert "DELETE" not in changes(sds)
    assert readable(sds) == was
    client.ok("repair", "docs", "a")
    healthy(sds)


@pytest.mark.parametrize("age", [0.0, LATE_SECONDS + 1])
def test_what_is_not_registered_is_removed_when_that_is_sure(client: Client, age: float) -> None:
    """Seen twice, or long ago."""
    sds = client.sds
    interrupted(client, done=False)
    assert len(sds.orphans()) == 1
    client.rdctl.now = lambda: time.time() + age
    ran = client.ok("repair", "docs", "a")
    assert "finished 1 interrupted repair (a) (1 chunk removed)" in ran.err
    assert (AGAIN_SECONDS in client.rdctl.slept) == (age == 0)
    healthy(sds)
    assert closed(client)
