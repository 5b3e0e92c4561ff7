"""Sizes, as the daemon computes them: in 64 bits."""

from __future__ import annotations

import re

from rdctl.sandbox.rapiddisk.replies import Refusal

MIB = 1 << 20
WORD = 1 << 64


def mib_of(text: str) -> int:
    """MiB as C's strtoull reads them: up to the first other character, a minus wraps."""
    match = re.match(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)", text)
    if match is None:
        raise Refusal("Not a number.")
    digits = match[2].lstrip("0")
    number = int(digits[:21] or "0")
    if number >= WORD:
        raise Refusal("Invalid size.")
    return -number % WORD if match[1] == "-" else number


def signed(size: int) -> int:
    """A size as signed 64 bits, wrapped as in the daemon's arithmetic."""
    size %= WORD
    return size - WORD if size >= WORD // 2 else size
