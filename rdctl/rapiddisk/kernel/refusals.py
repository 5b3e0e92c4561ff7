"""What the kernel's refusals mean: it has one errno for many reasons, and writes the reason to its
log only, so each is explained by what is known here."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from rdctl.core.errors import Code, RdctlError
from rdctl.core.units import operand
from rdctl.effects.door import Effects
from rdctl.rapiddisk.kernel.surveys import Surveys

_LOG = "The kernel's log tells why: dmesg | tail"
GONE = (errno.ENOENT, errno.ENXIO, errno.ENODEV)
_ROOT_HINT = "Try again with sudo."
_REASONS: dict[int, tuple[Code, str, str]] = {
    errno.EACCES: (Code.DENIED, "requires root", _ROOT_HINT),
    errno.EPERM: (Code.DENIED, "requires root", _ROOT_HINT),
    errno.EROFS: (Code.DENIED, "the file system is read-only here", "Is this a container?"),
    errno.ENOENT: (Code.NOT_FOUND, "it is not there", "It has gone meanwhile; look again."),
    errno.ENXIO: (Code.NOT_FOUND, "it is not there", "It has gone meanwhile; look again."),
    errno.EEXIST: (Code.EXISTS, "it exists already", "Somebody made it meanwhile; look again."),
    errno.EBUSY: (
        Code.IN_USE,
        "in use",
        "A mount in a container or an open descriptor may be seen with: lsof",
    ),
    errno.ENOMEM: (Code.FAILED, "the kernel has no memory for it", _LOG),
    errno.EADDRNOTAVAIL: (
        Code.CONFLICT,
        "the port's address is not on this machine",
        "See: rdctl rapiddisk nvmet port list, ip address",
    ),
    errno.EADDRINUSE: (
        Code.CONFLICT,
        "the port's service is taken",
        "Another program listens there; see: ss -ltnp",
    ),
    errno.ENODEV: (Code.FAILED, "the device that it takes is not there", _LOG),
    errno.ENOTBLK: (
        Code.CONFLICT,
        "its node in /dev leads to another device",
        "Is udev running? See: ls -l /dev /dev/mapper",
    ),
    errno.EINVAL: (Code.FAILED, "the kernel refuses it", _LOG),
}


class Refusals:
    def __init__(self, effects: Effects, surveys: Surveys) -> None:
        self._effects = effects
        self._surveys = surveys

    @contextmanager
    def worded(self, what: str, target: str | None = None) -> Iterator[None]:
        """An OSError in words, and what of it could not be undone."""
        before = len(self._effects.left)
        try:
            yield
        except OSError as error:
            code, why, hint = _REASONS.get(
                error.errno or 0, (Code.FAILED, error.strerror or str(error), _LOG)
            )
            busy = target if error.errno == errno.EBUSY else None
            if busy and (users := self._surveys.users_of(busy)):
                why, hint = users[0].deed, users[0].advice
            left = self._effects.left[before:]
            if left:
                hint = f"Left behind, it could not be undone: {', '.join(left)}. {hint}"
            raise RdctlError(code, f"{what}: {why}", hint=hint, target=target) from error


def missing(module: str) -> RdctlError:
    return RdctlError(
        Code.MODULE_MISSING,
        f"the kernel module {module} is not loaded",
        hint=f"Load it: sudo modprobe {module}; or try without a kernel: -c sandbox",
    )


def volume_gone(cache: str, volume: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{cache} has failed: its volume {volume} is gone, and with it what was not written back",
        hint=f"Only this removes it: dmsetup remove {cache}",
        target=cache,
    )


def denied(what: str) -> RdctlError:
    return RdctlError(Code.DENIED, what, hint=_ROOT_HINT)


def half_made(cache: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{cache} is only half made",
        hint=f"Remove it: rdctl rapiddisk cache remove {operand(cache)}",
        target=cache,
    )
