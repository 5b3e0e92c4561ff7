"""Calls to an oio-proxy: the dialect, the query, what its errors mean, paging."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any
from urllib.parse import quote

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.units import escape, raw_bytes
from rdctl.core.unread import MISSHAPEN, Unread
from rdctl.net.deadline import Deadline
from rdctl.net.messages import Reply
from rdctl.net.transport import Transport
from rdctl.oio import paging, suggest
from rdctl.oio.account_service import AccountService
from rdctl.oio.bodies import Payload, escaped, field, query_string
from rdctl.oio.model import Content, Outcome, Page, PageOf, Place
from rdctl.oio.reading import (
    NO_HANDLER,
    Reading,
    come_again,
    is_error,
    is_unknown_route,
    no_page,
)
from rdctl.oio.refusals import Asked, is_direct, leaves_open, refusal
from rdctl.oio.replies.values import whole
from rdctl.oio.routes import (
    ADMIN_SECONDS,
    BEGINS,
    DESTROY,
    NEW,
    READ,
    REAL,
    ROUTES,
    SHOWN_BY,
    Route,
    Way,
)

# Bytes. With chunks of 1 MiB and many copies, these are some thousands of chunks.
MANY_CHUNKS = 1 << 28


class Client:
    """One oio-proxy. `dialect` None: it is detected from the replies, as far as requests depend on
    it.

    `reach` makes a transport to the address (IP:PORT) of another service; `unread` collects the
    values that cannot be read.
    """

    def __init__(
        self,
        transport: Transport,
        namespace: str,
        dialect: str | None,
        reach: Callable[[str], Transport],
        request_id: str,
        unread: Unread | None = None,
    ) -> None:
        self.namespace = namespace
        self._transport = transport
        # The dialects that it may have.
        self._dialects: tuple[str, ...] = (dialect,) if dialect is not None else REAL
        self.reach = reach
        self._request_id = field("--request-id", request_id)
        self.reading = Reading(transport.url, self._request_id, unread or Unread())
        self.account_service = AccountService(self, self.reading)
        # Whether to suggest similar names if a name is not found.
        self.suggests = False

    def brief(self, seconds: float) -> Client:
        """The same client, without retries and with a short timeout."""
        quick = copy(self)
        quick.suggests = False
        quick._transport = self._transport.brief(seconds)
        quick.reach = lambda address: self.reach(address).brief(seconds)
        quick.account_service = self.account_service.brief(quick, seconds)
        return quick

    def afterwards(self, seconds: float) -> Client:
        """The same client, with its own time limit: for cleaning up."""
        late = copy(self)
        late.suggests = False
        late._transport = self._transport.afterwards(seconds)
        return late

    @property
    def deadline(self) -> Deadline:
        """That of the whole command."""
        return self._transport.deadline

    @property
    def dialect(self) -> str:
        """The dialect, as far as it is known: that of the proxy, or the first of those that it may
        have."""
        first, *others = self._dialects
        return f"{first} or later" if others else first

    def detect(self) -> str:
        """The dialect; asks the proxy for its status if it is not known."""
        if len(self._dialects) > 1:
            self._learn(self._transport.read("/v3.0/status"), counters=True)
        return self.dialect

    # --- calls --------------------------------------------------------------------------------

    def read(
        self,
        name: str,
        place: Place | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        check: Callable[[], None] | None = None,
        strict: bool = False,
        **arguments: Any,
    ) -> Any:
        """Call a route that changes nothing, and return the value from its reader. `check` is
        called while waiting, and may raise. `strict`: a missing row is taken as absent, so all rows
        must be readable."""
        route = ROUTES[name]
        _expect(route.effect == READ, f"{name} is not a read")
        parameters = {**(place.query() if place else {}), **(query or {})}

        def ask(way: Way, sent: Payload) -> Reply:
            return self._transport.read(
                self._path(route, parameters),
                method=way.method,
                headers=sent.headers,
                body=sent.body,
                seconds=route.seconds,
                again=come_again,
                check=check,
            )

        asked = Asked(name, place, parameters.get("type"))
        return self._call(route, self._ways(route), asked, arguments, ask, strict=strict)

    def change(
        self,
        name: str,
        place: Place | None = None,
        query: Mapping[str, Any] | None = None,
        *,
        what: str,
        shows: str,
        destroys: str | None = None,
        assume: Any = None,
        step: bool = False,
        **arguments: Any,
    ) -> Any:
        """Call a route that changes something. The request is sent once. In a dry run `assume` is
        the value. `step`: as in Effect."""
        route = ROUTES[name]
        _expect(route.effect != READ, f"{name} changes nothing")
        parameters = {**(place.query() if place else {}), **(query or {})}
        raised = any(parameters.get(flag) or arguments.get(flag) for flag in route.raised_by)
        destroying = route.effect == DESTROY or raised
        _expect(
            destroys is not None or not destroying, f"{name} is destructive, but was not confirmed"
        )
        assumed = Reply(0, "Assumed", {}, b"")

        def ask(way: Way, sent: Payload) -> Reply:
            return self._transport.change(
                self._path(route, parameters),
                method=way.method,
                headers=sent.headers,
                body=sent.body,
                seconds=route.seconds,
                what=what,
                shows=shows,
                destroys=destroys,
                assume=assumed,
                step=step,
            )

        asked = Asked(name, place, parameters.get("type"))
        ways = self._ways(route)
        try:
            value = self._call(route, ways, asked, arguments, ask, assumed)
        except RdctlError as error:
            # The caller of a step handles its outcome.
            if not step and leaves_open(error, direct=is_direct(name)):
                raise self._fate_unknown(what, shows, error) from error
            raise
        return assume if value is assumed else value

    def _fate_unknown(self, what: str, shows: str, fault: RdctlError) -> RdctlError:
        """The error of a change whose outcome is unknown, whatever `fault` says; its hint about an
        unavailable service is kept."""
        unknown = self._transport.fate_unknown(what, shows, fault)
        if "remote_status" in fault.facts:
            unknown.hint = hints(unknown.hint, fault.hint)
        return unknown

    def _call(
        self,
        route: Route,
        ways: Sequence[Way],
        asked: Asked,
        arguments: Mapping[str, Any],
        ask: Callable[[Way, Payload], Reply],
        assumed: Reply | None = None,
        *,
        strict: bool = False,
    ) -> Any:
        """Try the ways of a route until one is known to the server."""
        for way in ways:
            reply = ask(way, way.body(arguments))
            if reply is assumed:
                return reply
            self._learn(reply)
            if is_unknown_route(reply):
                continue
            self._refused(reply, asked)
            return self.reading.value(reply, self._reader(route, way), strict=strict)
        raise RdctlError(
            Code.UNSUPPORTED,
            f"this oio-proxy ({self.dialect}) does not support {route.path.lstrip('/')}",
            hint=_where(route),
            request_id=self._request_id,
        )

    def _ways(self, route: Route) -> list[Way]:
        """The ways to try, one a method. Where bodies differ, the dialect must be known first;
        where methods differ, the next is tried after `No handler found`, which proves that nothing
        was done."""
        if len({way.body for way in self._possible(route)}) > 1:
            self.detect()
        ways = self._possible(route)
        of_method: dict[str, Way] = {}
        for way in ways:
            of_method.setdefault(way.method, way)
        return list(of_method.values())

    def _possible(self, route: Route) -> list[Way]:
        """The ways of the dialects that the proxy may have."""
        return [way for way in route.ways if not set(self._dialects).isdisjoint(way.dialects)]

    def offers(self, name: str) -> bool:
        """Whether the proxy may have the route, as far as its dialect is known."""
        return bool(self._possible(ROUTES[name]))

    def _reader(self, route: Route, way: Way) -> Callable[[Reply], Any]:
        """The reader of the current dialect, which may have been detected from the reply itself."""
        possible = self._possible(route)
        return (possible[0] if possible else way).reply

    def _learn(self, reply: Reply, *, counters: bool = False) -> None:
        """3.3 names itself in every reply, later proxies do not. Those differ in the routes that
        their status counts (`counters`)."""
        if len(self._dialects) == 1:
            return
        server = reply.headers.get("Server", "")
        if server.startswith(("oio-proxy/3.", "oio-proxy/master", "metacd_http/")):
            self._dialects = ("3.3",)
        else:
            self._dialects = NEW
        if counters:
            self._dialects = (_counted(reply.text, self._dialects[0]),)

    def _path(self, route: Route, parameters: Mapping[str, Any]) -> str:
        if route.path.startswith("/"):
            path = f"/v3.0{route.path}"
        else:
            path = f"/v3.0/{escaped(self.namespace)}/{route.path}"
        return path + query_string(parameters)

    # --- any request --------------------------------------------------------------------------

    def route_of(self, method: str, path: str) -> Route | None:
        """The row of the table for a method, and a path as `request` takes it."""
        prefix = f"/v3.0/{escaped(self.namespace)}/"
        for short in (path.removeprefix(prefix), path.removeprefix("/v3.0")):
            for route in ROUTES.values():
                if route.path == short and any(way.method == method for way in route.ways):
                    return route
        return None

    def request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        route: Route | None,
        loss: str | None,
    ) -> tuple[Reply, RdctlError | None]:
        """Send one request as given; return the reply and its error, if any. It is a change if
        `loss` describes one."""
        if not path.startswith("/"):
            path = f"/v3.0/{escaped(self.namespace)}/{path}"
        address = quote(raw_bytes(path), safe="/%") + query_string(parameters)
        headers = {name: field(name, value) for name, value in headers.items()}
        seconds = route.seconds if route else ADMIN_SECONDS
        place = _place_of(parameters)
        asked = Asked(route.name if route else "", place, parameters.get("type"))
        if loss is None:
            reply = self._transport.read(
                address,
                method=method,
                headers=headers,
                body=body,
                seconds=seconds,
                again=come_again,
            )
            return reply, self._fault_of(reply, asked)
        what, shows = f"{method} {path}", _shows(place)
        try:
            reply = self._transport.change(
                address,
                method=method,
                headers=headers,
                body=body,
                seconds=seconds,
                what=what,
                shows=shows,
                destroys=loss,
            )
        except RdctlError as error:
            if leaves_open(error):
                raise self._fate_unknown(what, shows, error) from error
            raise
        fault = self._fault_of(reply, asked)
        if fault is not None and leaves_open(fault, direct=is_direct(asked.route)):
            fault = self._fate_unknown(what, shows, fault)
        return reply, fault

    def _fault_of(self, reply: Reply, asked: Asked) -> RdctlError | None:
        """The error of a reply, or None."""
        try:
            if is_unknown_route(reply):
                message = f"route not found on this oio-proxy ({NO_HANDLER})"
                return RdctlError(Code.UNSUPPORTED, message, request_id=self._request_id)
            self._refused(reply, asked)
            self.reading.value(reply, no_page)
        except RdctlError as error:
            return error
        return None

    # --- errors -------------------------------------------------------------------------------

    def _refused(self, reply: Reply, asked: Asked) -> None:
        """Raise the error in the body, whatever the HTTP status is."""
        if reply.status < 300 and not is_error(reply):
            return
        try:
            body = reply.json()
            status, message = whole(body["status"]), str(body.get("message", ""))
        except MISSHAPEN as error:
            raise self.reading.strange(reply) from error
        refusal = self.error(status, message, asked, http_status=reply.status)
        if self.suggests and asked.place is not None:
            quick = self.brief(suggest.SECONDS)
            near = suggest.near_place(status, asked.place, quick)
            refusal.hint = hints(near, refusal.hint)
        raise refusal

    def error(
        self,
        status: int | None,
        message: str,
        asked: Asked,
        *,
        http_status: int | None = None,
        target: str | None = None,
    ) -> RdctlError:
        """The error that a status number of the server means."""
        facts = {"http_status": http_status} if http_status is not None else {}
        error = refusal(status, message, asked, target)
        return error.with_facts(**facts, request_id=self._request_id)

    def failed(
        self, outcome: Outcome, asked: Asked, target: str, what: str, shows: str
    ) -> RdctlError:
        """The error of one item, or one replica, that a change did not prove to be done."""
        if outcome.status is None:
            message = f"{escape(target)}: unreadable status in the reply"
            return RdctlError(Code.UNPROVEN, message, target=target, request_id=self._request_id)
        error = self.error(outcome.status, outcome.message, asked, target=target)
        if leaves_open(error, direct=asked.route.startswith("admin.")):
            error = self._fate_unknown(what, shows, error)
            error.target = target
        return error

    # --- objects and listings -----------------------------------------------------------------

    def prepares(self, size: int) -> str:
        """The route that returns the chunks of a new object of this size. From 4.3 on, prepare
        sends a header for each chunk, which for a large object are more than a client accepts;
        prepare2 sends them in its body."""
        large = size >= MANY_CHUNKS and self.detect() in ROUTES["content.prepare2"].ways[0].dialects
        return "content.prepare2" if large else "content.prepare"

    def content(self, place: Place, *, check: Callable[[], None] | None = None) -> Content:
        """An object and its chunks, without the properties that users gave it."""
        value: Content = self.read("content.show", place, {"properties": "0"}, check=check)
        return value

    def pages(
        self, place: Place, query: Mapping[str, Any], route: str = "container.list"
    ) -> Iterator[PageOf[Any]]:
        """The pages of a container's listing, as in `paging`."""
        return paging.pages(self.read, place, query, self._request_id, route)

    def begun(self, place: Place, query: Mapping[str, Any]) -> Page:
        """The first page of a container's listing that has entries, or the last one."""
        return paging.begun(self.read, place, query, self._request_id)

    # --- services that speak HTTP themselves --------------------------------------------------

    def own(self, address: str, path: str, reader: Callable[[Reply], Any], type: str) -> Any:
        """Query a service of this type over its own HTTP interface."""
        service = self.reach(address)
        reply = service.read(path)
        return self.reading.of_service(reply, reader, service.url, f"the {type} service")


