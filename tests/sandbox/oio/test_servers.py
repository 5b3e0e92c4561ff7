"""The simulated OpenIO servers beyond the recordings: what must hold whatever is stored."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdctl.sandbox import OIO_HOST, apps
from rdctl.sandbox.oio.state import RAWX_ADDRESSES
from rdctl.sandbox.serve import serve
from tests.sandbox.mounted import Mounted
from tests.sandbox.oio.wire import ACCOUNT_HOST, Reply, Servers

HOSTILE = [
    " ", "  lead", "trail ", "a b", "a+b", "a%20b", "a%2Fb", "%", "%zz", "..", "../..", "/", "//",
    "a/", "a//b", "/etc/passwd", "new\nline", "tab\there", "\r\n", "\x01\x1b[31m", "\x7f", '"q"',
    "'q'", "back\\slash", "a&b=c", "a;b", "a#b", "a?b", "é", "e\u0301", "☃", "😀", "\ufffd",
    "\uffff", "x" * 1023, "é" * 511, "-o", "NULL", "null", "0", "<script>", "{}", "[1]",
]  # fmt: skip
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
NAMES = NAMES.filter(lambda name: len(name.encode()) <= 255)
# Few letters, so that names share prefixes.
KIN = st.text("ab/é", min_size=1, max_size=6)

# A store for each example would be slow; examples use containers of their own.
sharing = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    return Servers(tmp_path / "store")


@pytest.fixture
def fresh() -> Iterator[str]:
    return (f"c{number}" for number in range(10**6))


def url(action: str, container: str, path: str | None = None, **more: object) -> str:
    named = {"acct": "A", "ref": container, **({} if path is None else {"path": path}), **more}
    return f"{action}?" + "&".join(
        f"{key}={quote(str(value), safe='')}" for key, value in named.items()
    )


def make(servers: Servers, container: str, **system: str) -> None:
    values = {"system": {f"sys.m2.{key.replace('_', '.')}": system[key] for key in system}}
    assert servers.proxy("POST", url("container/create", container), values).status == 201


def put(
    servers: Servers, container: str, path: str, data: bytes = b"x", **more: object
) -> list[str]:
    """Upload as a client does; the chunks' urls."""
    prepared = servers.proxy("POST", url("content/prepare", container, path), {"size": len(data)})
    assert prepared.status == 200, prepared
    size = int(prepared.header("x-oio-ns-chunk-size"))
    chunks = prepared.json
    meta = {
        name: prepared.header(f"x-oio-content-meta-{name}")
        for name in ("id", "version", "policy", "chunk-method", "mime-type")
    }
    for chunk in chunks:
        position = int(chunk["pos"])
        part = data[position * size : (position + 1) * size]
        stored = store_chunk(servers, chunk["url"], container, path, meta, chunk["pos"], part)
        assert stored.status == 201, stored
        chunk.update(size=len(part), hash=stored.header("x-oio-chunk-meta-chunk-hash"))
    headers = {f"x-oio-content-meta-{name}": value for name, value in meta.items()}
    headers["x-oio-content-meta-length"] = str(len(data))
    created = servers.proxy("POST", url("content/create", container, path, **more), chunks, headers)
    assert created.status == 204, created
    return [chunk["url"] for chunk in chunks]


def store_chunk(
    servers: Servers,
    chunk_url: str,
    container: str,
    path: str,
    meta: dict[str, str],
    pos: str,
    data: bytes,
) -> Reply:
    host, _, id = chunk_url.removeprefix("http://").partition("/")
    parts = ("A", container, path, meta["version"], meta["id"])
    headers = {
        "x-oio-chunk-meta-content-storage-policy": meta["policy"],
        "x-oio-chunk-meta-content-chunk-method": meta["chunk-method"],
        "x-oio-chunk-meta-chunk-pos": pos,
        "x-oio-chunk-meta-full-path": "/".join(quote(part, safe="") for part in parts),
    }
    return servers.send(host, "PUT", f"/{id}", headers, data)


def chunk(servers: Servers, chunk_url: str, **headers: str) -> Reply:
    host, _, id = chunk_url.removeprefix("http://").partition("/")
    return servers.send(host, "GET", f"/{id}", headers)


def fake(servers: Servers, container: str, path: str, **headers: str) -> Reply:
    """A content of one byte, that is nowhere."""
    described = {"url": f"http://127.0.0.1:16013/{random.randbytes(32).hex()}", "pos": "0"}
    named = {f"x-oio-content-meta-{name}": value for name, value in headers.items()}
    return servers.proxy(
        "POST",
        url("content/create", container, path),
        [described | {"size": 1, "hash": ""}],
        {"x-oio-content-meta-length": "1", "x-oio-content-meta-id": random.randbytes(16).hex()}
        | named,
    )


