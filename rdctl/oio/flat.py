"""Flat names: the container of an object is a prefix of the hash of its name, as in
`openio object create --auto`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import raw_bytes

_MOST_BITS = 255


class Flat(NamedTuple):
    """How a namespace names containers: by so many bits of the SHA-256 of `size` bytes of the name,
    from `offset` on; 0: up to its end."""

    bits: int
    offset: int = 0
    size: int = 0

    def container(self, name: str) -> str:
        data = raw_bytes(name)[self.offset :]
        digest = hashlib.sha256(data[: self.size] if self.size else data).hexdigest().upper()
        digits = -(-self.bits // 4)
        number = int(digest[:digits], 16) >> (4 * digits - self.bits) << (4 * digits - self.bits)
        return f"{number:0{digits}X}"


def flat_of(options: Mapping[str, Any]) -> Flat:
    """The parameters of a namespace; `unsupported` without them."""
    bits, offset, size = (
        _number(options.get(key))
        for key in ("flat_bitlength", "flat_hash_offset", "flat_hash_size")
    )
    if bits is None or not 0 < bits <= _MOST_BITS:
        raise RdctlError(
            Code.UNSUPPORTED,
            "this namespace has no flat names: ns.flat_bits is not set, or invalid",
            hint="See its options: rdctl oio conscience info",
        )
    return Flat(bits, offset or 0, size or 0)


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None
