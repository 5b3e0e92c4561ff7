"""The directory: which meta1 services know which containers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product

from rdctl.core.errors import Code, Ended, RdctlError, as_error
from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.core.units import escape
from rdctl.core.unread import MISSHAPEN
from rdctl.oio.acts import OK, Acts
from rdctl.oio.model import CID_DIGITS, MappedPrefix, Place
from rdctl.oio.replies.values import ADDRESS, as_array, as_object, as_text
from rdctl.workers import Stopped, Turns

_HEX = "0123456789ABCDEF"
_DIGITS = frozenset(_HEX)
# Digits of the prefixes in the map, and the most that name a base.
_MOST_DIGITS = 4
_DIGITS_KEY = "ns.meta1_digits"
# 503 means that an election is not finished: so many attempts, and the seconds between them.
_ATTEMPTS = 5
_PAUSE = 0.5
_BUSY = 503
_SLAVE = 303
_NAMED = 5  # prefixes in a message


class Directory(Acts):
    def dump(self, prefix: str, service: str | None) -> Listing:
        """The meta1 services of each prefix of container IDs; only of those that begin with
        `prefix`, or that the `service` has."""
        found = self._proxy.read("meta0.list")
        try:
            mapped = {_unswapped(key): _addresses(value) for key, value in as_object(found).items()}
        except MISSHAPEN as error:
            message = "unreadable value in the reply: the map of the directory"
            raise RdctlError(Code.BAD_REPLY, message) from error

        def matching() -> Iterator[MappedPrefix]:
            for one in sorted(mapped):
                if one.startswith(prefix) and (service is None or service in mapped[one]):
                    yield MappedPrefix(one, mapped[one])

        return Listing(matching())

    def warmup(self, prefix: str, digits: int | None) -> Report:
        """Have the meta1 services open their bases, and elect the masters: one request each."""
        self._proxy.suggests = False
        digits = self._digits() if digits is None else digits
        if len(prefix) > digits:
            message = f'invalid --prefix "{prefix}": bases have {digits} digits'
            raise RdctlError(Code.USAGE, message)
        rest = digits - len(prefix)
        bases = (prefix + "".join(more) for more in product(_HEX, repeat=rest))
        return Report(self._warmed(bases, 16**rest))

    def _digits(self) -> int:
        """How many digits of a container ID name its base."""
        if self._proxy.offers("config.get"):
            value = as_object(self._proxy.read("config.get")).get(_DIGITS_KEY)
            if value is not None and str(value) in "01234":
                return int(value)
        message = f"the oio-proxy does not report {_DIGITS_KEY}"
        raise RdctlError(Code.UNSUPPORTED, message, hint="Specify it: --digits N")

    def _warmed(self, bases: Iterator[str], count: int) -> Iterator[Change | Failure]:
        """The bases that are ready, and those that are not by their errors."""
        warmed, turns = _Warmed(self._proxy.namespace), Turns()
        many = "1 meta1 base" if count == 1 else f"{count} meta1 bases"
        self._effects.foretell([f"warm up {many}"])
        self._workers.progress.begin(count, "bases")

        def warm(base: str) -> tuple[str, RdctlError | None]:
            try:
                turns.take(lambda: self._warm(base))
            except RdctlError as error:
                return base, error
            return base, None

        # A dry run names the whole, not each request.
        whole = self._effects.transaction(f"warm up {many}") if self._effects.dry_run else None
        try:
            with whole or nullcontext():
                for base, error in self._workers.ordered(warm, bases):
                    self._workers.progress.advance()
                    warmed.add(base, error)
        except (KeyboardInterrupt, Ended, Stopped) as error:
            code = self._workers.ended_by if isinstance(error, Stopped) else as_error(error).code
            yield from warmed.outcomes(None)
            message = f"{count - warmed.count} of {many} not warmed up ({code.word})"
            yield Failure("warmup", RdctlError(code, message, target=self._proxy.namespace))
            raise
        yield from warmed.outcomes(None if self._effects.dry_run else True)

    def _warm(self, base: str) -> None:
        """Ask for the master of one base, until its election is finished."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._ask(base)
                return
            except RdctlError as error:
                if error.facts.get("remote_status") != _BUSY or attempt == _ATTEMPTS:
                    raise
            self._workers.check()
            self._sleep(_PAUSE * attempt)

    def _ask(self, base: str) -> None:
        outcomes = self._change(
            "admin.warmup",
            Place(cid=base.ljust(CID_DIGITS, "0")),
            {"type": "meta1"},
            what=f"warm up base {base}",
            shows=f"rdctl oio admin status --cid {base or '0'} --type meta1",
            assume=[],
            step=True,
        )
        for one in outcomes:
            if one.status not in OK and one.status != _SLAVE:
                message = f"{one.name}: {escape(one.message)}"
                raise RdctlError(Code.UNAVAILABLE, message, remote_status=one.status)


class _Warmed:
    """The results of a warmup."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._ready = 0
        self._failed: dict[str, tuple[RdctlError, list[str]]] = {}

    @property
    def count(self) -> int:
        return self._ready + sum(len(bases) for _, bases in self._failed.values())

    def add(self, base: str, error: RdctlError | None) -> None:
        if error is None:
            self._ready += 1
            return
        self._failed.setdefault(error.message, (error, []))[1].append(base)

    def outcomes(self, verified: bool | None) -> Iterator[Change | Failure]:
        """One for all bases that are ready, and one for each error."""
        if self._ready or not self._failed:
            facts = {"bases": self._ready}
            yield Change("warmup", self._namespace, None, verified, facts, past="warmed up {}")
        for error, bases in self._failed.values():
            yield Failure("warmup", _summary(error, bases))


def _unswapped(key: str) -> str:
    """The prefix that a key of the map means: meta0 swaps its two bytes."""
    if len(key) != _MOST_DIGITS or not _DIGITS.issuperset(key):
        raise ValueError("4 hexadecimal digits were expected")
    return key[2:] + key[:2]


def _addresses(value: object) -> list[str]:
    addresses = [as_text(one) for one in as_array(value)]
    if not all(map(ADDRESS.fullmatch, addresses)):
        raise ValueError("IP:PORT was expected")
    return addresses


def _summary(error: RdctlError, prefixes: list[str]) -> RdctlError:
    """One error for all bases that have it."""
    named = ", ".join(prefixes[:_NAMED]) + (", ..." if prefixes[_NAMED:] else "")
    bases = f"base {named}" if len(prefixes) == 1 else f"{len(prefixes)} bases ({named})"
    return RdctlError(
        error.code,
        f"{bases} not warmed up: {error.message}",
        hint=error.hint,
        target=prefixes[0],
        **{**error.facts, "bases": len(prefixes)},
    )
