"""The rdir services, over their own HTTP: each indexes the chunks of some volumes (rawx services).

The directory knows which: a volume is a reference in the account _RDIR, linked to its rdir.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import escape, quoted
from rdctl.core.unread import MISSHAPEN
from rdctl.net.messages import Reply
from rdctl.net.transport import Transport
from rdctl.oio.bodies import encoded, query_string
from rdctl.oio.client import Client
from rdctl.oio.model import Place
from rdctl.oio.reading import is_page
from rdctl.oio.refusals import leaves_open
from rdctl.oio.replies import proofs, rdir
from rdctl.oio.routes import ADMIN_SECONDS

T = TypeVar("T")
_ACCOUNT = "_RDIR"
_NO_REFERENCE = 406
_PAGE = 1000
_KIND = "a rdir service"
ASSIGNMENT = "See which volumes have one: rdctl oio volume assignation"
# How a change is named, unless by its action.
_ACTS = {"incident": "set the incident date of", "clear": "clear the index of"}
_CODES = {
    403: Code.IN_USE,
    404: Code.NOT_FOUND,
    405: Code.UNSUPPORTED,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.TIMEOUT,
}


class Assigned(NamedTuple):
    """A volume and the address of its rdir."""

    volume: str
    rdir: str


class Rdir:
    """The rdir services of a namespace."""

    def __init__(self, proxy: Client) -> None:
        self._proxy = proxy
        self._transports: dict[str, Transport] = {}
        self._lock = threading.Lock()

    def of(self, volume: str) -> Assigned:
        """The rdir of a volume; raises `not-found` if none is assigned."""
        address = self.address(volume)
        if address is None:
            message = f"volume {escape(volume)}: no rdir assigned"
            raise RdctlError(Code.NOT_FOUND, message, hint=ASSIGNMENT, target=volume)
        return Assigned(volume, address)

    def address(self, volume: str) -> str | None:
        """The address of the rdir of a volume; None: none is assigned."""
        place = Place(account=_ACCOUNT, reference=volume)
        try:
            links, _ = self._proxy.read("reference.show", place, {"type": "rdir"}, strict=True)
        except RdctlError as error:
            if error.facts.get("remote_status") == _NO_REFERENCE:
                return None
            raise
        return next((link.address for link in links if link.type == "rdir"), None)

    # --- queries ------------------------------------------------------------------------------

    def state(self, at: Assigned) -> rdir.State:
        """GET admin/show"""
        return self._read(at, "GET", "admin/show", rdir.state)

    def counts(self, at: Assigned) -> Iterator[rdir.Counts]:
        """GET status: its pages."""

        def page(marker: str | None) -> rdir.Counts:
            return self._read(at, "GET", "status", rdir.counts, query={"marker": marker})

        yield from _pages(page, at)

    def keys(self, at: Assigned, query: Mapping[str, Any]) -> Iterator[rdir.Keys]:
        """POST fetch: the pages of the index."""

        def page(marker: str | None) -> rdir.Keys:
            after = {} if marker is None else {"start_after": marker}
            body = {"limit": _PAGE, **query, **after}
            return self._read(at, "POST", "fetch", rdir.keys, body=body)

        yield from _pages(page, at)

    def _read(
        self,
        at: Assigned,
        method: str,
        action: str,
        reader: Callable[[Reply], T],
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> T:
        service = self._to(at)
        reply = service.read(
            _path(at, action, query),
            method=method,
            body=None if body is None else encoded(body),
            seconds=ADMIN_SECONDS,
        )
        return self._value(at, reply, reader)

    # --- changes ------------------------------------------------------------------------------

    def set_incident(self, at: Assigned, date: int, destroys: str | None) -> None:
        """POST admin/incident"""
        body = {"date": date}
        self._change(at, "incident", body, destroys=destroys, reader=proofs.nothing, assume=None)

    def lock(self, at: Assigned, owner: str) -> None:
        """POST admin/lock"""
        self._change(at, "lock", {"who": owner}, reader=proofs.nothing, assume=None)

    def unlock(self, at: Assigned, destroys: str | None) -> None:
        """POST admin/unlock: whoever holds the lock."""
        self._change(at, "unlock", destroys=destroys, reader=proofs.nothing, assume=None)

    def clear(self, at: Assigned, flags: Mapping[str, bool], destroys: str) -> rdir.Cleared:
        """POST admin/clear"""
        none = rdir.Cleared(removed=0, repaired=0, errors=0)
        return self._change(
            at, "clear", query=flags, destroys=destroys, reader=rdir.cleared, assume=none
        )

    def _change(
        self,
        at: Assigned,
        action: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        destroys: str | None = None,
        reader: Callable[[Reply], T],
        assume: T,
    ) -> T:
        """In a dry run `assume` is the value."""
        assumed = Reply(0, "Assumed", {}, b"")
        what = f"{_ACTS.get(action, action)} volume {escape(at.volume)}"
        shows = f"rdctl oio volume admin show {quoted(at.volume)}"
        service = self._to(at)
        reply = service.change(
            _path(at, f"admin/{action}", query),
            body=None if body is None else encoded(body),
            seconds=ADMIN_SECONDS,
            what=what,
            shows=shows,
            destroys=destroys,
            assume=assumed,
        )
        if reply is assumed:
            return assume
        try:
            return self._value(at, reply, reader)
        except RdctlError as error:
            if leaves_open(error):
                raise service.fate_unknown(what, shows, error) from error
            raise

    # --- replies ------------------------------------------------------------------------------

    def _to(self, at: Assigned) -> Transport:
        with self._lock:
            if at.rdir not in self._transports:
                self._transports[at.rdir] = self._proxy.reach(at.rdir)
            return self._transports[at.rdir]

    def _value(self, at: Assigned, reply: Reply, reader: Callable[[Reply], T]) -> T:
        url = f"http://{at.rdir}"
        if reply.status >= 300:
            if is_page(reply):
                raise self._proxy.reading.strange(reply, url, _KIND)
            raise _refusal(at, reply)
        value: T = self._proxy.reading.value(reply, reader, url, _KIND)
        return value


def _path(at: Assigned, action: str, query: Mapping[str, Any] | None) -> str:
    return f"/v1/rdir/{action}" + query_string({"vol": at.volume, **(query or {})})


def _pages(page: Callable[[str | None], Any], at: Assigned) -> Iterator[Any]:
    """The pages until the last one; a marker that does not advance would loop forever."""
    marker: str | None = None
    while True:
        found = page(marker)
        yield found
        if found.marker is None:
            return
        if marker is not None and found.marker <= marker:
            message = f'volume {escape(at.volume)}: the index does not advance past "{marker}"'
            raise RdctlError(Code.BAD_REPLY, message, target=at.volume)
        marker = found.marker


def _refusal(at: Assigned, reply: Reply) -> RdctlError:
    """The error in a reply: its HTTP status and message say more than the status in its body."""
    try:
        body = reply.json()
        status, message = int(body["status"]), str(body["message"])
    except MISSHAPEN:
        status, message = reply.status, reply.text.strip() or reply.reason
    code, hint = _CODES.get(reply.status, Code.FAILED), None
    reported = escape(message)
    if code is Code.NOT_FOUND and status == 400:
        code = Code.UNSUPPORTED
    elif code is Code.NOT_FOUND:
        reported = f"no index on rdir {at.rdir} ({reported})"
        hint = "It is created with the first chunk that is indexed."
    elif code is Code.IN_USE:
        reported = reported[:1].lower() + reported[1:]
        hint = f"See its lock: rdctl oio volume admin show {quoted(at.volume)}"
    return RdctlError(
        code,
        f"volume {escape(at.volume)}: {reported}",
        hint=hint,
        target=at.volume,
        http_status=reply.status,
    )
