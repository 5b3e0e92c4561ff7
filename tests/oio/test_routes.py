"""Each row of the table sends what docs/wire/oio-proxy.md demands, and nothing without consent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import click
import pytest

from rdctl.cli.tree import root
from rdctl.core.errors import Code, RdctlError
from rdctl.oio.client import Client
from rdctl.oio.model import Place
from rdctl.oio.routes import ROUTES, Route
from tests.conftest import Program
from tests.fakes.faults import FaultServer, reply
from tests.oio.wire import (
    NS,
    OLD,
    REQUEST_ID,
    Answer,
    Answering,
    Sent,
    answer,
    no_handler,
    proxy_to,
    refusal,
)

LAST = "2025"
LATER = f"5 7 {LAST}"
NEW = f"4.2 {LATER}"
THREE, WRITTEN = "3.3", "reference"
BOTH, OLDER, ALL = f"3.3 {NEW}", f"3.3 {WRITTEN}", f"3.3 {NEW} {WRITTEN}"

CONTAINER = Place("my acct", "a/b?c")
C = "acct=my%20acct&ref=a%2Fb%3Fc"
CONTENT = Place("my acct", "a/b?c", path="p+q%&\n")
P = f"{C}&path=p%2Bq%25%26%0A"
BASE = {"type": "meta2", "seq": 1}
B = f"{C}&type=meta2&seq=1"
ID = "127.0.0.1%3A6010"
COLORS = {"properties": {"color": "blü"}, "system": {"sys.m2.quota": "1048576"}}
CHUNK = {"url": "http://127.0.0.1:6013/AA", "pos": "0", "size": 1, "hash": "00"}
AUTO = {"x-oio-action-mode": "autocreate"}
SERVICE = {"namespace": "OPENIO", "type": "rawx", "address": "127.0.0.1:6010"}
SERVICE_SENT = {"ns": "OPENIO", "type": "rawx", "addr": "127.0.0.1:6010"}

Demand = tuple[str, str, Any, Mapping[str, str]]


class Case(NamedTuple):
    """One call, and for each dialect what must be sent: method, target (below the namespace, or
    whole), the body's JSON value, headers beside the usual ones."""

    sent: Mapping[str, Demand]
    place: Place | None = None
    query: Mapping[str, Any] = {}
    arguments: Mapping[str, Any] = {}


def get(target: str, dialects: str = ALL, **case: Any) -> Case:
    return Case({dialects: ("GET", target, None, {})}, **case)


def post(target: str, body: Any = None, dialects: str = ALL, **case: Any) -> Case:
    return Case({dialects: ("POST", target, body, {})}, **case)


at = partial(post, place=CONTAINER)
of = partial(post, place=CONTENT)
base = partial(post, place=CONTAINER, query=BASE)


def service(action: str, dialects: str = ALL) -> Case:
    return post(f"/v3.0/forward/{action}?id={ID}", None, dialects, query={"id": "127.0.0.1:6010"})


def set_properties(target: str, **case: Any) -> Case:
    """Nested for real servers; the reference prefixes a container's names with `user.`
    (docs/wire/oio-proxy.md#5-container)."""
    flat = {"user.color": "blü", "sys.m2.quota": "1048576"}
    ways: dict[str, Demand] = {
        BOTH: ("POST", target, COLORS, {}),
        WRITTEN: ("POST", target, flat, {}),
    }
    return Case(ways, arguments=COLORS, **case)


DESCRIBED = {
    "length": 1,
    "hash": "AB",
    "mime_type": "image/png",
    "content_id": "0A",
    "version": 7,
    "policy": "SINGLE",
    "chunk_method": "plain/nb_copy=1",
    "chunks": [CHUNK],
}
META = {
    "x-oio-content-meta-length": "1",
    "x-oio-content-meta-hash": "AB",
    "x-oio-content-meta-id": "0A",
    "x-oio-content-meta-version": "7",
    "x-oio-content-meta-policy": "SINGLE",
    "x-oio-content-meta-chunk-method": "plain/nb_copy=1",
}
MIME = {"x-oio-content-meta-mime-type": "image/png"}
FILTERS = {
    "prefix": "é/",
    "delimiter": "/",
    "marker": "b+ c",
    "end_marker": "z",
    "max": 1000,
    "deleted": True,
    "all": True,
    "properties": True,
}
FILTERED = "prefix=%C3%A9%2F&delimiter=%2F&marker=b%2B%20c&end_marker=z&max=1000&deleted=1&all=1"

