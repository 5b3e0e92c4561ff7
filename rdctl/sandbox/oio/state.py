"""The simulated namespace: its tables, its services, its first content."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import time

NAMESPACE = "OPENIO"
CHUNK_SIZE = 1 << 20

SCHEMA = """
CREATE TABLE oio_settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- score: what the conscience computed, -1 for never. locked: the score that was set by hand.
CREATE TABLE oio_services (
    ns TEXT, type TEXT, address TEXT, score INTEGER NOT NULL, locked INTEGER, tags TEXT NOT NULL,
    PRIMARY KEY (ns, type, address)
);
-- Services that were stopped or crashed, until they are started again.
CREATE TABLE oio_down (address TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE oio_pools (name TEXT PRIMARY KEY, targets TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE oio_accounts (name TEXT PRIMARY KEY, ctime REAL NOT NULL, metadata TEXT NOT NULL);
CREATE TABLE oio_account_locks (name TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
-- What was reported to the account service about a container; all NULL: to forget it. It is valid
-- while the container has that version (NULL: no container), and not after `until`.
CREATE TABLE oio_recounted (
    account TEXT, name TEXT, objects INTEGER, bytes INTEGER, mtime REAL, version BLOB, until REAL,
    PRIMARY KEY (account, name)
) WITHOUT ROWID;

CREATE TABLE oio_references (cid TEXT PRIMARY KEY, account TEXT NOT NULL, name TEXT NOT NULL);
CREATE INDEX oio_references_of ON oio_references (account, name);
CREATE TABLE oio_links (
    cid TEXT, type TEXT, seq INTEGER, host TEXT, args TEXT NOT NULL,
    PRIMARY KEY (cid, type, seq, host)
) WITHOUT ROWID;

-- The bases: those of meta2 are the containers. master: the service that won the election.
CREATE TABLE oio_bases (cid TEXT PRIMARY KEY, master TEXT NOT NULL) WITHOUT ROWID;

-- The services that have a base although the reference is not linked to them, and those that are
-- linked and have lost it.
CREATE TABLE oio_copies (
    cid TEXT, type TEXT, host TEXT, held INTEGER NOT NULL, PRIMARY KEY (cid, type, host)
) WITHOUT ROWID;

-- Of a reference or a base (name empty, version 0), or of a version of a content.
CREATE TABLE oio_properties (
    owner TEXT, cid TEXT, name BLOB, version INTEGER, key BLOB, value BLOB NOT NULL,
    PRIMARY KEY (owner, cid, name, version, key)
) WITHOUT ROWID;

-- A base's beans. An alias names a content in one version. deleted: it is a marker.
CREATE TABLE oio_aliases (
    cid TEXT, name BLOB, version INTEGER, content TEXT NOT NULL, deleted INTEGER NOT NULL,
    ctime INTEGER NOT NULL, mtime INTEGER NOT NULL,
    PRIMARY KEY (cid, name, version)
) WITHOUT ROWID;
CREATE INDEX oio_aliases_by_content ON oio_aliases (cid, content);
CREATE TABLE oio_contents (
    cid TEXT, id TEXT, hash TEXT NOT NULL, size INTEGER NOT NULL, policy TEXT NOT NULL,
    method TEXT NOT NULL, mime TEXT NOT NULL, drained INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (cid, id)
) WITHOUT ROWID;
CREATE TABLE oio_chunks (
    cid TEXT, url TEXT, content TEXT NOT NULL, pos TEXT NOT NULL, size INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (cid, url)
) WITHOUT ROWID;
CREATE INDEX oio_chunks_by_content ON oio_chunks (cid, content);
CREATE INDEX oio_chunks_by_url ON oio_chunks (url);

-- What the rawx services hold. headers: the x-oio-chunk-meta- ones as a JSON object.
CREATE TABLE oio_rawx (
    address TEXT, id TEXT, headers TEXT NOT NULL, mtime REAL NOT NULL, size INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (address, id)
);

-- What the rdir services hold: for each volume (a rawx) its chunks, as CONTAINER|CONTENT|CHUNK.
-- incident: seconds since 1970, or 0. lock: who holds it, or empty.
CREATE TABLE oio_rdir_bases (
    rdir TEXT, volume TEXT, incident INTEGER NOT NULL, lock TEXT NOT NULL,
    PRIMARY KEY (rdir, volume)
) WITHOUT ROWID;
CREATE TABLE oio_rdir (
    rdir TEXT, volume TEXT, key TEXT, mtime INTEGER NOT NULL, PRIMARY KEY (rdir, volume, key)
) WITHOUT ROWID;
-- The events that were handled.
CREATE TABLE oio_events (count INTEGER NOT NULL)
"""

# Not among the services that the conscience lists.
CONSCIENCE = "127.0.0.1:16003"
BEANSTALKD_ADDRESS = "127.0.0.1:16028"

# type, port, slots, score, volume
_SERVICES = (
    ("account", 16017, "account", 100, None),
    ("meta0", 16006, "meta0", 97, 1),
    ("meta1", 16007, "meta1", 97, 1),
    ("meta1", 16008, "meta1", 96, 2),
    ("meta2", 16009, "meta2", 97, 1),
    ("meta2", 16010, "meta2", 96, 2),
    ("meta2", 16011, "meta2", 95, 3),
    ("rawx", 16013, "rawx,rawx-odd", 93, 1),
    ("rawx", 16014, "rawx,rawx-even", 92, 2),
    ("rawx", 16015, "rawx,rawx-odd", 91, 3),
    ("rawx", 16016, "rawx,rawx-even", 90, 4),
    ("rawx", 16020, "rawx,rawx-odd", 89, 5),
    ("rawx", 16021, "rawx,rawx-even", 88, 6),
    ("rawx", 16022, "rawx,rawx-odd", 87, 7),
    ("rawx", 16023, "rawx,rawx-even", 86, 8),
    ("rawx", 16024, "rawx,rawx-odd", 85, 9),
    ("rawx", 16025, "rawx,rawx-even", 84, 10),
    ("rawx", 16026, "rawx,rawx-odd", 83, 11),
    ("rawx", 16027, "rawx,rawx-even", 82, 12),
    ("rdir", 16018, "rdir", 97, 1),
    ("rdir", 16019, "rdir", 96, 2),
    ("sqlx", 16012, "sqlx", 97, 1),
)
ACCOUNT_ADDRESS = "127.0.0.1:16017"
RAWX_ADDRESSES = tuple(f"127.0.0.1:{port}" for type, port, *_ in _SERVICES if type == "rawx")
RDIR_ADDRESSES = tuple(f"127.0.0.1:{port}" for type, port, *_ in _SERVICES if type == "rdir")

# The proxy's `config`; changes are stored in oio_settings.
SETTINGS = {
    "core.sds.autocreate": "off",
    "core.sds.noshuffle": "off",
    "core.sds.strict_utf8": "on",
    "core.sds.timeout.cnx.rawx": "5.000000",
    "core.sds.timeout.req.rawx": "60.000000",
    "core.sds.version": "4.2",
    "gridd.timeout.connect.common": "4.000000",
    "gridd.timeout.single.common": "30.000000",
    "gridd.timeout.whole.common": "30.000000",
    "meta0.outgoing.timeout.common.req": "10.000000",
    "meta1.outgoing.timeout.common.req": "10.000000",
    "ns.chunk_size": str(CHUNK_SIZE),
    "ns.flat_bits": "17",
    "ns.master": "on",
    "ns.meta1_digits": "4",
    "ns.service_update_policy": (
        "meta2=KEEP|3|1;sqlx=KEEP|1|1|;rdir=KEEP|1|1|user_is_a_service=rawx"
    ),
    "ns.storage_policy": "THREECOPIES",
    "ns.worm": "off",
    "proxy.bulk.max.create_many": "100",
    "proxy.bulk.max.delete_many": "100",
    "proxy.cache.enabled": "on",
    "proxy.period.cs.downstream": "5",
}


def setting(connection: sqlite3.Connection, name: str, service: str = "") -> str:
    """A variable of the proxy, or of another service."""
    key = f"{service} {name}" if service else name
    row = connection.execute("SELECT value FROM oio_settings WHERE name = ?", (key,)).fetchone()
    return row["value"].decode("utf-8", "replace") if row else SETTINGS[name]


# The releases that the sandbox simulates: what differs is in `later`.
RELEASES = ("4.2", "5", "7", "2025")
# Their key among the settings, which is none of a proxy.
_RELEASE = "sandbox release"


def release(connection: sqlite3.Connection) -> str:
    sought = "SELECT value FROM oio_settings WHERE name = ?"
    row = connection.execute(sought, (_RELEASE,)).fetchone()
    return row["value"].decode() if row else RELEASES[0]


def set_release(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("REPLACE INTO oio_settings VALUES (?, ?)", (_RELEASE, name.encode()))


def is_since(connection: sqlite3.Connection, first: str) -> bool:
    return RELEASES.index(release(connection)) >= RELEASES.index(first)


def is_down(connection: sqlite3.Connection, address: str) -> bool:
    found = connection.execute("SELECT 1 FROM oio_down WHERE address = ?", (address,)).fetchone()
    return found is not None


def now() -> int:
    """The time in microseconds."""
    return time.time_ns() // 1000


def new_id(digits: int) -> str:
    return secrets.token_hex(digits // 2).upper()


def container_id(account: str, name: str) -> str:
    return hashlib.sha256(f"{account}\0{name}".encode()).hexdigest().upper()


def seed_services(connection: sqlite3.Connection) -> None:
    connection.executemany(
        "INSERT INTO oio_services VALUES (?, ?, ?, ?, NULL, ?)",
        [
            (NAMESPACE, type, f"127.0.0.1:{port}", score, json.dumps(_tags(type, slots, volume)))
            for type, port, slots, score, volume in _SERVICES
        ],
    )


def _tags(type: str, slots: str, volume: int | None) -> dict[str, object]:
    tags: dict[str, object] = {"tag.up": True, "tag.slots": slots, "stat.cpu": 99.5}
    if volume:
        tags |= {
            "tag.loc": f"srv1.vol{volume}",
            "tag.vol": f"/var/lib/oio/sds/{NAMESPACE}-{type}-{volume}",
            "stat.space": 71.25,
            "stat.io": 100.0,
        }
    return tags