def pages(
    servers: Servers, container: str, marker: str = "", **query: Any
) -> Iterator[dict[str, Any]]:
    """Every page, the marker used exactly as it was received."""
    target = url("container/list", container, **query)
    sent = quote(marker, safe="")
    while True:
        reply = servers.proxy("GET", f"{target}&marker={sent}")
        assert reply.status == 200, reply
        yield reply.json
        if reply.header("x-oio-list-truncated") == "false":
            return
        assert sent != reply.header("x-oio-list-marker")
        sent = reply.header("x-oio-list-marker")


def listed(servers: Servers, container: str, **query: Any) -> list[dict[str, Any]]:
    return [item for page in pages(servers, container, **query) for item in page["objects"]]


def counters(servers: Servers, container: str) -> tuple[int, int]:
    """Objects and bytes."""
    shown = servers.proxy("GET", url("container/show", container))
    head = "x-oio-container-meta-sys-m2-"
    return int(shown.header(f"{head}objects")), int(shown.header(f"{head}usage"))


# Names and listings ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_hostile_names_are_all_listed_once_and_in_order(servers: Servers, size: int) -> None:
    make(servers, "c")
    for name in HOSTILE:
        assert fake(servers, "c", name).status == 204, name
    assert [item["name"] for item in listed(servers, "c", max=size)] == sorted(
        HOSTILE, key=str.encode
    )
    for name in HOSTILE:
        shown = servers.proxy("GET", url("content/show", "c", name))
        assert shown.header("x-oio-content-meta-name") == quote(name, safe="")
        assert servers.proxy("POST", url("content/delete", "c", name)).status == 204, name
    assert counters(servers, "c") == (0, 0)


@sharing
@given(
    names=st.sets(KIN, max_size=12),
    prefix=st.just("") | KIN,
    delimiter=st.sampled_from(["", "/", "a"]),
    size=st.integers(1, 5),
)
def test_a_listing_by_delimiter_is_what_the_names_say(
    servers: Servers, fresh: Iterator[str], names: set[str], prefix: str, delimiter: str, size: int
) -> None:
    container = next(fresh)
    make(servers, container)
    for name in names:
        assert fake(servers, container, name).status == 204
    below: list[str] = []
    objects: list[str] = []
    for name in sorted(names, key=str.encode):
        if name.startswith(prefix):
            stem, cut, _ = name[len(prefix) :].partition(delimiter or "\0")
            if cut:
                below.append(prefix + stem + cut)
            else:
                objects.append(name)
    found = list(pages(servers, container, prefix=prefix, delimiter=delimiter, max=size))
    assert [item["name"] for page in found for item in page["objects"]] == objects
    assert list(dict.fromkeys(name for page in found for name in page["prefixes"])) == list(
        dict.fromkeys(below)
    )
    assert all(len(page["objects"]) + len(page["prefixes"]) <= size for page in found)


@sharing
@given(names=st.sets(KIN, max_size=12), marker=KIN, end=KIN)
def test_markers_are_exclusive(
    servers: Servers, fresh: Iterator[str], names: set[str], marker: str, end: str
) -> None:
    container = next(fresh)
    make(servers, container)
    for name in names:
        fake(servers, container, name)
    found = listed(servers, container, marker=marker, end_marker=end, max=2)
    within = [n for n in names if marker.encode() < n.encode() < end.encode()]
    assert [item["name"] for item in found] == sorted(within, key=str.encode)


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("acct=%FF&ref=c&path=p", "Invalid parameter 'account', not UTF-8"),
        ("acct=A&ref=c%FE&path=p", "Invalid parameter 'user', not UTF-8"),
        ("acct=A&ref=c&path=%C3", "Invalid parameter 'path', not UTF-8"),
        ("acct=A&ref=c&path=a%00b", "Missing path and content"),
        ("acct=A&ref=c&path=" + "x" * 1024, "Missing path and content"),
        ("acct=A&ref=c&path=" + "%C3%A9" * 512, "Missing path and content"),
        ("acct=A&ref=%00&path=p", "Directory error: Incomplete URL [OPENIO/A]"),
    ],
)
def test_names_that_are_refused(servers: Servers, query: str, refused: str) -> None:
    make(servers, "c")
    reply = servers.proxy("GET", f"content/show?{query}")
    assert reply.refusal == (400, 400)
    assert reply.json["message"] == refused


