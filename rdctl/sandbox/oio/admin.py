"""Services asked directly (forward/), their bases and elections (admin/), the proxy itself."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from rdctl.sandbox.oio import (
    base,
    conscience,
    container,
    directory,
    election,
    properties,
    variables,
)
from rdctl.sandbox.oio.replies import (
    CONTAINER_DISABLED,
    CONTAINER_FROZEN,
    CONTAINER_NOT_FOUND,
    ApiFault,
    answer,
    argument,
    bad_request,
    content,
    empty,
    field,
    object_argument,
    status_of,
)
from rdctl.sandbox.oio.state import CONSCIENCE, NAMESPACE, is_down
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest, dumps

_VERSION = "4.2.10/4.2"
# Those that speak the protocol of OpenIO's own servers; the others speak HTTP.
_GRID_TYPES = ("meta0", "meta1", "meta2", "sqlx")
_GRID_REQUESTS = ("REQ_PING", "REQ_STATS", "REQ_VERSION", "DB_USE", "DB_STATUS", "DB_LEAVE")


# forward/


def _grid_service(connection: sqlite3.Connection, request: HttpRequest) -> None:
    """The service `id` must exist, and speak the protocol: Fault 2 or 7."""
    if not request.has("id"):
        raise bad_request("Missing SRVID")
    address = request.query["id"]
    if not conscience.is_address(address):
        raise ApiFault(500, "client creation")
    if address == CONSCIENCE:
        return
    for service in conscience.services(connection):
        if service.address == address and service.type in _GRID_TYPES:
            return
        if service.address == address:
            raise ApiFault(7, "Timeout")
    raise ApiFault(2, _refused(address))


def _refused(address: str) -> str:
    return f"{address}: [errno=111] Connection refused"


def ping(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    _grid_service(connection, request)
    return content(b"OK\r\n")


def version(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    _grid_service(connection, request)
    return content(_VERSION.encode())


def stats(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    _grid_service(connection, request)
    counted = [f"{what}{name}" for name in _GRID_REQUESTS for what in ("req.hits.", "req.time.")]
    lines = [f"counter {name} 0" for name in ("req.hits", "req.time", *counted)]
    lines += ["gauge event.health 100", "gauge thread.active 1", "gauge cnx.client 0"]
    return content("".join(f"{line}\n" for line in lines).encode())


def info(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    _grid_service(connection, request)
    return answer(_service_info())


def _service_info() -> dict[str, Any]:
    elections = ("total", "none", "pending", "failed", "slave", "master")
    return {
        "sqlite": ["THREADSAFE=1"],
        "sqliterepo": {"width": 3, "depth": 1, "vacuum": False, "delete": True},
        "replication": "ZOOKEEPER",
        "elections": dict.fromkeys(elections, 0),
    }


def get_service_config(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    _grid_service(connection, request)
    return variables.show(connection, request.query["id"])


def set_service_config(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    object_argument(request)
    _grid_service(connection, request)
    return variables.change(connection, request, request.query["id"])


def obey(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """lean-glib, lean-sqlx, flush, reload: nothing to see afterwards."""
    _grid_service(connection, request)
    return empty()


def kill(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    _grid_service(connection, request)
    raise ApiFault(403, "abort disabled")


# The proxy


def cache_status(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return answer(
        {
            "csm0": {"count": 0, "max": 4194304, "ttl": 0},
            "meta1": {"count": 0, "max": 4194304, "ttl": 0},
        }
    )


def flush_local(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    conscience.forget_services(connection)
    return empty()


def done(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """For requests without effect here: no locations to forget, no pools to reload."""
    return empty()


def get_config(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return variables.show(connection)


def set_config(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return variables.change(connection, request)


# admin/

# The reply of a service about a base: status, message, body.
_Verdict = tuple[int, str, Any]
_OK: _Verdict = (200, "OK", "")
_NO_FILE = "sqlite3_open error: (errno=2 No such file or directory) (rc=14) SQLITE_CANTOPEN"


class _Base:
    """A base as admin/ names it: `type`, and the services that its reference is linked to. Not
    `located`: the reference may be missing."""

    def __init__(
        self, connection: sqlite3.Connection, request: HttpRequest, *, located: bool = True
    ) -> None:
        self.connection = connection
        self.type = request.query.get("type", "")
        if not self.type:
            raise bad_request("No service type")
        if self.type == "meta0":
            self.cid, self.hosts = "", [directory.meta0(connection)]
        elif self.type == "meta1":
            # Of a prefix, whether or not a reference has an id that begins so.
            self.cid = directory.cid_of(request, "Directory error", prefix=True)
            self.hosts = [
                directory.meta1_by_prefix(directory.meta1_addresses(connection))(self.cid)
            ]
        else:
            find = directory.find if located else directory.any_cid
            self.cid = find(connection, request)
            self.hosts = directory.hosts(connection, self.cid, self.type)
        if located and not self.hosts:
            raise ApiFault(CONTAINER_NOT_FOUND, "No service located")

    @property
    def master(self) -> str | None:
        return election.master(self.connection, self.cid, self.type, self.hosts)

    @property
    def elected(self) -> str:
        return election.elected(self.connection, self.cid, self.type, self.hosts)

    def held_by(self, host: str) -> bool:
        """Whether a service has a copy of the base."""
        linked = host in self.hosts
        return election.held_by(self.connection, self.cid, self.type, host, linked=linked)

    def hold(self, host: str, held: bool) -> None:
        self.connection.execute(
            "INSERT OR REPLACE INTO oio_copies VALUES (?, ?, ?, ?)",
            (self.cid, self.type, host, held),
        )

    @property
    def replicated(self) -> bool:
        return len(self.hosts) > 1

    @property
    def name(self) -> str:
        return f"{self.cid}.1"

    @property
    def since(self) -> int:
        """When its master was elected: with the container; other bases have no time."""
        values = properties.get(self.connection, properties.of_base(self.cid))
        return int(values.get("sys.m2.ctime", "0")) // 1_000_000


def _each(
    connection: sqlite3.Connection, request: HttpRequest, ask: Callable[[_Base, str], _Verdict]
) -> HttpReply:
    """The reply of each service of the base; only of those in `service_id` if given."""
    return _replies(connection, request, _Base(connection, request), ask)


def _replies(
    connection: sqlite3.Connection,
    request: HttpRequest,
    asked: _Base,
    ask: Callable[[_Base, str], _Verdict],
) -> HttpReply:
    chosen = request.query.get("service_id")
    known = {service.address for service in conscience.services(connection)}
    replies = {}
    for host in chosen.split(",") if chosen else asked.hosts:
        away = host not in known or is_down(connection, host)
        status, message, body = (2, _refused(host), "") if away else ask(asked, host)
        replies[host] = {"status": status_of(status, message), "body": body}
    return content(dumps(replies, slashes=False))


def _agree(asked: _Base, host: str) -> _Verdict:
    return _OK


def agree(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """ping, drop_cache."""
    return _each(connection, request, _agree)


def has(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _each(connection, request, _has)


def _has(asked: _Base, host: str) -> _Verdict:
    lost = asked.type == "meta2" and not base.is_there(asked.connection, asked.cid)
    if lost or not asked.held_by(host):
        return CONTAINER_NOT_FOUND, "Container not found : (2) No such file or directory", ""
    for service in conscience.services(asked.connection, asked.type):
        if service.address == host:
            volume = service.tags.get("tag.vol", "")
            return 200, "OK", f"{volume}/{asked.cid[:3]}/{asked.name}.{asked.type}"
    return _OK


def info_base(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _each(connection, request, lambda asked, host: (200, "OK", _service_info()))


def status(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _each(connection, request, _status)


def _status(asked: _Base, host: str) -> _Verdict:
    master = asked.master
    if master is None:
        return 500, f"Election failed for {asked.name}", ""
    return _OK if host == master else (303, master, "")


def sync(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _each(connection, request, _sync)


def _sync(asked: _Base, host: str) -> _Verdict:
    if not asked.replicated:
        return 500, "Replication not configured", ""
    return (301, "not SLAVE", "") if host == asked.elected else _OK


def leave(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """A service that leaves is no longer the master: the others elect one, if any are left."""
    asked = _Base(connection, request)
    leaving = request.query.get("service_id")
    others = [host for host in asked.hosts if host != leaving] or asked.hosts
    if leaving in (None, asked.master):
        elected = random.choice([host for host in others if host != asked.master] or others)
        connection.execute("UPDATE oio_bases SET master = ? WHERE cid = ?", (elected, asked.cid))
    return _each(connection, request, _agree)


def debug(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _each(connection, request, _debug)


def _debug(asked: _Base, host: str) -> _Verdict:
    if not asked.replicated:
        return 200, "OK", {}
    master = asked.master
    state = {host: "MASTER", None: "FAILED"}.get(master, "SLAVE")
    ids = {address: number for number, address in enumerate(sorted(asked.hosts), 1)}
    key = f"{asked.name}/{asked.type}"
    steps = ("NONE:GET_VERS:CREATING", "CREATING:CREATE_OK:WATCHING", f"WATCHING:NODE_OK:{state}")
    body = {
        "local": {"id": ids.get(host, -1), "url": host, "state": state},
        "master": {"id": ids[master], "url": master} if master else {},
        "base": {"name": asked.name, "type": asked.type, "zk": f"/hc/ns/{NAMESPACE}/srv/{key}"},
        "#": {"R": 0, "P": 0, "V": 0},
        "peers": [address for address in asked.hosts if address != host],
        "log": [f"{asked.since}:{step}" for step in steps],
    }
    return 200, "OK", body


def remove(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Also the last copy: the container is lost then."""
    if not request.query.get("service_id"):
        raise bad_request("No service ID")
    asked = _Base(connection, request, located=False)
    reply = _replies(connection, request, asked, _remove)
    if asked.type == "meta2" and not any(map(asked.held_by, asked.hosts)):
        base.drop(connection, asked.cid)
    return reply


