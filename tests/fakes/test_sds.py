"""The small OpenIO keeps to what was recorded: fragments, spares, and lists of chunks."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from tests.fakes.sds import Sds

EC42 = "ec/algo=liberasurecode_rs_vand,k=4,m=2"
DATA = bytes(range(251)) * 20
ID = "F" * 64


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    address: str, method: str, target: str, body: Any = None, headers: Any = None, **query: str
) -> Reply:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        target += "?" + urlencode(query) if query else ""
        given = json.dumps(body) if isinstance(body, (dict, list)) else body
        connection.request(method, target, given, headers or {})
        reply = connection.getresponse()
        lower = {name.lower(): value for name, value in reply.getheaders()}
        return Reply(reply.status, lower, reply.read())
    finally:
        connection.close()


def meta2(sds: Sds, route: str, body: Any, **query: str) -> Reply:
    target = f"/v3.0/OPENIO/{route}"
    return ask(sds.addresses[-1], "POST", target, body, {}, acct="ACCT", ref="docs", **query)


@pytest.fixture
def sds() -> Iterator[Sds]:
    with Sds(method=EC42, rawx=9) as sds:
        yield sds


@pytest.fixture
def held(sds: Sds) -> list[dict[str, Any]]:
    sds.put("a", DATA)
    return list(sds.objects["a"][0]["chunks"])


def named(**changed: str | None) -> dict[str, str]:
    found = {
        "full-path": "ACCT/docs/a/1/2",
        "content-storage-policy": "EC42",
        "content-chunk-method": EC42,
        "chunk-pos": "0.3",
        "metachunk-size": "4000",
        "metachunk-hash": "ab" * 16,
        "chunk-hash": hashlib.md5(b"fragment").hexdigest(),
        **changed,
    }
    return {f"X-oio-chunk-meta-{name}": value for name, value in found.items() if value}


def test_an_object_of_fragments_comes_back(sds: Sds, held: list[dict[str, Any]]) -> None:
    assert sorted(chunk["pos"] for chunk in held) == [f"{p}.{i}" for p in (0, 1) for i in range(6)]
    for part in (held[:6], held[6:]):
        assert len({chunk["url"].split("/")[2] for chunk in part}) == 6
    assert sds.content("a") == DATA


def test_prepare_lists_the_fragments_of_each_metachunk(sds: Sds) -> None:
    found = meta2(sds, "content/prepare", {"size": 4001}, path="a").json
    spots = sorted(chunk["pos"] for chunk in found)
    assert spots == [f"{part}.{index}" for part in (0, 1) for index in range(6)]


@pytest.mark.parametrize("trailing", [False, True])
def test_a_fragment_with_headers_or_trailers(sds: Sds, trailing: bool) -> None:
    headers, trailers = named(), {}
    if trailing:
        names = [name for name in headers if name.endswith(("metachunk-size", "-hash"))]
        trailers = {name: headers.pop(name) for name in names}
        ends = "".join(f"{name}: {value}\r\n" for name, value in trailers.items())
        body = b"3\r\nfra\r\n5\r\ngment\r\n0\r\n" + ends.encode() + b"\r\n"
        headers = {**headers, "Transfer-Encoding": "chunked", "Trailer": ", ".join(trailers)}
    else:
        body = b"fragment"
    host = sds.addresses[0]
    put = ask(host, "PUT", f"/{ID}", body, headers)
    got = ask(host, "GET", f"//{ID}", headers={"Range": "bytes=2-5"})
    head = ask(host, "HEAD", f"/{ID}")
    assert (put.status, got.status, head.status) == (201, 206, 200)
    assert (got.body, got.headers["content-range"]) == (b"agme", "bytes 2-5/8")
    for reply in (put, got, head):
        recorded = {n: reply.headers[f"x-oio-chunk-meta-{n}"] for n in ("chunk-pos", "chunk-size")}
        assert recorded == {"chunk-pos": "0.3", "chunk-size": "8"}
        assert reply.headers["x-oio-chunk-meta-metachunk-hash"] == "AB" * 16
    assert (sds.placed[ID], sds.spots[ID]) == (0, "0.3")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"metachunk-size": None}, 403),
        ({"metachunk-hash": None}, 403),
        ({"chunk-hash": "0" * 32}, 422),
        ({"chunk-hash": None}, 201),
        ({"full-path": None}, 400),
        ({"chunk-id": "E" * 64}, 400),
    ],
)
def test_what_a_rawx_refuses(sds: Sds, changed: dict[str, str | None], status: int) -> None:
    reply = ask(sds.addresses[0], "PUT", f"/{ID}", b"fragment", named(**changed))
    assert (reply.status, ID in sds.chunks) == (status, status == 201)


def test_an_empty_chunk_has_no_length(sds: Sds) -> None:
    sds.put("empty", b"")
    (url, *_) = [chunk["url"] for chunk in sds.objects["empty"][0]["chunks"]]
    reply = ask(url.split("/")[2], "HEAD", f"/{url[-64:]}")
    assert (reply.status, reply.headers.get("content-length")) == (200, None)


@pytest.mark.parametrize(("left", "status"), [(6, 204), (4, 204), (3, 500)])
def test_create_takes_k_chunks_a_metachunk(
    sds: Sds, held: list[dict[str, Any]], left: int, status: int
) -> None:
    headers = {"x-oio-content-meta-length": "4000", "x-oio-content-meta-id": "AB"}
    target = "/v3.0/OPENIO/content/create"
    query = {"acct": "ACCT", "ref": "docs", "path": "b"}
    reply = ask(sds.addresses[-1], "POST", target, {"chunks": held[:left]}, headers, **query)
    assert reply.status == status


def spare(sds: Sds, kept: Any, broken: Any, policy: str | None = "EC42") -> Reply:
    query = {"stgpol": policy} if policy else {}
    return meta2(sds, "content/spare", {"notin": kept, "broken": broken}, path="a", **query)


def test_spares_are_where_the_others_are_not(sds: Sds, held: list[dict[str, Any]]) -> None:
    found = spare(sds, held[:4], held[4:6]).json["chunks"]
    assert len(found) == 2
    used = {chunk["url"].split("/")[2] for chunk in held[:6]}
    assert not used & {one["id"].split("/")[2] for one in found}


def test_spares_run_out(sds: Sds, held: list[dict[str, Any]]) -> None:
    sds.stop(7)
    reply = spare(sds, held[:3], held[3:6])
    assert (reply.status, reply.json["status"]) == (500, 481)
    assert spare(sds, held[:3], []).status == 200


@pytest.mark.parametrize(("notin", "policy"), [(6, "EC42"), (7, "EC42"), (5, None)])
def test_what_kills_the_meta2(
    sds: Sds, held: list[dict[str, Any]], notin: int, policy: str | None
) -> None:
    reply = spare(sds, held[:notin], [], policy)
    assert (reply.status, reply.json["message"]) == (503, "No service replied")
    assert sds.killer is not None
    assert meta2(sds, "container/raw_update", {"old": [], "new": []}).status == 503


def bean(chunk: dict[str, Any], content: str, **changed: Any) -> dict[str, Any]:
    same = {name: chunk[name] for name in ("pos", "size", "hash")}
    return {"type": "chunk", "id": chunk["url"], "content": content, **same, **changed}


def test_a_chunk_is_replaced(sds: Sds, held: list[dict[str, Any]]) -> None:
    id = sds.objects["a"][0]["meta"]["id"]
    new = "http://127.0.0.1:1/" + ID
    body = {"old": [bean(held[2], id)], "new": [bean(held[2], id, id=new)]}
    assert meta2(sds, "container/raw_update", body).status == 204
    assert sds.held("a")[2] == ID
    again = meta2(sds, "container/raw_update", body)
    assert (again.status, again.json) == (404, {"status": 420, "message": "bean not found"})


def test_all_pairs_or_none(sds: Sds, held: list[dict[str, Any]]) -> None:
    id = sds.objects["a"][0]["meta"]["id"]
    new = [bean(chunk, id, id=f"http://127.0.0.1:1/{n:064X}") for n, chunk in enumerate(held[:2])]
    gone = bean(held[1], id, id="http://127.0.0.1:1/" + ID)
    body = {"old": [bean(held[0], id), gone], "new": new}
    assert meta2(sds, "container/raw_update", body).json["status"] == 420
    twice = {"old": [bean(held[0], id)], "new": [bean(held[0], id, id=held[1]["url"])]}
    refused = meta2(sds, "container/raw_update", twice)
    assert (refused.status, refused.json["status"]) == (500, 19)
    assert sds.objects["a"][0]["chunks"] == held


def test_damage(sds: Sds, held: list[dict[str, Any]]) -> None:
    first, second, third, fourth, fifth, _ = (chunk["url"][-64:] for chunk in held[:6])
    before = dict(sds.chunks)
    sds.flip(first)
    sds.truncate(second, 3)
    sds.lose(third)
    sds.swap(fourth, fifth)
    sds.forget(fifth)
    assert len(sds.chunks[first]) == len(before[first])
    assert (sds.chunks[first] == before[first], sds.chunks[second]) == (False, before[second][:3])
    assert (third in sds.chunks, sds.chunks[fourth], sds.meta[fifth]) == (False, before[fifth], {})


def test_counters_are_those_of_the_objects_unless_they_are_set(sds: Sds) -> None:
    sds.counted = True
    sds.put("a", DATA)
    shown = ask(sds.addresses[-1], "GET", "/v3.0/OPENIO/container/show", acct="A", ref="docs")
    prefix = "x-oio-container-meta-sys-m2-"
    found = (shown.headers[prefix + "usage"], shown.headers[prefix + "objects"])
    assert found == (str(len(DATA)), "1")
    meta2(sds, "container/set_properties", {"system": {"sys.m2.usage": "1"}})
    shown = ask(sds.addresses[-1], "GET", "/v3.0/OPENIO/container/show", acct="A", ref="docs")
    assert shown.headers[prefix + "usage"] == "1"
