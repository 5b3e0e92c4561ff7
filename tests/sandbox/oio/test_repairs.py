"""How chunks are checked and rebuilt, as recorded (docs/wire/oio-repair.md), replayed.

The recordings have the length and the MD5 of chunks in place of their bytes: other bytes of that
length stand for them, with their MD5 in place of the recorded one. What existed before is created
from what the recorded servers showed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from rdctl.sandbox import OIO_HOST, oio_apps
from rdctl.sandbox.oio import trials
from rdctl.sandbox.oio.state import RAWX_ADDRESSES
from rdctl.sandbox.store import Store
from tests.fakes.served import serving
from tests.sandbox.oio.wire import Reply, Servers

WIRE = Path(__file__).parent.parent.parent / "wire" / "repair-recordings.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in WIRE.read_text("utf-8").splitlines()]
RECORDINGS = {row["number"]: row for row in ROWS}

SHOWN = (1, 2, 3, 5)  # content/show of the objects that existed
FRAGMENT = 10  # HEAD of a fragment of one of them
DAMAGED = "7D888A866C4C4A95EB9C42FE5B316C2A066154DB51DE383AE147EEB09323D7DD"
CHAPTERS = {
    "chunks": [*range(6, 17), 17, 18, 32],
    "spares": [*range(43, 66), 69, 72, 73, 74, 75, 76, 79, 80],
    "raw_update": [*range(84, 95), 97, 98, *range(100, 110)],
    "raw_insert and raw_delete": [*range(170, 181)],
    "copies": list(range(186, 194)),
    "new chunks": list(range(194, 212)),
    "empty chunks": [323, 324, 334],
    "counters": [221, 224, 227],
}
# The chunk files that differ from healthy ones: see test_damage.
STATES = {
    "corrupt": (20, 21),
    "short": (22, 23),
    "long": (24, 25),
    "unlabeled": (27, None),
    "missing": (30, 31),
}
KILLING = 66


def test_every_recording_is_replayed() -> None:
    numbers = [n for chapter in CHAPTERS.values() for n in chapter]
    states = [n for pair in STATES.values() for n in pair if n is not None]
    assert sorted([*SHOWN, *numbers, *states, 26, KILLING]) == sorted(RECORDINGS)


class Lab:
    """The sandbox in place of the recorded lab."""

    def __init__(self, path: Path) -> None:
        self.path = path / "store"
        self.servers = Servers(self.path)
        self.bound: dict[str, str] = {}

    def ours(self, text: str) -> str:
        text = re.sub(
            r"127\.0\.0\.1:170(1[2-9]|2[0-3])\b",
            lambda match: RAWX_ADDRESSES[int(match[1]) - 12],
            text,
        )
        for recorded, ours in self.bound.items():
            text = text.replace(recorded, ours).replace(recorded.lower(), ours.lower())
        return text

    def data(self, size: int, md5: str) -> bytes:
        """Bytes that stand for those of that MD5 from now on."""
        found = (md5.upper().encode() * (size // 32 + 1))[:size]
        if size:
            self.bound[md5.upper()] = hashlib.md5(found).hexdigest().upper()
        return found

    def put(self, url: str, meta: dict[str, str], size: int, md5: str) -> None:
        host, _, id = self.ours(url).removeprefix("http://").partition("/")
        data = self.data(size, md5)
        headers = {name: self.ours(value) for name, value in meta.items()}
        reply = self.servers.send(host, "PUT", f"/{id}", headers, data)
        assert reply.status == 201, (url, reply)

    def create(self, path: str, headers: dict[str, str], chunks: list[dict[str, Any]]) -> None:
        shown = {n: headers[f"x-oio-content-meta-{n}"] for n in ("version", "id", "policy")}
        about = {
            "content-storage-policy": shown["policy"],
            "content-chunk-method": headers["x-oio-content-meta-chunk-method"],
            "full-path": f"repair/rp/{path}/{shown['version']}/{shown['id']}",
        }
        fragment = RECORDINGS[FRAGMENT]
        for chunk in chunks:
            size, md5 = chunk["size"], chunk["hash"]
            metachunk = {}
            if "." in chunk["pos"]:
                metachunk = {"metachunk-size": str(size), "metachunk-hash": md5}
                size, md5 = 1000, hashlib.md5(chunk["url"].encode()).hexdigest()
            if chunk["url"].endswith(fragment["path"]):
                recorded = dict(fragment["headers"])
                size = int(recorded["Content-Length"])
                md5 = recorded["X-oio-chunk-meta-chunk-hash"]
            meta = {**about, **metachunk, "chunk-pos": chunk["pos"], "oio-version": "4.2"}
            named = {f"X-oio-chunk-meta-{name}": value for name, value in meta.items()}
            self.put(chunk["url"], named, size, md5)
        properties = {
            name: headers[f"x-oio-content-meta-{name}"]
            for name in ("a", "k")
            if f"x-oio-content-meta-{name}" in headers
        }
        body = json.dumps({"chunks": chunks, "properties": properties})
        target = f"/v3.0/OPENIO/content/create?acct=repair&ref=rp&path={path}"
        reply = self.servers.send(OIO_HOST, "POST", target, headers, self.ours(body).encode())
        assert reply.status == 204, reply

    def send(self, row: dict[str, Any]) -> Reply:
        rawx = row["server"].startswith("rawx-")
        host = RAWX_ADDRESSES[int(row["server"][5:]) - 1] if rawx else OIO_HOST
        body = row["request_body"]
        data = self.data(body["bytes"], body["md5"]) if isinstance(body, dict) else None
        headers = {name: self.ours(value) for name, value in row["request_headers"].items()}
        sent = self.ours(body or "").encode() if data is None else data
        return self.servers.send(host, row["method"], self.ours(row["path"]), headers, sent)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path)
    body = json.dumps({"system": {"sys.m2.policy.storage": "SINGLE"}}).encode()
    target = "/v3.0/OPENIO/container/create?acct=repair&ref=rp"
    assert lab.servers.send(OIO_HOST, "POST", target, {}, body).status == 201
    for number in SHOWN:
        row = RECORDINGS[number]
        lab.create(row["path"].rpartition("=")[2], dict(row["headers"]), json.loads(row["body"]))
    return lab


@pytest.mark.parametrize("number", SHOWN)
def test_what_existed_is_shown(lab: Lab, number: int) -> None:
    assert list(differences(lab, RECORDINGS[number])) == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_recordings(lab: Lab, name: str) -> None:
    faults = []
    for number in CHAPTERS[name]:
        arrange(lab, number)
        faults += [f"#{number} {fault}" for fault in differences(lab, RECORDINGS[number])]
    assert not faults, "\n".join(faults)


def arrange(lab: Lab, number: int) -> None:
    """What happened before a recording, and was not recorded."""
    row = RECORDINGS[number]
    if number == 170:  # the object whose chunks are listed in 177 and 178
        beans = json.loads(RECORDINGS[177]["request_body"])
        chunks = [{**bean, "url": bean["id"]} for bean in beans]
        lab.create("rw", dict(RECORDINGS[178]["headers"]), chunks)
    elif number == 186:
        copied = dict(RECORDINGS[190]["headers"])
        meta = {n: v for n, v in copied.items() if n.startswith("X-") and "chunk-id" not in n}
        url = f"http://127.0.0.1:17017{row['path']}"
        lab.put(url, meta, int(copied["Content-Length"]), meta["X-oio-chunk-meta-chunk-hash"])
    elif number in CHAPTERS["new chunks"] and row["status"] != 409:
        lab.servers.send(RAWX_ADDRESSES[int(row["server"][5:]) - 1], "DELETE", row["path"])
    elif number in (323, 334):
        meta = {n: v for n, v in row["headers"] if n.startswith("X-oio")}
        lab.put(f"http://{RAWX_ADDRESSES[int(row['server'][5:]) - 1]}{row['path']}", meta, 0, "")


_CHANCE = {"connection", "date", "etag", "last-modified", "server", "location"}


def headers_of(lab: Lab, pairs: Any) -> dict[str, str]:
    found = {name.lower(): lab.ours(value) for name, value in pairs}
    times = ("ctime", "mtime", "content-meta-hash")
    return {n: v for n, v in found.items() if n not in _CHANCE and not n.endswith(times)}


def differences(lab: Lab, row: dict[str, Any]) -> Iterator[str]:
    reply = lab.send(row)
    expected = (row["status"], row["reason"])
    if (reply.status, reply.reason) != expected:
        yield f"{row['label']}: {expected} expected, not {reply.status} {reply.text[:200]}"
        return
    wanted, found = (headers_of(lab, pairs) for pairs in (row["headers"], reply.headers))
    # Texts, and urls of the sandbox, are longer or shorter; chunks are not.
    if not wanted.get("x-oio-chunk-meta-chunk-id") or row["method"] == "PUT":
        for headers in (wanted, found):
            headers.pop("content-length", None)
    if wanted != found:
        yield f"{row['label']}: {sorted(wanted.items() ^ found.items())}"
    yield from _bodies(lab, row, reply)


def _bodies(lab: Lab, row: dict[str, Any], reply: Reply) -> Iterator[str]:
    body = row["body"]
    if isinstance(body, dict):
        md5 = hashlib.md5(reply.body).hexdigest()
        whole = body["bytes"] in (0, int(dict(row["headers"])["X-oio-chunk-meta-chunk-size"]))
        if len(reply.body) != body["bytes"] or (whole and md5 != lab.ours(body["md5"])):
            yield f"{row['label']}: {len(reply.body)} bytes, {md5}"
        return
    if not row["server"].startswith("oio"):
        return
    if not body:
        if reply.body:
            yield f"{row['label']}: no body expected, not {reply.text[:200]}"
        return
    wanted, found = json.loads(lab.ours(body)), reply.json
    if "content/spare" in row["path"] and reply.status == 200:
        yield from _spares(row, wanted, found)
    elif _sorted(wanted) != _sorted(found):
        yield f"{row['label']}: {wanted} expected, not {found}"


def _sorted(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return sorted(({**one, "score": 0} for one in value), key=lambda one: str(one["url"]))


def _spares(row: dict[str, Any], wanted: Any, found: Any) -> Iterator[str]:
    """As many, each at a rawx of its own, and at none that holds a chunk that is kept."""
    hosts = [chunk["id"].split("/")[2] for chunk in found["chunks"]]
    kept = {chunk["url"].split("/")[2] for chunk in json.loads(row["request_body"])["notin"]}
    if len(hosts) != len(wanted["chunks"]) or len(set(hosts)) < len(hosts) or kept & set(hosts):
        yield f"{row['label']}: {found}"
    shapes = {json.dumps({**chunk, "id": ""}) for chunk in [*wanted["chunks"], *found["chunks"]]}
    if len(shapes) != 1 or {**wanted, "chunks": 0} != {**found, "chunks": 0}:
        yield f"{row['label']}: {found}"


def test_a_meta2_that_was_killed_stays_down_until_it_is_started(lab: Lab) -> None:
    """The container has three: the others elect a master, until only one of them is left."""
    shown = RECORDINGS[1]
    for after in (200, 503):
        assert list(differences(lab, RECORDINGS[KILLING])) == []
        assert lab.send(shown).status == after
    assert lab.send(shown).refusal == (503, 503)
    with Store(lab.path).change() as connection:
        trials.start_all(connection)
    assert lab.send(shown).status == 200


# Damage ------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What a reply tells about a chunk: `longer` its file against its metadata."""

    status: int
    labeled: bool
    longer: int | None
    right: bool | None