@sharing
@given(name=NAMES)
def test_a_container_of_any_name(servers: Servers, name: str) -> None:
    servers.proxy("POST", url("container/create", name))
    shown = servers.proxy("GET", url("container/show", name))
    assert shown.header("x-oio-container-meta-sys-user-name") == quote(name, safe="")
    account = servers.send(ACCOUNT_HOST, "GET", "/v1.0/account/containers?id=A&limit=1000000").json
    assert name in [item[0] for item in account["listing"]]
    many = servers.proxy("POST", "container/create_many?acct=A", {"containers": [{"name": name}]})
    assert many.json["containers"][0]["status"] == 433


@sharing
@given(values=st.dictionaries(NAMES, st.text(min_size=1).filter(lambda text: "\0" not in text)))
def test_properties_of_any_text_come_back(
    servers: Servers, fresh: Iterator[str], values: dict[str, str]
) -> None:
    values = {key: value.encode("utf-8", "replace").decode() for key, value in values.items()}
    container = next(fresh)
    body = {"properties": values}
    assert servers.proxy("POST", url("container/create", container), body).status == 201
    fake(servers, container, "p")
    servers.proxy("POST", url("content/set_properties", container, "p"), body)
    servers.proxy("POST", url("reference/set_properties", container), body)
    for action in (
        "container/get_properties",
        "content/get_properties",
        "reference/get_properties",
    ):
        path = "p" if action.startswith("content") else None
        assert servers.proxy("POST", url(action, container, path)).json["properties"] == values
    assert listed(servers, container, properties=1)[0].get("properties", {}) == values
    shown = servers.proxy("GET", url("content/show", container, "p"))
    of_the_server = "ctime deleted hash id length mtime name policy version".split()
    for key in values:
        if key.isascii() and key.isalnum() and key not in of_the_server:
            assert (f"x-oio-content-meta-{key}", quote(values[key], safe="")) in shown.headers


def test_bytes_that_are_not_text_come_back_as_they_were(servers: Servers) -> None:
    make(servers, "c")
    body = b'{"properties": {"k\xff": "\xfe\xc3"}}'
    assert servers.proxy("POST", url("container/set_properties", "c"), body).status == 200
    found = servers.proxy("POST", url("container/get_properties", "c")).body
    assert b'"properties":{"k\xff":"\xfe\xc3"}' in found


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{'properties': {'a': 'x\"y'}}", 'x"y'),
        (b'{"properties": {"a": \'it\\\'s\'}}', "it's"),
        (b'{"properties": {"a": "\\\\u0000"}}', "\\u0000"),
        (b'{"properties": {"a": "x\\u0000y"}}', "x"),
        (b'{"properties": {"a": "line\nfeed"}}', "line\nfeed"),
        (b'{"properties": {"a": "\\ud83d\\ude00"}}', "😀"),
        (b'{"properties": {"a": "\\ud800"}}', "?"),
        (b' {"properties": {"a": "1"}} {"', "1"),
    ],
)
def test_lenient_json(servers: Servers, body: bytes, value: str) -> None:
    make(servers, "c")
    assert servers.proxy("POST", url("container/set_properties", "c"), body).status == 200
    found = servers.proxy("POST", url("container/get_properties", "c")).json
    assert found["properties"] == {"a": value}


@pytest.mark.parametrize("body", [b"null", b"0", b"true", b"[" * 100000, b"{", b'{"a"', b"\xff"])
def test_what_is_no_json(servers: Servers, body: bytes) -> None:
    make(servers, "c")
    reply = servers.proxy("POST", url("container/set_properties", "c"), body)
    assert reply.json == {"status": 400, "message": "Invalid JSON"}


