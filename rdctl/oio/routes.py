"""The table of the oio-proxy's routes: paths, and the builders and readers of bodies.

A route lies below /v3.0/NAMESPACE/, or below /v3.0/ when its path begins with a slash. Facts are
from recordings of 3.3.1 and 4.2.10, from the published reference, and for later releases from
upstream's sources.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rdctl.net.messages import Reply
from rdctl.oio import bodies
from rdctl.oio.bodies import Arguments, Payload
from rdctl.oio.replies import (
    admin,
    conscience,
    container,
    content,
    plain,
    proofs,
    properties,
    reference,
)

# Each is its predecessor and some differences: 5 is 4.3 to 6.x, 2025 all releases since.
REAL = ("3.3", "4.2", "5", "7", "2025")
WRITTEN = ("reference",)
DIALECTS = (*REAL, *WRITTEN)
# The release that a dialect begins with, for messages.
BEGINS = {"3.3": "3.3", "4.2": "4.0", "5": "4.3", "7": "7.0", "2025": "2025.28"}
# A proxy counts the requests of each of its routes, also if it received none: the newest first.
SHOWN_BY = (("container_checkpoint", "2025"), ("conscience_score", "7"), ("content_prepare2", "5"))
READ, CHANGE, DESTROY = "read", "change", "destroy"
# The proxy waits 30 s for a stuck service, and 62 s for three replicas that cannot elect.
SECONDS, ADMIN_SECONDS = 35.0, 90.0


class Way(NamedTuple):
    """How to call a route in some dialects."""

    dialects: tuple[str, ...] = DIALECTS
    method: str = "POST"
    body: Callable[[Arguments], Payload] = bodies.nothing
    reply: Callable[[Reply], Any] = proofs.nothing


class Route(NamedTuple):
    """`effect` is read, change or destroy, whatever the method; `raised_by` are flags that make a
    change destroy."""

    name: str
    path: str
    doc: str
    ways: tuple[Way, ...]
    effect: str = READ
    raised_by: tuple[str, ...] = ()
    seconds: float = SECONDS


def since(first: str, gone: str | None = None) -> tuple[str, ...]:
    """The dialects of real servers from `first` on, before that in which a route is `gone`."""
    return REAL[REAL.index(first) : REAL.index(gone) if gone else None]


NEW = since("4.2")
OLD = ("3.3", "reference")


def get(reply: Callable[[Reply], Any], *dialects: str) -> tuple[Way, ...]:
    return (Way(dialects or DIALECTS, "GET", reply=reply),)


def post(
    reply: Callable[[Reply], Any] = proofs.nothing,
    body: Callable[[Arguments], Payload] = bodies.nothing,
    *dialects: str,
) -> tuple[Way, ...]:
    return (Way(dialects or DIALECTS, "POST", body, reply),)


def _route(
    name: str, doc: str, ways: tuple[Way, ...], effect: str = READ, *raised_by: str
) -> Route:
    """A route whose path is like its name."""
    return Route(name, name.replace(".", "/"), doc, ways, effect, raised_by)


_SET = post(proofs.done, bodies.properties)
# The reference writes properties as one flat object, real servers expect them nested.
_SET_CONTAINER = (
    Way(REAL, body=bodies.properties, reply=proofs.done),
    Way(WRITTEN, body=bodies.flat_user_properties, reply=proofs.done),
)
_SET_CONTENT = (
    Way(REAL, body=bodies.properties, reply=proofs.done),
    Way(WRITTEN, body=bodies.flat_properties, reply=proofs.done),
)
_CONFIGURE = post(proofs.configured, bodies.given, *NEW)


def _properties(
    noun: str,
    owner: str,
    write: tuple[Way, ...],
    *raised_by: str,
    read: Callable[[Arguments], Payload] = bodies.nothing,
) -> tuple[Route, ...]:
    """The routes about the properties of a noun; `raised_by`: flags that make `set` destroy."""
    delete = post(proofs.done, bodies.keys)
    return (
        _route(f"{noun}.get_properties", f"Properties of {owner}.", post(properties.shown, read)),
        _route(f"{noun}.set_properties", f"Set properties of {owner}.", write, CHANGE, *raised_by),
        _route(f"{noun}.del_properties", f"Delete properties of {owner}.", delete, CHANGE, "all"),
    )


def _service(action: str, doc: str, ways: tuple[Way, ...], effect: str = CHANGE) -> Route:
    return Route(f"service.{action}", f"/forward/{action}", doc, ways, effect=effect)


def _base(action: str, doc: str, ways: tuple[Way, ...], effect: str = READ) -> Route:
    """A route about one database, which queries each of its replicas in turn."""
    return Route(
        f"admin.{action}", f"admin/{action}", doc, ways, effect=effect, seconds=ADMIN_SECONDS
    )


_TABLE = (
    # The proxy itself.
    Route("status", "/status", "The proxy's counters.", get(plain.text)),
    Route("config.get", "/config", "The proxy's configuration.", get(plain.texts, *NEW)),
    Route(
        "config.set",
        "/config",
        "Set variables of the proxy.",
        _CONFIGURE,
        effect=CHANGE,
    ),
    Route(
        "cache.show",
        "/cache/show",
        "The services that the proxy knows.",
        get(conscience.services_by_id, *NEW),
    ),
    Route("cache.status", "/cache/status", "How full the caches are.", get(plain.caches)),
    *(
        Route(f"cache.flush-{which}", f"/cache/flush/{which}", doc, post(), effect=CHANGE)
        for which, doc in (
            ("local", "Drop the cached services of this host."),
            ("high", "Drop the cached locations of prefixes."),
            ("low", "Drop the cached services of references."),
        )
    ),
    # Conscience.
    _route("conscience.info", "The namespace.", get(conscience.namespace)),
    Route("conscience.types", "conscience/info", "Types of services.", get(plain.names)),
    _route("conscience.list", "Services of one type.", get(conscience.services)),
    _route("conscience.resolve", "The address of a service id.", get(conscience.address, *NEW)),
    *(
        _route(
            f"conscience.{action}",
            doc,
            # Real servers read the body; the reference shows the type in the query.
            post(proofs.registered, bodies.service),
            effect,
        )
        for action, doc, effect in (
            ("register", "Register a service.", CHANGE),
            ("lock", "Lock a service's score.", DESTROY),
            ("unlock", "Unlock a service's score.", CHANGE),
        )
    ),
    # Sent with a body only: without one, a proxy before 7 drops the whole type.
    _route(
        "conscience.deregister",
        "Deregister a service.",
        post(proofs.flushed_type, bodies.service),
        DESTROY,
    ),
    _route(
        "conscience.flush",
        "Deregister every service of a type.",
        post(proofs.flushed_type),
        DESTROY,
    ),
    _route("local.list", "Services of this host.", get(conscience.services)),
    _route("conscience.score", "The score of a service.", get(plain.json, *since("7", "2025"))),
    # Load balancing.
    _route("lb.choose", "Services that the load balancer would choose.", get(conscience.choice)),
    _route("lb.poll", "Services for a policy or a pool.", post(conscience.choice, bodies.given)),
    _route("lb.reload", "Reload the load balancer.", post(), CHANGE),
    Route(
        "lb.create-pool",
        "lb/create_pool",
        "Create a pool.",
        post(proofs.nothing, bodies.given, *NEW),
        effect=CHANGE,
    ),
    # References.
    _route(
        "reference.create", "Create a reference.", post(proofs.accepted, bodies.properties), CHANGE
    ),
    _route("reference.show", "A reference and its links.", get(reference.shown)),
    _route("reference.destroy", "Destroy a reference.", post(), DESTROY),
    *_properties("reference", "a reference", _SET, "flush", read=bodies.requested_keys),
    _route("reference.link", "Link a service.", post(reference.links), CHANGE),
    _route("reference.unlink", "Unlink services.", post(), DESTROY),
    _route("reference.renew", "Replace a linked service.", post(reference.links), CHANGE),
    _route(
        "reference.force",
        "Link a given service.",
        post(proofs.nothing, bodies.forced_service),
        CHANGE,
        "replace",
    ),
    _route(
        "reference.relink",
        "Replace linked services by others.",
        post(reference.relinked, bodies.replaced_services, *NEW),
        DESTROY,
    ),
    Route(
        "reference.rehearse-relink",
        "reference/relink",
        "Whether the linked services are those to be replaced, with dryrun.",
        post(reference.relinked, bodies.replaced_services, *NEW),
    ),
    # Containers.
    _route(
        "container.create",
        "Create a container.",
        (
            Way(NEW, body=bodies.properties, reply=proofs.created_by_201),
            Way(("3.3",), body=bodies.properties, reply=proofs.created_by_204),
            Way(WRITTEN, body=bodies.properties_autocreate, reply=proofs.created_by_204),
        ),
        CHANGE,
    ),
    _route(
        "container.create_many",
        "Create containers, 100 at most.",
        (
            Way(REAL, body=bodies.containers, reply=container.containers),
            Way(WRITTEN, body=bodies.containers_autocreate, reply=container.containers),
        ),
        CHANGE,
    ),
    _route("container.show", "A container.", get(container.shown)),
    _route("container.list", "A page of a container's objects.", get(container.page)),
    Route(
        "container.compare",
        "container/list",
        "A page of what is compared with files.",
        get(container.compared),
    ),
    _route("container.destroy", "Destroy a container.", post(), DESTROY),
    _route("container.flush", "Delete all objects of a container.", post(proofs.flushed), DESTROY),
    # Real servers ignore a filter for containers, so all are requested.
    *_properties("container", "a container", _SET_CONTAINER, "flush", "system"),
    _route("container.touch", "Refresh counters.", post(), CHANGE),
    _route("container.dedup", "Deduplicate objects.", post(), CHANGE),
    _route(
        "container.checkpoint",
        "Copy the container's database to a checkpoint.",
        post(proofs.nothing, bodies.checkpoint, *since("2025")),
        CHANGE,
    ),
    _route(
        "container.drain",
        "Drop the data of all objects, keep their names.",
        post(proofs.flushed, bodies.nothing, *since("2025")),
        DESTROY,
    ),
    _route("container.sharding.show", "A page of shards.", get(container.shards, *since("2025"))),
    _route("container.purge", "Delete surplus versions.", post(), DESTROY),
    _route(
        "container.snapshot",
        "Copy a container's state to a new one.",
        post(proofs.nothing, bodies.given, *NEW),
        CHANGE,
    ),
    *(
        _route(f"container.raw_{action}", doc, post(proofs.nothing, bodies.given), DESTROY)
        for action, doc in (
            ("insert", "Insert beans into the database."),
            ("update", "Replace beans in the database."),
            ("delete", "Delete beans from the database."),
        )
    ),
    # Objects (contents).
    _route(
        "content.prepare",
        "Chunks for a new object.",
        (
            Way(REAL, body=bodies.prepare, reply=content.prepared),
            Way(WRITTEN, body=bodies.prepare_text, reply=content.prepared),
        ),
        # With autocreate it creates the container.
        CHANGE,
    ),
    _route(
        "content.create",
        "Register an object and its chunks.",
        (
            Way(REAL, body=bodies.content, reply=proofs.stored),
            Way(WRITTEN, body=bodies.reference_content, reply=proofs.stored),
        ),
        CHANGE,
        "force",
    ),
    _route(
        "content.prepare2",
        "Chunks for a new object, in one JSON object.",
        post(content.prepared, bodies.prepare, *since("5")),
        CHANGE,
    ),
    _route(
        "content.transition",
        "Move an object to another storage policy.",
        post(proofs.nothing, bodies.transition, *since("2025")),
        CHANGE,
    ),
    _route("content.show", "An object and its chunks.", get(content.shown)),
    _route("content.locate", "An object and its chunks (alias).", get(content.shown)),
    _route("content.delete", "Delete an object.", post(), DESTROY),
    _route(
        "content.delete_many",
        "Delete objects, 100 at most.",
        post(container.contents, bodies.contents, *REAL),
        DESTROY,
    ),
    *_properties("content", "an object", _SET_CONTENT, "flush", read=bodies.requested_keys),
    _route("content.touch", "Refresh an object.", post(), CHANGE),
    _route(
        "content.spare", "Spare chunks for an object.", post(content.spare, bodies.given), CHANGE
    ),
    _route(
        "content.copy",
        "Copy (link) an object within its container.",
        post(proofs.nothing, bodies.copy_target, *OLD),
        CHANGE,
    ),
    _route(
        "content.link",
        "Link an object to another name, by its ID.",
        post(proofs.nothing, bodies.given, "3.3"),
        CHANGE,
    ),
    _route("content.truncate", "Truncate an object at a chunk boundary.", post(), DESTROY),
    _route(
        "content.update",
        "Replace an object's chunks.",
        post(proofs.nothing, bodies.content),
        DESTROY,
    ),
    _route("content.drain", "Drop the data, keep the name.", post(), DESTROY),
    _route(
        "content.purge",
        "Delete surplus versions of an object.",
        post(proofs.nothing, bodies.nothing, *NEW),
        DESTROY,
    ),
    # Services.
    _service("stats", "Counters of a service.", post(plain.lines), READ),
    _service(
        "ping",
        "Whether a service answers.",
        (Way(NEW, "GET", reply=proofs.pong), Way(OLD, "POST", reply=proofs.pong)),
        READ,
    ),
    _service(
        "version",
        "A service's version.",
        (Way(NEW, "GET", reply=plain.text), Way(OLD, "POST", reply=plain.text)),
        READ,
    ),
    _service(
        "handlers",
        "Requests that a service handles.",
        post(plain.lines, bodies.nothing, *OLD),
        READ,
    ),
    _service("info", "A service's information.", get(plain.json, *NEW), READ),
    *(
        Route(f"service.{action}-config", "/forward/config", doc, ways, effect=effect)
        for action, doc, ways, effect in (
            ("get", "A service's configuration.", get(plain.texts, *NEW), READ),
            ("set", "Set variables of a service.", _CONFIGURE, CHANGE),
        )
    ),
    _service("lean-glib", "Release a service's unused memory.", post()),
    _service("lean-sqlx", "Release a service's SQLite memory.", post()),
    _service("flush", "Flush a service's caches.", post()),
    _service("reload", "Reload a service's caches.", post()),
    _service(
        "kill",
        "Abort a service.",
        post(proofs.nothing, bodies.nothing, *since("3.3", "2025"), *WRITTEN),
        DESTROY,
    ),
    _service("balance-masters", "Resign masters.", post(plain.json, bodies.nothing, *since("5"))),
    # Databases and elections.
    _base("ping", "Make every replica join its election.", post(admin.replicas), CHANGE),
    _base("has", "Which replicas have the database.", post(admin.replicas, bodies.nothing, *NEW)),
    _base("info", "SQLite information of each replica.", post(admin.sqlite)),
    _base("status", "The master according to each replica.", post(admin.replicas)),
    # The same request as status, sent for what it makes a service do: open the base.
    Route(
        "admin.warmup",
        "admin/status",
        "Open the database, and elect its master.",
        post(admin.replicas),
        effect=CHANGE,
        seconds=ADMIN_SECONDS,
    ),
    _base("drop_cache", "Make every replica close the database.", post(admin.replicas), DESTROY),
    _base("sync", "Resynchronize the slaves of the database.", post(admin.replicas), CHANGE),
    _base("leave", "Make replicas leave the election.", post(admin.replicas), DESTROY),
    _base("debug", "Election status of each replica.", post(admin.elections)),
    _base(
        "copy",
        "Copy the database to another service.",
        (
            Way(NEW, body=bodies.object_target, reply=admin.replicas),
            Way(OLD, body=bodies.text_target, reply=admin.replicas),
        ),
        DESTROY,
    ),
    _base(
        "remove",
        "Remove a replica of the database.",
        post(admin.replicas, bodies.nothing, *NEW),
        DESTROY,
    ),
    _base(
        "vacuum",
        "Compact the database.",
        post(proofs.done, bodies.nothing, *since("5")),
        CHANGE,
    ),
    *(
        route._replace(seconds=ADMIN_SECONDS)
        for route in _properties("admin", "the database", _SET_CONTAINER, "flush", "system")
    ),
    _base("freeze", "Freeze the database (reject writes).", post(proofs.done), DESTROY),
    _base("enable", "Enable the database.", post(proofs.done), CHANGE),
    _base("disable", "Disable the database.", post(proofs.done), DESTROY),
    Route("meta0.list", "admin/meta0_list", "Which meta1 holds which prefix.", get(plain.json)),
    Route(
        "meta0.force",
        "admin/meta0_force",
        "Overwrite which meta1 holds which prefix.",
        post(proofs.nothing, bodies.given),
        effect=DESTROY,
    ),
)

ROUTES = {route.name: route for route in _TABLE}
