"""The registry of services."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from rdctl.api.call import Changing, Noun, each, words
from rdctl.api.checking import one_of, within
from rdctl.api.models import Namespace, Outcome, Service

Rows = list  # in a class, `list` is its method


class Conscience(Noun):
    """Services and their scores."""

    def info(self) -> Namespace:
        """The namespace: its policies, pools and options."""
        what = words("oio conscience info")
        return self._item(what, lambda site: site.oio.conscience.namespace(), Namespace)

    def types(self) -> Rows[str]:
        """The types of services that the namespace supports."""
        found = each(
            self._setup,
            words("oio conscience types"),
            lambda site: site.oio.conscience.types(),
            lambda row: str(row["type"]),
        )
        return list(found)

    def list(self, *types: str, full: bool = False) -> Rows[Service]:
        """The services of these types, or of all; `full`: with their statistics, not from the
        cache of the proxy."""
        return self._list(
            words("oio conscience list", *types, full=full),
            lambda site: site.oio.conscience.services(types or None, full),
            Service,
        )

    def show(self, type: str, address: str) -> Service:
        """A service with all its tags and statistics."""
        return self._one(
            words("oio conscience show", type, address),
            lambda site: site.oio.conscience.show(type, [address]),
            Service,
        )

    def lock(
        self,
        type: str,
        *addresses: str,
        score: int = 0,
        unregistered: bool = False,
        only: str | None = None,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Lock the scores of services; at 0, which takes them out of service. `only`: that for
        "put" or for "get" (oio-proxy 2025)."""
        within("score", score, 0, 100)
        one_of("only", only, ("put", "get"))
        what = words(
            "oio conscience lock",
            type,
            *addresses,
            score=str(score),
            unregistered=unregistered,
            only=only,
        )
        return self._change(
            what,
            lambda site: site.oio.conscience.lock(type, addresses, score, unregistered, only),
            options,
        )

    def unlock(
        self, type: str, *addresses: str, only: str | None = None, **options: Unpack[Changing]
    ) -> Outcome:
        """Unlock the scores of services."""
        one_of("only", only, ("put", "get"))
        return self._change(
            words("oio conscience unlock", type, *addresses, only=only),
            lambda site: site.oio.conscience.unlock(type, addresses, only),
            options,
        )

    def register(
        self,
        type: str,
        address: str,
        *,
        tags: Mapping[str, str] | None = None,
        **options: Unpack[Changing],
    ) -> Outcome:
        """Register a service. Services register themselves; this is for tests and repairs."""
        from rdctl.api.properties import pairs

        return self._change(
            words("oio conscience register", type, address, tag=pairs(tags)),
            lambda site: site.oio.conscience.register(type, address, tags or {}),
            options,
        )

    def deregister(self, type: str, *addresses: str, **options: Unpack[Changing]) -> Outcome:
        """Deregister services, which register again if they run."""
        return self._change(
            words("oio conscience deregister", type, *addresses),
            lambda site: site.oio.conscience.deregister(type, addresses),
            options,
        )
