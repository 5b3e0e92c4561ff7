"""The systemd unit of rapiddiskd, through systemctl."""

from __future__ import annotations

from collections.abc import Callable

from rdctl.core.errors import Code, RdctlError
from rdctl.effects.door import Effects
from rdctl.effects.syscalls import Syscalls, call
from rdctl.rapiddisk.model import Unit

UNIT = "rapiddiskd"
_PROPERTIES = "LoadState,ActiveState,UnitFileState,MainPID"


class Systemd:
    """`seconds`: how long systemctl may take."""

    def __init__(self, calls: Syscalls, effects: Effects, seconds: float | None) -> None:
        self._calls = calls
        self._effects = effects
        self._seconds = seconds

    def unit(self) -> Unit:
        argv = ["systemctl", "show", UNIT, f"--property={_PROPERTIES}"]
        asking = call(self._calls, argv, self._seconds, what=f"query {UNIT}")
        asking = asking._replace(line=f"# {asking.line}")
        code, text = self._run(lambda: self._effects.look(asking), Code.TIMEOUT)
        if code:
            raise self._failed(text)
        values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        pid = int(values.get("MainPID") or 0)
        return Unit(
            unit=UNIT,
            installed=values.get("LoadState") == "loaded",
            active=values.get("ActiveState") in ("active", "reloading", "activating"),
            enabled=values.get("UnitFileState", "").startswith("enabled"),
            state=values.get("ActiveState") or "unknown",
            pid=pid or None,
        )

    def act(self, verb: str, destroys: str | None) -> None:
        """`start`, `stop`, `enable` or `disable`."""
        argv = ["systemctl", verb, UNIT]
        acting = call(self._calls, argv, self._seconds, what=f"{verb} {UNIT}", destroys=destroys)
        code, text = self._run(lambda: self._effects.do(acting, (0, "")), Code.UNKNOWN)
        if code:
            raise self._failed(text)

    def _run(self, run: Callable[[], tuple[int, str]], late: Code) -> tuple[int, str]:
        """`late` is the code when systemctl times out."""
        try:
            return run()
        except TimeoutError as error:
            message = f"{UNIT}: systemctl timed out"
            hint = "Check that systemd is responding: systemctl list-jobs"
            if late is Code.UNKNOWN:
                message += "; systemd may still complete the job"
                hint = "Check the result: rdctl rapiddisk daemon status"
            raise RdctlError(late, message, hint=hint, target=UNIT) from error
        except FileNotFoundError as error:
            raise RdctlError(
                Code.UNSUPPORTED, "systemctl not found: this machine has no systemd"
            ) from error
        except OSError as error:
            code = Code.DENIED if isinstance(error, PermissionError) else Code.FAILED
            message = f"systemctl cannot be run: {error.strerror}"
            raise RdctlError(code, message, target=UNIT) from error

    def _failed(self, text: str) -> RdctlError:
        message = " ".join(text.split()) or "systemctl failed and gave no reason"
        if "not been booted with systemd" in text:
            return RdctlError(Code.UNSUPPORTED, "this machine does not run systemd")
        if "uthentication" in text or "ermission denied" in text:
            hint = "Try again with sudo."
            return RdctlError(Code.DENIED, message, hint=hint, target=UNIT)
        return RdctlError(
            Code.FAILED, message, hint=f"See its log: journalctl -u {UNIT}", target=UNIT
        )
