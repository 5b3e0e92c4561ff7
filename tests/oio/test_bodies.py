"""Builders make what real servers took."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from rdctl.core.errors import Code, RdctlError
from rdctl.oio import bodies
from rdctl.oio.model import Place
from rdctl.oio.routes import ROUTES
from tests.oio.recordings import Exchange, exchanges
from tests.oio.test_routes import own_headers
from tests.oio.wire import Answering, Sent, proxy_to, refusal

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
    bodies.requested_keys: lambda body, headers: {"keys": body},
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
