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

_LOG = "See the kernel log: dmesg | tail"
GONE = (errno.ENOENT, errno.ENXIO, errno.ENODEV)
_ROOT_HINT = "Try again with sudo."
_REASONS: dict[int, tuple[Code, str, str]] = {
    errno.EACCES: (Code.DENIED, "requires root", _ROOT_HINT),
    errno.EPERM: (Code.DENIED, "requires root", _ROOT_HINT),
    errno.EROFS: (
        Code.DENIED,
        "read-only file system",
        "/sys or /dev is read-only, as in a container. Run it on the host.",
    ),
    errno.ENOENT: (Code.NOT_FOUND, "not found", "It was removed meanwhile."),
    errno.ENXIO: (Code.NOT_FOUND, "not found", "It was removed meanwhile."),
    errno.EEXIST: (Code.EXISTS, "already exists", "It was created meanwhile."),
    errno.EBUSY: (
        Code.IN_USE,
        "in use",
        "Find the process or the mount: sudo lsof, sudo findmnt",
    ),
    errno.ENOMEM: (Code.FAILED, "the kernel is out of memory", _LOG),
    errno.EADDRNOTAVAIL: (
        Code.CONFLICT,
        "the port's address is not on this machine",
        "Compare the addresses: rdctl rapiddisk nvmet port list, ip address",
    ),
    errno.EADDRINUSE: (
        Code.CONFLICT,
        "the port's service is in use",
        "Find the program that listens there: ss -ltnp",
    ),
    errno.ENODEV: (Code.FAILED, "device not found", _LOG),
    errno.ENOTBLK: (
        Code.CONFLICT,
        "its node in /dev leads to another device",
        "Check that udev is running: ls -l /dev /dev/mapper",
    ),
    errno.EINVAL: (Code.FAILED, "refused by the kernel", _LOG),
}


class Refusals:
    def __init__(self, effects: Effects, surveys: Surveys) -> None:
        self._effects = effects
        self._surveys = surveys

    @contextmanager
    def worded(self, what: str, target: str | None = None) -> Iterator[None]:
        """Explain an OSError in words, and name what could not be undone."""
        before = len(self._effects.left)
        try:
            yield
        except OSError as error:
            code, why, hint = _REASONS.get(
                error.errno or 0, (Code.FAILED, error.strerror or str(error), _LOG)
            )
            busy = target if error.errno == errno.EBUSY else None
            if busy and (users := self._surveys.users_of(busy)):
                why, hint = users[0].use, users[0].advice
            left = self._effects.left[before:]
            if left:
                hint = f"Left behind, could not be undone: {', '.join(left)}. {hint}"
            raise RdctlError(code, f"{what}: {why}", hint=hint, target=target) from error


def missing(module: str) -> RdctlError:
    return RdctlError(
        Code.MODULE_MISSING,
        f"the kernel module {module} is not loaded",
        hint=f"Load it: sudo modprobe {module}; or use the sandbox: -c sandbox",
    )


def volume_gone(cache: str, volume: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{cache} has failed: its volume {volume} is gone, and its unwritten blocks are lost",
        hint=f"Remove it: dmsetup remove {cache}",
        target=cache,
    )


def denied(what: str) -> RdctlError:
    return RdctlError(Code.DENIED, what, hint=_ROOT_HINT)


def incomplete(cache: str) -> RdctlError:
    return RdctlError(
        Code.CONFLICT,
        f"{cache} is incomplete",
        hint=f"Remove it: rdctl rapiddisk cache remove {operand(cache)}",
        target=cache,
    )
