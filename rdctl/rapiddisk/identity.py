"""How the clients of an export know its disk. The kernel chooses it anew for each export, and
cannot change it later."""

from __future__ import annotations

from typing import Any, NamedTuple

from rdctl.core.units import escape
from rdctl.rapiddisk.model import Subsystem
from rdctl.rapiddisk.names import nvme_identifier, nvme_serial


class Identity(NamedTuple):
    """What is requested; None: nothing."""

    serial: str | None = None
    uuid: str | None = None
    nguid: str | None = None

    def usual(self) -> Identity:
        """As the kernel writes it; a usage error for what cannot be."""
        return Identity(
            None if self.serial is None else nvme_serial(self.serial),
            None if self.uuid is None else nvme_identifier("UUID", self.uuid),
            None if self.nguid is None else nvme_identifier("NGUID", self.nguid),
        )

    def differs_from(self, subsystem: Subsystem) -> bool:
        return bool(self.differences(subsystem, ""))

    def differences(self, subsystem: Subsystem, words: str) -> list[str]:
        """What of an export with one namespace is not as requested: `words` takes the name, the
        value there, and the requested one."""
        there = identity_of(subsystem)._asdict()
        return [
            words.format(name, _quoted(there[name]), _quoted(value))
            for name, value in self._asdict().items()
            if value is not None and value != there[name]
        ]

    def given_to(self, subsystem: Subsystem) -> Subsystem:
        """An export with one namespace that has this identity; what is not requested stays."""
        (namespace,) = subsystem.namespaces
        uuid, nguid = self.uuid or namespace.uuid, self.nguid or namespace.nguid
        namespace = namespace._replace(uuid=uuid, nguid=nguid)
        return subsystem._replace(serial=self.serial or subsystem.serial, namespaces=(namespace,))


NO_IDENTITY = Identity()


def identity_of(subsystem: Subsystem) -> Identity:
    """Of an export with one namespace."""
    (namespace,) = subsystem.namespaces
    return Identity(subsystem.serial, namespace.uuid, namespace.nguid)


def with_new_identity(
    was: dict[str, Any] | None,
    will_be: dict[str, Any] | None,
    before: Subsystem | None,
    after: Subsystem | None,
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Data of an export before and after a change, with what is requested of another identity."""
    known = [one for one in (before, after) if one is not None]
    if will_be is None or after is None or any(len(one.namespaces) != 1 for one in known):
        return was, will_be
    there = NO_IDENTITY if before is None else identity_of(before)
    new = {
        name: value
        for name, value in identity_of(after)._asdict().items()
        if value not in (None, getattr(there, name))
    }
    old = {name: getattr(there, name) for name in new}
    return None if was is None else {**was, **old}, {**will_be, **new}


def is_as(there: Subsystem, requested: Subsystem) -> bool:
    """Whether it is as requested, whatever the order; what was not requested, the kernel chose."""
    chosen = zip(_identities(there), _identities(requested), strict=False)
    return _essence(there) == _essence(requested) and all(
        value in (None, found) for found, value in chosen
    )


def _identities(subsystem: Subsystem) -> list[str | None]:
    namespaces = sorted(subsystem.namespaces)
    return [subsystem.serial, *(text for one in namespaces for text in (one.uuid, one.nguid))]


def _essence(subsystem: Subsystem) -> tuple[object, ...]:
    namespaces = {(n.number, n.path, n.enabled) for n in subsystem.namespaces}
    return subsystem.nqn, subsystem.any_host, set(subsystem.hosts), set(subsystem.ports), namespaces


def _quoted(value: str | None) -> str:
    return "not set" if value is None else f'"{escape(value)}"'