def _counted(status: str, otherwise: str) -> str:
    """The dialect of a proxy, by the routes that its status counts."""
    counted = (dialect for route, dialect in SHOWN_BY if f"req.hits.{route}_" in status)
    return next(counted, otherwise)


def _where(route: Route) -> str | None:
    """Which releases have a route, if not all do."""
    having = [dialect for dialect in REAL if any(dialect in way.dialects for way in route.ways)]
    if having in ([], list(REAL)):
        return None
    gone = REAL[REAL.index(having[-1]) + 1 :]
    if not gone:
        return f"Available in oio-proxy {BEGINS[having[0]]} and later."
    if having[0] == REAL[0]:
        return f"Removed in oio-proxy {BEGINS[gone[0]]}."
    return f"Available only in oio-proxy {BEGINS[having[0]]} until {BEGINS[gone[0]]}."


def _place_of(parameters: Mapping[str, str]) -> Place | None:
    """The target of a request, from its query."""
    given = parameters.get
    place = Place(
        account=given("acct"),
        reference=given("ref"),
        cid=given("cid"),
        path=given("path"),
        content_id=given("content"),
        version=given("version"),
    )
    return place if place.holder.name else None


def _shows(place: Place | None) -> str:
    if place is None:
        return "rdctl oio conscience list"
    noun = "container" if place == place.holder else "content"
    return f"rdctl oio {noun} show {place.words}"


def _expect(sound: bool, fault: str) -> None:
    """A bug in rdctl ends the command before anything is sent; `assert` may be disabled."""
    if not sound:
        raise RdctlError(Code.INTERNAL, fault)
