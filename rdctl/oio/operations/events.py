"""The queue of events, which the event agents of OpenIO work off."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing
from rdctl.core.units import natural
from rdctl.net.beanstalk import Beanstalkd
from rdctl.oio.acts import Acts, OioDependencies
from rdctl.oio.model import Counter, Service

# Since 5 the conscience may know them.
_TYPE = "beanstalkd"
_NO_TYPE = 453
_SETTING = "Specify it: --address HOST:PORT, or set it in the context: events=beanstalk://HOST:PORT"


class Queue(NamedTuple):
    """`address` is that of the settings, if any; `reach` makes a client of an address."""

    address: str | None
    reach: Callable[[str], Beanstalkd]


class Events(Acts):
    def __init__(self, means: OioDependencies, queue: Queue) -> None:
        super().__init__(means)
        self._queue = queue

    def stats(self, address: str | None, tube: str) -> Listing:
        """What the beanstalkd counts about a tube."""
        found = address or self._queue.address or self._registered()
        counters = self._queue.reach(found).stats(tube)
        return Listing([_counter(name, text) for name, text in counters.items() if name != "name"])

    def _registered(self) -> str:
        """The one that the conscience knows."""
        try:
            services: list[Service] = self._proxy.read("conscience.list", None, {"type": _TYPE})
        except RdctlError as error:
            if error.facts.get("remote_status") != _NO_TYPE:
                raise
            services = []
        addresses: list[str] = sorted((service.address for service in services), key=natural)
        if len(addresses) == 1:
            return addresses[0]
        if addresses:
            message = "several beanstalkd services are registered"
            raise RdctlError(
                Code.USAGE, message, hint=f"Specify one: --address {' or '.join(addresses)}"
            )
        message = "the address of the beanstalkd is not known"
        raise RdctlError(Code.CONFIG, message, hint=_SETTING)


def _counter(name: str, text: str) -> Counter:
    """Counts since the start of the beanstalkd, or what is there now."""
    kind = "counter" if name.startswith(("total-", "cmd-")) else "gauge"
    return Counter(name, kind, int(text) if text.isascii() and text.isdigit() else text)
