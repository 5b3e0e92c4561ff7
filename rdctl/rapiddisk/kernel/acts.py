"""What single acts change, as the history has it. What is created is read after the act, what is
changed or removed before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rdctl.core.acts import Act
from rdctl.core.units import human_size
from rdctl.rapiddisk import plain
from rdctl.rapiddisk.auth import NO_AUTH, Auth
from rdctl.rapiddisk.kernel.identities import Identities, Touched
from rdctl.rapiddisk.kernel.means import KernelDependencies, Part
from rdctl.rapiddisk.model import Cache, NewCache, PortDetail, Subsystem


class Acts(Part):
    def __init__(self, means: KernelDependencies, identities: Identities) -> None:
        super().__init__(means)
        self._identities = identities

    # --- volumes ------------------------------------------------------------------------------

    def created(self, volume: str, size: int) -> Act:
        return Act("create", "volume", volume, self._identities.volume(volume), None, _size(size))

    def removal(self, volume: str) -> Act:
        before, lost = _size(self._known.size(volume)), self._contents(volume)
        return self._of_volume("remove", volume, before, None, lost)

    def erasure(self, volume: str) -> Act:
        return self._of_volume("erase", volume, lost=self._contents(volume))

    def loading(self, volume: str, image: str) -> Act:
        """What it held was erased before."""
        return self._of_volume("load", volume, {"used": 0}, {"image": image})

    def resizing(self, volume: str, size: int) -> Act:
        was = self._known.size(volume)
        lost = None
        if was is not None and size < was:
            # The kernel's counters do not prove that nothing is there.
            with suppress(OSError):
                if not self._devices.is_empty_behind(volume, size, was):
                    lost = f"data beyond {human_size(size)}"
        return self._of_volume("resize", volume, _size(was), _size(size), lost)

    def locking(self, volume: str, locked: bool) -> Act:
        verb = "lock" if locked else "unlock"
        return self._of_volume(verb, volume, {"locked": not locked}, {"locked": locked})

    def _of_volume(
        self, verb: str, volume: str, before: Any = None, after: Any = None, lost: str | None = None
    ) -> Act:
        identity = self._identities.volume(volume)
        return Act(verb, "volume", volume, identity, before, after, lost)

    def _contents(self, volume: str) -> str | None:
        usage = self._sysfs.usage(volume)
        if usage is None:
            with suppress(OSError):
                usage = self._devices.usage(volume)
        if usage is None:
            return "its contents"
        return f"its contents ({human_size(usage)})" if usage else None

    # --- caches -------------------------------------------------------------------------------

    def mapping(self, new: NewCache) -> Callable[[], Act]:
        """The cache exists when the act is asked for."""
        touched = self._touched(new.volume, new.source.kernel)
        after = {
            "volume": new.volume,
            "source": self._path(new.source.kernel),
            "policy": new.policy,
            "max_age": new.max_age,
            "adopted": new.adopt,
        }

        def act() -> Act:
            identity = self._identities.cache(self._sysfs.named(new.name))
            return Act("map", "cache", new.name, identity, None, after, touched=touched)

        return act

    def unmapping(self, cache: Cache, max_age: int | None) -> Act:
        """One without a table cannot be created again."""
        identity = self._identities.cache(cache.kernel)
        if cache.volume is None or cache.source_kernel is None:
            return Act("unmap", "cache", cache.device, identity)
        before = {
            "volume": cache.volume,
            "source": self._path(cache.source_kernel),
            "policy": cache.policy,
            "max_age": max_age,
        }
        touched = self._touched(cache.volume, cache.source_kernel)
        return Act("unmap", "cache", cache.device, identity, before, touched=touched)

    def _path(self, kernel: str) -> str:
        """Where it is found again."""
        with suppress(OSError):
            return self._known.stable_source(kernel)[0]
        return f"/dev/{kernel}"

    def _touched(self, *kernels: str) -> tuple[Touched, ...]:
        return tuple(map(self._identities.device, kernels))

    # --- exports and ports --------------------------------------------------------------------

    def exported(self, before: Subsystem | None, after: Subsystem | None) -> Act:
        """An export was created, changed, created anew with another identity, or removed."""
        states = [one for one in (after, before) if one is not None]
        paths = dict.fromkeys(one.path for state in states for one in state.namespaces)
        kernels = filter(None, map(self._known.at, paths))
        identities = [self._identities.export(one) for one in states]
        touched = self._touched(*dict.fromkeys(kernels))
        if identities[0] != identities[-1]:
            touched += (("export", states[0].nqn, identities[-1]),)
        return Act(
            "export",
            "export",
            states[0].nqn,
            identities[0],
            plain.of_subsystem(before),
            plain.of_subsystem(after),
            touched=touched,
        )

    def authenticated(self, host: str, before: Auth | None, after: Auth | None) -> Act:
        """The keys of a host were set, changed, or removed with it. They are in no history: a
        former one is lost."""
        lost = [
            word
            for word, old, new in zip(
                ("key", "controller key"), before or NO_AUTH, after or NO_AUTH, strict=False
            )
            if old is not None and old != new
        ]
        return Act(
            "authenticate",
            "host",
            host,
            self._identities.host(host),
            plain.of_auth(before),
            plain.of_auth(after),
            f"its former {' and '.join(lost)}" if lost else None,
        )

    def port_added(self, detail: PortDetail) -> Act:
        return self._of_port("add-port", detail, None, plain.of_port(detail))

    def port_removed(self, detail: PortDetail) -> Act:
        return self._of_port("remove-port", detail, plain.of_port(detail), None)

    def _of_port(self, verb: str, detail: PortDetail, before: Any, after: Any) -> Act:
        port = detail.port
        return Act(verb, "port", str(port.port), self._identities.port(port), before, after)


def _size(size: int | None) -> dict[str, int | None]:
    return {"size": size}
