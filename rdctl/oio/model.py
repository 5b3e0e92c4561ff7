"""What OpenIO SDS consists of: plain data. Sizes are bytes, dates are strings in UTC; None: not
reported by the server."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, quoted

# Of the id of a container.
CID_DIGITS = 64
# A status that is reported but cannot be read.
UNREADABLE = "unreadable"


class Place(NamedTuple):
    """What a command is about: a reference or container, or an object in one.

    `cid` replaces account and reference. Once these are known too, names are sent and shown, but
    commands to paste keep the id, which is valid in any account. An object with a `content_id` is
    sent by that; a `path` beside it is shown.
    """

    account: str | None = None
    reference: str | None = None
    cid: str | None = None
    path: str | None = None
    content_id: str | None = None
    version: str | None = None

    @property
    def container(self) -> str:
        """The name of the container, for users."""
        return self.reference or self.cid or ""

    @property
    def name(self) -> str:
        """The name of the target, for users."""
        return self.path or self.content_id or self.reference or self.cid or ""

    @property
    def shown(self) -> str:
        """The name in a message: on one line, harmless to a terminal."""
        return escape(self.name)

    @property
    def described(self) -> str:
        """An object with its container, anything else by its name."""
        if not (self.path or self.content_id):
            return self.shown
        version = f"version {escape(self.version)} of " if self.version else ""
        return f'{version}object "{self.shown}" in container "{self.holder.shown}"'

    @property
    def words(self) -> str:
        """The words for the target on a command line."""
        options, names = [], []
        for option, value in (
            ("--cid", self.cid),
            ("--content-id", self.content_id),
            ("--content-version", self.version),
        ):
            options += [option, quoted(value)] if value else []
        names += [] if self.cid or not self.reference else [self.reference]
        names += [] if self.content_id or not self.path else [self.path]
        dashes = ["--"] if any(name.startswith("-") for name in names) else []
        return " ".join([*options, *dashes, *map(quoted, names)])

    @property
    def holder(self) -> Place:
        """The container of an object; a container itself."""
        return Place(account=self.account, reference=self.reference, cid=self.cid)

    def query(self) -> dict[str, str]:
        """The parameters that identify it."""
        by_id = self.cid if self.reference is None else None
        query = {}
        for key, value in (
            ("acct", None if by_id else self.account),
            ("ref", self.reference),
            ("cid", by_id),
            ("path", None if self.content_id else self.path),
            ("content", self.content_id),
            ("version", self.version),
        ):
            if value is not None:
                query[key] = value
        return query


class Service(NamedTuple):
    """A service as the conscience knows it. `state` is `up`, `locked`, `down`, `unscored` or
    `unset`; `down-or-locked` if locks are not reported: a lock and a score of zero look the same.

    `score` is that for writing, `get_score` that for reading (None: the same). `locked` is `no`,
    `put`, `get` or `both` of them.
    """

    type: str
    address: str
    score: int | None
    state: str | None
    tags: dict[str, Any]
    get_score: int | None = None
    locked: str | None = None


class ServiceId(NamedTuple):
    """How the load balancer identifies a service: `NAMESPACE|TYPE|ADDRESS`, or since 5.x a name in
    place of the address. None: not reported."""

    type: str | None
    address: str
    id: str | None


class Choice(NamedTuple):
    """Services that the load balancer chose; `flawed`: it relaxed the constraints of the pool."""

    services: list[ServiceId]
    flawed: bool


class Counter(NamedTuple):
    """What a service counts."""

    name: str
    kind: str
    value: int | str | None


class Namespace(NamedTuple):
    namespace: str
    chunk_size: int | None
    storage_policies: dict[str, Any]
    data_security: dict[str, Any]
    service_pools: dict[str, Any]
    options: dict[str, Any]

    def chunk_method(self, policy: str) -> str:
        """How objects of a storage policy are stored now."""
        security = str(self.storage_policies.get(policy, "")).split(":")
        data = next((part for part in security if part in self.data_security), "")
        return str(self.data_security.get(data, "plain"))


class Link(NamedTuple):
    """A service that a reference is linked to."""

    seq: int | None
    type: str
    address: str
    args: str


class Reference(NamedTuple):
    reference: str
    services: list[Link]
    directory: list[Link] | None


class Properties(NamedTuple):
    """Strings by key; None: one value, or all system values, cannot be read."""

    target: str
    properties: dict[str, Any]
    system: dict[str, Any] | None

    @property
    def known_system(self) -> dict[str, Any]:
        """The system properties, for decisions."""
        if self.system is None:
            raise RdctlError(Code.BAD_REPLY, "the system properties in the reply cannot be read")
        return self.system


class Container(NamedTuple):
    """A container. `quota` None: not reported, 0: none."""

    container: str
    account: str | None
    cid: str | None
    objects: int | None
    bytes: int | None
    quota: int | None
    policy: str | None
    versioning: int | None
    status: str | None
    created: str | None
    properties: dict[str, Any]
    system: dict[str, Any]

    @property
    def keeps_versions(self) -> bool:
        """Whether what is replaced stays as an older version. 1: off; N: number of versions; -1:
        all."""
        return self.versioning not in (None, 0, 1)


class Location(NamedTuple):
    """Where the database of a container is: `base` is its name, `meta0` to `meta2` are addresses;
    None: not reported."""

    container: str
    account: str | None
    cid: str | None
    base: str | None
    status: str | None
    meta2: list[str]
    meta1: list[str] | None
    meta0: list[str] | None


class Entry(NamedTuple):
    """A line of a listing: an `object`, or a `prefix` up to the delimiter."""

    name: str
    kind: str
    size: int | None = None
    hash: str | None = None
    policy: str | None = None
    mime_type: str | None = None
    content_id: str | None = None
    version: int | None = None
    deleted: bool | None = None
    created: str | None = None
    modified: str | None = None
    properties: dict[str, str] | None = None


# Entries, or what is compared with files.
Listed = TypeVar("Listed")


class PageOf(NamedTuple, Generic[Listed]):
    """One page of a listing. `marker` is for the next request, as received: it is already escaped;
    `version_marker` goes with it where a page ends between the versions of an object.
    `status` is that of the container, as in `Container`, None if it is not reported, or UNREADABLE;
    `skipped` counts the rows that cannot be read. `incomplete` is a name of which versions may be
    missing."""

    entries: list[Listed]
    marker: str | None
    status: str | None
    skipped: int
    incomplete: str | None = None
    version_marker: int | None = None


class Shard(NamedTuple):
    """A container that holds the objects of a sharded one whose names are after `lower` and not
    after `upper`; empty: no limit. `objects` is the number that it had when it was made."""

    cid: str
    lower: str
    upper: str
    objects: int | None


class ShardPage(NamedTuple):
    """Some shards of a container; `marker` as in `Page`."""

    shards: list[Shard]
    marker: str | None


Page = PageOf[Entry]


class AccountPage(NamedTuple):
    """One page of an account's containers; `size` counts also the rows that cannot be read."""

    rows: list[AccountContainer]
    size: int


