"""Readers take nothing but replies of their routes for what they should be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.core.unread import Unread
from rdctl.oio.model import Place
from rdctl.oio.routes import ROUTES
from tests.fakes.faults import misshapen
from tests.oio.wire import Answer, Answering, answer, proxy_to

META = "x-oio-content-meta-"
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

# A good reply of each kind, its headers, what in it may be of any type, and without what it is no
# reply of its route, or nothing can be done with it.
GOOD: dict[str, tuple[Any, Mapping[str, str], str, str]] = {
    "conscience.info": (SPACE, {}, "options.a storage_policy.S", "ns"),
    "conscience.types": (["a"], {}, "", "[0]"),
    "conscience.list": (
        [{"addr": "1:1", "score": 1, "tags": {"tag.up": True}}], {},
        "[0].tags.tag.up", "[0] [0].addr",
    ),
    "local.list": ([{"addr": "1:1", "score": -2, "type": "t"}], {}, "", "[0] [0].addr"),
    "lb.choose": ([{"addr": "1:1"}], {}, "", "[0] [0].addr"),
    "reference.link": ([LINK], {}, "", "[0] [0].type [0].host"),
    "reference.show": (
        {"dir": [LINK], "srv": [LINK]}, {}, "",
        "srv srv[0] srv[0].type srv[0].host",
    ),
    "reference.get_properties": ({"properties": {"k": "v"}}, {}, "", "properties"),
    "container.get_properties": (
        {"properties": {"k": "v"}, "system": {"s": "v"}}, {}, "", "properties",
    ),
    "container.show": ({"properties": {"k": "v"}}, SHOWN, "", ""),
    "container.list": (
        {"prefixes": ["p"], "objects": [ENTRY]}, LISTED, "",
        "objects prefixes objects[0] objects[0].name prefixes[0]",
    ),
    "container.create_many": (
        {"containers": [{"name": "n", **FINE}]}, {}, "",
        "containers containers[0] containers[0].name",
    ),
    "content.delete_many": (
        {"contents": [{"name": "n", **FINE}]}, {}, "", "contents contents[0] contents[0].name"
    ),
    "content.show": (
        [CHUNK], CONTENT, "", "[0] [0].url"
    ),
    "content.prepare": (
        [CHUNK], CONTENT, "", "[0] [0].url [0].pos [0].size [0].hash"
    ),
    "content.spare": ({"chunks": [{"id": "u"}]}, {}, "", "chunks chunks[0] chunks[0].id"),
    "admin.status": (
        REPLICA, {}, "1:1.body", "1:1 1:1.status 1:1.status.status"
    ),
    "admin.copy": (
        REPLICA, {}, "1:1.body", "1:1 1:1.status 1:1.status.status"
    ),
    "admin.debug": (
        {"2:2": {"status": FINE, "body": ELECTION}}, {}, "",
        "2:2 2:2.status 2:2.status.status",
    ),
    "account.list": (["a"], {}, "", "[0]"),
    "account.show": (
        {"ctime": "1.5", "bytes": 1, "objects": 1, "id": "a", "containers": 1,
         "metadata": {"k": "v"}}, {}, "", "id",
    ),
    "account.containers": (
        {"listing": [["c", 1, 2, 0, 1.5]]}, {}, "", "listing listing[0] listing[0][0]"
    ),
}  # fmt: skip
# Without these all of a part is null.
ALL_OF_IT = re.compile(r"\$\.dir\[0\](\.type|\.host)? ")
# Other shapes that are good as well: a text in place of a whole answer (the reference, in
# admin/debug), a time with a fraction.
ALSO = re.compile(
    r"""\$\.2:2\ =\ "text" | \$\.[12]:[12]\.body\ =\ ("text"|\[\])
    | .*[cm]time\ =\ (7|1\.5) | \$\.listing\[0\]\[4\]\ =\ 7""",
    re.VERBOSE,
)
# Where null is no way to say nothing.
TEXTS = re.compile(r".*\.(properties\.k|system\.s|metadata\.k|peers|log)")


def read(route: str, reply: Answer, unread: Unread | None = None) -> Any:
    """What the client makes of a reply."""
    if route.startswith("account."):
        proxy = proxy_to(Answering([answer([{"addr": "1:1"}]), reply]), unread=unread)
        service = proxy.account_service
        if route == "account.list":
            return service.names()
        return service.show("a") if route == "account.show" else service.containers("a", {})
    proxy = proxy_to(Answering([reply]), dialect="4.2", unread=unread)
    place = Place("a", "r", path="p")
    anything: dict[str, Any] = {"keys": ["k"], "names": ["n"], "body": [], "size": 1, "to": "1:1"}
    if ROUTES[route].effect == "read":
        return proxy.read(route, place, **anything)
    return proxy.change(route, place, what="", shows="", destroys="data", **anything)


def fate(route: str, reply: Answer) -> str:
    """`bad`: it is no reply of this route; `noted`: a part of it is null; `taken`."""
    unread = Unread()
    try:
        read(route, reply, unread)
    except RdctlError as error:
        # A change may have been done, whatever the reply is.
        return {Code.BAD_REPLY if _reads(route) else Code.UNKNOWN: "bad"}[error.code]
    return "noted" if unread.words else "taken"


def _reads(route: str) -> bool:
    return route.startswith("account.") or ROUTES[route].effect == "read"


def expected(what: str, loose: str, strict: str) -> str:
    path, _, wrong = what.removeprefix("$").removeprefix(".").partition(" ")
    if ALL_OF_IT.match(what):
        return "noted"
    if ALSO.match(what) or path in loose.split():
        return "taken"
    if not path or path in strict.split():
        nothing: dict[str, tuple[str, ...]]
        nothing = {"properties": ("missing", "= null"), "system": ("missing", "= null")}
        return (
            "taken"
            if wrong in {**nothing, "1:1": ("missing",), "2:2": ("missing",)}.get(path, ())
            else "bad"
        )
    said_nothing = wrong == "missing" or (wrong == "= null" and not TEXTS.match(what))
    return "taken" if said_nothing else "noted"


@pytest.mark.parametrize("route", GOOD)
def test_one_value_does_not_condemn_a_reply(route: str) -> None:
    good, headers, loose, strict = GOOD[route]
    assert fate(route, answer(good, 200, headers)) == "taken"
    differ = {
        what: found
        for what, wrong in misshapen(good)
        if (found := fate(route, answer(wrong, 200, headers))) != expected(what, loose, strict)
    }
    assert differ == {}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html></html>", b'{"a": ', b"\xff", b"NaN", b"1e999", b"9" * 5000, b"[" * 100_000],
)
def test_rubbish_is_a_bad_reply(body: bytes) -> None:
    """Of every reader of JSON; an empty body is no properties, as the reference has it."""
    for route, (_, headers, *_) in GOOD.items():
        empty = not body and route.endswith(("get_properties", "container.show"))
        assert (fate(route, Answer(200, body, headers)) == "taken") is empty, route


@pytest.mark.parametrize(
    ("route", "name", "value"),
    [
        ("container.show", "x-oio-container-meta-sys-user-name", None),
        ("container.list", "x-oio-list-truncated", None),
        ("container.list", "x-oio-list-truncated", "maybe"),
        ("container.list", "x-oio-list-marker", None),
        ("container.list", "x-oio-list-marker", ""),
        ("container.list", "x-oio-list-marker", "a b"),
        ("container.list", "x-oio-list-marker", "a&acct=other"),
        ("container.list", "x-oio-list-marker", "\xc3\xa9"),
        ("content.show", f"{META}length", None),
        ("content.prepare", f"{META}length", None),
        ("content.prepare", f"{META}length", "long"),
        ("content.prepare", f"{META}version", "latest"),
    ],
)
def test_headers_that_data_hang_on_are_not_guessed(
    route: str, name: str, value: str | None
) -> None:
    good, headers, *_ = GOOD[route]
    wrong = {key: text for key, text in headers.items() if key != name}
    wrong |= {} if value is None else {name: value}
    assert fate(route, answer(good, 200, wrong)) == "bad"


@pytest.mark.parametrize(
    ("route", "name", "value", "words"),
    [
        ("container.show", "sys-m2-usage", "much", "sys.m2.usage (1 container)"),
        ("container.show", "sys-m2-quota", "1M", "sys.m2.quota (1 container)"),
        ("container.show", "sys-m2-objects", "1.0", "sys.m2.objects (1 container)"),
        ("container.show", "sys-m2-ctime", "yesterday", "sys.m2.ctime (1 container)"),
        ("container.show", "sys-m2-ctime", "9" * 30, "sys.m2.ctime (1 container)"),
        ("container.show", "sys-m2-ctime", "1e18", "sys.m2.ctime (1 container)"),
        ("container.show", "sys-m2-ctime", "inf", "sys.m2.ctime (1 container)"),
        ("container.show", "sys-m2-policy-version", "ten", "sys.m2.policy.version (1 container)"),
        ("content.show", "length", "long", "length (1 object)"),
        ("content.show", "version", "latest", "version (1 object)"),
        ("content.show", "deleted", "perhaps", "deleted (1 object)"),
        ("content.show", "ctime", "nan", "ctime (1 object)"),
        ("content.show", "mtime", "9" * 400, "mtime (1 object)"),
    ],
)
def test_other_headers_are_null(route: str, name: str, value: str, words: str) -> None:
    good, headers, *_ = GOOD[route]
    prefix = META if route == "content.show" else "x-oio-container-meta-"
    unread = Unread()
    found = read(route, answer(good, 200, {**headers, prefix + name: value}), unread)
    assert unread.words == f"unreadable values shown as null: {words}"
    assert found == read(route, answer(good, 200, {**headers, prefix + name: ""}))._replace(
        **({"system": found.system} if route == "container.show" else {})
    )


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
        assert fate(name, Answer(200, b"<html>It works!</html>")) == "bad"
    assert fate("container.create", Answer(200, b"{}")) == "bad"
    assert fate("reference.create", Answer(200, b"{}")) == "bad"
