"""The conscience: the services and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError, hints
from rdctl.core.results import Change, Failure, Item, Listing, Report
from rdctl.core.units import escape, guess, natural, operand
from rdctl.oio.acts import ACCEPTED, ALREADY, Acts
from rdctl.oio.model import Service, ServiceId
from rdctl.oio.pins import Pin, lock_loss, lowest, moved
from rdctl.oio.routes import BEGINS
from rdctl.oio.suggest import existing_types

# From the server: unknown type of service.
_NO_TYPE = 453
# In the message of 4.2, which comes with the status of an unavailable conscience.
_UNKNOWN_ID = "not found"
# A change is visible in the conscience after two seconds at most.
_SEEN_SECONDS = (0.0, 0.2, 0.5, 1.0, 1.0)


# How long `wait` takes by default, and how often it looks.
WAIT_SECONDS = 15.0
_INTERVAL = 1.0
# The tags that only a full list has.
_STATISTICS = "stat."
# How many services the error of `wait` names.
_NAMED = 5


class Awaited(NamedTuple):
    """The services that `wait` waits for: all of these types, or of all types (None). Addresses
    restrict it to these services."""

    types: Sequence[str] | None = None
    addresses: Sequence[str] = ()

    def among(self, services: Iterable[Service]) -> list[Service]:
        return [one for one in services if not self.addresses or one.address in self.addresses]

    def missing(self, services: Sequence[Service]) -> list[str]:
        """What is not registered, in words."""
        if self.addresses:
            found = {one.address for one in services}
            missing = [address for address in self.addresses if address not in found]
            return [f"{address} is not registered" for address in dict.fromkeys(missing)]
        present = {one.type for one in services}
        return [f"no {escape(type)} service" for type in self.types or () if type not in present]


class _Scores(NamedTuple):
    """What `wait` found; `lacking` says in words what it waits for."""

    services: list[Service]
    up: list[Service]
    low: list[Service]
    lacking: list[str]

    @staticmethod
    def of(services: list[Service], awaited: Awaited, score: int, count: int) -> _Scores:
        up = [one for one in services if (lower := lowest(one)) is not None and lower > score]
        low = [one for one in services if one not in up]
        lacking = awaited.missing(services)
        if low:
            names = [f"{one.type} {one.address}" for one in low[:_NAMED]]
            names += ["..."] if low[_NAMED:] else []
            lacking.append(f"score {score} or lower: {', '.join(map(escape, names))}")
        if len(up) < max(count, 1):
            lacking.append(f"{len(up)} of {max(count, 1)} services above score {score}")
        return _Scores(services, up, low, lacking)

    def timed_out(self, seconds: float) -> RdctlError:
        return RdctlError(
            Code.TIMEOUT,
            f"timed out after {round(seconds, 1):g} s: {'; '.join(self.lacking)}",
            hint=hints(
                "Wait longer: --timeout SECONDS",
                "If a score is locked, unlock it: --unlock" if self.low else None,
            ),
        )


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

    def local(self, types: Sequence[str] | None, full: bool) -> Listing:
        """The services of these types on the proxy's host, or all of them (None)."""

        def found() -> Iterator[Service]:
            services = _in_order(self._proxy.read("local.list"))
            for type in set(types or ()) - {service.type for service in services}:
                self._check_type(type)
            chosen = (one for one in services if types is None or one.type in types)
            yield from chosen if full else map(_without_statistics, chosen)

        return Listing(found())

    def _check_type(self, type: str) -> None:
        if hint := existing_types(self._proxy, type):
            message = f'service type "{escape(type)}" not found in the conscience'
            raise RdctlError(Code.NOT_FOUND, message, hint=hint, target=type)

    def resolve(self, type: str, ids: Sequence[str]) -> Listing:
        """The addresses of these services, each with its own failure."""

        def resolve(id: str) -> ServiceId:
            try:
                address = self._proxy.read(
                    "conscience.resolve", None, {"type": type, "service_id": id}
                )
            except RdctlError as error:
                raise self._unresolved(error, type, id) from error
            return ServiceId(type, address, id)

        listing = self._shown_by_name("resolve", ids, resolve, str)
        listing.vertical = False
        return listing

    def _unresolved(self, error: RdctlError, type: str, id: str) -> RdctlError:
        """4.2 answers 503 for an unknown ID, as if the conscience were down."""
        error.target = id
        if error.facts.get("remote_status") == _NO_TYPE:
            error.hint = existing_types(self._proxy, type) or error.hint
        elif _UNKNOWN_ID in error.message:
            error = RdctlError(
                Code.NOT_FOUND,
                f'{type} service "{escape(id)}" not found in the conscience',
                hint=f"See the services: rdctl oio conscience list {operand(type)}",
                target=id,
                **error.facts,
            )
        return error

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

    def lock(
        self,
        type: str,
        addresses: Sequence[str],
        score: int,
        unregistered: bool = False,
        only: str | None = None,
    ) -> Report:
        """Lock the scores of services; `unregistered`: also of those that the conscience does not
        know, which it then lists."""
        registered = {service.address: service for service in self._all(type)}
        known = dict(registered)
        if unregistered:
            known = {a: Service(type, a, None, None, {}) for a in addresses} | registered
        pin = self._pin_of(score, only, registered.values())
        todo, outcomes = _chosen("lock", type, addresses, known)
        losses = [
            lock_loss(service, pin, service.address in registered)
            for service in todo
            if not pin.holds(service)
        ]
        if losses:
            self._effects.consent(losses)
        outcomes += self._pin(type, todo, pin, _SEEN_SECONDS)
        return Report(outcomes)

    def unlock(self, type: str, addresses: Sequence[str], only: str | None = None) -> Report:
        """Unlock the scores of services, which must be registered."""
        known = {service.address: service for service in self._all(type)}
        pin = self._pin_of(None, only, known.values())
        todo, outcomes = _chosen("unlock", type, addresses, known)
        outcomes += self._pin(type, todo, pin, _SEEN_SECONDS)
        return Report(outcomes)

    def unlock_all(self, type: str | None, only: str | None = None) -> Report:
        """Unlock the scores of all services, of one type or of all types."""
        found = {name: self._all(name) for name in ([type] if type else self._types(strict=True))}
        pin = self._pin_of(None, only, [one for services in found.values() for one in services])
        outcomes: list[Change | Failure] = []
        for name, services in found.items():
            outcomes += self._pin(name, services, pin, _SEEN_SECONDS[:1])
        return Report(outcomes)

    def _pin_of(self, score: int | None, only: str | None, services: Iterable[Service]) -> Pin:
        """A proxy without a score for each direction would lock, or unlock, both."""
        if only is not None and all(service.get_score is None for service in services):
            raise RdctlError(
                Code.UNSUPPORTED,
                f"this oio-proxy ({self._proxy.dialect}) has one score for writing and reading",
                hint=f"Omit --only. It requires oio-proxy {BEGINS['2025']} or later.",
            )
        return Pin(score, only)

    def _pin(
        self, type: str, before: Sequence[Service], pin: Pin, waits: Sequence[float]
    ) -> list[Change | Failure]:
        """Lock or unlock scores. Where locks are not reported and the score stays the same, it is
        unknown whether anything changed."""
        action = pin.action
        todo = {service.address: service for service in before if not pin.holds(service)}
        failures: dict[str, Failure] = {}
        self._effects.foretell(f"{action} {type} {address}" for address in todo)
        for address in todo:
            act = partial(
                self._change,
                f"conscience.{action}",
                None,
                {"type": type},
                what=f"{action} {type} {address}",
                shows=f"rdctl oio conscience list {type} --full",
                destroys=None if pin.score is None else f"{type} {address} at its own score",
                **self._service(type, address, score=pin.score, only=pin.only),
            )
            if failure := self._try(action, address, act):
                failures[address] = failure

        def became(service: Service) -> bool:
            return pin.did(todo[service.address], service)

        seen = self._await(type, [a for a in todo if a not in failures], became, waits)
        outcomes: list[Change | Failure] = []
        for was in before:
            address = was.address
            if address not in todo:
                outcomes.append(self._seen(action, address, was, False, True))
                continue
            service = seen.get(address)
            done = service is not None and became(service)
            change = self._seen(action, address, service, moved(pin, was, service), done)
            outcomes.append(failures.get(address, change))
        return outcomes

    def wait(self, awaited: Awaited, score: int, count: int, unlock: bool) -> Listing:
        """Wait until all these services are above this score. There must be `count` of them, and
        one of each given type; `unlock` unlocks the others. Raises TIMEOUT at the end of the
        command's time, or of the default."""
        deadline = self._proxy.deadline
        deadline = deadline if deadline.left() is not None else deadline.within(WAIT_SECONDS)
        allowed, risen = deadline.left() or 0.0, 0
        while True:
            scores = _Scores.of(awaited.among(self._now(awaited.types)), awaited, score, count)
            if not risen:
                self._workers.progress.begin(max(len(scores.services), count), "services")
            self._workers.progress.advance(len(scores.up) - risen)
            risen = len(scores.up)
            if not scores.lacking:
                return Listing(map(_without_statistics, scores.services))
            if unlock:
                self._unlock_low(scores)
                if self._effects.dry_run:
                    return Listing(map(_without_statistics, scores.services))
            if (deadline.left() or 0.0) <= _INTERVAL:
                raise scores.timed_out(allowed)
            self._sleep(_INTERVAL)

    def _now(self, types: Sequence[str] | None) -> list[Service]:
        """The services of these types; none while the conscience is unavailable, as it may still be
        starting."""
        try:
            names = self._types() if types is None else dict.fromkeys(types)
            return [service for type in names for service in self._services(type, True)]
        except RdctlError as error:
            if error.code is not Code.UNAVAILABLE:
                raise
            return []

    def _unlock_low(self, scores: _Scores) -> None:
        for type, services in groupby(scores.low, key=lambda service: service.type):
            for outcome in self._pin(type, list(services), Pin(None), ()):
                if isinstance(outcome, Failure):
                    raise outcome.error

    def drop(self, action: str, type: str) -> Report:
        """Drop every service of the type, by `flush` or `deregister` without addresses."""
        services = self._all(type)
        dropped = {"services": [service.address for service in services]}
        past = {"flush": "flushed"}.get(action)
        if not services:
            return Report([self._done(action, type, ALREADY, dropped, past)])
        self._effects.consent(
            [f"{type} {a} will be removed from the conscience" for a in dropped["services"]]
        )
        self._change(
            "conscience.flush",
            None,
            {"type": type},
            what=f"{action} {type}",
            shows=f"rdctl oio conscience list {operand(type)}",
            destroys=f"all services of type {type}",
        )
        return Report([self._done(action, type, ACCEPTED, dropped, past)])

    def deregister(self, type: str, addresses: Sequence[str]) -> Report:
        """Make the conscience forget services; those that run register again."""
        known = {service.address: service for service in self._all(type)}
        todo, outcomes = _chosen("deregister", type, addresses, known)
        losses = {one.address: f"{type} {one.address} will be deregistered" for one in todo}
        if losses:
            self._effects.consent(list(losses.values()))
        for address, loss in losses.items():
            act = partial(
                self._change,
                "conscience.deregister",
                None,
                {"type": type},
                what=f"deregister {type} {address}",
                shows=f"rdctl oio conscience list {operand(type)}",
                destroys=loss,
                **self._service(type, address),
            )
            failure = self._try("deregister", address, act)
            outcomes.append(failure or self._done("deregister", address, ACCEPTED))
        return Report(outcomes)

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
        if service is not None and service.get_score is not None:
            facts |= {"get_score": service.get_score, "locked": service.locked}
        return Change(action, address, changed, done or None, facts)


def _in_order(services: Iterable[Service]) -> list[Service]:
    return sorted(services, key=lambda service: (service.type, natural(service.address)))


def _without_statistics(service: Service) -> Service:
    """As the conscience lists it by default."""
    tags = {key: tag for key, tag in service.tags.items() if not key.startswith(_STATISTICS)}
    return service._replace(tags=tags)


def _chosen(
    action: str, type: str, addresses: Sequence[str], known: Mapping[str, Service]
) -> tuple[list[Service], list[Change | Failure]]:
    """The known services among these, and the failures of the others."""
    chosen = dict.fromkeys(addresses)
    failures = [
        Failure(action, _no_service(type, address, known, action))
        for address in chosen
        if address not in known
    ]
    return [known[address] for address in chosen if address in known], [*failures]


def _no_service(
    type: str, address: str, known: Mapping[str, Any], action: str = "show"
) -> RdctlError:
    lock = "To lock a service before it registers, add --unregistered."
    return RdctlError(
        Code.NOT_FOUND,
        f"{type} service {address} not found in the conscience",
        hint=hints(
            f"Registered {type} services: {', '.join(map(escape, known)) or 'none'}.",
            guess(address, known),
            lock if action == "lock" else None,
        ),
        target=address,
    )
