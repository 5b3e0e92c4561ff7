"""What was changed is what is said: `changed` and `verified` of every change, and what they cost.

Each command runs as often as it has runs, over HTTP, where the requests are counted: those that ask
only, and those that change.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple

import pytest

from rdctl.cli.tree import root
from rdctl.completion.nodes import walk
from tests.cli.oio.cases import (
    ALIAS,
    BEANS,
    BY_HAND,
    DELETED,
    DOCS,
    ECHO,
    FROZEN,
    INDEXED,
    LATER,
    LINKED,
    LONG,
    META2,
    RAWX,
    REFERENCE,
    VERSIONS,
    verb_of,
)
from tests.cli.oio.cases import CHUNKS as PARTS
from tests.cli.oio.conftest import Oio
from tests.cli.test_help import RULES
from tests.conftest import Program, Ran
from tests.fakes.faults import FaultServer, reply

TWO = "127.0.0.1:16012"
RDIR = "127.0.0.1:16018"


class Run(NamedTuple):
    """What one run says of its targets, and the requests that it sends."""

    changed: bool | None
    verified: bool | None
    reads: int
    changes: int


# The reply tells it; it was seen before to be otherwise, or to be so.
PROVEN, REFUTED = Run(True, True, 0, 1), Run(False, True, 0, 1)
LOOKED, ALREADY = Run(True, None, 1, 1), Run(False, True, 1, 0)
UNTOLD = Run(None, None, 0, 1)
# Where the service is looked up.
KEPT, READ_BACK, KEPT_ALREADY = Run(True, None, 2, 1), Run(True, True, 3, 1), Run(False, True, 2, 0)
# test_put.py, test_get.py, test_append.py, test_repair.py, test_link.py and test_snapshot.py have
# them, and test_sync.py
TRANSFERS = {
    *("content put", "content get", "content append", "content sync"),
    *("content repair", "content link", "container snapshot"),
}
ELSEWHERE = {"content copy", "service kill", "admin vacuum"}  # at a server that does them, below
ELSEWHERE |= {"container checkpoint", "content transition"}  # test_later.py has them
READING = {"api", "lifecycle get"}

ACCOUNT = ("account set-properties sandbox a=1 b=2",)
LOCKED = (f"volume admin lock {RAWX} --owner me",)

Runs = tuple[Run, ...]
TABLE: dict[str, tuple[tuple[str, ...], Any, Runs]] = {
    # Conscience: its listing is asked before, and after until it shows the change.
    "conscience register echo 127.0.0.1:7999": ((), None, (
        Run(True, True, 2, 1), Run(None, True, 2, 1))),
    f"conscience lock rawx {RAWX}": ((), None, (Run(True, True, 2, 1), Run(None, True, 2, 1))),
    f"conscience unlock rawx {RAWX}": ((f"conscience lock rawx {RAWX}",), None, (
        Run(True, True, 2, 1),)),
    "conscience flush echo": (ECHO, None, (LOOKED, ALREADY)),
    "conscience deregister echo": (ECHO, None, (LOOKED, ALREADY)),
    # References.
    "reference create user1": ((), None, (PROVEN, REFUTED)),
    "reference create user1 -p a=b": ((), None, (PROVEN, Run(False, True, 1, 1))),
    "reference destroy user1": (REFERENCE, None, (Run(True, True, 1, 1),)),
    "reference link user1 sqlx": (REFERENCE, None, (Run(True, True, 1, 1), ALREADY)),
    "reference renew user1 sqlx": (REFERENCE, None, (
        Run(True, True, 1, 1), Run(False, True, 1, 1))),
    "reference unlink user1 sqlx": (LINKED, None, (LOOKED, ALREADY)),
    f"reference force user1 sqlx {TWO}": (REFERENCE, None, (PROVEN,)),
    "reference force user1 sqlx 127.0.0.1:7000 --replace": (LINKED, None, (LOOKED, ALREADY)),
    # Containers.
    "container create docs": ((), None, (PROVEN, REFUTED)),
    "container create docs -p a=b": ((), None, (PROVEN, Run(False, True, 1, 1))),
    "container create docs --system sys.m2.quota=5": ((), None, (
        PROVEN, Run(False, True, 1, 1))),
    "container create a b -p a=b": ((), None, (PROVEN, Run(False, True, 2, 1))),
    "container create a b": ((), None, (PROVEN, REFUTED)),
    "container destroy docs": (DOCS, None, (Run(True, True, 2, 1),)),
    "container destroy photos --flush": ((), None, (Run(True, True, 2, 2),)),
    "container flush photos": ((), None, (Run(True, None, 2, 1), ALREADY)),
    "container touch photos": ((), None, (UNTOLD, UNTOLD)),
    "container dedup photos": ((), None, (UNTOLD, UNTOLD)),
    "container purge photos": ((), None, (Run(None, None, 1, 1), Run(None, None, 1, 1))),
    "container purge docs": (DOCS, None, (ALREADY,)),
    "container raw-insert photos --body -": ((), BEANS, (UNTOLD, UNTOLD)),
    "container raw-update photos --body -": (BY_HAND, LATER, (PROVEN,)),
    "container raw-delete photos --body -": (BY_HAND, [ALIAS], (UNTOLD, UNTOLD)),
    # Contents.
    # What is current is looked up before the prompt, and again before the request.
    "content delete photos index.txt": ((), None, (Run(True, True, 4, 1),)),
    "content delete photos index.txt sea/storm.svg": ((), None, (Run(True, True, 6, 1),)),
    "content delete photos v": (DELETED, None, (ALREADY, ALREADY)),
    "content undelete photos v": (DELETED, None, (Run(True, True, 1, 1), ALREADY)),
    "content purge photos v --max-versions 1": (VERSIONS, None, (
        Run(True, True, 1, 1), ALREADY)),
    "content drain photos index.txt": ((), None, (Run(True, True, 1, 1), ALREADY)),
    "content touch photos index.txt": ((), None, (UNTOLD, UNTOLD)),
    "content create photos new --chunks - --length 10 --content-id AB": ((), PARTS, (
        Run(True, True, 1, 1),)),
    "content truncate photos long --size 5": (LONG, None, (LOOKED, ALREADY)),
    f"reference relink user1 rdir --from {RDIR}": (
        (*REFERENCE, f"reference force user1 rdir {RDIR}"), None, (
            Run(True, True, 4, 1),)),
    # Accounts: their service is asked for first.
    "account create t1": ((), None, (Run(True, True, 1, 1), Run(False, True, 2, 1))),
    "account delete t1": (("account create t1",), None, (Run(True, True, 2, 1),)),
    "account set-properties sandbox a=1 c=3": (ACCOUNT, None, (KEPT, KEPT_ALREADY)),
    "account set-properties sandbox a=1 b=3 --replace-all": (ACCOUNT, None, (KEPT, KEPT_ALREADY)),
    "account del-properties sandbox a zz": (ACCOUNT, None, (KEPT, KEPT_ALREADY)),
    "account del-properties sandbox --all": (ACCOUNT, None, (KEPT, KEPT_ALREADY)),
    "account refresh sandbox": ((), None, (Run(None, None, 4, 3), Run(None, None, 4, 3))),
    "account flush sandbox": ((), None, (Run(True, True, 2, 1), KEPT_ALREADY)),
    "container refresh photos": ((), None, (Run(None, None, 2, 2), Run(None, None, 2, 2))),
    "lifecycle set photos -": ((), RULES, (LOOKED, ALREADY)),
    # Volumes: the rdir of each is asked for first.
    f"volume admin incident {RAWX} --date 2026-01-01": ((), None, (READ_BACK, KEPT_ALREADY)),
    f"volume admin lock {RAWX} --owner me": ((), None, (READ_BACK, KEPT_ALREADY)),
    f"volume admin unlock {RAWX} --owner me": (LOCKED, None, (READ_BACK, KEPT_ALREADY)),
    f"volume admin unlock {RAWX} --force": (LOCKED, None, (READ_BACK, KEPT_ALREADY)),
    f"volume admin clear {RAWX}": ((f"volume admin incident {RAWX}",), None, (
        READ_BACK, KEPT_ALREADY)),
    f"volume admin clear {RAWX} --all": (INDEXED, None, (
        Run(True, True, 4, 1), Run(False, True, 3, 0))),
    # Bases and services.
    # The copies are looked up before the prompt, and again before the request.
    f"admin remove photos --service {META2}": (
        (f"admin leave photos --service {META2}",), None, (
            Run(True, True, 9, 1), Run(False, True, 3, 0))),
    "directory warmup --digits 0": ((), None, (Run(None, True, 0, 1), Run(None, True, 0, 1))),
    "cache flush low": ((), None, (Run(None, True, 1, 1), Run(None, True, 1, 1))),
    "service config set proxy proxy.bulk.max.create_many=50": ((), None, (
        Run(True, True, 2, 1), ALREADY)),
    "admin copy photos --to 127.0.0.1:16011": ((), None, (Run(None, None, 1, 1),)),
    "admin freeze photos": ((), None, (PROVEN, REFUTED)),
    "admin disable photos": ((), None, (PROVEN, REFUTED)),
    "admin enable photos": (FROZEN, None, (Run(True, True, 1, 1), Run(False, True, 1, 1))),
    **{
        # Its type is looked up: rawx, rdir and account do not speak the proxy's protocol.
        f"service {action} {META2}": ((), None, (Run(None, None, 3, 1),))
        for action in ("flush", "reload", "lean-glib", "lean-sqlx")
    },
    # Properties of all nouns.
    **{
        f"{noun} {words}": (setup, None, runs)
        for noun, target in (
            ("reference", "user1"),
            ("container", "photos"),
            ("content", "photos index.txt"),
            ("admin", "photos"),
        )
        for setup in ((*REFERENCE, f"{noun} set-properties {target} a=1 b=2"),)
        for words, runs in (
            (f"set-properties {target} a=1 c=3", (LOOKED, ALREADY)),
            (f"set-properties {target} a=1 b=3 --replace-all", (LOOKED, ALREADY)),
            (f"del-properties {target} a zz", (LOOKED, ALREADY)),
            (f"del-properties {target} --all", (LOOKED, ALREADY)),
        )
    },
    **{
        f"{noun} set-properties photos --system sys.m2.quota=1M": ((), None, (
            Run(True, True, 2, 1), ALREADY))
        for noun in ("container", "admin")
    },
}  # fmt: skip


def results(ran: Ran) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ran.json["results"]
    return rows


def test_no_change_is_left_out() -> None:
    """All verbs that show nothing change something."""
    changing = {
        node.path.removeprefix("rdctl oio ")
        for node in walk(root)
        if node.path.startswith("rdctl oio ")
        and not node.children
        and not getattr(node.command, "shows", None)
    }
    told = {verb_of(words) for words in TABLE} | TRANSFERS | ELSEWHERE
    assert told == changing - READING


def prepared(wire: Oio, words: str) -> dict[str, Any]:
    """What was done before; what is given to the command itself."""
    setup, body, _ = TABLE[words]
    near = wire
    if words.startswith("volume"):
        near = Oio(wire.rdctl)  # chunks are stored only in-process: no rawx listens
        wire.show_rdir()
    for line in setup:
        before, _, sent = line.partition(" < ")
        near.ok(*shlex.split(before), "--yes", stdin=sent.encode())
    return {"stdin": body.encode()} if isinstance(body, str) else {"body": body}


@pytest.mark.parametrize("words", TABLE)
def test_what_was_changed_is_what_is_said(wire: Oio, words: str) -> None:
    given, runs = prepared(wire, words), TABLE[words][2]
    for run in runs:
        wire.sent.clear()
        state = wire.state
        ran = wire.ok(*shlex.split(words), "--yes", "--json", **given)
        assert {(row["changed"], row["verified"]) for row in results(ran)} == {run[:2]}
        assert (len(wire.sent) - len(wire.changes), len(wire.changes)) == run[2:]
        if run.changed is False:
            assert wire.state == state


@pytest.mark.parametrize(
    "words", [w for w, row in TABLE.items() if {ALREADY, KEPT_ALREADY} & {*row[2]}]
)
def test_what_is_so_already_plans_nothing_and_asks_nobody(wire: Oio, words: str) -> None:
    given = prepared(wire, words)
    wire(*shlex.split(words), "--yes", **given)
    wire.sent.clear()
    plan = wire.ok(*shlex.split(words), "--dry-run", "--json", **given).json
    assert plan["plan"] == []
    assert [(row["changed"], row["verified"]) for row in plan["results"]] == [(False, True)]
    ran = wire(*shlex.split(words), **given)  # nobody can be asked here
    assert (ran.code, wire.changes) == (0, [])
    assert re.search("already|up to date|no properties deleted|is not|has no", ran.out)


def at(rdctl: Program, server: FaultServer, *words: str) -> Ran:
    where = ("--oio-url", server.url, "--namespace", "OPENIO", "--account", "me", "--retries", "0")
    return rdctl(*where, "oio", *words, "--yes", "--json")


def test_what_only_other_servers_do(rdctl: Program) -> None:
    with FaultServer([reply(204, headers={"Server": "oio-proxy/3.3.1/3.0"})]) as server:
        (copied,) = results(at(rdctl, server, "content", "copy", "c", "from", "to"))
    with FaultServer([*[reply(200, b"[]")] * 3, reply(204)]) as server:
        (killed,) = results(at(rdctl, server, "service", "kill", META2))
    with FaultServer([reply(204)]) as server:
        (compacted,) = results(at(rdctl, server, "admin", "vacuum", "c"))
    for row in (copied, killed, compacted):
        assert (row["changed"], row["verified"]) == (None, None)


# --- properties ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["reference {} user1", "container {} photos", "content {} photos index.txt"]
)
def test_only_what_differs_is_sent(wire: Oio, target: str) -> None:
    wire.ok("reference", "create", "user1")
    start = target.format("set-properties").split()
    delete = target.format("del-properties").split()
    wire.ok(*start, "a=1", "b=2")
    wire.sent.clear()
    ran = wire.ok(*start, "a=1", "b=3", "c=4", "--json")
    (row,) = results(ran)
    assert row["properties"] == ["b", "c"]
    ran = wire.ok(*delete, "zz", "a", "a", "yy", "--json")
    (row,) = results(ran)
    assert (row["properties"], row["not_set"]) == (["a"], ["zz", "yy"])
    # Replaced is the whole of it, or nothing.
    wire.ok(*start, "b=3", "--replace-all", "--yes")
    bodies = [sent.body for sent in wire.changes]
    assert bodies == [{"properties": {"b": "3", "c": "4"}}, ["a"], {"properties": {"b": "3"}}]
    ran = wire.ok(*delete, "zz", "--json")
    assert (results(ran)[0]["properties"], results(ran)[0]["not_set"]) == ([], ["zz"])
    assert len(wire.changes) == 3


def test_a_reference_keeps_empty_values(wire: Oio) -> None:
    wire.ok("reference", "create", "user1", "-p", "a=")
    ran = wire.ok("reference", "set-properties", "user1", "a=", "--json")
    assert results(ran)[0]["changed"] is False
    item = wire.ok("reference", "get-properties", "user1", "--json").json["item"]
    assert item["properties"] == {"a": ""}


# --- what is asked -------------------------------------------------------------------------------


def test_ten_thousand_containers_take_no_more_requests(wire: Oio) -> None:
    names = "".join(f"c{number}\n" for number in range(1000)).encode()
    rows = results(wire.ok("container", "create", "-", "-p", "a=b", "--json", stdin=names))
    assert len(rows) == 1000
    assert {(row["changed"], row["verified"]) for row in rows} == {(True, True)}
    assert [sent.route for sent in wire.sent] == ["container/create_many"] * 10


@pytest.mark.parametrize("verb", ["flush", "purge"])
def test_what_holds_only_a_delete_marker_is_not_empty(wire: Oio, verb: str) -> None:
    system = ("--system", "sys.m2.policy.version=-1")
    wire.ok("container", "create", "docs", *system, "--yes")
    part = ("--chunks", "-", "--length", "10", "--content-id", "AB")
    wire.ok("content", "create", "docs", "a", *part, body=PARTS)
    (row,) = wire.ok("container", "list", "docs", "--all-versions", "--json").json["items"]
    wire.ok("content", "delete", "docs", "a", "--yes")
    version = ("--content-version", str(row["version"]))
    wire.ok("content", "delete", "docs", "a", *version, "--yes")
    assert wire.ok("container", "list", "docs", "--json").json["items"] == []
    wire.sent.clear()
    wire.ok("container", verb, "docs", "--yes")
    assert [sent.route for sent in wire.changes] == [f"container/{verb}"]