# All hosts of a sequence number are one; what is kept would be lost.
RELINK = {"seq": 1, "type": "rdir", "args": "", "addresses": ["1:1", "2:2"]}
RELINKED = {
    "kept": None,
    "replaced": {"seq": 1, "type": "rdir", "args": "", "host": "1:1,2:2"},
}

CASES: dict[str, Case] = {
    "status": get("/v3.0/status"),
    "config.get": get("/v3.0/config", NEW),
    "config.set": post("/v3.0/config", {"k": "v"}, NEW, arguments={"body": {"k": "v"}}),
    "cache.show": get("/v3.0/cache/show", NEW),
    "cache.status": get("/v3.0/cache/status"),
    "cache.flush-local": post("/v3.0/cache/flush/local"),
    "cache.flush-high": post("/v3.0/cache/flush/high"),
    "cache.flush-low": post("/v3.0/cache/flush/low"),
    "conscience.info": get("conscience/info"),
    "conscience.types": get("conscience/info?what=types", query={"what": "types"}),
    "conscience.list": get(
        "conscience/list?type=rawx&full=1", query={"type": "rawx", "full": True}
    ),
    "conscience.resolve": get(
        "conscience/resolve?type=rawx&service_id=a%20b",
        NEW,
        query={"type": "rawx", "service_id": "a b"},
    ),
    "conscience.register": post(
        "conscience/register?type=rawx",
        {**SERVICE_SENT, "tags": {"tag.vol": "/mnt"}},
        query={"type": "rawx"},
        arguments={**SERVICE, "tags": {"tag.vol": "/mnt"}},
    ),
    "conscience.lock": post(
        "conscience/lock?type=rawx",
        {**SERVICE_SENT, "score": 0},
        query={"type": "rawx"},
        arguments={**SERVICE, "score": 0},
    ),
    "conscience.unlock": post(
        "conscience/unlock?type=rawx", SERVICE_SENT, query={"type": "rawx"}, arguments=SERVICE
    ),
    # With a body it would not be implemented: 501.
    "conscience.deregister": post(
        "conscience/deregister?type=rawx", SERVICE_SENT, query={"type": "rawx"}, arguments=SERVICE
    ),
    "conscience.score": get(
        f"conscience/score?type=rawx&service_id={ID}",
        "7",
        query={"type": "rawx", "service_id": "127.0.0.1:6010"},
    ),
    "conscience.flush": post("conscience/flush?type=echo", query={"type": "echo"}),
    "local.list": get("local/list?type=rawx", query={"type": "rawx"}),
    "lb.choose": get(
        "lb/choose?type=rawx&size=3&slot=odd", query={"type": "rawx", "size": 3, "slot": "odd"}
    ),
    "lb.poll": post(
        "lb/poll?policy=SINGLE&pool=p",
        {"avoid": [], "known": []},
        query={"policy": "SINGLE", "pool": "p"},
        arguments={"body": {"avoid": [], "known": []}},
    ),
    "lb.reload": post("lb/reload"),
    "lb.create-pool": post(
        "lb/create_pool?name=p1", {"x": "y"}, NEW, query={"name": "p1"},
        arguments={"body": {"x": "y"}},
    ),
    "reference.create": at(
        f"reference/create?{C}",
        {"properties": {"k": "v"}},
        arguments={"properties": {"k": "v"}},
    ),
    "reference.show": get(
        f"reference/show?{C}&type=meta2", place=CONTAINER, query={"type": "meta2"}
    ),
    "reference.destroy": at(f"reference/destroy?{C}&force=1", query={"force": True}),
    "reference.get_properties": at(
        f"reference/get_properties?{C}", ["k"], arguments={"keys": ["k"]}
    ),
    "reference.set_properties": at(
        f"reference/set_properties?{C}&flush=1",
        {"properties": {"k": "v"}},
        query={"flush": True},
        arguments={"properties": {"k": "v"}},
    ),
    "reference.del_properties": at(
        f"reference/del_properties?{C}", ["k"], arguments={"keys": ["k"]}
    ),
    "reference.link": at(
        f"reference/link?{C}&type=rdir&autocreate=1", query={"type": "rdir", "autocreate": True}
    ),
    "reference.unlink": at(f"reference/unlink?{C}&type=rdir", query={"type": "rdir"}),
    "reference.renew": at(f"reference/renew?{C}&type=rdir", query={"type": "rdir"}),
    # seq is an integer, and all four keys are needed.
    "reference.force": at(
        f"reference/force?{C}&type=rdir&replace=1",
        {"host": "127.0.0.1:6010", "type": "rdir", "seq": 1, "args": ""},
        query={"type": "rdir", "replace": True},
        arguments={"address": "127.0.0.1:6010", "type": "rdir", "seq": 1, "args": ""},
    ),
    "reference.relink": at(
        f"reference/relink?{C}&type=rdir", RELINKED, NEW, query={"type": "rdir"}, arguments=RELINK
    ),
    "reference.rehearse-relink": at(
        f"reference/relink?{C}&type=rdir&dryrun=1",
        RELINKED,
        NEW,
        query={"type": "rdir", "dryrun": True},
        arguments=RELINK,
    ),
    # The reference asks for the account to be created along with it.
    "container.create": Case(
        {
            BOTH: ("POST", f"container/create?{C}", COLORS, {}),
            WRITTEN: ("POST", f"container/create?{C}", COLORS, AUTO),
        },
        CONTAINER,
        {},
        COLORS,
    ),
    "container.create_many": Case(
        {
            dialects: (
                "POST",
                "container/create_many?acct=my%20acct",
                {"containers": [{"name": "a", **COLORS}, {"name": "é\n", **COLORS}]},
                headers,
            )
            for dialects, headers in ((BOTH, {}), (WRITTEN, AUTO))
        },
        None,
        {"acct": "my acct"},
        {"names": ["a", "é\n"], **COLORS},
    ),
    "container.show": get(f"container/show?{C}", place=CONTAINER),
    "container.list": get(
        f"container/list?{C}&{FILTERED}&properties=1", place=CONTAINER, query=FILTERS
    ),
    "container.compare": get(
        f"container/list?{C}&{FILTERED}&properties=1", place=CONTAINER, query=FILTERS
    ),
    "container.destroy": at(
        f"container/destroy?{C}&force=1&flush=1", query={"force": True, "flush": True}
    ),
    "container.flush": at(f"container/flush?{C}"),
    # Real servers ignore a filter (docs/wire/oio-proxy.md#5-container).
    "container.get_properties": at(
        f"container/get_properties?{C}", None, arguments={"keys": ["k"]}
    ),
    "container.set_properties": set_properties(
        f"container/set_properties?{C}&flush=1", place=CONTAINER, query={"flush": True}
    ),
    "container.del_properties": at(
        f"container/del_properties?{C}", ["k", "l"], arguments={"keys": ["k", "l"]}
    ),
    "container.touch": at(f"container/touch?{C}"),
    "container.dedup": at(f"container/dedup?{C}"),
    "container.purge": at(f"container/purge?{C}&maxvers=2", query={"maxvers": 2}),
    "container.snapshot": at(
        f"container/snapshot?{C}",
        {"account": "a", "container": "c"},
        NEW,
        arguments={"body": {"account": "a", "container": "c"}},
    ),
    "container.raw_insert": at(
        f"container/raw_insert?{C}&force=1",
        [{"type": "alias"}],
        query={"force": True},
        arguments={"body": [{"type": "alias"}]},
    ),
    "container.raw_update": at(
        f"container/raw_update?{C}&frozen=1",
        {"old": [], "new": []},
        query={"frozen": True},
        arguments={"body": {"old": [], "new": []}},
    ),
    "container.raw_delete": at(
        f"container/raw_delete?{C}",
        [{"type": "alias"}],
        arguments={"body": [{"type": "alias"}]},
    ),
    "container.checkpoint": at(
        f"container/checkpoint?{C}", {"suffix": "s1"}, LAST, arguments={"suffix": "s1"}
    ),
    "container.drain": at(f"container/drain?{C}&limit=5", None, LAST, query={"limit": 5}),
    "container.sharding.show": get(f"container/sharding/show?{C}", LAST, place=CONTAINER),
    "content.prepare": Case(
        {
            BOTH: ("POST", f"content/prepare?{P}", {"size": 12, "policy": "SINGLE"}, AUTO),
            WRITTEN: ("POST", f"content/prepare?{P}", {"size": "12", "policy": "SINGLE"}, AUTO),
        },
        CONTENT,
        {},
        {"size": 12, "policy": "SINGLE", "autocreate": True},
    ),
    "content.create": Case(
        {
            BOTH: ("POST", f"content/create?{P}&append=1&force=1", [CHUNK], META | MIME),
            WRITTEN: (
                "POST",
                f"content/create?{P}&append=1&force=1",
                [CHUNK],
                META | {"x-oio-content-type": "image/png"},
            ),
        },
        CONTENT,
        {"append": True, "force": True},
        DESCRIBED,
    ),
    "content.show": get(
        f"content/show?{P}&version=3&properties=0",
        place=CONTENT._replace(version="3"),
        query={"properties": "0"},
    ),
    "content.locate": get(
        f"content/locate?{P}&version=3&properties=0",
        place=CONTENT._replace(version="3"),
        query={"properties": "0"},
    ),
    "content.delete": of(f"content/delete?{P}&version=3", place=CONTENT._replace(version="3")),
    "content.delete_many": at(
        f"content/delete_many?{C}",
        {"contents": [{"name": "a"}, {"name": "b/\t"}]},
        BOTH,
        arguments={"names": ["a", "b/\t"]},
    ),
    "content.get_properties": of(
        f"content/get_properties?{P}&version=3", place=CONTENT._replace(version="3")
    ),
    "content.set_properties": Case(
        {
            BOTH: ("POST", f"content/set_properties?{P}&version=3&flush=1",
                   {"properties": {"k": "v"}}, {}),
            WRITTEN: ("POST", f"content/set_properties?{P}&version=3&flush=1", {"k": "v"}, {}),
        },
        CONTENT._replace(version="3"),
        {"flush": True},
        {"properties": {"k": "v"}},
    ),
    "content.del_properties": of(
        f"content/del_properties?{P}&version=3",
        ["k"],
        place=CONTENT._replace(version="3"),
        arguments={"keys": ["k"]},
    ),
    "content.prepare2": of(
        f"content/prepare2?{P}", {"size": 12}, LATER, arguments={"size": 12}
    ),
    "content.transition": of(
        f"content/transition?{P}", {"policy": "EC42"}, LAST, arguments={"policy": "EC42"}
    ),
    "content.touch": of(f"content/touch?{P}"),
    "content.spare": of(
        f"content/spare?{P}&stgpol=SINGLE",
        {"notin": [], "broken": [CHUNK]},
        query={"stgpol": "SINGLE"},
        arguments={"body": {"notin": [], "broken": [CHUNK]}},
    ),
    "content.copy": Case(
        {
            OLDER: ("POST", f"content/copy?{P}", None,
                    {"Destination": "OPENIO/my%20acct/a%2Fb%3Fc//t%2Fu"}),
        },
        CONTENT,
        {},
        {"namespace": "OPENIO", "target": CONTENT._replace(path="t/u")},
    ),
    "content.link": of(f"content/link?{P}", {"id": "0A"}, THREE, arguments={"body": {"id": "0A"}}),
    "content.truncate": of(f"content/truncate?{P}&size=0", query={"size": 0}),
    "content.update": Case(
        {ALL: ("POST", f"content/update?{P}", [CHUNK], META | MIME)}, CONTENT, {}, DESCRIBED
    ),
    "content.drain": of(f"content/drain?{P}"),
    "content.purge": of(f"content/purge?{P}&maxvers=1", None, NEW, query={"maxvers": 1}),
    "service.stats": service("stats"),
    "service.ping": Case(
        {
            NEW: ("GET", f"/v3.0/forward/ping?id={ID}", None, {}),
            OLDER: ("POST", f"/v3.0/forward/ping?id={ID}", None, {}),
        },
        None,
        {"id": "127.0.0.1:6010"},
    ),
    "service.version": Case(
        {
            NEW: ("GET", f"/v3.0/forward/version?id={ID}", None, {}),
            OLDER: ("POST", f"/v3.0/forward/version?id={ID}", None, {}),
        },
        None,
        {"id": "127.0.0.1:6010"},
    ),
    "service.handlers": service("handlers", OLDER),
    "service.info": get(f"/v3.0/forward/info?id={ID}", NEW, query={"id": "127.0.0.1:6010"}),
    "service.get-config": get(
        f"/v3.0/forward/config?id={ID}", NEW, query={"id": "127.0.0.1:6010"}
    ),
    "service.set-config": post(
        f"/v3.0/forward/config?id={ID}",
        {"k": "v"},
        NEW,
        query={"id": "127.0.0.1:6010"},
        arguments={"body": {"k": "v"}},
    ),
    "service.lean-glib": service("lean-glib"),
    "service.lean-sqlx": service("lean-sqlx"),
    "service.flush": service("flush"),
    # The reference's own address for it is that of flush, by mistake.
    "service.reload": service("reload"),
    "service.kill": service("kill", "3.3 4.2 5 7 reference"),
    "service.balance-masters": service("balance-masters", LATER),
    **{
        f"admin.{action}": base(f"admin/{action}?{B}")
        for action in ("ping", "info", "status", "drop_cache", "sync", "debug")
    },
    "admin.warmup": base(f"admin/status?{B}"),
    "admin.has": base(f"admin/has?{B}", None, NEW),
    "admin.vacuum": base(f"admin/vacuum?{B}", None, LATER),
    "admin.leave": base(
        f"admin/leave?{B}&service_id={ID}", query={**BASE, "service_id": "127.0.0.1:6010"}
    ),
    "admin.remove": base(
        f"admin/remove?{B}&service_id={ID}",
        None,
        NEW,
        query={**BASE, "service_id": "127.0.0.1:6010"},
    ),
    "admin.copy": Case(
        {
            NEW: ("POST", f"admin/copy?{B}", {"to": "127.0.0.1:6010"}, {}),
            OLDER: ("POST", f"admin/copy?{B}", "127.0.0.1:6010", {}),
        },
        CONTAINER,
        BASE,
        {"to": "127.0.0.1:6010"},
    ),
    "admin.get_properties": base(f"admin/get_properties?{B}"),
    "admin.set_properties": set_properties(
        f"admin/set_properties?{B}&flush=1", place=CONTAINER, query={**BASE, "flush": True}
    ),
    "admin.del_properties": base(f"admin/del_properties?{B}", ["k"], arguments={"keys": ["k"]}),
    **{
        f"admin.{action}": base(f"admin/{action}?{B}") for action in ("freeze", "enable", "disable")
    },
    "meta0.list": get("admin/meta0_list"),
    "meta0.force": post(
        "admin/meta0_force", {"0000": ["1:1"]}, arguments={"body": {"0000": ["1:1"]}}
    ),
}  # fmt: skip


