"""The table of the oio-proxy's routes: wire facts, and who builds and reads what.

A route lies below /v3.0/NAMESPACE/, or below /v3.0/ when its path begins with a slash. Facts are
from recordings of 3.3.1 and 4.2.10, and from the published reference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rdctl.net.messages import Reply
from rdctl.oio import bodies, replies
from rdctl.oio.bodies import Arguments, Sent

DIALECTS = ("4.2", "3.3", "reference")
READ, CHANGE, DESTROY = "read", "change", "destroy"
# The proxy waits 30 s for a stuck service, and 62 s for three replicas that cannot elect.
SECONDS, ADMIN_SECONDS = 35.0, 90.0


class Way(NamedTuple):
    """How a route is asked in some dialects."""

    dialects: tuple[str, ...] = DIALECTS
    method: str = "POST"
    body: Callable[[Arguments], Sent] = bodies.nothing
    reply: Callable[[Reply], Any] = replies.nothing


class Route(NamedTuple):
    """`needs` and `takes` name the parameters of the query; `effect` is read, change or destroy,
    whatever the method; `raised_by` are flags that make a change destroy."""

    name: str
    path: str
    doc: str
    ways: tuple[Way, ...]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    effect: str = READ
    raised_by: tuple[str, ...] = ()
    repeatable: bool = True
    seconds: float = SECONDS


REF = ("acct", "ref")
PATH = ("acct", "ref", "path")
BASE = ("acct", "ref", "type")
NEW = ("4.2",)
OLD = ("3.3", "reference")
REAL = ("4.2", "3.3")
WRITTEN = ("reference",)


def get(reply: Callable[[Reply], Any], *dialects: str) -> tuple[Way, ...]:
    return (Way(dialects or DIALECTS, "GET", reply=reply),)


def post(
    reply: Callable[[Reply], Any] = replies.nothing,
    body: Callable[[Arguments], Sent] = bodies.nothing,
    *dialects: str,
) -> tuple[Way, ...]:
    return (Way(dialects or DIALECTS, "POST", body, reply),)


# The reference writes properties as one flat object, real servers take them nested.
_SET_CONTAINER = (
    Way(REAL, body=bodies.properties, reply=replies.done),
    Way(WRITTEN, body=bodies.flat_user_properties, reply=replies.done),
)
_SET_CONTENT = (
    Way(REAL, body=bodies.properties, reply=replies.done),
    Way(WRITTEN, body=bodies.flat_properties, reply=replies.done),
)


def _service(action: str, doc: str, ways: tuple[Way, ...], effect: str = CHANGE) -> Route:
    return Route(f"service.{action}", f"/forward/{action}", doc, ways, ("id",), effect=effect)


def _base(
    action: str, doc: str, ways: tuple[Way, ...], effect: str = READ, takes: tuple[str, ...] = ()
) -> Route:
    """A route about one base, which asks each of its replicas in turn."""
    return Route(
        f"admin.{action}",
        f"admin/{action}",
        doc,
        ways,
        BASE,
        ("seq", *takes),
        effect,
        seconds=ADMIN_SECONDS,
    )


_TABLE = (
    # The proxy itself.
    Route("status", "/status", "The proxy's counters.", get(replies.text)),
    Route("config.get", "/config", "The proxy's configuration.", get(replies.json, *NEW)),
    Route(
        "config.set",
        "/config",
        "Set variables of the proxy.",
        post(replies.json, bodies.given, *NEW),
        effect=CHANGE,
    ),
    Route("cache.show", "/cache/show", "What the proxy remembers.", get(replies.json, *NEW)),
    Route("cache.status", "/cache/status", "How full the caches are.", get(replies.json)),
    *(
        Route(f"cache.flush-{which}", f"/cache/flush/{which}", doc, post(), effect=CHANGE)
        for which, doc in (
            ("local", "Forget the services of this host."),
            ("high", "Forget which meta1 holds what."),
            ("low", "Forget which services a reference has."),
        )
    ),
    # Conscience.
    Route("conscience.info", "conscience/info", "The namespace.", get(replies.namespace)),
    Route(
        "conscience.types", "conscience/info", "Types of services.", get(replies.names), ("what",)
    ),
    Route(
        "conscience.list",
        "conscience/list",
        "Services of one type.",
        get(replies.services),
        ("type",),
        ("full",),
    ),
    Route(
        "conscience.resolve",
        "conscience/resolve",
        "The address of a service id.",
        get(replies.json, *NEW),
        ("type", "service_id"),
    ),
    *(
        Route(
            f"conscience.{action}",
            f"conscience/{action}",
            doc,
            post(replies.registered, bodies.service),
            # Real servers read the body; the reference shows the type in the query.
            ("type",),
            effect=effect,
        )
        for action, doc, effect in (
            ("register", "Register a service.", CHANGE),
            ("lock", "Lock a service's score.", DESTROY),
            ("unlock", "Give a service its score back.", CHANGE),
        )
    ),
    *(
        # With a body deregister is not implemented; without one it drops the whole type.
        Route(
            f"conscience.{action}",
            f"conscience/{action}",
            doc,
            post(replies.flushed_type),
            ("type",),
            (),
            DESTROY,
        )
        for action, doc in (
            ("deregister", "Drop every service of a type."),
            ("flush", "Drop every service of a type."),
        )
    ),
    Route(
        "local.list", "local/list", "Services of this host.", get(replies.services), (), ("type",)
    ),
    # Load balancing.
    Route(
        "lb.choose",
        "lb/choose",
        "Services that the load balancer would take.",
        get(replies.addresses),
        ("type",),
        ("size", "slot"),
    ),
    Route(
        "lb.poll",
        "lb/poll",
        "Services for a policy or a pool.",
        post(replies.json, bodies.given),
        (),
        ("policy", "pool"),
    ),
    Route("lb.reload", "lb/reload", "Reload the load balancer.", post(), effect=CHANGE),
    Route(
        "lb.create-pool",
        "lb/create_pool",
        "Create a pool.",
        post(replies.nothing, bodies.given, *NEW),
        ("name",),
        effect=CHANGE,
    ),
    # References.
    Route(
        "reference.create",
        "reference/create",
        "Create a reference.",
        post(replies.accepted, bodies.properties),
        REF,
        effect=CHANGE,
    ),
    Route(
        "reference.show",
        "reference/show",
        "A reference and its links.",
        get(replies.reference),
        REF,
        ("type",),
    ),
    Route(
        "reference.destroy",
        "reference/destroy",
        "Destroy a reference.",
        post(),
        REF,
        ("force",),
        DESTROY,
    ),
    Route(
        "reference.get_properties",
        "reference/get_properties",
        "A reference's properties.",
        post(replies.properties, bodies.wanted_keys),
        REF,
    ),
    Route(
        "reference.set_properties",
        "reference/set_properties",
        "Set properties of a reference.",
        post(replies.done, bodies.properties),
        REF,
        ("flush",),
        CHANGE,
        ("flush",),
    ),
    Route(
        "reference.del_properties",
        "reference/del_properties",
        "Delete properties of a reference.",
        post(replies.done, bodies.keys),
        REF,
        effect=CHANGE,
        raised_by=("all",),
    ),
    Route(
        "reference.link",
        "reference/link",
        "Link a service.",
        post(replies.links),
        BASE,
        ("autocreate",),
        CHANGE,
    ),
    Route("reference.unlink", "reference/unlink", "Unlink services.", post(), BASE, (), DESTROY),
    Route(
        "reference.renew",
        "reference/renew",
        "Replace a linked service.",
        post(replies.links),
        BASE,
        effect=CHANGE,
    ),
    Route(
        "reference.force",
        "reference/force",
        "Link one service by hand.",
        post(replies.nothing, bodies.forced_service),
        BASE,
        ("replace",),
        CHANGE,
        ("replace",),
    ),
    Route(
        "reference.relink",
        "reference/relink",
        "Replace services by hand.",
        post(replies.json, bodies.given, *NEW),
        BASE,
        effect=DESTROY,
    ),
    # Containers.
    Route(
        "container.create",
        "container/create",
        "Create a container.",
        (
            Way(NEW, body=bodies.properties, reply=replies.created_by_201),
            Way(("3.3",), body=bodies.properties, reply=replies.created_by_204),
            Way(WRITTEN, body=bodies.properties_autocreate, reply=replies.created_by_204),
        ),
        REF,
        effect=CHANGE,
    ),
    Route(
        "container.create_many",
        "container/create_many",
        "Create containers, 100 at most.",
        (
            Way(REAL, body=bodies.containers, reply=replies.containers),
            Way(WRITTEN, body=bodies.containers_autocreate, reply=replies.containers),
        ),
        ("acct",),
        effect=CHANGE,
    ),
    Route("container.show", "container/show", "A container.", get(replies.container), REF),
    Route(
        "container.list",
        "container/list",
        "A page of a container's contents.",
        get(replies.page),
        REF,
        ("prefix", "delimiter", "marker", "end_marker", "max", "deleted", "all", "properties"),
    ),
    Route(
        "container.destroy",
        "container/destroy",
        "Destroy a container.",
        post(),
        REF,
        ("force", "flush"),
        DESTROY,
    ),
    Route(
        "container.flush",
        "container/flush",
        "Delete all contents of a container.",
        post(replies.flushed),
        REF,
        (),
        DESTROY,
    ),
    Route(
        "container.get_properties",
        "container/get_properties",
        "A container's properties.",
        # A filter is ignored by real servers, so all are asked for.
        post(replies.properties),
        REF,
    ),
    Route(
        "container.set_properties",
        "container/set_properties",
        "Set properties of a container.",
        _SET_CONTAINER,
        REF,
        ("flush",),
        CHANGE,
        ("flush", "system"),
    ),
    Route(
        "container.del_properties",
        "container/del_properties",
        "Delete properties of a container.",
        post(replies.done, bodies.keys),
        REF,
        effect=CHANGE,
        raised_by=("all",),
    ),
    Route("container.touch", "container/touch", "Refresh counters.", post(), REF, (), CHANGE),
    Route("container.dedup", "container/dedup", "Share equal contents.", post(), REF, (), CHANGE),
    Route(
        "container.purge",
        "container/purge",
        "Delete surplus versions.",
        post(),
        REF,
        ("maxvers",),
        DESTROY,
    ),
    Route(
        "container.snapshot",
        "container/snapshot",
        "Copy a container's state to a new one.",
        post(replies.nothing, bodies.given, *NEW),
        REF,
        effect=CHANGE,
    ),
    *(
        Route(
            f"container.raw_{action}",
            f"container/raw_{action}",
            doc,
            post(replies.nothing, bodies.given),
            REF,
            takes,
            DESTROY,
        )
        for action, doc, takes in (
            ("insert", "Insert beans into the base.", ("force",)),
            ("update", "Replace beans in the base.", ("frozen",)),
            ("delete", "Delete beans from the base.", ()),
        )
    ),
    # Contents.
    Route(
        "content.prepare",
        "content/prepare",
        "Chunks for a new content.",
        (
            Way(REAL, body=bodies.prepare, reply=replies.prepared),
            Way(WRITTEN, body=bodies.prepare_text, reply=replies.prepared),
        ),
        PATH,
        # With autocreate it creates the container.
        effect=CHANGE,
    ),
    Route(
        "content.create",
        "content/create",
        "Register a content and its chunks.",
        (
            Way(REAL, body=bodies.content, reply=replies.stored),
            Way(WRITTEN, body=bodies.reference_content, reply=replies.stored),
        ),
        PATH,
        ("append", "force"),
        CHANGE,
        ("force",),
    ),
    Route(
        "content.show",
        "content/show",
        "A content and its chunks.",
        get(replies.content),
        PATH,
        ("version", "properties"),
    ),
    Route(
        "content.locate",
        "content/locate",
        "A content and its chunks (alias).",
        get(replies.content),
        PATH,
        ("version", "properties"),
    ),
    Route(
        "content.delete",
        "content/delete",
        "Delete a content.",
        post(),
        PATH,
        ("version",),
        DESTROY,
    ),
    Route(
        "content.delete_many",
        "content/delete_many",
        "Delete contents, 100 at most.",
        post(replies.contents, bodies.contents, *REAL),
        REF,
        (),
        DESTROY,
    ),
    Route(
        "content.get_properties",
        "content/get_properties",
        "A content's properties.",
        post(replies.properties, bodies.wanted_keys),
        PATH,
        ("version",),
    ),
    Route(
        "content.set_properties",
        "content/set_properties",
        "Set properties of a content.",
        _SET_CONTENT,
        PATH,
        ("version", "flush"),
        CHANGE,
        ("flush",),
    ),
    Route(
        "content.del_properties",
        "content/del_properties",
        "Delete properties of a content.",
        post(replies.done, bodies.keys),
        PATH,
        ("version",),
        CHANGE,
        ("all",),
    ),
    Route("content.touch", "content/touch", "Refresh a content.", post(), PATH, (), CHANGE),
    Route(
        "content.spare",
        "content/spare",
        "Spare chunks for a content.",
        post(replies.spare, bodies.given),
        PATH,
        ("stgpol",),
        CHANGE,
    ),
    Route(
        "content.copy",
        "content/copy",
        "Give a content a second name.",
        post(replies.nothing, bodies.copy_target, *OLD),
        PATH,
        (),
        CHANGE,
    ),
    Route(
        "content.link",
        "content/link",
        "Give a content another name, by its id.",
        post(replies.nothing, bodies.given, "3.3"),
        PATH,
        (),
        CHANGE,
    ),
    Route(
        "content.truncate",
        "content/truncate",
        "Cut a content at a chunk's end.",
        post(),
        PATH,
        ("size",),
        DESTROY,
    ),
    Route(
        "content.update",
        "content/update",
        "Replace a content's chunks.",
        post(replies.nothing, bodies.content),
        PATH,
        (),
        DESTROY,
    ),
    Route(
        "content.drain", "content/drain", "Drop the data, keep the name.", post(), PATH, (), DESTROY
    ),
    Route(
        "content.purge",
        "content/purge",
        "Delete surplus versions of a content.",
        post(replies.nothing, bodies.nothing, *NEW),
        PATH,
        ("maxvers",),
        DESTROY,
    ),
    # Services.
    _service("stats", "Counters of a service.", post(replies.lines), READ),
    _service(
        "ping",
        "Whether a service answers.",
        (Way(NEW, "GET", reply=replies.pong), Way(OLD, "POST", reply=replies.pong)),
        READ,
    ),
    _service(
        "version",
        "A service's version.",
        (Way(NEW, "GET", reply=replies.text), Way(OLD, "POST", reply=replies.text)),
        READ,
    ),
    _service("handlers", "What a service can do.", post(replies.lines, bodies.nothing, *OLD), READ),
    _service("info", "A service's information.", get(replies.json, *NEW), READ),
    _service("lean-glib", "Make a service give memory back.", post()),
    _service("lean-sqlx", "Make a service give SQLite's memory back.", post()),
    _service("flush", "Make a service forget its caches.", post()),
    _service("reload", "Make a service read its caches anew.", post()),
    _service("kill", "Abort a service.", post(), DESTROY),
    # Databases and elections.
    _base("ping", "Make every replica join its election.", post(replies.replicas), CHANGE),
    _base("has", "Which replicas have the base.", post(replies.replicas, bodies.nothing, *NEW)),
    _base("info", "What each replica knows of SQLite.", post(replies.sqlite)),
    _base("status", "Whom each replica takes for the master.", post(replies.replicas)),
    _base("drop_cache", "Make every replica close the base.", post(replies.replicas), DESTROY),
    _base("sync", "Make the slaves fetch the base anew.", post(replies.replicas), CHANGE),
    _base(
        "leave",
        "Make replicas leave the election.",
        post(replies.replicas),
        DESTROY,
        ("service_id",),
    ),
    _base("debug", "What each replica knows of the election.", post(replies.elections)),
    _base(
        "copy",
        "Copy the base to another service.",
        (
            Way(NEW, body=bodies.object_target, reply=replies.replicas),
            Way(OLD, body=bodies.text_target, reply=replies.replicas),
        ),
        DESTROY,
    ),
    _base(
        "remove",
        "Remove a replica of the base.",
        post(replies.replicas, bodies.nothing, *NEW),
        DESTROY,
        ("service_id",),
    ),
    _base("vacuum", "Compact the base.", post(replies.replicas, bodies.nothing, *NEW), CHANGE),
    _base("get_properties", "The base's properties.", post(replies.properties)),
    _base(
        "set_properties",
        "Set properties of the base.",
        _SET_CONTAINER,
        CHANGE,
        ("flush",),
    )._replace(raised_by=("flush", "system")),
    _base(
        "del_properties",
        "Delete properties of the base.",
        post(replies.done, bodies.keys),
        CHANGE,
    )._replace(raised_by=("all",)),
    _base("freeze", "Let nobody write to the base.", post(replies.done), DESTROY),
    _base("enable", "Let everybody use the base.", post(replies.done), CHANGE),
    _base("disable", "Let nobody use the base.", post(replies.done), DESTROY),
    Route("meta0.list", "admin/meta0_list", "Which meta1 holds which prefix.", get(replies.json)),
    Route(
        "meta0.force",
        "admin/meta0_force",
        "Overwrite which meta1 holds which prefix.",
        post(replies.nothing, bodies.given),
        effect=DESTROY,
    ),
)

ROUTES = {route.name: route for route in _TABLE}
