"""The proxy's table of routes, and what they have in common."""

from __future__ import annotations

import sqlite3

from rdctl.sandbox.oio import (
    admin,
    conscience,
    container,
    content,
    directory,
    later,
    placement,
    rawbeans,
)
from rdctl.sandbox.oio.replies import bad_request, no_handler
from rdctl.sandbox.oio.state import NAMESPACE, is_since
from rdctl.sandbox.oio.wsgi import Handler, HttpReply, HttpRequest, is_utf8

_PREFIX = "/v3.0/"
_LONGEST_PATH = 2048
# Names must be UTF-8; their names in the message.
_NAMES = {"acct": "account", "ref": "user", "path": "path", "type": "type"}


def route(request: HttpRequest) -> Handler:
    path = request.path.removesuffix("/")
    if not path.startswith(_PREFIX) or len(path) > _LONGEST_PATH:
        raise no_handler()
    place = path.removeprefix(_PREFIX)
    handler = _GLOBAL.get((request.method, place))
    if handler is not None:
        return handler
    namespace, _, action = place.partition("/")
    call = request.method, action
    handler = _ROUTES.get(call)
    if handler is None and call in later.ROUTES:
        handler = later.since(*later.ROUTES[call])
    if handler is None:
        raise no_handler()
    if namespace != NAMESPACE:
        raise bad_request("Invalid parameter 'namespace'")
    for name, called in _NAMES.items():
        if not is_utf8(request.query.get(name, "")):
            raise bad_request(f"Invalid parameter '{called}', not UTF-8")
    if "x-oio-perfdata" in request.headers and _is_timed(action):
        return _timed(handler)
    return handler


def _is_timed(action: str) -> bool:
    return action == "container/list" or action.startswith("content/")


