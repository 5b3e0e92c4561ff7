"""The units of systemd, through systemctl."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effect, Effects
from rdctl.effects.syscalls import Syscalls, call
from rdctl.rapiddisk.model import Unit

DAEMON = "rapiddiskd"
_STATES = ("active", "reloading", "activating")


class Systemd:
    """`seconds`: how long systemctl may take."""

    def __init__(self, calls: Syscalls, effects: Effects, seconds: float | None) -> None:
        self._calls = calls
        self._effects = effects
        self._seconds = seconds

    # --- looking ------------------------------------------------------------------------------

    def properties(self, unit: str, names: str) -> dict[str, str]:
        """These properties of a unit; names are separated by commas."""
        argv = ["systemctl", "show", unit, f"--property={names}"]
        asking = call(self._calls, argv, self._seconds, what=f"query {unit}")
        asking = asking._replace(line=f"# {asking.line}")
        code, text = _run(lambda: self._effects.look(asking), Code.TIMEOUT, unit)
        if code:
            raise _failed(text, unit)
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def unit(self, unit: str) -> Unit:
        values = self.properties(unit, "LoadState,ActiveState,UnitFileState,MainPID")
        pid = int(values.get("MainPID") or 0)
        return Unit(
            unit=unit,
            installed=values.get("LoadState") == "loaded",
            active=values.get("ActiveState") in _STATES,
            enabled=values.get("UnitFileState", "").startswith("enabled"),
            state=values.get("ActiveState") or "unknown",
            pid=pid or None,
        )

    # --- changing -----------------------------------------------------------------------------

    def act(
        self,
        verb: str,
        units: Sequence[str],
        destroys: str | None = None,
        undo: Sequence[Effect[None]] = (),
    ) -> None:
        """`start`, `stop`, `enable` or `disable` units; `daemon-reload` has none."""
        acting = call(
            self._calls,
            ["systemctl", verb, *units],
            self._seconds,
            what=_what(verb, units),
            destroys=destroys,
        )
        about = units[0] if units else ""
        code, text = _run(lambda: self._effects.do(acting, (0, ""), undo), Code.UNKNOWN, about)
        if code:
            raise _failed(text, about)

    def reverting(self, verb: str, units: Sequence[str]) -> Effect[None]:
        """The same as a step of a rollback. It raises OSError."""
        argv = ["systemctl", verb, *units]
        effect = call(self._calls, argv, self._seconds, what=_what(verb, units))

        def perform() -> None:
            code, text = effect.perform()
            if code:
                raise OSError(errno.EIO, " ".join(text.split()) or "systemctl failed")

        return Effect(effect.what, effect.line, perform)


def _what(verb: str, units: Sequence[str]) -> str:
    return f"{verb} {', '.join(units)}" if units else "reload the units of systemd"


def _run(run: Callable[[], tuple[int, str]], late: Code, unit: str) -> tuple[int, str]:
    """`late` is the code when systemctl times out."""
    try:
        return run()
    except TimeoutError as error:
        message = f"{unit or 'daemon-reload'}: systemctl timed out"
        hint = "Check that systemd is responding: systemctl list-jobs"
        if late is Code.UNKNOWN:
            message += "; systemd may still complete the job"
            if unit == DAEMON:
                hint = "Check the result: rdctl rapiddisk daemon status"
        raise RdctlError(late, message, hint=hint, target=unit or None) from error
    except FileNotFoundError as error:
        raise RdctlError(
            Code.UNSUPPORTED, "systemctl not found: this machine has no systemd"
        ) from error
    except OSError as error:
        code = Code.DENIED if isinstance(error, PermissionError) else Code.FAILED
        message = f"systemctl cannot be run: {error.strerror}"
        raise RdctlError(code, message, target=unit or None) from error


def _failed(text: str, unit: str) -> RdctlError:
    message = " ".join(text.split()) or "systemctl failed and gave no reason"
    if "not been booted with systemd" in text:
        return RdctlError(Code.UNSUPPORTED, "this machine does not run systemd")
    if "uthentication" in text or "ermission denied" in text:
        hint = "Try again with sudo."
        return RdctlError(Code.DENIED, message, hint=hint, target=unit or None)
    log = f"See its log: journalctl -u {unit}" if unit else None
    return RdctlError(Code.FAILED, message, hint=log, target=unit or None)