def call(proxy: Client, name: str, case: Case, *, destroys: str | None = "data") -> Any:
    route = ROUTES[name]
    if route.effect == "read":
        return proxy.read(name, case.place, case.query, **case.arguments)
    return proxy.change(
        name,
        case.place,
        case.query,
        what="act",
        shows="rdctl",
        destroys=destroys,
        **case.arguments,
    )


def tried(act: Callable[[], Any]) -> Code | None:
    """The code of the error that it ends with."""
    try:
        act()
    except RdctlError as error:
        return error.code
    return None


def body_of(sent: Sent) -> Any:
    return None if sent.body is None else json.loads(sent.body)


def own_headers(sent: Sent) -> dict[str, str]:
    """Headers beside those that every request has, which are as they must be."""
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert headers.pop("x-oio-req-id") == REQUEST_ID
    assert headers.pop("connection") == "close"
    assert headers.pop("accept-encoding") == "identity"
    assert headers.pop("user-agent").startswith("rdctl/")
    del headers["accept"]
    length = headers.pop("content-length", None)
    assert length == (str(len(sent.body or b"")) if sent.method == "POST" else None)
    return headers


def test_every_row_has_a_case() -> None:
    assert set(CASES) == set(ROUTES)


@pytest.mark.parametrize("name", CASES)
def test_what_is_sent(name: str) -> None:
    case, left = CASES[name], set(ALL.split())
    for dialects, (method, target, body, headers) in case.sent.items():
        for dialect in dialects.split():
            left.remove(dialect)
            server = Answering([refusal(406, "no such user")])
            assert tried(lambda: call(proxy_to(server, dialect=dialect), name, case)) is (  # noqa: B023
                Code.NOT_FOUND
            )
            (sent,) = server.sent
            whole = target if target.startswith("/") else f"{NS}/{target}"
            assert (sent.method, sent.target) == (method, whole), dialect
            assert body_of(sent) == body, dialect
            assert own_headers(sent) == {key.lower(): text for key, text in headers.items()}
    for dialect in left:
        server = Answering([])
        code = tried(lambda: call(proxy_to(server, dialect=dialect), name, case))  # noqa: B023
        assert (code, server.sent) == (Code.UNSUPPORTED, [])