def _timed(handler: Handler) -> Handler:
    """Adds the header with the time that the services took, in microseconds."""

    def timed(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
        reply = handler(connection, request)
        return reply._replace(headers=[*reply.headers, ("x-oio-perfdata", "resolve=575,meta2=522")])

    return timed


def status(connection: sqlite3.Connection, request: HttpRequest) -> HttpReply:
    more = [call for call, (first, _) in later.ROUTES.items() if is_since(connection, first)]
    if is_since(connection, "7") and not is_since(connection, "2025"):
        more.append(("GET", "conscience/score"))
    lines = [
        f"counter req.{what}.{action.replace('/', '_')}_{method} = 0"
        for method, action in (*_GLOBAL, *_ROUTES, *more)
        for what in ("hits", "time")
    ]
    known = len(conscience.services(connection))
    lines += ["gauge thread.active = 0", "gauge down.srv = 0", f"gauge known.srv = {known}"]
    body = "".join(f"{line}\n" for line in lines).encode()
    return HttpReply(200, "OK", [("Content-Type", "text/x-java-properties")], body)


_GLOBAL: dict[tuple[str, str], Handler] = {
    ("GET", "status"): status,
    ("GET", "config"): admin.get_config,
    ("POST", "config"): admin.set_config,
    ("GET", "cache/status"): admin.cache_status,
    ("GET", "cache/show"): conscience.show_cache,
    ("POST", "cache/flush/local"): admin.flush_local,
    ("POST", "cache/flush/high"): admin.done,
    ("POST", "cache/flush/low"): admin.done,
    ("GET", "forward/config"): admin.get_service_config,
    ("POST", "forward/config"): admin.set_service_config,
    ("GET", "forward/info"): admin.info,
    ("GET", "forward/ping"): admin.ping,
    ("GET", "forward/stats"): admin.stats,
    ("POST", "forward/stats"): admin.stats,
    ("GET", "forward/version"): admin.version,
    ("POST", "forward/flush"): admin.obey,
    ("POST", "forward/kill"): admin.kill,
    ("POST", "forward/lean-glib"): admin.obey,
    ("POST", "forward/lean-sqlx"): admin.obey,
    ("POST", "forward/reload"): admin.obey,
}

_ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "conscience/info"): conscience.info,
    ("GET", "conscience/list"): conscience.list_services,
    ("GET", "conscience/resolve"): conscience.resolve,
    ("POST", "conscience/register"): conscience.register,
    ("POST", "conscience/deregister"): conscience.deregister,
    ("POST", "conscience/flush"): conscience.flush,
    ("POST", "conscience/lock"): conscience.lock,
    ("POST", "conscience/unlock"): conscience.unlock,
    ("GET", "local/list"): conscience.list_local,
    ("GET", "lb/choose"): conscience.choose,
    ("POST", "lb/poll"): conscience.poll_pool,
    ("POST", "lb/reload"): admin.done,
    ("POST", "lb/create_pool"): conscience.create_pool,
    ("GET", "reference/show"): directory.show,
    ("POST", "reference/create"): directory.create,
    ("POST", "reference/destroy"): directory.destroy,
    ("POST", "reference/get_properties"): directory.get_properties,
    ("POST", "reference/set_properties"): directory.set_properties,
    ("POST", "reference/del_properties"): directory.del_properties,
    ("POST", "reference/link"): directory.link,
    ("POST", "reference/unlink"): directory.unlink,
    ("POST", "reference/renew"): directory.renew,
    ("POST", "reference/force"): directory.force,
    ("POST", "reference/relink"): directory.relink,
    ("GET", "container/show"): container.show,
    ("GET", "container/list"): container.list_contents,
    ("POST", "container/create"): container.create,
    ("POST", "container/create_many"): container.create_many,
    ("POST", "container/destroy"): container.destroy,
    ("POST", "container/get_properties"): container.get_properties,
    ("POST", "container/set_properties"): container.set_properties,
    ("POST", "container/del_properties"): container.del_properties,
    ("POST", "container/touch"): container.touch,
    ("POST", "container/dedup"): container.dedup,
    ("POST", "container/purge"): container.purge,
    ("POST", "container/flush"): container.flush,
    ("POST", "container/snapshot"): container.snapshot,
    ("POST", "container/raw_insert"): rawbeans.insert,
    ("POST", "container/raw_update"): rawbeans.update,
    ("POST", "container/raw_delete"): rawbeans.delete,
    ("GET", "content/show"): content.show,
    ("GET", "content/locate"): content.show,
    ("POST", "content/prepare"): placement.prepare,
    ("POST", "content/create"): content.create,
    ("POST", "content/delete"): content.delete,
    ("POST", "content/delete_many"): content.delete_many,
    ("POST", "content/get_properties"): content.get_properties,
    ("POST", "content/set_properties"): content.set_properties,
    ("POST", "content/del_properties"): content.del_properties,
    ("POST", "content/touch"): content.touch,
    ("POST", "content/spare"): placement.spare,
    ("POST", "content/truncate"): content.truncate,
    ("POST", "content/update"): content.update,
    ("POST", "content/drain"): content.drain,
    ("POST", "content/purge"): content.purge,
    ("POST", "admin/ping"): admin.agree,
    ("POST", "admin/has"): admin.has,
    ("POST", "admin/info"): admin.info_base,
    ("POST", "admin/status"): admin.status,
    ("POST", "admin/drop_cache"): admin.agree,
    ("POST", "admin/sync"): admin.sync,
    ("POST", "admin/leave"): admin.leave,
    ("POST", "admin/debug"): admin.debug,
    ("POST", "admin/copy"): admin.copy,
    ("POST", "admin/remove"): admin.remove,
    ("POST", "admin/get_properties"): admin.get_properties,
    ("POST", "admin/set_properties"): admin.set_properties,
    ("POST", "admin/del_properties"): admin.del_properties,
    ("POST", "admin/freeze"): admin.freeze,
    ("POST", "admin/enable"): admin.enable,
    ("POST", "admin/disable"): admin.disable,
    ("GET", "admin/meta0_list"): admin.meta0_list,
    ("POST", "admin/meta0_force"): admin.meta0_force,
}
