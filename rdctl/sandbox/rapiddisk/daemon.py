"""The daemon's routes, and the app that answers them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from rdctl.sandbox.machine.stored import StoredMachine
from rdctl.sandbox.rapiddisk import caches, listings, volumes
from rdctl.sandbox.rapiddisk.replies import Refusal, Reply, failed
from rdctl.sandbox.store import Store

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_MAX_TARGET = 32 * 1024  # bytes of a request target

_TOO_BIG = (
    b"<html><head><title>Request too big</title></head><body>Your HTTP header was too big"
    b" for the memory constraints of this webserver.</body></html>"
)


class RapidDiskd:
    """The daemon of a machine, as a WSGI app.

    Reads the request target from `REQUEST_URI`, since it decodes the target itself. Sends
    Content-Length only, never a Content-Type; Date and Connection are the server's.
    """

    def __init__(self, store: Store) -> None:
        self.machine = StoredMachine(store)

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
        except Refusal as refusal:
            return refusal.status, _json(failed(refusal.message))

    def _reply(self, method: str, path: str) -> Reply:
        if method not in ("GET", "POST"):
            raise Refusal(None, bad_request=True)
        route = _route(method, path)
        arguments: list[str] = []
        if route.arguments is not None:
            arguments = [part for part in path[len(route.path) :].split("/") if part]
            if len(arguments) != route.arguments:
                raise Refusal(
                    "Error: wrong number of arguments or malformed URL.", bad_request=True
                )
        with self.machine.session() if route.changes else self.machine.current():
            return route.answer(self.machine, *arguments)


def _path(target: str) -> str:
    """The path as the daemon sees it; bytes that are not UTF-8 become lone surrogates."""
    path = unquote_to_bytes(target.partition("?")[0].encode("latin-1"))
    return path.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _json(reply: Reply) -> bytes:
    try:
        return json.dumps(reply, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a name that is not UTF-8 in the message
        return json.dumps({"status": reply["status"]}).encode()


class _Route(NamedTuple):
    method: str
    path: str
    answer: Callable[..., Reply]
    arguments: int | None = None  # None: they are ignored
    exact: bool = False
    changes: bool = False


# Paths are matched by prefix, so longer ones come first.
ROUTES = (
    _Route("GET", "/v1/checkServiceStatus", listings.check_service_status, exact=True),
    _Route("GET", "/v1/listAllResources", listings.list_all_resources, exact=True),
    _Route("GET", "/v1/listRapidDiskVolumes", listings.list_volumes, exact=True),
    _Route("GET", "/v1/listAllNVMeTargets", listings.list_targets),
    _Route("GET", "/v1/listAllNVMePorts", listings.list_ports),
    _Route("GET", "/v1/showRapidDiskCacheStats", caches.show_stats, arguments=1, changes=True),
    _Route("POST", "/v1/createRapidDiskCache", caches.map_cache, arguments=3, changes=True),
    _Route("POST", "/v1/removeRapidDiskCache", caches.unmap, arguments=1, changes=True),
    _Route("POST", "/v1/createRapidDisk", volumes.create, arguments=1, changes=True),
    _Route("POST", "/v1/removeRapidDisk", volumes.remove, arguments=1, changes=True),
    _Route("POST", "/v1/resizeRapidDisk", volumes.resize, arguments=2, changes=True),
    _Route("POST", "/v1/flushRapidDisk", volumes.flush, arguments=1, changes=True),
    _Route("POST", "/v1/lockRapidDisk", volumes.lock, arguments=1, changes=True),
    _Route("POST", "/v1/unlockRapidDisk", volumes.unlock, arguments=1, changes=True),
)


def _route(method: str, path: str) -> _Route:
    for route in ROUTES:
        matches = path == route.path if route.exact else path.startswith(route.path)
        if matches and method == route.method:
            return route
    raise Refusal("Unsupported.", bad_request=True)