def test_ids_stand_in_place_of_names() -> None:
    server = Answering(lambda sent: refusal(420, "Alias not found", 404))
    place = Place("acct", None, "AB12", None, "CD34", "5")
    assert tried(lambda: proxy_to(server).read("content.show", place)) is Code.NOT_FOUND
    assert server.lines == [f"GET {NS}/content/show?cid=AB12&content=CD34&version=5"]


def test_namespace_is_escaped() -> None:
    server = Answering([refusal(406, "no such user")])
    proxy = proxy_to(server)
    proxy.namespace = "a/b ?"
    tried(lambda: proxy.read("container.show", CONTAINER))
    assert server.lines == [f"GET /v3.0/a%2Fb%20%3F/container/show?{C}"]


# --- the dialect ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("headers", "method"), [({}, "GET"), (OLD, "POST")])
@pytest.mark.parametrize("name", ["service.ping", "service.version"])
def test_methods_are_tried_in_order(name: str, method: str, headers: dict[str, str]) -> None:
    """3.3 has no GET forward/ping; its refusal tells who it is, and nothing was done
    (docs/wire/oio-proxy.md#7-service-and-database-administration)."""

    def serve(sent: Sent) -> Answer:
        return Answer(200, b"OK\n", headers) if sent.method == method else no_handler(headers)

    server = Answering(serve)
    proxy = proxy_to(server)
    for _ in range(2):
        proxy.read(name, None, {"id": "1:1"})
    tried_first = [] if method == "GET" else ["GET"]
    assert [sent.method for sent in server.sent] == [*tried_first, method, method]


