"""The conscience: services, scores, pools, and the choice among them (conscience/, lb/, local/)."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from rdctl.sandbox.oio.replies import (
    SERVICE_NOT_MANAGED,
    UNSATISFIABLE,
    ApiFault,
    answer,
    argument,
    bad_request,
    empty,
    object_argument,
    status_of,
)
from rdctl.sandbox.oio.state import CHUNK_SIZE, NAMESPACE, is_since, now, setting
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest

TYPES = (
    "account",
    "echo",
    "meta0",
    "meta1",
    "meta2",
    "oiofs",
    "rawx",
    "rdir",
    "redis",
    "sqlx",
)

_POLICIES = {
    "SINGLE": "NONE:NONE",
    "TWOCOPIES": "rawx2:DUPONETWO",
    "THREECOPIES": "rawx3:DUPONETHREE",
    "17COPIES": "rawx17:DUP17",
    "EC": "NONE:EC",
    "EC42": "NONE:EC42",
    "EC21": "NONE:EC21",
    "BACKBLAZE": "NONE:BACKBLAZE",
}
_POOLS = {
    "account": "1,account",
    "fastrawx3": "3,rawx-ssd,rawx",
    "meta1": "1,meta1",
    "meta2": "1,meta2",
    "rawx2": "1,rawx-even,rawx;1,rawx-odd,rawx",
    "rawx3": "1,rawx-even,rawx;1,rawx-odd,rawx;1,rawx",
    "rawx3faraway": "3,rawx;min_dist=2;warn_dist=2",
    "rawx3nearby": "3,rawx;nearby_mode=true;warn_dist=2",
    "rawxevenodd": "1,rawx-even;1,rawx-odd",
    "zonedrawx3": "1,rawx-europe,rawx;1,rawx-usa,rawx;1,rawx-asia,rawx",
}
_SECURITIES = {
    "DUPONETWO": "plain/distance=1,nb_copy=2",
    "DUPONETHREE": "plain/distance=1,nb_copy=3",
    "DUP17": "plain/distance=1,nb_copy=17",
    "EC": "ec/k=6,m=3,algo=liberasurecode_rs_vand,distance=1",
    "EC42": "ec/k=4,m=2,algo=liberasurecode_rs_vand,distance=1",
    "EC21": "ec/k=2,m=1,algo=liberasurecode_rs_vand,distance=1",
    "BACKBLAZE": "backblaze/account_id=None,bucket_name=None,distance=0,nb_copy=1",
}

_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}:\d{1,5}")


class Registered(NamedTuple):
    """score: 0 when down or locked there, -1 if it was never computed."""

    type: str
    address: str
    score: int
    tags: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{NAMESPACE}|{self.type}|{self.address}"


class Policy(NamedTuple):
    """`copies` is the number of chunks of a part: replicas, or with `k` that many data fragments
    and the parity. `method` is that of x-oio-content-meta-chunk-method."""

    pool: str
    copies: int
    method: str
    k: int = 0

    def position(self, part: int, number: int) -> str:
        return f"{part}.{number}" if self.k else str(part)


def is_address(value: object) -> bool:
    return isinstance(value, str) and _ADDRESS.fullmatch(value) is not None


def services(connection: sqlite3.Connection, type: str | None = None) -> list[Registered]:
    rows = connection.execute(
        "SELECT type, address, tags, CASE WHEN address IN (SELECT address FROM oio_down) THEN 0"
        " ELSE coalesce(locked, score) END AS score FROM oio_services"
        " WHERE ns = ? AND (? IS NULL OR type = ?) ORDER BY rowid",
        (NAMESPACE, type, type),
    )
    return [
        Registered(
            type=row["type"],
            address=row["address"],
            score=row["score"],
            tags=json.loads(row["tags"]),
        )
        for row in rows
    ]


def policy(name: str) -> Policy | None:
    known = _POLICIES.get(name)
    if known is None:
        return None
    pool, security = known.split(":")
    method, _, options = _SECURITIES.get(security, "plain/nb_copy=1").partition("/")
    values = dict(option.split("=") for option in options.split(","))
    if method == "ec":
        k, m = int(values["k"]), int(values["m"])
        return Policy(pool, k + m, f"ec/algo={values['algo']},k={k},m={m}", k)
    copies = int(values["nb_copy"])
    return Policy(pool, copies, f"{method}/nb_copy={copies}")


# Each target is a service to poll: the slots to try, in that order.
Targets = list[list[str]]


def targets_of(connection: sqlite3.Connection, pool: str) -> Targets | None:
    row = connection.execute("SELECT targets FROM oio_pools WHERE name = ?", (pool,)).fetchone()
    described = row["targets"] if row else _POOLS.get(pool, f"1,{pool}" if pool in TYPES else None)
    if described is None:
        return None
    targets: Targets = []
    for part in described.split(";"):
        count, *slots = part.split(",")
        if re.fullmatch("[0-9]{1,3}", count):
            targets += [slots] * int(count)
    return targets


def targets_for(connection: sqlite3.Connection, storage: Policy) -> Targets:
    return targets_of(connection, storage.pool) or [["rawx"]] * storage.copies


def poll(
    connection: sqlite3.Connection,
    targets: Targets,
    *,
    pool: str = "",
    avoid: Collection[str] = (),
    known: Collection[str] = (),
) -> list[Registered]:
    """One service for each target that `known` leaves open, no service twice; Fault 481."""
    return choice(services(connection), targets, pool=pool, avoid=avoid, known=known)[0]


def choice(
    registered: list[Registered],
    targets: Targets,
    *,
    pool: str = "",
    avoid: Collection[str] = (),
    known: Collection[str] = (),
) -> tuple[list[Registered], bool]:
    """The same among these services, and whether another slot than the first had to be used."""
    scored = [service for service in registered if service.score > 0]
    flawed = False
    chosen: list[Registered] = []
    for slots in targets[len(known) :]:
        for slot in slots:
            candidates = [
                service
                for service in scored
                if _in_slot(service, slot)
                and service not in chosen
                and service.id not in avoid
                and service.id not in known
            ]
            if candidates:
                chosen.append(random.choice(candidates))
                flawed = flawed or slot != slots[0]
                break
        else:
            polled = len(known) + len(chosen)
            filled = sum(_in_slot(service, slots[0]) for service in scored)
            raise ApiFault(
                UNSATISFIABLE,
                f"found only {len(chosen)} services matching the criteria"
                + (f" (pool={pool})" if pool else "")
                + f": no service polled from [{slots[0]}], {polled}/{len(targets)}"
                f" services polled, {filled} services in slot",
            )
    return chosen, flawed


def _in_slot(service: Registered, slot: str) -> bool:
    return slot == service.type or slot in str(service.tags.get("tag.slots", "")).split(",")


# Routes: conscience/ and local/


def info(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    if request.query.get("what") == "types":
        return answer(TYPES)
    return answer(
        {
            "ns": NAMESPACE,
            "chunksize": CHUNK_SIZE,
            "options": {
                "flat_bitlength": 17,
                "storage_policy": setting(connection, "ns.storage_policy"),
                "service_update_policy": setting(connection, "ns.service_update_policy"),
            },
            "storage_policy": _POLICIES,
            "service_pools": _POOLS,
            "data_security": _SECURITIES,
        }
    )


def list_services(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    full = request.flag("full")
    listed = []
    for service in services(connection, _managed_type(request)):
        tags = {key: tag for key, tag in service.tags.items() if full or key.startswith("tag.")}
        entry = {"addr": service.address, "score": service.score, "tags": tags}
        if is_since(connection, "5"):
            _add_locks(connection, service, entry)
        listed.append(entry)
    return answer(listed)


def _add_locks(connection: sqlite3.Connection, service: Registered, entry: dict[str, Any]) -> None:
    """What later releases report. Of one direction, the sandbox locks only that for writing."""
    sought = "SELECT score, locked FROM oio_services WHERE ns = ? AND type = ? AND address = ?"
    row = connection.execute(sought, (NAMESPACE, service.type, service.address)).fetchone()
    locked = row["locked"] is not None
    both = locked and not _is_put_only(connection, service.address)
    entry["tags"]["tag.lock"] = both
    if is_since(connection, "2025"):
        entry["tags"] |= {"tag.putlock": locked, "tag.getlock": both}
        get = row["score"] if locked and not both else service.score
        entry["scores"] = {"score.put": service.score, "score.get": get}


def _is_put_only(connection: sqlite3.Connection, address: str) -> bool:
    sought = "SELECT 1 FROM oio_settings WHERE name = ?"
    return connection.execute(sought, (f"{address} put only",)).fetchone() is not None


def _set_put_only(connection: sqlite3.Connection, address: str, only: bool) -> None:
    connection.execute("DELETE FROM oio_settings WHERE name = ?", (f"{address} put only",))
    if only:
        connection.execute("INSERT INTO oio_settings VALUES (?, ?)", (f"{address} put only", b"1"))


def register(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    for ns, type, address, values in _described(request):
        tags = values.get("tags")
        tags = tags if isinstance(tags, dict) else {}
        connection.execute(
            "INSERT INTO oio_services VALUES (?, ?, ?, ?, NULL, ?)"
            " ON CONFLICT (ns, type, address) DO UPDATE"
            " SET score = excluded.score, tags = excluded.tags",
            (ns, type, address, _score(tags), json.dumps(tags)),
        )
    return empty()


def lock(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    for ns, type, address, values in _described(request):
        put = (values.get("scores") or {}).get("score.put")
        score = max(0, min(100, values.get("score", 0) if put is None else put))
        _set_put_only(connection, address, put is not None and is_since(connection, "2025"))
        connection.execute(
            "INSERT INTO oio_services VALUES (?, ?, ?, -1, ?, '{}')"
            " ON CONFLICT (ns, type, address) DO UPDATE SET locked = excluded.locked",
            (ns, type, address, score),
        )
    return empty()


def unlock(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    connection.executemany(
        "UPDATE oio_services SET locked = NULL WHERE ns = ? AND type = ? AND address = ?",
        [(ns, type, address) for ns, type, address, _ in _described(request)],
    )
    return empty()


def deregister(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """Drops every service of the type: before 6, to name one in the body is not implemented."""
    if is_since(connection, "7"):
        connection.executemany(
            "DELETE FROM oio_services WHERE ns = ? AND type = ? AND address = ?",
            [(ns, type, address) for ns, type, address, _ in _described(request)],
        )
        return empty()
    if argument(request) is not None:
        raise ApiFault(501, "NYI")
    return flush(connection, request)


def flush(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    type = _managed_type(request)
    connection.execute("DELETE FROM oio_services WHERE ns = ? AND type = ?", (NAMESPACE, type))
    return answer(status_of(200, "OK"))


def resolve(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    type = _managed_type(request)
    wanted = request.query.get("service_id")
    if not wanted:
        raise bad_request("Missing service id")
    for service in services(connection, type):
        if wanted in (service.address, service.tags.get("tag.service_id")):
            return answer({"addr": service.address})
    raise ApiFault(503, f"Conscience error: Service ID [{wanted}] not found")


def list_local(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    """What registered through this proxy; scores are unset (-2) there."""
    type = _managed_type(request) if request.has("type") else None
    rows = connection.execute(
        "SELECT ns, type, address, tags FROM oio_services"
        " WHERE ? IS NULL OR (ns = ? AND type = ?) ORDER BY rowid",
        (type, NAMESPACE, type),
    )
    return answer(
        [
            {
                "addr": row["address"],
                "score": -2,
                **({} if type else {"ns": row["ns"], "type": row["type"]}),
                "tags": json.loads(row["tags"]),
            }
            for row in rows
        ]
    )


def _managed_type(request: HttpRequest) -> str:
    type = request.query.get("type")
    if not type:
        raise bad_request("Missing type")
    if type not in TYPES:
        raise ApiFault(SERVICE_NOT_MANAGED, "Unexpected service type")
    return type


def _described(request: HttpRequest) -> list[tuple[str, str, str, dict[str, Any]]]:
    """The services in the body, one or an array: namespace, type, address, all fields."""
    value = argument(request)
    described = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            raise bad_request("Expected: json object")
        if "addr" not in item:
            raise bad_request("Missing field [addr]")
        if not is_address(item["addr"]):
            raise bad_request("Invalid address")
        if item.get("type") not in TYPES:
            raise bad_request("Service type currently unknown")
        if type(item.get("score", 0)) is not int:
            raise bad_request("Invalid type for field [score]")
        described.append((str(item.get("ns", NAMESPACE)), item["type"], item["addr"], item))
    return described


def _score(tags: dict[str, Any]) -> int:
    """The result of the conscience's expressions here: the scarcest resource, in percent."""
    stats = [tags.get(f"stat.{name}") for name in ("cpu", "io", "space")]
    known = [stat for stat in stats if isinstance(stat, (int, float))]
    return max(0, min(100, int(min(known)))) if known else -1