def test_routes_know_their_method_and_their_namespace(servers: Servers) -> None:
    reads = {
        "conscience/info", "conscience/list", "conscience/resolve", "local/list", "lb/choose",
        "reference/show", "container/show", "container/list", "content/show", "content/locate",
        "admin/meta0_list",
    }  # fmt: skip
    changes = {
        "lb/poll", "reference/create", "container/create", "content/create", "admin/status",
        "container/flush", "content/delete_many", "reference/relink", "admin/remove",
    }  # fmt: skip
    absent = {"content/copy", "content/link", "admin/vacuum", "forward/handlers", "lb/nosuch"}
    for action in reads | changes | absent:
        served = "GET" if action in reads else "POST" if action in changes else None
        for method in {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"} - {served}:
            reply = servers.proxy(method, action)
            assert (reply.status, reply.reason) == (404, "No handler found"), (method, action)
            assert reply.json == {"status": 404, "message": "No handler found"}
        if served:
            other = servers.proxy(served, f"/v3.0/NOSUCH/{action}")
            assert other.json == {"status": 400, "message": "Invalid parameter 'namespace'"}


# Versions, quota, counters -----------------------------------------------------------------------


def test_listings_of_versions_and_markers(servers: Servers) -> None:
    make(servers, "c", policy_version="-1")
    for path in ("gone", "kept", "kept"):
        fake(servers, "c", path)
    servers.proxy("POST", url("content/delete", "c", "gone"))

    def names(**query: int) -> list[tuple[str, bool]]:
        return [(item["name"], item["deleted"]) for item in listed(servers, "c", **query)]

    assert names() == [("kept", False)]
    assert names(deleted=0) == [("gone", True), ("kept", False)]
    assert names(all=0) == [("gone", True), ("gone", False), ("kept", False), ("kept", False)]
    marker = listed(servers, "c", deleted=1)[0]
    assert (marker["hash"], marker["size"], marker["policy"], marker["mime-type"]) == (None,) * 4
    versions = [item["version"] for item in listed(servers, "c", all=1)]
    assert versions[0] == versions[1] + 1
    assert versions[2] > versions[3]
    refused = servers.proxy("GET", url("content/show", "c", "gone"))
    assert refused.refusal == (404, 426)
    assert servers.proxy("GET", url("content/show", "c", "gone", version=versions[1])).status == 200
    assert servers.proxy("POST", url("container/destroy", "c")).refusal == (409, 438)


def test_purge_leaves_the_latest(servers: Servers) -> None:
    make(servers, "c", policy_version="2")
    for path in "aabbbbc":
        fake(servers, "c", path)
    before = listed(servers, "c", all=1)
    servers.proxy("POST", url("content/purge", "c", "a", maxvers=1))
    servers.proxy("POST", url("container/purge", "c"))
    left = [item for item in before if item not in (before[1], *before[4:6])]
    assert listed(servers, "c", all=1) == left
    assert counters(servers, "c") == (4, 4)


def test_an_explicit_version_must_be_later(servers: Servers) -> None:
    make(servers, "c", policy_version="-1")
    assert fake(servers, "c", "p", version="100").status == 204
    assert fake(servers, "c", "p", version="100").refusal == (409, 421)
    assert fake(servers, "c", "p", version="99").refusal == (409, 424)
    assert fake(servers, "c", "p", version="101").status == 204
    assert [item["version"] for item in listed(servers, "c", all=1)] == [101, 100]


def test_the_quota_holds_at_prepare_once_it_is_reached(servers: Servers) -> None:
    make(servers, "c", quota="3")
    put(servers, "c", "one", b"four")
    prepare = url("content/prepare", "c", "two")
    assert servers.proxy("POST", prepare, {"size": 1}).refusal == (500, 445)
    assert fake(servers, "c", "two").status == 204
    servers.proxy("POST", url("container/flush", "c"))
    assert servers.proxy("POST", prepare, {"size": 1}).status == 200


@pytest.mark.parametrize("seed", range(8))
def test_counters_are_the_sums_whatever_was_done(servers: Servers, seed: int) -> None:
    dice = random.Random(seed)
    make(servers, "c", policy_version=dice.choice(["1", "3", "-1"]))
    for _ in range(60):
        path = dice.choice("abc")
        stored = [item for item in listed(servers, "c", all=1) if item["name"] == path]
        some = dice.choice(stored) if stored else {"version": 1, "size": 0, "content": "00"}
        action = dice.choice(("put", "put", "delete", "version", "purge", "append", "cut", "force"))
        if action == "put":
            put(servers, "c", path, b"x" * dice.randrange(5))
        elif action == "delete":
            servers.proxy("POST", url("content/delete", "c", path))
        elif action == "version":
            servers.proxy("POST", url("content/delete", "c", path, version=some["version"]))
        elif action == "purge":
            servers.proxy("POST", url("container/purge", "c", maxvers=dice.randrange(3)))
        elif action == "append" and some["size"] is not None:
            if servers.proxy("GET", url("content/show", "c", path)).status == 200:
                put(servers, "c", path, b"more", append=1)
        elif action == "cut":
            servers.proxy("POST", url("content/truncate", "c", path, size=4))
        elif action == "force":
            put(servers, "c", path, b"forced", force=1)
        versions = listed(servers, "c", all=1)
        sizes = [item["size"] for item in versions if not item["deleted"]]
        assert counters(servers, "c") == (len(sizes), sum(sizes)), action
    shown = servers.send(ACCOUNT_HOST, "GET", "/v1.0/account/show?id=A").json
    assert (shown["objects"], shown["bytes"]) == counters(servers, "c")


@pytest.mark.parametrize(
    ("state", "reads", "lists"), [("freeze", True, True), ("disable", True, False)]
)
def test_frozen_and_disabled(servers: Servers, state: str, reads: bool, lists: bool) -> None:
    make(servers, "c")
    put(servers, "c", "p")
    admin = url("admin/ACTION", "c", type="meta2")
    assert servers.proxy("POST", admin.replace("ACTION", state)).json == {}
    again = servers.proxy("POST", admin.replace("ACTION", state))
    assert again.refusal == ((503, 436) if state == "freeze" else (500, 437))
    for route, method, works in (
        (url("container/show", "c"), "GET", reads),
        (url("container/list", "c"), "GET", lists),
        (url("content/show", "c", "p"), "GET", lists),
        (url("content/delete", "c", "p"), "POST", False),
        (url("content/delete", "c", "p") + "&x-oio-admin=1", "POST", False),
        (url("container/flush", "c"), "POST", False),
    ):
        reply = servers.proxy(method, route)
        assert (reply.status == 200) is works, route
        if not works:
            assert reply.refusal == (503, 436)
            assert reply.header("Retry-After") == "1"
    many = servers.proxy("POST", url("content/delete_many", "c"), {"contents": [{"name": "p"}]})
    assert many.json["contents"] == [{"name": "p", "status": 436, "message": "Invalid status"}]
    kept = {"properties": {"k": "v"}}
    assert servers.proxy("POST", url("container/set_properties", "c"), kept).status == 200
    assert servers.proxy("POST", admin.replace("ACTION", "enable")).status == 200
    assert servers.proxy("POST", admin.replace("ACTION", "enable")).refusal == (500, 439)
    assert servers.proxy("POST", url("content/delete", "c", "p")).status == 204


@pytest.mark.parametrize("force", [False, True])
def test_a_frozen_container_is_destroyed_or_enabled(servers: Servers, force: bool) -> None:
    make(servers, "c")
    put(servers, "c", "p")
    servers.proxy("POST", url("admin/freeze", "c", type="meta2"))
    destroy = url("container/destroy", "c") + ("&force=1" if force else "")
    assert servers.proxy("POST", destroy).status == (204 if force else 409)
    if not force:
        assert servers.proxy("POST", url("content/delete", "c", "p")).status == 204


# Objects and chunks ------------------------------------------------------------------------------


def test_an_object_of_three_positions_round_trips(servers: Servers) -> None:
    make(servers, "c")
    data = random.Random(1).randbytes(2 * (1 << 20) + 18)
    put(servers, "c", "big", data)
    shown = servers.proxy("GET", url("content/show", "c", "big"))
    copies: dict[int, list[str]] = {}
    for item in shown.json:
        copies.setdefault(int(item["pos"]), []).append(item["url"])
    assert {position: len(urls) for position, urls in copies.items()} == {0: 3, 1: 3, 2: 3}
    assert all(len({url.split("/")[2] for url in urls}) == 3 for urls in copies.values())
    for turn in range(3):
        parts = [chunk(servers, copies[position][turn]).body for position in sorted(copies)]
        assert b"".join(parts) == data


@pytest.mark.parametrize("ending", ["delete", "replace", "flush", "drain"])
def test_the_chunks_go_with_their_content(servers: Servers, ending: str) -> None:
    make(servers, "c")
    kept = put(servers, "c", "kept", b"kept")
    gone = put(servers, "c", "gone", b"gone")
    if ending == "replace":
        put(servers, "c", "gone", b"other")
    elif ending in ("delete", "drain"):
        servers.proxy("POST", url(f"content/{ending}", "c", "gone"))
    else:
        servers.proxy("POST", url("container/flush", "c"))
        kept = []
    assert [chunk(servers, one).status for one in gone] == [404] * 3
    assert [chunk(servers, one).body for one in kept] == [b"kept"] * len(kept)


def test_chunks_of_a_container_destroyed_by_force_stay(servers: Servers) -> None:
    make(servers, "c")
    left = put(servers, "c", "a", b"left")
    assert servers.proxy("POST", url("container/destroy", "c", force=1)).status == 204
    assert [chunk(servers, one).body for one in left] == [b"left"] * len(left)


def test_a_copied_database_alone_shares_every_chunk(servers: Servers) -> None:
    """What is deleted in the copy is lost in the source."""
    make(servers, "c")
    shared = put(servers, "c", "a", b"shared")
    account = {"account": "acct", "container": "copy"}
    servers.proxy("POST", url("container/snapshot", "c"), account)
    servers.proxy("POST", "admin/enable?acct=acct&ref=copy&type=meta2")
    assert servers.proxy("POST", "content/delete?acct=acct&ref=copy&path=a").status == 204
    assert [chunk(servers, one).status for one in shared] == [404] * 3


def test_to_register_the_same_chunks_again_loses_nothing(servers: Servers) -> None:
    make(servers, "c")
    urls = put(servers, "c", "p", b"data")
    hash = hashlib.md5(b"data").hexdigest()
    described = [{"url": one, "pos": "0", "size": 4, "hash": hash} for one in urls]
    headers = {
        "x-oio-content-meta-length": "4",
        "x-oio-content-meta-id": "AB",
    }
    again = servers.proxy("POST", url("content/create", "c", "p"), described, headers)
    assert again.status == 204
    assert [chunk(servers, one).body for one in urls] == [b"data"] * 3
    assert counters(servers, "c") == (1, 4)


def test_a_snapshot_outlives_its_source(servers: Servers) -> None:
    make(servers, "c")
    urls = put(servers, "c", "p", b"data")
    wanted = {"account": "A", "container": "copy"}
    assert servers.proxy("POST", url("container/snapshot", "c"), wanted).status == 204
    assert servers.proxy("POST", url("container/destroy", "c", force=1)).status == 204
    shown = servers.proxy("GET", url("content/show", "copy", "p"))
    assert sorted(item["url"] for item in shown.json) == sorted(urls)
    assert [chunk(servers, one).body for one in urls] == [b"data"] * 3
    assert fake(servers, "copy", "p").refusal == (503, 436)


@pytest.mark.parametrize(
    ("range", "status", "covered", "body"),
    [
        ("bytes=0-", 206, "bytes 0-9/10", b"0123456789"),
        ("bytes=9-9", 206, "bytes 9-9/10", b"9"),
        ("bytes=3-100", 206, "bytes 3-9/10", b"3456789"),
        ("bytes=-100", 206, "bytes 0-9/10", b"0123456789"),
        ("bytes=10-", 416, None, None),
        ("bytes=-0", 416, None, None),
        ("bytes=5-4", 416, None, None),
        ("lines=1-2", 200, None, b"0123456789"),
        ("bytes=", 200, None, b"0123456789"),
        ("bytes=-", 200, None, b"0123456789"),
    ],
)
def test_ranges(
    servers: Servers, range: str, status: int, covered: str | None, body: bytes | None
) -> None:
    make(servers, "c")
    reply = chunk(servers, put(servers, "c", "p", b"0123456789")[0], Range=range)
    assert reply.status == status
    if covered:
        assert reply.header("Content-Range") == covered
    if body:
        assert reply.body == body


def test_a_chunk_is_put_once(servers: Servers) -> None:
    make(servers, "c")
    one = put(servers, "c", "p")[0]
    meta = {"version": "1", "id": "0" * 32, "policy": "SINGLE", "chunk-method": "plain"}
    assert store_chunk(servers, one, "c", "p", meta, "0", b"other").status == 409
    assert chunk(servers, one).body == b"x"


# Services and elections --------------------------------------------------------------------------


def test_a_base_has_a_master_and_who_leaves_is_no_longer_it(servers: Servers) -> None:
    def states() -> dict[str, tuple[int, str]]:
        said = servers.proxy("POST", "admin/status?acct=sandbox&ref=photos&type=meta2").json
        return {
            host: (one["status"]["status"], one["status"]["message"]) for host, one in said.items()
        }

    before = states()
    (master,) = [host for host, (status, _) in before.items() if status == 200]
    slaves = {host: said for host, said in before.items() if host != master}
    assert list(slaves.values()) == [(303, master)] * 2
    left = f"admin/leave?acct=sandbox&ref=photos&type=meta2&service_id={master}"
    assert list(servers.proxy("POST", left).json) == [master]
    assert before[master] != states()[master]
    assert sorted(status for status, _ in states().values()) == [200, 303, 303]


def test_debug_tells_of_the_election_only_where_there_is_one(servers: Servers) -> None:
    debug = "admin/debug?acct=sandbox&ref=photos&type=meta2"
    for host, said in servers.proxy("POST", debug).json.items():
        body = said["body"]
        assert body["local"]["url"] == host
        assert (body["local"]["state"] == "MASTER") == (body["master"]["url"] == host)
        assert len(body["peers"]) == 2
        assert host not in body["peers"]
        assert all(len(line.split(":")) == 4 for line in body["log"])
        assert set(body) == {"local", "master", "base", "#", "peers", "log"}
    single = {"ns.service_update_policy": "meta2=KEEP|1|1"}
    assert servers.proxy("POST", "/v3.0/config", single).status == 204
    make(servers, "c")
    (said,) = servers.proxy("POST", url("admin/debug", "c", type="meta2")).json.values()
    assert said == {"status": {"status": 200, "message": "OK"}, "body": {}}


def test_dead_links_are_replaced(servers: Servers) -> None:
    linked = servers.proxy("POST", url("reference/link", "r", type="rdir", autocreate=1)).json
    dead = linked[0]["host"]
    other = ({"127.0.0.1:16018", "127.0.0.1:16019"} - {dead}).pop()
    servers.proxy("POST", "conscience/lock", {"type": "rdir", "addr": dead})
    renewed = servers.proxy("POST", url("reference/renew", "r", type="rdir")).json
    assert renewed == [{"seq": 1, "type": "rdir", "host": other, "args": ""}]
    servers.proxy("POST", "conscience/unlock", {"type": "rdir", "addr": dead})
    wanted = {"kept": None, "replaced": {"host": other}}
    again = servers.proxy("POST", url("reference/relink", "r", type="rdir"), wanted).json
    assert [service["host"] for service in again] == [dead]
    shown = servers.proxy("GET", url("reference/show", "r", type="rdir")).json
    assert shown["srv"] == again


def test_spare_chunks_stand_where_no_copy_is(servers: Servers) -> None:
    make(servers, "c")
    put(servers, "c", "p")
    shown = servers.proxy("GET", url("content/show", "c", "p")).json
    chunks = [{key: one[key] for key in ("url", "pos", "size", "hash")} for one in shown]
    wanted = {"notin": chunks[1:], "broken": chunks[:1]}
    (spare,) = servers.proxy("POST", url("content/spare", "c", "p"), wanted).json["chunks"]
    used = {one["url"].split("/")[2] for one in chunks}
    assert spare["id"].split("/")[2] in set(RAWX_ADDRESSES) - used


def test_a_copy_needs_both_ends(servers: Servers) -> None:
    copy = "admin/copy?acct=sandbox&ref=photos&type=meta2"
    ends = {"to": "127.0.0.1:16009", "from": "127.0.0.1:7001"}
    assert servers.proxy("POST", copy, ends).refusal == (500, 502)
    assert servers.proxy("POST", copy, {"to": ends["to"]}).json == {}


def test_containers_of_an_account_by_delimiter(servers: Servers) -> None:
    for name in ("a-1", "a-2", "b", "c-1"):
        make(servers, name)
    target = "/v1.0/account/containers?id=A&delimiter=-"
    listing = servers.send(ACCOUNT_HOST, "GET", target).json["listing"]
    assert [item[:4] for item in listing] == [
        ["a-", 0, 0, 1], ["b", 0, 0, 0], ["c-", 0, 0, 1]
    ]  # fmt: skip
    later = servers.send(ACCOUNT_HOST, "GET", f"{target}&marker=a-&limit=1").json["listing"]
    assert [item[0] for item in later] == ["b"]


def test_a_lock_keeps_a_rawx_out_of_the_choice(servers: Servers) -> None:
    locked = [{"type": "rawx", "addr": one} for one in RAWX_ADDRESSES if one != "127.0.0.1:16016"]
    assert servers.proxy("POST", "conscience/lock", locked).status == 204
    chosen = {servers.proxy("GET", "lb/choose?type=rawx").json[0]["addr"] for _ in range(20)}
    assert chosen == {"127.0.0.1:16016"}
    make(servers, "c")
    prepare = url("content/prepare", "c", "p")
    assert servers.proxy("POST", prepare, {"size": 1}).refusal == (500, 481)
    assert servers.proxy("POST", "conscience/unlock", locked).status == 204
    assert servers.proxy("POST", prepare, {"size": 1}).status == 200


def test_statistics_are_listed_when_they_are_asked_for(servers: Servers) -> None:
    def tags(more: str, **headers: str) -> set[str]:
        (listed,) = servers.proxy("GET", f"conscience/list?type=sqlx{more}", headers=headers).json
        return {key.split(".")[0] for key in listed["tags"]}

    assert tags("") == tags("&full=0") == {"tag"}
    assert tags("&full=1") == tags("", **{"x-oio-action-mode": "full"}) == {"tag", "stat"}


def test_flush_of_a_reference_counts_by_its_presence(servers: Servers) -> None:
    servers.proxy("POST", url("reference/create", "r"), {"properties": {"old": "1"}})
    new = {"properties": {"new": "2"}}
    assert servers.proxy("POST", url("reference/set_properties", "r", flush=0), new).status == 204
    found = servers.proxy("POST", url("reference/get_properties", "r")).json
    assert found["properties"] == {"new": "2"}


def test_a_new_sandbox_has_something_to_show(servers: Servers) -> None:
    shown = servers.proxy("GET", "container/list?acct=sandbox&ref=photos&delimiter=/").json
    assert shown["prefixes"] == ["alps/", "sea/"]
    assert [item["name"] for item in shown["objects"]] == ["index.txt"]
    stored = servers.proxy("GET", "content/show?acct=sandbox&ref=photos&path=index.txt")
    data = chunk(servers, stored.json[0]["real_url"]).body
    assert hashlib.md5(data).hexdigest().upper() == stored.header("x-oio-content-meta-hash")
    assert servers.send(ACCOUNT_HOST, "GET", "/v1.0/account/list").json == ["sandbox"]


# The same over requests --------------------------------------------------------------------------


def browse(session: requests.Session, proxy: str) -> tuple[bytes, dict[str, Any]]:
    """From the proxy alone to an object's bytes and to the account service."""
    session.trust_env = False
    base = f"{proxy}/v3.0/OPENIO"
    where = "acct=sandbox&ref=photos&path=alps%2Fridge.svg"
    chunks = session.get(f"{base}/content/show?{where}").json()
    bodies = {session.get(item["real_url"]).content for item in chunks}
    (service,) = session.get(f"{base}/lb/choose?type=account").json()
    resolved = session.get(f"{base}/conscience/resolve?type=account&service_id={service['addr']}")
    assert resolved.json() == {"addr": service["addr"]}
    account = session.get(f"http://{service['addr']}/v1.0/account/show?id=sandbox").json()
    (body,) = bodies
    # What is sent back names the services as they were told.
    chunk = {key: chunks[0][key] for key in ("url", "pos", "size", "hash")}
    headers = {"x-oio-content-meta-length": str(chunk["size"]), "x-oio-content-meta-id": "AA"}
    target = f"{base}/content/create?{where}2"
    assert session.post(target, data=json.dumps([chunk]), headers=headers).status_code == 204
    assert session.get(f"{base}/content/show?{where}2").json()[0]["url"] == chunk["url"]
    return body, account


def test_mounted_on_a_session(tmp_path: Path) -> None:
    with requests.Session() as session:
        for host, app in apps(tmp_path / "store").items():
            session.mount(f"http://{host}/", Mounted(app))
        body, account = browse(session, f"http://{OIO_HOST}")
    assert body.startswith(b"<svg")
    assert (account["containers"], account["objects"]) == (1, 5)


def test_served_on_other_ports(tmp_path: Path) -> None:
    advertise: dict[str, str] = {}
    served = apps(tmp_path / "store", advertise)
    listening, stop = Event(), Event()
    urls: dict[str, str] = {}

    def ready(where: list[str]) -> None:
        urls.update(zip(served, where, strict=True))
        advertise.update(
            {host: url.removeprefix("http://") for host, url in urls.items() if ":" in host}
        )
        listening.set()

    listeners = [(app, "127.0.0.1", 0) for app in served.values()]
    thread = Thread(target=serve, args=(listeners, ready, stop))
    thread.start()
    try:
        assert listening.wait(10)
        with requests.Session() as session:
            body, account = browse(session, urls[OIO_HOST])
            assert body.startswith(b"<svg")
            assert account["objects"] == 5
            one = f"{urls[ACCOUNT_HOST.replace('16017', '16013')]}/{'AB' * 32}"
            headers = {
                "x-oio-chunk-meta-content-storage-policy": "SINGLE",
                "x-oio-chunk-meta-content-chunk-method": "plain",
                "x-oio-chunk-meta-chunk-pos": "0",
                "x-oio-chunk-meta-full-path": f"A/c/p/1/{'0' * 32}",
            }
            pieces = iter([b"in ", b"chunks"])  # without a Content-Length
            stored = session.put(one, data=pieces, headers=headers)
            assert (stored.status_code, stored.headers["Location"]) == (201, one)
            assert session.get(one, headers={"Range": "bytes=3-"}).content == b"chunks"
            assert session.head(one).headers["Content-Length"] == "9"
            assert "Server" not in session.get(f"{urls[OIO_HOST]}/v3.0/status").headers
    finally:
        stop.set()
        thread.join()
