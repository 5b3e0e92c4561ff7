"""The columns of every schema. A key is a promise to scripts; a heading may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import did_you_mean, nearest
from rdctl.output import cells


class Column(NamedTuple):
    """A key of the data and how a table shows it; `doc` is its line in `rdctl help output`. `since`
    formats the difference to an earlier row, if countable. `below`: too long for a column, so it is
    shown below the last one, if it has a value. `of_row` computes what a table shows from the whole
    row, if its own key is not enough. `inner` are the columns of the things in its value."""

    key: str
    heading: str
    doc: str
    cell: Callable[[Any], str] = cells.text
    shown: bool = True
    right: bool = False
    since: Callable[[Mapping[str, Any], Mapping[str, Any], str], str] | None = None
    below: bool = False
    of_row: Callable[[Mapping[str, Any]], Any] | None = None
    inner: tuple[Column, ...] = ()

    def value(self, row: Mapping[str, Any]) -> Any:
        """The value that a table shows."""
        return self.of_row(row) if self.of_row and row else row.get(self.key)


class Schema(NamedTuple):
    """A kind of item. `name` carries the version: it increases when a key is removed or changes its
    meaning.

    `noun` is the plural for messages; `named_by` the key that `-o name` prints, `or_by` the one
    where that is null.
    """

    name: str
    noun: str
    named_by: str
    columns: tuple[Column, ...]
    or_by: str = ""

    def name_in(self, row: Mapping[str, Any]) -> Any:
        """The name of a row."""
        name = row[self.named_by]
        return row[self.or_by] if name is None and self.or_by else name


def _schema(name: str, noun: str, named_by: str, *columns: Column) -> Schema:
    return Schema(name, noun, named_by, columns)


def _hidden(key: str, heading: str, doc: str, cell: Callable[[Any], str] = cells.text) -> Column:
    return Column(key, heading, doc, cell, shown=False)


def _size(key: str, heading: str, doc: str, shown: bool = True) -> Column:
    return Column(key, heading, doc, cells.size, shown, right=True, since=cells.bytes_since)


def _count(key: str, heading: str, doc: str, shown: bool = False) -> Column:
    return _number(key, heading, doc, shown)._replace(since=cells.count_since)


def _number(key: str, heading: str, doc: str, shown: bool = False) -> Column:
    return Column(key, heading, doc, cells.text, shown, right=True)


def _side(key: str, doc: str) -> Column:
    """The value of a difference in the file or on the machine."""
    return _hidden(key, key.upper(), doc, cells.short_nqns)._replace(of_row=cells.difference(key))


_RAPIDDISK = (
    _schema(
        "rdctl.rapiddisk.volume/1",
        "volumes",
        "device",
        Column("device", "DEVICE", "kernel name, such as rd0"),
        _size("size", "SIZE", "bytes; null: Debian's rapiddiskd 9.0.0 does not report"),
        _size(
            "usage",
            "USAGE",
            "bytes of memory in use; null: rapiddiskd before 9, or locally without root where"
            " the kernel's list is truncated",
        ),
        Column(
            "locked",
            "LOCKED",
            "read-only; null: rapiddiskd before 9, or the device could not be queried",
            cells.yes_no,
        ),
        _size(
            "unwritten",
            "UNWRITTEN",
            "bytes that a write-back cache has not written to its source; null: remote, no root",
            shown=False,
        ),
        Column(
            "used_by",
            "USED BY",
            "caches, exports (`export NQN`) and, locally, mounts and swap; null: remote, where no"
            " cache uses it (exports are not listed), or not readable",
            cells.uses,
        ),
    ),
    _schema(
        "rdctl.rapiddisk.volume-detail/1",
        "volumes",
        "device",
        Column("device", "DEVICE", "kernel name, such as rd0"),
        _size("size", "SIZE", "bytes; null: Debian's rapiddiskd 9.0.0 does not report"),
        _size("usage", "USAGE", "bytes of memory in use; null: as in the listing"),
        _size(
            "high_water",
            "HIGH WATER",
            "bytes: end of the highest write, which limits shrinking; null: remote, no root",
        ),
        Column("locked", "LOCKED", "read-only; null: rapiddiskd before 9", cells.yes_no),
        _size("unwritten", "UNWRITTEN", "as in the listing; null: remote, no root"),
        Column("users", "USERS", "who uses it: kind, name, and the command that frees it"),
        Column(
            "users_seen",
            "CHECKED FOR",
            "the kinds of user checked for; others may exist",
            cells.words,
        ),
    ),
    _schema(
        "rdctl.rapiddisk.cache/1",
        "caches",
        "device",
        Column("device", "DEVICE", "name below /dev/mapper, such as rc-wt_sdb"),
        Column("volume", "VOLUME", "the volume that caches; null: Debian's 9.0.0, incomplete"),
        Column("source", "SOURCE", "the device that is cached; null: as the volume"),
        Column("policy", "POLICY", "write-through, write-around or writeback"),
        _size(
            "dirty",
            "DIRTY",
            "bytes not yet written to the source; null: remote, no root, other policies",
            shown=False,
        ),
        Column(
            "writeback_seconds",
            "SECONDS TO WRITE BACK",
            "seconds to write these to the source, estimated from its speed so far; null: as"
            " dirty, or no speed is known",
            shown=False,
            right=True,
        ),
        _hidden(
            "flush_on_suspend",
            "FLUSH SENT",
            "when flush_on_suspend was last sent, which makes the kernel write back once before"
            " the mapping is removed; null: never since the last boot, remote",
        ),
        _hidden("kernel", "KERNEL", "the kernel's name, such as dm-3; null: remote"),
        _hidden("source_kernel", "SOURCE KERNEL", "the kernel's name of the source; null: remote"),
    ),
    _schema(
        "rdctl.rapiddisk.cache-stats/1",
        "caches",
        "device",
        Column("device", "DEVICE", "name below /dev/mapper"),
        Column("policy", "POLICY", "write-through, write-around or writeback"),
        _count("reads", "READS", "reads of 4 KiB blocks (writeback: num_read_req)", True),
        _count("cache_hits", "HITS", "of these from the cache", True),
        Column(
            "hit_rate",
            "HIT RATE",
            "cache_hits / reads, 0 to 1; null: nothing was read yet",
            cells.percent,
            right=True,
            since=cells.hit_rate_since,
        ),
        _count("writes", "WRITES", "writes of 4 KiB blocks (writeback: num_write_req)", True),
        _count("replacement", "REPLACED", "blocks replaced; null: writeback"),
        _count("write_replacement", "WRITE REPLACED", "replaced by writes; null: writeback"),
        _count("read_invalidates", "READ INVALIDATES", "null: writeback"),
        _count("write_invalidates", "WRITE INVALIDATES", "null: writeback"),
        _count("uncached_reads", "UNCACHED READS", "null: writeback"),
        _count("uncached_writes", "UNCACHED WRITES", "null: writeback"),
        _count("disk_reads", "DISK READS", "null: writeback"),
        _count("disk_writes", "DISK WRITES", "null: writeback"),
        _count("cache_reads", "CACHE READS", "null: writeback"),
        _count("cache_writes", "CACHE WRITES", "null: writeback"),
        _count("errors", "ERRORS", "null: write-through, write-around"),
        _count("num_blocks", "BLOCKS", "blocks of 4 KiB; null: as errors"),
        _count("num_free_blocks", "FREE BLOCKS", "null: as errors"),
        _count("num_wb_blocks", "WRITING BACK", "blocks on their way; null: as errors"),
        _count("num_write_uncommitted_blk_hits", "UNCOMMITTED HITS", "null: kernel < 5.15"),
        _count("num_write_committed_blk_hits", "COMMITTED HITS", "null: kernel < 5.15"),
        _count("num_write_cache_bypass", "BYPASSED", "null: kernel < 5.15"),
        _count("num_write_cache_alloc", "ALLOCATED", "null: kernel < 5.15"),
        _count("num_write_freelist_blocked", "FREELIST BLOCKED", "null: kernel < 5.15"),
        _count("num_flush_req", "FLUSHES", "null: kernel < 5.15"),
        _count("num_discard_req", "DISCARDS", "null: kernel < 5.15"),
    ),
    _schema(
        "rdctl.rapiddisk.target/1",
        "NVMe targets",
        "nqn",
        Column("nqn", "NQN", "name of the subsystem"),
        _number("namespace", "NS", "number of the namespace; null: has none (--all)", True),
        Column("device", "DEVICE", "path of the device; null: not set or not reported"),
        Column("enabled", "ENABLED", "null: Debian's 9.0.0", cells.yes_no),
        _hidden(
            "any_host",
            "ANY HOST",
            "null: remote, if no host is listed: any host or none",
            cells.yes_no,
        ),
        Column(
            "hosts",
            "HOSTS",
            "allowed hosts; null: rapiddiskd before 9.1. Tables show any, none or the hosts",
            of_row=cells.hosts_of,
        ),
        Column(
            "ports",
            "PORTS",
            "where it is exported: port, transport, address, service (TCP port; null: remote)",
            cells.ports,
        ),
        _hidden("serial", "SERIAL", "serial number that clients see; null: remote"),
        _hidden("uuid", "UUID", "UUID of the namespace; null: has none, or remote"),
        _hidden("nguid", "NGUID", "NGUID of the namespace; null: not set, or remote"),
        _hidden(
            "authenticated",
            "AUTH",
            "whether each host that may connect has a key; null: remote, no host, not readable",
            cells.yes_no,
        ),
        _hidden(
            "tls",
            "TLS",
            "whether all its ports require TLS; null: remote, no port",
            cells.yes_no,
        ),
    ),
    _schema(
        "rdctl.rapiddisk.difference/1",
        "differences",
        "name",
        Column("kind", "KIND", "module, volume, cache, port or export"),
        Column("name", "NAME", "name, number or NQN", cells.short_nqns),
        Column("state", "STATE", "missing: only in the file; extra: only on the machine; differs"),
        Column("key", "KEY", "what differs; null: the whole"),
        _side("file", "value in the file: sizes in bytes, ages in seconds; null: none"),
        _side("machine", "value on the machine; null: none"),
        _hidden("note", "NOTE", "what apply does about one that is extra; null for others"),
    ),
    _schema(
        "rdctl.rapiddisk.port/1",
        "NVMe ports",
        "port",
        _number("port", "PORT", "number of the port", True),
        Column("transport", "TRANSPORT", "tcp, rdma or loop; null: not set"),
        Column("address", "ADDRESS", "null: not set, or a loop port"),
        Column("service", "SERVICE", "TCP port; null: remote, not set, or a loop port"),
        Column(
            "tls", "TLS", "whether clients must use TLS; null: remote, kernel < 6.7", cells.yes_no
        ),
    ),
    _schema(
        "rdctl.rapiddisk.host/1",
        "NVMe hosts",
        "host",
        Column("host", "HOST", "NQN of the host"),
        Column("exports", "EXPORTS", "NQNs of the exports that allow it", cells.short_nqns),
        Column("key", "KEY", "whether it must authenticate; null: not readable", cells.yes_no),
        Column(
            "ctrl_key",
            "CTRL KEY",
            "whether this machine authenticates, too; null: not readable",
            cells.yes_no,
        ),
        Column("hash", "HASH", "sha256, sha384 or sha512; null: no such setting, not readable"),
        Column("dhgroup", "DHGROUP", "Diffie-Hellman group, null without one; null: as hash"),
    ),
    _schema(
        "rdctl.rapiddisk.resources/1",
        "resources",
        "mem_total",
        _size("mem_total", "MEMORY", "bytes"),
        _size("mem_free", "FREE", "bytes; page cache counts as used"),
        _size("mem_available", "AVAILABLE", "bytes; null: remote"),
        Column("disks", "DISKS", "device, size in bytes, vendor, model; null: Debian's 9.0.0"),
    ),
    _schema(
        "rdctl.rapiddisk.status/1",
        "status",
        "status",
        Column("status", "STATUS", "OK; local: module missing, unsupported version"),
        Column(
            "version",
            "VERSION",
            "remote: of the daemon; local: of the kernel module; null: not loaded",
        ),
        Column("mode", "MODE", "remote or local"),
        Column("endpoint", "ENDPOINT", "address; null: local"),
        Column(
            "dialect",
            "DIALECT",
            "major version whose commands the kernel module accepts; null: remote, not known",
        ),
        _count("volumes", "VOLUMES", "number of volumes; null: remote", True),
        _count("max_volumes", "MAX VOLUMES", "maximum number; null: remote", True),
        Column(
            "modules",
            "MODULES",
            "kernel modules: module, loaded, version, needed_for, load (the command that loads"
            " it); null: remote",
        ),
    ),
    _schema(
        "rdctl.rapiddisk.daemon/1",
        "units",
        "unit",
        Column("unit", "UNIT", "name of the systemd unit"),
        Column("installed", "INSTALLED", "known to systemd", cells.yes_no),
        Column("active", "ACTIVE", "running", cells.yes_no),
        Column("enabled", "ENABLED", "started at boot", cells.yes_no),
        Column("state", "STATE", "in systemd's words", cells.state),
        Column("pid", "PID", "of its process; null: not running"),
    ),
)


def _some(name: str, keys: str, **cell: Callable[[Any], str]) -> tuple[Column, ...]:
    """These columns of a schema above, some with another cell."""
    columns = {
        column.key: column for one in _RAPIDDISK if one.name == name for column in one.columns
    }
    found = (columns[key] for key in keys.split())
    return tuple(column._replace(cell=cell.get(column.key, column.cell)) for column in found)


def _part(key: str, doc: str, *inner: Column) -> Column:
    return Column(key, key.upper(), doc, cells.part, inner=inner)


_OVERVIEW = _schema(
    "rdctl.rapiddisk.overview/1",
    "machines",
    "machine",
    Column("machine", "MACHINE", "`local`, `simulated` (sandbox), or address of a rapiddiskd"),
    _part(
        "memory",
        "bytes: total, available (null: remote), promised (sizes of the volumes), used (by them);"
        " null: not readable",
        _size("total", "TOTAL", ""),
        _size("available", "AVAILABLE", ""),
        _size("promised", "PROMISED", ""),
        _size("used", "USED", ""),
    ),
    _part(
        "volumes",
        "as in `list`; null: not readable",
        *_some("rdctl.rapiddisk.volume/1", "device size usage locked used_by"),
    ),
    _part(
        "caches",
        "as in `cache list`; null: not readable",
        *_some("rdctl.rapiddisk.cache/1", "device volume source policy dirty"),
    ),
    _part(
        "exports",
        "as in `nvmet list`; null: not readable, or remote without --deep",
        *_some(
            "rdctl.rapiddisk.target/1",
            "nqn device hosts ports",
            nqn=cells.short_nqns,
            hosts=cells.short_nqns,
        ),
    ),
)

_BOOT = _schema(
    "rdctl.rapiddisk.boot/1",
    "machines",
    "status",
    Column("status", "STATUS", "enabled, disabled or incomplete", cells.state),
    _part(
        "units",
        "unit, installed, enabled, active, up_to_date (as rdctl would write it now)",
        Column("unit", "UNIT", ""),
        Column("installed", "INSTALLED", "", cells.yes_no),
        Column("enabled", "ENABLED", "", cells.yes_no),
        Column("active", "ACTIVE", "", cells.yes_no),
        Column("up_to_date", "UP TO DATE", "", cells.yes_no),
    ),
    Column("state_error", "STATE FILE ERROR", "why the state file cannot be used; null: it can"),
    _part(
        "files",
        "path and state: up to date, outdated, missing, edited by hand, not needed",
        Column("path", "FILE", ""),
        Column("state", "STATE", "", cells.state),
    ),
    _part(
        "caches",
        "writeback caches: device, dirty (bytes), writeback_seconds, as in `cache list`",
        Column("device", "CACHE", ""),
        _size("dirty", "DIRTY", ""),
        _number("writeback_seconds", "SECONDS TO WRITE BACK", "", True),
    ),
    _number(
        "writeback_seconds",
        "SECONDS TO WRITE BACK",
        "seconds to write all of them back, estimated; null: not known",
        True,
    ),
    _number(
        "stop_limit",
        "STOP LIMIT",
        "seconds after which systemd forces a shutdown; null: it does not",
        True,
    ),
    Column(
        "warnings",
        "WARNINGS",
        "what may go wrong at the next boot or shutdown: message, why, mend (the command that"
        " prevents it; null: none)",
        cells.sentences,
        of_row=cells.warnings_of,
    ),
)

_OIO = (
    _schema(
        "rdctl.oio.namespace/1",
        "namespace",
        "namespace",
        Column("namespace", "NAMESPACE", "name of the namespace"),
        _size("chunk_size", "CHUNK SIZE", "bytes of one chunk at most"),
        Column("storage_policies", "STORAGE POLICIES", "name to definition"),
        Column("data_security", "DATA SECURITY", "name to definition"),
        Column("service_pools", "SERVICE POOLS", "name to definition; empty: proxy 3.3"),
        Column("options", "OPTIONS", "name to value"),
    ),
    _schema(
        "rdctl.oio.overview/1",
        "namespace",
        "namespace",
        Column("namespace", "NAMESPACE", "name of the namespace"),
        _part(
            "services",
            "by type, if it has any: type, total, up, down_or_locked (score 0), lowest_score; all"
            " null but the type if they cannot be listed; null: no type can",
            Column("type", "TYPE", ""),
            _number("total", "TOTAL", ""),
            _number("up", "UP", ""),
            _number("down_or_locked", "DOWN OR LOCKED", ""),
            _number("lowest_score", "LOWEST SCORE", ""),
        ),
        _count("accounts", "ACCOUNTS", "number of accounts; null: cannot be listed", True),
        _count("containers", "CONTAINERS", "in all accounts; null: not known", True),
        _count("objects", "OBJECTS", "in all accounts; null: not known", True),
        _size("bytes", "BYTES", "in all accounts; null: not known"),
    ),
    _schema(
        "rdctl.oio.type/1",
        "service types",
        "type",
        Column("type", "TYPE", "name of the service type"),
    ),
    _schema(
        "rdctl.oio.service/1",
        "services",
        "address",
        Column("type", "TYPE", "such as rawx"),
        Column("address", "ADDRESS", "IP:PORT"),
        _count("score", "SCORE", "0 to 100; -1 never scored, -2 not set", True),
        Column(
            "state",
            "STATE",
            "up, locked, down, unscored or unset; down-or-locked if locks are not reported",
            cells.state,
        ),
        Column("tags", "TAGS", "tags that the service reports", cells.tags),
        _count("get_score", "GET SCORE", "score for reading; null: the same"),
        _hidden("locked", "LOCKED", "locked score: no, put, get or both; null: not reported"),
    ),
    _schema(
        "rdctl.oio.service-id/1",
        "services",
        "address",
        Column("type", "TYPE", "such as rawx; null: not reported"),
        Column("address", "ADDRESS", "IP:PORT"),
        Column("id", "ID", "as given, or NAMESPACE|TYPE|ADDRESS; null: not reported"),
    ),
    _schema(
        "rdctl.oio.choice/1",
        "services",
        "address",
        Column("type", "TYPE", "such as rawx; null: not reported"),
        Column("address", "ADDRESS", "IP:PORT"),
        Column("id", "ID", "NAMESPACE|TYPE|ADDRESS; null: not reported"),
        Column("flawed", "FLAWED", "constraints were relaxed to choose all of these", cells.yes_no),
    ),
    _schema(
        "rdctl.oio.cache/1",
        "caches",
        "cache",
        Column("cache", "CACHE", "csm0 (flushed as high) or meta1 (flushed as low)"),
        _count("count", "ENTRIES", "number of entries; null: not reported", True),
        _number("max", "MAX", "maximum number of entries, 0: disabled; null: not reported", True),
        _number(
            "ttl", "TTL", "seconds that an entry is kept, 0: no limit; null: not reported", True
        ),
    ),
    _schema(
        "rdctl.oio.variable/1",
        "variables",
        "name",
        _hidden("service", "SERVICE", "IP:PORT, or proxy"),
        Column("name", "NAME", "of the variable"),
        Column("value", "VALUE", "string, as the service reports it; null: cannot be read"),
    ),
    _schema(
        "rdctl.oio.reference/2",
        "references",
        "reference",
        Column("reference", "REFERENCE", "name, or container ID"),
        Column("services", "SERVICES", "linked services: seq, type, address, args"),
        Column("directory", "DIRECTORY", "services of the directory: seq, type, address, args"),
    ),
    _schema(
        "rdctl.oio.properties/1",
        "properties",
        "target",
        Column("target", "TARGET", "what the properties belong to"),
        Column("properties", "PROPERTIES", "key to value, of the user"),
        Column("system", "SYSTEM", "key to value, of the system"),
    ),
    _schema(
        "rdctl.oio.container/2",
        "containers",
        "container",
        Column("container", "CONTAINER", "name"),
        Column("account", "ACCOUNT", "name of the account"),
        Column("cid", "CID", "container ID: 64 hex digits"),
        _count("objects", "OBJECTS", "number of objects, each version counted", True),
        _size("bytes", "BYTES", "in the container"),
        _size("quota", "QUOTA", "bytes; 0: none; null: not set"),
        Column("policy", "POLICY", "storage policy; null: that of the namespace"),
        _number("versioning", "VERSIONING", "versions kept; -1: all; null: not set", True),
        Column("status", "STATUS", "enabled, frozen or disabled", cells.state),
        Column("created", "CREATED", "date in UTC"),
        Column("properties", "PROPERTIES", "key to value, of the user"),
        _hidden("system", "SYSTEM", "key to value, of the system"),
    ),
    _schema(
        "rdctl.oio.location/1",
        "containers",
        "container",
        Column("container", "CONTAINER", "name"),
        Column("account", "ACCOUNT", "name of the account"),
        Column("cid", "CID", "container ID: 64 hex digits"),
        Column("base", "DATABASE", "name of the database: sys.name"),
        Column("status", "STATUS", "enabled, frozen or disabled", cells.state),
        Column("meta2", "META2", "addresses of the services that have the database"),
        Column("meta1", "META1", "addresses of the services that list these; null: not reported"),
        Column("meta0", "META0", "addresses of the services that list those; null: not reported"),
    ),
    _schema(
        "rdctl.oio.entry/1",
        "objects",
        "name",
        Column("name", "NAME", "of the object, or the prefix up to the delimiter"),
        _hidden("kind", "KIND", "object or prefix; all else is null for a prefix"),
        _size("size", "SIZE", "bytes; null: prefix, delete marker"),
        _hidden("hash", "HASH", "MD5; null: not known, prefix, delete marker"),
        Column("policy", "POLICY", "storage policy; null: prefix, delete marker"),
        Column("mime_type", "MIME TYPE", "null: not set, prefix, delete marker"),
        _hidden("content_id", "OBJECT ID", "32 hex digits; null: prefix"),
        _number("version", "VERSION", "microseconds since 1970 (3.3: maybe seconds); null: prefix"),
        _hidden("deleted", "DELETED", "is a delete marker; null: prefix", cells.yes_no),
        Column("created", "CREATED", "date in UTC; null: prefix"),
        _hidden("modified", "MODIFIED", "date in UTC; null: prefix, proxy 3.3"),
        _hidden("properties", "PROPERTIES", "key to value; null without --properties, prefix"),
    ),
    _schema(
        "rdctl.oio.shard/1",
        "shards",
        "cid",
        Column("cid", "CID", "container ID of the shard"),
        Column("lower", "LOWER", "its names are after this one; empty: no limit"),
        Column("upper", "UPPER", "its names are not after this one; empty: no limit"),
        _count("objects", "OBJECTS", "objects when it was made; null: not reported", True),
    ),
    _schema(
        "rdctl.oio.range/1",
        "ranges",
        "shard",
        _number("shard", "SHARD", "number of the range, from 1", True),
        Column("marker", "MARKER", "the range begins after this name; null: at the first object"),
        Column("end_marker", "END MARKER", "it ends before this name; null: at the last object"),
        _count("objects", "OBJECTS", "objects in the range", True),
        _size("bytes", "SIZE", "bytes of these objects; null: a size cannot be read"),
    ),
    _schema(
        "rdctl.oio.content/1",
        "objects",
        "path",
        Column("container", "CONTAINER", "name, or container ID"),
        Column("path", "PATH", "name of the object"),
        Column("content_id", "OBJECT ID", "32 hex digits"),
        _number("version", "VERSION", "microseconds since 1970", True),
        _size("size", "SIZE", "bytes"),
        Column("hash", "HASH", "MD5; null: not known"),
        Column("policy", "POLICY", "storage policy"),
        Column("mime_type", "MIME TYPE", "null: not set"),
        Column("chunk_method", "CHUNK METHOD", "such as plain/nb_copy=3"),
        _size("chunk_size", "CHUNK SIZE", "bytes per position; null except in content prepare"),
        Column("created", "CREATED", "date in UTC"),
        Column("modified", "MODIFIED", "date in UTC; null: proxy 3.3"),
        Column("deleted", "DELETED", "is a delete marker", cells.yes_no),
        Column("properties", "PROPERTIES", "key to value; null in content prepare"),
        Column(
            "chunks",
            "CHUNKS",
            "pos, size, hash, score of the service, url; real_url: null if the same as url",
        ),
    ),
    _schema(
        "rdctl.oio.chunk/1",
        "chunks",
        "url",
        Column("pos", "POS", "position: 0, or 0.3 for fragment 3 of metachunk 0"),
        Column("service", "SERVICE", "IP:PORT, or ID, of the rawx service"),
        Column("volume", "VOLUME", "directory of the service; null: not known"),
        Column(
            "location", "LOCATION", "where the service is, such as rack.host.disk; null: not known"
        ),
        _count("score", "SCORE", "score of the service", True),
        _size("size", "SIZE", "registered bytes; of a fragment, those of its metachunk"),
        Column("hash", "HASH", "registered MD5; of a fragment, that of its metachunk"),
        Column(
            "chunk_size",
            "CHUNK SIZE",
            "bytes that the service holds; null: not queried",
            cells.size,
            False,
            True,
        ),
        _hidden("chunk_hash", "CHUNK HASH", "MD5 as reported by the service; null: not queried"),
        Column("url", "URL", "name of the chunk"),
        _hidden("real_url", "REAL URL", "where it is reached; null: the same as url"),
    ),
    _schema(
        "rdctl.oio.spare-chunk/1",
        "spare chunks",
        "url",
        Column("url", "URL", "where a chunk may be written"),
    ),
    _schema(
        "rdctl.oio.finding/1",
        "findings",
        "object",
        Column("severity", "SEVERITY", "error or warning", cells.state),
        Column("finding", "FINDING", "its kind, such as missing, short, wrong-hash or lost"),
        Column("container", "CONTAINER", "name or ID of the container"),
        Column("object", "OBJECT", "name; null: about the container"),
        _hidden("version", "VERSION", "version of the object; null: as above, or not reported"),
        _hidden("content_id", "CONTENT ID", "object ID; null: as the version"),
        _hidden(
            "position",
            "POSITION",
            "0, or 0.3 for a fragment; null: about the object or container as a whole",
        ),
        _hidden("url", "URL", "the chunk; null: not about a single chunk"),
        Column("message", "DETAILS", "what was found"),
        Column(
            "mend",
            "MEND",
            "the command that fixes it; null: no single command fixes it",
            cells.command,
            below=True,
        ),
    )._replace(or_by="container"),
    _schema(
        "rdctl.oio.account-name/1",
        "accounts",
        "account",
        Column("account", "ACCOUNT", "name of the account"),
    ),
    _schema(
        "rdctl.oio.account/2",
        "accounts",
        "account",
        Column("account", "ACCOUNT", "name of the account"),
        _count("containers", "CONTAINERS", "number of containers", True),
        _count("objects", "OBJECTS", "number of objects", True),
        _size("bytes", "BYTES", "in all its containers"),
        Column("created", "CREATED", "date in UTC"),
        Column("metadata", "METADATA", "key to value"),
    ),
    _schema(
        "rdctl.oio.account-container/1",
        "containers",
        "name",
        Column("name", "NAME", "of the container"),
        _hidden("kind", "KIND", "container or prefix"),
        _count("objects", "OBJECTS", "number of objects", True),
        _size("bytes", "BYTES", "in the container"),
        Column("modified", "MODIFIED", "date in UTC; null: prefix"),
    ),
    _schema(
        "rdctl.oio.counter/1",
        "counters",
        "name",
        Column("name", "NAME", "of the counter"),
        _hidden("kind", "KIND", "counter, gauge or config"),
        Column(
            "value",
            "VALUE",
            "a number, or a string if the service reports one",
            right=True,
            since=cells.count_since,
        ),
    ),
    _schema(
        "rdctl.oio.volume/1",
        "volumes",
        "volume",
        Column("volume", "VOLUME", "address or service ID of a rawx"),
        Column("rdir", "RDIR", "IP:PORT of the rdir service that indexes it"),
        _count("chunks", "CHUNKS", "number of indexed chunks", True),
        _count(
            "to_rebuild", "TO REBUILD", "of these, not newer than the incident; null: none", True
        ),
        Column("incident", "INCIDENT", "date in UTC; null: none"),
        _part(
            "containers",
            "cid, chunks and to_rebuild of each container",
            Column("cid", "CONTAINER ID", ""),
            _number("chunks", "CHUNKS", "", True),
            _number("to_rebuild", "TO REBUILD", "", True),
        ),
    ),
    _schema(
        "rdctl.oio.indexed-chunk/1",
        "chunks",
        "chunk_id",
        _hidden("volume", "VOLUME", "address or service ID of its rawx"),
        Column("cid", "CONTAINER ID", "of its container"),
        Column("content_id", "CONTENT ID", "of its object"),
        Column("chunk_id", "CHUNK ID", "its name on the rawx"),
        Column("modified", "MODIFIED", "when it was stored, date in UTC; null: not known"),
    ),
    _schema(
        "rdctl.oio.volume-state/1",
        "volumes",
        "volume",
        Column("volume", "VOLUME", "address or service ID of a rawx"),
        Column("rdir", "RDIR", "IP:PORT of the rdir service that indexes it"),
        Column("incident", "INCIDENT", "date in UTC; null: none"),
        Column("locked_by", "LOCKED BY", "who holds the lock; null: not locked"),
    ),
    _schema(
        "rdctl.oio.assignment/1",
        "volumes",
        "volume",
        Column("volume", "VOLUME", "address or service ID of a rawx"),
        Column("rdir", "RDIR", "IP:PORT of its rdir service; null: none is assigned"),
        Column("location", "LOCATION", "of the rawx; null: not reported"),
        Column("rdir_location", "RDIR LOCATION", "of the rdir; null: not reported"),
    ),
    _schema(
        "rdctl.oio.mapped-prefix/1",
        "prefixes",
        "prefix",
        Column("prefix", "PREFIX", "first digits of container IDs"),
        Column("services", "META1", "IP:PORT of its meta1 services", cells.words),
    ),
    _schema(
        "rdctl.oio.service-reply/2",
        "services",
        "service",
        Column("service", "SERVICE", "IP:PORT"),
        Column("status", "STATUS", "OK"),
        Column("version", "VERSION", "null: not asked for, or not reported"),
    ),
    _schema(
        "rdctl.oio.handler/1",
        "handlers",
        "handler",
        Column("handler", "HANDLER", "a request that the service handles"),
    ),
    _schema(
        "rdctl.oio.replica/1",
        "replicas",
        "service",
        Column("service", "SERVICE", "IP:PORT of the replica"),
        Column("role", "ROLE", "master or slave; null: not reported", cells.state),
        Column("master", "MASTER", "the master according to it; null: not reported"),
        _number("status", "STATUS", "200 OK, 303 slave, 301 not a slave, else an error", True),
        Column("message", "MESSAGE", "the status in words"),
        _hidden("body", "BODY", "the rest of its reply; null: nothing"),
    ),
    _schema(
        "rdctl.oio.election/1",
        "replicas",
        "service",
        Column("service", "SERVICE", "IP:PORT of the replica"),
        _number("status", "STATUS", "200 OK, else an error", True),
        Column("message", "MESSAGE", "the status in words"),
        Column("state", "STATE", "of its election; null: no election", cells.state),
        Column("master", "MASTER", "the master according to it; null: not reported"),
        Column("peers", "PEERS", "the other replicas; null: not reported", cells.words),
        Column(
            "log",
            "STEPS",
            "its latest: time (or null), state before, event, state after; null: not reported",
        ),
    ),
)

_RDCTL = (
    _schema(
        "rdctl.finding/1",
        "findings",
        "check",
        Column("severity", "SEVERITY", "ok, skipped, warning or error", cells.state),
        Column("check", "CHECK", "what was checked"),
        _hidden("subject", "SUBJECT", "which of them; null: only one exists"),
        Column("message", "FINDING", "what was found"),
        Column("why", "WHY", "what that means; null: self-explanatory", below=True),
        Column(
            "mend",
            "MEND",
            "the command that fixes it; null: nothing to do, or no single command fixes it",
            cells.command,
            below=True,
        ),
    ),
    _schema(
        "rdctl.history/1",
        "commands",
        "id",
        Column("time", "TIME", "when it began, in UTC; tables show local time", cells.local_time),
        Column("id", "ID", "8 hexadecimal digits"),
        Column("user", "USER", "who logged in, if known, else who ran sudo, or the user"),
        Column("contexts", "CONTEXT", "its contexts; empty: none selected", cells.words),
        Column("command", "COMMAND", "its words, without secrets"),
        Column(
            "result",
            "RESULT",
            "done, partial, failed or unknown; null: it was killed, or is still running",
            of_row=cells.outcome,
        ),
        _number("exit", "EXIT", "its exit code; null: as the result"),
        _hidden("error", "ERROR", "why it failed, or its first target that did; null: no error"),
        _hidden("ended", "ENDED", "when it ended; null: as the result", cells.local_time),
        _hidden("targets", "TARGETS", "the names in its outcomes", cells.lines),
        _number("more_targets", "MORE TARGETS", "targets that were not kept"),
        _hidden("effects", "EFFECTS", "its steps, as --trace shows them", cells.lines),
        _number("more_effects", "MORE EFFECTS", "steps that were not kept"),
        Column(
            "acts",
            "ACTS",
            "what it changed on this machine and did not roll back, for `rapiddisk undo`",
            shown=False,
            inner=(
                Column("verb", "VERB", "what was done"),
                Column("kind", "KIND", "to which kind of thing"),
                Column("name", "NAME", "the thing"),
                Column("lost", "LOST", "contents that were lost"),
            ),
        ),
        _number("more_acts", "MORE ACTS", "acts that were not kept; if any, no undo is possible"),
        _hidden("left", "LEFT", "what could not be rolled back", cells.lines),
        _number("more_left", "MORE LEFT", "such steps that were not kept"),
        _hidden("undoes", "UNDOES", "ID of the command that it undid; null: none"),
        _hidden("undone_by", "UNDONE BY", "ID of the command that undid it; null: none"),
        _hidden("request_id", "REQUEST ID", "in the logs of OpenIO services; null: other nouns"),
        _hidden("host", "HOST", "host name"),
        _number("login_uid", "LOGIN UID", "ID of the user who logged in; null: no login"),
        _number("uid", "UID", "ID of the user whose rights it had"),
        _hidden("sudo_user", "SUDO USER", "user who ran sudo; null: not by sudo"),
        _hidden("tty", "TTY", "its terminal; null: none"),
        _number("pid", "PID", "its process ID"),
        _hidden("boot", "BOOT", "boot ID of the machine that it changed directly; null: others"),
        _hidden("argv", "ARGV", "its words, as a list", cells.words),
        _number("more_argv", "MORE ARGV", "words that were not kept"),
        _hidden("origin", "ORIGIN", "who sent it over SSH, and the login; null: typed here"),
    ),
    _schema(
        "rdctl.context/1",
        "contexts",
        "name",
        Column("name", "NAME", "name of the context"),
        Column("current", "CURRENT", "used when none is named", cells.mark),
        Column(
            "rapiddisk",
            "RAPIDDISK",
            "`local`, `simulated`, or address of rapiddiskd; null: not set",
        ),
        Column("oio", "OIO", "address of an oio-proxy; null: not set"),
        _hidden("namespace", "NAMESPACE", "of OpenIO SDS; null: not set"),
        _hidden("account", "ACCOUNT", "of OpenIO SDS; null: not set"),
        Column("protected", "PROTECTED", "--yes is not enough", cells.mark),
        _hidden("file", "FILE", "file that defines it; null: built in"),
    ),
    _schema(
        "rdctl.setting/1",
        "settings",
        "key",
        Column("key", "SETTING", "name of the setting"),
        Column("value", "VALUE", "null: not set"),
        Column("origin", "ORIGIN", "option, variable or context that sets it; null: none"),
    ),
    _schema(
        "rdctl.sandbox/1",
        "sandbox",
        "path",
        Column("path", "PATH", "file that holds the sandbox's state"),
    ),
    _schema(
        "rdctl.version/1",
        "versions",
        "version",
        Column("version", "VERSION", "of rdctl"),
        Column("python", "PYTHON", "version of Python that runs it"),
    ),
)

# The rows of a report in the formats that have rows.
CHANGE = _schema(
    "rdctl.change/1",
    "changes",
    "target",
    Column("action", "ACTION", "the verb"),
    Column("target", "TARGET", "what was changed; null in a dry run, before it has a name"),
    Column("changed", "CHANGED", "false: was already so; null: not known", cells.yes_no),
    Column(
        "verified", "VERIFIED", "proven by the reply or by a check; null: not proven", cells.yes_no
    ),
    Column("error", "ERROR", "the error's code; null: no error"),
    Column("line", "LINE", "line of the name on standard input, from 1; null: not from there"),
    Column("before", "BEFORE", "what it changes, as it was; null: did not exist, or not known"),
    Column("after", "AFTER", "the same, as it is then; null: does not exist then, or not known"),
)

SCHEMAS = {schema.name: schema for schema in (*_RAPIDDISK, _OVERVIEW, _BOOT, *_OIO, *_RDCTL)}


# Of every row, where a command runs in several contexts.
CONTEXT = Column("context", "CONTEXT", "name of the context; only with several contexts")


def with_context(schema: Schema) -> Schema:
    """The schema of the same things in several contexts."""
    return schema._replace(columns=(CONTEXT, *schema.columns))


def select(schema: Schema, keys: Sequence[str] | None) -> tuple[Column, ...] | None:
    """The columns that `--columns` names, in that order; None when it was not given. The context
    is never left out."""
    if keys is None:
        return None
    columns = {column.key: column for column in schema.columns}
    chosen = tuple(columns[key] for key in keys)
    return chosen if CONTEXT in chosen or CONTEXT not in schema.columns else (CONTEXT, *chosen)


def check_key(schema: Schema, key: str) -> str:
    """The key, if the schema has it or a column of this heading, else a usage error."""
    keys = [column.key for column in schema.columns]
    headings = {column.heading.lower(): column.key for column in schema.columns}
    return key if key in keys else headings.get(key.lower()) or known("column", key, keys)


def known(kind: str, word: str, words: Sequence[str]) -> str:
    """The word, if it is one of these, else a usage error with a suggestion."""
    if word in words:
        return word
    raise RdctlError(
        Code.USAGE,
        f'unknown {kind} "{word}"' + did_you_mean(nearest(word, words)),
        hint=f"Available {kind}s: {', '.join(words)}.",
    )
