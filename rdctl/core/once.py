"""Properties that are computed once, whatever thread asks first."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functools import cached_property

    once = cached_property
else:

    class once:
        """As functools.cached_property, which has no lock from Python 3.12 on: there, threads that
        ask at the same time would all compute, and send a request each. Without an instance, or
        after a failure, nothing is kept."""

        def __init__(self, compute: Any) -> None:
            self._compute = compute
            self.__doc__ = compute.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self._name, self._lock = name, f"_lock of {name}"

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            held = vars(instance)
            # One for each instance: those of several contexts do not wait for each other.
            with held.setdefault(self._lock, threading.RLock()):
                if self._name not in held:
                    held[self._name] = self._compute(instance)
                return held[self._name]
