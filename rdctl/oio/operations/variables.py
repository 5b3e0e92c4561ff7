"""The variables of running services: those of meta0, meta1 and meta2, and of the proxy itself.

Servers confirm what they did not do: an unknown variable is ignored, an invalid value resets the
variable to its default, and a number out of range becomes the nearest one in it. So each variable
is read before, which shows its kind, and afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Listing, Report
from rdctl.core.units import escape, guess, operand
from rdctl.oio.acts import ALREADY, PROVEN, UNREPORTED, Acts

# The word for the proxy in place of an address.
PROXY = "proxy"
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
# How numbers are shown. New ones must not have a unit: servers misread some.
_DECIMAL, _WHOLE = re.compile(r"-?[0-9]+\.[0-9]{6}"), re.compile("-?[0-9]+")
_BOOLEAN = {
    **dict.fromkeys(("on", "yes", "true"), True),
    **dict.fromkeys(("off", "no", "false"), False),
}


class Variables(Acts):
    def get(self, service: str, names: Sequence[str] | None) -> Listing:
        """These variables of a service, or all (None), each with its own failure."""
        values = self._values(service)
        listing = Listing(())

        def found() -> Any:
            for name in sorted(values) if names is None else dict.fromkeys(names):
                if name in values:
                    yield {"service": service, "name": name, "value": values[name]}
                else:
                    listing.failures.append(Failure("get", _unknown(service, name, values)))

        listing.items = found()
        return listing

    def set(self, service: str, requested: Mapping[str, str]) -> Report:
        """Set variables of a service; if one of them is unknown or its value invalid, none."""
        before = self._values(service)
        for name, value in requested.items():
            if name not in before:
                raise _unknown(service, name, before)
            _check(name, value, before[name])
        todo = {k: v for k, v in requested.items() if not _same(v, before[k])}
        if todo:
            self._change(
                "config.set" if service == PROXY else "service.set-config",
                None,
                _query(service),
                what=f"set {', '.join(map(escape, todo))} of {service}",
                shows=f"rdctl oio service config get {operand(service)}",
                body=todo,
            )
        after = self._values(service) if todo and not self._effects.dry_run else before
        return Report(
            [self._outcome_of(k, v, before[k], after.get(k)) for k, v in requested.items()]
        )

    def _outcome_of(
        self, name: str, requested: str, before: str | None, after: str | None
    ) -> Change | Failure:
        if _same(requested, before):
            return self._done("set", name, ALREADY, {"value": before})
        if self._effects.dry_run or after is None:
            return self._done("set", name, UNREPORTED, {"value": requested})
        if _same(requested, after):
            return self._done("set", name, PROVEN, {"value": after})
        if after == before:
            return Failure("set", _invalid(name, requested, f"it is still {escape(after)}"))
        message = f"{escape(name)}: set to {escape(after)} in place of {escape(requested)}"
        hint = "The value is outside the range of the variable."
        return Failure("set", RdctlError(Code.CONFLICT, message, hint=hint, target=name))

    def _values(self, service: str) -> dict[str, str | None]:
        route = "config.get" if service == PROXY else "service.get-config"
        values: dict[str, str | None] = self._proxy.read(route, None, _query(service))
        return values


def _check(name: str, value: str, current: str | None) -> None:
    """Raise if the value is not of the kind of the current one."""
    if current is None:
        message = f"the current value of {escape(name)} in the reply cannot be read"
        raise RdctlError(Code.BAD_REPLY, message, target=name)
    if current in ("on", "off") and value.lower() not in _BOOLEAN:
        raise _invalid(name, value, "must be on or off")
    if _DECIMAL.fullmatch(current) and not _NUMBER.fullmatch(value):
        raise _invalid(name, value, "must be a number without a unit")
    if _WHOLE.fullmatch(current) and not _WHOLE.fullmatch(value):
        raise _invalid(name, value, "must be a whole number without a unit")


def _invalid(name: str, value: str, why: str) -> RdctlError:
    message = f'{escape(name)}: invalid value "{escape(value)}": {why}'
    return RdctlError(Code.USAGE, message, target=name)


def _query(service: str) -> dict[str, str]:
    return {} if service == PROXY else {"id": service}


def _same(requested: str, value: str | None) -> bool:
    """Whether a service shows this for the requested value: `5.000000` for `5`, `on` for `true`."""
    if value is None or requested == value:
        return requested == value
    if _NUMBER.fullmatch(requested) and _NUMBER.fullmatch(value):
        return _exact(requested) == _exact(value)
    a, b = (_BOOLEAN.get(text.lower()) for text in (requested, value))
    return a is not None and a == b


def _exact(number: str) -> tuple[bool, str, str]:
    """A decimal number without what does not change it; floats would round long ones."""
    whole, _, part = number.lstrip("+-").partition(".")
    whole, part = whole.lstrip("0"), part.rstrip("0")
    return number.startswith("-") and bool(whole or part), whole, part


def _unknown(service: str, name: str, values: Mapping[str, Any]) -> RdctlError:
    return RdctlError(
        Code.NOT_FOUND,
        f'variable "{escape(name)}" not found in the configuration of {service}',
        hint=guess(name, values) or f"List them: rdctl oio service config get {operand(service)}",
        target=name,
    )
