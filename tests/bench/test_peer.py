"""The peer of the benchmarks answers as real servers were recorded, so that the client is measured
on what it meets."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.bench.answers import NAMESPACE, data, data_md5
from tests.bench.peer import Pieces
from tests.bench.places import peer
from tests.bench.sections import requests
from tests.conftest import Program, Ran

WIRE = Path(__file__).parent.parent / "wire"
MIB = 1 << 20
Headers = dict[str, str]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with peer("--chunk", str(MIB)) as url:
        yield url


@pytest.fixture
def near(rdctl: Program, url: str) -> Callable[..., Ran]:
    """The program, with the peer for its proxy."""
    to = ("--oio-url", url, "--namespace", "OPENIO", "--account", "ACCT")

    def call(*words: str, **options: Any) -> Ran:
        ran = rdctl(*to, "--rapiddisk-url", url, *words, **options)
        assert ran.code == 0, ran.err
        return ran

    return call


def ask(
    url: str, method: str, target: str, body: bytes = b"", headers: Headers | None = None
) -> tuple[int, Headers, bytes]:
    """One request of nobody's client."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, target, body or None, headers or {})
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def shape(value: Any) -> Any:
    """What a JSON value consists of, without what it says: keys in order, and types."""
    if isinstance(value, dict):
        return [(key, shape(entry)) for key, entry in value.items()]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value)


def recorded(server: str, method: str, path: str, status: int) -> Iterator[dict[str, Any]]:
    for name in ("oio", "rapiddisk"):
        for line in (WIRE / f"{name}-transcripts.jsonl").read_text().strip().split("\n"):
            sent = json.loads(line)
            who = sent.get("server") or sent.get("daemon")
            if (who, sent["method"], sent["status"]) == (server, method, status):
                if sent["path"].partition("?")[0].endswith(path):
                    yield sent


PROXY = "oio-proxy 4.2.10"
# What the peer leaves out of its headers.
NOT_TOLD = {
    "date",
    "x-oio-container-meta-sys-user-type",
    "x-oio-container-meta-x-schema-version",
    "x-oio-list-marker",
    *(
        f"x-oio-container-meta-x-version-main-{part}"
        for part in ("admin", "aliases", "chunks", "contents", "properties")
    ),
}
PLACE = "acct=ACCT&ref=recorded"
CHUNKS = [{"url": "http://127.0.0.1:1/" + "A" * 64, "pos": "0", "size": 1, "hash": "0" * 32}]
META = {
    "x-oio-content-meta-length": "1",
    "x-oio-content-meta-id": "1A",
    "x-oio-content-meta-version": "17",
    "x-oio-content-meta-hash": "0" * 32,
}


@pytest.mark.parametrize(
    ("server", "method", "path", "query", "body", "status"),
    [
        (PROXY, "GET", "container/list", f"{PLACE}&max=3", None, 200),
        (PROXY, "GET", "container/show", PLACE, None, 200),
        (PROXY, "POST", "container/create", PLACE, None, 201),
        (PROXY, "POST", "container/create_many", PLACE, {"containers": [{"name": "a"}]}, 200),
        (PROXY, "POST", "content/prepare", f"{PLACE}&path=p", {"size": 1}, 200),
        (PROXY, "POST", "content/create", f"{PLACE}&path=p", CHUNKS, 204),
        (PROXY, "GET", "content/show", f"{PLACE}&path=p", None, 200),
        (PROXY, "GET", "content/show", f"{PLACE}&path=none", None, 404),
        (PROXY, "POST", "content/delete", f"{PLACE}&path=p", None, 204),
        ("9.2.0", "GET", "v1/listRapidDiskVolumes", "", None, 200),
        ("9.2.0", "GET", "v1/checkServiceStatus", "", None, 200),
    ],
)
def test_replies_have_the_recorded_shape(
    url: str, server: str, method: str, path: str, query: str, body: Any, status: int
) -> None:
    """Status, headers, and the keys and types of the body are those of a recording."""
    # Not by an earlier case: each worker of a parallel run has a peer of its own.
    if path == "content/delete" or (path == "content/show" and status == 200):
        create = f"/v3.0/OPENIO/content/create?{query}"
        assert ask(url, "POST", create, json.dumps(CHUNKS).encode(), META)[0] == 204
    prefix = "/v3.0/OPENIO/" if server == PROXY else "/"
    sent = json.dumps(body).encode() if body is not None else b""
    got = ask(url, method, f"{prefix}{path}?{query}" if query else prefix + path, sent, META)
    keys = list if path == "container/list" else shape  # the system's keys depend on its past
    told = keys(json.loads(got[2])) if got[2] else None
    found = []
    for known in recorded(server, method, path, status):
        text = keys(json.loads(known["body"])) if known["body"] else None
        found.append(({name.lower() for name in known["headers"]} | {"x-oio-list-marker"}, text))
    assert got[0] == status
    assert any(set(got[1]) <= headers and told == text for headers, text in found), got
    assert any(headers - set(got[1]) <= NOT_TOLD for headers, _ in found), got


def test_an_entry_of_a_listing_is_as_recorded(url: str) -> None:
    _, _, body = ask(url, "GET", "/v3.0/OPENIO/container/list?acct=ACCT&ref=1000&max=1")
    entries = [
        entry
        for known in recorded(PROXY, "GET", "container/list", 200)
        for entry in (json.loads(known["body"])["objects"] if known["body"].endswith("}") else [])
    ]
    assert shape(json.loads(body)["objects"][0]) in [shape(entry) for entry in entries]


