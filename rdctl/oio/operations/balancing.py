"""The load balancer: which services it would choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Listing
from rdctl.core.units import escape, guess
from rdctl.oio.acts import Acts
from rdctl.oio.model import Choice
from rdctl.oio.suggest import existing_types

# From the server: unknown type of service, and too few services.
_NO_TYPE, _TOO_FEW = 453, 481


class LoadBalancer(Acts):
    def choose(self, type: str, size: int, slot: str | None) -> Listing:
        """So many services of a type."""
        query = {"type": type, "size": size, "slot": slot}
        try:
            return _listed(self._proxy.read("lb.choose", None, query))
        except RdctlError as error:
            if error.facts.get("remote_status") == _NO_TYPE:
                error.hint = existing_types(self._proxy, type) or error.hint
            raise

    def poll(
        self,
        pool: str | None,
        policy: str | None,
        avoid: Sequence[str],
        known: Sequence[str],
    ) -> Listing:
        """Services for a pool, or for the pool of a storage policy, without those to avoid, and in
        addition to the known ones."""
        body = dict(zip(("avoid", "known"), self._ids(avoid, known), strict=True))
        query = {"pool": pool, "policy": policy}
        try:
            return _listed(self._proxy.read("lb.poll", None, query, body=body))
        except RdctlError as error:
            raise self._explained(error, pool, policy) from error

    def _explained(self, error: RdctlError, pool: str | None, policy: str | None) -> RdctlError:
        """Names that do not exist: 4.2 says so in the messages of other errors."""
        if pool and f"pool [{pool}] not found" in error.message:
            pools = self._proxy.read("conscience.info").service_pools
            return _not_found("service pool", pool, pools, error)
        if policy and "Invalid storage policy" in error.message:
            policies = self._proxy.read("conscience.info").storage_policies
            return _not_found("storage policy", policy, policies, error)
        if error.facts.get("remote_status") == _TOO_FEW:
            error.hint = "See which services are up: rdctl oio conscience list"
        return error

    def _ids(self, *lists: Sequence[str]) -> list[list[str]]:
        """The IDs of services given by ID or address; the server would ignore unknown ones."""
        if not any(lists):
            return [[] for _ in lists]
        ids: dict[str, list[str]] = {}
        for service in self._proxy.read("cache.show", strict=True):
            for name in {service.address, service.id}:
                ids.setdefault(name, []).append(service.id)
        for name in (name for names in lists for name in names):
            if name not in ids:
                raise RdctlError(
                    Code.NOT_FOUND,
                    f'service "{escape(name)}" is not known to the proxy',
                    hint="See the services that it knows: rdctl oio cache show",
                    target=name,
                )
        return [[id for name in names for id in ids[name]] for names in lists]


def _listed(choice: Choice) -> Listing:
    return Listing({**one._asdict(), "flawed": choice.flawed} for one in choice.services)


def _not_found(noun: str, name: str, names: Mapping[str, Any], error: RdctlError) -> RdctlError:
    existing = ", ".join(map(escape, sorted(names)))
    return RdctlError(
        Code.NOT_FOUND,
        f'{noun} "{escape(name)}" not found',
        hint=guess(name, names) or (f"Existing names: {existing}." if existing else None),
        target=name,
        **error.facts,
    )
