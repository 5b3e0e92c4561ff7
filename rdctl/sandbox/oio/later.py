"""Routes and replies of later releases, which `rdctl sandbox release` selects
(docs/wire/oio-later.md)."""

from __future__ import annotations

import json
import sqlite3

from rdctl.sandbox.oio import base, conscience, container, placement, properties
from rdctl.sandbox.oio.alias import find_alias, refuse_nameless
from rdctl.sandbox.oio.base import BaseAccess
from rdctl.sandbox.oio.replies import (
    ApiFault,
    answer,
    empty,
    field,
    no_handler,
    object_argument,
)
from rdctl.sandbox.oio.state import is_since, now
from rdctl.sandbox.oio.wsgi import Handler, HttpReply, HttpRequest


def since(first: str, handler: Handler) -> Handler:
    """The handler of a route that earlier releases do not have."""

    def later(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
        if not is_since(connection, first):
            raise no_handler()
        return handler(connection, request)

    return later


def prepare2(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    reply = placement.prepare(connection, request)
    body = {"chunks": json.loads(reply.body), "properties": {}}
    return reply._replace(body=json.dumps(body).encode())


def vacuum(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    base.locate(connection, request, BaseAccess.PROPERTIES)
    return answer({})


def checkpoint(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """A file beside the database; here its name is kept."""
    value = object_argument(request)
    cid = base.locate(connection, request, BaseAccess.WRITE)
    suffix = str(value.get("suffix") or now())
    if "/" in suffix:
        raise ApiFault(502, f"Failed to copy {cid}.1.meta2 to {cid}.1.meta2.{suffix}")
    owner = properties.of_base(f"checkpoints of {cid}")
    if suffix in properties.get(connection, owner):
        raise ApiFault(433, f"Checkpoint {cid}.1.meta2.{suffix} already exists", http=409)
    properties.change(connection, owner, {suffix: "1"})
    return empty()


def show_shards(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """No container of the sandbox is sharded."""
    reply = container.get_properties(connection, request._replace(body=b""))
    body = {**json.loads(reply.body), "shard_ranges": []}
    return answer(body, [("x-oio-list-truncated", "false")])


def transition(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Accepted; the data, which other services move later, stay."""
    value = object_argument(request)
    policy = field(value, "policy", str)
    refuse_nameless(request)
    cid = base.locate(connection, request, BaseAccess.WRITE)
    find_alias(connection, cid, request)
    if conscience.policy(policy) is None:
        raise ApiFault(480, f"Invalid policy: {policy}", http=400)
    return empty()


ROUTES: dict[tuple[str, str], tuple[str, Handler]] = {
    ("POST", "content/prepare2"): ("5", prepare2),
    ("POST", "admin/vacuum"): ("5", vacuum),
    ("POST", "container/checkpoint"): ("2025", checkpoint),
    ("GET", "container/sharding/show"): ("2025", show_shards),
    ("POST", "content/transition"): ("2025", transition),
}
