"""The recordings of real 4.2.10 servers (docs/wire/oio-proxy.md), replayed against the sandbox.

A chapter is a run of recordings over one new store. What the recordings do not hold, but needed to
happen in between, is arranged: `ARRANGED` says before which recording.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.sandbox.oio.replay import Replay, Step, container, post, put, put_stored
from tests.sandbox.oio.wire import ACCOUNT_HOST, Servers

WIRE = Path(__file__).parent.parent.parent / "wire" / "oio-transcripts.jsonl"
RECORDINGS: dict[int, dict[str, Any]] = {
    number: recording
    for number, recording in enumerate(map(json.loads, WIRE.read_text("utf-8").splitlines()))
    if recording["server"].endswith("4.2.10")
}


class Chapter(NamedTuple):
    name: str
    numbers: list[int]


def _rows(*spans: tuple[int, int]) -> list[int]:
    return [n for first, last in spans for n in range(first, last + 1) if n in RECORDINGS]


LEFT_OUT = {
    "a service behind the proxy is down, frozen or cannot elect": _rows(
        (607, 624), (681, 692), (704, 705)
    ),
    "faults of HTTP itself, the server's matter and not the app's": [
        597, 598, 599, 600, 601, 603, 604, 606,
    ],
    "the filters x-oio-list-chunk-id and x-oio-list-content-hash": [481, 482],
    "the event agent is down: chunks of deleted contents stay": [678],
}  # fmt: skip

CHAPTERS = [
    Chapter("conscience", _rows((0, 97))),
    Chapter("references", _rows((98, 191))),
    Chapter("containers-and-contents", _rows((192, 606), (625, 630))),
    Chapter("upload", _rows((631, 680), (1404, 1405))),
    Chapter("replicas", _rows((693, 706))),
    Chapter("accounts", _rows((1364, 1383))),
    Chapter("no-account-service", [1363]),
    Chapter("later", _rows((1384, 1403))),
]
EXCUSED = {number for numbers in LEFT_OUT.values() for number in numbers}


def test_every_recording_is_replayed_or_excused() -> None:
    replayed = [n for chapter in CHAPTERS for n in chapter.numbers if n not in EXCUSED]
    assert len(replayed) == len(set(replayed))
    assert set(replayed).isdisjoint(EXCUSED)
    assert set(replayed) | EXCUSED == set(RECORDINGS)
    assert {why: len(numbers) for why, numbers in LEFT_OUT.items()} == {
        "a service behind the proxy is down, frozen or cannot elect": 32,
        "faults of HTTP itself, the server's matter and not the app's": 8,
        "the filters x-oio-list-chunk-id and x-oio-list-content-hash": 2,
        "the event agent is down: chunks of deleted contents stay": 1,
    }
    assert len(replayed) == 707


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_recordings(chapter: Chapter, tmp_path: Path) -> None:
    replay = Replay(Servers(tmp_path / "store"), _ours, "127.0.0.1:6000")
    keep_recorded_rawx(replay.servers)
    faults = []
    for number in chapter.numbers:
        if number in EXCUSED:
            continue
        for step in ARRANGED.get(number, []):
            replay.arrange(step)
        faults += [f"#{number} {fault}" for fault in replay.differences(RECORDINGS[number])]
    assert not faults, "\n".join(faults)


def _ours(text: str) -> str:
    """The recorded services listened on ports from 6000; those of the sandbox, on ports from
    16000."""
    return re.sub(r"127\.0\.0\.1:60(\d\d)\b", r"127.0.0.1:160\1", text)


def keep_recorded_rawx(servers: Servers) -> None:
    """The recorded servers had four rawx services, the first four of the sandbox."""
    listed = servers.proxy("GET", "conscience/list?type=rawx&full=1").json
    assert servers.proxy("POST", "conscience/flush?type=rawx").status == 200
    kept = [{"type": "rawx", "addr": one["addr"], "tags": one["tags"]} for one in listed[:4]]
    assert servers.proxy("POST", "conscience/register", kept).status == 204


# What happened between the recordings ------------------------------------------------------------


def rawx_locked_at(score: int) -> list[Step]:
    ports = range(6013, 6017)
    locked = [{"type": "rawx", "addr": f"127.0.0.1:{port}", "score": score} for port in ports]
    return post("conscience/lock", locked)


ONE_META2_A_BASE = post(
    "/v3.0/config", {"ns.service_update_policy": "meta2=KEEP|1|1;sqlx=KEEP|1|1"}
)
AWAY_WITH_THE_FIRST_CONTENT = [
    *post("container/destroy?acct=sandbox&ref=photos&force=1"),
    *post("/v1.0/account/delete?id=sandbox", host=ACCOUNT_HOST),
]
ECHOS = [{"type": "echo", "addr": f"127.0.0.1:{port}"} for port in (7997, 7998, 7999)]
REDIS_TAGS = {
    "tag.up": True,
    "tag.loc": "localhost.db1",
    "tag.slots": "redis",
    "tag.vol": "/var/lib/oio/sds/OPENIO-redis-1",
}
JFS = "acct=ACCT&ref=JFS"

ARRANGED: dict[int, list[Step]] = {
    22: post("conscience/lock", ECHOS[1]),
    36: post(
        "conscience/register",
        [*ECHOS, {"type": "redis", "addr": "127.0.0.1:6379", "tags": REDIS_TAGS}],
    ),
    98: ONE_META2_A_BASE,
    140: post("reference/link?acct=ACCT&ref=user1&type=meta2"),
    171: post("reference/create?acct=NAMES&ref=a%20b"),
    190: post("reference/create?acct=NAMES&ref=caf%C3%A9"),
    192: ONE_META2_A_BASE,
    236: post(f"container/set_properties?{JFS}", {"system": {"sys.m2.quota": "5000"}}),
    247: post(f"container/del_properties?{JFS}", ["k2"]),
    281: [
        *post("container/create?acct=NAMES2&ref=a%2Fb"),
        *post("container/create?acct=NAMES2&ref=a%20b"),
    ],
    299: post(
        f"container/set_properties?{JFS}",
        {"system": {"sys.m2.quota": "0", "sys.user.name": "JFS"}},
    ),
    373: post(f"content/set_properties?{JFS}&path=magic", {"properties": {"café ☃": 'ü\n"q"'}}),
    416: post(
        f"content/update?{JFS}&path=v1",
        [{"url": "http://127.0.0.1:6014/" + "D" * 64, "pos": "0", "size": 1, "hash": "1" * 32}],
        {
            "x-oio-content-meta-length": "1",
            "x-oio-content-meta-id": "525D41E9CD64BF2C0ACF5AC738E29D35",
        },
    ),
    417: post(f"content/drain?{JFS}&path=v1"),
    427: post(f"content/delete_many?{JFS}", {"contents": [{"name": "v3"}]}),
    448: put("names", "%22q%22", id="CCF6A5E81194F79BF8B63F6CF504C485"),
    459: [
        *container("tree"),
        *put("tree", *"a a/1 a/2 a/b/1 a/b/2 b b/1 c d/1 d/2 e".split()),
    ],
    484: container("quota", {"sys.m2.quota": "10"}),
    485: put("quota", "big", length=11),
    488: container("vers", {"sys.m2.policy.version": "3"}),
    490: put("vers", "obj", "obj", "obj"),
    503: [*container("frz"), *put("frz", "o")],
    510: post("admin/enable?acct=ACCT&ref=frz&type=meta2"),
    551: container("raw"),
    558: post(
        "container/raw_insert?acct=ACCT&ref=raw", json.loads(RECORDINGS[558]["request_body"])["old"]
    ),
    566: container("d1"),
    **{n: [*container(f"e{n - 571}"), *put(f"e{n - 571}", "o")] for n in range(572, 578)},
    578: [*container("fl"), *put("fl", "o1", "o2", "o3")],
    626: rawx_locked_at(0),
    628: rawx_locked_at(90),
    631: container("up"),
    671: put_stored(
        "up",
        "gone",
        "127.0.0.1:6014",
        "C4CD8F8DC7ACCB25B1DD3C5699478A838C60481DF93D09AFD80F5CB9A2F959C6",
    ),
    677: put("up", "obj-TWOCOPIES"),
    679: put_stored(
        "up",
        "todelete",
        "127.0.0.1:6015",
        "C7531DE5EAD85EFDDAB7A2945E91B151EAFC1405AD0537181EE44D9659E6C5C0",
    ),
    706: post(f"admin/enable?{JFS}&type=meta2"),
    1363: post("conscience/flush?type=account"),
    1364: [
        *AWAY_WITH_THE_FIRST_CONTENT,
        *container("c2"),
        *container("JFS"),
        *put("JFS", "magic", length=111),
    ],
    1377: post(
        "/v1.0/account/update?id=NEWACC",
        {"metadata": {"owner": "me"}, "to_delete": []},
        host=ACCOUNT_HOST,
    ),
    1384: [*ONE_META2_A_BASE, *container("raw")],
    1397: [*container("JFS"), *put("JFS", "shadow")],
    1400: post(f"admin/disable?{JFS}&type=meta2"),
    1401: [*container("unl", {"sys.m2.policy.version": "-1"}), *put("unl", "o", "o", "o", "o")],
    1402: post("container/purge?acct=ACCT&ref=unl"),
    1403: [*container("plus"), *put("plus", "a+b", "c%2Bd")],
    1404: put_stored(
        "up",
        "todelete",
        "127.0.0.1:6013",
        "132189B7BB51C8061D0ED087B2DEAE890892DE19048AAB6A7E362E50A15C66CE",
    ),
}
