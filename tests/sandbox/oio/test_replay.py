"""The recordings of real 4.2.10 servers (docs/wire/oio-proxy.md), replayed against the sandbox.

A chapter is a run of recordings over one new store. What the recordings do not hold, but needed to
happen in between, is arranged: `ARRANGED` says before which recording. Ids, versions and urls that
a server chose are bound at first sight to those that the sandbox chose, and must stay what they
are; `_same` has the rules for what may differ.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rdctl.sandbox import OIO_HOST
from tests.sandbox.oio.wire import ACCOUNT_HOST, NS, Reply, Servers

WIRE = Path(__file__).parent.parent.parent / "wire" / "oio-transcripts.jsonl"
RECORDINGS: dict[int, dict[str, Any]] = {
    number: recording
    for number, recording in enumerate(map(json.loads, WIRE.read_text("utf-8").splitlines()))
    if recording["server"].endswith("4.2.10")
}


class Chapter(NamedTuple):
    name: str
    numbers: list[int]


class Step(NamedTuple):
    """A request that was not recorded; `target` below the namespace of the proxy, or whole."""

    method: str
    host: str
    target: str
    body: str
    headers: dict[str, str]


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
    replay = Replay(Servers(tmp_path / "store"))
    keep_recorded_rawx(replay.servers)
    faults = []
    for number in chapter.numbers:
        if number in EXCUSED:
            continue
        for step in ARRANGED.get(number, []):
            replay.arrange(step)
        faults += [f"#{number} {fault}" for fault in replay.differences(RECORDINGS[number])]
    assert not faults, "\n".join(faults)


def keep_recorded_rawx(servers: Servers) -> None:
    """The recorded servers had four rawx services, the first four of the sandbox."""
    listed = servers.proxy("GET", "conscience/list?type=rawx&full=1").json
    assert servers.proxy("POST", "conscience/flush?type=rawx").status == 200
    kept = [{"type": "rawx", "addr": one["addr"], "tags": one["tags"]} for one in listed[:4]]
    assert servers.proxy("POST", "conscience/register", kept).status == 204


# The replay --------------------------------------------------------------------------------------

# The recorded services listened on ports from 6000; those of the sandbox, on ports from 16000.
_ADDRESS = re.compile(r"127\.0\.0\.1:60(\d\d)\b")
_CHUNK_URL = re.compile(r"http://127\.0\.0\.1:1?60\d\d/[0-9A-F]{64}")
_CHOSEN = re.compile(r"\b(?:[0-9A-F]{32}|\d{16})\b")

# Any service of these types may be the one that is chosen.
_ANY_SERVICE = {
    f"127.0.0.1:{port}": type
    for type, ports in {
        "meta1": (16007, 16008),
        "meta2": (16009, 16010, 16011),
        "rawx": (16013, 16014, 16015, 16016),
    }.items()
    for port in ports
}


# Recorded on another lab, which had no others (repair-recordings.jsonl).
POLICIES_OF_ANOTHER_LAB = {"EC42", "EC21"}
# The ends of the names of numbers that need only be numbers.
_MEASURES = ("score", "ctime", "mtime")


class Replay:
    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.bound: dict[str, str] = {}  # as recorded, but at our addresses: as the sandbox has it
        self.sent: set[str] = set()  # ids and urls in requests: what the sandbox did not choose
        self.masked: dict[str, str] = {}  # addresses that stand for any service of a type
        self.measures: tuple[str, ...] = _MEASURES

    def arrange(self, step: Step) -> None:
        """Do what was not recorded: the sandbox must agree."""
        whole = step.target if step.target.startswith("/") else f"{NS}/{step.target}"
        reply = self.servers.send(
            self.ours(step.host),
            step.method,
            self.ours(whole),
            step.headers,
            self.ours(step.body).encode(),
        )
        assert reply.status < 300, (step, reply)

    def ours(self, text: str) -> str:
        """A recorded text with our addresses and what is bound."""
        text = _ADDRESS.sub(r"127.0.0.1:160\1", text)
        for recorded, ours in self.bound.items():
            text = text.replace(recorded, ours)
        return text

    def mask(self, text: str) -> str:
        """Without what differs by chance."""
        for address, kind in self.masked.items():
            text = text.replace(address, kind)
        text = re.sub(r"OPENIO-meta2-\d", "OPENIO-meta2-N", text)
        text = re.sub(r"resolve=\d+,meta2=\d+", "resolve=N,meta2=N", text)
        text = re.sub(r"(Unmanaged error: Expecting property name).*", r"\1", text)
        return re.sub(r"(boundary=|--)[0-9a-f]{16}\b", r"\1B", text)

    def differences(self, recording: dict[str, Any]) -> list[str]:
        # What lists services must list the right ones; elsewhere the choice is free.
        listed = re.search("/(conscience|local|cache)/", recording["path"])
        self.masked = {} if listed else _ANY_SERVICE
        # The scores of echo services were set by the recorded requests.
        self.measures = _MEASURES[1:] if "type=echo" in recording["path"] else _MEASURES
        reply = self._send(recording)
        return [
            f"{recording['method']} {recording['path'][:80]}: {fault}"
            for fault in _compared(self, recording, reply)
        ]

    def _send(self, recording: dict[str, Any]) -> Reply:
        headers = dict(recording["request_headers"] or {})
        host = headers.get("Host", "127.0.0.1:6000")
        url = self.ours(f"http://{host}{recording['path']}").removeprefix("http://")
        address, slash, target = url.partition("/")
        named = {name: self.ours(value) for name, value in headers.items()}
        body = self._body(recording)
        asked = " ".join([target, *named.values(), body[:20000].decode("latin-1")])
        self.sent |= {*_CHUNK_URL.findall(asked), *_CHOSEN.findall(asked)}
        return self.servers.send(
            OIO_HOST if host == "127.0.0.1:6000" else address,
            recording["method"],
            slash + target,
            named,
            body,
        )

    def _body(self, recording: dict[str, Any]) -> bytes:
        """The body as it was sent. Where it was not UTF-8 it is recorded as Latin-1; what was cut
        short in the recording repeats itself."""
        text = recording["request_body"] or ""
        length = recording.get("request_body_truncated_from")
        if length:
            end = '"}}' if text.startswith("{") else ""
            filler = text[100:] * (length // len(text[100:]) + 1)
            text = (text + filler)[: length - len(end)] + end
        sent = int((recording["request_headers"] or {}).get("Content-Length", 0))
        data: bytes = text.encode()
        if len(data) != sent:
            data = text.encode("latin-1")
        return self.ours(text).encode() if data == text.encode() else data


def _compared(replay: Replay, recording: dict[str, Any], reply: Reply) -> Iterator[str]:
    expected = (recording["status"], recording["reason"])
    if (reply.status, reply.reason) != expected:
        yield f"{expected} expected, not {reply.status} {reply.reason} {reply.text[:200]}"
        return
    wanted = _headers(recording["headers"].items())
    found = _headers(reply.headers)
    yield from _same(replay, "headers", wanted, found)
    if "body_truncated_from" in recording:
        return
    try:
        body = json.loads(recording["body"])
    except ValueError:
        yield from _same(replay, "text", recording["body"], reply.text)
    else:
        yield from _same(replay, "body", body, reply.json)
        if ("\\/" in recording["body"]) != ("\\/" in reply.text):
            yield f"slashes are escaped or are not: {reply.text[:200]}"


# Headers of the connection, and what a cache would ask for; an empty sys.user.type came and went.
_NO_MATTER = {"connection", "content-length", "transfer-encoding", "date", "etag", "last-modified"}


def _headers(pairs: Any) -> dict[str, str]:
    headers = {name.lower(): value for name, value in pairs if name.lower() not in _NO_MATTER}
    if headers.get("x-oio-container-meta-sys-user-type") == "":
        del headers["x-oio-container-meta-sys-user-type"]
    return headers


def _same(replay: Replay, where: str, recorded: Any, ours: Any) -> Iterator[str]:
    """The differences. Numbers that measure or date something need only be such numbers."""
    if isinstance(recorded, dict) and isinstance(ours, dict):
        yield from _same_object(replay, where, recorded, ours)
    elif isinstance(recorded, list) and isinstance(ours, list):
        yield from _same_array(replay, where, recorded, ours)
    elif _is_measure(replay, where) and _is_number(recorded) and _is_number(ours):
        return
    elif not _same_scalar(replay, recorded, ours):
        yield f"{where}: {replay.ours(str(recorded))!r} expected, not {ours!r}"


def _is_measure(replay: Replay, where: str) -> bool:
    return (
        where.endswith(replay.measures) or re.match(r"body\.listing\[\d+]\[4]", where) is not None
    )


def _is_number(value: object) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", str(value)) is not None


def _same_object(
    replay: Replay, where: str, recorded: dict[str, Any], ours: dict[str, Any]
) -> Iterator[str]:
    wanted, found = dict(recorded), dict(ours)
    if where.endswith("tags"):
        for tags in (wanted, found):
            for key in [key for key in tags if key.startswith("stat.")]:
                del tags[key]
    if where.endswith("system"):
        wanted, found = ({"sys.user.type": "", **values} for values in (wanted, found))
    if where == "body" and all(_ADDRESS.fullmatch(key) for key in wanted) and wanted:
        # What each service of a base says: any service may be the one.
        yield from _same_array(replay, where, [*wanted.values()], [*found.values()])
        wanted = dict.fromkeys(replay.mask(replay.ours(host)) for host in wanted)
        found = dict.fromkeys(map(replay.mask, found))
    if where in ("body.storage_policy", "body.data_security"):
        found = {name: found[name] for name in found if name not in POLICIES_OF_ANOTHER_LAB}
    if set(wanted) != set(found):
        yield f"{where}: keys {sorted(wanted)} expected, not {sorted(found)}"
        return
    for key, value in wanted.items():
        yield from _same(replay, f"{where}.{key}", value, found[key])


def _same_array(replay: Replay, where: str, recorded: list[Any], ours: list[Any]) -> Iterator[str]:
    """Names stand in order; services, chunks and the like in none."""
    if len(recorded) != len(ours):
        yield f"{where}: {len(recorded)} items expected, not {len(ours)}: {ours}"
        return
    if where.endswith((".objects", ".prefixes", ".containers", ".contents", "]", ".listing")):
        for number, (wanted, found) in enumerate(zip(recorded, ours, strict=True)):
            yield from _same(replay, f"{where}[{number}]", wanted, found)
        return
    left = list(ours)
    for wanted in recorded:
        bound = dict(replay.bound)
        for found in left:
            if not list(_same(replay, f"{where}[]", wanted, found)):
                left.remove(found)
                break
            replay.bound = dict(bound)
        else:
            yield f"{where}: {wanted} expected, not one of {left}"


def _same_scalar(replay: Replay, recorded: Any, ours: Any) -> bool:
    if not isinstance(recorded, str) and not isinstance(ours, str):
        if recorded == ours:
            return type(recorded) is type(ours)
        recorded, ours = str(recorded), str(ours)
    if type(recorded) is not type(ours):
        return False
    wanted = replay.ours(recorded)
    if wanted == ours or _bind(replay, wanted, ours):
        return True
    return replay.mask(wanted) == replay.mask(ours)


def _bind(replay: Replay, recorded: str, ours: str) -> bool:
    for pattern in (_CHUNK_URL, _CHOSEN):
        if pattern.fullmatch(recorded) and pattern.fullmatch(ours):
            taken = replay.bound.values()
            if recorded in taken or recorded in replay.sent or ours in taken:
                return False
            replay.bound[recorded] = ours
            if pattern is _CHUNK_URL:
                replay.bound[recorded[-64:]] = ours[-64:]
            return True
    return False


# What happened between the recordings ------------------------------------------------------------

_CHUNK = "http://127.0.0.1:6013/" + "A" * 64
_PUT_IDS = (f"{number:032X}" for number in itertools.count(1))


def post(
    target: str, body: object = None, headers: dict[str, str] | None = None, host: str = OIO_HOST
) -> list[Step]:
    data = "" if body is None else json.dumps(body, ensure_ascii=False)
    return [Step("POST", host, target, data, headers or {})]


def container(name: str, system: dict[str, str] | None = None) -> list[Step]:
    return post(f"container/create?acct=ACCT&ref={name}", {"system": system or {}})


def put(name: str, *paths: str, id: str = "", url: str = _CHUNK, length: int = 1) -> list[Step]:
    """Contents of one chunk, which may be nowhere."""
    steps = []
    for path in paths:
        chunk = {"url": url, "pos": "0", "size": length, "hash": "0" * 32}
        headers = {
            "x-oio-content-meta-length": str(length),
            "x-oio-content-meta-id": id or next(_PUT_IDS),
        }
        steps += post(f"content/create?acct=ACCT&ref={name}&path={path}", [chunk], headers)
    return steps


def put_stored(name: str, path: str, address: str, id: str) -> list[Step]:
    """A content whose chunk is on the rawx."""
    headers = {
        "x-oio-chunk-meta-content-storage-policy": "SINGLE",
        "x-oio-chunk-meta-content-chunk-method": "plain/nb_copy=1",
        "x-oio-chunk-meta-chunk-pos": "0",
        "x-oio-chunk-meta-full-path": f"ACCT/{name}/{path}/1/{'0' * 32}",
    }
    stored = Step("PUT", address, f"/{id}", "x", headers)
    return [stored, *put(name, path, url=f"http://{address}/{id}")]


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