def seen(status: int, pairs: Any, length: int | None, md5: str | None) -> Seen:
    headers = {name.lower(): value for name, value in pairs}
    size, hash = (headers.get(f"x-oio-chunk-meta-chunk-{name}") for name in ("size", "hash"))
    length = length if length is not None else int(headers.get("content-length", 0))
    longer = None if size is None else (length > int(size)) - (length < int(size))
    right = None if md5 is None or hash is None else md5.upper() == hash
    return Seen(status, size is not None, longer, right)


@pytest.mark.parametrize("how", STATES)
def test_damage(lab: Lab, how: str) -> None:
    healthy = RECORDINGS[26]
    assert seen(200, lab.send(healthy).headers, None, None) == seen(
        200, healthy["headers"], None, None
    )
    with Store(lab.path).change() as connection:
        chunks = trials.placed(connection, "repair", "rp", "t3", "0")
        (chunk,) = (one for one in chunks if one.url.endswith(DAMAGED))
        trials.damage(connection, chunk, how)
    for number in STATES[how]:
        if number is None:
            continue
        row = RECORDINGS[number]
        reply = lab.send(row)
        body = row["body"] if isinstance(row["body"], dict) else {}
        got = (
            (None, None)
            if row["method"] == "HEAD" or not body
            else (len(reply.body), hashlib.md5(reply.body).hexdigest())
        )
        ours = seen(reply.status, reply.headers, *got)
        assert ours == seen(row["status"], row["headers"], body.get("bytes"), body.get("md5"))


def test_a_rawx_that_is_down_refuses_and_is_not_chosen(tmp_path: Path) -> None:
    address = RAWX_ADDRESSES[0]
    apps = oio_apps(tmp_path / "store")
    with Store(tmp_path / "store").change() as connection:
        trials.stop(connection, address)
    servers = Servers(tmp_path / "store")
    with pytest.raises(ConnectionRefusedError):
        servers.send(address, "GET", "/info")
    prepare = "content/prepare?acct=sandbox&ref=photos&path=x"
    for _ in range(5):
        body = {"size": 1, "policy": "EC"}
        chosen = {chunk["url"] for chunk in servers.proxy("POST", prepare, body).json}
        assert not any(address in url for url in chosen)
    with serving(apps[address]) as (url,), pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/info", timeout=10)
