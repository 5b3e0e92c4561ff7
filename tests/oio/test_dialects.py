"""Later proxies, as recorded of real ones of 7.3.0 and 2026.14.2 (docs/wire/oio-later.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio.addresses import Addresses
from rdctl.oio.client import MANY_CHUNKS, Client
from rdctl.oio.model import Place
from rdctl.oio.refusals import Asked
from tests.oio.wire import NS, OLD, Answer, Answering, Sent, answer, no_handler, proxy_to, refusal

RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "wire" / "later-recordings.jsonl")
    .read_text("utf-8")
    .splitlines()
]
SEVEN, LAST = "oio-proxy 7.3.0", "oio-proxy 2026.14.2"
PLACE = Place("acct", "c1")
CHECKPOINT: dict[str, Any] = {"what": "copy it", "shows": "rdctl"}


def recorded(server: str, label: str) -> Answer:
    """The first reply with that label."""
    found = next(row for row in RECORDED if (row["server"], row["label"]) == (server, label))
    return Answer(found["status"], found["body"].encode(), dict(found["headers"]), found["reason"])


def counting(*routes: str) -> Answer:
    """A status that counts requests of these routes."""
    return Answer(200, "".join(f"counter req.hits.{one} 0\n" for one in routes).encode())


def missing(act: Any) -> RdctlError:
    with pytest.raises(RdctlError) as caught:
        act()
    assert caught.value.code is Code.UNSUPPORTED
    return caught.value


# --- which dialect --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "dialect"),
    [
        (recorded(LAST, "status"), "2025"),
        (recorded(SEVEN, "status"), "7"),
        (counting("content_prepare2_POST", "admin_vacuum_POST"), "5"),
        (counting("content_prepare_POST"), "4.2"),
        (counting("content_prepare_POST")._replace(headers=OLD), "3.3"),
    ],
)
def test_the_status_tells_the_dialect_in_one_request(status: Answer, dialect: str) -> None:
    server = Answering([status])
    proxy = proxy_to(server)
    assert [proxy.detect(), proxy.detect()] == [dialect] * 2
    assert server.lines == ["GET /v3.0/status"]


def test_a_dialect_that_is_set_is_not_asked_for() -> None:
    server = Answering([])
    assert proxy_to(server, dialect="7").detect() == "7"
    assert server.lines == []


def test_other_replies_tell_as_much_as_they_can() -> None:
    for headers, dialect in (({}, "4.2 or later"), (OLD, "3.3")):
        proxy = proxy_to(Answering([answer([], headers=headers)]))
        proxy.read("conscience.list", None, {"type": "rawx"})
        assert proxy.dialect == dialect


# --- routes that not all of them have -------------------------------------------------------------


def checkpoint(proxy: Client) -> Any:
    return proxy.change("container.checkpoint", PLACE, **CHECKPOINT)


@pytest.mark.parametrize(
    ("dialect", "name", "hint"),
    [
        ("4.2", "container.checkpoint", "Available in oio-proxy 2025.28 and later."),
        ("7", "container.sharding.show", "Available in oio-proxy 2025.28 and later."),
        ("4.2", "admin.vacuum", "Available in oio-proxy 4.3 and later."),
        ("2025", "service.kill", "Removed in oio-proxy 2025.28."),
        ("2025", "conscience.score", "Available only in oio-proxy 7.0 until 2025.28."),
        ("4.2", "content.copy", "Removed in oio-proxy 4.0."),
        ("reference", "content.delete_many", None),
    ],
)
def test_what_a_dialect_lacks_is_not_sent(dialect: str, name: str, hint: str | None) -> None:
    server = Answering([])
    proxy = proxy_to(server, dialect=dialect)
    arguments = {"destroys": "it", "names": ["a"], "target": PLACE, **CHECKPOINT}
    reads = name in ("conscience.score", "container.sharding.show")
    error = missing(
        lambda: proxy.read(name, PLACE) if reads else proxy.change(name, PLACE, **arguments)
    )
    assert error.message.startswith(f"this oio-proxy ({dialect}) does not support ")
    assert (error.hint, server.lines) == (hint, [])


def test_what_an_unknown_proxy_lacks_is_sent_once() -> None:
    server = Answering([no_handler()])
    error = missing(lambda: checkpoint(proxy_to(server)))
    assert "(4.2 or later) does not support container/checkpoint" in error.message
    assert error.hint == "Available in oio-proxy 2025.28 and later."
    assert server.lines == [f"POST {NS}/container/checkpoint?acct=acct&ref=c1"]


# --- services -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "label", "facts"),
    [
        (SEVEN, "services", ("up", None, "no")),
        (SEVEN, "services, one locked", ("locked", None, "both")),
        (LAST, "services, one locked for put", ("locked", 71, "put")),
        (LAST, "services, one locked for both", ("locked", 0, "both")),
        (LAST, "services, one unlocked for get", ("locked", 5, "put")),
    ],
)
def test_a_lock_is_told_from_a_service_that_is_down(
    server: str, label: str, facts: tuple[str, int | None, str]
) -> None:
    port = "7714" if server == LAST else "7620"
    services = proxy_to(Answering([recorded(server, label)])).read("conscience.list")
    (found,) = [one for one in services if one.address == f"127.0.0.1:{port}"]
    assert (found.state, found.get_score, found.locked) == facts
    others = {one.state for one in services if one is not found}
    assert others == {"up"}


@pytest.mark.parametrize(
    ("score", "tags", "state", "locked"),
    [
        (0, {}, "down-or-locked", None),
        (0, {"tag.lock": False}, "down", "no"),
        (0, {"tag.lock": True}, "locked", "both"),
        (50, {"tag.lock": True}, "up", "both"),
        (0, {"tag.lock": False, "tag.putlock": False, "tag.getlock": True}, "down", "get"),
        (-1, {"tag.lock": True}, "unscored", "both"),
        (0, {"tag.lock": "perhaps"}, "down-or-locked", None),
    ],
)
def test_the_state_of_a_service(
    score: int, tags: dict[str, Any], state: str, locked: str | None
) -> None:
    listed = answer([{"addr": "1.2.3.4:6010", "score": score, "tags": tags}])
    (service,) = proxy_to(Answering([listed])).read("conscience.list")
    assert (service.state, service.locked) == (state, locked)


# --- objects --------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [SEVEN, LAST])
@pytest.mark.parametrize("route", ["prepare", "prepare2"])
def test_both_routes_prepare_the_same(server: str, route: str) -> None:
    proxy = proxy_to(Answering([recorded(server, route)]), dialect="7")
    facts: dict[str, Any] = {"what": "prepare", "shows": "rdctl", "size": 1500000}
    content = proxy.change(f"content.{route}", PLACE, **facts)
    assert (content.size, content.policy, len(content.chunks)) == (1500000, "THREECOPIES", 6)
    assert content.chunk_method == "plain/nb_copy=3"
    assert all(chunk["real_url"].startswith("http://127.0.0.1:") for chunk in content.chunks)


@pytest.mark.parametrize(
    ("size", "status", "route", "asked"),
    [
        (MANY_CHUNKS - 1, recorded(SEVEN, "status"), "content.prepare", False),
        (MANY_CHUNKS, recorded(SEVEN, "status"), "content.prepare2", True),
        (MANY_CHUNKS, recorded(LAST, "status"), "content.prepare2", True),
        (MANY_CHUNKS, counting("content_prepare_POST"), "content.prepare", True),
    ],
)
def test_only_large_objects_ask_which_route_prepares_them(
    size: int, status: Answer, route: str, asked: bool
) -> None:
    server = Answering([status])
    assert proxy_to(server).prepares(size) == route
    assert server.lines == (["GET /v3.0/status"] if asked else [])


def test_spare_chunks_are_reached_by_the_addresses_of_their_services() -> None:
    """content/spare has no `real_url`; each service is resolved once."""

    def serve(sent: Sent) -> Answer:
        if "conscience/resolve" in sent.target:
            return recorded(LAST, "resolve")
        return recorded(LAST, "spare")

    server = Answering(serve)
    proxy = proxy_to(server)
    facts: dict[str, Any] = {"what": "get spare chunks", "shows": "rdctl", "body": {}}
    urls = proxy.change("content.spare", PLACE, {"stgpol": "THREECOPIES"}, **facts)
    addresses = Addresses(proxy)
    copies = [addresses.copy_at(url) for url in [*urls, *urls]]
    assert {copy.address for copy in copies} == {"127.0.0.1:7709"}
    assert [copy.url for copy in copies] == [*urls, *urls]
    assert copies[0].urls == {
        "url": urls[0],
        "real_url": f"http://127.0.0.1:7709/{copies[0].id}",
    }
    services = {url.split("/")[2] for url in urls}
    assert len(services) == 3
    assert len(server.lines) == 1 + len(services)


def test_an_address_in_a_url_is_not_resolved() -> None:
    server = Answering([])
    copy = Addresses(proxy_to(server)).copy_at("http://1.2.3.4:6010/AB")
    assert (copy.address, copy.urls) == ("1.2.3.4:6010", {"url": "http://1.2.3.4:6010/AB"})


def test_a_service_that_is_not_known_has_no_address() -> None:
    addresses = Addresses(proxy_to(Answering([recorded(LAST, "resolve an unknown one")])))
    with pytest.raises(RdctlError) as caught:
        addresses.copy_at("http://nope/AB")
    assert caught.value.code is Code.UNAVAILABLE


# --- listings -------------------------------------------------------------------------------------


def test_no_version_is_skipped_where_a_page_ends_between_two() -> None:
    """Without the second marker, 2026 goes on after the name."""

    def serve(sent: Sent) -> Answer:
        after = "after the version" if "version_marker" in sent.target else "after the name"
        return recorded(
            LAST, f"list all versions, {after if 'marker=' in sent.target else 'a page'}"
        )

    server = Answering(serve)
    pages = list(proxy_to(server).pages(PLACE, {"all": True, "max": 2}))
    assert [entry.version for page in pages for entry in page.entries] == [
        1796000000000002,
        1796000000000001,
        1796000000000000,
    ]
    assert server.lines[1].endswith("&marker=v&version_marker=1796000000000001")
    lost = json.loads(recorded(LAST, "list all versions, after the name").body)["objects"]
    assert lost == []


def test_a_marker_that_does_not_advance_ends_the_listing() -> None:
    server = Answering(lambda sent: recorded(LAST, "list all versions, a page"))
    with pytest.raises(RdctlError, match="does not advance"):
        list(proxy_to(server).pages(PLACE, {"all": True, "max": 2}))
    assert len(server.lines) == 2


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "http", "code", "says"),
    [
        (308, 500, Code.CONFLICT, 'container "c1" is sharded'),
        (405, 405, Code.UNSUPPORTED, "Method not allowed"),
        (440, 403, Code.IN_USE, 'container "c1" is being drained'),
        (441, 403, Code.IN_USE, 'container "c1" is being emptied'),
        (473, 500, Code.CONFLICT, "is master"),
        (9, 500, Code.UNAVAILABLE, "redirect"),
        (10, 503, Code.UNAVAILABLE, "network"),
        (480, 400, Code.USAGE, "Invalid policy"),
    ],
)
def test_numbers_of_later_proxies(status: int, http: int, code: Code, says: str) -> None:
    messages = {
        405: "Method not allowed",
        473: "is master",
        9: "failed redirect",
        10: "network error",
        480: "Invalid policy: NOPE",
    }
    server = Answering([refusal(status, messages.get(status, "null"), http)])
    with pytest.raises(RdctlError) as caught:
        proxy_to(server).read("container.show", PLACE)
    assert (caught.value.code, says in caught.value.message) == (code, True)


def test_a_sharded_container_has_a_way_out() -> None:
    error = proxy_to(Answering([])).error(308, "null", Asked("admin.info", PLACE))
    assert error.hint is not None
    assert error.hint.endswith("rdctl oio container sharding show c1")
