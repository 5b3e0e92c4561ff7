"""Thresholds of monitoring plugins: `10`, `10:`, `~:10`, `10:20`, `@10:20`."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from rdctl.core.errors import RdctlError
from rdctl.core.units import parse_bytes

_RANGE = re.compile(r"(@?)(?:([^:]*):)?([^:]*)")
_NUMBER = re.compile(r"-?(?:[0-9]{1,18}(?:\.[0-9]{1,9})?|\.[0-9]{1,9})")
BYTES = "B"


class Range(NamedTuple):
    """A value outside of it is an alert; if `inside`, one within it. `text` is as plugins write
    it."""

    least: float
    most: float
    inside: bool
    text: str

    def alerts(self, value: float) -> bool:
        return (self.least <= value <= self.most) == self.inside


def parse_range(text: str, unit: str) -> Range:
    """Raises ValueError. Numbers in bytes may have units, and percentages a sign."""
    found = _RANGE.fullmatch(text.strip())
    if found is None or not text.strip("@ "):
        raise ValueError('must be a range such as "10", "10:", "~:10" or "@10:20"')
    inside, least, most = found.groups()
    low = -math.inf if least == "~" else _number(least, unit, 0.0)
    high = _number(most, unit, math.inf)
    if low > high:
        raise ValueError("must not end before it begins")
    start = "" if low == 0 else ("~:" if low == -math.inf else f"{shown(low)}:")
    if high == math.inf and not start:
        start = "0:"
    end = "" if high == math.inf else shown(high)
    return Range(low, high, bool(inside), f"{inside}{start}{end}")


def _number(text: str | None, unit: str, default: float) -> float:
    if not text:
        return default
    bare = text.removesuffix("%") if unit == "%" else text
    if _NUMBER.fullmatch(bare):
        return float(bare)
    if unit == BYTES:
        try:
            return float(parse_bytes(text))
        except RdctlError as error:
            raise ValueError(f'"{text}" is not a number of bytes') from error
    raise ValueError(f'"{text}" is not a number')


def shown(value: float) -> str:
    """A number with two decimals at most, never with an exponent."""
    text = f"{value:.2f}"
    return text.rstrip("0").rstrip(".")