class Content(NamedTuple):
    """An object: its metadata, and the chunks that hold it as the server lists them (`url`, `pos`,
    `size`, `hash`, ...)."""

    container: str
    path: str
    content_id: str | None
    version: int | None
    size: int | None
    hash: str | None
    policy: str | None
    mime_type: str | None
    chunk_method: str | None
    chunk_size: int | None
    created: str | None
    modified: str | None
    deleted: bool | None
    properties: dict[str, str] | None
    chunks: list[dict[str, Any]]


class Located(NamedTuple):
    """A chunk of an object and the service that holds it. `size` and `hash` are those that are
    registered, of a fragment those of its metachunk; `chunk_size` and `chunk_hash` those of what
    the service holds, None if it was not asked."""

    pos: str | None
    service: str | None
    volume: str | None
    location: str | None
    score: int | None
    size: int | None
    hash: str | None
    chunk_size: int | None
    chunk_hash: str | None
    url: str | None
    real_url: str | None


class Outcome(NamedTuple):
    """One item of a batch, or one replica of a base: the body's status number and message."""

    name: str
    status: int | None
    message: str
    body: Any


class Account(NamedTuple):
    account: str
    containers: int | None
    objects: int | None
    bytes: int | None
    created: str | None
    metadata: dict[str, Any]


class AccountContainer(NamedTuple):
    """A container in the listing of an account; `prefix` kinds come with a delimiter."""

    name: str
    kind: str
    objects: int | None
    bytes: int | None
    modified: str | None


class ServicesOfType(NamedTuple):
    """How many services of a type there are, and in which state; None: cannot be listed."""

    type: str
    total: int | None = None
    up: int | None = None
    down_or_locked: int | None = None
    lowest_score: int | None = None


class Overview(NamedTuple):
    """A namespace at a glance; None: this part failed."""

    namespace: str
    services: list[ServicesOfType] | None
    accounts: int | None
    containers: int | None
    objects: int | None
    bytes: int | None


class IndexedContainer(NamedTuple):
    """A container that has chunks on a volume; `to_rebuild` None: no incident is set."""

    cid: str
    chunks: int | None
    to_rebuild: int | None


class Volume(NamedTuple):
    """The index of a volume: of the chunks of a rawx, kept by a rdir. `to_rebuild` and `incident`
    None: no incident is set. `containers` are as in IndexedContainer."""

    volume: str
    rdir: str
    chunks: int | None
    to_rebuild: int | None
    incident: str | None
    containers: list[dict[str, Any]]


class IndexedChunk(NamedTuple):
    """A chunk as the index of its volume has it."""

    volume: str
    cid: str
    content_id: str
    chunk_id: str
    modified: str | None


class VolumeState(NamedTuple):
    """What administrators set on a volume; None: not set."""

    volume: str
    rdir: str
    incident: str | None
    locked_by: str | None


class Assignment(NamedTuple):
    """The rdir of a volume; None: none is assigned. Locations None: not reported."""

    volume: str
    rdir: str | None
    location: str | None
    rdir_location: str | None


class MappedPrefix(NamedTuple):
    """The meta1 services of the containers whose ID begins with a prefix."""

    prefix: str
    services: list[str]