@pytest.mark.parametrize(
    "refused",
    [refusal(404, "no such thing", 404), refusal(406, "no such user"), refusal(503, "No one", 503)],
)
def test_no_other_way_after_another_refusal(refused: Answer) -> None:
    server = Answering(lambda sent: refused)
    assert tried(lambda: proxy_to(server).read("service.ping", None, {"id": "1:1"}))
    assert len(server.sent) == 1


@pytest.mark.parametrize("name", CASES)
def test_unknown_routes_are_asked_once_with_each_method(name: str) -> None:
    """404 `No handler found` of everything but the status: unsupported, with no request twice
    (docs/wire/oio-proxy.md#1-http-level)."""

    def serve(sent: Sent) -> Answer:
        return Answer(200, b"x = 1\n") if sent.target == "/v3.0/status" else no_handler()

    server = Answering(serve)
    code = tried(lambda: call(proxy_to(server), name, CASES[name]))
    assert (code is None) if name == "status" else (code is Code.UNSUPPORTED)
    assert len(server.lines) == len(set(server.lines))


def test_status_is_asked_first_only_where_bodies_differ() -> None:
    """Between 4.2 and 3.3, one of which it must be: only admin/copy
    (docs/wire/oio-proxy.md#7-service-and-database-administration)."""
    asked = []
    for name, case in CASES.items():
        server = Answering(lambda sent: refusal(406, "no such user"))
        tried(lambda: call(proxy_to(server), name, case))  # noqa: B023
        asked += [name] if server.sent[0].target == "/v3.0/status" else []
    assert asked == ["status", "admin.copy"]


