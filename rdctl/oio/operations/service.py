"""Single services: through the proxy, and by their own HTTP those that speak no other protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing, Report
from rdctl.core.units import operand
from rdctl.net.messages import Reply
from rdctl.oio.acts import UNREPORTED, Acts, Evidence, distinct
from rdctl.oio.model import Counter, Place
from rdctl.oio.replies import service


class _Http(NamedTuple):
    """How to query services of a type: the paths, and the readers of version and counters."""

    type: str
    about: str
    version: Callable[[Reply], str | None]
    counted: str
    counters: Callable[[Reply], list[Counter]]


def _no_version(reply: Reply) -> None:
    service.gauges(reply)


# The proxy would wait 5 s for them to speak its own protocol.
_HTTP = {
    "rawx": _Http("rawx", "/info", service.rawx_info, "/stat", service.counters),
    "rdir": _Http("rdir", "/status", _no_version, "/status", service.gauges),
    "account": _Http("account", "/status", _no_version, "/status", service.gauges),
}


class Services(Acts):
    """Single services."""

    def ask(self, action: str, address: str) -> Any:
        """Query one service through the proxy; returns what the reader does."""
        return self._proxy.read(f"service.{action}", None, {"id": address})

    def ping(self, addresses: Sequence[str], type: str | None) -> Listing:
        def ping(address: str) -> dict[str, str | None]:
            self._about("ping", address, type)
            return {"service": address, "status": "OK", "version": None}

        return self._replies("ping", addresses, ping)

    def version(self, addresses: Sequence[str], type: str | None) -> Listing:
        """None where the service does not report its version."""

        def version(address: str) -> dict[str, str | None]:
            version = (self._about("version", address, type) or "").strip() or None
            return {"service": address, "status": "OK", "version": version}

        return self._replies("version", addresses, version)

    def _replies(
        self, action: str, addresses: Sequence[str], ask: Callable[[str], dict[str, str | None]]
    ) -> Listing:
        """The reply of each service; a single one at length."""
        listing = self._shown_by_name(action, addresses, ask, str)
        listing.vertical = not addresses[1:]
        return listing

    def _about(self, action: str, address: str, type: str | None) -> str | None:
        """What the service reports about itself."""
        found: str | None
        if http := self._http(address, type):
            found = self._proxy.own(address, http.about, http.version, http.type)
        else:
            found = self.ask(action, address)
        return found

    def stats(self, address: str, type: str | None) -> Listing:
        def found() -> Iterator[Counter]:
            if http := self._http(address, type):
                yield from self._proxy.own(address, http.counted, http.counters, http.type)
            else:
                yield from map(service.counter, self.ask("stats", address))

        return Listing(found())

    def handlers(self, address: str) -> Listing:
        self._check("handlers", address)
        return Listing({"handler": line} for line in self.ask("handlers", address))

    def command(self, action: str, addresses: Sequence[str]) -> Report:
        """Send a command to each of these services."""
        past = "flushed" if action == "flush" else None
        services = [Place(reference=address) for address in addresses]

        def lost(service: Place) -> str:
            self._check(action, service.name)
            return f"service {service.name} will be aborted"

        def act(service: Place, loss: str | None = None) -> Evidence:
            address = service.name
            if loss is None:
                self._check(action, address)
            self._change(
                f"service.{action}",
                None,
                {"id": address},
                what=f"{action} {address}",
                shows=f"rdctl oio service ping {operand(address)}",
                destroys=loss,
            )
            return UNREPORTED

        if action == "kill":
            return self._each_confirmed(action, services, lost, act)
        return self._each(action, distinct(services), act, past)

    def _check(self, action: str, address: str) -> None:
        """Raise if the service does not support the proxy's protocol."""
        if http := self._http(address, None):
            message = f"{address}: a {http.type} service does not support {action}"
            raise RdctlError(Code.UNSUPPORTED, message, target=address)

    def _http(self, address: str, type: str | None) -> _Http | None:
        """How to query a service of that type, or of its type in the conscience; None: through the
        proxy."""
        if type is not None:
            return _HTTP.get(type)
        return next((http for http in _HTTP.values() if self._knows(http.type, address)), None)

    def _knows(self, type: str, address: str) -> bool:
        try:
            services = self._proxy.read("conscience.list", None, {"type": type})
        except RdctlError as error:
            if "remote_status" in error.facts:
                return False  # no such type, or no conscience: the proxy has to try
            raise
        return any(service.address == address for service in services)
