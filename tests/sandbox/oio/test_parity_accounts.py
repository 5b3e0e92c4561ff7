"""Accounts, container locate and refresh, lifecycle: what OpenIO's own client does, replayed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.oio.parity import RECORDINGS, faults, replay
from tests.sandbox.oio.replay import Replay, Step, post
from tests.sandbox.oio.test_replay import AWAY_WITH_THE_FIRST_CONTENT, ONE_META2_A_BASE
from tests.sandbox.oio.wire import ACCOUNT_HOST

# The recordings of this area, by number.
ACCOUNTS = [*range(117), 118, 119]
LOCK = [*range(625, 633)]
CONTAINERS = [295, 296, 299, *range(302, 308), 365, 415, 416]
LEFT_OUT: dict[str, list[int]] = {
    "a GET that changes something": [60],
    "a chunk that was stored at the recorded rawx, not at the chosen one": [208],
}
EXCUSED = {number for numbers in LEFT_OUT.values() for number in numbers}


def account(target: str, body: object = None) -> list[Step]:
    return post(f"/v1.0/account/{target}", body, host=ACCOUNT_HOST)


def since(seconds: int, name: str, *containers: str) -> list[Step]:
    """Containers that were created then: events of the recordings are later."""
    body = {"system": {"sys.m2.ctime": f"{seconds}000000"}}
    targets = [f"container/set_properties?acct={name}&ref={one}" for one in containers]
    return [step for target in targets for step in post(target, body)]


FIRST = [
    *AWAY_WITH_THE_FIRST_CONTENT,
    *post("/v3.0/config", {"ns.storage_policy": "SINGLE"}),
    *(step for name in ("_RDIR", "acct", "ceo") for step in account(f"create?id={name}")),
]
ARRANGED: dict[int, list[Step]] = {
    0: FIRST,
    25: since(1795897825, "pa1", "pc1", "pc2", "pd%2Fe1", "pd%2Fe2"),
    55: account("create?id=repair"),
    61: account("create?id=pa5"),
    98: account("container/update?id=pa6", {"name": "cx", "dtime": 1795897900.1}),
}


class Store:
    """The file of the sandbox, whose times can be moved."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "store"

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path)) as store, store:
            store.execute(statement)

    def let_events_arrive(self) -> None:
        self.execute("UPDATE oio_recounted SET until = 0 WHERE until IS NOT NULL")

    def end_locks(self) -> None:
        self.execute("UPDATE oio_account_locks SET until = until - 10")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def over(store: Store) -> Replay:
    return replay(store.path)


def test_accounts(over: Replay, store: Store) -> None:
    numbers = [number for number in ACCOUNTS if number not in EXCUSED]
    touched = numbers.index(45)
    found = faults(over, numbers[:touched], ARRANGED)
    store.let_events_arrive()
    assert found + faults(over, numbers[touched:], ARRANGED) == []


def test_a_touched_container_is_listed_again_later(over: Replay, store: Store) -> None:
    flushed = range(102, 117)
    assert faults(over, [*flushed], {}) == []
    shown = ("GET", "/v1.0/account/show?id=pf1")
    assert over.servers.send(ACCOUNT_HOST, *shown).json["containers"] == 0
    store.let_events_arrive()
    assert over.servers.send(ACCOUNT_HOST, *shown).json["containers"] == 1


def test_a_refused_deletion_locks_the_account_for_ten_seconds(over: Replay, store: Store) -> None:
    assert faults(over, LOCK[:2], {}) == []
    filled = {"name": "c", "mtime": 1.5, "objects": 1, "bytes": 1}
    for step in account("container/update?id=pl1", filled):
        over.arrange(step)
    assert over.servers.send(ACCOUNT_HOST, "POST", "/v1.0/account/delete?id=pl1").status == 409
    for step in account("container/update?id=pl1", {"name": "c", "dtime": 2.5}):
        over.arrange(step)
    assert faults(over, LOCK[2:-1], {}) == []
    store.execute("UPDATE oio_account_locks SET until = until - 9")
    assert faults(over, LOCK[2:-1], {}) == []
    store.end_locks()
    assert faults(over, LOCK[-1:], {}) == []


LIVED = {"sys.m2.objects": "6", "sys.m2.usage": "2500036", "sys.m2.version": "12"}
BEFORE: dict[int, list[Step]] = {
    295: [
        *ONE_META2_A_BASE,
        *post("container/create?acct=pa1&ref=pc1"),
        *since(1795898000, "pa1", "pc1"),
        *post("container/set_properties?acct=pa1&ref=pc1", {"system": LIVED}),
    ],
    365: post("container/create?acct=pa1&ref=psrc"),
}


def test_containers(over: Replay) -> None:
    assert faults(over, CONTAINERS, BEFORE) == []


def test_what_is_left_out() -> None:
    assert [RECORDINGS[number]["method"] for number in sorted(EXCUSED)] == ["GET", "DELETE"]


# The put of `gi` itself is not in the recordings.
GI: dict[str, Any] = {
    "url": f"http://127.0.0.1:17020/7518CB13FC0AA115C6BDBDCA1C5857B7{'4BFE50BBCC81F0E1A5CFEF4A9B4C3821'}",
    "pos": "0",
    "size": 4,
    "hash": "098890DDE069E9ABAD63F19A0D9E1F32",
}
GIVEN = {"id": "0123456789ABCDEF0123456789ABCDEF", "version": "1795898023968931", "length": "4"}
GIVEN |= {"hash": "098890DDE069E9ABAD63F19A0D9E1F32", "policy": "SINGLE"}
GIVEN |= {"chunk-method": "plain/nb_copy=1"}
APPENDED: dict[int, list[Step]] = {
    184: [*FIRST, *post("container/create?acct=pa1&ref=pc1")],
    205: post(
        "content/create?acct=pa1&ref=pc1&path=gi",
        [GI],
        {f"x-oio-content-meta-{key}": value for key, value in GIVEN.items()},
    ),
}


def test_append_and_given_ids(over: Replay) -> None:
    numbers = [*range(184, 195), *range(203, 217)]
    assert faults(over, [n for n in numbers if n not in EXCUSED], APPENDED) == []