@pytest.mark.parametrize(("headers", "body"), [({}, {"to": "1:1"}), (OLD, "1:1")])
def test_status_tells_the_dialect(headers: dict[str, str], body: Any) -> None:
    status = Answer(200, b"counter req.hits = 1\n", headers)
    server = Answering([status, answer({}, 200, headers), answer({}, 200, headers)])
    proxy = proxy_to(server)
    for _ in range(2):
        call(proxy, "admin.copy", Case({}, CONTAINER, BASE, {"to": "1:1"}))
    assert [sent.target.partition("?")[0] for sent in server.sent] == [
        "/v3.0/status",
        f"{NS}/admin/copy",
        f"{NS}/admin/copy",
    ]
    assert [body_of(sent) for sent in server.sent[1:]] == [body, body]


@pytest.mark.parametrize(
    "told",
    [
        "oio-proxy/3.3.1/3.0",
        "oio-proxy/3.0",
        "oio-proxy/master-1.0",
        "oio-proxy/master/1.0",
        "metacd_http/master/1.0",
        None,
    ],
)
def test_dialect_is_learnt_from_any_reply(told: str | None) -> None:
    """Also from an error; then admin/copy asks nothing more."""
    headers = {"Server": told} if told else {}
    error = Answer(404, b'{"status": 406, "message": "no such user"}', headers)
    server = Answering([error, answer({}, 200, headers)])
    proxy = proxy_to(server)
    assert tried(lambda: proxy.read("container.show", CONTAINER)) is Code.NOT_FOUND
    call(proxy, "admin.copy", Case({}, CONTAINER, BASE, {"to": "1:1"}))
    assert body_of(server.sent[1]) == ("1:1" if told else {"to": "1:1"})


