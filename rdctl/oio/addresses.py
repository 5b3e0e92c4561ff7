"""Where chunks are reached whose urls name services by their ids, as proxies from 5 on may do."""

from __future__ import annotations

from rdctl.oio.client import Client
from rdctl.oio.rawx import Copy, copy_of


class Addresses:
    """The addresses of rawx services by their ids, each requested once."""

    def __init__(self, proxy: Client) -> None:
        self._proxy = proxy
        self._known: dict[str, str] = {}

    def copy_at(self, url: str) -> Copy:
        """The chunk with this url. The proxy's lists of chunks have a `real_url` beside it; spare
        chunks and the journal do not."""
        copy = copy_of({"url": url})
        id = copy.address
        if ":" in id:
            return copy
        if id not in self._known:
            query = {"type": "rawx", "service_id": id}
            self._known[id] = self._proxy.read("conscience.resolve", None, query)
        return copy._replace(address=self._known[id])
