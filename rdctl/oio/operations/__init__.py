"""What can be asked of OpenIO SDS, once for every command: validate, say what is lost, act,
confirm, report. A module a noun, as in `cli/oio`; the wire is in `proxy` and `routes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rdctl.effects import Effects
from rdctl.oio.model import Place
from rdctl.oio.operations.account import Accounts
from rdctl.oio.operations.acts import Acts
from rdctl.oio.operations.admin import Bases
from rdctl.oio.operations.conscience import Conscience
from rdctl.oio.operations.container import Containers
from rdctl.oio.operations.content import Contents
from rdctl.oio.operations.properties import PropertiesOf
from rdctl.oio.operations.reference import References
from rdctl.oio.operations.service import Services
from rdctl.oio.proxy import Proxy
from rdctl.oio.routes import READ
from rdctl.result import Raw
from rdctl.units import escape


class OpenIO(Acts):
    """One namespace."""

    def __init__(
        self,
        proxy: Proxy,
        effects: Effects,
        account: str | None,
        sleep: Callable[[float], None],
    ) -> None:
        super().__init__(proxy, effects, account, sleep)
        self.conscience = Conscience(proxy, effects, account, sleep)
        self.references = References(proxy, effects, account, sleep)
        self.properties = PropertiesOf(proxy, effects, account, sleep)
        self.containers = Containers(proxy, effects, account, sleep)
        self.contents = Contents(proxy, effects, account, sleep)
        self.accounts = Accounts(proxy, effects, account, sleep)
        self.services = Services(proxy, effects, account, sleep)
        self.bases = Bases(proxy, effects, account, sleep)

    def place(
        self,
        reference: str | None = None,
        cid: str | None = None,
        path: str | None = None,
        content_id: str | None = None,
        version: str | None = None,
    ) -> Place:
        """A target in the account of the settings."""
        account = None if cid else self.account_name(None)
        return Place(account, reference, cid, path, content_id, version)

    def api(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        include: bool,
    ) -> Raw:
        """Any request. What is neither a GET nor known to read only asks first."""
        route = self._proxy.route_of(method, path)
        reads = method == "GET" or (route is not None and route.effect == READ)
        loss = None
        if not reads:
            loss = f"{method} {escape(path)}" + (f": {route.doc}" if route else "")
            self._effects.consent([loss])
        reply = self._proxy.request(method, path, parameters, headers, body, route, loss)
        head = b""
        if include:
            lines = [f"HTTP/1.1 {reply.status} {reply.reason}"]
            lines += [f"{name}: {value}" for name, value in reply.headers.items()]
            head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        return Raw(head + reply.body, self._proxy.fault_of(reply))
