"""systemctl on a simulated machine, without starting and stopping: units are the files in its
tree."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdctl.sandbox.machine.tree import Tree

ETC = "etc/systemd/system"
PACKAGED = "usr/lib/systemd/system"
# As systemd 252 has them: halt and kexec are not limited.
TARGETS = {
    "reboot.target": "30min",
    "poweroff.target": "30min",
    "halt.target": "",
    "kexec.target": "",
}


class Systemd:
    """`active` are the units that run. What was read of a unit stays until it is read again."""

    def __init__(self, tree: Tree) -> None:
        # No circle: the file of the sandbox is closed with the last use of its machine.
        self._tree: Tree = weakref.proxy(tree)
        self.read: dict[str, str] = {}
        self.active: set[str] = set()

    def lay_out(self) -> None:
        for target, limit in TARGETS.items():
            words = f"JobTimeoutSec={limit}\nJobTimeoutAction=reboot-force\n" if limit else ""
            self._tree.put(f"{PACKAGED}/{target}", f"[Unit]\nDescription={target}\n{words}")

    def run(
        self, argv: Sequence[str], change: Callable[[Callable[[], None]], None]
    ) -> tuple[int, str]:
        """`systemctl VERB UNIT...`; `change` makes a change a step of the machine."""
        verb, *units = argv[1:]
        if verb == "show":
            return 0, self._shown(units[0], units[1].removeprefix("--property=").split(","))
        if verb == "daemon-reload":
            change(self.read.clear)
            return 0, ""
        for unit in units:
            if not self.file(unit):
                return 1, f"Failed to {verb} unit: Unit file {unit} does not exist.\n"
        change(lambda: self._set_enabled(units, verb == "enable"))
        return 0, ""

    def named(self) -> list[str]:
        """The services in /etc."""
        return sorted(path.name for path in self._tree.path(ETC).glob("*.service"))

    def is_enabled(self, unit: str) -> bool:
        return self._state(unit, self.file(unit)) == "enabled"

    def _shown(self, unit: str, names: Sequence[str]) -> str:
        now = self.file(unit)
        read = self.read.setdefault(unit, now) if now else self.read.get(unit, "")
        values = {
            "LoadState": "loaded" if read else "not-found",
            "ActiveState": "active" if unit in self.active else "inactive",
            "UnitFileState": self._state(unit, now),
            "NeedDaemonReload": "yes" if read != now else "no",
            "JobTimeoutUSec": _span(read),
            "MainPID": "0",
        }
        return "".join(f"{name}={values[name]}\n" for name in names)

    def file(self, unit: str) -> str:
        """The text of a unit with its drop-ins; empty if not found."""
        places = [self._tree.path(f"{top}/{unit}") for top in (ETC, PACKAGED)]
        found = next((place.read_text() for place in places if place.is_file()), "")
        drop_ins = sorted(self._tree.path(f"{ETC}/{unit}.d").glob("*.conf"))
        return found + "".join(path.read_text() for path in drop_ins) if found else ""

    def _state(self, unit: str, text: str) -> str:
        if not text:
            return ""
        if any(self._tree.path(link).is_symlink() for link in self._links(unit, text)):
            return "enabled"
        return "disabled" if "[Install]" in text else "static"

    def _links(self, unit: str, text: str) -> Iterator[str]:
        for words in re.findall(r"^WantedBy=(.+)$", text, re.M):
            yield from (f"{ETC}/{target}.wants/{unit}" for target in words.split())

    def _set_enabled(self, units: Sequence[str], enabled: bool) -> None:
        for unit in units:
            for link in self._links(unit, self.file(unit)):
                there = self._tree.path(link).is_symlink()
                if enabled and not there:
                    self._tree._link(link, f"/{ETC}/{unit}")
                elif there and not enabled:
                    self._tree.delete(link)
        self.read.clear()


def _span(text: str) -> str:
    """The job timeout as systemd shows it."""
    found = re.findall(r"^JobTimeoutSec=(\w+)$", text, re.M)
    if not found or found[-1] == "infinity":
        return "infinity"
    if not found[-1].isdigit():
        return str(found[-1])
    minutes, seconds = divmod(int(found[-1]), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{number}{unit}" for number, unit in parts if number)
