"""The caches of the proxy: the services it knows, and where references are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.oio.acts import Acts, Evidence

# The names of `cache status`, by those of `cache flush`.
_COUNTED = {"high": "csm0", "low": "meta1"}
LOCAL = "local"
_LOSS = (
    "the proxy will know no services until it asks the conscience again, in a few seconds; requests"
    " that need one can fail until then"
)
# The proxy asks the conscience every 5 seconds.
_LOOKS, _INTERVAL = 10, 1.0


class ProxyCaches(Acts):
    def known(self) -> Listing:
        """The services that the proxy knows."""
        return Listing(self._proxy.read("cache.show"))

    def status(self) -> Listing:
        return Listing(self._proxy.read("cache.status"))

    def flush(self, names: Sequence[str]) -> Report:
        """Empty these caches, and look at them afterwards. The list of services is empty until the
        proxy asks the conscience again, so that is waited for."""
        names = list(dict.fromkeys(names))
        if LOCAL in names:
            self._effects.consent([_LOSS])
        self._effects.foretell(f"flush the proxy's {name} cache" for name in names)
        return Report([self._flush(name) for name in names])

    def _flush(self, name: str) -> Change | Failure:
        act = partial(
            self._change,
            f"cache.flush-{name}",
            None,
            what=f"flush the proxy's {name} cache",
            shows="rdctl oio cache status",
            destroys=_LOSS if name == LOCAL else None,
        )
        if failed := self._try("flush", name, act):
            return failed
        if self._effects.dry_run:
            return self._done("flush", name, Evidence(None, None), past="flushed")
        if name == LOCAL:
            services = self._refilled()
            facts, seen = {"services": services}, services > 0
        else:
            facts, seen = {}, self._is_empty(_COUNTED[name])
        return self._done("flush", name, Evidence(None, seen or None), facts, "flushed")

    def _refilled(self) -> int:
        """The number of services that the proxy knows, as soon as it knows any."""
        services: list[object] = []
        for _ in range(_LOOKS):
            services = self._proxy.read("cache.show")
            if services:
                break
            self._sleep(_INTERVAL)
        return len(services)

    def _is_empty(self, cache: str) -> bool:
        """Whether nothing is left; other requests may already have filled it again."""
        counts = {row["cache"]: row["count"] for row in self._proxy.read("cache.status")}
        return counts.get(cache) == 0
