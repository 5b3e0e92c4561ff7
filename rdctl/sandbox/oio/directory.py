"""The directory: references, and the services linked to them (reference/)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from rdctl.sandbox.oio import conscience, properties
from rdctl.sandbox.oio.replies import (
    UNSATISFIABLE,
    USER_NOT_FOUND,
    ApiFault,
    answer,
    argument,
    bad_request,
    empty,
    field,
    object_argument,
    strings,
)
from rdctl.sandbox.oio.state import NAMESPACE, container_id, setting
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest, raw

REFERENCE_BYTES, ACCOUNT_BYTES = 255, 63
_META1, _NO_META1 = "META1 error", "No META1"
_HEX = frozenset("0123456789ABCDEF")


def url_text(request: HttpRequest) -> str:
    """The names as messages show them: namespace/account/reference/type/path, as far as given."""
    parts = [NAMESPACE]
    for name in ("acct", "ref"):
        if name not in request.query:
            return "/".join(parts)
        parts.append(request.query[name])
    path = request.query.get("path")
    return "/".join([*parts, "", *([path] if path else [])])


def cid_of(request: HttpRequest, complaint: str, *, prefix: bool = False) -> str:
    """The id in the request, by `cid` (an id or a base's name; a `prefix` of up to four digits
    stands for the first id that begins so) or by acct and ref."""
    given = request.query.get("cid", "").upper().split(".")[0]
    if prefix and 0 < len(given) <= 4:
        given = given.ljust(64, "0")
    if len(given) == 64 and _HEX.issuperset(given):
        return given
    return container_id(*names_of(request, complaint))


def has_names(request: HttpRequest) -> bool:
    """Some routes require acct and ref, even if an id is given."""
    return bool(request.query.get("acct") and request.query.get("ref"))


def names_of(request: HttpRequest, complaint: str) -> tuple[str, str]:
    account, name = request.query.get("acct"), request.query.get("ref")
    if not account or not name:
        raise bad_request(f"{complaint}: Incomplete URL [{url_text(request)}]")
    return account, name


def find(
    connection: sqlite3.Connection, request: HttpRequest, complaint: str = "Directory error"
) -> str:
    """The id of the reference that the request names; Fault 406 when there is none."""
    cid = cid_of(request, complaint)
    require(connection, cid, complaint)
    return cid


def any_cid(connection: sqlite3.Connection, request: HttpRequest) -> str:
    """The id, whether or not there is such a reference."""
    return cid_of(request, "Directory error")


def require(
    connection: sqlite3.Connection, cid: str, complaint: str, http: int | None = None
) -> None:
    row = connection.execute("SELECT 1 FROM oio_references WHERE cid = ?", (cid,)).fetchone()
    if row is None:
        raise ApiFault(USER_NOT_FOUND, f"{complaint}: no such user", http=http)


def fits(account: str, name: str) -> bool:
    return len(raw(account)) <= ACCOUNT_BYTES and len(raw(name)) <= REFERENCE_BYTES


def ensure(connection: sqlite3.Connection, account: str, name: str) -> bool:
    """Create the reference; False if it exists."""
    made = connection.execute(
        "INSERT OR IGNORE INTO oio_references VALUES (?, ?, ?)",
        (container_id(account, name), account, name),
    )
    return made.rowcount > 0


def hosts(connection: sqlite3.Connection, cid: str, type: str) -> list[str]:
    return [row["host"] for row in links(connection, cid, type)]


def links(
    connection: sqlite3.Connection, cid: str, type: str | None = None
) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT seq, type, host, args FROM oio_links"
        " WHERE cid = ? AND (? IS NULL OR type = ?) AND host != ''",
        (cid, type, type),
    )
    return [dict(row) for row in rows]


def _has_lost_all(connection: sqlite3.Connection, cid: str, type: str) -> bool:
    """Whether a relink left nothing but a link to no service, which is never replaced."""
    row = connection.execute(
        "SELECT 1 FROM oio_links WHERE cid = ? AND type = ? AND host = ''", (cid, type)
    ).fetchone()
    return row is not None


def link_services(connection: sqlite3.Connection, cid: str, type: str) -> list[str]:
    """The addresses linked for the type; as many as the update policy says are linked now."""
    linked = hosts(connection, cid, type)
    if not linked:
        linked = poll(connection, type)
        _store_links(connection, cid, type, linked)
    return linked


def poll(connection: sqlite3.Connection, type: str) -> list[str]:
    main_type = type.split(".")[0]
    if main_type not in conscience.TYPES:
        raise bad_request(
            f"{_META1}: Query error: found only 0 services matching the criteria:"
            f" pool [{type}] not found"
        )
    chosen = conscience.poll(connection, [[main_type]] * _replicas(connection, main_type))
    return [service.address for service in chosen]


def _replicas(connection: sqlite3.Connection, type: str) -> int:
    """`meta2=KEEP|3|1;...`: three replicas of a meta2 base."""
    for rule in setting(connection, "ns.service_update_policy").split(";"):
        name, _, policy = rule.partition("=")
        count = [*policy.split("|"), ""][1]
        if name == type and re.fullmatch("[0-9]{1,3}", count):
            return int(count)
    return 1


def _store_links(
    connection: sqlite3.Connection,
    cid: str,
    type: str,
    addresses: list[str],
    seq: int = 1,
    args: str = "",
) -> None:
    connection.executemany(
        "INSERT INTO oio_links VALUES (?, ?, ?, ?, ?)",
        [(cid, type, seq, address, args) for address in addresses],
    )


def meta1_addresses(connection: sqlite3.Connection) -> list[str]:
    addresses = [service.address for service in conscience.services(connection, "meta1")]
    if not addresses:
        raise ApiFault(503, "No meta1 answered")
    return addresses


def meta1_by_prefix(addresses: Sequence[str]) -> Callable[[str], str]:
    """Which meta1 holds an id: a function of its prefix, the first four digits."""
    return lambda cid: addresses[int(cid[:4], 16) % len(addresses)]


def meta0(connection: sqlite3.Connection) -> str:
    services = conscience.services(connection, "meta0")
    if not services:
        raise ApiFault(503, "No meta0 answered")
    return services[0].address


# Routes


def create(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    account, name = names_of(request, _NO_META1)
    if not fits(account, name):
        raise bad_request(f"{_META1}: Partial URL")
    value = argument(request)
    values = value.get("properties", {}) if isinstance(value, dict) else {}
    if not isinstance(values, dict):
        raise bad_request("json: not a valid KV object")
    strings(values)
    if not ensure(connection, account, name):
        return empty(202)
    properties.put(connection, properties.of_reference(container_id(account, name)), values)
    return empty(201)


def show(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    cid = _existing(connection, request)
    meta1 = meta1_by_prefix(meta1_addresses(connection))(cid)
    directory = [("meta0", meta0(connection)), ("meta1", meta1)]
    return answer(
        {
            "dir": [{"seq": 1, "type": type, "host": host, "args": ""} for type, host in directory],
            "srv": links(connection, cid, request.query.get("type")),
        }
    )


def destroy(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    cid = cid_of(request, _NO_META1)
    require(connection, cid, f"{_META1}: Query error")
    if links(connection, cid) and not request.flag("force"):
        raise ApiFault(407, f"{_META1}: Query error: User still linked to services")
    connection.execute("DELETE FROM oio_links WHERE cid = ?", (cid,))
    connection.execute("DELETE FROM oio_references WHERE cid = ?", (cid,))
    properties.clear(connection, properties.of_reference(cid))
    return empty()


def get_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    names = _property_names(request)
    cid = _existing(connection, request)
    values = properties.get(connection, properties.of_reference(cid))
    wanted = {key: value for key, value in values.items() if not names or key in names}
    return answer({"cid": cid, "properties": wanted})


def set_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """`flush` replaces all, whatever its value."""
    value = object_argument(request)
    if not isinstance(value.get("properties"), dict):
        raise bad_request('No "properties" field')
    values = strings(value["properties"])
    owner = properties.of_reference(_existing(connection, request))
    if request.has("flush") or request.flag("flush"):
        properties.clear(connection, owner)
    properties.put(connection, owner, values)
    return empty()


def del_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Without names every property is removed."""
    names = _property_names(request)
    owner = properties.of_reference(_existing(connection, request))
    if names:
        properties.remove(connection, owner, names)
    else:
        properties.clear(connection, owner)
    return empty()


