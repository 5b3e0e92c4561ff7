"""rapiddiskd 9.2.0 simulated: a WSGI app that answers and refuses as the daemon was seen to.

Faults of the daemon are kept where a client must cope with them (the number that it chooses, sizes
that wrap at 64 bits, Success for what the kernel refused). It does not die of long names, and
nothing is ever mounted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from sqlite3 import Connection, Row
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes
from zlib import crc32

from rdctl.sandbox.store import Store

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

VERSION = "9.2.0"

SCHEMA = """
CREATE TABLE rd_memory (total INTEGER, free INTEGER);  -- bytes; free as if no volume held data
CREATE TABLE rd_disks (name TEXT PRIMARY KEY, size INTEGER, vendor TEXT, model TEXT);
CREATE TABLE rd_volumes (
    name TEXT PRIMARY KEY,
    size INTEGER,        -- bytes, as signed 64 bits: the daemon lists it so
    usage INTEGER,       -- bytes
    high_water INTEGER,  -- bytes: the end of the highest write since the last flush
    locked INTEGER
);
CREATE TABLE rd_caches (
    name TEXT PRIMARY KEY,
    volume TEXT,
    source TEXT,
    minor INTEGER,       -- of its node /dev/dm-N
    counters TEXT        -- JSON, in the order of the wire
);
CREATE TABLE rd_ports (id INTEGER PRIMARY KEY, address TEXT, protocol TEXT);
CREATE TABLE rd_namespaces (
    nqn TEXT, id INTEGER, device TEXT, enabled INTEGER, PRIMARY KEY (nqn, id)
);
CREATE TABLE rd_hosts (nqn TEXT, host TEXT, PRIMARY KEY (nqn, host));
CREATE TABLE rd_links (nqn TEXT, port INTEGER, PRIMARY KEY (nqn, port));
"""

_MIB = 1 << 20
_PAGE = 4096
_SECTOR = 512
_WORD = 1 << 64
_MAX_VOLUMES = 1024
_MAX_NAME = 255  # bytes of a file name
_MAX_TARGET = 32 * 1024  # bytes of a request target
_PROBED = 261  # blocks that udev reads of every new mapping

_MODES = {"rc-wt": "write-through", "rc-wb": "writeback"}  # by the name; else write-around
_POLICIES = {"write-through": "rc-wt", "write-around": "rc-wa", "write-back": "rc-wb"}
_LISTED_DISKS = ("sd", "nvme", "pmem")
_NOT_BLOCK = ("null", "zero", "full", "random", "urandom", "tty", "mapper", "disk")

_DISKS = (
    {"device": "sda", "size": 512 * _MIB, "vendor": "QEMU", "model": "QEMU"},
    {"device": "sdb", "size": 1024 * _MIB, "vendor": "QEMU", "model": "QEMU"},
    {"device": "nvme0n1", "size": 8192 * _MIB, "vendor": "UNAVAILABLE", "model": "QEMU"},
    {"device": "vdb", "size": 512 * _MIB, "vendor": "UNAVAILABLE", "model": "UNAVAILABLE"},
    {"device": "vdc", "size": 512 * _MIB, "vendor": "UNAVAILABLE", "model": "UNAVAILABLE"},
)
_MEMORY = {"total": 4103258112, "free": 3502264320}

_SEED: dict[str, Any] = {
    "volumes": [{"device": "rd0", "size": 32 * _MIB, "usage": 16384}],
    "ports": [
        {"port": 1, "address": "127.0.0.1", "protocol": "tcp"},
        {"port": 2, "address": "UNDEFINED", "protocol": "loop"},
    ],
    "targets": [
        {
            "nqn": "nqn.2021-06.org.rapiddisk:sandbox-rd0",
            "device": "/dev/rd0",
            "hosts": ["nqn.2014-08.org.nvmexpress:uuid:0f7c6d1e-6c5e-4b8e-9d3a-2f1f6a1b2c3d"],
            "ports": [1],
        }
    ],
}

_CACHE_COUNTERS = (
    "reads",
    "writes",
    "cache_hits",
    "replacement",
    "write_replacement",
    "read_invalidates",
    "write_invalidates",
    "uncached_reads",
    "uncached_writes",
    "disk_reads",
    "disk_writes",
    "cache_reads",
    "cache_writes",
)
_WRITEBACK_COUNTERS = (
    "errors",
    "num_blocks",
    "num_free_blocks",
    "num_wb_blocks",
    "num_read_req",
    "num_read_cache_hits",
    "num_write_req",
    "num_write_uncommitted_blk_hits",
    "num_write_committed_blk_hits",
    "num_write_cache_bypass",
    "num_write_cache_alloc",
    "num_write_freelist_blocked",
    "num_flush_req",
    "num_discard_req",
)

_TOO_BIG = (
    b"<html><head><title>Request too big</title></head><body>Your HTTP header was too big"
    b" for the memory constraints of this webserver.</body></html>"
)

Reply = dict[str, Any]
Counters = dict[str, int]


def seed(connection: Connection) -> None:
    """The state of a new sandbox: one small volume, exported over TCP."""
    load_state(connection, _SEED)


def load_state(connection: Connection, state: dict[str, Any]) -> None:
    """Replace everything that is simulated by `state`; what it does not name does not exist.

    Lists of dicts: `volumes` (device, size; usage, high_water, locked), `caches` (device, cache,
    source; counters), `ports` (port, address, protocol), `targets` (nqn, device; namespace,
    enabled, hosts, ports), `disks` (device, size, vendor, model) and the dict `memory` (total,
    free). Sizes are bytes. Without `disks` or `memory` they are those of a new sandbox.
    """
    tables = "memory disks volumes caches ports namespaces hosts links"
    for table in tables.split():
        connection.execute(f"DELETE FROM rd_{table}")
    memory = state.get("memory", _MEMORY)
    connection.execute("INSERT INTO rd_memory VALUES (?, ?)", (memory["total"], memory["free"]))
    for disk in state.get("disks", _DISKS):
        connection.execute(
            "INSERT INTO rd_disks VALUES (?, ?, ?, ?)",
            (disk["device"], disk["size"], disk["vendor"], disk["model"]),
        )
    for volume in state.get("volumes", ()):
        usage = volume.get("usage", 0)
        high_water = volume.get("high_water", usage)
        connection.execute(
            "INSERT INTO rd_volumes VALUES (?, ?, ?, ?, ?)",
            (volume["device"], volume["size"], usage, high_water, volume.get("locked", False)),
        )
    for cache in state.get("caches", ()):
        size = _volumes(connection)[cache["cache"]]["size"]
        counters = _fresh(cache["device"], size) | cache.get("counters", {})
        _insert_cache(connection, cache["device"], cache["cache"], cache["source"], counters)
    for port in state.get("ports", ()):
        connection.execute(
            "INSERT INTO rd_ports VALUES (?, ?, ?)",
            (port["port"], port["address"], port["protocol"]),
        )
    for target in state.get("targets", ()):
        _insert_target(connection, target)


class RapidDiskd:
    """The daemon as a WSGI app over a `Store`.

    Reads the request target from `REQUEST_URI`, since it decodes the target itself. Sends
    Content-Length only, never a Content-Type; Date and Connection are the server's.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method: str = environ["REQUEST_METHOD"]
        target: str = environ["REQUEST_URI"]
        if len(target) > _MAX_TARGET:
            status, body = "414 URI Too Long", _TOO_BIG
        else:
            status, body = self._answer(method, _path(target))
        start_response(status, [("Content-Length", str(len(body)))])
        return [] if method == "HEAD" else [body]

    def _answer(self, method: str, path: str) -> tuple[str, bytes]:
        try:
            return "200 OK", _json(self._reply(method, path))
        except _Refusal as refusal:
            return refusal.status, _json(_failed(refusal.message))

    def _reply(self, method: str, path: str) -> Reply:
        if method not in ("GET", "POST"):
            raise _Refusal(None, bad_request=True)
        route = _route(method, path)
        arguments: list[str] = []
        if route.arguments is not None:
            arguments = [part for part in path[len(route.path) :].split("/") if part]
            if len(arguments) != route.arguments:
                raise _Refusal(
                    "Error: wrong number of arguments or malformed URL.", bad_request=True
                )
        with self.store.change() if route.changes else self.store.look() as connection:
            return route.answer(connection, *arguments)


