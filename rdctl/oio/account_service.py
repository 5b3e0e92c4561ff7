"""The account service: direct HTTP, found through the proxy. Its errors are plain text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.units import escape, quoted
from rdctl.net.messages import Reply
from rdctl.oio import suggest
from rdctl.oio.bodies import encoded, query_string
from rdctl.oio.model import Account, AccountPage
from rdctl.oio.reading import Reading
from rdctl.oio.refusals import SAYS_NO_MORE, Asked, leaves_open
from rdctl.oio.replies import account, plain

if TYPE_CHECKING:
    from rdctl.net.transport import Transport
    from rdctl.oio.client import Client

_KIND = "an account service"
# What the service keeps of a time: its clock decides, and that of this machine may be wrong.
_DIGITS = 5
_CREATED = 201


class AccountService:
    """The requests to the account service of a namespace. Changes are sent once."""

    def __init__(self, client: Client, reading: Reading) -> None:
        self._client = client
        self._reading = reading
        self._found: Transport | None = None

    def brief(self, client: Client, seconds: float) -> AccountService:
        """The same service, for a client without retries and with a short timeout."""
        quick = copy(self)
        quick._client = client
        quick._found = self._found and self._found.brief(seconds)
        return quick

    # --- reads --------------------------------------------------------------------------------

    def names(self) -> list[str]:
        names: list[str] = self._read("list", {}, None, plain.names)
        return names

    def show(self, name: str) -> Account:
        value: Account = self._read("show", {"id": name}, name, account.shown)
        return value

    def containers(self, name: str, query: Mapping[str, Any]) -> AccountPage:
        """One page of the account's containers."""
        value: AccountPage = self._read(
            "containers", {"id": name, **query}, name, account.account_containers
        )
        return value

    def last_events(self, name: str, query: Mapping[str, Any]) -> dict[str, float]:
        """One page of the account's containers: when each last changed, by the clocks of the
        services; a change is ignored unless it is later."""
        value: dict[str, float] = self._read(
            "containers", {"id": name, **query}, name, account.last_events
        )
        return value

    def time(self) -> float | None:
        """GET /status: seconds since 1970 by its clock, as the proxy reports no time; None if it
        reports none either."""
        return self._transport().read("/status").date

    # --- changes ------------------------------------------------------------------------------

    def create(self, name: str) -> bool | None:
        """Whether it did not exist before; None in a dry run."""
        reply = self._change("create", name, "create", method="PUT")
        return None if reply is None else reply.status == _CREATED

    def delete(self, name: str, loss: str) -> None:
        self._change("delete", name, "delete", destroys=loss)

    def update(
        self, name: str, metadata: Mapping[str, str], to_delete: list[str], loss: str | None
    ) -> None:
        """Set and delete properties; the service deletes first."""
        body = {"metadata": dict(metadata), "to_delete": to_delete}
        self._change("update", name, "set properties of", body, destroys=loss)

    def refresh(self, name: str) -> None:
        """Add up the counters of its containers."""
        self._change("refresh", name, "refresh")

    def flush(self, name: str, loss: str) -> None:
        """Forget its containers."""
        self._change("flush", name, "flush", destroys=loss)

    def reset(self, name: str, container: str, last: float) -> None:
        """Set the counters of a container to 0, unless it changed after its `last` event."""
        body = {"name": container, "mtime": _after(last, 1)}
        self._change("container/reset", name, f"reset {escape(container)} in", body)

    def forget(self, name: str, container: str, last: float) -> None:
        """Remove a container from the listing, which was reset after its `last` event."""
        body = {"name": container, "dtime": _after(last, 2)}
        self._change("container/update", name, f"forget {escape(container)} in", body)

    # --- how ----------------------------------------------------------------------------------

    def _transport(self) -> Transport:
        if self._found is None:
            for service in self._client.read("lb.choose", None, {"type": "account"}).services[:1]:
                self._found = self._client.reach(service.address)
        if self._found is None:
            raise self._client.error(481, "none is up", Asked("lb.choose", None, "account"))
        return self._found

    def _read(
        self,
        action: str,
        query: Mapping[str, Any],
        name: str | None,
        reader: Callable[[Reply], Any],
    ) -> Any:
        service = self._transport()
        reply = service.read(f"/v1.0/account/{action}" + query_string(query))
        try:
            return self._reading.of_service(reply, reader, service.url, _KIND)
        except RdctlError as error:
            self._explain(error, name)
            raise

    def _change(
        self,
        action: str,
        name: str,
        verb: str,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        destroys: str | None = None,
    ) -> Reply | None:
        """The reply; None in a dry run."""
        service = self._transport()
        what, shows = f"{verb} account {escape(name)}", f"rdctl oio account show {quoted(name)}"
        assumed = Reply(0, "Assumed", {}, b"")
        reply = service.change(
            f"/v1.0/account/{action}" + query_string({"id": name}),
            method=method,
            headers={} if body is None else {"Content-Type": "application/json"},
            body=None if body is None else encoded(body),
            what=what,
            shows=shows,
            destroys=destroys,
            assume=assumed,
        )
        if reply is assumed:
            return None
        try:
            self._reading.of_service(reply, lambda good: good, service.url, _KIND)
        except RdctlError as error:
            if leaves_open(error):
                raise service.fate_unknown(what, shows, error) from error
            self._explain(error, name)
            raise
        return reply

    def _explain(self, error: RdctlError, name: str | None) -> None:
        """Add the name of the account to an error of the service."""
        if not name or error.code is Code.BAD_REPLY or error.message.startswith("Container "):
            return
        error.target = name
        if error.code is not Code.NOT_FOUND:
            error.message = f"{escape(name)}: {error.message}"
            return
        said = error.message
        more = "" if SAYS_NO_MORE.fullmatch(said) or said == escape(name) else f" ({said})"
        error.message = f'account "{escape(name)}" not found{more}'
        if self._client.suggests:
            quick = self._client.brief(suggest.SECONDS)
            error.hint = hints(suggest.near(name, quick.account_service.names))


def _after(last: float, steps: int) -> float:
    """The earliest times after an event."""
    return float(round(last + steps / 10**_DIGITS, _DIGITS))
