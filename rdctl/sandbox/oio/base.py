"""A container's base: its state, its counters, and the beans (aliases, contents, chunks) in it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping
from enum import IntEnum
from urllib.parse import quote

from rdctl.sandbox.oio import directory, election, properties, rawx
from rdctl.sandbox.oio.conscience import policy
from rdctl.sandbox.oio.replies import (
    CONTAINER_FROZEN,
    CONTAINER_NOT_FOUND,
    UNAVAILABLE,
    USER_NOT_FOUND,
    ApiFault,
    bad_request,
)
from rdctl.sandbox.oio.state import NAMESPACE, container_id, new_id, now, setting
from rdctl.sandbox.oio.wsgi import HttpReply, HttpRequest, raw

# The values of sys.status, as shown: -1 and -2 in 32 bits.
ENABLED, FROZEN, DISABLED = "0", "4294967295", "4294967294"

_MARKER_CONTENT = b"DELETED".hex().upper()
_TABLES = ("main.admin", "main.aliases", "main.chunks", "main.contents", "main.properties")


class BaseAccess(IntEnum):
    """What a route requires of a base. Frozen bases are read only; disabled ones show
    properties."""

    PROPERTIES = 0
    READ = 1
    WRITE = 2


def locate(connection: sqlite3.Connection, request: HttpRequest, access: BaseAccess) -> str:
    """The id of the container that the request names; Fault 406, 431, 436, 503 without a master."""
    cid = directory.find(connection, request)
    require(connection, cid)
    _master(connection, cid)
    status = properties.get(connection, properties.of_base(cid)).get("sys.status")
    if (status == DISABLED and access >= BaseAccess.READ) or (
        status == FROZEN and access is BaseAccess.WRITE
    ):
        raise ApiFault(CONTAINER_FROZEN, "Invalid status")
    return cid


def require(connection: sqlite3.Connection, cid: str) -> None:
    if not directory.links(connection, cid, "meta2"):
        raise ApiFault(CONTAINER_NOT_FOUND, "No service located")
    if not is_there(connection, cid):
        raise ApiFault(CONTAINER_NOT_FOUND, "Container not found")


def is_there(connection: sqlite3.Connection, cid: str) -> bool:
    found = connection.execute("SELECT 1 FROM oio_bases WHERE cid = ?", (cid,)).fetchone()
    return found is not None


def crashed(connection: sqlite3.Connection, cid: str) -> HttpReply:
    """The reply to a request that crashes the service of a container, which then stays down."""
    connection.execute("INSERT INTO oio_down VALUES (?)", (_master(connection, cid),))
    return ApiFault(UNAVAILABLE, "No service replied").reply


def _master(connection: sqlite3.Connection, cid: str) -> str:
    hosts = directory.hosts(connection, cid, "meta2")
    return election.elected(connection, cid, "meta2", hosts)


def create(
    connection: sqlite3.Connection,
    account: str,
    name: str,
    user: Mapping[str, str],
    system: Mapping[str, str],
) -> bool:
    """Create the container, its reference and its account; False if it exists."""
    if not directory.fits(account, name):
        raise ApiFault(USER_NOT_FOUND, "META1 error: no such user", http=403)
    if policy(system.get("sys.m2.policy.storage", "SINGLE")) is None:
        raise ApiFault(480, "Invalid policy: not found")
    cid = container_id(account, name)
    directory.ensure(connection, account, name)
    if directory.links(connection, cid, "meta2"):
        if is_there(connection, cid):
            return False
    else:
        drop(connection, cid)  # left behind by an unlinked container
    linked = directory.link_services(connection, cid, "meta2")
    connection.execute("INSERT INTO oio_bases VALUES (?, ?)", (cid, linked[0]))
    connection.execute(
        "INSERT OR IGNORE INTO oio_accounts VALUES (?, ?, '{}')", (account, now() / 1e6)
    )
    values = {
        "schema_version": "1.8",
        "sys.account": account,
        "sys.m2.ctime": str(now()),
        "sys.m2.init": "1",
        "sys.m2.objects": "0",
        "sys.m2.usage": "0",
        "sys.m2.version": "0",
        "sys.name": f"{cid}.1",
        "sys.ns": NAMESPACE,
        "sys.status": ENABLED,
        "sys.type": "meta2",
        "sys.user.name": name,
        "sys.user.type": "",
        **{f"version:{table}": "1:0" for table in _TABLES},
    }
    values |= system
    values |= {f"user.{key}": value for key, value in user.items()}
    properties.put(connection, properties.of_base(cid), values)
    return True


def drop(connection: sqlite3.Connection, cid: str) -> None:
    """Remove the base with all that it lists; the bytes of its chunks, its links and its reference
    stay."""
    for table in ("oio_aliases", "oio_contents", "oio_chunks", "oio_bases"):
        connection.execute(f"DELETE FROM {table} WHERE cid = ?", (cid,))
    connection.execute(
        "DELETE FROM oio_properties WHERE owner IN ('base', 'content') AND cid = ?", (cid,)
    )


# Properties: the user's, and the system's


def user_properties(values: Mapping[str, str]) -> dict[str, str]:
    return {key[5:]: value for key, value in values.items() if key.startswith("user.")}


def system_properties(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if not key.startswith("user.")}


def system_headers(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """`sys.m2.usage` as x-oio-container-meta-sys-m2-usage, `schema_version` as ...-x-schema-..."""
    headers = []
    for key, value in values.items():
        name = re.sub(r"[^0-9A-Za-z]", "-", key)
        name = name if key.startswith("sys.") else f"x-{name}"
        headers.append((f"x-oio-container-meta-{name}", escaped(value)))
    return headers


def escaped(value: str) -> str:
    return quote(raw(value), safe="")


def header_name(key: str) -> str:
    """A property's name as part of a header's: unchanged, except what would end the name there."""
    return re.sub(
        r"[\x00-\x1f\x7f:]", lambda match: f"%{ord(match[0]):02X}", raw(key).decode("latin-1")
    )


def storage_policy(connection: sqlite3.Connection, values: Mapping[str, str]) -> str:
    return values.get("sys.m2.policy.storage") or setting(connection, "ns.storage_policy")


def max_versions(values: Mapping[str, str]) -> int:
    """1: no versioning; -1: no limit."""
    return integer(values.get("sys.m2.policy.version"), 1) or 1


def integer(value: str | None, default: int = 0) -> int:
    return int(value) if value and re.fullmatch(r"-?\d{1,18}", value) else default


def count(
    connection: sqlite3.Connection, cid: str, *, objects: int = 0, size: int = 0, changes: int = 1
) -> None:
    """Add to the counters sys.m2.objects and sys.m2.usage (bytes), and to sys.m2.version."""
    owner = properties.of_base(cid)
    values = properties.get(connection, owner)
    added = {"sys.m2.objects": objects, "sys.m2.usage": size, "sys.m2.version": changes}
    properties.put(
        connection,
        owner,
        {key: str(integer(values.get(key)) + number) for key, number in added.items()},
    )


# Beans

_ALIASES = (
    "SELECT a.name, a.version, a.content, a.deleted, a.ctime, a.mtime,"
    " c.hash, c.size, c.policy, c.method, c.mime, c.drained FROM oio_aliases a"
    " LEFT JOIN oio_contents c ON c.cid = a.cid AND c.id = a.content"
)


def aliases(connection: sqlite3.Connection, where: str, values: Iterable[object]) -> sqlite3.Cursor:
    """Aliases with their contents (all NULL for a delete marker); `where` begins with `a.cid = ?`.

    By name, the latest version first.
    """
    return connection.execute(
        f"{_ALIASES} WHERE {where} ORDER BY a.name, a.version DESC", (*values,)
    )


def drop_alias(connection: sqlite3.Connection, cid: str, alias: sqlite3.Row) -> int:
    """Remove one version of a content with its chunks; the bytes it counted for."""
    version = (cid, alias["name"], alias["version"])
    connection.execute(
        "DELETE FROM oio_aliases WHERE cid = ? AND name = ? AND version = ?", version
    )
    properties.clear(connection, properties.of_content(*version))
    content = (cid, alias["content"])
    others = "SELECT 1 FROM oio_aliases WHERE cid = ? AND content = ?"
    if connection.execute(others, content).fetchone() is None:
        drop_chunks(connection, cid, "content = ?", alias["content"])
        connection.execute("DELETE FROM oio_contents WHERE cid = ? AND id = ?", content)
    return alias["size"] or 0


def drop_aliases(connection: sqlite3.Connection, cid: str, dropped: Iterable[sqlite3.Row]) -> None:
    """Remove versions and their part in the counters."""
    objects = size = 0
    for alias in list(dropped):
        objects += not alias["deleted"]
        size += drop_alias(connection, cid, alias)
    count(connection, cid, objects=-objects, size=-size, changes=0)


def drop_chunks(connection: sqlite3.Connection, cid: str, where: str, *values: str) -> None:
    """Remove chunks, and their bytes from the rawx (here at once; in OpenIO by an event), although
    another container may list them, as a snapshot does before its chunks are linked."""
    chosen = f"FROM oio_chunks WHERE cid = ? AND {where}"
    urls = [row["url"] for row in connection.execute(f"SELECT url {chosen}", (cid, *values))]
    connection.execute(f"DELETE {chosen}", (cid, *values))
    for url in urls:
        address, _, id = url.removeprefix("http://").partition("/")
        rawx.drop(connection, address, id)


def versions_to_keep(connection: sqlite3.Connection, cid: str, request: HttpRequest) -> int:
    """`maxvers`, else the container's policy."""
    given = request.query.get("maxvers")
    if given is None:
        return max_versions(properties.get(connection, properties.of_base(cid)))
    if not re.fullmatch("-?[0-9]{1,18}", given):
        raise bad_request(f"Invalid maxvers parameter: {given}")
    return int(given) or 1


def purge(connection: sqlite3.Connection, cid: str, keep: int, where: str, *values: object) -> None:
    """For each name keep `keep` versions, the latest ones; all of them when `keep` is negative.
    Delete markers are neither counted nor removed."""
    if keep < 0:
        return
    seen: dict[bytes, int] = {}
    excess = []
    where = f"a.cid = ? AND NOT a.deleted AND {where}"
    for alias in aliases(connection, where, (cid, *values)):
        seen[alias["name"]] = seen.get(alias["name"], 0) + 1
        if seen[alias["name"]] > keep:
            excess.append(alias)
    drop_aliases(connection, cid, excess)


def mark_deleted(connection: sqlite3.Connection, cid: str, latest: sqlite3.Row) -> None:
    seconds = now() // 1_000_000
    connection.execute(
        "INSERT INTO oio_aliases VALUES (?, ?, ?, ?, 1, ?, ?)",
        (cid, latest["name"], latest["version"] + 1, _MARKER_CONTENT, seconds, seconds),
    )


def new_chunk_url(address: str) -> str:
    return f"http://{address}/{new_id(64)}"
