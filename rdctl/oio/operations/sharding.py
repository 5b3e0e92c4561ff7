"""What only containers of release 2025 have: shards and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing, Report
from rdctl.oio.acts import PAGE, PROVEN, Acts
from rdctl.oio.bodies import Escaped
from rdctl.oio.model import Place, Shard, ShardPage


class Shardings(Acts):
    def shards(self, place: Place) -> Listing:
        return Listing(self._shards(place))

    def _shards(self, place: Place) -> Iterator[Shard]:
        marker: str | None = None
        while True:
            query = {"max": PAGE, "marker": marker and Escaped(marker)}
            page: ShardPage = self._proxy.read("container.sharding.show", place, query)
            yield from page.shards
            if page.marker is None:
                return
            if page.marker == marker or not page.shards:
                message = f'{place.shown}: the listing does not advance past "{page.marker}"'
                raise RdctlError(Code.BAD_REPLY, message)
            marker = page.marker

    def checkpoint(self, place: Place, suffix: str | None) -> Report:
        self._change("container.checkpoint", place, suffix=suffix)
        facts = {"suffix": suffix} if suffix else {}
        return Report([self._done("checkpoint", place.name, PROVEN, facts, past="copied")])
