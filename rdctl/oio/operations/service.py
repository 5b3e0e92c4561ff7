"""Single services: through the proxy, and by their own HTTP those that speak no other protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Item, Listing, Report
from rdctl.core.units import operand
from rdctl.net.messages import Reply
from rdctl.oio.acts import UNREPORTED, Acts
from rdctl.oio.model import Counter
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

    def ping(self, address: str, type: str | None) -> Item:
        self._about("ping", address, type)
        return Item({"service": address, "status": "OK", "version": None})

    def version(self, address: str, type: str | None) -> Item:
        """None where the service does not report its version."""
        version = (self._about("version", address, type) or "").strip() or None
        return Item({"service": address, "status": "OK", "version": version})

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

    def command(self, action: str, address: str) -> Report:
        """Send a command to one service."""
        self._check(action, address)
        loss = f"service {address} will be aborted" if action == "kill" else None
        if loss:
            self._effects.consent([loss])
        self._change(
            f"service.{action}",
            None,
            {"id": address},
            what=f"{action} {address}",
            shows=f"rdctl oio service ping {operand(address)}",
            destroys=loss,
        )
        past = "flushed" if action == "flush" else None
        return Report([self._done(action, address, UNREPORTED, past=past)])

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
