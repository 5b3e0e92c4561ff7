"""Where chunks of contents go: content/prepare and content/spare."""

from __future__ import annotations

import re
import sqlite3

from rdctl.sandbox.oio import base, conscience, directory, properties
from rdctl.sandbox.oio.alias import path_of
from rdctl.sandbox.oio.base import BaseAccess
from rdctl.sandbox.oio.chunks import Chunk, chunk_of, host_of, is_hex, shown_chunks
from rdctl.sandbox.oio.replies import (
    CONTAINER_FROZEN,
    ApiFault,
    answer,
    argument,
    bad_request,
    content,
)
from rdctl.sandbox.oio.state import CHUNK_SIZE, new_id, now
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest, text

# With this many more chunks to keep than the policy has, a meta2 overflows its stack and crashes.
_CRASHING = 3
_MOST_POSITIONS = 1 << 16  # of one prepare, the sandbox's own limit: 64 GiB of replicas
META = "x-oio-content-meta-"


def prepare(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Where to put the chunks of a content of that size, policy and name. Nothing is stored."""
    value = argument(request)
    value = value if isinstance(value, dict) else {}
    size = _size(value.get("size"))
    path = path_of(request)
    if not path:
        raise bad_request("Missing path")
    autocreate(connection, request)
    cid = base.locate(connection, request, BaseAccess.PROPERTIES)
    values = properties.get(connection, properties.of_base(cid))
    if values.get("sys.status") == base.FROZEN:  # a disabled one still replies
        raise ApiFault(CONTAINER_FROZEN, "Invalid status")
    quota = base.integer(values.get("sys.m2.quota"))
    if 0 < quota <= base.integer(values.get("sys.m2.usage")):
        raise ApiFault(445, f"Container's quota reached ({quota} bytes)")
    name = str(value.get("policy") or base.storage_policy(connection, values))
    policy = conscience.policy(name)
    if policy is None:
        raise ApiFault(480, f"Invalid policy [{name}]")
    step = CHUNK_SIZE * (policy.k or 1)
    positions = max(1, -(-size // step))
    if positions > _MOST_POSITIONS:
        raise ApiFault(413, f"More than {_MOST_POSITIONS * step} bytes")
    chunks = [
        Chunk(base.new_chunk_url(address), policy.position(part, number), CHUNK_SIZE, "0" * 32)
        for part in range(positions)
        for number, address in enumerate(_rawx(connection, policy, part))
    ]
    seconds = now() // 1_000_000
    headers = [
        ("x-oio-ns-chunk-size", str(CHUNK_SIZE)),
        (f"{META}chunk-method", policy.method),
        (f"{META}ctime", str(seconds)),
        (f"{META}deleted", "False"),
        (f"{META}hash", ""),
        (f"{META}hash-method", "md5"),
        (f"{META}id", _given_id(request) or new_id(32)),
        (f"{META}length", str(size)),
        (f"{META}mime-type", "application/octet-stream"),
        (f"{META}mtime", str(seconds)),
        (f"{META}name", base.escaped(text(path))),
        (f"{META}policy", name),
        (f"{META}version", str(now())),
    ]
    return content(shown_chunks(connection, chunks), headers)


def _given_id(request: HttpRequest) -> str:
    """That of the query; what is not hexadecimal is ignored."""
    given = request.query.get("content", "")
    return given.upper() if is_hex(given) else ""


def _size(given: object) -> int:
    if given is None:
        raise bad_request("Missing size estimation")
    written = str(given) if type(given) in (int, str) else ""
    if not re.fullmatch(r"[0-9]{1,18}", written):
        raise bad_request("Invalid size format")
    return int(written)


def _rawx(connection: sqlite3.Connection, policy: conscience.Policy, position: int) -> list[str]:
    targets = conscience.targets_for(connection, policy)
    try:
        chosen = conscience.poll(connection, targets, pool=policy.pool)
    except ApiFault as fault:
        raise ApiFault(fault.status, f"at position {position}: {fault.message}") from fault
    return [service.address for service in chosen]


def autocreate(connection: sqlite3.Connection, request: HttpRequest) -> None:
    if request.flag("autocreate"):
        base.create(connection, *directory.names_of(request, "Directory error"), {}, {})


def spare(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Where to put copies in place of the broken ones, away from those that are `notin`."""
    value = argument(request)
    if not isinstance(value, dict):
        raise bad_request("Body is not a valid JSON object")
    sets = []
    for name in ("notin", "broken"):
        if not isinstance(value.get(name), list):
            raise bad_request(f"'{name}' field missing")
        sets.append([chunk_of(item) for item in value[name]])
    healthy, broken = sets
    if not healthy and not broken:
        raise bad_request("Empty beans sets")
    cid = base.locate(connection, request, BaseAccess.PROPERTIES)
    values = properties.get(connection, properties.of_base(cid))
    name = request.query.get("stgpol") or base.storage_policy(connection, values)
    policy = conscience.policy(name)
    if policy is None:
        raise ApiFault(480, f"Invalid policy [{name}]")
    targets = conscience.targets_for(connection, policy)
    if len(healthy) >= len(targets) + _CRASHING:
        return base.crashed(connection, cid)
    if len(healthy) >= len(targets):
        used = f"{len(healthy)} already used, {len(broken)} to avoid"
        raise bad_request(f"too many locations in the blacklist ({used})")
    spares = conscience.poll(
        connection,
        targets,
        # Where nothing is kept, spares are chosen as for a new content.
        avoid=_rawx_ids(broken) if healthy else [],
        known=_rawx_ids(healthy),
    )
    chunks = [
        {"id": base.new_chunk_url(service.address), "pos": "", "hash": "", "size": 0}
        for service in spares
    ]
    return answer({"aliases": [], "headers": [], "chunks": chunks})


def _rawx_ids(chunks: list[Chunk]) -> list[str]:
    hosts = (host_of(chunk.url) for chunk in chunks)
    return [conscience.Registered(type="rawx", address=host, score=0, tags={}).id for host in hosts]
