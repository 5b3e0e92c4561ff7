"""rdctl history"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator

import pytest

from rdctl.history.times import past
from tests.conftest import Program, Ran

Sandbox = Callable[..., Ran]
NOON = 1_700_000_000.0


@pytest.fixture
def busy(rdctl: Program, sandbox: Sandbox) -> Sandbox:
    """A change an hour ago, one just now, and one that failed in part."""
    rdctl.now = lambda: NOON - 3600
    sandbox("rapiddisk", "create", "64M", "--count", "2")
    rdctl.now = lambda: NOON
    sandbox("oio", "container", "create", "docs", "--trace")
    sandbox("rapiddisk", "remove", "rd1", "rd9", "--yes")
    return sandbox


def ids(ran: Ran) -> list[str]:
    return ran.out.split()


def test_the_newest_is_the_last(busy: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        shown = busy("history", width=120).out.splitlines()
    finally:
        monkeypatch.undo()
        time.tzset()
    shown = [re.sub(" +", " ", re.sub(r"[0-9a-f]{8} +\S+", "ID USER", line)) for line in shown]
    eve, day = "2023-11-14 23:13:20 ID USER sandbox", "2023-11-15 00:13:20 ID USER sandbox"
    assert shown == [
        "TIME ID USER CONTEXT COMMAND RESULT",
        f"{eve} rdctl -c sandbox rapiddisk create 64M --count 2 done",
        f"{day} rdctl -c sandbox oio container create docs --trace done",
        f"{day} rdctl -c sandbox rapiddisk remove rd1 rd9 --yes partial",
    ]
    rows = busy("history", "--json").json["items"]
    assert rows[0]["time"] == "2023-11-14T21:13:20.000Z"


def test_since(busy: Sandbox) -> None:
    whole = ids(busy("history", "-o", "name"))
    for since, count in (
        ("30m", 2),
        ("2h", 3),
        ("3600s", 3),
        ("1w", 3),
        ("2023-11-14T22:00:00Z", 2),
        ("2023-11-14T22:00:00+00:00", 2),
        ("2023-11-10", 3),
        ("59m60s", 3),
        ("30m29m", 2),
        ("2w", 3),
        ("2023-12-01", 0),
    ):
        assert ids(busy("history", "--since", since, "-o", "name")) == whole[3 - count :], since


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("since", "meant"),
    [  # it is 22:13:20
        ("today", "2023-11-14T00:00:00Z"),
        ("yesterday", "2023-11-13T00:00:00Z"),
        ("22:13", "2023-11-14T22:13:00Z"),
        ("22:13:20", "2023-11-14T22:13:20Z"),
        ("22:13:21", "2023-11-13T22:13:21Z"),
        ("22:14", "2023-11-13T22:14:00Z"),
        ("7:05", "2023-11-14T07:05:00Z"),
        ("1w2d", "2023-11-05T22:13:20Z"),
    ],
)
@pytest.mark.usefixtures("utc")
def test_times_as_people_write_them(since: str, meant: str) -> None:
    assert past(since, NOON) == past(meant, NOON)


@pytest.mark.parametrize(
    "since",
    ["24:00", "9:60", "1h 2m", "h", "now", "soon", "7", "-1h", "2023-13-01", "99999999999d"],
)
def test_what_is_no_time(busy: Sandbox, since: str) -> None:
    ran = busy("history", f"--since={since}")
    assert ran.code == 2
    assert ran.err.startswith(f'rdctl: error: invalid time "{since}"\nhint: Examples: ')


def test_target(busy: Sandbox) -> None:
    create, docs, remove = ids(busy("history", "-o", "name"))
    for name, found in (
        ("rd1", [create, remove]),
        ("rd2", [create]),
        ("rd9", [remove]),
        ("docs", [docs]),
        ("rd", []),
        ("/dev/rd2", [create]),
        ("/dev/mapper/rd2", [create]),
    ):
        assert ids(busy("history", "--target", name, "-o", "name")) == found


def test_by_id(busy: Sandbox) -> None:
    _, docs, remove = ids(busy("history", "-o", "name"))
    shown = busy("history", remove, width=200).out
    assert re.search(r"^Result +partial$", shown, re.MULTILINE)
    assert re.search(r"^Error +volume rd9 not found$", shown, re.MULTILINE)
    assert "\nEffects\n  echo 'rapiddisk detach 1' > /sys/kernel/rapiddisk/mgmt\n" in shown
    both = busy("history", remove.upper(), docs, "-o", "name")
    assert ids(both) == [remove, docs]
    prefix = next(remove[:n] for n in range(1, 9) if not docs.startswith(remove[:n]))
    assert len(prefix) < 8
    everything = busy("history", "--json").json["items"]
    if sum(row["id"].startswith(prefix) for row in everything) == 1:
        assert ids(busy("history", prefix, "-o", "name")) == [remove]


def test_an_id_that_is_not_there(busy: Sandbox) -> None:
    ran = busy("history", "nothere")
    assert (ran.code, ran.err) == (
        3,
        'rdctl: error: command "nothere" not found in the history\n'
        "hint: List them: rdctl -c sandbox history\n",
    )


def test_a_name_instead_of_an_id(busy: Sandbox) -> None:
    for name in ("rd1", "/dev/rd1"):
        hint = f"hint: The commands that name it: rdctl -c sandbox history --target {name}\n"
        assert busy("history", name).err.endswith(hint)


def test_all_fields_of_one(rdctl: Program, busy: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rdctl.home / "sandbox.db-history.ndjson"
    text = re.sub('"(login_uid|pid)":[a-z0-9]+', '"\\1":0', path.read_text())
    path.write_text(text.replace('"tty":null', '"tty":"/dev/pts/0"').replace('"uid":1', '"uid":0'))
    create = ids(busy("history", "-o", "name"))[0]
    shown = busy("history", create, width=200).out
    labels = [line.split("  ")[0] for line in shown.splitlines() if not line.startswith(" ")]
    assert labels == [
        *("Time", "ID", "User", "Context", "Command", "Result", "Exit", "Ended", "Targets"),
        *("Effects", "Acts", "Host", "Login UID", "UID", "TTY", "PID", "Boot"),
    ]
    assert "\nTargets\n  rd1\n  rd2\nEffects\n" in shown


def test_what_was_undone(busy: Sandbox) -> None:
    create, _, _ = ids(busy("history", "-o", "name"))
    busy("rapiddisk", "create", "64M")
    *_, create = ids(busy("history", "-o", "name"))

    def results() -> list[str]:
        rows = busy("history", "--columns", "result", "--no-headers", "-o", "table").out
        return [line.strip() for line in rows.splitlines()][3:]

    busy("rapiddisk", "undo", create, "--yes")
    *_, undo = ids(busy("history", "-o", "name"))
    assert results() == [f"done, undone by {undo}", f"done, undoes {create}"]
    row = busy("history", create, "--json").json["items"][0]
    assert (row["result"], row["undone_by"]) == ("done", undo)
    # The command stands again.
    assert busy("rapiddisk", "undo", undo, "--yes").code == 0
    *_, redo = ids(busy("history", "-o", "name"))
    assert results() == [
        "done",
        f"done, undoes {create}, undone by {redo}",
        f"done, undoes {undo}",
    ]


def test_an_ambiguous_id(rdctl: Program, busy: Sandbox) -> None:
    path = rdctl.home / "sandbox.db-history.ndjson"
    path.write_text(re.sub('"id":"......', '"id":"aaaaaa', path.read_text()))
    ran = busy("history", "aaa")
    assert ran.code == 2
    assert ran.err.startswith(
        'rdctl: error: ambiguous ID "aaa": 3 commands\nhint: The latest: aaaa'
    )


def test_contexts_are_filtered(rdctl: Program, served: Sandbox) -> None:
    served("rapiddisk", "create", "64M")
    assert len(rdctl("history", "--json").json["items"]) == 2
    for typed, count in (("served", 1), ("s*,served", 1), ("g*", 0), ("*", 2)):
        rows = rdctl("history", "-c", typed, "--json").json["items"]
        assert len(rows) == count, typed
    ran = rdctl("history", "-c", "s*,severd")
    assert (ran.code, ran.err.splitlines()[0]) == (
        3,
        'rdctl: error: context "severd" not found; did you mean "served"?',
    )
    ran = rdctl("history", "-c", "served,sandbox")
    assert (ran.code, ran.err.splitlines()[1]) == (2, "hint: Show it: rdctl -c sandbox history")
    assert rdctl("history", "-c", "sandbox", "--json").json["items"] == []
    rdctl("context", "delete", "served", "--yes")
    assert len(rdctl("history", "-c", "served", "--json").json["items"]) == 1
    rdctl("context", "use", "sandbox")
    assert rdctl("history", "--json").json["items"] == []


def test_none(rdctl: Program) -> None:
    ran = rdctl("history")
    assert (ran.code, ran.out, ran.err) == (0, "", "No commands.\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of another user")
def test_a_file_that_cannot_be_read(rdctl: Program, busy: Sandbox) -> None:
    path = rdctl.home / "sandbox.db-history.ndjson"
    path.unlink()
    path.mkdir()
    ran = busy("history")
    assert (ran.code, ran.err) == (
        1,
        f"rdctl: error: the history {path} cannot be read: Is a directory\n"
        "hint: Show its owner and its kind, and those of the directories above:"
        f" namei -l {path}\n",
    )
