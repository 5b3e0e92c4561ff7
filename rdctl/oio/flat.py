"""Flat names: the container of an object is a prefix of the hash of its name, as in
`openio object create --auto`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import raw_bytes
from rdctl.oio.model import Place

_MOST_BITS = 255


class Flat(NamedTuple):
    """How a namespace names containers: by so many bits of the SHA-256 of `size` bytes of the name,
    from `offset` on; 0: up to its end."""

    bits: int
    offset: int = 0
    size: int = 0

    @property
    def _digits(self) -> int:
        return -(-self.bits // 4)

    def container(self, name: str) -> str:
        data = raw_bytes(name)[self.offset :]
        digest = hashlib.sha256(data[: self.size] if self.size else data).hexdigest().upper()
        unused = 4 * self._digits - self.bits
        number = int(digest[: self._digits], 16) >> unused << unused
        return f"{number:0{self._digits}X}"

    def names(self, container: str) -> bool:
        """Whether a container has the name of one of these."""
        if not re.fullmatch(f"[0-9A-F]{{{self._digits}}}", container):
            return False
        return int(container, 16) % (1 << (4 * self._digits - self.bits)) == 0

    def place(self, place: Place) -> Place:
        """An object in the container that follows from its name."""
        return place._replace(reference=self.container(place.path or ""))


def flat_of(options: Mapping[str, Any], bits: int | None = None) -> Flat:
    """The parameters of a namespace, or `bits` in place of its own; `unsupported` without any."""
    given, offset, size = (
        _number(options.get(key))
        for key in ("flat_bitlength", "flat_hash_offset", "flat_hash_size")
    )
    bits = given if bits is None else bits
    if bits is None or not 0 < bits <= _MOST_BITS:
        raise RdctlError(
            Code.UNSUPPORTED,
            "this namespace has no flat names: ns.flat_bits is not set, or invalid",
            hint="Use --flat-bits N, or see its options: rdctl oio conscience info",
        )
    return Flat(bits, offset or 0, size or 0)


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None