def test_the_client_lists_page_by_page(near: Callable[..., Ran], url: str) -> None:
    requests(url)
    rows = near("oio", "container", "list", "2500", "--json").json["items"]
    assert [row["name"] for row in rows] == [f"object-{number:09}" for number in range(2500)]
    assert len({row["content_id"] for row in rows}) == 2500
    asked = [parse_qs(urlsplit(target).query) for _, _, target in requests(url)]
    markers = [None, ["object-000000999"], ["object-000001999"]]
    assert [query.get("marker") for query in asked] == markers


def test_the_client_creates_and_shows(near: Callable[..., Ran]) -> None:
    names = [f"c{number}" for number in range(250)]
    lines = "\n".join(names).encode()
    made = near("oio", "container", "create", "-", "--json", stdin=lines).json
    assert sorted(result["target"] for result in made["results"]) == sorted(names)
    shown = near("oio", "container", "show", "-", "--json", stdin=lines).json["items"]
    assert [item["container"] for item in shown] == names


def test_the_client_lists_volumes(near: Callable[..., Ran]) -> None:
    rows = near("rapiddisk", "list", "--json").json["items"]
    assert [row["device"] for row in rows] == ["rd0", "rd1", "rd2"]


@pytest.mark.parametrize("options", [(), ("--hash",)], ids=["known", "hashed"])
def test_chunks_are_taken_and_given(options: tuple[str, ...]) -> None:
    size = MIB + 5
    chunk = f"/{7:016X}{0:016X}{size:032X}"
    whole = data(size)
    assert data_md5(size) == hashlib.md5(whole).hexdigest().upper()
    with peer(*options) as url:
        status, headers, _ = ask(url, "PUT", chunk, whole)
        assert (status, headers["x-oio-chunk-meta-chunk-hash"]) == (201, data_md5(size))
        status, headers, got = ask(url, "GET", chunk)
        assert (status, headers["x-oio-chunk-meta-chunk-size"]) == (200, str(size))
        assert got == whole
        for asked, part in (
            ("bytes=3-10", whole[3:11]),
            (f"bytes={MIB}-", whole[MIB:]),
            ("bytes=-4", whole[-4:]),
        ):
            status, _, got = ask(url, "GET", chunk, headers={"Range": asked})
            assert (status, got) == (206, part)
        assert ask(url, "GET", "/" + "A" * 64)[0] == 404


def test_the_client_puts_and_gets_fragments(
    near: Callable[..., Ran], url: str, tmp_path: Path
) -> None:
    """Each with the MD5 and size that the peer expects, in pieces with trailers."""
    whole, got = data(8 * MIB), tmp_path / "got"
    (tmp_path / "given").write_bytes(whole)
    put = ("put", "coded", str(tmp_path / "given"), "--path", "big", "--policy", "EC")
    near("oio", "content", *put, "--autocreate", "--min-copies", "9")
    near("oio", "content", "get", "coded", "big", "--to", str(got))
    assert got.read_bytes() == whole
    _, headers, body = ask(url, "GET", "/v3.0/OPENIO/content/show?acct=ACCT&ref=coded&path=big")
    assert headers["x-oio-content-meta-policy"] == "EC"
    assert sum(chunk["size"] for chunk in json.loads(body)) == 9 * len(whole)


def test_what_openios_own_client_asks_for(
    near: Callable[..., Ran], url: str, tmp_path: Path
) -> None:
    (tmp_path / "given").write_bytes(data(5))
    put = ("put", "objects", str(tmp_path / "given"), "--path", "small", "--autocreate")
    near("oio", "content", *put)
    where = f"/v3.0/{NAMESPACE}"
    status, _, body = ask(url, "POST", f"{where}/container/get_properties?acct=ACCT&ref=objects")
    assert (status, json.loads(body)["system"]["sys.user.name"]) == (200, "objects")
    target = f"{where}/content/locate?acct=ACCT&ref=objects&path=small&properties=False"
    status, headers, body = ask(url, "GET", target)
    assert (status, headers["x-oio-content-meta-length"]) == (200, "5")
    assert [chunk["hash"] for chunk in json.loads(body)] == [data_md5(5)]


@pytest.mark.parametrize("at_a_time", [1, 3, 100])
def test_a_body_in_pieces_is_read_however_it_arrives(at_a_time: int) -> None:
    sent = b"5\r\nhello\r\n1\r\n,\r\nA\r\n 0\r\n world\r\n0\r\nx-a: b\r\nx-c: d\r\n\r\n"
    pieces, got = Pieces(), b""
    for first in range(0, len(sent), at_a_time):
        assert not pieces.ended
        got += b"".join(pieces.parts(memoryview(sent[first : first + at_a_time])))
    assert (pieces.ended, got) == (True, b"hello, 0\r\n world")


def test_a_peer_that_hashes_finds_a_fault() -> None:
    wrong = bytes(5)
    with peer("--hash") as url:
        _, headers, _ = ask(url, "PUT", f"/{1:016X}{0:016X}{5:032X}", wrong)
        assert headers["x-oio-chunk-meta-chunk-hash"] == hashlib.md5(wrong).hexdigest().upper()


def test_latency_is_each_ones_own() -> None:
    with peer("--latency", "100") as url, ThreadPoolExecutor(20) as pool:
        started = time.monotonic()
        targets = ["/v1/checkServiceStatus"] * 20
        replies = list(pool.map(lambda target: ask(url, "GET", target), targets))
        assert {status for status, _, _ in replies} == {200}
        assert 0.1 <= time.monotonic() - started < 1


def test_it_ends_with_its_input() -> None:
    with peer() as url:
        pass
    with pytest.raises(OSError):
        ask(url, "GET", "/v1/checkServiceStatus")