@pytest.mark.parametrize(
    ("status", "headers", "new"),
    [(201, {}, True), (204, {}, False), (204, OLD, True), (201, OLD, False)],
)
def test_new_containers_are_told_by_the_dialect_of_the_very_reply(
    status: int, headers: dict[str, str], new: bool
) -> None:
    server = Answering([Answer(status, b"", headers)])
    assert call(proxy_to(server), "container.create", CASES["container.create"]) is new


# --- consent --------------------------------------------------------------------------------------

DESTROYING = [
    *"conscience.lock conscience.deregister conscience.flush".split(),
    *"reference.destroy reference.unlink reference.relink".split(),
    *"container.destroy container.flush container.drain container.purge".split(),
    *"container.raw_insert container.raw_update container.raw_delete".split(),
    *"content.delete content.delete_many content.truncate content.update".split(),
    *"content.drain content.purge service.kill".split(),
    *"admin.drop_cache admin.leave admin.copy admin.remove".split(),
    *"admin.freeze admin.disable meta0.force".split(),
]
# What makes a change destroy: a parameter of the query, or an argument.
RAISED: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
    ("reference.set_properties", {"flush": True}, {}),
    ("reference.del_properties", {}, {"all": True}),
    ("reference.force", {"replace": True}, {}),
    ("container.set_properties", {"flush": True}, {}),
    ("container.set_properties", {}, {"system": {"sys.m2.quota": "0"}}),
    ("container.del_properties", {}, {"all": True}),
    ("content.create", {"force": True}, {}),
    ("content.set_properties", {"flush": True}, {}),
    ("content.del_properties", {}, {"all": True}),
    ("admin.set_properties", {"flush": True}, {}),
    ("admin.set_properties", {}, {"system": {"sys.m2.quota": "0"}}),
    ("admin.del_properties", {}, {"all": True}),
]


def plain(name: str) -> Case:
    """The row's call without what raises its effect."""
    case, raised = CASES[name], ROUTES[name].raised_by
    query = {key: value for key, value in case.query.items() if key not in raised}
    arguments = {key: value for key, value in case.arguments.items() if key not in raised}
    return case._replace(query=query, arguments=arguments)


def refused(name: str, case: Case) -> None:
    """Not sent: neither without consent, nor without a word of what is lost."""
    server = Answering([])
    asking = proxy_to(server, agreed=False)
    assert tried(lambda: call(asking, name, case)) is Code.INTERNAL
    with pytest.raises(RdctlError, match="was not confirmed"):
        call(asking, name, case, destroys=None)
    with pytest.raises(RdctlError, match="is not a read"):
        asking.read(name, case.place, case.query, **case.arguments)
    assert [sent for sent in server.sent if sent.target != "/v3.0/status"] == []


def test_what_destroys_is_what_the_design_says() -> None:
    assert [name for name, route in ROUTES.items() if route.effect == "destroy"] == DESTROYING
    assert {name: set(route.raised_by) for name, route in ROUTES.items() if route.raised_by} == {
        name: {key for row, *flags in RAISED if row == name for flag in flags for key in flag}
        for name, *_ in RAISED
    }


@pytest.mark.parametrize("name", DESTROYING)
def test_destroying_rows_refuse_without_consent(name: str) -> None:
    # admin.copy alone asks for the status, which changes nothing.
    server_tells = Answering([Answer(200, b"")])
    case = CASES[name]
    if name == "admin.copy":
        asking = proxy_to(server_tells, agreed=False)
        assert tried(lambda: call(asking, name, case)) is Code.INTERNAL
        assert server_tells.lines == ["GET /v3.0/status"]
    else:
        refused(name, case)


@pytest.mark.parametrize(("name", "query", "arguments"), RAISED)
def test_flags_raise_a_change(
    name: str, query: Mapping[str, Any], arguments: Mapping[str, Any]
) -> None:
    case = plain(name)
    case = case._replace(query={**case.query, **query}, arguments={**case.arguments, **arguments})
    refused(name, case)


@pytest.mark.parametrize("name", [name for name in ROUTES if name not in DESTROYING])
def test_the_others_need_no_consent(name: str) -> None:
    server = Answering(lambda sent: refusal(406, "no such user"))
    code = tried(lambda: call(proxy_to(server, agreed=False), name, plain(name), destroys=None))
    assert code is Code.NOT_FOUND
    assert server.sent


