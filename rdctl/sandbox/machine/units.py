"""Starting and stopping the units of a simulated machine: what they run are commands of rdctl."""

from __future__ import annotations

import errno
import re
import shlex
from collections.abc import Callable, Sequence

from rdctl.sandbox.machine.configfs import Configfs
from rdctl.sandbox.machine.objects import fail

DAEMON = "rapiddiskd"
Answer = tuple[int, str]


class Units(Configfs):
    def run(self, argv: Sequence[str], seconds: float | None = None) -> Answer:
        if argv[0] != "systemctl":
            fail(errno.ENOENT, argv[0])
        if DAEMON in argv[2:]:
            return self._daemon(argv[1])
        acts: dict[str, Callable[[str], Answer]] = {
            "start": self.start,
            "stop": self.stop,
            "is-enabled": self._tell_enabled,
            "is-active": self._tell_active,
        }
        act = acts.get(argv[1])
        if act is None:
            return self.systemd.run(argv, self._change)
        answers = [act(unit) for unit in argv[2:]]
        return max(code for code, _ in answers), "".join(text for _, text in answers)

    def execute(self, words: list[str]) -> Answer:
        """Run a command of a unit; not found on a machine that cannot run one."""
        fail(errno.ENOENT, words[0])

    # --- what units there are -----------------------------------------------------------------

    def units(self) -> list[str]:
        """In the order in which they start."""
        found = self.systemd.named()
        ordered: list[str] = []
        for unit in found:
            self._place(unit, found, ordered, ())
        return ordered

    def _place(
        self, unit: str, found: list[str], ordered: list[str], above: tuple[str, ...]
    ) -> None:
        """Put a unit behind those that it names in `After=`."""
        if unit in ordered or unit in above:
            return
        for other in " ".join(self._values(unit, "After")).split():
            if other in found:
                self._place(other, found, ordered, (*above, unit))
        ordered.append(unit)

    def _values(self, unit: str, key: str) -> list[str]:
        """The values of a key, wherever it is in the file; an empty one discards those before."""
        values: list[str] = []
        for value in re.findall(rf"^{key}=(.*)$", self.systemd.file(unit), re.M):
            values = [*values, value.strip()] if value.strip() else []
        return values

    # --- starting and stopping ----------------------------------------------------------------

    def start(self, unit: str) -> Answer:
        if not self.systemd.file(unit):
            return 5, f"Failed to start {unit}: Unit {unit} not found.\n"
        if unit in self.systemd.active:
            return 0, ""
        code, text = self._carry_out(unit, "ExecStart")
        if not code and "yes" in self._values(unit, "RemainAfterExit"):
            self._change(lambda: self.systemd.active.add(unit))
        return code, text

    def stop(self, unit: str) -> Answer:
        if not self.systemd.file(unit):
            return 5, f"Failed to stop {unit}: Unit {unit} not loaded.\n"
        if unit not in self.systemd.active:
            return 0, ""
        code, text = self._carry_out(unit, "ExecStop")
        self._change(lambda: self.systemd.active.discard(unit))
        return code, text

    def _carry_out(self, unit: str, key: str) -> Answer:
        """The commands of a unit, up to the first that fails."""
        said = ""
        accepted = " ".join(self._values(unit, "SuccessExitStatus")).split()
        for line in self._values(unit, key):
            words = shlex.split(line.lstrip("-@:+!"))
            code, text = self.execute([word.replace("$$", "$") for word in words])
            said += text
            if code and str(code) not in accepted and not line.startswith("-"):
                return 1, said + f"{unit}: {key}= exited with status {code}\n"
        return 0, said

    # --- showing ------------------------------------------------------------------------------

    def _tell_enabled(self, unit: str) -> Answer:
        if not self.systemd.file(unit):
            return 1, f"Failed to get unit file state for {unit}: No such file or directory\n"
        return (0, "enabled\n") if self.systemd.is_enabled(unit) else (1, "disabled\n")

    def _tell_active(self, unit: str) -> Answer:
        return (0, "active\n") if unit in self.systemd.active else (3, "inactive\n")

    # --- rapiddiskd ---------------------------------------------------------------------------

    def _daemon(self, verb: str) -> Answer:
        """A package installed it, so it has no unit file here."""
        if verb == "show":
            pid = 4711 if self.unit["ActiveState"] == "active" else 0
            return 0, "".join(f"{key}={value}\n" for key, value in self.unit.items()) + (
                f"MainPID={pid}\n"
            )
        if self.unit["LoadState"] != "loaded":
            return 5, f"Failed to {verb} rapiddiskd.service: Unit not found.\n"
        known = {
            "start": ("ActiveState", "active"),
            "stop": ("ActiveState", "inactive"),
            "enable": ("UnitFileState", "enabled"),
            "disable": ("UnitFileState", "disabled"),
        }
        if verb not in known:
            return 1, f"Unknown command verb {verb}.\n"
        key, value = known[verb]
        self._change(lambda: self.unit.update({key: value}))
        return 0, ""