class _Refusal(Exception):
    """The daemon does nothing and says `Failed`: within a 200 unless it is a bad request."""

    def __init__(self, message: str | None, *, bad_request: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.status = "400 Bad Request" if bad_request else "200 OK"


def _path(target: str) -> str:
    """The path as the daemon sees it; bytes that are not UTF-8 become lone surrogates."""
    path = unquote_to_bytes(target.partition("?")[0].encode("latin-1"))
    return path.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _json(reply: Reply) -> bytes:
    try:
        return json.dumps(reply, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a name that is not UTF-8 in the message
        return json.dumps({"status": reply["status"]}).encode()


def _failed(message: str | None) -> Reply:
    return {"status": "Failed"} if message is None else {"status": "Failed", "message": message}


def _success(message: str) -> Reply:
    return {"status": "Success", "message": message}


# Listings


def _check_service_status(connection: Connection) -> Reply:
    return {"status": "OK", "version": VERSION}


def _list_all_resources(connection: Connection) -> Reply:
    memory = connection.execute("SELECT total, free FROM rd_memory").fetchone()
    used = sum(volume["usage"] for volume in _volumes(connection).values())
    disks = _named(connection, "rd_disks")
    return {
        "resources": [
            {"memory": [{"mem_total": memory["total"], "mem_free": max(0, memory["free"] - used)}]},
            {
                "volumes": [
                    {
                        "device": name,
                        "size": disk["size"],
                        "vendor": disk["vendor"],
                        "model": disk["model"],
                    }
                    for name, disk in disks.items()
                    if name.startswith(_LISTED_DISKS)
                ]
            },
        ]
    }


def _list_volumes(connection: Connection) -> Reply:
    return {
        "volumes": [
            {
                "rapiddisk": [
                    {
                        "device": name,
                        "size": volume["size"],
                        "usage": volume["usage"],
                        "status": "locked" if volume["locked"] else "unlocked",
                    }
                    for name, volume in _volumes(connection).items()
                ]
            },
            {
                "rapiddisk_cache": [
                    {
                        "device": name,
                        "cache": _slaves(cache)[0],
                        "source": _slaves(cache)[1],
                        "mode": _MODES.get(name[:5], "write-around"),
                    }
                    for name, cache in _caches(connection).items()
                ]
            },
        ]
    }


def _list_targets(connection: Connection) -> Reply:
    rows = connection.execute("SELECT nqn, id, device, enabled FROM rd_namespaces ORDER BY id")
    namespaces: dict[str, list[Row]] = {}
    for row in rows:
        namespaces.setdefault(row["nqn"], []).append(row)
    return {
        "targets": [
            {
                "nvmet_targets": [
                    {
                        "nqn": nqn,
                        "namespace": row["id"],
                        "device": row["device"],
                        "enabled": "true" if row["enabled"] else "false",
                        "allowed_hosts": _hosts(connection, nqn),
                        "assigned_ports": _ports(connection, nqn),
                    }
                    for nqn in _directory(namespaces)
                    for row in namespaces[nqn]
                ]
            }
        ]
    }


def _list_ports(connection: Connection) -> Reply:
    return {"targets": [{"nvmet_ports": _ports(connection)}]}


def _hosts(connection: Connection, nqn: str) -> list[Reply]:
    rows = connection.execute("SELECT host FROM rd_hosts WHERE nqn = ?", (nqn,))
    return [{"host": host} for host in _directory(row["host"] for row in rows)]


def _ports(connection: Connection, nqn: str | None = None) -> list[Reply]:
    """The ports, or those on which a subsystem is exported."""
    ports = {str(row["id"]): row for row in connection.execute("SELECT * FROM rd_ports")}
    names: Iterable[str] = ports
    if nqn is not None:
        links = connection.execute("SELECT port FROM rd_links WHERE nqn = ?", (nqn,))
        names = {str(link["port"]) for link in links} & ports.keys()
    return [
        {
            "port": ports[name]["id"],
            "address": ports[name]["address"],
            "protocol": ports[name]["protocol"],
        }
        for name in _directory(names)
    ]


# Volumes


def _create(connection: Connection, size: str) -> Reply:
    mib = _number(size)
    volumes = _volumes(connection)
    number = _free_number(volumes)
    # The daemon does not look at the kernel's answer, so what the kernel refuses is Success too.
    if number >= 0 and len(volumes) < _MAX_VOLUMES:
        connection.execute(
            "INSERT INTO rd_volumes VALUES (?, ?, 0, 0, FALSE)",
            (f"rd{number}", _signed(mib * _MIB)),
        )
    return _success(f"Attached device rd{number} of size {mib} Mbytes.")


def _free_number(volumes: Iterable[str]) -> int:
    """The daemon's choice: any name that contains "rd1", such as rd10, hides the free number 1."""
    names = list(volumes)
    number = len(names)
    while number >= 0 and any(f"rd{number}" in name for name in names):
        number -= 1
    return number


def _remove(connection: Connection, name: str) -> Reply:
    _volume(connection, name)
    _refuse_mapped(connection, name)
    connection.execute("DELETE FROM rd_volumes WHERE name = ?", (name,))
    return _success(f"Detached device {name}.")


def _resize(connection: Connection, name: str, size: str) -> Reply:
    mib = _number(size)
    if not _volumes(connection):
        raise _Refusal(None)
    volume = _volume(connection, name)
    current = volume["size"] % _WORD
    written = volume["high_water"]
    larger = f"Please specify a size larger than {written // _MIB} Mbytes."
    if mib * 1024 % _WORD == current // 1024:
        raise _Refusal(f"Error. Size is currently set to {current // _MIB} Mbytes. {larger}")
    if mib * _MIB % _WORD // _SECTOR <= written // _SECTOR:
        raise _Refusal(f"Error. {larger}")
    connection.execute("UPDATE rd_volumes SET size = ? WHERE name = ?", (_signed(mib * _MIB), name))
    return _success(f"Resized device {name} to {mib} Mbytes.")


def _flush(connection: Connection, name: str) -> Reply:
    _volume(connection, name)
    _refuse_mapped(connection, name)
    # Even a refused erase sets the kernel's counters to 0, although the data stays.
    connection.execute("UPDATE rd_volumes SET usage = 0, high_water = 0 WHERE name = ?", (name,))
    if _is_open(connection, name, f"/dev/{name}"):
        return _failed("mem_device_flush: ioctl: Device or resource busy")
    return _success(f"Flushed all data from device {name}.")


def _lock(connection: Connection, name: str) -> Reply:
    _set_locked(connection, name, True)
    return _success(f"Device {name} is now set to read-only")


def _unlock(connection: Connection, name: str) -> Reply:
    _set_locked(connection, name, False)
    return _success(f"Device {name} is now set to read-write")


def _set_locked(connection: Connection, name: str, locked: bool) -> None:
    _volume(connection, name)
    connection.execute("UPDATE rd_volumes SET locked = ? WHERE name = ?", (locked, name))


# Caches


def _map(connection: Connection, name: str, source: str, policy: str) -> Reply:
    prefix = _POLICIES.get(policy)
    if prefix is None:
        raise _Refusal("Invalid cache mode in URL.", bad_request=True)
    volume = _volume(connection, name)
    caches = _caches(connection)
    for other, cache in caches.items():
        used_volume, used_source = _slaves(cache)
        if name == used_volume or source == used_source:
            raise _Refusal(
                f"Error. At least one of your cache/source devices is currently mapped to {other}."
            )
    _open_source(connection, source)
    device = f"{prefix}_{source}"
    # What the kernel refuses: a name in use, no room for one set of blocks or for the superblock.
    if device in caches or volume["size"] % _WORD < (_MIB if prefix == "rc-wb" else 2 * _MIB):
        raise _Refusal("Error. Unable to create map. Please verify all input values are correct.")
    counters = _fresh(device, volume["size"])
    _insert_cache(connection, device, name, source, counters)
    _use_volume(connection, name, device, counters)
    return _success(f"Command to map {device} with {name} and /dev/{source} has been sent.")


def _open_source(connection: Connection, source: str) -> None:
    nodes = {f"dm-{cache['minor']}" for cache in _caches(connection).values()}
    if source in _volumes(connection) or source in _named(connection, "rd_disks"):
        return
    if source in nodes:
        return
    if source in _NOT_BLOCK:
        raise _Refusal("cache_device_map: ioctl: Inappropriate ioctl for device")
    if len(source.encode("utf-8", "surrogateescape")) > _MAX_NAME:
        raise _Refusal("cache_device_map: open: File name too long")
    raise _Refusal("cache_device_map: open: No such file or directory")


def _unmap(connection: Connection, name: str) -> Reply:
    cache = _caches(connection).get(name)
    if cache is None:
        raise _Refusal(f"Error. Cache target {name} does not exist.")
    node = f"dm-{cache['minor']}"
    if _is_open(connection, node, f"/dev/{node}", f"/dev/mapper/{name}"):
        raise _Refusal(
            f"Error. Unable to unmap {name}. Please check to make sure nothing is wrong."
        )
    connection.execute("DELETE FROM rd_caches WHERE name = ?", (name,))
    return _success(f"Command to unmap {name} has been sent.")


def _show_stats(connection: Connection, name: str) -> Reply:
    """The counters; then some more work is done on the cache, so that the next look shows it."""
    cache = _caches(connection).get(name)
    if cache is None:
        raise _Refusal("Can't get device status.", bad_request=True)
    counters: Counters = json.loads(cache["counters"])
    reply = {"statistics": [{"cache_stats": [{"device": name, **counters}]}]}
    volume = _volumes(connection).get(cache["volume"])
    if volume is not None:
        _work(name, counters, volume["size"] % _WORD // _PAGE)
        connection.execute(
            "UPDATE rd_caches SET counters = ? WHERE name = ?", (json.dumps(counters), name)
        )
        _use_volume(connection, cache["volume"], name, counters)
    return reply


def _fresh(device: str, size: int) -> Counters:
    """The counters of a new mapping over a volume of `size` bytes: udev has just probed it."""
    if device.startswith("rc-wb"):
        blocks = _writeback_blocks(size % _WORD)
        known = {"num_blocks": blocks, "num_free_blocks": blocks, "num_read_req": _PROBED}
        return dict.fromkeys(_WRITEBACK_COUNTERS, 0) | known
    known = {"reads": _PROBED, "disk_reads": _PROBED, "cache_writes": _PROBED}
    return dict.fromkeys(_CACHE_COUNTERS, 0) | known


def _writeback_blocks(size: int) -> int:
    """dm-writecache: as many blocks as fit behind a superblock with 16 bytes for each."""
    blocks = size // (_PAGE + 16)
    while blocks > 0 and _writeback_head(blocks) + blocks * _PAGE > size:
        blocks -= 1
    return blocks


def _writeback_head(blocks: int) -> int:
    return -(-(64 + 16 * blocks) // _PAGE) * _PAGE


def _work(device: str, counters: Counters, blocks: int) -> None:
    """What an application does between two looks: 128 reads and 32 writes, evenly over its data.

    What the cache does not hold yet is missed and then held, so the share of hits grows.
    """
    reads, writes = 128, 32
    if device.startswith("rc-wb"):
        goal = max(1, counters["num_blocks"] // 2)  # from there on the kernel writes blocks back
        held = min(goal, counters["num_blocks"] - counters["num_free_blocks"])
        new = writes * (goal - held) // goal
        _add(counters, reads, "num_read_req")
        _add(counters, reads * held // goal, "num_read_cache_hits")
        _add(counters, writes, "num_write_req")
        _add(counters, new, "num_write_cache_alloc")
        _add(counters, writes - new, "num_write_committed_blk_hits")
        _add(counters, -new, "num_free_blocks")
        return
    goal = max(1, min(blocks, 4096))
    missed = reads * max(0, goal - counters["disk_reads"]) // goal
    _add(counters, reads, "reads")
    _add(counters, reads - missed, "cache_hits", "cache_reads")
    _add(counters, missed, "disk_reads", "cache_writes")
    _add(counters, writes, "writes", "write_invalidates", "disk_writes")
    if device.startswith("rc-wt"):
        _add(counters, writes, "cache_writes")


def _add(counters: Counters, amount: int, *names: str) -> None:
    for name in names:
        counters[name] += amount


def _use_volume(connection: Connection, name: str, device: str, counters: Counters) -> None:
    """Let the blocks of a cache take their room in its volume."""
    size = _volumes(connection)[name]["size"] % _WORD
    if device.startswith("rc-wb"):
        held = counters["num_blocks"] - counters["num_free_blocks"]
        usage = written = _writeback_head(counters["num_blocks"]) + held * _PAGE
    else:
        usage, written = counters["disk_reads"] * _PAGE, size  # blocks are strewn over the volume
    connection.execute(
        "UPDATE rd_volumes SET usage = max(usage, ?), high_water = max(high_water, ?)"
        " WHERE name = ?",
        (min(usage, size), min(written, size, _WORD // 2 - 1), name),
    )


# What there is


def _directory(names: Iterable[str]) -> list[str]:
    """Names in the order of a directory, which is none: clients have to sort.

    The number is one that gives the recorded listings in their recorded order.
    """
    return sorted(names, key=lambda name: (crc32(name.encode()) % 1409, name))


def _named(connection: Connection, table: str) -> dict[str, Row]:
    rows = {row["name"]: row for row in connection.execute(f"SELECT * FROM {table}")}
    return {name: rows[name] for name in _directory(rows)}


def _volumes(connection: Connection) -> dict[str, Row]:
    return _named(connection, "rd_volumes")


def _caches(connection: Connection) -> dict[str, Row]:
    return _named(connection, "rd_caches")


def _volume(connection: Connection, name: str) -> Row:
    volume = _volumes(connection).get(name)
    if volume is None:
        raise _Refusal(f"Error. Device {name} does not exist.")
    return volume


def _slaves(cache: Row) -> tuple[str, str]:
    """(cache, source) as the daemon lists them: it takes for the cache whatever is called rd..."""
    volume = source = ""
    for name in _directory({cache["volume"], cache["source"]}):
        if name.startswith("rd"):
            volume = name
        else:
            source = name
    return volume, source


def _refuse_mapped(connection: Connection, name: str) -> None:
    for device, cache in _caches(connection).items():
        if name == _slaves(cache)[0]:
            raise _Refusal(
                f"Error. Unable to remove {name}. This RapidDisk device is currently mapped"
                f" as a cache drive to {device}."
            )


def _is_open(connection: Connection, node: str, *paths: str) -> bool:
    """Whether a device is the source of a cache, or an enabled namespace has it."""
    if any(cache["source"] == node for cache in _caches(connection).values()):
        return True
    rows = connection.execute("SELECT device FROM rd_namespaces WHERE enabled")
    return any(row["device"] in paths for row in rows)


def _insert_cache(
    connection: Connection, device: str, volume: str, source: str, counters: Counters
) -> None:
    taken = {cache["minor"] for cache in _caches(connection).values()}
    minor = next(number for number in range(len(taken) + 1) if number not in taken)
    connection.execute(
        "INSERT INTO rd_caches VALUES (?, ?, ?, ?, ?)",
        (device, volume, source, minor, json.dumps(counters)),
    )


def _insert_target(connection: Connection, target: dict[str, Any]) -> None:
    nqn = target["nqn"]
    connection.execute(
        "INSERT INTO rd_namespaces VALUES (?, ?, ?, ?)",
        (nqn, target.get("namespace", 1), target["device"], target.get("enabled", True)),
    )
    for host in target.get("hosts", ()):
        connection.execute("INSERT OR IGNORE INTO rd_hosts VALUES (?, ?)", (nqn, host))
    for port in target.get("ports", ()):
        connection.execute("INSERT OR IGNORE INTO rd_links VALUES (?, ?)", (nqn, port))


# Sizes


def _number(text: str) -> int:
    """MiB as C's strtoull reads them: up to the first other character, a minus wraps."""
    match = re.match(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)", text)
    if match is None:
        raise _Refusal("Not a number.")
    digits = match[2].lstrip("0")
    number = int(digits[:21] or "0")
    if number >= _WORD:
        raise _Refusal("Invalid size.")
    return -number % _WORD if match[1] == "-" else number


def _signed(size: int) -> int:
    """A size as signed 64 bits, after the wrap that the daemon's arithmetic makes."""
    size %= _WORD
    return size - _WORD if size >= _WORD // 2 else size


class _Route(NamedTuple):
    method: str
    path: str
    answer: Callable[..., Reply]
    arguments: int | None = None  # None: they are not looked at
    exact: bool = False
    changes: bool = False


# A path is matched by how it begins, so longer ones come first.
_ROUTES = (
    _Route("GET", "/v1/checkServiceStatus", _check_service_status, exact=True),
    _Route("GET", "/v1/listAllResources", _list_all_resources, exact=True),
    _Route("GET", "/v1/listRapidDiskVolumes", _list_volumes, exact=True),
    _Route("GET", "/v1/listAllNVMeTargets", _list_targets),
    _Route("GET", "/v1/listAllNVMePorts", _list_ports),
    _Route("GET", "/v1/showRapidDiskCacheStats", _show_stats, 1, changes=True),
    _Route("POST", "/v1/createRapidDiskCache", _map, 3, changes=True),
    _Route("POST", "/v1/removeRapidDiskCache", _unmap, 1, changes=True),
    _Route("POST", "/v1/createRapidDisk", _create, 1, changes=True),
    _Route("POST", "/v1/removeRapidDisk", _remove, 1, changes=True),
    _Route("POST", "/v1/resizeRapidDisk", _resize, 2, changes=True),
    _Route("POST", "/v1/flushRapidDisk", _flush, 1, changes=True),
    _Route("POST", "/v1/lockRapidDisk", _lock, 1, changes=True),
    _Route("POST", "/v1/unlockRapidDisk", _unlock, 1, changes=True),
)


def _route(method: str, path: str) -> _Route:
    for route in _ROUTES:
        matches = path == route.path if route.exact else path.startswith(route.path)
        if matches and method == route.method:
            return route
    raise _Refusal("Unsupported.", bad_request=True)
