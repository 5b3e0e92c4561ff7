"""The table of the oio-proxy's routes: paths, and the builders and readers of bodies.

A route lies below /v3.0/NAMESPACE/, or below /v3.0/ when its path begins with a slash. Facts are
from recordings of 3.3.1 and 4.2.10, and from the published reference.
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

DIALECTS = ("4.2", "3.3", "reference")
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


NEW = ("4.2",)
OLD = ("3.3", "reference")
REAL = ("4.2", "3.3")
WRITTEN = ("reference",)


def get(reply: Callable[[Reply], Any], *dialects: str) -> tuple[Way, ...]:
    return (Way(dialects or DIALECTS, "GET", reply=reply),)


def post(
    reply: Callable[[Reply], Any] = proofs.nothing,
    body: Callable[[Arguments], Payload] = bodies.nothing,
    *dialects: str,
) -> tuple[Way, ...]:
    return (Way(dialects or DIALECTS, "POST", body, reply),)


# The reference writes properties as one flat object, real servers expect them nested.
_SET_CONTAINER = (
    Way(REAL, body=bodies.properties, reply=proofs.done),
    Way(WRITTEN, body=bodies.flat_user_properties, reply=proofs.done),
)
_SET_CONTENT = (
    Way(REAL, body=bodies.properties, reply=proofs.done),
    Way(WRITTEN, body=bodies.flat_properties, reply=proofs.done),
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
    Route("config.get", "/config", "The proxy's configuration.", get(plain.json, *NEW)),
    Route(
        "config.set",
        "/config",
        "Set variables of the proxy.",
        post(plain.json, bodies.given, *NEW),
        effect=CHANGE,
    ),
    Route("cache.show", "/cache/show", "The proxy's caches.", get(plain.json, *NEW)),
    Route("cache.status", "/cache/status", "How full the caches are.", get(plain.json)),
    *(
        Route(f"cache.flush-{which}", f"/cache/flush/{which}", doc, post(), effect=CHANGE)
        for which, doc in (
            ("local", "Drop the cached services of this host."),
            ("high", "Drop the cached locations of prefixes."),
            ("low", "Drop the cached services of references."),
        )
    ),
    # Conscience.
    Route("conscience.info", "conscience/info", "The namespace.", get(conscience.namespace)),
    Route("conscience.types", "conscience/info", "Types of services.", get(plain.names)),
    Route("conscience.list", "conscience/list", "Services of one type.", get(conscience.services)),
    Route(
        "conscience.resolve",
        "conscience/resolve",
        "The address of a service id.",
        get(plain.json, *NEW),
    ),
    *(
        Route(
            f"conscience.{action}",
            f"conscience/{action}",
            doc,
            # Real servers read the body; the reference shows the type in the query.
            post(proofs.registered, bodies.service),
            effect=effect,
        )
        for action, doc, effect in (
            ("register", "Register a service.", CHANGE),
            ("lock", "Lock a service's score.", DESTROY),
            ("unlock", "Unlock a service's score.", CHANGE),
        )
    ),
    *(
        # With a body deregister is not implemented; without one it drops the whole type.
        Route(
            f"conscience.{action}",
            f"conscience/{action}",
            doc,
            post(proofs.flushed_type),
            effect=DESTROY,
        )
        for action, doc in (
            ("deregister", "Deregister every service of a type."),
            ("flush", "Deregister every service of a type."),
        )
    ),
    Route("local.list", "local/list", "Services of this host.", get(conscience.services)),
    # Load balancing.
    Route(
        "lb.choose",
        "lb/choose",
        "Services that the load balancer would choose.",
        get(conscience.addresses),
    ),
    Route("lb.poll", "lb/poll", "Services for a policy or a pool.", post(plain.json, bodies.given)),
    Route("lb.reload", "lb/reload", "Reload the load balancer.", post(), effect=CHANGE),
    Route(
        "lb.create-pool",
        "lb/create_pool",
        "Create a pool.",
        post(proofs.nothing, bodies.given, *NEW),
        effect=CHANGE,
    ),
    # References.
    Route(
        "reference.create",
        "reference/create",
        "Create a reference.",
        post(proofs.accepted, bodies.properties),
        effect=CHANGE,
    ),
    Route("reference.show", "reference/show", "A reference and its links.", get(reference.shown)),
    Route("reference.destroy", "reference/destroy", "Destroy a reference.", post(), effect=DESTROY),
    Route(
        "reference.get_properties",
        "reference/get_properties",
        "A reference's properties.",
        post(properties.shown, bodies.requested_keys),
    ),
    Route(
        "reference.set_properties",
        "reference/set_properties",
        "Set properties of a reference.",
        post(proofs.done, bodies.properties),
        effect=CHANGE,
        raised_by=("flush",),
    ),
    Route(
        "reference.del_properties",
        "reference/del_properties",
        "Delete properties of a reference.",
        post(proofs.done, bodies.keys),
        effect=CHANGE,
        raised_by=("all",),
    ),
    Route(
        "reference.link", "reference/link", "Link a service.", post(reference.links), effect=CHANGE
    ),
    Route("reference.unlink", "reference/unlink", "Unlink services.", post(), effect=DESTROY),
    Route(
        "reference.renew",
        "reference/renew",
        "Replace a linked service.",
        post(reference.links),
        effect=CHANGE,
    ),
    Route(
        "reference.force",
        "reference/force",
        "Link a given service.",
        post(proofs.nothing, bodies.forced_service),
        effect=CHANGE,
        raised_by=("replace",),
    ),
    Route(
        "reference.relink",
        "reference/relink",
        "Replace linked services by given ones.",
        post(plain.json, bodies.given, *NEW),
        effect=DESTROY,
    ),
    # Containers.
    Route(
        "container.create",
        "container/create",
        "Create a container.",
        (
            Way(NEW, body=bodies.properties, reply=proofs.created_by_201),
            Way(("3.3",), body=bodies.properties, reply=proofs.created_by_204),
            Way(WRITTEN, body=bodies.properties_autocreate, reply=proofs.created_by_204),
        ),
        effect=CHANGE,
    ),
    Route(
        "container.create_many",
        "container/create_many",
        "Create containers, 100 at most.",
        (
            Way(REAL, body=bodies.containers, reply=container.containers),
            Way(WRITTEN, body=bodies.containers_autocreate, reply=container.containers),
        ),
        effect=CHANGE,
    ),
    Route("container.show", "container/show", "A container.", get(container.shown)),
    Route(
        "container.list", "container/list", "A page of a container's objects.", get(container.page)
    ),
    Route("container.destroy", "container/destroy", "Destroy a container.", post(), effect=DESTROY),
    Route(
        "container.flush",
        "container/flush",
        "Delete all objects of a container.",
        post(proofs.flushed),
        effect=DESTROY,
    ),
    Route(
        "container.get_properties",
        "container/get_properties",
        "A container's properties.",
        # Real servers ignore a filter, so all are requested.
        post(properties.shown),
    ),
    Route(
        "container.set_properties",
        "container/set_properties",
        "Set properties of a container.",
        _SET_CONTAINER,
        effect=CHANGE,
        raised_by=("flush", "system"),
    ),
    Route(
        "container.del_properties",
        "container/del_properties",
        "Delete properties of a container.",
        post(proofs.done, bodies.keys),
        effect=CHANGE,
        raised_by=("all",),
    ),
    Route("container.touch", "container/touch", "Refresh counters.", post(), effect=CHANGE),
    Route("container.dedup", "container/dedup", "Deduplicate objects.", post(), effect=CHANGE),
    Route("container.purge", "container/purge", "Delete surplus versions.", post(), effect=DESTROY),
    Route(
        "container.snapshot",
        "container/snapshot",
        "Copy a container's state to a new one.",
        post(proofs.nothing, bodies.given, *NEW),
        effect=CHANGE,
    ),
    *(
        Route(
            f"container.raw_{action}",
            f"container/raw_{action}",
            doc,
            post(proofs.nothing, bodies.given),
            effect=DESTROY,
        )
        for action, doc in (
            ("insert", "Insert beans into the database."),
            ("update", "Replace beans in the database."),
            ("delete", "Delete beans from the database."),
        )
    ),
    # Objects (contents).
    Route(
        "content.prepare",
        "content/prepare",
        "Chunks for a new object.",
        (
            Way(REAL, body=bodies.prepare, reply=content.prepared),
            Way(WRITTEN, body=bodies.prepare_text, reply=content.prepared),
        ),
        # With autocreate it creates the container.
        effect=CHANGE,
    ),
    Route(
        "content.create",
        "content/create",
        "Register an object and its chunks.",
        (
            Way(REAL, body=bodies.content, reply=proofs.stored),
            Way(WRITTEN, body=bodies.reference_content, reply=proofs.stored),
        ),
        effect=CHANGE,
        raised_by=("force",),
    ),
    Route("content.show", "content/show", "An object and its chunks.", get(content.shown)),
    Route(
        "content.locate", "content/locate", "An object and its chunks (alias).", get(content.shown)
    ),
    Route("content.delete", "content/delete", "Delete an object.", post(), effect=DESTROY),
    Route(
        "content.delete_many",
        "content/delete_many",
        "Delete objects, 100 at most.",
        post(container.contents, bodies.contents, *REAL),
        effect=DESTROY,
    ),
    Route(
        "content.get_properties",
        "content/get_properties",
        "An object's properties.",
        post(properties.shown, bodies.requested_keys),
    ),
    Route(
        "content.set_properties",
        "content/set_properties",
        "Set properties of an object.",
        _SET_CONTENT,
        effect=CHANGE,
        raised_by=("flush",),
    ),
    Route(
        "content.del_properties",
        "content/del_properties",
        "Delete properties of an object.",
        post(proofs.done, bodies.keys),
        effect=CHANGE,
        raised_by=("all",),
    ),
    Route("content.touch", "content/touch", "Refresh an object.", post(), effect=CHANGE),
    Route(
        "content.spare",
        "content/spare",
        "Spare chunks for an object.",
        post(content.spare, bodies.given),
        effect=CHANGE,
    ),
    Route(
        "content.copy",
        "content/copy",
        "Copy (link) an object within its container.",
        post(proofs.nothing, bodies.copy_target, *OLD),
        effect=CHANGE,
    ),
    Route(
        "content.link",
        "content/link",
        "Link an object to another name, by its ID.",
        post(proofs.nothing, bodies.given, "3.3"),
        effect=CHANGE,
    ),
    Route(
        "content.truncate",
        "content/truncate",
        "Truncate an object at a chunk boundary.",
        post(),
        effect=DESTROY,
    ),
    Route(
        "content.update",
        "content/update",
        "Replace an object's chunks.",
        post(proofs.nothing, bodies.content),
        effect=DESTROY,
    ),
    Route(
        "content.drain", "content/drain", "Drop the data, keep the name.", post(), effect=DESTROY
    ),
    Route(
        "content.purge",
        "content/purge",
        "Delete surplus versions of an object.",
        post(proofs.nothing, bodies.nothing, *NEW),
        effect=DESTROY,
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
    _service("lean-glib", "Release a service's unused memory.", post()),
    _service("lean-sqlx", "Release a service's SQLite memory.", post()),
    _service("flush", "Flush a service's caches.", post()),
    _service("reload", "Reload a service's caches.", post()),
    _service("kill", "Abort a service.", post(), DESTROY),
    # Databases and elections.
    _base("ping", "Make every replica join its election.", post(admin.replicas), CHANGE),
    _base("has", "Which replicas have the database.", post(admin.replicas, bodies.nothing, *NEW)),
    _base("info", "SQLite information of each replica.", post(admin.sqlite)),
    _base("status", "The master according to each replica.", post(admin.replicas)),
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
    _base("vacuum", "Compact the database.", post(admin.replicas, bodies.nothing, *NEW), CHANGE),
    _base("get_properties", "The database's properties.", post(properties.shown)),
    _base("set_properties", "Set properties of the database.", _SET_CONTAINER, CHANGE)._replace(
        raised_by=("flush", "system")
    ),
    _base(
        "del_properties",
        "Delete properties of the database.",
        post(proofs.done, bodies.keys),
        CHANGE,
    )._replace(raised_by=("all",)),
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