# Routes: lb/ and cache/show


def choose(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    type = request.query.get("type", "")
    if type not in TYPES:
        raise ApiFault(SERVICE_NOT_MANAGED, "Invalid TYPE")
    size = request.query.get("size", "1")
    if not re.fullmatch("[0-9]{1,4}", size):
        raise bad_request("Invalid size")
    slot = request.query.get("slot")
    slots = [type]
    if slot:
        slots = [slot if slot.startswith(type) else f"{type}-{slot}", type]
    return _choice(choice(_known(connection), [slots] * max(1, int(size))))


def poll_pool(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    name, pool = request.query.get("policy"), request.query.get("pool")
    if name:
        storage = policy(name)
        if storage is None:
            raise ApiFault(UNSATISFIABLE, f"Invalid storage policy: {name}")
        targets = targets_for(connection, storage)
    elif pool:
        found = targets_of(connection, pool)
        if found is None:
            raise bad_request(
                f"found only 0 services matching the criteria: pool [{pool}] not found"
            )
        targets = found
    else:
        raise ApiFault(400, "Missing policy or pool parameter", http=404)
    wishes = object_argument(request) if request.body else {}
    avoid, known = (_ids(wishes, name) for name in ("avoid", "known"))
    return _choice(choice(_known(connection), targets, avoid=avoid, known=known))


def _ids(wishes: dict[str, Any], name: str) -> list[str]:
    value = wishes.get(name) or []
    if not isinstance(value, list):
        raise bad_request(f"Invalid type for field [{name}]")
    return [item for item in value if isinstance(item, str)]


def create_pool(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    name = request.query.get("name")
    if not name:
        raise bad_request("Missing name parameter")
    if targets_of(connection, name) is not None:
        raise ApiFault(421, f"A pool named [{name}] already exists")
    targets = object_argument(request).get("targets")
    if not isinstance(targets, str):
        raise bad_request("Missing field [targets]")
    connection.execute("INSERT INTO oio_pools VALUES (?, ?)", (name, targets))
    return empty(201)


def show_cache(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    return answer(_by_id(sorted(_known(connection))))


def forget_services(connection: sqlite3.Connection) -> None:
    """The proxy knows no services until it asks the conscience again."""
    connection.execute(
        "INSERT OR REPLACE INTO oio_settings VALUES (?, ?)", (_FORGOTTEN, str(now()).encode())
    )


_FORGOTTEN = "time of the last flush of the services"


def _known(connection: sqlite3.Connection) -> list[Registered]:
    """The services that the proxy knows."""
    row = connection.execute(
        "SELECT value FROM oio_settings WHERE name = ?", (_FORGOTTEN,)
    ).fetchone()
    period = int(setting(connection, "proxy.period.cs.downstream")) * 1_000_000
    if row is not None and now() < int(row["value"]) + period:
        return []
    return services(connection)


def _choice(made: tuple[Sequence[Registered], bool]) -> HttpReply:
    chosen, flawed = made
    return answer(_by_id(chosen), [("x-oio-lb-flawed", "1")] if flawed else [])


def _by_id(chosen: Sequence[Registered]) -> list[dict[str, str]]:
    return [{"addr": service.address, "id": service.id} for service in chosen]
