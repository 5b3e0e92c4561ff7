"""Builders make what real servers took; readers take nothing else for what it should be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from rdctl.errors import Code, RdctlError
from rdctl.oio import bodies
from rdctl.oio.model import Place
from rdctl.oio.routes import ROUTES
from tests.fakes.faults import misshapen
from tests.oio.recordings import Exchange, exchanges
from tests.oio.test_routes import own_headers
from tests.oio.wire import Answer, Answering, Sent, answer, proxy_to, refusal

# --- bodies ---------------------------------------------------------------------------------------

META = "x-oio-content-meta-"


def chunks_of(body: Any, headers: Mapping[str, str]) -> dict[str, Any]:
    described = {
        key: headers[META + name]
        for key, name in {"length": "length", **bodies._CONTENT_HEADERS}.items()
        if META + name in headers
    }
    whole = body if isinstance(body, dict) else {"chunks": body}
    return {**described, **whole}


def names_of(body: Any, headers: Mapping[str, str]) -> dict[str, Any]:
    """Of a batch, whose items all get the same properties."""
    ((_, items),) = body.items()
    names = [item.pop("name") for item in items]
    assert all(rest == items[0] for rest in items)
    return {"names": names, **items[0]}


# The arguments of a call, read off the body that a server accepted.
ARGUMENTS: dict[Callable[..., Any], Callable[[Any, Mapping[str, str]], dict[str, Any]]] = {
    bodies.properties: lambda body, headers: {**body},
    bodies.keys: lambda body, headers: {"keys": body},
    bodies.wanted_keys: lambda body, headers: {"keys": body},
    bodies.containers: names_of,
    bodies.contents: names_of,
    bodies.service: lambda body, headers: {
        "namespace": body.get("ns"),
        "type": body["type"],
        "address": body["addr"],
        "score": body.get("score"),
        "tags": body.get("tags"),
    },
    bodies.forced_service: lambda body, headers: {**body, "address": body["host"]},
    bodies.prepare: lambda body, headers: {
        **body,
        "autocreate": headers.get("x-oio-action-mode") == "autocreate",
    },
    bodies.content: chunks_of,
    bodies.object_target: lambda body, headers: {**body},
    bodies.given: lambda body, headers: {"body": body},
}
# Accepted by servers, and sent by no command.
UNSENT = re.compile(
    r"""
      \s*(\[\]|\{\}|\{"(properties|containers)":\s*(\{\}|\[\]).*\})  # an empty one
    | .*trailing | \{' | .*\\u0000                # what only a lenient parser takes
    | \[\{"addr".* | \[\{"type":\ "echo".*        # several services at once
    | \{"size":\ "                                # the reference's way, taken by all
    | .*"container1",\ "properties"               # each with properties of its own
    | .*v{100}                                    # of which only the beginning was recorded
    """,
    re.VERBOSE | re.DOTALL,
)


def accepted() -> list[Exchange]:
    """Requests with a body that a real server took, and that a command may send."""
    found = []
    for exchange in exchanges():
        sent, body = exchange.sent, exchange.sent["request_body"]
        if sent["status"] < 300 and body and exchange.route in ROUTES:
            ways = [way for way in ROUTES[exchange.route].ways if way.method == sent["method"]]
            if ways[0].body in ARGUMENTS and not UNSENT.match(body):
                found.append(exchange)
    return found


def rebuilt(exchange: Exchange) -> Sent:
    """The call that causes a recording, with its arguments as the recorded body has them."""
    dialect = "3.3" if exchange.old else "4.2"
    (way,) = (way for way in ROUTES[exchange.route].ways if dialect in way.dialects)
    place, query = exchange.parts()
    headers = {name.lower(): text for name, text in exchange.sent["request_headers"].items()}
    arguments = ARGUMENTS[way.body](json.loads(exchange.sent["request_body"]), headers)
    server = Answering([refusal(404, "enough")])
    proxy = proxy_to(server, dialect=dialect)
    call = proxy.read
    if ROUTES[exchange.route].effect != "read":
        call = partial(proxy.change, what="", shows="", destroys="data")
    with pytest.raises(RdctlError):
        call(exchange.route, place, query, **arguments)
    return server.sent[0]


def test_builders_make_what_real_servers_took() -> None:
    for exchange in accepted():
        sent, recorded = rebuilt(exchange), json.loads(exchange.sent["request_body"])
        assert sent.body is not None
        body = json.loads(sent.body)
        if exchange.route.startswith("conscience."):
            recorded.setdefault("ns", None)
        assert body == recorded, str(exchange)
        assert described(own_headers(sent)) == described(exchange.sent["request_headers"])
    assert len(accepted()) == 191


def described(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in headers.items() if name.lower().startswith(META)}


@pytest.mark.parametrize("name", ["reference", "container", "content", "admin"])
def test_no_names_at_all_are_never_sent(name: str) -> None:
    """`[]` would delete all properties of a reference and of a content."""
    server = Answering([])
    with pytest.raises(ValueError, match="no names"):
        proxy_to(server, dialect="4.2").change(
            f"{name}.del_properties", Place("a", "r"), what="", shows="", keys=[]
        )
    assert server.sent == []


def test_the_reference_dialect_loses_nothing_in_silence() -> None:
    """It has no way to create a content with properties."""
    server = Answering([])
    with pytest.raises(RdctlError) as caught:
        proxy_to(server, dialect="reference").change(
            "content.create",
            Place("a", "r", path="p"),
            what="",
            shows="",
            length=0,
            chunks=[],
            properties={"k": "v"},
        )
    assert (caught.value.code, server.sent) == (Code.UNSUPPORTED, [])


# --- replies --------------------------------------------------------------------------------------

SHOWN = {
    "x-oio-container-meta-sys-user-name": "c",
    "x-oio-container-meta-sys-name": "AB.1",
    "x-oio-container-meta-sys-m2-usage": "5",
    "x-oio-container-meta-sys-m2-ctime": "1795293256474549",
}
CONTENT = {
    f"{META}name": "p",
    f"{META}length": "1",
    f"{META}version": "2",
    f"{META}ctime": "1795293256",
    f"{META}deleted": "False",
}
LISTED = {"x-oio-list-truncated": "true", "x-oio-list-marker": "a%2Fb"}
LINK = {"seq": 1, "type": "meta2", "host": "1:1", "args": ""}
CHUNK = {"url": "http://1:1/A", "pos": "0", "size": 1, "hash": "00", "score": 1}
ENTRY = {
    "name": "n",
    "version": 1,
    "ctime": 1,
    "mtime": 1,
    "deleted": False,
    "content": "A",
    "policy": "P",
    "hash": "H",
    "size": 1,
    "mime-type": "m",
    "properties": {"k": "v"},
}
ELECTION = {
    "local": {"state": "MASTER"},
    "master": {"url": "1:1"},
    "peers": ["2:2"],
    "log": ["1:A:B:C"],
}
FINE = {"status": 200, "message": "OK"}
REPLICA = {"1:1": {"status": FINE, "body": ""}}
SPACE = {"ns": "N", "chunksize": 1, "options": {"a": 1}, "storage_policy": {"S": "x"}}

# A good reply of each kind, its headers, and what in it may be of any type. A part marked with `?`
# may be missing or null, one marked with `-` missing.
GOOD: dict[str, tuple[Any, Mapping[str, str], str]] = {
    "conscience.info": (
        SPACE, {}, r"chunksize? options? storage_policy? options.a storage_policy.S"
    ),
    "conscience.types": (["a"], {}, ""),
    "conscience.list": (
        [{"addr": "1:1", "score": 1, "tags": {"tag.up": True}}], {}, "[0].tags? [0].tags.tag.up"
    ),
    "local.list": ([{"addr": "1:1", "score": -2, "type": "t"}], {}, "[0].type-"),
    "lb.choose": ([{"addr": "1:1"}], {}, ""),
    "reference.link": ([LINK], {}, "[0].args-"),
    "reference.show": ({"dir": [LINK], "srv": [LINK]}, {}, "dir[0].args- srv[0].args-"),
    "reference.get_properties": ({"properties": {"k": "v"}}, {}, "properties? properties.k-"),
    "container.get_properties": (
        {"properties": {"k": "v"}, "system": {"s": "v"}}, {},
        "properties? properties.k- system? system.s-",
    ),
    "container.show": ({"properties": {"k": "v"}}, SHOWN, "properties? properties.k-"),
    "container.list": (
        {"prefixes": ["p"], "objects": [ENTRY]}, LISTED,
        " ".join(f"objects[0].{key}?" for key in ENTRY if key != "name")
        + " objects[0].properties.k-",
    ),
    "container.create_many": (
        {"containers": [{"name": "n", **FINE}]}, {}, "containers[0].message-"
    ),
    "content.delete_many": ({"contents": [{"name": "n", **FINE}]}, {}, "contents[0].message-"),
    "content.show": ([CHUNK], CONTENT, "[0].score"),
    "content.prepare": ([CHUNK], CONTENT, "[0].score"),
    "content.spare": ({"chunks": [{"id": "u"}]}, {}, ""),
    "admin.status": (REPLICA, {}, "1:1- 1:1.status.message- 1:1.body"),
    "admin.copy": (REPLICA, {}, "1:1- 1:1.status.message- 1:1.body"),
    "admin.debug": (
        {"1:1": {"status": FINE, "body": ELECTION}}, {},
        "1:1- 1:1.status.message- 1:1.body? 1:1.body.local? 1:1.body.local.state? 1:1.body.master?"
        " 1:1.body.master.url? 1:1.body.peers- 1:1.body.log-",
    ),
    "account.list": (["a"], {}, ""),
    "account.show": (
        {"ctime": "1.5", "bytes": 1, "objects": 1, "id": "a", "containers": 1,
         "metadata": {"k": "v"}}, {},
        "ctime? metadata? metadata.k-",
    ),
    "account.containers": ({"listing": [["c", 1, 2, 0, 1.5]]}, {}, "listing[0][4]?"),
}  # fmt: skip
# Other shapes that are good as well: a text in place of a whole answer (the reference), a time
# with a fraction.
ALSO = re.compile(
    r"""\$\.1:1\ =\ "text" | \$\.1:1\.body\ =\ ("text"|\[\])
    | .*[cm]time\ =\ (7|1\.5) | \$\.listing\[0\]\[4\]\ =\ 7""",
    re.VERBOSE,
)


def read(route: str, reply: Answer) -> Any:
    """What the client makes of a reply."""
    if route.startswith("account."):
        proxy = proxy_to(Answering([answer([{"addr": "1:1"}]), reply]))
        if route == "account.list":
            return proxy.accounts()
        return proxy.account("a") if route == "account.show" else proxy.account_containers("a", {})
    proxy, place = proxy_to(Answering([reply]), dialect="4.2"), Place("a", "r", path="p")
    anything: dict[str, Any] = {"keys": ["k"], "names": ["n"], "body": [], "size": 1, "to": "1:1"}
    if ROUTES[route].effect == "read":
        return proxy.read(route, place, **anything)
    return proxy.change(route, place, what="", shows="", destroys="data", **anything)


def taken(route: str, reply: Answer) -> bool:
    """Whether it is read; if not, it must be a bad reply."""
    try:
        read(route, reply)
    except RdctlError as error:
        if error.code is Code.BAD_REPLY:
            return False
        raise
    return True


def allowed(what: str, loose: str) -> bool:
    path, _, wrong = what.removeprefix("$").removeprefix(".").partition(" ")
    marks = {"missing": ("", "?", "-"), "= null": ("", "?")}.get(wrong, ("",))
    return any(path + mark in loose.split() for mark in marks) or bool(ALSO.match(what))


@pytest.mark.parametrize("route", GOOD)
def test_misshapen_replies_are_bad_replies(route: str) -> None:
    good, headers, loose = GOOD[route]
    assert taken(route, answer(good, 200, headers))
    differ = [
        what
        for what, wrong in misshapen(good)
        if taken(route, answer(wrong, 200, headers)) != allowed(what, loose)
    ]
    assert differ == []


@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b'{"a": ', b"\xff", b"NaN", b"1e999", b"9" * 5000, b"[" * 100_000],
)
def test_rubbish_is_a_bad_reply(body: bytes) -> None:
    """Of every reader of JSON; an empty body is no properties, as the reference has it."""
    for route, (_, headers, _) in GOOD.items():
        empty = not body and route.endswith(("get_properties", "container.show"))
        assert taken(route, Answer(200, body, headers)) is empty, route


@pytest.mark.parametrize(
    ("route", "name", "value"),
    [
        ("container.show", "x-oio-container-meta-sys-user-name", None),
        ("container.show", "x-oio-container-meta-sys-m2-usage", "much"),
        ("container.show", "x-oio-container-meta-sys-m2-ctime", "yesterday"),
        ("container.show", "x-oio-container-meta-sys-m2-ctime", "9" * 30),
        ("container.show", "x-oio-container-meta-sys-m2-ctime", "inf"),
        ("container.list", "x-oio-list-truncated", None),
        ("container.list", "x-oio-list-truncated", "maybe"),
        ("container.list", "x-oio-list-marker", None),
        ("container.list", "x-oio-list-marker", ""),
        ("container.list", "x-oio-list-marker", "a b"),
        ("container.list", "x-oio-list-marker", "a&acct=other"),
        ("container.list", "x-oio-list-marker", "\xc3\xa9"),
        ("content.show", f"{META}length", None),
        ("content.show", f"{META}length", "long"),
        ("content.show", f"{META}version", "latest"),
        ("content.show", f"{META}deleted", "perhaps"),
        ("content.show", f"{META}ctime", "nan"),
    ],
)
def test_misshapen_headers_are_bad_replies(route: str, name: str, value: str | None) -> None:
    good, headers, _ = GOOD[route]
    wrong = {key: text for key, text in headers.items() if key != name}
    wrong |= {} if value is None else {name: value}
    assert not taken(route, answer(good, 200, wrong))


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("1447250949", "2015-11-11T14:09:09Z"),
        ("1795293256474549", "2026-11-21T20:34:16Z"),
        ("1795295483.66755", "2026-11-21T21:11:23Z"),
        ("0", None),
        ("", None),
    ],
)
def test_times_are_seconds_or_microseconds(written: str, date: str | None) -> None:
    headers = {**SHOWN, "x-oio-container-meta-sys-m2-ctime": written}
    assert read("container.show", answer({}, 200, headers)).created == date


def test_a_change_that_a_stranger_answers_is_no_success() -> None:
    for name in ("container.touch", "container.destroy", "service.ping", "admin.freeze"):
        assert not taken(name, Answer(200, b"<html>It works!</html>"))
    assert not taken("container.create", Answer(200, b"{}"))
    assert not taken("reference.create", Answer(200, b"{}"))
