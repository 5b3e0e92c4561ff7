"""Single services, through the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rdctl.oio.operations.acts import UNTOLD, Acts
from rdctl.result import Listing, Report


class Services(Acts):
    """Single services, through the proxy."""

    def ask(self, action: str, address: str) -> Any:
        """Ask one service: `stats`, `ping`, `version`, `handlers`, as the reader gives it."""
        return self._proxy.read(f"service.{action}", None, {"id": address})

    def stats(self, address: str) -> Listing:
        def rows() -> Iterator[dict[str, Any]]:
            for line in self.ask("stats", address):
                kind, _, rest = line.partition(" ")
                name, _, value = rest.replace(" = ", " ").rpartition(" ")
                yield {"name": name, "kind": kind, "value": _number(value)}

        return Listing(rows())

    def tell(self, action: str, address: str) -> Report:
        """Make one service do something."""
        loss = f"{address} is aborted" if action == "kill" else None
        if loss:
            self._effects.consent([loss])
        self._change(
            f"service.{action}",
            None,
            {"id": address},
            what=f"{action} {address}",
            shows=f"rdctl oio service ping {address}",
            destroys=loss,
        )
        past = "told to forget its caches" if action == "flush" else None
        return Report([self._done(action, address, UNTOLD, past=past)])


def _number(value: str) -> int | str:
    return int(value) if value.isascii() and value.isdigit() else value