def _remove(asked: _Base, host: str) -> _Verdict:
    if _has(asked, host)[0] != 200:
        return CONTAINER_NOT_FOUND, _NO_FILE, ""
    asked.hold(host, False)
    return _OK


def copy(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """The services share the data of a base: to have a copy is all that a copy is here."""
    value = argument(request)
    asked = _Base(connection, request)
    if not isinstance(value, dict):
        raise bad_request("Action argument must be an object")
    target = field(value, "to", str)
    if not conscience.is_address(target):
        raise bad_request("Invalid target URL")
    source = str(value.get("from", asked.elected))
    known = {service.address for service in conscience.services(connection)}
    if source in known and _has(asked, source)[0] != 200:
        raise ApiFault(CONTAINER_NOT_FOUND, f"Dump failed: {_NO_FILE}")
    for address in (source, target):
        if address not in known:
            raise ApiFault(502, _refused(address))
    asked.hold(target, True)
    return answer({})


def _container(connection: sqlite3.Connection, request: HttpRequest) -> str:
    """The id of a base of meta2: here no other type has bases."""
    asked = _Base(connection, request)
    if asked.type != "meta2":
        raise ApiFault(CONTAINER_NOT_FOUND, "Container not found")
    base.require(connection, asked.cid)
    return asked.cid


def get_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    _container(connection, request)
    return container.get_properties(connection, request)


def set_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    _container(connection, request)
    return container.set_properties(connection, request)


def del_properties(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    _container(connection, request)
    return container.del_properties(connection, request)


def freeze(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _set_status(connection, request, base.FROZEN)


def disable(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _set_status(connection, request, base.DISABLED)


def enable(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return _set_status(connection, request, base.ENABLED)


_ALREADY = {
    base.FROZEN: (CONTAINER_FROZEN, "Container frozen"),
    base.DISABLED: (CONTAINER_DISABLED, "Container disabled"),
    base.ENABLED: (439, "Already enabled"),
}


def _set_status(connection: sqlite3.Connection, request: HttpRequest, wanted: str) -> HttpReply:
    owner = properties.of_base(_container(connection, request))
    found = properties.get(connection, owner).get("sys.status", base.ENABLED)
    # A frozen base cannot be disabled, nor vice versa.
    if found == wanted or base.ENABLED not in (found, wanted):
        raise ApiFault(*_ALREADY[found])
    properties.put(connection, owner, {"sys.status": wanted})
    return answer({})


def meta0_list(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    directory.meta0(connection)
    return answer({})._replace(body=_map(tuple(directory.meta1_addresses(connection))))


@lru_cache(maxsize=1)
def _map(addresses: tuple[str, ...]) -> bytes:
    """Kept, as it is the same for all prefixes until a meta1 comes or goes."""
    holder = directory.meta1_by_prefix(addresses)
    prefixes = (f"{number:04X}" for number in range(1 << 16))
    # meta0 swaps the bytes of the prefixes in its keys.
    return answer({prefix[2:] + prefix[:2]: [holder(prefix)] for prefix in prefixes}).body


def meta0_force(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Accepted, and without effect here."""
    value = argument(request)
    if value is None:
        raise bad_request("Empty JSON mapping")
    if not isinstance(value, dict):
        raise bad_request("Invalid JSON object: must be a hash")
    return empty()
