"""PyECLib, which encodes faster than pure Python, where it is installed.

It is not used to decode: pure Python is as fast where one or two fragments are lost, and a read
must not depend on what else is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rdctl.core.buffers import Buffer
from rdctl.oio.erasure.fragments import ALGORITHM, HEADER_SIZE


class Library:
    """A driver of PyECLib for k and m."""

    def __init__(self, driver: Any, k: int) -> None:
        self._driver = driver
        self._k = k

    @classmethod
    def load(cls, k: int, m: int) -> Library | None:
        """None if it is not installed, or not usable."""
        try:
            interface = import_module("pyeclib.ec_iface")
            return cls(interface.ECDriver(k=k, m=m, ec_type=ALGORITHM), k)
        except Exception:  # of any kind: it is foreign code, and not needed
            return None

    def parity(self, segment: Buffer) -> list[bytes] | None:
        """The parity payloads of a segment; None if it fails."""
        try:
            fragments = self._driver.encode(bytes(segment))
            return [bytes(one[HEADER_SIZE:]) for one in fragments[self._k :]]
        except Exception:
            return None