def link(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    type = _service_type(request)
    if request.flag("autocreate"):
        ensure(connection, *names_of(request, _NO_META1))
    cid = _existing(connection, request)
    if _has_lost_all(connection, cid, type):
        return answer(_described(type, [""]))
    if request.flag("dryrun"):
        return answer(_described(type, hosts(connection, cid, type) or poll(connection, type)))
    return answer(_described(type, link_services(connection, cid, type)))


def renew(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Linked services are kept while one of them is up; otherwise they are replaced."""
    type = _service_type(request)
    cid = _existing(connection, request)
    if _has_lost_all(connection, cid, type):
        return answer(_described(type, [""]))
    up = {service.address for service in conscience.services(connection) if service.score > 0}
    if up.isdisjoint(hosts(connection, cid, type)):
        _unlink(connection, cid, type)
    return answer(_described(type, link_services(connection, cid, type)))


def force(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    value = argument(request)
    if not isinstance(value, dict):
        raise bad_request("Not an object")
    _service_type(request)
    seq, type, host, args = (
        field(value, name, kind)
        for name, kind in (("seq", int), ("type", str), ("host", str), ("args", str))
    )
    addresses = host.split(",")
    if not all(map(conscience.is_address, addresses)):
        raise bad_request("Invalid address")
    cid = _existing(connection, request)
    if request.flag("replace"):
        _unlink(connection, cid, type, seq)
    elif any(linked["seq"] == seq for linked in links(connection, cid, type)):
        raise ApiFault(
            455,
            f"{_META1}: (SQLITE_CONSTRAINT) UNIQUE constraint failed:"
            " services.cid, services.srvtype, services.seq",
        )
    _store_links(connection, cid, type, addresses, seq, args)
    return empty()


def relink(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Other services in place of those `replaced`. What is linked afterwards is these alone: those
    `kept` are only avoided, and lost. Only the first sequence number can be relinked."""
    value = argument(request)
    if not isinstance(value, dict):
        raise bad_request("Not an object")
    if not value.get("kept") and not value.get("replaced"):
        raise bad_request("Missing [kept] and [replaced]")
    type = _service_type(request)
    kept, replaced = (_linked_service(value.get(name)) for name in ("kept", "replaced"))
    cid = _existing(connection, request)
    linked = links(connection, cid, type)
    first = min((link["seq"] for link in linked), default=1)
    group = sorted(link["host"] for link in linked if link["seq"] == first)
    if sorted([*kept, *replaced]) != group:
        raise ApiFault(407, f"{_META1}: services changed", http=500)
    if len(kept) >= _replicas(connection, type):
        raise ApiFault(UNSATISFIABLE, f"{_META1}: Too many services kept")
    known, avoid = ([f"{NAMESPACE}|{type}|{host}" for host in hosts] for hosts in (kept, replaced))
    targets = [[type]] * len(group)
    chosen = conscience.poll(connection, targets, known=known, avoid=avoid)
    if request.flag("dryrun"):
        return answer([])
    addresses = [service.address for service in chosen]
    _unlink(connection, cid, type, first)
    _store_links(connection, cid, type, addresses or [""], first)
    return answer([{"seq": first, "type": type, "host": one, "args": ""} for one in addresses])


def unlink(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    type = _service_type(request)
    _unlink(connection, _existing(connection, request), type)
    return empty()


def _unlink(connection: sqlite3.Connection, cid: str, type: str, seq: int | None = None) -> None:
    connection.execute(
        "DELETE FROM oio_links WHERE cid = ? AND type = ? AND (? IS NULL OR seq = ?)",
        (cid, type, seq, seq),
    )


def _existing(connection: sqlite3.Connection, request: HttpRequest) -> str:
    cid = cid_of(request, _NO_META1)
    require(connection, cid, _META1)
    return cid


def _service_type(request: HttpRequest) -> str:
    type = request.query.get("type")
    if not type:
        raise bad_request("No service type provided")
    return type


def _property_names(request: HttpRequest) -> list[str]:
    value = argument(request)
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad_request("Invalid/Unexpected JSON")
    for number, name in enumerate(value, 1):
        if not isinstance(name, str):
            raise bad_request(f"Invalid string at [{number}]")
    return value


def _linked_service(described: object) -> list[str]:
    """The hosts of a service as relink describes it: `{"host": "A,B", ...}`."""
    return str(described.get("host", "")).split(",") if isinstance(described, dict) else []


def _described(type: str, addresses: list[str]) -> list[dict[str, Any]]:
    return [{"seq": 1, "type": type, "host": address, "args": ""} for address in addresses]
