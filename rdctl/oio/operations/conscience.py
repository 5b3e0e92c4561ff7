"""The conscience: the services and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Failure, Item, Listing, Report
from rdctl.core.units import escape, guess, natural, operand
from rdctl.oio.acts import ACCEPTED, ALREADY, Acts
from rdctl.oio.model import Service
from rdctl.oio.suggest import existing_types

# From the server: unknown type of service.
_NO_TYPE = 453
# A change is visible in the conscience after two seconds at most.
_SEEN_SECONDS = (0.0, 0.2, 0.5, 1.0, 1.0)


class Conscience(Acts):
    def namespace(self) -> Item:
        return Item(self._proxy.read("conscience.info"))

    def check_policy(self, name: str) -> None:
        """Raise if the namespace has policies, but not this one."""
        policies = self._proxy.read("conscience.info").storage_policies
        if policies and name not in policies:
            raise RdctlError(
                Code.USAGE,
                f'unknown storage policy "{escape(name)}"',
                hint=hints(
                    f"Storage policies: {', '.join(map(escape, sorted(policies)))}.",
                    guess(name, policies),
                ),
                target=name,
            )

    def types(self) -> Listing:
        return Listing({"type": name} for name in self._types())

    def _types(self, strict: bool = False) -> list[str]:
        types: list[str]
        types = self._proxy.read("conscience.types", None, {"what": "types"}, strict=strict)
        return types

    def services(self, types: Sequence[str] | None, full: bool) -> Listing:
        """The services of these types, or of all (None)."""

        def found() -> Iterator[Service]:
            for type in self._types() if types is None else dict.fromkeys(types):
                yield from self._services(type, full)

        return Listing(found())

    def _all(self, type: str) -> list[Service]:
        """The services of a type, before one is changed: a missing one does not exist."""
        return self._services(type, True, strict=True)

    def _services(self, type: str, full: bool, strict: bool = False) -> list[Service]:
        query = {"type": type, "full": full}
        try:
            services: list[Service]
            services = self._proxy.read("conscience.list", None, query, strict=strict)
        except RdctlError as error:
            if error.facts.get("remote_status") == _NO_TYPE:
                error.target = type
                error.hint = existing_types(self._proxy, type) or error.hint
            raise
        return _in_order(service._replace(type=type) for service in services)

    def show(self, type: str, addresses: Sequence[str]) -> Listing:
        """These services of a type with all they report, each with its own failure."""
        listing = Listing((), vertical=True)

        def found() -> Iterator[Service]:
            known = {service.address: service for service in self._services(type, True)}
            for address in dict.fromkeys(addresses):
                if address in known:
                    yield known[address]
                else:
                    listing.failures.append(Failure("show", _no_service(type, address, known)))

        listing.items = found()
        return listing

    def local(self) -> Listing:
        return Listing(_in_order(self._proxy.read("local.list")))

    def register(self, type: str, address: str, tags: Mapping[str, Any]) -> Report:
        """Register a service in the conscience; an existing one gets these tags."""
        known = [service.address for service in self._all(type)]
        self._change(
            "conscience.register",
            None,
            {"type": type},
            what=f"register {type} {address}",
            shows=f"rdctl oio conscience list {operand(type)}",
            **self._service(type, address, tags=tags),
        )
        seen = self._await(type, [address], lambda service: True)
        changed = None if address in known else True
        return Report([self._seen("register", address, seen.get(address), changed, bool(seen))])

    def set_lock(self, type: str, addresses: Sequence[str], locked: bool, score: int) -> Report:
        """Lock or unlock the scores of services, which must be registered."""
        action = "lock" if locked else "unlock"
        known = {service.address: service for service in self._all(type)}
        outcomes: list[Change | Failure] = []
        todo = []
        for address in dict.fromkeys(addresses):
            if address in known:
                todo.append(known[address])
            else:
                outcomes.append(Failure(action, _no_service(type, address, known)))
        if locked and todo:
            locked_at = f"score will be locked at {score}"
            locked_at += " (gets no new data)" if score == 0 else ""
            self._effects.consent([f"{type} {service.address}: {locked_at}" for service in todo])
        outcomes += self._pin(type, todo, score if locked else None, _SEEN_SECONDS)
        return Report(outcomes)

    def unlock_all(self, type: str | None) -> Report:
        """Unlock the scores of all services, of one type or of all types."""
        found = {name: self._all(name) for name in ([type] if type else self._types(strict=True))}
        outcomes: list[Change | Failure] = []
        for name, services in found.items():
            outcomes += self._pin(name, services, None, _SEEN_SECONDS[:1])
        return Report(outcomes)

    def _pin(
        self, type: str, before: Sequence[Service], score: int | None, waits: Sequence[float]
    ) -> list[Change | Failure]:
        """Lock scores, or unlock them (None). Whether a service is locked is not reported: if its
        score stays the same, it is unknown whether anything changed."""
        action = "unlock" if score is None else "lock"
        scores = {service.address: service.score for service in before}
        failures: dict[str, Failure] = {}
        self._effects.foretell(f"{action} {type} {address}" for address in scores)
        for address in scores:
            act = partial(
                self._change,
                f"conscience.{action}",
                None,
                {"type": type},
                what=f"{action} {type} {address}",
                shows=f"rdctl oio conscience list {type} --full",
                destroys=None if score is None else f"{type} {address} at its own score",
                **self._service(type, address, score=score),
            )
            if failure := self._try(action, address, act):
                failures[address] = failure

        def became(service: Service) -> bool:
            if score is None:
                return service.score != scores[service.address]
            return service.score == score

        seen = self._await(type, [a for a in scores if a not in failures], became, waits)
        outcomes: list[Change | Failure] = []
        for address, was in scores.items():
            service = seen.get(address)
            moved = None if was == (service.score if service else score) else True
            done = service is not None and became(service)
            change = self._seen(action, address, service, moved, done)
            outcomes.append(failures.get(address, change))
        return outcomes

    def drop(self, action: str, type: str) -> Report:
        """`deregister` and `flush`: both drop every service of the type."""
        services = self._all(type)
        dropped = {"services": [service.address for service in services]}
        past = {"flush": "flushed"}.get(action)
        if not services:
            return Report([self._done(action, type, ALREADY, dropped, past)])
        self._effects.consent(
            [f"{type} {a} will be removed from the conscience" for a in dropped["services"]]
        )
        self._change(
            f"conscience.{action}",
            None,
            {"type": type},
            what=f"{action} {type}",
            shows=f"rdctl oio conscience list {operand(type)}",
            destroys=f"all services of type {type}",
        )
        return Report([self._done(action, type, ACCEPTED, dropped, past)])

    def _service(self, type: str, address: str, **more: Any) -> dict[str, Any]:
        service = {"namespace": self._proxy.namespace, "type": type, "address": address}
        return {**service, **more}

    def _await(
        self,
        type: str,
        addresses: Sequence[str],
        expected: Callable[[Service], bool],
        waits: Sequence[float] = _SEEN_SECONDS,
    ) -> dict[str, Service]:
        """The services as soon as all are as requested, or as they are at the end: the conscience
        shows a change with a delay."""
        seen: dict[str, Service] = {}
        if self._effects.dry_run or not addresses:
            return seen
        for seconds in waits:
            self._sleep(seconds)
            try:
                services = self._services(type, True)
            except RdctlError:
                break  # the change itself is done
            seen = {
                service.address: service for service in services if service.address in addresses
            }
            if len(seen) == len(addresses) and all(map(expected, seen.values())):
                break
        return seen

    def _seen(
        self, action: str, address: str, service: Service | None, changed: bool | None, done: bool
    ) -> Change:
        """A change with the resulting state."""
        if self._effects.dry_run:
            return Change(action, address, None, None)
        facts = {"score": service.score, "state": service.state} if service else {}
        return Change(action, address, changed, done or None, facts)


def _in_order(services: Iterable[Service]) -> list[Service]:
    return sorted(services, key=lambda service: (service.type, natural(service.address)))


def _no_service(type: str, address: str, known: Mapping[str, Any]) -> RdctlError:
    return RdctlError(
        Code.NOT_FOUND,
        f"{type} service {address} not found in the conscience",
        hint=hints(
            f"Registered {type} services: {', '.join(map(escape, known)) or 'none'}.",
            guess(address, known),
        ),
        target=address,
    )