# The same request as that of another row, which is a read.
ASKS = {"admin.warmup": "admin.status"}


def rows_by_post() -> list[tuple[str, Route]]:
    return [
        (name, route)
        for name, route in ROUTES.items()
        if route.effect != "read" and any(way.method == "POST" for way in route.ways)
        if name not in ASKS
    ]


def test_rows_of_the_same_request() -> None:
    for name, read in ASKS.items():
        assert ROUTES[name].path == ROUTES[read].path
        assert ROUTES[name].ways == ROUTES[read].ways
        assert ROUTES[read].effect == "read"


def test_api_refuses_every_changing_row_without_consent(rdctl: Program) -> None:
    """Each by its path, below the namespace and whole; none is sent."""
    with FaultServer([reply(204)]) as server:
        for name, route in rows_by_post():
            below = route.path.startswith("/")
            whole = f"/v3.0{route.path}" if below else f"{NS}/{route.path}"
            for path in [whole] if below else [whole, route.path]:
                ran = rdctl(
                    "--oio-url", server.url, "--namespace", "OPENIO", "oio", "api", "POST", path
                )
                assert (ran.code, "is not a terminal" in ran.err) == (2, True), name
    assert server.requests == []
    assert len(rows_by_post()) > 50


# --- the reference's routes -----------------------------------------------------------------------

# Every route that the published reference names, and the command that calls it.
COMMANDS = {
    "conscience/info": "conscience info",
    "conscience/info?what=types": "conscience types",
    "conscience/list": "conscience list",
    "conscience/register": "conscience register",
    "conscience/deregister": "conscience deregister",
    "conscience/flush": "conscience flush",
    "conscience/lock": "conscience lock",
    "conscience/unlock": "conscience unlock",
    "reference/create": "reference create",
    "reference/show": "reference show",
    "reference/get_properties": "reference get-properties",
    "reference/set_properties": "reference set-properties",
    "reference/del_properties": "reference del-properties",
    "reference/link": "reference link",
    "reference/unlink": "reference unlink",
    "reference/force": "reference force",
    "reference/renew": "reference renew",
    "container/create": "container create",
    "container/create_many": "container create",
    "container/show": "container show",
    "container/list": "container list",
    "container/destroy": "container destroy",
    "container/get_properties": "container get-properties",
    "container/set_properties": "container set-properties",
    "container/del_properties": "container del-properties",
    "container/touch": "container touch",
    "container/dedup": "container dedup",
    "container/purge": "container purge",
    "container/raw_insert": "container raw-insert",
    "container/raw_update": "container raw-update",
    "container/raw_delete": "container raw-delete",
    "content/create": "content create",
    "content/show": "content show",
    "content/delete": "content delete",
    "content/prepare": "content prepare",
    "content/get_properties": "content get-properties",
    "content/set_properties": "content set-properties",
    "content/del_properties": "content del-properties",
    "content/touch": "content touch",
    "content/spare": "content spare",
    "content/copy": "content copy",
    "/forward/stats": "service stats",
    "/forward/ping": "service ping",
    "/forward/version": "service version",
    "/forward/handlers": "service handlers",
    "/forward/lean-glib": "service lean-glib",
    "/forward/lean-sqlx": "service lean-sqlx",
    "/forward/kill": "service kill",
    "/forward/flush": "service flush",
    "/forward/reload": "service reload",
    "admin/ping": "admin ping",
    "admin/status": "admin status",
    "admin/drop_cache": "admin drop-cache",
    "admin/sync": "admin sync",
    "admin/leave": "admin leave",
    "admin/debug": "admin debug",
    "admin/copy": "admin copy",
    "admin/get_properties": "admin get-properties",
    "admin/set_properties": "admin set-properties",
    "admin/del_properties": "admin del-properties",
    "admin/freeze": "admin freeze",
    "admin/enable": "admin enable",
    "admin/disable": "admin disable",
    "local/list": "local list",
}


@pytest.mark.parametrize(("path", "words"), COMMANDS.items())
def test_the_references_routes_have_a_row_and_a_command(path: str, words: str) -> None:
    rows = [route for route in ROUTES.values() if route.path == path.partition("?")[0]]
    assert any("reference" in way.dialects for route in rows for way in route.ways)
    command: click.Command | None = root
    for word in ("oio", *words.split()):
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    assert not isinstance(command, click.Group)
